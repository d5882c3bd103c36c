//! The contract, kept by the link in one memory, but for its flaw.

use super::{Flaw, Link, MAX_QUEUED, reencoded};
use crate::EventEnvelope;
use crate::conformance::run::lock;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, ListenError, Listener,
    ListenerId, Order, Readiness,
};
use crate::protocol::check::{MessageLimits, Refusal};
use crate::protocol::control;
use crate::stats::Stats;
use crate::topic::check_type;
use std::sync::Arc;
use std::time::Duration;

impl Link {
    /// The text of an event that may be sent.
    fn admit(&self, event: &EventEnvelope) -> Result<String, DispatchError> {
        if !self.has(Flaw::SendsReserved) {
            check_type(event.event_type())?;
        }
        let text = match event.to_json() {
            Ok(text) if self.has(Flaw::ReencodesOutward) => reencoded(text),
            Ok(text) => text.to_owned(),
            Err(_) if self.sends_unencodable => {
                EventEnvelope::without_payload(event.event_type(), event.id())?.to_json()?.to_owned()
            }
            Err(error) => return Err(error.into()),
        };
        match MessageLimits::DEFAULT.admit(&text) {
            _ if self.has(Flaw::SendsTooLarge) => Ok(text),
            Ok(()) => Ok(text),
            Err(Refusal::TooDeep { limit }) => Err(DispatchError::TooDeep { limit }),
            Err(_) => {
                let limit = MessageLimits::DEFAULT.max_message;
                Err(DispatchError::TooLarge { bytes: text.len(), limit })
            }
        }
    }

    fn take(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        if let Some(reason) = self.listeners.closed() {
            if self.has(Flaw::SendsAfterClose) {
                self.far.heard(event.to_json()?.to_owned());
            }
            return Err(DispatchError::Closed(reason));
        }
        let text = self.admit(event)?;
        let mut state = lock(&self.state);
        if state.down && !self.has(Flaw::QueuesWhileDown) && !self.has(Flaw::CutNotTold) {
            return Err(DispatchError::Disconnected);
        }
        let full = !state.out.is_empty() && state.out_bytes + text.len() > MAX_QUEUED;
        if full && !self.has(Flaw::Unbounded) {
            return Err(DispatchError::Full);
        }
        if self.has(Flaw::SendsAgain) {
            state.last = Some(text.clone());
        }
        state.queue(text);
        Ok(())
    }
}

impl EventTarget for Link {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: self.lifetime,
            confirms: true,
        }
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        if self.has(Flaw::RacyCount) {
            let first = lock(&self.state).topics.get(name).is_none_or(|wanted| wanted.listeners == 0);
            // Long enough for the threads to meet here, however few processors they share.
            std::thread::sleep(Duration::from_millis(2));
            if first {
                lock(&self.state).queue(control::subscribe(name));
            }
        }
        let id = {
            let mut state = lock(&self.state);
            let id = self.listeners.add(name, listener)?;
            if name.contains(':') {
                state.names.insert(id, name.to_owned());
                let gap = state.down && self.has(Flaw::GapForNew);
                let wanted = state.topics.entry(name.to_owned()).or_default();
                wanted.listeners += 1;
                wanted.gaps += usize::from(gap);
                let (first, denied) = (wanted.listeners == 1, wanted.denied.is_some());
                let ask =
                    first || (denied && !self.has(Flaw::NeverAsksAgain)) || self.has(Flaw::SubscribesEach);
                if ask && !self.has(Flaw::RacyCount) {
                    let full = self.has(Flaw::DropsControl) && state.out_bytes + (64 << 10) > MAX_QUEUED;
                    state.ask(name, full);
                }
            }
            id
        };
        self.write();
        Ok(id)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        if self.has(Flaw::RacyCount) {
            // So that a listener is still there when the others come.
            std::thread::sleep(Duration::from_millis(2));
        }
        {
            let mut state = lock(&self.state);
            let Some(name) = state.names.remove(&listener) else {
                drop(state);
                self.listeners.remove(listener);
                return;
            };
            let Some(wanted) = state.topics.get_mut(&name) else { return };
            wanted.listeners -= 1;
            let (last, denied) =
                (wanted.listeners == 0, wanted.denied.take_if(|_| wanted.listeners == 0).is_some());
            let tell =
                (last && !denied && !self.has(Flaw::NeverUnsubscribes)) || self.has(Flaw::UnsubscribesEach);
            if last {
                wanted.gaps = 0;
            }
            let keep = wanted.owed > 0 || (state.down && self.has(Flaw::AsksForWhatIsGone));
            if tell && !state.down {
                state.queue(control::unsubscribe(&name));
            }
            if last && !keep {
                state.topics.remove(&name);
            }
        }
        // What it owns may come back here when it is dropped.
        self.listeners.remove(listener);
        self.write();
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        let taken = self.take(&event);
        {
            let counters = &mut lock(&self.state).counters;
            let counter = if taken.is_ok() { &mut counters.dispatched } else { &mut counters.rejected };
            *counter += 1;
            counters.sent += u64::from(taken.is_ok() && !self.has(Flaw::CountsNotWhatGoes));
        }
        self.write();
        taken
    }

    fn close(&self) {
        self.end(CloseReason::Closed);
    }

    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        Box::pin(self.settled(topic))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.changed.until(|| {
            let room = self.listeners.closed().is_some() || lock(&self.state).out_bytes < MAX_QUEUED / 2;
            room.then_some(())
        }))
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.changed.until(|| self.listeners.ended()))
    }

    fn stats(&self) -> Stats {
        let state = lock(&self.state);
        let mut stats = Stats {
            links: u64::from(!state.down && self.listeners.closed().is_none()),
            queued_messages: state.out.len() as u64,
            queued_bytes: state.out_bytes as u64,
            ..state.counters
        };
        drop(state);
        self.listeners.count(&mut stats);
        stats
    }
}
