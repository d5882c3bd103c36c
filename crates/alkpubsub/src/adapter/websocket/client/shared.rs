//! What the target and its task share.

use super::ClientOptions;
use crate::adapter::admit;
use crate::envelope::EventEnvelope;
use crate::event_target::{
    CloseReason, DispatchError, ListenError, Listener, ListenerId, Notice, TargetError,
};
use crate::listeners::Listeners;
use crate::protocol::Message;
use crate::protocol::check::{self, Refusal};
use crate::protocol::control::Action;
use crate::protocol::link::{ControlOverflow, Heard, Link};
use crate::stats::Stats;
use crate::topic::{Topic, with_topic};
use crate::waiters::Waiters;
use bytestring::ByteString;
use futures_util::task::AtomicWaker;
use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What waits to be sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) text: ByteString,
    /// An event of the program's; else a control event.
    event: bool,
}

impl Message for Outgoing {
    fn from_text(text: String) -> Self {
        Self { text: text.into(), event: false }
    }

    fn weight(&self) -> usize {
        self.text.len()
    }

    fn is_control(&self) -> bool {
        !self.event
    }
}

pub(super) struct Shared {
    pub(super) options: ClientOptions,
    pub(super) listeners: Listeners,
    /// Those who wait for an answer, for room or for the end.
    pub(super) waiters: Waiters,
    /// The task, to be woken when there is something to send or to end.
    pub(super) task: AtomicWaker,
    /// Held while a message goes from the queue into the socket, so that an end that was called on another thread
    /// is either before that message or after it, and has waited for it.
    sending: Mutex<()>,
    start: Instant,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) link: Link<Outgoing>,
    pub(super) stage: Stage,
    /// The peer answered our Close.
    pub(super) answered: bool,
    /// The task is gone.
    pub(super) ended: bool,
    /// To stop it with, while it is there.
    pub(super) task: Option<AbortHandle>,
    /// What was given to `new`, after the end.
    pub(super) socket: Option<Box<dyn Any + Send>>,
    /// Events given to the socket, and those of them that it has flushed.
    handed: u64,
    flushed: u64,
    counters: Stats,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    Open,
    /// What is queued goes out, then our Close; what comes until the peer's Close is heard.
    Leaving,
    Closed(CloseReason),
}

/// How far ahead a time lies that is too far ahead to be told.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// So long after a moment; a program that waits for ever says so with a time that no clock holds.
pub(super) fn later(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or_else(|| moment + FAR)
}

impl Shared {
    pub(super) fn new(options: ClientOptions) -> Self {
        let state = State {
            link: Link::new(options.link),
            stage: Stage::Open,
            answered: false,
            ended: false,
            task: None,
            socket: None,
            handed: 0,
            flushed: 0,
            counters: Stats::default(),
        };
        Self {
            options,
            listeners: Listeners::default(),
            waiters: Waiters::default(),
            task: AtomicWaker::new(),
            sending: Mutex::new(()),
            start: Instant::now(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time as the link counts it.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The link's time as the runtime counts it.
    pub(super) fn at(&self, time: Duration) -> Instant {
        later(self.start, time)
    }

    pub(super) fn closed(&self) -> Option<CloseReason> {
        match &self.lock().stage {
            Stage::Closed(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    pub(super) fn add(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        let limit = self.options.link.max_topic;
        if name.len() > limit {
            return Err(ListenError::TopicTooLong { limit });
        }
        // Where it is refused, it is dropped at the end of this function, without a lock.
        let given = listener.clone();
        let now = self.now();
        let (id, wanted) = {
            // One lock around both: a denial that was read before must not reach a listener that asks anew.
            let mut state = self.lock();
            if let Stage::Closed(reason) = &state.stage {
                return Err(ListenError::Closed(reason.clone()));
            }
            let id = self.listeners.add(name, listener)?;
            let wanted = if Notice::NAMES.contains(&name) { Ok(()) } else { state.link.want(name, now) };
            (id, wanted)
        };
        drop(given);
        self.controlled(wanted);
        Ok(id)
    }

    pub(super) fn remove(&self, id: ListenerId) {
        // No lock around both: a listener that comes between them finds the topic wanted still, and is counted
        // before this one is taken off.
        let Some(name) = self.listeners.remove(id) else {
            return;
        };
        if !Notice::NAMES.contains(&&*name) {
            let unwanted = {
                let mut state = self.lock();
                // After the end nothing is sent, not even for a listener that leaves on hearing of it.
                if matches!(state.stage, Stage::Closed(_)) {
                    return;
                }
                state.link.unwant(&name)
            };
            self.controlled(unwanted);
        }
    }

    pub(super) fn dispatch(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        let limit = self.options.link.max_topic;
        let admitted = if event.topic().as_str().len() > limit {
            Err(DispatchError::TopicTooLong { limit })
        } else {
            admit(event, &self.options.message)
        };
        let mut state = self.lock();
        let open = match &state.stage {
            Stage::Open => Ok(()),
            Stage::Leaving => Err(DispatchError::Closed(CloseReason::Closed)),
            Stage::Closed(reason) => Err(DispatchError::Closed(reason.clone())),
        };
        let taken = open.and(admitted).and_then(|text| {
            let queued = state.link.send(Outgoing { text: text.clone(), event: true });
            queued.then_some(()).ok_or(DispatchError::Full)
        });
        match &taken {
            Ok(()) => {
                state.counters.dispatched += 1;
                state.counters.sent += 1;
            }
            Err(_) => state.counters.rejected += 1,
        }
        drop(state);
        if taken.is_ok() {
            self.task.wake();
        }
        taken
    }

    /// Queues a ping; gives its number.
    pub(super) fn ping(&self) -> Result<u64, CloseReason> {
        let queued = {
            let mut state = self.lock();
            if let Stage::Closed(reason) = &state.stage {
                return Err(reason.clone());
            }
            state.link.ping()
        };
        self.controlled(queued);
        // Where it did not fit, the target is closed by now.
        queued.map_err(|_| self.closed().unwrap_or(CloseReason::Closed))
    }

    /// After a control event was queued, or did not fit any more.
    fn controlled<T>(&self, queued: Result<T, ControlOverflow>) {
        match queued {
            Ok(_) => self.task.wake(),
            Err(overflow) => {
                self.lock().counters.too_slow += 1;
                self.end(CloseReason::Refused { code: 1013, reason: overflow.to_string().into() });
            }
        }
    }

    /// Ends it, if this call is the first that does: listeners get the notice, those who wait look, the task
    /// finishes. Nothing that is queued leaves any more.
    pub(super) fn end(&self, reason: CloseReason) -> bool {
        {
            let mut state = self.lock();
            if matches!(state.stage, Stage::Closed(_)) {
                return false;
            }
            state.stage = Stage::Closed(reason.clone());
            let outbound = state.link.outbound();
            let dropped = std::iter::from_fn(|| outbound.pop()).filter(|message| message.event).count();
            outbound.shrink();
            state.counters.dropped += dropped as u64;
        }
        drop(self.sending.lock());
        tracing::debug!(code = reason.code(), %reason, "closed");
        self.listeners.close(reason);
        self.waiters.wake_all();
        self.task.wake();
        true
    }

    /// Gives the oldest message that waits to `send`; `None` where none waits.
    pub(super) fn send_next<E>(
        &self,
        send: impl FnOnce(ByteString) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let message = {
            let mut state = self.lock();
            let message = state.link.outbound().pop()?;
            state.handed += u64::from(message.event);
            message
        };
        let sent = send(message.text);
        if sent.is_err() && message.event {
            self.lock().counters.dropped += 1;
        }
        Some(sent)
    }

    /// The socket has flushed all that was given to it.
    pub(super) fn has_flushed(&self) {
        let news = {
            let mut state = self.lock();
            let handed = state.handed;
            std::mem::replace(&mut state.flushed, handed) != handed
        };
        if news {
            self.waiters.wake_all();
        }
    }

    /// Resolves when the events taken so far are flushed, or it is closed.
    pub(super) async fn flush(&self) {
        let taken = self.lock().counters.sent;
        let look = || {
            let state = self.lock();
            (state.flushed >= taken || matches!(state.stage, Stage::Closed(_))).then_some(())
        };
        self.waiters.until(look).await;
    }

    /// Whether it is leaving and all that was queued has left.
    pub(super) fn has_nothing_left_to_say(&self) -> bool {
        let mut state = self.lock();
        matches!(state.stage, Stage::Leaving) && state.link.outbound().is_empty()
    }

    /// Takes a message from the peer: `Err` with the reason where it is one that ends the connection.
    pub(super) fn receive(&self, text: &ByteString) -> Result<(), CloseReason> {
        let parts = match check::parts(text.as_bytes(), &self.options.message) {
            Ok(parts) => parts,
            Err(refusal) => return self.refuse(refusal),
        };
        let heard = {
            let mut state = self.lock();
            let heard = state.link.receive(&parts);
            match &heard {
                Ok(Heard::Event) => state.counters.received += 1,
                Ok(Heard::Denied { .. }) => state.counters.denied += 1,
                _ => {}
            }
            // Whoever asks after this denial waits for an answer of their own.
            heard.map(|heard| match heard {
                Heard::Denied { topic, action, reason } => {
                    let audience = self.listeners.audience(Some(&topic));
                    (Heard::Denied { topic, action, reason }, Some(audience))
                }
                other => (other, None),
            })
        };
        match heard {
            Err(refusal) => return self.refuse(refusal),
            Ok((Heard::Event, _)) => {
                if with_topic(&parts.event_type, &parts.id, |topic| self.listeners.is_heard(topic)) {
                    self.listeners.dispatch(&EventEnvelope::checked(text, &parts, None));
                }
            }
            Ok((Heard::Settled | Heard::Pong, _)) => self.waiters.wake_all(),
            Ok((Heard::Denied { topic, action, reason }, audience)) => {
                tracing::debug!(%topic, %action, %reason, "denied");
                let notice = Notice::Denied { topic: (*topic).into(), action, reason };
                if let Some(audience) = audience {
                    self.listeners.tell(&audience, &notice);
                }
                if action == Action::Subscribe {
                    self.waiters.wake_all();
                }
            }
            Ok((Heard::Gap { topic: None, missed, reason }, _)) => {
                self.listeners.notify(None, &Notice::Gap { topic: None, missed, reason });
            }
            Ok((Heard::Gap { topic: Some(topic), missed, reason }, _)) => match Topic::parse(&topic) {
                Ok(topic) => {
                    let notice = Notice::Gap { topic: Some(topic.clone()), missed, reason };
                    self.listeners.notify(Some(topic.as_str()), &notice);
                }
                Err(_) => return self.refuse(Refusal::BadControl),
            },
            Ok((Heard::Ignored, _)) => {}
        }
        Ok(())
    }

    /// Counts and tells of a message that was refused: `Err` with the reason where it was one too many, or over
    /// the limit.
    pub(super) fn refuse(&self, refusal: Refusal) -> Result<(), CloseReason> {
        tracing::debug!(reason = refusal.name(), "bad input");
        let too_many = {
            let mut state = self.lock();
            state.counters.bad_input += 1;
            state.counters.refusals.add(&refusal);
            state.link.refused(self.now())
        };
        self.listeners.notify_named(&Notice::Error(TargetError::BadInput(refusal)));
        let code = match refusal {
            Refusal::TooLarge { .. } => 1009,
            _ if too_many => 1007,
            _ => return Ok(()),
        };
        Err(CloseReason::Refused { code, reason: refusal.to_string().into() })
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = {
            let mut state = self.lock();
            Stats {
                links: u64::from(!matches!(state.stage, Stage::Closed(_))),
                queued_messages: state.link.outbound().len() as u64,
                queued_bytes: state.link.outbound().bytes() as u64,
                ..state.counters
            }
        };
        self.listeners.count(&mut stats);
        stats
    }
}
