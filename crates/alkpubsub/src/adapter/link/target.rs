//! What a target of links and its task share: the program's side of one connection, or of one after the other.

use crate::adapter::admit;
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, ListenError,
    Listener, ListenerId, Notice, Order, Readiness, TargetError,
};
use crate::listeners::Listeners;
use crate::protocol::check::{self, MessageLimits, Refusal};
use crate::protocol::control::{Action, GapReason};
use crate::protocol::link::{ControlOverflow, Due, Heard, Link, LinkOptions};
use crate::protocol::{AfterClose, HeartbeatOptions, Message};
use crate::stats::Stats;
use crate::sync::{Mutex, MutexGuard};
use crate::topic::{Topic, with_topic};
use crate::waiters::Waiters;
use bytestring::ByteString;
use futures_util::task::AtomicWaker;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, PoisonError};
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

/// The bounds and times of a link's target, whatever carries it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetOptions {
    pub(crate) link: LinkOptions,
    pub(crate) message: MessageLimits,
    /// How long a Close may take to leave, and its answer to come.
    pub(crate) close_timeout: Duration,
}

/// How long the target lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// As long as its one connection, which is there.
    PerConnection,
    /// On after a connection that a new one may replace.
    Outlives {
        heartbeat: HeartbeatOptions,
        /// Events are taken without a connection, and sent on the next.
        keep_events: bool,
        /// A connection refused for its rights may be followed by one that has them.
        renews_credentials: bool,
    },
}

/// The event target of a link; its task pumps what waits here into a socket.
pub(crate) struct LinkTarget {
    pub(super) options: TargetOptions,
    life: Life,
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

pub(crate) struct State {
    pub(super) link: Link<Outgoing>,
    pub(crate) stage: Stage,
    /// The peer answered our Close.
    pub(crate) answered: bool,
    /// The task is gone.
    pub(super) ended: bool,
    /// To stop it with, while it is there.
    task: Option<AbortHandle>,
    /// A socket that was lent, after the end.
    pub(crate) socket: Option<Box<dyn Any + Send>>,
    /// Events given to the socket, and those of them that it has flushed.
    handed: u64,
    flushed: u64,
    counters: Stats,
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Connected.
    Open,
    /// What is queued goes out, then our Close; what comes until the peer's Close is heard.
    Leaving,
    /// Without a connection, between two of them; with why the last one ended.
    Down(Option<CloseReason>),
    Closed(CloseReason),
}

/// How far ahead a time lies that is too far ahead to be told.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// So long after a moment; a program that waits for ever says so with a time that no clock holds.
pub(super) fn later(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or_else(|| moment + FAR)
}

impl LinkTarget {
    pub(crate) fn new(options: TargetOptions, life: Life) -> Arc<Self> {
        let (link, stage, connections) = match life {
            Life::PerConnection => (Link::new(options.link), Stage::Open, 1),
            Life::Outlives { heartbeat, .. } => {
                (Link::outliving(options.link, heartbeat), Stage::Down(None), 0)
            }
        };
        let state = State {
            link,
            stage,
            answered: false,
            ended: false,
            task: None,
            socket: None,
            handed: 0,
            flushed: 0,
            counters: Stats { connections, ..Stats::default() },
        };
        Arc::new(Self {
            options,
            life,
            listeners: Listeners::default(),
            waiters: Waiters::default(),
            task: AtomicWaker::new(),
            sending: Mutex::new(()),
            start: Instant::now(),
            state: Mutex::new(state),
        })
    }

    /// Starts the task that does its work; the target ends with it.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let end = TaskEnd(self.clone());
        let task = tokio::spawn(async move {
            // Dropped after the work and all that it holds, also where the task is stopped from outside.
            let _end = end;
            work.await;
        });
        let mut state = self.lock();
        // It may be over already; a handle would keep its memory.
        state.task = (!state.ended).then(|| task.abort_handle());
    }

    /// The program has let go of it: it ends, if it has not, and its task with it.
    pub(crate) fn abandon(&self) {
        // One that was closed before is about to end, and may still have its Close to send.
        if self.end(CloseReason::Closed)
            && let Some(task) = self.lock().task.take()
        {
            task.abort();
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
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

    pub(crate) fn closed_for(&self) -> Option<CloseReason> {
        match &self.lock().stage {
            Stage::Closed(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Why there is no connection any more; `None` while there is one.
    pub(super) fn connection_ended(&self) -> Option<CloseReason> {
        match &self.lock().stage {
            Stage::Open | Stage::Leaving => None,
            Stage::Down(reason) => Some(reason.clone().unwrap_or(CloseReason::Closed)),
            Stage::Closed(reason) => Some(reason.clone()),
        }
    }

    /// A new connection is there: `false` where the target was closed meanwhile.
    pub(super) fn connected(&self) -> bool {
        let queued = {
            let mut state = self.lock();
            if !matches!(state.stage, Stage::Down(_)) {
                return false;
            }
            state.stage = Stage::Open;
            state.answered = false;
            state.counters.connections += 1;
            state.link.connected(self.now())
        };
        if !self.options.link.forward_subscriptions && self.lock().counters.connections > 1 {
            // Nothing will be confirmed, so that this is the place.
            let reason = GapReason::Disconnected;
            self.listeners.notify(None, &Notice::Gap { topic: None, missed: None, reason });
        }
        self.controlled(queued);
        self.waiters.wake_all();
        true
    }

    /// The connection is over: with it the target, or only what was under way.
    pub(super) fn connection_over(&self, reason: CloseReason) {
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
                Stage::Leaving => {
                    drop(state);
                    self.end(reason);
                    return;
                }
                Stage::Down(_) | Stage::Closed(_) => return,
            }
            tracing::info!(code = reason.code(), %reason, "the connection is over");
            state.stage = Stage::Down(Some(reason));
            let waited = state.link.outbound().iter().filter(|message| message.event).count() as u64;
            state.link.disconnected(keep_events);
            let kept = state.link.outbound().len() as u64;
            state.counters.dropped += waited - kept;
            // Whoever waits for what was taken to leave need not wait for what never will.
            state.handed = state.counters.sent - kept;
            state.flushed = state.handed;
        }
        self.waiters.wake_all();
        self.task.wake();
    }

    /// Ends the connection in good order, as far as the peer lets us.
    pub(crate) async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        let down = {
            let mut state = self.lock();
            match &state.stage {
                Stage::Closed(reason) => return Err(DisconnectError::Closed(reason.clone())),
                Stage::Down(_) => true,
                Stage::Open | Stage::Leaving => {
                    state.stage = Stage::Leaving;
                    false
                }
            }
        };
        if down {
            self.end(CloseReason::Closed);
            return Ok(());
        }
        self.task.wake();
        self.waiters.wake_all();
        let left = self.waiters.until(|| self.closed_for());
        let in_time = tokio::time::timeout(patience, left).await;
        if in_time.is_err() && self.end(CloseReason::Closed) {
            return Err(DisconnectError::Unanswered);
        }
        let state = self.lock();
        match &state.stage {
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

    /// Something came from the peer, of whatever kind.
    pub(super) fn alive(&self) {
        if let Life::Outlives { .. } = self.life {
            self.lock().link.alive(self.now());
        }
    }

    /// Queues more of what a new connection is to be asked for; gives whether more is left.
    pub(super) fn refill(&self) -> bool {
        let refilled = self.lock().link.refill(self.now());
        if let Err(overflow) = refilled {
            self.overflowed(overflow);
        }
        refilled.unwrap_or(false)
    }

    /// What became due by now.
    pub(super) fn handle_timeout(&self) {
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

    /// Events may be missing of a topic since the last connection.
    fn tell_gap(&self, topic: &str) {
        if let Ok(of) = Topic::parse(topic) {
            let notice = Notice::Gap { topic: Some(of), missed: None, reason: GapReason::Disconnected };
            self.listeners.notify(Some(topic), &notice);
        }
    }

    fn add(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
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

    fn remove(&self, id: ListenerId) {
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
            // Whoever waits for the answer to a subscription that is taken back need not wait for it.
            if !self.listeners.is_heard(&name) {
                self.waiters.wake_all();
            }
        }
    }

    fn dispatch(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
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
            Stage::Down(_) if self.keeps_events() => Ok(()),
            Stage::Down(_) => Err(DispatchError::Disconnected),
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

    fn keeps_events(&self) -> bool {
        matches!(self.life, Life::Outlives { keep_events: true, .. })
    }

    /// Queues a ping; gives its number.
    fn send_ping(&self) -> Result<u64, CloseReason> {
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

    /// After a control event was queued, or did not fit any more.
    fn controlled<T>(&self, queued: Result<T, ControlOverflow>) {
        match queued {
            Ok(_) => self.task.wake(),
            Err(overflow) => self.overflowed(overflow),
        }
    }

    fn overflowed(&self, overflow: ControlOverflow) {
        self.lock().counters.too_slow += 1;
        self.connection_over(CloseReason::Refused { code: 1013, reason: overflow.to_string().into() });
    }

    /// Ends it, if this call is the first that does: listeners get the notice, those who wait look, the task
    /// finishes. Nothing that is queued leaves any more.
    pub(crate) fn end(&self, reason: CloseReason) -> bool {
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

    /// Resolves when the events taken so far are flushed or dropped, or it is closed.
    async fn flush_all(&self) {
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
                Ok(Heard::Event { .. }) => state.counters.received += 1,
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
            Ok((Heard::Event { after_gap }, _)) => {
                if after_gap {
                    with_topic(&parts.event_type, &parts.id, |topic| self.tell_gap(topic));
                }
                if with_topic(&parts.event_type, &parts.id, |topic| self.listeners.is_heard(topic)) {
                    self.listeners.dispatch(&EventEnvelope::checked(text, &parts, None));
                }
            }
            Ok((Heard::Settled { after_gap }, _)) => {
                if let Some(topic) = after_gap {
                    self.tell_gap(&topic);
                }
                self.waiters.wake_all();
            }
            Ok((Heard::Pong, _)) => self.waiters.wake_all(),
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
}

impl EventTarget for LinkTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: match self.life {
                Life::PerConnection => Lifetime::PerConnection,
                Life::Outlives { .. } => Lifetime::Outlives,
            },
            confirms: self.options.link.forward_subscriptions,
        }
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.add(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.remove(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.dispatch(&event)
    }

    fn close(&self) {
        self.end(CloseReason::Closed);
    }

    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        Box::pin(self.waiters.until(move || {
            let state = self.lock();
            match state.stage {
                Stage::Closed(_) => Some(Readiness::Closed),
                _ => state.link.readiness(topic),
            }
        }))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.waiters.until(|| {
            let state = self.lock();
            let waits = match state.stage {
                Stage::Open => true,
                Stage::Down(_) => self.keeps_events(),
                Stage::Leaving | Stage::Closed(_) => false,
            };
            (state.link.has_room() || !waits).then_some(())
        }))
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.flush_all())
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.waiters.until(|| {
            let state = self.lock();
            match &state.stage {
                Stage::Closed(_) if state.ended => self.listeners.ended(),
                _ => None,
            }
        }))
    }

    fn stats(&self) -> Stats {
        let mut stats = {
            let mut state = self.lock();
            Stats {
                links: u64::from(matches!(state.stage, Stage::Open | Stage::Leaving)),
                queued_messages: state.link.outbound().len() as u64,
                queued_bytes: state.link.outbound().bytes() as u64,
                ..state.counters
            }
        };
        self.listeners.count(&mut stats);
        stats
    }
}

/// Says that the task is gone, however it went.
struct TaskEnd(Arc<LinkTarget>);

impl Drop for TaskEnd {
    fn drop(&mut self) {
        // Not closed yet: the runtime ended, or what the task was given panicked.
        self.0.end(CloseReason::Lost { error: "the task that served the connection was stopped".into() });
        {
            let mut state = self.0.lock();
            state.ended = true;
            state.task = None;
        }
        self.0.waiters.wake_all();
    }
}

impl fmt::Debug for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkTarget")
            .field("stage", &self.lock().stage)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Why [`disconnect`](crate::Spoke::disconnect) cannot say that the peer has taken everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The peer did not answer the Close in time.
    #[error("the far side did not answer the close in time")]
    Unanswered,
    /// The target was closed before, the connection broke, or the peer closed with a code of its own.
    #[error("the target is {0}")]
    Closed(#[source] CloseReason),
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests;
