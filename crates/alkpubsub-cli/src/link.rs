//! The connections to a hub that `pub` and `sub` make, whatever carries them.

use crate::failure::Failure;
use crate::iroh;
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamOptions, ClientOptions, CloseReason, ConnectError, DisconnectError,
    EventTarget, HandshakeOptions, Spoke, SpokeOptions, States, WebSocketClientEventTarget,
};
use std::borrow::Cow;
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
    /// `iroh:`
    Iroh(&'u str),
}

impl<'u> Address<'u> {
    pub(crate) fn of(url: &'u str) -> Result<Self, Failure> {
        let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|own| own.eq_ignore_ascii_case(scheme));
        if is("redis:") || is("rediss:") || is("redis+unix:") {
            return Ok(Self::Redis(url));
        }
        if is("iroh:") {
            return Ok(Self::Iroh(url));
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
}

/// The way to a hub: its address, and all that was said about connections to it.
pub(crate) enum Way<'u> {
    WebSocket(&'u str, HandshakeOptions),
    Unix(&'u str),
    /// With the prefix of channels.
    Redis(&'u str, String),
    /// With an endpoint of its own.
    Iroh(Box<iroh::Way>),
}

impl Way<'_> {
    /// A target that outlives its connections, and how it fares.
    pub(crate) async fn spoke(
        &self,
        options: SpokeOptions,
    ) -> Result<(Arc<dyn EventTarget>, States), ConnectError> {
        let spoke = match self {
            Self::WebSocket(url, handshake) => Spoke::connect_with(url, handshake.clone(), options).await?,
            Self::Unix(path) => unix_spoke(path, options).await?,
            Self::Iroh(way) => way.spoke(options).await?,
            Self::Redis(url, prefix) => {
                let target = redis(url, prefix, options, true).await?;
                let states = target.states();
                return Ok((target, states));
            }
        };
        let states = spoke.states();
        Ok((Arc::new(spoke), states))
    }

    /// One connection.
    pub(crate) async fn link(&self, mut options: ClientOptions) -> Result<Link, ConnectError> {
        let mut streams = ByteStreamOptions::DEFAULT;
        streams.link = options.link;
        streams.message = options.message;
        streams.close_timeout = options.close_timeout;
        match self {
            Self::Redis(url, prefix) => {
                let mut spoke = SpokeOptions::DEFAULT;
                spoke.message = options.message;
                spoke.link.max_topic = options.link.max_topic;
                spoke.close_timeout = options.close_timeout;
                redis(url, prefix, spoke, false).await.map(Link::Redis)
            }
            Self::WebSocket(url, handshake) => {
                options.handshake = handshake.clone();
                let target = WebSocketClientEventTarget::connect_with(url, options).await?;
                Ok(Link::WebSocket(Arc::new(target)))
            }
            Self::Unix(path) => unix(path, streams).await.map(|target| Link::Unix(Arc::new(target))),
            Self::Iroh(way) => way.link(streams).await,
        }
    }

    /// What to do where nobody is there.
    pub(crate) fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::WebSocket(..) => "is a hub running there? `alkpubsub hub` starts one".into(),
            Self::Unix(path) => {
                format!("is a hub running there? `alkpubsub hub --unix {path}` starts one").into()
            }
            Self::Redis(..) => "is Redis running there? `redis-server` starts one".into(),
            Self::Iroh(_) => {
                "is the hub that printed this ticket still running, and reached from here?".into()
            }
        }
    }

    /// Behind the targets that went by it.
    pub(crate) async fn close(&self) {
        if let Self::Iroh(way) = self {
            way.close().await;
        }
    }
}

async fn redis(
    url: &str,
    prefix: &String,
    spoke: SpokeOptions,
    reconnects: bool,
) -> Result<Arc<RedisEventTarget>, ConnectError> {
    let mut options = RedisOptions::new();
    let link = options.spoke.link;
    options.spoke = spoke;
    // Redis answers every subscription, and one connection carries what many want.
    options.spoke.link = link;
    options.spoke.link.max_topic = spoke.link.max_topic;
    options.prefix.clone_from(prefix);
    options.reconnects = reconnects;
    RedisEventTarget::connect(url, options).await.map(Arc::new)
}

/// One connection, which can be asked and be left in good order.
#[derive(Clone)]
pub(crate) enum Link {
    WebSocket(Arc<WebSocketClientEventTarget>),
    Unix(Arc<ByteStreamEventTarget>),
    Redis(Arc<RedisEventTarget>),
    #[cfg(feature = "iroh")]
    Iroh(Arc<alkpubsub::IrohSpokeEventTarget>),
}

impl Link {
    pub(crate) fn target(&self) -> Arc<dyn EventTarget> {
        match self {
            Self::WebSocket(target) => target.clone(),
            Self::Unix(target) => target.clone(),
            Self::Redis(target) => target.clone(),
            #[cfg(feature = "iroh")]
            Self::Iroh(target) => target.clone(),
        }
    }

    pub(crate) async fn ping(&self) -> Result<(), CloseReason> {
        match self {
            Self::WebSocket(target) => target.ping().await,
            Self::Unix(target) => target.ping().await,
            Self::Redis(target) => target.ping().await,
            #[cfg(feature = "iroh")]
            Self::Iroh(target) => target.ping().await,
        }
    }

    pub(crate) async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        match self {
            Self::WebSocket(target) => target.disconnect(patience).await,
            Self::Unix(target) => target.disconnect(patience).await,
            Self::Redis(target) => target.disconnect(patience).await,
            #[cfg(feature = "iroh")]
            Self::Iroh(target) => target.disconnect(patience).await,
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
