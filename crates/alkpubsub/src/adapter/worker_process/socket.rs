//! A child's pipes as a socket that knows why they ended.

use super::failure::ProcessFailure;
use super::message::ProcessMessage;
use super::options::ProcessOptions;
use super::process::{Pipes, Process};
use crate::adapter::byte_stream::{ByteStreamError, ByteStreamSocket};
use crate::protocol::length_prefix::LengthPrefixError;
use futures_core::Stream;
use futures_sink::Sink;
use rustix::process::Signal;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, Sleep, timeout};

/// How long what a child wrote before its exit may take to be seen, where somebody else holds its standard output.
const LINGER: Duration = Duration::from_millis(100);

/// Frames on a child's pipes. An end of them is told as what became of the child: it is waited for, for a while.
pub(super) struct ProcessSocket {
    stream: ByteStreamSocket<Pipes>,
    process: Process,
    failure: Arc<OnceLock<ProcessFailure>>,
    /// How long a child that closed a pipe may take to exit, before it counts as one that lives on.
    patience: Duration,
    /// Its standard output ended; whether within a frame.
    ended: Option<bool>,
    write_failed: bool,
    /// Runs when the child has exited or a pipe was closed, whichever came first, and the other is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl ProcessSocket {
    pub(super) fn new(
        stream: ByteStreamSocket<Pipes>,
        process: Process,
        failure: Arc<OnceLock<ProcessFailure>>,
        patience: Duration,
    ) -> Self {
        Self {
            stream,
            process,
            failure,
            patience,
            ended: None,
            write_failed: false,
            timer: None,
            over: false,
        }
    }

    fn fail<T>(&mut self, failure: ProcessFailure) -> Poll<Option<Result<T, ProcessFailure>>> {
        self.over = true;
        let _ = self.failure.set(failure.clone());
        Poll::Ready(Some(Err(failure)))
    }

    fn poll_timer(&mut self, after: Duration, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        let until = Instant::now() + after;
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(context)
    }

    /// Nothing can be written any more. Why, is known when the child's exit is; until then reading goes on.
    fn poll_unwritable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ProcessFailure>> {
        self.write_failed = true;
        if self.over {
            return Poll::Ready(Err(self.failure.get().cloned().unwrap_or(ProcessFailure::Unknown)));
        }
        let status = ready!(self.process.poll_exit(context));
        if self.ended.is_none() {
            // Reading tells more, where somebody reads.
            ready!(self.poll_timer(LINGER, context));
        }
        let failure = ProcessFailure::ended(status, self.ended.unwrap_or(false));
        let _ = self.failure.set(failure.clone());
        Poll::Ready(Err(failure))
    }

    fn poll_written(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(
            Pin<&mut ByteStreamSocket<Pipes>>,
            &mut Context<'_>,
        ) -> Poll<Result<(), ByteStreamError>>,
    ) -> Poll<Result<(), ProcessFailure>> {
        if !self.write_failed && ready!(write(Pin::new(&mut self.stream), context)).is_ok() {
            return Poll::Ready(Ok(()));
        }
        self.poll_unwritable(context)
    }

    /// Sees the child off, when its link has ended.
    pub(super) async fn finish(mut self, options: &ProcessOptions) {
        let pipes = self.stream.stream_mut();
        pipes.stdin = None;
        let process = &mut self.process;
        let mut exited = pin!(async {
            if timeout(options.exit_timeout, process.exit()).await.is_ok() {
                return;
            }
            process.signal(Signal::TERM);
            if timeout(options.term_timeout, process.exit()).await.is_ok() {
                return;
            }
            process.signal(Signal::KILL);
            process.exit().await;
        });
        let mut scratch = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                () = &mut exited => return,
                // So that it is not held up by what nobody reads any more.
                read = pipes.stdout.read(&mut scratch) => if !matches!(read, Ok(1..)) {
                    return exited.await;
                }
            }
        }
    }
}

impl Stream for ProcessSocket {
    type Item = Result<ProcessMessage, ProcessFailure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.ended.is_none() {
            match Pin::new(&mut this.stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => return Poll::Ready(Some(Ok(ProcessMessage(message)))),
                Poll::Ready(Some(Err(ByteStreamError::Frame(LengthPrefixError::Truncated { .. })))) => {
                    this.ended = Some(true);
                }
                Poll::Ready(Some(Err(ByteStreamError::Frame(error)))) => {
                    return this.fail(ProcessFailure::bad_frame(error));
                }
                Poll::Ready(Some(Err(ByteStreamError::Io(_))) | None) => this.ended = Some(false),
                Poll::Pending => {}
            }
        }
        let within_frame = this.ended.unwrap_or(false);
        match this.process.poll_exit(context) {
            Poll::Ready(status) => {
                if this.ended.is_none() {
                    ready!(this.poll_timer(LINGER, context));
                }
                this.fail(ProcessFailure::ended(status, within_frame))
            }
            Poll::Pending if this.ended.is_some() || this.write_failed => {
                ready!(this.poll_timer(this.patience, context));
                this.fail(match this.ended {
                    Some(within_frame) => ProcessFailure::ClosedOutput { within_frame },
                    None => ProcessFailure::ClosedInput,
                })
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Sink<ProcessMessage> for ProcessSocket {
    type Error = ProcessFailure;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ProcessFailure>> {
        self.poll_written(context, |stream, context| stream.poll_ready(context))
    }

    fn start_send(mut self: Pin<&mut Self>, message: ProcessMessage) -> Result<(), ProcessFailure> {
        // It gathers; that it cannot write is told by those who flush.
        if Pin::new(&mut self.stream).start_send(message.0).is_err() {
            self.write_failed = true;
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ProcessFailure>> {
        self.poll_written(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ProcessFailure>> {
        self.poll_flush(context)
    }
}
