//! The control protocol as a spoke sees it.

use crate::support::{Hub, Recorder, denied, envelope, next, subscribe, subscribed, text};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{Action, DenyReason, EventTarget};

#[tokio::test]
async fn answers_come_in_order_and_before_the_first_event() {
    let hub = Hub::relaying().await;
    let mut publisher = hub.client().await;
    let mut client = hub.client().await;
    let topics: Vec<String> = (0..100).map(|number| format!("a:{number}")).collect();
    let mut burst = Vec::new();
    for topic in &topics {
        burst.extend(text(&subscribe(topic)));
        let (_, id) = topic.split_once(':').unwrap();
        burst.extend(text(&envelope("a", id, "1")));
    }
    client.send(burst).await;
    for topic in &topics {
        assert_eq!(client.text().await, subscribed(topic));
        let (_, id) = topic.split_once(':').unwrap();
        assert_eq!(client.text().await, envelope("a", id, "1"));
    }
    publisher.publish("a", "7", "2").await;
    assert_eq!(client.text().await, envelope("a", "7", "2"));
}

#[tokio::test]
async fn a_topic_held_twice_is_answered_twice_delivers_once_and_leaves_at_once() {
    let hub = Hub::relaying().await;
    let mut client = hub.subscriber(&["a:b", "a:b", "a:b"]).await;
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [envelope("a", "b", "1")]);
    client.send_text(&envelope("__unsubscribe", "", r#"{"topic":"a:b"}"#)).await;
    client.publish("a", "b", "2").await;
    assert_eq!(client.flush().await, [""; 0]);
    assert_eq!(hub.until("without topics", |stats| stats.topics == 0).await.links, 1);
}

#[tokio::test]
async fn a_pong_comes_after_everything_that_came_before_its_ping() {
    let hub = Hub::relaying().await;
    let mut heard = hub.hear("a:b");
    let mut client = hub.subscriber(&["a:b"]).await;
    let echo = r#"{ "b":1, "a":[9007199254740993] }"#;
    let mut burst = Vec::new();
    for _ in 0..50 {
        burst.extend(text(&envelope("a", "b", "0")));
    }
    burst.extend(text(&envelope("__ping", "", echo)));
    burst.extend(text(&envelope("a", "b", "1")));
    client.send(burst).await;
    for _ in 0..50 {
        assert_eq!(client.text().await, envelope("a", "b", "0"));
    }
    let pong = format!(r#"{{"echo":{echo},"protocol":1,"features":[]}}"#);
    assert_eq!(client.text().await, envelope("__pong", "", &pong));
    assert_eq!(client.text().await, envelope("a", "b", "1"));
    for _ in 0..51 {
        next("what came before the pong", &mut heard).await;
    }
}

#[tokio::test]
async fn each_denial_names_its_reason_and_closes_nothing() {
    let hub = Hub::relaying().await;
    let long = format!("a:{}", "x".repeat(254));
    let mut client = hub.client().await;
    for (topic, reason) in [
        ("__ping:", "reserved"),
        ("__anything", "reserved"),
        ("no colon", "bad_topic"),
        ("", "bad_topic"),
        (":no type", "bad_topic"),
        (long.as_str(), "topic_too_long"),
    ] {
        client.send_text(&subscribe(topic)).await;
        assert_eq!(client.text().await, denied(topic, "subscribe", reason));
    }
    client.publish("a", &"x".repeat(254), "1").await;
    assert_eq!(client.text().await, denied(&long, "publish", "topic_too_long"));
    let longest = &long[..255];
    client.subscribe(longest).await;
    client.publish("a", &longest[2..], "1").await;
    assert_eq!(client.flush().await, [envelope("a", &longest[2..], "1")]);
    assert_eq!(hub.until("denied", |stats| stats.denied == 7).await.bad_input, 0);
}

#[tokio::test]
async fn a_topic_of_odd_characters_is_answered_as_json_and_heard() {
    let hub = Hub::relaying().await;
    let topic = "a:\"\\\n\u{1}漢😀 *";
    let mut client = hub.subscriber(&[topic]).await;
    client.send_text(r#"{"type":"\u0061","id":"\"\\\n\u0001漢\ud83d\ude00 *","payload":1}"#).await;
    assert_eq!(client.flush().await.len(), 1);
}

#[tokio::test]
async fn the_129th_topic_is_denied_and_one_given_back_makes_room() {
    let hub = Hub::relaying().await;
    let topics: Vec<String> = (0..128).map(|number| format!("a:{number}")).collect();
    let mut client = hub.subscriber(&topics.iter().map(String::as_str).collect::<Vec<_>>()).await;
    client.send_text(&subscribe("a:128")).await;
    assert_eq!(client.text().await, denied("a:128", "subscribe", "too_many_subscriptions"));
    // One that is held is no new one.
    client.subscribe("a:127").await;
    client.send_text(&envelope("__unsubscribe", "", r#"{"topic":"a:3"}"#)).await;
    client.subscribe("a:128").await;
    // Another connection has its own count.
    hub.subscriber(&["a:128", "a:129"]).await;
}

#[tokio::test]
async fn direct_belongs_to_its_owner_where_there_are_identities() {
    let hub = Hub::start(ServerOptions::new().identities()).await;
    let (near, far) = tokio::io::duplex(4096);
    let spoke = hub.add_connection(near, Some("ann")).await.unwrap();
    assert_eq!(spoke.identity(), Some("ann"));
    let mut ann = crate::support::Raw::over(far);
    let mut nobody = hub.client().await;
    ann.subscribe("direct:ann").await;
    for topic in ["direct:bob", "direct:", "direct:ann:x"] {
        ann.send_text(&subscribe(topic)).await;
        assert_eq!(ann.text().await, denied(topic, "subscribe", "not_allowed"));
    }
    nobody.send_text(&subscribe("direct:ann")).await;
    assert_eq!(nobody.text().await, denied("direct:ann", "subscribe", "not_allowed"));
    hub.dispatch("direct", "ann", &1);
    assert_eq!(ann.text().await, envelope("direct", "ann", "1"));
    assert_eq!(nobody.flush().await, [""; 0]);
    // Also where the hub was not told that there would be any.
    let hub = Hub::start(ServerOptions::new()).await;
    let (near, _far) = tokio::io::duplex(4096);
    hub.add_connection(near, Some("ann")).await.unwrap();
    let (near, far) = tokio::io::duplex(4096);
    hub.add_connection(near, Some("bob")).await.unwrap();
    let mut bob = crate::support::Raw::over(far);
    bob.send_text(&subscribe("direct:ann")).await;
    assert_eq!(bob.text().await, denied("direct:ann", "subscribe", "not_allowed"));
    bob.subscribe("direct:bob").await;
    let mut nobody = hub.client().await;
    nobody.send_text(&subscribe("direct:ann")).await;
    assert_eq!(nobody.text().await, denied("direct:ann", "subscribe", "not_allowed"));
    // Without identities it is a type like any other.
    Hub::relaying().await.subscriber(&["direct:ann"]).await;
}

#[tokio::test]
async fn the_program_authorises_subscribe_and_publish_apart() {
    let (hooks, _record) =
        Recorder::authorising(|_, action, event_type, id| match (action, event_type, id) {
            (Action::Subscribe, "read", _) | (Action::Publish, "write", _) => Ok(()),
            (Action::Publish, "a", "b:c") => Ok(()),
            (_, _, "broker") => Err(DenyReason::Broker),
            _ => Err(DenyReason::NotAllowed),
        });
    let hub = Hub::start(ServerOptions::new().relay().hooks(hooks)).await;
    let mut written = hub.hear("write:1");
    let mut read = hub.hear("read:1");
    let mut joined = hub.hear("a:b:c");
    let mut client = hub.subscriber(&["read:1"]).await;
    client.send_text(&subscribe("write:1")).await;
    assert_eq!(client.text().await, denied("write:1", "subscribe", "not_allowed"));
    client.send_text(&subscribe("x:broker")).await;
    assert_eq!(client.text().await, denied("x:broker", "subscribe", "broker"));
    client.publish("write", "1", "1").await;
    client.publish("read", "1", "1").await;
    assert_eq!(client.text().await, denied("read:1", "publish", "not_allowed"));
    // Rights go by the topic, split at its first `:`, whatever the envelope says: no way around through the type.
    client.publish("a:b", "c", "1").await;
    client.publish("read:1", "x", "1").await;
    assert_eq!(client.text().await, denied("read:1:x", "publish", "not_allowed"));
    assert_eq!(client.flush().await, [""; 0]);
    next("what was allowed", &mut written).await;
    next("what was allowed", &mut joined).await;
    assert!(read.try_recv().is_err() && joined.try_recv().is_err());
    // What was denied takes a topic away that was held.
    assert_eq!(hub.stats().denied, 4);
}

#[tokio::test]
async fn a_denied_topic_is_no_longer_held() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    static ALLOWED: AtomicBool = AtomicBool::new(true);
    let (hooks, _record) = Recorder::authorising(|_, action, _, _| {
        let yes = action == Action::Publish || ALLOWED.load(SeqCst);
        yes.then_some(()).ok_or(DenyReason::NotAllowed)
    });
    let hub = Hub::start(ServerOptions::new().relay().hooks(hooks)).await;
    let mut client = hub.subscriber(&["a:b"]).await;
    ALLOWED.store(false, SeqCst);
    client.send_text(&subscribe("a:b")).await;
    assert_eq!(client.text().await, denied("a:b", "subscribe", "not_allowed"));
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [""; 0]);
}
