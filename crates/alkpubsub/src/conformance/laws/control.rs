//! The control events beside subscription and answer: pings, denials of other things, `direct`: ready.

use super::hubs::{answers, sender, word};
use super::loss::waiting;
use super::subscriptions::until_asked;
use crate::conformance::Fixture;
use crate::conformance::log::{
    FENCE, Log, Verdict, comes_true, ensure, ensure_eq, listen, numbered, peers, publish_numbers, unique,
};
use crate::conformance::run::waits_for;
use crate::event_target::{Notice, Readiness};
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Action, DenyReason};
use crate::{End, PubSub};
use serde::Deserialize;

#[derive(Deserialize)]
struct Pong {
    protocol: u32,
    features: Vec<String>,
}

/// A ping is answered with its payload as it came, the version and the features, after all that came before it was
/// handled; its payload is any object, and nothing else.
pub(super) async fn ready_ping(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    if let Some(near) = &peers.near {
        listen(&**near, &topic, log.listener(0)).await?;
    }
    wire.subscribe(&topic).await;
    let echoes = [
        "{}",
        r#"{"n":7}"#,
        r#"{ "b" : 1.0, "a":[9007199254740993,1e400,"\u00e9\/"], "b":null }"#,
        r#"{"type":"__close","echo":{"protocol":2}}"#,
    ];
    for (number, echo) in (1..).zip(echoes) {
        let before = wire.texts().len();
        wire.send(numbered(&event_type, "1", number)?.to_json()?);
        wire.send(format!(r#"{{"type":"__ping","id":"","payload":{echo}}}"#));
        let came = wire
            .until("__pong", |texts| {
                let last = texts.get(before..)?.last().filter(|text| word(text) == "pong")?;
                Some((last.clone(), log.numbers(0), texts[before..].to_vec()))
            })
            .await;
        let (pong, heard, came) = came;
        let parts = parts(pong.as_bytes(), &MessageLimits::DEFAULT)?;
        let Pong { protocol, features } = serde_json::from_str(parts.payload.unwrap_or(""))?;
        ensure_eq!(protocol, 1, "a ping was answered with the version");
        ensure!(pong.contains(echo), "the ping of {echo} was answered with {pong}");
        ensure!(features.iter().all(|feature| !feature.is_empty()), "the features are {features:?}");
        if peers.near.is_some() {
            ensure_eq!(heard.last(), Some(&number), "when a ping was answered, the last event heard was");
        }
        if fixture.capabilities().echo {
            let relayed = came.iter().any(|text| word(text) == format!("{topic} {number}"));
            ensure!(relayed, "when a ping was answered, its sender's own event had not come back: {came:?}");
        }
    }
    let odd = [r#"{"type":"__ping","id":"","payload":[1]}"#.into(), r#"{"type":"__ping","id":""}"#.into()];
    ensure_eq!(answers(wire, &odd).await, ["pong"], "two pings without an object, and one with, gave");
    if let Some(near) = &peers.near {
        let what = "two pings without an object to be counted as bad input";
        comes_true(fixture, what.into(), || near.stats().bad_input == 2).await;
    }
    Ok(())
}

/// Where connections have no identities, `direct` is a type like any other; where they have, somebody else's is denied.
pub(super) async fn ready_direct(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let id = unique("somebody");
    let topic = format!("direct:{id}");
    if fixture.identities() {
        ensure_eq!(
            answers(wire, &[control::subscribe(&topic)]).await,
            [format!("no subscribe {topic} not_allowed"), "pong".into()],
            "asked for a direct topic of somebody else's the hub said"
        );
        return Ok(());
    }
    ensure_eq!(
        answers(wire, &[control::subscribe(&topic)]).await,
        [format!("yes {topic}"), "pong".into()],
        "asked for a direct topic the hub said"
    );
    publish_numbers(sender(&peers), "direct", &id, [FENCE]).await?;
    let event = format!("{topic} {FENCE}");
    wire.until("an event of a direct topic", |texts| {
        texts.last().is_some_and(|last| word(last) == event).then_some(())
    })
    .await;
    Ok(())
}

/// A publication that is denied is told as such; it ends no subscription, of the same topic or another.
pub(super) async fn ready_denied_publish(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    let mut stream = PubSub::new(target.clone()).subscribe_envelopes(&event_type, "1").await?;
    target.add_event_listener("denied", log.listener(1))?;
    listen(&**target, &topic, log.listener(0)).await?;
    wire.send(control::denied(&topic, Action::Publish, DenyReason::TopicTooLong));
    wire.send(numbered(&event_type, "1", FENCE)?.to_json()?);
    log.numbers_to_fence(0, 1).await;
    let right = |notice: &Notice| {
        matches!(notice, Notice::Denied { topic: of, action: Action::Publish, reason: DenyReason::TopicTooLong }
            if **of == *topic)
    };
    for by in [0, 1] {
        let told = log.notices(by);
        ensure!(told.len() == 1 && told.iter().all(right), "a denied publication was told as {told:?}");
    }
    ensure_eq!(target.ready(&topic).await, Readiness::Confirmed, "the subscription to its topic is");
    ensure_eq!(waiting(&mut stream), [FENCE.to_string()], "a stream of its topic gives");
    ensure_eq!(stream.end(), None, "a stream of its topic ended with");
    Ok(())
}

/// A hub that drains says no; where the target ends with its connection, so does the subscription.
pub(super) async fn ready_draining(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(wire), target) = (&peers.wire, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    wire.answer(false);
    target.add_event_listener(&topic, log.listener(0))?;
    until_asked(wire, &topic, "s").await;
    wire.send(control::denied(&topic, Action::Subscribe, DenyReason::Draining));
    waits_for("a subscription at a draining hub to be settled");
    ensure_eq!(
        target.ready(&topic).await,
        Readiness::Denied(DenyReason::Draining),
        "at a draining hub a subscription is"
    );
    wire.answer(true);
    let mut revoked = PubSub::new(target.clone()).subscribe_envelopes(&event_type, "2").await?;
    wire.send(control::denied(&format!("{event_type}:2"), Action::Subscribe, DenyReason::Draining));
    waits_for("the end of a subscription that a draining hub revoked");
    ensure!(revoked.next().await.is_none(), "a subscription that a draining hub revoked went on");
    ensure_eq!(revoked.end(), Some(End::Denied(DenyReason::Draining)), "a revoked subscription ended with");
    ensure_eq!(log.notices(0).len(), 1, "denials told of one");
    Ok(())
}
