//! The engine's message: an envelope framed once, shared by all who receive it.

use super::framing::{Framing, websocket};
use crate::protocol::Message;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// The bytes that go out, header and all. A clone shares them, and takes no more than a pointer: a queue may hold
/// thousands.
#[derive(Clone, Debug)]
pub(crate) struct Frame(Arc<Framed>);

#[derive(Debug)]
struct Framed {
    bytes: Vec<u8>,
    /// How many messages that is.
    count: usize,
    framing: Framing,
    /// The same in the other framing, from the first link on that wants it.
    other: OnceLock<Frame>,
}

impl Frame {
    /// An envelope's text as one message.
    pub(super) fn text(text: &str, framing: Framing) -> Self {
        Self::new(framing.text(text), 1, framing)
    }

    /// The last word of this side.
    pub(super) fn close(code: Option<u16>, reason: &str, framing: Framing) -> Self {
        Self::new(framing.close(code, reason), 1, framing)
    }

    /// The question whether the peer is there, of a WebSocket's own.
    pub(super) fn ping() -> Self {
        Self::new(websocket::ping(b""), 1, Framing::WebSocket)
    }

    /// The answer to that of a peer.
    pub(super) fn pong(payload: &[u8]) -> Self {
        Self::new(websocket::pong(payload), 1, Framing::WebSocket)
    }

    /// An answer to a handshake, which comes before all frames.
    pub(super) fn greeting(bytes: Vec<u8>) -> Self {
        Self::new(bytes, 1, Framing::WebSocket)
    }

    fn new(bytes: Vec<u8>, count: usize, framing: Framing) -> Self {
        Self(Arc::new(Framed { bytes, count, framing, other: OnceLock::new() }))
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Message for Frame {
    type Framing = Framing;

    fn from_text(text: String, framing: Framing) -> Self {
        Self::text(&text, framing)
    }

    fn can_be_pinged(framing: Framing) -> bool {
        framing == Framing::WebSocket
    }

    fn framing(&self) -> Framing {
        self.0.framing
    }

    fn framed(&self, framing: Framing) -> Self {
        if self.0.framing == framing {
            return self.clone();
        }
        let reframe = || {
            let bytes = self.0.framing.reframed(self, framing);
            // What else there is (a close, a ping) is made for one link, in its own framing.
            debug_assert!(bytes.is_some(), "only messages are for links of both kinds");
            Self::new(bytes.unwrap_or_default(), self.count(), framing)
        };
        self.0.other.get_or_init(reframe).clone()
    }

    fn weight(&self) -> usize {
        self.len()
    }

    fn is_control(&self) -> bool {
        self.0.framing.is_control(self)
    }

    fn count(&self) -> usize {
        self.0.count
    }

    fn ended_within(&self, bytes: usize) -> usize {
        self.0.framing.count(&self[..bytes.min(self.len())])
    }

    fn join(&mut self, next: &Self) -> bool {
        let next = next.framed(self.0.framing);
        match Arc::get_mut(&mut self.0) {
            Some(joined) => {
                joined.bytes.extend_from_slice(&next);
                joined.count += next.count();
                joined.other.take();
            }
            // Another shard has it, too.
            None => {
                let joined = [&self[..], &next].concat();
                *self = Self::new(joined, self.count() + next.count(), self.0.framing);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Framing::{LengthPrefix, WebSocket};

    #[test]
    fn the_other_framing_is_made_once_and_follows_what_is_joined() {
        let mut frame = Frame::text("{}", WebSocket);
        let other = frame.framed(LengthPrefix);
        assert_eq!((&*other, other.as_ptr()), (&b"\0\0\0\x02{}"[..], frame.framed(LengthPrefix).as_ptr()));
        assert_eq!(frame.framed(WebSocket).as_ptr(), frame.as_ptr());

        assert!(frame.join(&Frame::text("[]", LengthPrefix)));
        assert_eq!((&*frame, frame.count()), (&b"\x81\x02{}\x81\x02[]"[..], 2));
        let both = frame.framed(LengthPrefix);
        assert_eq!((&*both, both.count()), (&b"\0\0\0\x02{}\0\0\0\x02[]"[..], 2));
        assert_eq!([5, 6, 11, 12].map(|bytes| both.ended_within(bytes)), [0, 1, 1, 2]);
        assert_eq!(&*other, b"\0\0\0\x02{}", "what was queued before is as it was");
    }
}
