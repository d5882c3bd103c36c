//! A target chosen at run time, from a URL.

use crate::event_target::EventTarget;
use crate::in_process::InProcess;
use std::io;
use std::sync::Arc;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is not a URL that can be connected to.
    #[error("not a URL to connect to: {why}; one looks like ws://127.0.0.1:8484")]
    BadUrl {
        /// What is wrong with it.
        why: String,
    },
    /// No target of this build goes by the URL's scheme.
    #[error("nothing here speaks `{scheme}:`; {hint}")]
    NoSuchTarget {
        /// The URL's scheme.
        scheme: String,
        /// What there is, or how to get it.
        hint: String,
    },
    /// The far side answered, and said no before there was a connection.
    #[error("the far side refused the connection with HTTP status {status}{}", hint(*status))]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// Nobody answered at that address.
    #[error("cannot reach {address}: {error}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The far side sends whoever connects elsewhere, where this does not go by itself: the token would go along.
    #[error(
        "the far side redirects to {to} (HTTP status {status}), which is not followed; connect there if it is meant"
    )]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// Where it points, as it was sent; control characters are left out.
        to: String,
    },
    /// There is no TLS connection that can be trusted.
    #[error("no TLS connection to {address}: {problem}")]
    Tls {
        /// Host and port.
        address: String,
        /// What went wrong.
        #[source]
        problem: TlsProblem,
    },
    /// A subprotocol to offer is no token as RFC 9110 has it. It is not shown: tokens of rights travel there.
    #[error(
        "a subprotocol to offer is empty or holds a character that may not be in one; it is number {number}"
    )]
    BadSubprotocol {
        /// Which one of the list, from 1.
        number: usize,
    },
    /// Somebody answered at that address, but did not finish the handshake of the protocol.
    #[error("{address} does not answer as a WebSocket server does: {why}")]
    Handshake {
        /// Host and port.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// Who answers at that address does not let this user in: the password, or the user's rights.
    #[error("{address} does not let this user in: {why}")]
    NotLetIn {
        /// Host and port.
        address: String,
        /// What it said.
        why: String,
    },
    /// A way to connect that is not this library's failed.
    #[error("cannot connect: {0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ConnectError {
    /// The error of a way to connect that is not this library's.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// Whether another attempt would end the same way.
    #[cfg(feature = "_link")]
    pub(crate) const fn is_final(&self, renews_credentials: bool) -> bool {
        match self {
            Self::BadUrl { .. } | Self::NoSuchTarget { .. } | Self::BadSubprotocol { .. } => true,
            Self::Refused { status: 401 | 403 } => !renews_credentials,
            Self::Refused { status } => matches!(status, 400 | 405 | 426),
            // A proxy, or the page of a network that wants a login, may stand where the hub will be again.
            Self::Unreachable { .. }
            | Self::Redirected { .. }
            | Self::Tls { .. }
            | Self::Handshake { .. }
            | Self::NotLetIn { .. }
            | Self::Other(_) => false,
        }
    }
}

/// Why there is no TLS connection that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// Nobody who is trusted here vouches for the certificate.
    #[error("its certificate is not signed by an authority that is trusted here")]
    NotTrusted,
    /// The certificate is somebody else's.
    #[error("its certificate is not for this host name")]
    WrongHost,
    /// The certificate was valid once.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate will be valid one day, or the clock here is wrong.
    #[error("its certificate is not valid yet; is the clock right?")]
    NotYetValid,
    /// What answered is no TLS.
    #[error("what answers there does not speak TLS; is it meant to be `ws:`?")]
    NotTls,
    /// There are no authorities to trust.
    #[error("there is no authority to trust: {why}")]
    NoRoots {
        /// What is missing or wrong.
        why: String,
    },
    /// Something else, in the words of the TLS library.
    #[error("{why}")]
    Other {
        /// Those words.
        why: String,
    },
}

/// What a hub means by a status.
const fn hint(status: u16) -> &'static str {
    match status {
        401 => ": it wants a token",
        403 => ": this origin, or this client, is not allowed there",
        404 => ": nothing is served at this path",
        503 => ": it is full or shutting down, try again later",
        200..=299 => ": that is a web server, but no WebSocket",
        _ => "",
    }
}

/// Connects to the event target that a URL names: `ws://host:port/` is a hub over a WebSocket (feature
/// `websocket-client`; port 80 unless given), `wss://host:port/` the same with TLS and the system's authorities (feature
/// `websocket-client-tls`; port 443), `unix:PATH` a hub that listens on a Unix socket (feature `unix-socket`; everything behind
/// the scheme is the path, as it stands), `redis://host:port/` a Redis server without a prefix (feature `redis`; `rediss:` with TLS,
/// feature `redis-tls`), `iroh:TICKET` a hub that is known by its key (feature `iroh-ticket`), `in-process:` a new target in this
/// memory.
///
/// What the target promises is told by [`capabilities`](EventTarget::capabilities). The target of a `ws:`, `wss:`, `unix:` or
/// `iroh:` URL is one connection and ends with it, that of a `redis:` URL outlives its connections; connecting may take 10 s.
/// [`close`](EventTarget::close) on it drops what still waits to be sent: a program that has to leave in good order makes a
/// `WebSocketClientEventTarget`, `ByteStreamEventTarget` or `IrohSpokeEventTarget` by itself and calls its `disconnect`. For an
/// `iroh:` URL an endpoint is made, with a key for this time alone; it ends with the target, and
/// [`closed`](EventTarget::closed) waits for that.
///
/// # Errors
/// [`ConnectError`] names what is wrong with the URL, or why the far side cannot be reached.
///
/// # Panics
/// For one of these URLs: outside of a tokio runtime with its I/O and time drivers.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use alkpubsub::PubSub;
///
/// let pubsub = PubSub::new(alkpubsub::connect("in-process:").await?);
/// let mut ticks = pubsub.subscribe_envelopes("tick", "").await?;
/// pubsub.publish_json("tick", "", &1).await?;
/// assert!(ticks.next().await.is_some());
///
/// let error = alkpubsub::connect("127.0.0.1:8484").await.err().unwrap();
/// assert_eq!(
///     error.to_string(),
///     "not a URL to connect to: it does not begin with a scheme; one looks like ws://127.0.0.1:8484"
/// );
/// # Ok(())
/// # }
/// # use std::future::Future;
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # match std::pin::pin!(example()).as_mut().poll(&mut context) {
/// #     std::task::Poll::Ready(done) => done.unwrap(),
/// #     std::task::Poll::Pending => panic!(),
/// # }
/// ```
pub async fn connect(url: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    match scheme(url)?.as_str() {
        "in-process" => Ok(Arc::new(InProcess::new())),
        "unix" => unix(url).await,
        "redis" | "rediss" | "redis+unix" => redis(url).await,
        "iroh" => iroh(url).await,
        "ws" => websocket(url).await,
        #[cfg(feature = "websocket-client-tls")]
        "wss" => websocket(url).await,
        #[cfg(not(feature = "websocket-client-tls"))]
        "wss" => no_such_target("wss", NO_TLS),
        other => no_such_target(other, there_are()),
    }
}

/// The schemes of this build, and where the others are.
fn there_are() -> String {
    let schemes = [
        ("in-process", true, ""),
        ("ws", cfg!(feature = "websocket-client"), "websocket-client"),
        ("wss", cfg!(feature = "websocket-client-tls"), "websocket-client-tls"),
        ("unix", cfg!(all(unix, feature = "unix-socket")), "unix-socket"),
        ("redis", cfg!(feature = "redis"), "redis"),
        ("rediss", cfg!(feature = "redis-tls"), "redis-tls"),
        ("iroh", cfg!(feature = "iroh-ticket"), "iroh-ticket"),
    ];
    let here: Vec<_> =
        schemes.iter().filter(|scheme| scheme.1).map(|scheme| format!("`{}:`", scheme.0)).collect();
    let lacking = schemes.iter().filter(|scheme| !scheme.1);
    let lacking: String = lacking
        .map(|(scheme, _, feature)| format!("; `{scheme}:` comes with the feature `{feature}`"))
        .collect();
    format!("there is {}{lacking}", here.join(", "))
}

#[cfg(not(feature = "websocket-client-tls"))]
pub(crate) const NO_TLS: &str = "build alkpubsub with its feature `websocket-client-tls`";

/// What stands before the first `:`, in lower case.
pub(crate) fn scheme(url: &str) -> Result<String, ConnectError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let letters = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !letters || !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(ConnectError::BadUrl { why: "it does not begin with a scheme".into() });
    }
    // `localhost:8484` is a scheme and a path to the letter of the standard, and never meant so.
    if scheme == "localhost" {
        return Err(ConnectError::BadUrl { why: "it does not begin with a scheme".into() });
    }
    Ok(scheme.to_ascii_lowercase())
}

#[cfg(feature = "websocket-client")]
async fn websocket(url: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    Ok(Arc::new(crate::WebSocketClientEventTarget::connect(url).await?))
}

#[cfg(not(feature = "websocket-client"))]
async fn websocket(_: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    std::future::ready(no_such_target("ws", "build alkpubsub with its feature `websocket-client`")).await
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    let target = crate::redis::RedisEventTarget::connect(url, crate::redis::RedisOptions::new()).await?;
    Ok(Arc::new(target))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    std::future::ready(no_such_target("redis", "build alkpubsub with its feature `redis`")).await
}

#[cfg(feature = "iroh-ticket")]
async fn iroh(url: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    Ok(Arc::new(crate::adapter::iroh::connect(url).await?))
}

#[cfg(not(feature = "iroh-ticket"))]
async fn iroh(_: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    std::future::ready(no_such_target("iroh", "build alkpubsub with its feature `iroh-ticket`")).await
}

#[cfg(all(unix, feature = "unix-socket"))]
async fn unix(url: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    let path = crate::adapter::unix_socket::path_of(url)?;
    let target = crate::ByteStreamEventTarget::unix(path, crate::ByteStreamOptions::DEFAULT).await?;
    Ok(Arc::new(target))
}

#[cfg(not(all(unix, feature = "unix-socket")))]
async fn unix(_: &str) -> Result<Arc<dyn EventTarget>, ConnectError> {
    let hint = "build alkpubsub on Unix, with its feature `unix-socket`";
    std::future::ready(no_such_target("unix", hint)).await
}

pub(crate) fn no_such_target<T>(scheme: &str, hint: impl Into<String>) -> Result<T, ConnectError> {
    Err(ConnectError::NoSuchTarget { scheme: scheme.into(), hint: hint.into() })
}
