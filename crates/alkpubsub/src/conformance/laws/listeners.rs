//! What listeners may do and what is done to them: removal, reentrant, isolation.

use crate::conformance::log::{
    FENCE, Heard, Log, Verdict, What, comes_true, ensure, ensure_eq, in_place, listen, numbered, peers,
    publish, publish_numbers, unique,
};
use crate::conformance::run::{block_on, both, lock, on_thread};
use crate::conformance::{Fixture, Violation};
use crate::waiters::Waiters;
use crate::{DispatchError, EventEnvelope, EventTarget, InProcess, ListenerId, Notice, PubSub, TargetError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// Once removed, a listener hears nothing; removing twice, or what was never added here, does nothing.
pub(super) async fn removal(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let gone = listen(&**subscriber, &topic, log.listener(0)).await?;
    listen(&**subscriber, &topic, log.listener(1)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [1]).await?;
    log.until("two listeners to be called", |heard| (heard.len() >= 2).then_some(())).await;
    subscriber.remove_event_listener(gone);
    subscriber.remove_event_listener(gone);
    listen(&**subscriber, &topic, log.listener(2)).await?;
    subscriber.remove_event_listener(gone);
    // Handles of another target are handles of nothing here.
    let elsewhere = InProcess::new();
    for _ in 0..64 {
        let never_added = elsewhere.add_event_listener(&topic, log.listener(3))?;
        subscriber.remove_event_listener(never_added);
    }
    publish_numbers(&*peers.publisher, &event_type, "1", [2, FENCE]).await?;
    ensure_eq!(log.numbers_to_fence(2, 1).await, [2, FENCE], "a listener beside the removed one heard");
    ensure_eq!(log.numbers_to_fence(1, 1).await, [1, 2, FENCE], "a listener beside the removed one heard");
    ensure_eq!(log.numbers(0), [1], "the removed listener heard");
    Ok(())
}

/// A listener that is removed by one called before it is not called within the same dispatch.
pub(super) async fn removal_during_dispatch(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let victims = Arc::new(OnceLock::<[ListenerId; 2]>::new());
    let remover = {
        let (target, victims, log) = (Arc::downgrade(subscriber), victims.clone(), log.clone());
        move |event: &EventEnvelope| {
            if let (Some(target), Some(victims)) = (target.upgrade(), victims.get()) {
                victims.iter().for_each(|victim| target.remove_event_listener(*victim));
            }
            log.write(0, What::Event(event.clone()));
        }
    };
    // The remover removes the one after it, and itself.
    let own = listen(&**subscriber, &topic, Arc::new(remover)).await?;
    let next = listen(&**subscriber, &topic, log.listener(1)).await?;
    listen(&**subscriber, &topic, log.listener(2)).await?;
    victims.set([own, next]).map_err(|_| Violation::new("the listener ran before any event"))?;
    publish_numbers(&*peers.publisher, &event_type, "1", [1, 2, FENCE]).await?;
    ensure_eq!(
        log.numbers_to_fence(2, 1).await,
        [1, 2, FENCE],
        "the listener after the two removed ones heard"
    );
    ensure_eq!(log.numbers(0), [1], "the listener that removed itself heard");
    ensure_eq!(log.numbers(1), [0u64; 0], "the listener that was removed before its turn heard");
    Ok(())
}

/// While another thread publishes without pause, no new call of a removed listener begins; only the one that is
/// running may finish.
pub(super) async fn removal_across_threads(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (peers.subscribers[0].clone(), unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    listen(&*subscriber, &topic, log.listener(0)).await?;
    let progress = Arc::new(Progress::default());
    let publishing = {
        let (publisher, event_type) = (peers.publisher.clone(), event_type.clone());
        let (progress, log) = (progress.clone(), log.clone());
        on_thread(move || block_on(progress.publish(&*publisher, &event_type, &log)))
    };
    let removing = async {
        for round in 1..=20 {
            let listener = subscriber.add_event_listener(&topic, log.listener(round))?;
            in_place(&*subscriber, &topic).await?;
            log.until("the new listener's first call", |heard| {
                heard.iter().any(|call| call.by == round).then_some(())
            })
            .await;
            subscriber.remove_event_listener(listener);
            // A call that was running has ended when its thread has dispatched again and that has arrived.
            progress.settle(&log).await;
            let calls = log.numbers(round).len();
            progress.settle(&log).await;
            ensure_eq!(log.numbers(round).len(), calls, "calls of a listener, some time after its removal");
        }
        Ok(())
    };
    let removing = async {
        let verdict = removing.await;
        progress.stop.store(true, SeqCst);
        verdict
    };
    let (published, removed) = both(publishing, removing).await;
    removed?;
    published?
}

/// Counts what a thread has published.
#[derive(Default)]
struct Progress {
    published: AtomicU64,
    stop: AtomicBool,
    changed: Waiters,
}

impl Progress {
    async fn publish(&self, publisher: &dyn EventTarget, event_type: &str, log: &Log) -> Verdict {
        while !self.stop.load(SeqCst) {
            let number = self.published.load(SeqCst) + 1;
            publish(publisher, numbered(event_type, "1", number)?).await?;
            // A medium without bounds of its own must not fill faster than it is read.
            self.arrived(log, number.saturating_sub(64)).await;
            self.published.store(number, SeqCst);
            self.changed.wake_all();
        }
        Ok(())
    }

    /// Waits until two more events were published and have arrived at the listener with mark 0.
    async fn settle(&self, log: &Log) {
        let goal = self.published.load(SeqCst) + 2;
        self.changed.until(|| (self.published.load(SeqCst) >= goal).then_some(())).await;
        self.arrived(log, goal).await;
    }

    async fn arrived(&self, log: &Log, number: u64) {
        let arrived = |heard: &[Heard]| {
            let found = heard.iter().rev().find_map(|call| call.number().filter(|_| call.by == 0));
            (number == 0 || found >= Some(number)).then_some(())
        };
        log.until("an event that was published on another thread", arrived).await;
    }
}

/// A subscription that is dropped leaves no listener behind.
pub(super) async fn removal_on_drop(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type) = (&peers.subscribers[0], unique("call"));
    let before = subscriber.stats();
    let pubsub = PubSub::new(subscriber.clone());
    let one = pubsub.subscribe_envelopes(&event_type, "1").await?;
    let two = pubsub.subscribe_envelopes(&event_type, "1").await?;
    let held = subscriber.stats();
    ensure_eq!(held.listeners, before.listeners + 2, "listeners, with two subscriptions more");
    ensure_eq!(held.topics, before.topics + 1, "topics, with two subscriptions to one topic more");
    drop((one, two));
    let after = subscriber.stats();
    ensure_eq!(
        (after.listeners, after.topics),
        (before.listeners, before.topics),
        "listeners and topics afterwards"
    );
    Ok(())
}

/// A listener publishes, adds and removes on its own target without deadlock; one that is added during a
/// dispatch does not hear that event.
pub(super) async fn reentrant(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let inner = numbered(&event_type, "2", 7)?;
    let result = Arc::new(Mutex::new(None));
    let busy = {
        let (target, log, result) = (Arc::downgrade(subscriber), log.clone(), result.clone());
        let (topic, event_type) = (topic.clone(), event_type.clone());
        move |event: &EventEnvelope| {
            let Some(target) = target.upgrade() else { return };
            log.write(0, What::Event(event.clone()));
            if event.payload().ok() != Some(1) {
                return;
            }
            let work = || -> Result<(), Violation> {
                target.dispatch_event(inner.clone())?;
                target.add_event_listener(&topic, log.listener(1))?;
                let removed = target.add_event_listener(&topic, log.listener(2))?;
                target.remove_event_listener(removed);
                target.add_event_listener(&format!("{event_type}:new"), log.listener(3))?;
                let _ = (target.stats(), target.is_heard(&topic), target.capabilities());
                Ok(())
            };
            *lock(&result) = Some(work());
        }
    };
    listen(&**subscriber, &topic, Arc::new(busy)).await?;
    listen(&**subscriber, &format!("{event_type}:2"), log.listener(4)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [1]).await?;
    log.until("the first event", |heard| heard.iter().any(|call| call.by == 0).then_some(())).await;
    publish_numbers(&*peers.publisher, &event_type, "1", [2, FENCE]).await?;
    ensure_eq!(log.numbers_to_fence(0, 1).await, [1, 2, FENCE], "the busy listener heard");
    let done = lock(&result).take();
    done.ok_or_else(|| Violation::new("the listener's own work did not end"))??;
    ensure_eq!(
        log.numbers_to_fence(1, 1).await,
        [2, FENCE],
        "a listener added during the dispatch of 1 heard"
    );
    ensure_eq!(log.numbers(2), [0u64; 0], "a listener added and removed during the dispatch of 1 heard");
    if fixture.capabilities().echo {
        log.until("the event that a listener published", |heard| {
            heard.iter().any(|call| call.by == 4 && call.number() == Some(7)).then_some(())
        })
        .await;
    }
    Ok(())
}

/// An event published inside a listener is dispatched at once, nested.
pub(super) async fn reentrant_nested(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let inner = numbered(&event_type, "inner", 7)?;
    let outer = {
        let (target, log) = (Arc::downgrade(subscriber), log.clone());
        move |event: &EventEnvelope| {
            log.write(0, What::Event(event.clone()));
            let _ = target.upgrade().map(|target| target.dispatch_event(inner.clone()));
            log.write(1, What::Event(event.clone()));
        }
    };
    let topic = format!("{event_type}:outer");
    listen(&**subscriber, &topic, Arc::new(outer)).await?;
    listen(&**subscriber, &topic, log.listener(2)).await?;
    listen(&**subscriber, &format!("{event_type}:inner"), log.listener(3)).await?;
    publish_numbers(&*peers.publisher, &event_type, "outer", [1]).await?;
    let calls: Vec<_> = log.all().iter().map(|call| call.by).collect();
    ensure_eq!(calls, [0, 3, 1, 2], "the order of: outer begins 0, inner 3, outer ends 1, next listener 2");
    Ok(())
}

/// A listener that panics stops no other listener and not the target, and is reported once.
pub(super) async fn isolation(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    // Unwinding without a panic's message on stderr.
    let unwind = || std::panic::resume_unwind(Box::new("on purpose"));
    let panicking = move |event: &EventEnvelope| {
        if event.payload().ok() == Some(1) {
            unwind();
        }
    };
    subscriber.add_event_listener("error", log.listener(10))?;
    subscriber.add_event_listener("error", Arc::new(crate::on_notice(move |_| unwind())))?;
    subscriber.add_event_listener("error", log.listener(11))?;
    listen(&**subscriber, &topic, log.listener(0)).await?;
    listen(&**subscriber, &topic, Arc::new(panicking)).await?;
    listen(&**subscriber, &topic, log.listener(1)).await?;
    let dispatched = publish_numbers(&*peers.publisher, &event_type, "1", [1, 2, FENCE]).await;
    ensure!(dispatched.is_ok(), "a panic in a listener reached the publisher: {dispatched:?}");
    for by in [0, 1] {
        ensure_eq!(
            log.numbers_to_fence(by, 1).await,
            [1, 2, FENCE],
            "the listener {by}, 0 before and 1 after it, heard"
        );
    }
    for by in [10, 11] {
        let reported = log.notices(by);
        let of_topic = |notice: &Notice| match notice {
            Notice::Error(TargetError::ListenerPanicked { name, message }) => {
                **name == *topic && **message == *"on purpose"
            }
            _ => false,
        };
        ensure!(
            reported.len() == 1 && reported.iter().all(of_topic),
            "one panic was reported as {reported:?}"
        );
    }
    comes_true(fixture, "the panic to be counted".into(), || subscriber.stats().panicked >= 1).await;
    // The publisher's own end is as sound as before.
    let again = peers.publisher.dispatch_event(numbered(&event_type, "1", 3)?);
    ensure!(matches!(again, Ok(()) | Err(DispatchError::Full)), "after a panic, dispatch says {again:?}");
    Ok(())
}
