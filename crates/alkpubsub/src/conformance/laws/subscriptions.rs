//! What a link asks of its hub, and what it says of the answers: refcount, ready.

use crate::conformance::log::{
    FENCE, Log, Verdict, ensure, ensure_eq, in_place, listen, numbered, peers, publish, publish_numbers,
    unique,
};
use crate::conformance::run::{both, is_pending, on_thread, waits_for};
use crate::conformance::{Fixture, Wire};
use crate::event_target::{EventTarget, Notice, Readiness};
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Action, Control, DenyReason};
use crate::{End, EventEnvelope, Item, PubSub, SubscribeError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the target asked of the hub on a topic so far: `s` for each `__subscribe`, `u` for each `__unsubscribe`.
pub(super) fn asked(texts: &[String], topic: &str) -> String {
    let verdict = |text: &String| {
        let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).ok()?;
        match control::read(&parts).ok()?? {
            Control::Subscribe(of) if of == topic => Some('s'),
            Control::Unsubscribe(of) if of == topic => Some('u'),
            _ => None,
        }
    };
    texts.iter().filter_map(verdict).collect()
}

pub(super) async fn until_asked(wire: &Wire, topic: &str, wanted: &str) {
    let what = format!("the wire to say {wanted} (s: __subscribe, u: __unsubscribe)");
    wire.until(&what, |texts| (asked(texts, topic).len() >= wanted.len()).then_some(())).await;
}

/// What was asked when everything that was done so far has reached the far side.
pub(super) async fn asked_by_now(
    wire: &Wire,
    target: &dyn EventTarget,
    topic: &str,
) -> Result<String, crate::conformance::Violation> {
    let marker = unique("marker");
    publish(target, EventEnvelope::without_payload(&marker, "")?).await?;
    let marked =
        |texts: &[String]| texts.iter().any(|text| text.contains(&marker)).then(|| asked(texts, topic));
    Ok(wire.until("a marker event on the wire", marked).await)
}

/// One `__subscribe` for the first listener of a topic, one `__unsubscribe` after the last.
pub(super) async fn refcount(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, &*peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let one = listen(target, &topic, log.listener(0)).await?;
    let two = listen(target, &topic, log.listener(0)).await?;
    let three = listen(target, &topic, log.listener(0)).await?;
    ensure_eq!(asked_by_now(wire, target, &topic).await?, "s", "three listeners asked");
    target.remove_event_listener(one);
    target.remove_event_listener(one);
    target.remove_event_listener(two);
    ensure_eq!(asked_by_now(wire, target, &topic).await?, "s", "one listener being left, it was asked");
    target.remove_event_listener(three);
    until_asked(wire, &topic, "su").await;
    target.remove_event_listener(three);
    ensure_eq!(asked_by_now(wire, target, &topic).await?, "su", "no listener being left, it was asked");
    let four = listen(target, &topic, log.listener(0)).await?;
    ensure_eq!(asked_by_now(wire, target, &topic).await?, "sus", "with a new listener it was asked");
    target.remove_event_listener(four);
    until_asked(wire, &topic, "susu").await;
    // Notices are the target's own; a subscription counts like a listener.
    target.add_event_listener("gap", log.listener(0))?;
    let pubsub = PubSub::new(peers.subscribers[0].clone());
    let subscriptions = (
        pubsub.subscribe_envelopes(&event_type, "2").await?,
        pubsub.subscribe_envelopes(&event_type, "2").await?,
    );
    drop(subscriptions);
    let other = format!("{event_type}:2");
    until_asked(wire, &other, "su").await;
    ensure_eq!(asked_by_now(wire, target, &other).await?, "su", "two subscriptions, dropped, asked");
    ensure_eq!(asked_by_now(wire, target, "gap").await?, "", "a listener to notices asked");
    Ok(())
}

/// The same, whatever the interleaving of threads.
pub(super) async fn refcount_threads(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, peers.subscribers[0].clone()) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let (shared, name, marks) = (target.clone(), topic.clone(), log.clone());
    on_thread(move || {
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..50 {
                        // Each round anew: under load one thread may sleep through the others' rounds.
                        start.wait();
                        let listener = shared.add_event_listener(&name, marks.listener(0));
                        listener.into_iter().for_each(|listener| shared.remove_event_listener(listener));
                    }
                });
            }
        });
    })
    .await?;
    let all = asked_by_now(wire, &*target, &topic).await?;
    let alternates = !all.is_empty() && all.len().is_multiple_of(2) && all.replace("su", "").is_empty();
    ensure!(alternates, "eight threads that add and remove asked {} times, {all:.80}…", all.len());
    listen(&*target, &topic, log.listener(1)).await?;
    ensure_eq!(asked_by_now(wire, &*target, &topic).await?, all + "s", "one more listener asked");
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    ensure_eq!(log.numbers_to_fence(1, 1).await, [FENCE], "that listener heard");
    Ok(())
}

/// When a subscription is confirmed, the next event that anyone publishes is heard.
pub(super) async fn ready(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (event_type, log) = (unique("call"), Log::new());
    for round in 0..30 {
        for subscriber in &peers.subscribers {
            let topic = format!("{event_type}:{round}");
            subscriber.add_event_listener(&topic, log.listener(round))?;
            waits_for("a subscription to be confirmed");
            ensure_eq!(subscriber.ready(&topic).await, Readiness::Confirmed, "a subscription was");
        }
        let event = numbered(&event_type, &round.to_string(), FENCE)?;
        publish(&*peers.publisher, event).await?;
        log.numbers_to_fence(round, peers.subscribers.len()).await;
    }
    Ok(())
}

/// A subscription is confirmed by the answer that belongs to it, not earlier: each `__subscribe` is owed one.
pub(super) async fn ready_waits(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, &*peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let (topic, other) = (format!("{event_type}:1"), format!("{event_type}:other"));
    listen(target, &other, log.listener(9)).await?;
    wire.answer(false);
    // Sends a fence on the topic that is confirmed already, and waits for it.
    let mut fences = 0;
    let mut fence = async || -> Verdict {
        fences += 1;
        wire.send(numbered(&event_type, "other", FENCE)?.to_json()?);
        log.numbers_to_fence(9, fences).await;
        Ok(())
    };
    let one = target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "s").await;
    let mut ready = target.ready(&topic);
    ensure!(is_pending(&mut ready), "a subscription was settled before the hub's answer");
    wire.send(control::subscribed(&other));
    fence().await?;
    ensure!(is_pending(&mut ready), "a subscription was settled by the answer to another");
    wire.send(control::subscribed(&topic));
    ensure_eq!(ready.await, Readiness::Confirmed, "after the hub's yes the subscription is");

    // Dropped and taken up again before the hub answers: two answers are owed, and the last one counts.
    target.remove_event_listener(one);
    until_asked(wire, &topic, "su").await;
    let two = target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "sus").await;
    target.remove_event_listener(two);
    until_asked(wire, &topic, "susu").await;
    target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "susus").await;
    let mut ready = target.ready(&topic);
    wire.send(control::subscribed(&topic));
    fence().await?;
    ensure!(
        is_pending(&mut ready),
        "a subscription was settled by the answer to an earlier one of its topic"
    );
    wire.send(control::subscribed(&topic));
    ensure_eq!(ready.await, Readiness::Confirmed, "after the last yes the subscription is");
    Ok(())
}

/// A no is told with its reason; the topic counts as not subscribed, and the next `add` asks again.
pub(super) async fn ready_denied(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, &*peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    target.add_event_listener("denied", log.listener(1))?;
    wire.answer(false);
    target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "s").await;
    wire.send(control::denied(&topic, Action::Subscribe, DenyReason::TopicTooLong));
    waits_for("a denied subscription to be settled");
    ensure_eq!(
        target.ready(&topic).await,
        Readiness::Denied(DenyReason::TopicTooLong),
        "the subscription is"
    );
    // Another thread may be about to tell it.
    log.until("the denial to be told", |heard| {
        heard.iter().any(|heard| heard.notice().is_some()).then_some(())
    })
    .await;
    let told = log.notices(1);
    let right = |notice: &Notice| matches!(notice, Notice::Denied { topic: of, reason: DenyReason::TopicTooLong, .. } if **of == *topic);
    ensure!(told.len() == 1 && told.iter().all(right), "the denial was told as {told:?}");

    target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "ss").await;
    wire.send(control::subscribed(&topic));
    ensure_eq!(target.ready(&topic).await, Readiness::Confirmed, "asked again, the subscription is");

    // A no that nobody waits for revokes; an unknown reason reads as not_allowed.
    wire.answer(true);
    let pubsub = PubSub::new(peers.subscribers[0].clone());
    let mut revoked = pubsub.subscribe_envelopes(&event_type, "2").await?;
    wire.send(format!(
        r#"{{"type":"__denied","id":"","payload":{{"topic":"{event_type}:2","action":"subscribe","reason":"full_moon"}}}}"#
    ));
    waits_for("the end of a revoked subscription");
    let item = revoked.next().await;
    ensure!(item.is_none(), "instead of the end of a revoked subscription came {item:?}");
    ensure_eq!(
        revoked.end(),
        Some(End::Denied(DenyReason::NotAllowed)),
        "the revoked subscription ended with"
    );

    // Events of other topics go on, and a subscription that is denied at once is an error.
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    log.numbers_to_fence(0, 2).await;
    wire.answer(false);
    let far = wire.clone();
    let (asking, denied) = (
        format!("{event_type}:3"),
        control::denied(&format!("{event_type}:3"), Action::Subscribe, DenyReason::TooManySubscriptions),
    );
    let denying = on_thread(move || {
        crate::conformance::block_on(until_asked(&far, &asking, "s"));
        far.send(denied);
    });
    let (denying, subscribed) = both(denying, pubsub.subscribe_envelopes(&event_type, "3")).await;
    denying?;
    ensure_eq!(
        subscribed.map(drop),
        Err(SubscribeError::Denied(DenyReason::TooManySubscriptions)),
        "subscribing gave"
    );
    Ok(())
}

/// A hub that answers no subscription is waited for once, 2 s; events come all the same.
pub(super) async fn ready_unanswered(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let event_type = unique("call");
    wire.answer(false);
    let pubsub = PubSub::new(Arc::clone(target));
    waits_for("a subscription at a hub that does not answer");
    let mut one = pubsub.subscribe_envelopes(&event_type, "1").await?;
    ensure_eq!(one.readiness(), Readiness::Unconfirmed, "at a hub that does not answer a subscription is");
    let before = Instant::now();
    let two = pubsub.subscribe_envelopes(&event_type, "2").await?;
    ensure_eq!(
        two.readiness(),
        Readiness::Unconfirmed,
        "at a hub that does not answer another subscription is"
    );
    ensure!(
        before.elapsed() < Duration::from_millis(1500),
        "a hub that does not answer was waited for twice"
    );
    wire.send(numbered(&event_type, "1", 7)?.to_json()?);
    waits_for("an event of an unconfirmed subscription");
    let item = one.next().await;
    let heard = item.and_then(Item::event).and_then(|event| event.payload().ok());
    ensure_eq!(heard, Some(7), "an unconfirmed subscription heard");
    // An answer that comes late is an answer.
    wire.send(control::subscribed(&format!("{event_type}:1")));
    wire.answer(true);
    in_place(&**target, &format!("{event_type}:1")).await
}
