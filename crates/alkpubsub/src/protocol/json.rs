//! Reads past JSON text (RFC 8259) without building anything from it.
//!
//! A hub must know that a payload is JSON before it passes it on, and needs nothing of what is in it. So this is
//! a validator: it walks the text once, allocates nothing, and says where a value ends or where and why it is
//! none. A reader that builds values costs several times as much; one that skips them (serde_json's `IgnoredAny`)
//! costs as much as this one, but has no bound on the depth and takes memory for it. `docs/adr/0003` has the
//! figures, and the tests hold this one against it.

/// Why a text is not JSON, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    Syntax(usize),
    TooDeep,
}

/// Walks over one text. `at` is the next byte to read.
pub(crate) struct Scanner<'t> {
    pub(crate) text: &'t str,
    pub(crate) at: usize,
    pub(crate) max_depth: usize,
}

type Scanned<T = ()> = Result<T, JsonError>;

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str, max_depth: usize) -> Self {
        Self { text, at: 0, max_depth }
    }

    /// The next byte that is not white space, not consumed.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Scanned {
        if self.peek() != Some(byte) {
            return self.syntax();
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes the byte if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn syntax<T>(&self) -> Scanned<T> {
        Err(JsonError::Syntax(self.at))
    }

    /// Reads past one value; `depth` is that of what holds it. Gives the value's text.
    pub(crate) fn value(&mut self, depth: usize) -> Scanned<&'t str> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => drop(self.string()?),
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return self.syntax(),
        }
        Ok(&self.text[start..self.at])
    }

    fn object(&mut self, depth: usize) -> Scanned {
        self.enter(depth)?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.syntax();
            }
            self.string()?;
            self.expect(b':')?;
            self.value(depth)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn array(&mut self, depth: usize) -> Scanned {
        self.enter(depth)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Past an opening bracket, if the depth allows.
    fn enter(&mut self, depth: usize) -> Scanned {
        if depth > self.max_depth {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads past a string that begins at `at`; gives what stands between its quotes, escapes as they are.
    pub(crate) fn string(&mut self) -> Scanned<RawString<'t>> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_prefix(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(RawString { text, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                // A control character, or the end of the text.
                _ => return self.syntax(),
            }
        }
    }

    fn escape(&mut self) -> Scanned {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return self.syntax();
                }
                self.at += 6;
            }
            _ => return self.syntax(),
        }
        Ok(())
    }

    fn number(&mut self) -> Scanned {
        let bytes = self.text.as_bytes();
        self.at += usize::from(bytes[self.at] == b'-');
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scanned {
        let rest = &self.text.as_bytes()[self.at..];
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => self.syntax(),
            some => {
                self.at += some;
                Ok(())
            }
        }
    }

    fn word(&mut self, word: &str) -> Scanned {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.syntax();
        }
        self.at += word.len();
        Ok(())
    }
}

/// How many bytes at the front are neither `"`, `\` nor a control character. Eight at a time: most of an
/// envelope is the inside of strings.
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // Sets the high bit of every zero byte (and, after a zero byte, perhaps of others: the first one is exact).
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let special =
            control | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len())
}

/// What stands between a string's quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawString<'t> {
    pub(crate) text: &'t str,
    pub(crate) escaped: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text, 64);
        scanner.value(0).is_ok() && scanner.peek().is_none()
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
        assert_eq!(Scanner::new(&nested(65), 64).value(0), Err(JsonError::TooDeep));
        assert_eq!(Scanner::new(&"[".repeat(1 << 20), 64).value(0), Err(JsonError::TooDeep));
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for before in 0..40 {
                for filler in [b'a', b'!', 0x20, 0x7f, 0x80, 0xff, b'#', b'[', b']'] {
                    let mut bytes = vec![filler; 48];
                    assert_eq!(plain_prefix(&bytes), 48);
                    bytes[before] = special;
                    assert_eq!(plain_prefix(&bytes), before, "{special} after {before} of {filler}");
                }
            }
        }
    }
}
