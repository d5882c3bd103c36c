//! The bridge as a listener of one side.

use super::copies::Gone;
use super::lane::{Lane, Loss, Next};
use super::notice::{BridgeNotice, Side};
use super::options::Told;
use super::stats::SideStats;
use crate::caught::caught;
use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, DispatchError, EventTarget, Listener, Notice, Readiness};
use crate::sync::{Mutex, MutexGuard};
use crate::topic::Topic;
use crate::waiters::Waiters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

/// What is heard on one side, for the pump that carries it across.
///
/// It holds no target, as the targets hold it.
pub(super) struct Ear {
    side: Side,
    state: Mutex<State>,
    /// Those who wait for something to cross.
    waiters: Waiters,
    told: Option<Arc<Told>>,
    /// Panics of `told`.
    panicked: AtomicU64,
}

struct State {
    lane: Lane,
    closed: Option<CloseReason>,
}

/// What the pump has to do.
pub(super) enum Work {
    Event(EventEnvelope),
    Lost(Topic, Loss),
    /// The side has ended, and nothing waits.
    End(CloseReason),
}

impl Ear {
    pub(super) fn new(side: Side, lane: Lane, told: Option<Arc<Told>>) -> Arc<Self> {
        Arc::new(Self {
            side,
            state: Mutex::new(State { lane, closed: None }),
            waiters: Waiters::default(),
            told,
            panicked: AtomicU64::new(0),
        })
    }

    /// What to do next, once there is something.
    pub(super) async fn next(&self) -> Work {
        let look = || {
            let mut state = self.lock();
            match state.lane.next() {
                Some(Next::Event(event)) => Some(Work::Event(event)),
                Some(Next::Lost(topic, loss)) => Some(Work::Lost(topic, loss)),
                None => state.closed.clone().map(Work::End),
            }
        };
        self.waiters.until(look).await
    }

    /// What becomes of the event that was next.
    pub(super) fn settle(&self, outcome: &Result<(), DispatchError>) {
        let _gone = {
            let lane = &mut self.lock().lane;
            match outcome {
                Ok(()) => lane.crossed(),
                Err(error) => lane.refused(error),
            }
        };
    }

    /// Puts an event of the other side on this one, whose target this is.
    ///
    /// The copy is awaited before: it may come within the call, or on another thread.
    pub(super) fn put(&self, target: &dyn EventTarget, event: &EventEnvelope) -> Result<(), DispatchError> {
        self.look_whether_settled(target, event.topic());
        let mut gone = Gone::default();
        let number = self.lock().lane.put(event, &mut gone);
        let taken = target.dispatch_event_ref(event);
        if let (Err(_), Some(number)) = (&taken, number) {
            self.change(|lane| lane.take_back(number, event, &mut gone));
        }
        taken
    }

    /// Once for each topic, when a first event goes there: what goes there earlier may not come back.
    fn look_whether_settled(&self, target: &dyn EventTarget, topic: &Topic) {
        if !self.lock().lane.is_unsettled(topic) {
            return;
        }
        let mut ready = target.ready(topic.as_str());
        let looked = ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Readiness::Confirmed | Readiness::Unconfirmed) = looked {
            self.lock().lane.settled(topic);
        }
    }

    pub(super) fn listen(&self, topic: &Topic) {
        self.lock().lane.listen(topic);
    }

    pub(super) fn forget(&self, topic: &Topic) {
        self.lock().lane.forget(topic);
    }

    /// The side has ended.
    pub(super) fn closed(&self, reason: &CloseReason) {
        self.lock().closed.get_or_insert_with(|| reason.clone());
        self.waiters.wake_all();
    }

    /// What waits is lost, as the bridge has ended.
    pub(super) fn abandon(&self) {
        let _dropped = self.lock().lane.end();
    }

    pub(super) fn tell(&self, notice: &BridgeNotice) {
        if let Some(told) = &self.told
            && caught(|| told(notice)).is_err()
        {
            self.panicked.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn stats(&self) -> SideStats {
        self.lock().lane.stats()
    }

    pub(super) fn panicked(&self) -> u64 {
        self.panicked.load(Relaxed)
    }

    /// Wakes the pump, if it had nothing to do before.
    fn change(&self, change: impl FnOnce(&mut Lane)) {
        let wakes = {
            let lane = &mut self.lock().lane;
            let was_empty = lane.is_empty();
            change(lane);
            was_empty && !lane.is_empty()
        };
        if wakes {
            self.waiters.wake_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listener of one topic.
pub(super) struct TopicEar {
    pub(super) ear: Arc<Ear>,
    pub(super) topic: Topic,
}

impl Listener for TopicEar {
    fn event(&self, event: &EventEnvelope) {
        let mut gone = Gone::default();
        self.ear.change(|lane| lane.hear(event, &mut gone));
    }

    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Gap { topic, missed, reason } => {
                // How many are missing of all topics says nothing about one.
                let missed = missed.filter(|missed| topic.is_some() && *missed > 0);
                self.ear.change(|lane| lane.gap(&self.topic, missed, *reason));
            }
            Notice::Denied { action, reason, .. } => {
                self.ear.lock().lane.denied(&self.topic, *action);
                let (topic, action, reason) = (self.topic.clone(), *action, *reason);
                self.ear.tell(&BridgeNotice::Denied { by: self.ear.side, topic, action, reason });
            }
            // The end is heard under its name, once.
            _ => {}
        }
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use crate::bridge::copies::Copies;
    use loom::future::block_on;
    use loom::thread;

    #[test]
    fn what_is_heard_while_the_pump_begins_to_wait_is_carried_and_then_the_end() {
        loom::model(|| {
            let topic = Topic::new("a", "b").unwrap();
            let ear = Ear::new(Side::Left, Lane::new(10, 1000, None), None);
            ear.listen(&topic);
            let hearing = TopicEar { ear: ear.clone(), topic };
            let hears = thread::spawn(move || {
                let event = EventEnvelope::without_payload("a", "b").unwrap();
                (0..2).for_each(|_| hearing.event(&event));
                hearing.ear.closed(&CloseReason::Closed);
            });
            // Where a wake-up was lost, all threads wait, and loom says so.
            for _ in 0..2 {
                assert!(matches!(block_on(ear.next()), Work::Event(_)));
                ear.settle(&Ok(()));
            }
            assert!(matches!(block_on(ear.next()), Work::End(CloseReason::Closed)));
            hears.join().unwrap();
        });
    }

    #[test]
    fn an_event_that_is_heard_and_taken_back_at_the_same_time_is_there_once() {
        loom::model(|| {
            let topic = Topic::new("a", "b").unwrap();
            let ear = Ear::new(Side::Left, Lane::new(10, 1000, Some(Copies::new(false, 10, 1000))), None);
            ear.listen(&topic);
            let event = EventEnvelope::without_payload("a", "b").unwrap();
            let hearing = TopicEar { ear: ear.clone(), topic };
            let another = thread::spawn({
                let event = event.clone();
                move || hearing.event(&event)
            });
            // Refused, while another's equal event comes: whichever is first, it crosses.
            let target = crate::InProcess::new();
            target.close();
            assert!(ear.put(&target, &event).is_err());
            another.join().unwrap();
            // That it was in doubt may be told ahead of it.
            while matches!(block_on(ear.next()), Work::Lost(..)) {}
            ear.settle(&Ok(()));
            assert!(ear.lock().lane.is_empty());
            assert_eq!((ear.stats().crossed, ear.stats().own), (1, 0));
        });
    }
}
