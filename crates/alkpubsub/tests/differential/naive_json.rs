//! A second reader of envelopes, written from RFC 8259 and the words of `docs/protocol.md` alone, as simply as
//! possible: characters one by one, strings as UTF-16, all of it kept. It shares nothing with the library's reader,
//! and where the two differ, one of them is wrong. The tests here and the fuzz targets in `fuzz/` use it.

use alkpubsub::protocol::check::{self, MessageLimits};
use std::collections::BTreeSet;
use std::ops::Range;

/// What an envelope holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) event_type: String,
    pub(crate) id: String,
    /// Where the payload lies in the message.
    pub(crate) payload: Option<Range<usize>>,
}

/// Everything that is found wrong with a message, by the names of `docs/protocol.md`. Which of them is the first is
/// for the library to say.
pub(crate) type Faults = BTreeSet<&'static str>;

/// Panics where the library's reader and this one differ about a message, or serde_json and the two about JSON.
pub(crate) fn compare(bytes: &[u8], limits: &MessageLimits) {
    let naive = read(bytes, limits);
    match (check::parts(bytes, limits), &naive) {
        (Ok(parts), Ok(envelope)) => {
            assert_eq!(parts.text.as_bytes(), bytes, "the text is the message");
            assert_eq!(parts.event_type, envelope.event_type, "the type");
            assert_eq!(parts.id, envelope.id, "the id");
            let payload = parts.payload.map(|payload| {
                let start = payload.as_ptr() as usize - bytes.as_ptr() as usize;
                start..start + payload.len()
            });
            assert_eq!(payload, envelope.payload, "where the payload lies");
        }
        (Err(refusal), Err(faults)) => {
            assert!(faults.contains(refusal.name()), "refused as {}, but it is {faults:?}", refusal.name());
        }
        (Ok(_), Err(faults)) => panic!("accepted, but it is {faults:?}"),
        (Err(refusal), Ok(envelope)) => panic!("refused as {}, but it is {envelope:?}", refusal.name()),
    }
    compare_with_serde_json(bytes, &naive);
}

/// The third voice: what is JSON at all, and what strings say. It knows no limits.
fn compare_with_serde_json(bytes: &[u8], naive: &Result<Envelope, Faults>) {
    let syntax = match naive {
        Ok(_) => true,
        // The reader that keeps nothing has no bound on the depth, but the stack has one.
        Err(faults) if ["too_large", "too_deep"].iter().any(|fault| faults.contains(fault)) => return,
        Err(faults) => !["not_utf8", "byte_order_mark", "not_json", "trailing_bytes"]
            .iter()
            .any(|fault| faults.contains(fault)),
    };
    // Read as text: of bytes it would not say whether a string that it skips is UTF-8.
    let read = std::str::from_utf8(bytes)
        .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    assert_eq!(read, syntax, "serde_json (left) on whether it is JSON");
    // It refuses lone surrogates, numbers beyond an f64 and depth beyond 128 where it keeps them.
    if let (Ok(envelope), Ok(value)) = (naive, serde_json::from_slice::<serde_json::Value>(bytes)) {
        assert_eq!(value["type"], envelope.event_type.as_str());
        assert_eq!(value["id"], envelope.id.as_str());
    }
}

/// Reads a message, or says all that is wrong with it as far as it could be read.
pub(crate) fn read(bytes: &[u8], limits: &MessageLimits) -> Result<Envelope, Faults> {
    if bytes.len() > limits.max_message {
        return Err(Faults::from(["too_large"]));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(Faults::from(["not_utf8"]));
    };
    if text.starts_with('\u{feff}') {
        return Err(Faults::from(["byte_order_mark"]));
    }
    let mut reader = Reader {
        chars: text.char_indices().collect(),
        end: text.len(),
        at: 0,
        max_depth: limits.max_depth.min(MessageLimits::MOST_DEPTH),
        members: Vec::new(),
        faults: Faults::new(),
    };
    reader.message();
    reader.verdict()
}

/// A member of the envelope, as soon as its name is read: what is wrong with it may stand before what is no JSON.
struct Member {
    name: Vec<u16>,
    value: Value,
    place: Range<usize>,
}

enum Value {
    /// It begins as a string, and is not read to its end.
    Begun,
    String(Vec<u16>),
    Other,
}

struct Reader {
    chars: Vec<(usize, char)>,
    end: usize,
    at: usize,
    max_depth: usize,
    members: Vec<Member>,
    faults: Faults,
}

/// `None`: it is not JSON from here on.
type Parsed<T = ()> = Option<T>;

impl Reader {
    fn message(&mut self) {
        self.space();
        if self.next() != Some('{') {
            self.faults.insert("not_an_object");
        }
        if self.value(1).is_none() {
            self.faults.insert("not_json");
            return;
        }
        self.space();
        if self.next().is_some() {
            self.faults.insert("trailing_bytes");
        }
        for (name, fault) in [("type", "missing_member"), ("id", "missing_member")] {
            if !self.members.iter().any(|member| is(&member.name, name)) {
                self.faults.insert(fault);
            }
        }
    }

    fn verdict(mut self) -> Result<Envelope, Faults> {
        let mut strings = Vec::new();
        for name in ["type", "id", "payload"] {
            let found: Vec<&Member> = self.members.iter().filter(|member| is(&member.name, name)).collect();
            if found.len() > 1 {
                self.faults.insert("repeated_member");
            }
            if name == "payload" {
                continue;
            }
            for member in found {
                match &member.value {
                    Value::Begun => {}
                    Value::Other => _ = self.faults.insert("not_a_string"),
                    Value::String(units) => match String::from_utf16(units) {
                        Err(_) => _ = self.faults.insert("lone_surrogate"),
                        Ok(value) if value.is_empty() && name == "type" => {
                            _ = self.faults.insert("empty_type")
                        }
                        Ok(value) => strings.push(value),
                    },
                }
            }
        }
        if self.members.iter().any(|member| member.name.starts_with(&[u16::from(b'_'); 2])) {
            self.faults.insert("reserved_member");
        }
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let payload = self.members.iter().find(|member| is(&member.name, "payload"));
        let payload = payload.map(|member| member.place.clone());
        let [event_type, id] = strings.try_into().expect("one type and one id");
        Ok(Envelope { event_type, id, payload })
    }

    fn next(&self) -> Option<char> {
        self.chars.get(self.at).map(|&(_, char)| char)
    }

    /// The byte at which the next character begins.
    fn place(&self) -> usize {
        self.chars.get(self.at).map_or(self.end, |&(place, _)| place)
    }

    fn take(&mut self, wanted: char) -> Parsed {
        let found = self.next() == Some(wanted);
        self.at += usize::from(found);
        found.then_some(())
    }

    fn space(&mut self) {
        while matches!(self.next(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    /// One value, the white space before it taken; what it says, if it is a string. An object or array in this
    /// place is so deep.
    fn value(&mut self, depth: usize) -> Parsed<Option<Vec<u16>>> {
        match self.next()? {
            '"' => return self.string().map(Some),
            bracket @ ('{' | '[') => {
                if depth > self.max_depth {
                    self.faults.insert("too_deep");
                    // This reader's own stack has a bound, too.
                    if depth > MessageLimits::MOST_DEPTH {
                        return None;
                    }
                }
                if bracket == '{' { self.object(depth)? } else { self.array(depth)? }
            }
            't' => "true".chars().try_for_each(|char| self.take(char))?,
            'f' => "false".chars().try_for_each(|char| self.take(char))?,
            'n' => "null".chars().try_for_each(|char| self.take(char))?,
            _ => self.number()?,
        }
        Some(None)
    }

    fn object(&mut self, depth: usize) -> Parsed {
        self.take('{')?;
        self.space();
        if self.take('}').is_some() {
            return Some(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.take(':')?;
            self.space();
            let start = self.place();
            if depth == 1 {
                let value = if self.next() == Some('"') { Value::Begun } else { Value::Other };
                self.members.push(Member { name, value, place: start..start });
            }
            let string = self.value(depth + 1)?;
            let end = self.place();
            if depth == 1 {
                let member = self.members.last_mut().expect("the one just pushed");
                member.value = string.map_or(Value::Other, Value::String);
                member.place.end = end;
            }
            self.space();
            if self.take('}').is_some() {
                return Some(());
            }
            self.take(',')?;
        }
    }

    fn array(&mut self, depth: usize) -> Parsed {
        self.take('[')?;
        self.space();
        if self.take(']').is_some() {
            return Some(());
        }
        loop {
            self.space();
            self.value(depth + 1)?;
            self.space();
            if self.take(']').is_some() {
                return Some(());
            }
            self.take(',')?;
        }
    }

    fn string(&mut self) -> Parsed<Vec<u16>> {
        self.take('"')?;
        let mut units = Vec::new();
        loop {
            let char = self.next()?;
            self.at += 1;
            match char {
                '"' => return Some(units),
                '\\' => {
                    let escaped = self.next()?;
                    self.at += 1;
                    units.push(match escaped {
                        '"' | '\\' | '/' => escaped as u16,
                        'b' => 8,
                        'f' => 12,
                        'n' => 10,
                        'r' => 13,
                        't' => 9,
                        'u' => {
                            let mut unit = 0;
                            for _ in 0..4 {
                                unit = unit * 16 + u16::try_from(self.next()?.to_digit(16)?).ok()?;
                                self.at += 1;
                            }
                            unit
                        }
                        _ => return None,
                    });
                }
                '\0'..='\x1f' => return None,
                plain => units.extend_from_slice(plain.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn number(&mut self) -> Parsed {
        _ = self.take('-');
        if self.take('0').is_none() {
            self.digits()?;
        }
        if self.take('.').is_some() {
            self.digits()?;
        }
        if self.take('e').or_else(|| self.take('E')).is_some() {
            _ = self.take('+').or_else(|| self.take('-'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Parsed {
        let start = self.at;
        while matches!(self.next(), Some('0'..='9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

fn is(name: &[u16], expected: &str) -> bool {
    name.iter().copied().eq(expected.encode_utf16())
}
