//! One socket of a hub: bytes in and out, and how it ends.

use super::frame::Frame;
use super::spoke::Spoke;
use super::wake::SocketWaker;
use crate::adapter::websocket::frame::Decoder;
use crate::event_target::{CloseReason, LinkId};
use crate::protocol::Message;
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
    /// The rest of a frame that a write took only in part.
    unsent: Bytes,
    pub(super) wake: Arc<SocketWaker>,
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
    pub(super) fn new(id: LinkId, socket: Box<dyn Socket>, wake: Arc<SocketWaker>) -> Self {
        Self {
            id,
            socket,
            decoder: Decoder::default(),
            partial: Vec::new(),
            unsent: Bytes::new(),
            waker: Waker::from(wake.clone()),
            wake,
            state: State::Open,
            spoke: None,
        }
    }

    /// Reads into the scratch buffer. `Ok(0)` is the end of the stream.
    pub(super) fn poll_read(&mut self, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        let mut context = Context::from_waker(&self.waker);
        Pin::new(&mut *self.socket).poll_read(&mut context, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    /// Writes what waits, everything in as few writes as the scratch buffer allows. Ready when nothing waits any
    /// more.
    pub(super) fn poll_write(&mut self, hub: &mut Hub<Frame>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        loop {
            let waiting = hub.waiting(self.id).filter(|waiting| !waiting.is_empty());
            let alone = match waiting {
                None if self.unsent.is_empty() => {
                    // Gives the queue's memory back.
                    hub.pop(self.id);
                    return Poll::Ready(Ok(()));
                }
                None => true,
                Some(waiting) => self.unsent.is_empty() && waiting.len() == 1,
            };
            if alone && self.unsent.is_empty() {
                self.unsent = hub.pop(self.id).map_or_else(Bytes::new, Bytes::from);
            }
            let batch: &[u8] = if alone { &self.unsent } else { gather(&self.unsent, hub, self.id, scratch) };
            let mut context = Context::from_waker(&self.waker);
            let written = match Pin::new(&mut *self.socket).poll_write(&mut context, batch) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            self.sent(written, hub);
        }
    }

    /// Forgets the bytes that were written.
    fn sent(&mut self, mut written: usize, hub: &mut Hub<Frame>) {
        let rest = written.min(self.unsent.len());
        self.unsent.advance(rest);
        written -= rest;
        while written > 0 {
            let Some(frame) = hub.pop(self.id) else { return };
            let whole = written.min(frame.weight());
            written -= whole;
            self.unsent = frame.into();
            self.unsent.advance(whole);
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
        self.unsent.is_empty() && self.partial.is_empty() && self.decoder.is_between_messages()
    }

    /// Asks for another turn in the next round.
    pub(super) fn requeue(&self) {
        self.waker.wake_by_ref();
    }
}

/// Copies what waits into one buffer: for small messages cheaper than a vectored write, and for large ones the
/// copy is small beside the kernel's own.
fn gather<'s>(unsent: &[u8], hub: &Hub<Frame>, id: LinkId, scratch: &'s mut [u8]) -> &'s [u8] {
    let mut filled = 0;
    let waiting = hub.waiting(id).into_iter().flat_map(|waiting| waiting.iter());
    for bytes in std::iter::once(unsent).chain(waiting.map(|frame| &**frame)) {
        let part = bytes.len().min(scratch.len() - filled);
        scratch[filled..filled + part].copy_from_slice(&bytes[..part]);
        filled += part;
        if part < bytes.len() {
            break;
        }
    }
    &scratch[..filled]
}
