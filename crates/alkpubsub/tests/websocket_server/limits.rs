//! Every bound of a hub, from both sides of it.

use crate::support::{Hub, Raw, Recorder, denied, envelope, limits, recorded, subscribe, text, within};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{CloseReason, DispatchError, EventEnvelope, EventTarget};
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

#[tokio::test]
async fn a_topic_of_256_bytes_is_too_long_and_the_limit_can_be_moved() {
    let hub = Hub::with_limits(|limits| limits.max_topic = 10).await;
    let mut client = hub.subscriber(&["a:12345678"]).await;
    client.send_text(&subscribe("a:123456789")).await;
    assert_eq!(client.text().await, denied("a:123456789", "subscribe", "topic_too_long"));
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed_and_the_others_get_everything_in_order() {
    let (hooks, mut record) = Recorder::new();
    let hub = Hub::start(ServerOptions::new().relay().hooks(hooks)).await;
    let stuck = hub.subscriber(&["a:b"]).await;
    let stuck_link = record.connected().await.id();
    let mut reader = hub.subscriber(&["a:b"]).await;
    record.connected().await;
    let mut publisher = hub.client().await;
    record.connected().await;
    let filler = "x".repeat(10_000);
    // The kernel's buffers take some MiB before anything waits in the hub.
    let mut sent = 0;
    loop {
        publisher.publish("a", "b", &format!(r#"[{sent},"{filler}"]"#)).await;
        assert_eq!(reader.text().await, envelope("a", "b", &format!(r#"[{sent},"{filler}"]"#)));
        sent += 1;
        if let Ok(crate::support::Saw::Backpressure(link, queued)) = record.0.try_recv() {
            assert_eq!(link, stuck_link);
            assert!(queued > 1 << 20 && queued < (1 << 20) + 20_000, "{queued}");
            break;
        }
        assert!(sent < 10_000, "never too much");
    }
    assert_eq!(reader.flush().await, [""; 0]);
    let stats = hub.stats();
    assert_eq!((stats.too_slow, stats.links), (1, 3));
    assert!(stats.queued_bytes < 100, "what waited is gone, the close frame is there: {stats:?}");
    assert!(stats.dropped > 90, "{stats:?}");
    // It reads on: everything up to the bound is there, in order, then the close.
    let mut stuck = stuck;
    let mut expected = 0;
    let reason = loop {
        match stuck.next().await {
            crate::support::Heard::Text(text) => {
                assert_eq!(text, envelope("a", "b", &format!(r#"[{expected},"{filler}"]"#)));
                expected += 1;
            }
            crate::support::Heard::Close(code, reason) => {
                assert_eq!(code, Some(1013));
                break reason;
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(reason.contains("too slow") && expected < sent, "{reason}");
    assert_eq!(u64::try_from(sent - expected).unwrap(), hub.stats().dropped);
    stuck.send(crate::support::close(1013)).await;
    stuck.ends().await;
    let (link, reason) = record.disconnected().await;
    assert_eq!((link, reason.code()), (stuck_link, 1013));
    assert!(matches!(reason, CloseReason::Refused { .. }));
}

#[tokio::test]
async fn where_too_much_waits_for_all_together_the_fullest_goes() {
    let (hooks, mut record) = Recorder::new();
    let options = ServerOptions::new().hooks(hooks).limits(limits(|limits| {
        limits.max_outbound_total = 100_000;
    }));
    let hub = Hub::start(options).await;
    let mut links = Vec::new();
    let mut pipes = Vec::new();
    for _ in 0..3 {
        let (near, far) = tokio::io::duplex(64);
        links.push(hub.add_connection(near, None).await.unwrap());
        record.connected().await;
        pipes.push(far);
    }
    let event = |size: usize| EventEnvelope::new("a", "b", &"x".repeat(size)).unwrap();
    for (spoke, size) in links.iter().zip([30_000, 40_000, 20_000]) {
        spoke.dispatch_event(event(10)).unwrap();
        spoke.dispatch_event(event(size)).unwrap();
    }
    hub.until("waiting", |stats| stats.queued_bytes > 60_000).await;
    assert!(record.0.try_recv().is_err(), "all together they are within the bound");
    links[2].dispatch_event(event(15_000)).unwrap();
    let (link, queued) = record.backpressure().await;
    assert_eq!(link, links[1].id(), "the fullest, not the one that broke the bound");
    assert!(queued > 40_000, "{queued}");
    let mut second = Raw::over(pipes.remove(1));
    // What was begun is ended, then the close frame.
    assert_eq!(second.text().await, event(10).to_json().unwrap());
    second.is_closed_with(1013).await;
    assert_eq!(hub.stats().too_slow, 1);
    let mut first = Raw::over(pipes.remove(0));
    assert_eq!(first.text().await.len(), event(10).to_json().unwrap().len());
    assert_eq!(first.text().await.len(), event(30_000).to_json().unwrap().len());
}

/// The reader has a thread of its own, as it would have a process of its own.
#[test]
fn a_fast_reader_of_a_burst_is_not_closed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = Hub::relaying().await;
        let mut publishers = Vec::new();
        for _ in 0..40 {
            publishers.push(hub.client().await);
        }
        let reader = hub.subscriber(&["a:b"]).await;
        let mut socket = reader.socket.into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        let message = envelope("a", "b", &format!("\"{}\"", "x".repeat(1000)));
        // 40 sockets that have 100 KiB each to read: 4 MiB for one reader in one round.
        let burst = text(&message).repeat(100);
        let expected = 40 * 100 * (message.len() + 4);
        let reading = std::thread::spawn(move || {
            let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
            while total < expected {
                match socket.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => total += read,
                }
            }
            (total, socket)
        });
        for publisher in &mut publishers {
            let mut sent = 0;
            // As much as the kernel takes without the hub's reading.
            while sent < burst.len() {
                match publisher.socket.try_write(&burst[sent..]) {
                    Ok(written) => sent += written,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        }
        within("the reader", async {
            while !reading.is_finished() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        let (total, mut socket) = reading.join().unwrap();
        assert_eq!(total, expected);
        assert_eq!(hub.stats().too_slow, 0);
        socket.write_all(&crate::support::close(1000)).unwrap();
    });
}

#[tokio::test]
async fn the_programs_own_queue_is_bounded_and_says_when_there_is_room() {
    let (hub, _record) = recorded(ServerOptions::new()).await;
    let mut subscriber = hub.subscriber(&["a:b"]).await;
    // Nothing yields here, so that the hub's task takes nothing meanwhile.
    let event = EventEnvelope::new("a", "b", &1).unwrap();
    let mut taken = 0;
    let error = loop {
        match hub.dispatch_event(event.clone()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DispatchError::Full), "{error:?}");
    assert_eq!(taken, 4096);
    within("room", hub.room()).await;
    hub.dispatch_event(event).unwrap();
    for _ in 0..taken + 1 {
        subscriber.text().await;
    }
    assert_eq!((hub.stats().dispatched, hub.stats().rejected), (4097, 1));
    // In bytes too.
    let large = EventEnvelope::new("c", "d", &"x".repeat(60_000)).unwrap();
    let taken = (0..1000).take_while(|_| hub.dispatch_event(large.clone()).is_ok()).count();
    assert_eq!(taken, (4 << 20) / large.to_json().unwrap().len() + 1);
}

#[tokio::test]
async fn what_is_counted_as_dropped_was_an_event() {
    let hub = Hub::relaying().await;
    let (near, far) = tokio::io::duplex(8);
    let spoke = hub.add_connection(near, None).await.unwrap();
    let mut client = Raw::over(far);
    for topic in ["a:1", "a:2", "a:3"] {
        client.send_text(&subscribe(topic)).await;
    }
    client.send(crate::support::frame(crate::support::PING, b"")).await;
    hub.until("three answers waiting", |stats| stats.topics == 3).await;
    for size in [1, 200, 60_000] {
        spoke.dispatch_event(EventEnvelope::new("a", "1", &"x".repeat(size)).unwrap()).unwrap();
    }
    hub.until("three events waiting", |stats| stats.sent == 3).await;
    drop(client);
    let stats = hub.until_empty().await;
    assert_eq!((stats.sent, stats.dropped), (3, 3));
}

/// A frame of two bytes takes some fifty to keep, so that a bound in bytes alone would be none.
#[tokio::test]
async fn answers_to_pings_that_nobody_reads_are_bounded_in_number() {
    let hub = Hub::with_limits(|limits| limits.max_outbound_messages = 1000).await;
    let (near, far) = tokio::io::duplex(1 << 16);
    hub.add_connection(near, None).await.unwrap();
    let mut client = Raw::over(far);
    let pings = crate::support::frame(crate::support::PING, b"").repeat(1000);
    // The pipe takes 32,768 answers before anything waits in the hub.
    for _ in 0..32 {
        client.send(&pings).await;
    }
    hub.until("all written", |stats| stats.queued_messages == 0).await;
    client.send(pings.repeat(3)).await;
    let stats = hub.until("too slow", |stats| stats.too_slow == 1).await;
    assert!(stats.queued_messages <= 1, "{stats:?}");
    client.is_closed_with(1013).await;
}

/// Its Close waits behind what the system has for it, which stays there for as long as the peer likes.
#[tokio::test]
async fn who_does_not_read_up_to_its_close_is_reset_after_8_s_and_nothing_is_kept_for_it() {
    let hub = Hub::relaying().await;
    let mut stuck = hub.subscriber(&["a:b"]).await;
    let filler = "x".repeat(10_000);
    while hub.stats().too_slow == 0 {
        hub.dispatch("a", "b", &filler);
        tokio::task::yield_now().await;
    }
    let stats = hub.stats();
    assert!(stats.queued_bytes < 100, "what waited is gone at once: {stats:?}");
    assert_eq!((stats.links, stats.topics), (1, 0));
    hub.dispatch("a", "b", &filler);
    hub.flush().await;
    assert_eq!(hub.stats().sent, stats.sent, "nothing is sent to it any more");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(9)).await;
    tokio::time::resume();
    let stats = hub.until_empty().await;
    assert!(stats.dropped > 100, "{stats:?}");
    // What it had got is there; and then no end as of all that there was.
    let mut buffer = vec![0; 1 << 16];
    let end = loop {
        match within("the end", stuck.socket.read(&mut buffer)).await {
            Ok(0) => panic!("an end without a close"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
}

/// Four readers of a topic, from which on its events are queued as one piece, and one of them takes a few bytes of it.
#[tokio::test]
async fn events_that_were_joined_and_begun_are_counted_when_the_connection_dies() {
    let hub = Hub::relaying().await;
    let (near, far) = tokio::io::duplex(64);
    let spoke = hub.add_connection(near, None).await.unwrap();
    let mut stuck = Raw::over(far);
    stuck.subscribe("a:b").await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(hub.subscriber(&["a:b"]).await);
    }
    let event = envelope("a", "b", &format!("\"{}\"", "x".repeat(100)));
    let mut publisher = hub.client().await;
    publisher.send(text(&event).repeat(10)).await;
    for reader in &mut readers {
        for _ in 0..10 {
            assert_eq!(reader.text().await, event);
        }
    }
    let long = EventEnvelope::new("c", "d", &"x".repeat(60_000)).unwrap();
    for _ in 0..20 {
        spoke.dispatch_event(long.clone()).unwrap();
    }
    let stats = hub.until("too slow", |stats| stats.too_slow == 1).await;
    assert_eq!(stats.dropped, 20, "those behind what was begun, which is still on its way");
    drop(stuck);
    let stats = hub.until("one less", |stats| stats.links == 5).await;
    assert_eq!(stats.dropped, 20 + 10);
    assert_eq!((stats.queued_messages, stats.queued_bytes), (0, 0));
}

/// Takes so many bytes at a time, and is ready for as many again at once.
struct Sips(usize, std::collections::VecDeque<u8>);

impl AsyncRead for Sips {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.1.is_empty() {
            return Poll::Pending;
        }
        into.put_slice(&self.1.drain(..).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sips {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken > 0 || bytes.is_empty() {
            return Poll::Ready(Ok(taken));
        }
        self.0 = SIP;
        context.waker().wake_by_ref();
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const SIP: usize = 8 << 10;

/// Newcomers with 4 KiB each behind their request, all in one round, for a reader that takes twice as much at a time.
#[tokio::test]
async fn a_fast_reader_is_not_closed_for_what_newcomers_bring_with_their_requests() {
    const NEWCOMERS: usize = 40;
    let hub = Hub::with_limits(|limits| limits.max_outbound = SIP).await;
    hub.add_connection(Sips(SIP, text(&subscribe("a:b")).into()), None).await.unwrap();
    hub.until("subscribed", |stats| stats.topics == 1).await;
    let (begun, ended) = crate::support::REQUEST.split_at(20);
    let mut newcomers = Vec::new();
    for number in 1..=NEWCOMERS {
        let mut socket = Raw::tcp(hub.address).await;
        socket.write_all(begun.as_bytes()).await.unwrap();
        // The hub waits for the rest of it.
        hub.until("begun", |stats| stats.incoming_bytes >= (number * begun.len()) as u64).await;
        socket.writable().await.unwrap();
        newcomers.push(socket);
    }
    let event = text(&envelope("a", "b", &format!("\"{}\"", "x".repeat(4_000))));
    let rest = [ended.as_bytes(), &event].concat();
    // Nothing yields here, so that the hub hears of all of them at once.
    for socket in &newcomers {
        assert_eq!(socket.try_write(&rest).unwrap(), rest.len());
    }
    let stats = hub.until("all heard", |stats| stats.received == NEWCOMERS as u64).await;
    assert_eq!((stats.sent, stats.too_slow, stats.dropped), (NEWCOMERS as u64, 0, 0));
    hub.until("all written", |stats| stats.queued_bytes == 0).await;
}

/// Takes nothing, never wakes, and counts how often it is asked.
struct Full(Arc<AtomicUsize>);

impl AsyncRead for Full {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.0.fetch_add(1, Relaxed);
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// To gather what waits, again and again, would cost more than the events do.
#[tokio::test]
async fn a_socket_without_room_is_not_asked_again_until_it_wakes() {
    let (hooks, mut record) = Recorder::new();
    let hub = Hub::start(ServerOptions::new().hooks(hooks)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let spoke = hub.add_connection(Full(asked.clone()), None).await.unwrap();
    record.connected().await;
    let event = EventEnvelope::new("a", "b", &"x".repeat(1000)).unwrap();
    let mut rounds = 0;
    // Up to the bound, which is kept all the same.
    while record.0.is_empty() {
        spoke.dispatch_event(event.clone()).unwrap();
        tokio::task::yield_now().await;
        rounds += 1;
    }
    let (_, queued) = record.backpressure().await;
    assert!(queued > 1 << 20 && rounds > 1000, "{queued} bytes after {rounds} rounds");
    assert_eq!(asked.load(Relaxed), 1);
}
