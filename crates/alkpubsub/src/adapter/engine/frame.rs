//! The engine's message: an envelope framed once, shared by all who receive it.

use crate::adapter::websocket::frame;
use crate::protocol::{Message, control};
use std::ops::Deref;
use std::sync::Arc;

/// The bytes that go out, header and all. A clone shares them, and takes no more than a pointer: a queue may hold
/// thousands.
#[derive(Clone, Debug)]
pub(crate) struct Frame(Arc<Framed>);

#[derive(Debug)]
struct Framed {
    bytes: Vec<u8>,
    /// How many messages that is.
    count: usize,
}

impl Frame {
    /// An envelope's text as one WebSocket text message.
    pub(crate) fn text(text: &str) -> Self {
        frame::text(text).into()
    }
}

impl From<Vec<u8>> for Frame {
    fn from(framed: Vec<u8>) -> Self {
        Self(Arc::new(Framed { bytes: framed, count: 1 }))
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Message for Frame {
    fn from_text(text: String) -> Self {
        Self::text(&text)
    }

    fn weight(&self) -> usize {
        self.len()
    }

    fn is_control(&self) -> bool {
        frame::text_of(self).is_none_or(|text| text.starts_with(control::BEGINNING.as_bytes()))
    }

    fn count(&self) -> usize {
        self.0.count
    }

    fn ended_within(&self, bytes: usize) -> usize {
        let written = &self[..bytes.min(self.len())];
        frame::texts(written).count()
    }

    fn join(&mut self, next: &Self) -> bool {
        match Arc::get_mut(&mut self.0) {
            Some(joined) => {
                joined.bytes.extend_from_slice(next);
                joined.count += next.count();
            }
            // Another shard has it, too.
            None => {
                let joined = Framed { bytes: [&self[..], next].concat(), count: self.count() + next.count() };
                self.0 = Arc::new(joined);
            }
        }
        true
    }
}
