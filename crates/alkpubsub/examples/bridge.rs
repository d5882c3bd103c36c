//! Hubs behind a broker, each joined to it by a bridge: the spokes of all of them hear each other.
//!
//!     cargo run --example bridge --features websocket-client,websocket-server
//!
//! So that it runs everywhere, the broker is a hub, too, and `joined` is a spoke of it. With Redis, that program is:
//!
//!     let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
//!     let broker = RedisEventTarget::connect("redis://127.0.0.1:6379", RedisOptions::new()).await?;
//!     let options = BridgeOptions::new().on_notice(|notice| eprintln!("{notice}"));
//!     let bridge = Bridge::new(hub.clone(), broker, options)?; // Redis declares its echo by itself
//!     bridge.add_topic("chat:lobby")?;
//!     let listener = TcpListener::bind("127.0.0.1:8484").await?;
//!     tokio::select! {
//!         served = hub.serve(listener) => served?,
//!         end = bridge.run() => eprintln!("{end}"),
//!     }

use alkpubsub::bridge::{Bridge, BridgeOptions, Echo, Side};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{EventTarget, PubSub, Spoke, WebSocketServerEventTarget};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A hub that relays what its spokes send, and its URL.
async fn hub() -> Result<(Arc<WebSocketServerEventTarget>, String), Box<dyn Error>> {
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let serving = hub.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    Ok((hub, url))
}

/// Joins a hub to the broker.
async fn joined(hub: &Arc<WebSocketServerEventTarget>, broker: &str) -> Result<Bridge, Box<dyn Error>> {
    let broker = Spoke::connect(broker).await?;
    // What does not cross is told here, and nowhere else.
    let options = BridgeOptions::new().on_notice(|notice| eprintln!("{notice}"));
    // A spoke cannot know that its hub relays, so it has to be said.
    let bridge = Bridge::new(hub.clone(), broker, options.echo(Side::Right, Echo::Dropped))?;
    bridge.add_topic("chat:lobby")?;
    bridge.ready("chat:lobby").await?;
    Ok(bridge)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (_broker, broker) = hub().await?;
    let ((one, url_of_one), (other, url_of_other)) = (hub().await?, hub().await?);
    let bridges = [joined(&one, &broker).await?, joined(&other, &broker).await?].map(Arc::new);
    let running = bridges.clone().map(|bridge| tokio::spawn(async move { bridge.run().await }));

    let ann = PubSub::new(Spoke::connect(&url_of_one).await?);
    let ben = PubSub::new(Spoke::connect(&url_of_other).await?);
    let mut heard_by_ann = ann.subscribe_envelopes("chat", "lobby").await?.events();
    let mut heard_by_ben = ben.subscribe_envelopes("chat", "lobby").await?.events();
    ann.publish_json("chat", "lobby", &"hello from one hub").await?;
    println!("ben: {:?}", heard_by_ben.next().await.map(|event| event.payload::<String>()));
    ben.publish_json("chat", "lobby", &"hello from the other").await?;
    // Her own, from her hub, which relays; and his, which crossed two bridges.
    for _ in 0..2 {
        println!("ann: {:?}", heard_by_ann.next().await.map(|event| event.payload::<String>()));
    }

    // The end of a side ends the bridge, and not the other side.
    one.close();
    other.close();
    for (running, bridge) in running.into_iter().zip(&bridges) {
        let end = running.await?;
        let (left, right) = (bridge.stats().left, bridge.stats().right);
        println!("{end}; to the broker went {}, from it came {}", left.crossed, right.crossed);
    }
    Ok(())
}
