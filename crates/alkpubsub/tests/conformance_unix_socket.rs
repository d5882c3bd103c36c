//! The conformance suite on Unix sockets: connections to a hub that relays.
#![cfg(unix)]

mod support;

use alkpubsub::conformance::{self, Fixture, Peers};
use alkpubsub::hub::HubOptions;
use alkpubsub::unix_socket::UnixSocketListener;
use alkpubsub::{
    BoxFuture, ByteStreamEventTarget, ByteStreamHubEventTarget, ByteStreamOptions, Capabilities, Carries,
    EventTarget, Lifetime, Order,
};
use std::sync::Arc;

alkpubsub::conformance_tests!(unix_socket, Relay);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "unix_socket", &Relay);
}

/// Three connections: one publishes, and each hears what it subscribed to.
struct Relay;

impl Fixture for Relay {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: true,
        }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn peers() -> Result<Peers, Box<dyn std::error::Error + Send + Sync>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("hub.sock");
    let hub = Arc::new(ByteStreamHubEventTarget::try_new(HubOptions::new().relay())?);
    let (listener, serving) = (UnixSocketListener::bind(&path)?, hub.clone());
    tokio::spawn(async move { listener.serve(&serving).await });
    let mut links: Vec<Arc<dyn EventTarget>> = Vec::new();
    for _ in 0..3 {
        links.push(Arc::new(ByteStreamEventTarget::unix(&path, ByteStreamOptions::DEFAULT).await?));
    }
    let publisher = links.remove(0);
    Ok(Peers::new(publisher, links).keeping((hub, directory)))
}
