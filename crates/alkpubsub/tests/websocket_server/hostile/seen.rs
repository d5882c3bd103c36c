//! What was seen of a case, in words that can be compared with what it says.

use super::Case;
use crate::support::Heard;
use alkpubsub::Stats;
use std::collections::BTreeMap;

/// What came of what a peer did. Nothing of it is asked of the hub but its counters: the rest is what lay on the wire.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Events that the witness heard.
    pub(crate) delivered: usize,
    pub(crate) granted: usize,
    pub(crate) pongs: usize,
    denied: BTreeMap<String, usize>,
    refused: bool,
    /// What a case has checked by itself, in its own words.
    also: Vec<&'static str>,
    /// Messages that were refused, by reason; and what else was counted.
    counted: BTreeMap<&'static str, usize>,
    ends: BTreeMap<End, usize>,
}

/// How a peer's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It went on as if nothing had been.
    GoesOn,
    /// The hub closed it, with this code.
    Closed(u16),
    /// The peer closed it, and the hub said the same.
    Answered,
    /// The stream ended without a close frame.
    Cut,
    /// The peer went away.
    Left,
    /// It was never opened.
    Http(u16),
}

impl Seen {
    pub(crate) fn ended(&mut self, end: End) {
        *self.ends.entry(end).or_default() += 1;
        self.refused |= matches!(end, End::Http(status) if status != 101);
    }

    pub(crate) fn also(&mut self, words: &'static str) {
        self.also.push(words);
    }

    /// A frame of the hub's that is no close frame.
    pub(crate) fn frame(&mut self, heard: &Heard) {
        match heard {
            Heard::Pong(_) => self.pongs += 1,
            Heard::Text(text) => self.text(text),
            Heard::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn text(&mut self, text: &str) {
        if text.starts_with(r#"{"type":"__subscribed","id":"","payload":{"topic":""#) {
            self.granted += 1;
        } else if text.starts_with(r#"{"type":"__denied","id":"","payload":{"topic":""#) {
            let (_, reason) = text.strip_suffix("\"}}").unwrap().rsplit_once(r#","reason":""#).unwrap();
            match self.denied.get_mut(reason) {
                Some(count) => *count += 1,
                None => _ = self.denied.insert(reason.to_owned(), 1),
            }
        } else {
            panic!("{text} is nothing that the hub says to this peer");
        }
    }

    /// Adds what was counted between two looks at the counters, and holds it against what was seen.
    pub(crate) fn complete(mut self, before: &Stats, after: &Stats) -> Self {
        let refusals = after.refusals.since(&before.refusals);
        self.counted.extend(refusals.iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name, n as usize)));
        assert_eq!(refusals.total(), after.bad_input - before.bad_input, "the sum is that of the reasons");
        if after.panicked > before.panicked {
            self.counted.insert("panicked", (after.panicked - before.panicked) as usize);
        }
        let closed = |codes: &[u16]| -> u64 {
            codes.iter().map(|code| self.ends.get(&End::Closed(*code)).map_or(0, |n| *n as u64)).sum()
        };
        assert_eq!(after.violations - before.violations, closed(&[1002, 1007, 1009]), "violations");
        let waiting = after.too_slow - before.too_slow + after.unfinished - before.unfinished;
        assert_eq!(waiting, closed(&[1013]), "too slow, or unfinished");
        let denied: usize = self.denied.values().sum();
        assert_eq!(after.denied - before.denied, denied as u64, "each denial was told");
        self
    }

    /// As a case says it.
    fn words(&self) -> (String, String) {
        let times = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(one.to_owned()),
            count => Some(format!("{} {many}", grouped(count))),
        };
        let mut words: Vec<String> = [
            times(self.delivered, "delivered", "delivered"),
            times(self.granted, "subscribed", "subscribed"),
            times(self.pongs, "a pong", "pongs"),
            self.refused.then(|| "refused".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        words.extend(self.also.iter().map(|words| (*words).to_owned()));
        for (reason, count) in &self.denied {
            words.extend(times(*count, &format!("denied: `{reason}`"), &format!("denied: `{reason}`")));
        }
        for (name, count) in &self.counted {
            words.extend(times(*count, &format!("counted as `{name}`"), &format!("counted as `{name}`")));
        }
        if words.is_empty() {
            words.push("nothing".to_owned());
        }
        let alone = self.ends.values().sum::<usize>() == 1;
        let ends = self.ends.iter().map(|(end, count)| {
            let end = match end {
                End::GoesOn if alone => "goes on".to_owned(),
                End::GoesOn => "go on".to_owned(),
                End::Closed(code) => format!("closed with {code}"),
                End::Answered => "its Close is answered".to_owned(),
                End::Cut => "cut".to_owned(),
                End::Left => "gone".to_owned(),
                End::Http(status) => format!("HTTP {status}"),
            };
            if alone { end } else { format!("{} {end}", grouped(*count)) }
        });
        (words.join(", "), ends.collect::<Vec<_>>().join(", "))
    }

    pub(crate) fn assert(&self, case: &Case) {
        let (comes, ends) = self.words();
        assert_eq!((comes.as_str(), ends.as_str()), (case.comes, case.ends), "{}: {self:?}", case.does);
    }
}

/// 99872 as `99,872`.
fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}
