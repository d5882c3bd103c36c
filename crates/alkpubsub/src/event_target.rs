//! The contract that every event target keeps.

use crate::envelope::{EncodeError, EventEnvelope};
pub use crate::notice::{CloseReason, Notice, TargetError, on_notice};
pub use crate::protocol::hub::LinkId;
pub use crate::protocol::link::Readiness;
use crate::stats::Stats;
use crate::topic::BadTopic;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A future behind a pointer, as the object-safe [`EventTarget`] needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The handle of one added listener. Each `add` is a listener of its own.
///
/// Unique in the process, so that the handle of one target is a handle of nothing at any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

impl ListenerId {
    /// A new one, for whoever writes an event target.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// What hears a topic, or a target's notices.
///
/// Any `Fn(&EventEnvelope)` is one that hears events only. It is called on the thread that dispatches: in-process
/// the publisher's own, else the task that reads the connection. It must not block. It may publish, add and
/// remove on its own target. Should it panic, no other listener is harmed and the `error` notice tells of it.
pub trait Listener: Send + Sync {
    /// An event of the topic that it was added to.
    fn event(&self, event: &EventEnvelope);

    /// A notice that concerns its topic, in its place among the events; or, where it was added under a notice's
    /// name, any notice of that name.
    fn notice(&self, notice: &Notice) {
        let _ = notice;
    }
}

impl<F: Fn(&EventEnvelope) + Send + Sync> Listener for F {
    fn event(&self, event: &EventEnvelope) {
        self(event);
    }
}

/// Why a listener could not be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The name is neither a topic nor a notice's name.
    #[error("{0}; notices are listened to under close, gap, denied or error")]
    BadTopic(#[from] BadTopic),
    /// The topic is longer than this target forwards. A hub's own limit may be lower; then it denies the topic.
    #[error("the topic is longer than the limit of {limit} bytes")]
    TopicTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The target is closed.
    #[error("the target has ended: {0}")]
    Closed(CloseReason),
}

/// Why an event was not taken. Nothing of it was sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// The target is closed, or its only connection is.
    #[error("the target has ended: {0}")]
    Closed(CloseReason),
    /// The target outlives its connections and has none right now.
    #[error("there is no connection right now")]
    Disconnected,
    /// The target's outbound queue is full; [`EventTarget::room`] waits until it is not.
    #[error("the outbound queue is full")]
    Full,
    /// The envelope is longer than the limit.
    #[error("the envelope has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes of the envelope's JSON.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The envelope nests deeper than the limit.
    #[error("the envelope nests deeper than the limit of {limit}")]
    TooDeep {
        /// The limit; the envelope itself is 1.
        limit: usize,
    },
    /// The topic is longer than this target sends. A hub's own limit may be lower; then it denies the event.
    #[error("the topic is longer than the limit of {limit} bytes")]
    TopicTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The type begins with `__`.
    #[error("event types that begin with `__` are reserved for control events")]
    Reserved,
    /// The type makes no topic.
    #[error(transparent)]
    BadTopic(BadTopic),
    /// The payload cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<BadTopic> for DispatchError {
    fn from(error: BadTopic) -> Self {
        match error {
            BadTopic::Reserved => Self::Reserved,
            other => Self::BadTopic(other),
        }
    }
}

/// Which events keep their order: those of one publisher over one connection, or of one topic only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Across topics.
    Connection,
    /// Within a topic.
    Topic,
}

/// What crosses from the publisher to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carries {
    /// The value itself.
    Reference,
    /// A copy of the value that is not JSON (the web's structured clone).
    Clone,
    /// JSON text.
    Json,
}

/// Whether a target ends with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lifetime {
    /// One connection, one target.
    PerConnection,
    /// The target goes on when a connection is lost.
    Outlives,
}

/// What a target promises beside the laws that hold for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A publisher that listens gets its own event.
    pub echo: bool,
    /// Which events keep their order.
    pub order: Order,
    /// What crosses.
    pub carries: Carries,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Whether it can say that a subscription is in place.
    pub confirms: bool,
}

/// The contract: listeners on topics, events dispatched, and an end.
///
/// Nothing here blocks. What needs waiting for has a future beside it: [`ready`](Self::ready) for a subscription,
/// [`room`](Self::room) for the outbound queue, [`closed`](Self::closed) for the end. The trait is made for
/// `Arc<dyn EventTarget>`; [`PubSub`](crate::PubSub) is the typed face on any of them. How to write a target of
/// one's own is told in CONTRIBUTING.md, and the `conformance` feature holds the laws that it has to keep.
pub trait EventTarget: Send + Sync + 'static {
    /// What this target promises.
    fn capabilities(&self) -> Capabilities;

    /// Adds a listener to a topic (`type:id`), or to a notice by its name. Each call adds one of its own; they
    /// are called in the order in which they were added.
    ///
    /// # Errors
    /// [`ListenError`] where the name is neither, or the target is closed.
    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError>;

    /// Removes a listener. Once this has returned, no new call of it begins, even within the dispatch under way;
    /// a call already running on another thread may finish. Removing what is not there does nothing.
    fn remove_event_listener(&self, listener: ListenerId);

    /// Takes an event: gives it to the listeners (in-process) or puts it into the outbound queue, from which it is
    /// sent in order. `Ok` does not say that it was sent, nor that anybody heard it.
    ///
    /// # Errors
    /// [`DispatchError`] says why it was not taken: [`Full`](DispatchError::Full) at the queue's bound,
    /// [`Disconnected`](DispatchError::Disconnected) while a target that outlives its connections has none,
    /// [`Closed`](DispatchError::Closed) after the end, or what is wrong with the event.
    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError>;

    /// [`dispatch_event`](Self::dispatch_event) of an event that the caller keeps, to publish it elsewhere or again.
    /// In-process this does not even count a reference.
    ///
    /// # Errors
    /// [`DispatchError`], as there.
    fn dispatch_event_ref(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        self.dispatch_event(event.clone())
    }

    /// Ends the target: listeners get the `close` notice, nothing is dispatched afterwards, and what the caller owns
    /// is left as it was given. What still waits to be sent, a WebSocket client drops and counts; a hub sends it
    /// first. Closing twice does nothing.
    fn close(&self);

    /// Resolves when it is known whether the topic's subscription is in place; add the listener first. A far
    /// side that has never answered counts as [`Readiness::Unconfirmed`] after 2 s; one that has is waited for until it
    /// answers or the connection ends, and a target that outlives its connections waits for the next one: put a
    /// limit of time around this where that matters.
    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness>;

    /// Resolves when the outbound queue has room, or the target is closed. Others may take the room first, so that
    /// the dispatch that follows can say `Full` again.
    fn room(&self) -> BoxFuture<'_, ()>;

    /// Resolves when what was dispatched before has been handed to the transport, or the target is closed: what
    /// [`close`](Self::close) then drops is not ours. A target that queues nothing is always there; one that keeps
    /// events while it has no connection is there with the next one, which may take as long as it likes.
    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Resolves when the target has ended and no task of it is left.
    fn closed(&self) -> BoxFuture<'_, CloseReason>;

    /// All counters, as they are now.
    fn stats(&self) -> Stats;

    /// Whether an event on this topic could be heard. `false` lets a publisher save the making of it.
    fn is_heard(&self, topic: &str) -> bool {
        let _ = topic;
        true
    }
}

/// The contract, kept by what a type holds: `delegate_event_target!([generics] Type, self => expression)`.
macro_rules! delegate_event_target {
    ([$($generics:tt)*] $target:ty, $this:ident => $inner:expr) => {
        impl<$($generics)*> $crate::event_target::EventTarget for $target {
            fn capabilities(&$this) -> $crate::event_target::Capabilities {
                $inner.capabilities()
            }

            fn add_event_listener(
                &$this,
                name: &str,
                listener: ::std::sync::Arc<dyn $crate::event_target::Listener>,
            ) -> Result<$crate::event_target::ListenerId, $crate::event_target::ListenError> {
                $inner.add_event_listener(name, listener)
            }

            fn remove_event_listener(&$this, listener: $crate::event_target::ListenerId) {
                $inner.remove_event_listener(listener);
            }

            fn dispatch_event(
                &$this,
                event: $crate::envelope::EventEnvelope,
            ) -> Result<(), $crate::event_target::DispatchError> {
                $inner.dispatch_event(event)
            }

            fn dispatch_event_ref(
                &$this,
                event: &$crate::envelope::EventEnvelope,
            ) -> Result<(), $crate::event_target::DispatchError> {
                $inner.dispatch_event_ref(event)
            }

            fn close(&$this) {
                $inner.close();
            }

            fn ready<'a>(
                &'a $this,
                topic: &'a str,
            ) -> $crate::event_target::BoxFuture<'a, $crate::event_target::Readiness> {
                $inner.ready(topic)
            }

            fn room(&$this) -> $crate::event_target::BoxFuture<'_, ()> {
                $inner.room()
            }

            fn flush(&$this) -> $crate::event_target::BoxFuture<'_, ()> {
                $inner.flush()
            }

            fn closed(&$this) -> $crate::event_target::BoxFuture<'_, $crate::event_target::CloseReason> {
                $inner.closed()
            }

            fn stats(&$this) -> $crate::stats::Stats {
                $inner.stats()
            }

            fn is_heard(&$this, topic: &str) -> bool {
                $inner.is_heard(topic)
            }
        }
    };
}
#[cfg(any(feature = "_link", feature = "_engine", feature = "worker"))]
pub(crate) use delegate_event_target;

delegate_event_target!([T: EventTarget + ?Sized] Arc<T>, self => (**self));
