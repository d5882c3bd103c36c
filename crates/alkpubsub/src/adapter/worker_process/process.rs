//! The child itself: its pipes, its exit, its end.

use crate::event_target::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use std::future::poll_fn;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout};

/// A child that is waited for.
pub(super) struct Process {
    pid: Option<Pid>,
    /// Owns the child, which is killed where this is dropped before it has exited. `None`: it has.
    waiting: Option<BoxFuture<'static, io::Result<ExitStatus>>>,
    status: Arc<OnceLock<ExitStatus>>,
}

impl Process {
    /// Its pipes are taken out by now.
    pub(super) fn new(mut child: Child, status: Arc<OnceLock<ExitStatus>>) -> Self {
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { pid, waiting: Some(Box::pin(async move { child.wait().await })), status }
    }

    /// Ready when it has exited and was reaped; `None` where the system does not say how.
    pub(super) fn poll_exit(&mut self, context: &mut Context<'_>) -> Poll<Option<ExitStatus>> {
        if let Some(waiting) = &mut self.waiting {
            let waited = ready!(waiting.as_mut().poll(context));
            self.waiting = None;
            match waited {
                Ok(status) => _ = self.status.set(status),
                Err(error) => tracing::warn!(%error, "a child cannot be waited for"),
            }
        }
        Poll::Ready(self.status.get().copied())
    }

    pub(super) async fn exit(&mut self) {
        poll_fn(|context| self.poll_exit(context)).await;
    }

    /// Nothing where it was reaped: its number may be another's by now.
    pub(super) fn signal(&self, signal: Signal) {
        if let (Some(pid), Some(_)) = (self.pid, &self.waiting) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// The child's standard output and input, as one stream.
pub(super) struct Pipes {
    pub(super) stdout: ChildStdout,
    pub(super) stdin: Option<ChildStdin>,
}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin.as_mut().map_or(Poll::Ready(Ok(())), |stdin| Pin::new(stdin).poll_flush(context))
    }

    /// A pipe is shut down by closing it.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid).field("status", &self.status.get()).finish()
    }
}
