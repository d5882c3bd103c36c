//! What stands between many hubs, as each of them sees it.

use crate::event_target::{EventTarget, ListenerId};
use crate::protocol::control::DenyReason;
use std::sync::Arc;

/// An event target that stands between hubs, so that all of them are one to their spokes:
/// [`HubOptions::behind`](crate::hub::HubOptions::behind) says what a hub does with it.
///
/// It gives an event to all who listen to its topic, the one who published it among them, once and in the order of each
/// publisher. `redis::RedisEventTarget` (feature `redis`) is one.
///
/// A hub is *in* while its broker is connected and has confirmed everything that the hub listens to; otherwise it is
/// *out*. Only the broker knows, and the hub has to learn of it in its place among the events.
pub trait Broker: EventTarget {
    /// From now on, until this handle is given to
    /// [`remove_event_listener`](EventTarget::remove_event_listener): `watch` is told what is new, and at once that the
    /// broker is in, where it is.
    ///
    /// It is told in order, and in order with the events of the same connection.
    fn watch(&self, watch: Arc<dyn WatchBroker>) -> ListenerId;

    /// Whether it is in.
    fn is_in(&self) -> bool;

    /// How the subscription of a topic that has a listener stands.
    fn standing(&self, topic: &str) -> Standing;

    /// Asks whether all was given by now that was published until now, and all subscriptions were answered that were asked
    /// for. That is told as [`BrokerNews::CaughtUp`] with this number, or a higher one; `None` where the broker is out.
    fn catch_up(&self) -> Option<u64>;
}

/// How a subscription stands at a [`Broker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It is confirmed.
    Confirmed,
    /// The answer is to come.
    Asked,
    /// The broker said no.
    Denied,
    /// The broker is out. The topic is one of those without which it is not in again.
    Out,
}

/// Who is told of a [`Broker`].
pub trait WatchBroker: Send + Sync {
    /// Something is new. Called under a lock: it must not block, nor call the broker.
    fn told(&self, news: BrokerNews);
}

/// What became of a [`Broker`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerNews {
    /// It is connected, and all that was listened to is confirmed or denied: nothing that is published from now on is
    /// missed.
    In,
    /// The connection is lost, or the broker is closed. What was published last may have been published or not.
    Out,
    /// All was given that was published until this was [asked](Broker::catch_up).
    CaughtUp(u64),
    /// A subscription was denied, one that was confirmed before, perhaps.
    Denied {
        /// Of which topic.
        topic: Arc<str>,
        /// Why.
        reason: DenyReason,
    },
}
