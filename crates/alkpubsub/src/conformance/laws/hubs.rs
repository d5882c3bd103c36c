//! What a hub owes its spokes, as a raw spoke sees it.

use crate::EventEnvelope;
use crate::conformance::log::{
    FENCE, Log, Verdict, comes_true, ensure, ensure_eq, listen, numbered, peers, publish, publish_numbers,
    unique,
};
use crate::conformance::{Fixture, Peers, Wire};
use crate::event_target::EventTarget;
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Control};

/// What sends to the hub's spokes: the hub itself, or a spoke of a hub that relays.
pub(super) fn sender(peers: &Peers) -> &dyn EventTarget {
    &**peers.near.as_ref().unwrap_or(&peers.subscribers[0])
}

/// A hub's message in few words.
pub(super) fn word(text: &str) -> String {
    let Ok(parts) = parts(text.as_bytes(), &MessageLimits::DEFAULT) else { return "no envelope".into() };
    match control::read(&parts) {
        Ok(Some(Control::Subscribed(topic))) => format!("yes {topic}"),
        Ok(Some(Control::Denied { topic, action, reason })) => format!("no {action} {topic} {reason}"),
        Ok(Some(Control::Pong(_))) => "pong".into(),
        Ok(Some(_)) => "control".into(),
        Ok(None) => format!("{}:{} {}", parts.event_type, parts.id, parts.payload.unwrap_or("")),
        Err(_) => "bad control".into(),
    }
}

/// Sends these and a ping; all that the hub had sent by its answer.
pub(super) async fn answers(wire: &Wire, texts: &[String]) -> Vec<String> {
    let before = wire.texts().len();
    texts.iter().for_each(|text| wire.send(text.as_str()));
    wire.send(control::ping(7));
    wire.until("__pong", |texts| {
        let words: Vec<_> = texts[before..].iter().map(|text| word(text)).collect();
        words.last().is_some_and(|last| last == "pong").then_some(words)
    })
    .await
}

/// Every `__subscribe` gets one answer, in order; a topic held twice delivers once; nothing comes unasked, and
/// nothing after `__unsubscribe`. The answer to a ping comes after all that came before it.
pub(super) async fn ready_answers(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let event_type = unique("call");
    let [one, two, never] = ["1", "2", "never"].map(|id| format!("{event_type}:{id}"));
    let asked = [
        control::subscribe(&one),
        control::subscribe("no topic"),
        control::subscribe(&one),
        control::subscribe("__gap:"),
        control::subscribe(":1"),
        control::unsubscribe(&never),
        control::subscribe(&two),
    ];
    let wanted = [
        format!("yes {one}"),
        "no subscribe no topic bad_topic".into(),
        format!("yes {one}"),
        "no subscribe __gap: reserved".into(),
        "no subscribe :1 bad_topic".into(),
        format!("yes {two}"),
        "pong".into(),
    ];
    ensure_eq!(answers(wire, &asked).await, wanted, "asked for topics the hub said");

    let before = wire.texts().len();
    let sender = sender(&peers);
    publish_numbers(sender, &event_type, "never", [1]).await?;
    publish_numbers(sender, &event_type, "1", [2]).await?;
    publish_numbers(sender, &event_type, "2", [FENCE]).await?;
    let fenced = |texts: &[String]| {
        let words: Vec<_> = texts[before..].iter().map(|text| word(text)).collect();
        words.last().is_some_and(|last| last.ends_with(&FENCE.to_string())).then_some(words)
    };
    let came = wire.until("the last event of a series on the wire", fenced).await;
    ensure_eq!(
        came,
        [format!("{one} 2"), format!("{two} {FENCE}")],
        "of topics held twice, once and never came"
    );

    ensure_eq!(answers(wire, &[control::unsubscribe(&one)]).await, ["pong"], "to __unsubscribe the hub said");
    let before = wire.texts().len();
    publish_numbers(sender, &event_type, "1", [3]).await?;
    publish_numbers(sender, &event_type, "2", [FENCE + 1]).await?;
    let last = format!("{two} {}", FENCE + 1);
    let came = wire
        .until("an event of a topic that is still held", |texts| {
            let words: Vec<_> = texts[before..].iter().map(|text| word(text)).collect();
            words.contains(&last).then_some(words)
        })
        .await;
    ensure!(!came.contains(&format!("{one} 3")), "after __unsubscribe came {came:?}");
    Ok(())
}

/// A spoke that does not read is closed with 1013 when more waits for it than the bound; the hub and its other
/// spokes go on.
pub(super) async fn bounded_slow_spoke(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), Some(fault)) = (&peers.wire, &peers.fault) else { return Ok(()) };
    let event_type = unique("call");
    let sender = sender(&peers);
    let topic = format!("{event_type}:1");
    wire.subscribe(&topic).await;
    // Behind a hub that is another process there are other spokes to look at.
    let beside = peers.subscribers.last().filter(|_| peers.near.is_none());
    let log = Log::new();
    if let Some(beside) = beside {
        listen(&**beside, &topic, log.listener(0)).await?;
    }
    fault.stall().await;
    let event = EventEnvelope::new(&event_type, "1", &"x".repeat(16 * 1024))?;
    // What the system's own buffers take is not the hub's; 64 MiB are more than they do.
    let mut sent = 0_u64;
    let too_slow = || peers.near.as_ref().is_some_and(|near| near.stats().too_slow > 0);
    while sent < 4096 && !too_slow() {
        publish(sender, event.clone()).await?;
        sent += 1;
        let queued = peers.near.as_ref().map_or(0, |near| near.stats().queued_bytes);
        ensure!(queued < 16 << 20, "{queued} bytes wait in the hub for a spoke that does not read");
    }
    if let Some(near) = &peers.near {
        comes_true(fixture, "a spoke to be counted as too slow".into(), || near.stats().too_slow == 1).await;
    }
    fault.go_on().await;
    let code = wire.end().await;
    ensure!(matches!(code, None | Some(1013)), "a spoke that was too slow was closed with {code:?}");
    let came = wire.texts().iter().filter(|text| text.contains(&*event_type)).count() as u64;
    ensure!(came < sent, "{came} of {sent} events were kept for a spoke that did not read");
    // Nobody else has noticed.
    publish(sender, numbered(&event_type, "1", FENCE)?).await?;
    if beside.is_some() {
        log.numbers_to_fence(0, 1).await;
        ensure_eq!(log.all().len() as u64, sent + 1, "events that a spoke beside the slow one heard");
    }
    Ok(())
}
