//! Reads past JSON text (RFC 8259) without building anything from it.
//!
//! A hub must know that a payload is JSON before it passes it on, and needs nothing of what is in it. So this is
//! a validator: it walks the text once, allocates nothing, and says where a value ends or where and why it is
//! none. A reader that builds values costs several times as much; one that skips them (serde_json's `IgnoredAny`)
//! costs as much as this one, but has no bound on the depth and takes memory for it. `docs/adr/0003` has the
//! figures, and the tests hold this one against it.

mod plain;

use plain::end_of_plain;

/// Why a text is not JSON that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// It is none from this byte on.
    Syntax { at: usize },
    /// It nests deeper than this.
    TooDeep { limit: usize },
}

type Scanned<T = usize> = Result<T, JsonError>;

/// A text to be read. Nothing moves in it: each function is told where to begin and says where it came to.
pub(crate) struct Json<'t> {
    text: &'t str,
    max_depth: usize,
}

impl<'t> Json<'t> {
    pub(crate) fn new(text: &'t str, max_depth: usize) -> Self {
        Self { text, max_depth }
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is not white space. `at` moves there, or to the end.
    #[inline(always)]
    pub(crate) fn peek(&self, at: &mut usize) -> Option<u8> {
        let byte = *self.bytes().get(*at)?;
        if byte > b' ' {
            return Some(byte);
        }
        *at = past_space(self.bytes(), *at);
        self.bytes().get(*at).copied()
    }

    /// The place behind the next byte, which has to be this one.
    #[inline(always)]
    pub(crate) fn expect(&self, byte: u8, mut at: usize) -> Scanned {
        if self.peek(&mut at) == Some(byte) { Ok(at + 1) } else { syntax(at) }
    }

    /// An object or array inside so many others.
    pub(crate) fn check_depth(&self, outside: usize) -> Scanned<()> {
        if outside < self.max_depth { Ok(()) } else { Err(JsonError::TooDeep { limit: self.max_depth }) }
    }

    /// The place behind a value that stands in so many objects and arrays.
    pub(crate) fn value(&self, mut at: usize, outside: usize) -> Scanned {
        let mut open = Open::NOTHING;
        let full = Open::full(self.max_depth - outside);
        loop {
            if open.in_object() {
                at = self.name(at)?;
            }
            match self.peek(&mut at) {
                Some(b'"') => at = self.string(at)?.after,
                Some(bracket @ (b'{' | b'[')) => {
                    if open >= full {
                        at = self.deeper(at, outside + open.count())?;
                    } else {
                        open.push(bracket == b'{');
                        at += 1;
                        // `}` and `]` are two behind `{` and `[`.
                        if self.peek(&mut at) != Some(bracket + 2) {
                            continue;
                        }
                        open.pop();
                        at += 1;
                    }
                }
                Some(b'-' | b'0'..=b'9') => at = number(self.bytes(), at)?,
                Some(b't') => at = word("true", self.bytes(), at)?,
                Some(b'f') => at = word("false", self.bytes(), at)?,
                Some(b'n') => at = word("null", self.bytes(), at)?,
                _ => return syntax(at),
            }
            // Behind a value stands the next one, or the end of what holds it, which is then a value itself.
            loop {
                if open == Open::NOTHING {
                    return Ok(at);
                }
                match self.peek(&mut at) {
                    Some(b',') => {
                        at += 1;
                        break;
                    }
                    Some(bracket @ (b'}' | b']')) if (bracket == b'}') == open.in_object() => {
                        open.pop();
                        at += 1;
                    }
                    _ => return syntax(at),
                }
            }
        }
    }

    /// Where no more brackets can be counted, a call counts on.
    #[cold]
    fn deeper(&self, at: usize, outside: usize) -> Scanned {
        self.check_depth(outside)?;
        self.value(at, outside)
    }

    /// The place behind a member's name and its colon.
    #[inline(always)]
    fn name(&self, mut at: usize) -> Scanned {
        if self.peek(&mut at) != Some(b'"') {
            return syntax(at);
        }
        let end = end_of_plain(self.bytes(), at + 1);
        // Mostly nothing stands between the two.
        match self.behind(br#"":"#, end) {
            Some(behind) => Ok(behind),
            None => self.expect(b':', self.string_from(end)?),
        }
    }

    /// The place behind these very bytes, if they stand there.
    #[inline(always)]
    pub(crate) fn behind<const N: usize>(&self, wanted: &[u8; N], at: usize) -> Option<usize> {
        (self.bytes()[at..].first_chunk() == Some(wanted)).then_some(at + N)
    }

    /// The string that begins with the quote at `at`.
    #[inline(always)]
    pub(crate) fn string(&self, at: usize) -> Scanned<RawString<'t>> {
        let end = self.plain_end(at + 1);
        let escaped = self.bytes().get(end) == Some(&b'\\');
        Ok(RawString { text: self.text, start: at + 1, after: self.string_from(end)?, escaped })
    }

    #[inline(always)]
    pub(crate) fn plain_end(&self, at: usize) -> usize {
        end_of_plain(self.bytes(), at)
    }

    /// The place behind a string whose plain beginning ends here.
    #[inline(always)]
    fn string_from(&self, end: usize) -> Scanned {
        match self.bytes().get(end) {
            Some(b'"') => Ok(end + 1),
            Some(b'\\') => past_escapes(self.bytes(), end),
            // A control character, or the end of the text.
            _ => syntax(end),
        }
    }
}

/// A string as it lies in its text.
#[derive(Clone, Copy)]
pub(crate) struct RawString<'t> {
    text: &'t str,
    start: usize,
    /// The place behind its closing quote.
    pub(crate) after: usize,
    pub(crate) escaped: bool,
}

impl<'t> RawString<'t> {
    /// What stands between its quotes, escapes as they are.
    #[inline(always)]
    pub(crate) fn inside(self) -> &'t str {
        &self.text[self.start..self.after - 1]
    }
}

/// Which brackets are open: a bit for each, the innermost lowest, set where it is an object's. Above them stands one
/// that is always set.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Open(u64);

impl Open {
    /// The lowest bit says that there is no object.
    const NOTHING: Self = Self(0b10);

    fn in_object(self) -> bool {
        self.0 & 1 == 1
    }

    fn count(self) -> usize {
        62 - self.0.leading_zeros() as usize
    }

    /// No more than so many, and no more than there is room for. One that is no less is full.
    fn full(most: usize) -> Self {
        Self(Self::NOTHING.0 << most.min(62))
    }

    fn push(&mut self, is_object: bool) {
        self.0 = self.0 << 1 | u64::from(is_object);
    }

    fn pop(&mut self) {
        self.0 >>= 1;
    }
}

#[inline(always)]
fn syntax<T>(at: usize) -> Scanned<T> {
    Err(JsonError::Syntax { at })
}

#[inline(never)]
fn past_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The place behind a string, from an escape in it on.
#[inline(never)]
fn past_escapes(bytes: &[u8], mut at: usize) -> Scanned {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = end_of_plain(bytes, past_escape(bytes, at)?),
            _ => return syntax(at),
        }
    }
}

fn past_escape(bytes: &[u8], at: usize) -> Scanned {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = bytes.get(at + 2..at + 6);
            let all = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            if all { Ok(at + 6) } else { syntax(at) }
        }
        _ => syntax(at),
    }
}

fn number(bytes: &[u8], mut at: usize) -> Scanned {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// At least one digit.
#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> Scanned {
    let mut at = start;
    while let Some(word) = bytes[at..].first_chunk() {
        let others = no_digits(u64::from_le_bytes(*word));
        if others != 0 {
            at += (others.trailing_zeros() / 8) as usize;
            return if at > start { Ok(at) } else { syntax(at) };
        }
        at += 8;
    }
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    if at > start { Ok(at) } else { syntax(at) }
}

fn no_digits(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let value = word ^ (ONES * 0x30);
    (value.wrapping_add(ONES * 0x76) | value) & (ONES * 0x80)
}

fn word(word: &str, bytes: &[u8], at: usize) -> Scanned {
    if bytes[at..].starts_with(word.as_bytes()) { Ok(at + word.len()) } else { syntax(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str) -> bool {
        let json = Json::new(text, 64);
        json.value(0, 0).is_ok_and(|mut at| json.peek(&mut at).is_none())
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json() {
        let cases = [
            "0",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1.5e10",
            "1e",
            "1e+",
            "1E-7",
            "+1",
            "0x1",
            "NaN",
            "Infinity",
            "tru",
            "true",
            "truex",
            "null",
            "nul",
            "\"\"",
            "\"",
            "\"\\\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"a\tb\"",
            "\"a\u{1f}b\"",
            "\"\u{7f}\"",
            "\"\u{e9}\u{1f600}\"",
            "[]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1,2]",
            "{}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}",
            "{a:1}",
            "{1:1}",
            "{\"a\" : [ { } ] }",
            "",
            " ",
            " 1 ",
            "1 1",
            "\u{feff}1",
            "'a'",
            "/**/1",
            "[1]]",
            "{\"a\":1}}",
            "\"abcdefgh\\nijklmnop\"",
            "1e400",
            "123456789012345678901234567890",
            "[[[[]]]]",
            "\"\u{0}\"",
            "\u{a0}1",
            "\u{b}1",
        ];
        for case in cases {
            // An untyped reader of serde_json's refuses lone surrogates and numbers out of range, which are
            // nobody's business here; `IgnoredAny` does not look at them.
            let known = serde_json::from_str::<serde::de::IgnoredAny>(case).is_ok();
            assert_eq!(is_json(case), known, "{case:?}");
        }
    }

    #[test]
    fn the_depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(&nested(64)));
        assert_eq!(Json::new(&nested(65), 64).value(0, 0), Err(JsonError::TooDeep { limit: 64 }));
        assert_eq!(Json::new(&"[".repeat(1 << 20), 64).value(0, 0), Err(JsonError::TooDeep { limit: 64 }));
    }
}
