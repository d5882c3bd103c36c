//! What crosses: round_trip, reserved, bad_input.

use crate::conformance::log::{
    FENCE, Log, Verdict, What, comes_true, ensure, ensure_eq, listen, numbered, peers, publish,
    publish_numbers, unique,
};
use crate::conformance::{FarSide, Fixture, Peers};
use crate::event_target::{DispatchError, EventTarget, ListenError, Notice, TargetError};
use crate::{BadTopic, Event, EventEnvelope, Item, PubSub, SubscribeError};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Envelopes whose text a re-encoder would change. `TYPE` stands for the type.
const TEXTS: [&str; 9] = [
    r#"{"type":"TYPE","id":"1","payload":{"b":1,"a":2,"b":3}}"#,
    r#"{"type":"TYPE","id":"1","payload":[9007199254740993,18446744073709551616,1e400,1.10,-0,1E2]}"#,
    r#"{"type":"TYPE","id":"1","payload":"\u00e9\/\ud83d\ude00é\ud800"}"#,
    r#"{"type":"TYPE","id":"1"}"#,
    r#"{"type":"TYPE","id":"1","payload":null}"#,
    r#"{"payload":{ },"id":"1","type":"TYPE"}"#,
    r#"{"type":"TYPE","id":"\u0031","payload":"","trace":{"of":["us"]},"":0}"#,
    " {\t\"type\" : \"TYPE\" ,\r\n \"id\":\"1\",\"payload\" : [ 1 , 2 ] } ",
    r#"{"type":"TYPE","id":"1","payload":{"type":"other","id":"2","__x":1}}"#,
];

fn texts(event_type: &str) -> Vec<String> {
    TEXTS.iter().map(|text| text.replace("TYPE", event_type)).collect()
}

/// The very text of an envelope crosses, payload and unknown members as they lie; a missing payload stays
/// missing.
pub(super) async fn round_trip(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (event_type, log) = (unique("call"), Log::new());
    listen(&*peers.subscribers[0], &format!("{event_type}:1"), log.listener(0)).await?;
    for text in texts(&event_type) {
        publish(&*peers.publisher, EventEnvelope::parse(text)?).await?;
    }
    heard_texts(&log, &event_type).await
}

async fn heard_texts(log: &Log, event_type: &str) -> Verdict {
    let sent = texts(event_type);
    let heard = log.until("all envelopes", |heard| (heard.len() >= sent.len()).then(|| heard.to_vec())).await;
    for (call, sent) in heard.iter().zip(&sent) {
        let What::Event(event) = &call.what else { continue };
        let sent = EventEnvelope::parse(sent.as_str())?;
        ensure_eq!(event.payload_json()?, sent.payload_json()?, "a payload came");
        ensure_eq!(event.to_json()?, sent.to_json()?, "an envelope came");
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Shared {
    number: u64,
}

impl Event for Shared {
    const TYPE: &'static str = "conformance.shared";
}

/// A typed value that is published reaches a subscriber of its type as the very same value.
pub(super) async fn round_trip_reference(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let id = unique("id");
    let mut events = PubSub::new(peers.subscribers[0].clone()).subscribe::<Shared>(&id).await?;
    let value = Arc::new(Shared { number: 7 });
    PubSub::new(peers.publisher.clone()).publish(&id, value.clone()).await?;
    let item = events.next().await;
    let Some(Item::Event(event)) = item else {
        ensure!(false, "instead of the event came {item:?}");
        return Ok(());
    };
    ensure!(Arc::ptr_eq(event.payload(), &value), "the event holds another value than the published one");
    ensure_eq!(event.envelope().payload_json()?, Some(r#"{"number":7}"#), "to others its JSON is");
    Ok(())
}

/// Counts how often it was written.
#[derive(Deserialize)]
struct Counted {
    #[serde(skip)]
    written: Arc<AtomicU64>,
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.fetch_add(1, SeqCst);
        serializer.serialize_u64(7)
    }
}

impl Event for Counted {
    const TYPE: &'static str = "conformance.counted";
}

/// The JSON of a typed value is made on first need, and once for all who want it.
pub(super) async fn round_trip_json_once(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (id, log) = (unique("id"), Log::new());
    let subscriber = PubSub::new(peers.subscribers[0].clone());
    let mut typed = subscriber.subscribe::<Counted>(&id).await?;
    listen(&*peers.subscribers[0], &format!("{}:{id}", Counted::TYPE), log.listener(0)).await?;
    let value = Arc::new(Counted { written: Arc::default() });
    PubSub::new(peers.publisher.clone()).publish(&id, value.clone()).await?;
    let mut untyped = Vec::new();
    let written = || value.written.load(SeqCst);
    log.until("an untyped listener to hear", |calls| (!calls.is_empty()).then_some(())).await;
    if let Some(Item::Event(event)) = typed.next().await {
        ensure!(Arc::ptr_eq(event.payload(), &value), "the event holds another value than the published one");
        ensure_eq!(written(), 0, "times that the JSON was written before anybody asked for it");
        untyped.push(event.envelope().clone());
    }
    untyped.extend(log.all().into_iter().filter_map(|call| match call.what {
        What::Event(event) => Some(event),
        What::Notice(_) => None,
    }));
    ensure_eq!(untyped.len(), 2, "a typed and an untyped listener heard");
    for event in untyped.iter().chain(&untyped) {
        ensure_eq!(event.payload_json()?, Some("7"), "to an untyped listener the payload is");
    }
    ensure_eq!(written(), 1, "times that the JSON was written for two listeners who asked twice");
    Ok(())
}

#[derive(Deserialize)]
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

impl Event for Unencodable {
    const TYPE: &'static str = "conformance.unencodable";
}

/// What JSON cannot hold is an error at `publish`, and nothing is sent.
pub(super) async fn round_trip_encode(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (id, log) = (unique("id"), Log::new());
    listen(&*peers.subscribers[0], &format!("{}:{id}", Unencodable::TYPE), log.listener(0)).await?;
    let refused = PubSub::new(peers.publisher.clone()).publish(&id, Unencodable).await;
    ensure!(matches!(refused, Err(DispatchError::Encode(_))), "a payload that is no JSON gave {refused:?}");
    publish_numbers(&*peers.publisher, Unencodable::TYPE, &id, [FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    ensure_eq!(log.all().len(), 1, "events heard, the fence among them");
    Ok(())
}

/// The target at the other end of the wire, or the one that hears what the wire sends.
fn near(peers: &Peers) -> &dyn EventTarget {
    &**peers.near.as_ref().unwrap_or(&peers.subscribers[0])
}

/// On the wire the same text goes out that came in, and comes in as it was sent.
pub(super) async fn round_trip_wire(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let (outward, inward, log) = (unique("outward"), unique("inward"), Log::new());
    wire.subscribe(&format!("{outward}:1")).await;
    listen(near(&peers), &format!("{inward}:1"), log.listener(0)).await?;

    let mut sent = texts(&outward);
    for text in &sent {
        publish(near(&peers), EventEnvelope::parse(text.as_str())?).await?;
    }
    publish(near(&peers), EventEnvelope::new(&outward, "1", &[1.5])?).await?;
    publish(near(&peers), EventEnvelope::without_payload(&outward, "1")?).await?;
    sent.push(format!(r#"{{"type":"{outward}","id":"1","payload":[1.5]}}"#));
    sent.push(format!(r#"{{"type":"{outward}","id":"1"}}"#));
    let of_type = |texts: &[String]| -> Vec<String> {
        texts
            .iter()
            .filter(|text| text.contains(&*outward) && !text.contains(r#""type":"__"#))
            .cloned()
            .collect()
    };
    let went = wire
        .until("all envelopes on the wire", |texts| {
            Some(of_type(texts)).filter(|went| went.len() >= sent.len())
        })
        .await;
    for (went, sent) in went.iter().zip(&sent) {
        ensure_eq!(went, sent, "on the wire went");
    }

    for text in texts(&inward) {
        wire.send(text);
    }
    heard_texts(&log, &inward).await
}

/// Publishing a reserved type or a name that is no topic is a named error, and nothing is sent.
///
/// In Rust the other half of the law, an event under a name that is not its envelope's, cannot be written: an
/// envelope is dispatched under its own topic.
pub(super) async fn reserved(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let (publisher, subscriber) = (&peers.publisher, &peers.subscribers[0]);
    let (event_type, log) = (unique("call"), Log::new());
    listen(&**subscriber, &format!("{event_type}:1"), log.listener(0)).await?;
    for text in reserved_texts(&event_type) {
        let refused = publisher.dispatch_event(EventEnvelope::parse(text.as_str())?);
        ensure!(matches!(refused, Err(DispatchError::Reserved)), "dispatching {text} gave {refused:?}");
    }
    let pubsub = PubSub::new(publisher.clone());
    let refused = pubsub.publish_json("__mine", "", &1).await;
    ensure!(matches!(refused, Err(DispatchError::Reserved)), "publishing a reserved type gave {refused:?}");
    let refused = pubsub.publish_json("", "1", &1).await;
    ensure!(
        matches!(refused, Err(DispatchError::BadTopic(BadTopic::EmptyType))),
        "publishing an empty type gave {refused:?}"
    );
    for (name, error) in [
        ("__gap:", BadTopic::Reserved),
        (":1", BadTopic::EmptyType),
        ("closed", BadTopic::NoColon),
        ("", BadTopic::NoColon),
    ] {
        let refused = subscriber.add_event_listener(name, log.listener(1));
        ensure_eq!(refused, Err(ListenError::BadTopic(error)), "adding a listener to {name:?} gave");
    }
    let refused = PubSub::new(subscriber.clone()).subscribe_envelopes("__gap", "").await.map(drop);
    ensure_eq!(
        refused,
        Err(SubscribeError::BadTopic(BadTopic::Reserved)),
        "subscribing to a reserved type gave"
    );
    publish_numbers(&**publisher, &event_type, "1", [FENCE]).await?;
    log.numbers_to_fence(0, 1).await;
    ensure_eq!(log.all().len(), 1, "calls of listeners, with the fence's");
    Ok(())
}

fn reserved_texts(event_type: &str) -> [String; 3] {
    [
        format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{event_type}:1"}}}}"#),
        r#"{"type":"__","id":"1","payload":1}"#.into(),
        r#"{"type":"\u005f_mine","id":"1"}"#.into(),
    ]
}

/// No reserved type leaves by `dispatch_event`; control events that come in reach no listener, and one of an
/// unknown type is ignored, not bad.
pub(super) async fn reserved_wire(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    let topic = format!("{event_type}:1");
    for (by, name) in (0..).zip([&*topic, "error", "denied", "gap", "close"]) {
        near(&peers).add_event_listener(name, log.listener(by))?;
    }
    listen(near(&peers), &topic, log.listener(9)).await?;
    wire.subscribe(&topic).await;
    for text in [
        r#"{"type":"__mine","id":"","payload":1}"#.to_owned(),
        format!(r#"{{"type":"__mine","id":"1","payload":{{"topic":"{topic}"}}}}"#),
    ] {
        let refused = near(&peers).dispatch_event(EventEnvelope::parse(text.as_str())?);
        ensure!(matches!(refused, Err(DispatchError::Reserved)), "dispatching {text} gave {refused:?}");
        wire.send(text);
    }
    wire.send(r#"{"type":"__pong","id":"","payload":{"echo":{},"protocol":1,"features":[]}}"#);
    wire.send(r#"{"type":"__subscribed","id":"","payload":{"topic":"never.asked:1"}}"#);
    let fence = numbered(&event_type, "1", FENCE)?;
    wire.send(fence.to_json()?);
    log.numbers_to_fence(9, 1).await;
    let others: Vec<_> = log.all().into_iter().filter(|call| call.number() != Some(FENCE)).collect();
    ensure!(others.is_empty(), "control events reached listeners: {others:?}");
    if let Some(near) = &peers.near {
        ensure_eq!(near.stats().bad_input, 0, "control events counted as bad input");
    }
    publish(near(&peers), fence).await?;
    wire.until("an event on the wire", |texts| {
        texts.iter().any(|text| text.contains(&FENCE.to_string())).then_some(())
    })
    .await;
    let mine = wire.texts().iter().any(|text| text.contains("__mine"));
    ensure!(!mine, "a reserved type went out");
    Ok(())
}

/// Messages that are no envelope. `TOPIC` stands for the type and the id of a topic that is listened to.
const BAD: [&str; 17] = [
    "",
    "secret",
    "{TOPIC",
    "{TOPIC,}",
    r#"{TOPIC}{TOPIC}"#,
    r#"{TOPIC} secret"#,
    r#"[{TOPIC}]"#,
    r#"{"type":"call.responded","payload":"secret"}"#,
    r#"{"id":"1","payload":"secret"}"#,
    r#"{"type":7,"id":"1"}"#,
    r#"{TOPIC,"id":"1"}"#,
    r#"{TOPIC,"payload":1,"p\u0061yload":"secret"}"#,
    r#"{"type":"","id":"1"}"#,
    r#"{"type":"\ud800","id":"1"}"#,
    r#"{TOPIC,"__hop":1}"#,
    "\u{feff}{TOPIC}",
    r#"{TOPIC,"payload":{'secret':1}}"#,
];

/// Of what is no envelope nothing is delivered, nothing crashes, it is counted, and no report holds any of it.
pub(super) async fn bad_input(fixture: &dyn Fixture) -> Verdict {
    let peers = peers(fixture).await?;
    let Some(wire) = &peers.wire else { return Ok(()) };
    let (event_type, log) = (unique("call"), Log::new());
    near(&peers).add_event_listener("error", log.listener(1))?;
    listen(near(&peers), &format!("{event_type}:1"), log.listener(0)).await?;
    let topic = format!(r#""type":"{event_type}","id":"1""#);
    for text in BAD {
        wire.send(text.replace("TOPIC", &topic));
    }
    let deep = format!("{{{topic},\"payload\":{}{}}}", "[".repeat(64), "]".repeat(64));
    wire.send(deep);
    wire.send(match wire.far() {
        FarSide::Hub => r#"{"type":"__subscribed","id":"","payload":{"topic":7}}"#,
        FarSide::Spoke | FarSide::Peer => r#"{"type":"__subscribe","id":"","payload":{"topic":7}}"#,
    });
    wire.send_bytes(b"{\"type\":\"call.responded\",\"id\":\"\xff\"}");
    let fence = numbered(&event_type, "1", FENCE)?;
    wire.send(fence.to_json()?);
    // A binary message is a message like any other.
    wire.send_bytes(fence.to_json()?.as_bytes());
    ensure_eq!(log.numbers_to_fence(0, 2).await, [FENCE, FENCE], "between bad input were heard");
    let events = log.all().iter().filter(|call| call.by == 0).count();
    ensure_eq!(events, 2, "events heard, the two fences among them");
    for notice in log.notices(1) {
        let bad_input = matches!(notice, Notice::Error(TargetError::BadInput(_)));
        let told = format!("{notice} {notice:?}");
        ensure!(
            bad_input && !told.contains("secret") && !told.contains(&event_type),
            "bad input was reported as {told}"
        );
    }
    if let Some(near) = &peers.near {
        let wanted = BAD.len() as u64 + 3;
        let counted = || near.stats().bad_input == wanted;
        comes_true(fixture, format!("{wanted} messages to be counted as bad input"), counted).await;
    }
    Ok(())
}
