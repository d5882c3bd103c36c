//! What only a certain order of things brings about.

use crate::support::{Hub, Raw, Recorder, close, envelope, frame, limits, recorded, text, within};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{DispatchError, EventEnvelope, EventTarget};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// A frame whose beginning the hub has read would be lost with the connection that is taken out.
#[tokio::test]
async fn a_connection_within_a_frame_of_its_peer_is_not_given_back() {
    let (hub, mut record) = recorded(ServerOptions::new().relay()).await;
    let mut client = hub.subscriber(&["a:b"]).await;
    let spoke = record.connected().await;
    let message = text(&envelope("a", "b", "1"));
    let (first, second) = message.split_at(10);
    client.send([&text(&envelope("__ping", "", "{}")), first].concat()).await;
    client.text().await;
    assert!(hub.remove_connection(spoke.id()).await.is_none());
    client.send(second).await;
    assert_eq!(client.text().await, envelope("a", "b", "1"));
    // Nor between the fragments of a message.
    client.send([text(&envelope("__ping", "", "{}")), frame(0x01, b"{\"type\":\"a\",")].concat()).await;
    client.text().await;
    assert!(hub.remove_connection(spoke.id()).await.is_none());
    client.send(frame(0x80, b"\"id\":\"b\"}")).await;
    client.text().await;
    assert!(hub.remove_connection(spoke.id()).await.is_some());
}

/// Also where the rest of a frame of the hub's own is still to be written.
#[tokio::test]
async fn a_connection_within_a_frame_of_the_hub_is_not_given_back() {
    let hub = Hub::start(ServerOptions::new()).await;
    let (near, far) = tokio::io::duplex(8);
    let spoke = hub.add_connection(near, None).await.unwrap();
    spoke.dispatch_event(EventEnvelope::new("a", "b", &1).unwrap()).unwrap();
    assert!(hub.remove_connection(spoke.id()).await.is_none());
    let mut client = Raw::over(far);
    assert_eq!(client.text().await, envelope("a", "b", "1"));
    client.flush().await;
    assert!(hub.remove_connection(spoke.id()).await.is_some());
}

/// Publishers that never rest leave the hub time to read its sockets.
#[test]
fn a_flood_of_the_programs_own_does_not_starve_the_sockets() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = Hub::start(ServerOptions::new()).await;
        let mut subscriber = hub.subscriber(&["a:b"]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let flooding: Vec<_> = (0..2)
            .map(|_| {
                let (target, stop) = (hub.target.clone(), stop.clone());
                std::thread::spawn(move || {
                    let event = EventEnvelope::new("nobody", "", &1).unwrap();
                    event.to_json().unwrap();
                    while !stop.load(SeqCst) {
                        match target.dispatch_event(event.clone()) {
                            Ok(()) | Err(DispatchError::Full) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        // The hub's task and this one share a thread: it has to yield, too.
        let asked = tokio::time::timeout(Duration::from_secs(20), async {
            for _ in 0..50 {
                subscriber.flush().await;
            }
        });
        let outcome = asked.await;
        stop.store(true, SeqCst);
        for flood in flooding {
            flood.join().unwrap();
        }
        outcome.expect("the hub answers its spokes");
    });
}

/// The task was held up; the answer to a ping lies in the socket all the while.
#[test]
fn an_answer_that_waits_in_the_socket_counts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (hooks, mut record) = Recorder::new();
        let options = ServerOptions::new().relay().hooks(hooks).limits(limits(|limits| {
            limits.ping_interval = Duration::from_secs(1);
            limits.ping_timeout = Duration::from_secs(1);
        }));
        let hub = Hub::start(options).await;
        hub.add_event_listener(
            "stall:",
            Arc::new(|_: &EventEnvelope| std::thread::sleep(Duration::from_secs(3))),
        )
        .unwrap();
        let mut client = hub.client().await;
        let mut stalling = hub.client().await;
        record.connected().await;
        record.connected().await;
        let crate::support::Heard::Ping(_) = client.next().await else { panic!() };
        stalling.publish("stall", "", "1").await;
        // Sent as soon as the hub has read the event, that is while it stands still.
        let mut blocking = client.socket.into_std().unwrap();
        let pong = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            blocking.set_nonblocking(false).unwrap();
            std::io::Write::write_all(&mut blocking, &frame(0x8a, b"")).unwrap();
            blocking
        });
        let seen = tokio::time::timeout(Duration::from_millis(3900), record.0.recv()).await;
        assert!(seen.is_err(), "{seen:?}");
        drop(pong.join());
    });
}

/// Slots are used again at once, by connections that have nothing to do with those before them.
#[tokio::test]
async fn slots_are_reused_while_old_sockets_still_wake_the_hub() {
    let (hub, mut record) = recorded(ServerOptions::new().relay()).await;
    let mut kept = Vec::new();
    for round in 0..200 {
        let mut client = hub.subscriber(&["a:b"]).await;
        let spoke = record.connected().await;
        client.publish("a", "b", &round.to_string()).await;
        assert_eq!(client.text().await, envelope("a", "b", &round.to_string()));
        match round % 3 {
            // Taken out: the socket keeps the waker of its slot, and the peer goes on talking.
            0 => {
                kept.push((hub.remove_connection(spoke.id()).await.unwrap(), client));
            }
            1 => drop(client),
            _ => client.reset(),
        }
        for (_, client) in &mut kept {
            client.publish("a", "b", "-1").await;
        }
        record.disconnected().await;
    }
    hub.until_empty().await;
    assert_eq!(hub.stats().received, 200);
}

/// Many end at once, some of them found out by a write in the middle of a fan-out.
#[tokio::test]
async fn links_that_end_within_a_fan_out_harm_nobody() {
    let hub = Hub::relaying().await;
    let mut publisher = hub.subscriber(&["a:b"]).await;
    for round in 0..20 {
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(hub.subscriber(&["a:b"]).await);
        }
        for (number, mut client) in clients.into_iter().enumerate() {
            match number % 4 {
                0 => client.reset(),
                1 => client.send(close(1000)).await,
                2 => client.send(&text(&envelope("a", "b", "1"))[..3]).await,
                _ => drop(client),
            }
            publisher.publish("a", "b", &round.to_string()).await;
            assert_eq!(publisher.text().await, envelope("a", "b", &round.to_string()));
        }
    }
    hub.until("left by all but one", |stats| stats.links == 1).await;
    let stats = hub.until("without anything queued", |stats| stats.queued_messages == 0).await;
    assert_eq!((stats.topics, stats.queued_bytes, stats.received), (1, 0, 600));
}

/// Ends of a hub from its own task: a listener closes it, a hook drops the last handle.
#[tokio::test]
async fn a_listener_may_close_the_hub_that_calls_it() {
    let hub = Hub::relaying().await;
    let target = Arc::downgrade(&hub.target);
    let closes = move |_: &EventEnvelope| target.upgrade().unwrap().close();
    hub.add_event_listener("a:b", Arc::new(closes)).unwrap();
    let mut after = hub.hear("a:b");
    let mut client = hub.client().await;
    client.publish("a", "b", "1").await;
    client.closes_with(1001).await;
    within("the end", hub.closed()).await;
    assert!(after.recv().await.is_none(), "nothing is heard after the close notice");
}

#[tokio::test]
async fn a_listener_may_own_the_hub_that_calls_it() {
    let hub = Hub::relaying().await;
    let mut client = hub.client().await;
    let own = std::sync::Mutex::new(Some(hub.target.clone()));
    let drops = move |_: &EventEnvelope| drop(own.lock().unwrap().take());
    hub.add_event_listener("a:b", Arc::new(drops)).unwrap();
    hub.serving.abort();
    within("the end of serving", async {
        while !hub.serving.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(hub);
    client.publish("a", "b", "1").await;
    client.ends().await;
}

/// A sum of times that is too large for a `Duration` must not end the task.
#[tokio::test]
async fn a_peer_may_have_forever_to_answer_a_ping() {
    let hub = Hub::with_limits(|limits| {
        limits.ping_interval = Duration::from_secs(1);
        limits.ping_timeout = Duration::MAX;
    })
    .await;
    let mut client = hub.client().await;
    let crate::support::Heard::Ping(_) = client.next().await else { panic!() };
    // Two looks later it is there still.
    let until = tokio::time::Instant::now() + Duration::from_millis(2200);
    tokio::time::sleep_until(until).await;
    assert_eq!(client.flush().await, [""; 0]);
}

/// Nor do spokes that never rest: whoever comes is let in meanwhile, and whoever asks is answered.
#[test]
fn a_flood_of_a_spokes_does_not_keep_others_out() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = Hub::start(ServerOptions::new()).await;
        let mut flooding = std::net::TcpStream::connect(hub.address).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let flood = std::thread::spawn(move || {
            let events = text(&envelope("nobody", "", "1")).repeat(10_000);
            // Until the hub is gone.
            let mut sent = flooding.write_all(request.as_bytes());
            while sent.is_ok() {
                sent = flooding.write_all(&events);
            }
        });
        hub.until("flooded", |stats| stats.received > 10_000).await;
        let served = tokio::time::timeout(Duration::from_secs(5), async {
            for _ in 0..5 {
                hub.client().await.flush().await;
            }
        });
        let outcome = served.await;
        hub.target.shutdown(Duration::ZERO).await;
        flood.join().unwrap();
        outcome.expect("others are served");
    });
}
