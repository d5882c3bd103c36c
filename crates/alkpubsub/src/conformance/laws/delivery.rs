//! Who hears what, how often and in which order: delivers_once, many_listeners, order, echo.

use crate::conformance::Fixture;
use crate::conformance::log::{
    FENCE, Log, Verdict, ensure_eq, listen, numbered, peers, publish, publish_numbers, unique,
};
use std::sync::Arc;

/// Each event reaches each subscriber of its topic once, and none of another topic, type or id.
pub(super) async fn delivers_once(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (one, other) = (unique("call.responded"), unique("message.sent"));
    let topics = [(&one, "1"), (&one, "2"), (&other, "1")];
    let mut logs = Vec::new();
    for subscriber in &peers.subscribers {
        let log = Log::new();
        for (at, (event_type, id)) in (0..).zip(topics) {
            listen(&**subscriber, &format!("{event_type}:{id}"), log.listener(at)).await?;
        }
        logs.push(log);
    }
    for round in 0..20 {
        for (at, (event_type, id)) in (0..).zip(topics) {
            publish_numbers(&*peers.publisher, event_type, id, [3 * round + at]).await?;
        }
    }
    for (event_type, id) in topics {
        publish_numbers(&*peers.publisher, event_type, id, [FENCE]).await?;
    }
    for (who, log) in logs.iter().enumerate() {
        for at in 0..3 {
            let mut heard = log.numbers_to_fence(at, 1).await;
            // Order is another law's business.
            heard.sort_unstable();
            let mut wanted: Vec<_> = (0..20).map(|round| 3 * round + u64::from(at)).collect();
            wanted.push(FENCE);
            ensure_eq!(heard, wanted, "subscriber {who} heard on topic {at}");
        }
    }
    Ok(())
}

/// Topics are compared whole: no prefix, no wildcard, no case folding; an empty id and a colon in an id are
/// ordinary.
pub(super) async fn delivers_once_exact_topic(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let subscriber = &peers.subscribers[0];
    let event_type = unique("call");
    let longer = format!("{event_type}.responded");
    let shouted = event_type.to_uppercase();
    let topics: [(&str, &str); 8] = [
        (&event_type, "ab"),
        (&event_type, "a"),
        (&event_type, "abc"),
        (&event_type, ""),
        (&event_type, "*"),
        (&event_type, "ab:c"),
        (&longer, "ab"),
        (&shouted, "ab"),
    ];
    let log = Log::new();
    for (by, (event_type, id)) in (0..).zip(topics) {
        listen(&**subscriber, &format!("{event_type}:{id}"), log.listener(by)).await?;
    }
    for (number, (event_type, id)) in (1..).zip(topics) {
        publish_numbers(&*peers.publisher, event_type, id, [number]).await?;
    }
    for (event_type, id) in topics {
        publish_numbers(&*peers.publisher, event_type, id, [FENCE]).await?;
    }
    for (by, (_, id)) in (0..).zip(topics) {
        let heard = log.numbers_to_fence(by, 1).await;
        ensure_eq!(heard, [u64::from(by) + 1, FENCE], "the listener of topic {by}, id {id:?}, heard");
    }
    Ok(())
}

/// All listeners of a topic get it, in the order in which they were added; each `add` is a listener of its own.
pub(super) async fn many_listeners(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let subscriber = &peers.subscribers[0];
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let twice = log.listener(2);
    let first = listen(&**subscriber, &topic, log.listener(0)).await?;
    let second = listen(&**subscriber, &topic, log.listener(1)).await?;
    let once = listen(&**subscriber, &topic, twice.clone()).await?;
    let again = listen(&**subscriber, &topic, twice).await?;
    listen(&**subscriber, &topic, log.listener(3)).await?;
    ensure_eq!(once == again, false, "one listener added twice has one handle");

    let calls = |count: usize| {
        log.until("all listeners to be called", move |heard| {
            (heard.len() >= count).then(|| heard.iter().map(|call| call.by).collect::<Vec<_>>())
        })
    };
    publish_numbers(&*peers.publisher, &event_type, "1", [1]).await?;
    ensure_eq!(calls(5).await, [0, 1, 2, 2, 3], "the listeners were called in the order");
    // Whoever is added anew stands last; removing one of two adds of a listener leaves the other.
    subscriber.remove_event_listener(first);
    subscriber.remove_event_listener(once);
    listen(&**subscriber, &topic, log.listener(0)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [2]).await?;
    ensure_eq!(calls(9).await[5..], [1, 2, 3, 0], "after a change the listeners were called in the order");
    subscriber.remove_event_listener(second);
    subscriber.remove_event_listener(again);
    publish_numbers(&*peers.publisher, &event_type, "1", [3, FENCE]).await?;
    ensure_eq!(calls(13).await[9..], [3, 0, 3, 0], "after removals the listeners were called in the order");
    Ok(())
}

/// What one task publishes on a topic arrives in that order, all of it.
pub(super) async fn order(fixture: &dyn Fixture) -> Verdict {
    in_order(fixture, &["1"]).await
}

/// What one task publishes over one connection arrives in that order across topics.
pub(super) async fn order_across_topics(fixture: &dyn Fixture) -> Verdict {
    in_order(fixture, &["1", "2", "3"]).await
}

async fn in_order(fixture: &dyn Fixture, ids: &[&str]) -> Verdict {
    let peers = peers(fixture).await?;
    let event_type = unique("call");
    let mut logs = Vec::new();
    for subscriber in &peers.subscribers {
        let log = Log::new();
        for id in ids {
            listen(&**subscriber, &format!("{event_type}:{id}"), log.listener(0)).await?;
        }
        logs.push(log);
    }
    let numbers = || (0..500).chain([FENCE]);
    for (number, id) in numbers().zip(ids.iter().cycle()) {
        publish(&*peers.publisher, numbered(&event_type, id, number)?).await?;
    }
    for (who, log) in logs.iter().enumerate() {
        let heard = log.numbers_to_fence(0, 1).await;
        let wrong = heard.iter().zip(numbers()).position(|(&heard, wanted)| heard != wanted);
        if let Some(at) = wrong {
            let around = &heard[at.saturating_sub(2)..(at + 3).min(heard.len())];
            ensure_eq!(
                heard[at],
                at as u64,
                "subscriber {who} heard, in the place {at}, in the middle of {around:?}"
            );
        }
        ensure_eq!(heard.len(), numbers().count(), "subscriber {who} heard so many events");
    }
    Ok(())
}

/// A publisher that listens gets its own event, once, like everyone else.
pub(super) async fn echo(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let event_type = unique("call");
    let topic = format!("{event_type}:1");
    let (own, others) = (Log::new(), Log::new());
    listen(&*peers.publisher, &topic, own.listener(0)).await?;
    for (by, subscriber) in (0..).zip(&peers.subscribers) {
        if !Arc::ptr_eq(subscriber, &peers.publisher) {
            listen(&**subscriber, &topic, others.listener(by)).await?;
        }
    }
    // Two fences: a second copy of anything before them stands before the last.
    publish_numbers(&*peers.publisher, &event_type, "1", [1, 2, 3, FENCE, FENCE]).await?;
    ensure_eq!(
        own.numbers_to_fence(0, 2).await,
        [1, 2, 3, FENCE, FENCE],
        "the publisher heard of its own events"
    );
    for (by, subscriber) in (0..).zip(&peers.subscribers) {
        if !Arc::ptr_eq(subscriber, &peers.publisher) {
            ensure_eq!(
                others.numbers_to_fence(by, 2).await,
                [1, 2, 3, FENCE, FENCE],
                "subscriber {by} heard"
            );
        }
    }
    Ok(())
}
