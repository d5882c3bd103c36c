//! `alkpubsub pub` against a hub whose every message is scripted here.

mod program;

use program::{Ended, Listener, Peer, Program, run};
use tokio_tungstenite::tungstenite::Message;

/// `pub URL -`, connected.
async fn lines(options: &[&str]) -> (Program, Peer) {
    let (listener, url) = Listener::bind().await;
    let publish = Program::start(["pub", &url, "-"].iter().chain(options));
    let peer = listener.accept().await;
    (publish, peer)
}

/// What `pub URL -` sends of this input, and how it ends.
async fn publish(input: impl AsRef<[u8]>, options: &[&str]) -> (Vec<String>, Ended) {
    let (mut publish, mut peer) = lines(options).await;
    publish.input(input).await;
    drop(publish.stdin.take());
    let hub = async move {
        let mut sent = Vec::new();
        loop {
            let text = peer.text().await;
            if text.contains("__ping") {
                break;
            }
            sent.push(text);
        }
        peer.send(r#"{"type":"__pong","id":"","payload":{"echo":{"n":1},"protocol":1,"features":[]}}"#).await;
        assert_eq!(peer.closed().await, 1000);
        sent
    };
    tokio::join!(hub, publish.ended())
}

#[tokio::test]
async fn it_sends_one_and_ends_when_the_hub_has_handled_it() {
    let (listener, url) = Listener::bind().await;
    for (args, sent) in [
        (
            ["call.responded", "uuid-123", r#"{"output":42}"#],
            r#"{"type":"call.responded","id":"uuid-123","payload":{"output":42}}"#,
        ),
        (
            ["a:b", "", r#"{ "b":1.50, "a":[9007199254740993,1e400,"\ud800\/"] }"#],
            r#"{"type":"a:b","id":"","payload":{ "b":1.50, "a":[9007199254740993,1e400,"\ud800\/"] }}"#,
        ),
        (["a\"", "é", "-1"], r#"{"type":"a\"","id":"é","payload":-1}"#),
    ] {
        let mut publish = Program::start(["pub", &url].iter().chain(&args));
        let mut peer = listener.accept().await;
        assert_eq!(peer.text().await, sent);
        assert!(publish.is_running());
        peer.pong().await;
        assert_eq!(peer.closed().await, 1000);
        drop(peer);
        let ended = publish.ended().await;
        ended.assert(0, "");
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn values_that_begin_with_a_hyphen_stand_behind_two_hyphens() {
    let (listener, url) = Listener::bind().await;
    let publish = Program::start(["pub", &url, "--", "-a", "-b", "-1"]);
    let mut peer = listener.accept().await;
    assert_eq!(peer.text().await, r#"{"type":"-a","id":"-b","payload":-1}"#);
    peer.pong().await;
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    publish.ended().await.assert(0, "");
}

#[tokio::test]
async fn a_hub_that_knows_no_pings_is_asked_by_the_close() {
    let (listener, url) = Listener::bind().await;
    let publish = Program::start(["pub", &url, "a", "b", "1"]);
    let mut peer = listener.accept().await;
    peer.text().await;
    assert!(peer.text().await.contains("__ping"));
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    publish.ended().await.assert(0, "");
}

#[tokio::test]
async fn a_hub_that_answers_nothing_ends_it_with_1() {
    let (listener, url) = Listener::bind().await;
    let publish = Program::start(["pub", &url, "a", "b", "1"]);
    let mut peer = listener.accept().await;
    for _ in 0..2 {
        peer.text().await;
    }
    // Neither the ping nor the Close is read, and the connection stays.
    let ended = publish.ended().await;
    ended.assert(1, "the far side did not answer the close in time, nor the ping before it");

    let (listener, url) = Listener::bind().await;
    let publish = Program::start(["pub", &url, "a", "b", "1"]);
    let mut peer = listener.accept().await;
    for _ in 0..2 {
        peer.text().await;
    }
    assert!(matches!(peer.next().await, Some(Ok(Message::Close(_)))));
    drop(peer);
    publish.ended().await.assert(1, "the connection was lost");
}

#[tokio::test]
async fn it_reads_envelopes_from_standard_input() {
    let first = r#"{"type":"a","id":"","payload":{"b":1, "a":[2]}}"#;
    let second = r#" {"x":0,"id":"é","type":"b"}"#;
    let third = r#"{"type":"c","id":"","payload":null}"#;
    let (sent, ended) = publish(format!("{first}\n\n  \n{second}\r\n{third}"), &[]).await;
    ended.assert(0, "");
    assert_eq!(sent, [first, &format!("{second}\r"), third], "as it was given, blank lines left out");
    let (sent, ended) = publish("", &[]).await;
    ended.assert(0, "");
    assert_eq!(sent, [""; 0]);
}

#[tokio::test]
async fn a_bad_line_is_named_by_its_number_after_the_good_ones_before_it_were_sent() {
    let good = r#"{"type":"a","id":""}"#;
    let deep = format!(r#"{{"type":"a","id":"","payload":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for (bad, why) in [
        ("nonsense", "line 3: not JSON at byte 0"),
        (r#"{"type":"a"}"#, "line 3: `id` is missing"),
        (
            r#"{"type":"__subscribe","id":"","payload":{"topic":"a:"}}"#,
            "line 3: event types that begin with `__`",
        ),
        (r#"{"type":"a","id":""}{"type":"a","id":""}"#, "line 3: something stands after the envelope"),
        ("\u{feff}{}", "line 3: a byte order mark"),
        (&deep, "line 3: the message nests deeper than the limit of 64; see --max-depth"),
    ] {
        let (sent, ended) = publish(format!("{good}\n\n{bad}\n{good}\n"), &[]).await;
        ended.assert(2, why);
        assert!(ended.stderr.contains("--skip-bad goes on"));
        assert_eq!(sent, [good], "{bad}");
    }
    let (sent, ended) = publish(b"{\"type\":\"a\",\"id\":\"\xff\"}\n", &[]).await;
    ended.assert(2, "line 1: invalid UTF-8 at byte 18");
    assert_eq!(sent, [""; 0]);
    let (sent, ended) = publish(&deep, &["--max-depth", "65"]).await;
    ended.assert(0, "");
    assert_eq!(sent, [deep]);
}

#[tokio::test]
async fn skip_bad_goes_on() {
    let good = r#"{"type":"a","id":""}"#;
    let (sent, ended) = publish(format!("[]\n{good}\n{{}}\n{good}\n"), &["--skip-bad"]).await;
    assert_eq!(ended.code, Some(0));
    let said: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("alkpubsub: line 1 was left out: not an object"), "{said:?}");
    assert!(said[1].starts_with("alkpubsub: line 3 was left out: `type` is missing"), "{said:?}");
    assert_eq!(sent, [good, good]);
}

#[tokio::test]
async fn each_line_leaves_when_it_is_read() {
    let (mut publish, mut peer) = lines(&[]).await;
    for n in 0..3 {
        let line = format!(r#"{{"type":"a","id":"{n}"}}"#);
        publish.input(format!("{line}\n")).await;
        assert_eq!(peer.text().await, line);
    }
    assert!(publish.is_running());
}

#[tokio::test]
async fn what_the_hub_refuses_ends_it_with_3() {
    for (code, exit) in [(1001, 1), (1007, 3), (1008, 3), (1009, 3), (1013, 1)] {
        let (mut publish, mut peer) = lines(&[]).await;
        publish.input("{\"type\":\"a\",\"id\":\"\"}\n").await;
        peer.text().await;
        // It waits for the next line, and ends all the same.
        peer.close(code, "because").await;
        let stdin = publish.stdin.take();
        publish.ended().await.assert(exit, &format!("({code}): because"));
        drop(stdin);
    }
    let (listener, url) = Listener::bind().await;
    let publish = Program::start(["pub", &url, "a", "b", "1"]);
    let mut peer = listener.accept().await;
    peer.text().await;
    peer.send(
        r#"{"type":"__denied","id":"","payload":{"topic":"a:b","action":"publish","reason":"not_allowed"}}"#,
    )
    .await;
    peer.pong().await;
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    publish.ended().await.assert(3, r#"publish "a:b" was denied: not_allowed"#);

    let (listener, url) = Listener::bind().await;
    let answer = listener.answer(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let (ended, ()) = tokio::join!(run(&["pub", &url, "a", "b", "1"]), answer);
    ended.assert(3, "HTTP status 403");
}

#[tokio::test]
async fn a_hub_that_is_not_there_ends_it_with_1() {
    let (listener, url) = Listener::bind().await;
    drop(listener);
    run(&["pub", &url, "a", "b", "1"]).await.assert(1, "`alkpubsub hub` starts one");
    let (publish, peer) = lines(&[]).await;
    drop(peer);
    publish.ended().await.assert(1, "the connection was lost");
}

#[tokio::test]
async fn signals_end_it_with_0() {
    for signal in ["INT", "TERM"] {
        let (mut publish, mut peer) = lines(&[]).await;
        publish.input("{\"type\":\"a\",\"id\":\"\"}\n").await;
        peer.text().await;
        publish.signal(signal).await;
        assert_eq!(peer.closed().await, 1000);
        drop(peer);
        let stdin = publish.stdin.take();
        publish.ended().await.assert(0, "");
        drop(stdin);
    }
}

/// More than all that may wait beside it: the ping behind it must not end the connection.
#[tokio::test]
async fn a_line_of_ten_mib_is_sent() {
    let line = format!(r#"{{"type":"a","id":"b","payload":"{}"}}"#, "x".repeat(10 << 20));
    let (sent, ended) = publish(&line, &[]).await;
    ended.assert(0, "");
    assert!(sent == [line], "{} messages", sent.len());
}
