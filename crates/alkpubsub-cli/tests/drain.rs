//! What the hub program does when it is told to end.

mod program;

use program::{Peer, Program, http, in_time};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{Error, Message};

fn subscribe(topic: &str) -> String {
    format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#)
}

/// Nothing but pings comes before its Close.
async fn is_closing(peer: &mut Peer) {
    loop {
        match peer.next().await {
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Close(Some(frame)))) => return assert_eq!(u16::from(frame.code), 1001),
            other => panic!("not a Close: {other:?}"),
        }
    }
}

/// The next text; `None` where its turn to be closed has come.
async fn text_in_turn(peer: &mut Peer) -> Option<String> {
    match peer.next().await {
        Some(Ok(Message::Text(text))) => Some(text.to_string()),
        Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001 => None,
        other => panic!("neither a text nor a Close: {other:?}"),
    }
}

/// `None` where the last link's turn came before it was answered, which says nothing.
async fn drain_with(crowd: usize) -> Option<()> {
    // No ping, as the crowd answers none.
    let options = ["--drain-window", "10m", "--drain-limit", "1h", "--ping-interval", "1h"];
    let (hub, url) = Program::hub(&options).await;
    assert_eq!(http(&url, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await.1, "ok\n");
    let mut first = Peer::connect(&url, None).await.unwrap();
    // One is closed every 10 ms.
    let mut between = Vec::new();
    for _ in 0..crowd {
        between.push(Peer::connect(&url, None).await.unwrap());
    }
    let mut last = Peer::connect(&url, None).await.unwrap();
    last.send(&subscribe("a:b")).await;
    assert!(last.text().await.contains("__subscribed"));

    hub.signal("TERM").await;
    is_closing(&mut first).await;
    let event = r#"{"type":"a","id":"b","payload":1}"#;
    last.send(&subscribe("a:c")).await;
    last.send(event).await;
    let denied =
        r#"{"type":"__denied","id":"","payload":{"topic":"a:c","action":"subscribe","reason":"draining"}}"#;
    assert_eq!(text_in_turn(&mut last).await?, denied);
    assert_eq!(text_in_turn(&mut last).await?, event);
    // Nobody answers a Close, so that the hub waits.
    let (head, body) = http(&url, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "draining\n", "{head}{body}");
    match Peer::connect(&url, None).await {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 503),
        _ => panic!("it was taken"),
    }
    hub.signal("TERM").await;
    hub.ended().await.assert(143, "cut without a goodbye");
    drop(between);
    Some(())
}

#[tokio::test]
async fn while_it_drains_it_says_so_and_serves_those_whose_turn_has_not_come() {
    // On a busy machine the turn of the last may come first: then there are more before it.
    for crowd in [100, 200, 400, 800] {
        if drain_with(crowd).await.is_some() {
            return;
        }
    }
    panic!("the last link is not served while 800 others are closed before it");
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
