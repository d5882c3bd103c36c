//! What goes wrong, each with its outcome: peers that are none, peers that say nothing or do not read, a hub that moves, a
//! relay that is away, a crowd.

use super::*;
use alkpubsub_test_relay::Relay;
use iroh::address_lookup::MemoryLookup;

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
async fn who_asks_for_another_protocol_disturbs_nobody() {
    let hub = Arc::new(hub(|_| {}));
    let router = mount(raw::endpoint().await, hub.clone());
    let here = raw::endpoint().await;
    let spoke = spoke(&here, &router).await;
    spoke.ping().await.unwrap();
    here.connect(router.endpoint().addr(), b"alkpubsub/2").await.unwrap_err();
    spoke.ping().await.unwrap();
    assert_eq!(hub.stats().connections, 1);
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

/// Its endpoint is there, and answers for it: QUIC sees nothing of this.
#[tokio::test]
async fn a_hub_that_falls_silent_is_given_up() {
    let (here, there) = (raw::endpoint().await, raw::accepting().await);
    let mut options = ByteStreamOptions::DEFAULT;
    (options.heartbeat.interval, options.heartbeat.timeout) =
        (Duration::from_millis(100), Duration::from_millis(500));
    let (spoke, raw) =
        tokio::join!(IrohSpokeEventTarget::connect(&here, there.addr(), options), RawStream::accept(&there));
    let (spoke, mut raw) = (spoke.unwrap(), raw.unwrap());
    // One that never answers counts as one that does not know pings.
    let ping = frame(&mut raw).await.unwrap();
    let echo =
        ping.strip_prefix(r#"{"type":"__ping","id":"","payload":"#).unwrap().strip_suffix('}').unwrap();
    let pong =
        format!(r#"{{"type":"__pong","id":"","payload":{{"echo":{echo},"protocol":1,"features":[]}}}}"#);
    raw.write_all(&framed(&pong)).await.unwrap();
    let reason = tokio::time::timeout(LONG, spoke.closed()).await.expect("given up");
    assert!(reason.to_string().contains("answers no ping"), "{reason}");
    assert_eq!(code(&raw).await.0, 1006);
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

/// `./test soak` runs it.
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
