//! What a bridge tells its program: what did not cross, and why it ended.

use crate::event_target::{CloseReason, DispatchError, ListenError};
use crate::protocol::control::{Action, DenyReason, GapReason};
use crate::topic::Topic;
use std::fmt;
use std::sync::Arc;

/// One of the two targets of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl Side {
    /// The one across.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

/// What a bridge has to tell that no target tells its subscribers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BridgeNotice {
    /// Events that were published on one side are missing on the other. Told in the place of the loss: after the last event
    /// before it was dispatched on the other side, and ahead of the next.
    Lost {
        /// The side that they come from.
        from: Side,
        /// Their topic.
        topic: Topic,
        /// How many, where that is known.
        missed: Option<u64>,
        /// Why.
        why: LossReason,
    },
    /// A side said no: a topic is not heard there, or an event of this topic was not taken from here. Told at once.
    Denied {
        /// The side that said it.
        by: Side,
        /// The topic.
        topic: Topic,
        /// What was wanted.
        action: Action,
        /// Why not.
        reason: DenyReason,
    },
}

impl fmt::Display for BridgeNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { from, topic, missed, why } => {
                match missed {
                    Some(missed) => write!(f, "{missed} events did not cross")?,
                    None => f.write_str("events may not have crossed")?,
                }
                write!(f, " from the {from} of {topic:?}: {why}")
            }
            Self::Denied { by, topic, action, reason } => {
                write!(f, "{action} {topic:?} was denied on the {by}: {reason}")
            }
        }
    }
}

/// Why events did not cross.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LossReason {
    /// The side that they come from missed them itself.
    #[error("missed there: {0}")]
    Gap(GapReason),
    /// More waited than the bridge's bound.
    #[error("the other side took them too slowly")]
    TooSlow,
    /// The other side did not take the event.
    #[error("not taken on the other side: {0}")]
    Refused(DispatchError),
    /// An event was left out as the bridge's own, whose copy may have been lost before: then it was another's.
    #[error("one may have been taken for a copy of the bridge's own")]
    Ambiguous,
}

/// Why a bridge ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeEnd {
    /// [`Bridge::close`](super::Bridge::close) was called.
    #[error("closed here")]
    Closed,
    /// One of its targets ended.
    #[error("the target on the {side} has ended: {reason}")]
    Target {
        /// Which.
        side: Side,
        /// Why.
        reason: CloseReason,
    },
}

/// What a bridge cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// An echo was to be passed on to a side that echoes, too.
    #[error(
        "an echo cannot be passed on to a side that echoes itself: the events would be heard there twice"
    )]
    BothEcho,
    /// A side does not listen to the topic, or not at all.
    #[error("on the {side}: {error}")]
    Listen {
        /// Which side.
        side: Side,
        /// Why not.
        error: ListenError,
    },
    /// A side denied the topic.
    #[error("the topic was denied on the {side}: {reason}")]
    Denied {
        /// Which side.
        side: Side,
        /// Why.
        reason: DenyReason,
    },
    /// The topic was not added, or was removed.
    #[error("the bridge does not carry {topic:?}; add_topic comes first")]
    NotCarried {
        /// The topic.
        topic: Arc<str>,
    },
    /// The bridge has ended.
    #[error("the bridge has ended: {0}")]
    Ended(BridgeEnd),
}
