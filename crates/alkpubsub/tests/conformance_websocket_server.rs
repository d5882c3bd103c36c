//! The conformance suite on the WebSocket server target, as heard and published from the hub's side, and on the
//! target that it has for each connection. The spoke is another library's.

mod support;

use alkpubsub::conformance::{self, FarSide, Fixture, Offers, Peers};
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order, WebSocketServerEventTarget};
use std::num::NonZeroU8;
use std::sync::Arc;
use support::RawPeer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

alkpubsub::conformance_tests!(websocket_server, Hub);
alkpubsub::conformance_tests!(websocket_server_shards, Sharded);
alkpubsub::conformance_tests!(websocket_spoke, OneSpoke);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "websocket_server", &Hub);
    conformance::matrix_column(&support::docs("matrix.md"), "websocket_server_shards", &Sharded);
    conformance::matrix_column(&support::docs("matrix.md"), "websocket_spoke", &OneSpoke);
}

/// A hub, and a raw spoke that publishes what the hub's own listeners hear.
struct Hub;

impl Fixture for Hub {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::Outlives,
            confirms: true,
        }
    }

    fn offers(&self) -> Offers {
        let wire = Some(FarSide::Spoke);
        Offers { stall: true, wire, near: true, hang_up: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers(1).await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

/// The same with two shards; the raw spoke comes to the second, which has a thread of its own.
struct Sharded;

impl Fixture for Sharded {
    fn capabilities(&self) -> Capabilities {
        Hub.capabilities()
    }

    fn offers(&self) -> Offers {
        Hub.offers()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers(2).await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

type Made<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn peers(shards: u8) -> Made<Peers> {
    let options = ServerOptions::new().shards(NonZeroU8::new(shards).ok_or("no shards")?);
    let (hub, url) = serve(options).await?;
    let spoke = RawPeer::connect(&url).await?;
    let wire = spoke.wire.clone();
    Ok(Peers::new(wire.target(), vec![hub.clone()]).with_wire(wire, Some(hub)).with_fault(spoke))
}

async fn serve(options: ServerOptions) -> Made<(Arc<dyn EventTarget>, String)> {
    let hub = Arc::new(WebSocketServerEventTarget::new(options));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let serving = hub.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    Ok((hub, url))
}

/// The hub's own target for one connection: it hears that connection alone, and ends with it.
struct OneSpoke;

impl Fixture for OneSpoke {
    fn capabilities(&self) -> Capabilities {
        Capabilities { lifetime: Lifetime::PerConnection, ..Hub.capabilities() }
    }

    fn offers(&self) -> Offers {
        Offers { cut: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { one_spoke().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

struct Introduce(mpsc::UnboundedSender<Arc<Spoke>>);

impl HubHooks for Introduce {
    fn connected(&self, spoke: &Arc<Spoke>) {
        let _ = self.0.send(spoke.clone());
    }
}

async fn one_spoke() -> Made<Peers> {
    let (introduce, mut connected) = mpsc::unbounded_channel();
    let (hub, url) = serve(ServerOptions::new().hooks(Introduce(introduce))).await?;
    let raw = RawPeer::connect(&url).await?;
    let spoke = connected.recv().await.ok_or("no connection was told of")?;
    Ok(Peers::new(raw.wire.target(), vec![spoke]).with_fault(raw).keeping(hub))
}
