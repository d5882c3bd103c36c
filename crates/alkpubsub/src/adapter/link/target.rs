//! What a target of links and its task share: the program's side of one connection, or of one after the other.

mod connection;
mod contract;
mod incoming;
#[cfg(all(test, alkpubsub_loom))]
mod loom_tests;
#[cfg(feature = "redis")]
mod watched;

pub use self::connection::DisconnectError;
use crate::event_target::CloseReason;
use crate::listeners::Listeners;
use crate::protocol::check::MessageLimits;
use crate::protocol::link::{ControlOverflow, Link, LinkOptions};
use crate::protocol::{HeartbeatOptions, Message};
use crate::stats::Stats;
use crate::sync::{Mutex, MutexGuard};
use crate::topic::Topic;
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
    /// Where a broker is to be told.
    pub(super) topic: Option<Topic>,
}

impl Message for Outgoing {
    type Framing = ();

    fn from_text(text: String, (): ()) -> Self {
        Self { text: text.into(), event: false, topic: None }
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
    /// Behind the connection stands a broker: it gives everybody's events to all, the own ones too, so that bad ones are
    /// not its fault; and it is told the topic of each.
    pub(crate) broker: bool,
}

/// How long the target lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// As long as its one connection, which is there.
    PerConnection {
        /// Where this end opened it, and has to ask whether the far side is there.
        heartbeat: Option<HeartbeatOptions>,
    },
    /// As long as its one connection, with nothing but another such target at its far end.
    #[cfg(all(unix, feature = "worker-process"))]
    Direct {
        /// Where this end opened it; and how long the first answer may take.
        heartbeat: Option<(HeartbeatOptions, Duration)>,
    },
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
    /// Those who wait for an answer or for the end.
    pub(super) waiters: Waiters,
    /// Those who wait for room or for a flush: messages that leave are nothing to the others.
    pub(super) leaving: Waiters,
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
    /// It did not in time.
    unanswered: bool,
    /// The task is gone.
    pub(super) ended: bool,
    /// To stop it with, while it is there.
    task: Option<AbortHandle>,
    /// A socket that was lent, after the end.
    #[cfg_attr(
        not(any(feature = "byte-stream", feature = "websocket-client")),
        allow(dead_code, reason = "nobody lends one")
    )]
    pub(crate) socket: Option<Box<dyn Any + Send>>,
    /// Events given to the socket, and those of them that it has flushed.
    handed: u64,
    flushed: u64,
    counters: Stats,
    #[cfg(feature = "redis")]
    watched: watched::Watched,
}

/// Where no broker can be behind the connection, nobody watches it.
#[cfg(not(feature = "redis"))]
impl State {
    fn tell_denied(&mut self, _: &str, _: crate::DenyReason) {}
    fn tell_pong(&mut self) {}
    fn tell_in(&mut self) {}
    fn tell_out(&mut self) {}
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Connected.
    Open,
    /// What is queued goes out, then our Close; what comes until the peer's Close is heard, but no longer than to
    /// this moment.
    Leaving(Instant),
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
            Life::PerConnection { heartbeat: None } => (Link::new(options.link), Stage::Open, 1),
            Life::PerConnection { heartbeat: Some(heartbeat) } => {
                // Where there is no room for a ping there will be none for anything else, which is told then.
                let mut link = Link::opening(options.link, heartbeat);
                if link.connected(Duration::ZERO).is_err() {
                    link = Link::new(options.link);
                }
                (link, Stage::Open, 1)
            }
            #[cfg(all(unix, feature = "worker-process"))]
            Life::Direct { heartbeat } => {
                let link = Link::direct(options.link, heartbeat, Duration::ZERO);
                (link.unwrap_or_else(|_| Link::new(options.link)), Stage::Open, 1)
            }
            Life::Outlives { heartbeat, .. } => {
                (Link::outliving(options.link, heartbeat), Stage::Down(None), 0)
            }
        };
        let state = State {
            link,
            stage,
            answered: false,
            unanswered: false,
            ended: false,
            task: None,
            socket: None,
            handed: 0,
            flushed: 0,
            counters: Stats { connections, ..Stats::default() },
            #[cfg(feature = "redis")]
            watched: watched::Watched::default(),
        };
        Arc::new(Self {
            options,
            life,
            listeners: Listeners::default(),
            waiters: Waiters::default(),
            leaving: Waiters::default(),
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
            state.tell_out();
            let outbound = state.link.outbound();
            let dropped = std::iter::from_fn(|| outbound.pop()).filter(|message| message.event).count();
            outbound.shrink();
            state.counters.dropped += dropped as u64;
        }
        drop(self.sending.lock());
        tracing::debug!(code = reason.code(), %reason, "closed");
        self.listeners.close(reason);
        self.wake_waiters();
        self.task.wake();
        true
    }

    /// Whatever they wait for may have come, or will not come any more.
    pub(super) fn wake_waiters(&self) {
        self.waiters.wake_all();
        self.leaving.wake_all();
    }

    fn is_direct(&self) -> bool {
        #[cfg(all(unix, feature = "worker-process"))]
        return matches!(self.life, Life::Direct { .. });
        #[cfg(not(all(unix, feature = "worker-process")))]
        return false;
    }

    fn keeps_events(&self) -> bool {
        matches!(self.life, Life::Outlives { keep_events: true, .. })
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
        self.0.wake_waiters();
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
