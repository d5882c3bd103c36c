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

    /// The answer to the subscription of a topic that has a listener; `None` where it is to come, which is told as
    /// [`BrokerNews::Answered`] or [`BrokerNews::Out`]. While the broker is out the answer is yes: then hubs are alone,
    /// and the topic is one of those without which it is not in again.
    fn answer(&self, topic: &str) -> Option<Result<(), DenyReason>>;
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
    /// A subscription that was asked for while it was in was answered; or one was denied at any time.
    Answered {
        /// Of which topic.
        topic: Arc<str>,
        /// The answer. A no may come for a topic that was confirmed before.
        answer: Result<(), DenyReason>,
    },
}
