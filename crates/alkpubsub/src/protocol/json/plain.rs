//! Runs of bytes that need no look one by one: the plain part of strings, and digits.
//!
//! Most of an envelope is the inside of strings. They are read in words of eight bytes, and long ones in blocks that
//! the compiler makes vectors of.

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES * 0x80;

/// So many words are looked at where a string is read: names, most ids and dates are no longer.
const SHORT: usize = 2;

const BLOCK: usize = 64;

/// From the first byte on that is `"`, `\` or a control character.
#[inline(always)]
pub(crate) fn past_plain(mut left: &[u8]) -> &[u8] {
    for _ in 0..SHORT {
        let Some((word, behind)) = left.split_first_chunk() else { break };
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return &left[first(special)..];
        }
        left = behind;
    }
    past_long_plain(left)
}

/// The same where there may be much to come, or where fewer than eight bytes are left.
#[inline(never)]
fn past_long_plain(left: &[u8]) -> &[u8] {
    let (blocks, _) = left.as_chunks();
    let plain = blocks.iter().take_while(|block| is_plain(block)).count();
    let mut left = &left[BLOCK * plain..];
    while let Some((word, behind)) = left.split_first_chunk() {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return &left[first(special)..];
        }
        left = behind;
    }
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    &left[left.iter().position(is_special).unwrap_or(left.len())..]
}

/// From the first byte on that is no digit.
#[inline(always)]
pub(super) fn past_digits(mut left: &[u8]) -> &[u8] {
    while let Some((word, behind)) = left.split_first_chunk() {
        let others = not_digits(u64::from_le_bytes(*word));
        if others != 0 {
            return &left[first(others)..];
        }
        left = behind;
    }
    while let [b'0'..=b'9', behind @ ..] = left {
        left = behind;
    }
    left
}

// The marks below are the high bits of a word's bytes, the first byte's lowest. The first one that is set is exact;
// others behind it may be set as well, as what is carried or borrowed runs on in that direction.

/// Marks `"`, `\` and control characters.
#[inline(always)]
fn specials(word: u64) -> u64 {
    // With that bit turned, `"` stands where the space stood, behind the last control character, and the space
    // further on: one comparison finds both.
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGH
}

/// Marks all but `0` to `9`.
#[inline(always)]
fn not_digits(word: u64) -> u64 {
    let value = word ^ (ONES * 0x30);
    (value.wrapping_add(ONES * (0x80 - 10)) | value) & HIGH
}

#[inline(always)]
fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Whether there is no `"`, `\` or control character. The least of some differences: every vector unit has what
/// that takes, and it needs no branch.
#[inline(always)]
fn is_plain(block: &[u8; BLOCK]) -> bool {
    let difference = |byte: &u8| (byte ^ 0x02).saturating_sub(0x20).min(byte ^ 0x5c);
    block.iter().map(difference).fold(u8::MAX, u8::min) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with a look at each byte: a run of a filler from each place on, up to `odd` at each other place.
    fn compare(
        past: fn(&[u8]) -> &[u8],
        belongs: impl Fn(u8) -> bool,
        odd: &[u8],
        fillers: &[u8],
        lengths: &[usize],
    ) {
        for &filler in fillers {
            for &odd in odd {
                for &length in lengths {
                    let mut bytes = vec![filler; length];
                    for place in 0..length {
                        bytes[place] = odd;
                        for from in [0, 1, 2, 3, 4, 5, 6, 7, place.saturating_sub(1), place, place + 1] {
                            let Some(left) = bytes.get(from..) else { continue };
                            let run = left.iter().take_while(|byte| belongs(**byte)).count();
                            assert_eq!(past(left), &left[run..], "from {from} in {bytes:?}");
                        }
                        bytes[place] = filler;
                    }
                }
            }
        }
    }

    #[test]
    fn a_string_is_plain_up_to_its_first_special_byte() {
        let belongs = |byte| byte >= 0x20 && byte != b'"' && byte != b'\\';
        let all: Vec<u8> = (0..=255).collect();
        compare(past_plain, belongs, &all, &[b'a', b']', 0xff], &[9, 17, 25]);
        let fillers = [b' ', b'!', b'#', b'[', 0x7f, 0x80, b'"', 0x1f];
        compare(past_plain, belongs, &[b'"', b'\\', 0, 0x1f], &fillers, &[1, 7, 8, 90, 150]);
    }

    /// So that no bit of a byte is forgotten where bytes are looked at by the dozen.
    #[test]
    fn a_long_string_is_plain_up_to_its_first_special_byte() {
        for byte in 0..=255 {
            for place in [0, 15, 16, 40, 79, 80, 100, 144, 145] {
                let mut bytes = [b'x'; 150];
                bytes[place] = byte;
                let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(
                    past_plain(&bytes).len(),
                    if special { 150 - place } else { 0 },
                    "{byte} at {place}"
                );
            }
        }
    }

    #[test]
    fn digits_end_at_the_first_byte_that_is_none() {
        let all: Vec<u8> = (0..=255).collect();
        compare(past_digits, |byte| byte.is_ascii_digit(), &all, b"09", &[1, 7, 8, 9, 20]);
        compare(past_digits, |byte| byte.is_ascii_digit(), b"5", b"/:\xb5\xff", &[1, 8, 20]);
    }
}
