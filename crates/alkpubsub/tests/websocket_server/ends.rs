//! How connections and hubs end.

use crate::support::{
    Heard, Hub, REQUEST, Raw, close, envelope, frame, limits, recorded, subscribe, text, within,
};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{CloseReason, DispatchError, EventEnvelope, EventTarget, Notice, Readiness};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_peers_close_is_answered_after_all_that_came_before_it() {
    let hub = Hub::relaying().await;
    let mut client = hub.subscriber(&["a:b"]).await;
    let mut burst = Vec::new();
    for number in 0..200 {
        burst.extend(text(&envelope("a", "b", &number.to_string())));
    }
    burst.extend(text(&envelope("__ping", "", "{}")));
    burst.extend(close(4321));
    // What comes behind a close is nobody's.
    burst.extend(text(&envelope("a", "b", "-1")));
    client.send(burst).await;
    for number in 0..200 {
        assert_eq!(client.text().await, envelope("a", "b", &number.to_string()));
    }
    assert!(client.text().await.contains("__pong"));
    assert_eq!(client.next().await, Heard::Close(Some(4321), String::new()));
    assert_eq!(client.next().await, Heard::End);
    hub.until_empty().await;
}

/// What stays unread in the kernel would turn the end of the stream into a reset, which takes what the peer has not
/// read from it.
#[tokio::test]
async fn a_peer_that_sends_more_behind_its_close_still_gets_its_answer() {
    let hub = Hub::relaying().await;
    for _ in 0..20 {
        let mut client = hub.subscriber(&["a:b"]).await;
        let mut burst = text(&envelope("a", "b", "1"));
        burst.extend(close(1000));
        burst.extend(text(&envelope("a", "b", "2")).repeat(5000));
        client.send(burst).await;
        hub.until_empty().await;
        assert_eq!(client.text().await, envelope("a", "b", "1"));
        assert_eq!(client.next().await, Heard::Close(Some(1000), String::new()));
        assert_eq!(client.next().await, Heard::End);
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_within_a_frame_leaves_nothing() {
    let (hub, mut record) = recorded(ServerOptions::new().relay()).await;
    for cut in [1, 2, 5, 20] {
        let mut client = hub.subscriber(&["a:b"]).await;
        record.connected().await;
        client.send(&text(&envelope("a", "b", "1"))[..cut]).await;
        if cut % 2 == 0 {
            drop(client);
        } else {
            client.reset();
        }
        assert_eq!(record.disconnected().await.1.code(), 1006);
    }
    hub.until_empty().await;
    assert_eq!(hub.stats().bad_input, 0);
}

#[tokio::test]
async fn shutdown_writes_what_waits_and_takes_events_until_the_peer_closes() {
    let hub = Hub::relaying().await;
    let mut heard = hub.hear("a:b");
    let mut client = hub.subscriber(&["c:d"]).await;
    let mut idle = hub.client().await;
    for number in 0..1000 {
        hub.dispatch("c", "d", &number);
    }
    let target = hub.target.clone();
    let shutdown = tokio::spawn(async move { target.shutdown(Duration::from_secs(30)).await });
    for number in 0..1000 {
        assert_eq!(client.text().await, envelope("c", "d", &number.to_string()));
    }
    assert_eq!(client.next().await, Heard::Close(Some(1001), "the hub shuts down".into()));
    // Neither side hears it, and no word comes behind a close; the event still counts.
    client.send_text(&subscribe("c:e")).await;
    client.publish("a", "b", "7").await;
    client.send(close(1001)).await;
    client.ends().await;
    let event = crate::support::next("the event", &mut heard).await;
    assert_eq!(event.payload::<u32>().unwrap(), 7);
    assert!(!shutdown.is_finished(), "one is left");
    idle.is_closed_with(1001).await;
    hub.until("closed to events, as nothing can come behind a close", |_| {
        let late = hub.dispatch_event(EventEnvelope::new("c", "d", &1).unwrap());
        matches!(late, Err(DispatchError::Closed(_)))
    })
    .await;
    let mut late = Raw::over(Raw::tcp(hub.address).await);
    late.send(REQUEST).await;
    assert!(late.head().await.starts_with("HTTP/1.1 503 "));
    assert!(hub.add_connection(tokio::io::duplex(64).0, None).await.is_err());
    idle.send(close(1001)).await;
    idle.ends().await;
    within("the shutdown", shutdown).await.unwrap();
    assert_eq!(hub.closed().await, CloseReason::Closed);
    assert_eq!(hub.stats().topics, 0);
}

#[tokio::test]
async fn shutdown_ends_in_time_with_peers_that_do_not_answer() {
    let hub = Hub::relaying().await;
    let client = hub.client().await;
    let began = Instant::now();
    within("the shutdown", hub.shutdown(Duration::from_millis(50))).await;
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    drop(client);
    hub.until_empty().await;
}

#[tokio::test]
async fn a_second_shutdown_may_be_shorter() {
    let hub = Hub::relaying().await;
    let _silent = hub.client().await;
    let mut client = hub.client().await;
    let target = hub.target.clone();
    // Nobody can wait that long, and no sum of times may overflow.
    let patient = tokio::spawn(async move { target.shutdown(Duration::MAX).await });
    client.is_closed_with(1001).await;
    let began = Instant::now();
    within("the second", hub.shutdown(Duration::ZERO)).await;
    within("the first", patient).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
}

#[tokio::test]
async fn close_is_idempotent_and_nothing_is_taken_after_it() {
    let hub = Hub::relaying().await;
    let mut closed = hub.notices("close");
    let mut heard = hub.hear("a:b");
    let mut client = hub.subscriber(&["a:b"]).await;
    hub.dispatch("a", "b", &1);
    hub.close();
    hub.close();
    let late = hub.dispatch_event(EventEnvelope::new("a", "b", &2).unwrap());
    assert!(matches!(late, Err(DispatchError::Closed(CloseReason::Closed))), "{late:?}");
    assert_eq!(hub.ready("a:b").await, Readiness::Closed);
    assert!(hub.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| ())).is_err());
    assert!(matches!(closed.recv().await, Some(Notice::Close(CloseReason::Closed))));
    assert!(closed.recv().await.is_none());
    assert_eq!(client.text().await, envelope("a", "b", "1"), "it was taken before the close");
    client.publish("a", "b", "3").await;
    client.closes_with(1001).await;
    within("the end", hub.closed()).await;
    within("room", hub.room()).await;
    assert!(heard.recv().await.is_none(), "nothing is heard after a close");
    hub.close();
    hub.until_empty().await;
}

/// `closed` tells that no listener runs and none is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_resolves_after_the_close_notice() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    for program_closes in [true, false] {
        let hub = Hub::relaying().await;
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        let (begin, mut began) = tokio::sync::mpsc::unbounded_channel();
        let slow = alkpubsub::on_notice(move |_| {
            begin.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            tell.store(true, SeqCst);
        });
        hub.add_event_listener("close", Arc::new(slow)).unwrap();
        let target = hub.target.clone();
        let closing = tokio::spawn(async move {
            if program_closes {
                target.close();
            } else {
                target.shutdown(Duration::ZERO).await;
            }
        });
        crate::support::next("the notice", &mut began).await;
        within("the end", hub.closed()).await;
        assert!(told.load(SeqCst), "program_closes: {program_closes}");
        within("closing", closing).await.unwrap();
    }
}

#[test]
fn dropping_the_target_ends_everything() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let hub = Hub::relaying().await;
        let mut clients = vec![hub.subscriber(&["a:b"]).await, hub.client().await];
        let half = Raw::over(Raw::tcp(hub.address).await);
        clients.push(half);
        assert!(tasks() >= before + 2);
        drop(hub);
        for client in &mut clients {
            client.ends().await;
        }
        within("the end of all tasks", async {
            while tasks() > before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

/// Serving ends with the hub, and with it the handshakes under way.
#[tokio::test]
async fn serving_ends_when_the_hub_is_closed() {
    let mut hub = Hub::relaying().await;
    let mut half = Raw::over(Raw::tcp(hub.address).await);
    half.send(&REQUEST[..30]).await;
    hub.client().await;
    hub.close();
    // The one client there was has gone without a word.
    within("serving", &mut hub.serving).await.unwrap().unwrap();
    half.ends().await;
}

#[tokio::test]
async fn a_connection_added_while_the_hub_ends_is_not_taken_and_holds_nothing_up() {
    let hub = Hub::relaying().await;
    let mut client = hub.client().await;
    client.flush().await;
    let target = hub.target.clone();
    // Both orders are given before the hub's task runs: the place was taken while the hub was open.
    let adding = tokio::spawn({
        let target = hub.target.clone();
        async move { target.add_connection(tokio::io::duplex(64).0, None).await.map(|_| ()) }
    });
    let shutdown = tokio::spawn(async move {
        target.shutdown(Duration::from_secs(600)).await;
    });
    let mut half = Raw::over(Raw::tcp(hub.address).await);
    half.send(&REQUEST[..30]).await;
    client.closes_with(1001).await;
    let _ = within("the answer", adding).await.unwrap();
    within("the shutdown", shutdown).await.unwrap();
    hub.until_empty().await;
}

/// A handshake that was begun before the shutdown and ends within it.
#[tokio::test]
async fn a_handshake_that_ends_while_the_hub_does_holds_nothing_up() {
    let hub = Hub::relaying().await;
    let mut stays = hub.client().await;
    let mut half = Raw::over(Raw::tcp(hub.address).await);
    half.send(&REQUEST[..30]).await;
    // Accepted, in its turn, before this one.
    hub.client().await.leave().await;
    hub.until("with one link", |stats| stats.links == 1).await;
    let target = hub.target.clone();
    let shutdown = tokio::spawn(async move { target.shutdown(Duration::from_secs(600)).await });
    stays.is_closed_with(1001).await;
    half.send(&REQUEST[30..]).await;
    let head = half.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: "), "{head}");
    assert_eq!(half.rest().await, "the hub shuts down\n");
    drop(half);
    stays.send(close(1001)).await;
    within("the shutdown", shutdown).await.unwrap();
    hub.until_empty().await;
}

/// The hub said something bad of the peer; the peer answers, and the hub is the one that ends the stream.
#[tokio::test]
async fn a_client_that_answers_the_hubs_close_need_not_wait() {
    let hub = Hub::relaying().await;
    // Bad input that ends it; an error of frames; and an error that came together with the handshake.
    let bad_text = frame(0x81, b"\xff");
    let bad_frame = frame(0x83, b"");
    for (together, bad) in [(false, &bad_text), (false, &bad_frame), (true, &bad_text), (true, &bad_frame)] {
        let mut client = if together {
            let mut client = Raw::over(Raw::tcp(hub.address).await);
            client.send([REQUEST.as_bytes(), bad].concat()).await;
            client.head().await;
            client
        } else {
            let mut client = hub.client().await;
            client.send(bad).await;
            client
        };
        let Heard::Close(Some(_), _) = client.next().await else { panic!() };
        let began = Instant::now();
        client.send(close(1000)).await;
        assert_eq!(client.next().await, Heard::End);
        drop(client);
        hub.until_empty().await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_peer_that_neither_reads_nor_answers_a_close_is_dropped_after_a_while() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let (near, mut far) = tokio::io::duplex(8);
    hub.add_connection(near, None).await.unwrap();
    let spoke = record.connected().await;
    spoke.dispatch_event(EventEnvelope::new("a", "b", &1).unwrap()).unwrap();
    spoke.disconnect(1008, "no more");
    // It goes on talking, which does not keep it.
    let talk =
        tokio::spawn(async move { while far.write_all(&text(&envelope("a", "b", "1"))).await.is_ok() {} });
    let (_, reason) = record.disconnected().await;
    assert_eq!(reason.code(), 1008);
    within("the end", talk).await.unwrap();
    hub.until_empty().await;
}

#[tokio::test]
async fn silent_peers_are_pinged_and_those_that_do_not_answer_are_dropped() {
    let (hooks, mut record) = crate::support::Recorder::new();
    let options = ServerOptions::new().hooks(hooks).limits(limits(|limits| {
        limits.ping_interval = Duration::from_secs(1);
        limits.ping_timeout = Duration::from_secs(1);
    }));
    let hub = Hub::start(options).await;
    let mut answers = hub.client().await;
    let alive = record.connected().await;
    let mut dead = hub.client().await;
    let dead_link = record.connected().await.id();
    let answering = tokio::spawn(async move {
        for _ in 0..3 {
            let Heard::Ping(payload) = answers.next().await else { panic!() };
            answers.send(frame(0x8a, &payload)).await;
        }
        answers
    });
    let (link, reason) = record.disconnected().await;
    assert_eq!(link, dead_link);
    assert!(matches!(reason, CloseReason::Lost { .. }), "{reason:?}");
    assert_eq!(dead.next().await, Heard::Ping(vec![]));
    dead.ends().await;
    within("three pings", answering).await.unwrap().flush().await;
    assert_eq!(alive.stats().links, 1);
}
