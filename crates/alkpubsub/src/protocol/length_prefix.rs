//! The frames of byte streams: four bytes of length, big-endian, then one envelope.
//!
//! For whatever carries bytes and no messages: Unix sockets, TCP, pipes, a child's stdin and stdout, a stream of
//! QUIC. Sans-IO, as all of `protocol`: bytes go in as they come, in pieces of any size; whole messages come out.
//! What a message says is for [`check::parts`](super::check::parts).
//!
//! ```
//! use alkpubsub::protocol::length_prefix::{Decoder, LengthPrefixError, encode};
//!
//! let framed = encode(r#"{"type":"a","id":"b"}"#)?;
//! assert_eq!(framed[..4], [0, 0, 0, 21]);
//!
//! // What the stream brings, in two pieces.
//! let mut decoder = Decoder::new(64 * 1024);
//! let mut messages = Vec::new();
//! for mut piece in framed.chunks(15) {
//!     while let Some(message) = decoder.next(&mut piece)? {
//!         messages.push(message.into_owned());
//!     }
//! }
//! assert_eq!(messages, [r#"{"type":"a","id":"b"}"#.as_bytes()]);
//! decoder.end()?; // the stream did not end within a frame
//!
//! // 4 GiB announced: refused on the header, before any memory is taken.
//! let mut input = &[0xff; 4][..];
//! let refused = decoder.next(&mut input);
//! assert_eq!(refused, Err(LengthPrefixError::TooLarge { length: u32::MAX as usize, limit: 64 * 1024 }));
//! # Ok::<(), LengthPrefixError>(())
//! ```

use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

/// Bytes of a frame's header.
pub const HEADER: usize = 4;

/// What is wrong with a stream of frames, or with a text to be framed. The stream cannot be read on then: where
/// the next frame begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LengthPrefixError {
    /// A frame of no bytes; no envelope is that short.
    #[error("a frame of length 0")]
    Empty,
    /// A frame over the limit; as many bytes as the limit are allowed.
    #[error("a frame of {length} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes that its header announces.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame, after {received} of its bytes, its header among them")]
    Truncated {
        /// Bytes of the frame that had come, its header among them.
        received: usize,
    },
}

impl LengthPrefixError {
    /// The code to close the stream with: 1009 over the limit, else 1002. After
    /// [`Truncated`](Self::Truncated) there is nobody left who could read it.
    #[must_use]
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 1009,
            Self::Empty | Self::Truncated { .. } => 1002,
        }
    }
}

/// One stream's frames, read.
///
/// Whoever reads the stream owns the buffer, and one buffer may serve many streams: a frame that lies in a piece
/// as a whole is given as a part of it, without a copy. The decoder keeps the beginning of a frame that is not
/// whole yet, and nothing between frames.
///
/// **Invariant:** it keeps at most twice as much memory as bytes have come, and never more than the frame's length,
/// which is within the limit; whatever a header announces.
#[derive(Clone)]
pub struct Decoder {
    max_message: usize,
    header: [u8; HEADER],
    /// How much of the header has come.
    header_len: usize,
    /// What has come of the message, where it came in pieces.
    message: Vec<u8>,
}

impl Decoder {
    /// For messages of at most so many bytes, the header not counted; equal is allowed.
    #[must_use]
    pub const fn new(max_message: usize) -> Self {
        Self { max_message, header: [0; HEADER], header_len: 0, message: Vec::new() }
    }

    /// Reads the next message, and moves `input` behind the bytes it took.
    ///
    /// A message that lies in `input` as a whole borrows from it; one that came in pieces is given away with the
    /// memory that it was joined in. After `None`, all of `input` was taken: go on with the next piece.
    ///
    /// # Errors
    /// [`LengthPrefixError::Empty`] and [`TooLarge`](LengthPrefixError::TooLarge), as soon as the header is there
    /// and before memory is taken; from then on every call gives that error again.
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Cow<'i, [u8]>>, LengthPrefixError> {
        let taken = input.len().min(HEADER - self.header_len);
        self.header[self.header_len..][..taken].copy_from_slice(take(input, taken));
        self.header_len += taken;
        if self.header_len < HEADER {
            return Ok(None);
        }
        let length = self.length()?;
        if self.message.is_empty() && input.len() >= length {
            self.header_len = 0;
            return Ok(Some(Cow::Borrowed(take(input, length))));
        }
        let piece = take(input, input.len().min(length - self.message.len()));
        self.keep(piece, length);
        if self.message.len() < length {
            return Ok(None);
        }
        self.header_len = 0;
        Ok(Some(Cow::Owned(std::mem::take(&mut self.message))))
    }

    /// The message's length as the header has it, if it is one.
    fn length(&self) -> Result<usize, LengthPrefixError> {
        length(self.header, self.max_message)
    }

    /// Takes memory as the bytes come: a peer that announces much and sends little gets little.
    fn keep(&mut self, piece: &[u8], length: usize) {
        let needed = self.message.len() + piece.len();
        if needed > self.message.capacity() {
            let capacity = self.message.capacity().saturating_mul(2).clamp(needed, length);
            self.message.reserve_exact(capacity - self.message.len());
        }
        self.message.extend_from_slice(piece);
    }

    /// To be asked when the stream has ended.
    ///
    /// # Errors
    /// [`LengthPrefixError::Truncated`] where it ended within a frame.
    pub fn end(&self) -> Result<(), LengthPrefixError> {
        match self.header_len + self.message.len() {
            0 => Ok(()),
            received => Err(LengthPrefixError::Truncated { received }),
        }
    }

    /// Bytes of memory that it holds for the frame under way: 0 between frames.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.message.capacity()
    }
}

/// Shows how much has come; what it says is nobody's business in a log.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("max_message", &self.max_message)
            .field("received", &(self.header_len + self.message.len()))
            .finish_non_exhaustive()
    }
}

/// The length that a header announces, if a message may be as long.
fn length(header: [u8; HEADER], limit: usize) -> Result<usize, LengthPrefixError> {
    // On a machine of 16 bits it is over any limit that a usize can hold.
    match usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX) {
        0 => Err(LengthPrefixError::Empty),
        length if length > limit => Err(LengthPrefixError::TooLarge { length, limit }),
        length => Ok(length),
    }
}

/// The message at the beginning of a buffer that its reader keeps by itself; `None` until the whole of it is there. The
/// next one begins [`HEADER`] and its own bytes further on.
///
/// # Errors
/// As of [`Decoder::next`].
pub fn first(buffer: &[u8], max_message: usize) -> Result<Option<&[u8]>, LengthPrefixError> {
    let Some((header, rest)) = buffer.split_first_chunk() else { return Ok(None) };
    Ok(rest.get(..length(*header, max_message)?))
}

/// Cuts the front off.
fn take<'i>(input: &mut &'i [u8], length: usize) -> &'i [u8] {
    let (front, rest) = input.split_at(length);
    *input = rest;
    front
}

/// One frame, to be shared by all links that send it: a clone copies nothing.
///
/// # Errors
/// [`LengthPrefixError::Empty`], and [`TooLarge`](LengthPrefixError::TooLarge) for what four bytes of length cannot
/// say. The limit of the far side is for [`MessageLimits::admit`](super::check::MessageLimits::admit).
pub fn encode(text: &str) -> Result<Bytes, LengthPrefixError> {
    Ok([&header(text.len())?, text.as_bytes()].concat().into())
}

/// The header of a message of `length` bytes, for a caller that puts the two together itself.
///
/// # Errors
/// As of [`encode`].
pub fn header(length: usize) -> Result<[u8; HEADER], LengthPrefixError> {
    let limit = u32::MAX as usize;
    match u32::try_from(length) {
        Ok(0) => Err(LengthPrefixError::Empty),
        Ok(length) => Ok(length.to_be_bytes()),
        Err(_) => Err(LengthPrefixError::TooLarge { length, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn frame(message: &[u8]) -> Vec<u8> {
        [&header(message.len()).unwrap(), message].concat()
    }

    #[test]
    fn what_lies_there_as_a_whole_is_not_copied() {
        let bytes = [frame(b"first"), frame(b"second"), frame(b"th")[..5].to_vec()].concat();
        let mut decoder = Decoder::new(LIMIT);
        let mut input = &bytes[..];
        for (expected, place) in [(&b"first"[..], 4..9), (b"second", 13..19)] {
            let Ok(Some(Cow::Borrowed(message))) = decoder.next(&mut input) else { panic!() };
            assert_eq!(message, expected);
            assert_eq!(message.as_ptr(), bytes[place].as_ptr());
            assert_eq!(decoder.memory(), 0);
        }
        assert_eq!((decoder.next(&mut input), input), (Ok(None), &[][..]));
        assert_eq!(decoder.end(), Err(LengthPrefixError::Truncated { received: 5 }));
        assert_eq!(decoder.next(&mut &b"h"[..]), Ok(Some(Cow::Owned(b"th".to_vec()))));
        assert_eq!((decoder.end(), decoder.memory()), (Ok(()), 0));
    }

    #[test]
    fn a_bad_length_is_refused_by_its_header_and_stays_refused() {
        let limit = LIMIT;
        for (header, error, code) in [
            ([0, 0, 0, 0], LengthPrefixError::Empty, 1002),
            ([0, 0, 3, 233], LengthPrefixError::TooLarge { length: 1001, limit }, 1009),
            ([255; 4], LengthPrefixError::TooLarge { length: u32::MAX as usize, limit }, 1009),
        ] {
            let mut decoder = Decoder::new(limit);
            let (start, last) = header.split_at(3);
            assert_eq!(decoder.next(&mut &start[..]), Ok(None), "the header is not whole");
            assert_eq!(decoder.next(&mut &last[..]), Err(error));
            assert_eq!(decoder.next(&mut &frame(b"fine")[..]), Err(error), "what follows is not read");
            assert_eq!((error.close_code(), decoder.memory()), (code, 0));
        }
        let mut decoder = Decoder::new(limit);
        assert_eq!(
            decoder.next(&mut &frame(&[7; LIMIT])[..]),
            Ok(Some(vec![7; LIMIT].into())),
            "equal is allowed"
        );
    }

    #[test]
    fn memory_grows_with_what_has_come_and_not_with_what_is_announced() {
        let limit = 1 << 20;
        let bytes = frame(&vec![7; limit]);
        let mut decoder = Decoder::new(limit);
        let mut grown = 0;
        for (sent, mut piece) in bytes.chunks(100).enumerate() {
            let before = decoder.memory();
            if let Some(message) = decoder.next(&mut piece).unwrap() {
                assert_eq!((message.len(), sent), (limit, bytes.len() / 100));
                assert!(grown < 20, "it is not copied for each piece: {grown}");
                return;
            }
            grown += usize::from(decoder.memory() != before);
            assert!(
                decoder.memory() <= (2 * 100 * (sent + 1)).min(limit),
                "{} after {sent}",
                decoder.memory()
            );
        }
        panic!("no message came");
    }

    #[test]
    fn an_end_is_clean_between_frames_alone() {
        let bytes = frame(b"abc");
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::new(LIMIT);
            assert_eq!(decoder.next(&mut &bytes[..cut]), Ok(None));
            let expected =
                if cut == 0 { Ok(()) } else { Err(LengthPrefixError::Truncated { received: cut }) };
            assert_eq!(decoder.end(), expected);
        }
    }

    #[test]
    fn what_cannot_be_framed_is_an_error() {
        assert_eq!(encode(""), Err(LengthPrefixError::Empty));
        assert_eq!(header(u32::MAX as usize), Ok([255; 4]));
        #[cfg(target_pointer_width = "64")]
        assert_eq!(
            header(1 << 32),
            Err(LengthPrefixError::TooLarge { length: 1 << 32, limit: u32::MAX as usize })
        );
    }
}
