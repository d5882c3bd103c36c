//! The spoke's end: a connection to the hub that has a key.

use super::ALPN;
use super::stream::IrohStream;
use crate::adapter::byte_stream::{
    ByteStreamError, ByteStreamEventTarget, ByteStreamMessage, ByteStreamOptions, ByteStreamSocket,
};
use crate::adapter::link::{DisconnectError, Spoke, SpokeOptions};
use crate::connect::ConnectError;
use crate::event_target::{BoxFuture, CloseReason, delegate_event_target};
use crate::protocol::check::{self, MessageLimits};
use crate::protocol::control::{self, Control};
use futures_core::Stream;
use futures_sink::Sink;
use iroh::endpoint::{Connection, ConnectionError, VarInt};
use iroh::{Endpoint, EndpointAddr};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a connection may take: a hole has to be punched, or a relay asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where nothing was said.
const BROKEN: u16 = 1006;

/// One iroh connection to a hub as an event target.
///
/// The hub is found by its public key, through whatever the endpoint has for that: addresses that were given with the
/// key, its address lookup, its relays. The connection is encrypted, and each end is sure of the other's key. On it is one
/// bidirectional stream, opened here, with the frames of every byte stream
/// ([`protocol::length_prefix`](crate::protocol::length_prefix)); `__ping` is the first. What else holds of a
/// [`ByteStreamEventTarget`] holds here: options, bounds, pings, overload.
///
/// It is one connection, and ends with it; [`Spoke::iroh`] connects anew. The endpoint stays the caller's, who closes it.
/// To the hub, this end is the endpoint's id: `direct:<id>` may be subscribed to by it alone.
///
/// # Close
/// [`close`](crate::EventTarget::close) drops what still waits, says `__close` with 1000, and closes the connection with the
/// same code once the hub has answered; [`disconnect`](Self::disconnect) sends what waits first. A hub's code arrives as
/// [`CloseReason::ByPeer`], be it in `__close` or the code of the connection: 1008 from a hub that has a list on which
/// this endpoint's id is not, 1013 from one that is full, 1001 from one that shuts down.
///
/// ```
/// # #[cfg(feature = "iroh-hub")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use alkpubsub::hub::HubOptions;
/// use alkpubsub::{ByteStreamOptions, IrohHubEventTarget, IrohSpokeEventTarget, PubSub};
/// use iroh::endpoint::presets::Minimal;
/// use iroh::{Endpoint, protocol::Router};
///
/// // Here both are on one machine, without relays; presets::N0 finds hubs anywhere.
/// let endpoint = || async { Endpoint::builder(Minimal).bind_addr("127.0.0.1:0")?.bind().await.map_err(Box::<dyn std::error::Error>::from) };
/// let hub = IrohHubEventTarget::try_new(HubOptions::new().relay())?;
/// let router = Router::builder(endpoint().await?).accept(alkpubsub::iroh::ALPN, hub).spawn();
///
/// let here = endpoint().await?;
/// let spoke = IrohSpokeEventTarget::connect(&here, router.endpoint().addr(), ByteStreamOptions::DEFAULT).await?;
/// let pubsub = PubSub::new(spoke);
/// let mut ticks = pubsub.subscribe_envelopes("tick", "").await?;
/// pubsub.publish_json("tick", "", &1).await?;
/// assert!(ticks.next().await.is_some());
///
/// router.shutdown().await?;
/// assert_eq!(alkpubsub::EventTarget::closed(pubsub.target()).await.code(), 1001);
/// // A key alone says not where its owner is, and this endpoint has nobody to ask.
/// let nobody = iroh::SecretKey::generate().public();
/// let nobody = IrohSpokeEventTarget::connect(&here, nobody, ByteStreamOptions::DEFAULT).await;
/// assert!(nobody.unwrap_err().to_string().starts_with("cannot reach "));
/// here.close().await;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "iroh-hub"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct IrohSpokeEventTarget {
    link: ByteStreamEventTarget,
}

impl IrohSpokeEventTarget {
    /// Connects to the hub with this key, at these addresses if there are any: an `EndpointAddr`, an `EndpointId` where the
    /// endpoint can look its address up, or what can be made into one, as a ticket can.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`]: nothing with this key answered within 10 s, or what did is no hub (it does not
    /// know [`ALPN`]).
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect(
        endpoint: &Endpoint,
        hub: impl Into<EndpointAddr>,
        options: ByteStreamOptions,
    ) -> Result<Self, ConnectError> {
        let socket = open_in_time(endpoint, hub.into(), options).await?;
        Ok(Self { link: ByteStreamEventTarget::owning_socket(socket, options, async {}) })
    }

    /// A target that the endpoint belongs to, as one that was made for it: it is closed behind the connection, also one that
    /// does not come about, and [`closed`](crate::EventTarget::closed) waits for that. Where the target is dropped without
    /// having been closed, the endpoint ends as abruptly.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn connect_owning(
        endpoint: Endpoint,
        hub: impl Into<EndpointAddr>,
        options: ByteStreamOptions,
    ) -> Result<Self, ConnectError> {
        match open_in_time(&endpoint, hub.into(), options).await {
            Ok(socket) => {
                let then = async move { endpoint.close().await };
                Ok(Self { link: ByteStreamEventTarget::owning_socket(socket, options, then) })
            }
            Err(error) => {
                endpoint.close().await;
                Err(error)
            }
        }
    }

    /// Sends a `__ping` and waits for its answer: the hub then has handled all that was sent before it.
    ///
    /// # Errors
    /// The reason of the end, if the connection ends before the answer comes.
    pub async fn ping(&self) -> Result<(), CloseReason> {
        self.link.ping().await
    }

    /// Ends the connection in good order, as [`ByteStreamEventTarget::disconnect`] does.
    ///
    /// # Errors
    /// [`DisconnectError`], where the hub did not answer, or closed for a reason of its own.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.link.disconnect(patience).await
    }
}

delegate_event_target!([] IrohSpokeEventTarget, self => self.link);

impl Spoke {
    /// Connects to the hub with this key, and goes on connecting when the connection is lost: where the endpoint can look
    /// addresses up, the hub may have moved meanwhile. What `hub` may be is as of [`IrohSpokeEventTarget::connect`].
    ///
    /// The endpoint stays the caller's.
    ///
    /// # Errors
    /// [`ConnectError`]: the first attempt failed, within [`SpokeOptions::connect_timeout`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn iroh(
        endpoint: &Endpoint,
        hub: impl Into<EndpointAddr>,
        options: SpokeOptions,
    ) -> Result<Self, ConnectError> {
        let (endpoint, hub) = (endpoint.clone(), hub.into());
        let max_message = options.message.max_message;
        let connector = move || -> BoxFuture<'static, _> {
            let (endpoint, hub) = (endpoint.clone(), hub.clone());
            Box::pin(async move { open(&endpoint, hub, max_message).await })
        };
        Self::connected(connector, options).await
    }
}

async fn open_in_time(
    endpoint: &Endpoint,
    hub: EndpointAddr,
    options: ByteStreamOptions,
) -> Result<IrohSocket, ConnectError> {
    let id = hub.id;
    match tokio::time::timeout(PATIENCE, open(endpoint, hub, options.message.max_message)).await {
        Ok(opened) => opened,
        Err(late) => Err(ConnectError::Unreachable { address: id.to_string(), error: late.into() }),
    }
}

async fn open(
    endpoint: &Endpoint,
    hub: EndpointAddr,
    max_message: usize,
) -> Result<IrohSocket, ConnectError> {
    let address = hub.id.to_string();
    let unreachable = |error| ConnectError::Unreachable { address: address.clone(), error };
    let (connection, stream) = match endpoint.connect(hub, ALPN).await {
        Ok(connection) => {
            // There is one stream, and it is ours.
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(0));
            connection.set_max_concurrent_uni_streams(VarInt::from_u32(0));
            let stream = connection.open_bi().await;
            (Some(connection), stream)
        }
        // How soon the hub's word arrives is chance: it is told in one way alone, as that of a connection that was.
        Err(error) => match closed_by_hub(&error) {
            Some(closed) => (None, Err(closed)),
            None => return Err(unreachable(io::Error::other(chain(&error)))),
        },
    };
    let frames = ByteStreamSocket::with_max_message(IrohStream::new(stream), max_message);
    Ok(IrohSocket { frames, connection, code: BROKEN })
}

fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn closed_by_hub(error: &(dyn std::error::Error + 'static)) -> Option<ConnectionError> {
    let error = causes(error).find_map(|error| error.downcast_ref())?;
    matches!(error, ConnectionError::ApplicationClosed(_)).then(|| error.clone())
}

/// An error of iroh's names the step that failed, and what it stands on says why.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = causes(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// The frames of a connection that is ours, and ends with the code of our `__close`.
struct IrohSocket {
    frames: ByteStreamSocket<IrohStream>,
    /// Unless it was over before it was ours.
    connection: Option<Connection>,
    code: u16,
}

impl Stream for IrohSocket {
    type Item = Result<ByteStreamMessage, ByteStreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.frames).poll_next(context)
    }
}

impl Sink<ByteStreamMessage> for IrohSocket {
    type Error = ByteStreamError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        Pin::new(&mut self.frames).poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: ByteStreamMessage) -> Result<(), ByteStreamError> {
        if let ByteStreamMessage::Close(text) = &message {
            self.code = code_of(text);
        }
        Pin::new(&mut self.frames).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        Pin::new(&mut self.frames).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        Pin::new(&mut self.frames).poll_close(context)
    }
}

impl Drop for IrohSocket {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.close(VarInt::from_u32(self.code.into()), b"");
        }
    }
}

/// The code of a `__close` of ours.
fn code_of(text: &str) -> u16 {
    let parts = check::text_parts(text, &MessageLimits::DEFAULT);
    match parts.as_ref().map(control::read) {
        Ok(Ok(Some(Control::Close { code, .. }))) => code,
        _ => BROKEN,
    }
}
