//! Endpoints on this machine alone, and raw ends of connections.

use alkpubsub::iroh::ALPN;
use iroh::endpoint::presets::Minimal;
use iroh::endpoint::{Builder, Connection, RecvStream, SendStream};
use iroh::{Endpoint, RelayMode};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// On loopback, and nobody is asked for anything.
pub(crate) fn builder() -> Builder {
    let builder = Endpoint::builder(Minimal).relay_mode(RelayMode::Disabled).clear_ip_transports();
    builder.bind_addr("127.0.0.1:0").expect("an address")
}

pub(crate) async fn endpoint() -> Endpoint {
    builder().bind().await.expect("an endpoint")
}

/// One that accepts hubs' connections, by hand.
pub(crate) async fn accepting() -> Endpoint {
    builder().alpns(vec![ALPN.to_vec()]).bind().await.expect("an endpoint")
}

/// The stream of a connection, which ends with it.
pub(crate) struct RawStream {
    send: SendStream,
    recv: RecvStream,
    connection: Connection,
    _endpoint: Endpoint,
}

impl RawStream {
    pub(crate) async fn accept(endpoint: &Endpoint) -> Result<Self, Failed> {
        let connection = endpoint.accept().await.ok_or("the endpoint is closed")?.await?;
        let (send, recv) = connection.accept_bi().await?;
        Ok(Self { send, recv, connection, _endpoint: endpoint.clone() })
    }

    pub(crate) async fn open(endpoint: &Endpoint, hub: &Endpoint) -> Result<Self, Failed> {
        let connection = endpoint.connect(hub.addr(), ALPN).await?;
        let (send, recv) = connection.open_bi().await?;
        Ok(Self { send, recv, connection, _endpoint: endpoint.clone() })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn reset(&mut self, code: u32) {
        self.send.reset(code.into()).expect("an open stream");
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        // A connection that is dropped takes what it has not delivered along, which no socket of the system does.
        let (arrived, connection) = (self.send.stopped(), self.connection.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(1), arrived).await;
            drop(connection);
        });
    }
}

impl AsyncRead for RawStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), context, buffer)
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(context)
    }
}
