//! The host's end, and the thread that it may have started.

use super::link::{CAPABILITIES, Link, done};
use super::thread::WorkerThreadEventTarget;
use crate::caught::caught;
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, CloseReason, DispatchError, EventTarget, ListenError, Listener, ListenerId,
    Readiness,
};
use crate::stats::Stats;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

/// The bounds and times of a link between threads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// Events of the host's that may wait for the worker; beyond, [`DispatchError::Full`]. As many more may be in the
    /// worker's hands.
    pub max_queued: usize,
    /// Bytes of them, as [`EventEnvelope::weight`] counts them: not what a typed value has on the heap.
    pub max_queued_bytes: usize,
    /// How long dropping the host waits for the thread that it started to end.
    pub join_timeout: Duration,
    /// The name of the thread.
    pub name: Option<String>,
    /// The size of its stack in bytes; the standard library's own unless given.
    pub stack_size: Option<usize>,
}

impl WorkerOptions {
    /// 4,096 events, 4 MiB; 2 s to end.
    pub const DEFAULT: Self = Self {
        max_queued: 4096,
        max_queued_bytes: 4 << 20,
        join_timeout: Duration::from_secs(2),
        name: None,
        stack_size: None,
    };
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a worker did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It panicked.
    #[error("the worker panicked: {message}")]
    Panicked {
        /// The panic's message, where it has one.
        message: Arc<str>,
    },
    /// It runs still. A thread cannot be stopped from outside: it goes on by itself, and ends with the process.
    #[error("the worker still runs after {waited:?}; it ends with the process, unless it ends by itself")]
    StillRunning {
        /// How long it was waited for.
        waited: Duration,
    },
}

/// The host's end of a link between threads: a worker as an event target.
///
/// Typed payloads cross as the values that they are, shared by an `Arc`, and nothing is written as JSON. What is
/// dispatched waits, within bounds, until the worker's thread takes it. Listeners here are called on the worker's thread,
/// as soon as it dispatches; a subscription has a queue of its own. Neither side needs a runtime, and either may have
/// one.
///
/// # Overload
/// Beyond [`WorkerOptions::max_queued`] and [`max_queued_bytes`](WorkerOptions::max_queued_bytes), `dispatch_event` says
/// `Full`, and `publish` waits.
///
/// # The end
/// [`close`](EventTarget::close) ends this end at once; the worker handles what was dispatched before, and is told then.
/// Dropping it does so, too, and waits up to [`WorkerOptions::join_timeout`] for a thread that it started: in code that
/// must not block, `close` first, and wait for [`closed`](EventTarget::closed). [`join`](Self::join) says how it ended.
///
/// A worker whose function returns ends the link with [`CloseReason::ByPeer`] 1000. One that panics ends it with
/// [`CloseReason::Lost`] and the panic's message. What waited for it is dropped and counted (`Stats::dropped`).
///
/// ```
/// use alkpubsub::worker::{JoinError, WorkerHostEventTarget, WorkerOptions};
/// use alkpubsub::{EventEnvelope, EventTarget};
/// use std::sync::{Arc, mpsc};
/// use std::time::Duration;
///
/// let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
///     let answers = worker.handle();
///     let double = move |event: &EventEnvelope| {
///         let number: u32 = event.payload().unwrap();
///         let answer = EventEnvelope::new("doubled", "", &(2 * number)).unwrap();
///         answers.dispatch_event(answer).unwrap();
///     };
///     worker.add_event_listener("double:", Arc::new(double)).unwrap();
///     worker.run();
/// })?;
/// let (sender, heard) = mpsc::channel();
/// let listener = move |event: &EventEnvelope| sender.send(event.payload::<u32>().unwrap()).unwrap();
/// host.add_event_listener("doubled:", Arc::new(listener))?;
/// host.dispatch_event(EventEnvelope::new("double", "", &21)?)?;
/// assert_eq!(heard.recv()?, 42);
/// host.join(Duration::from_secs(1))?;
///
/// let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |_| panic!("out of ideas"))?;
/// let error = host.join(Duration::from_secs(1)).unwrap_err();
/// assert_eq!(error, JoinError::Panicked { message: "out of ideas".into() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WorkerHostEventTarget {
    link: Arc<Link>,
    /// The thread that was started here.
    thread: Option<OwnThread>,
    join_timeout: Duration,
}

struct OwnThread {
    id: ThreadId,
    handle: Mutex<Option<JoinHandle<()>>>,
    end: Arc<End>,
}

/// How a thread has ended.
#[derive(Default)]
struct End {
    over: Mutex<Option<Result<(), Arc<str>>>>,
    changed: Condvar,
}

impl End {
    fn over(&self) -> MutexGuard<'_, Option<Result<(), Arc<str>>>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnThread {
    fn has_ended(&self) -> bool {
        // A worker that owns its own host cannot wait for itself.
        self.end.over().is_some() || thread::current().id() == self.id
    }

    /// Waits until the worker has ended.
    fn wait(&self, patience: Duration) -> Result<(), JoinError> {
        if thread::current().id() == self.id {
            return Err(JoinError::StillRunning { waited: Duration::ZERO });
        }
        let waiting = self.end.changed.wait_timeout_while(self.end.over(), patience, |over| over.is_none());
        let over = waiting.unwrap_or_else(PoisonError::into_inner).0.clone();
        match over {
            None => Err(JoinError::StillRunning { waited: patience }),
            Some(over) => {
                self.join();
                over.map_err(|message| JoinError::Panicked { message })
            }
        }
    }

    /// All that it still does is end.
    fn join(&self) {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle.filter(|_| thread::current().id() != self.id) {
            // What the worker threw was caught before.
            let _ = handle.join();
        }
    }
}

impl WorkerHostEventTarget {
    pub(super) fn new(link: Arc<Link>, options: &WorkerOptions) -> Self {
        Self { link, thread: None, join_timeout: options.join_timeout }
    }

    /// Starts a thread, and lends it its end, until the function returns. What it publishes before a listener is added here
    /// is not heard: where it speaks first, make a [`pair`](super::pair), listen, and start the thread then.
    ///
    /// # Errors
    /// The system has no thread.
    ///
    /// # Panics
    /// The name holds a NUL byte, as of [`std::thread::Builder::name`].
    pub fn spawn(
        options: WorkerOptions,
        work: impl FnOnce(&mut WorkerThreadEventTarget) + Send + 'static,
    ) -> io::Result<Self> {
        let (mut host, mut worker) = super::pair(options.clone());
        let (link, end) = (host.link.clone(), Arc::new(End::default()));
        let ending = end.clone();
        let run = move || {
            let ended = caught(|| work(&mut worker)).map_err(Arc::<str>::from);
            let there = match &ended {
                Ok(()) => done(),
                Err(message) => CloseReason::Lost { error: format!("the worker panicked: {message}").into() },
            };
            // Before its own end is dropped, which knows less.
            let told = caught(|| link.worker_ends(CloseReason::Closed, there));
            *ending.over() = Some(ended.and(told.map_err(Arc::from)));
            ending.changed.notify_all();
            link.waiters.wake_all();
        };
        let mut builder = thread::Builder::new();
        if let Some(name) = options.name {
            builder = builder.name(name);
        }
        if let Some(size) = options.stack_size {
            builder = builder.stack_size(size);
        }
        let handle = builder.spawn(run)?;
        host.thread = Some(OwnThread { id: handle.thread().id(), handle: Mutex::new(Some(handle)), end });
        Ok(host)
    }

    /// Closes, and waits until the worker has handled what was dispatched before and its thread has ended. Of a thread that
    /// was given, nothing is waited for. It blocks.
    ///
    /// # Errors
    /// [`JoinError`]: the worker panicked, now or long ago, or runs still.
    pub fn join(mut self, patience: Duration) -> Result<(), JoinError> {
        self.close();
        self.thread.take().map_or(Ok(()), |thread| thread.wait(patience))
    }
}

impl Drop for WorkerHostEventTarget {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = &self.thread {
            let _ = thread.wait(self.join_timeout);
        }
    }
}

impl EventTarget for WorkerHostEventTarget {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.link.host.add(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.link.host.remove(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.link.dispatch_to_worker(event)
    }

    fn close(&self) {
        self.link.host_closes();
    }

    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        let closed = self.link.host.closed().is_some();
        Box::pin(std::future::ready(if closed { Readiness::Closed } else { Readiness::Confirmed }))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.link.waiters.until(|| self.link.has_room().then_some(())))
    }

    /// The worker has handled what was dispatched before: its listeners were called.
    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.link.handled())
    }

    /// The worker has taken what was dispatched before, or is gone. A thread that was started here has ended.
    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(async {
            let ended = || {
                let is_over = self.thread.as_ref().is_none_or(OwnThread::has_ended);
                self.link.host.ended().filter(|_| is_over && self.link.is_emptied())
            };
            let reason = self.link.waiters.until(ended).await;
            if let Some(thread) = &self.thread {
                thread.join();
            }
            reason
        })
    }

    fn stats(&self) -> Stats {
        self.link.stats_of_host()
    }
}

impl fmt::Debug for WorkerHostEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = self.thread.as_ref().map(|thread| thread.id);
        f.debug_struct("WorkerHostEventTarget").field("thread", &thread).finish_non_exhaustive()
    }
}
