//! A hub and two spokes over real sockets, in one program.
//!
//!     cargo run --example websocket --features websocket-client,websocket-server

use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{Event, EventTarget, Item, PubSub, WebSocketClientEventTarget, WebSocketServerEventTarget};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(Serialize, Deserialize, Event)]
#[event(type = "call.requested")]
struct CallRequested {
    input: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(type = "call.responded")]
struct CallResponded {
    output: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The hub relays, as the program does: what a spoke sends goes to all who subscribed to it.
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let serving = tokio::spawn({
        let hub = hub.clone();
        async move { hub.serve(listener).await }
    });
    println!("a hub on {url}");

    // One spoke answers.
    let answering = PubSub::new(WebSocketClientEventTarget::connect(&url).await?);
    let mut requests = answering.subscribe::<CallRequested>("").await?;
    let answers = tokio::spawn(async move {
        while let Some(Item::Event(request)) = requests.next().await {
            let output = request.input * 2;
            answering.publish("uuid-123", CallResponded { output }).await?;
        }
        println!("the answering spoke: {}", requests.end().expect("an end"));
        Ok::<_, alkpubsub::DispatchError>(())
    });

    // The other asks. Its subscription is confirmed when `subscribe` returns, so the answer cannot be missed.
    let asking = PubSub::new(WebSocketClientEventTarget::connect(&url).await?);
    let mut responses = asking.subscribe::<CallResponded>("uuid-123").await?;
    println!("the subscription is {:?}", responses.readiness());
    asking.publish("", CallRequested { input: 21 }).await?;
    match responses.next().await {
        Some(Item::Event(response)) => println!("the answer is {}", response.output),
        other => println!("no answer: {other:?}"),
    }

    // The hub itself is an event target, too: this goes to everyone who subscribed.
    PubSub::new(hub.clone()).publish("uuid-123", CallResponded { output: 0 }).await?;
    println!("from the hub: {:?}", responses.events().next().await.map(|response| response.output));

    hub.shutdown(Duration::from_secs(5)).await;
    answers.await??;
    serving.await??;
    println!("events received by the hub: {}", hub.stats().received);
    Ok(())
}
