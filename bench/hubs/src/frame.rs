//! RFC 6455 as far as both ends of a benchmark need it: the opening handshake's answer, and frames.
//!
//! Written apart from the library's codec, which is what is measured: a mistake in that one is not to be made twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

/// A continuation of a message.
pub const CONTINUATION: u8 = 0;
/// A message of text.
pub const TEXT: u8 = 1;
/// A message of bytes.
pub const BINARY: u8 = 2;
/// The end, with a code.
pub const CLOSE: u8 = 8;
/// A question whether the far side is there.
pub const PING: u8 = 9;
/// Its answer.
pub const PONG: u8 = 10;

/// What a server answers to this `Sec-WebSocket-Key`.
#[must_use]
pub fn accept(key: &str) -> String {
    let digest = Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).digest();
    STANDARD.encode(digest.bytes())
}

/// A `Sec-WebSocket-Key` of its own.
#[must_use]
pub fn key() -> String {
    STANDARD.encode(fastrand::u128(..).to_ne_bytes())
}

/// The value of a header in a request or an answer, whatever the case of its name.
#[must_use]
pub fn header_value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Where a frame's payload lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether it ends its message.
    pub last: bool,
    /// What it is.
    pub opcode: u8,
    /// What it is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the header.
    pub size: usize,
    /// Bytes of the payload.
    pub payload: usize,
}

impl Header {
    /// The header that `bytes` begin with; `None` if there are not enough of them.
    ///
    /// # Errors
    ///
    /// Reserved bits are set, or the length is beyond any memory.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err("a frame with reserved bits");
        }
        let (digits, payload) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                let long = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (
                    8,
                    usize::try_from(long)
                        .ok()
                        .filter(|n| *n < 1 << 32)
                        .ok_or("a frame of more than 4 GiB")?,
                )
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (0, usize::from(short)),
        };
        let mask = match (second & 0x80 != 0, rest.get(digits..digits + 4)) {
            (false, _) => None,
            (true, Some(mask)) => Some([mask[0], mask[1], mask[2], mask[3]]),
            (true, None) => return Ok(None),
        };
        let size = 2 + digits + if mask.is_some() { 4 } else { 0 };
        Ok(Some(Self { last: first & 0x80 != 0, opcode: first & 0xf, mask, size, payload }))
    }
}

/// Appends the header of an unfragmented frame.
pub fn put_header(out: &mut Vec<u8>, opcode: u8, payload: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    if payload < 126 {
        out.push(masked | payload as u8);
    } else if let Ok(short) = u16::try_from(payload) {
        out.push(masked | 126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(payload as u64).to_be_bytes());
    }
    out.extend(mask.into_iter().flatten());
}

/// Masks or unmasks.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_never_from_a_part_of_it() {
        for payload in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let mut bytes = vec![];
                put_header(&mut bytes, TEXT, payload, mask);
                let size = bytes.len();
                let expected = Header { last: true, opcode: TEXT, mask, size, payload };
                assert_eq!(Header::parse(&bytes), Ok(Some(expected)));
                for part in 0..size {
                    assert_eq!(Header::parse(&bytes[..part]), Ok(None), "{part} of {size}");
                }
            }
        }
    }

    #[test]
    fn masking_twice_changes_nothing() {
        for length in 0..40_u8 {
            let plain: Vec<u8> = (0..length).collect();
            let mut bytes = plain.clone();
            mask(&mut bytes, [9, 7, 5, 3]);
            assert!(bytes.iter().zip(&plain).enumerate().all(|(at, (a, b))| a ^ b == [9, 7, 5, 3][at % 4]));
            mask(&mut bytes, [9, 7, 5, 3]);
            assert_eq!(bytes, plain);
        }
    }
}
