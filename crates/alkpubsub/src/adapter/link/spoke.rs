//! A target that outlives its connections.

use super::state::StateCell;
use super::target::Life;
use super::{
    DisconnectError, Interruption, LinkSocket, LinkTarget, Pump, SocketMessage, SpokeState, States,
    TargetOptions,
};
use crate::connect::ConnectError;
use crate::event_target::{CloseReason, delegate_event_target};
use crate::protocol::check::MessageLimits;
use crate::protocol::link::LinkOptions;
use crate::protocol::{AfterClose, Backoff, BackoffOptions, HeartbeatOptions};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;
use tokio::time::Instant;

/// The bounds and times of a [`Spoke`].
///
/// ```
/// use alkpubsub::SpokeOptions;
/// use std::time::Duration;
///
/// let mut options = SpokeOptions::DEFAULT;
/// options.backoff.max = Duration::from_secs(5);
/// options.keep_events = true;
/// options.link.max_queued = 100; // of which so many
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpokeOptions {
    /// The outbound queue, whether subscriptions are forwarded, and how long the first answer is waited for.
    pub link: LinkOptions,
    /// Bytes and depth of a message, in both directions.
    pub message: MessageLimits,
    /// How often the hub is asked whether it is there, and how long it may take to answer.
    pub heartbeat: HeartbeatOptions,
    /// The waits between attempts to connect.
    pub backoff: BackoffOptions,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long a Close may take to leave, and its answer to come, at the end.
    pub close_timeout: Duration,
    /// Whether events are taken while there is no connection, and sent on the next; what waits when a connection is
    /// lost is kept, too. The bound is that of the outbound queue ([`LinkOptions`]). Otherwise they are refused
    /// with `Disconnected`, and what waits is dropped and counted.
    pub keep_events: bool,
    /// Whether the way to connect brings fresh credentials each time. Then close code 1008 and the HTTP statuses 401
    /// and 403 are a reason to connect anew; otherwise they are the end.
    pub renews_credentials: bool,
}

impl SpokeOptions {
    /// The defaults of each part, 10 s to connect, 2 s to close; no event is kept, no credentials are renewed.
    pub const DEFAULT: Self = Self {
        link: LinkOptions::DEFAULT,
        message: MessageLimits::DEFAULT,
        heartbeat: HeartbeatOptions::DEFAULT,
        backoff: BackoffOptions::DEFAULT,
        connect_timeout: Duration::from_secs(10),
        close_timeout: Duration::from_secs(2),
        keep_events: false,
        renews_credentials: false,
    };
}

impl Default for SpokeOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A link to a hub that outlives its connections: when one is lost it makes the next, and asks anew for all topics
/// that somebody listens to.
///
/// It is given a way to connect ([`new`](Self::new)), or a URL ([`connect`](Self::connect)). Attempts go on
/// without end, with waits that grow and are random ([`BackoffOptions`]). [`states`](Self::states) tells how it
/// goes. A task of the runtime that it was made in does all this; dropping the spoke ends that task.
///
/// # Topics
/// As with one connection, the first listener of a topic sends `__subscribe` and the removal of the last one
/// `__unsubscribe`. [`ready`](crate::EventTarget::ready) waits for a connection and for the hub's answer on it. After an
/// interruption the listeners of a topic get the `gap` notice, and its streams an
/// [`Item::Gap`](crate::Item::Gap), once the hub has confirmed the topic anew, after the old connection's last
/// event and ahead of the new one's first: what is then loaded from elsewhere is complete. A topic that the hub
/// denies now ends with that, as always; a denial because the hub drains puts the topic off to the next connection.
///
/// # Publishing
/// Without a connection `dispatch_event` says `Disconnected`, unless [`keep_events`](SpokeOptions::keep_events) is
/// set. An event is sent at most once: what was on its way when a connection broke may have arrived or not.
///
/// # A far side that falls silent
/// A `__ping` is sent at the beginning and every 20 s. When then nothing at all comes within 8 s, and a second for each
/// 64 KiB that stood before it, the connection counts as lost ([`HeartbeatOptions`]).
///
/// # Overload
/// As with one connection: beyond the bounds of the outbound queue `dispatch_event` says `Full`; control events that
/// do not fit end the connection with 1013, and the next is made later.
///
/// # The end
/// | what happened | the spoke |
/// | --- | --- |
/// | [`close`](crate::EventTarget::close), [`disconnect`](Self::disconnect) here | ends |
/// | close codes 1000, 1002, 1007, 1008, 1009, from either side | ends |
/// | an attempt failed with HTTP 400, 401, 403, 405, 426, or no URL that can be connected to | ends |
/// | close code 1013 | connects anew after 5 s and a random wait |
/// | every other close code, a broken connection, a failed attempt | connects anew after a random wait |
///
/// Then streams and listeners are told the reason, as with every target.
///
/// ```
/// use alkpubsub::websocket_server::ServerOptions;
/// use alkpubsub::{Item, PubSub, Spoke, SpokeState, WebSocketServerEventTarget};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn serve(address: &str) -> std::io::Result<(std::sync::Arc<WebSocketServerEventTarget>, std::net::SocketAddr, tokio::task::JoinHandle<()>)> {
/// #     let listener = tokio::net::TcpListener::bind(address).await?;
/// #     let address = listener.local_addr()?;
/// #     let hub = std::sync::Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
/// #     let serving = hub.clone();
/// #     let serving = tokio::spawn(async move { serving.serve(listener).await.unwrap() });
/// #     Ok((hub, address, serving))
/// # }
/// let (hub, address, serving) = serve("127.0.0.1:0").await?;
/// let spoke = Spoke::connect(&format!("ws://{address}")).await?;
/// let mut states = spoke.states();
/// let pubsub = PubSub::new(spoke);
/// let mut ticks = pubsub.subscribe_envelopes("tick", "").await?;
///
/// // The hub goes away, and another takes its place.
/// hub.shutdown(Duration::ZERO).await;
/// serving.await?;
/// # drop(hub);
/// while !matches!(states.next().await, Some(SpokeState::Waiting { .. })) {}
/// assert!(pubsub.publish_json("tick", "", &1).await.is_err()); // there is no connection
/// # let (_hub, ..) = serve(&address.to_string()).await?;
///
/// assert!(matches!(ticks.next().await, Some(Item::Gap(_)))); // and now there is
/// pubsub.publish_json("tick", "", &2).await?;
/// assert!(matches!(ticks.next().await, Some(Item::Event(_))));
/// # Ok(())
/// # }
/// ```
pub struct Spoke {
    target: Arc<LinkTarget>,
    state: Arc<StateCell>,
}

/// What stands behind the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Hub,
    /// See [`TargetOptions::broker`].
    #[cfg(feature = "redis")]
    Broker {
        /// Otherwise the first connection is the only one.
        reconnects: bool,
    },
}

impl Spoke {
    /// A spoke that connects by itself, from now on. `connect` is called for each attempt; it may look up another
    /// address, or fetch another token, each time.
    ///
    /// The sockets are the spoke's own: [`close`](crate::EventTarget::close) sends a Close with 1000 and ends the one there
    /// is. Their own limit on messages should not be under [`MessageLimits::max_message`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    ///
    /// ```
    /// use alkpubsub::{ConnectError, EventTarget, PubSub, Spoke, SpokeOptions};
    /// use tokio_tungstenite::WebSocketStream;
    /// use tokio_tungstenite::tungstenite::protocol::Role;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let connect = || async {
    ///     let stream = tokio::net::TcpStream::connect("127.0.0.1:1").await.map_err(ConnectError::other)?;
    ///     Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    /// };
    /// let spoke = PubSub::new(Spoke::new(connect, SpokeOptions::DEFAULT));
    /// // Nobody is there: the spoke goes on trying, and takes no event meanwhile.
    /// let error = spoke.publish_json("tick", "", &1).await.unwrap_err();
    /// assert_eq!(error.to_string(), "there is no connection right now");
    /// # }
    /// ```
    pub fn new<M, S, C, F>(connect: C, options: SpokeOptions) -> Self
    where
        M: SocketMessage,
        S: LinkSocket<M>,
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<S, ConnectError>> + Send + 'static,
    {
        Self::launch(None, connect, drain, options, Behind::Hub)
    }

    /// [`new`](Self::new), with the first connection made already: what is wrong from the beginning is an error at
    /// once, and not tried again.
    ///
    /// # Errors
    /// That of the first attempt; one that takes longer than [`SpokeOptions::connect_timeout`] has failed, too.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub async fn connected<M, S, C, F>(mut connect: C, options: SpokeOptions) -> Result<Self, ConnectError>
    where
        M: SocketMessage,
        S: LinkSocket<M>,
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<S, ConnectError>> + Send + 'static,
    {
        let first = attempt(&mut connect, options.connect_timeout).await?;
        Ok(Self::launch(Some(first), connect, drain, options, Behind::Hub))
    }

    /// `finish` is given a socket whose peer was sent a Close and has not answered it.
    pub(crate) fn launch<M, S, C, F, E>(
        first: Option<S>,
        connect: C,
        finish: fn(S, Duration) -> E,
        options: SpokeOptions,
        behind: Behind,
    ) -> Self
    where
        M: SocketMessage,
        S: LinkSocket<M>,
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<S, ConnectError>> + Send + 'static,
        E: Future<Output = ()> + Send + 'static,
    {
        let SpokeOptions { link, message, close_timeout, heartbeat, keep_events, .. } = options;
        let life = match behind {
            #[cfg(feature = "redis")]
            Behind::Broker { reconnects: false } => Life::PerConnection { heartbeat: Some(heartbeat) },
            _ => Life::Outlives { heartbeat, keep_events, renews_credentials: options.renews_credentials },
        };
        let broker = !matches!(behind, Behind::Hub);
        let target = LinkTarget::new(TargetOptions { link, message, close_timeout, broker }, life);
        let state = StateCell::new(SpokeState::Connecting);
        if first.is_some() {
            target.connected();
            state.set(SpokeState::Connected);
        }
        let work = Supervisor { target: target.clone(), state: state.clone(), options };
        target.spawn(async move { work.run(first, connect, finish).await });
        Self { target, state }
    }

    /// Whether it is connected now.
    #[must_use]
    pub fn state(&self) -> SpokeState {
        self.state.get()
    }

    /// Whether it is connected, now and whenever that changes.
    pub fn states(&self) -> States {
        self.state.watch()
    }

    /// What it is made of.
    #[cfg(feature = "redis")]
    pub(crate) fn target(&self) -> &LinkTarget {
        &self.target
    }

    /// Ends the spoke in good order: sends what is queued, then a Close with 1000, and waits for the hub's answer, but no
    /// longer than `patience`. Nothing can be dispatched meanwhile, but what the hub sends before its answer is heard.
    /// Without a connection it just ends.
    ///
    /// A hub answers a Close after all that came before it, so `Ok` says that it has taken everything on this
    /// connection.
    ///
    /// # Errors
    /// [`DisconnectError`], where the hub did not answer, or closed for a reason of its own, or where events were kept
    /// for a next connection, which there will not be.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.target.disconnect(patience).await
    }
}

impl Drop for Spoke {
    fn drop(&mut self) {
        self.target.abandon();
    }
}

delegate_event_target!([] Spoke, self => self.target);

impl fmt::Debug for Spoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spoke").field("state", &self.state()).field("target", &self.target).finish()
    }
}

pub(crate) async fn attempt<S, F>(
    connect: &mut impl FnMut() -> F,
    timeout: Duration,
) -> Result<S, ConnectError>
where
    F: Future<Output = Result<S, ConnectError>>,
{
    let connected = tokio::time::timeout(timeout, connect()).await;
    connected.unwrap_or_else(|_| Err(ConnectError::other(format!("no connection within {timeout:?}"))))
}

/// Reads what is still on its way until the far side ends the connection, but no longer than `patience`: the Close
/// that was sent may be lost with a socket that is dropped unread.
pub(crate) async fn drain<M: SocketMessage, S: LinkSocket<M>>(mut socket: S, patience: Duration) {
    let until_end = poll_fn(|context| {
        while let Some(Ok(_)) = ready!(Pin::new(&mut socket).poll_next(context)) {}
        std::task::Poll::Ready(())
    });
    // Patience that runs out is no error: the peer had its chance.
    let _ = tokio::time::timeout(patience, until_end).await;
}

/// The task: one connection after the other.
struct Supervisor {
    target: Arc<LinkTarget>,
    state: Arc<StateCell>,
    options: SpokeOptions,
}

impl Supervisor {
    async fn run<M, S, C, F, E>(self, mut next: Option<S>, mut connect: C, finish: fn(S, Duration) -> E)
    where
        M: SocketMessage,
        S: LinkSocket<M>,
        C: FnMut() -> F,
        F: Future<Output = Result<S, ConnectError>>,
        E: Future<Output = ()>,
    {
        let mut backoff = Backoff::new(self.options.backoff);
        loop {
            let (why, after) = match self.connection(next.take(), &mut connect).await {
                None => return,
                Some(Ok(socket)) => {
                    let since = Instant::now();
                    let pump = Pump::new(self.target.clone(), socket, true);
                    let (socket, unanswered) = pump.run().await;
                    let reason = self.target.connection_ended().unwrap_or(CloseReason::Closed);
                    if unanswered {
                        finish(socket, self.options.close_timeout).await;
                    }
                    backoff.lived(since.elapsed());
                    let after = AfterClose::of(reason.code());
                    (Interruption::Lost(reason), after)
                }
                Some(Err(error)) if error.is_final(self.options.renews_credentials) => {
                    self.target.end(CloseReason::GivenUp { error: error.to_string().into() });
                    return;
                }
                Some(Err(error)) => (Interruption::Failed(Arc::new(error)), AfterClose::Reconnect),
            };
            if self.target.closed_for().is_some() {
                return;
            }
            let retry_after = backoff.next(after, fastrand::f64());
            tracing::info!(%why, ?retry_after, "not connected");
            self.state.set(SpokeState::Waiting { why, retry_after });
            if self.unless_closed(tokio::time::sleep(retry_after)).await.is_none() {
                return;
            }
            self.state.set(SpokeState::Connecting);
        }
    }

    /// A connection that is in force, or why there is none; `None` where the target was closed meanwhile.
    async fn connection<S, F>(
        &self,
        first: Option<S>,
        connect: &mut impl FnMut() -> F,
    ) -> Option<Result<S, ConnectError>>
    where
        F: Future<Output = Result<S, ConnectError>>,
    {
        if first.is_some() {
            return first.map(Ok);
        }
        let connected = self.unless_closed(attempt(connect, self.options.connect_timeout)).await?;
        if connected.is_ok() && self.target.connected() {
            tracing::info!("connected");
            self.state.set(SpokeState::Connected);
        }
        Some(connected)
    }

    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let closed = self.target.waiters.until(|| self.target.closed_for());
        tokio::select! {
            biased;
            _ = closed => None,
            done = work => Some(done),
        }
    }
}

impl Drop for Supervisor {
    /// However the task ended.
    fn drop(&mut self) {
        self.target.end(CloseReason::Lost { error: "the task that served the spoke was stopped".into() });
        if let Some(reason) = self.target.closed_for() {
            self.state.set(SpokeState::Closed(reason));
        }
    }
}
