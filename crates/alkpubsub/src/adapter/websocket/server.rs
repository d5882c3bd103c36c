//! The WebSocket server target: a hub for the spokes that connect to it.

use super::doorway::Doorway;
use super::handshake::{self, Origins, Refused};
use super::opening::{Door, Entry, Opening};
use crate::adapter::engine::{AddConnectionError, Handle, HubHooks, Relaying, Socket, Spoke, StartError};
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, CloseReason, DispatchError, EventTarget, LinkId, ListenError, Listener,
    ListenerId, Readiness,
};
use crate::protocol::hub::{FanOut, HubLimits};
use crate::stats::Stats;
use std::fmt;
use std::io;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Connections that are being refused at one time. They hold no place, and each may take the time of a handshake;
/// whoever comes beyond is dropped without an answer.
const MAX_REFUSALS: usize = 256;
/// How long to wait before the next `accept` when the process is out of file descriptors.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);
/// How often that is logged, at the most.
const OUT_OF_DESCRIPTORS_WARNING: Duration = Duration::from_secs(10);

/// How a hub behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The bounds.
    pub limits: HubLimits,
    /// To whom an event goes.
    pub fan_out: FanOut,
    /// Whether an event of any spoke goes to all who want it, the sender included. `false` in a library: there
    /// the program's listeners decide what becomes of it.
    pub relay: bool,
    /// Whether connections have identities: then `direct:<identity>` may be subscribed to by its owner alone. So it
    /// is without this from the first connection on that is added with an identity; where others may come before
    /// that one, say it here.
    pub identities: bool,
    /// Which web pages may connect.
    pub origins: Origins,
    /// How long a handshake may take; 10 s by default.
    pub handshake_timeout: Duration,
    /// Over how long [`shutdown`](WebSocketServerEventTarget::shutdown) spreads the closes, so that those who come
    /// back do not all come at once; 5 s by default. It is no more than half of the time that the shutdown is given,
    /// and a hub with few connections takes less: one is closed every 10 ms.
    pub drain_window: Duration,
    /// Whether [`serve`](WebSocketServerEventTarget::serve) answers `GET` and `HEAD /healthz`: 200 while it serves, 503
    /// while it shuts down. `false` by default; then it is a path like any other, and a WebSocket may be opened there.
    pub health: bool,
    /// How many shards serve the connections, each on one core at the most; 1 by default,
    /// [64](Self::MOST_SHARDS) at most. The first is a task on the runtime on which the hub is made; every other
    /// one has a thread of its own. See [`shards`](Self::shards).
    pub shards: NonZeroU8,
    /// The program's say.
    pub hooks: Option<Arc<dyn HubHooks>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: HubLimits::DEFAULT,
            fan_out: FanOut::Subscribed,
            relay: false,
            identities: false,
            origins: Origins::default(),
            handshake_timeout: Duration::from_secs(10),
            drain_window: Duration::from_secs(5),
            health: false,
            shards: NonZeroU8::MIN,
            hooks: None,
        }
    }
}

impl ServerOptions {
    /// The most [`shards`](Self::shards) that a hub may have.
    pub const MOST_SHARDS: u8 = crate::adapter::engine::MOST_SHARDS;

    /// The defaults: every limit of the hub program's, to the subscribed, nothing relayed, loopback origins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(self, limits: HubLimits) -> Self {
        Self { limits, ..self }
    }

    /// With another fan-out.
    #[must_use]
    pub fn fan_out(self, fan_out: FanOut) -> Self {
        Self { fan_out, ..self }
    }

    /// Relaying what spokes send, as the hub program does.
    #[must_use]
    pub fn relay(self) -> Self {
        Self { relay: true, ..self }
    }

    /// With identities, which own `direct:<identity>`.
    #[must_use]
    pub fn identities(self) -> Self {
        Self { identities: true, ..self }
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

    /// With several shards, for more connections and events than one core can serve.
    ///
    /// A connection belongs to one shard, that with the fewest when it came. An event goes once to each shard that
    /// wants it, and costs little more than in a hub of one. Whatever the number, what one connection publishes
    /// arrives in its order, once; the limits are those of all shards together. But:
    ///
    /// - Two connections may hear the events of two publishers in a different order, one each way.
    /// - Listeners and hooks are called by several threads at a time; what they start by `tokio::spawn` runs on the
    ///   runtime on which the hub was made.
    /// - Of the program's own events, the queue of each shard holds 4,096 (4 MiB). An event is refused as a whole if
    ///   one of the shards that want it has no room.
    ///
    /// Up to 4,096 events (1 MiB) wait for a shard. Whoever finds as many there reads no socket until there is room
    /// again: nothing is lost between shards.
    ///
    /// Each takes a thread and about four file descriptors. [`WebSocketServerEventTarget::try_new`] says where the
    /// system lacks these, or there were to be more than [`MOST_SHARDS`](Self::MOST_SHARDS).
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
        Self { shards, ..self }
    }

    /// With the program's hooks.
    #[must_use]
    pub fn hooks(self, hooks: impl HubHooks) -> Self {
        Self { hooks: Some(Arc::new(hooks)), ..self }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("limits", &self.limits)
            .field("fan_out", &self.fan_out)
            .field("relay", &self.relay)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// A hub: many WebSocket connections as one event target.
///
/// Its listeners hear what any spoke sends ([`EventEnvelope::source`] tells which). What is dispatched on it goes
/// to the spokes that subscribed to the topic. Unless [`relay`](ServerOptions::relay) is asked for, nothing goes
/// from spoke to spoke behind the program's back. [`HubHooks`] sees connections come and go, each with a target of
/// its own, and decides what they may do.
///
/// One task serves all connections, on the tokio runtime on which it is [made](Self::try_new); with several
/// [`shards`](ServerOptions::shards) it is one for each, on threads of their own but for the first. They end with this
/// target. Listeners and hooks run on them and must not block.
///
/// # Overload and close
/// Dispatched events wait in a queue (4,096 events, 4 MiB) until the task's next round; beyond it,
/// [`DispatchError::Full`]. A spoke for which more than [`HubLimits::max_outbound`] or
/// [`HubLimits::max_outbound_messages`] waits after a write was tried is closed with 1013.
/// [`close`](EventTarget::close) sends every spoke a close frame (1001) behind what waits for it.
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
    pub(super) hub: Handle,
    pub(super) origins: Arc<Origins>,
    pub(super) handshake_timeout: Duration,
    drain_window: Duration,
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

    /// A hub without connections, all of its shards started. Of one that fails nothing is left.
    ///
    /// # Errors
    /// [`StartError`]: there is no tokio runtime; there are to be more shards than
    /// [`ServerOptions::MOST_SHARDS`]; or the system has no thread or no descriptors for one of them.
    pub fn try_new(options: ServerOptions) -> Result<Self, StartError> {
        let ServerOptions {
            limits,
            fan_out,
            relay,
            identities,
            origins,
            handshake_timeout,
            drain_window,
            health,
            shards,
            hooks,
        } = options;
        let hub = Handle::start(limits, Relaying { fan_out, relay, identities }, shards, hooks)?;
        Ok(Self {
            hub,
            origins: Arc::new(origins),
            handshake_timeout,
            drain_window,
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
        let mut doorway = Doorway::new(listener)?;
        let mut closed = std::pin::pin!(self.closed());
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = doorway.accept() => accepted,
                _ = &mut closed => return Ok(()),
            };
            match accepted {
                Ok(arrival) => {
                    let entry = match self.hub.reserve() {
                        Ok(place) => Entry::Place(place),
                        Err(error) => match door.refusals.clone().try_acquire_owned() {
                            Ok(turn) => Entry::Refused(refusal(error), turn),
                            Err(_) => continue,
                        },
                    };
                    self.hub.arrive(arrival, Opening::new(door.clone(), entry));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_of_the_listener(&error) => return Err(error),
                // Out of descriptors or memory, most of all.
                Err(error) => {
                    // Each one that leaves lets one in, so that this comes up as often as somebody likes.
                    if warned.is_none_or(|warned| warned.elapsed() >= OUT_OF_DESCRIPTORS_WARNING) {
                        tracing::warn!(%error, "new connections wait");
                        warned = Some(Instant::now());
                    }
                    tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                }
            }
        }
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
        self.hub.reserve()?.connect_as(Box::new(socket), identity.map(Into::into)).await
    }

    /// Takes a connection out and gives its socket back as it stands, not closed; what was dispatched before is
    /// sent as far as the socket takes it at once. `None` where the connection is not there any more, is closing,
    /// or stands in the middle of a message, its peer's or the hub's: ask again later.
    pub async fn remove_connection(&self, link: LinkId) -> Option<Box<dyn Socket>> {
        self.hub.remove_connection(link).await
    }

    /// Shuts down in order: new connections (503) and subscriptions (`draining`) are refused, what waits is sent, and
    /// one spoke after the other gets a close frame (1001), spread over
    /// [`drain_window`](ServerOptions::drain_window). Until its turn comes, a spoke is served as ever; afterwards it
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
    /// options.drain_window = Duration::from_secs(10);
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
        self.hub.begin_shutdown(within, self.drain_window);
        self.hub.closed().await;
    }
}

pub(super) fn refusal(error: AddConnectionError) -> Refused {
    match error {
        AddConnectionError::Full { .. } => handshake::FULL,
        AddConnectionError::Closed => handshake::CLOSING,
    }
}

/// Whether an error of `accept` tells of a connection that is gone, and nothing of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Whether an error of `accept` will come again for ever: EBADF, EFAULT, EINVAL, ENOTSOCK. Every other one tells of the
/// network or of what the system lacks right now, and listening goes on.
fn is_of_the_listener(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    !cfg!(unix) || code.is_none_or(|code| matches!(code, 9 | 14 | 22 | 38 | 88))
}

impl EventTarget for WebSocketServerEventTarget {
    fn capabilities(&self) -> Capabilities {
        self.hub.capabilities()
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.hub.add_event_listener(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.hub.remove_event_listener(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.hub.dispatch_event(event)
    }

    fn close(&self) {
        self.hub.close();
    }

    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        self.hub.ready(topic)
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        self.hub.room()
    }

    /// What was dispatched before was written, as far as the sockets took it at once: a spoke that reads slowly holds
    /// nobody up, and has the rest in its queue.
    fn flush(&self) -> BoxFuture<'_, ()> {
        self.hub.flush()
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        self.hub.closed()
    }

    fn stats(&self) -> Stats {
        self.hub.stats()
    }
}
