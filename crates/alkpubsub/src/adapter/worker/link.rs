//! What both ends share.

use super::host::WorkerOptions;
use super::inbox::{Inbox, Refused, Taken};
use crate::caught::caught;
use crate::envelope::EventEnvelope;
use crate::event_target::{Capabilities, Carries, CloseReason, DispatchError, Lifetime, Order};
use crate::listeners::Listeners;
use crate::stats::Stats;
use crate::topic::check_type;
use crate::waiters::Waiters;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::Waker;

/// Both ends' promises.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    echo: false,
    order: Order::Connection,
    carries: Carries::Reference,
    lifetime: Lifetime::PerConnection,
    confirms: true,
};

/// The other end has ended in good order.
pub(super) fn done() -> CloseReason {
    CloseReason::ByPeer { code: 1000, reason: "".into() }
}

/// A host and a worker.
///
/// What the host dispatches waits in the inbox until the worker's thread takes it; what the worker dispatches is given to
/// the host's listeners at once, on the worker's thread: whoever hears it elsewhere has a queue of its own.
pub(super) struct Link {
    inbox: Inbox,
    pub(super) host: Listeners,
    pub(super) worker: Listeners,
    /// Who waits for room, for a flush or for an end.
    pub(super) waiters: Waiters,
    /// The number of the last event that the worker has handled.
    handled: AtomicU64,
    dropped: AtomicU64,
    of_host: Dispatches,
    of_worker: Dispatches,
}

#[derive(Default)]
struct Dispatches {
    taken: AtomicU64,
    rejected: AtomicU64,
}

impl Dispatches {
    fn count(&self, taken: Result<(), DispatchError>) -> Result<(), DispatchError> {
        if taken.is_ok() { &self.taken } else { &self.rejected }.fetch_add(1, Relaxed);
        taken
    }
}

impl Link {
    pub(super) fn new(options: &WorkerOptions) -> Self {
        Self {
            inbox: Inbox::new(options.max_queued, options.max_queued_bytes),
            host: Listeners::default(),
            worker: Listeners::default(),
            waiters: Waiters::default(),
            handled: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            of_host: Dispatches::default(),
            of_worker: Dispatches::default(),
        }
    }

    pub(super) fn dispatch_to_worker(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        let put = check_type(event.event_type()).map_err(DispatchError::from).and_then(|()| {
            self.inbox.put(event).map_err(|refused| match refused {
                Refused::Full => DispatchError::Full,
                Refused::Ended => DispatchError::Closed(self.host.closed().unwrap_or(CloseReason::Closed)),
            })
        });
        self.of_host.count(put)
    }

    pub(super) fn dispatch_to_host(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        self.of_worker.count(self.give_to_host(event))
    }

    fn give_to_host(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        // Who has closed its end, or was told of the end, sends nothing.
        if let Some(reason) = self.worker.closed() {
            return Err(DispatchError::Closed(reason));
        }
        // What has listeners is a topic, and the host is not closed: only without is there a reason to ask.
        if self.host.dispatch(event) == 0 {
            check_type(event.event_type())?;
            if let Some(reason) = self.inbox.ended() {
                return Err(DispatchError::Closed(reason));
            }
        }
        Ok(())
    }

    /// On the worker's thread: takes what waits, and calls the listeners. `batch` is empty, and kept for its memory.
    pub(super) fn deliver(&self, batch: &mut VecDeque<EventEnvelope>, waker: &Waker) -> Taken {
        if let Some(reason) = self.worker.closed() {
            return Taken::End(reason);
        }
        let taken = self.inbox.take(batch, waker);
        match &taken {
            Taken::Events { last, was_full } => {
                if *was_full {
                    self.waiters.wake_all();
                }
                each(&self.worker, batch, |event| {
                    // A listener may have closed this end.
                    if self.worker.dispatch(event) == 0 && self.worker.closed().is_some() {
                        self.dropped.fetch_add(1, Relaxed);
                    }
                });
                self.handled.store(*last, Release);
                self.waiters.wake_all();
            }
            Taken::End(reason) => {
                self.worker.close(reason.clone());
                self.waiters.wake_all();
            }
            Taken::Nothing => {}
        }
        taken
    }

    /// The host has closed. The worker handles what waits for it first.
    pub(super) fn host_closes(&self) {
        self.inbox.end(done());
        self.host.close(CloseReason::Closed);
        self.waiters.wake_all();
    }

    /// The worker has closed, or is gone: what waits for it is dropped.
    pub(super) fn worker_ends(&self, here: CloseReason, there: CloseReason) {
        self.worker.close(here);
        self.inbox.end(CloseReason::Closed);
        let mut left = VecDeque::new();
        if let Taken::Events { last, .. } = self.inbox.take(&mut left, Waker::noop()) {
            self.dropped.fetch_add(left.len() as u64, Relaxed);
            self.handled.store(last, Release);
        }
        each(&self.host, &mut left, |_| ());
        self.host.close(there);
        self.waiters.wake_all();
    }

    pub(super) fn has_room(&self) -> bool {
        self.inbox.has_room()
    }

    /// Whether nothing waits for the worker.
    pub(super) fn is_emptied(&self) -> bool {
        self.inbox.waiting().0 == 0
    }

    /// Resolves when all that the host has dispatched was handled, or will not be.
    pub(super) async fn handled(&self) {
        let put = self.inbox.count();
        let handled = || self.handled.load(Acquire) >= put || self.host.closed().is_some();
        self.waiters.until(|| handled().then_some(())).await;
    }

    pub(super) fn stats_of_host(&self) -> Stats {
        let (queued_messages, queued_bytes) = self.inbox.waiting();
        let mut stats = Stats {
            sent: self.inbox.count(),
            dropped: self.dropped.load(Relaxed),
            queued_messages: queued_messages as u64,
            queued_bytes: queued_bytes as u64,
            ..stats(&self.of_host, &self.of_worker, &self.host)
        };
        self.host.count(&mut stats);
        stats
    }

    pub(super) fn stats_of_worker(&self) -> Stats {
        let mut stats = stats(&self.of_worker, &self.of_host, &self.worker);
        stats.sent = stats.dispatched;
        self.worker.count(&mut stats);
        stats
    }
}

/// Takes one event after the other and lets it go. A payload is the program's, and may panic when it is dropped: neither
/// the others nor the end of the link are to be lost with it.
fn each(end: &Listeners, events: &mut VecDeque<EventEnvelope>, take: impl Fn(&EventEnvelope)) {
    let mut run = || {
        while let Some(event) = events.pop_front() {
            take(&event);
        }
    };
    while let Err(message) = caught(&mut run) {
        end.report("payload", &message);
    }
}

/// What is the same at both ends.
fn stats(own: &Dispatches, others: &Dispatches, listeners: &Listeners) -> Stats {
    Stats {
        dispatched: own.taken.load(Relaxed),
        rejected: own.rejected.load(Relaxed),
        received: others.taken.load(Relaxed),
        connections: 1,
        links: u64::from(listeners.closed().is_none()),
        ..Stats::default()
    }
}
