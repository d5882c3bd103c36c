//! The target behind Redis when one half of it fails, when nobody answers for long, and when too much waits; and which
//! commands Redis sees.
#![cfg(unix)]

#[path = "support/bare_redis.rs"]
mod bare_redis;
#[path = "support/redis.rs"]
mod redis_server;

use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{
    DispatchError, EventEnvelope, EventTarget, Interruption, Item, Listener, PubSub, Readiness, SpokeState,
    States, Subscription,
};
use bare_redis::{ask, bare, clients};
use redis_server::RedisServer;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(20);

fn options() -> RedisOptions {
    let mut options = RedisOptions::new();
    options.prefix = "p:".into();
    options.spoke.backoff.first = Duration::from_millis(2);
    options.spoke.backoff.max = Duration::from_millis(20);
    options
}

/// One that notices silence soon.
fn impatient() -> RedisOptions {
    let mut options = options();
    options.spoke.heartbeat.interval = Duration::from_millis(100);
    options.spoke.heartbeat.timeout = Duration::from_millis(500);
    options.spoke.connect_timeout = Duration::from_millis(500);
    options
}

async fn target(server: &RedisServer, options: RedisOptions) -> Arc<RedisEventTarget> {
    Arc::new(RedisEventTarget::connect(&server.url(), options).await.expect("a redis-server"))
}

fn event(number: u64, padding: usize) -> EventEnvelope {
    EventEnvelope::new("n", "", &(number, "x".repeat(padding))).unwrap()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: it took too long"))
}

async fn next(stream: &mut Subscription<EventEnvelope>) -> Item<EventEnvelope> {
    within("an item", stream.next()).await.expect("the stream has ended")
}

async fn number(stream: &mut Subscription<EventEnvelope>) -> u64 {
    match next(stream).await {
        Item::Event(event) => event.payload::<(u64, String)>().unwrap().0,
        other => panic!("instead of an event came {other:?}"),
    }
}

async fn until(states: &mut States, what: &str, is: impl Fn(&SpokeState) -> bool) -> SpokeState {
    let reached = async {
        loop {
            let state = states.next().await.expect("it has ended");
            if is(&state) {
                return state;
            }
        }
    };
    within(what, reached).await
}

fn is_connected(state: &SpokeState) -> bool {
    matches!(state, SpokeState::Connected)
}

#[tokio::test]
async fn while_all_connections_are_refused_it_tries_on_with_waits_that_have_a_bound() {
    let server = RedisServer::start(&[]);
    let port = server.port;
    let options = options();
    let longest = options.spoke.backoff.max;
    let target = target(&server, options).await;
    let mut stream = PubSub::new(target.clone()).subscribe_envelopes("n", "").await.unwrap();
    let mut states = target.states();
    drop(server);
    for _ in 0..25 {
        let failed =
            |state: &SpokeState| matches!(state, SpokeState::Waiting { why: Interruption::Failed(_), .. });
        let state = until(&mut states, "to fail", failed).await;
        let SpokeState::Waiting { retry_after, .. } = state else { unreachable!("{state}") };
        assert!(retry_after <= longest, "{retry_after:?}");
        until(&mut states, "to try again", |state| matches!(state, SpokeState::Connecting)).await;
    }
    let _server = RedisServer::start_at(port, &[]).unwrap();
    assert!(matches!(next(&mut stream).await, Item::Gap(_)));
    PubSub::new(target).publish_envelope(event(1, 0)).await.unwrap();
    assert_eq!(number(&mut stream).await, 1);
}

#[tokio::test]
async fn the_loss_of_the_publishing_connection_alone_is_the_loss_of_both() {
    let server = RedisServer::start(&[]);
    let mut bare = bare(&server.url()).await;
    let target = target(&server, options()).await;
    let pubsub = PubSub::new(target.clone());
    let mut stream = pubsub.subscribe_envelopes("n", "").await.unwrap();
    let [subscribing] = clients(&mut bare, "pubsub").await.try_into().unwrap();
    let [publishing] = clients(&mut bare, "normal").await.try_into().unwrap();
    assert_eq!(ask::<i64>(&mut bare, &["CLIENT", "KILL", "ID", &publishing]).await, 1);
    assert!(matches!(next(&mut stream).await, Item::Gap(_)));
    pubsub.publish_envelope(event(1, 0)).await.unwrap();
    assert_eq!(number(&mut stream).await, 1);
    let now = clients(&mut bare, "pubsub").await;
    assert!(now.len() == 1 && now[0] != subscribing, "{now:?}");
}

/// Passes connections on to a server. Those that are there when it stalls carry nothing any more; later ones do.
struct Stalling {
    port: u16,
    stall: watch::Sender<u32>,
    _serving: JoinSet<()>,
}

impl Stalling {
    async fn before(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), server.port);
        let (stall, stalled) = watch::channel(0);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut stalled = stalled.clone();
                stalled.mark_unchanged();
                passing.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", to)).await.expect("the server");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Both sockets stay open, and nobody reads.
                        _ = stalled.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { port, stall, _serving: serving }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscribing_connection_that_alone_falls_silent_does_not_stay_deaf() {
    let server = RedisServer::start(&[]);
    let line = Stalling::before(&server).await;
    let publish = redis::Client::open(server.url()).unwrap();
    let subscribe = redis::Client::open(format!("redis://127.0.0.1:{}", line.port)).unwrap();
    let target = Arc::new(RedisEventTarget::connected(publish, subscribe, impatient()).await.unwrap());
    let pubsub = PubSub::new(target.clone());
    let mut stream = pubsub.subscribe_envelopes("n", "").await.unwrap();
    pubsub.publish_envelope(event(1, 0)).await.unwrap();
    assert_eq!(number(&mut stream).await, 1);
    line.stall.send_modify(|times| *times += 1);
    // Publishing goes on, and says nothing about hearing.
    pubsub.publish_envelope(event(2, 0)).await.unwrap();
    assert!(matches!(next(&mut stream).await, Item::Gap(_)));
    pubsub.publish_envelope(event(3, 0)).await.unwrap();
    assert_eq!(number(&mut stream).await, 3);
}

/// Passes the bytes of one connection on to a server, about a megabyte a second.
async fn slow_line(server: &RedisServer) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), server.port);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let ((mut asked, mut answered), (mut answers, mut asks)) = (near.into_split(), far.into_split());
        let slowly = async {
            let mut buffer = vec![0; 64 << 10];
            let mut every = tokio::time::interval(Duration::from_millis(60));
            loop {
                every.tick().await;
                match asked.read(&mut buffer).await {
                    Ok(read @ 1..) => asks.write_all(&buffer[..read]).await.unwrap(),
                    _ => return,
                }
            }
        };
        tokio::join!(slowly, async { _ = tokio::io::copy(&mut answers, &mut answered).await });
    });
    (port, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_slow_is_not_taken_for_a_silent_one() {
    let server = RedisServer::start(&[]);
    let (port, _serving) = slow_line(&server).await;
    let publish = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let subscribe = redis::Client::open(server.url()).unwrap();
    let mut options = options();
    options.spoke.heartbeat.interval = Duration::from_millis(200);
    options.spoke.heartbeat.timeout = Duration::from_secs(2);
    let target = Arc::new(RedisEventTarget::connected(publish, subscribe, options).await.unwrap());
    // The PING stands behind five seconds of events, whose answers say that somebody is there.
    (0..500).for_each(|number| target.dispatch_event(event(number, 10_000)).unwrap());
    within("to answer all", target.ping()).await.unwrap();
    assert_eq!(target.stats().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_falls_silent_behind_a_full_queue_is_noticed_as_soon() {
    let server = RedisServer::start(&[]);
    let mut options = impatient();
    // The queue is full before it is asked again.
    options.spoke.heartbeat.interval = Duration::from_secs(1);
    let target = target(&server, options).await;
    let mut stream = PubSub::new(target.clone()).subscribe_envelopes("n", "").await.unwrap();
    let mut states = target.states();
    until(&mut states, "to be connected", is_connected).await;
    server.signal(Signal::STOP);
    let refused = (0..).find_map(|number| target.dispatch_event(event(number, 60_000)).err());
    assert!(matches!(refused, Some(DispatchError::Full | DispatchError::Disconnected)), "{refused:?}");
    until(&mut states, "to notice the silence", |state| !is_connected(state)).await;
    server.signal(Signal::CONT);
    until(&mut states, "to connect again", is_connected).await;
    while !matches!(next(&mut stream).await, Item::Gap(_)) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_has_taken_arrives_in_order_and_room_is_told() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.spoke.link.max_queued = 500;
    let target = target(&server, options).await;
    let mut stream = PubSub::new(target.clone()).subscribe_envelopes("n", "").await.unwrap();
    server.signal(Signal::STOP);
    // Sixteen pipelines are under way, unanswered, and behind them is the queue.
    let mut taken = 0;
    let fill = async {
        while target.stats().sent < 516 {
            match target.dispatch_event(event(taken, 10_000)) {
                Ok(()) => taken += 1,
                Err(DispatchError::Full) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
        while target.dispatch_event(event(taken, 10_000)).is_ok() {
            taken += 1;
        }
    };
    within("to fill it", fill).await;
    server.signal(Signal::CONT);
    within("room", target.room()).await;
    for expected in 0..taken {
        assert_eq!(number(&mut stream).await, expected);
    }
    assert_eq!(target.stats().connections, 1);
}

#[tokio::test]
async fn redis_sees_one_subscribe_and_one_unsubscribe_of_a_topic_and_never_a_pattern() {
    let server = RedisServer::start(&[]);
    let mut monitor = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    monitor.write_all(b"MONITOR\r\n").await.unwrap();
    let mut seen = BufReader::new(monitor).lines();
    assert_eq!(within("an answer", seen.next_line()).await.unwrap().unwrap(), "+OK");

    let target = target(&server, options()).await;
    let pubsub = PubSub::new(target.clone());
    let listener: Arc<dyn Listener> = Arc::new(|_: &EventEnvelope| {});
    let ids = ["a:*", "a:*", "b:1", "a:*"].map(|topic| {
        let id = target.add_event_listener(topic, listener.clone()).unwrap();
        (topic, id)
    });
    assert_eq!(target.ready("a:*").await, Readiness::Confirmed);
    pubsub.publish_json("a", "*", &1).await.unwrap();
    ids.iter().for_each(|(_, id)| target.remove_event_listener(*id));
    // Behind all before: it is asked for on the same connection as the removals, and answered.
    target.add_event_listener("last:", listener).unwrap();
    assert_eq!(target.ready("last:").await, Readiness::Confirmed);
    pubsub.publish_json("last", "", &2).await.unwrap();

    let (mut commands, mut others) = (Vec::new(), BTreeSet::new());
    loop {
        let line = within("a command", seen.next_line()).await.unwrap().unwrap();
        // +1700000000.123456 [0 127.0.0.1:1234] "SUBSCRIBE" "p:a:*"
        let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        match words[..] {
            ["SUBSCRIBE" | "UNSUBSCRIBE" | "PUBLISH", channel, ..] => {
                commands.push(format!("{} {channel}", words[0]));
                if commands.last().is_some_and(|last| last == "PUBLISH p:last:") {
                    break;
                }
            }
            _ => _ = others.insert(words[0].to_owned()),
        }
    }
    // Two connections: their commands are told apart by kind.
    let (published, subscribed): (Vec<_>, Vec<_>) =
        commands.into_iter().partition(|command| command.starts_with("PUBLISH"));
    assert_eq!(published, ["PUBLISH p:a:*", "PUBLISH p:last:"]);
    let expected =
        ["SUBSCRIBE p:a:*", "SUBSCRIBE p:b:1", "UNSUBSCRIBE p:b:1", "UNSUBSCRIBE p:a:*", "SUBSCRIBE p:last:"];
    assert_eq!(subscribed, expected);
    let opening = ["CLIENT", "HELLO", "PING"].map(String::from);
    assert!(others.iter().all(|command| opening.contains(command)), "{others:?}");
}
