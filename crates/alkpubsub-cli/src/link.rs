//! The connections to a hub that `pub` and `sub` make, whatever carries them.

use crate::failure::Failure;
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamOptions, ClientOptions, CloseReason, ConnectError, DisconnectError,
    EventTarget, HandshakeOptions, Spoke, SpokeOptions, States, WebSocketClientEventTarget,
};
use std::sync::Arc;
use std::time::Duration;

/// A hub's address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Address<'u> {
    /// `ws:`, `wss:`, and what is none; the library says what is wrong with that.
    WebSocket(&'u str),
    /// The path of `unix:`.
    Unix(&'u str),
    /// `redis:` and `rediss:`.
    Redis(&'u str),
}

impl<'u> Address<'u> {
    pub(crate) fn of(url: &'u str) -> Result<Self, Failure> {
        let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|own| own.eq_ignore_ascii_case(scheme));
        if is("redis:") || is("rediss:") || is("redis+unix:") {
            return Ok(Self::Redis(url));
        }
        let Some(path) = url.split_at_checked(5).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("unix:"))
        else {
            return Ok(Self::WebSocket(url));
        };
        match path.1.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path.1) {
            "" => Err(Failure::input(format!("{url} names no socket; one looks like unix:/run/hub.sock"))),
            path => Ok(Self::Unix(path)),
        }
    }

    /// A target that outlives its connections, and how it fares.
    pub(crate) async fn spoke(
        self,
        given: Given,
        options: SpokeOptions,
    ) -> Result<(Arc<dyn EventTarget>, States), ConnectError> {
        let spoke = match self {
            Self::WebSocket(url) => Spoke::connect_with(url, given.handshake, options).await?,
            Self::Unix(path) => unix_spoke(path, options).await?,
            Self::Redis(url) => {
                let target = redis(url, &given, options, true).await?;
                let states = target.states();
                return Ok((target, states));
            }
        };
        let states = spoke.states();
        Ok((Arc::new(spoke), states))
    }
}

async fn redis(
    url: &str,
    given: &Given,
    spoke: SpokeOptions,
    reconnects: bool,
) -> Result<Arc<RedisEventTarget>, ConnectError> {
    let mut options = RedisOptions::new();
    let link = options.spoke.link;
    options.spoke = spoke;
    // Redis answers every subscription, and one connection carries what many want.
    options.spoke.link = link;
    options.spoke.link.max_topic = spoke.link.max_topic;
    options.prefix.clone_from(&given.redis_prefix);
    options.reconnects = reconnects;
    RedisEventTarget::connect(url, options).await.map(Arc::new)
}

/// What was said about the connection beside its address.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) handshake: HandshakeOptions,
    pub(crate) redis_prefix: String,
}

/// One connection, which can be asked and be left in good order.
#[derive(Clone)]
pub(crate) enum Link {
    WebSocket(Arc<WebSocketClientEventTarget>),
    Unix(Arc<ByteStreamEventTarget>),
    Redis(Arc<RedisEventTarget>),
}

impl Link {
    pub(crate) async fn connect(
        address: Address<'_>,
        given: Given,
        mut options: ClientOptions,
    ) -> Result<Self, ConnectError> {
        match address {
            Address::Redis(url) => {
                let mut spoke = SpokeOptions::DEFAULT;
                spoke.message = options.message;
                spoke.link.max_topic = options.link.max_topic;
                spoke.close_timeout = options.close_timeout;
                redis(url, &given, spoke, false).await.map(Self::Redis)
            }
            Address::WebSocket(url) => {
                options.handshake = given.handshake;
                Ok(Self::WebSocket(Arc::new(WebSocketClientEventTarget::connect_with(url, options).await?)))
            }
            Address::Unix(path) => {
                let mut streams = ByteStreamOptions::DEFAULT;
                streams.link = options.link;
                streams.message = options.message;
                streams.close_timeout = options.close_timeout;
                unix(path, streams).await.map(|target| Self::Unix(Arc::new(target)))
            }
        }
    }

    pub(crate) fn target(&self) -> Arc<dyn EventTarget> {
        match self {
            Self::WebSocket(target) => target.clone(),
            Self::Unix(target) => target.clone(),
            Self::Redis(target) => target.clone(),
        }
    }

    pub(crate) async fn ping(&self) -> Result<(), CloseReason> {
        match self {
            Self::WebSocket(target) => target.ping().await,
            Self::Unix(target) => target.ping().await,
            Self::Redis(target) => target.ping().await,
        }
    }

    pub(crate) async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        match self {
            Self::WebSocket(target) => target.disconnect(patience).await,
            Self::Unix(target) => target.disconnect(patience).await,
            Self::Redis(target) => target.disconnect(patience).await,
        }
    }
}

#[cfg(unix)]
async fn unix(path: &str, options: ByteStreamOptions) -> Result<ByteStreamEventTarget, ConnectError> {
    ByteStreamEventTarget::unix(path, options).await
}

#[cfg(unix)]
async fn unix_spoke(path: &str, options: SpokeOptions) -> Result<Spoke, ConnectError> {
    Spoke::unix(path, options).await
}

#[cfg(not(unix))]
async fn unix(_: &str, _: ByteStreamOptions) -> Result<ByteStreamEventTarget, ConnectError> {
    Err(ConnectError::other("there are no Unix sockets on this system"))
}

#[cfg(not(unix))]
async fn unix_spoke(_: &str, _: SpokeOptions) -> Result<Spoke, ConnectError> {
    Err(ConnectError::other("there are no Unix sockets on this system"))
}
