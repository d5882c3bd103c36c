//! `alkpubsub hub` at its sockets, and the three commands together.

mod program;

use program::{Ended, Peer, Program, in_time, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

fn subscribe(topic: &str) -> String {
    format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#)
}

fn subscribed(topic: &str) -> String {
    subscribe(topic).replace("__subscribe", "__subscribed")
}

fn address(url: &str) -> &str {
    url.strip_prefix("ws://").unwrap().trim_end_matches('/')
}

async fn spoke(url: &str) -> Peer {
    Peer::connect(url, None).await.unwrap()
}

/// The status with which a hub refuses a connection.
async fn refused(url: &str, origin: Option<&str>) -> u16 {
    match Peer::connect(url, origin).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => panic!("it was taken"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_three_commands_as_a_newcomer_types_them() {
    let (hub, url) = Program::hub(&[]).await;
    let options = ["--log", "alkpubsub=info", "--count", "2"];
    let mut sub = Program::start(["sub", &url, "call.responded", "uuid-123"].iter().chain(&options));
    assert!(sub.said().await.contains("subscribed"));
    run(&["pub", &url, "call.responded", "uuid-123", r#"{"output":42}"#]).await.assert(0, "");
    run(&["pub", &url, "call.responded", "uuid-124", "1"]).await.assert(0, "");
    assert_eq!(sub.line().await, r#"{"type":"call.responded","id":"uuid-123","payload":{"output":42}}"#);
    run(&["pub", &url, "call.responded", "uuid-123", "[ 2 ]"]).await.assert(0, "");
    let ended = sub.ended().await;
    ended.assert(0, "");
    assert_eq!(ended.stdout, "{\"type\":\"call.responded\",\"id\":\"uuid-123\",\"payload\":[2]}\n");
    hub.signal("TERM").await;
    let ended = hub.ended().await;
    ended.assert(0, "");
    assert_eq!(ended.stdout, "", "one line, and no more");
}

#[tokio::test]
async fn what_one_publishes_comes_out_in_order_and_once() {
    let (_hub, url) = Program::hub(&[]).await;
    let options = ["--log", "alkpubsub=info", "--count", "20000"];
    let mut sub = Program::start(["sub", &url, "tick", "a", "tick", "b"].iter().chain(&options));
    for _ in 0..2 {
        assert!(sub.said().await.contains("subscribed"));
    }
    let line = |n: usize| format!(r#"{{"type":"tick","id":"{}","payload":{n}}}"#, ["a", "b"][n % 2]);
    let mut publish = Program::start(["pub", &url, "-"]);
    let writing = async {
        for some in 0..200 {
            let lines: String = (some * 100..(some + 1) * 100).map(|n| line(n) + "\n").collect();
            publish.input(lines).await;
        }
        publish.ended().await.assert(0, "");
    };
    let reading = async {
        for n in 0..20_000 {
            assert_eq!(sub.line().await, line(n));
        }
        sub.ended().await.assert(0, "");
    };
    in_time(async { tokio::join!(writing, reading) }).await;
}

#[tokio::test]
async fn signals_end_it_with_0_and_its_spokes_with_1001() {
    for signal in ["TERM", "INT"] {
        let (hub, url) = Program::hub(&[]).await;
        let mut spoke = spoke(&url).await;
        spoke.send(&subscribe("a:b")).await;
        assert_eq!(spoke.text().await, subscribed("a:b"));
        hub.signal(signal).await;
        assert_eq!(spoke.closed().await, 1001);
        drop(spoke);
        hub.ended().await.assert(0, "");
    }
}

#[tokio::test]
async fn an_address_in_use_ends_it_with_1() {
    let (_hub, url) = Program::hub(&[]).await;
    run(&["hub", "--listen", address(&url)]).await.assert(1, "--listen takes another address");
}

/// Of 64 shards, some are there when there is no descriptor for the next; or there is none for the sockets behind them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn too_few_descriptors_for_its_shards_end_it_with_1() {
    for descriptors in ["16", "40", "100"] {
        let hub = ["hub", "--listen", "127.0.0.1:0", "--shards", "64"];
        let script = "ulimit -n \"$0\" && exec \"$@\"";
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", script, descriptors, env!("CARGO_BIN_EXE_alkpubsub")]).args(hub);
        let ended = in_time(command.env("RUST_LOG", "warn").output()).await.unwrap();
        let [stdout, stderr] = [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap());
        let ended = Ended { code: ended.status.code(), stdout, stderr };
        ended
            .assert(1, "Too many open files (os error 24); fewer --shards need fewer threads and open files");
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn other_addresses_than_loopback_are_taken_where_it_is_said_so() {
    let mut hub = Program::start(["hub", "--insecure", "--listen", "0.0.0.0:0"]);
    let line = hub.line().await;
    let port = line.strip_prefix("listening on ws://0.0.0.0:").unwrap();
    drop(spoke(&format!("ws://127.0.0.1:{port}")).await);
    let mut hub = Program::start(["hub", "--listen", "localhost:0"]);
    assert!(hub.line().await.starts_with("listening on ws://"));
}

#[tokio::test]
async fn fan_out_all_needs_no_subscription() {
    let (_hub, url) = Program::hub(&["--fan-out", "all"]).await;
    let (mut one, mut other) = (spoke(&url).await, spoke(&url).await);
    let event = r#"{"type":"a", "id":"b"}"#;
    one.send(event).await;
    assert_eq!([one.text().await, other.text().await], [event, event]);
}

#[tokio::test]
async fn foreign_origins_need_to_be_allowed() {
    let (_hub, url) = Program::hub(&[]).await;
    assert_eq!(refused(&url, Some("https://example.org")).await, 403);
    drop(Peer::connect(&url, Some("http://localhost:3000")).await.unwrap());
    let allowed = ["--allow-origin", "https://example.org", "--allow-origin", "https://example.com"];
    let (_hub, url) = Program::hub(&allowed).await;
    for origin in ["https://example.org", "https://example.com"] {
        drop(Peer::connect(&url, Some(origin)).await.unwrap());
    }
    assert_eq!(refused(&url, Some("https://example.net")).await, 403);
}

#[tokio::test]
async fn each_limit_is_an_option() {
    let event = |payload: &str| format!(r#"{{"type":"a","id":"b","payload":{payload}}}"#);

    let (_hub, url) = Program::hub(&["--max-message", "100"]).await;
    run(&["pub", &url, "a", "b", &format!("\"{}\"", "x".repeat(100))]).await.assert(3, "1009");

    let (_hub, url) = Program::hub(&["--max-depth", "2"]).await;
    let mut one = spoke(&url).await;
    one.send(&subscribe("a:b")).await;
    one.send(&event("[[]]")).await;
    one.send(&event("[]")).await;
    assert_eq!([one.text().await, one.text().await], [subscribed("a:b"), event("[]")]);

    let (_hub, url) = Program::hub(&["--max-topic", "3", "--max-topics-per-link", "1"]).await;
    run(&["sub", &url, "a", "bc"]).await.assert(3, "topic_too_long");
    run(&["pub", &url, "a", "bc", "1"]).await.assert(3, r#"publish "a:bc" was denied: topic_too_long"#);
    run(&["sub", &url, "a", "b", "a", "c"]).await.assert(3, "too_many_subscriptions");

    let (_hub, url) = Program::hub(&["--max-topic", "1KiB"]).await;
    let long = "b".repeat(1000);
    let mut sub = Program::start(["sub", &url, "a", &long, "--count", "1", "--log", "alkpubsub=info"]);
    assert!(sub.said().await.contains("Confirmed"));
    run(&["pub", &url, "a", &long, "1"]).await.assert(0, "");
    sub.ended().await.assert(0, "");

    let (_hub, url) = Program::hub(&["--max-links", "1"]).await;
    let one = spoke(&url).await;
    assert_eq!(refused(&url, None).await, 503);
    run(&["sub", &url, "a", "b"]).await.assert(1, "503");
    drop(one);

    let (_hub, url) = Program::hub(&["--handshake-timeout", "50ms"]).await;
    let mut slow = TcpStream::connect(address(&url)).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert!(in_time(slow.read(&mut [0; 100])).await.is_ok_and(|bytes| bytes == 0));
}

#[tokio::test]
async fn the_times_of_pings_are_options() {
    let asked = async {
        let (_hub, url) = Program::hub(&["--ping-interval", "50ms"]).await;
        assert!(matches!(spoke(&url).await.next().await, Some(Ok(Message::Ping(_)))));
    };
    let given_up = async {
        let (_hub, url) = Program::hub(&["--ping-interval", "50ms", "--ping-timeout", "50ms"]).await;
        // Reads all that comes and answers no ping, until the hub gives it up.
        let mut silent = TcpStream::connect(address(&url)).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        silent.write_all(request.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        in_time(silent.read_to_end(&mut said)).await.unwrap();
        assert!(said.ends_with(&[0x89, 0]), "a ping is the last that it hears");
    };
    // A hub looks around once a second.
    tokio::join!(asked, given_up);
}

#[tokio::test]
async fn each_bound_on_what_waits_is_an_option() {
    for option in [["--max-outbound", "64KiB"], ["--max-outbound-total", "64KiB"]] {
        let (mut hub, url) = Program::hub_in(&option, &[("RUST_LOG", "alkpubsub=debug")]).await;
        let mut one = spoke(&url).await;
        one.send(&subscribe("a:b")).await;
        assert_eq!(one.text().await, subscribed("a:b"));
        // It reads none of what another publishes. Its Close waits for it, but not for ever: so the other goes on no
        // longer than it takes.
        let mut other = spoke(&url).await;
        let long = format!(r#"{{"type":"a","id":"b","payload":"{}"}}"#, "x".repeat(60_000));
        let flood = async {
            loop {
                other.send(&long).await;
            }
        };
        let judged = async {
            loop {
                let line = hub.said().await;
                assert!(!line.is_empty(), "the hub has ended");
                if line.contains("too slow") {
                    let queued: usize = line.trim().rsplit('=').next().unwrap().parse().unwrap();
                    break assert!(queued < 1 << 20, "so much may wait without the option: {line}");
                }
            }
        };
        tokio::select! {
            () = judged => {}
            () = flood => {}
        }
        assert_eq!(one.closed().await, 1013);
    }
}

#[tokio::test]
async fn bad_input_is_logged_by_reason_in_one_line_for_all_of_it() {
    let (mut hub, url) = Program::hub(&[]).await;
    let mut peers = [spoke(&url).await, spoke(&url).await];
    for peer in &mut peers {
        for _ in 0..20 {
            peer.send("hunter2").await;
            peer.send(r#"{"type":"hunter2"}"#).await;
        }
        // What came before the answer was counted.
        peer.send(&subscribe("a:b")).await;
        assert_eq!(peer.text().await, subscribed("a:b"));
    }
    let (mut messages, mut lines) = (0, 0);
    while messages < 80 && lines < 2 {
        let line = hub.said().await;
        assert!(line.contains("bad input was refused") && !line.contains("hunter2"), "{line}");
        assert!(line.contains("not_json=") && line.contains("missing_member="), "{line}");
        let count = line.split("messages=").nth(1).unwrap().split(' ').next().unwrap();
        messages += count.parse::<usize>().unwrap();
        lines += 1;
    }
    assert_eq!(messages, 80, "in one line, or two where the first came in between");
}
