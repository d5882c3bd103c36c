//! The way in.

use crate::support::{Hub, REQUEST, Raw, envelope, subscribe, subscribed, text, within};
use alkpubsub::websocket_server::{HubLimits, Origins, ServerOptions};
use tokio::io::AsyncReadExt;

/// What the hub says to a request, and whether it then ends the stream.
async fn answer(hub: &Hub, request: &str) -> String {
    let mut client = Raw::over(Raw::tcp(hub.address).await);
    client.send(request).await;
    let head = client.head().await;
    if !head.starts_with("HTTP/1.1 101 ") {
        let mut body = String::new();
        within("the end of the answer", client.socket.read_to_string(&mut body)).await.unwrap();
    }
    head
}

#[tokio::test]
async fn pages_of_allowed_origins_and_of_this_machine_pass() {
    let hub = Hub::start(ServerOptions::new().origins(Origins::allow(["https://example.org"]))).await;
    for (status, origin) in [
        ("101", "https://example.org"),
        ("101", "http://localhost:5173"),
        ("403", "https://example.org:444"),
        ("403", "https://evil.example"),
    ] {
        let request = REQUEST.replace("Host: hub\r\n", &format!("Host: hub\r\nOrigin: {origin}\r\n"));
        let head = answer(&hub, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {head}");
    }
    hub.until_empty().await;
}

#[tokio::test]
async fn the_subprotocol_is_selected_and_a_token_never_echoed() {
    let hub = Hub::relaying().await;
    let with = REQUEST
        .replace("Host: hub\r\n", "Host: hub\r\nSec-WebSocket-Protocol: token.s3cret, alkpubsub.1\r\n");
    let head = answer(&hub, &with).await;
    assert!(head.contains("Sec-WebSocket-Protocol: alkpubsub.1\r\n") && !head.contains("s3cret"), "{head}");
    assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
}

#[tokio::test]
async fn frames_that_come_with_the_request_are_taken() {
    let hub = Hub::relaying().await;
    let mut client = Raw::over(Raw::tcp(hub.address).await);
    let mut all = REQUEST.as_bytes().to_vec();
    all.extend(text(&subscribe("a:b")));
    all.extend(text(&envelope("a", "b", "1")));
    client.send(all).await;
    client.head().await;
    assert_eq!(client.text().await, subscribed("a:b"));
    assert_eq!(client.text().await, envelope("a", "b", "1"));
}

#[tokio::test]
async fn half_a_request_and_gone_leaves_nothing() {
    let hub = Hub::with_limits(|limits| limits.max_links = 1).await;
    for begun in ["", "G", &REQUEST[..60]] {
        let mut client = Raw::over(Raw::tcp(hub.address).await);
        client.send(begun).await;
        drop(client);
    }
    // The one place there is was given back each time.
    within("a free place", async { while !answer(&hub, REQUEST).await.starts_with("HTTP/1.1 101 ") {} })
        .await;
}

#[tokio::test]
async fn beyond_the_limit_of_links_the_answer_is_503() {
    let hub = Hub::with_limits(|limits| limits.max_links = 2).await;
    let first = hub.client().await;
    let mut second = hub.subscriber(&["a:b"]).await;
    let head = answer(&hub, REQUEST).await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: "), "{head}");
    let full = hub.add_connection(tokio::io::duplex(64).0, None).await.unwrap_err();
    assert_eq!(full, alkpubsub::websocket_server::AddConnectionError::Full { limit: 2 });
    second.publish("a", "b", "1").await;
    assert_eq!(second.flush().await, [envelope("a", "b", "1")]);
    first.leave().await;
    hub.until("with one link", |stats| stats.links == 1).await;
    hub.client().await;
}

#[tokio::test]
async fn a_refused_request_does_not_keep_its_place() {
    let hub = Hub::with_limits(|limits| limits.max_links = 1).await;
    // It reads its refusal and stays: the place must be free all the same.
    let mut lingers = Raw::over(Raw::tcp(hub.address).await);
    lingers.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(lingers.head().await.starts_with("HTTP/1.1 426 "));
    let head = answer(&hub, REQUEST).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[tokio::test]
async fn those_who_find_no_place_are_few_at_a_time() {
    let mut limits = HubLimits::DEFAULT;
    limits.max_links = 1;
    let hub = Hub::start(ServerOptions::new().limits(limits)).await;
    let _held = hub.client().await;
    // None of them says a word: each could stay for as long as a handshake may take.
    let mut newcomers = Vec::new();
    for _ in 0..300 {
        newcomers.push(Raw::tcp(hub.address).await);
    }
    let mut last = newcomers.pop().unwrap();
    let end = within("the end of one too many", last.read(&mut [0; 16])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    // The first of them are told.
    let mut first = Raw::over(newcomers.swap_remove(0));
    first.send(REQUEST).await;
    assert!(first.head().await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn a_hub_may_wait_for_a_request_as_long_as_a_duration_can_be() {
    let mut options = ServerOptions::new();
    options.hub.handshake_timeout = std::time::Duration::MAX;
    let hub = Hub::start(options).await;
    let mut client = Raw::over(Raw::tcp(hub.address).await);
    let (first, second) = REQUEST.split_at(10);
    client.send(first).await;
    hub.until("a part of a request is held", |stats| stats.incoming_bytes > 0).await;
    client.send(second).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
}
