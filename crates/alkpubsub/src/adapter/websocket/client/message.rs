//! tungstenite's messages, as a link reads and writes them.

use crate::adapter::link::{SocketInput, SocketMessage};
use bytes::Bytes;
use bytestring::ByteString;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Error, error::ProtocolError};

/// The most bytes of a close reason: a control frame carries 125, and two are the code.
const MAX_REASON: usize = 123;

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
