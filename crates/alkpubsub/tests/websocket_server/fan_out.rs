//! Who hears what, and in which bytes.

use crate::support::{BINARY, Hub, Raw, envelope, frame, hear, limits, next, recorded, text, within};
use alkpubsub::websocket_server::{FanOut, ServerOptions};
use alkpubsub::{EventEnvelope, EventTarget, PubSub};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_dispatched_event_reaches_the_subscribed_and_nobody_else() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut first = hub.subscriber(&["tick:1", "tick:2"]).await;
    let mut second = hub.subscriber(&["tick:1"]).await;
    let mut other = hub.subscriber(&["tick:", "tick:10", "tic:k:1"]).await;
    hub.dispatch("tick", "1", &1);
    hub.dispatch("tick", "2", &2);
    hub.dispatch("tick", "3", &3);
    // What is dispatched is waited for: a ping sent before the round might be answered before it.
    assert_eq!(first.text().await, envelope("tick", "1", "1"));
    assert_eq!(first.text().await, envelope("tick", "2", "2"));
    assert_eq!(second.text().await, envelope("tick", "1", "1"));
    for client in [&mut first, &mut second, &mut other] {
        assert_eq!(client.flush().await, [""; 0]);
    }
    let stats = hub.stats();
    assert_eq!((stats.dispatched, stats.sent, stats.rejected), (3, 3, 0));
}

#[tokio::test]
async fn what_spokes_send_reaches_the_hubs_listeners_with_its_source() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut heard = hub.hear("note:1");
    let mut first = hub.client().await;
    let first_link = record.connected().await.id();
    let mut second = hub.client().await;
    let second_link = record.connected().await.id();
    assert_ne!(first_link, second_link);
    for (is_first, payload) in [(true, r#""a""#), (false, r#""b""#), (true, r#""c""#)] {
        let client = if is_first { &mut first } else { &mut second };
        client.publish("note", "1", payload).await;
        client.publish("note", "2", payload).await;
        client.flush().await;
    }
    let mut heard = async || {
        let event = next("an event", &mut heard).await;
        (event.payload::<String>().unwrap(), event.source().unwrap())
    };
    assert_eq!(heard().await, ("a".into(), first_link));
    assert_eq!(heard().await, ("b".into(), second_link));
    assert_eq!(heard().await, ("c".into(), first_link));
    assert_eq!(hub.stats().received, 6);
}

#[tokio::test]
async fn a_library_hub_relays_nothing_behind_the_programs_back() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut heard = hub.hear("a:b");
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    let mut publisher = hub.client().await;
    publisher.publish("a", "b", "1").await;
    publisher.flush().await;
    next("the event", &mut heard).await;
    assert_eq!(subscriber.flush().await, [""; 0]);
    // Nor does the hub hear itself.
    hub.dispatch("a", "b", &2);
    assert_eq!(subscriber.text().await, envelope("a", "b", "2"));
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_relaying_hub_gives_a_subscribed_sender_its_own_event_once() {
    let hub = Hub::relaying().await;
    let mut sender = hub.subscriber(&["a:b"]).await;
    let mut other = hub.subscriber(&["a:b"]).await;
    let mut stranger = hub.subscriber(&["a:c"]).await;
    sender.publish("a", "b", "1").await;
    assert_eq!(sender.flush().await, [envelope("a", "b", "1")]);
    assert_eq!(other.flush().await, [envelope("a", "b", "1")]);
    assert_eq!(stranger.flush().await, [""; 0]);
    sender.send_text(&envelope("__unsubscribe", "", r#"{"topic":"a:b"}"#)).await;
    sender.publish("a", "b", "2").await;
    assert_eq!(sender.flush().await, [""; 0]);
    assert_eq!(other.flush().await, [envelope("a", "b", "2")]);
}

/// Key order, numbers beyond 2^53, escapes, unknown members, white space, repeated keys inside the payload.
const ODD: [&str; 7] = [
    r#"{"type":"a","id":"b","payload":{"z":1,"a":9007199254740993,"z":1e400,"m":-0.0}}"#,
    r#"{"payload":"\u0041\ud83d\ude00\ud800\/","id":"b","type":"a"}"#,
    " {\t\"type\" : \"\\u0061\" ,\r\n \"id\":\"b\", \"payload\" : [ 1 , 2 ] } \n",
    r#"{"type":"a","x":{"type":"b"},"id":"b","trace":"00-1","payload":null}"#,
    r#"{"type":"a","id":"b"}"#,
    r#"{"type":"a","id":"b","payload":"漢字 é 😀"}"#,
    r#"{"type":"a","id":"b","payload":1.10}"#,
];

#[tokio::test]
async fn relayed_bytes_are_those_that_came() {
    let hub = Hub::relaying().await;
    let mut heard = hub.hear("a:b");
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    let mut publisher = hub.client().await;
    for text in ODD {
        publisher.send_text(text).await;
        publisher.flush().await;
        assert_eq!(subscriber.text().await, text);
        assert_eq!(next("the event", &mut heard).await.to_json().unwrap(), text);
    }
}

#[tokio::test]
async fn dispatched_bytes_are_those_of_the_envelope() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    for text in ODD {
        hub.dispatch_event(EventEnvelope::parse(text).unwrap()).unwrap();
        assert_eq!(subscriber.text().await, text);
    }
}

#[tokio::test]
async fn a_binary_message_goes_out_as_text() {
    let hub = Hub::relaying().await;
    let mut client = hub.subscriber(&["a:b"]).await;
    client.send(frame(BINARY, ODD[0].as_bytes())).await;
    assert_eq!(client.text().await, ODD[0]);
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_is_one() {
    let hub = Hub::relaying().await;
    let mut client = hub.subscriber(&["a:b"]).await;
    let text = envelope("a", "b", r#""漢字""#);
    for (at, byte) in text.bytes().enumerate() {
        let first = if at == 0 { 0x01 } else { 0x00 };
        client.send(frame(first, &[byte])).await;
    }
    client.send(frame(0x89, b"between")).await;
    assert_eq!(client.next().await, crate::support::Heard::Pong(b"between".to_vec()));
    client.send(frame(0x80, b"")).await;
    assert_eq!(client.text().await, text);
}

#[tokio::test]
async fn fan_out_to_all_needs_no_subscription_and_includes_the_sender() {
    let hub = Hub::start(ServerOptions::new().relay().fan_out(FanOut::All)).await;
    let mut sender = hub.client().await;
    let mut silent = hub.client().await;
    let mut subscribed = hub.subscriber(&["a:b"]).await;
    sender.flush().await;
    silent.flush().await;
    sender.publish("a", "b", "1").await;
    for client in [&mut sender, &mut silent, &mut subscribed] {
        assert_eq!(client.text().await, envelope("a", "b", "1"));
        assert_eq!(client.flush().await, [""; 0]);
    }
    hub.dispatch("c", "d", &2);
    for client in [&mut sender, &mut silent, &mut subscribed] {
        assert_eq!(client.text().await, envelope("c", "d", "2"));
    }
}

#[tokio::test]
async fn what_a_listener_dispatches_comes_behind_the_event_that_it_heard() {
    let hub = Hub::relaying().await;
    let target = Arc::downgrade(&hub.target);
    let answer = move |event: &EventEnvelope| {
        let answer = EventEnvelope::new("answer", "1", &event.payload::<u32>().unwrap()).unwrap();
        target.upgrade().unwrap().dispatch_event(answer).unwrap();
    };
    hub.add_event_listener("question:1", Arc::new(answer)).unwrap();
    let mut client = hub.subscriber(&["question:1", "answer:1"]).await;
    let mut heard = Vec::new();
    for number in 0..100 {
        client.publish("question", "1", &number.to_string()).await;
    }
    while heard.len() < 200 {
        heard.push(client.text().await);
    }
    for number in 0..100 {
        let place =
            |kind| heard.iter().position(|text| *text == envelope(kind, "1", &number.to_string())).unwrap();
        assert!(place("question") < place("answer"), "{number}");
    }
    for kind in ["question", "answer"] {
        let numbers: Vec<_> = (0..100).map(|number: u32| envelope(kind, "1", &number.to_string())).collect();
        let came: Vec<_> = heard.iter().filter(|text| text.contains(kind)).cloned().collect();
        assert_eq!(came, numbers, "each kind in its order");
    }
}

#[tokio::test]
async fn one_publishers_events_keep_their_order_across_topics() {
    let hub = Hub::relaying().await;
    let mut subscriber = hub.subscriber(&["a:0", "a:1", "a:2"]).await;
    let mut publisher = hub.client().await;
    let mut burst = Vec::new();
    for number in 0..1000 {
        burst.extend(crate::support::text(&envelope("a", &(number % 3).to_string(), &number.to_string())));
    }
    publisher.send(burst).await;
    for number in 0..1000 {
        assert_eq!(subscriber.text().await, envelope("a", &(number % 3).to_string(), &number.to_string()));
    }
    for number in 0..1000 {
        hub.dispatch("a", &(number % 3).to_string(), &number);
    }
    for number in 0..1000 {
        assert_eq!(subscriber.text().await, envelope("a", &(number % 3).to_string(), &number.to_string()));
    }
}

#[tokio::test]
async fn a_typed_pubsub_and_a_client_library_understand_each_other() {
    let hub = Hub::start(ServerOptions::new()).await;
    let pubsub = PubSub::new(hub.target.clone());
    let mut heard = hear(&*hub.target, "note:1");
    let (mut socket, answer) =
        within("the handshake", tokio_tungstenite::connect_async(format!("ws://{}/", hub.address)))
            .await
            .unwrap();
    assert_eq!(answer.status(), 101);
    socket.send(Message::text(crate::support::subscribe("tick:1"))).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap().into_text().unwrap(),
        crate::support::subscribed("tick:1")
    );
    pubsub.publish_json("tick", "1", &7).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), envelope("tick", "1", "7"));
    socket.send(Message::text(envelope("note", "1", "8"))).await.unwrap();
    assert_eq!(next("the note", &mut heard).await.payload::<u8>().unwrap(), 8);
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = within("the end", socket.next()).await {}
    hub.until_empty().await;
}

#[tokio::test]
async fn an_event_that_the_hub_may_not_send_is_refused_by_name() {
    use alkpubsub::DispatchError::{Reserved, TooDeep, TooLarge};
    let hub = Hub::start(ServerOptions::new().limits(limits(|limits| {
        limits.message.max_message = 100;
        limits.message.max_depth = 3;
    })))
    .await;
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    let event = |payload: serde_json::Value| EventEnvelope::new("a", "b", &payload).unwrap();
    let long = hub.dispatch_event(event("x".repeat(100).into()));
    assert!(matches!(long, Err(TooLarge { limit: 100, .. })), "{long:?}");
    let deep = hub.dispatch_event(event(serde_json::json!([[[]]])));
    assert!(matches!(deep, Err(TooDeep { limit: 3 })), "{deep:?}");
    let control = hub.dispatch_event(EventEnvelope::parse(r#"{"type":"__gap","id":""}"#).unwrap());
    assert!(matches!(control, Err(Reserved)), "{control:?}");
    hub.dispatch_event(event(serde_json::json!([[]]))).unwrap();
    assert_eq!(subscriber.text().await, envelope("a", "b", "[[]]"));
    assert_eq!((hub.stats().rejected, hub.stats().dispatched), (3, 1));
}

#[tokio::test]
async fn two_hubs_know_nothing_of_each_other() {
    let (one, two) = (Hub::relaying().await, Hub::relaying().await);
    let mut at_one = Raw::connect(one.address).await;
    at_one.subscribe("a:b").await;
    let mut at_two = two.subscriber(&["a:b"]).await;
    at_two.publish("a", "b", "1").await;
    assert_eq!(at_two.flush().await, [envelope("a", "b", "1")]);
    assert_eq!(at_one.flush().await, [""; 0]);
}

/// A gateway: its listener cannot wait for room, and needs not.
#[tokio::test]
async fn a_listener_may_pass_on_whatever_a_burst_brings() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    let gateway = Arc::downgrade(&hub.target);
    let passes_on =
        move |event: &EventEnvelope| gateway.upgrade().unwrap().dispatch_event(event.clone()).unwrap();
    hub.add_event_listener("a:b", Arc::new(passes_on)).unwrap();
    let mut client = hub.client().await;
    let message = r#"{"type":"a","id":"b"}"#;
    client.send(text(message).repeat(20_000)).await;
    for _ in 0..20_000 {
        assert_eq!(subscriber.text().await, message);
    }
    let stats = hub.stats();
    assert_eq!((stats.panicked, stats.rejected), (0, 0));
}
