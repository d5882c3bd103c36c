//! A hub that is found by its key, mounted beside another protocol; one spoke may come, a stranger may not.
//!
//!     cargo run --example iroh --features iroh-hub,iroh-spoke

use alkpubsub::hub::HubOptions;
use alkpubsub::iroh::ALPN;
use alkpubsub::{
    ByteStreamOptions, Event, EventTarget, IrohHubEventTarget, IrohSpokeEventTarget, PubSub, Spoke,
    SpokeOptions,
};
use iroh::Endpoint;
use iroh::endpoint::Connection;
use iroh::endpoint::presets::Minimal;
use iroh::protocol::{AcceptError, ProtocolHandler, Router};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(type = "greeting")]
struct Greeting {
    text: String,
}

/// What the router serves beside the hub.
#[derive(Debug)]
struct Other;

impl ProtocolHandler for Other {
    async fn accept(&self, _: Connection) -> Result<(), AcceptError> {
        Ok(())
    }
}

/// On this machine alone. With `presets::N0` in place of `Minimal`, and without an address, peers find each other anywhere.
async fn endpoint() -> Result<Endpoint, Box<dyn std::error::Error>> {
    Ok(Endpoint::builder(Minimal).clear_ip_transports().bind_addr("127.0.0.1:0")?.bind().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (friend, stranger) = (endpoint().await?, endpoint().await?);
    let hub = IrohHubEventTarget::try_new(HubOptions::new().relay())?.allow([friend.id()]);
    let router = Router::builder(endpoint().await?).accept(ALPN, hub).accept(b"other/1", Other).spawn();
    let address = router.endpoint().addr();
    println!("a hub at {}", address.id);

    let pubsub = PubSub::new(Spoke::iroh(&friend, address.clone(), SpokeOptions::DEFAULT).await?);
    let mut greetings = pubsub.subscribe::<Greeting>("").await?.events();
    pubsub.publish("", Greeting { text: "by key".into() }).await?;
    println!("heard: {:?}", greetings.next().await.map(|greeting| greeting.payload().text.clone()));

    let refused = IrohSpokeEventTarget::connect(&stranger, address, ByteStreamOptions::DEFAULT).await?;
    println!("a stranger is {}", refused.closed().await);

    router.shutdown().await?;
    friend.close().await;
    stranger.close().await;
    Ok(())
}
