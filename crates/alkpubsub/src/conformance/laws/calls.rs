//! What goes on while listeners are called and dropped: removal, reentrant, isolation.

use crate::conformance::log::{
    FENCE, Log, Verdict, What, ensure, ensure_eq, in_place, listen, numbered, peers, publish,
    publish_numbers, unique,
};
use crate::conformance::run::{block_on, both, lock, on_thread};
use crate::conformance::{Fixture, Violation};
use crate::event_target::on_notice;
use crate::protocol::control::{self, GapReason};
use crate::{EventEnvelope, EventTarget, Listener, Notice, TargetError};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A call of a listener that does not end before it is told to, or some seconds have gone.
#[derive(Default)]
struct Held {
    free: Mutex<bool>,
    freed: Condvar,
}

impl Held {
    fn hold(&self) {
        let most = Duration::from_secs(4);
        let waited = self.freed.wait_timeout_while(lock(&self.free), most, |free| !*free);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn free(&self) {
        *lock(&self.free) = true;
        self.freed.notify_all();
    }
}

/// `remove` does not wait for a call that is running on another thread; that one may finish, and no other begins.
pub(super) async fn removal_while_running(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let held = Arc::new(Held::default());
    let slow = {
        let (held, log) = (held.clone(), log.clone());
        move |event: &EventEnvelope| {
            log.write(0, What::Event(event.clone()));
            held.hold();
            log.write(1, What::Event(event.clone()));
        }
    };
    let slow = listen(&**subscriber, &topic, Arc::new(slow)).await?;
    let publishing = {
        let (publisher, event_type) = (peers.publisher.clone(), event_type.clone());
        on_thread(move || block_on(publish_numbers(&*publisher, &event_type, "1", [1, 2])))
    };
    let removing = async {
        log.until("the slow listener's call", |heard| (!heard.is_empty()).then_some(())).await;
        let target = subscriber.clone();
        on_thread(move || target.remove_event_listener(slow)).await?;
        ensure_eq!(log.all().len(), 1, "`remove` waited for the call under way; calls begun and ended");
        held.free();
        log.until("the running call's end", |heard| (heard.len() == 2).then_some(())).await;
        Ok(())
    };
    let (published, removed) = both(publishing, removing).await;
    removed?;
    published??;
    listen(&**subscriber, &topic, log.listener(2)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    log.numbers_to_fence(2, 1).await;
    ensure_eq!(log.numbers(0), [1], "a listener that was removed during its call heard");
    Ok(())
}

/// An event published inside a listener of an event published inside a listener … is dispatched at once, to any
/// depth a stack holds.
pub(super) async fn reentrant_depth(fixture: &dyn Fixture) -> Verdict {
    const DEPTH: u64 = 50;
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let deeper = {
        let (target, log, event_type) = (Arc::downgrade(subscriber), log.clone(), event_type.clone());
        move |event: &EventEnvelope| {
            let (Some(target), Ok(depth)) = (target.upgrade(), event.payload::<u64>()) else { return };
            log.write(0, What::Event(event.clone()));
            if let (true, Ok(next)) = (depth < DEPTH, numbered(&event_type, "1", depth + 1)) {
                // A listener that comes and goes at each level.
                let passing = target.add_event_listener(event.topic().as_str(), log.listener(2));
                let _ = target.dispatch_event(next);
                passing.into_iter().for_each(|passing| target.remove_event_listener(passing));
            }
            log.write(1, What::Event(event.clone()));
        }
    };
    listen(&**subscriber, &format!("{event_type}:1"), Arc::new(deeper)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [1]).await?;
    let calls: Vec<_> = log
        .all()
        .iter()
        .filter(|call| call.by < 2)
        .map(|call| (call.by, call.number().unwrap_or_default()))
        .collect();
    let begins = (1..=DEPTH).map(|depth| (0, depth));
    let ends = (1..=DEPTH).rev().map(|depth| (1, depth));
    let wrong = calls.iter().copied().zip(begins.chain(ends)).position(|(call, wanted)| call != wanted);
    ensure_eq!(wrong, None, "of {DEPTH} events in one another, begun (0) and ended (1), in the wrong place");
    ensure_eq!(calls.len() as u64, 2 * DEPTH, "begins and ends");
    // Those that came along at a level were there for the deeper ones.
    let passing: Vec<_> = log.numbers(2);
    let wanted: u64 = (1..DEPTH).sum();
    ensure_eq!(passing.len() as u64, wanted, "calls of listeners that were there for the deeper levels");
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    ensure_eq!(log.numbers(2).len() as u64, wanted, "calls of listeners that have gone again");
    Ok(())
}

/// Unwinding without a panic's message on stderr.
fn unwind() {
    std::panic::resume_unwind(Box::new("on purpose"));
}

/// A listener that panics at a notice stops no other listener and not the target, and is reported once.
pub(super) async fn isolation_notices(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), subscriber) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    subscriber.add_event_listener("error", log.listener(9))?;
    for (by, name) in [(0, &*topic), (2, "gap")] {
        subscriber.add_event_listener(name, log.listener(by))?;
        subscriber.add_event_listener(name, Arc::new(on_notice(|_| unwind())))?;
        subscriber.add_event_listener(name, log.listener(by + 1))?;
    }
    in_place(&**subscriber, &topic).await?;
    wire.send(control::gap(Some(&topic), Some(3), GapReason::Slow));
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    log.numbers_to_fence(1, 1).await;
    for by in 0..4 {
        let gaps = log.notices(by).len();
        ensure_eq!(gaps, 1, "gaps that listener {by} was told of (0, 1: on the topic, 2, 3: on `gap`)");
    }
    let mut reported: Vec<_> = log.notices(9).iter().map(panicked).collect();
    reported.sort();
    let mut wanted = [Some(topic.clone()), Some("gap".into())];
    wanted.sort();
    ensure_eq!(reported, wanted, "panics were reported of");
    ensure_eq!(subscriber.stats().panicked, 2, "panics counted");
    Ok(())
}

fn panicked(notice: &Notice) -> Option<String> {
    match notice {
        Notice::Error(TargetError::ListenerPanicked { name, .. }) => Some(name.to_string()),
        _ => None,
    }
}

/// Works on its target, and perhaps panics, when it is dropped.
struct Parting {
    target: Weak<dyn EventTarget>,
    topic: String,
    panics: bool,
    dropped: Arc<AtomicBool>,
}

impl Listener for Parting {
    fn event(&self, _: &EventEnvelope) {}
}

impl Drop for Parting {
    fn drop(&mut self) {
        if let Some(target) = self.target.upgrade() {
            let other = target.add_event_listener(&self.topic, Log::new().listener(0));
            other.into_iter().for_each(|other| target.remove_event_listener(other));
            let _ = (target.stats(), target.is_heard(&self.topic));
        }
        self.dropped.store(true, SeqCst);
        if self.panics {
            unwind();
        }
    }
}

/// What a listener does when it is dropped, its target's own business among it, harms nobody: neither at its removal
/// nor at the target's end.
pub(super) async fn isolation_drop(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let parting = |panics| {
        let dropped = Arc::new(AtomicBool::new(false));
        let (target, topic) = (Arc::downgrade(subscriber), topic.clone());
        (Arc::new(Parting { target, topic, panics, dropped: dropped.clone() }), dropped)
    };
    subscriber.add_event_listener("close", log.listener(1))?;
    subscriber.add_event_listener("error", log.listener(9))?;
    for panics in [false, true] {
        let (listener, dropped) = parting(panics);
        let id = listen(&**subscriber, &topic, listener).await?;
        let target = subscriber.clone();
        let removed = on_thread(move || target.remove_event_listener(id)).await;
        ensure!(removed.is_ok(), "a listener's panic on being dropped came out of `remove`");
        ensure!(dropped.load(SeqCst), "a removed listener was not dropped");
    }
    listen(&**subscriber, &topic, log.listener(0)).await?;
    publish(&*peers.publisher, numbered(&event_type, "1", FENCE)?).await?;
    log.numbers_to_fence(0, 1).await;
    let reported: Vec<_> = log.notices(9).iter().map(panicked).collect();
    ensure_eq!(reported, [Some(topic.clone())], "one panic of a listener that was dropped was reported of");
    for panics in [true, true, false] {
        subscriber.add_event_listener(&topic, parting(panics).0)?;
    }
    let target = subscriber.clone();
    let closed = on_thread(move || target.close()).await;
    ensure!(closed.is_ok(), "a listener's panic on being dropped came out of `close`");
    crate::conformance::run::waits_for("the end of a target whose listeners panic on being dropped");
    subscriber.closed().await;
    ensure_eq!(log.notices(1).len(), 1, "close notices");
    let stats = subscriber.stats();
    ensure_eq!((stats.listeners, stats.topics), (0, 0), "listeners and topics after the end");
    let late = subscriber.add_event_listener(&topic, log.listener(2));
    ensure!(late.is_err(), "after the end a listener was added: {late:?}");
    Ok::<(), Violation>(())
}
