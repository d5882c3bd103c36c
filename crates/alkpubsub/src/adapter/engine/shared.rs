//! What a hub target's handles share with the task that serves its connections.

#[cfg(unix)]
use super::io::Plain;
use super::io::Socket;
use super::spoke::Spoke;
use super::wake::ReadyList;
use crate::adapter::admit;
use crate::adapter::websocket::opening::Opening;
use crate::envelope::EventEnvelope;
use crate::event_target::{BoxFuture, CloseReason, DispatchError, LinkId};
use crate::listeners::Listeners;
use crate::protocol::hub::HubLimits;
use crate::stats::Stats;
use crate::waiters::Waiters;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Events of the program's own that may wait until the task takes them. It does so once a round.
const MAX_WAITING: usize = 4096;
/// Bytes of them.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// What the task is asked to do, in order.
pub(super) enum Command {
    /// A socket whose handshake has not begun.
    Arrive(Arrival, Opening),
    Connect(NewConnection),
    /// An event for all who subscribed, or for one connection.
    Dispatch {
        event: EventEnvelope,
        to: Option<LinkId>,
    },
    Close {
        link: LinkId,
        code: u16,
        reason: Arc<str>,
    },
    Remove {
        link: LinkId,
        reply: oneshot::Sender<Option<Box<dyn Socket>>>,
    },
    Shutdown {
        within: Duration,
        /// Over which the closes are spread.
        window: Duration,
    },
}

/// A listener's new socket.
#[cfg(unix)]
pub(crate) struct Arrival(pub(crate) Plain);
/// A listener's new socket.
#[cfg(not(unix))]
pub(crate) struct Arrival(pub(crate) Box<dyn Socket>);

/// A connection whose handshake is done.
pub(super) struct NewConnection {
    pub(super) socket: Box<dyn Socket>,
    pub(super) identity: Option<Arc<str>>,
    /// `None` where nobody waits for the spoke.
    pub(super) reply: Option<oneshot::Sender<Arc<Spoke>>>,
}

pub(super) struct Shared {
    pub(super) limits: HubLimits,
    pub(super) listeners: Listeners,
    pub(super) ready: Arc<ReadyList>,
    /// Waits for room, or for the end.
    pub(super) waiters: Waiters,
    /// Connections there are, and those that shake hands.
    pub(super) links: AtomicUsize,
    /// Bytes of memory that half-sent requests take.
    pub(super) heads: AtomicU64,
    commands: Mutex<Commands>,
    /// The task's counters as of its last round.
    counted: Mutex<Stats>,
    dispatched: AtomicU64,
    rejected: AtomicU64,
}

#[derive(Default)]
struct Commands {
    queue: VecDeque<Command>,
    /// Events among them, and their bytes.
    events: usize,
    bytes: usize,
    /// Events ever queued here, and those of them whose round is over.
    queued: u64,
    written: u64,
    /// The hub was told to shut down: it takes no connection any more.
    draining: bool,
    /// Every connection was told to close: what comes behind that would reach nobody.
    all_told: bool,
    /// Set when the task has ended: nobody takes commands any more.
    ended: Option<CloseReason>,
}

impl Shared {
    pub(super) fn new(limits: HubLimits) -> Self {
        Self {
            limits,
            listeners: Listeners::default(),
            ready: Arc::default(),
            waiters: Waiters::default(),
            links: AtomicUsize::new(0),
            heads: AtomicU64::new(0),
            commands: Mutex::default(),
            counted: Mutex::default(),
            dispatched: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    fn commands(&self) -> MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the task an order; `false` where it has ended.
    pub(super) fn order(&self, command: Command) -> bool {
        {
            let mut commands = self.commands();
            if commands.ended.is_some() {
                return false;
            }
            commands.queue.push_back(command);
        }
        self.ready.wake();
        true
    }

    /// Queues an event of the program's own for all who subscribed, or for one connection.
    pub(super) fn dispatch(&self, event: EventEnvelope, to: Option<LinkId>) -> Result<(), DispatchError> {
        let taken = self.try_dispatch(event, to);
        let counter = if taken.is_ok() { &self.dispatched } else { &self.rejected };
        counter.fetch_add(1, Relaxed);
        taken
    }

    fn try_dispatch(&self, event: EventEnvelope, to: Option<LinkId>) -> Result<(), DispatchError> {
        let bytes = admit(&event, &self.limits.message)?.len();
        if let Some(reason) = self.listeners.closed() {
            return Err(DispatchError::Closed(reason));
        }
        {
            let mut commands = self.commands();
            if let Some(reason) = &commands.ended {
                return Err(DispatchError::Closed(reason.clone()));
            }
            if commands.all_told {
                return Err(DispatchError::Closed(CloseReason::Closed));
            }
            if !commands.has_room() {
                return Err(DispatchError::Full);
            }
            commands.events += 1;
            commands.queued += 1;
            commands.bytes += bytes;
            commands.queue.push_back(Command::Dispatch { event, to });
        }
        self.ready.wake();
        Ok(())
    }

    /// Hands a connection to the task, or gives it back where the hub takes none any more.
    pub(super) fn connect(&self, connection: NewConnection) -> Result<(), NewConnection> {
        {
            let mut commands = self.commands();
            // Looked at under the lock: so no connection comes behind the order to shut down.
            if commands.draining || commands.ended.is_some() {
                return Err(connection);
            }
            commands.queue.push_back(Command::Connect(connection));
        }
        self.ready.wake();
        Ok(())
    }

    /// From here on no connection is taken, and no event once all were told to close.
    pub(super) fn shut_down(&self, within: Duration, window: Duration) {
        self.commands().draining = true;
        self.order(Command::Shutdown { within, window });
    }

    /// From here on no event is taken.
    pub(super) fn all_told(&self) {
        self.commands().all_told = true;
        self.waiters.wake_all();
    }

    /// Whether the hub shuts down, or has.
    pub(super) fn is_draining(&self) -> bool {
        let commands = self.commands();
        commands.draining || commands.ended.is_some()
    }

    /// A round is over: all events queued up to this number were written, as far as the sockets took them.
    pub(super) fn wrote(&self, queued: u64) {
        self.commands().written = queued;
        self.waiters.wake_all();
    }

    /// Resolves when the round of all events queued so far is over, or the task has ended.
    pub(super) fn flush(&self) -> BoxFuture<'_, ()> {
        let queued = self.commands().queued;
        Box::pin(self.waiters.until(move || {
            let commands = self.commands();
            (commands.written >= queued || commands.ended.is_some()).then_some(())
        }))
    }

    /// Takes all commands; `into` is empty and gives its memory for the next ones. Gives the number of events that
    /// were ever queued.
    pub(super) fn take_commands(&self, into: &mut VecDeque<Command>) -> u64 {
        let (was_full, queued) = {
            let mut commands = self.commands();
            std::mem::swap(&mut commands.queue, into);
            let was_full = !commands.has_room();
            (commands.events, commands.bytes) = (0, 0);
            (was_full, commands.queued)
        };
        if was_full {
            self.waiters.wake_all();
        }
        queued
    }

    /// Resolves when there is room, or the target is closed.
    pub(super) fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.waiters.until(|| {
            let closed = self.listeners.closed().is_some();
            let commands = self.commands();
            (closed || commands.all_told || commands.ended.is_some() || commands.has_room()).then_some(())
        }))
    }

    /// The task has ended.
    pub(super) fn end(&self, reason: CloseReason) {
        let left = {
            let mut commands = self.commands();
            commands.ended.get_or_insert(reason.clone());
            std::mem::take(&mut commands.queue)
        };
        drop(left);
        self.listeners.close(reason);
        self.waiters.wake_all();
    }

    /// Resolves when the task has ended, every close notice was given and no listener is left.
    pub(super) fn ended(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.waiters.until(|| {
            let ended = self.commands().ended.clone();
            ended.filter(|_| self.listeners.ended().is_some())
        }))
    }

    pub(super) fn publish_stats(&self, stats: Stats) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        stats.dispatched = self.dispatched.load(Relaxed);
        stats.rejected = self.rejected.load(Relaxed);
        stats.incoming_bytes += self.heads.load(Relaxed);
        self.listeners.count(&mut stats);
        stats
    }
}

impl Commands {
    fn has_room(&self) -> bool {
        self.events < MAX_WAITING && self.bytes < MAX_WAITING_BYTES
    }
}
