//! iroh on loopback: who may come, how connections end, faults, each with its outcome.

#[path = "support/iroh.rs"]
mod raw;

use alkpubsub::hub::HubOptions;
use alkpubsub::iroh::ALPN;
use alkpubsub::{
    ByteStreamOptions, CloseReason, ConnectError, EventEnvelope, EventTarget, IrohHubEventTarget,
    IrohSpokeEventTarget, Item, PubSub, Readiness, Spoke, SpokeOptions, Subscription,
};
use alkpubsub_test_relay::Relay;
use iroh::address_lookup::MemoryLookup;
use iroh::endpoint::ConnectionError;
use iroh::protocol::Router;
use iroh::{Endpoint, SecretKey};
use raw::RawStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PING: &str = r#"{"type":"__ping","id":"","payload":{}}"#;
const LONG: Duration = Duration::from_secs(10);

fn hub(change: impl FnOnce(&mut HubOptions)) -> IrohHubEventTarget {
    let mut options = HubOptions::new().relay();
    change(&mut options);
    IrohHubEventTarget::try_new(options).unwrap()
}

fn mount(endpoint: Endpoint, hub: impl Into<Arc<IrohHubEventTarget>>) -> Router {
    Router::builder(endpoint).accept(ALPN, hub.into()).spawn()
}

async fn spoke(endpoint: &Endpoint, router: &Router) -> IrohSpokeEventTarget {
    let hub = router.endpoint().addr();
    IrohSpokeEventTarget::connect(endpoint, hub, ByteStreamOptions::DEFAULT).await.unwrap()
}

fn soon() -> SpokeOptions {
    let mut options = SpokeOptions::DEFAULT;
    (options.backoff.first, options.backoff.max) = (Duration::from_millis(1), Duration::from_millis(10));
    // An attempt may have begun at an address where nobody is any more, and nobody tells so.
    options.connect_timeout = Duration::from_secs(1);
    options
}

fn framed(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

async fn frame(stream: &mut RawStream) -> Option<String> {
    let length = stream.read_u32().await.ok()?;
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text).await.ok()?;
    Some(String::from_utf8(text).unwrap())
}

/// The code that a connection was closed with, by the far side.
async fn code(stream: &RawStream) -> (u64, String) {
    match tokio::time::timeout(LONG, stream.connection().closed()).await.expect("an end") {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into())
        }
        other => panic!("{other}"),
    }
}

/// The numbers that a subscriber hears, in order, up to this one.
async fn numbers(heard: &mut Subscription<EventEnvelope>, last: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        match tokio::time::timeout(LONG, heard.next()).await.expect("an item in time") {
            Some(Item::Event(event)) => numbers.push(event.payload().unwrap()),
            other => panic!("{other:?} after {numbers:?}"),
        }
    }
    numbers
}

#[tokio::test]
async fn events_cross_in_order_and_both_ends_close_in_order() {
    let router = mount(raw::endpoint().await, hub(|_| {}));
    let (here, there) = (raw::endpoint().await, raw::endpoint().await);
    let (publisher, subscriber) =
        (Arc::new(spoke(&here, &router).await), Arc::new(spoke(&there, &router).await));
    let mut heard = PubSub::new(subscriber.clone()).subscribe_envelopes("n", "").await.unwrap();
    let publishing = PubSub::new(publisher.clone());
    for number in 1..=1_000 {
        publishing.publish_json("n", "", &number).await.unwrap();
    }
    // What came before a goodbye is handled, and the goodbye is answered after it.
    publisher.disconnect(LONG).await.unwrap();
    assert_eq!(numbers(&mut heard, 1_000).await, (1..=1_000).collect::<Vec<_>>());

    router.shutdown().await.unwrap();
    assert_eq!(subscriber.closed().await.code(), 1001);
    assert!(!here.is_closed() && !there.is_closed(), "the endpoints are the caller's");
}

#[tokio::test]
async fn a_hubs_code_reaches_the_spoke_and_a_spokes_the_hub() {
    struct Told(tokio::sync::mpsc::UnboundedSender<CloseReason>);
    impl alkpubsub::hub::HubHooks for Told {
        fn disconnected(&self, _: &Arc<alkpubsub::hub::Spoke>, reason: &CloseReason) {
            let _ = self.0.send(reason.clone());
        }
    }
    let (told, mut reasons) = tokio::sync::mpsc::unbounded_channel();
    let router = mount(raw::endpoint().await, hub(|options| options.hooks = Some(Arc::new(Told(told)))));
    let here = raw::endpoint().await;

    // By the code of the connection alone, in either direction.
    let mut stream = RawStream::open(&here, router.endpoint()).await.unwrap();
    stream.write_all(&framed(PING)).await.unwrap();
    assert!(frame(&mut stream).await.unwrap().starts_with(r#"{"type":"__pong""#));
    stream.connection().close(4321u32.into(), b"enough");
    assert_eq!(reasons.recv().await.unwrap().to_string(), "closed by the far side (4321): enough");

    let there = raw::accepting().await;
    let options = ByteStreamOptions::DEFAULT;
    let (spoke, raw) =
        tokio::join!(IrohSpokeEventTarget::connect(&here, there.addr(), options), RawStream::accept(&there));
    raw.unwrap().connection().close(1013u32.into(), b"later");
    assert_eq!(spoke.unwrap().closed().await.to_string(), "closed by the far side (1013): later");

    // By `__close`, which is answered, and then by that code as well.
    let mut stream = RawStream::open(&here, router.endpoint()).await.unwrap();
    stream
        .write_all(&framed(r#"{"type":"__close","id":"","payload":{"code":4001,"reason":""}}"#))
        .await
        .unwrap();
    assert!(frame(&mut stream).await.unwrap().contains(r#""code":4001"#));
    assert_eq!(code(&stream).await.0, 4001);
    assert_eq!(reasons.recv().await.unwrap().code(), 4001);

    let (spoke, raw) =
        tokio::join!(IrohSpokeEventTarget::connect(&here, there.addr(), options), RawStream::accept(&there));
    let (spoke, mut raw) = (spoke.unwrap(), raw.unwrap());
    spoke.close();
    assert!(frame(&mut raw).await.unwrap().starts_with(r#"{"type":"__ping""#));
    assert!(frame(&mut raw).await.unwrap().contains(r#""code":1000"#));
    raw.shutdown().await.unwrap();
    assert_eq!(code(&raw).await.0, 1000);
}

#[tokio::test]
async fn an_endpoint_that_was_made_for_a_target_ends_with_it() {
    let router = mount(raw::endpoint().await, hub(|_| {}));
    let own = raw::endpoint().await;
    let options = ByteStreamOptions::DEFAULT;
    let target =
        IrohSpokeEventTarget::connect_owning(own.clone(), router.endpoint().addr(), options).await.unwrap();
    target.ping().await.unwrap();
    target.close();
    target.closed().await;
    assert!(own.is_closed());
    // Also where there is no connection.
    let own = raw::endpoint().await;
    let nobody = SecretKey::generate().public();
    IrohSpokeEventTarget::connect_owning(own.clone(), nobody, options).await.unwrap_err();
    assert!(own.is_closed());

    // By a URL nobody else has it, and it is all there is.
    let url = alkpubsub::iroh::url_of(router.endpoint().addr());
    let pubsub = PubSub::new(alkpubsub::connect(&url).await.unwrap());
    let mut heard = pubsub.subscribe_envelopes("n", "").await.unwrap();
    pubsub.publish_json("n", "", &1).await.unwrap();
    assert_eq!(numbers(&mut heard, 1).await, [1]);
    router.shutdown().await.unwrap();
    assert_eq!(pubsub.target().closed().await.code(), 1001);
    let error = alkpubsub::connect("iroh:endpointx").await.err().unwrap().to_string();
    assert!(error.contains("`iroh:` is followed by the ticket of a hub"), "{error}");
}

#[tokio::test]
async fn who_is_not_on_the_list_is_told_so_and_seen_by_nobody() {
    let friend = raw::endpoint().await;
    let hub = Arc::new(hub(|_| {}).allow([friend.id()]));
    let router = mount(raw::endpoint().await, hub.clone());
    let stranger = raw::endpoint().await;
    let refused = spoke(&stranger, &router).await;
    let reason = refused.closed().await;
    assert_eq!(reason.to_string(), "closed by the far side (1008): this endpoint id is not allowed here");
    assert_eq!(hub.stats().connections, 0);
    // A spoke that would come again does not, after 1008.
    let again = Spoke::iroh(&stranger, router.endpoint().addr(), soon()).await.unwrap();
    assert_eq!(again.closed().await.code(), 1008);

    let spoke = spoke(&friend, &router).await;
    spoke.ping().await.unwrap();
    assert_eq!(hub.stats().connections, 1);
}

#[tokio::test]
async fn a_full_hub_says_so_before_and_after_the_handshake() {
    let limits = |options: &mut HubOptions| options.limits.max_links = 1;
    let router = mount(raw::endpoint().await, hub(limits));
    let here = raw::endpoint().await;
    let first = spoke(&here, &router).await;
    first.ping().await.unwrap();
    let late = spoke(&here, &router).await.closed().await;
    assert!(
        matches!(&late, CloseReason::ByPeer { code: 1013, reason } if reason.contains("its limit")),
        "{late}"
    );
    first.ping().await.expect("who was there is served");

    let hub = hub(limits);
    let filtered = Router::builder(raw::endpoint().await)
        .incoming_filter(hub.incoming_filter())
        .accept(ALPN, hub)
        .spawn();
    let first = spoke(&here, &filtered).await;
    first.ping().await.unwrap();
    let options = ByteStreamOptions::DEFAULT;
    let late = IrohSpokeEventTarget::connect(&here, filtered.endpoint().addr(), options).await.unwrap_err();
    assert!(matches!(&late, ConnectError::Unreachable { .. }), "{late}");
}

#[tokio::test]
async fn direct_belongs_to_the_owner_of_the_key() {
    let router = mount(raw::endpoint().await, hub(|_| {}));
    let (here, there) = (raw::endpoint().await, raw::endpoint().await);
    let (own, other) = (spoke(&here, &router).await, spoke(&there, &router).await);
    let own = PubSub::new(own);
    let mut letters = own.subscribe_envelopes("direct", &here.id().to_string()).await.unwrap();
    let topic = format!("direct:{}", here.id());
    let listener: Arc<dyn alkpubsub::Listener> = Arc::new(|_: &EventEnvelope| {});
    other.add_event_listener(&topic, listener).unwrap();
    assert!(matches!(other.ready(&topic).await, Readiness::Denied(_)));
    let other = PubSub::new(other);
    other.publish_json("direct", &here.id().to_string(), &1).await.unwrap();
    assert_eq!(numbers(&mut letters, 1).await, [1]);
}

#[tokio::test]
async fn another_protocol_is_no_hub() {
    let other = raw::builder().alpns(vec![b"other/1".to_vec()]).bind().await.unwrap();
    let accepting = other.clone();
    let _accepting = tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            drop(incoming.await);
        }
    });
    let here = raw::endpoint().await;
    let options = ByteStreamOptions::DEFAULT;
    let error = IrohSpokeEventTarget::connect(&here, other.addr(), options).await.unwrap_err();
    let words = error.to_string();
    assert!(words.starts_with(&format!("cannot reach {}", other.id())), "{words}");
    assert!(words.contains("known protocol"), "{words}");
}

#[tokio::test]
async fn frames_that_are_none_end_a_connection_by_name_and_no_other() {
    let router =
        mount(raw::endpoint().await, hub(|options| options.handshake_timeout = Duration::from_secs(1)));
    let here = raw::endpoint().await;
    let neighbour = PubSub::new(spoke(&here, &router).await);
    let mut heard = neighbour.subscribe_envelopes("n", "").await.unwrap();

    // 4 GiB announced: none of it is taken.
    let mut stream = RawStream::open(&here, router.endpoint()).await.unwrap();
    stream.write_all(&framed(r#"{"type":"n","id":"","payload":1}"#)).await.unwrap();
    stream.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert!(frame(&mut stream).await.unwrap().contains(r#""code":1009"#));
    stream.shutdown().await.unwrap();
    assert_eq!(code(&stream).await.0, 1009);

    // A stream that is reset in the middle of a frame.
    let mut stream = RawStream::open(&here, router.endpoint()).await.unwrap();
    let whole = framed(r#"{"type":"n","id":"","payload":2}"#);
    stream.write_all(&whole).await.unwrap();
    stream.write_all(&whole[..10]).await.unwrap();
    // It is known to have come before the reset, which would take it along.
    assert_eq!(numbers(&mut heard, 2).await, [1, 2]);
    stream.reset(7);
    assert_eq!(code(&stream).await.0, 1006);

    // One that opens a second stream: that one is refused, and the first goes on.
    let mut stream = RawStream::open(&here, router.endpoint()).await.unwrap();
    stream.write_all(&framed(PING)).await.unwrap();
    assert!(frame(&mut stream).await.is_some());
    let (mut second, mut answers) = stream.connection().open_bi().await.unwrap();
    second.write_all(&whole).await.unwrap();
    assert_eq!(second.stopped().await.unwrap().map(|code| code.into_inner()), Some(1002));
    assert!(answers.read_to_end(64).await.unwrap_err().to_string().contains("1002"));
    stream.write_all(&framed(r#"{"type":"n","id":"","payload":3}"#)).await.unwrap();
    assert_eq!(numbers(&mut heard, 3).await, [3]);

    // Silent peers: one that opens no stream, and one whose stream says nothing whole.
    let silent = here.connect(router.endpoint().addr(), ALPN).await.unwrap();
    let mut half = RawStream::open(&here, router.endpoint()).await.unwrap();
    half.write_all(&[0]).await.unwrap();
    assert_eq!(code(&half).await.0, 1006);
    let ended = tokio::time::timeout(LONG, silent.closed()).await.expect("an end").to_string();
    assert!(ended.contains("handshake"), "{ended}");

    neighbour.publish_json("n", "", &4).await.unwrap();
    assert_eq!(numbers(&mut heard, 4).await, [4]);
}

#[tokio::test]
async fn one_that_does_not_read_is_closed_and_the_others_miss_nothing() {
    let hub = Arc::new(hub(|_| {}));
    let router = mount(raw::endpoint().await, hub.clone());
    let here = raw::endpoint().await;
    let reader = PubSub::new(spoke(&here, &router).await);
    let mut heard = reader.subscribe_envelopes("n", "").await.unwrap();
    let mut deaf = RawStream::open(&here, router.endpoint()).await.unwrap();
    for topic in ["n:", "fill:"] {
        deaf.write_all(&framed(&format!(
            r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#
        )))
        .await
        .unwrap();
        assert!(frame(&mut deaf).await.unwrap().contains("__subscribed"));
    }
    let filling = PubSub::new(hub.clone());
    let payload = "x".repeat(60_000);
    let mut number = 0;
    while hub.stats().too_slow == 0 {
        number += 1;
        filling.publish_json("n", "", &number).await.unwrap();
        filling.publish_json("fill", "", &payload).await.unwrap();
        filling.flush().await;
        assert!(number < 1_000, "the bound was passed long ago: {:?}", hub.stats());
    }
    assert_eq!(numbers(&mut heard, number).await, (1..=number).collect::<Vec<_>>());
    // It reads in the end, and finds whole frames, and why.
    let mut last = String::new();
    while let Some(text) = frame(&mut deaf).await {
        last = text;
    }
    assert!(last.contains(r#""code":1013"#), "{last}");
    deaf.shutdown().await.unwrap();
    assert_eq!(code(&deaf).await.0, 1013);
}

#[tokio::test]
async fn a_hub_that_comes_back_elsewhere_with_its_key_is_found_again() {
    let key = SecretKey::generate();
    let bind = async || raw::builder().secret_key(key.clone()).bind().await.unwrap();
    let first = mount(bind().await, hub(|_| {}));
    let lookup = MemoryLookup::new();
    lookup.add_endpoint_info(first.endpoint().addr());
    let here = raw::builder().address_lookup(lookup.clone()).bind().await.unwrap();
    let pubsub = PubSub::new(Spoke::iroh(&here, key.public(), soon()).await.unwrap());
    let mut heard = pubsub.subscribe_envelopes("n", "").await.unwrap();
    for number in 1..=10 {
        pubsub.publish_json("n", "", &number).await.unwrap();
    }
    assert_eq!(numbers(&mut heard, 10).await, (1..=10).collect::<Vec<_>>());

    // Without a goodbye of the hub's.
    let old = first.endpoint().addr();
    first.endpoint().close().await;
    drop(first);
    let second = mount(bind().await, hub(|_| {}));
    assert_ne!(second.endpoint().addr(), old);
    lookup.set_endpoint_info(second.endpoint().addr());
    let gap = tokio::time::timeout(LONG, heard.next()).await.expect("found again");
    assert!(matches!(gap, Some(Item::Gap(_))), "{gap:?}");
    for number in 11..=20 {
        pubsub.publish_json("n", "", &number).await.unwrap();
    }
    assert_eq!(numbers(&mut heard, 20).await, (11..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_hub_has_byte_streams_and_iroh() {
    use alkpubsub::ByteStreamHubEventTarget;
    let streams = ByteStreamHubEventTarget::try_new(HubOptions::new().relay()).unwrap();
    let router = mount(raw::endpoint().await, IrohHubEventTarget::of(streams.share()));
    let (near, far) = tokio::io::duplex(4096);
    streams.add_connection(far, None).await.unwrap();
    let by_stream = PubSub::new(alkpubsub::ByteStreamEventTarget::new(near));
    let here = raw::endpoint().await;
    let by_key = PubSub::new(spoke(&here, &router).await);
    let mut heard = by_key.subscribe_envelopes("n", "").await.unwrap();
    by_stream.publish_json("n", "", &1).await.unwrap();
    assert_eq!(numbers(&mut heard, 1).await, [1]);
    // The hub outlives its router.
    router.shutdown().await.unwrap();
    assert!(by_stream.subscribe_envelopes("n", "").await.is_ok());
    // And ends with it in one go.
    streams.shutdown(Duration::from_secs(1)).await;
}

/// cargo nextest run -p alkpubsub --all-features --test iroh --run-ignored only
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some seconds and 1,000 connections' memory"]
async fn a_thousand_spokes_on_one_hub() {
    let router = mount(raw::endpoint().await, hub(|_| {}));
    let here = raw::endpoint().await;
    let publisher = PubSub::new(spoke(&here, &router).await);
    let mut joining = tokio::task::JoinSet::new();
    // A thousand handshakes at once would take longer than each may, on a machine that is busy.
    let turns = Arc::new(tokio::sync::Semaphore::new(50));
    for _ in 0..1_000 {
        let (here, router, turns) = (here.clone(), router.clone(), turns.clone());
        joining.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let pubsub = PubSub::new(spoke(&here, &router).await);
            pubsub.subscribe_envelopes("n", "").await.unwrap()
        });
    }
    let mut all = joining.join_all().await;
    for number in 1..=20 {
        publisher.publish_json("n", "", &number).await.unwrap();
    }
    for heard in &mut all {
        assert_eq!(numbers(heard, 20).await, (1..=20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn through_a_relay_where_there_is_no_direct_path_and_again_when_it_was_away() {
    let relay = Relay::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (url, address): (iroh::RelayUrl, _) = (relay.url().parse().unwrap(), relay.address());
    // Without a socket of its own, an endpoint has the relay alone.
    let endpoint = async || {
        let relays = iroh::RelayMode::custom([url.clone()]);
        let builder = Endpoint::builder(iroh::endpoint::presets::Minimal).relay_mode(relays);
        let endpoint = builder.clear_ip_transports().bind().await.unwrap();
        tokio::time::timeout(LONG, endpoint.online()).await.expect("the relay is there");
        endpoint
    };
    let (here, there) = tokio::join!(endpoint(), endpoint());
    assert!(there.addr().ip_addrs().next().is_none(), "{:?}", there.addr());
    let router = mount(there, hub(|_| {}));
    let mut options = soon();
    options.heartbeat.interval = Duration::from_millis(200);
    options.heartbeat.timeout = Duration::from_millis(500);
    let spoke = Spoke::iroh(&here, router.endpoint().addr(), options).await.unwrap();
    let mut states = spoke.states();
    let pubsub = PubSub::new(spoke);
    let mut heard = pubsub.subscribe_envelopes("n", "").await.unwrap();
    for number in 1..=100 {
        pubsub.publish_json("n", "", &number).await.unwrap();
    }
    assert_eq!(numbers(&mut heard, 100).await, (1..=100).collect::<Vec<_>>());

    relay.shutdown().await.unwrap();
    while !matches!(states.next().await, Some(alkpubsub::SpokeState::Waiting { .. })) {}
    assert!(pubsub.publish_json("n", "", &0).await.is_err(), "there is no way");
    let _again = Relay::listen(address).await.unwrap();
    let gap = tokio::time::timeout(2 * LONG, heard.next()).await.expect("the relay is found again");
    assert!(matches!(gap, Some(Item::Gap(_))), "{gap:?}");
    for number in 101..=200 {
        pubsub.publish_json("n", "", &number).await.unwrap();
    }
    assert_eq!(numbers(&mut heard, 200).await, (101..=200).collect::<Vec<_>>());
}
