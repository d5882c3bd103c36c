//! The one bidirectional stream of a connection, as bytes in both directions.

use crate::adapter::peer_closed::PeerClosed;
use iroh::endpoint::{ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Close codes below are QUIC's or iroh's own: a connection that is dropped ends with 0.
const CODES: std::ops::RangeInclusive<u16> = 1000..=4999;
/// A connection that broke, as it is told to who still listens.
const BROKEN: u16 = 1006;

type Halves = (SendStream, RecvStream);

pub(super) struct IrohStream {
    /// Or why there are none any more.
    halves: Result<Halves, ConnectionError>,
    /// From when our half was ended until the peer has all of it.
    arriving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    arrived: bool,
    /// Ends with this stream, wherever it is by then.
    #[cfg(feature = "iroh-hub")]
    _alive: Option<tokio::sync::oneshot::Sender<()>>,
}

impl IrohStream {
    /// A hub may close a connection before the stream on it is opened: then that is what is read.
    pub(super) fn new(halves: Result<Halves, ConnectionError>) -> Self {
        Self {
            halves,
            arriving: None,
            arrived: false,
            #[cfg(feature = "iroh-hub")]
            _alive: None,
        }
    }

    fn halves(&mut self) -> io::Result<&mut Halves> {
        self.halves.as_mut().map_err(|error| lost(error.clone()))
    }

    /// With something that tells when it is gone.
    #[cfg(feature = "iroh-hub")]
    pub(super) fn watched(self) -> (Self, tokio::sync::oneshot::Receiver<()>) {
        let (alive, gone) = tokio::sync::oneshot::channel();
        (Self { _alive: Some(alive), ..self }, gone)
    }
}

impl AsyncRead for IrohStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (_, recv) = self.halves()?;
        let read = ready!(recv.poll_read(context, buffer.initialize_unfilled()));
        Poll::Ready(read.map(|read| buffer.advance(read)).map_err(|error| match error {
            ReadError::ConnectionLost(error) => lost(error),
            error => error.into(),
        }))
    }
}

impl AsyncWrite for IrohStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (send, _) = self.halves()?;
        let written = ready!(Pin::new(send).poll_write(context, bytes));
        Poll::Ready(written.map_err(|error| match error {
            WriteError::ConnectionLost(error) => lost(error),
            error => error.into(),
        }))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our half, and is ready when the peer has all of it: a connection that is closed before drops the rest. It may
    /// be asked again afterwards.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.arrived {
            return Poll::Ready(Ok(()));
        }
        let arriving = match &mut this.arriving {
            Some(arriving) => arriving,
            none => {
                let Ok((send, _)) = &mut this.halves else { return Poll::Ready(Ok(())) };
                // An error says that the peer wants no more of it.
                let _ = send.finish();
                let arrived = send.stopped();
                none.insert(Box::pin(async move { drop(arrived.await) }))
            }
        };
        ready!(arriving.as_mut().poll(context));
        (this.arriving, this.arrived) = (None, true);
        Poll::Ready(Ok(()))
    }
}

/// What a connection ended with: the peer's close code is kept as one.
fn lost(error: ConnectionError) -> io::Error {
    let ConnectionError::ApplicationClosed(close) = &error else { return error.into() };
    match u16::try_from(close.error_code.into_inner()) {
        Ok(code) if code != BROKEN && CODES.contains(&code) => {
            let reason = String::from_utf8_lossy(&close.reason).into();
            io::Error::new(io::ErrorKind::ConnectionReset, PeerClosed { code, reason })
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::iroh::ALPN;
    use iroh::Endpoint;
    use iroh::endpoint::presets::Minimal;
    use tokio::io::AsyncWriteExt;

    async fn endpoint() -> Endpoint {
        let builder = Endpoint::builder(Minimal).alpns(vec![ALPN.to_vec()]).clear_ip_transports();
        builder.bind_addr("127.0.0.1:0").unwrap().bind().await.unwrap()
    }

    /// A hub that has said goodbye asks once more when the spoke does.
    #[tokio::test]
    async fn a_shutdown_may_be_asked_for_again() {
        let (here, there) = (endpoint().await, endpoint().await);
        let far = async { there.accept().await.unwrap().await.unwrap() };
        let (near, far) = tokio::join!(here.connect(there.addr(), ALPN), far);
        let near = near.unwrap();
        let mut stream = IrohStream::new(near.open_bi().await);
        stream.write_all(b"last words").await.unwrap();
        let far = async {
            let (_send, mut recv) = far.accept_bi().await.unwrap();
            recv.read_to_end(64).await.unwrap()
        };
        let (heard, ended) = tokio::join!(far, stream.shutdown());
        ended.unwrap();
        assert_eq!(heard, b"last words");
        stream.shutdown().await.unwrap();
        here.close().await;
        there.close().await;
    }
}
