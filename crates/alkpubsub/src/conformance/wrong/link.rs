//! A link to a hub in one memory, synchronous, with one flaw at choice.

use super::LinkFlaw as Flaw;
use crate::EventEnvelope;
use crate::conformance::RawMessage;
use crate::conformance::run::{lock, timer};
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, ListenError,
    Listener, ListenerId, Notice, Order, Readiness, TargetError,
};
use crate::listeners::Listeners;
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Action, Control, DenyReason, GapReason};
use crate::stats::Stats;
use crate::topic::check_type;
use crate::waiters::Waiters;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

/// Bytes that may wait to be sent.
const MAX_QUEUED: usize = 1 << 20;

/// What stands at the far side.
pub(super) trait Far: Send + Sync {
    fn heard(&self, text: String);
    fn ended(&self, code: Option<u16>);
}

pub(super) struct Link {
    flaw: Flaw,
    /// A flaw of the publishing end.
    pub(super) sends_unencodable: bool,
    lifetime: Lifetime,
    far: Arc<dyn Far>,
    listeners: Listeners,
    state: Mutex<State>,
    changed: Waiters,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Wanted>,
    names: HashMap<ListenerId, String>,
    out: VecDeque<String>,
    out_bytes: usize,
    /// One thread writes what all have queued, so that it stays in order.
    writing: bool,
    stalled: bool,
    down: bool,
    gave_up: bool,
    bad_input: u64,
    rejected: u64,
}

#[derive(Default)]
struct Wanted {
    listeners: usize,
    owed: usize,
    denied: Option<DenyReason>,
    /// The connection was down since the last event.
    gap: bool,
}

impl State {
    fn queue(&mut self, text: String) {
        self.out_bytes += text.len();
        self.out.push_back(text);
    }

    fn ask(&mut self, topic: &str) {
        let wanted = self.topics.entry(topic.to_owned()).or_default();
        wanted.denied = None;
        wanted.owed += 1;
        if !self.down {
            self.queue(control::subscribe(topic));
        }
    }
}

impl Link {
    pub(super) fn new(flaw: Flaw, lifetime: Lifetime, far: Arc<dyn Far>) -> Self {
        let (listeners, state, changed) = (Listeners::default(), Mutex::default(), Waiters::default());
        Self { flaw, sends_unencodable: false, lifetime, far, listeners, state, changed }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn write(&self) {
        loop {
            let text = {
                let mut state = lock(&self.state);
                if state.writing || state.stalled || state.down {
                    return;
                }
                let Some(text) = state.out.pop_front() else { return };
                state.out_bytes -= text.len();
                state.writing = true;
                text
            };
            self.far.heard(text);
            lock(&self.state).writing = false;
            self.changed.wake_all();
        }
    }

    /// Takes a message from the far side.
    pub(super) fn receive(&self, message: &RawMessage) {
        let bytes = match message {
            RawMessage::Text(text) => text.as_bytes(),
            RawMessage::Binary(bytes) => bytes,
        };
        if self.listeners.closed().is_some() || lock(&self.state).down {
            return;
        }
        let read = parts(bytes, &MessageLimits::DEFAULT);
        match read.and_then(|parts| Ok((control::read(&parts)?, parts))) {
            Ok((None, parts)) => self.event(parts.text),
            Ok((Some(Control::Unknown), _)) if self.has(Flaw::UnknownControlIsBad) => self.bad(None),
            Ok((Some(control), _)) => self.control(control),
            Err(refusal) => {
                let lenient: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
                let member = |name: &str| lenient.as_ref().and_then(|value| value[name].as_str());
                match (self.flaw, member("type"), member("id")) {
                    (Flaw::TakesDoubleMembers, Some(event_type), Some(id)) => {
                        let event = EventEnvelope::without_payload(event_type, id);
                        let _ = event.map(|event| self.listeners.dispatch(&event));
                    }
                    (Flaw::PanicsOnBadInput, ..) => std::panic::resume_unwind(Box::new("on purpose")),
                    _ => self.bad(Some(refusal)),
                }
            }
        }
    }

    fn event(&self, text: &str) {
        let text = if self.has(Flaw::ReencodesInward) { reencoded(text) } else { text.to_owned() };
        if let Ok(event) = EventEnvelope::parse(text) {
            self.listeners.dispatch(&event);
        }
    }

    fn bad(&self, refusal: Option<crate::Refusal>) {
        if !self.has(Flaw::SwallowsBadInput) {
            lock(&self.state).bad_input += 1;
        }
        if let Some(refusal) = refusal {
            self.listeners.notify_named(&Notice::Error(TargetError::BadInput(refusal)));
        }
    }

    fn control(&self, control: Control<'_>) {
        match control {
            Control::Subscribed(topic) => self.answered(&topic, None),
            Control::Denied { topic, action: Action::Subscribe, reason } if !self.has(Flaw::HidesDenial) => {
                self.answered(&topic, Some(reason));
                let denied = Notice::Denied { topic: (&*topic).into(), action: Action::Subscribe, reason };
                self.listeners.notify(Some(&topic), &denied);
            }
            Control::Gap { topic, missed, reason } => {
                let gap = Notice::Gap {
                    topic: topic.as_deref().and_then(|topic| crate::Topic::parse(topic).ok()),
                    missed,
                    reason,
                };
                match (self.flaw, topic) {
                    (Flaw::SwallowsGap, _) => {}
                    (Flaw::GapOfAllToNobody, None) => self.listeners.notify_named(&gap),
                    (_, topic) => self.listeners.notify(topic.as_deref(), &gap),
                }
            }
            _ => {}
        }
        self.changed.wake_all();
    }

    fn answered(&self, topic: &str, denied: Option<DenyReason>) {
        let gap = {
            let mut state = lock(&self.state);
            if self.has(Flaw::TakesAnyAnswer) {
                state.topics.values_mut().for_each(|wanted| wanted.owed = 0);
            }
            let Some(wanted) = state.topics.get_mut(topic) else { return };
            let before = wanted.owed;
            wanted.owed = if self.has(Flaw::OneAnswerForAll) { 0 } else { before.saturating_sub(1) };
            if wanted.owed == 0 && (before > 0 || denied.is_some()) {
                wanted.denied = denied;
            }
            wanted.owed == 0 && std::mem::take(&mut wanted.gap)
        };
        if gap && !self.has(Flaw::NoGapAfterCut) {
            let notice = Notice::Gap {
                topic: crate::Topic::parse(topic).ok(),
                missed: None,
                reason: GapReason::Disconnected,
            };
            self.listeners.notify(Some(topic), &notice);
        }
    }

    fn end(&self, reason: CloseReason) {
        if self.listeners.close(reason) && !self.has(Flaw::NeverHangsUp) {
            self.far.ended(Some(1000));
        }
        let mut state = lock(&self.state);
        (state.topics, state.names, state.out, state.out_bytes) = Default::default();
        drop(state);
        self.changed.wake_all();
    }

    pub(super) fn cut(&self) {
        match (self.lifetime, self.flaw) {
            (Lifetime::PerConnection, Flaw::CutNotTold) => lock(&self.state).down = true,
            (Lifetime::PerConnection, Flaw::CutReadsAsClose) => self.end(CloseReason::Closed),
            (Lifetime::PerConnection, _) => self.end(CloseReason::Lost { error: "cut".into() }),
            (Lifetime::Outlives, _) => {
                let mut state = lock(&self.state);
                state.down = true;
                (state.out, state.out_bytes) = Default::default();
                for wanted in state.topics.values_mut() {
                    wanted.owed = 0;
                    wanted.gap = true;
                }
            }
        }
    }

    pub(super) fn heal(&self) {
        {
            let mut state = lock(&self.state);
            if !state.down {
                return;
            }
            state.down = false;
            let topics: Vec<_> = state.topics.keys().cloned().collect();
            topics.iter().for_each(|topic| state.ask(topic));
        }
        self.write();
    }

    pub(super) fn stall(&self, stalled: bool) {
        lock(&self.state).stalled = stalled;
        self.write();
    }

    fn readiness(&self, topic: &str) -> Option<Readiness> {
        if self.listeners.closed().is_some() {
            return Some(Readiness::Closed);
        }
        let state = lock(&self.state);
        let wanted = state.topics.get(topic);
        match (wanted, self.flaw) {
            (Some(_), Flaw::ConfirmsTooEarly) => Some(Readiness::Confirmed),
            (_, Flaw::NeverConfirms) => Some(Readiness::Unconfirmed),
            (None, _) => Some(Readiness::Unconfirmed),
            (Some(Wanted { denied: Some(reason), .. }), _) => Some(Readiness::Denied(*reason)),
            (Some(Wanted { owed: 0, .. }), _) if !state.down => Some(Readiness::Confirmed),
            (Some(_), Flaw::ConfirmsSilence) if state.gave_up => Some(Readiness::Confirmed),
            (Some(_), _) => state.gave_up.then_some(Readiness::Unconfirmed),
        }
    }

    async fn settled(&self, topic: &str) -> Readiness {
        let mut silence = timer(Duration::from_secs(2));
        let mut settled = Box::pin(self.changed.until(|| self.readiness(topic)));
        std::future::poll_fn(|context| {
            if silence.as_mut().poll(context).is_ready() && !self.has(Flaw::WaitsForever) {
                lock(&self.state).gave_up = !self.has(Flaw::WaitsEachTime);
                if self.has(Flaw::WaitsEachTime) {
                    return Poll::Ready(Readiness::Unconfirmed);
                }
            }
            settled.as_mut().poll(context)
        })
        .await
    }
}

fn reencoded(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text)
        .map_or_else(|_| text.to_owned(), |value| value.to_string())
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
                let wanted = state.topics.entry(name.to_owned()).or_default();
                wanted.listeners += 1;
                let (first, denied) = (wanted.listeners == 1, wanted.denied.is_some());
                let ask =
                    first || (denied && !self.has(Flaw::NeverAsksAgain)) || self.has(Flaw::SubscribesEach);
                if ask && !self.has(Flaw::RacyCount) {
                    state.ask(name);
                }
            }
            id
        };
        self.write();
        Ok(id)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        {
            let mut state = lock(&self.state);
            let Some(name) = state.names.remove(&listener) else {
                self.listeners.remove(listener);
                return;
            };
            self.listeners.remove(listener);
            let Some(wanted) = state.topics.get_mut(&name) else { return };
            wanted.listeners -= 1;
            let (last, denied) =
                (wanted.listeners == 0, wanted.denied.take_if(|_| wanted.listeners == 0).is_some());
            let tell =
                (last && !denied && !self.has(Flaw::NeverUnsubscribes)) || self.has(Flaw::UnsubscribesEach);
            if tell && !state.down {
                state.queue(control::unsubscribe(&name));
            }
            if last && state.topics.get(&name).is_some_and(|wanted| wanted.owed == 0) {
                state.topics.remove(&name);
            }
        }
        self.write();
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        if !self.has(Flaw::SendsReserved) {
            check_type(event.event_type())?;
        }
        if let Some(reason) = self.listeners.closed() {
            if self.has(Flaw::SendsAfterClose) {
                self.far.heard(event.to_json()?.to_owned());
            }
            return Err(DispatchError::Closed(reason));
        }
        let text = match event.to_json() {
            Ok(text) if self.has(Flaw::ReencodesOutward) => reencoded(text),
            Ok(text) => text.to_owned(),
            Err(_) if self.sends_unencodable => {
                EventEnvelope::without_payload(event.event_type(), event.id())?.to_json()?.to_owned()
            }
            Err(error) => return Err(error.into()),
        };
        {
            let mut state = lock(&self.state);
            if state.down && !self.has(Flaw::QueuesWhileDown) && !self.has(Flaw::CutNotTold) {
                return Err(DispatchError::Disconnected);
            }
            let full = !state.out.is_empty() && state.out_bytes + text.len() > MAX_QUEUED;
            if full && !self.has(Flaw::Unbounded) {
                state.rejected += 1;
                return Err(DispatchError::Full);
            }
            state.queue(text);
        }
        self.write();
        Ok(())
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
            bad_input: state.bad_input,
            rejected: state.rejected,
            queued_messages: state.out.len() as u64,
            queued_bytes: state.out_bytes as u64,
            ..Stats::default()
        };
        drop(state);
        self.listeners.count(&mut stats);
        stats
    }
}
