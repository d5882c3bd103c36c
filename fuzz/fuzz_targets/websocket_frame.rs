//! The hub's WebSocket decoder: in pieces and in one piece it reads the same, keeps no more than it may, and what it
//! reads is what tungstenite reads, where tungstenite is as strict.
//!
//! The first byte chooses the limit, the second the length of the pieces, the rest is the stream. The
//! module is compiled in as it is: nobody else is to have it, and so the feature and its runtime stay out.

#![no_main]

#[rustfmt::skip]
#[path = "../../crates/alkpubsub/src/adapter/engine/framing/websocket.rs"]
#[allow(dead_code, unreachable_pub, reason = "the decoder alone is wanted of it")]
mod frame;

use frame::{Decoder, Message, Rules, Violation};
use libfuzzer_sys::fuzz_target;
use std::io::{self, Cursor, Read, Write};
use tungstenite::Error;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

/// What a control frame carries, and the largest header.
const CONTROL: usize = 125 + 14;

/// A message that borrows from nothing.
#[derive(Debug, PartialEq)]
enum Owned {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

type Outcome = (Vec<Owned>, Result<(), Violation>);

fn read<'p>(rules: Rules, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let (mut decoder, mut kept, mut messages) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let message = match decoder.next(rules, &mut kept, &mut at) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(violation) => return (messages, Err(violation)),
            };
            messages.push(match message {
                Message::Text(text) => Owned::Text(text.into_owned()),
                Message::Binary(bytes) => Owned::Binary(bytes.into_owned()),
                Message::Ping(payload) => Owned::Ping(payload.to_vec()),
                Message::Pong(payload) => Owned::Pong(payload.to_vec()),
                Message::Close { code, reason } => {
                    // What comes after it is not to be read.
                    messages.push(Owned::Close(code, reason.to_owned()));
                    return (messages, Ok(()));
                }
            });
        }
        kept.drain(..at);
        assert!(kept.len() <= rules.max_message + CONTROL, "{} bytes kept", kept.len());
    }
    (messages, Ok(()))
}

/// A stream in memory: what is to be read, and nowhere to write to.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of the stream; whether it refused something.
fn read_by_tungstenite(rules: Rules, stream: &[u8]) -> (Vec<Owned>, bool) {
    // Without a limit on frames it takes the memory that a header announces, and panics where there is none.
    let config = WebSocketConfig::default()
        .max_message_size(Some(rules.max_message))
        .max_frame_size(Some(rules.max_message));
    let mut socket =
        WebSocket::from_raw_socket(Wire(Cursor::new(stream.to_vec())), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        messages.push(match socket.read() {
            Ok(tungstenite::Message::Text(text)) => Owned::Text(text.as_bytes().to_vec()),
            Ok(tungstenite::Message::Binary(bytes)) => Owned::Binary(bytes.to_vec()),
            Ok(tungstenite::Message::Ping(payload)) => Owned::Ping(payload.to_vec()),
            Ok(tungstenite::Message::Pong(payload)) => Owned::Pong(payload.to_vec()),
            Ok(tungstenite::Message::Close(frame)) => {
                let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                // How it tells of a code that it does not take; 1014 is one, which was registered later.
                if frame == Some((1002, "Protocol violation".to_owned())) {
                    return (messages, true);
                }
                let (code, reason) = frame.unzip();
                messages.push(Owned::Close(code, reason.unwrap_or_default()));
                return (messages, false);
            }
            Ok(tungstenite::Message::Frame(_)) => unreachable!("frames are not read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return (messages, false),
            Err(_) => return (messages, true),
        });
    }
}

fuzz_target!(|input: &[u8]| {
    let &[choice, piece, ref stream @ ..] = input else { return };
    let rules = Rules { max_message: usize::from(choice) * 4 };
    let whole = read(rules, [stream]);
    let pieces = read(rules, stream.chunks(usize::from(piece) + 1));
    assert_eq!(pieces, whole, "in pieces (left) and in one");

    // It is laxer about lengths and stricter about texts, whose UTF-8 is not for this decoder to check: what the
    // two have read before either refused is the same.
    let (messages, refused) = read_by_tungstenite(rules, stream);
    let common = messages.len().min(whole.0.len());
    assert_eq!(whole.0[..common], messages[..common], "here (left) and by tungstenite");
    if whole.1.is_ok() && !refused {
        assert_eq!(whole.0.len(), messages.len(), "here and by tungstenite");
    }
});
