//! The contract, as a link's target keeps it.

use super::{Life, LinkTarget, Outgoing, Stage};
use crate::adapter::admit;
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, ListenError,
    Listener, ListenerId, Notice, Order, Readiness,
};
use crate::stats::Stats;
use std::sync::Arc;

impl LinkTarget {
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
            #[cfg(feature = "redis")]
            self.unwatch(id);
            return;
        };
        if !Notice::NAMES.contains(&&*name) {
            let unwanted = {
                let mut state = self.lock();
                // After the end nothing is sent, not even for a listener that leaves on hearing of it.
                if matches!(state.stage, Stage::Closed(_)) {
                    return;
                }
                let unwanted = state.link.unwant(&name);
                // It may have been the last that something was missing of.
                state.tell_in();
                unwanted
            };
            self.controlled(unwanted);
            // Whoever waits for the answer to a subscription that is taken back need not wait for it.
            if !self.listeners.is_heard(&name) {
                self.waiters.wake_all();
            }
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
        let topic = self.options.broker.then(|| event.topic().clone());
        let open = match &state.stage {
            Stage::Open => Ok(()),
            Stage::Leaving(_) => Err(DispatchError::Closed(CloseReason::Closed)),
            Stage::Down(_) if self.keeps_events() => Ok(()),
            Stage::Down(_) => Err(DispatchError::Disconnected),
            Stage::Closed(reason) => Err(DispatchError::Closed(reason.clone())),
        };
        let taken = open.and(admitted).and_then(|text| {
            let queued = state.link.send(Outgoing { text: text.clone(), event: true, topic });
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
}

impl EventTarget for LinkTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: self.options.broker,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: match self.life {
                Life::Outlives { .. } => Lifetime::Outlives,
                _ => Lifetime::PerConnection,
            },
            confirms: self.options.link.forward_subscriptions || self.is_direct(),
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
        Box::pin(self.leaving.until(|| {
            let state = self.lock();
            let waits = match state.stage {
                Stage::Open => true,
                Stage::Down(_) => self.keeps_events(),
                Stage::Leaving(_) | Stage::Closed(_) => false,
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
                links: u64::from(matches!(state.stage, Stage::Open | Stage::Leaving(_))),
                queued_messages: state.link.outbound().len() as u64,
                queued_bytes: state.link.outbound().bytes() as u64,
                ..state.counters
            }
        };
        self.listeners.count(&mut stats);
        stats
    }
}
