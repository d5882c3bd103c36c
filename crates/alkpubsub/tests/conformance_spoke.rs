//! The conformance suite on the spoke that outlives its connections: against a raw hub whose every message is
//! scripted, and against our server behind a line that can be cut.

mod support;

use alkpubsub::conformance::{self, FarSide, Fixture, Offers, Peers};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    BoxFuture, Capabilities, Carries, EventTarget, HandshakeOptions, Lifetime, Order, Spoke, SpokeOptions,
    WebSocketServerEventTarget,
};
use std::sync::Arc;
use std::time::Duration;
use support::RawPeer;
use support::hub::RawHub;
use support::line::Line;
use tokio::net::TcpListener;

alkpubsub::conformance_tests!(spoke, Scripted);
alkpubsub::conformance_tests!(spoke_and_server, Cuttable);

#[test]
fn matrix() {
    let file = support::docs("matrix.md");
    conformance::matrix_column(&file, "spoke", &Scripted);
    conformance::matrix_column(&file, "spoke_and_server", &Cuttable);
}

type Made = Result<Peers, Box<dyn std::error::Error + Send + Sync>>;

const SPOKE: Capabilities = Capabilities {
    echo: false,
    order: Order::Connection,
    carries: Carries::Json,
    lifetime: Lifetime::Outlives,
    confirms: true,
};

fn options() -> SpokeOptions {
    let mut options = SpokeOptions::DEFAULT;
    // Nobody else is at this hub who would have to be spared.
    options.backoff.first = Duration::from_millis(1);
    options.backoff.max = Duration::from_millis(10);
    options
}

/// One spoke, and a raw hub that publishes what it hears.
struct Scripted;

impl Fixture for Scripted {
    fn capabilities(&self) -> Capabilities {
        SPOKE
    }

    fn offers(&self) -> Offers {
        let wire = Some(FarSide::Hub);
        Offers { cut: true, stall: true, wire, near: true, hang_up: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { scripted().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn scripted() -> Made {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let shake = async |stream| tokio_tungstenite::accept_async(stream).await.ok();
    let hub = RawHub::serve(listener, shake, RawPeer::on);
    let spoke: Arc<dyn EventTarget> =
        Arc::new(Spoke::connect_with(&url, HandshakeOptions::DEFAULT, options()).await?);
    // The spoke has its answer before the hub has put its end away.
    hub.now.subscribe().wait_for(Option::is_some).await?;
    let wire = hub.wire.clone();
    Ok(Peers::new(wire.target(), vec![spoke.clone()]).with_wire(wire, Some(spoke)).with_fault(hub))
}

/// Spokes of our hub, the first of them over a line that can be cut. The hub publishes itself.
struct Cuttable;

impl Fixture for Cuttable {
    fn capabilities(&self) -> Capabilities {
        SPOKE
    }

    fn offers(&self) -> Offers {
        Offers { cut: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { cuttable().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn cuttable() -> Made {
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = hub.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    let before = TcpListener::bind("127.0.0.1:0").await?;
    let urls = [before.local_addr()?, address, address].map(|address| format!("ws://{address}/"));
    let line = Line::lay(before, address.to_string());
    let mut spokes: Vec<Arc<dyn EventTarget>> = Vec::new();
    for url in &urls {
        spokes.push(Arc::new(Spoke::connect_with(url, HandshakeOptions::DEFAULT, options()).await?));
    }
    Ok(Peers::new(hub.clone(), spokes).with_fault(line).keeping(hub))
}
