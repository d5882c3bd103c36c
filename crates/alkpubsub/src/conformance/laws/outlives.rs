//! A target that outlives its connections: what an interruption leaves behind, and what not: connection_loss.

use super::loss::waiting;
use super::subscriptions::{asked, asked_by_now, until_asked};
use crate::conformance::log::{
    FENCE, Log, Verdict, comes_true, ensure, ensure_eq, listen, numbered, peers, publish, publish_numbers,
    unique,
};
use crate::conformance::run::{is_pending, waits_for};
use crate::conformance::{Fault, Fixture, Peers, Violation, Wire};
use crate::event_target::{CloseReason, DispatchError, EventTarget, Notice, Readiness};
use crate::protocol::control::{self, Action, DenyReason, GapReason};
use crate::{End, EventEnvelope, PubSub};
use std::sync::Arc;

/// What these laws work with. The hub's answers are the law's to give from the beginning on.
struct Scene {
    _kept: Peers,
    wire: Arc<Wire>,
    fault: Arc<dyn Fault>,
    target: Arc<dyn EventTarget>,
    event_type: String,
    log: Arc<Log>,
    fences: usize,
}

impl Scene {
    /// With the fence's own topic confirmed.
    async fn set(fixture: &dyn Fixture) -> Result<Self, Violation> {
        let peers = peers(fixture).await?;
        let missing = || Violation::new("the fixture offers what its peers have not");
        let (wire, fault) =
            (peers.wire.clone().ok_or_else(missing)?, peers.fault.clone().ok_or_else(missing)?);
        let target = peers.subscribers[0].clone();
        let (event_type, log) = (unique("call"), Log::new());
        let scene = Self { _kept: peers, wire, fault, target, event_type, log, fences: 0 };
        listen(&*scene.target, &scene.topic("fence"), scene.log.listener(u32::MAX)).await?;
        Ok(scene)
    }

    fn topic(&self, id: &str) -> String {
        format!("{}:{id}", self.event_type)
    }

    /// The hub sends an event.
    fn event(&self, id: &str, number: u64) -> Verdict {
        self.wire.send(numbered(&self.event_type, id, number)?.to_json()?);
        Ok(())
    }

    /// The connection breaks, and a new one is there on which this topic was asked for: `s` for each time so far.
    async fn interrupt(&self, topic: &str, asked: &str) {
        self.fault.cut().await;
        self.fault.heal().await;
        until_asked(&self.wire, topic, asked).await;
    }

    /// Waits until all that the hub has sent on this connection was handled. The fence's topic is confirmed by it.
    async fn fence(&mut self) -> Verdict {
        self.fences += 1;
        until_asked(&self.wire, &self.topic("fence"), "s").await;
        self.wire.send(control::subscribed(&self.topic("fence")));
        self.event("fence", FENCE)?;
        self.log.numbers_to_fence(u32::MAX, self.fences).await;
        Ok(())
    }

    fn gaps(&self, by: u32) -> usize {
        self.log.notices(by).iter().filter(|notice| matches!(notice, Notice::Gap { .. })).count()
    }
}

/// Without a connection a subscription is neither in place nor lost: who waits for it waits for the next connection;
/// nobody waits for room, and the counters know of no link.
pub(super) async fn connection_loss_ready(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (Some(fault), target) = (&peers.fault, &peers.subscribers[0]) else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let [held, new] = ["held", "new"].map(|id| format!("{event_type}:{id}"));
    listen(&**target, &held, log.listener(0)).await?;
    ensure_eq!(target.stats().links, 1, "with a connection, links");
    fault.cut().await;
    down(fixture, &**target).await?;
    target.add_event_listener(&new, log.listener(1))?;
    let (mut of_held, mut of_new) = (target.ready(&held), target.ready(&new));
    let pending = is_pending(&mut of_held) && is_pending(&mut of_new);
    ensure!(pending, "a subscription was settled while there was no connection");
    ensure_eq!(target.stats().links, 0, "without a connection, links");
    waits_for("room, for which without a connection nobody has to wait");
    target.room().await;
    fault.heal().await;
    waits_for("subscriptions to be confirmed on the next connection");
    ensure_eq!(
        [of_held.await, of_new.await],
        [Readiness::Confirmed; 2],
        "on the next connection, a subscription held before and one made meanwhile are"
    );
    let stats = target.stats();
    ensure_eq!((stats.links, stats.connections), (1, 2), "links now, and connections so far,");
    for (by, id) in [(0, "held"), (1, "new")] {
        publish_numbers(&*peers.publisher, &event_type, id, [FENCE]).await?;
        ensure_eq!(log.numbers_to_fence(by, 1).await, [FENCE], "on the next connection, topic {id} heard");
    }
    Ok(())
}

/// Nothing tells that a connection is down but the attempt.
async fn down(fixture: &dyn Fixture, target: &dyn EventTarget) -> Verdict {
    let probe = EventEnvelope::without_payload("conformance.probe", "")?;
    let mut last = Ok(());
    let refused = || {
        last = target.dispatch_event(probe.clone());
        !matches!(last, Ok(()) | Err(DispatchError::Full))
    };
    comes_true(fixture, "dispatch to say Disconnected".into(), refused).await;
    ensure!(matches!(last, Err(DispatchError::Disconnected)), "without a connection dispatch gave {last:?}");
    Ok(())
}

/// However many connections were lost before the topic is confirmed anew, one gap is told, then: after the old
/// connection's last event and before the new one's first. The notice and the items of streams agree.
pub(super) async fn connection_loss_gap(fixture: &dyn Fixture) -> Verdict {
    let mut scene = Scene::set(fixture).await?;
    let topic = scene.topic("1");
    let pubsub = PubSub::new(scene.target.clone());
    let mut stream = pubsub.subscribe_envelopes(&scene.event_type, "1").await?;
    scene.target.add_event_listener("gap", scene.log.listener(1))?;
    listen(&*scene.target, &topic, scene.log.listener(0)).await?;
    scene.event("1", 1)?;
    scene.event("1", FENCE)?;
    scene.log.numbers_to_fence(0, 1).await;
    scene.wire.answer(false);
    scene.interrupt(&topic, "ss").await;
    scene.interrupt(&topic, "sss").await;
    scene.fence().await?;
    ensure_eq!(scene.gaps(0), 0, "gaps told before the topic was confirmed anew");
    scene.wire.send(control::subscribed(&topic));
    scene.event("1", 2)?;
    scene.event("1", FENCE)?;
    scene.log.numbers_to_fence(0, 2).await;

    let fence = FENCE.to_string();
    let items = waiting(&mut stream);
    ensure_eq!(
        items,
        ["1", &fence, "gap disconnected", "2", &fence],
        "across two interruptions a stream gives"
    );
    let heard = scene.log.all();
    let in_order: Vec<_> = heard
        .iter()
        .filter(|call| call.by == 0)
        .map(|call| call.number().map_or("notice".into(), |number| number.to_string()))
        .collect();
    ensure_eq!(in_order, ["1", &fence, "notice", "2", &fence], "across two interruptions a listener heard");
    let of_topic = |notice: &Notice| {
        matches!(notice, Notice::Gap { topic: Some(of), missed: None, reason: GapReason::Disconnected }
            if of.as_str() == topic)
    };
    for by in [0, 1] {
        let told: Vec<_> = scene.log.notices(by).into_iter().filter(of_topic).collect();
        ensure_eq!(told.len(), 1, "gaps of the topic that listener {by} (0: on it, 1: on `gap`) was told of");
    }

    // An event that comes ahead of the answer has its gap before it, too; the last one comes with the answer.
    scene.interrupt(&topic, "ssss").await;
    scene.event("1", 3)?;
    scene.wire.send(control::subscribed(&topic));
    scene.event("1", 4)?;
    scene.fence().await?;
    let items = waiting(&mut stream);
    let gap = "gap disconnected";
    ensure_eq!(items, [gap, "3", gap, "4"], "of an event ahead of the hub's answer, and one after it, came");
    Ok(())
}

/// A topic that is given up without a connection is not asked for on the next one; one that is wanted meanwhile is,
/// and has no gap of its own.
pub(super) async fn connection_loss_wanted(fixture: &dyn Fixture) -> Verdict {
    let scene = Scene::set(fixture).await?;
    let [held, gone, new, brief] = ["held", "gone", "new", "brief"].map(|id| scene.topic(id));
    listen(&*scene.target, &held, scene.log.listener(0)).await?;
    let given_up = listen(&*scene.target, &gone, scene.log.listener(1)).await?;
    scene.fault.cut().await;
    down(fixture, &*scene.target).await?;
    scene.target.remove_event_listener(given_up);
    scene.target.add_event_listener(&new, scene.log.listener(2))?;
    let both = scene.target.add_event_listener(&brief, scene.log.listener(3))?;
    scene.target.remove_event_listener(both);
    scene.fault.heal().await;
    for topic in [&held, &new] {
        waits_for("a subscription to be confirmed on the next connection");
        ensure_eq!(
            scene.target.ready(topic).await,
            Readiness::Confirmed,
            "on the next connection a subscription is"
        );
    }
    let now = asked_by_now(&scene.wire, &*scene.target, &gone).await?;
    ensure_eq!(now, "s", "of a topic that was given up without a connection it was asked, in all");
    for (topic, wanted) in [(&brief, ""), (&new, "s"), (&held, "ss")] {
        ensure_eq!(asked(&scene.wire.texts(), topic), wanted, "of {topic} it was asked, in all");
    }
    scene.event("new", FENCE)?;
    scene.log.numbers_to_fence(2, 1).await;
    ensure_eq!(
        (scene.gaps(0), scene.gaps(2)),
        (1, 0),
        "gaps of a topic held before, and of one wanted since,"
    );
    Ok(())
}

/// What an old connection owed counts nothing on the new one, and what was sent on the old one is not sent again.
/// The new one begins with a `__ping`.
pub(super) async fn connection_loss_answers(fixture: &dyn Fixture) -> Verdict {
    let mut scene = Scene::set(fixture).await?;
    let topic = scene.topic("1");
    publish(&*scene.target, numbered(&scene.event_type, "sent", 7)?).await?;
    let sent = |texts: &[String]| texts.iter().filter(|text| text.contains(":7}")).count();
    scene.wire.until("an event on the wire", |texts| (sent(texts) == 1).then_some(())).await;
    scene.wire.answer(false);
    let first = scene.target.add_event_listener(&topic, scene.log.listener(0))?;
    scene.target.remove_event_listener(first);
    scene.target.add_event_listener(&topic, scene.log.listener(0))?;
    until_asked(&scene.wire, &topic, "sus").await;
    let before = scene.wire.texts().len();
    scene.interrupt(&topic, "suss").await;
    let target = scene.target.clone();
    let mut ready = target.ready(&topic);
    scene.fence().await?;
    ensure!(is_pending(&mut ready), "a subscription was settled on a new connection before the hub's answer");
    scene.wire.send(control::subscribed(&topic));
    waits_for("one answer on the new connection to settle a subscription that was owed two on the old one");
    ensure_eq!(ready.await, Readiness::Confirmed, "after the answer on the new connection a subscription is");
    asked_by_now(&scene.wire, &*scene.target, &topic).await?;
    let texts = scene.wire.texts();
    ensure_eq!(sent(&texts), 1, "times that an event is on the wire, over two connections,");
    let begins = texts.get(before).is_some_and(|text| text.starts_with(r#"{"type":"__ping""#));
    ensure!(begins, "a new connection begins with {:?}", texts.get(before));
    Ok(())
}

/// A topic that is denied on a new connection ends its streams with that; others go on.
pub(super) async fn connection_loss_denied(fixture: &dyn Fixture) -> Verdict {
    let mut scene = Scene::set(fixture).await?;
    let (topic, other) = (scene.topic("1"), scene.topic("2"));
    let pubsub = PubSub::new(scene.target.clone());
    let mut denied = pubsub.subscribe_envelopes(&scene.event_type, "1").await?;
    let mut goes_on = pubsub.subscribe_envelopes(&scene.event_type, "2").await?;
    scene.wire.answer(false);
    scene.interrupt(&topic, "ss").await;
    until_asked(&scene.wire, &other, "ss").await;
    scene.wire.send(control::denied(&topic, Action::Subscribe, DenyReason::NotAllowed));
    scene.wire.send(control::subscribed(&other));
    scene.event("2", 1)?;
    scene.fence().await?;
    waits_for("the end of a stream whose topic was denied on the new connection");
    let item = denied.next().await;
    ensure!(item.is_none(), "instead of the end of a stream whose topic was denied anew came {item:?}");
    ensure_eq!(denied.end(), Some(End::Denied(DenyReason::NotAllowed)), "the denied stream ended with");
    ensure_eq!(waiting(&mut goes_on), ["gap disconnected", "1"], "a stream beside the denied one gives");
    // It counts as not subscribed: the connection after this one is not asked for it.
    scene.interrupt(&other, "sss").await;
    let now = asked_by_now(&scene.wire, &*scene.target, &topic).await?;
    ensure_eq!(now, "ss", "of a denied topic it was asked, in all");
    Ok(())
}

/// A hub that drains puts a topic off to the next connection; the streams go on.
pub(super) async fn connection_loss_draining(fixture: &dyn Fixture) -> Verdict {
    let mut scene = Scene::set(fixture).await?;
    let (topic, new) = (scene.topic("1"), scene.topic("new"));
    let pubsub = PubSub::new(scene.target.clone());
    let mut stream = pubsub.subscribe_envelopes(&scene.event_type, "1").await?;
    scene.target.add_event_listener("denied", scene.log.listener(1))?;
    scene.wire.answer(false);
    scene.interrupt(&topic, "ss").await;
    scene.target.add_event_listener(&new, scene.log.listener(2))?;
    until_asked(&scene.wire, &new, "s").await;
    for topic in [&topic, &new] {
        scene.wire.send(control::denied(topic, Action::Subscribe, DenyReason::Draining));
    }
    scene.fence().await?;
    let (mut of_old, mut of_new) = (scene.target.ready(&topic), scene.target.ready(&new));
    let pending = is_pending(&mut of_old) && is_pending(&mut of_new);
    ensure!(pending, "a subscription that a draining hub put off was settled");
    ensure_eq!(stream.end(), None, "a stream whose topic a draining hub put off ended with");
    scene.interrupt(&topic, "sss").await;
    until_asked(&scene.wire, &new, "ss").await;
    for (topic, id) in [(&topic, "1"), (&new, "new")] {
        scene.wire.send(control::subscribed(topic));
        scene.event(id, FENCE)?;
    }
    waits_for("subscriptions that a draining hub put off to be confirmed by the next");
    ensure_eq!([of_old.await, of_new.await], [Readiness::Confirmed; 2], "subscriptions at the next hub are");
    scene.log.numbers_to_fence(2, 1).await;
    let items = waiting(&mut stream);
    ensure_eq!(items, ["gap disconnected", &FENCE.to_string()], "across two interruptions a stream gives");
    ensure_eq!(scene.log.notices(1).len(), 0, "denials told of what was put off");
    Ok(())
}

/// Codes that ask to stop end the target, with the code.
pub(super) async fn connection_loss_final(fixture: &dyn Fixture) -> Verdict {
    for wanted in [1000, 1002, 1007, 1008, 1009, 4008] {
        let scene = Scene::set(fixture).await?;
        scene.wire.hang_up(wanted);
        waits_for(format!("the end of a target whose hub closed with {wanted}"));
        let reason = scene.target.closed().await;
        let right = matches!(reason, CloseReason::ByPeer { code, .. } if code == wanted);
        ensure!(right, "a target whose hub closed with {wanted} ended with: {reason}");
    }
    Ok(())
}

/// Codes that ask to come back do not end it: streams go on after a gap.
pub(super) async fn connection_loss_again(fixture: &dyn Fixture) -> Verdict {
    let scene = Scene::set(fixture).await?;
    let topic = scene.topic("1");
    scene.target.add_event_listener("close", scene.log.listener(1))?;
    let pubsub = PubSub::new(scene.target.clone());
    let mut stream = pubsub.subscribe_envelopes(&scene.event_type, "1").await?;
    let mut asked = "s".to_owned();
    for code in [1001, 1011, 1012, 3000, 4001] {
        scene.wire.hang_up(code);
        asked.push('s');
        until_asked(&scene.wire, &topic, &asked).await;
        waits_for(format!("the gap after the hub closed with {code}"));
        stream.next().await;
        // The wire answers by itself; what follows the gap is the new connection's.
        scene.event("1", code.into())?;
        waits_for(format!("an event after the hub closed with {code}"));
        let item = stream.next().await.and_then(crate::Item::event);
        let number = item.and_then(|event| event.payload::<u16>().ok());
        ensure_eq!(number, Some(code), "after the hub closed with {code} and the gap a stream gives");
    }
    ensure_eq!(scene.log.notices(1).len(), 0, "close notices");
    Ok(())
}
