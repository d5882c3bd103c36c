//! Literal bytes first; tungstenite's sockets, which share nothing with this module, are the peer in the tests with
//! random messages.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::io::{self, Read, Write};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame as PeerFrame};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message as PeerMessage};

const SERVER: Rules = Rules { max_message: 64 * 1024 };

/// The key of the examples in RFC 6455, section 5.7.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A message that borrows from nothing.
type Owned = Message<'static>;

fn owned(message: Message<'_>) -> Owned {
    let copy = |bytes: &[u8]| -> &'static [u8] { bytes.to_vec().leak() };
    match message {
        Message::Text(text) => Message::Text(Cow::Owned(text.into_owned())),
        Message::Binary(bytes) => Message::Binary(Cow::Owned(bytes.into_owned())),
        Message::Ping(payload) => Message::Ping(copy(payload)),
        Message::Pong(payload) => Message::Pong(copy(payload)),
        Message::Close { code, reason } => Message::Close { code, reason: reason.to_owned().leak() },
    }
}

fn text_message(text: &str) -> Owned {
    Message::Text(Cow::Owned(text.into()))
}

fn binary_message(bytes: &[u8]) -> Owned {
    Message::Binary(Cow::Owned(bytes.into()))
}

/// One end of a connection that gets its bytes in pieces, and keeps what the module's user is told to keep.
struct Peer {
    rules: Rules,
    decoder: Decoder,
    kept: Vec<u8>,
}

impl Peer {
    fn new(rules: Rules) -> Self {
        Self { rules, decoder: Decoder::default(), kept: Vec::new() }
    }

    /// The messages up to the first violation.
    fn feed(&mut self, bytes: &[u8], messages: &mut Vec<Owned>) -> Result<(), Violation> {
        self.kept.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(message) = self.decoder.next(self.rules, &mut self.kept, &mut at)? {
            messages.push(owned(message));
        }
        self.kept.drain(..at);
        Ok(())
    }

    /// How many bytes of messages are waiting for more.
    fn waiting(&self) -> usize {
        self.kept.len() + self.decoder.assembly.as_ref().map_or(0, |assembly| assembly.bytes.len())
    }
}

/// What came of a stream: its messages, and what ended it early.
type Outcome = (Vec<Owned>, Result<(), Violation>);

fn read_pieces<'p>(rules: Rules, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut peer = Peer::new(rules);
    let mut messages = Vec::new();
    let end = pieces.into_iter().try_for_each(|piece| peer.feed(piece, &mut messages));
    (messages, end)
}

fn read(rules: Rules, bytes: &[u8]) -> Outcome {
    read_pieces(rules, [bytes])
}

/// What a server makes of bytes that hold one message.
#[track_caller]
fn server_reads(bytes: &[u8], expected: Owned) {
    assert_eq!(read(SERVER, bytes), (vec![expected], Ok(())));
}

/// The same of a server's frames, had a client sent them: each with the key zero.
#[track_caller]
fn reads_unmasked(mut bytes: &[u8], expected: Owned) {
    let mut masked = Vec::new();
    while let [first, second, ..] = *bytes {
        let (header, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            short => (2, usize::from(short)),
        };
        masked.extend([first, second | MASKED]);
        masked.extend(&bytes[2..header]);
        masked.extend([0; 4]);
        masked.extend(&bytes[header..header + length]);
        bytes = &bytes[header + length..];
    }
    server_reads(&masked, expected);
}

#[track_caller]
fn server_refuses(bytes: &[u8], violation: Violation, code: u16) {
    assert_eq!(read(SERVER, bytes), (vec![], Err(violation)));
    assert_eq!(violation.close_code(), code);
}

/// A client's frame, written out by hand: `first` is flags and opcode.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Header::new(first, payload.len()).to_vec();
    frame[1] |= 0x80;
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

// The examples of RFC 6455, section 5.7.

#[test]
fn unmasked_text() {
    let bytes = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    reads_unmasked(&bytes, text_message("Hello"));
    assert_eq!(text("Hello"), &bytes[..]);
    server_refuses(&bytes, Violation::Unmasked, 1002);
}

#[test]
fn masked_text() {
    let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    server_reads(&bytes, text_message("Hello"));
    assert_eq!(masked(0x81, b"Hello"), bytes);
}

#[test]
fn unmasked_text_in_fragments() {
    reads_unmasked(&[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], text_message("Hello"));
}

#[test]
fn ping_and_pong() {
    let unmasked_ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    reads_unmasked(&unmasked_ping, Message::Ping(b"Hello"));
    assert_eq!(ping(b"Hello"), &unmasked_ping[..]);

    let masked_pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    server_reads(&masked_pong, Message::Pong(b"Hello"));
    assert_eq!(pong(b"Hello"), &[0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..]);
}

#[test]
fn lengths_of_16_and_64_bits() {
    let payload = [7; 65536];
    let of_256 = [&[0x82, 0x7e, 0x01, 0x00], &payload[..256]].concat();
    reads_unmasked(&of_256, binary_message(&payload[..256]));
    let of_65536 = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], &payload[..]].concat();
    reads_unmasked(&of_65536, binary_message(&payload));
}

// What else is well formed.

#[test]
fn a_length_is_written_in_its_shortest_form() {
    assert_eq!(&*text_header(0), [0x81, 0]);
    assert_eq!(&*text_header(125), [0x81, 125]);
    assert_eq!(&*text_header(126), [0x81, 126, 0, 126]);
    assert_eq!(&*text_header(65535), [0x81, 126, 0xff, 0xff]);
    assert_eq!(&*text_header(65536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    for length in [0, 1, 125, 126, 127, 65535, 65536] {
        let message = "x".repeat(length);
        assert_eq!(text(&message), [&text_header(length), message.as_bytes()].concat());
        reads_unmasked(&text(&message), text_message(&message));
        server_reads(&masked(0x81, message.as_bytes()), text_message(&message));
    }
}

#[test]
fn control_frames_stand_between_fragments() {
    let bytes = [
        masked(0x02, &[1, 2]),
        masked(0x89, b"are you there"),
        masked(0x00, &[]),
        masked(0x8a, &[]),
        masked(0x80, &[3]),
        masked(0x81, b"next"),
    ]
    .concat();
    let messages = vec![
        Message::Ping(b"are you there"),
        Message::Pong(b""),
        binary_message(&[1, 2, 3]),
        text_message("next"),
    ];
    assert_eq!(read(SERVER, &bytes), (messages, Ok(())));
}

#[test]
fn closes() {
    server_reads(&masked(0x88, &[]), Message::Close { code: None, reason: "" });
    server_reads(&masked(0x88, &[0x03, 0xe8]), Message::Close { code: Some(1000), reason: "" });
    server_reads(
        &masked(0x88, b"\x03\xf5too slow \xe2\x80\xa6"),
        Message::Close { code: Some(1013), reason: "too slow …" },
    );
    assert_eq!(close(None, "unsaid"), &[0x88, 0x00][..]);
    assert_eq!(close(Some(1001), "bye"), &[0x88, 0x05, 0x03, 0xe9, b'b', b'y', b'e'][..]);
    for (code, reason) in [(None, ""), (Some(1001), "bye")] {
        reads_unmasked(&close(code, reason), Message::Close { code, reason });
    }
}

#[test]
fn a_control_frame_is_cut_to_what_it_may_hold() {
    assert_eq!(ping(&[1; 126]), ping(&[1; 125]));
    // 123 bytes hold 61 characters of two bytes; half of the next would be invalid.
    let long = "é".repeat(100);
    reads_unmasked(
        &close(Some(1008), &long),
        Message::Close { code: Some(1008), reason: &"é".repeat(61).leak()[..] },
    );
}

#[test]
fn unfragmented_messages_lie_in_the_buffer() {
    let mut buffer = [masked(0x81, b"one"), masked(0x82, b"two"), vec![0x81, 0x83, 1]].concat();
    let lies = buffer.as_ptr_range();
    let (mut decoder, mut at) = (Decoder::default(), 0);
    for expected in [&b"one"[..], b"two"] {
        let message = decoder.next(SERVER, &mut buffer, &mut at);
        let Ok(Some(Message::Text(Cow::Borrowed(payload)) | Message::Binary(Cow::Borrowed(payload)))) =
            message
        else {
            panic!("not borrowed: {message:?}")
        };
        assert_eq!(payload, expected);
        assert!(lies.contains(&payload.as_ptr()));
    }
    assert_eq!(decoder.next(SERVER, &mut buffer, &mut at), Ok(None));
    assert_eq!(buffer[at..], [0x81, 0x83, 1], "an incomplete frame stays as it is");
}

#[test]
fn nothing_is_kept_while_nothing_is_under_way() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    let mut peer = Peer::new(SERVER);
    let mut messages = Vec::new();
    peer.feed(&[masked(0x01, b"a"), masked(0x80, b"b"), masked(0x81, b"c")].concat(), &mut messages).unwrap();
    assert_eq!(messages, [text_message("ab"), text_message("c")]);
    assert!(peer.decoder.assembly.is_none());
    assert_eq!(peer.waiting(), 0);
}

#[test]
fn every_alignment_and_length_is_unmasked() {
    for start in 0..16 {
        for length in 0..70 {
            let mut bytes: Vec<u8> = (0..start + length).map(|i| i as u8).collect();
            unmask(&mut bytes[start..], KEY);
            for (i, byte) in bytes.into_iter().enumerate() {
                let key = if i < start { 0 } else { KEY[(i - start) % 4] };
                assert_eq!(byte, i as u8 ^ key, "byte {i}, start {start}, length {length}");
            }
        }
    }
}

// Each violation.

#[test]
fn reserved_bits() {
    for bit in [0x40, 0x20, 0x10] {
        server_refuses(&masked(0x81 | bit, b"x"), Violation::ReservedBits, 1002);
        server_refuses(&masked(0x89 | bit, b"x"), Violation::ReservedBits, 1002);
    }
}

#[test]
fn reserved_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        server_refuses(&masked(0x80 | opcode, b"x"), Violation::ReservedOpcode, 1002);
    }
}

#[test]
fn fragmented_control_frames() {
    for opcode in [0x08, 0x09, 0x0a] {
        server_refuses(&masked(opcode, &[]), Violation::FragmentedControl, 1002);
    }
}

#[test]
fn long_control_frames() {
    for first in [0x88, 0x89, 0x8a] {
        // The header is enough.
        server_refuses(&masked(first, &[b'x'; 126])[..8], Violation::LongControl, 1002);
    }
    let longest = [b'x'; 125];
    server_reads(&masked(0x89, &longest), Message::Ping(&longest.to_vec().leak()[..]));
}

#[test]
fn continuation_without_a_start() {
    server_refuses(&masked(0x80, b"x"), Violation::StrayContinuation, 1002);
    server_refuses(&masked(0x00, b"x"), Violation::StrayContinuation, 1002);
    let after_the_end = [masked(0x01, b"a"), masked(0x80, b"b"), masked(0x80, b"c")].concat();
    assert_eq!(read(SERVER, &after_the_end), (vec![text_message("ab")], Err(Violation::StrayContinuation)));
}

#[test]
fn new_message_inside_a_fragmented_one() {
    for first in [0x81, 0x82, 0x01, 0x02] {
        let bytes = [masked(0x01, b"a"), masked(first, b"b")].concat();
        server_refuses(&bytes, Violation::Interrupted, 1002);
    }
}

#[test]
fn lengths_longer_than_need_be() {
    server_refuses(&[0x81, 0xfe, 0, 125, 1, 2, 3, 4], Violation::LongForm, 1002);
    server_refuses(&[0x81, 0xfe, 0, 0, 1, 2, 3, 4], Violation::LongForm, 1002);
    server_refuses(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4], Violation::LongForm, 1002);
    server_refuses(&[0x89, 0xfe, 0, 1, 1, 2, 3, 4], Violation::LongForm, 1002);
}

#[test]
fn lengths_with_the_top_bit() {
    server_refuses(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Violation::TopBit, 1002);
    server_refuses(&[&[0x82], &[0xff; 13][..]].concat(), Violation::TopBit, 1002);
}

#[test]
fn close_frames_that_say_nothing_allowed() {
    server_refuses(&masked(0x88, &[3]), Violation::HalfCloseCode, 1002);
    server_refuses(&masked(0x88, b"\x03\xe8\xff"), Violation::CloseReason, 1007);
    server_refuses(&masked(0x88, b"\x03\xe8\xe2\x80"), Violation::CloseReason, 1007);
}

#[test]
fn close_codes() {
    for code in 0..=u16::MAX {
        let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let (messages, end) = read(SERVER, &masked(0x88, &code.to_be_bytes()));
        if allowed {
            assert_eq!((messages, end), (vec![Message::Close { code: Some(code), reason: "" }], Ok(())));
        } else {
            assert_eq!((messages, end), (vec![], Err(Violation::CloseCode(code))));
        }
    }
    assert_eq!(Violation::CloseCode(1005).close_code(), 1002);
}

#[test]
fn messages_over_the_limit() {
    let rules = Rules { max_message: 10 };
    let refused = Err(Violation::TooLarge { limit: 10 });
    assert_eq!(read(rules, &masked(0x81, b"0123456789")), (vec![text_message("0123456789")], Ok(())));
    // The header is enough, be the message in one frame or in many.
    assert_eq!(read(rules, &masked(0x81, b"0123456789a")[..6]), (vec![], refused));
    let fragments = [masked(0x01, b"01234"), masked(0x00, b"5678")].concat();
    let equal = [&fragments[..], &masked(0x80, b"9")].concat();
    assert_eq!(read(rules, &equal), (vec![text_message("0123456789")], Ok(())));
    let over = [&fragments[..], &masked(0x00, b"9a")[..6]].concat();
    assert_eq!(read(rules, &over), (vec![], refused));
    // The largest length there is.
    let largest = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    assert_eq!(read(rules, &largest), (vec![], refused));
    // Without a limit nothing overflows, and nothing is taken ahead.
    let unlimited = Rules { max_message: usize::MAX };
    assert_eq!(read(unlimited, &largest), (vec![], Ok(())));
    assert_eq!(Violation::TooLarge { limit: 10 }.close_code(), 1009);
    // A limit on messages is none on control frames.
    let none = Rules { max_message: 0 };
    assert_eq!(read(none, &masked(0x89, b"hello")), (vec![Message::Ping(b"hello")], Ok(())));
    assert_eq!(read(none, &masked(0x81, b"")), (vec![text_message("")], Ok(())));
}

#[test]
fn empty_fragments_without_end() {
    let most = [masked(0x01, b""), masked(0x00, b"").repeat(63)].concat();
    let ends = [&most[..], &masked(0x80, b"x")].concat();
    server_reads(&ends, text_message("x"));
    let goes_on = [&most[..], &masked(0x00, b"")].concat();
    server_refuses(&goes_on, Violation::EmptyFragments, 1009);
    // Each message begins to count anew.
    assert_eq!(read(SERVER, &ends.repeat(2)), (vec![text_message("x"), text_message("x")], Ok(())));
}

// Pieces.

#[test]
fn every_split_of_a_stream_reads_the_same() {
    let long = "long ".repeat(30);
    let stream = [
        masked(0x81, b"Hello"),
        masked(0x01, b"frag"),
        masked(0x89, b"ping"),
        masked(0x00, b""),
        masked(0x80, b"ments"),
        masked(0x82, long.as_bytes()),
        masked(0x8a, b""),
        masked(0x88, b"\x03\xe8bye"),
        vec![0x81, 0x00],
    ]
    .concat();
    let whole = read(SERVER, &stream);
    let messages = vec![
        text_message("Hello"),
        Message::Ping(b"ping"),
        text_message("fragments"),
        binary_message(long.as_bytes()),
        Message::Pong(b""),
        Message::Close { code: Some(1000), reason: "bye" },
    ];
    assert_eq!(whole, (messages, Err(Violation::Unmasked)));
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(read_pieces(SERVER, pieces), whole, "split at {first} and {second}");
        }
    }
    assert_eq!(read_pieces(SERVER, stream.chunks(1)), whole);
}

/// Cuts `bytes` where `cuts` say.
fn pieces<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

/// Bytes that are frames more often than not.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8a, 0x88]);
    let first = prop_oneof![6 => known, 1 => any::<u8>()];
    let frame = (first, vec(any::<u8>(), 0..200)).prop_map(|(first, payload)| masked(first, &payload));
    let bytes = vec(any::<u8>(), 0..20);
    vec(prop_oneof![9 => frame, 1 => bytes], 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    /// Whatever comes: no panic, the same messages and the same violation however it is cut, and no more kept
    /// than the limit allows.
    #[test]
    fn any_bytes_in_any_pieces(
        bytes in nearly_frames(),
        cuts in vec(any::<Index>(), 0..6),
        max_message in 0..300_usize,
    ) {
        let rules = Rules { max_message };
        let whole = read(rules, &bytes);
        prop_assert_eq!(&read_pieces(rules, pieces(&bytes, &cuts)), &whole);

        let mut peer = Peer::new(rules);
        for piece in pieces(&bytes, &cuts) {
            if peer.feed(piece, &mut Vec::new()).is_err() {
                break;
            }
            prop_assert!(peer.waiting() <= max_message + 6 + MAX_CONTROL);
        }
    }
}

// tungstenite as the peer.

/// A stream in memory: what is written goes to `sent`, what is to be read stands in `received`.
#[derive(Debug, Default)]
struct Wire {
    received: io::Cursor<Vec<u8>>,
    sent: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.received.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite(received: Vec<u8>) -> WebSocket<Wire> {
    let wire = Wire { received: io::Cursor::new(received), sent: Vec::new() };
    WebSocket::from_raw_socket(wire, Role::Client, Some(WebSocketConfig::default().read_buffer_size(4096)))
}

/// Texts of the lengths where the form of a header changes, and some that take more than one read.
fn some_text() -> impl Strategy<Value = String> {
    let edges = prop::sample::select(vec![0_usize, 1, 124, 125, 126, 127, 1000, 65535, 65536]);
    prop_oneof![4 => ".{0,100}", 1 => edges.prop_map(|length| "x".repeat(length))]
}

#[derive(Clone, Debug)]
enum Sent {
    Text(String, Vec<Index>),
    Binary(Vec<u8>, Vec<Index>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn some_messages() -> impl Strategy<Value = Vec<Sent>> {
    let cuts = || vec(any::<Index>(), 0..4);
    let control = || vec(any::<u8>(), 0..=125);
    vec(
        prop_oneof![
            4 => (some_text(), cuts()).prop_map(|(text, cuts)| Sent::Text(text, cuts)),
            2 => (vec(any::<u8>(), 0..300), cuts()).prop_map(|(bytes, cuts)| Sent::Binary(bytes, cuts)),
            1 => control().prop_map(Sent::Ping),
            1 => control().prop_map(Sent::Pong),
        ],
        0..8,
    )
}

fn some_close() -> impl Strategy<Value = Option<(u16, String)>> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1013_u16, 3000..=4999_u16];
    // 30 characters are at most 120 bytes.
    prop::option::of((code, ".{0,30}"))
}

/// Writes a message by tungstenite, in as many fragments as there are pieces, and says what is to be read.
fn send(peer: &mut WebSocket<Wire>, message: Sent) -> Owned {
    let mut fragments = |kind: Data, payload: &[u8], cuts: &[Index]| {
        let pieces = pieces(payload, cuts);
        for (i, piece) in pieces.iter().enumerate() {
            let kind = if i == 0 { kind } else { Data::Continue };
            let is_final = i + 1 == pieces.len();
            let frame = PeerFrame::message(piece.to_vec(), OpCode::Data(kind), is_final);
            peer.write(PeerMessage::Frame(frame)).unwrap();
        }
    };
    match message {
        Sent::Text(text, cuts) => {
            fragments(Data::Text, text.as_bytes(), &cuts);
            text_message(&text)
        }
        Sent::Binary(bytes, cuts) => {
            fragments(Data::Binary, &bytes, &cuts);
            binary_message(&bytes)
        }
        Sent::Ping(payload) => {
            peer.write(PeerMessage::Ping(payload.clone().into())).unwrap();
            Message::Ping(payload.leak())
        }
        Sent::Pong(payload) => {
            peer.write(PeerMessage::Pong(payload.clone().into())).unwrap();
            Message::Pong(payload.leak())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What tungstenite writes as a client we read.
    #[test]
    fn reads_what_tungstenite_writes(
        messages in some_messages(),
        close in some_close(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let mut peer = tungstenite(Vec::new());
        let mut expected: Vec<Owned> = messages.into_iter().map(|message| send(&mut peer, message)).collect();
        expected.push(match &close {
            Some((code, reason)) => Message::Close { code: Some(*code), reason: reason.clone().leak() },
            None => Message::Close { code: None, reason: "" },
        });
        let frame = close.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        peer.close(frame).unwrap();
        peer.flush().unwrap();

        let sent = &peer.get_ref().sent;
        prop_assert_eq!(read_pieces(SERVER, pieces(sent, &cuts)), (expected, Ok(())));
    }

    /// What we write tungstenite reads as a client.
    #[test]
    fn tungstenite_reads_what_we_write(messages in some_messages(), end in some_close()) {
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        for message in messages {
            match message {
                Sent::Text(content, _) => {
                    sent.extend(text(&content));
                    expected.push(PeerMessage::text(content));
                }
                // A hub sends text only.
                Sent::Binary(..) => {}
                Sent::Ping(payload) => {
                    sent.extend(ping(&payload));
                    expected.push(PeerMessage::Ping(payload.into()));
                }
                Sent::Pong(payload) => {
                    sent.extend(pong(&payload));
                    expected.push(PeerMessage::Pong(payload.into()));
                }
            }
        }
        let (code, reason) = end.clone().unzip();
        sent.extend(close(code, &reason.unwrap_or_default()));
        let frame = end.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        expected.push(PeerMessage::Close(frame));

        let mut peer = tungstenite(sent);
        for message in expected {
            prop_assert_eq!(peer.read().unwrap(), message);
        }
        prop_assert!(matches!(peer.read(), Err(Error::Io(_))), "nothing more stands on the wire");
    }
}
