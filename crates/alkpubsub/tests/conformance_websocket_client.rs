//! The conformance suite on the WebSocket client target: against another library's server that plays a hub by
//! script, against our server target, and through our server target as a hub that relays.

mod support;

use alkpubsub::conformance::{self, FarSide, Fixture, Lent, Offers, Peers};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order, WebSocketClientEventTarget,
    WebSocketServerEventTarget,
};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use support::RawPeer;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

alkpubsub::conformance_tests!(websocket_client, Scripted);
alkpubsub::conformance_tests!(websocket_client_lent, LentSocket);
alkpubsub::conformance_tests!(websocket_client_and_server, Hub { relay: false });
alkpubsub::conformance_tests!(websocket_relay, Hub { relay: true });

#[test]
fn matrix() {
    let file = support::docs("matrix.md");
    conformance::matrix_column(&file, "websocket_client", &Scripted);
    conformance::matrix_column(&file, "websocket_client_lent", &LentSocket);
    conformance::matrix_column(&file, "websocket_client_and_server", &Hub { relay: false });
    conformance::matrix_column(&file, "websocket_relay", &Hub { relay: true });
}

type Made = Result<Peers, Box<dyn std::error::Error + Send + Sync>>;

const LINK: Capabilities = Capabilities {
    echo: false,
    order: Order::Connection,
    carries: Carries::Json,
    lifetime: Lifetime::PerConnection,
    confirms: true,
};

/// One client, and a raw server that publishes what it hears.
struct Scripted;

impl Fixture for Scripted {
    fn capabilities(&self) -> Capabilities {
        LINK
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
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let accepted = tokio_tungstenite::accept_async(stream).await;
        accepted.map_err(std::io::Error::other)
    });
    let client: Arc<dyn EventTarget> = Arc::new(WebSocketClientEventTarget::connect(&url).await?);
    let hub = RawPeer::new(FarSide::Hub, accepting.await??);
    let wire = hub.wire.clone();
    Ok(Peers::new(wire.target(), vec![client.clone()]).with_wire(wire, Some(client)).with_fault(hub))
}

/// One client that was given its socket, and a raw server.
struct LentSocket;

impl Fixture for LentSocket {
    fn capabilities(&self) -> Capabilities {
        LINK
    }

    fn offers(&self) -> Offers {
        Offers { lent: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { lent().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn lent() -> Made {
    let (here, there) = tokio::io::duplex(1 << 16);
    let socket = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
    let far = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
    let client = Arc::new(WebSocketClientEventTarget::new(socket));
    let hub = RawPeer::new(FarSide::Hub, far);
    let peers = Peers::new(hub.wire.target(), vec![client.clone()]);
    Ok(peers.with_lent(Arc::new(GivenBack { client, _hub: hub })))
}

/// The socket that was lent, to be had back from the client.
struct GivenBack {
    client: Arc<WebSocketClientEventTarget>,
    _hub: Arc<RawPeer>,
}

impl Lent for GivenBack {
    fn use_again(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let socket = self.client.release::<WebSocketStream<DuplexStream>>().await;
            let mut socket = socket.ok_or("the socket was not given back")?;
            // Both ways: the raw server answers the ping, and has heard nothing of an end before.
            let ping = r#"{"type":"__ping","id":"","payload":{"again":true}}"#;
            socket.send(Message::text(ping)).await.map_err(|error| error.to_string())?;
            while let Some(message) = socket.next().await {
                let message = message.map_err(|error| error.to_string())?;
                if message.to_text().is_ok_and(|text| text.contains(r#""echo":{"again":true}"#)) {
                    return Ok(());
                }
            }
            Err("the socket has ended".into())
        })
    }
}

/// Clients of our hub. It publishes itself what they hear; as one that relays, a client publishes, and hears
/// itself.
#[derive(Clone, Copy)]
struct Hub {
    relay: bool,
}

impl Fixture for Hub {
    fn capabilities(&self) -> Capabilities {
        Capabilities { echo: self.relay, ..LINK }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { self.connected().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

impl Hub {
    async fn connected(&self) -> Made {
        let options = if self.relay { ServerOptions::new().relay() } else { ServerOptions::new() };
        let hub = Arc::new(WebSocketServerEventTarget::new(options));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/", listener.local_addr()?);
        let serving = hub.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        let mut clients: Vec<Arc<dyn EventTarget>> = Vec::new();
        for _ in 0..3 {
            clients.push(Arc::new(WebSocketClientEventTarget::connect(&url).await?));
        }
        let publisher = if self.relay { clients.pop() } else { None };
        Ok(Peers::new(publisher.unwrap_or_else(|| hub.clone()), clients).keeping(hub))
    }
}
