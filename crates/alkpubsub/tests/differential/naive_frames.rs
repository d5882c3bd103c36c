//! A second reader of length-prefixed frames: the whole stream at once. For the tests here and for `fuzz/`.

use alkpubsub::protocol::length_prefix::{Decoder, LengthPrefixError};

/// The messages of a stream, and what ended it early.
pub(crate) type Frames = (Vec<Vec<u8>>, Result<(), LengthPrefixError>);

/// Reads a whole stream.
pub(crate) fn read(mut stream: &[u8], limit: usize) -> Frames {
    let mut messages = Vec::new();
    let end = loop {
        let [a, b, c, d, rest @ ..] = stream else { break stream.len() };
        let length = (((*a as usize * 256) + *b as usize) * 256 + *c as usize) * 256 + *d as usize;
        if length == 0 {
            return (messages, Err(LengthPrefixError::Empty));
        }
        if length > limit {
            return (messages, Err(LengthPrefixError::TooLarge { length, limit }));
        }
        if rest.len() < length {
            break stream.len();
        }
        messages.push(rest[..length].to_vec());
        stream = &rest[length..];
    };
    (messages, if end == 0 { Ok(()) } else { Err(LengthPrefixError::Truncated { received: end }) })
}

/// Has the library's decoder read the stream in these pieces. Panics where it keeps more memory than it may.
pub(crate) fn decode<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limit: usize) -> Frames {
    let mut decoder = Decoder::new(limit);
    let mut messages = Vec::new();
    let mut received = 0;
    for piece in pieces {
        received += piece.len();
        let mut rest = piece;
        loop {
            match decoder.next(&mut rest) {
                Ok(Some(message)) => messages.push(message.into_owned()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(&mut rest), Err(error), "it stays refused");
                    return (messages, Err(error));
                }
            }
            assert_eq!(decoder.memory(), 0, "nothing is kept between frames");
        }
        assert!(rest.is_empty(), "all of a piece is taken");
        assert!(decoder.memory() <= limit.min(2 * received), "{} bytes kept", decoder.memory());
    }
    (messages, decoder.end())
}
