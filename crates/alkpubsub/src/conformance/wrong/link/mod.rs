//! A link to a hub in one memory, synchronous, with one flaw at choice.

mod heard;
mod target;

use super::LinkFlaw as Flaw;
use crate::conformance::RawMessage;
use crate::conformance::run::{lock, timer};
use crate::event_target::{CloseReason, Lifetime, ListenerId, Notice, Readiness};
use crate::listeners::Listeners;
use crate::protocol::AfterClose;
use crate::protocol::control::{self, DenyReason};
use crate::stats::Stats;
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
    /// Whether the connection is its own to end.
    pub(super) owned: bool,
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
    /// What was dispatched last, where that is sent again.
    last: Option<String>,
    /// A gap that is told late, where that is the flaw.
    late: Option<Notice>,
    counters: Stats,
    /// What came last, where that is handled when the next comes.
    before: Option<RawMessage>,
}

#[derive(Default)]
struct Wanted {
    listeners: usize,
    owed: usize,
    denied: Option<DenyReason>,
    /// A draining hub put it off to the next connection.
    put_off: bool,
    /// Connections lost since it was confirmed.
    gaps: usize,
    /// The gap was told ahead of an event that came before the hub's answer.
    early: bool,
}

impl State {
    fn queue(&mut self, text: String) {
        self.out_bytes += text.len();
        self.out.push_back(text);
    }

    fn ask(&mut self, topic: &str, full: bool) {
        let down = self.down;
        let wanted = self.topics.entry(topic.to_owned()).or_default();
        (wanted.denied, wanted.put_off, wanted.early) = (None, false, false);
        if !down {
            wanted.owed += 1;
        }
        if !down && !full {
            self.queue(control::subscribe(topic));
        }
    }
}

impl Link {
    pub(super) fn new(flaw: Flaw, lifetime: Lifetime, far: Arc<dyn Far>) -> Self {
        let (listeners, changed) = (Listeners::default(), Waiters::default());
        let counters = Stats { connections: 1, ..Stats::default() };
        let state = Mutex::new(State { counters, ..State::default() });
        Self { flaw, sends_unencodable: false, lifetime, owned: true, far, listeners, state, changed }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn outlives(&self) -> bool {
        self.lifetime == Lifetime::Outlives
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

    fn end(&self, reason: CloseReason) {
        let code = match reason {
            CloseReason::Lost { .. } => None,
            _ => Some(reason.code()),
        };
        if self.listeners.close(reason)
            && (self.owned || self.has(Flaw::EndsWhatWasLent))
            && !self.has(Flaw::NeverHangsUp)
        {
            self.far.ended(code);
        }
        let mut state = lock(&self.state);
        (state.topics, state.names, state.out, state.out_bytes) = Default::default();
        drop(state);
        self.changed.wake_all();
    }

    /// The far side closed.
    fn over(&self, reason: CloseReason) {
        let stops = AfterClose::of(reason.code()) == AfterClose::Stop;
        match self.flaw {
            _ if !self.outlives() => self.end(reason),
            Flaw::EndsAtAnyCode => self.end(reason),
            Flaw::ComesBackAfterAnyCode => self.again(),
            _ if stops => self.end(reason),
            _ => self.again(),
        }
    }

    fn again(&self) {
        self.cut();
        self.heal();
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
                let forgets = !self.has(Flaw::KeepsAnswersOwed);
                state.topics.retain(|_, wanted| {
                    // One that was never confirmed has missed nothing that it was promised.
                    wanted.gaps += usize::from(wanted.owed == 0 || wanted.gaps > 0);
                    wanted.owed = if forgets { 0 } else { wanted.owed };
                    wanted.listeners > 0
                });
            }
        }
    }

    pub(super) fn heal(&self) {
        let gaps = {
            let mut state = lock(&self.state);
            if !state.down {
                return;
            }
            state.down = false;
            state.counters.connections += 1;
            if !self.has(Flaw::NeverPings) {
                state.queue(control::ping(1));
            }
            let open = |wanted: &Wanted| wanted.denied.is_none();
            let topics = state.topics.iter().filter(|(_, wanted)| open(wanted));
            let topics: Vec<_> = topics.map(|(topic, wanted)| (topic.clone(), wanted.gaps > 0)).collect();
            topics.iter().for_each(|(topic, _)| state.ask(topic, false));
            let last = state.last.take();
            last.into_iter().for_each(|last| state.queue(last));
            topics
        };
        if self.has(Flaw::GapWhenConnected) {
            gaps.iter().filter(|(_, gap)| *gap).for_each(|(topic, _)| self.tell_gap(topic));
        }
        self.write();
    }

    pub(super) fn stall(&self, stalled: bool) {
        lock(&self.state).stalled = stalled;
        self.write();
    }

    fn readiness(&self, topic: &str) -> Option<Readiness> {
        if self.listeners.closed().is_some() {
            return (!self.has(Flaw::ForgetsWhoWaits)).then_some(Readiness::Closed);
        }
        let state = lock(&self.state);
        let wanted = state.topics.get(topic);
        let settled = wanted.is_none_or(|wanted| wanted.owed == 0 && !wanted.put_off);
        match (wanted, self.flaw) {
            (Some(_), Flaw::ConfirmsTooEarly) => Some(Readiness::Confirmed),
            (Some(_), Flaw::ReadyWhileDown) if settled => Some(Readiness::Confirmed),
            _ if state.down => None,
            (_, Flaw::NeverConfirms) | (None, _) => Some(Readiness::Unconfirmed),
            (Some(Wanted { denied: Some(reason), .. }), _) => Some(Readiness::Denied(*reason)),
            (Some(_), _) if settled => Some(Readiness::Confirmed),
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
