//! One socket of a hub: bytes in and out, and how it ends.

use super::frame::Frame;
use super::spoke::Spoke;
use super::wake::SocketWaker;
use crate::adapter::websocket::frame::Decoder;
use crate::event_target::{CloseReason, LinkId};
use crate::protocol::Outbound;
use crate::protocol::hub::Hub;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a hub needs of a socket.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for T {}

/// A connection in a shard. Idle, it keeps no buffer.
pub(super) struct Connection {
    pub(super) id: LinkId,
    pub(super) socket: Box<dyn Socket>,
    pub(super) decoder: Decoder,
    /// The beginning of a frame whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// The memory that these two take, as the hub knows it.
    held: usize,
    /// What goes out before anything of the hub's queue: the answer to the handshake, or the rest of a frame whose
    /// place in the queue was taken from it.
    unsent: Bytes,
    /// Bytes of the queue's first frame that were written. It stays in the queue, and counts there, until it is
    /// written whole.
    begun: usize,
    /// Whether the last write found no room.
    blocked: bool,
    wake: Arc<SocketWaker>,
    waker: Waker,
    pub(super) state: State,
    /// There only where the program has hooks: it is what they are given.
    pub(super) spoke: Option<Arc<Spoke>>,
}

pub(super) enum State {
    Open,
    Closing(Closing),
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
    pub(super) fn new(id: LinkId, socket: Box<dyn Socket>, greeting: Bytes, wake: Arc<SocketWaker>) -> Self {
        Self {
            id,
            socket,
            decoder: Decoder::default(),
            partial: Vec::new(),
            held: 0,
            unsent: greeting,
            begun: 0,
            blocked: false,
            waker: Waker::from(wake.clone()),
            wake,
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

    /// Reads into the scratch buffer. `Ok(0)` is the end of the stream.
    pub(super) fn poll_read(&mut self, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        let mut context = Context::from_waker(&self.waker);
        Pin::new(&mut *self.socket).poll_read(&mut context, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    /// To be called when its slot was taken from the list, before it is looked at.
    pub(super) fn woken(&mut self) {
        self.wake.taken();
        self.blocked = false;
    }

    /// Writes what waits, everything in as few writes as the scratch buffer allows. Ready when nothing waits any
    /// more. A socket that had no room is not asked again until it wakes: what waits for it would be gathered anew
    /// for each event, and peers that are slow would cost more than those that are not.
    pub(super) fn poll_write(&mut self, hub: &mut Hub<Frame>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        if self.blocked && !self.wake.is_listed() {
            return Poll::Pending;
        }
        self.blocked = false;
        loop {
            let waiting = hub.waiting(self.id).filter(|waiting| !waiting.is_empty());
            let batch = match waiting {
                None if self.unsent.is_empty() => return Poll::Ready(Ok(())),
                None => &self.unsent,
                Some(waiting) if self.unsent.is_empty() && waiting.len() == 1 => {
                    &waiting.iter().next().expect("it has one")[self.begun..]
                }
                Some(waiting) => gather(&self.unsent, waiting, self.begun, scratch),
            };
            let mut context = Context::from_waker(&self.waker);
            let written = match Pin::new(&mut *self.socket).poll_write(&mut context, batch) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
            };
            self.sent(written, hub);
        }
    }

    /// Forgets the bytes that were written.
    fn sent(&mut self, written: usize, hub: &mut Hub<Frame>) {
        let rest = written.min(self.unsent.len());
        self.unsent.advance(rest);
        self.begun = hub.written(self.id, self.begun + written - rest);
    }

    /// Takes a frame that was begun out of the queue, before the rest of the queue is dropped: half a frame would
    /// make what comes behind it unreadable.
    pub(super) fn keep_begun(&mut self, hub: &mut Hub<Frame>) {
        if self.begun > 0
            && let Some(frame) = hub.pop(self.id)
        {
            self.unsent = frame.into();
            self.unsent.advance(std::mem::take(&mut self.begun));
        }
    }

    /// Sends what a TLS or another layer below may have kept back, or the end of the stream.
    pub(super) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket).poll_flush(&mut Context::from_waker(&self.waker))
    }

    pub(super) fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket).poll_shutdown(&mut Context::from_waker(&self.waker))
    }

    /// Whether nothing was read or written in part, so that somebody else can go on with the socket.
    pub(super) fn is_between_messages(&self) -> bool {
        self.unsent.is_empty()
            && self.begun == 0
            && self.partial.is_empty()
            && self.decoder.is_between_messages()
    }

    /// Asks for another turn in the next round.
    pub(super) fn requeue(&self) {
        self.waker.wake_by_ref();
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
