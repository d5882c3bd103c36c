//! The target behind Redis: what crosses, what is refused, and every way in which Redis can go away.
#![cfg(unix)]

#[path = "support/bare_redis.rs"]
mod bare_redis;
mod support;

use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{
    ConnectError, DenyReason, DispatchError, EventEnvelope, EventTarget, Item, Notice, PubSub, Readiness,
    SpokeState, SubscribeError, Subscription, on_notice,
};
use bare_redis::{ask, bare, clients};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use support::redis::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(20);

fn options() -> RedisOptions {
    let mut options = RedisOptions::new();
    options.prefix = "p:".into();
    options.spoke.backoff.first = Duration::from_millis(2);
    options.spoke.backoff.max = Duration::from_millis(20);
    options
}

async fn target(server: &RedisServer) -> Arc<RedisEventTarget> {
    Arc::new(RedisEventTarget::connect(&server.url(), options()).await.expect("a redis-server"))
}

async fn next(stream: &mut Subscription<EventEnvelope>) -> Item<EventEnvelope> {
    let item = tokio::time::timeout(LONG, stream.next()).await.expect("nothing came");
    item.expect("the stream has ended")
}

async fn event(stream: &mut Subscription<EventEnvelope>) -> EventEnvelope {
    match next(stream).await {
        Item::Event(event) => event,
        other => panic!("instead of an event came {other:?}"),
    }
}

fn is_connected(state: &SpokeState) -> bool {
    matches!(state, SpokeState::Connected)
}

/// Waits until the target was without a connection after `before` connections, and has one again.
async fn connected_again(target: &RedisEventTarget, before: u64) {
    let mut states = target.states();
    let again = async {
        while let Some(state) = states.next().await {
            if is_connected(&state) && target.stats().connections > before {
                return;
            }
        }
        panic!("it has ended");
    };
    tokio::time::timeout(LONG, again).await.expect("no connection came back");
}

#[tokio::test]
async fn the_text_crosses_as_it_is_on_the_channel_of_its_topic() {
    let server = RedisServer::start(&[]);
    let (mut bare, target) = (bare(&server.url()).await, target(&server).await);
    let client = redis::Client::open(server.url()).unwrap();
    let mut stranger = client.get_async_pubsub().await.unwrap();
    stranger.subscribe("p:chat:1").await.unwrap();
    let pubsub = PubSub::new(target.clone());
    let mut stream = pubsub.subscribe_envelopes("chat", "1").await.unwrap();
    assert_eq!(target.ready("chat:1").await, Readiness::Confirmed);

    let odd =
        r#"{ "x":1.0, "payload" : {"b":2,"a":123456789012345678901,"é":"\u00e9"},"id":"1", "type":"chat" }"#;
    assert_eq!(ask::<i64>(&mut bare, &["PUBLISH", "p:chat:1", odd]).await, 2);
    let heard = event(&mut stream).await;
    assert_eq!(heard.to_json().unwrap(), odd);

    pubsub.publish_envelope(heard).await.unwrap();
    let (first, second) = {
        use futures_util::StreamExt;
        let mut messages = stranger.on_message();
        (messages.next().await.unwrap(), messages.next().await.unwrap())
    };
    for message in [first, second] {
        assert_eq!((message.get_channel_name(), message.get_payload_bytes()), ("p:chat:1", odd.as_bytes()));
    }
    // The publisher hears itself, once.
    assert_eq!(event(&mut stream).await.to_json().unwrap(), odd);
    assert_eq!(target.stats().received, 2);
}

#[tokio::test]
async fn what_is_no_event_of_its_channel_is_heard_by_nobody_and_ends_nothing() {
    let server = RedisServer::start(&[]);
    let (mut bare, target) = (bare(&server.url()).await, target(&server).await);
    let (told, mut tellings) = mpsc::unbounded_channel();
    let tell = move |notice: &Notice| told.send(notice.to_string()).unwrap();
    target.add_event_listener("error", Arc::new(on_notice(tell))).unwrap();
    let mut stream = PubSub::new(target.clone()).subscribe_envelopes("chat", "1").await.unwrap();
    let long = format!(r#"{{"type":"chat","id":"1","payload":"{}"}}"#, "x".repeat(64 << 10));
    let bad: [(&[u8], &str); 7] = [
        (b"hello", "not JSON at byte 0"),
        (b"", "not JSON at byte 0"),
        (b"\xff{}", "invalid UTF-8 at byte 0"),
        (br#"{"type":"chat","id":"2"}"#, "of another topic"),
        (br#"{"type":"__subscribed","id":"","payload":{"topic":"chat:1"}}"#, "control event"),
        (br#"{"type":"chat","id":"1","payload":1}{}"#, "after the envelope"),
        (long.as_bytes(), "longer than the limit"),
    ];
    // More than any link would forgive.
    for _ in 0..40 {
        for (text, _) in &bad {
            let published =
                redis::cmd("PUBLISH").arg("p:chat:1").arg(*text).query_async::<i64>(&mut bare).await;
            assert_eq!(published.unwrap(), 1);
        }
    }
    ask::<i64>(&mut bare, &["PUBLISH", "p:chat:1", r#"{"type":"chat","id":"1","payload":7}"#]).await;
    assert_eq!(event(&mut stream).await.payload::<u32>().unwrap(), 7);
    let stats = target.stats();
    assert_eq!((stats.bad_input, stats.received, stats.connections), (280, 1, 1));
    for (_, words) in &bad {
        let telling = tellings.recv().await.unwrap();
        assert!(telling.contains(words), "{telling:?} does not contain {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_topics_from_eight_threads_leave_what_is_wanted() {
    const TOPICS: usize = 10_000;
    let server = RedisServer::start(&[]);
    let (mut bare, target) = (bare(&server.url()).await, target(&server).await);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let target = target.clone();
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                let mut held = Vec::new();
                let listener: Arc<dyn alkpubsub::Listener> = Arc::new(|_: &EventEnvelope| {});
                for step in 0..TOPICS {
                    let topic = format!("t:{}", random.usize(..TOPICS));
                    held.push((target.add_event_listener(&topic, listener.clone()).unwrap(), topic));
                    if step % 3 != 0 {
                        let (id, _) = held.swap_remove(random.usize(..held.len()));
                        target.remove_event_listener(id);
                    }
                }
                held
            })
        })
        .collect();
    let held: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let wanted: BTreeSet<String> = held.iter().map(|(_, topic)| format!("p:{topic}")).collect();
    for (_, topic) in &held {
        assert_eq!(tokio::time::timeout(LONG, target.ready(topic)).await.unwrap(), Readiness::Confirmed);
    }
    // The last to be sent may have been the removal of another.
    target.add_event_listener("last:", Arc::new(|_: &EventEnvelope| {})).unwrap();
    assert_eq!(target.ready("last:").await, Readiness::Confirmed);
    let mut there: BTreeSet<String> =
        ask::<Vec<String>>(&mut bare, &["PUBSUB", "CHANNELS"]).await.into_iter().collect();
    assert!(there.remove("p:last:"));
    assert!(there == wanted, "{} are there, {} are wanted", there.len(), wanted.len());
    assert_eq!(ask::<i64>(&mut bare, &["PUBSUB", "NUMPAT"]).await, 0);
    for (id, _) in held {
        target.remove_event_listener(id);
    }
    assert_eq!(target.stats().connections, 1, "no burst of subscriptions costs the connection");
}

/// Publishes numbers as long as it is let, and gives the last one; what Redis is not there for is not sent again.
struct Numbers {
    goes_on: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(u64, u64)>,
}

impl Numbers {
    fn publish(target: Arc<RedisEventTarget>) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let going = goes_on.clone();
        let task = tokio::spawn(async move {
            let pubsub = PubSub::new(target);
            let (mut number, mut refused) = (0, 0);
            while going.load(Relaxed) {
                number += 1;
                refused += u64::from(pubsub.publish_json("n", "", &number).await.is_err());
                if number % 16 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            (number, refused)
        });
        Self { goes_on, task }
    }

    /// The last number, and how many were refused.
    async fn stop(self) -> (u64, u64) {
        self.goes_on.store(false, Relaxed);
        self.task.await.unwrap()
    }
}

/// What a stream of numbers has held.
#[derive(Debug, Default)]
struct Seen {
    last: u64,
    events: u64,
    gaps: u64,
    /// Numbers left out where no gap was told.
    silent: u64,
}

impl Seen {
    /// Reads until a number is beyond `past`, and at least so many gaps were told.
    async fn read(&mut self, stream: &mut Subscription<EventEnvelope>, past: u64, gaps: u64) {
        let mut told = false;
        while self.last <= past || self.gaps < gaps {
            match next(stream).await {
                Item::Gap(_) => {
                    self.gaps += 1;
                    told = true;
                }
                Item::Event(event) => {
                    let number: u64 = event.payload().unwrap();
                    assert!(number > self.last, "{number} came after {}", self.last);
                    if number > self.last + 1 && !told && self.last > 0 {
                        self.silent += number - self.last - 1;
                    }
                    (self.last, self.events, told) = (number, self.events + 1, false);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_started_again_costs_what_the_gap_says() {
    let mut server = RedisServer::start(&[]);
    let (here, there) = (target(&server).await, target(&server).await);
    let mut stream = PubSub::new(here.clone()).subscribe_envelopes("n", "").await.unwrap();
    let numbers = Numbers::publish(there.clone());
    let mut seen = Seen::default();
    for round in 0..2 {
        seen.read(&mut stream, seen.last + 200, round).await;
        let (connections, port) = (here.stats().connections, server.port);
        drop(server);
        let mut states = here.states();
        while is_connected(&states.next().await.unwrap()) {}
        let told = loop {
            // The publisher may notice a little later.
            if let Err(error) = there.dispatch_event(EventEnvelope::new("n", "x", &0).unwrap()) {
                break error;
            }
            tokio::task::yield_now().await;
        };
        assert!(matches!(told, DispatchError::Disconnected), "{told:?}");
        server = RedisServer::start_at(port, &[]).unwrap();
        connected_again(&here, connections).await;
    }
    seen.read(&mut stream, seen.last + 200, 2).await;
    let (_, refused) = numbers.stop().await;
    assert_eq!((seen.gaps, seen.silent), (2, 0), "{seen:?}");
    assert!(refused > 0);
    assert_eq!(here.ready("n:").await, Readiness::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_connection_may_be_killed_and_both_twice_in_quick_succession() {
    let server = RedisServer::start(&[]);
    let (mut bare, here, there) = (bare(&server.url()).await, target(&server).await, target(&server).await);
    let mut stream = PubSub::new(here.clone()).subscribe_envelopes("n", "").await.unwrap();
    let numbers = Numbers::publish(there.clone());
    let mut seen = Seen::default();
    seen.read(&mut stream, 100, 0).await;
    // The subscriber's own connections: `there` has none that subscribes, so those of `here` are known by kind.
    for round in 1..=6 {
        let connections = here.stats().connections;
        let [subscribing] = clients(&mut bare, "pubsub").await.try_into().unwrap();
        match round {
            1 | 2 => _ = ask::<i64>(&mut bare, &["CLIENT", "KILL", "ID", &subscribing]).await,
            _ => {
                for kind in ["pubsub", "normal"] {
                    for id in clients(&mut bare, kind).await {
                        let killed: i64 = ask(&mut bare, &["CLIENT", "KILL", "ID", &id]).await;
                        assert!(killed <= 1);
                    }
                }
            }
        }
        connected_again(&here, connections).await;
        // Every second time it is not waited for what comes between.
        if round % 2 == 0 {
            seen.read(&mut stream, seen.last + 50, 1).await;
        }
        assert_eq!(here.ready("n:").await, Readiness::Confirmed);
    }
    let last = {
        let connections = there.stats().connections;
        let (last, _) = numbers.stop().await;
        if there.state().to_string() != "connected" {
            connected_again(&there, connections).await;
        }
        last
    };
    // Neither deaf nor mute at the end; neighbouring gaps are one.
    PubSub::new(there.clone()).publish_json("n", "", &(last + 1)).await.unwrap();
    seen.read(&mut stream, last, 3).await;
    assert!(seen.gaps <= 6, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_falls_silent_is_noticed_and_heard_again() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.spoke.heartbeat.interval = Duration::from_millis(100);
    options.spoke.heartbeat.timeout = Duration::from_millis(200);
    options.spoke.connect_timeout = Duration::from_millis(300);
    let here = Arc::new(RedisEventTarget::connect(&server.url(), options).await.unwrap());
    let mut stream = PubSub::new(here.clone()).subscribe_envelopes("n", "").await.unwrap();
    let mut seen = Seen::default();
    let pubsub = PubSub::new(here.clone());
    pubsub.publish_json("n", "", &1).await.unwrap();
    seen.read(&mut stream, 0, 0).await;
    server.signal(Signal::STOP);
    let mut states = here.states();
    let lost = async { while is_connected(&states.next().await.unwrap()) {} };
    tokio::time::timeout(LONG, lost).await.expect("the silence was not noticed");
    // A port that accepts and says nothing: attempts fail, one after the other.
    let failed = async {
        loop {
            if let SpokeState::Waiting { why: alkpubsub::Interruption::Failed(_), .. } =
                states.next().await.unwrap()
            {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, failed).await.expect("no attempt failed");
    server.signal(Signal::CONT);
    connected_again(&here, 1).await;
    assert!(matches!(next(&mut stream).await, Item::Gap(_)));
    pubsub.publish_json("n", "", &2).await.unwrap();
    seen.read(&mut stream, 1, 0).await;
}

/// Passes bytes on, but for the time that it is told not to.
async fn stallable(server: &RedisServer, passes: watch::Receiver<bool>) -> redis::Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let to = ("127.0.0.1", server.port);
    tokio::spawn(async move {
        let mut passing = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                let mut passes = passes.clone();
                passing.spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = from.read(&mut bytes).await {
                        if passes.wait_for(|passes| *passes).await.is_err() {
                            return;
                        }
                        if to.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    redis::Client::open(url).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_connection_that_falls_silent_is_noticed_whatever_the_other_has_to_say() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.spoke.heartbeat.interval = Duration::from_millis(100);
    options.spoke.heartbeat.timeout = Duration::from_millis(500);
    let other = target(&server).await;
    let numbers = Numbers::publish(other.clone());
    for silent in 0..2 {
        let (passing, passes) = watch::channel(true);
        let (_always, always) = watch::channel(true);
        let mut ways = [passes, always];
        ways.rotate_right(silent);
        let [publish, subscribe] = ways;
        let (publish, subscribe) = (stallable(&server, publish).await, stallable(&server, subscribe).await);
        let here = RedisEventTarget::connected(publish, subscribe, options.clone()).await.unwrap();
        let here = Arc::new(here);
        let pubsub = PubSub::new(here.clone());
        let mut stream = pubsub.subscribe_envelopes("n", "").await.unwrap();
        let talking = tokio::spawn({
            let pubsub = PubSub::new(here.clone());
            async move {
                loop {
                    let _ = pubsub.publish_json("unheard", "", &1).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let mut seen = Seen::default();
        seen.read(&mut stream, 100, 0).await;
        passing.send_replace(false);
        let mut states = here.states();
        let lost = async { while is_connected(&states.next().await.unwrap()) {} };
        tokio::time::timeout(LONG, lost).await.unwrap_or_else(|_| panic!("{silent} is silent"));
        passing.send_replace(true);
        connected_again(&here, 1).await;
        talking.abort();
    }
    numbers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_slow_for_redis_or_for_itself_is_told_of_the_gap() {
    let server = RedisServer::start(&["--client-output-buffer-limit", "pubsub 100kb 0 0"]);
    let (mut bare, here) = (bare(&server.url()).await, target(&server).await);
    let mut stream = PubSub::new(here.clone()).subscribe_envelopes("n", "").await.unwrap();
    // As one command, so that nothing of it is written before its end.
    let mut burst = redis::pipe();
    let text = format!(r#"{{"type":"n","id":"","payload":"{}"}}"#, "x".repeat(60_000));
    burst.atomic();
    (0..100).for_each(|_| _ = burst.cmd("PUBLISH").arg("p:n:").arg(&text).ignore());
    burst.query_async::<()>(&mut bare).await.unwrap();
    while !matches!(next(&mut stream).await, Item::Gap(_)) {}
    assert_eq!(here.stats().connections, 2);
    ask::<i64>(&mut bare, &["PUBLISH", "p:n:", r#"{"type":"n","id":"","payload":7}"#]).await;
    assert_eq!(event(&mut stream).await.payload::<u32>().unwrap(), 7);

    // A program that stands still in a listener, with room for ten.
    let mut options = options();
    options.max_received = 10;
    let slow = Arc::new(RedisEventTarget::connect(&server.url(), options).await.unwrap());
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let mut stream = PubSub::new(slow.clone()).subscribe_envelopes("m", "").await.unwrap();
    let stand = move |_: &EventEnvelope| _ = gone.lock().unwrap().recv();
    slow.add_event_listener("m:", Arc::new(stand)).unwrap();
    for _ in 0..10 {
        let mut many = redis::pipe();
        (0..500).for_each(|_| _ = many.cmd("PUBLISH").arg("p:m:").arg(r#"{"type":"m","id":""}"#).ignore());
        many.query_async::<()>(&mut bare).await.unwrap();
    }
    drop(go);
    while !matches!(next(&mut stream).await, Item::Gap(_)) {}
    assert_eq!(slow.stats().connections, 2);
}

#[tokio::test]
async fn who_may_not_is_told_by_name() {
    let server = RedisServer::start(&["--requirepass", "secret"]);
    let login = |user: &str| format!("redis://{user}@127.0.0.1:{}", server.port);
    for wrong in ["", ":wrong", "nobody:secret"] {
        let error = RedisEventTarget::connect(&login(wrong), options()).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotLetIn { .. }), "{wrong:?}: {error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let admin = redis::Client::open(login(":secret")).unwrap();
    let mut admin = admin.get_multiplexed_async_connection().await.unwrap();
    ask::<()>(&mut admin, &["ACL", "SETUSER", "ann", "on", ">pw", "resetchannels", "&p:open:*", "+@all"])
        .await;
    let target = Arc::new(RedisEventTarget::connect(&login("ann:pw"), options()).await.unwrap());
    let pubsub = PubSub::new(target.clone());
    let mut open = pubsub.subscribe_envelopes("open", "1").await.unwrap();
    let denied = pubsub.subscribe_envelopes("shut", "1").await.unwrap_err();
    assert!(matches!(denied, SubscribeError::Denied(DenyReason::NotAllowed)), "{denied:?}");
    let (told, mut tellings) = mpsc::unbounded_channel();
    let tell = move |notice: &Notice| told.send(notice.clone()).unwrap();
    target.add_event_listener("denied", Arc::new(on_notice(tell))).unwrap();
    pubsub.publish_json("shut", "1", &1).await.unwrap();
    pubsub.publish_json("open", "1", &2).await.unwrap();
    assert_eq!(event(&mut open).await.payload::<u32>().unwrap(), 2);
    let notice = tokio::time::timeout(LONG, tellings.recv()).await.unwrap().unwrap();
    assert_eq!(notice.to_string(), "publish \"shut:1\" was denied: not_allowed");
    assert_eq!(target.stats().connections, 1);
}

#[tokio::test]
async fn nobody_there_and_no_url_are_errors_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options();
    options.spoke.connect_timeout = Duration::from_millis(50);
    let connect = async |url: String| RedisEventTarget::connect(&url, options.clone()).await;
    let url = |port: u16| format!("redis://127.0.0.1:{port}");
    let error = connect(url(silent.local_addr().unwrap().port())).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect: no connection within 50ms");
    drop(silent);
    let error = connect(url(1)).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unreachable { address, .. } if address == "127.0.0.1:1"),
        "{error:?}"
    );
    for bad in ["redis://", "redis://:hunter2@:x", "http://x", ""] {
        let error = connect(bad.into()).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadUrl { .. }), "{bad}: {error:?}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn disconnect_waits_for_the_answer_to_all_that_was_published() {
    let server = RedisServer::start(&[]);
    let (here, there) = (target(&server).await, target(&server).await);
    let mut stream = PubSub::new(here).subscribe_envelopes("n", "").await.unwrap();
    for number in 1..=1000 {
        there.dispatch_event(EventEnvelope::new("n", "", &number).unwrap()).unwrap();
    }
    there.disconnect(LONG).await.unwrap();
    let mut seen = Seen::default();
    seen.read(&mut stream, 999, 0).await;
    assert_eq!((seen.events, seen.gaps), (1000, 0));
    assert_eq!(there.state().to_string(), there.closed().await.to_string());
}

/// Takes 35 s: `cargo nextest run --all-features --test redis --run-ignored only`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 35 s"]
async fn an_outage_of_thirty_seconds_with_the_usual_times() {
    let server = RedisServer::start(&[]);
    let port = server.port;
    let here = Arc::new(RedisEventTarget::connect(&server.url(), RedisOptions::new()).await.unwrap());
    let pubsub = PubSub::new(here.clone());
    let mut stream = pubsub.subscribe_envelopes("n", "").await.unwrap();
    pubsub.publish_json("n", "", &1).await.unwrap();
    event(&mut stream).await;
    drop(server);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let _server = RedisServer::start_at(port, &[]).unwrap();
    let back = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.unwrap();
    assert!(matches!(back, Some(Item::Gap(_))));
    pubsub.publish_json("n", "", &2).await.unwrap();
    assert_eq!(event(&mut stream).await.payload::<u32>().unwrap(), 2);
}
