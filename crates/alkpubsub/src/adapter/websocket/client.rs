//! The client's end of one WebSocket.

mod connect;
mod handshake;
mod header;
mod message;
mod options;
mod spoke;
mod stream;
#[cfg(feature = "websocket-client-tls")]
mod tls;

pub use self::header::{BadHeader, RequestHeader};
pub use self::options::{ClientOptions, HandshakeOptions};
#[cfg(feature = "websocket-client-tls")]
pub use self::tls::TlsRoots;
use crate::adapter::link::{DisconnectError, Life, LinkTarget, Pump, SocketMessage};
use crate::connect::ConnectError;
use crate::event_target::{CloseReason, EventTarget, delegate_event_target};
use futures_core::Stream;
use futures_sink::Sink;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One WebSocket to a hub: events dispatched here are sent, events received are given to the listeners.
///
/// It takes an already connected socket ([`new`](Self::new)), or makes one ([`connect`](Self::connect)). One
/// connection is one target: when the connection ends, so does the target, and a new connection is a new target.
/// A task of the runtime that it was made in reads and writes the socket; dropping the target ends that task.
///
/// # Topics
/// The first listener of a topic sends `__subscribe`, the removal of the last one `__unsubscribe`.
/// [`ready`](EventTarget::ready) waits for the hub's answer; a hub that has answered nothing in 2 s counts as one
/// that never does. There is no local echo: an event dispatched here is heard here only if the hub sends it back.
///
/// # Overload
/// What is dispatched waits in a queue of 4,096 messages and 4 MiB ([`LinkOptions`](crate::protocol::link::LinkOptions)); beyond it `dispatch_event`
/// says `Full`, and [`room`](EventTarget::room) waits until the next fits. Control events have as much room
/// again; beyond it the connection is closed with 1013. Nothing waits on the way in: listeners are called by the
/// task that reads, and the peer is held back by TCP while they run.
///
/// # The end
/// Listeners hear everything that came before the end, then the `close` notice, once; subscriptions end with the
/// same reason. `dispatch_event` then says `Closed`, and what was still queued is counted as
/// [`dropped`](crate::Stats::dropped).
///
/// | what happened | [`CloseReason`] |
/// | --- | --- |
/// | [`close`](EventTarget::close), [`disconnect`](Self::disconnect) here | `Closed` |
/// | the peer's Close | `ByPeer` with its code, 1005 where it has none |
/// | a message over the limit | `Refused`, 1009 |
/// | invalid UTF-8 in a text message, or 100 messages in 10 s that are no envelope | `Refused`, 1007 |
/// | frames that break RFC 6455 | `Refused`, 1002 |
/// | more control events than fit | `Refused`, 1013 |
/// | the connection broke | `Lost` |
///
/// Where it says `Refused`, the peer was sent a Close with that code.
///
/// ```
/// use alkpubsub::{PubSub, WebSocketClientEventTarget};
/// use futures_util::{SinkExt, StreamExt};
/// use tokio_tungstenite::WebSocketStream;
/// use tokio_tungstenite::tungstenite::{Message, protocol::Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Any connected socket; here both ends of one, in one memory.
/// let (here, there) = tokio::io::duplex(4096);
/// let socket = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
/// let mut peer = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
///
/// let pubsub = PubSub::new(WebSocketClientEventTarget::new(socket));
/// pubsub.publish_json("call.requested", "uuid-123", &42).await?;
/// let sent = peer.next().await.unwrap()?;
/// assert_eq!(sent.to_text()?, r#"{"type":"call.requested","id":"uuid-123","payload":42}"#);
///
/// // The peer goes away: the target is closed, and says why.
/// peer.close(None).await?;
/// let reason = pubsub.target().closed().await;
/// assert_eq!(reason.to_string(), "closed by the far side (1005)");
/// assert!(pubsub.publish_json("call.requested", "uuid-123", &43).await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct WebSocketClientEventTarget {
    target: Arc<LinkTarget>,
}

impl WebSocketClientEventTarget {
    /// Takes a connected socket, with the default options.
    ///
    /// The socket stays the caller's: [`close`](EventTarget::close) sends nothing on it, and
    /// [`release`](Self::release) gives it back. Until then, or until the target is dropped, it is kept here.
    /// Its own limit on messages should not be under [`MessageLimits::max_message`](crate::MessageLimits::max_message).
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn new<M, S>(socket: S) -> Self
    where
        M: SocketMessage,
        S: Stream<Item = Result<M, M::Error>> + Sink<M, Error = M::Error> + Send + Unpin + 'static,
    {
        Self::with_options(socket, ClientOptions::DEFAULT)
    }

    /// [`new`](Self::new) with other bounds and times.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn with_options<M, S>(socket: S, options: ClientOptions) -> Self
    where
        M: SocketMessage,
        S: Stream<Item = Result<M, M::Error>> + Sink<M, Error = M::Error> + Send + Unpin + 'static,
    {
        let target = LinkTarget::new(options.target(), Life::PerConnection { heartbeat: None });
        let (pump, ending) = (Pump::new(target.clone(), socket, false), target.clone());
        target.spawn(async move {
            let (socket, _) = pump.run().await;
            ending.lock().socket = Some(Box::new(socket));
        });
        Self { target }
    }

    /// Connects to a hub, with the default options: `ws://host:port/path`, port 80 unless given, or, with the feature
    /// `websocket-client-tls`, `wss://host:port/path`, port 443.
    ///
    /// The socket is the target's own: [`close`](EventTarget::close) sends a Close with 1000 and ends it.
    ///
    /// # Errors
    /// [`ConnectError`] names what is wrong with the URL, or why the hub cannot be reached.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use alkpubsub::{ConnectError, WebSocketClientEventTarget};
    ///
    /// let error = WebSocketClientEventTarget::connect("ws://127.0.0.1:hub").await.unwrap_err();
    /// assert!(matches!(error, ConnectError::BadUrl { .. }));
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, ClientOptions::DEFAULT).await
    }

    /// [`connect`](Self::connect) with other bounds and times, with headers, subprotocols, or other authorities to
    /// trust.
    ///
    /// # Errors
    /// [`ConnectError`], as there.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect_with(url: &str, options: ClientOptions) -> Result<Self, ConnectError> {
        let socket = connect::open(url, &options).await?;
        let close_timeout = options.close_timeout;
        let target = LinkTarget::new(options.target(), Life::PerConnection { heartbeat: None });
        let pump = Pump::new(target.clone(), socket, true);
        target.spawn(async move {
            let (socket, unanswered) = pump.run().await;
            if unanswered {
                connect::linger(socket, close_timeout).await;
            }
        });
        Ok(Self { target })
    }

    /// Sends a `__ping` and waits for its answer: the peer then has handled all that was sent before it.
    ///
    /// A peer that does not know `__ping` never answers, so put a limit of time around this. Dropping the future
    /// takes nothing back.
    ///
    /// # Errors
    /// The reason of the end, if the connection ends before the answer comes.
    pub async fn ping(&self) -> Result<(), CloseReason> {
        self.target.ping().await
    }

    /// Ends the connection in good order: sends what is queued, then a Close with 1000, and waits for the peer's
    /// answer, but no longer than `patience`. Nothing can be dispatched meanwhile, but what the peer sends before
    /// its answer is heard. In the end the target is closed, and a socket that was given can be had back by
    /// [`release`](Self::release).
    ///
    /// A peer answers a Close after all that came before it, so `Ok` says that it has taken everything.
    ///
    /// # Errors
    /// [`DisconnectError`], where the peer did not answer, or closed for a reason of its own.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.target.disconnect(patience).await
    }

    /// Closes the target and gives back the socket that was given to [`new`](Self::new), unharmed and still
    /// connected unless the peer closed it: a new target can be made of it. What was dispatched and had not reached
    /// the socket yet is dropped; [`ping`](Self::ping) first where it must not be.
    ///
    /// `None` where `S` is not the type of the socket, it was given back already, or the target made it by itself.
    ///
    /// ```
    /// # use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use alkpubsub::WebSocketClientEventTarget;
    /// use tokio::io::DuplexStream;
    ///
    /// # let (here, _there) = tokio::io::duplex(4096);
    /// let socket: WebSocketStream<DuplexStream> = // …
    /// #     WebSocketStream::from_raw_socket(here, Role::Client, None).await;
    /// let target = WebSocketClientEventTarget::new(socket);
    /// assert!(target.release::<String>().await.is_none());
    /// let socket: WebSocketStream<DuplexStream> = target.release().await.unwrap();
    /// # }
    /// ```
    pub async fn release<S: 'static>(&self) -> Option<S> {
        self.close();
        self.closed().await;
        let mut state = self.target.lock();
        match state.socket.take()?.downcast() {
            Ok(socket) => Some(*socket),
            Err(other) => {
                state.socket = Some(other);
                None
            }
        }
    }
}

impl Drop for WebSocketClientEventTarget {
    fn drop(&mut self) {
        self.target.abandon();
    }
}

delegate_event_target!([] WebSocketClientEventTarget, self => self.target);

impl fmt::Debug for WebSocketClientEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocketClientEventTarget").field(&self.target).finish()
    }
}
