//! The reconnecting spoke of a WebSocket hub.

use super::ClientOptions;
use super::connect::{self, Socket};
use crate::adapter::link::{Spoke, SpokeOptions};
use crate::connect::ConnectError;

impl Spoke {
    /// Connects to a WebSocket hub, with the default options, and goes on connecting when the connection is lost.
    ///
    /// # Errors
    /// [`ConnectError`] names what is wrong with the URL, or why the hub cannot be reached now.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, SpokeOptions::DEFAULT).await
    }

    /// [`connect`](Self::connect) with other bounds and times.
    ///
    /// # Errors
    /// [`ConnectError`], as there.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect_with(url: &str, options: SpokeOptions) -> Result<Self, ConnectError> {
        let first = connect::open(url, &client(&options)).await?;
        Ok(Self::launch(Some(first), connector(url, options), connect::linger, options))
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
    /// use alkpubsub::{Spoke, SpokeOptions};
    ///
    /// assert!(Spoke::websocket("ws://127.0.0.1:hub", SpokeOptions::DEFAULT).is_err());
    /// assert!(Spoke::websocket("ws://127.0.0.1:1", SpokeOptions::DEFAULT).is_ok());
    /// # }
    /// ```
    pub fn websocket(url: &str, options: SpokeOptions) -> Result<Self, ConnectError> {
        connect::check(url)?;
        Ok(Self::launch(None, connector(url, options), connect::linger, options))
    }
}

type Opening = std::pin::Pin<Box<dyn Future<Output = Result<Socket, ConnectError>> + Send>>;

fn connector(url: &str, options: SpokeOptions) -> impl FnMut() -> Opening + Send + 'static {
    let (url, options) = (url.to_owned(), client(&options));
    move || {
        let (url, options) = (url.clone(), options.clone());
        Box::pin(async move { connect::open(&url, &options).await })
    }
}

fn client(options: &SpokeOptions) -> ClientOptions {
    ClientOptions {
        link: options.link,
        message: options.message,
        close_timeout: options.close_timeout,
        connect_timeout: options.connect_timeout,
        ..ClientOptions::DEFAULT
    }
}
