//! How a connection ends in good order, and what ends it: bad_input, connection_loss, close.

use super::subscriptions::until_asked;
use crate::conformance::Fixture;
use crate::conformance::log::{
    FENCE, Log, Verdict, comes_true, ensure, ensure_eq, listen, numbered, peers, publish_numbers, unique,
};
use crate::conformance::run::{is_pending, waits_for};
use crate::conformance::{FarSide, Peers};
use crate::event_target::{CloseReason, DispatchError, EventTarget, Notice, Readiness, TargetError};
use crate::protocol::control;
use crate::{EventEnvelope, protocol};

/// Whether the target at the wire's near end has one connection, and ends where that is at fault.
fn is_link(peers: &Peers) -> bool {
    peers.wire.as_ref().is_some_and(|wire| wire.far() != FarSide::Spoke)
}

/// Messages that are bad input, by the reason. `TOPIC` stands for the type and the id of a topic that is listened to.
const BY_REASON: [(&str, &str); 13] = [
    ("byte_order_mark", "\u{feff}{TOPIC}"),
    ("not_json", "{TOPIC"),
    ("too_deep", r#"{TOPIC,"payload":DEEP}"#),
    ("not_an_object", "[{TOPIC}]"),
    ("trailing_bytes", "{TOPIC}{TOPIC}"),
    ("missing_member", r#"{"type":"call.responded"}"#),
    ("not_a_string", r#"{"type":7,"id":"1"}"#),
    ("empty_type", r#"{"type":"","id":"1"}"#),
    ("repeated_member", r#"{TOPIC,"\u0069d":"1"}"#),
    ("lone_surrogate", r#"{"type":"call.responded","id":"\udc00"}"#),
    ("reserved_member", r#"{TOPIC,"__hop":1}"#),
    ("bad_control", r#"{"type":"__subscribe","id":"","payload":{"topic":7}}"#),
    ("bad_control", r#"{"type":"__gap","id":"","payload":[]}"#),
];

/// Bad input is counted and told of by its reason.
pub(super) async fn bad_input_by_reason(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), Some(near)) = (&peers.wire, &peers.near) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    near.add_event_listener("error", log.listener(1))?;
    listen(&**near, &format!("{event_type}:1"), log.listener(0)).await?;
    let (topic, deep) = (format!(r#""type":"{event_type}","id":"1""#), "[".repeat(64) + &"]".repeat(64));
    let mut wanted = Vec::new();
    // Of the second reason two, of the third three, and so on, so that no two can be taken for each other.
    for (at, (reason, text)) in BY_REASON.into_iter().enumerate() {
        for _ in 0..=at % 5 {
            wire.send(text.replace("TOPIC", &topic).replace("DEEP", &deep));
            wanted.push(reason);
        }
    }
    wire.send_bytes(b"{\"type\":\"call.responded\",\"id\":\"\xff\"}");
    wanted.push("not_utf8");
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    log.numbers_to_fence(0, 1).await;
    let told: Vec<_> = log
        .notices(1)
        .into_iter()
        .map(|notice| match notice {
            Notice::Error(TargetError::BadInput(refusal)) => refusal.name(),
            _ => "another error",
        })
        .collect();
    ensure_eq!(told, wanted, "bad input was told of as");
    let count = |reason| wanted.iter().filter(|wanted| **wanted == reason).count() as u64;
    let right = || {
        let refusals = near.stats().refusals;
        refusals.iter().all(|(reason, counted)| counted == count(reason))
    };
    comes_true(fixture, format!("bad input to be counted as {wanted:?}"), right).await;
    Ok(())
}

/// Fifty bad messages harm nobody; the hundredth within ten seconds ends the connection with 1007, and a link with
/// it.
pub(super) async fn bad_input_limit(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), Some(near)) = (&peers.wire, &peers.near) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    listen(&**near, &format!("{event_type}:1"), log.listener(0)).await?;
    let fence = numbered(&event_type, "1", FENCE)?;
    for _ in 0..50 {
        wire.send("no envelope");
    }
    wire.send(fence.to_json()?);
    log.numbers_to_fence(0, 1).await;
    for _ in 0..49 {
        wire.send("no envelope");
    }
    wire.send(fence.to_json()?);
    ensure_eq!(log.numbers_to_fence(0, 2).await.len(), 2, "between 99 bad messages were heard");
    wire.send("no envelope");
    wire.send(fence.to_json()?);
    let code = wire.end().await;
    ensure!(matches!(code, None | Some(1007)), "after 100 bad messages the connection ended with {code:?}");
    comes_true(fixture, "100 messages to be counted as bad input".into(), || near.stats().bad_input == 100)
        .await;
    if is_link(&peers) {
        waits_for("the end of a link whose far side sent 100 bad messages");
        let reason = near.closed().await;
        let right = matches!(reason, CloseReason::Refused { code: 1007, .. });
        ensure!(right, "a link whose far side sent 100 bad messages ended with: {reason}");
    } else {
        let mut closed = near.closed();
        ensure!(is_pending(&mut closed), "a hub ended with a connection that sent bad input");
    }
    ensure_eq!(log.numbers(0).len(), 2, "events heard, of which two were sent before the end,");
    Ok(())
}

/// A message of just the limit crosses both ways; one that is longer is refused at `dispatch`, and ends the
/// connection that sends it with 1009.
pub(super) async fn bad_input_too_large(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), Some(near)) = (&peers.wire, &peers.near) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    wire.subscribe(&topic).await;
    listen(&**near, &topic, log.listener(0)).await?;
    let of_size = |bytes: usize| {
        let frame = numbered(&event_type, "1", 7)?.to_json()?.len() + 1;
        Ok::<_, crate::conformance::Violation>(EventEnvelope::new(
            &event_type,
            "1",
            &"x".repeat(bytes - frame),
        )?)
    };
    // What the limit is, its error tells.
    let mut size = 1 << 16;
    let limit = loop {
        size *= 2;
        match near.dispatch_event(of_size(size)?) {
            Err(DispatchError::TooLarge { bytes, limit }) => {
                ensure_eq!(bytes, size, "the error named as its event's size");
                break limit;
            }
            taken => ensure!(taken.is_ok() && size < 64 << 20, "dispatching {size} bytes gave {taken:?}"),
        }
    };
    let refused = near.dispatch_event(of_size(limit + 1)?);
    ensure!(matches!(refused, Err(DispatchError::TooLarge { .. })), "one byte too many gave {refused:?}");
    let most = of_size(limit)?;
    ensure_eq!(most.to_json()?.len(), limit, "the law's own event has");
    near.dispatch_event(most.clone())?;
    wire.until("an event of just the limit on the wire", |texts| {
        texts.iter().any(|text| text.len() == limit).then_some(())
    })
    .await;
    let deep = |depth: usize| {
        let payload = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        EventEnvelope::parse_within(
            format!(r#"{{"type":"{event_type}","id":"1","payload":{payload}}}"#),
            &generous(depth),
        )
    };
    let refused = near.dispatch_event(deep(1000)?);
    ensure!(
        matches!(refused, Err(DispatchError::TooDeep { .. })),
        "dispatching 1,000 arrays in one another gave {refused:?}"
    );

    wire.send(most.to_json()?);
    log.until("an event of just the limit", |heard| (heard.len() == 1).then_some(())).await;
    wire.send(of_size(limit + 1)?.to_json()?);
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    let code = wire.end().await;
    ensure!(matches!(code, None | Some(1009)), "after a message over the limit came the end {code:?}");
    if is_link(&peers) {
        waits_for("the end of a link whose far side sent a message over the limit");
        let reason = near.closed().await;
        let right = matches!(reason, CloseReason::Refused { code: 1009, .. });
        ensure!(right, "a link whose far side sent a message over the limit ended with: {reason}");
    }
    let events = log.all().iter().filter(|call| call.notice().is_none()).count();
    ensure_eq!(events, 1, "events heard, of which one was within the limit and before the end,");
    Ok(())
}

fn generous(depth: usize) -> protocol::check::MessageLimits {
    protocol::check::MessageLimits { max_message: usize::MAX, max_depth: depth + 2 }
}

/// A Close is answered after all that came before it was handled: events are heard, questions answered.
pub(super) async fn close_answered(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let near = peers.near.as_ref().unwrap_or(&peers.subscribers[0]);
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    listen(&**near, &topic, log.listener(0)).await?;
    for number in 0..100 {
        wire.send(numbered(&event_type, "1", number)?.to_json()?);
    }
    if wire.far() == FarSide::Spoke {
        wire.send(control::subscribe(&topic));
        wire.send(control::ping(7));
    }
    wire.hang_up(1000);
    let code = wire.end().await;
    ensure!(matches!(code, None | Some(1000)), "a Close of 1000 was answered with {code:?}");
    if peers.near.is_some() {
        let heard = log.numbers(0);
        let count = heard.len();
        ensure!(heard.into_iter().eq(0..100), "when a Close was answered, {count} of 100 events were heard");
    }
    if wire.far() == FarSide::Spoke {
        let texts = wire.texts();
        let answered = texts.contains(&control::subscribed(&topic));
        ensure!(answered, "a Close was answered, but not the subscription before it: {texts:?}");
        let ponged = texts.iter().any(|text| text.starts_with(r#"{"type":"__pong""#));
        ensure!(ponged, "a Close was answered, but not the ping before it: {texts:?}");
    }
    Ok(())
}

/// What was lent to a target can be used when it has ended as if it never had been.
pub(super) async fn close_lent(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(lent), target) = (&peers.lent, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    listen(&**target, &format!("{event_type}:1"), log.listener(0)).await?;
    publish_numbers(&*peers.publisher, &event_type, "1", [FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    target.close();
    waits_for("the end of a closed target");
    target.closed().await;
    waits_for("what was lent to a target to be of use again");
    let used = lent.use_again().await;
    ensure_eq!(used, Ok(()), "after the end of the target that it was lent to, using it gave");
    Ok(())
}

/// Who waits for an answer, for the end or for a flush when the target closes need not wait on.
pub(super) async fn close_waiters(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    released(&peers, || async { peers.subscribers[0].close() }).await
}

/// Who waits for an answer, for the end or for a flush when the connection breaks need not wait on.
pub(super) async fn connection_loss_waiters(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(fault) = &peers.fault else { return Ok(()) };
    released(&peers, || fault.cut()).await
}

async fn released<F: Future<Output = ()>>(peers: &Peers, end: impl FnOnce() -> F) -> Verdict {
    let (Some(wire), target) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let (topic, log) = (format!("{}:1", unique("call")), Log::new());
    wire.answer(false);
    target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "s").await;
    let (mut ready, mut closed) = (target.ready(&topic), target.closed());
    let pending = is_pending(&mut ready) && is_pending(&mut closed);
    ensure!(pending, "a subscription was settled, or the target ended, before anything happened");
    end().await;
    waits_for("the end, for one who waited for it before");
    let reason = closed.await;
    ensure_eq!(
        target.closed().await,
        reason,
        "who asks after the end and who asked before are told of an end that was"
    );
    waits_for("a subscription to be settled by the end");
    ensure_eq!(
        ready.await,
        Readiness::Closed,
        "a subscription that waited for its answer is, after the end,"
    );
    waits_for("a flush that the end has nothing to do with any more");
    target.flush().await;
    Ok(())
}
