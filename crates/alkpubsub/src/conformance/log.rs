//! What laws are written with: listeners that write down what they hear, events, fences.

use super::run::{lock, waits_for};
use super::{Fixture, Peers, Violation};
use crate::envelope::EventEnvelope;
use crate::event_target::{
    Capabilities, DispatchError, EventTarget, Listener, ListenerId, Notice, Readiness,
};
use crate::waiters::Waiters;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) type Verdict = Result<(), Violation>;

/// Ends the law with a violation unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err($crate::conformance::Violation::new(format!($($words)+)));
        }
    };
}

/// Ends the law with a violation unless the two are equal.
macro_rules! ensure_eq {
    ($found:expr, $wanted:expr, $($words:tt)+) => {{
        let (found, wanted) = (&$found, &$wanted);
        if found != wanted {
            let what = format!($($words)+);
            return Err($crate::conformance::Violation::new(format!("{what}: {found:?} instead of {wanted:?}")));
        }
    }};
}

pub(super) use {ensure, ensure_eq};

/// The payload of the event that ends a series: what was before it has come when it has come.
pub(super) const FENCE: u64 = 999_999;

pub(super) async fn peers(fixture: &dyn Fixture) -> Result<Peers, Violation> {
    waits_for("the fixture's peers");
    let made = fixture.peers().await;
    let peers = made.map_err(|error| Violation::new(format!("the fixture made no peers: {error}")))?;
    let subscriber =
        peers.subscribers.first().ok_or_else(|| Violation::new("the fixture made no subscriber"))?;
    // Echo is the medium's alone: behind a hub that relays, a link echoes nothing by itself.
    let declared = Capabilities { echo: false, ..subscriber.capabilities() };
    let wanted = Capabilities { echo: false, ..fixture.capabilities() };
    ensure_eq!(declared, wanted, "the fixture's capabilities are not the target's");
    Ok(peers)
}

/// A word that no other law, and no other run on a shared medium, uses.
pub(super) fn unique(word: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("{word}-{:x}-{now:x}-{:x}", process::id(), COUNT.fetch_add(1, Relaxed))
}

/// An event with a number as its payload.
pub(super) fn numbered(event_type: &str, id: &str, number: u64) -> Result<EventEnvelope, Violation> {
    Ok(EventEnvelope::new(event_type, id, &number)?)
}

/// Dispatches an event, waiting while the queue is full.
pub(super) async fn publish(target: &dyn EventTarget, event: EventEnvelope) -> Verdict {
    loop {
        match target.dispatch_event(event.clone()) {
            Err(DispatchError::Full) => {
                waits_for("room in the outbound queue");
                target.room().await;
            }
            done => return Ok(done?),
        }
    }
}

/// Publishes events with these numbers.
pub(super) async fn publish_numbers(
    target: &dyn EventTarget,
    event_type: &str,
    id: &str,
    numbers: impl IntoIterator<Item = u64>,
) -> Verdict {
    for number in numbers {
        publish(target, numbered(event_type, id, number)?).await?;
    }
    Ok(())
}

/// Waits for what no event tells of, by asking again and again: counters, which may be brought up to date a moment
/// after the listeners were called.
pub(super) async fn comes_true(fixture: &dyn Fixture, what: String, mut look: impl FnMut() -> bool) {
    waits_for(what);
    while !look() {
        fixture.timer(Duration::from_millis(2)).await;
    }
}

/// Adds a listener and waits until it is in place.
pub(super) async fn listen(
    target: &dyn EventTarget,
    topic: &str,
    listener: Arc<dyn Listener>,
) -> Result<ListenerId, Violation> {
    let id = target.add_event_listener(topic, listener)?;
    in_place(target, topic).await?;
    Ok(id)
}

pub(super) async fn in_place(target: &dyn EventTarget, topic: &str) -> Verdict {
    waits_for("a subscription to be in place");
    let readiness = target.ready(topic).await;
    let in_place = matches!(readiness, Readiness::Confirmed | Readiness::Unconfirmed);
    ensure!(in_place, "a subscription that should be in place is {readiness:?}");
    Ok(())
}

/// What listeners heard, in the order of their calls.
#[derive(Default)]
pub(super) struct Log {
    heard: Mutex<Vec<Heard>>,
    changed: Waiters,
}

/// One call of a listener.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// The mark of the listener.
    pub(super) by: u32,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Event(EventEnvelope),
    Notice(Notice),
}

impl Heard {
    /// The number that is the event's payload.
    pub(super) fn number(&self) -> Option<u64> {
        match &self.what {
            What::Event(event) => event.payload().ok(),
            What::Notice(_) => None,
        }
    }

    pub(super) fn notice(&self) -> Option<&Notice> {
        match &self.what {
            What::Notice(notice) => Some(notice),
            What::Event(_) => None,
        }
    }
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A listener that writes what it hears into this log, with its mark.
    pub(super) fn listener(self: &Arc<Self>, by: u32) -> Arc<dyn Listener> {
        Arc::new(Writer { by, log: self.clone() })
    }

    pub(super) fn write(&self, by: u32, what: What) {
        lock(&self.heard).push(Heard { by, what });
        self.changed.wake_all();
    }

    /// Waits until what was heard is as asked for.
    pub(super) async fn until<T>(&self, what: &str, mut look: impl FnMut(&[Heard]) -> Option<T>) -> T {
        waits_for(what);
        self.changed.until(|| look(&lock(&self.heard))).await
    }

    /// Waits until the listener has heard so many fences, and gives all numbers that it heard.
    pub(super) async fn numbers_to_fence(&self, by: u32, fences: usize) -> Vec<u64> {
        let fenced = |heard: &[Heard]| {
            let found = heard.iter().filter(|call| call.by == by && call.number() == Some(FENCE)).count();
            (found >= fences).then_some(())
        };
        self.until("a fence, the last event of a series", fenced).await;
        self.numbers(by)
    }

    /// All numbers that the listener heard.
    pub(super) fn numbers(&self, by: u32) -> Vec<u64> {
        lock(&self.heard).iter().filter(|call| call.by == by).filter_map(Heard::number).collect()
    }

    /// All that was heard.
    pub(super) fn all(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// All notices that the listener heard.
    pub(super) fn notices(&self, by: u32) -> Vec<Notice> {
        let heard = self.all();
        heard.iter().filter(|call| call.by == by).filter_map(Heard::notice).cloned().collect()
    }
}

struct Writer {
    by: u32,
    log: Arc<Log>,
}

impl Listener for Writer {
    fn event(&self, event: &EventEnvelope) {
        self.log.write(self.by, What::Event(event.clone()));
    }

    fn notice(&self, notice: &Notice) {
        self.log.write(self.by, What::Notice(notice.clone()));
    }
}
