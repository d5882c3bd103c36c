//! The conformance suite on the WebSocket server target, as heard and published from the hub's side; the spoke is
//! another library's.

mod support;

use alkpubsub::conformance::{self, FarSide, Fixture, Offers, Peers};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order, WebSocketServerEventTarget};
use std::sync::Arc;
use support::RawPeer;
use tokio::net::{TcpListener, TcpStream};

alkpubsub::conformance_tests!(websocket_server, Hub);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "websocket_server", &Hub);
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
        Offers { wire: Some(FarSide::Spoke), near: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn peers() -> Result<Peers, Box<dyn std::error::Error + Send + Sync>> {
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = hub.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await?;
    let spoke = RawPeer::new(FarSide::Spoke, socket);
    let hub: Arc<dyn EventTarget> = hub;
    let wire = spoke.wire.clone();
    Ok(Peers::new(wire.target(), vec![hub.clone()]).with_wire(wire, Some(hub)).keeping(spoke))
}
