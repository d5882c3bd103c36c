//! The host's end: a child that it started.

use super::failure::{ProcessFailure, SpawnError};
use super::options::{ChildStderr, ProcessOptions};
use super::process::{Pipes, Process};
use super::socket::ProcessSocket;
use super::stderr::pass_on;
use crate::adapter::byte_stream::ByteStreamSocket;
use crate::adapter::link::{DisconnectError, Life, LinkTarget, Pump};
use crate::event_target::{CloseReason, EventTarget, delegate_event_target};
use std::fmt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::process::{Child, ChildStderr as StderrPipe};
use tokio::task::JoinSet;

/// How long what a child wrote to its standard error may take to be read after its exit, where somebody else holds it.
const LINGER: Duration = Duration::from_millis(100);

/// A child process as an event target: everything that is dispatched goes to the child's standard input, and listeners
/// hear what comes from its standard output.
///
/// The child is a program of any language that keeps the wire's few rules; in Rust it calls
/// [`WorkerProcessEventTarget::from_stdio`](super::WorkerProcessEventTarget::from_stdio). The host opens the link: it sends
/// `__ping` first, and again every 20 s, and the child has to answer. Nothing is subscribed to over the link, so that
/// [`ready`](EventTarget::ready) is [`Confirmed`](crate::Readiness::Confirmed) at once; what is dispatched before the child
/// reads waits for it.
///
/// # Overload and close
/// What is dispatched waits in the outbound queue, and in the pipe; beyond it,
/// [`DispatchError::Full`](crate::DispatchError::Full). The target ends with its child, and the reason tells how, as does
/// [`failure`](Self::failure). [`close`](EventTarget::close), as dropping it, sends `__close` and closes the child's
/// standard input, waits [`exit_timeout`](ProcessOptions::exit_timeout) for its exit, sends SIGTERM, waits
/// [`term_timeout`](ProcessOptions::term_timeout), and sends SIGKILL. [`closed`](EventTarget::closed) resolves when the child
/// was reaped; nobody has to wait for that. Where the runtime ends before, the child is killed at once.
///
/// A host that is killed leaves the child with the end of its standard input, which ends its link; a child that does
/// not heed that lives on.
///
/// ```
/// use alkpubsub::worker_process::{ProcessHostEventTarget, ProcessOptions};
/// use alkpubsub::EventTarget;
/// use std::process::Command;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A program that knows nothing of frames.
/// let mut command = Command::new("echo");
/// command.arg("Hello");
/// let worker = ProcessHostEventTarget::spawn(command, ProcessOptions::DEFAULT)?;
/// let reason = worker.closed().await;
/// assert!(reason.to_string().contains("the child wrote text to its standard output"), "{reason}");
///
/// let none = ProcessHostEventTarget::spawn(Command::new("/no/such/program"), ProcessOptions::DEFAULT);
/// assert!(none.unwrap_err().to_string().starts_with("cannot start \"/no/such/program\": No such file"));
/// # Ok(())
/// # }
/// ```
pub struct ProcessHostEventTarget {
    target: Arc<LinkTarget>,
    id: u32,
    status: Arc<OnceLock<ExitStatus>>,
    failure: Arc<OnceLock<ProcessFailure>>,
}

impl ProcessHostEventTarget {
    /// Starts a child. The command's standard input, output and error are set here; all else is as it says.
    ///
    /// # Errors
    /// [`SpawnError`], with the program's name and the system's words.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub fn spawn(mut command: Command, options: ProcessOptions) -> Result<Self, SpawnError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(match options.stderr {
            ChildStderr::Log | ChildStderr::Lines(_) => Stdio::piped(),
            ChildStderr::Inherit => Stdio::inherit(),
            ChildStderr::Discard => Stdio::null(),
        });
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = tokio::process::Command::from(command);
        match command.kill_on_drop(true).spawn() {
            Ok(child) => Ok(Self::on(child, options)),
            Err(source) => Err(SpawnError { program, source }),
        }
    }

    fn on(mut child: Child, options: ProcessOptions) -> Self {
        let id = child.id().unwrap_or(0);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for");
        };
        widen(&stdin);
        widen(&stdout);
        let stderr = child.stderr.take();
        let (status, failure) = <(Arc<OnceLock<_>>, Arc<OnceLock<_>>)>::default();
        let stream = &options.stream;
        let life = Life::Direct { heartbeat: Some((stream.heartbeat, options.start_timeout)) };
        let target = LinkTarget::new(stream.target(), life);
        let socket = ProcessSocket::new(
            ByteStreamSocket::with_max_message(
                Pipes { stdout, stdin: Some(stdin) },
                stream.message.max_message,
            ),
            Process::new(child, status.clone()),
            failure.clone(),
            stream.close_timeout,
        );
        let pump = Pump::new(target.clone(), socket, true);
        let (ending, failed) = (target.clone(), failure.clone());
        target.spawn(async move {
            let reading = read(stderr, options.stderr.clone(), id);
            let (socket, _) = pump.run().await;
            if let Some(CloseReason::Lost { .. }) = ending.closed_for() {
                // The link gave it up. Where the socket did, it has said so before.
                let _ = failed.set(ProcessFailure::Unresponsive);
            }
            socket.finish(&options).await;
            read_out(reading).await;
        });
        Self { target, id, status, failure }
    }

    /// The child's process id; not to be used after its exit, as it may be another's then.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the child exited; `None` while it has not. After [`closed`](EventTarget::closed) it has.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.status.get().copied()
    }

    /// How the child failed, where it did: what the close reason says in words.
    #[must_use]
    pub fn failure(&self) -> Option<&ProcessFailure> {
        self.failure.get()
    }

    /// Sends a `__ping` and waits for its answer: the child then has read all that was sent before it.
    ///
    /// # Errors
    /// The reason of the end, if the link ends before the answer comes.
    pub async fn ping(&self) -> Result<(), CloseReason> {
        self.target.ping().await
    }

    /// Ends the link in good order: sends what is queued, then `__close` with 1000, closes the child's standard input,
    /// and waits for its `__close` or the end of its standard output, but no longer than `patience`. Nothing can be
    /// dispatched meanwhile, but what comes before that is heard. Then the child may take
    /// [`exit_timeout`](ProcessOptions::exit_timeout) to exit.
    ///
    /// # Errors
    /// [`DisconnectError`], where the child did not answer, or ended before.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.target.disconnect(patience).await
    }
}

fn read(stderr: Option<StderrPipe>, to: ChildStderr, pid: u32) -> JoinSet<()> {
    let mut reading = JoinSet::new();
    if let Some(stderr) = stderr {
        reading.spawn(pass_on(stderr, to, pid));
    }
    reading
}

/// What a child that is gone has left is read; what its own children still write is not waited for.
async fn read_out(mut reading: JoinSet<()>) {
    let _ = tokio::time::timeout(LINGER, reading.join_next()).await;
    reading.shutdown().await;
}

impl Drop for ProcessHostEventTarget {
    /// The task goes on for as long as the child may take to exit.
    fn drop(&mut self) {
        self.target.close();
    }
}

delegate_event_target!([] ProcessHostEventTarget, self => self.target);

impl fmt::Debug for ProcessHostEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHostEventTarget").field("id", &self.id).field("target", &self.target).finish()
    }
}

/// What a pipe may hold. In the usual 64 KiB fits one write of what was gathered, and the two ends would work in turns.
#[cfg(target_os = "linux")]
const PIPE: usize = 256 * 1024;

/// Where the system refuses, as it does for a user that has many, it stays as it is.
fn widen(pipe: &impl std::os::fd::AsFd) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE);
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}
