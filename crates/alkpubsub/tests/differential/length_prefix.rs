use crate::naive_frames::{decode, read};
use alkpubsub::protocol::length_prefix::encode;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Cuts a stream at these places.
fn pieces<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([bytes.len()]);
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

/// Frames more often than not; else any bytes, most of which announce a length beyond every limit.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let whole = vec(any::<u8>(), 0..60).prop_map(|message| frame(&message));
    let length = (0..100_u32, vec(any::<u8>(), 0..60))
        .prop_map(|(length, message)| [&length.to_be_bytes(), &message[..]].concat());
    vec(prop_oneof![8 => whole, 2 => length, 1 => vec(any::<u8>(), 0..9)], 0..8)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
        texts in vec(".{1,100}", 0..8),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let stream = texts.iter().map(|text| encode(text).unwrap()).collect::<Vec<_>>().concat();
        let messages: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(decode(pieces(&stream, &cuts), 400), (messages, Ok(())));
    }

    #[test]
    fn any_bytes_in_any_pieces_are_read_as_by_the_naive_reader(
        stream in nearly_frames(),
        cuts in vec(any::<Index>(), 0..12),
        limit in 0..70_usize,
    ) {
        let expected = read(&stream, limit);
        prop_assert_eq!(&decode(pieces(&stream, &cuts), limit), &expected);
        prop_assert_eq!(decode(stream.chunks(1), limit), expected);
    }
}
