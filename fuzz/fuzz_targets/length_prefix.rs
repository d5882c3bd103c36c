//! The decoder of length-prefixed frames: in pieces, in one piece, and the naive reader of the tests.
//!
//! The first byte chooses the limit, the second the length of the pieces, the rest is the stream.

#![no_main]

#[path = "../../crates/alkpubsub/tests/differential/naive_frames.rs"]
mod naive_frames;

use libfuzzer_sys::fuzz_target;
use naive_frames::{decode, read};

fuzz_target!(|input: &[u8]| {
    let &[limit, piece, ref stream @ ..] = input else { return };
    let limit = usize::from(limit) * if limit % 2 == 0 { 1 } else { 64 };
    let expected = read(stream, limit);
    assert_eq!(decode([stream], limit), expected, "in one piece");
    assert_eq!(decode(stream.chunks(usize::from(piece) + 1), limit), expected, "in pieces");
});
