//! Where the plain part of a string ends: at the first byte that is `"`, `\` or a control character.
//!
//! Most of an envelope is the inside of strings, so they are read in words of eight bytes, and long ones in blocks
//! that the compiler makes vectors of.

/// What is left behind what is plain.
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

/// The same where there may be much more of it, or where fewer than eight bytes are left.
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

/// So many words are looked at where the string is read: names, most ids and dates are no longer.
const SHORT: usize = 2;
const BLOCK: usize = 64;

#[inline(always)]
fn first(special: u64) -> usize {
    (special.trailing_zeros() / 8) as usize
}

/// What is left behind digits.
#[inline(always)]
pub(super) fn past_digits(mut left: &[u8]) -> &[u8] {
    while let Some((word, behind)) = left.split_first_chunk() {
        let others = no_digits(u64::from_le_bytes(*word));
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

fn no_digits(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let value = word ^ (ONES * 0x30);
    (value.wrapping_add(ONES * 0x76) | value) & (ONES * 0x80)
}

/// The high bit of each byte that is `"`, `\` or a control character. Behind the first of them it may be set for
/// other bytes, too: what is borrowed there is not given back.
#[inline(always)]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound));
    // `"` and a space change places with what is beside them, and `"` is the first byte behind the control
    // characters: one comparison for both.
    let quote_or_control = below(word ^ (ONES * 2), 0x21);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    (quote_or_control | backslash) & !word & (ONES * 0x80)
}

/// Whether no byte of the block is special. Minima of differences, as every vector unit has them.
#[inline(always)]
fn is_plain(block: &[u8; BLOCK]) -> bool {
    let distance = |byte: &u8| (byte ^ 2).saturating_sub(0x20).min(byte ^ b'\\');
    block.iter().map(distance).fold(u8::MAX, u8::min) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for filler in [b'a', b'!', 0x20, 0x7f, 0x80, 0xff, b'#', b'[', b']', 2, 0x22] {
                for length in [1, 7, 8, 9, 40, 48, 111] {
                    for place in 0..length {
                        let mut bytes = vec![filler; length];
                        bytes[place] = special;
                        for at in 0..=length {
                            let is_special = |byte: &u8| *byte < 0x20 || b"\"\\".contains(byte);
                            let rest = bytes[at..].iter().position(is_special).unwrap_or(length - at);
                            assert_eq!(
                                past_plain(&bytes[at..]).len(),
                                length - at - rest,
                                "from {at} in {bytes:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
