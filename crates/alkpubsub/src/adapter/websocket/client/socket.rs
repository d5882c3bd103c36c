//! What a socket's messages have to be able to do.

use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Error, error::ProtocolError};

/// The most bytes of a close reason: a control frame carries 125, and two are the code.
const MAX_REASON: usize = 123;

/// A message of a WebSocket library, so that its sockets can be given to
/// [`WebSocketClientEventTarget::new`](crate::WebSocketClientEventTarget::new).
///
/// Implemented for [`tungstenite::Message`]; for another library it takes some twenty lines. The socket itself
/// answers pings, puts fragments together and answers the peer's Close when it is flushed, as those libraries do.
pub trait SocketMessage: Send + Sized + 'static {
    /// What the socket fails with. Its words end up in
    /// [`CloseReason::Lost`](crate::CloseReason::Lost).
    type Error: fmt::Display + Send + 'static;

    /// A text message. The text is shared: a clone copies nothing.
    fn text(text: ByteString) -> Self;

    /// A Close with a code and words, of which as much is to be sent as fits 123 bytes.
    fn close(code: u16, reason: &str) -> Self;

    /// What was received.
    fn read(self) -> SocketInput;

    /// The close code that an error of the socket calls for, where the peer broke a rule: 1002 frames, 1007
    /// UTF-8, 1009 size. `None`: the connection broke.
    fn close_code(error: &Self::Error) -> Option<u16> {
        let _ = error;
        None
    }
}

/// What came from a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketInput {
    /// A text message.
    Text(ByteString),
    /// A binary message; taken as text, if it is UTF-8.
    Binary(Bytes),
    /// The peer's Close.
    Close {
        /// Its code; `None`: it has none (1005).
        code: Option<u16>,
        /// Its words.
        reason: Arc<str>,
    },
    /// Pings, pongs and whatever else is not for the target.
    Other,
}

impl SocketMessage for tungstenite::Message {
    type Error = Error;

    fn text(text: ByteString) -> Self {
        // Checked once more, because there is no other way in without `unsafe`.
        Self::Text(text.into_bytes().try_into().expect("a ByteString is UTF-8"))
    }

    fn close(code: u16, reason: &str) -> Self {
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
        Self::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
    }

    fn read(self) -> SocketInput {
        match self {
            Self::Text(text) => {
                SocketInput::Text(Bytes::from(text).try_into().expect("a text message is UTF-8"))
            }
            Self::Binary(bytes) => SocketInput::Binary(bytes),
            Self::Close(frame) => SocketInput::Close {
                code: frame.as_ref().map(|frame| frame.code.into()),
                reason: frame.map_or_else(|| "".into(), |frame| frame.reason.as_str().into()),
            },
            Self::Ping(_) | Self::Pong(_) | Self::Frame(_) => SocketInput::Other,
        }
    }

    fn close_code(error: &Error) -> Option<u16> {
        match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            Error::Protocol(_) => Some(1002),
            Error::Utf8(_) => Some(1007),
            Error::Capacity(_) => Some(1009),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::Message;

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let Message::Close(Some(frame)) = <Message as SocketMessage>::close(1009, &"ä".repeat(100)) else {
            panic!()
        };
        assert_eq!((u16::from(frame.code), frame.reason.len()), (1009, 122));
    }

    #[test]
    fn texts_cross_without_a_copy() {
        let text = ByteString::from("{}");
        let message = <Message as SocketMessage>::text(text.clone());
        let SocketInput::Text(back) = message.read() else { panic!() };
        assert_eq!(back.as_ptr(), text.as_ptr());
    }
}
