//! Subscribers' queues against a model, control events that find no room, and the counters: loss_is_seen, bounded.

use super::loss::waiting;
use super::subscriptions::asked;
use crate::conformance::log::{
    FENCE, Log, Verdict, What, comes_true, ensure, ensure_eq, listen, numbered, peers, publish,
    publish_numbers, unique,
};
use crate::conformance::run::waits_for;
use crate::conformance::{FarSide, Fixture};
use crate::event_target::{CloseReason, DispatchError, ListenError};
use crate::protocol::control::{self, Action, DenyReason, GapReason};
use crate::{End, EventEnvelope, Overflow, PubSub, QueueLimits};

/// What comes into a subscriber's queue.
#[derive(Clone)]
enum Came {
    /// An event, its weight.
    Event(String, usize),
    /// The far side told of so many that are missing.
    Lagged(u64),
    /// The far side told that some are missing.
    Gap(&'static str),
}

/// What a queue of these limits holds afterwards, by the plainest of means: each loss is noted where it happened,
/// neighbours are merged at the end. Also how many were lost here.
fn model(limits: QueueLimits, came: &[Came]) -> (Vec<String>, u64) {
    let mut row: Vec<Came> = Vec::new();
    let mut lost = 0;
    'next: for came in came {
        let Came::Event(_, weight) = came else {
            row.push(came.clone());
            continue;
        };
        loop {
            let waits = row.iter().filter_map(|came| match came {
                Came::Event(_, weight) => Some(*weight),
                _ => None,
            });
            let (events, bytes) = waits.fold((0, 0), |(events, bytes), weight| (events + 1, bytes + weight));
            if events < limits.max_events && bytes + weight <= limits.max_bytes {
                row.push(came.clone());
                continue 'next;
            }
            lost += 1;
            let oldest = row.iter_mut().find(|came| matches!(came, Came::Event(..)));
            match (limits.overflow, oldest) {
                (Overflow::Close, _) => break 'next,
                (Overflow::DropOldest, Some(oldest)) if *weight <= limits.max_bytes => {
                    *oldest = Came::Lagged(1);
                }
                _ => {
                    row.push(Came::Lagged(1));
                    continue 'next;
                }
            }
        }
    }
    let mut words = Vec::new();
    let mut run = (0_u64, None);
    for came in row.into_iter().chain([Came::Event(String::new(), 0)]) {
        match came {
            Came::Lagged(missed) => run.0 += missed,
            Came::Gap(reason) => run.1 = run.1.or(Some(reason)),
            Came::Event(word, _) => {
                let (missed, gap) = std::mem::take(&mut run);
                words.extend((missed > 0).then(|| format!("lagged {missed}")));
                words.extend(gap.map(|gap| format!("gap {gap}")));
                words.push(word);
            }
        }
    }
    words.pop();
    (words, lost)
}

const POLICIES: [Overflow; 3] = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Close];

/// Under every policy, by events and by bytes, and whatever the sizes are: what a queue gives is what was published,
/// but for what its bounds cost, told in its place and to the number.
pub(super) async fn loss_is_seen_mixed(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (subscriber, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let pubsub = PubSub::new(subscriber.clone());
    let mut queues = Vec::new();
    for (events, bytes) in [(5, usize::MAX), (1, usize::MAX), (usize::MAX, 6000), (7, 4000), (1000, 1)] {
        for overflow in POLICIES {
            let limits = QueueLimits::DEFAULT.max_events(events).max_bytes(bytes).overflow(overflow);
            queues.push((limits, pubsub.subscribe_envelopes_within(&event_type, "1", limits).await?));
        }
    }
    listen(&**subscriber, &format!("{event_type}:1"), log.listener(0)).await?;
    // Sizes in no order, from none to more than any of the bounds.
    let size = |number: u64| (number * 7919 % 31) * 150 + if number % 13 == 5 { 7000 } else { 0 };
    for number in 0..60 {
        let padding = " ".repeat(usize::try_from(size(number))?);
        let text = format!(r#"{{"type":"{event_type}","id":"1",{padding}"payload":{number}}}"#);
        publish(&*peers.publisher, EventEnvelope::parse(text)?).await?;
    }
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    let numbers = log.numbers_to_fence(0, 1).await;
    ensure!(numbers.into_iter().eq((0..60).chain([FENCE])), "a listener beside the queues heard not all");
    let came: Vec<_> = log
        .all()
        .iter()
        .filter_map(|call| match &call.what {
            What::Event(event) => Some(Came::Event(call.number()?.to_string(), event.weight())),
            What::Notice(_) => None,
        })
        .collect();
    for (limits, queue) in &mut queues {
        let (wanted, lost) = model(*limits, &came);
        ensure_eq!(waiting(queue), wanted, "a queue of {limits:?} gives");
        ensure_eq!(queue.lost(), lost, "a queue of {limits:?} counted as lost");
        let end = (lost > 0 && limits.overflow == Overflow::Close).then_some(End::Overflowed);
        ensure_eq!(queue.end(), end, "a queue of {limits:?} ended with");
    }
    Ok(())
}

/// What the far side lost and what a subscriber's own queue lost are told together where they are neighbours, and
/// both in their place.
pub(super) async fn loss_is_seen_merged(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), subscriber) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let pubsub = PubSub::new(subscriber.clone());
    let mut queues = Vec::new();
    for (events, overflow) in [1, 2, 3, 5, 100].into_iter().flat_map(|n| POLICIES.map(|policy| (n, policy))) {
        let limits = QueueLimits::DEFAULT.max_events(events).overflow(overflow);
        queues.push((limits, pubsub.subscribe_envelopes_within(&event_type, "1", limits).await?));
    }
    listen(&**subscriber, &topic, log.listener(0)).await?;
    let mut came = Vec::new();
    for number in 0..40_u64 {
        match number % 9 {
            3 => {
                came.push(Came::Lagged(number));
                wire.send(control::gap(Some(&topic), Some(number), GapReason::Slow));
            }
            4 | 8 => {
                came.push(Came::Gap("broker"));
                wire.send(control::gap(None, None, GapReason::Broker));
            }
            _ => {
                came.push(Came::Event(number.to_string(), 0));
                wire.send(numbered(&event_type, "1", number)?.to_json()?);
            }
        }
    }
    came.push(Came::Event(FENCE.to_string(), 0));
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    log.numbers_to_fence(0, 1).await;
    for (limits, queue) in &mut queues {
        let (wanted, lost) = model(*limits, &came);
        ensure_eq!(waiting(queue), wanted, "a queue of {limits:?} gives");
        ensure_eq!(queue.lost(), lost, "a queue of {limits:?} counted as lost of its own");
    }
    Ok(())
}

/// Subscriptions that find the outbound queue full are not dropped: they leave later, or the link ends with 1013.
pub(super) async fn bounded_control(fixture: &dyn Fixture) -> Verdict {
    const TOPICS: usize = 5000;
    let peers = peers(fixture).await?;
    let (Some(wire), Some(fault), target) = (&peers.wire, &peers.fault, &peers.subscribers[0]) else {
        return Ok(());
    };
    let (event_type, log) = (unique("call"), Log::new());
    fault.stall().await;
    let event = EventEnvelope::new(&event_type, "full", &"x".repeat(16 * 1024))?;
    while target.stats().rejected == 0 {
        match target.dispatch_event(event.clone()) {
            Ok(()) | Err(DispatchError::Full) => {}
            Err(DispatchError::Closed(CloseReason::Refused { code: 1013, .. })) => return Ok(()),
            Err(other) => ensure!(false, "filling an outbound queue gave {other}"),
        }
    }
    for number in 0..TOPICS {
        match target.add_event_listener(&format!("{event_type}:{number}"), log.listener(0)) {
            Ok(_) => {}
            Err(ListenError::Closed(CloseReason::Refused { code: 1013, .. })) => return Ok(()),
            Err(other) => ensure!(false, "adding a listener with a full outbound queue gave {other}"),
        }
    }
    fault.go_on().await;
    let last = format!("{event_type}:{}", TOPICS - 1);
    let is_last = |text: &String| asked(std::slice::from_ref(text), &last) == "s";
    let asked_for = |texts: &[String]| texts.last().is_some_and(is_last).then_some(());
    wire.until("the last of many subscriptions on the wire", asked_for).await;
    let subscribes =
        |text: &&String| text.starts_with(r#"{"type":"__subscribe""#) && text.contains(&event_type);
    let came = wire.texts().iter().filter(subscribes).count();
    ensure_eq!(came, TOPICS, "subscriptions on the wire after a full outbound queue was read");
    Ok(())
}

/// The counters of every target: what was taken, refused, received, delivered, and who listens.
pub(super) async fn counted(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (target, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let before = target.stats();
    listen(&**target, &topic, log.listener(0)).await?;
    listen(&**target, &topic, log.listener(1)).await?;
    target.add_event_listener("gap", log.listener(2))?;
    let stats = target.stats();
    ensure_eq!(
        (stats.listeners - before.listeners, stats.topics - before.topics),
        (3, 1),
        "with two listeners on a topic and one to a notice more, listeners and topics"
    );
    publish_numbers(&*peers.publisher, &event_type, "1", [1, 2, 3, 4, FENCE]).await?;
    for by in [0, 1] {
        log.numbers_to_fence(by, 1).await;
    }
    let delivered = || {
        let now = target.stats();
        (now.received - before.received, now.delivered - before.delivered) == (5, 10)
    };
    let what = "five events, to two listeners each, to be counted as 5 received and 10 delivered";
    comes_true(fixture, what.into(), delivered).await;

    let before = target.stats();
    for number in 0..3 {
        publish(&**target, numbered(&event_type, "unheard", number)?).await?;
    }
    let reserved = EventEnvelope::parse(r#"{"type":"__mine","id":""}"#)?;
    for _ in 0..2 {
        ensure!(target.dispatch_event(reserved.clone()).is_err(), "a reserved type was dispatched");
    }
    let stats = target.stats();
    ensure_eq!(
        (stats.dispatched - before.dispatched, stats.rejected - before.rejected),
        (3, 2),
        "of three events and two of a reserved type, dispatched and rejected"
    );
    target.close();
    waits_for("the end of a closed target");
    target.closed().await;
    ensure!(target.dispatch_event(reserved).is_err(), "a reserved type was dispatched after the end");
    let late = target.dispatch_event(numbered(&event_type, "1", 7)?);
    ensure!(late.is_err(), "an event was dispatched after the end");
    let stats = target.stats();
    ensure_eq!(
        (stats.dispatched - before.dispatched, stats.rejected - before.rejected),
        (3, 4),
        "with one of each after the end, dispatched and rejected"
    );
    let left = (stats.listeners, stats.topics, stats.links, stats.queued_messages, stats.queued_bytes);
    ensure_eq!(left, (0, 0, 0, 0, 0), "after the end, listeners, topics, links and what is queued");
    Ok(())
}

/// The counters of a target with a wire: connections, what was sent, what was bad or denied.
pub(super) async fn counted_wire(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), Some(near)) = (&peers.wire, &peers.near) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    wire.subscribe(&topic).await;
    listen(&**near, &topic, log.listener(0)).await?;
    let before = near.stats();
    ensure_eq!((before.links, before.connections), (1, 1), "links now, and connections so far,");
    publish_numbers(&**near, &event_type, "1", 0..3).await?;
    wire.send("no envelope");
    match wire.far() {
        FarSide::Hub => {
            wire.send(control::denied(&topic, Action::Publish, DenyReason::NotAllowed));
        }
        FarSide::Spoke => wire.send(control::subscribe("no topic")),
        // A peer denies nothing; one who is told so all the same counts it.
        FarSide::Peer => wire.send(control::denied(&topic, Action::Publish, DenyReason::NotAllowed)),
    }
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    log.numbers_to_fence(0, 1).await;
    let all = || {
        let now = near.stats();
        let news = [
            now.sent - before.sent,
            now.bad_input - before.bad_input,
            now.denied - before.denied,
            now.received,
        ];
        news == [3, 1, 1, before.received + 1] && (now.queued_messages, now.queued_bytes) == (0, 0)
    };
    let what = "3 events to be counted as sent and none as queued, 1 as received, 1 message as bad, 1 denial";
    comes_true(fixture, what.into(), all).await;
    ensure_eq!(near.stats().dropped, 0, "events counted as dropped");
    Ok(())
}
