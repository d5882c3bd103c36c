//! `redis:` as the address of `pub` and `sub`.
#![cfg(unix)]

mod program;
#[path = "../../alkpubsub/tests/support/redis.rs"]
mod redis_server;

use program::{Program, run};
use redis_server::RedisServer;

const TICK: &str = r#"{"type":"tick","id":"","payload":1}"#;

#[tokio::test]
async fn what_is_published_on_redis_is_heard_there_under_its_prefix() {
    let server = RedisServer::start(&[]);
    let url = server.url();
    let sub = |prefix: &str| {
        let options = ["--log", "alkpubsub=info", "--count", "1", "--redis-prefix", prefix];
        Program::start(["sub", &url, "tick", ""].iter().chain(&options))
    };
    let (mut own, mut other) = (sub("a:"), sub("b:"));
    for sub in [&mut own, &mut other] {
        while !sub.said().await.contains("subscribed") {}
    }
    run(&["pub", &url, "tick", "", "2", "--redis-prefix", "c:"]).await.assert(0, "");
    run(&["pub", &url, "tick", "", "1", "--redis-prefix", "a:"]).await.assert(0, "");
    let ended = own.ended().await;
    ended.assert(0, "");
    assert_eq!(ended.stdout, format!("{TICK}\n"));
    other.signal("TERM").await;
    let ended = other.ended().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""));
}

#[tokio::test]
async fn a_sub_goes_on_when_redis_is_there_again_and_without_reconnecting_it_ends() {
    let server = RedisServer::start(&[]);
    let (url, port) = (server.url(), server.port);
    let options = ["--log", "alkpubsub=info"];
    let mut sub = Program::start(["sub", &url, "tick", "", "--count", "1"].iter().chain(&options));
    let mut once = Program::start(["sub", &url, "tick", "", "--no-reconnect"].iter().chain(&options));
    for sub in [&mut sub, &mut once] {
        while !sub.said().await.contains("subscribed") {}
    }
    drop(server);
    while !sub.said().await.contains("connecting again") {}
    assert_eq!(once.ended().await.code, Some(1));
    let _server = RedisServer::start_at(port, &[]).unwrap();
    while !sub.said().await.contains("missing") {}
    run(&["pub", &url, "tick", "", "1"]).await.assert(0, "");
    let ended = sub.ended().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &*format!("{TICK}\n")));
}

#[tokio::test]
async fn what_redis_does_not_allow_is_one_line() {
    let server = RedisServer::start(&["--requirepass", "hunter2"]);
    let url = |user: &str| format!("redis://{user}127.0.0.1:{}", server.port);
    let denied = run(&["pub", &url(":wrong@"), "tick", "", "1"]).await;
    denied.assert(3, "does not let this user in");
    run(&["sub", &url(""), "tick", ""]).await.assert(3, "does not let this user in");
    run(&["pub", &url(":hunter2@"), "tick", "", "1"]).await.assert(0, "");
    run(&["pub", "redis://127.0.0.1:1", "tick", "", "1"]).await.assert(1, "`redis-server` starts one");
    run(&["pub", "redis://:hunter2@:x", "tick", "", "1"]).await.assert(2, "not a URL");
    run(&["pub", "redis://127.0.0.1:1", "tick", "", "1", "--header", "A: b"])
        .await
        .assert(2, "--ca and --header are about");
    run(&["pub", "ws://127.0.0.1:1", "tick", "", "1", "--redis-prefix", "p"])
        .await
        .assert(2, "--redis-prefix is about");
}
