//! The hub as a route of an axum application.

use crate::support::{REQUEST, Raw, Record, Recorder, denied, envelope, hear, limits, next, within};
use alkpubsub::websocket_server::{Origins, ServerOptions};
use alkpubsub::{EventTarget, WebSocketServerEventTarget};
use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

struct App {
    hub: Arc<WebSocketServerEventTarget>,
    address: SocketAddr,
    record: Record,
    serving: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn app(options: ServerOptions) -> App {
    let (hooks, record) = Recorder::new();
    let hub = Arc::new(WebSocketServerEventTarget::new(options.hooks(hooks)));
    let (anyone, ann) = (hub.clone(), hub.clone());
    let app = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/events", any(move |request: Request| async move { anyone.upgrade(request) }))
        .route("/ann", any(move |request: Request| async move { ann.upgrade_as(request, "ann") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    App { hub, address, record, serving }
}

fn request(path: &str) -> String {
    REQUEST.replace("GET / ", &format!("GET {path} "))
}

async fn client(address: SocketAddr, path: &str) -> Raw {
    let mut client = Raw::over(Raw::tcp(address).await);
    client.send(request(path)).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    client
}

#[tokio::test]
async fn events_pass_beside_another_route() {
    let mut app = app(ServerOptions::new().relay().identities()).await;
    let mut heard = hear(&*app.hub, "a:b");
    let mut nobody = client(app.address, "/events").await;
    assert_eq!(app.record.connected().await.identity(), None);
    let mut ann = client(app.address, "/ann").await;
    assert_eq!(app.record.connected().await.identity(), Some("ann"));
    nobody.subscribe("a:b").await;
    ann.subscribe("direct:ann").await;
    nobody.send_text(&crate::support::subscribe("direct:ann")).await;
    assert_eq!(nobody.text().await, denied("direct:ann", "subscribe", "not_allowed"));
    ann.publish("a", "b", "1").await;
    assert_eq!(nobody.text().await, envelope("a", "b", "1"));
    next("the event", &mut heard).await;
    let mut plain = Raw::over(Raw::tcp(app.address).await);
    plain.send("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(plain.head().await.starts_with("HTTP/1.1 200 "));
    nobody.leave().await;
    assert_eq!(app.record.disconnected().await.1.code(), 1000);
}

#[tokio::test]
async fn frames_that_come_with_the_request_are_taken() {
    let app = app(ServerOptions::new()).await;
    let mut heard = hear(&*app.hub, "a:b");
    let mut client = Raw::over(Raw::tcp(app.address).await);
    let event = crate::support::text(&envelope("a", "b", "1"));
    client.send([request("/events").as_bytes(), &event].concat()).await;
    next("the event", &mut heard).await;
}

#[tokio::test]
async fn the_same_is_refused_as_at_a_port_of_the_hubs_own() {
    let options = ServerOptions::new().origins(Origins::allow(["https://example.org"]));
    let app = app(options.limits(limits(|limits| limits.max_links = 1))).await;
    let with = |line: &str| request("/events").replace("Host: hub\r\n", &format!("Host: hub\r\n{line}\r\n"));
    for (status, request) in [
        ("426", "GET /events HTTP/1.1\r\nHost: hub\r\n\r\n".to_owned()),
        ("426", request("/events").replace("13", "8")),
        ("405", request("/events").replace("GET", "POST")),
        ("505", request("/events").replace("HTTP/1.1", "HTTP/1.0")),
        ("400", request("/events").replace("dGhlIHNhbXBsZSBub25jZQ==", "short")),
        ("403", with("Origin: https://evil.example")),
    ] {
        let mut client = Raw::over(Raw::tcp(app.address).await);
        client.send(&request).await;
        let head = client.head().await;
        assert!(head[9..].starts_with(status), "{status}: {head}");
        assert!(status != "426" || head.to_lowercase().contains("sec-websocket-version: 13"), "{head}");
    }
    let stays = client(app.address, "/events").await;
    let mut late = Raw::over(Raw::tcp(app.address).await);
    late.send(with("Origin: https://example.org")).await;
    let head = late.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.to_lowercase().contains("retry-after: "), "{head}");
    stays.leave().await;
    within("room", async {
        while app.hub.stats().links > 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    let mut client = Raw::over(Raw::tcp(app.address).await);
    client.send(with("Origin: https://example.org")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn a_server_that_hands_nothing_over_is_told() {
    let hub = WebSocketServerEventTarget::new(ServerOptions::new());
    let mut request = Request::new(());
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(hub.upgrade(request).status(), 501);
}

/// A handler that drops the answer, or a hub that is dropped: the way into the hub ends, and its place is free.
#[tokio::test]
async fn an_upgrade_that_does_not_come_about_leaves_nothing() {
    let mut options = ServerOptions::new().limits(limits(|limits| limits.max_links = 1));
    options.hub.handshake_timeout = Duration::from_secs(600);
    let hub = Arc::new(WebSocketServerEventTarget::new(options));
    let (drops, keeps) = (hub.clone(), hub.clone());
    let app = Router::new()
        .route("/drops", any(move |request: Request| async move { drop(drops.upgrade(request)) }))
        .route("/keeps", any(move |request: Request| async move { keeps.upgrade(request) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for _ in 0..10 {
        let mut client = Raw::over(Raw::tcp(address).await);
        client.send(request("/drops")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
    // The place is given back by a task of its own, which may come after the answer.
    let mut client = loop {
        let mut client = Raw::over(Raw::tcp(address).await);
        client.send(request("/keeps")).await;
        if client.head().await.starts_with("HTTP/1.1 101 ") {
            break client;
        }
    };
    client.flush().await;
    serving.abort();
    assert!(within("the server's end", serving).await.unwrap_err().is_cancelled());
    hub.close();
    client.closes_with(1001).await;
    within("the hub's end", hub.closed()).await;
}
