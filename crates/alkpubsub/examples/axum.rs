//! A hub in an axum application that has other routes: mounted in `with_events`.
//!
//!     cargo run --example axum --features hyper

use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{EventEnvelope, EventTarget, WebSocketServerEventTarget};
use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// The whole of it: one route.
fn with_events(app: Router, hub: Arc<WebSocketServerEventTarget>) -> Router {
    app.route("/events", any(move |request: Request| async move { hub.upgrade(request) }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new()));
    let app = with_events(Router::new().route("/healthz", get(async || "ok")), hub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let stopped = hub.clone();
    let serving = tokio::spawn(async move {
        // It stops when the hub has said goodbye to its spokes.
        axum::serve(listener, app).with_graceful_shutdown(async move { drop(stopped.closed().await) }).await
    });

    // What spokes say reaches the program; what the program says reaches those who subscribed.
    let answering = Arc::downgrade(&hub);
    hub.add_event_listener(
        "call.requested:1",
        Arc::new(move |event: &EventEnvelope| {
            println!("hub: {}", event.to_json().expect("it came as JSON"));
            if let (Some(hub), Ok(answer)) =
                (answering.upgrade(), EventEnvelope::new("call.responded", "1", &42))
                && let Err(error) = hub.dispatch_event(answer)
            {
                eprintln!("not answered: {error}");
            }
        }),
    )?;

    // A spoke, as any WebSocket library makes it.
    let (mut spoke, _) = connect_async(format!("ws://{address}/events")).await?;
    for text in [
        r#"{"type":"__subscribe","id":"","payload":{"topic":"call.responded:1"}}"#,
        r#"{"type":"call.requested","id":"1","payload":null}"#,
    ] {
        spoke.send(Message::text(text)).await?;
    }
    for _ in ["the subscription's answer", "the call's answer"] {
        println!("spoke: {}", spoke.next().await.ok_or("the hub closed")??);
    }

    hub.close();
    while let Some(Ok(_)) = spoke.next().await {}
    serving.await??;
    Ok(())
}
