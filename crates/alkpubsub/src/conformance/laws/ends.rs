//! How it ends: connection_loss, close.

use crate::conformance::Fixture;
use crate::conformance::log::{
    FENCE, Log, Verdict, What, comes_true, ensure, ensure_eq, in_place, listen, numbered, peers, publish,
    publish_numbers, unique,
};
use crate::conformance::run::{lock, waits_for};
use crate::event_target::{
    CloseReason, DispatchError, EventTarget, ListenError, Notice, Readiness, on_notice,
};
use crate::{End, EventEnvelope, Item, PubSub, SubscribeError};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// After its end a target says so, to everyone and in the same words.
async fn is_closed(target: &Arc<dyn EventTarget>, reason: &CloseReason) -> Verdict {
    let event = EventEnvelope::without_payload("conformance.late", "1")?;
    let dispatched = target.dispatch_event(event);
    let right = matches!(&dispatched, Err(DispatchError::Closed(found)) if found == reason);
    ensure!(right, "dispatch after the end gave {dispatched:?}");
    let added = target.add_event_listener("conformance.late:1", Log::new().listener(0));
    ensure_eq!(added, Err(ListenError::Closed(reason.clone())), "adding a listener after the end gave");
    ensure_eq!(
        target.ready("conformance.late:1").await,
        Readiness::Closed,
        "after the end a subscription is"
    );
    let subscribed = PubSub::new(target.clone()).subscribe_envelopes("conformance.late", "1").await.map(drop);
    ensure_eq!(subscribed, Err(SubscribeError::Closed(reason.clone())), "subscribing after the end gave");
    waits_for("room, which a closed target has no reason to wait for");
    target.room().await;
    Ok(())
}

fn closes(log: &Log, by: u32) -> Vec<CloseReason> {
    let notices = log.notices(by);
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Close(reason) => Some(reason.clone()),
            _ => None,
        })
        .collect()
}

/// A target that ends with its connection tells everyone, once, why.
pub(super) async fn connection_loss(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(fault), target) = (&peers.fault, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let mut subscription = PubSub::new(target.clone()).subscribe_envelopes(&event_type, "1").await?;
    target.add_event_listener("close", log.listener(1))?;
    listen(&**target, &format!("{event_type}:1"), log.listener(0)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [1, FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    fault.cut().await;
    waits_for("the target's end after its connection was cut");
    let reason = target.closed().await;
    ensure!(reason != CloseReason::Closed, "a cut connection ended with: {reason}");
    is_closed(target, &reason).await?;
    for by in [0, 1] {
        ensure_eq!(
            closes(&log, by),
            std::slice::from_ref(&reason),
            "the listener {by}, 0 on a topic and 1 on `close`, was told"
        );
    }
    // What had come before is read first.
    let first = subscription.next().await.and_then(Item::event).and_then(|event| event.payload::<u64>().ok());
    ensure_eq!(first, Some(1), "a subscription gives, before its end");
    subscription.next().await;
    waits_for("the end of a subscription");
    let item = subscription.next().await;
    ensure!(item.is_none(), "instead of the end of a subscription came {item:?}");
    ensure_eq!(subscription.end(), Some(End::Closed(reason)), "the subscription ended with");
    Ok(())
}

/// A target that outlives its connections says `Disconnected` meanwhile, queues nothing, and tells of the gap
/// between the old connection's last event and the new one's first.
pub(super) async fn connection_loss_outlives(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(fault), target) = (&peers.fault, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let mut subscription = PubSub::new(target.clone()).subscribe_envelopes(&event_type, "1").await?;
    target.add_event_listener("close", log.listener(1))?;
    listen(&**target, &topic, log.listener(0)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [1, FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    fault.cut().await;
    // Nothing tells that a connection is down but the attempt.
    let lost = numbered(&event_type, "lost", 7)?;
    let mut last = Ok(());
    let mut settled = || {
        last = target.dispatch_event(lost.clone());
        !matches!(last, Ok(()) | Err(DispatchError::Full))
    };
    comes_true(fixture, "dispatch to say Disconnected".into(), &mut settled).await;
    ensure!(matches!(last, Err(DispatchError::Disconnected)), "without a connection dispatch gave {last:?}");
    fault.heal().await;
    let gap = |heard: &[crate::conformance::log::Heard]| {
        heard
            .iter()
            .any(|call| call.by == 0 && matches!(call.notice(), Some(Notice::Gap { .. })))
            .then_some(())
    };
    log.until("the gap notice after the connection came back", gap).await;
    in_place(&**target, &topic).await?;
    let sent_again =
        peers.wire.iter().flat_map(|wire| wire.texts()).filter(|text| text.contains(":\"lost\"")).count();
    ensure_eq!(sent_again, 0, "events dispatched while the connection was down and sent afterwards");
    let gaps_before = log.notices(0).len();
    publish(&*peers.publisher, numbered(&event_type, "1", 2)?).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    log.numbers_to_fence(0, 2).await;
    ensure_eq!(
        log.notices(0).len(),
        gaps_before,
        "notices after the topic was confirmed anew, with those before,"
    );
    let mut items = Vec::new();
    while let Some(item) = subscription.try_next() {
        items.push(match item {
            Item::Event(event) => event.payload_json()?.unwrap_or("").to_owned(),
            Item::Gap(_) | Item::Lagged(_) => "gap".into(),
            Item::Undecodable(_) => "undecodable".into(),
        });
    }
    let fence = FENCE.to_string();
    ensure_eq!(items, ["1", &fence, "gap", "2", &fence], "across the interruption a subscription gives");
    ensure_eq!((subscription.end(), closes(&log, 1)), (None, vec![]), "an interruption was told as an end");
    Ok(())
}

/// Closing twice is closing once; everyone is told, once; nothing is taken afterwards, and nothing is kept.
pub(super) async fn close(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (target, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let mut subscription = PubSub::new(target.clone()).subscribe_envelopes(&event_type, "1").await?;
    let kept = log.listener(0);
    listen(&**target, &topic, kept.clone()).await?;
    let unwind = |_: &Notice| std::panic::resume_unwind(Box::new("on purpose"));
    target.add_event_listener("close", Arc::new(on_notice(unwind)))?;
    target.add_event_listener("close", log.listener(1))?;
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    target.close();
    target.close();
    waits_for("the end of a closed target");
    let reason = target.closed().await;
    ensure_eq!(reason, CloseReason::Closed, "the target ended with");
    is_closed(target, &reason).await?;
    target.close();
    for by in [0, 1] {
        ensure_eq!(
            closes(&log, by),
            std::slice::from_ref(&reason),
            "the listener {by}, 0 on a topic and 1 on `close`, was told"
        );
    }
    // A dispatch that was under way on another thread may have it in its hands a moment longer.
    let let_go = || Arc::strong_count(&kept) == 1;
    comes_true(fixture, "the target to let go of a listener after its end".into(), let_go).await;
    let stats = target.stats();
    ensure_eq!((stats.listeners, stats.topics), (0, 0), "listeners and topics after the end");
    let last = subscription.next().await.and_then(Item::event).and_then(|event| event.payload::<u64>().ok());
    ensure_eq!(last, Some(FENCE), "what had come before the end is");
    let item = subscription.next().await;
    ensure!(item.is_none(), "instead of the end of a subscription came {item:?}");
    ensure_eq!(subscription.end(), Some(End::Closed(reason)), "the subscription ended with");
    // Dropping it now removes what is gone already.
    drop(subscription);
    Ok(())
}

/// A listener may close its target; what it then publishes, or a listener to the close notice does, is refused
/// and heard by nobody.
pub(super) async fn close_in_listener(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (target, event_type, log) = (&peers.subscribers[0], unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let late = numbered(&event_type, "1", 7)?;
    let results = Arc::new(Mutex::new(Vec::new()));
    let closer = {
        let (target, log) = (Arc::downgrade(target), log.clone());
        let (late, results) = (late.clone(), results.clone());
        move |event: &EventEnvelope| {
            log.write(0, What::Event(event.clone()));
            if let (Some(target), Some(1)) = (target.upgrade(), event.payload().ok()) {
                target.close();
                let refused = target.dispatch_event(late.clone());
                lock(&results).push(refused);
            }
        }
    };
    let mourner = {
        let (target, results) = (Arc::downgrade(target), results.clone());
        let once = AtomicBool::new(true);
        move |_: &Notice| {
            // Once: a target that tells of each close anew would never come to an end.
            if let (Some(target), true) = (target.upgrade(), once.swap(false, SeqCst)) {
                let refused = target.dispatch_event(late.clone());
                lock(&results).push(refused);
                target.close();
            }
        }
    };
    target.add_event_listener("close", Arc::new(on_notice(mourner)))?;
    target.add_event_listener("close", log.listener(1))?;
    listen(&**target, &topic, Arc::new(closer)).await?;
    listen(&**target, &topic, log.listener(2)).await?;
    let _ = peers.publisher.dispatch_event(numbered(&event_type, "1", 1)?);
    waits_for("the end of a target that a listener closed");
    target.closed().await;
    log.until("the close notice", |heard| heard.iter().any(|call| call.by == 1).then_some(())).await;
    // The listener that closed may still be at its last words, on its own thread.
    comes_true(fixture, "both publications to be refused".into(), || lock(&results).len() == 2).await;
    let results = std::mem::take(&mut *lock(&results));
    let refused = results.iter().all(|result| matches!(result, Err(DispatchError::Closed(_))));
    ensure!(refused, "publishing on a target that is being closed gave {results:?}");
    let heard: Vec<_> =
        log.all().iter().filter_map(|call| call.number()).filter(|number| *number == 7).collect();
    ensure!(heard.is_empty(), "an event that was published after `close` was heard");
    ensure_eq!(closes(&log, 1).len(), 1, "close notices");
    Ok(())
}

/// After `close` the far side sees the end of the connection, and no event before it that was not taken.
pub(super) async fn close_wire(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), Some(near)) = (&peers.wire, &peers.near) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    wire.subscribe(&topic).await;
    listen(&**near, &topic, log.listener(0)).await?;
    publish(&**near, numbered(&event_type, "1", 1)?).await?;
    let count = |texts: &[String]| {
        texts
            .iter()
            .filter(|text| {
                text.contains("\"payload\":") && text.contains(&*event_type) && !text.contains("\"__")
            })
            .count()
    };
    wire.until("an event on the wire", |texts| (count(texts) >= 1).then_some(())).await;
    near.close();
    for number in 2..5 {
        let refused = near.dispatch_event(numbered(&event_type, "1", number)?);
        ensure!(matches!(refused, Err(DispatchError::Closed(_))), "dispatch after `close` gave {refused:?}");
    }
    // What comes in afterwards is heard by nobody.
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    let code = wire.end().await;
    ensure!(matches!(code, None | Some(1000 | 1001)), "`close` ended the connection with {code:?}");
    waits_for("the end of a closed target");
    near.closed().await;
    ensure_eq!(count(&wire.texts()), 1, "events on the wire, of which one was sent before `close`,");
    ensure_eq!(log.numbers(0), Vec::<u64>::new(), "after `close` were heard");
    Ok(())
}
