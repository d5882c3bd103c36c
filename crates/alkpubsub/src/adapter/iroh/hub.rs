//! The hub's end: a protocol that a router of iroh's hands connections to.

use super::stream::IrohStream;
use crate::adapter::engine::framing::Framing;
use crate::adapter::engine::{AddConnectionError, Handle, HubOptions, SharedHub, StartError};
use crate::event_target::{EventTarget, delegate_event_target};
use iroh::EndpointId;
use iroh::endpoint::{Connection, IncomingAddr, VarInt};
use iroh::protocol::{AcceptError, IncomingFilter, IncomingFilterOutcome, ProtocolHandler};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a peer may take to get the last of what was sent to it, before the connection is closed with its code.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Of a stream that is refused.
const NOT_HERE: VarInt = VarInt::from_u32(1002);

type Allows = Arc<dyn Fn(&EndpointId) -> bool + Send + Sync>;

/// A hub for spokes that come over iroh, as a protocol that is mounted in a `Router` beside others.
///
/// What a hub does, with what options, hooks and bounds, is what the [`hub`](crate::hub) module tells; the frames, and the
/// silence that ends a connection, are those of a [`ByteStreamHubEventTarget`](crate::ByteStreamHubEventTarget). One hub may
/// have WebSockets and Unix sockets as well: [`share`](Self::share), [`of`](Self::of). What is particular to iroh:
///
/// - The hub is found by the endpoint's key. Each connection brings the peer's: its id is the spoke's
///   [`identity`](crate::hub::Spoke::identity), which hooks see, and which alone may subscribe to `direct:<id>`.
/// - One bidirectional stream per connection, opened by the spoke within [`HubOptions::handshake_timeout`]. Any other stream
///   is reset with 1002.
/// - A connection ends with `__close`, and then with the same number as the QUIC application code. A peer's code counts as
///   its word where its `__close` did not come.
/// - Refused with a code, before a stream is taken: 1008, the id is not [allowed](Self::allow); 1013, the hub is full;
///   1001, it shuts down.
///
/// # Bounds
/// What waits for a spoke is the hub's outbound queue. Below it QUIC holds what was sent and is not acknowledged: as much as
/// the spoke's receive window lets in (1.25 MB by default), and at most the send window of the endpoint (10 MB by default).
///
/// # The end
/// `Router::shutdown` says 1001 to each spoke and waits for their answers, for 8 s at most; the hub and its other faces live
/// on. [`shutdown`](Self::shutdown) ends the hub over a window of time, all faces with it. The endpoint is the caller's.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use alkpubsub::IrohHubEventTarget;
/// use alkpubsub::hub::HubOptions;
/// use iroh::endpoint::presets::Minimal;
/// use iroh::{Endpoint, SecretKey, protocol::Router};
///
/// let friend = SecretKey::generate().public();
/// let hub = IrohHubEventTarget::try_new(HubOptions::new().relay())?.allow([friend]);
/// let endpoint = Endpoint::builder(Minimal).bind_addr("127.0.0.1:0")?.bind().await?; // presets::N0 in life
/// let router = Router::builder(endpoint)
///     .incoming_filter(hub.incoming_filter())
///     .accept(alkpubsub::iroh::ALPN, hub)
///     .spawn();
/// println!("to be found as {}", router.endpoint().id());
///
/// // A stranger is told so.
/// # #[cfg(feature = "iroh-spoke")] {
/// use alkpubsub::{ByteStreamOptions, EventTarget, IrohSpokeEventTarget};
/// let stranger = Endpoint::builder(Minimal).bind_addr("127.0.0.1:0")?.bind().await?;
/// let spoke = IrohSpokeEventTarget::connect(&stranger, router.endpoint().addr(), ByteStreamOptions::DEFAULT).await?;
/// assert_eq!(spoke.closed().await.to_string(), "closed by the far side (1008): this endpoint id is not allowed here");
/// stranger.close().await;
/// # }
/// router.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct IrohHubEventTarget {
    hub: Arc<Handle>,
    allows: Option<Allows>,
    /// Whether the router shuts down. Each connection has a receiver.
    leaving: watch::Sender<bool>,
}

impl IrohHubEventTarget {
    /// A hub without connections, all of its shards started. Connections have identities, as
    /// [`HubOptions::identities`] says.
    ///
    /// # Errors
    /// [`StartError`]: there is no tokio runtime; there are to be more shards than [`HubOptions::MOST_SHARDS`]; or the
    /// system has no thread or no descriptors for one of them.
    pub fn try_new(options: HubOptions) -> Result<Self, StartError> {
        Ok(Self::on(Handle::start(&options.identities(), Framing::LengthPrefix)?))
    }

    /// iroh for a hub that has other connections already. From here on connections have identities
    /// ([`HubOptions::identities`]).
    #[must_use]
    pub fn of(SharedHub(hub): SharedHub) -> Self {
        hub.have_identities();
        Self::on(hub)
    }

    fn on(hub: Arc<Handle>) -> Self {
        Self { hub, allows: None, leaving: watch::Sender::new(false) }
    }

    /// The hub, for another of its faces.
    #[must_use]
    pub fn share(&self) -> SharedHub {
        SharedHub(self.hub.clone())
    }

    /// For these endpoints alone. Others are closed with 1008 before the hub has given them anything: a key is known when
    /// QUIC has shaken hands, or before, where it comes by a relay and there is an
    /// [`incoming_filter`](Self::incoming_filter).
    #[must_use]
    pub fn allow(self, endpoints: impl IntoIterator<Item = EndpointId>) -> Self {
        let endpoints: HashSet<_> = endpoints.into_iter().collect();
        self.allow_if(move |id| endpoints.contains(id))
    }

    /// For endpoints of which this says so, each time that one comes. It must not block.
    #[must_use]
    pub fn allow_if(self, allows: impl Fn(&EndpointId) -> bool + Send + Sync + 'static) -> Self {
        Self { allows: Some(Arc::new(allows)), ..self }
    }

    /// For `RouterBuilder::incoming_filter`, where the router serves this hub alone: whoever comes while it is full or shuts
    /// down is refused before QUIC's handshake, and so is who comes by a relay and is not allowed. It is told no code then.
    #[must_use]
    pub fn incoming_filter(&self) -> IncomingFilter {
        let (hub, allows) = (Arc::downgrade(&self.hub), self.allows.clone());
        Arc::new(move |incoming| {
            let stranger = match (&allows, incoming.remote_addr()) {
                (Some(allows), IncomingAddr::Relay { endpoint_id, .. }) => !allows(&endpoint_id),
                _ => false,
            };
            let has_room = hub.upgrade().is_some_and(|hub| hub.reserve().is_ok());
            if has_room && !stranger { IncomingFilterOutcome::Accept } else { IncomingFilterOutcome::Reject }
        })
    }

    /// Shuts down in order, with all of its faces, as
    /// [`ByteStreamHubEventTarget::shutdown`](crate::ByteStreamHubEventTarget::shutdown) does. `Router::shutdown` behind it
    /// waits until each connection has been closed with its code.
    pub async fn shutdown(&self, within: Duration) {
        self.hub.shutdown(within).await;
    }

    /// Serves a connection until it is over; gives the code and words to close it with.
    async fn serve(&self, connection: &Connection) -> (u16, Arc<str>) {
        let mut leaving = self.leaving.subscribe();
        let id = connection.remote_id();
        if self.allows.as_ref().is_some_and(|allows| !allows(&id)) {
            return (1008, "this endpoint id is not allowed here".into());
        }
        if *leaving.borrow_and_update() {
            return refused(&AddConnectionError::Closed);
        }
        let place = match self.hub.reserve() {
            Ok(place) => place,
            Err(error) => return refused(&error),
        };
        let opening = tokio::time::timeout(self.hub.handshake_timeout(), connection.accept_bi());
        let (send, recv) = tokio::select! {
            opened = opening => match opened {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return (1006, error.to_string().into()),
                Err(_) => return (1006, "no message came within the time of a handshake".into()),
            },
            _ = leaving.wait_for(|leaving| *leaving) => return refused(&AddConnectionError::Closed),
        };
        let arrived = send.stopped();
        let (stream, mut gone) = IrohStream::new(Ok((send, recv))).watched();
        let identity = Some(id.to_string().into());
        let spoke = match place.connect_as(Box::new(stream), Framing::LengthPrefix, identity).await {
            Ok(spoke) => spoke,
            Err(error) => return refused(&error),
        };
        let mut told = false;
        // What the spoke says may be its own end alone; the connection's is that of its stream.
        loop {
            tokio::select! {
                _ = &mut gone => break,
                _ = leaving.wait_for(|leaving| *leaving), if !told => {
                    told = true;
                    spoke.disconnect(1001, "");
                }
                Ok((mut send, mut recv)) = connection.accept_bi() => {
                    // An error says that the peer gave it up by itself.
                    let _ = (send.reset(NOT_HERE), recv.stop(NOT_HERE));
                }
                Ok(mut recv) = connection.accept_uni() => drop(recv.stop(NOT_HERE)),
            }
        }
        let reason = spoke.closed().await;
        // Of what has not arrived, nothing arrives after a close.
        let _ = tokio::time::timeout(LAST_WORDS, arrived).await;
        let words = match &reason {
            crate::CloseReason::Refused { reason, .. } => reason.clone(),
            _ => Arc::default(),
        };
        (reason.code(), words)
    }
}

fn refused(error: &AddConnectionError) -> (u16, Arc<str>) {
    let code = match error {
        AddConnectionError::Full { .. } => 1013,
        AddConnectionError::Closed => 1001,
    };
    (code, error.to_string().into())
}

impl ProtocolHandler for IrohHubEventTarget {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let (code, words) = self.serve(&connection).await;
        connection.close(VarInt::from_u32(code.into()), words.as_bytes());
        Ok(())
    }

    async fn shutdown(&self) {
        self.leaving.send_replace(true);
        self.leaving.closed().await;
    }
}

delegate_event_target!([] IrohHubEventTarget, self => self.hub);

impl fmt::Debug for IrohHubEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohHubEventTarget").field("hub", &self.hub).finish_non_exhaustive()
    }
}
