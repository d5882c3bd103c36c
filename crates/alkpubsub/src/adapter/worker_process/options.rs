//! The bounds and times of a host.

use crate::adapter::byte_stream::ByteStreamOptions;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The bounds and times of a [`ProcessHostEventTarget`](super::ProcessHostEventTarget).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// Those of the link: its outbound queue, the limits of a message, how often the child is asked whether it is there,
    /// how long a `__close` may take to leave. `link.forward_subscriptions` and `link.answer_timeout` are not looked at:
    /// everything crosses.
    pub stream: ByteStreamOptions,
    /// How long the child may take to answer its first ping, from its start on. From then on it is
    /// [`stream.heartbeat`](ByteStreamOptions::heartbeat) that counts.
    pub start_timeout: Duration,
    /// After the link's end, how long the child may take to exit before it gets SIGTERM. Its standard input is closed by
    /// then, and what it still writes is read and dropped.
    pub exit_timeout: Duration,
    /// How long it may take from SIGTERM on, before it gets SIGKILL.
    pub term_timeout: Duration,
    /// What becomes of the child's standard error.
    pub stderr: ChildStderr,
}

impl ProcessOptions {
    /// The defaults of a byte stream; 30 s to answer the first ping, 5 s to exit, 2 s more after SIGTERM; standard error
    /// is logged.
    pub const DEFAULT: Self = Self {
        stream: ByteStreamOptions::DEFAULT,
        start_timeout: Duration::from_secs(30),
        exit_timeout: Duration::from_secs(5),
        term_timeout: Duration::from_secs(2),
        stderr: ChildStderr::Log,
    };
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What becomes of a child's standard error, line by line.
///
/// A line has at most 8 KiB; what is longer comes in pieces of that length. What is not UTF-8 is replaced. The end of a
/// line, `\n` or `\r\n`, is left off.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ChildStderr {
    /// Each line is an event of `tracing`, at the level INFO, with the child's process id.
    #[default]
    Log,
    /// Each line is given to this function, on a task of the runtime: it must not block. A child that writes faster than
    /// it takes waits. When it panics, the line is dropped.
    Lines(Arc<dyn Fn(&str) + Send + Sync>),
    /// The child writes to this process's standard error itself.
    Inherit,
    /// Nobody reads it.
    Discard,
}

impl fmt::Debug for ChildStderr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "Log",
            Self::Lines(_) => "Lines",
            Self::Inherit => "Inherit",
            Self::Discard => "Discard",
        })
    }
}
