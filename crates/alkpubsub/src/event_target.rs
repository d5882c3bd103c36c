//! The contract that every event target keeps.

use crate::envelope::{EncodeError, EventEnvelope};
use crate::protocol::control::{Action, DenyReason, GapReason};
pub use crate::protocol::hub::LinkId;
pub use crate::protocol::link::Readiness;
use crate::stats::Stats;
use crate::topic::{BadTopic, Topic};
use std::fmt;
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

/// A listener to notices from a function; to be added under `close`, `gap`, `denied` or `error`.
///
/// ```
/// use alkpubsub::{EventTarget, InProcess, on_notice};
/// use std::sync::Arc;
///
/// let target = InProcess::new();
/// target.add_event_listener("close", Arc::new(on_notice(|notice| println!("{notice}"))))?;
/// // A name without `:` that is no notice's is an error.
/// assert!(target.add_event_listener("closed", Arc::new(on_notice(|_| ()))).is_err());
/// # Ok::<(), alkpubsub::ListenError>(())
/// ```
pub fn on_notice(call: impl Fn(&Notice) + Send + Sync) -> impl Listener {
    struct OnNotice<F>(F);
    impl<F: Fn(&Notice) + Send + Sync> Listener for OnNotice<F> {
        fn event(&self, _: &EventEnvelope) {}
        fn notice(&self, notice: &Notice) {
            (self.0)(notice);
        }
    }
    OnNotice(call)
}

/// What a target itself has to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// `close`: the target is closed or lost its connection for good. Comes once, as the last.
    Close(CloseReason),
    /// `gap`: events are missing.
    Gap {
        /// Of which topic; `None`: of all.
        topic: Option<Topic>,
        /// How many, where that is known.
        missed: Option<u64>,
        /// Why.
        reason: GapReason,
    },
    /// `denied`: the far side said no.
    Denied {
        /// The topic's text; it may be one that is no topic.
        topic: Arc<str>,
        /// What was wanted.
        action: Action,
        /// Why not.
        reason: DenyReason,
    },
    /// `error`: something went wrong that ended nothing.
    Error(TargetError),
}

impl Notice {
    /// The names under which notices are listened to.
    pub const NAMES: [&'static str; 4] = ["close", "gap", "denied", "error"];

    /// The name under which this one is listened to.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Close(_) => "close",
            Self::Gap { .. } => "gap",
            Self::Denied { .. } => "denied",
            Self::Error(_) => "error",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close(reason) => reason.fmt(f),
            Self::Gap { topic, missed, reason } => {
                match missed {
                    Some(missed) => write!(f, "{missed} events are missing")?,
                    None => f.write_str("events may be missing")?,
                }
                if let Some(topic) = topic {
                    write!(f, " of {topic:?}")?;
                }
                write!(f, ": {reason}")
            }
            Self::Denied { topic, action, reason } => write!(f, "{action} {topic:?} was denied: {reason}"),
            Self::Error(error) => error.fmt(f),
        }
    }
}

/// Something that went wrong in a target and ended nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A listener panicked; the others were called.
    #[error("a listener of {name:?} panicked: {message}")]
    ListenerPanicked {
        /// What it was added to.
        name: Arc<str>,
        /// The panic's message, where it has one.
        message: Arc<str>,
    },
    /// The far side sent something that is no envelope; nothing of it was delivered.
    #[error("the far side sent what is no envelope: {0}")]
    BadInput(crate::Refusal),
}

/// Why a target is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// `close` was called on it here.
    Closed,
    /// The far side closed, with a code of the contract's table.
    ByPeer {
        /// The close code; 1005 where none was given.
        code: u16,
        /// Its words.
        reason: Arc<str>,
    },
    /// This side closed because the peer broke a rule or a bound, with a code of the contract's table.
    Refused {
        /// The close code.
        code: u16,
        /// What was wrong.
        reason: Arc<str>,
    },
    /// The connection broke without a word (code 1006).
    Lost {
        /// What the transport said.
        error: Arc<str>,
    },
}

impl CloseReason {
    /// The close code: 1000 for a close of our own, 1006 for a broken connection.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Closed => 1000,
            Self::ByPeer { code, .. } | Self::Refused { code, .. } => *code,
            Self::Lost { .. } => 1006,
        }
    }
}

impl std::error::Error for CloseReason {}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed here"),
            Self::ByPeer { code, reason } if reason.is_empty() => {
                write!(f, "closed by the far side ({code})")
            }
            Self::ByPeer { code, reason } => write!(f, "closed by the far side ({code}): {reason}"),
            Self::Refused { code, reason } => write!(f, "closed here ({code}): {reason}"),
            Self::Lost { error } => write!(f, "the connection was lost: {error}"),
        }
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
    #[error("the target is {0}")]
    Closed(CloseReason),
}

/// Why an event was not taken. Nothing of it was sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// The target is closed, or its only connection is.
    #[error("the target is {0}")]
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
    /// [`Closed`](DispatchError::Closed) after the end, or what is wrong with the event.
    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError>;

    /// Ends the target: listeners get the `close` notice, nothing is dispatched afterwards, and what the caller owns
    /// is left as it was given. What still waits to be sent, a WebSocket client drops and counts; a hub sends it
    /// first. Closing twice does nothing.
    fn close(&self);

    /// Resolves when it is known whether the topic's subscription is in place; add the listener first. A far
    /// side that has never answered counts as [`Readiness::Unconfirmed`] after 2 s; one that has is waited for until it
    /// answers or the connection ends, so put a limit of time around this where that matters.
    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness>;

    /// Resolves when the outbound queue has room, or the target is closed. Others may take the room first, so that
    /// the dispatch that follows can say `Full` again.
    fn room(&self) -> BoxFuture<'_, ()>;

    /// Resolves when what was dispatched before has been handed to the transport, or the target is closed: what
    /// [`close`](Self::close) then drops is not ours. A target that queues nothing is always there.
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

impl<T: EventTarget + ?Sized> EventTarget for Arc<T> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        (**self).add_event_listener(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        (**self).remove_event_listener(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        (**self).dispatch_event(event)
    }

    fn close(&self) {
        (**self).close();
    }

    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        (**self).ready(topic)
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        (**self).room()
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        (**self).flush()
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        (**self).closed()
    }

    fn stats(&self) -> Stats {
        (**self).stats()
    }

    fn is_heard(&self, topic: &str) -> bool {
        (**self).is_heard(topic)
    }
}
