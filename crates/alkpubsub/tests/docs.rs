//! The tables and the JSON of `docs/protocol.md` are those of the code.

use alkpubsub::protocol::check::{MessageLimits, Refusal, parts};
use alkpubsub::protocol::control::{self, Control, DenyReason};
use alkpubsub::protocol::hub::HubLimits;
use alkpubsub::protocol::link::LinkOptions;
use alkpubsub::protocol::{MAX_BAD_INPUT, WINDOW};
use alkpubsub::{Member, QueueLimits};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    fs::read_to_string(path).expect(path)
}

/// The first two cells of each row below the header whose first cell is `header`.
fn table(page: &str, header: &str) -> Vec<(String, String)> {
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let rows: Vec<_> = page
        .lines()
        .map(cells)
        .skip_while(|row| row.get(1).is_none_or(|cell| cell != header))
        .skip(2)
        .take_while(|row| row.len() > 3)
        .map(|mut row| (row.remove(1).trim_matches('`').to_owned(), row.remove(1)))
        .collect();
    assert!(!rows.is_empty(), "no table begins with {header:?}");
    rows
}

/// Adds the fields of a value as `Debug` shows them: `Name { field: 1, inner: Other { field: 2s } }`. So a field
/// that is added to the code is looked for in the page, too.
fn fields(name: &str, value: &impl Debug, into: &mut BTreeMap<String, String>) {
    let text = format!("{value:?}");
    let mut path = Vec::new();
    let mut field = name.to_owned();
    // Each token but the last is followed by the character that splits it off.
    for token in text.split_inclusive(['{', '}', ':', ',']) {
        let (word, end) = token.split_at(token.len() - 1);
        let word = word.trim();
        match end {
            "{" => path.push(std::mem::take(&mut field)),
            ":" => field = word.to_owned(),
            "," | "}" => {
                if !word.is_empty() {
                    into.insert(format!("{}.{field}", path.join(".")), word.to_owned());
                }
                if end == "}" {
                    path.pop();
                }
            }
            _ => unreachable!("{token:?} of {text}"),
        }
    }
}

/// A cell in the words of `Debug`: `64 KiB` is `65536`, `25 s` is `25s`.
fn value(cell: &str) -> String {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let plain = number.replace(',', "");
    let times = |factor: u64| (plain.parse::<u64>().expect(cell) * factor).to_string();
    match unit {
        "" => plain,
        "bytes" => times(1),
        "KiB" => times(1 << 10),
        "MiB" => times(1 << 20),
        "s" => format!("{plain}s"),
        _ => panic!("{cell:?} has no unit that this test knows"),
    }
}

#[test]
fn limits_are_those_of_the_constants() {
    let mut code = BTreeMap::new();
    fields("HubLimits", &HubLimits::DEFAULT, &mut code);
    fields("MessageLimits", &MessageLimits::DEFAULT, &mut code);
    fields("LinkOptions", &LinkOptions::DEFAULT, &mut code);
    fields("QueueLimits", &QueueLimits::DEFAULT, &mut code);
    assert_eq!(code["HubLimits.message.max_depth"], "64", "the fields are read as they are meant to be");
    code.insert("MAX_BAD_INPUT".into(), format!("{MAX_BAD_INPUT:?}"));
    code.insert("WINDOW".into(), format!("{WINDOW:?}"));
    code.insert("PROTOCOL_VERSION".into(), format!("{:?}", control::PROTOCOL_VERSION));

    let rows = table(&page(), "constant");
    let written: BTreeMap<_, _> = rows.iter().map(|(name, cell)| (name.clone(), value(cell))).collect();
    assert_eq!(written.len(), rows.len(), "no row twice");
    assert_eq!(written, code, "docs/protocol.md (left) and the constants (right)");
}

#[test]
fn refusals_have_the_names_of_the_page() {
    let code = [
        Refusal::TooLarge { limit: 0 },
        Refusal::TooDeep { limit: 0 },
        Refusal::NotUtf8 { at: 0 },
        Refusal::ByteOrderMark,
        Refusal::NotJson { at: 0 },
        Refusal::TrailingBytes { at: 0 },
        Refusal::NotAnObject,
        Refusal::Missing(Member::Type),
        Refusal::NotAString(Member::Type),
        Refusal::Repeated(Member::Type),
        Refusal::LoneSurrogate(Member::Type),
        Refusal::EmptyType,
        Refusal::ReservedMember,
        Refusal::BadControl,
    ];
    let code: BTreeSet<_> = code.iter().map(|refusal| refusal.name().to_owned()).collect();
    let written: BTreeSet<_> = table(&page(), "refusal").into_iter().map(|(name, _)| name).collect();
    assert_eq!(written, code, "docs/protocol.md (left) and the code (right)");
}

#[test]
fn deny_reasons_are_those_of_the_page() {
    let code = [
        DenyReason::Reserved,
        DenyReason::BadTopic,
        DenyReason::TopicTooLong,
        DenyReason::TooManySubscriptions,
        DenyReason::Broker,
        DenyReason::Draining,
        DenyReason::NotAllowed,
    ];
    let code: BTreeSet<_> = code.iter().map(|reason| reason.as_str().to_owned()).collect();
    let written: BTreeSet<_> = table(&page(), "reason").into_iter().map(|(name, _)| name).collect();
    assert_eq!(written, code, "docs/protocol.md (left) and the code (right)");
}

#[test]
fn every_message_of_the_page_is_read_as_what_it_is_called() {
    let page = page();
    let mut seen = BTreeSet::new();
    for line in page.split("```json\n").skip(1).flat_map(|block| block.split("```").next().unwrap().lines()) {
        let parts = parts(line.as_bytes(), &MessageLimits::DEFAULT).expect(line);
        let control = control::read(&parts).expect(line);
        assert_ne!(control, Some(Control::Unknown), "{line}");
        assert_eq!(control.is_some(), parts.event_type.starts_with("__"), "{line}");
        seen.insert(parts.event_type.into_owned());
    }
    let all =
        ["__close", "__denied", "__gap", "__ping", "__pong", "__subscribe", "__subscribed", "__unsubscribe"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), [&all[..], &["call.responded"]].concat());
}
