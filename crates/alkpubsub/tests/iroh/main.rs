//! iroh on loopback: who may come, how connections end.

mod faults;
#[path = "../support/iroh.rs"]
mod raw;

use alkpubsub::hub::HubOptions;
use alkpubsub::iroh::ALPN;
use alkpubsub::{
    ByteStreamOptions, CloseReason, ConnectError, EventEnvelope, EventTarget, IrohHubEventTarget,
    IrohSpokeEventTarget, Item, PubSub, Readiness, Spoke, SpokeOptions, Subscription,
};
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
