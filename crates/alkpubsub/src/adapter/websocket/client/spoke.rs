//! The reconnecting spoke of a WebSocket hub.

use super::connect::{self, Socket};
use super::{ClientOptions, HandshakeOptions};
use crate::adapter::link::{Behind, Spoke, SpokeOptions};
use crate::connect::ConnectError;
use crate::event_target::BoxFuture;

impl Spoke {
    /// Connects to a WebSocket hub, with the default options, and goes on connecting when the connection is lost.
    ///
    /// # Errors
    /// [`ConnectError`] names what is wrong with the URL, or why the hub cannot be reached now.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, HandshakeOptions::DEFAULT, SpokeOptions::DEFAULT).await
    }

    /// [`connect`](Self::connect) with other headers, authorities, bounds and times.
    ///
    /// # Errors
    /// [`ConnectError`], as there.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect_with(
        url: &str,
        handshake: HandshakeOptions,
        options: SpokeOptions,
    ) -> Result<Self, ConnectError> {
        let mut connector = connector(url, handshake, options);
        let first = connector().await?;
        Ok(Self::launch(Some(first), connector, connect::linger, options, Behind::Hub))
    }

    /// A spoke of a WebSocket hub that need not be there yet.
    ///
    /// # Errors
    /// [`ConnectError`] names what is wrong with the URL.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use alkpubsub::{HandshakeOptions, Spoke, SpokeOptions};
    ///
    /// let start = |url| Spoke::websocket(url, HandshakeOptions::DEFAULT, SpokeOptions::DEFAULT);
    /// assert!(start("ws://127.0.0.1:hub").is_err());
    /// assert!(start("ws://127.0.0.1:1").is_ok());
    /// # }
    /// ```
    pub fn websocket(
        url: &str,
        handshake: HandshakeOptions,
        options: SpokeOptions,
    ) -> Result<Self, ConnectError> {
        connect::check(url)?;
        Ok(Self::launch(None, connector(url, handshake, options), connect::linger, options, Behind::Hub))
    }
}

/// Opens a connection each time that it is called.
fn connector(
    url: &str,
    handshake: HandshakeOptions,
    options: SpokeOptions,
) -> impl FnMut() -> BoxFuture<'static, Result<Socket, ConnectError>> + Send + 'static {
    let SpokeOptions { link, message, close_timeout, connect_timeout, .. } = options;
    let options = ClientOptions { link, message, close_timeout, connect_timeout, handshake };
    let url = url.to_owned();
    move || {
        let (url, options) = (url.clone(), options.clone());
        Box::pin(async move { connect::open(&url, &options).await })
    }
}
