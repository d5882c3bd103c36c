//! Many hubs behind one Redis: one to their spokes while they are in, each alone while it is out.
#![cfg(unix)]

mod support;

use alkpubsub::conformance::Fault;
use alkpubsub::hub::{Broker, FanOut, StartError};
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    ClientOptions, CloseReason, DenyReason, EventEnvelope, EventTarget, GapReason, Item, Notice, PubSub,
    Readiness, SubscribeError, Subscription, WebSocketClientEventTarget, WebSocketServerEventTarget,
    on_notice,
};
use rustix::process::Signal;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use support::line::Line;
use support::redis::RedisServer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

const LONG: Duration = Duration::from_secs(20);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

fn options() -> RedisOptions {
    let mut options = RedisOptions::new();
    options.prefix = "p:".into();
    options.spoke.backoff.first = Duration::from_millis(2);
    options.spoke.backoff.max = Duration::from_millis(20);
    options
}

/// A hub that can be cut off from Redis, and its spokes' address.
struct Hub {
    target: Arc<WebSocketServerEventTarget>,
    redis: Arc<RedisEventTarget>,
    line: Arc<Line>,
    url: String,
    serving: AbortHandle,
}

impl Hub {
    async fn start(server: &RedisServer, shards: u8) -> Self {
        Self::start_as(server, shards, "", options()).await
    }

    /// As a user (`name:password@`) of Redis.
    async fn start_as(server: &RedisServer, shards: u8, user: &str, options: RedisOptions) -> Self {
        let before = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{user}{}", before.local_addr().unwrap());
        let line = Line::lay(before, format!("127.0.0.1:{}", server.port));
        let redis = Arc::new(RedisEventTarget::connect(&url, options).await.unwrap());
        let mut options = ServerOptions::new().behind(redis.clone()).shards(NonZeroU8::new(shards).unwrap());
        // No spoke here is to be too slow for what comes at once when Redis goes on.
        options.hub.limits.max_outbound = 64 << 20;
        let target = Arc::new(WebSocketServerEventTarget::try_new(options).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let served = target.clone();
        let serving = tokio::spawn(async move { served.serve(listener).await }).abort_handle();
        Self { target, redis, line, url, serving }
    }

    async fn spoke(&self) -> Arc<WebSocketClientEventTarget> {
        let mut options = ClientOptions::DEFAULT;
        // What a hub owes is told, however long it takes.
        options.link.answer_timeout = Duration::MAX;
        Arc::new(WebSocketClientEventTarget::connect_with(&self.url, options).await.unwrap())
    }

    /// Of a new spoke.
    async fn subscribe(&self, event_type: &str, id: &str) -> Subscription<EventEnvelope> {
        let pubsub = PubSub::new(self.spoke().await);
        in_time(pubsub.subscribe_envelopes(event_type, id)).await.unwrap()
    }

    /// Cuts it off from Redis, and returns when it is out.
    async fn cut(&self) {
        self.line.cut().await;
        let mut states = self.redis.states();
        in_time(async { while states.next().await.unwrap().to_string() == "connected" {} }).await;
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn next(stream: &mut Subscription<EventEnvelope>) -> Item<EventEnvelope> {
    in_time(stream.next()).await.expect("the stream has ended")
}

async fn gap(stream: &mut Subscription<EventEnvelope>) {
    match next(stream).await {
        Item::Gap(GapReason::Broker) => {}
        other => panic!("instead of a gap came {other:?}"),
    }
}

async fn number(stream: &mut Subscription<EventEnvelope>) -> u64 {
    match next(stream).await {
        Item::Event(event) => event.payload().unwrap(),
        other => panic!("instead of an event came {other:?}"),
    }
}

async fn say(spoke: &Arc<WebSocketClientEventTarget>, event_type: &str, number: u64) {
    PubSub::new(spoke.clone()).publish_json(event_type, "", &number).await.unwrap();
}

/// What the hub answers shows that it has taken all before it.
async fn has_taken(spoke: &WebSocketClientEventTarget) {
    in_time(spoke.ping()).await.unwrap();
}

async fn ask<T: redis::FromRedisValue>(server: &RedisServer, command: &[&str]) -> T {
    let client = redis::Client::open(server.url()).unwrap();
    let mut bare = client.get_multiplexed_async_connection().await.unwrap();
    let mut words = redis::cmd(command[0]);
    words.arg(&command[1..]);
    words.query_async(&mut bare).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

async fn channels(server: &RedisServer) -> Vec<String> {
    let mut channels: Vec<String> = ask(server, &["PUBSUB", "CHANNELS"]).await;
    channels.sort();
    channels
}

async fn one_to_their_spokes(shards: u8) {
    let server = RedisServer::start(&[]);
    let hubs =
        [Hub::start(&server, shards).await, Hub::start(&server, shards).await, Hub::start(&server, 1).await];
    let mut streams = Vec::new();
    for hub in &hubs {
        for _ in 0..3 {
            streams.push(hub.subscribe("n", "").await);
        }
    }
    // The sender is one of those who hear it.
    let spoke = hubs[0].spoke().await;
    streams.push(PubSub::new(spoke.clone()).subscribe_envelopes("n", "").await.unwrap());
    let other = hubs[0].subscribe("other", "").await;
    assert_eq!(channels(&server).await, ["p:n:", "p:other:"]);

    let text = r#" { "payload" : 12345678901234567890.10e2 , "type":"\u006e","id":"", "more":[1] } "#;
    for number in 1..=500 {
        say(&spoke, "n", number).await;
        say(&spoke, "unheard", number).await;
    }
    spoke.dispatch_event(EventEnvelope::parse(text).unwrap()).unwrap();
    for stream in &mut streams {
        for expected in 1..=500 {
            assert_eq!(number(stream).await, expected);
        }
        let Item::Event(last) = next(stream).await else { panic!("no event") };
        assert_eq!(last.to_json().unwrap(), text, "the text that came is the text that goes out");
    }
    // What the last spoke of a hub let go of, the hub lets go of.
    drop(other);
    let gone = async { while channels(&server).await != ["p:n:"] {} };
    in_time(gone).await;
    drop(streams);
    in_time(async { while !channels(&server).await.is_empty() {} }).await;
    for hub in &hubs {
        let stats = hub.target.stats();
        assert_eq!((stats.dropped, stats.too_slow, stats.bad_input, stats.topics), (0, 0, 0, 0), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_are_one_to_their_spokes() {
    one_to_their_spokes(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_of_several_shards_are_one_to_their_spokes() {
    one_to_their_spokes(3).await;
}

async fn cut_off(shards: u8) {
    let server = RedisServer::start(&[]);
    let (alone, other) = (Hub::start(&server, shards).await, Hub::start(&server, 1).await);
    let (mut near, mut near_too) = (alone.subscribe("n", "").await, alone.subscribe("n", "").await);
    let mut far = other.subscribe("n", "").await;
    let (here, there) = (alone.spoke().await, other.spoke().await);
    say(&here, "n", 1).await;
    for stream in [&mut near, &mut near_too, &mut far] {
        assert_eq!(number(stream).await, 1);
    }

    alone.cut().await;
    for stream in [&mut near, &mut near_too] {
        gap(stream).await;
    }
    // Own spokes hear each other, and nobody else.
    say(&here, "n", 2).await;
    say(&there, "n", 3).await;
    assert_eq!((number(&mut near).await, number(&mut near_too).await), (2, 2));
    assert_eq!(
        number(&mut far).await,
        3,
        "nobody there has missed anything that is theirs, nor heard of a gap"
    );
    // A subscription is answered at once, and one of the others' topics is asked for later.
    let mut late = alone.subscribe("late", "").await;
    say(&here, "late", 4).await;
    assert_eq!(number(&mut late).await, 4);

    alone.line.heal().await;
    for stream in [&mut near, &mut near_too, &mut late] {
        gap(stream).await;
    }
    say(&there, "n", 5).await;
    say(&here, "n", 6).await;
    say(&there, "late", 7).await;
    for stream in [&mut near, &mut near_too, &mut far] {
        let mut heard = [number(stream).await, number(stream).await];
        heard.sort_unstable();
        assert_eq!(heard, [5, 6], "of two publishers, in either order");
    }
    assert_eq!(number(&mut late).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_cut_off_serves_its_own_and_nobody_else_misses_anything() {
    cut_off(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_one_of_several_shards() {
    cut_off(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_answered_when_redis_has_confirmed_it_and_in_its_place() {
    let server = RedisServer::start(&[]);
    let hub = Hub::start(&server, 1).await;
    let spoke = hub.spoke().await;
    let mut known = PubSub::new(spoke.clone()).subscribe_envelopes("known", "").await.unwrap();
    has_taken(&spoke).await;
    server.signal(Signal::STOP);
    let ignore: fn(&EventEnvelope) = |_| {};
    let id = spoke.add_event_listener("new:", Arc::new(ignore)).unwrap();
    spoke.add_event_listener("newer:", Arc::new(ignore)).unwrap();
    // What is known already stands behind it, and so do the answers to pings.
    let again = hub.spoke().await;
    again.add_event_listener("new:", Arc::new(ignore)).unwrap();
    again.add_event_listener("known:", Arc::new(ignore)).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), async {
        tokio::select! {
            readiness = spoke.ready("new:") => panic!("{readiness:?}"),
            readiness = again.ready("known:") => panic!("{readiness:?}"),
            ended = spoke.ping() => panic!("{ended:?}"),
        }
    });
    early.await.unwrap_err();
    spoke.remove_event_listener(id);
    // Who leaves meanwhile leaves nothing behind.
    drop(again);
    server.signal(Signal::CONT);
    assert_eq!(in_time(spoke.ready("newer:")).await, Readiness::Confirmed);
    has_taken(&spoke).await;
    in_time(async { while channels(&server).await != ["p:known:", "p:newer:"] {} }).await;
    say(&spoke, "known", 1).await;
    assert_eq!(number(&mut known).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_redis_that_is_lost_is_answered_by_a_hub_that_is_out() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.spoke.heartbeat.interval = Duration::from_millis(100);
    options.spoke.heartbeat.timeout = Duration::from_millis(100);
    options.spoke.connect_timeout = Duration::from_millis(100);
    let hub = Hub::start_as(&server, 1, "", options).await;
    let mut known = hub.subscribe("known", "").await;
    server.signal(Signal::STOP);
    let mut new = hub.subscribe("new", "").await;
    gap(&mut known).await;
    gap(&mut new).await;
    let spoke = hub.spoke().await;
    say(&spoke, "new", 1).await;
    assert_eq!(number(&mut new).await, 1);
    server.signal(Signal::CONT);
    gap(&mut known).await;
    gap(&mut new).await;
    assert_eq!(channels(&server).await, ["p:known:", "p:new:"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_does_not_allow_is_denied_and_keeps_no_hub_out() {
    let server = RedisServer::start(&[]);
    // What docs/hub.md says that it needs.
    let commands = "resetchannels on >pw +hello +ping +publish +subscribe +unsubscribe";
    let allow = |channels: &'static str| -> Vec<&str> {
        ["ACL", "SETUSER", "ann"].into_iter().chain(commands.split(' ')).chain([channels]).collect()
    };
    ask::<()>(&server, &allow("&p:*")).await;
    let hub = Hub::start_as(&server, 1, "ann:pw@", options()).await;
    let mut open = hub.subscribe("open", "").await;
    let mut shut = hub.subscribe("shut", "").await;
    ask::<()>(&server, &allow("&p:open:*")).await;
    // A topic that is taken away ends with that, when it is asked for anew: Redis has ended the connection.
    while let Some(item) = in_time(shut.next()).await {
        assert!(matches!(item, Item::Gap(GapReason::Broker)), "{item:?}");
    }
    assert_eq!(shut.end().unwrap().to_string(), "the topic was denied: broker");
    let pubsub = PubSub::new(hub.spoke().await);
    let denied = in_time(pubsub.subscribe_envelopes("shut", "2")).await.unwrap_err();
    assert!(matches!(denied, SubscribeError::Denied(DenyReason::Broker)), "{denied:?}");
    let mut behind = hub.subscribe("open", "").await;
    let spoke = hub.spoke().await;
    say(&spoke, "open", 1).await;
    assert_eq!(number(&mut behind).await, 1);
    // Out and in again, of which nobody knows whether they are told as one.
    while !matches!(next(&mut open).await, Item::Event(_)) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_redis_has_no_room_spokes_are_not_read_and_nothing_is_lost() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.spoke.link.max_queued = 100;
    options.spoke.link.max_queued_bytes = 1 << 20;
    let hub = Hub::start_as(&server, 1, "", options).await;
    let mut stream = hub.subscribe("n", "").await;
    let spoke = hub.spoke().await;
    server.signal(Signal::STOP);
    let (publishing, published) = (spoke.clone(), Arc::new(AtomicU64::new(0)));
    let count = published.clone();
    let all = 20_000;
    let publishing = tokio::spawn(async move {
        let pubsub = PubSub::new(publishing);
        for number in 1..=all {
            pubsub.publish_json("n", "", &(number, "x".repeat(1000))).await.unwrap();
            count.store(number, Relaxed);
        }
    });
    // All on the way is full: the hub's queue to Redis, and then that of the spoke.
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = published.load(Relaxed);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < all, "it waits for room");
    server.signal(Signal::CONT);
    for expected in 1..=all {
        match next(&mut stream).await {
            Item::Event(event) => assert_eq!(event.payload::<(u64, String)>().unwrap().0, expected),
            other => panic!("instead of {expected} came {other:?}"),
        }
    }
    publishing.await.unwrap();
    assert_eq!(hub.target.stats().dropped, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_says_nothing_is_given_up_in_time_however_much_waits_for_it() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.spoke.heartbeat.interval = Duration::from_millis(100);
    options.spoke.heartbeat.timeout = Duration::from_secs(3);
    let hub = Hub::start_as(&server, 1, "", options).await;
    let mut stream = hub.subscribe("n", "").await;
    let spoke = hub.spoke().await;
    server.signal(Signal::STOP);
    let publishing = tokio::spawn(async move {
        let pubsub = PubSub::new(spoke);
        while pubsub.publish_json("n", "", &"x".repeat(1000)).await.is_ok() {}
    });
    in_time(async {
        while hub.redis.stats().queued_bytes < 2 << 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gap(&mut stream).await;
    assert!(matches!(next(&mut stream).await, Item::Event(_)), "spokes hear each other");
    publishing.abort();
    server.signal(Signal::CONT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_own_events_go_the_same_way() {
    let server = RedisServer::start(&[]);
    let hubs = [Hub::start(&server, 2).await, Hub::start(&server, 1).await];
    let mut streams = [hubs[0].subscribe("n", "").await, hubs[1].subscribe("n", "").await];
    // Its listeners hear its own spokes, and no other's.
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let hear = move |event: &EventEnvelope| _ = heard.send(event.payload::<u64>().unwrap());
    hubs[0].target.add_event_listener("n:", Arc::new(hear)).unwrap();
    let program = PubSub::new(hubs[0].target.clone());
    program.publish_json("n", "", &1).await.unwrap();
    for stream in &mut streams {
        assert_eq!(number(stream).await, 1);
    }
    let (here, there) = (hubs[0].spoke().await, hubs[1].spoke().await);
    say(&there, "n", 2).await;
    for stream in &mut streams {
        assert_eq!(number(stream).await, 2);
    }
    hubs[0].cut().await;
    gap(&mut streams[0]).await;
    program.publish_json("n", "", &3).await.unwrap();
    assert_eq!(number(&mut streams[0]).await, 3);
    say(&here, "n", 4).await;
    assert_eq!(number(&mut streams[0]).await, 4);
    assert_eq!(in_time(hearing.recv()).await, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_ends_leaves_a_hub_alone_and_a_hub_leaves_it_as_it_was() {
    let server = RedisServer::start(&[]);
    let hub = Hub::start(&server, 1).await;
    let mut stream = hub.subscribe("n", "").await;
    hub.redis.close();
    gap(&mut stream).await;
    let mut late = hub.subscribe("late", "").await;
    let spoke = hub.spoke().await;
    say(&spoke, "late", 1).await;
    assert_eq!(number(&mut late).await, 1);

    let hub = Hub::start(&server, 2).await;
    let _stream = hub.subscribe("n", "").await;
    let (told, mut closed) = mpsc::unbounded_channel();
    let tell = move |notice: &Notice| _ = told.send(notice.clone());
    hub.redis.add_event_listener("close", Arc::new(on_notice(tell))).unwrap();
    hub.target.shutdown(Duration::from_secs(1)).await;
    assert!(closed.try_recv().is_err(), "it is the program's");
    assert_eq!(hub.redis.stats().listeners, 1, "the hub's own are gone");
    in_time(async { while !channels(&server).await.is_empty() {} }).await;
    assert_eq!(hub.target.closed().await, CloseReason::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_its_leave_does_not_come_in_again() {
    let server = RedisServer::start(&[]);
    let hub = Hub::start(&server, 1).await;
    let (mut stays, leaves) = (hub.subscribe("n", "").await, hub.subscribe("other", "").await);
    let spoke = hub.spoke().await;
    server.signal(Signal::STOP);
    // It waits for the answer to this one.
    say(&spoke, "unheard", 0).await;
    in_time(async {
        while hub.redis.stats().sent == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let redis = hub.redis.clone();
    let leaving = tokio::spawn(async move { redis.disconnect(LONG).await });
    gap(&mut stays).await;
    drop(leaves);
    // Which is told to the broker.
    in_time(async {
        while hub.redis.stats().queued_messages == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!hub.redis.is_in());
    assert!(!leaving.is_finished());
    say(&spoke, "n", 1).await;
    assert_eq!(number(&mut stays).await, 1);
    server.signal(Signal::CONT);
    in_time(leaving).await.unwrap().unwrap();
}

#[tokio::test]
async fn to_all_cannot_be_behind_a_broker() {
    let server = RedisServer::start(&[]);
    let redis = Arc::new(RedisEventTarget::connect(&server.url(), options()).await.unwrap());
    let options = ServerOptions::new().behind(redis).fan_out(FanOut::All);
    let error = WebSocketServerEventTarget::try_new(options).unwrap_err();
    assert!(matches!(error, StartError::AllBehindBroker), "{error:?}");
}
