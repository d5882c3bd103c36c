//! How a WebSocket client is set up.

use super::RequestHeader;
#[cfg(feature = "websocket-client-tls")]
use super::TlsRoots;
use crate::adapter::link::TargetOptions;
use crate::protocol::check::MessageLimits;
use crate::protocol::link::LinkOptions;
use std::fmt;
use std::time::Duration;

/// The bounds and times of a [`WebSocketClientEventTarget`](crate::WebSocketClientEventTarget).
///
/// ```
/// use alkpubsub::ClientOptions;
/// use std::time::Duration;
///
/// let mut options = ClientOptions::DEFAULT;
/// options.link.max_queued = 100;
/// options.message.max_message = 1 << 20;
/// options.connect_timeout = Duration::from_secs(3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The outbound queue, whether subscriptions are forwarded, and how long the first answer is waited for.
    pub link: LinkOptions,
    /// Bytes and depth of a message, in both directions. What is longer or deeper is not sent; a message of the
    /// peer's that is longer ends the connection with 1009.
    pub message: MessageLimits,
    /// How long a Close may take to leave, and its answer to come, at the end.
    pub close_timeout: Duration,
    /// How long [`connect`](crate::WebSocketClientEventTarget::connect) may take, the handshake included.
    pub connect_timeout: Duration,
    /// What is said and trusted when it connects.
    pub handshake: HandshakeOptions,
}

impl ClientOptions {
    /// [`LinkOptions::DEFAULT`], [`MessageLimits::DEFAULT`], 2 s to close and 10 s to connect,
    /// [`HandshakeOptions::DEFAULT`].
    pub const DEFAULT: Self = Self {
        link: LinkOptions::DEFAULT,
        message: MessageLimits::DEFAULT,
        close_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(10),
        handshake: HandshakeOptions::DEFAULT,
    };

    pub(super) fn target(&self) -> TargetOptions {
        TargetOptions {
            link: self.link,
            message: self.message,
            close_timeout: self.close_timeout,
            broker: false,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is said to a hub, and trusted, when a connection is opened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeOptions {
    /// What the opening request says beside the handshake itself: where tokens belong, never in the URL.
    pub headers: Vec<RequestHeader>,
    /// The subprotocols that are offered; a hub that selects none of them, or another one, ends the handshake. None by
    /// default, which means `alkpubsub.1`. Their names are shown nowhere: some carry tokens.
    pub subprotocols: Vec<String>,
    /// Who may vouch for the hub of a `wss:` URL.
    #[cfg(feature = "websocket-client-tls")]
    pub tls_roots: TlsRoots,
}

impl HandshakeOptions {
    /// Nothing beside the handshake itself, and the system's authorities.
    pub const DEFAULT: Self = Self {
        headers: Vec::new(),
        subprotocols: Vec::new(),
        #[cfg(feature = "websocket-client-tls")]
        tls_roots: TlsRoots::System,
    };
}

impl Default for HandshakeOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for HandshakeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("HandshakeOptions");
        shown.field("headers", &self.headers).field("subprotocols", &self.subprotocols.len());
        #[cfg(feature = "websocket-client-tls")]
        shown.field("tls_roots", &self.tls_roots);
        shown.finish()
    }
}
