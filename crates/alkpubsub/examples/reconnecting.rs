//! A spoke that lives through its hub's restart, and a subscriber that knows when to load the state anew.
//!
//!     cargo run --example reconnecting --features websocket-client,websocket-server

use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{Event, Item, PubSub, Spoke, WebSocketServerEventTarget};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// The price of something, whenever it changes.
#[derive(Serialize, Deserialize, Event)]
#[event(type = "price.changed")]
struct PriceChanged {
    cents: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (hub, address, serving) = serve("127.0.0.1:0")?;
    let spoke = Arc::new(Spoke::connect(&format!("ws://{address}")).await?);
    let mut states = spoke.states();
    let told = tokio::spawn(async move {
        while let Some(state) = states.next().await {
            println!("  the spoke: {state}");
        }
    });

    let mut prices = PubSub::new(spoke.clone()).subscribe::<PriceChanged>("apples").await?;
    PubSub::new(hub.clone()).publish("apples", PriceChanged { cents: 120 }).await?;
    println!("{}", heard(prices.next().await));

    println!("the hub goes away; another takes its place");
    hub.shutdown(Duration::from_secs(5)).await;
    // It listens until then.
    serving.await??;
    let (hub, ..) = serve(&address)?;

    // The gap stands where the topic is confirmed anew: what is loaded now, and what comes afterwards, is everything.
    println!("{}", heard(prices.next().await));
    PubSub::new(hub.clone()).publish("apples", PriceChanged { cents: 140 }).await?;
    println!("{}", heard(prices.next().await));

    spoke.disconnect(Duration::from_secs(1)).await?;
    hub.shutdown(Duration::from_secs(5)).await;
    told.await?;
    Ok(())
}

fn heard(item: Option<Item<alkpubsub::TypedEvent<PriceChanged>>>) -> String {
    match item {
        Some(Item::Event(price)) => format!("apples: {} cents", price.cents),
        Some(Item::Gap(reason)) => format!("a gap ({reason}): load the price anew"),
        other => format!("{other:?}"),
    }
}

type Serving = tokio::task::JoinHandle<std::io::Result<()>>;

fn serve(address: &str) -> std::io::Result<(Arc<WebSocketServerEventTarget>, String, Serving)> {
    let listener = bind(address)?;
    let address = listener.local_addr()?.to_string();
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new()));
    let serving = tokio::spawn({
        let hub = hub.clone();
        async move { hub.serve(listener).await }
    });
    Ok((hub, address, serving))
}

/// The same port again, although connections to it ended a moment ago.
fn bind(address: &str) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address.parse().map_err(std::io::Error::other)?)?;
    socket.listen(1024)
}
