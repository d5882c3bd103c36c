//! What crosses a byte stream, as a link reads and writes it.

use crate::adapter::link::{SocketInput, SocketMessage};
use crate::protocol::control;
use crate::protocol::length_prefix::LengthPrefixError;
use bytes::Bytes;
use bytestring::ByteString;
use std::io;
use std::sync::Arc;

/// A message of a [`ByteStreamSocket`](super::ByteStreamSocket).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByteStreamMessage {
    /// To be sent.
    Text(ByteString),
    /// To be sent as the last one: the control event `__close`.
    Close(ByteString),
    /// It came; not known to be UTF-8 yet.
    Received(Bytes),
    /// The far side ended the stream after our `__close`, which is an answer as well.
    Ended,
    /// What lies below the frames ended, with a code and words of the far side's, as a QUIC connection does.
    Closed {
        /// The close code.
        code: u16,
        /// Its words.
        reason: Arc<str>,
    },
}

/// What a byte stream fails with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ByteStreamError {
    /// The stream itself: the system's words.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came are no frames, or they end in the middle of one.
    #[error(transparent)]
    Frame(#[from] LengthPrefixError),
}

impl SocketMessage for ByteStreamMessage {
    const CLOSES_BY_EVENT: bool = true;

    type Error = ByteStreamError;

    fn text(text: ByteString) -> Self {
        Self::Text(text)
    }

    fn close(code: u16, reason: &str) -> Self {
        Self::Close(control::close(code, reason).into())
    }

    fn read(self) -> SocketInput {
        match self {
            Self::Text(text) | Self::Close(text) => SocketInput::Text(text),
            Self::Received(bytes) => SocketInput::Binary(bytes),
            Self::Ended => SocketInput::Close { code: None, reason: "".into() },
            Self::Closed { code, reason } => SocketInput::Close { code: Some(code), reason },
        }
    }

    fn close_code(error: &ByteStreamError) -> Option<u16> {
        match error {
            // Nobody is left who could read a code.
            ByteStreamError::Io(_) | ByteStreamError::Frame(LengthPrefixError::Truncated { .. }) => None,
            ByteStreamError::Frame(error) => Some(error.close_code()),
        }
    }
}
