//! The engine's message: an envelope framed once, shared by all who receive it.

use crate::adapter::websocket::frame;
use crate::protocol::{Message, control};
use std::ops::Deref;
use std::sync::Arc;

/// The bytes that go out, header and all. A clone shares them, and takes no more than a pointer: a queue may hold
/// thousands.
#[derive(Clone, Debug)]
pub(crate) struct Frame(Arc<Vec<u8>>);

impl Frame {
    /// An envelope's text as one WebSocket text message.
    pub(crate) fn text(text: &str) -> Self {
        frame::text(text).into()
    }
}

impl From<Vec<u8>> for Frame {
    fn from(framed: Vec<u8>) -> Self {
        Self(Arc::new(framed))
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
