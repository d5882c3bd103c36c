//! Many hubs as one: programs behind one Redis, under load, and every way in which one of them loses it. Outcomes are told
//! by the numbers of events.
#![cfg(unix)]

#[path = "../../alkpubsub/tests/support/line.rs"]
mod line;
mod program;
#[path = "../../alkpubsub/tests/support/redis.rs"]
mod redis_server;

use alkpubsub::conformance::Fault;
use alkpubsub::{ConnectError, Item, PubSub, Spoke, SpokeOptions};
use line::Line;
use program::{Program, in_time, run};
use redis_server::RedisServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A hub, and the way from it to Redis.
struct Hub {
    program: Program,
    url: String,
    line: Arc<Line>,
}

impl Hub {
    async fn start(server: &RedisServer, shards: &str) -> Self {
        let before = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let redis = format!("redis://{}", before.local_addr().unwrap());
        let line = Line::lay(before, format!("127.0.0.1:{}", server.port));
        let options = ["--redis", &redis, "--redis-prefix", "alk:", "--shards", shards];
        let (program, url) = Program::hub(&options).await;
        Self { program, url, line }
    }
}

/// A spoke of the first of these hubs that is there.
async fn spoke(urls: Vec<String>) -> Arc<Spoke> {
    let mut options = SpokeOptions::DEFAULT;
    (options.backoff.first, options.backoff.max) = (Duration::from_millis(1), Duration::from_millis(20));
    let connect = move || {
        let urls = urls.clone();
        async move {
            let mut failed = ConnectError::other("no hub");
            for url in urls {
                let request = url.clone().into_client_request().map_err(ConnectError::other)?;
                let at = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                match TcpStream::connect(at).await {
                    Ok(stream) => {
                        let connected = tokio_tungstenite::client_async(request, stream).await;
                        return connected.map(|(socket, _)| socket).map_err(ConnectError::other);
                    }
                    Err(error) => failed = ConnectError::other(error),
                }
            }
            Err(failed)
        }
    };
    Arc::new(in_time(Spoke::connected(connect, options)).await.unwrap())
}

/// What one reader has heard of one publisher.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    last: u64,
    gaps: u64,
    /// Numbers that are missing where no gap was told.
    silent: u64,
}

/// A reader at one hub, of the publisher at one hub.
struct Ear {
    at: usize,
    of: usize,
    heard: watch::Receiver<Heard>,
}

impl Ear {
    fn now(&self) -> Heard {
        *self.heard.borrow()
    }

    async fn until(&mut self, what: &str, look: impl FnMut(&Heard) -> bool) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.heard.wait_for(look)).await.is_ok();
        assert!(reached, "the reader at {} of {}: no {what}, but {:?}", self.at, self.of, self.now());
    }
}

/// Readers of the publishers at all hubs, on one spoke.
async fn read(at: usize, urls: Vec<String>, tasks: &mut JoinSet<()>) -> Vec<Ear> {
    let pubsub = PubSub::new(spoke(urls).await);
    let mut ears = Vec::new();
    for of in 0..3 {
        let mut stream = in_time(pubsub.subscribe_envelopes("n", &of.to_string())).await.unwrap();
        let (told, heard) = watch::channel(Heard::default());
        tasks.spawn(async move {
            let mut excused = false;
            while let Some(item) = stream.next().await {
                let mut heard = *told.borrow();
                match item {
                    Item::Event(event) => {
                        let number: u64 = event.payload().unwrap();
                        assert!(number > heard.last, "{number} of {of} came after {}", heard.last);
                        if heard.last > 0 && !excused {
                            heard.silent += number - heard.last - 1;
                        }
                        (heard.last, excused) = (number, false);
                    }
                    Item::Gap(_) => {
                        heard.gaps += 1;
                        excused = true;
                    }
                    other => panic!("{other:?}"),
                }
                told.send_replace(heard);
            }
        });
        ears.push(Ear { at, of, heard });
    }
    ears
}

/// Publishes numbers, and skips those that its spoke does not take for want of a connection.
async fn publish(at: usize, urls: Vec<String>, goes_on: watch::Receiver<bool>) -> u64 {
    let spoke = spoke(urls).await;
    let pubsub = PubSub::new(spoke.clone());
    let mut number = 0;
    while *goes_on.borrow() {
        number += 1;
        let _ = pubsub.publish_json("n", &at.to_string(), &number).await;
        if number % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // The end has to arrive.
    while pubsub.publish_json("n", &at.to_string(), &(number + 1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    in_time(spoke.disconnect(Duration::from_secs(10))).await.unwrap();
    number + 1
}

/// Waits until these readers have heard 200 more.
async fn go_on(ears: &mut [Ear], which: impl Fn(&Ear) -> bool) {
    let which = ears.iter_mut().filter(|ear| which(ear)).map(|ear| (ear.now().last + 200, ear));
    for (enough, ear) in which.collect::<Vec<_>>() {
        ear.until("200 more", |heard| heard.last > enough).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hubs_are_exactly_once_while_in_and_at_most_once_across_each_change() {
    let server = RedisServer::start(&[]);
    let hubs =
        [Hub::start(&server, "1").await, Hub::start(&server, "3").await, Hub::start(&server, "2").await];
    // Whose hub is killed goes to the first.
    let ways = |at: usize| vec![hubs[at].url.clone(), hubs[0].url.clone()];
    let (mut tasks, mut ears) = (JoinSet::new(), Vec::new());
    for at in [0, 0, 1, 1, 2, 2] {
        ears.extend(read(at, ways(at), &mut tasks).await);
    }
    let (going, goes_on) = watch::channel(true);
    let publishing = [0, 1, 2].map(|at| tokio::spawn(publish(at, ways(at), goes_on.clone())));

    go_on(&mut ears, |_| true).await;
    assert!(ears.iter().all(|ear| (ear.now().gaps, ear.now().silent) == (0, 0)), "all are in");

    // One is cut off from Redis alone.
    hubs[1].line.cut().await;
    for ear in ears.iter_mut().filter(|ear| ear.at == 1) {
        ear.until("gap", |heard| heard.gaps == 1).await;
    }
    go_on(&mut ears, |ear| ear.at == 1 && ear.of == 1).await;
    go_on(&mut ears, |ear| ear.at != 1 && ear.of != 1).await;
    hubs[1].line.heal().await;
    go_on(&mut ears, |_| true).await;
    for ear in &ears {
        let heard = ear.now();
        if ear.at == 1 {
            // It is told at each change; what nothing came between is one.
            assert!(
                (1..=2).contains(&heard.gaps) && heard.silent == 0,
                "{} of {}: {heard:?}",
                ear.at,
                ear.of
            );
        } else if ear.of != 1 {
            assert_eq!(
                (heard.gaps, heard.silent),
                (0, 0),
                "nobody else has missed anything: {} of {}",
                ear.at,
                ear.of
            );
        } else {
            // What did not reach Redis cannot be known there.
            assert_eq!(heard.gaps, 0);
        }
    }

    // Redis is started anew under all three.
    let (before, port): (Vec<_>, _) = (ears.iter().map(Ear::now).collect(), server.port);
    drop(server);
    for (ear, before) in ears.iter_mut().zip(&before) {
        ear.until("gap", |heard| heard.gaps > before.gaps).await;
    }
    go_on(&mut ears, |ear| ear.at == ear.of).await;
    let _server = RedisServer::start_at(port, &[]).unwrap();
    go_on(&mut ears, |_| true).await;
    for (ear, before) in ears.iter().zip(&before) {
        let heard = ear.now();
        assert_eq!(heard.silent, before.silent, "{} of {}", ear.at, ear.of);
        assert!((1..=2).contains(&(heard.gaps - before.gaps)), "{} of {}: {heard:?}", ear.at, ear.of);
    }

    // One is killed: its spokes go to another, and nobody else misses anything.
    let before: Vec<_> = ears.iter().map(Ear::now).collect();
    hubs[2].program.signal("KILL").await;
    for (ear, before) in ears.iter_mut().zip(&before).filter(|(ear, _)| ear.at == 2) {
        ear.until("gap", |heard| heard.gaps > before.gaps).await;
    }
    go_on(&mut ears, |_| true).await;
    for (ear, before) in ears.iter().zip(&before) {
        let heard = ear.now();
        match (ear.at, ear.of) {
            (2, _) => assert_eq!((heard.gaps, heard.silent), (before.gaps + 1, before.silent)),
            (_, 2) => assert_eq!(heard.gaps, before.gaps),
            _ => assert_eq!((heard.gaps, heard.silent), (before.gaps, before.silent)),
        }
    }

    // To the last one, everywhere.
    going.send_replace(false);
    for (of, publishing) in publishing.into_iter().enumerate() {
        let last = in_time(publishing).await.unwrap();
        for ear in ears.iter_mut().filter(|ear| ear.of == of) {
            ear.until("end", |heard| heard.last == last).await;
        }
    }
    let total: u64 = ears.iter().map(|ear| ear.now().last).sum();
    println!("{total} heard in 18 streams");
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        assert!(ended.is_ok() || ended.unwrap_err().is_cancelled(), "a reader found something wrong");
    }
}

#[tokio::test]
async fn what_a_hub_says_last_reaches_redis() {
    let server = RedisServer::start(&[]);
    let (first, second) = (Hub::start(&server, "1").await, Hub::start(&server, "2").await);
    let mut sub = Program::start(["sub", &second.url, "n", "", "--count", "500", "--log", "alkpubsub=info"]);
    while !sub.said().await.contains("subscribed") {}
    let events: String =
        (1..=500).map(|number| format!("{{\"type\":\"n\",\"id\":\"\",\"payload\":{number}}}\n")).collect();
    let mut publisher = Program::start(["pub", &first.url, "-"]);
    publisher.input(&events).await;
    publisher.ended().await.assert(0, "");
    first.program.signal("TERM").await;
    assert_eq!(first.program.ended().await.code, Some(0));
    let ended = sub.ended().await;
    assert_eq!((ended.code, ended.stdout), (Some(0), events));
}

#[tokio::test]
async fn a_hub_begins_without_redis_and_is_one_with_the_others_when_it_is_there() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let redis = format!("redis://127.0.0.1:{port}");
    let (mut hub, url) = Program::hub(&["--redis", &redis, "--log", "alkpubsub=info"]).await;
    let mut sub = Program::start(["sub", &url, "n", "", "--count", "2", "--log", "alkpubsub=info"]);
    while !sub.said().await.contains("subscribed") {}
    run(&["pub", &url, "n", "", "1"]).await.assert(0, "");
    let _server = RedisServer::start_at(port, &[]).unwrap();
    while !hub.said().await.contains("in: behind the broker") {}
    run(&["pub", &redis, "n", "", "2"]).await.assert(0, "");
    let ended = sub.ended().await;
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
    assert!(ended.stderr.contains("missing"), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_is_one_line() {
    let server = RedisServer::start(&["--requirepass", "hunter2"]);
    let hub = async |redis: &str, more: &[&str]| {
        run(&[&["hub", "--listen", "127.0.0.1:0", "--log", "off", "--redis", redis], more].concat()).await
    };
    let url = |user: &str| format!("redis://{user}127.0.0.1:{}", server.port);
    hub(&url(":wrong@"), &[]).await.assert(3, "--redis: ");
    hub("http://:hunter2@127.0.0.1", &[]).await.assert(2, "--redis: not a URL");
    hub(&url(""), &["--fan-out", "all"]).await.assert(2, "--fan-out all does not go with --redis");
    for ended in
        [hub("http://:hunter2@127.0.0.1", &[]).await, hub(&url(":hunter2@"), &["--print-config"]).await]
    {
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    }
}
