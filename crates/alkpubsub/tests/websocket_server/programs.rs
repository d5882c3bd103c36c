//! What programs do with a hub: presence, admission in a hook, publishers on threads, connections that move.

use crate::support::{Heard, Hub, Raw, Recorder, envelope, limits, next, within};
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{CloseReason, DispatchError, EventEnvelope, EventTarget, WebSocketServerEventTarget};
use std::sync::{Arc, OnceLock, Weak};

/// Tells everyone who comes and goes, and turns away who was not expected.
#[derive(Clone, Default)]
struct Presence(Arc<OnceLock<Weak<WebSocketServerEventTarget>>>);

impl Presence {
    fn tell(&self, what: &str, spoke: &Spoke) {
        let event = EventEnvelope::new("presence", what, &spoke.id().to_string()).unwrap();
        if let Some(hub) = self.0.get().and_then(Weak::upgrade) {
            hub.dispatch_event(event).unwrap();
        }
    }
}

impl HubHooks for Presence {
    fn connected(&self, spoke: &Arc<Spoke>) {
        self.tell("joined", spoke);
        let hello = EventEnvelope::new("hello", "", &spoke.id().to_string()).unwrap();
        spoke.dispatch_event(hello).unwrap();
        if spoke.identity() == Some("unwanted") {
            spoke.disconnect(1008, "who are you?");
        }
    }

    fn disconnected(&self, spoke: &Arc<Spoke>, _: &CloseReason) {
        self.tell("left", spoke);
    }
}

#[tokio::test]
async fn hooks_may_dispatch_and_disconnect() {
    let presence = Presence::default();
    let hub = Hub::start(ServerOptions::new().hooks(presence.clone())).await;
    presence.0.set(Arc::downgrade(&hub.target)).unwrap();
    let mut watcher = hub.client().await;
    watcher.text().await;
    for topic in ["presence:joined", "presence:left"] {
        watcher.subscribe(topic).await;
    }
    let mut guest = hub.client().await;
    let hello = guest.text().await;
    let link = hello.split('"').nth(11).unwrap().to_owned();
    assert_eq!(hello, envelope("hello", "", &format!("\"{link}\"")), "behind the handshake, before all else");
    assert_eq!(watcher.text().await, envelope("presence", "joined", &format!("\"{link}\"")));
    guest.reset();
    assert_eq!(watcher.text().await, envelope("presence", "left", &format!("\"{link}\"")));
    // Turned away behind its greeting.
    let (near, far) = tokio::io::duplex(1000);
    let unwanted = hub.add_connection(near, Some("unwanted")).await.unwrap();
    let mut far = Raw::over(far);
    far.text().await;
    assert_eq!(far.closes_with(1008).await, "who are you?");
    assert_eq!(within("the end", unwanted.closed()).await.code(), 1008);
    let link = unwanted.id();
    assert_eq!(watcher.text().await, envelope("presence", "joined", &format!("\"{link}\"")));
    assert_eq!(watcher.text().await, envelope("presence", "left", &format!("\"{link}\"")));
}

/// Sockets that take a few bytes at a time: every cut of a frame, and of several in one write, comes up.
#[tokio::test]
async fn sockets_of_any_size_carry_everything_in_order() {
    let options = ServerOptions::new().limits(limits(|limits| limits.max_outbound = 16 << 20));
    let hub = Hub::start(options).await;
    let sizes = (0..200).map(|number: usize| [0, 1, 100, 130, 500][number % 5] * (number % 7));
    let events: Vec<_> = sizes.map(|size| EventEnvelope::new("a", "b", &"x".repeat(size)).unwrap()).collect();
    let mut readers = tokio::task::JoinSet::new();
    for room in [3, 7, 64, 1000, 70_000] {
        let (near, far) = tokio::io::duplex(room);
        hub.add_connection(near, None).await.unwrap();
        let mut client = Raw::over(far);
        client.subscribe("a:b").await;
        let events = events.clone();
        readers.spawn(async move {
            for (number, event) in events.iter().enumerate() {
                // The hub's own answers stand between the events, wherever.
                if number % 50 == 0 {
                    client.send(crate::support::frame(0x89, b"")).await;
                }
                let text = loop {
                    match client.next().await {
                        Heard::Text(text) => break text,
                        Heard::Pong(_) => {}
                        other => panic!("{other:?}"),
                    }
                };
                assert!(text == event.to_json().unwrap(), "event {number} of room {room}");
            }
        });
    }
    for event in &events {
        hub.dispatch_event(event.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    within("the readers", async { while readers.join_next().await.transpose().unwrap().is_some() {} }).await;
    hub.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_on_threads_wait_for_room_and_lose_nothing() {
    let hub = Hub::start(ServerOptions::new().limits(limits(|limits| limits.max_outbound = 64 << 20))).await;
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    let (publishers, events) = (4, 5000);
    let mut publishing = tokio::task::JoinSet::new();
    for publisher in 0..publishers {
        let target = hub.target.clone();
        publishing.spawn(async move {
            for number in 0..events {
                let event = EventEnvelope::new("a", "b", &[publisher, number]).unwrap();
                while let Err(error) = target.dispatch_event(event.clone()) {
                    assert!(matches!(error, DispatchError::Full), "{error:?}");
                    within("room", target.room()).await;
                }
            }
        });
    }
    let mut expected = vec![0; publishers];
    for _ in 0..publishers * events {
        let text = subscriber.text().await;
        let [publisher, number] = EventEnvelope::parse(text).unwrap().payload::<[usize; 2]>().unwrap();
        assert_eq!(number, expected[publisher]);
        expected[publisher] += 1;
    }
    within("the publishers", async { while publishing.join_next().await.transpose().unwrap().is_some() {} })
        .await;
    assert_eq!(subscriber.flush().await, [""; 0]);
}

/// A connection goes back and forth between two hubs while its peer talks on: between them they hear all of it once.
#[tokio::test]
async fn a_connection_that_moves_loses_nothing_of_what_its_peer_sends() {
    let (one, two) = (Hub::start(ServerOptions::new()).await, Hub::start(ServerOptions::new()).await);
    let (heard, mut events) = tokio::sync::mpsc::unbounded_channel();
    for hub in [&one, &two] {
        let heard = heard.clone();
        let listener = move |event: &EventEnvelope| heard.send(event.payload::<u32>().unwrap()).unwrap();
        hub.add_event_listener("a:b", Arc::new(listener)).unwrap();
    }
    let (near, far) = tokio::io::duplex(4096);
    let mut spoke = one.add_connection(near, None).await.unwrap();
    let talking = tokio::spawn(async move {
        let mut client = Raw::over(far);
        for number in 0..1000 {
            client.publish("a", "b", &number.to_string()).await;
            tokio::task::yield_now().await;
        }
        client
    });
    let (mut from, mut to, mut moves) = (&one, &two, 0);
    while !talking.is_finished() {
        if let Some(socket) = within("the answer", from.remove_connection(spoke.id())).await {
            spoke = to.add_connection(socket, None).await.unwrap();
            std::mem::swap(&mut from, &mut to);
            moves += 1;
        }
        tokio::task::yield_now().await;
    }
    for number in 0..1000 {
        assert_eq!(next("an event", &mut events).await, number);
    }
    assert!(moves > 10, "{moves}");
    talking.await.unwrap().leave().await;
}

/// Who gives up waiting for the socket has not taken it.
#[tokio::test]
async fn a_removal_that_nobody_waits_for_does_not_happen() {
    let (hooks, mut record) = Recorder::new();
    let hub = Hub::start(ServerOptions::new().relay().hooks(hooks)).await;
    let mut client = hub.subscriber(&["a:b"]).await;
    let spoke = record.connected().await;
    {
        let mut removal = std::pin::pin!(hub.remove_connection(spoke.id()));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(removal.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "the hub's task has not run yet");
    }
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [envelope("a", "b", "1")]);
}

#[tokio::test]
async fn one_hub_serves_several_listeners() {
    let hub = Hub::relaying().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = hub.target.clone();
    let serving = tokio::spawn(async move { target.serve(listener).await });
    let mut here = hub.subscriber(&["a:b"]).await;
    let mut there = Raw::connect(address).await;
    there.publish("a", "b", "1").await;
    assert_eq!(here.text().await, envelope("a", "b", "1"));
    hub.close();
    here.closes_with(1001).await;
    there.closes_with(1001).await;
    within("serving", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_program_flushed_was_written() {
    let hub = Hub::start(ServerOptions::new()).await;
    within("a flush of nothing", hub.flush()).await;
    let mut client = hub.subscriber(&["a:b"]).await;
    for number in 0..100 {
        hub.dispatch("a", "b", &number);
    }
    within("the flush", hub.flush()).await;
    assert_eq!((hub.stats().sent, hub.stats().queued_messages), (100, 0));
    for number in 0..100 {
        assert_eq!(client.text().await, envelope("a", "b", &number.to_string()));
    }
    let target = hub.target.clone();
    target.close();
    within("a flush at the end", hub.flush()).await;
}
