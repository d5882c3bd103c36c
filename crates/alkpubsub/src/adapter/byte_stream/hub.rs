//! A hub for spokes that come over byte streams.

use crate::adapter::engine::framing::Framing;
use crate::adapter::engine::{AddConnectionError, Handle, HubOptions, SharedHub, Socket, Spoke, StartError};
use crate::event_target::{LinkId, delegate_event_target};
use std::sync::Arc;
use std::time::Duration;

/// A hub: many byte streams as one event target, be they TCP, Unix sockets, SSH channels or pipes.
///
/// What a hub does, with what options, hooks and bounds, is what the [`hub`](crate::hub) module tells; it does not depend
/// on what its connections are, and one hub may have WebSockets as well ([`of`](Self::of)). What is particular to byte
/// streams:
///
/// - A message is four bytes of length, big-endian, then one envelope. A length of 0 ends the connection with `__close`
///   1002, one over the limit with 1009, before anything is allocated for it.
/// - Whoever opened the stream speaks first, with a `__ping` as a rule. A connection of which no first message has come
///   within [`HubOptions::handshake_timeout`] ends; that is looked for once a second.
/// - A hub has no way to ask a byte stream whether its peer is there: the peer has to ping, at least every 25 s. One that
///   was silent for [`HubLimits::ping_interval`](crate::hub::HubLimits::ping_interval) and
///   [`ping_timeout`](crate::hub::HubLimits::ping_timeout) together, and for 33 s at least, ends.
/// - The last message is `__close`, with code and reason. Then this half of the stream is shut down. The peer's `__close`,
///   or the end of its half, answers it; a peer's own `__close` is answered with the same code, behind all that waits for
///   the peer. A stream that ends without it counts as lost.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use alkpubsub::hub::HubOptions;
/// use alkpubsub::{ByteStreamEventTarget, ByteStreamHubEventTarget, PubSub};
/// use std::time::Duration;
///
/// let hub = ByteStreamHubEventTarget::try_new(HubOptions::new().relay())?;
/// let (here, there) = tokio::io::duplex(4096);
/// hub.add_connection(there, None).await?;
///
/// let spoke = PubSub::new(ByteStreamEventTarget::new(here));
/// let mut ticks = spoke.subscribe_envelopes("tick", "").await?;
/// spoke.publish_json("tick", "", &1).await?;
/// assert!(ticks.next().await.is_some());
///
/// hub.shutdown(Duration::from_secs(1)).await;
/// let (_, late) = tokio::io::duplex(4096);
/// let error = hub.add_connection(late, None).await.unwrap_err();
/// assert_eq!(error.to_string(), "the hub is closed");
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct ByteStreamHubEventTarget {
    hub: Arc<Handle>,
}

impl ByteStreamHubEventTarget {
    /// A hub without connections, all of its shards started. Of one that fails nothing is left.
    ///
    /// # Errors
    /// [`StartError`]: there is no tokio runtime; there are to be more shards than [`HubOptions::MOST_SHARDS`]; or the
    /// system has no thread or no descriptors for one of them.
    pub fn try_new(options: HubOptions) -> Result<Self, StartError> {
        Ok(Self { hub: Handle::start(&options, Framing::LengthPrefix)? })
    }

    /// Byte streams for a hub that has other connections already: an event of one kind reaches the other kind, too,
    /// where the hub relays, and listeners of either face hear both.
    #[must_use]
    pub fn of(SharedHub(hub): SharedHub) -> Self {
        Self { hub }
    }

    /// The hub, for another of its faces.
    #[must_use]
    pub fn share(&self) -> SharedHub {
        SharedHub(self.hub.clone())
    }

    /// Adds a connection. `identity` says who it is, as the program knows it from the stream.
    ///
    /// It is read from at once: a listener that is added to the spoke which this gives may miss what has come before.
    /// Listeners that [`HubHooks::connected`](crate::hub::HubHooks::connected) adds hear the first event.
    ///
    /// # Errors
    /// [`AddConnectionError`]: the hub is full or closed; the stream is dropped then.
    pub async fn add_connection(
        &self,
        stream: impl Socket,
        identity: Option<&str>,
    ) -> Result<Arc<Spoke>, AddConnectionError> {
        let place = self.hub.reserve()?;
        place.connect_as(Box::new(stream), Framing::LengthPrefix, identity.map(Into::into)).await
    }

    /// Takes a connection out and gives its stream back as it stands, not closed; what was dispatched before is
    /// sent as far as the stream takes it at once. `None` where the connection is not there any more, is closing,
    /// or stands in the middle of a message, its peer's or the hub's: ask again later.
    pub async fn remove_connection(&self, link: LinkId) -> Option<Box<dyn Socket>> {
        self.hub.remove_connection(link).await
    }

    /// Shuts down in order, with all of its faces: subscriptions are refused (`draining`), what waits is sent, and one
    /// spoke after the other gets `__close` with 1001, spread over [`HubOptions::drain_window`]. Returns when all are
    /// gone, or `within` has passed, when the rest is dropped; a second call may shorten that, and not lengthen it.
    pub async fn shutdown(&self, within: Duration) {
        self.hub.shutdown(within).await;
    }
}

delegate_event_target!([] ByteStreamHubEventTarget, self => self.hub);
