use crate::naive_json::compare;
use alkpubsub::protocol::check::{MessageLimits, parts};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// White space as RFC 8259 has it.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => select(vec![" ", "\n", "\t", "\r\n", "  \n "])]
}

/// A character of a string, as it is written and as what it reads; `None` for half of a surrogate pair.
fn character() -> impl Strategy<Value = (String, Option<String>)> {
    let plain =
        any::<char>().prop_filter("it has to be escaped", |char| *char >= ' ' && !"\"\\".contains(*char));
    let short = select(vec![
        ("\\\"", "\""),
        ("\\\\", "\\"),
        ("\\/", "/"),
        ("\\b", "\u{8}"),
        ("\\f", "\u{c}"),
        ("\\n", "\n"),
        ("\\r", "\r"),
        ("\\t", "\t"),
    ]);
    let escaped = (any::<char>(), any::<bool>()).prop_map(|(char, upper)| {
        let unit = |unit: &u16| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
        (char.encode_utf16(&mut [0; 2]).iter().map(unit).collect(), Some(char.to_string()))
    });
    prop_oneof![
        12 => select(vec!["a", "b", ":", ".", "_", "ü", "😀", "{", "]", ","])
            .prop_map(|char| (char.to_owned(), Some(char.to_owned()))),
        4 => plain.prop_map(|char| (char.to_string(), Some(char.to_string()))),
        2 => short.prop_map(|(written, read)| (written.to_owned(), Some(read.to_owned()))),
        2 => escaped,
    ]
}

/// A string, as it is written with its quotes and as what it reads.
fn string() -> impl Strategy<Value = (String, String)> {
    vec(character(), 0..12).prop_map(|chars| {
        let (written, read): (Vec<_>, Vec<_>) = chars.into_iter().unzip();
        (format!("\"{}\"", written.concat()), read.into_iter().flatten().collect())
    })
}

fn lone_surrogate() -> impl Strategy<Value = String> {
    (0xd800..=0xdfff_u16, string()).prop_map(|(unit, (rest, _))| format!("\"\\u{unit:04x}{}", &rest[1..]))
}

/// Any JSON, not deeper than 6.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec!["null", "true", "false", "0", "-0", "-1.5e+300", "1E400", "9007199254740993", "0.10"])
            .prop_map(str::to_owned),
        any::<f64>()
            .prop_filter("JSON has no such numbers", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        string().prop_map(|(written, _)| written),
        lone_surrogate(),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        let list = |items: Vec<(&str, String, &str)>| -> String {
            let items: Vec<_> =
                items.into_iter().map(|(before, item, after)| [before, &item, after].concat()).collect();
            items.join(",")
        };
        let items = vec((space(), inner.clone(), space()), 0..4);
        let member = (string(), space(), space(), inner)
            .prop_map(|((name, _), before, after, value)| format!("{name}{before}:{after}{value}"));
        let members = vec((space(), member, space()), 0..4);
        prop_oneof![
            items.prop_map(move |items| format!("[{}]", list(items))),
            members.prop_map(move |members| format!("{{{}}}", list(members))),
        ]
    })
}

/// A name with some of its characters escaped.
fn name_of(name: &'static str) -> impl Strategy<Value = String> {
    vec(prop::bool::weighted(0.1), name.len()).prop_map(move |escaped| {
        let write = |(char, escape): (char, bool)| {
            if escape { format!("\\u{:04x}", char as u32) } else { char.to_string() }
        };
        format!("\"{}\"", name.chars().zip(escaped).map(write).collect::<String>())
    })
}

#[derive(Clone, Debug)]
struct Valid {
    text: String,
    event_type: String,
    id: String,
    payload: Option<String>,
}

fn valid() -> impl Strategy<Value = Valid> {
    let event_type = string().prop_filter("a type is not empty", |(_, read)| !read.is_empty());
    let unknown = (string(), value()).prop_filter("a name of ours", |((_, read), _)| {
        !read.starts_with("__") && !["type", "id", "payload"].contains(&&**read)
    });
    let members = (
        (name_of("type"), event_type),
        (name_of("id"), string()),
        prop::option::of((name_of("payload"), value())),
        vec(unknown.prop_map(|((name, _), value)| (name, value)), 0..3),
    );
    members.prop_flat_map(|((type_name, event_type), (id_name, id), payload, unknown)| {
        let mut members = vec![(type_name, event_type.0), (id_name, id.0)];
        members.extend(payload.clone());
        members.extend(unknown);
        let spaces = vec((space(), space(), space(), space()), members.len());
        (Just(members).prop_shuffle(), spaces, space(), space()).prop_map(
            move |(members, spaces, before, after)| {
                let write = |((name, value), (a, b, c, d)): (&(String, String), (&str, &str, &str, &str))| {
                    [a, name, b, ":", c, value, d].concat()
                };
                let members: Vec<_> = members.iter().zip(spaces).map(write).collect();
                Valid {
                    text: format!("{before}{{{}}}{after}", members.join(",")),
                    event_type: event_type.1.clone(),
                    id: id.1.clone(),
                    payload: payload.clone().map(|(_, value)| value),
                }
            },
        )
    })
}

/// Words that matter to a reader, to be put anywhere.
const WORDS: [&str; 30] = [
    "\"type\":",
    "\"id\":",
    "\"payload\":",
    "\"t\\u0079pe\":\"a\",",
    "\"__x\":1,",
    "\"\\u005f_x\":1,",
    "\"\"",
    "\"",
    "\\ud800",
    "\\udc00",
    "\\u12",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "-",
    "0",
    ".",
    "e",
    "null",
    "\u{feff}",
    " ",
    "\u{0}",
    "\u{1f}",
    "00",
    "[[[[[[[[[",
    "]]]]]]]]]",
];

#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Cut(Index, Index),
    Double(Index, Index),
    Insert(Index, &'static str),
    /// The front of this one, the end of the other.
    Splice(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        1 => (at(), at()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        1 => (at(), at()).prop_map(|(from, to)| Mutation::Double(from, to)),
        3 => (at(), select(WORDS.to_vec())).prop_map(|(at, word)| Mutation::Insert(at, word)),
        1 => (at(), at()).prop_map(|(front, back)| Mutation::Splice(front, back)),
    ]
}

fn apply(bytes: &mut Vec<u8>, other: &[u8], mutation: &Mutation) {
    let place = |at: &Index, length: usize| at.index(length + 1);
    let range = |from: &Index, to: &Index, length: usize| {
        let (from, to) = (place(from, length), place(to, length));
        // Short more often than not.
        from.min(to)..from.max(to).min(from.min(to) + 12)
    };
    let length = bytes.len();
    match mutation {
        Mutation::Flip(at, byte) if length > 0 => bytes[at.index(length)] ^= byte,
        Mutation::Flip(..) => {}
        Mutation::Cut(from, to) => _ = bytes.drain(range(from, to, length)),
        Mutation::Double(from, to) => {
            let range = range(from, to, length);
            let doubled = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, doubled);
        }
        Mutation::Insert(at, word) => {
            let at = place(at, length);
            bytes.splice(at..at, word.bytes());
        }
        Mutation::Splice(front, back) => {
            bytes.truncate(place(front, length));
            bytes.extend_from_slice(&other[place(back, other.len())..]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_valid_is_read_as_it_was_written(valid in valid()) {
        let parts = parts(valid.text.as_bytes(), &MessageLimits::DEFAULT);
        let parts = parts.map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        prop_assert_eq!(&*parts.event_type, valid.event_type);
        prop_assert_eq!(&*parts.id, valid.id);
        prop_assert_eq!(parts.payload, valid.payload.as_deref());
        compare(valid.text.as_bytes(), &MessageLimits::DEFAULT);
    }

    #[test]
    fn what_is_nearly_valid_is_judged_as_by_the_naive_reader(
        valid in valid(),
        other in valid(),
        mutations in vec(mutation(), 1..5),
        max_depth in 0..12_usize,
    ) {
        let mut bytes = valid.text.into_bytes();
        for mutation in &mutations {
            apply(&mut bytes, other.text.as_bytes(), mutation);
        }
        compare(&bytes, &MessageLimits::DEFAULT);
        let mut limits = MessageLimits::DEFAULT;
        (limits.max_depth, limits.max_message) = (max_depth, bytes.len().saturating_sub(max_depth / 11));
        compare(&bytes, &limits);
    }
}

// What random mutations seldom find, all of it.

#[test]
fn every_form_of_a_number() {
    let parts = ["", "-", "+", "0", "00", "1", "01", ".", ".0", "0.", "e", "E1", "e+", "e-0", "x"];
    for a in parts {
        for b in parts {
            for c in parts {
                let text = format!(r#"{{"type":"a","id":"","payload":{a}{b}{c}}}"#);
                compare(text.as_bytes(), &MessageLimits::DEFAULT);
            }
        }
    }
}

/// The library looks at eight bytes at a time.
#[test]
fn every_byte_at_every_place_of_a_word() {
    for byte in 0..=255 {
        for escape in [&b""[..], b"\\"] {
            for (before, after) in (0..9).flat_map(|before| (0..9).map(move |after| (before, after))) {
                let string = [&b"        "[..before], escape, &[byte], &b"        "[..after]].concat();
                let message = [br#"{"type":"a","id":""#, &string[..], br#""}"#].concat();
                compare(&message, &MessageLimits::DEFAULT);
            }
        }
    }
}

#[test]
fn every_byte_between_tokens() {
    let tokens = ["", "{", "\"type\"", ":", "\"a\"", ",", "\"id\"", ":", "\"\"", ",", "\"payload\"", ":"];
    let payloads = ["[", "1", ",", "{", "\"a\"", ":", "null", "}", "]", "}", ""];
    let tokens = [&tokens[..], &payloads].concat();
    for byte in 0..=255 {
        for gap in 1..tokens.len() {
            let (before, after) = (tokens[..gap].concat(), tokens[gap..].concat());
            compare(&[before.as_bytes(), &[byte], after.as_bytes()].concat(), &MessageLimits::DEFAULT);
        }
    }
}

#[test]
fn every_three_members() {
    let members = [
        r#""type":"a""#,
        r#""type":"""#,
        r#""type":1"#,
        r#""t\u0079pe":"b""#,
        r#""type":"\ud800""#,
        r#""id":"""#,
        r#""id":null"#,
        r#""\u0069d":"\ud83d\ude00""#,
        r#""id":"\udc00""#,
        r#""payload":1"#,
        r#""p\u0061yload":{"type":"","type":""}"#,
        r#""payload""#,
        r#""__x":1"#,
        r#""\u005f_":1"#,
        r#""_":"\ud800""#,
        r#""":1"#,
    ];
    for base in ["", r#""type":"a:","id":"b","#] {
        for a in members {
            for b in members {
                for c in members {
                    compare(format!("{{{base}{a},{b},{c}}}").as_bytes(), &MessageLimits::DEFAULT);
                }
            }
        }
    }
}

#[test]
fn the_naive_reader_knows_every_refusal() {
    let limits = MessageLimits::DEFAULT;
    let deep = "[".repeat(64) + &"]".repeat(64);
    let long = "x".repeat(limits.max_message);
    for (text, fault) in [
        (format!(r#"{{"type":"a","id":"","payload":"{long}"}}"#), "too_large"),
        (format!(r#"{{"type":"a","id":"","payload":{deep}}}"#), "too_deep"),
        ("\u{feff}{}".into(), "byte_order_mark"),
        ("{\"type\":\"a\",\"id\":\"\",}".into(), "not_json"),
        (String::new(), "not_json"),
        ("[]".into(), "not_an_object"),
        (r#"{"type":"a","id":""}{}"#.into(), "trailing_bytes"),
        (r#"{"type":"a"}"#.into(), "missing_member"),
        (r#"{"type":1,"id":""}"#.into(), "not_a_string"),
        (r#"{"type":"","id":""}"#.into(), "empty_type"),
        (r#"{"type":"a","id":"","t\u0079pe":"a"}"#.into(), "repeated_member"),
        (r#"{"type":"a","id":"\ud800"}"#.into(), "lone_surrogate"),
        (r#"{"type":"a","id":"","\u005f_":0}"#.into(), "reserved_member"),
    ] {
        let faults = crate::naive_json::read(text.as_bytes(), &limits).expect_err(fault);
        assert!(faults.contains(fault), "{fault}: {faults:?}");
        compare(text.as_bytes(), &limits);
    }
    compare(b"{\"type\":\"\xff\",\"id\":\"\"}", &limits);
}
