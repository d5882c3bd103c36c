//! What the task, and the end of a connection, change in a link's target.

use super::{Life, LinkTarget, Stage, later};
use crate::event_target::{CloseReason, Notice};
use crate::protocol::AfterClose;
use crate::protocol::control::GapReason;
use crate::protocol::link::Due;
use crate::topic::Topic;
use bytestring::ByteString;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

impl LinkTarget {
    /// A new connection is there: `false` where the target was closed meanwhile.
    pub(crate) fn connected(&self) -> bool {
        let queued = {
            let mut state = self.lock();
            if !matches!(state.stage, Stage::Down(_)) {
                return false;
            }
            state.stage = Stage::Open;
            state.answered = false;
            state.counters.connections += 1;
            let queued = state.link.connected(self.now());
            state.tell_in();
            queued
        };
        if !self.options.link.forward_subscriptions && self.lock().counters.connections > 1 {
            // Nothing will be confirmed, so that this is the place.
            let reason = GapReason::Disconnected;
            self.listeners.notify(None, &Notice::Gap { topic: None, missed: None, reason });
        }
        self.controlled(queued);
        self.wake_waiters();
        true
    }

    /// Why there is no connection any more; `None` while there is one.
    pub(crate) fn connection_ended(&self) -> Option<CloseReason> {
        match &self.lock().stage {
            Stage::Open | Stage::Leaving(_) => None,
            Stage::Down(reason) => Some(reason.clone().unwrap_or(CloseReason::Closed)),
            Stage::Closed(reason) => Some(reason.clone()),
        }
    }

    /// The connection is over: with it the target, or only what was under way.
    pub(crate) fn connection_over(&self, reason: CloseReason) {
        let Life::Outlives { keep_events, renews_credentials, .. } = self.life else {
            self.end(reason);
            return;
        };
        let renews = renews_credentials && matches!(reason.code(), 1008 | 4008);
        if AfterClose::of(reason.code()) == AfterClose::Stop && !renews {
            self.end(reason);
            return;
        }
        {
            let mut state = self.lock();
            match state.stage {
                Stage::Open => {}
                Stage::Leaving(_) => {
                    drop(state);
                    self.end(reason);
                    return;
                }
                Stage::Down(_) | Stage::Closed(_) => return,
            }
            tracing::info!(code = reason.code(), %reason, "the connection is over");
            state.stage = Stage::Down(Some(reason));
            state.tell_out();
            let waited = state.link.outbound().iter().filter(|message| message.event).count() as u64;
            state.link.disconnected(keep_events);
            let kept = state.link.outbound().len() as u64;
            state.counters.dropped += waited - kept;
            // Whoever waits for what was taken to leave need not wait for what never will.
            state.handed = state.counters.sent - kept;
            state.flushed = state.handed;
        }
        self.wake_waiters();
        self.task.wake();
    }

    /// Ends the connection in good order, as far as the peer lets us.
    pub(crate) async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        let until = later(Instant::now(), patience);
        let kept = {
            let mut state = self.lock();
            match &state.stage {
                Stage::Closed(reason) => return Err(DisconnectError::Closed(reason.clone())),
                Stage::Down(_) => Some(state.link.outbound().len()),
                Stage::Open => {
                    state.stage = Stage::Leaving(until);
                    state.tell_out();
                    None
                }
                // Who asks once more may shorten it.
                Stage::Leaving(earlier) => {
                    state.stage = Stage::Leaving(until.min(*earlier));
                    None
                }
            }
        };
        if let Some(events) = kept {
            self.end(CloseReason::Closed);
            return if events == 0 { Ok(()) } else { Err(DisconnectError::Unsent { events }) };
        }
        self.task.wake();
        self.wake_waiters();
        // The task keeps the time, so that this ends also where nobody waits for it any more.
        self.waiters.until(|| self.closed_for()).await;
        let state = self.lock();
        match &state.stage {
            _ if state.unanswered => Err(DisconnectError::Unanswered),
            Stage::Closed(reason) if !state.answered => Err(DisconnectError::Closed(reason.clone())),
            _ => Ok(()),
        }
    }

    /// Sends a `__ping` and waits for its answer.
    pub(crate) async fn ping(&self) -> Result<(), CloseReason> {
        let number = self.send_ping()?;
        let look = || {
            let state = self.lock();
            if state.link.ponged(number) {
                return Some(Ok(()));
            }
            match &state.stage {
                Stage::Closed(reason) => Some(Err(reason.clone())),
                _ => None,
            }
        };
        self.waiters.until(look).await
    }

    /// Queues a ping; gives its number.
    pub(super) fn send_ping(&self) -> Result<u64, CloseReason> {
        let queued = {
            let mut state = self.lock();
            if let Stage::Closed(reason) = &state.stage {
                return Err(reason.clone());
            }
            state.link.ping()
        };
        self.controlled(queued);
        // Where it did not fit, the target is closed by now.
        queued.map_err(|_| self.connection_ended().unwrap_or(CloseReason::Closed))
    }

    /// Something came from the peer, of whatever kind.
    pub(crate) fn alive(&self) {
        if !matches!(self.life, Life::PerConnection { heartbeat: None }) {
            self.lock().link.alive();
        }
    }

    /// Queues more of what a new connection is to be asked for; gives whether more is left.
    pub(crate) fn refill(&self) -> bool {
        let refilled = self.lock().link.refill(self.now());
        if let Err(overflow) = refilled {
            self.overflowed(overflow);
        }
        refilled.unwrap_or(false)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let state = self.lock();
        match state.stage {
            // Nothing is asked any more.
            Stage::Leaving(until) => Some(until),
            _ => state.link.timeout().map(|time| self.at(time)),
        }
    }

    /// What became due by now.
    pub(crate) fn handle_timeout(&self) {
        let leaving = match self.lock().stage {
            Stage::Leaving(until) => Some(until),
            _ => None,
        };
        if let Some(until) = leaving {
            if until <= Instant::now() && self.end(CloseReason::Closed) {
                self.lock().unanswered = true;
            }
            return;
        }
        let due = self.lock().link.handle_timeout(self.now());
        match due {
            Ok(Due::Unanswered { after_gap }) => {
                tracing::debug!("the far side does not answer subscriptions");
                after_gap.iter().for_each(|topic| self.tell_gap(topic));
                self.waiters.wake_all();
            }
            Ok(Due::Dead) => {
                self.connection_over(CloseReason::Lost { error: "the far side answers no ping".into() });
            }
            Ok(_) => self.task.wake(),
            Err(overflow) => self.overflowed(overflow),
        }
    }

    /// Gives the oldest message that waits to `send`; `None` where none waits.
    pub(crate) fn send_next<E>(
        &self,
        send: impl FnOnce(ByteString, Option<Topic>) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let message = {
            let mut state = self.lock();
            // What is kept is for the next connection.
            if !matches!(state.stage, Stage::Open | Stage::Leaving(_)) {
                return None;
            }
            let message = state.link.pop()?;
            state.handed += u64::from(message.event);
            message
        };
        let sent = send(message.text, message.topic);
        if sent.is_err() && message.event {
            self.lock().counters.dropped += 1;
        }
        Some(sent)
    }

    /// The socket has flushed all that was given to it.
    pub(crate) fn has_flushed(&self) {
        let news = {
            let mut state = self.lock();
            let handed = state.handed;
            std::mem::replace(&mut state.flushed, handed) != handed
        };
        if news {
            self.leaving.wake_all();
        }
    }

    /// Resolves when the events taken so far are flushed or dropped, or it is closed.
    pub(super) async fn flush_all(&self) {
        let taken = self.lock().counters.sent;
        let look = || {
            let state = self.lock();
            (state.flushed >= taken || matches!(state.stage, Stage::Closed(_))).then_some(())
        };
        self.leaving.until(look).await;
    }

    /// Whether it is leaving and all that was queued has left.
    pub(crate) fn has_nothing_left_to_say(&self) -> bool {
        let mut state = self.lock();
        matches!(state.stage, Stage::Leaving(_)) && state.link.outbound().is_empty()
    }
}

/// Why [`disconnect`](crate::Spoke::disconnect) cannot say that the peer has taken everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The peer did not answer the Close in time.
    #[error("the far side did not answer the close in time")]
    Unanswered,
    /// There was no connection, and events that were kept for the next one are dropped.
    #[error("there was no connection, and {events} events that waited for one were not sent")]
    Unsent {
        /// How many.
        events: usize,
    },
    /// The target was closed before, the connection broke, or the peer closed with a code of its own.
    #[error("the target has ended: {0}")]
    Closed(#[source] CloseReason),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::link::TargetOptions;
    use crate::event_target::{EventTarget, Readiness};
    use crate::protocol::HeartbeatOptions;
    use crate::protocol::check::MessageLimits;
    use crate::protocol::link::LinkOptions;

    /// No task writes here, which would wake them, too.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_connection_is_woken_by_it() {
        let link = LinkOptions { forward_subscriptions: false, ..LinkOptions::DEFAULT };
        let options = TargetOptions {
            link,
            message: MessageLimits::DEFAULT,
            close_timeout: Duration::from_secs(2),
            broker: false,
        };
        let heartbeat = HeartbeatOptions::DEFAULT;
        let life = Life::Outlives { heartbeat, keep_events: false, renews_credentials: false };
        let target = LinkTarget::new(options, life);
        let mut ready = target.ready("tick:");
        let early = tokio::time::timeout(Duration::from_secs(1), &mut ready).await;
        assert!(early.is_err(), "there is no connection");
        let connecting = async { assert!(target.connected()) };
        let since = tokio::time::Instant::now();
        let both = async { tokio::join!(ready, connecting).0 };
        let found = tokio::time::timeout(Duration::from_secs(1), both).await;
        assert_eq!(found, Ok(Readiness::Unconfirmed));
        // At the end of its time a timeout looks once more.
        assert!(since.elapsed().is_zero(), "it was not woken");
    }
}
