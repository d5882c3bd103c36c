//! One connection of a hub as an event target of its own.

use super::orders::Command;
use super::shared::Shared;
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, LinkId, ListenError,
    Listener, ListenerId, Order, Readiness,
};
use crate::listeners::Listeners;
use crate::stats::Stats;
use crate::waiters::Waiters;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A spoke: the peer at the far end of one of a hub's connections, as an event target.
///
/// Its listeners hear what this connection sends, and nobody else's events. What is dispatched on it goes to this
/// connection alone, whether it subscribed or not. It ends with the connection.
pub struct Spoke {
    id: LinkId,
    identity: Option<Arc<str>>,
    shared: Arc<Shared>,
    pub(super) listeners: Listeners,
    pub(super) ended: Waiters,
    dispatched: AtomicU64,
    rejected: AtomicU64,
    /// Whether it was told to go: the first order counts, and no more of them have to wait.
    leaving: AtomicBool,
    pub(super) received: AtomicU64,
}

impl Spoke {
    pub(super) fn new(id: LinkId, identity: Option<Arc<str>>, shared: Arc<Shared>) -> Self {
        Self {
            id,
            identity,
            shared,
            listeners: Listeners::default(),
            ended: Waiters::default(),
            dispatched: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            received: AtomicU64::new(0),
        }
    }

    /// Its id, the same that events it sends have as [`EventEnvelope::source`].
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Who it is, where the program said so when it added the connection.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Closes the connection: what waits for it is sent first, then a close frame with this code and reason.
    /// A code that RFC 6455 keeps off the wire (1005, 1006, 1015, below 1000, …) makes that frame an empty one.
    pub fn disconnect(&self, code: u16, reason: &str) {
        if self.leaving.swap(true, Relaxed) {
            return;
        }
        self.shared.order(self.id, Command::Close { link: self.id, code, reason: reason.into() });
    }
}

impl EventTarget for Spoke {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: true,
        }
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.listeners.add(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.listeners.remove(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        let taken = match self.listeners.closed() {
            Some(reason) => Err(DispatchError::Closed(reason)),
            None => self.shared.dispatch(event, Some(self.id)),
        };
        let counter = if taken.is_ok() { &self.dispatched } else { &self.rejected };
        counter.fetch_add(1, Relaxed);
        taken
    }

    /// Ends this target. The connection stays with its hub; [`disconnect`](Self::disconnect) closes it.
    fn close(&self) {
        self.listeners.close(CloseReason::Closed);
        self.ended.wake_all();
    }

    /// A hub's end hears everything that its spoke sends, subscribed or not.
    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        let closed = self.listeners.closed().is_some();
        Box::pin(std::future::ready(if closed { Readiness::Closed } else { Readiness::Confirmed }))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        self.shared.room()
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.shared.flush()
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.ended.until(|| self.listeners.ended()))
    }

    fn stats(&self) -> Stats {
        let mut stats = Stats {
            dispatched: self.dispatched.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            received: self.received.load(Relaxed),
            connections: 1,
            links: u64::from(self.listeners.closed().is_none()),
            ..Stats::default()
        };
        self.listeners.count(&mut stats);
        stats
    }
}

impl fmt::Debug for Spoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spoke")
            .field("id", &self.id)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
