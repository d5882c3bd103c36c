//! What a hub target's handles share with the shards that serve its connections.

use super::crossing::{Crossed, Crossings};
use super::frame::Frame;
use super::framing::Framing;
use super::options::HubOptions;
use super::orders::{Command, Orders};
use crate::adapter::admit;
use crate::envelope::EventEnvelope;
use crate::event_target::{BoxFuture, CloseReason, DispatchError, LinkId};
use crate::listeners::Listeners;
use crate::protocol::hub::HubLimits;
use crate::stats::Stats;
use crate::waiters::Waiters;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
    Ordering::Release,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(super) struct Shared {
    pub(super) limits: HubLimits,
    /// In which the program's own events are framed first.
    pub(super) framing: Framing,
    pub(super) handshake_timeout: Duration,
    pub(super) listeners: Listeners,
    /// Waits for room, or for the end.
    pub(super) waiters: Waiters,
    /// Those of each shard.
    orders: Box<[Orders]>,
    /// Whether it is behind a broker.
    has_broker: bool,
    /// Where there is more than one.
    pub(super) crossings: Option<Arc<Crossings<Frame>>>,
    /// How many shards shut down and have no connection left.
    emptied: AtomicUsize,
    /// Connections there are, and those that shake hands.
    links: AtomicUsize,
    /// Bytes of memory that half-sent requests take.
    pub(super) heads: AtomicU64,
    /// Whether a connection has come that has an identity.
    identities: AtomicBool,
    dispatched: AtomicU64,
    rejected: AtomicU64,
    /// Those of the other shards, and how many of them are not about to end.
    threads: Mutex<Vec<JoinHandle<()>>>,
    running: AtomicUsize,
}

/// Held by a shard's thread until nothing is left of its shard and its runtime.
pub(super) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, AcqRel);
        self.0.waiters.wake_all();
    }
}

impl Shared {
    pub(super) fn new(options: &HubOptions, framing: Framing) -> Self {
        let HubOptions { mut limits, fan_out, handshake_timeout, shards, .. } = *options;
        // Four bytes tell no greater length.
        limits.message.max_message = limits.message.max_message.min(u32::MAX as usize);
        let orders: Box<[Orders]> = (0..shards.get()).map(|_| Orders::default()).collect();
        let crossings = (orders.len() > 1).then(|| {
            let ready = orders.iter().map(|orders| orders.ready.clone()).collect();
            Arc::new(Crossings::new(ready, fan_out, &limits))
        });
        Self {
            limits,
            framing,
            handshake_timeout,
            listeners: Listeners::default(),
            waiters: Waiters::default(),
            orders,
            has_broker: options.broker.is_some(),
            crossings,
            emptied: AtomicUsize::new(0),
            links: AtomicUsize::new(0),
            heads: AtomicU64::new(0),
            identities: AtomicBool::new(false),
            dispatched: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            threads: Mutex::default(),
            running: AtomicUsize::new(0),
        }
    }

    pub(super) fn orders(&self, shard: u8) -> &Orders {
        &self.orders[usize::from(shard)]
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> u8 {
        self.orders.len() as u8
    }

    /// Gives a connection's shard an order; `false` where it has ended.
    pub(super) fn order(&self, link: LinkId, command: Command) -> bool {
        // An id may be that of another hub.
        self.orders.get(usize::from(link.shard())).is_some_and(|orders| orders.order(command))
    }

    pub(super) fn max_links(&self) -> usize {
        self.limits.max_links.min(HubLimits::MOST_LINKS)
    }

    /// Takes a place among the connections, and in the shard that has the fewest; `None` where there is none.
    pub(super) fn reserve(&self) -> Option<u8> {
        let limit = self.max_links();
        let taken = self.links.fetch_update(Relaxed, Relaxed, |links| (links < limit).then_some(links + 1));
        taken.ok().map(|_| self.crossings.as_ref().map_or(0, |crossings| crossings.place()))
    }

    /// Gives a place back.
    pub(super) fn left(&self, shard: u8) {
        self.links.fetch_sub(1, Relaxed);
        if let Some(crossings) = &self.crossings {
            crossings.left(shard);
        }
    }

    /// A connection with an identity is about to come.
    pub(super) fn have_identities(&self) {
        self.identities.store(true, Release);
    }

    pub(super) fn has_identities(&self) -> bool {
        self.identities.load(Acquire)
    }

    /// Queues an event of the program's own for all who subscribed, or for one connection.
    pub(super) fn dispatch(&self, event: EventEnvelope, to: Option<LinkId>) -> Result<(), DispatchError> {
        let taken = self.try_dispatch(event, to);
        let counter = if taken.is_ok() { &self.dispatched } else { &self.rejected };
        counter.fetch_add(1, Relaxed);
        taken
    }

    fn try_dispatch(&self, event: EventEnvelope, to: Option<LinkId>) -> Result<(), DispatchError> {
        let text = admit(&event, &self.limits.message)?;
        let bytes = text.len();
        if let Some(reason) = self.listeners.closed() {
            return Err(DispatchError::Closed(reason));
        }
        // Behind a broker, a shard decides where it goes.
        let at_once = to.is_none() && !self.has_broker;
        let Some(crossings) = self.crossings.as_ref().filter(|_| at_once) else {
            let orders = to.map_or(Some(&self.orders[0]), |link| self.orders.get(usize::from(link.shard())));
            return orders.unwrap_or(&self.orders[0]).queue(
                Command::Dispatch { event, to },
                bytes,
                || Ok(()),
            );
        };
        // The first does, as a rule.
        if !self.orders.iter().any(|orders| orders.commands().takes_events()) {
            return Err(DispatchError::Closed(CloseReason::Closed));
        }
        let Some((topic, shards)) = crossings.wanted(event.topic().as_str(), None) else { return Ok(()) };
        let crossed = Crossed { topic, message: Frame::text(text, self.framing) };
        self.queue(&crossed, &mut shards.iter(), bytes)
    }

    /// Queues an event in these shards: in all or, if one has no room, in none. A shard that has told all its
    /// connections to close has nobody left to tell.
    fn queue(
        &self,
        event: &Crossed<Frame>,
        shards: &mut dyn Iterator<Item = usize>,
        bytes: usize,
    ) -> Result<(), DispatchError> {
        let Some(shard) = shards.next() else { return Ok(()) };
        // All who hold several of these locks have taken them in the order of the shards.
        let own = Command::Deliver(event.clone());
        match self.orders[shard].queue(own, bytes, || self.queue(event, shards, bytes)) {
            Err(DispatchError::Closed(_)) => self.queue(event, shards, bytes),
            queued => queued,
        }
    }

    /// From here on no connection is taken, and no event once all were told to close.
    pub(super) fn shut_down(&self, within: Duration, window: Duration) {
        self.orders.iter().for_each(|orders| orders.shut_down(within, window));
    }

    /// Ends the other shards, whatever they are doing, where the first one ends so.
    pub(super) fn stop(&self) {
        for orders in &self.orders[1..] {
            orders.order(Command::Stop);
        }
    }

    /// A shard that shuts down has no connection left. Until none has, each goes on and tells newcomers that the hub
    /// is closing.
    pub(super) fn emptied(&self) {
        // The last one wakes all.
        if self.emptied.fetch_add(1, AcqRel) + 1 == self.orders.len() {
            self.orders.iter().for_each(|orders| orders.ready.wake());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.emptied.load(Acquire) == self.orders.len()
    }

    /// In this shard no event is taken from here on.
    pub(super) fn all_told(&self, shard: u8) {
        self.orders(shard).all_told();
        self.waiters.wake_all();
    }

    /// Whether the hub shuts down, or has.
    pub(super) fn is_draining(&self) -> bool {
        self.orders[0].commands().is_draining()
    }

    /// A round of a shard is over: see [`Orders::wrote`].
    pub(super) fn wrote(&self, shard: u8, queued: u64) {
        self.orders(shard).wrote(queued);
        self.waiters.wake_all();
    }

    /// Resolves when the round of all events queued so far is over, or the shards have ended.
    pub(super) fn flush(&self) -> BoxFuture<'_, ()> {
        let queued: Vec<u64> = self.orders.iter().map(|orders| orders.commands().queued).collect();
        Box::pin(self.waiters.until(move || {
            let mut orders = self.orders.iter().zip(&queued);
            orders.all(|(orders, &queued)| orders.commands().has_written(queued)).then_some(())
        }))
    }

    /// Resolves when there is room, or the target is closed.
    pub(super) fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.waiters.until(|| {
            let closed = self.listeners.closed().is_some();
            let has_room = |orders: &Orders| {
                let commands = orders.commands();
                !commands.takes_events() || commands.has_room()
            };
            (closed || self.orders.iter().all(has_room)).then_some(())
        }))
    }

    /// A shard has ended. With the last one, the hub has; and without one, it cannot go on.
    pub(super) fn end(&self, shard: u8) {
        self.orders(shard).end();
        if self.orders.iter().all(|orders| orders.commands().has_ended()) {
            self.listeners.close(CloseReason::Closed);
        } else if !self.orders.iter().all(|orders| orders.commands().is_draining()) {
            for orders in &self.orders {
                orders.order(Command::Stop);
            }
        }
        self.waiters.wake_all();
    }

    /// Resolves when all shards have ended, every close notice was given and no listener is left.
    pub(super) fn ended(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(async {
            let ended = || {
                let ended = self.orders.iter().all(|orders| orders.commands().has_ended());
                ended && self.listeners.ended().is_some() && self.running.load(Acquire) == 0
            };
            self.waiters.until(|| ended().then_some(())).await;
            // All that they still do is end. A panic of theirs was told when it ended the shard.
            self.take_threads().into_iter().for_each(|thread| drop(thread.join()));
            CloseReason::Closed
        })
    }

    /// To be called before a shard's thread is started.
    pub(super) fn running(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, AcqRel);
        Running(self.clone())
    }

    /// A shard's thread was started.
    pub(super) fn keep_thread(&self, thread: JoinHandle<()>) {
        self.threads().push(thread);
    }

    /// The threads of the other shards, to be waited for.
    pub(super) fn take_threads(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.threads())
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.orders.iter().for_each(|orders| stats.add(&orders.stats()));
        if let Some(crossings) = &self.crossings {
            // A topic may be held in several shards.
            stats.topics = crossings.topics() as u64;
        }
        stats.dispatched = self.dispatched.load(Relaxed);
        stats.rejected = self.rejected.load(Relaxed);
        stats.incoming_bytes += self.heads.load(Relaxed);
        self.listeners.count(&mut stats);
        stats
    }
}
