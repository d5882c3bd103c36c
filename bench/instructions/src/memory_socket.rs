//! A socket without a system behind it: it has something to read, and takes what is written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Counts what the hub has written to sockets, and tells when it is as much as is waited for.
#[derive(Default)]
pub(crate) struct Written {
    bytes: AtomicU64,
    goal: AtomicU64,
    reached: Notify,
}

impl Written {
    /// Waits until so many more bytes were written than at the last time.
    pub(crate) async fn more(&self, bytes: u64) {
        self.goal.fetch_add(bytes, Relaxed);
        while self.bytes.load(Relaxed) < self.goal.load(Relaxed) {
            self.reached.notified().await;
        }
    }

    fn add(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes as u64, Relaxed);
        let goal = self.goal.load(Relaxed);
        if (before..before + bytes as u64).contains(&(goal - 1)) {
            self.reached.notify_one();
        }
    }
}

/// Gives a number of bytes with each read, `times` over, and then nothing more.
pub(crate) struct MemorySocket {
    read: Vec<u8>,
    times: u64,
    written: Arc<Written>,
}

impl MemorySocket {
    pub(crate) fn new(read: Vec<u8>, times: u64, written: &Arc<Written>) -> Self {
        Self { read, times, written: written.clone() }
    }
}

impl AsyncRead for MemorySocket {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Nothing will come: nobody has to be woken.
        let Some(times) = self.times.checked_sub(1) else { return Poll::Pending };
        self.times = times;
        buffer.put_slice(&self.read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemorySocket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.add(bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        self.written.add(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
