//! What is lost, and what it costs to keep: loss_is_seen, bounded, undecodable.

use crate::conformance::Fixture;
use crate::conformance::log::{
    FENCE, Log, Verdict, ensure, ensure_eq, listen, numbered, peers, publish, publish_numbers, unique,
};
use crate::conformance::run::waits_for;
use crate::event_target::{CloseReason, DispatchError, Readiness};
use crate::protocol::control::{self, GapReason};
use crate::{End, Event, EventEnvelope, Item, Overflow, PubSub, QueueLimits, Subscription};
use serde::{Deserialize, Serialize};

/// An item in few words, to be compared.
fn word<T>(item: &Item<T>, number: impl Fn(&T) -> Option<u64>) -> String {
    match item {
        Item::Event(event) => number(event).map_or("?".into(), |number| number.to_string()),
        Item::Lagged(missed) => format!("lagged {missed}"),
        Item::Gap(reason) => format!("gap {reason}"),
        Item::Undecodable(_) => "undecodable".into(),
    }
}

/// The items that wait.
pub(super) fn waiting(subscription: &mut Subscription<EventEnvelope>) -> Vec<String> {
    let items = std::iter::from_fn(|| subscription.try_next());
    items.map(|item| word(&item, |event| event.payload().ok())).collect()
}

/// What a subscriber's own queue lost is an item, in the place of the loss, with the exact number.
pub(super) async fn loss_is_seen(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let pubsub = PubSub::new(subscriber.clone());
    let limits = QueueLimits::DEFAULT.max_events(4);
    let mut oldest = pubsub.subscribe_envelopes_within(&event_type, "1", limits).await?;
    let mut newest =
        pubsub.subscribe_envelopes_within(&event_type, "1", limits.overflow(Overflow::DropNewest)).await?;
    let mut all = pubsub.subscribe_envelopes(&event_type, "1").await?;
    // Added last, it is called when the subscriptions have it already.
    listen(&**subscriber, &format!("{event_type}:1"), log.listener(0)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", (0..30).chain([FENCE])).await?;
    log.numbers_to_fence(0, 1).await;
    let fence = FENCE.to_string();
    ensure_eq!(
        waiting(&mut oldest),
        ["lagged 27", "27", "28", "29", &fence],
        "a queue of 4, drop oldest, gives"
    );
    ensure_eq!(waiting(&mut newest), ["0", "1", "2", "3", "lagged 27"], "a queue of 4, drop newest, gives");
    ensure_eq!(waiting(&mut all).len(), 31, "a queue that is long enough gives so many items");
    ensure_eq!((oldest.lost(), newest.lost(), all.lost()), (27, 27, 0), "the queues counted as lost");
    publish_numbers(&*peers.publisher, &event_type, "1", [1, FENCE]).await?;
    log.numbers_to_fence(0, 2).await;
    ensure_eq!(waiting(&mut newest), ["1", &fence], "read again, a queue gives");
    Ok(())
}

/// What the hub says was lost is an item in its place; neighbours merge and are never dropped.
pub(super) async fn loss_is_seen_far(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), subscriber) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let pubsub = PubSub::new(subscriber.clone());
    let mut one = pubsub.subscribe_envelopes(&event_type, "1").await?;
    let mut other = pubsub.subscribe_envelopes(&event_type, "2").await?;
    subscriber.add_event_listener("gap", log.listener(1))?;
    listen(&**subscriber, &topic, log.listener(0)).await?;
    let event = |number| -> Result<String, crate::conformance::Violation> {
        Ok(numbered(&event_type, "1", number)?.to_json()?.to_owned())
    };
    let gap = |topic, missed, reason| control::gap(topic, missed, reason);
    for text in [
        event(1)?,
        gap(Some(&topic), Some(3), GapReason::Slow),
        event(2)?,
        gap(Some(&topic), None, GapReason::TooLarge),
        event(3)?,
        gap(Some(&topic), Some(2), GapReason::Slow),
        gap(Some(&topic), Some(5), GapReason::Slow),
        event(4)?,
        gap(None, None, GapReason::Broker),
        event(5)?,
        // A number that cannot be added to is a number all the same.
        gap(Some(&topic), Some(u64::MAX), GapReason::Slow),
        gap(Some(&topic), Some(u64::MAX), GapReason::Slow),
        event(6)?,
        format!(r#"{{"type":"__gap","id":"","payload":{{"topic":"{topic}"}}}}"#),
        event(7)?,
        format!(r#"{{"type":"__gap","id":"","payload":{{"topic":"{topic}","missed":0,"reason":"broker"}}}}"#),
        event(8)?,
        r#"{"type":"__gap","id":"","payload":{"missed":null,"reason":"full_moon","since":1}}"#.into(),
        event(FENCE)?,
    ] {
        wire.send(text);
    }
    log.numbers_to_fence(0, 1).await;
    let most = format!("lagged {}", u64::MAX);
    let wanted = ["1", "lagged 3", "2", "gap too_large", "3", "lagged 7", "4", "gap broker", "5", &most, "6"];
    // Members that are missing, a number that is none, a reason that is not known.
    let odd = ["gap slow", "7", "gap broker", "8", "gap slow", "999999"];
    let wanted: Vec<_> = wanted.into_iter().chain(odd).collect();
    ensure_eq!(waiting(&mut one), wanted, "after gaps of its topic and of all a subscription gives");
    ensure_eq!(waiting(&mut other), ["gap broker"], "after gaps of all topics another subscription gives");
    ensure_eq!(log.notices(1).len(), 10, "notices of gaps");
    ensure_eq!(subscriber.stats().bad_input, 0, "gaps counted as bad input");
    Ok(())
}

/// A subscriber's queue keeps its bounds in events and bytes, whatever its policy, and harms nobody else.
pub(super) async fn bounded(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let pubsub = PubSub::new(subscriber.clone());
    let few = QueueLimits::DEFAULT.max_events(3);
    let small = QueueLimits::DEFAULT.max_bytes(4000);
    let mut queues = Vec::new();
    for limits in [few, small] {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Close] {
            let limits = limits.overflow(overflow);
            queues.push((limits, pubsub.subscribe_envelopes_within(&event_type, "1", limits).await?));
        }
    }
    listen(&**subscriber, &format!("{event_type}:1"), log.listener(0)).await?;
    // A thousand bytes each, so that three of them fit into either bound.
    for number in 0..20_u64 {
        let text = format!("{number:0>990}");
        publish(&*peers.publisher, EventEnvelope::new(&event_type, "1", &text)?).await?;
    }
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    ensure_eq!(log.all().len(), 21, "events that a listener beside full queues heard");
    for (limits, queue) in &mut queues {
        let (waiting, lost) = (queue.queued(), queue.lost());
        ensure!((1..=4).contains(&waiting), "{waiting} events wait in a queue of {limits:?}");
        let mut weight = 0;
        let mut missed = 0;
        while let Some(item) = queue.try_next() {
            match item {
                Item::Event(event) => weight += event.weight(),
                Item::Lagged(lagged) => missed += lagged,
                _ => {}
            }
        }
        ensure!(weight <= limits.max_bytes, "{weight} bytes waited in a queue of {limits:?}");
        if limits.overflow == Overflow::Close {
            ensure_eq!((queue.end(), missed), (Some(End::Overflowed), 0), "a queue of {limits:?} ended with");
        } else {
            ensure_eq!(
                (missed, waiting as u64 + lost),
                (lost, 21),
                "a queue of {limits:?} told, and had, losses"
            );
            ensure_eq!(queue.end(), None, "a queue of {limits:?} ended with");
        }
    }
    Ok(())
}

/// What waits for a far side that does not read is bounded: dispatch says `Full`, or the connection ends, 1013.
pub(super) async fn bounded_outbound(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(fault), target) = (&peers.fault, &peers.subscribers[0]) else { return Ok(()) };
    let event_type = unique("call");
    fault.stall().await;
    let event = EventEnvelope::new(&event_type, "1", &"x".repeat(16 * 1024))?;
    // What the system's own buffers take is not the target's; 64 MiB are more than they do.
    let mut refused = None;
    for _ in 0..4096 {
        match target.dispatch_event(event.clone()) {
            Ok(()) => {}
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    match refused {
        None => ensure!(false, "64 MiB were taken while the far side read nothing"),
        Some(DispatchError::Full) => {
            let stats = target.stats();
            ensure!(stats.queued_bytes > 0 && stats.queued_messages > 0, "a full queue counts as {stats:?}");
            ensure!(stats.rejected > 0, "the event that did not fit was not counted: {stats:?}");
            let mut room = target.room();
            ensure!(crate::conformance::run::is_pending(&mut room), "a full queue has room");
            fault.go_on().await;
            waits_for("room in the outbound queue, now that the far side reads again");
            room.await;
            let again = target.dispatch_event(event);
            ensure!(again.is_ok(), "with room in the queue dispatch gave {again:?}");
        }
        Some(DispatchError::Closed(CloseReason::Refused { code: 1013, .. })) => {
            ensure_eq!(
                target.ready(&format!("{event_type}:1")).await,
                Readiness::Closed,
                "afterwards a subscription is"
            );
        }
        Some(other) => ensure!(false, "a full queue gave {other:?}"),
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Number(u64);

impl Event for Number {
    const TYPE: &'static str = "conformance.number";
}

/// Another Rust type behind the same event type.
#[derive(Serialize, Deserialize)]
struct Text(String);

impl Event for Text {
    const TYPE: &'static str = Number::TYPE;
}

/// A payload that does not fit the type asked for is that subscriber's item, and disturbs nobody.
pub(super) async fn undecodable(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, id) = (PubSub::new(peers.subscribers[0].clone()), unique("id"));
    let mut typed = subscriber.subscribe::<Number>(&id).await?;
    let mut other = subscriber.subscribe::<Text>(&id).await?;
    let mut untyped = subscriber.subscribe_envelopes(Number::TYPE, &id).await?;
    let publisher = PubSub::new(peers.publisher.clone());
    publisher.publish(&id, Number(1)).await?;
    publisher.publish_json(Number::TYPE, &id, &"no number").await?;
    publisher.publish_envelope(EventEnvelope::without_payload(Number::TYPE, &id)?).await?;
    // A value, not JSON, of another Rust type; and JSON that fits, whatever it was made of.
    publisher.publish(&id, std::sync::Arc::new(Text("no number".into()))).await?;
    publisher.publish_json(Number::TYPE, &id, &2).await?;
    for wanted in ["1", "undecodable", "undecodable", "undecodable", "2"] {
        waits_for("an item of a typed subscription");
        let item = typed.next().await;
        let found = item.as_ref().map(|item| word(item, |event| Some(event.0)));
        ensure_eq!(found.as_deref(), Some(wanted), "a typed subscription gives");
        if let Some(Item::Undecodable(item)) = item {
            ensure_eq!(item.envelope.id(), id, "the undecodable event is there, its id");
        }
    }
    for wanted in ["undecodable", "text", "undecodable", "text", "undecodable"] {
        waits_for("an item of a subscription of another type");
        let item = other.next().await;
        let found = item.as_ref().map(|item| match item {
            Item::Event(event) if event.0 == "no number" => "text".to_owned(),
            item => word(item, |_| None),
        });
        ensure_eq!(found.as_deref(), Some(wanted), "a typed subscription of another type gives");
    }
    for wanted in [Some("1"), Some("\"no number\""), None, Some("\"no number\""), Some("2")] {
        waits_for("an item of an untyped subscription");
        let item = untyped.next().await.and_then(Item::event);
        let payload = item.as_ref().map(|event| event.payload_json()).transpose()?;
        ensure_eq!(payload, Some(wanted), "an untyped subscription beside it gives");
    }
    ensure_eq!((typed.end(), other.end(), untyped.end()), (None, None, None), "the subscriptions ended with");
    Ok(())
}
