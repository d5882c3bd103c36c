//! `alkpubsub sub` against a hub whose every message is scripted here.

mod program;

use program::{Listener, Peer, Program, run};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

const ENVELOPE: &str = r#"{"type":"call.responded","id":"uuid-123","payload":{"output":42}}"#;
const TOPIC: &str = "call.responded:uuid-123";

/// `sub` on one topic that was granted, with these options.
async fn subscribed(options: &[&str]) -> (Program, Peer) {
    let (listener, url) = Listener::bind().await;
    let sub = Program::start(["sub", &url, "call.responded", "uuid-123"].iter().chain(options));
    let mut peer = listener.accept().await;
    if !options.contains(&"--no-reconnect") {
        peer.pong().await;
    }
    peer.grant(&[TOPIC]).await;
    (sub, peer)
}

#[tokio::test]
async fn it_prints_each_envelope_as_it_came_save_white_space_between_tokens() {
    let (mut sub, mut peer) = subscribed(&[]).await;
    for (sent, printed) in [
        (ENVELOPE, ENVELOPE),
        (
            "{ \"x y\" : [ 1.50 , -0,9007199254740993 ],\r\n\t\"payload\":\"\\u00e9 \\\" \\\\\" , \"id\" : \"uuid-123\",\"type\":\"call\\u002eresponded\" }\n",
            r#"{"x y":[1.50,-0,9007199254740993],"payload":"\u00e9 \" \\","id":"uuid-123","type":"call\u002eresponded"}"#,
        ),
        (r#"{"type":"call.responded","id":"uuid-123"}"#, r#"{"type":"call.responded","id":"uuid-123"}"#),
    ] {
        peer.send(sent).await;
        // It is there before the next one comes.
        assert_eq!(sub.line().await, printed);
    }
}

#[tokio::test]
async fn it_prints_several_topics_in_the_order_in_which_they_came() {
    let (listener, url) = Listener::bind().await;
    let pairs = ["a", "1", "b", "", "a", "1", "c", "x:y", "d", "*"];
    let mut sub = Program::start(["sub", &url].iter().chain(&pairs));
    let mut peer = listener.accept().await;
    peer.pong().await;
    peer.grant(&["a:1", "b:", "c:x:y", "d:*"]).await;
    for (event_type, id, heard) in [
        ("b", "", true),
        ("a", "1", true),
        ("a", "2", false),
        ("c:x", "y", false),
        ("d", "1", false),
        ("c", "x:y", true),
        ("d", "*", true),
        ("a", "1", true),
    ] {
        let event = format!(r#"{{"type":"{event_type}","id":"{id}"}}"#);
        peer.send(&event).await;
        if heard {
            assert_eq!(sub.line().await, event);
        }
    }
    peer.close(1000, "").await;
    assert_eq!(sub.ended().await.stdout, "");
}

#[tokio::test]
async fn it_ends_after_the_count() {
    let (sub, mut peer) = subscribed(&["--count", "2"]).await;
    for _ in 0..3 {
        peer.send(ENVELOPE).await;
    }
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    let ended = sub.ended().await;
    ended.assert(0, "");
    assert_eq!(ended.stdout, format!("{ENVELOPE}\n{ENVELOPE}\n"));
}

#[tokio::test]
async fn it_ends_with_4_when_the_time_passes_without_an_event() {
    let start = Instant::now();
    let (mut sub, mut peer) = subscribed(&["--timeout", "2s"]).await;
    // Each event is a new beginning. The pause is the thing tested; it is short beside the time-out, so that a busy
    // machine does not make it one.
    tokio::time::sleep(Duration::from_millis(700)).await;
    peer.send(ENVELOPE).await;
    assert_eq!(sub.line().await, ENVELOPE);
    let reading = tokio::spawn(async move { peer.closed().await });
    sub.ended().await.assert(4, "no event within 2s");
    assert!(start.elapsed() >= Duration::from_millis(2700));
    assert_eq!(reading.await.unwrap(), 1000);
}

#[tokio::test]
async fn a_denied_topic_ends_it_with_3() {
    let (listener, url) = Listener::bind().await;
    let sub = Program::start(["sub", &url, "a", "b", "c", "d"]);
    let mut peer = listener.accept().await;
    peer.pong().await;
    peer.grant(&["a:b"]).await;
    peer.send(r#"{"type":"__denied","id":"","payload":{"topic":"c:d","action":"subscribe","reason":"not_allowed"}}"#)
        .await;
    let reading = tokio::spawn(async move { peer.closed().await });
    sub.ended().await.assert(3, r#"subscribe "c:d" was denied: not_allowed"#);
    assert_eq!(reading.await.unwrap(), 1000);
}

#[tokio::test]
async fn a_hub_that_refuses_the_connection_ends_it_with_3_and_trouble_that_may_pass_with_1() {
    for (status, exit, words) in [
        (400, 3, "HTTP status 400"),
        (401, 3, "it wants a token"),
        (403, 3, "HTTP status 403"),
        (404, 3, "nothing is served at this path"),
        (500, 1, "HTTP status 500"),
        (502, 1, "HTTP status 502"),
        (503, 1, "try again later"),
    ] {
        let (listener, url) = Listener::bind().await;
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
        let (ended, ()) = tokio::join!(run(&["sub", &url, "a", "b"]), listener.answer(answer.as_bytes()));
        ended.assert(exit, words);
    }
}

#[tokio::test]
async fn a_hub_that_refuses_a_later_connection_ends_it_with_3() {
    for status in [400, 401, 403] {
        let (listener, url) = Listener::bind().await;
        let sub = Program::start(["sub", &url, "call.responded", "uuid-123"]);
        let mut peer = listener.accept().await;
        peer.pong().await;
        peer.grant(&[TOPIC]).await;
        drop(peer);
        // It may pass, so that it is tried once more.
        listener.answer(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
        listener.answer(answer.as_bytes()).await;
        let ended = sub.ended().await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap();
        assert!(
            last.starts_with("alkpubsub: connecting was given up: ")
                && last.contains(&format!("HTTP status {status}")),
            "{last}"
        );
    }
}

#[tokio::test]
async fn what_is_no_hub_ends_it_with_1() {
    for answer in [&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], b"220 mail.example ESMTP\r\n"] {
        let (listener, url) = Listener::bind().await;
        let (ended, ()) = tokio::join!(run(&["sub", &url, "a", "b"]), listener.answer(answer));
        ended.assert(1, "");
    }
    let (listener, url) = Listener::bind().await;
    drop(listener);
    run(&["sub", &url, "a", "b"]).await.assert(1, "is a hub running there?");
}

#[tokio::test]
async fn the_hubs_close_code_tells_how_it_ends() {
    let once = &["--no-reconnect"][..];
    for (code, exit, options) in [
        (1000, 1, &[][..]),
        (1002, 3, &[]),
        (1007, 3, &[]),
        (1008, 3, &[]),
        (1009, 3, &[]),
        (1000, 1, once),
        (1001, 1, once),
        (1009, 3, once),
        (1011, 1, once),
        (1013, 1, once),
        // These mean what those 3000 below do.
        (4002, 3, &[]),
        (4007, 3, &[]),
        (4008, 3, &[]),
        (4009, 3, &[]),
        (4000, 1, once),
        (4001, 1, once),
        (4013, 1, once),
        (4108, 1, once),
    ] {
        let (sub, mut peer) = subscribed(options).await;
        peer.send(ENVELOPE).await;
        peer.close(code, "two\nlines").await;
        let ended = sub.ended().await;
        ended.assert(exit, &format!("closed by the far side ({code}): two lines"));
        assert_eq!(ended.stdout, format!("{ENVELOPE}\n"), "what came before the end is printed");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_ends_it_with_1_where_that_was_asked_for() {
    let (sub, peer) = subscribed(&["--no-reconnect"]).await;
    drop(peer);
    sub.ended().await.assert(1, "the connection was lost");
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_and_what_may_be_missing_is_told() {
    let (listener, url) = Listener::bind().await;
    let mut sub = Program::start(["sub", &url, "call.responded", "uuid-123"]);
    // What was told of the connection before, and how this one ends.
    for (told, ends) in [("", Some(1001)), ("closed by the far side (1001)", None), ("was lost", None)] {
        let mut peer = listener.accept().await;
        peer.pong().await;
        peer.grant(&[TOPIC]).await;
        if !told.is_empty() {
            for words in [told, "connected again", "events may be missing of \"call.responded:uuid-123\""] {
                let said = sub.said().await;
                assert!(said.contains("WARN") && said.contains(words), "{words:?} is not in {said:?}");
            }
        }
        peer.send(ENVELOPE).await;
        assert_eq!(sub.line().await, ENVELOPE);
        if let Some(code) = ends {
            peer.close(code, "").await;
        }
    }
    let mut peer = listener.accept().await;
    peer.pong().await;
    sub.signal("TERM").await;
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    assert_eq!(sub.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_hub_that_is_not_there_at_first_ends_it_with_1() {
    let (listener, url) = Listener::bind().await;
    drop(listener);
    run(&["sub", &url, "a", "b"]).await.assert(1, "is a hub running there?");
}

#[tokio::test]
async fn a_hub_that_says_no_to_the_next_connection_ends_it() {
    let (listener, url) = Listener::bind().await;
    let sub = Program::start(["sub", &url, "call.responded", "uuid-123"]);
    let mut peer = listener.accept().await;
    peer.pong().await;
    peer.grant(&[TOPIC]).await;
    drop(peer);
    let mut peer = listener.accept().await;
    peer.pong().await;
    peer.text().await;
    peer.send(
        r#"{"type":"__denied","id":"","payload":{"topic":"call.responded:uuid-123","action":"subscribe","reason":"not_allowed"}}"#,
    )
    .await;
    let ended = sub.ended().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.ends_with("was denied: not_allowed\n"), "{ended:?}");
}

#[tokio::test]
async fn signals_end_it_with_0() {
    for signal in ["INT", "TERM"] {
        let (mut sub, mut peer) = subscribed(&[]).await;
        peer.send(ENVELOPE).await;
        assert_eq!(sub.line().await, ENVELOPE);
        sub.signal(signal).await;
        assert_eq!(peer.closed().await, 1000);
        drop(peer);
        sub.ended().await.assert(0, "");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let (mut sub, mut peer) = subscribed(&[]).await;
    peer.send(ENVELOPE).await;
    assert_eq!(sub.line().await, ENVELOPE);
    drop(sub.stdout.take());
    // Elsewhere the next event shows it.
    if !cfg!(target_os = "linux") {
        peer.send(ENVELOPE).await;
    }
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    sub.ended().await.assert(0, "");
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_the_hub_back_and_loses_nothing() {
    let (mut sub, mut peer) = subscribed(&["--count", "500"]).await;
    let long = |n: usize| ENVELOPE.replace("42", &format!("{n},\"x\":\"{}\"", "x".repeat(10_000)));
    let sending = tokio::spawn(async move {
        for n in 0..500 {
            peer.send(&long(n)).await;
        }
        peer.closed().await
    });
    // Nobody reads, until the hub stands still: what the pipe and the sockets hold is much less than it sends.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sending.is_finished());
    for n in 0..500 {
        assert_eq!(sub.line().await, long(n));
    }
    sub.ended().await.assert(0, "");
    assert_eq!(sending.await.unwrap(), 1000);
}

#[tokio::test]
async fn ctrl_c_ends_it_even_while_nobody_reads() {
    let (sub, mut peer) = subscribed(&[]).await;
    let long = ENVELOPE.replace("42", &format!("\"{}\"", "x".repeat(60_000)));
    let sending = tokio::spawn(async move {
        loop {
            let sent = tokio::time::timeout(Duration::from_secs(20), peer.send(&long)).await;
            if sent.is_err() {
                return;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    sub.signal("INT").await;
    let mut sub = sub;
    let start = Instant::now();
    while sub.is_running() {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sending.abort();
    assert_eq!(sub.ended().await.code, Some(0));
}

#[tokio::test]
async fn events_that_are_missing_are_told_beside_the_output() {
    let (mut sub, mut peer) = subscribed(&[]).await;
    peer.send(r#"{"type":"__gap","id":"","payload":{"missed":3,"reason":"slow"}}"#).await;
    let said = sub.said().await;
    assert!(said.contains("WARN") && said.contains("3 events are missing: slow"), "{said}");
    peer.send("no envelope").await;
    let said = sub.said().await;
    assert!(said.contains("the far side sent what is no envelope: not JSON at byte 0"), "{said}");
    peer.send(ENVELOPE).await;
    assert_eq!(sub.line().await, ENVELOPE);
}

#[tokio::test]
async fn log_says_more() {
    let (mut sub, peer) = subscribed(&["--log", "alkpubsub=info"]).await;
    let said = sub.said().await;
    assert!(said.contains("subscribed") && said.contains(TOPIC) && said.contains("Confirmed"), "{said}");
    drop(peer);
}

#[tokio::test]
async fn a_hub_that_never_answers_subscriptions_is_heard_too() {
    let (listener, url) = Listener::bind().await;
    let mut sub = Program::start(["sub", &url, "call.responded", "uuid-123", "--count", "2"]);
    let mut peer = listener.accept().await;
    assert!(peer.text().await.contains("__ping"));
    assert!(peer.text().await.contains("__subscribe"));
    peer.send(ENVELOPE).await;
    assert_eq!(sub.line().await, ENVELOPE, "at once, and not when the answer is given up");
    peer.send(ENVELOPE).await;
    assert!(matches!(peer.next().await, Some(Ok(Message::Close(_)))));
    assert!(peer.next().await.is_none_or(|end| end.is_err()));
    sub.ended().await.assert(0, "");
}
