//! The handle of a running hub: what a hub target is made of, whatever its transport.

use super::framing::Framing;
use super::io::Socket;
use super::opening::Opening;
use super::options::HubOptions;
use super::orders::{Arrival, Arrived, Command, NewConnection};
use super::shard::Shard;
use super::shared::Shared;
use super::spoke::Spoke;
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, LinkId, ListenError,
    Listener, ListenerId, Order, Readiness,
};
use crate::protocol::hub::FanOut;
use crate::stats::Stats;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, unconstrained};

/// Why a connection was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddConnectionError {
    /// There are as many connections as there may be.
    #[error("the hub holds {limit} connections, which is its limit")]
    Full {
        /// [`HubLimits::max_links`](crate::hub::HubLimits::max_links), but no more than
        /// [`HubLimits::MOST_LINKS`](crate::hub::HubLimits::MOST_LINKS).
        limit: usize,
    },
    /// The hub is closed, or shuts down.
    #[error("the hub is closed")]
    Closed,
}

/// Why a hub was not started. Nothing is left of it then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no tokio runtime here.
    #[error("a hub is made on a tokio runtime, and there is none here")]
    NoRuntime,
    /// It was to have more shards than a hub may.
    #[error("{shards} shards are too many: a hub may have {most}")]
    TooManyShards {
        /// As many as were asked for.
        shards: u8,
        /// [`HubOptions::MOST_SHARDS`].
        most: u8,
    },
    /// It is behind a broker, and was to send everything to all.
    #[error("a hub behind a broker cannot send everything to all: it would not know what to listen to there")]
    AllBehindBroker,
    /// The system has no thread for a shard, or no descriptors: each needs about four.
    #[error("shard {shard} of {shards} cannot be started: {error}")]
    Shard {
        /// Which it is, counted from 1.
        shard: u8,
        /// How many there were to be.
        shards: u8,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

/// Owns the shards: they end with this handle.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    drain_window: Duration,
    task: AbortHandle,
}

/// A running hub, for another of its faces: a hub may have WebSockets and byte streams at the same time.
///
/// Each face is the whole hub, and a clone shares it: closing one closes all. The hub ends when the last of its faces and
/// clones is dropped.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "byte-stream"), allow(dead_code, reason = "there is no other face"))]
pub struct SharedHub(pub(crate) Arc<Handle>);

impl Handle {
    /// Starts the first shard on the current runtime, and each other one on a thread of its own: all of them, or none.
    /// The program's own events are framed as `framing` has it first.
    pub(crate) fn start(options: &HubOptions, framing: Framing) -> Result<Arc<Self>, StartError> {
        let home = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let shards = options.shards.get();
        if shards > HubOptions::MOST_SHARDS {
            return Err(StartError::TooManyShards { shards, most: HubOptions::MOST_SHARDS });
        }
        if options.broker.is_some() && options.fan_out == FanOut::All {
            return Err(StartError::AllBehindBroker);
        }
        let shared = Arc::new(Shared::new(options, framing));
        for shard in 1..shards {
            match start_thread(shared.clone(), shard, home.clone(), options.clone()) {
                Ok(thread) => shared.keep_thread(thread),
                Err(error) => {
                    shared.stop();
                    // They have nothing to do but that, and a failure of theirs is none beside this one.
                    shared.take_threads().into_iter().for_each(|thread| drop(thread.join()));
                    return Err(StartError::Shard { shard: shard + 1, shards, error });
                }
            }
        }
        let shard = Shard::new(shared.clone(), 0, None, options);
        // A round writes to thousands of sockets: tokio's budget would cut it into pieces of 128. It yields by
        // itself, once a round.
        let task = tokio::spawn(unconstrained(shard)).abort_handle();
        Ok(Arc::new(Self { shared, drain_window: options.drain_window, task }))
    }

    /// Takes a place among the connections, before the handshake is paid for.
    pub(crate) fn reserve(&self) -> Result<Reserved, AddConnectionError> {
        if self.is_draining() {
            return Err(AddConnectionError::Closed);
        }
        let shard = self.shared.reserve();
        shard
            .map(|shard| Reserved { shared: self.shared.clone(), shard, used: false, head: 0 })
            .ok_or(AddConnectionError::Full { limit: self.shared.max_links() })
    }

    /// How long the first message may take to come.
    #[cfg(feature = "iroh-hub")]
    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.shared.handshake_timeout
    }

    /// From now on, `direct:<identity>` is its owner's alone.
    #[cfg(feature = "iroh-hub")]
    pub(crate) fn have_identities(&self) {
        self.shared.have_identities();
    }

    /// Hands a listener's new socket to its shard, which shakes hands with it.
    pub(crate) fn arrive(&self, arrival: Arrival, opening: Box<dyn Opening>) {
        // Dropped where the hub has ended.
        self.shared.orders(opening.shard()).order(Command::Arrive(arrival, opening));
    }

    pub(crate) async fn remove_connection(&self, link: LinkId) -> Option<Box<dyn Socket>> {
        let (reply, taken) = oneshot::channel();
        if !self.shared.order(link, Command::Remove { link, reply }) {
            return None;
        }
        taken.await.ok().flatten()
    }

    /// Shuts down in order: see the hubs' own.
    pub(crate) async fn shutdown(&self, within: Duration) {
        self.begin_shutdown(within, self.drain_window);
        self.closed().await;
    }

    /// Begins to shut down. The closes are spread over `window`, but no more than half of the time: the other half is
    /// for their answers.
    fn begin_shutdown(&self, within: Duration, window: Duration) {
        self.shared.shut_down(within, window.min(within / 2));
    }

    /// Whether it shuts down, or has ended.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Starts a shard on a thread with a runtime of its own, which ends with it.
///
/// A panic of ours ends that shard, and with it the hub: see [`Shared::end`].
fn start_thread(
    shared: Arc<Shared>,
    shard: u8,
    home: tokio::runtime::Handle,
    options: HubOptions,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = shared.running();
    let serve = move || {
        // It goes last, behind the runtime.
        let (_running, runtime) = (running, runtime);
        runtime.block_on(async { unconstrained(Shard::new(shared, shard, Some(home), &options)).await });
    };
    thread::Builder::new().name(format!("hub-shard-{shard}")).spawn(serve)
}

/// A place among the connections; given back when it is dropped unused.
pub(crate) struct Reserved {
    shared: Arc<Shared>,
    shard: u8,
    used: bool,
    /// What the request takes of memory so far.
    head: u64,
}

impl Reserved {
    /// Whether the hub has begun to shut down since.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// Counts the memory that the request takes so far; `false` where those of all newcomers take too much.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.head, bytes as u64);
        self.shared.heads.fetch_add(self.head, Relaxed);
        let total = self.shared.heads.fetch_sub(before, Relaxed) - before;
        total <= self.shared.limits.max_incoming_total as u64
    }

    /// The shard that it is in.
    pub(crate) fn shard(&self) -> u8 {
        self.shard
    }

    /// It is the connection's from here on, which gives it back.
    pub(super) fn keep(mut self) {
        self.used = true;
    }

    /// Hands over a connection whose handshake was answered elsewhere. Gives the socket back where the hub shuts
    /// down by now.
    #[cfg(feature = "hyper")]
    pub(crate) fn connect_upgraded(
        self,
        socket: Box<dyn Socket>,
        identity: Option<Arc<str>>,
    ) -> Result<(), Box<dyn Socket>> {
        let socket = Arrived::Lent(socket);
        let connection = NewConnection { socket, framing: Framing::WebSocket, identity, reply: None };
        self.hand_over(connection).map_err(|refused| match refused.socket {
            Arrived::Lent(socket) => socket,
            #[cfg(all(unix, feature = "unix-socket"))]
            Arrived::Plain(_) => unreachable!("it is the one that was given"),
        })
    }

    /// Hands over a byte stream that a listener accepted; dropped where the hub has ended.
    #[cfg(feature = "unix-socket")]
    pub(crate) fn connect_arrival(self, Arrival(plain): Arrival) {
        let socket = Arrived::Plain(plain);
        drop(self.hand_over(NewConnection {
            socket,
            framing: Framing::LengthPrefix,
            identity: None,
            reply: None,
        }));
    }

    fn hand_over(mut self, connection: NewConnection) -> Result<(), NewConnection> {
        if connection.identity.is_some() {
            self.shared.have_identities();
        }
        let handed = self.shared.orders(self.shard).connect(connection);
        self.used = handed.is_ok();
        handed
    }

    /// Resolves when the hub has ended.
    #[cfg(feature = "hyper")]
    pub(crate) async fn ended(&self) {
        self.shared.ended().await;
    }

    /// The same, for a caller that wants the spoke.
    pub(crate) async fn connect_as(
        self,
        socket: Box<dyn Socket>,
        framing: Framing,
        identity: Option<Arc<str>>,
    ) -> Result<Arc<Spoke>, AddConnectionError> {
        let (reply, spoke) = oneshot::channel();
        let connection =
            NewConnection { socket: Arrived::Lent(socket), framing, identity, reply: Some(reply) };
        self.hand_over(connection).map_err(|_| AddConnectionError::Closed)?;
        spoke.await.map_err(|_| AddConnectionError::Closed)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.heads.fetch_sub(self.head, Relaxed);
        if !self.used {
            self.shared.left(self.shard);
        }
    }
}

impl EventTarget for Handle {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // What is dispatched here goes to spokes; the target's own listeners hear spokes alone.
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::Outlives,
            confirms: true,
        }
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.shared.listeners.add(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.shared.listeners.remove(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.shared.dispatch(event, None)
    }

    fn close(&self) {
        // Nothing is taken and nobody hears from here on; the task says goodbye and ends.
        self.shared.listeners.close(CloseReason::Closed);
        self.begin_shutdown(Duration::from_secs(8), Duration::ZERO);
        // The task may have ended while the notices were given.
        self.shared.waiters.wake_all();
    }

    /// A hub hears everything that its spokes send.
    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        let closed = self.shared.listeners.closed().is_some();
        Box::pin(std::future::ready(if closed { Readiness::Closed } else { Readiness::Confirmed }))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        self.shared.room()
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.shared.flush()
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        self.shared.ended()
    }

    fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.stop();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("links", &self.shared.stats().links).finish_non_exhaustive()
    }
}
