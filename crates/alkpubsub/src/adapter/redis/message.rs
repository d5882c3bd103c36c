//! What crosses the socket, in the link's words.

use crate::adapter::link::{SocketInput, SocketMessage};
use crate::topic::Topic;
use bytes::Bytes;
use bytestring::ByteString;
use std::sync::Arc;

/// A message of a [`RedisSocket`](super::socket::RedisSocket).
#[derive(Debug)]
pub(super) enum RedisMessage {
    /// To be published.
    Event { topic: Topic, text: ByteString },
    /// A control event: one of the link's, to be put into a command, or the answer to one.
    Control(ByteString),
    /// Nothing more is to be sent.
    Close,
    /// It was published on the channel of this topic.
    Published { topic: ByteString, text: Bytes },
    /// Redis is there, on both connections.
    Alive,
    /// All that was sent before the end is answered.
    Closed,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedisSocketError {
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    #[error("the connection to Redis was lost")]
    Lost,
    #[error("too slow: {messages} messages or {bytes} bytes waited to be heard")]
    TooSlow { messages: usize, bytes: usize },
}

impl SocketMessage for RedisMessage {
    type Error = RedisSocketError;

    fn text(text: ByteString) -> Self {
        Self::Control(text)
    }

    fn event(text: ByteString, topic: Option<Topic>) -> Self {
        match topic {
            Some(topic) => Self::Event { topic, text },
            None => Self::Control(text),
        }
    }

    fn close(_: u16, _: &str) -> Self {
        Self::Close
    }

    /// Either connection may have brought it, and the other be dead.
    fn shows_life(&self, _: bool) -> bool {
        matches!(self, Self::Alive)
    }

    fn read(self) -> SocketInput {
        match self {
            Self::Published { topic, text } => SocketInput::Published { topic, text },
            Self::Control(text) => SocketInput::Text(text),
            Self::Closed => SocketInput::Close { code: Some(1000), reason: Arc::from("") },
            Self::Event { .. } | Self::Close | Self::Alive => SocketInput::Other,
        }
    }
}
