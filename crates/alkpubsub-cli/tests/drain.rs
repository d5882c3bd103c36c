//! What the hub program does when it is told to end.

mod program;

use program::{Peer, Program, http, in_time};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{Error, Message};

fn subscribe(topic: &str) -> String {
    format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#)
}

async fn is_closing(peer: &mut Peer) {
    match peer.next().await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("not a Close: {other:?}"),
    }
}

#[tokio::test]
async fn while_it_drains_it_says_so_and_serves_those_whose_turn_has_not_come() {
    let (hub, url) = Program::hub(&["--drain-window", "10m", "--drain-limit", "1h"]).await;
    assert_eq!(http(&url, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await.1, "ok\n");
    let mut first = Peer::connect(&url, None).await.unwrap();
    // One is closed every 10 ms: these take four seconds, and what follows a few milliseconds of them.
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(Peer::connect(&url, None).await.unwrap());
    }
    let mut last = Peer::connect(&url, None).await.unwrap();
    last.send(&subscribe("a:b")).await;
    assert!(last.text().await.contains("__subscribed"));

    hub.signal("TERM").await;
    is_closing(&mut first).await;
    last.send(&subscribe("a:c")).await;
    let denied =
        r#"{"type":"__denied","id":"","payload":{"topic":"a:c","action":"subscribe","reason":"draining"}}"#;
    assert_eq!(last.text().await, denied);
    let event = r#"{"type":"a","id":"b","payload":1}"#;
    last.send(event).await;
    assert_eq!(last.text().await, event);
    let (head, body) = http(&url, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "draining\n", "{head}{body}");
    match Peer::connect(&url, None).await {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 503),
        _ => panic!("it was taken"),
    }

    // The drain has most of its time to go.
    hub.signal("TERM").await;
    let ended = hub.ended().await;
    ended.assert(143, "cut without a goodbye");
    drop(crowd);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_whatever_the_first_waits_for() {
    for (first, second, code) in [("TERM", "TERM", 143), ("TERM", "INT", 130), ("INT", "TERM", 143)] {
        let (hub, url) = Program::hub(&[]).await;
        // It never answers the Close, and the hub would wait for it.
        let mut silent = Peer::connect(&url, None).await.unwrap();
        hub.signal(first).await;
        is_closing(&mut silent).await;
        hub.signal(second).await;
        let start = Instant::now();
        hub.ended().await.assert(code, "told twice to end: 1 connection was cut");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        drop(silent);
    }
}

#[tokio::test]
async fn the_limit_ends_a_drain_that_nobody_answers() {
    let (mut hub, url) = Program::hub(&["--drain-limit", "50ms"]).await;
    let mut silent = Peer::connect(&url, None).await.unwrap();
    hub.signal("TERM").await;
    is_closing(&mut silent).await;
    let said = hub.said().await;
    assert!(said.contains("WARN") && said.contains("the time to shut down is over links=1"), "{said}");
    let ended = hub.ended().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    drop(silent);
}

#[tokio::test]
async fn without_health_its_path_is_one_like_any_other() {
    let (_hub, url) = Program::hub_in(&[], &[("ALKPUBSUB_HUB_HEALTH", "false")]).await;
    let (head, _) = in_time(http(&url, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
}
