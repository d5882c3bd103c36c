//! The engine's message: an envelope framed once, shared by all who receive it.

use crate::adapter::websocket::frame;
use crate::protocol::{Message, control};
use bytes::Bytes;
use std::ops::Deref;

/// The bytes that go out, header and all. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Frame(Bytes);

impl Frame {
    /// An envelope's text as one WebSocket text message.
    pub(crate) fn text(text: &str) -> Self {
        Self(frame::text(text))
    }
}

impl From<Bytes> for Frame {
    fn from(framed: Bytes) -> Self {
        Self(framed)
    }
}

impl From<Frame> for Bytes {
    fn from(frame: Frame) -> Self {
        frame.0
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Message for Frame {
    fn from_text(text: String) -> Self {
        Self::text(&text)
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn is_control(&self) -> bool {
        frame::text_of(&self.0).is_none_or(|text| text.starts_with(control::BEGINNING.as_bytes()))
    }
}
