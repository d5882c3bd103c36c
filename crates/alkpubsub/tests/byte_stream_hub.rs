//! A hub over byte streams, what goes wrong with one, and one hub with connections of both kinds.

use alkpubsub::hub::{AddConnectionError, HubHooks, HubOptions, Spoke};
use alkpubsub::protocol::length_prefix::encode;
use alkpubsub::websocket_server::{FanOut, ServerOptions};
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamHubEventTarget, CloseReason, EventEnvelope, EventTarget, PubSub,
    WebSocketClientEventTarget, WebSocketServerEventTarget,
};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

fn control(name: &str, payload: &str) -> String {
    format!(r#"{{"type":"__{name}","id":"","payload":{payload}}}"#)
}

fn ping() -> String {
    control("ping", "{}")
}

fn close(code: u16, reason: &str) -> String {
    control("close", &format!(r#"{{"code":{code},"reason":"{reason}"}}"#))
}

/// Tells how connections end.
struct Ends(mpsc::UnboundedSender<CloseReason>);

impl HubHooks for Ends {
    fn disconnected(&self, _: &Arc<Spoke>, reason: &CloseReason) {
        let _ = self.0.send(reason.clone());
    }
}

struct Bench {
    hub: ByteStreamHubEventTarget,
    ends: mpsc::UnboundedReceiver<CloseReason>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut HubOptions)) -> Self {
        let (told, ends) = mpsc::unbounded_channel();
        let mut options = HubOptions::new().relay().hooks(Ends(told));
        change(&mut options);
        Self { hub: ByteStreamHubEventTarget::try_new(options).unwrap(), ends }
    }

    async fn peer(&self) -> Peer {
        let (here, there) = tokio::io::duplex(1 << 16);
        self.hub.add_connection(there, None).await.unwrap();
        Peer(here)
    }

    async fn end(&mut self) -> CloseReason {
        self.ends.recv().await.expect("a connection that ends")
    }
}

/// A spoke, as the description of the wire has it.
struct Peer(DuplexStream);

impl Peer {
    async fn say(&mut self, text: &str) {
        self.0.write_all(&encode(text).unwrap()).await.unwrap();
    }

    /// The next frame's text; `None` at the end of the stream.
    async fn hear(&mut self) -> Option<String> {
        let length = self.0.read_u32().await.ok()?;
        let mut text = vec![0; length as usize];
        self.0.read_exact(&mut text).await.expect("a whole frame");
        Some(String::from_utf8(text).expect("UTF-8"))
    }

    async fn subscribe(&mut self, topic: &str) {
        let topic = format!(r#"{{"topic":"{topic}"}}"#);
        self.say(&control("subscribe", &topic)).await;
        assert_eq!(self.hear().await.unwrap(), control("subscribed", &topic));
    }
}

fn tick(payload: u32) -> String {
    format!(r#"{{"type":"tick","id":"","payload":{payload}}}"#)
}

#[tokio::test]
async fn frames_that_are_none_end_a_connection_by_name_and_no_other() {
    let mut bench = Bench::new(|_| {});
    let mut other = bench.peer().await;
    other.subscribe("tick:").await;
    for (bytes, code) in [(&[0; 4][..], 1002), (&[0xff; 4], 1009), (&[0, 1, 0, 1], 1009)] {
        let mut peer = bench.peer().await;
        peer.0.write_all(bytes).await.unwrap();
        let close = peer.hear().await.unwrap();
        assert!(
            close.starts_with(&format!(r#"{{"type":"__close","id":"","payload":{{"code":{code},"#)),
            "{close}"
        );
        assert_eq!(peer.hear().await, None, "`__close` is the last frame");
        drop(peer);
        assert_eq!(bench.end().await.code(), code);
    }
    let half = &encode(&tick(1)).unwrap()[..9];
    for (bytes, words) in [
        (half, "within a frame, after 9 of its bytes"),
        (&half[..2], "within a frame, after 2 of its bytes"),
        (&[], "the stream ended without a word"),
    ] {
        let mut peer = bench.peer().await;
        peer.0.write_all(bytes).await.unwrap();
        drop(peer);
        let reason = bench.end().await;
        assert!(reason.to_string().contains(words), "{reason}");
    }
    other.say(&tick(1)).await;
    assert_eq!(other.hear().await.unwrap(), tick(1), "the others are served");
}

#[tokio::test]
async fn messages_come_in_any_pieces() {
    let bench = Bench::new(|_| {});
    let mut peer = bench.peer().await;
    peer.subscribe("tick:").await;
    let all: Vec<u8> = (0..20).flat_map(|payload| encode(&tick(payload)).unwrap()).collect();
    for piece in all.chunks(7) {
        peer.0.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    for payload in 0..20 {
        assert_eq!(peer.hear().await.unwrap(), tick(payload));
    }
}

#[tokio::test]
async fn a_close_is_answered_behind_all_that_came_before_it() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.peer().await;
    peer.subscribe("tick:").await;
    peer.say(&tick(1)).await;
    peer.say(&close(1000, "done")).await;
    peer.say(&tick(2)).await;
    assert_eq!(peer.hear().await.unwrap(), tick(1));
    assert_eq!(peer.hear().await.unwrap(), close(1000, ""));
    assert_eq!(peer.hear().await, None);
    assert_eq!(bench.end().await, CloseReason::ByPeer { code: 1000, reason: "done".into() });
}

/// As an end does that keeps to the wire: after its own `__close` it ends its half of the stream.
#[tokio::test]
async fn a_close_takes_nothing_from_a_peer_that_reads_slowly() {
    let mut bench = Bench::new(|_| {});
    let (mut slow, mut peer) = (bench.peer().await, bench.peer().await);
    slow.subscribe("tick:").await;
    // More than the stream takes at once.
    let long = format!(r#"{{"type":"tick","id":"","payload":"{}"}}"#, "x".repeat(10_000));
    for _ in 0..30 {
        peer.say(&long).await;
    }
    peer.say(&ping()).await;
    peer.hear().await.unwrap();
    slow.say(&close(1000, "done")).await;
    slow.0.shutdown().await.unwrap();
    // The hub has read that, before anything is read of what waits.
    peer.say(&ping()).await;
    peer.hear().await.unwrap();
    for number in 0..30 {
        assert_eq!(slow.hear().await.as_ref(), Some(&long), "event {number}");
    }
    assert_eq!(slow.hear().await.unwrap(), close(1000, ""));
    assert_eq!(slow.hear().await, None);
    assert_eq!(bench.end().await, CloseReason::ByPeer { code: 1000, reason: "done".into() });
    assert_eq!(bench.hub.stats().dropped, 0);
}

/// The end of its half says as much as `__close`, where the hub has said goodbye.
#[tokio::test]
async fn a_shutdown_takes_nothing_from_a_peer_that_ends_its_half_first() {
    let mut bench = Bench::new(|_| {});
    let (mut slow, mut peer) = (bench.peer().await, bench.peer().await);
    slow.subscribe("tick:").await;
    let long = format!(r#"{{"type":"tick","id":"","payload":"{}"}}"#, "x".repeat(10_000));
    for _ in 0..30 {
        peer.say(&long).await;
    }
    peer.say(&ping()).await;
    peer.hear().await.unwrap();
    let reading = async {
        // The other is told first or last: by then both are.
        assert!(peer.hear().await.unwrap().contains(r#""code":1001"#));
        drop(peer);
        slow.0.shutdown().await.unwrap();
        tokio::task::yield_now().await;
        for number in 0..30 {
            assert_eq!(slow.hear().await.as_ref(), Some(&long), "event {number}");
        }
        assert!(slow.hear().await.unwrap().contains(r#""code":1001"#));
    };
    // No window: all are told at once.
    bench.hub.close();
    tokio::join!(bench.hub.closed(), reading);
    for _ in 0..2 {
        assert_eq!(bench.end().await.code(), 1001);
    }
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_takes_events_until_it_is_answered() {
    let mut bench = Bench::new(|_| {});
    let (mut peer, mut other) = (bench.peer().await, bench.peer().await);
    peer.subscribe("tick:").await;
    other.say(&ping()).await;
    other.hear().await.unwrap();
    let heard = PubSub::new(Arc::new(ByteStreamHubEventTarget::of(bench.hub.share())));
    let mut ticks = heard.subscribe_envelopes("tick", "").await.unwrap();
    let goodbyes = async {
        for peer in [&mut peer, &mut other] {
            let close = peer.hear().await.unwrap();
            assert!(close.contains(r#""code":1001"#), "{close}");
            assert_eq!(peer.hear().await, None, "its half of the stream has ended");
        }
        other.say(&tick(1)).await;
        // One answers with `__close`, the other by the end of its half.
        peer.say(&close(1001, "")).await;
        other.0.shutdown().await.unwrap();
    };
    tokio::join!(bench.hub.shutdown(Duration::from_secs(10)), goodbyes);
    for _ in 0..2 {
        assert_eq!(bench.end().await.code(), 1001);
    }
    let first = format!("{:?}", ticks.next().await);
    assert!(first.contains("tick"), "what came before the answer was heard: {first}");
    let (_, late) = tokio::io::duplex(64);
    let refused = bench.hub.add_connection(late, None).await;
    assert_eq!(refused.unwrap_err(), AddConnectionError::Closed);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_in_time_is_given_up() {
    // A hub that is quick to ask others gives a byte stream the time in which its peer pings by itself.
    let mut bench = Bench::new(|options| options.limits.ping_interval = Duration::from_secs(1));
    let (mut mute, mut slow) = (bench.peer().await, bench.peer().await);
    // The beginning of a message is none.
    slow.0.write_all(&[0, 0, 0]).await.unwrap();
    let mut talker = bench.peer().await;
    talker.say(&ping()).await;
    assert!(talker.hear().await.unwrap().contains("__pong"));
    let began = tokio::time::Instant::now();
    for peer in [&mut mute, &mut slow] {
        assert_eq!(peer.hear().await, None);
        let reason = bench.end().await;
        assert!(reason.to_string().contains("no message came"), "{reason}");
    }
    assert!((10..=12).contains(&began.elapsed().as_secs()));
    // One that has spoken, and falls silent, later.
    assert_eq!(talker.hear().await, None, "nor is it asked");
    assert!((33..=35).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let reason = bench.end().await;
    assert!(reason.to_string().contains("silent for too long"), "{reason}");
}

/// Whatever the hub looks at once a second.
#[tokio::test(start_paused = true)]
async fn a_shutdown_lasts_no_longer_than_it_may() {
    for millis in [0, 300, 1000, 1500, 2999] {
        let bench = Bench::new(|_| {});
        let _mute = bench.peer().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let began = tokio::time::Instant::now();
        bench.hub.shutdown(Duration::from_millis(millis)).await;
        let took = began.elapsed().as_millis() as u64;
        assert!((millis..millis + 20).contains(&took), "{took} ms for {millis}");
    }
}

#[tokio::test]
async fn one_that_does_not_read_is_closed_and_counted() {
    let mut bench = Bench::new(|options| options.limits.max_outbound = 100_000);
    let (mut deaf, mut peer) = (bench.peer().await, bench.peer().await);
    deaf.subscribe("tick:").await;
    peer.say(&ping()).await;
    peer.hear().await.unwrap();
    let long = format!(r#"{{"type":"tick","id":"","payload":"{}"}}"#, "x".repeat(10_000));
    for _ in 0..30 {
        peer.say(&long).await;
    }
    peer.say(&ping()).await;
    peer.hear().await.unwrap();
    let mut last = None;
    while let Some(text) = deaf.hear().await {
        last = Some(text);
    }
    assert!(last.unwrap().contains(r#""__close","id":"","payload":{"code":1013"#));
    deaf.0.shutdown().await.unwrap();
    assert_eq!(bench.end().await.code(), 1013);
    assert_eq!(bench.hub.stats().too_slow, 1);
}

/// One hub, WebSockets and byte streams: what either kind publishes, both hear, and in order, also where many events are
/// joined to one piece.
async fn mixed(shards: u8) {
    const EACH: u32 = 200;
    let shards = NonZeroU8::new(shards).unwrap();
    let websockets = WebSocketServerEventTarget::new(ServerOptions::new().relay().shards(shards));
    let streams = ByteStreamHubEventTarget::of(websockets.share());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = async { websockets.serve(listener).await.unwrap() };
    let spokes = async {
        let mut subscribed = Vec::new();
        let mut publishers = Vec::new();
        for number in 0..10 {
            let target: Arc<dyn EventTarget> = if number % 2 == 0 {
                Arc::new(WebSocketClientEventTarget::connect(&url).await.unwrap())
            } else {
                let (here, there) = tokio::io::duplex(1 << 16);
                streams.add_connection(there, None).await.unwrap();
                Arc::new(ByteStreamEventTarget::new(here))
            };
            let pubsub = PubSub::new(target);
            subscribed.push(pubsub.subscribe_envelopes("tick", "").await.unwrap());
            publishers.push(pubsub);
        }
        for count in 0..EACH {
            for (number, pubsub) in publishers.iter().take(2).enumerate() {
                pubsub.publish_json("tick", "", &(number, count)).await.unwrap();
            }
        }
        for mut ticks in subscribed {
            let mut next = [0; 2];
            for _ in 0..2 * EACH {
                let Some(alkpubsub::Item::Event(event)) = ticks.next().await else { panic!("an event") };
                let (number, count): (usize, u32) = event.payload().unwrap();
                assert_eq!(count, next[number], "in order");
                next[number] += 1;
            }
            assert_eq!(next, [EACH; 2]);
        }
        assert_eq!(streams.stats().links, 10);
        streams.shutdown(Duration::from_secs(5)).await;
    };
    // Either face ends the hub, and with it the serving of the other.
    tokio::join!(serving, spokes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hub_has_connections_of_both_kinds() {
    mixed(1).await;
    mixed(2).await;
}

/// What waits is counted as it lies in each queue, whatever framing it came in.
#[tokio::test]
async fn what_waits_in_either_framing_is_counted_to_the_byte() {
    let mut options = ServerOptions::new().relay().fan_out(FanOut::All);
    options.hub.limits.max_outbound = 1 << 20;
    let websockets = WebSocketServerEventTarget::new(options);
    let streams = ByteStreamHubEventTarget::of(websockets.share());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = async { websockets.serve(listener).await.unwrap() };
    let spokes = async {
        let websocket = WebSocketClientEventTarget::connect(&url).await.unwrap();
        let (mut peers, long) = (Vec::new(), "x".repeat(5000));
        for _ in 0..6 {
            let (here, there) = tokio::io::duplex(1000);
            streams.add_connection(there, None).await.unwrap();
            let mut peer = Peer(here);
            peer.say(&ping()).await;
            peer.hear().await.unwrap();
            peers.push(peer);
        }
        // One by one and several at once, from either kind and from the program itself.
        for number in 0..20 {
            let event = EventEnvelope::new("tick", "", &long).unwrap();
            match number % 3 {
                0 => websockets.dispatch_event(event).unwrap(),
                1 => streams.dispatch_event(event).unwrap(),
                _ => websocket.dispatch_event(event).unwrap(),
            }
        }
        websocket.ping().await.unwrap();
        websockets.flush().await;
        assert!(websockets.stats().queued_messages >= 6 * 19, "{:?}", websockets.stats());
        for (number, peer) in peers.iter_mut().enumerate() {
            // One of them leaves with all that waits.
            for _ in 0..if number == 0 { 2 } else { 20 } {
                peer.hear().await.unwrap();
            }
        }
        drop(peers);
        while websockets.stats().links > 1 {
            tokio::task::yield_now().await;
        }
        let stats = websockets.stats();
        assert_eq!((stats.queued_messages, stats.queued_bytes, stats.incoming_bytes), (0, 0, 0));
        assert_eq!(stats.sent, 7 * 20);
        assert_eq!(stats.dropped, 18, "what the one did not read");
        websockets.shutdown(Duration::from_secs(5)).await;
    };
    tokio::join!(serving, spokes);
}
