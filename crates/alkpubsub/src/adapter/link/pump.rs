//! The task of one connection: it moves bytes between the socket and the link, and decides nothing.

use super::socket::{SocketInput, SocketMessage};
use super::target::{LinkTarget, later};
use crate::event_target::CloseReason;
use crate::protocol::check::Refusal;
use bytestring::ByteString;
use futures_core::Stream;
use futures_sink::Sink;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep};

/// Messages that are read before the task looks after writing, and after others, again.
const ROUND: usize = 64;

pub(crate) struct Pump<S> {
    shared: Arc<LinkTarget>,
    socket: S,
    /// Whether the socket ends with the target.
    owned: bool,
    unflushed: bool,
    close_sent: bool,
    /// Writing failed. What the peer sent before that, its Close perhaps, can still be read for a while.
    broken: Option<(Instant, CloseReason)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Pump<S> {
    pub(crate) fn new(shared: Arc<LinkTarget>, socket: S, owned: bool) -> Self {
        Self { shared, socket, owned, unflushed: false, close_sent: false, broken: None, timer: None }
    }
}

impl<M, S> Pump<S>
where
    M: SocketMessage,
    S: Stream<Item = Result<M, M::Error>> + Sink<M, Error = M::Error> + Unpin,
{
    /// Runs until the connection is over, and gives the socket back, and whether a Close of ours is on its way that
    /// the peer has not answered.
    pub(crate) async fn run(mut self) -> (S, bool) {
        let reason = poll_fn(|context| self.poll(context)).await;
        let patience = self.shared.options.close_timeout;
        let unanswered = match tokio::time::timeout(patience, self.take_leave(&reason)).await {
            // A Close that is an answer has none.
            Ok(Ok(())) if matches!(reason, CloseReason::ByPeer { .. }) => false,
            Ok(Ok(())) => self.close_sent && !self.shared.lock().answered,
            // The socket is broken, or its peer takes nothing any more.
            Ok(Err(_)) | Err(_) => false,
        };
        (self.socket, unanswered)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        // Before anything is looked at, so that whatever comes afterwards wakes this task again.
        self.shared.task.register(context.waker());
        if let Some(reason) = self.shared.connection_ended() {
            return Poll::Ready(reason);
        }
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(context)
        {
            let until = later(Instant::now(), self.shared.options.close_timeout);
            self.broken = Some((until, lost(&error)));
        }
        if self.shared.connection_ended().is_none() {
            if let Poll::Ready(reason) = self.poll_read(context) {
                self.shared.connection_over(reason);
            }
            self.poll_timer(context);
        }
        self.shared.connection_ended().map_or(Poll::Pending, Poll::Ready)
    }

    /// One round of writing: all that waits, flushed once. What comes meanwhile wakes the task, so that reading has
    /// its turn between two rounds.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        if self.unflushed {
            ready!(self.poll_flush(context))?;
        }
        if !self.close_sent {
            let more = self.shared.refill();
            let waiting = self.shared.lock().link.outbound().len();
            if waiting > 0 {
                let fed = self.poll_feed(waiting, context);
                // Even where the socket takes no more now, there is more room in the queue than before.
                self.shared.leaving.wake_all();
                ready!(fed)?;
            }
            if more {
                context.waker().wake_by_ref();
            }
            if self.shared.has_nothing_left_to_say() {
                ready!(self.poll_ready(context))?;
                self.start_close(1000, "")?;
            }
        }
        if self.unflushed {
            return self.poll_flush(context);
        }
        self.shared.lock().link.outbound().shrink();
        Poll::Ready(Ok(()))
    }

    fn poll_feed(&mut self, count: usize, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        for _ in 0..count {
            ready!(self.poll_ready(context))?;
            let socket = &mut self.socket;
            let send = |text: ByteString, topic| Pin::new(socket).start_send(M::event(text, topic));
            match self.shared.send_next(send) {
                Some(sent) => sent?,
                None => break,
            }
            self.unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Pin::new(&mut self.socket).poll_ready(context)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.unflushed = false;
        self.shared.has_flushed();
        Poll::Ready(Ok(()))
    }

    fn start_close(&mut self, code: u16, reason: &str) -> Result<(), M::Error> {
        self.close_sent = true;
        self.unflushed = true;
        Pin::new(&mut self.socket).start_send(M::close(code, reason))
    }

    /// Reads for one round; gives why the connection is at its end, where it is.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        for number in 0..ROUND {
            let reason = match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(message)) => {
                    if message.shows_life(number == 0) {
                        self.shared.alive();
                    }
                    match self.take(message.read()) {
                        ControlFlow::Continue(()) => continue,
                        ControlFlow::Break(reason) => reason,
                    }
                }
                Some(Err(error)) => match M::close_code(&error) {
                    Some(code) => CloseReason::Refused { code, reason: error.to_string().into() },
                    None => self.why_lost(lost(&error)),
                },
                None => {
                    self.why_lost(CloseReason::Lost { error: "the far side ended it without a word".into() })
                }
            };
            return Poll::Ready(reason);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// What made writing fail says more than that nothing can be read any more.
    fn why_lost(&mut self, reason: CloseReason) -> CloseReason {
        self.broken.take().map_or(reason, |(_, reason)| reason)
    }

    fn take(&self, input: SocketInput) -> ControlFlow<CloseReason> {
        let taken = match input {
            SocketInput::Text(text) => self.receive(&text, None),
            SocketInput::Published { topic, text } => match ByteString::try_from(text) {
                Ok(text) => self.receive(&text, Some(&topic)),
                Err(error) => self.shared.refuse(Refusal::NotUtf8 { at: error.valid_up_to() }),
            },
            SocketInput::Binary(bytes) if bytes.len() > self.shared.options.message.max_message => {
                self.shared.refuse(Refusal::TooLarge { limit: self.shared.options.message.max_message })
            }
            SocketInput::Binary(bytes) => match ByteString::try_from(bytes) {
                Ok(text) => self.receive(&text, None),
                Err(error) => self.shared.refuse(Refusal::NotUtf8 { at: error.valid_up_to() }),
            },
            SocketInput::Close { code, reason } => Err(self.closed_by_peer(code.unwrap_or(1005), reason)),
            SocketInput::Other => Ok(()),
        };
        match taken {
            // A listener may have closed the target: then nothing more is read.
            Ok(()) => self.shared.connection_ended().map_or(ControlFlow::Continue(()), ControlFlow::Break),
            Err(reason) => ControlFlow::Break(reason),
        }
    }

    fn receive(&self, text: &ByteString, of: Option<&str>) -> Result<(), CloseReason> {
        self.shared.receive(text, of, M::CLOSES_BY_EVENT).map_err(|reason| match reason {
            CloseReason::ByPeer { code, reason } => self.closed_by_peer(code, reason),
            ours => ours,
        })
    }

    fn closed_by_peer(&self, code: u16, reason: Arc<str>) -> CloseReason {
        // An answer repeats our 1000 or says nothing; any other code is the peer's own word.
        if self.close_sent && matches!(code, 1000 | 1005) {
            self.shared.lock().answered = true;
            return CloseReason::Closed;
        }
        CloseReason::by_peer(code, reason)
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) {
        loop {
            let answer = self.shared.timeout();
            let broken = self.broken.as_ref().map(|(until, _)| *until);
            let Some(due) = answer.into_iter().chain(broken).min() else {
                self.timer = None;
                return;
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(context).is_pending() {
                return;
            }
            self.timer = None;
            self.shared.handle_timeout();
            if let Some((_, reason)) = self.broken.take_if(|(until, _)| *until <= Instant::now()) {
                self.shared.connection_over(reason);
            }
            if self.shared.connection_ended().is_some() {
                return;
            }
        }
    }

    /// What the socket is told at the end. A socket that was only lent is left alone, unless its peer is to know
    /// what it did wrong.
    async fn take_leave(&mut self, reason: &CloseReason) -> Result<(), M::Error> {
        let (code, words) = match reason {
            CloseReason::Refused { code, reason } => (*code, &**reason),
            CloseReason::Closed if self.owned => (1000, ""),
            CloseReason::ByPeer { code, .. } if M::CLOSES_BY_EVENT => (*code, ""),
            // The socket's own answer to the peer's Close.
            CloseReason::ByPeer { .. } => return poll_fn(|context| self.poll_flush(context)).await,
            CloseReason::Closed | CloseReason::Lost { .. } | CloseReason::GivenUp { .. } => return Ok(()),
        };
        if !self.close_sent {
            poll_fn(|context| self.poll_ready(context)).await?;
            self.start_close(code, words)?;
        }
        poll_fn(|context| self.poll_flush(context)).await
    }
}

fn lost(error: &impl std::fmt::Display) -> CloseReason {
    CloseReason::Lost { error: error.to_string().into() }
}
