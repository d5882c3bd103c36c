//! What was once wrong.

use crate::support::{Heard, Hub, Raw, envelope, frame, limits, text, within};
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{Action, DenyReason, EventEnvelope, EventTarget};
use std::num::NonZeroU8;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpSocket;

fn shards(count: u8) -> ServerOptions {
    ServerOptions::new().relay().shards(NonZeroU8::new(count).unwrap())
}

/// `Stats::dropped` says "events of ours that never left". Of events that were joined to one piece, those that have
/// left were counted, too, where the connection ended within the piece.
#[tokio::test]
async fn an_event_that_was_read_does_not_count_as_dropped() {
    let hub = Hub::relaying().await;
    let mut others = vec![];
    for _ in 0..3 {
        others.push(hub.subscriber(&["a:b"]).await);
    }
    let event = envelope("a", "b", "12345678");
    let length = event.len() + 2;
    // Room for five and a half.
    let (near, far) = tokio::io::duplex(length * 11 / 2);
    hub.add_connection(near, None).await.unwrap();
    let mut far = Raw::over(far);
    far.subscribe("a:b").await;
    let mut publisher = hub.client().await;
    publisher.send(text(&event).repeat(10)).await;
    for other in &mut others {
        for _ in 0..10 {
            other.text().await;
        }
    }
    // In one read, and without a turn for the hub before it ends.
    let read = far.socket.read(&mut vec![0; 10_000]).await.unwrap() / length;
    drop(far);
    assert_eq!(read, 5);
    assert_eq!(hub.until("gone", |stats| stats.links == 4).await.dropped, 5);
}

/// The other way round: what was begun is taken out of the queue when its connection is closed with 1013, and where it
/// never left, nobody counted it.
#[tokio::test]
async fn what_was_sent_was_read_or_counts_as_dropped() {
    let hub = Hub::relaying().await;
    let mut slow = vec![];
    for _ in 0..6 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut client = Raw::over(socket.connect(hub.address).await.unwrap());
        client.send(crate::support::REQUEST).await;
        client.head().await;
        client.subscribe("a:b").await;
        slow.push(client);
    }
    let mut publisher = hub.client().await;
    let event = text(&envelope("a", "b", &format!("\"{}\"", "x".repeat(100))));
    while hub.stats().too_slow < 6 {
        publisher.send(event.repeat(10)).await;
        publisher.flush().await;
    }
    within("the end", hub.target.shutdown(Duration::ZERO)).await;
    let mut read = 0;
    for mut client in slow {
        let mut bytes = vec![];
        // Whatever the kernel took of the hub; at its end there is half a frame.
        let _ = client.socket.read_to_end(&mut bytes).await;
        read += (bytes.len() / (event.len() - 4)) as u64;
    }
    let stats = hub.stats();
    assert_eq!(stats.sent, read + stats.dropped, "{read} read, {} dropped", stats.dropped);
}

/// `closed` ends when no task and no memory of the hub is left; threads of shards are both. In a process of its own,
/// where no other test has any.
#[cfg(target_os = "linux")]
#[test]
fn when_closed_resolves_no_thread_is_left() {
    const NAME: &str = "once_wrong::when_closed_resolves_no_thread_is_left";
    if !crate::support::is_alone(NAME, "") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..20 {
            let hub = Hub::start(shards(16)).await;
            hub.target.close();
            within("the end", hub.target.closed()).await;
            assert_eq!(threads_of_shards(), 0);
        }
    });
}

/// Those that the kernel still lists, although they have ended, are none.
#[cfg(target_os = "linux")]
fn threads_of_shards() -> usize {
    const EXITING: u64 = 4;
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let lives = |stat: &String| {
        let (name, rest) = stat.rsplit_once(')').unwrap();
        let flags: u64 = rest.split_whitespace().nth(6).unwrap().parse().unwrap();
        name.contains("(hub-shard") && flags & EXITING == 0
    };
    stats.filter(lives).count()
}

/// A shard that is held up by another reads nothing, and so no answer to a ping: it gave up peers that answer at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_is_not_given_up_while_its_shard_is_held_up() {
    struct Blocking(SyncSender<()>);
    impl HubHooks for Blocking {
        fn authorise(&self, _: &Arc<Spoke>, _: Action, _: &str, id: &str) -> Result<(), DenyReason> {
            if id == "stand" {
                self.0.send(()).unwrap();
                std::thread::sleep(Duration::from_secs(3));
            }
            Ok(())
        }
    }
    let (stands, standing) = sync_channel(1);
    let limits = limits(|limits| {
        limits.ping_interval = Duration::from_millis(500);
        limits.ping_timeout = Duration::from_millis(500);
        limits.max_outbound_messages = 1 << 20;
    });
    let hub = Hub::start(shards(2).hooks(Blocking(stands)).limits(limits)).await;
    let mut far = hub.subscriber(&["a:b"]).await;
    let mut near = hub.client().await;
    let _far = hub.client().await;
    let mut publisher = hub.client().await;
    let answering = tokio::spawn(async move {
        loop {
            match near.next().await {
                Heard::Ping(payload) => near.send(frame(crate::support::PONG, &payload)).await,
                other => return other,
            }
        }
    });
    far.publish("a", "stand", "1").await;
    tokio::task::spawn_blocking(move || standing.recv().unwrap()).await.unwrap();
    // More than an inbox holds.
    publisher.send(text(&envelope("a", "b", "1")).repeat(10_000)).await;
    let ended = tokio::time::timeout(Duration::from_millis(2_800), answering).await;
    assert!(ended.is_err(), "{ended:?}");
}

/// Panics, once, when it is dropped.
struct Bomb(Arc<AtomicBool>);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.0.swap(true, SeqCst), "a payload that is dropped");
    }
}

/// What was thrown panics in its turn when it is dropped: the listeners behind were not called, and the publisher was
/// closed with 1011.
#[tokio::test]
async fn a_panic_whose_payload_panics_ends_with_its_listener() {
    let hub = Hub::relaying().await;
    let exploded = Arc::new(AtomicBool::new(false));
    let listener = move |_: &EventEnvelope| panic_any(Bomb(exploded.clone()));
    hub.target.add_event_listener("a:b", Arc::new(listener)).unwrap();
    let mut heard = hub.hear("a:b");
    let mut publisher = hub.client().await;
    publisher.publish("a", "b", "1").await;
    assert_eq!(publisher.flush().await, [""; 0]);
    assert!(heard.try_recv().is_ok());
}

/// The same in-process, where it reached the publisher.
#[test]
fn a_panic_whose_payload_panics_does_not_reach_the_publisher() {
    let target = alkpubsub::InProcess::new();
    let exploded = Arc::new(AtomicBool::new(false));
    let listener = move |_: &EventEnvelope| panic_any(Bomb(exploded.clone()));
    target.add_event_listener("a:b", Arc::new(listener)).unwrap();
    target.dispatch_event(EventEnvelope::new("a", "b", &1).unwrap()).unwrap();
    assert_eq!(target.stats().panicked, 1);
}

/// The same of a lent socket ended the shard's task, and with it the hub.
#[tokio::test]
async fn a_lent_socket_whose_panic_panics_ends_its_own_connection_alone() {
    struct Exploding(Arc<AtomicBool>);
    impl AsyncRead for Exploding {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            panic_any(Bomb(self.0.clone()))
        }
    }
    impl AsyncWrite for Exploding {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, all: &[u8]) -> Poll<std::io::Result<usize>> {
            Poll::Ready(Ok(all.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let hub = Hub::relaying().await;
    let mut client = hub.subscriber(&["a:b"]).await;
    hub.target.add_connection(Exploding(Arc::default()), None).await.unwrap();
    client.publish("a", "b", "1").await;
    assert_eq!(client.next().await, Heard::Text(envelope("a", "b", "1")));
}
