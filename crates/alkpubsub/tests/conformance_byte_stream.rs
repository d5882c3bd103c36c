//! The conformance suite on byte streams: a target of one stream, a target on a stream that is the caller's, a spoke that
//! outlives its streams, each against a raw hub whose every message is scripted; and a hub, against a raw spoke.

mod support;

use alkpubsub::conformance::{self, FarSide, Fixture, Lent, Offers, Peers};
use alkpubsub::hub::HubOptions;
use alkpubsub::{
    BoxFuture, ByteStreamEventTarget, ByteStreamHubEventTarget, ByteStreamOptions, ByteStreamSocket,
    Capabilities, Carries, ConnectError, EventTarget, Lifetime, Order, Spoke, SpokeOptions,
};
use std::sync::Arc;
use std::time::Duration;
use support::RawPeer;
use support::hub::RawHub;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};

alkpubsub::conformance_tests!(byte_stream, Scripted);
alkpubsub::conformance_tests!(byte_stream_lent, LentStream);
alkpubsub::conformance_tests!(byte_stream_spoke, Outliving);
alkpubsub::conformance_tests!(byte_stream_hub, Hub);

#[test]
fn matrix() {
    let file = support::docs("matrix.md");
    conformance::matrix_column(&file, "byte_stream", &Scripted);
    conformance::matrix_column(&file, "byte_stream_lent", &LentStream);
    conformance::matrix_column(&file, "byte_stream_spoke", &Outliving);
    conformance::matrix_column(&file, "byte_stream_hub", &Hub);
}

type Made = Result<Peers, Box<dyn std::error::Error + Send + Sync>>;

const LINK: Capabilities = Capabilities {
    echo: false,
    order: Order::Connection,
    carries: Carries::Json,
    lifetime: Lifetime::PerConnection,
    confirms: true,
};
const FAR: Offers = {
    let none = Offers { cut: true, stall: true, wire: None, near: true, hang_up: true, lent: false };
    Offers { wire: Some(FarSide::Hub), ..none }
};

/// A target on TCP, and a raw hub that publishes what it hears.
struct Scripted;

impl Fixture for Scripted {
    fn capabilities(&self) -> Capabilities {
        LINK
    }

    fn offers(&self) -> Offers {
        FAR
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
    let (stream, accepted) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let near: Arc<dyn EventTarget> =
        Arc::new(ByteStreamEventTarget::owning(stream?, ByteStreamOptions::DEFAULT));
    let hub = RawPeer::framed(FarSide::Hub, accepted?.0);
    let wire = hub.wire.clone();
    Ok(Peers::new(wire.target(), vec![near.clone()]).with_wire(wire, Some(near)).with_fault(hub))
}

/// A target that was given its stream, and a raw hub.
struct LentStream;

impl Fixture for LentStream {
    fn capabilities(&self) -> Capabilities {
        LINK
    }

    fn offers(&self) -> Offers {
        Offers { lent: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async {
            let (here, there) = tokio::io::duplex(1 << 16);
            let target = Arc::new(ByteStreamEventTarget::new(here));
            let hub = RawPeer::framed(FarSide::Hub, there);
            let peers = Peers::new(hub.wire.target(), vec![target.clone()]);
            Ok(peers.with_lent(Arc::new(GivenBack { target, _hub: hub })))
        })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

struct GivenBack {
    target: Arc<ByteStreamEventTarget>,
    _hub: Arc<RawPeer>,
}

impl Lent for GivenBack {
    fn use_again(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let socket =
                self.target.release::<DuplexStream>().await.ok_or("the stream was not given back")?;
            // Both ways: the raw hub answers a ping, and has heard nothing of an end before.
            let again = ByteStreamEventTarget::on(socket, ByteStreamOptions::DEFAULT);
            again.ping().await.map_err(|reason| reason.to_string())
        })
    }
}

/// A spoke that connects anew, and a raw hub.
struct Outliving;

impl Fixture for Outliving {
    fn capabilities(&self) -> Capabilities {
        Capabilities { lifetime: Lifetime::Outlives, ..LINK }
    }

    fn offers(&self) -> Offers {
        FAR
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { outliving().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn outliving() -> Made {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let hub = RawHub::serve(listener, async |stream| Some(stream), RawPeer::framed_on);
    let mut options = SpokeOptions::DEFAULT;
    // Nobody else is at this hub who would have to be spared.
    options.backoff.first = Duration::from_millis(1);
    options.backoff.max = Duration::from_millis(10);
    let open = hub.open.subscribe();
    let connect = move || {
        let is_open = *open.borrow();
        async move {
            // Where nothing is said when a stream is opened, one that is closed at once would count as a connection.
            if !is_open {
                return Err(ConnectError::other("cut"));
            }
            let stream = TcpStream::connect(address).await.map_err(ConnectError::other)?;
            Ok(ByteStreamSocket::new(stream))
        }
    };
    let spoke: Arc<dyn EventTarget> = Arc::new(Spoke::new(connect, options));
    hub.now.subscribe().wait_for(Option::is_some).await?;
    let wire = hub.wire.clone();
    Ok(Peers::new(wire.target(), vec![spoke.clone()]).with_wire(wire, Some(spoke)).with_fault(hub))
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

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { hub().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn hub() -> Made {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (stream, accepted) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let hub = Arc::new(ByteStreamHubEventTarget::try_new(HubOptions::new())?);
    hub.add_connection(accepted?.0, None).await?;
    let spoke = RawPeer::framed(FarSide::Spoke, stream?);
    let wire = spoke.wire.clone();
    let hub: Arc<dyn EventTarget> = hub;
    Ok(Peers::new(wire.target(), vec![hub.clone()]).with_wire(wire, Some(hub)).with_fault(spoke))
}
