//! Removal, closing and dispatching in every order of threads.
//!
//! What a program sees of another thread it sees through something that orders the two: here a flag, stored with
//! release and loaded with acquire. A listener whose call was decided on before that may still be called.

use super::*;
use crate::event_target::on_notice;
use loom::thread;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};

const TOPIC: &str = "a:b";

fn event() -> EventEnvelope {
    EventEnvelope::without_payload("a", "b").unwrap()
}

/// What fails in a listener would be caught as a panic of the listener's: it is kept, and looked at in the end.
#[derive(Clone, Default)]
struct Failures(Arc<AtomicUsize>);

impl Failures {
    fn expect(&self, holds: bool) {
        self.0.fetch_add(usize::from(!holds), SeqCst);
    }

    fn check(&self) {
        assert_eq!(self.0.load(SeqCst), 0);
    }
}

#[test]
fn once_removed_no_call_begins_even_within_the_dispatch_under_way() {
    loom::model(|| {
        let listeners = Arc::new(Listeners::default());
        let removed = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let failures = Failures::default();
        let (first, saw) = (removed.clone(), seen.clone());
        listeners
            .add(TOPIC, Arc::new(move |_: &EventEnvelope| saw.store(first.load(Acquire), SeqCst)))
            .unwrap();
        let failed = failures.clone();
        let victim = move |_: &EventEnvelope| failed.expect(!seen.load(SeqCst));
        let victim = listeners.add(TOPIC, Arc::new(victim)).unwrap();

        let dispatching = listeners.clone();
        let dispatcher = thread::spawn(move || dispatching.dispatch(&event()));
        assert_eq!(listeners.remove(victim).as_deref(), Some(TOPIC));
        removed.store(true, Release);
        assert!(matches!(dispatcher.join().unwrap(), 1 | 2));
        failures.check();
        assert_eq!(listeners.dispatch(&event()), 1);
    });
}

#[test]
fn of_two_who_remove_a_listener_one_does() {
    loom::model(|| {
        let listeners = Arc::new(Listeners::default());
        let id = listeners.add(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap();
        let stays = listeners.add(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap();
        let removing = listeners.clone();
        let other = thread::spawn(move || removing.remove(id).is_some());
        let here = listeners.remove(id).is_some();
        assert!(here != other.join().unwrap());
        assert!(listeners.is_heard(TOPIC));
        listeners.remove(stays);
        assert!(!listeners.is_heard(TOPIC));
    });
}

#[test]
fn who_could_be_added_hears_the_close_notice_once_and_as_the_last() {
    loom::model(|| {
        let listeners = Arc::new(Listeners::default());
        let told = Arc::new(AtomicUsize::new(0));
        let (adding, counted) = (listeners.clone(), told.clone());
        let adder = thread::spawn(move || {
            let notice = on_notice(move |_| _ = counted.fetch_add(1, SeqCst));
            adding.add(TOPIC, Arc::new(notice)).is_ok()
        });
        let closing = listeners.clone();
        let closer = thread::spawn(move || closing.close(CloseReason::Closed));
        let closed_here = listeners.close(CloseReason::Closed);
        assert!(closed_here != closer.join().unwrap(), "one of the two closes it");
        let added = adder.join().unwrap();
        assert_eq!(told.load(SeqCst), usize::from(added));
        assert!(listeners.ended().is_some() && !listeners.is_heard(TOPIC));
    });
}

/// The first of two listeners of a topic: what it knows when it hears an event, the second one must not be told after.
struct First {
    closed: AtomicBool,
    seen: Arc<std::sync::atomic::AtomicBool>,
}

impl Listener for First {
    fn event(&self, _: &EventEnvelope) {
        self.seen.store(self.closed.load(Acquire), SeqCst);
    }

    fn notice(&self, _: &Notice) {
        self.closed.store(true, Release);
    }
}

#[test]
fn once_the_close_notice_was_seen_no_call_with_an_event_begins() {
    loom::model(|| {
        let listeners = Arc::new(Listeners::default());
        let seen = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let failures = Failures::default();
        let first = First { closed: AtomicBool::new(false), seen: seen.clone() };
        listeners.add(TOPIC, Arc::new(first)).unwrap();
        let failed = failures.clone();
        listeners.add(TOPIC, Arc::new(move |_: &EventEnvelope| failed.expect(!seen.load(SeqCst)))).unwrap();

        let dispatching = listeners.clone();
        let dispatcher = thread::spawn(move || dispatching.dispatch(&event()));
        listeners.close(CloseReason::Closed);
        assert_eq!(listeners.dispatch(&event()), 0, "after it has returned");
        dispatcher.join().unwrap();
        failures.check();
    });
}

#[test]
fn who_was_added_while_another_event_is_dispatched_hears_the_next() {
    loom::model(|| {
        let listeners = Arc::new(Listeners::default());
        let known = Arc::new(AtomicBool::new(false));
        let looks = known.clone();
        listeners.add(TOPIC, Arc::new(move |_: &EventEnvelope| _ = looks.load(Acquire))).unwrap();
        let dispatching = listeners.clone();
        let dispatcher = thread::spawn(move || dispatching.dispatch(&event()));
        let added = listeners.add(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap();
        known.store(true, Release);
        assert_eq!(listeners.dispatch(&event()), 2);
        listeners.remove(added);
        assert_eq!(listeners.dispatch(&event()), 1);
        assert!(matches!(dispatcher.join().unwrap(), 1 | 2));
    });
}

#[test]
fn what_a_removed_listener_owns_is_dropped_when_nobody_calls_any_more() {
    loom::model(|| {
        let listeners = Arc::new(Listeners::default());
        // Looked at within the call, so that loom also removes while it is under way.
        let owned = Arc::new(AtomicBool::new(false));
        let owns = owned.clone();
        let id = listeners.add(TOPIC, Arc::new(move |_: &EventEnvelope| _ = owns.load(Acquire))).unwrap();
        let dispatching = listeners.clone();
        let dispatcher = thread::spawn(move || dispatching.dispatch(&event()));
        let other = listeners.add(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap();
        owned.store(true, Release);
        listeners.remove(other);
        listeners.remove(id);
        dispatcher.join().unwrap();
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}

#[test]
fn what_listeners_own_is_dropped_when_the_target_has_closed_and_nobody_calls_any_more() {
    loom::model(|| {
        let (listeners, owned) = (Arc::new(Listeners::default()), Arc::new(()));
        let owns = owned.clone();
        listeners.add(TOPIC, Arc::new(move |_: &EventEnvelope| _ = &owns)).unwrap();
        let dispatching = listeners.clone();
        let dispatcher = thread::spawn(move || dispatching.dispatch(&event()));
        listeners.close(CloseReason::Closed);
        dispatcher.join().unwrap();
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}
