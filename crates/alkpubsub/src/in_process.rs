//! One memory: the reference target.

use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, ListenError,
    Listener, ListenerId, Order, Readiness,
};
use crate::listeners::Listeners;
use crate::stats::Stats;
use crate::topic::check_type;
use crate::waiters::Waiters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Publisher and listeners in one memory: synchronous, by reference, any number of threads.
///
/// `dispatch_event` calls the listeners on the publisher's own thread, inside the call, and returns when all were
/// called. There is no queue here that could overflow; a [`Subscription`](crate::Subscription) brings its own.
/// A publish that nobody hears allocates nothing.
///
/// ```
/// use alkpubsub::{DispatchError, EventEnvelope, EventTarget, InProcess};
/// use std::sync::Arc;
///
/// let target = InProcess::new();
/// let listener = target.add_event_listener(
///     "call.responded:uuid-123",
///     Arc::new(|event: &EventEnvelope| println!("{}", event.to_json().unwrap())),
/// )?;
/// target.dispatch_event(EventEnvelope::parse(r#"{"type":"call.responded","id":"uuid-123"}"#)?)?;
/// target.remove_event_listener(listener);
///
/// // After `close`, nothing is taken any more.
/// target.close();
/// let late = EventEnvelope::without_payload("call.responded", "uuid-123")?;
/// assert!(matches!(target.dispatch_event(late), Err(DispatchError::Closed(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct InProcess {
    listeners: Listeners,
    /// Events that were taken and had no listener.
    unheard: AtomicU64,
    rejected: AtomicU64,
    ended: Waiters,
}

impl InProcess {
    /// A target without listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn take(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        // What has listeners is a topic, and the target is not closed: only without is there a reason to ask.
        if self.listeners.dispatch(event) == 0 {
            check_type(event.event_type())?;
            if let Some(reason) = self.listeners.closed() {
                return Err(DispatchError::Closed(reason));
            }
            self.unheard.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

impl EventTarget for InProcess {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Reference,
            lifetime: Lifetime::Outlives,
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
        self.dispatch_event_ref(&event)
    }

    fn dispatch_event_ref(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        let taken = self.take(event);
        if taken.is_err() {
            self.rejected.fetch_add(1, Relaxed);
        }
        taken
    }

    fn close(&self) {
        self.listeners.close(CloseReason::Closed);
        self.ended.wake_all();
    }

    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        let closed = self.listeners.closed().is_some();
        Box::pin(std::future::ready(if closed { Readiness::Closed } else { Readiness::Confirmed }))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.ended.until(|| self.listeners.ended()))
    }

    fn stats(&self) -> Stats {
        let received = self.listeners.heard();
        let mut stats = Stats {
            dispatched: received + self.unheard.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            received,
            ..Stats::default()
        };
        self.listeners.count(&mut stats);
        stats
    }

    /// A closed target says yes, so that the dispatch that follows tells of it.
    fn is_heard(&self, topic: &str) -> bool {
        self.listeners.is_heard(topic) || self.listeners.closed().is_some()
    }
}
