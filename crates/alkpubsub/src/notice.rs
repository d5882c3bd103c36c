//! What a target itself has to say, and why it ended.

use crate::envelope::EventEnvelope;
use crate::event_target::Listener;
use crate::protocol::control::{Action, DenyReason, GapReason};
use crate::topic::Topic;
use std::fmt;
use std::sync::Arc;

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
    /// A socket that was lent, or something else of the program's that one of a hub's connections holds, panicked.
    /// That connection was closed with 1011; the others go on.
    #[error("a connection was closed, as its socket or something else that it holds panicked: {message}")]
    ConnectionPanicked {
        /// The panic's message, where it has one.
        message: Arc<str>,
    },
    /// The far side sent something that is no envelope; nothing of it was delivered.
    #[error("the far side sent what is no envelope: {0}")]
    BadInput(crate::Refusal),
    /// A broker gave an event of another topic to whoever asked for this one: somebody published it on the wrong channel.
    /// It was not delivered.
    #[error("on the channel of {topic:?} came an event of another topic")]
    WrongTopic {
        /// The topic that the channel is for.
        topic: Arc<str>,
    },
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
    /// There was no connection, and no use in trying to make one (code 1006).
    GivenUp {
        /// Why the last attempt failed.
        error: Arc<str>,
    },
}

/// Whether a character of the far side's words may be shown: it moves no cursor, breaks no line and turns no text
/// around, so that a log line stays one line and reads as it was written.
#[cfg(any(feature = "_link", feature = "_engine"))]
pub(crate) fn is_plain(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns && !matches!(c, '\u{2028}' | '\u{2029}')
}

impl CloseReason {
    /// The far side closed. What its words hold that is not to be shown stands there as a space or U+FFFD.
    #[cfg(any(feature = "_link", feature = "_engine"))]
    pub(crate) fn by_peer(code: u16, words: Arc<str>) -> Self {
        let plain = words.chars().all(is_plain);
        let shown = |c: char| match c {
            _ if is_plain(c) => c,
            _ if c.is_whitespace() => ' ',
            _ => char::REPLACEMENT_CHARACTER,
        };
        Self::ByPeer {
            code,
            reason: if plain { words } else { words.chars().map(shown).collect::<String>().into() },
        }
    }

    /// The close code: 1000 for a close of our own, 1006 for a broken connection.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Closed => 1000,
            Self::ByPeer { code, .. } | Self::Refused { code, .. } => *code,
            Self::Lost { .. } | Self::GivenUp { .. } => 1006,
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
            Self::GivenUp { error } => write!(f, "connecting was given up: {error}"),
        }
    }
}
