//! The event target.

use super::options::RedisOptions;
use super::socket::RedisSocket;
use crate::adapter::broker::{Broker, Standing, WatchBroker};
use crate::adapter::link::{Behind, DisconnectError, Spoke, SpokeState, States, attempt, drain};
use crate::connect::ConnectError;
use crate::event_target::{BoxFuture, CloseReason, ListenerId, delegate_event_target};
use redis::{Client, ErrorKind, RedisError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The event target of a Redis server, through which all who publish and subscribe there hear each other, the publisher
/// included.
///
/// A topic is the channel `prefix` + `type:id`; a message is the envelope's JSON. The first listener of a topic causes a
/// SUBSCRIBE and the removal of the last an UNSUBSCRIBE; patterns are never used. It needs Redis 6 or later (RESP3).
///
/// It keeps two connections of its own, one to publish and one that subscribes, and makes both anew when one is lost:
/// without end, with waits that grow and are random. Whoever runs Redis elsewhere, with `rediss:`, with a user and a
/// password, says so in the URL or in the clients that it is made from.
///
/// # Publishing
/// `dispatch_event` puts the event into a bounded queue; what waits there goes out in one piece, and many such pieces may be
/// under way. Without a connection it says `Disconnected`, unless
/// [`keep_events`](crate::SpokeOptions::keep_events) is set; beyond the bound it says `Full`. A PUBLISH that Redis refuses is
/// told by the notice `denied`, with the reason `not_allowed` or `broker`. One whose fate is unknown, because the
/// connection broke, is not repeated.
///
/// # Subscribing
/// [`ready`](crate::EventTarget::ready) is Redis' own answer. A channel that the user may not subscribe to is `Denied`. What
/// comes is checked as a whole: what is no envelope, control events, and events on the channel of another topic are heard by
/// nobody, counted ([`Stats::bad_input`](crate::Stats)) and told to the `error` listeners. They never end the connection: whoever published
/// them is somebody else.
///
/// # Loss
/// Each interruption is a [`Item::Gap`](crate::Item::Gap) in the streams, once Redis has confirmed the topic anew, after the
/// old connection's last event and ahead of the new one's first: what is then loaded from elsewhere is complete. A
/// subscriber that Redis cuts off at its output buffer limit, and a program that hears more slowly than Redis sends
/// ([`RedisOptions::max_received`]), have one, too.
///
/// A Redis that says nothing, be it on one of the connections alone, is noticed by a PING on both every 20 s, with 8 s to
/// answer.
///
/// # The end
/// [`close`](crate::EventTarget::close) ends both connections. [`disconnect`](Self::disconnect) waits before that until Redis has
/// answered all that was published.
///
/// ```no_run
/// use alkpubsub::redis::{RedisEventTarget, RedisOptions};
/// use alkpubsub::{Item, PubSub};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = RedisOptions::new();
/// options.prefix = "chat:".into();
/// let pubsub = PubSub::new(RedisEventTarget::connect("redis://127.0.0.1:6379", options).await?);
/// let mut ticks = pubsub.subscribe_envelopes("tick", "").await?; // SUBSCRIBE chat:tick:
/// pubsub.publish_json("tick", "", &1).await?; // PUBLISH chat:tick: {"type":"tick","id":"","payload":1}
/// assert!(matches!(ticks.next().await, Some(Item::Event(_))));
///
/// let error = RedisEventTarget::connect("redis://127.0.0.1:1", RedisOptions::new()).await.unwrap_err();
/// assert!(error.to_string().starts_with("cannot reach 127.0.0.1:1: "));
/// # Ok(())
/// # }
/// ```
pub struct RedisEventTarget {
    spoke: Spoke,
}

impl RedisEventTarget {
    /// From a URL: `redis://user:password@host:port/db`, `rediss://` with TLS (feature `redis-tls`), `redis+unix://path`.
    ///
    /// # Errors
    /// [`ConnectError`]: the text is no such URL, nobody answers there, or Redis does not let this user in. Later it goes on
    /// trying, whatever the reason.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self, ConnectError> {
        let client = client(url)?;
        Self::connected(client.clone(), client, options).await
    }

    /// The same without waiting for the first connection, which comes about some time: whether Redis is there is told by
    /// [`states`](Self::states), and by `ready`.
    ///
    /// # Errors
    /// [`ConnectError::BadUrl`]: the text is no such URL.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub fn connecting(url: &str, options: RedisOptions) -> Result<Self, ConnectError> {
        let client = client(url)?;
        Ok(Self::new(client.clone(), client, options))
    }

    /// From clients, which say where to connect and who to be: one to publish, and one that subscribes, perhaps as another
    /// user. The connections are the target's own, and the clients stay as they are.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connected(
        publish: Client,
        subscribe: Client,
        options: RedisOptions,
    ) -> Result<Self, ConnectError> {
        let mut connect = connector(publish, subscribe, options.clone());
        let first = attempt(&mut connect, options.spoke.connect_timeout).await?;
        let behind = Behind::Broker { reconnects: options.reconnects };
        Ok(Self { spoke: Spoke::launch(Some(first), connect, drain, options.spoke, behind) })
    }

    /// The same, which is there at once and connects by itself: whether Redis is there is told by
    /// [`states`](Self::states), and by `ready`.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    #[must_use]
    pub fn new(publish: Client, subscribe: Client, options: RedisOptions) -> Self {
        let spoke = options.spoke;
        let connect = connector(publish, subscribe, options);
        Self { spoke: Spoke::launch(None, connect, drain, spoke, Behind::Broker { reconnects: true }) }
    }

    /// Whether it is connected now.
    #[must_use]
    pub fn state(&self) -> SpokeState {
        self.spoke.state()
    }

    /// Whether it is connected, now and whenever that changes.
    pub fn states(&self) -> States {
        self.spoke.states()
    }

    /// Asks Redis on both connections, and waits for the answers: all that was dispatched before, on this connection, was
    /// published or refused then.
    ///
    /// # Errors
    /// The target has ended.
    pub async fn ping(&self) -> Result<(), CloseReason> {
        self.spoke.target().ping().await
    }

    /// Ends it in good order: sends what is queued, waits until Redis has answered all of it, but no longer than
    /// `patience`, and closes.
    ///
    /// # Errors
    /// [`DisconnectError`], where Redis did not answer in time, or there was no connection.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.spoke.disconnect(patience).await
    }
}

delegate_event_target!([] RedisEventTarget, self => self.spoke);

impl Broker for RedisEventTarget {
    fn watch(&self, watch: Arc<dyn WatchBroker>) -> ListenerId {
        self.spoke.target().watch(watch)
    }

    fn is_in(&self) -> bool {
        self.spoke.target().is_in()
    }

    fn standing(&self, topic: &str) -> Standing {
        self.spoke.target().standing(topic)
    }

    fn catch_up(&self) -> Option<u64> {
        self.spoke.target().catch_up()
    }
}

impl fmt::Debug for RedisEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEventTarget").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What a URL names.
fn client(url: &str) -> Result<Client, ConnectError> {
    // The words of the library do not repeat the URL, which may hold a password.
    Client::open(url)
        .map_err(|error| ConnectError::BadUrl { why: format!("{error}; redis://host:port is expected") })
}

fn connector(
    publish: Client,
    subscribe: Client,
    options: RedisOptions,
) -> impl FnMut() -> BoxFuture<'static, Result<RedisSocket, ConnectError>> + Send + 'static {
    let given = Arc::new((publish, subscribe, options));
    move || {
        let given = given.clone();
        Box::pin(async move {
            let (publish, subscribe, options) = &*given;
            RedisSocket::open(publish, subscribe, options).await.map_err(|error| failed(subscribe, error))
        })
    }
}

fn failed(client: &Client, error: RedisError) -> ConnectError {
    let address = client.get_connection_info().addr().to_string();
    let refused = matches!(error.code(), Some("NOAUTH" | "NOPERM" | "WRONGPASS"));
    if refused || error.kind() == ErrorKind::AuthenticationFailed {
        return ConnectError::NotLetIn { address, why: error.to_string() };
    }
    ConnectError::Unreachable { address, error: std::io::Error::other(error) }
}
