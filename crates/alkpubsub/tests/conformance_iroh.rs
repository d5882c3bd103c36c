//! The conformance suite over iroh, on loopback: a target of one connection, against a raw hub whose every message is
//! scripted; a hub, against a raw spoke; and connections to a hub that relays.

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "support/iroh.rs"]
mod raw;
mod support;

use alkpubsub::conformance::{self, FarSide, Fixture, Offers, Peers};
use alkpubsub::hub::HubOptions;
use alkpubsub::iroh::ALPN;
use alkpubsub::{
    BoxFuture, ByteStreamOptions, Capabilities, Carries, EventTarget, IrohHubEventTarget,
    IrohSpokeEventTarget, Lifetime, Order,
};
use iroh::protocol::Router;
use raw::RawStream;
use std::sync::Arc;
use support::RawPeer;

alkpubsub::conformance_tests!(iroh_spoke, Scripted);
alkpubsub::conformance_tests!(iroh_hub, Hub);
alkpubsub::conformance_tests!(iroh_relayed, Relay);

#[test]
fn matrix() {
    let file = support::docs("matrix.md");
    conformance::matrix_column(&file, "iroh_spoke", &Scripted);
    conformance::matrix_column(&file, "iroh_hub", &Hub);
    conformance::matrix_column(&file, "iroh_relayed", &Relay);
}

type Made = Result<Peers, Box<dyn std::error::Error + Send + Sync>>;

const LINK: Capabilities = Capabilities {
    echo: false,
    order: Order::Connection,
    carries: Carries::Json,
    lifetime: Lifetime::PerConnection,
    confirms: true,
};

/// A target, and a raw hub that publishes what it hears.
struct Scripted;

impl Fixture for Scripted {
    fn capabilities(&self) -> Capabilities {
        LINK
    }

    fn offers(&self) -> Offers {
        let wire = Some(FarSide::Hub);
        Offers { cut: true, stall: true, wire, near: true, hang_up: true, lent: false }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { scripted().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn scripted() -> Made {
    let (here, there) = (raw::endpoint().await, raw::accepting().await);
    let (near, far) = tokio::join!(
        IrohSpokeEventTarget::connect(&here, there.addr(), ByteStreamOptions::DEFAULT),
        RawStream::accept(&there)
    );
    let near: Arc<dyn EventTarget> = Arc::new(near?);
    let hub = RawPeer::framed(FarSide::Hub, far?);
    let wire = hub.wire.clone();
    let peers = Peers::new(wire.target(), vec![near.clone()]).with_wire(wire, Some(near)).with_fault(hub);
    Ok(peers.keeping((here, there)))
}

/// A hub, and a raw spoke that publishes what the hub's own listeners hear.
struct Hub;

impl Fixture for Hub {
    fn capabilities(&self) -> Capabilities {
        Capabilities { lifetime: Lifetime::Outlives, ..LINK }
    }

    fn offers(&self) -> Offers {
        let wire = Some(FarSide::Spoke);
        Offers { stall: true, wire, near: true, hang_up: true, ..Offers::default() }
    }

    fn identities(&self) -> bool {
        true
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { hub().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn hub() -> Made {
    let (here, there) = (raw::endpoint().await, raw::endpoint().await);
    let hub = Arc::new(IrohHubEventTarget::try_new(HubOptions::new())?);
    let router = Router::builder(there).accept(ALPN, hub.clone()).spawn();
    let spoke = RawPeer::framed(FarSide::Spoke, RawStream::open(&here, router.endpoint()).await?);
    let wire = spoke.wire.clone();
    let hub: Arc<dyn EventTarget> = hub;
    let peers = Peers::new(wire.target(), vec![hub.clone()]).with_wire(wire, Some(hub)).with_fault(spoke);
    Ok(peers.keeping((here, router)))
}

/// Three connections: one publishes, and each hears what it subscribed to.
struct Relay;

impl Fixture for Relay {
    fn capabilities(&self) -> Capabilities {
        Capabilities { echo: true, ..LINK }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { relay().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn relay() -> Made {
    let (here, there) = (raw::endpoint().await, raw::endpoint().await);
    let hub = IrohHubEventTarget::try_new(HubOptions::new().relay())?;
    let router = Router::builder(there).accept(ALPN, hub).spawn();
    let mut links: Vec<Arc<dyn EventTarget>> = Vec::new();
    for _ in 0..3 {
        let hub = router.endpoint().addr();
        links.push(Arc::new(IrohSpokeEventTarget::connect(&here, hub, ByteStreamOptions::DEFAULT).await?));
    }
    let publisher = links.remove(0);
    Ok(Peers::new(publisher, links).keeping((here, router)))
}
