//! The WebSocket server target: a hub for the spokes that connect to it.

use super::handshake::{self, Origins, Refused};
use super::opening::{Door, Entry, Handshake};
use crate::adapter::broker::Broker;
use crate::adapter::engine::framing::Framing;
use crate::adapter::engine::{
    AddConnectionError, Doorway, Handle, HubHooks, HubOptions, SharedHub, Socket, Spoke, StartError,
    accept_into,
};
use crate::event_target::{LinkId, delegate_event_target};
use crate::protocol::hub::{FanOut, HubLimits};
use std::io;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections that are being refused at one time. They hold no place, and each may take the time of a handshake;
/// whoever comes beyond is dropped without an answer.
const MAX_REFUSALS: usize = 256;
/// How a WebSocket hub behaves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerOptions {
    /// What does not depend on WebSockets.
    pub hub: HubOptions,
    /// Which web pages may connect.
    pub origins: Origins,
    /// Whether [`serve`](WebSocketServerEventTarget::serve) answers `GET` and `HEAD /healthz`: 200 while it serves, 503
    /// while it shuts down. `false` by default; then it is a path like any other, and a WebSocket may be opened there.
    pub health: bool,
}

impl ServerOptions {
    /// The most [`shards`](Self::shards) that a hub may have.
    pub const MOST_SHARDS: u8 = HubOptions::MOST_SHARDS;

    /// The defaults: every limit of the hub program's, to the subscribed, nothing relayed, loopback origins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With pages of other origins.
    #[must_use]
    pub fn origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    /// With `/healthz`.
    #[must_use]
    pub fn health(self) -> Self {
        Self { health: true, ..self }
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(self, limits: HubLimits) -> Self {
        Self { hub: self.hub.limits(limits), ..self }
    }

    /// With another fan-out.
    #[must_use]
    pub fn fan_out(self, fan_out: FanOut) -> Self {
        Self { hub: self.hub.fan_out(fan_out), ..self }
    }

    /// Relaying what spokes send, as the hub program does.
    #[must_use]
    pub fn relay(self) -> Self {
        Self { hub: self.hub.relay(), ..self }
    }

    /// With identities, which own `direct:<identity>`.
    #[must_use]
    pub fn identities(self) -> Self {
        Self { hub: self.hub.identities(), ..self }
    }

    /// With several shards: see [`HubOptions::shards`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), alkpubsub::websocket_server::StartError> {
    /// use alkpubsub::WebSocketServerEventTarget;
    /// use alkpubsub::websocket_server::ServerOptions;
    /// use std::num::NonZeroU8;
    ///
    /// let options = ServerOptions::new().shards(NonZeroU8::new(2).unwrap());
    /// let hub = WebSocketServerEventTarget::try_new(options)?;
    /// hub.shutdown(std::time::Duration::from_secs(1)).await;
    ///
    /// let too_many = ServerOptions::new().shards(NonZeroU8::new(65).unwrap());
    /// let error = WebSocketServerEventTarget::try_new(too_many).unwrap_err();
    /// assert_eq!(error.to_string(), "65 shards are too many: a hub may have 64");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn shards(self, shards: NonZeroU8) -> Self {
        Self { hub: self.hub.shards(shards), ..self }
    }

    /// Behind a broker, which makes one hub of many; see [`HubOptions::behind`].
    #[must_use]
    pub fn behind(self, broker: Arc<dyn Broker>) -> Self {
        Self { hub: self.hub.behind(broker), ..self }
    }

    /// With the program's hooks.
    #[must_use]
    pub fn hooks(self, hooks: impl HubHooks) -> Self {
        Self { hub: self.hub.hooks(hooks), ..self }
    }
}

/// A hub: many WebSocket connections as one event target.
///
/// Its listeners hear what any spoke sends ([`EventEnvelope::source`](crate::EventEnvelope::source) tells which). What is dispatched on it goes
/// to the spokes that subscribed to the topic. Unless [`relay`](HubOptions::relay) is asked for, nothing goes
/// from spoke to spoke behind the program's back. [`HubHooks`] sees connections come and go, each with a target of
/// its own, and decides what they may do.
///
/// One task serves all connections, on the tokio runtime on which it is [made](Self::try_new); with several
/// [`shards`](ServerOptions::shards) it is one for each, on threads of their own but for the first. They end with this
/// target. Listeners and hooks run on them and must not block.
///
/// # Overload and close
/// Dispatched events wait in a queue (4,096 events, 4 MiB) until the task's next round; beyond it,
/// [`DispatchError::Full`](crate::DispatchError::Full). A spoke for which more than [`HubLimits::max_outbound`] or
/// [`HubLimits::max_outbound_messages`] waits after a write was tried is closed with 1013.
/// [`close`](crate::EventTarget::close) sends every spoke a close frame (1001) behind what waits for it.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use alkpubsub::websocket_server::ServerOptions;
/// use alkpubsub::{EventTarget, PubSub, WebSocketServerEventTarget};
/// use std::sync::Arc;
/// use tokio::net::TcpListener;
///
/// let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new()));
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let serving = { let hub = hub.clone(); async move { hub.serve(listener).await } };
/// let pubsub = PubSub::new(hub.clone());
/// pubsub.publish_json("tick", "", &1).await?;
/// # drop(serving);
/// hub.close();
/// assert!(pubsub.publish_json("tick", "", &2).await.is_err());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct WebSocketServerEventTarget {
    pub(super) hub: Arc<Handle>,
    pub(super) origins: Arc<Origins>,
    pub(super) handshake_timeout: Duration,
    health: bool,
    /// Connections that another server hands over. They end with this target.
    #[cfg(feature = "hyper")]
    pub(super) upgrades: std::sync::Mutex<tokio::task::JoinSet<()>>,
}

impl WebSocketServerEventTarget {
    /// A hub without connections.
    ///
    /// # Panics
    /// Where [`try_new`](Self::try_new) gives an error: outside of a tokio runtime, and, asked for several shards, with
    /// too many of them or where the system has no thread or no descriptors for one. With one shard, on a runtime, it
    /// does not fail.
    #[must_use]
    pub fn new(options: ServerOptions) -> Self {
        Self::try_new(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The hub, for another of its faces.
    #[must_use]
    pub fn share(&self) -> SharedHub {
        SharedHub(self.hub.clone())
    }

    /// A hub without connections, all of its shards started. Of one that fails nothing is left.
    ///
    /// # Errors
    /// [`StartError`]: there is no tokio runtime; there are to be more shards than
    /// [`ServerOptions::MOST_SHARDS`]; or the system has no thread or no descriptors for one of them.
    pub fn try_new(options: ServerOptions) -> Result<Self, StartError> {
        let ServerOptions { hub: options, origins, health } = options;
        Ok(Self {
            hub: Handle::start(&options, Framing::WebSocket)?,
            origins: Arc::new(origins),
            handshake_timeout: options.handshake_timeout,
            health,
            #[cfg(feature = "hyper")]
            upgrades: std::sync::Mutex::default(),
        })
    }

    /// Accepts connections until the hub has ended; the task that will serve a connection shakes hands with it, within
    /// the time and the limits given. While the hub shuts down, what comes is answered with 503.
    ///
    /// Out of file descriptors, new connections wait and the others live. They wait in the listener's own queue, which
    /// holds 128 where it was made by `TcpListener::bind`; `TcpSocket::listen` takes the number. Several calls serve
    /// several listeners.
    ///
    /// # Errors
    /// Those of the listener that are not one connection's.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let door = Arc::new(Door {
            origins: self.origins.clone(),
            health: self.health,
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            patience: self.handshake_timeout,
        });
        let mut doorway = Doorway::tcp(listener)?;
        let admit = |arrival| {
            let entry = match self.hub.reserve() {
                Ok(place) => Entry::Place(place),
                Err(error) => match door.refusals.clone().try_acquire_owned() {
                    Ok(turn) => Entry::Refused(refusal(error), turn),
                    Err(_) => return,
                },
            };
            self.hub.arrive(arrival, Box::new(Handshake::new(door.clone(), entry)));
        };
        accept_into(&self.hub, &mut doorway, admit).await
    }

    /// Adds a connection whose WebSocket handshake is done: any socket, TLS or another hub's listener behind it.
    /// `identity` says who it is, as the program knows it from the connection.
    ///
    /// It is read from at once: a listener that is added to the spoke which this gives may miss what has come before.
    /// Listeners that [`HubHooks::connected`] adds hear the first event.
    ///
    /// # Errors
    /// [`AddConnectionError`]: the hub is full or closed; the socket is dropped then.
    pub async fn add_connection(
        &self,
        socket: impl Socket,
        identity: Option<&str>,
    ) -> Result<Arc<Spoke>, AddConnectionError> {
        self.hub.reserve()?.connect_as(Box::new(socket), Framing::WebSocket, identity.map(Into::into)).await
    }

    /// Takes a connection out and gives its socket back as it stands, not closed; what was dispatched before is
    /// sent as far as the socket takes it at once. `None` where the connection is not there any more, is closing,
    /// or stands in the middle of a message, its peer's or the hub's: ask again later.
    pub async fn remove_connection(&self, link: LinkId) -> Option<Box<dyn Socket>> {
        self.hub.remove_connection(link).await
    }

    /// Shuts down in order: new connections (503) and subscriptions (`draining`) are refused, what waits is sent, and
    /// one spoke after the other gets a close frame (1001), spread over
    /// [`drain_window`](HubOptions::drain_window). Until its turn comes, a spoke is served as ever; afterwards it
    /// may send events until it answers, 8 s at most. Returns when all are gone, or `within` has passed, when the rest
    /// is dropped; a second call may shorten that, and not lengthen it.
    ///
    /// The program's own events are taken until the last spoke has got its close frame.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use alkpubsub::websocket_server::ServerOptions;
    /// use alkpubsub::{EventTarget, PubSub, WebSocketServerEventTarget};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let mut options = ServerOptions::new().health();
    /// options.hub.drain_window = Duration::from_secs(10);
    /// let hub = Arc::new(WebSocketServerEventTarget::new(options));
    /// // A spoke whose peer never answers: its socket is held here and not read.
    /// let (_silent, socket) = tokio::io::duplex(1024);
    /// hub.add_connection(socket, None).await?;
    ///
    /// hub.shutdown(Duration::from_millis(50)).await; // the time is over before the spoke has answered
    /// assert_eq!(hub.stats().links, 0);
    /// assert!(PubSub::new(hub).publish_json("tick", "", &1).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self, within: Duration) {
        self.hub.shutdown(within).await;
    }
}

pub(super) fn refusal(error: AddConnectionError) -> Refused {
    match error {
        AddConnectionError::Full { .. } => handshake::FULL,
        AddConnectionError::Closed => handshake::CLOSING,
    }
}

delegate_event_target!([] WebSocketServerEventTarget, self => self.hub);
