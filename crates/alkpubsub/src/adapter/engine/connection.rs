//! One socket of a hub: bytes in and out, and how it ends.

use super::frame::Frame;
use super::framing::Framing;
use super::framing::websocket::Decoder;
use super::io::Io;
use super::spoke::Spoke;
use crate::event_target::{CloseReason, LinkId};
use crate::protocol::Outbound;
use crate::protocol::hub::Hub;
use crate::protocol::length_prefix::LengthPrefixError;
use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

/// A connection in a shard. Idle, it keeps no buffer.
pub(super) struct Connection {
    pub(super) id: LinkId,
    pub(super) io: Io,
    /// Whether it stands among those that have another turn: once, however often it is told of by then.
    pub(super) again: bool,
    pub(super) framing: Framing,
    /// Whether a first message came: a WebSocket has shaken hands, of a byte stream it is all that there is of that.
    pub(super) opened: bool,
    pub(super) decoder: Decoder,
    /// The beginning of a frame whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// The memory that these two take, as the hub knows it.
    held: usize,
    /// What goes out before anything of the hub's queue.
    unsent: Option<Box<Unsent>>,
    /// Bytes of the queue's first frame that were written. It stays in the queue, and counts there, until it is
    /// written whole.
    begun: usize,
    pub(super) state: State,
    /// There only where the program has hooks: it is what they are given.
    pub(super) spoke: Option<Arc<Spoke>>,
}

/// The answer to the handshake, or a frame whose place in the queue was taken from it; and how much of it was written.
struct Unsent {
    frame: Frame,
    written: usize,
}

impl Unsent {
    fn rest(&self) -> &[u8] {
        &self.frame[self.written..]
    }
}

pub(super) enum State {
    Open,
    // Apart, as few connections are closing and all would have the room for it.
    Closing(Box<Closing>),
}

/// A connection whose close frame is queued or sent.
pub(super) struct Closing {
    /// When it ends whether the peer has answered or not.
    pub(super) until: Duration,
    /// Whether the peer's close has come.
    pub(super) answered: bool,
    pub(super) heed: Heed,
    pub(super) reason: CloseReason,
}

/// What of a peer's words still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// All: a drain takes events until the peer closes.
    Events,
    /// Its close alone.
    Close,
    /// None: it said its last word, or what it sends cannot be read as frames.
    Nothing,
}

impl Connection {
    /// `greeting` is sent first, whatever becomes of the connection.
    pub(super) fn new(id: LinkId, framing: Framing, io: Io, greeting: Option<Frame>) -> Self {
        Self {
            id,
            io,
            again: false,
            framing,
            opened: framing == Framing::WebSocket,
            decoder: Decoder::default(),
            partial: Vec::new(),
            held: 0,
            unsent: greeting.map(|frame| Box::new(Unsent { frame, written: 0 })),
            begun: 0,
            state: State::Open,
            spoke: None,
        }
    }

    /// To be called after each read: tells the hub what the unfinished message takes, where that is something new.
    pub(super) fn tell_held(&mut self, hub: &mut Hub<Frame>) {
        let held = self.partial.capacity() + self.decoder.held();
        if held != self.held {
            self.held = held;
            hub.holds(self.id, held);
        }
    }

    /// Drops an unfinished message. What comes cannot be read as frames any more.
    pub(super) fn drop_unfinished(&mut self, hub: &mut Hub<Frame>) {
        (self.decoder, self.partial) = (Decoder::default(), Vec::new());
        self.tell_held(hub);
    }

    /// Writes what waits, everything in as few writes as the scratch buffer allows. Ready when nothing waits any
    /// more.
    pub(super) fn poll_write(&mut self, hub: &mut Hub<Frame>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        if self.io.is_blocked() {
            return Poll::Pending;
        }
        loop {
            let waiting = hub.waiting(self.id).filter(|waiting| !waiting.is_empty());
            let batch = match (&self.unsent, waiting) {
                (None, None) => return Poll::Ready(Ok(())),
                (Some(unsent), None) => unsent.rest(),
                (unsent, Some(waiting)) => match (unsent, waiting.one_piece()) {
                    (None, Some(piece)) => &piece[self.begun..],
                    (unsent, _) => {
                        let first = unsent.as_ref().map_or(&[][..], |unsent| unsent.rest());
                        gather(first, waiting, self.begun, scratch)
                    }
                },
            };
            let written = match ready!(self.io.poll_write(batch))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => written,
            };
            self.sent(written, hub);
        }
    }

    /// Forgets the bytes that were written.
    fn sent(&mut self, written: usize, hub: &mut Hub<Frame>) {
        let mut of_queue = written;
        if let Some(unsent) = &mut self.unsent {
            let taken = written.min(unsent.rest().len());
            unsent.written += taken;
            of_queue -= taken;
            if unsent.rest().is_empty() {
                self.unsent = None;
            }
        }
        self.begun = hub.written(self.id, self.begun + of_queue);
    }

    /// Takes a frame that was begun out of the queue, before the rest of the queue is dropped: half a frame would
    /// make what comes behind it unreadable.
    pub(super) fn keep_begun(&mut self, hub: &mut Hub<Frame>) {
        if self.begun > 0
            && let Some(frame) = hub.pop(self.id)
        {
            let written = std::mem::take(&mut self.begun);
            self.unsent = Some(Box::new(Unsent { frame, written }));
        }
    }

    /// To be called when it is gone: what was taken out of the queue and is not written to its end counts as dropped.
    pub(super) fn count_unsent(&self, hub: &mut Hub<Frame>) {
        if let Some(unsent) = &self.unsent {
            hub.not_sent(&unsent.frame, unsent.written);
        }
    }

    /// The peer's bytes have ended: whether it or this side had said goodbye, so that what waits is still written. Over a
    /// byte stream, this end is an answer to that of this side.
    pub(super) fn ends_in_order(&mut self, hub: &mut Hub<Frame>) -> bool {
        let State::Closing(closing) = &mut self.state else { return false };
        if self.framing == Framing::LengthPrefix {
            (closing.answered, closing.heed) = (true, Heed::Nothing);
        }
        let answered = closing.answered;
        self.drop_unfinished(hub);
        answered
    }

    /// What is to be said of it where the peer's bytes have ended, and it has not said goodbye.
    pub(super) fn cut(&self) -> String {
        match (self.framing, self.partial.len()) {
            (Framing::WebSocket, _) => "the connection was cut".into(),
            (Framing::LengthPrefix, 0) => "the stream ended without a word".into(),
            (Framing::LengthPrefix, received) => LengthPrefixError::Truncated { received }.to_string(),
        }
    }

    /// Whether nothing was read or written in part, so that somebody else can go on with the socket.
    pub(super) fn is_between_messages(&self) -> bool {
        self.unsent.is_none()
            && self.begun == 0
            && self.partial.is_empty()
            && self.decoder.is_between_messages()
    }
}

/// Copies what waits into one buffer: for small messages cheaper than a vectored write, and for large ones the
/// copy is small beside the kernel's own.
fn gather<'s>(unsent: &[u8], waiting: &Outbound<Frame>, begun: usize, scratch: &'s mut [u8]) -> &'s [u8] {
    let mut filled = 0;
    let mut begun = begun;
    let frames = waiting.iter().map(|frame| &frame[std::mem::take(&mut begun)..]);
    for bytes in std::iter::once(unsent).chain(frames) {
        let part = bytes.len().min(scratch.len() - filled);
        scratch[filled..filled + part].copy_from_slice(&bytes[..part]);
        filled += part;
        if part < bytes.len() {
            break;
        }
    }
    &scratch[..filled]
}
