//! A shutdown that closes one connection after the other, and what the others notice of it.

use crate::support::{Heard, Hub, REQUEST, Raw, close, denied, envelope, next, subscribe, within};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{DispatchError, EventEnvelope, EventTarget, WebSocketServerEventTarget};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Connections in this memory, in the order in which they will be closed.
async fn connections(hub: &WebSocketServerEventTarget, count: usize) -> Vec<Raw<DuplexStream>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let (here, there) = tokio::io::duplex(4096);
        hub.add_connection(there, None).await.unwrap();
        clients.push(Raw::over(here));
    }
    clients
}

fn shut_down(hub: &Arc<WebSocketServerEventTarget>, within: Duration) -> JoinHandle<()> {
    let hub = hub.clone();
    tokio::spawn(async move { hub.shutdown(within).await })
}

fn window(window: Duration) -> ServerOptions {
    let mut options = ServerOptions::new().relay();
    options.hub.drain_window = window;
    options
}

/// When each of so many connections gets its Close, from the beginning of the shutdown. The clock is tokio's, and goes
/// on when all wait.
async fn close_times(options: ServerOptions, count: usize, patience: Duration) -> Vec<Duration> {
    let hub = Arc::new(WebSocketServerEventTarget::new(options));
    let clients = connections(&hub, count).await;
    let began = Instant::now();
    let shutdown = shut_down(&hub, patience);
    let (tell, mut told) = unbounded_channel();
    for mut client in clients {
        let tell = tell.clone();
        tokio::spawn(async move {
            assert_eq!(client.next().await, Heard::Close(Some(1001), "the hub shuts down".into()));
            tell.send(began.elapsed()).unwrap();
            client.send(close(1001)).await;
            client.ends().await;
        });
    }
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(next("the Close", &mut told).await);
    }
    within("the shutdown", shutdown).await.unwrap();
    times
}

#[tokio::test(start_paused = true)]
async fn closes_are_spread_evenly_over_the_window() {
    let times = close_times(window(Duration::from_secs(5)), 2000, Duration::from_secs(30)).await;
    assert!(times[0] < Duration::from_millis(10), "{:?}", times[0]);
    for second in 0..5 {
        let in_it = times.iter().filter(|time| time.as_secs() == second).count();
        assert!((380..=420).contains(&in_it), "{in_it} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn few_connections_do_not_take_the_whole_window() {
    let times = close_times(window(Duration::from_secs(20)), 10, Duration::from_secs(60)).await;
    let last = times[9];
    assert!((Duration::from_millis(90)..Duration::from_millis(120)).contains(&last), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn the_window_leaves_half_of_the_time_for_answers() {
    let times = close_times(window(Duration::from_secs(20)), 1000, Duration::from_secs(6)).await;
    let last = *times.last().unwrap();
    assert!((Duration::from_millis(2900)..=Duration::from_millis(3100)).contains(&last), "{last:?}");
}

/// Whose turn has not come is served as ever, but for new subscriptions.
#[tokio::test]
async fn until_its_turn_comes_a_connection_hears_and_speaks() {
    let hub = Hub::start(window(Duration::from_secs(600)).health()).await;
    let mut first = hub.client().await;
    let crowd = connections(&hub.target, 3000).await;
    let mut last = hub.subscriber(&["a:b"]).await;
    let mut heard = hub.hear("a:b");
    let shutdown = shut_down(&hub.target, Duration::from_secs(600));
    assert_eq!(first.next().await, Heard::Close(Some(1001), "the hub shuts down".into()));

    last.send_text(&subscribe("a:c")).await;
    assert_eq!(last.text().await, denied("a:c", "subscribe", "draining"));
    // The one that got its Close may finish what it says, and the last hears it.
    first.publish("a", "b", "1").await;
    assert_eq!(last.text().await, envelope("a", "b", "1"));
    last.publish("a", "b", "2").await;
    assert_eq!(last.text().await, envelope("a", "b", "2"));
    hub.dispatch("a", "b", &3);
    assert_eq!(last.text().await, envelope("a", "b", "3"));
    for number in 1..=2 {
        assert_eq!(next("the event", &mut heard).await.payload::<u32>().unwrap(), number);
    }
    for (request, status) in
        [(REQUEST, "503"), ("GET /healthz HTTP/1.1\r\n\r\n", "503"), ("GET / HTTP/1.1\r\n\r\n", "426")]
    {
        let mut late = Raw::over(Raw::tcp(hub.address).await);
        late.send(request).await;
        let head = late.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    assert!(!shutdown.is_finished());

    // A shorter order closes all that are left.
    let target = hub.target.clone();
    let hurried = tokio::spawn(async move { target.shutdown(Duration::from_millis(50)).await });
    assert_eq!(last.next().await, Heard::Close(Some(1001), "the hub shuts down".into()));
    hub.until("all told", |_| {
        let late = hub.dispatch_event(EventEnvelope::new("a", "b", &4).unwrap());
        matches!(late, Err(DispatchError::Closed(_)))
    })
    .await;
    within("the second", hurried).await.unwrap();
    within("the first", shutdown).await.unwrap();
    drop(crowd);
    hub.until_empty().await;
}

/// A publisher that waits for room does not wait for ever, nor in vain.
#[tokio::test]
async fn close_does_not_wait_for_the_window() {
    let hub = Hub::start(window(Duration::from_secs(600))).await;
    let mut crowd = connections(&hub.target, 1000).await;
    hub.close();
    for client in &mut crowd {
        assert_eq!(client.next().await, Heard::Close(Some(1001), "the hub shuts down".into()));
        client.send(close(1001)).await;
    }
    within("the end", hub.closed()).await;
    within("room", hub.room()).await;
}

#[tokio::test]
async fn health_is_told_beside_the_websocket() {
    let hub = Hub::start(ServerOptions::new().health()).await;
    let ask = async |request: &str| {
        let mut client = Raw::over(Raw::tcp(hub.address).await);
        client.send(request).await;
        let head = client.head().await;
        (head, client.rest().await)
    };
    let (head, body) =
        ask("GET /healthz HTTP/1.1\r\nHost: hub\r\nOrigin: https://evil.example\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 3\r\n") && !head.contains("Access-Control"), "{head}");
    assert_eq!(body, "ok\n");
    let (head, body) = ask("HEAD /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}{body}");
    let (head, _) = ask("GET /health HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    let (head, body) = ask("HEAD / HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405 ") && body.is_empty(), "{head}{body}");
    hub.until_empty().await;
    // A full hub is a healthy one.
    let full =
        Hub::start(ServerOptions::new().health().limits(crate::support::limits(|l| l.max_links = 1))).await;
    let _only = full.client().await;
    let mut probe = Raw::over(Raw::tcp(full.address).await);
    probe.send("GET /healthz HTTP/1.1\r\n\r\n").await;
    assert!(probe.head().await.starts_with("HTTP/1.1 200 "));
    // Where it was not asked for, the path is one like any other.
    let plain = Hub::start(ServerOptions::new()).await;
    let mut client = Raw::over(Raw::tcp(plain.address).await);
    client.send(REQUEST.replace("GET / ", "GET /healthz ")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
}
