//! The child's end.

use super::stdio::Stdio;
use crate::adapter::byte_stream::{ByteStreamOptions, ByteStreamSocket};
use crate::adapter::link::{DisconnectError, Life, LinkTarget, Pump, drain};
use crate::event_target::{CloseReason, delegate_event_target};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Why standard input and output could not be taken for a link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// One of them is no pipe and no socket: a person started the program, or it was called twice.
    #[error(
        "standard input and output are no pipes: this program is to be started by a host, and takes them once"
    )]
    NoPipe,
    /// The system's words.
    #[error("standard input and output cannot be taken: {0}")]
    Io(#[from] io::Error),
}

/// The link of a child process to the host that started it, as an event target.
///
/// [`from_stdio`](Self::from_stdio) is all that a child has to call. Everything that is dispatched goes to the host, and
/// listeners hear what the host dispatches; [`ready`](crate::EventTarget::ready) is
/// [`Confirmed`](crate::Readiness::Confirmed) at once, but what the host sent before a listener was added is not kept for
/// it: add the listeners before the first `await`.
///
/// # Overload and close
/// What is dispatched waits in the outbound queue, and in the pipe; beyond it,
/// [`DispatchError::Full`](crate::DispatchError::Full). The target ends with the host's `__close`, or as
/// [`Lost`](CloseReason::Lost) where the host was killed: **wait for [`closed`](crate::EventTarget::closed), and exit then**,
/// or the child outlives its host. [`disconnect`](Self::disconnect) ends the link from this end, with all that is queued
/// sent before; [`close`](crate::EventTarget::close) does without it. A child that exits without either has failed, as its
/// host sees it.
///
/// ```no_run
/// use alkpubsub::worker_process::WorkerProcessEventTarget;
/// use alkpubsub::{EventTarget, PubSub};
/// use std::sync::Arc;
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let host = Arc::new(WorkerProcessEventTarget::from_stdio()?);
///     let pubsub = PubSub::new(host.clone());
///     let mut tasks = pubsub.subscribe_envelopes("task", "").await?;
///     while let Some(item) = tasks.next().await {
///         println!("{item:?}"); // goes to standard error, as standard output is the link's
///         pubsub.publish_json("done", "", &1).await?;
///     }
///     host.closed().await; // the stream ended with the link: nothing is left to do
///     Ok(())
/// }
/// ```
pub struct WorkerProcessEventTarget {
    target: Arc<LinkTarget>,
}

impl WorkerProcessEventTarget {
    /// Takes this process's standard input and output for the link, with the default options. To be called once, before
    /// anything else reads or prints: from then on standard input is empty, and what is printed goes to standard error.
    /// Children of this process do not inherit the link.
    ///
    /// # Errors
    /// [`StdioError`]; then they are as they were.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub fn from_stdio() -> Result<Self, StdioError> {
        Self::from_stdio_with(ByteStreamOptions::DEFAULT)
    }

    /// [`from_stdio`](Self::from_stdio) with other bounds and times. `heartbeat` is not looked at, as the host asks, and
    /// `link.forward_subscriptions` and `link.answer_timeout` are not, as everything crosses.
    ///
    /// # Errors
    /// [`StdioError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub fn from_stdio_with(options: ByteStreamOptions) -> Result<Self, StdioError> {
        Ok(Self::on(Stdio::take()?, options))
    }

    /// The same over another stream to the host, such as a socket that it passed along: standard input and output stay
    /// the program's. The stream belongs to the target.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn on<S>(stream: S, options: ByteStreamOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let socket = ByteStreamSocket::with_max_message(stream, options.message.max_message);
        let target = LinkTarget::new(options.target(), Life::Direct { heartbeat: None });
        let pump = Pump::new(target.clone(), socket, true);
        target.spawn(async move {
            let (socket, unanswered) = pump.run().await;
            if unanswered {
                drain(socket, options.close_timeout).await;
            }
        });
        Self { target }
    }

    /// Sends a `__ping` and waits for its answer: the host then has handled all that was sent before it.
    ///
    /// # Errors
    /// The reason of the end, if the link ends before the answer comes.
    pub async fn ping(&self) -> Result<(), CloseReason> {
        self.target.ping().await
    }

    /// Ends the link in good order: sends what is queued, then `__close` with 1000, and waits for the host's `__close`,
    /// but no longer than `patience`. What comes before that is heard.
    ///
    /// # Errors
    /// [`DisconnectError`], where the host did not answer, or ended before.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.target.disconnect(patience).await
    }
}

impl Drop for WorkerProcessEventTarget {
    fn drop(&mut self) {
        self.target.abandon();
    }
}

delegate_event_target!([] WorkerProcessEventTarget, self => self.target);

impl fmt::Debug for WorkerProcessEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerProcessEventTarget").field(&self.target).finish()
    }
}
