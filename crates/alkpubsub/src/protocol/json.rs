//! Reads past JSON text (RFC 8259) without building anything from it.
//!
//! A hub must know that a payload is JSON before it passes it on, and needs nothing of what is in it. So this is
//! a validator: it walks the text once, allocates nothing, and says where a value ends or where and why it is
//! none. A reader that builds values costs several times as much; one that skips them (serde_json's `IgnoredAny`)
//! up to twice as much, has no bound on the depth and takes memory for it. `docs/adr/0003` has the figures, and
//! the tests hold this one against it.

mod members;
mod plain;
mod text;

pub(crate) use members::members;
use plain::past_digits;
pub(crate) use plain::past_plain;
pub(crate) use text::{push_number, push_quoted, unescape};

/// Why a text is not JSON that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// It is none from this byte on.
    Syntax { at: usize },
    /// It nests deeper than this.
    TooDeep { limit: usize },
}

/// What is left of the text, or why it was not read on.
type Scanned<'t> = Result<&'t [u8], JsonError>;

/// A text to be read. Nothing moves in it: each function is given what is left of the text, and gives what is left
/// behind it.
pub(crate) struct Json<'t> {
    text: &'t str,
    max_depth: usize,
}

impl<'t> Json<'t> {
    pub(crate) fn new(text: &'t str, max_depth: usize) -> Self {
        Self { text, max_depth }
    }

    /// Where it stands in the text.
    pub(crate) fn at(&self, left: &[u8]) -> usize {
        self.text.len() - left.len()
    }

    /// The text from one place to another, which stand at characters' ends.
    #[inline(always)]
    pub(crate) fn between(&self, from: &[u8], to: &[u8]) -> &'t str {
        &self.text[self.at(from)..self.at(to)]
    }

    pub(crate) fn syntax<T>(&self, left: &[u8]) -> Result<T, JsonError> {
        Err(JsonError::Syntax { at: self.at(left) })
    }

    /// An object or array inside so many others.
    pub(crate) fn check_depth(&self, outside: usize) -> Result<(), JsonError> {
        if outside < self.max_depth { Ok(()) } else { Err(JsonError::TooDeep { limit: self.max_depth }) }
    }

    /// A value that stands in so many objects and arrays.
    pub(crate) fn value(&self, mut left: &'t [u8], outside: usize) -> Scanned<'t> {
        let mut open = Open::NOTHING;
        let full = Open::full(self.max_depth - outside);
        loop {
            if open.in_object() {
                left = self.name(left)?;
            }
            left = past_space(left);
            left = match left {
                [b'"', inside @ ..] => self.string_end(past_plain(inside))?,
                [b'{' | b'[', ..] if open >= full => self.deeper(left, outside + open.count())?,
                [bracket @ (b'{' | b'['), inside @ ..] => match past_space(inside) {
                    // `}` and `]` are two behind `{` and `[`.
                    [closing, behind @ ..] if *closing == bracket + 2 => behind,
                    inside => {
                        open.push(*bracket == b'{');
                        left = inside;
                        continue;
                    }
                },
                [b'-' | b'0'..=b'9', ..] => self.number(left)?,
                [b't', ..] => self.word(b"true", left)?,
                [b'f', ..] => self.word(b"false", left)?,
                [b'n', ..] => self.word(b"null", left)?,
                _ => return self.syntax(left),
            };
            // Behind a value stands the next one, or the end of what holds it, which is then a value itself.
            loop {
                if open == Open::NOTHING {
                    return Ok(left);
                }
                match left {
                    [b' ' | b'\t' | b'\n' | b'\r', behind @ ..] => left = behind,
                    [b',', behind @ ..] => {
                        left = behind;
                        break;
                    }
                    [bracket @ (b'}' | b']'), behind @ ..] if (*bracket == b'}') == open.in_object() => {
                        open.pop();
                        left = behind;
                    }
                    _ => return self.syntax(left),
                }
            }
        }
    }

    /// Where no more brackets can be counted, a call counts on.
    #[cold]
    fn deeper(&self, left: &'t [u8], outside: usize) -> Scanned<'t> {
        self.check_depth(outside)?;
        self.value(left, outside)
    }

    /// A member's name and its colon.
    #[inline(always)]
    fn name(&self, left: &'t [u8]) -> Scanned<'t> {
        let left = past_space(left);
        let [b'"', inside @ ..] = left else { return self.syntax(left) };
        let end = past_plain(inside);
        // Mostly nothing stands between the two.
        if let Some(behind) = end.strip_prefix(br#"":"#) {
            return Ok(behind);
        }
        self.colon(self.string_end(end)?)
    }

    pub(crate) fn colon(&self, left: &'t [u8]) -> Scanned<'t> {
        match past_space(left) {
            [b':', behind @ ..] => Ok(behind),
            left => self.syntax(left),
        }
    }

    /// A string that is wanted, from behind its opening quote.
    pub(crate) fn string(&self, inside: &'t [u8]) -> Result<(RawString<'t>, &'t [u8]), JsonError> {
        let end = past_plain(inside);
        let left = self.string_end(end)?;
        let text = &self.text[self.at(inside)..self.at(left) - 1];
        Ok((RawString { text, escaped: end.first() == Some(&b'\\') }, left))
    }

    /// The rest of a string, from where it is no longer plain.
    #[inline(always)]
    fn string_end(&self, left: &'t [u8]) -> Scanned<'t> {
        match left {
            [b'"', behind @ ..] => Ok(behind),
            [b'\\', ..] => self.escaped_end(left),
            // A control character, or the end of the text.
            _ => self.syntax(left),
        }
    }

    /// The rest of a string, from an escape in it on.
    #[inline(never)]
    fn escaped_end(&self, mut left: &'t [u8]) -> Scanned<'t> {
        loop {
            left = match left {
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => behind,
                [b'\\', b'u', a, b, c, d, behind @ ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    behind
                }
                [b'"', behind @ ..] => return Ok(behind),
                _ => return self.syntax(left),
            };
            left = past_plain(left);
        }
    }

    fn number(&self, mut left: &'t [u8]) -> Scanned<'t> {
        if let [b'-', behind @ ..] = left {
            left = behind;
        }
        left = match left {
            [b'0', behind @ ..] => behind,
            _ => self.digits(left)?,
        };
        if let [b'.', behind @ ..] = left {
            left = self.digits(behind)?;
        }
        if let [b'e' | b'E', behind @ ..] = left {
            left = match behind {
                [b'+' | b'-', behind @ ..] => self.digits(behind)?,
                _ => self.digits(behind)?,
            };
        }
        Ok(left)
    }

    /// At least one digit.
    #[inline(always)]
    fn digits(&self, left: &'t [u8]) -> Scanned<'t> {
        let behind = past_digits(left);
        if behind.len() == left.len() { self.syntax(left) } else { Ok(behind) }
    }

    fn word(&self, word: &[u8], left: &'t [u8]) -> Scanned<'t> {
        left.strip_prefix(word).map_or_else(|| self.syntax(left), Ok)
    }
}

/// What stands between a string's quotes.
pub(crate) struct RawString<'t> {
    pub(crate) text: &'t str,
    pub(crate) escaped: bool,
}

/// Which brackets are open: a bit for each, the innermost lowest, set where it is an object's. Above them stands one
/// that is always set.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Open(u64);

impl Open {
    /// The lowest bit says that there is no object.
    const NOTHING: Self = Self(0b10);

    /// No more than so many, and no more than there is room for. One that is no less is full.
    fn full(most: usize) -> Self {
        Self(Self::NOTHING.0 << most.min(62))
    }

    fn in_object(self) -> bool {
        self.0 & 1 == 1
    }

    fn count(self) -> usize {
        62 - self.0.leading_zeros() as usize
    }

    fn push(&mut self, is_object: bool) {
        self.0 = self.0 << 1 | u64::from(is_object);
    }

    fn pop(&mut self) {
        self.0 >>= 1;
    }
}

/// What is left behind white space.
#[inline(always)]
pub(crate) fn past_space(left: &[u8]) -> &[u8] {
    match left {
        // Mostly there is none.
        [byte, ..] if *byte > b' ' => left,
        _ => past_more_space(left),
    }
}

#[inline(never)]
fn past_more_space(mut left: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', behind @ ..] = left {
        left = behind;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str) -> bool {
        let json = Json::new(text, 64);
        json.value(text.as_bytes(), 0).is_ok_and(|left| past_space(left).is_empty())
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
            "[}",
            "{]",
            "[ }",
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
        for deeper in [nested(65), "[".repeat(1 << 20)] {
            let read = Json::new(&deeper, 64).value(deeper.as_bytes(), 0);
            assert_eq!(read, Err(JsonError::TooDeep { limit: 64 }));
        }
    }

    #[test]
    fn brackets_are_matched_however_deep() {
        for depth in [1, 2, 3, 61, 62, 63, 64, 65, 124, 125, 126, 300] {
            let is_object = |level: usize| [0, 2, 3, 7].contains(&(level % 8));
            let opened: String =
                (0..depth).map(|level| if is_object(level) { r#"{"a":"# } else { "[" }).collect();
            let closed: Vec<_> =
                (0..depth).rev().map(|level| if is_object(level) { b'}' } else { b']' }).collect();
            let reads = |closing: &[u8]| {
                let text = format!("{opened}1{}", String::from_utf8_lossy(closing));
                Json::new(&text, 1024).value(text.as_bytes(), 0).map(<[u8]>::len)
            };
            assert_eq!(reads(&closed), Ok(0), "{depth}");
            for place in 0..depth {
                let mut wrong = closed.clone();
                wrong[place] ^= b'}' ^ b']';
                assert_eq!(reads(&wrong), Err(JsonError::Syntax { at: opened.len() + 1 + place }), "{depth}");
            }
            assert_eq!(
                reads(&closed[..depth - 1]),
                Err(JsonError::Syntax { at: opened.len() + depth }),
                "{depth}"
            );
        }
    }
}
