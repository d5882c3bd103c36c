//! `--unix`, and `unix:` as the address of a hub.
#![cfg(unix)]

mod program;

use program::{Peer, Program, in_time, run};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const TICK: &str = r#"{"type":"tick","id":"","payload":1}"#;

/// A hub on a path as well; gives the WebSockets' URL, and the path's.
async fn hub(path: &Path, more: &[&str]) -> (Program, String, String) {
    let path = path.to_str().unwrap();
    let (mut hub, url) = Program::hub(&[&["--unix", path], more].concat()).await;
    let line = hub.line().await;
    let unix = line.strip_prefix("listening on ").unwrap().to_owned();
    assert_eq!(unix, format!("unix:{path}"));
    (hub, url, unix)
}

#[tokio::test]
async fn what_is_published_over_either_reaches_both() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let (hub, url, unix) = hub(&path, &[]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let options = ["--log", "alkpubsub=info", "--count", "2"];
    let mut subs = Vec::new();
    for url in [&url, &unix] {
        let mut sub = Program::start(["sub", url, "tick", ""].iter().chain(&options));
        assert!(sub.said().await.contains("subscribed"));
        subs.push(sub);
    }
    for url in [&url, &unix] {
        run(&["pub", url, "tick", "", "1"]).await.assert(0, "");
    }
    for sub in subs {
        let ended = sub.ended().await;
        ended.assert(0, "");
        assert_eq!(ended.stdout, format!("{TICK}\n{TICK}\n"));
    }
    hub.signal("TERM").await;
    hub.ended().await.assert(0, "");
    assert!(!path.exists(), "the file goes with the hub");
}

#[tokio::test]
async fn a_unix_socket_may_be_all_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let (hub, url) = Program::hub(&["--no-websocket", "--unix", path.to_str().unwrap()]).await;
    assert_eq!(url, format!("unix:{}", path.display()));
    run(&["pub", &url, "tick", "", "1"]).await.assert(0, "");
    hub.signal("TERM").await;
    hub.ended().await.assert(0, "");
}

#[tokio::test]
async fn a_hub_that_was_killed_leaves_a_file_that_the_next_one_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let (first, _, unix) = hub(&path, &["--unix-mode", "660"]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut sub = Program::start(["sub", &unix, "tick", "", "--count", "1", "--log", "alkpubsub=info"]);
    while !sub.said().await.contains("subscribed") {}
    let second = run(&["hub", "--listen", "127.0.0.1:0", "--unix", path.to_str().unwrap()]).await;
    second.assert(1, "another program listens at");
    first.signal("KILL").await;
    first.ended().await;
    assert!(path.exists());
    // It goes on where the next one is.
    while !sub.said().await.contains("connecting again") {}
    let (_second, ..) = hub(&path, &[]).await;
    while !sub.said().await.contains("connected again") {}
    run(&["pub", &unix, "tick", "", "1"]).await.assert(0, "");
    let ended = sub.ended().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &*format!("{TICK}\n")));
}

#[tokio::test]
async fn a_path_that_cannot_be_had_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let unix = |path: &Path| format!("--unix={}", path.display());
    run(&["hub", "--listen", "127.0.0.1:0", &unix(&file)])
        .await
        .assert(1, "is no socket; it is left as it is");
    let none = directory.path().join("none/hub.sock");
    run(&["hub", "--listen", "127.0.0.1:0", &unix(&none)]).await.assert(1, "No such file or directory");
    run(&["hub", "--unix-mode", "rwx"]).await.assert(2, "the rights of a file");
    for command in [&["sub", "unix:", "tick", ""][..], &["pub", "unix:", "tick", "", "1"]] {
        run(command).await.assert(2, "unix: names no socket");
    }
    let nobody = format!("unix:{}", none.display());
    let hint = format!("is a hub running there? `alkpubsub hub --unix {}` starts one", none.display());
    run(&["pub", &nobody, "tick", "", "1"]).await.assert(1, &hint);
    run(&["sub", &nobody, "tick", "", "--header", "A: b"]).await.assert(2, "has no TLS and no headers");
}

/// As the wire's description has it: four bytes of length, big-endian, then the message.
#[tokio::test]
async fn a_program_that_knows_the_wire_alone_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let (_hub, url, _) = hub(&path, &[]).await;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let mut say = Vec::new();
    for text in [
        r#"{"type":"__ping","id":"","payload":{}}"#,
        r#"{"type":"__subscribe","id":"","payload":{"topic":"tick:"}}"#,
    ] {
        say.extend((text.len() as u32).to_be_bytes());
        say.extend(text.as_bytes());
    }
    stream.write_all(&say).await.unwrap();
    let mut hear = async || {
        let length = in_time(stream.read_u32()).await.unwrap();
        let mut text = vec![0; length as usize];
        in_time(stream.read_exact(&mut text)).await.unwrap();
        String::from_utf8(text).unwrap()
    };
    assert!(hear().await.contains("__pong"));
    assert!(hear().await.contains("__subscribed"));
    Peer::connect(&url, None).await.unwrap().send(TICK).await;
    assert_eq!(hear().await, TICK);
}
