//! Strings of JSON and the texts that they stand for, and numbers. Without `core::fmt`, which is the larger part of a
//! small WebAssembly module.

use std::borrow::Cow;

/// Undoes the escapes of a string whose syntax was checked; `None` where it holds a lone surrogate.
pub(crate) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.bytes().any(|byte| byte == b'\\') {
        return Some(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    let mut left = raw;
    while let Some(at) = left.bytes().position(|byte| byte == b'\\') {
        let escape = &left[at + 1..];
        text.push_str(&left[..at]);
        let (character, length) = match escape.as_bytes().first()? {
            b'u' => unicode_escape(escape)?,
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            itself => (char::from(*itself), 1),
        };
        text.push(character);
        left = escape.get(length..)?;
    }
    text.push_str(left);
    Some(Cow::Owned(text))
}

/// The character of `uXXXX`, or of `uXXXX\uXXXX` for one that takes two units, and how long that is.
fn unicode_escape(escape: &str) -> Option<(char, usize)> {
    let first = unit(escape.get(1..5)?)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, 5));
    }
    let second = unit(escape.get(5..)?.strip_prefix("\\u")?.get(..4)?)?;
    let low = u32::from(second).checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    // Where the first is a low one itself, this is beyond the last character.
    let character = char::from_u32(0x10000 + ((u32::from(first) - 0xd800) << 10) + low)?;
    Some((character, 11))
}

fn unit(digits: &str) -> Option<u16> {
    u16::from_str_radix(digits, 16).ok()
}

/// Appends a text as a string of JSON.
pub(crate) fn push_quoted(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        let escape = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            control @ '\0'..' ' => {
                let digit = |value: u32| char::from_digit(value, 16).unwrap_or('0');
                json.push_str("\\u00");
                json.push(digit(u32::from(control) >> 4));
                json.push(digit(u32::from(control) & 15));
                continue;
            }
            plain => {
                json.push(plain);
                continue;
            }
        };
        json.push_str(escape);
    }
    json.push('"');
}

/// Appends a number.
pub(crate) fn push_number(json: &mut String, number: u64) {
    if number > 9 {
        push_number(json, number / 10);
    }
    json.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(text: &str) -> String {
        let mut json = String::new();
        push_quoted(&mut json, text);
        json
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_json_does(text in "(?s)[\0-\u{7f}\u{e9}\u{1f600}]{0,12}") {
            prop_assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn a_number_is_written_as_it_is_read(number: u64, shift in 0..64) {
            let number = number >> shift;
            let mut json = String::new();
            push_number(&mut json, number);
            prop_assert_eq!(json, number.to_string());
        }

        #[test]
        fn what_is_written_is_read(text: String) {
            let json = quoted(&text);
            let read = unescape(&json[1..json.len() - 1]);
            prop_assert_eq!(read.as_deref(), Some(&*text));
        }

        #[test]
        fn escapes_are_undone_as_serde_json_does(
            escapes in prop::collection::vec(
                prop_oneof![
                    "[a-z\u{e9}\u{1f600}]",
                    r#"\\["\\/bfnrt]"#,
                    r"\\u00[0-9a-fA-F]{2}",
                    r"\\u[0-9a-fA-F]{4}",
                    r"\\u[dD][89abAB][0-9a-f]{2}",
                    r"\\u[dD][c-fC-F][0-9a-f]{2}",
                ],
                0..6,
            ),
        ) {
            let raw = escapes.concat();
            let known = serde_json::from_str::<String>(&format!("\"{raw}\"")).ok();
            prop_assert_eq!(unescape(&raw).map(Cow::into_owned), known);
        }
    }
}
