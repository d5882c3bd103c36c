//! The worker's end.

use super::drive::block_on;
use super::inbox::Taken;
use super::link::{CAPABILITIES, Link, done};
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, CloseReason, DispatchError, EventTarget, ListenError, Listener, ListenerId,
    Readiness, delegate_event_target,
};
use crate::stats::Stats;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// The worker's end of a link between threads.
///
/// What the host dispatches waits until this thread takes it, in [`run`](Self::run), [`run_async`](Self::run_async) or
/// [`block_on`](Self::block_on); listeners are called there, on this thread. What is dispatched here is given to the
/// host's listeners at once, on this thread: a host that hears by subscriptions has its queue there.
///
/// Listeners that are added before the first of these calls miss nothing.
///
/// # The end
/// When the host closes or is dropped, what it had dispatched is handled, then the streams and listeners here end with
/// [`CloseReason::ByPeer`] 1000. When this is dropped, the host's end ends the same way, and what waited is dropped and
/// counted there; while the thread panics, it is [`CloseReason::Lost`].
#[derive(Debug)]
pub struct WorkerThreadEventTarget {
    handle: WorkerHandle,
    /// Kept for its memory.
    batch: VecDeque<EventEnvelope>,
}

/// The worker's end for whoever publishes and subscribes there, such as a [`PubSub`](crate::PubSub). A clone shares it.
///
/// It does not take what the host dispatches: that is for the [`WorkerThreadEventTarget`] that it is of, and ends with it.
#[derive(Clone)]
pub struct WorkerHandle {
    link: Arc<Link>,
}

impl WorkerThreadEventTarget {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { handle: WorkerHandle { link }, batch: VecDeque::new() }
    }

    /// For whoever publishes and subscribes here.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Gives the listeners what comes, on this thread, until the link ends; gives the reason. It blocks.
    pub fn run(&mut self) -> CloseReason {
        block_on(self.run_async(), |_| Poll::Pending)
    }

    /// The same as a future, for any executor; dropped and begun anew it misses nothing. After each batch, at most as many
    /// events as may wait, other tasks have their turn.
    pub async fn run_async(&mut self) -> CloseReason {
        poll_fn(|context| match self.handle.link.deliver(&mut self.batch, context.waker()) {
            Taken::Events { .. } => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Taken::End(reason) => Poll::Ready(reason),
            Taken::Nothing => Poll::Pending,
        })
        .await
    }

    /// Runs a future on this thread, and gives the listeners what comes beside it: so subscriptions work in blocking code.
    ///
    /// ```
    /// use alkpubsub::worker::{WorkerHostEventTarget, WorkerOptions};
    /// use alkpubsub::{EventTarget, PubSub};
    /// use std::sync::Arc;
    ///
    /// let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
    ///     let pubsub = PubSub::new(worker.handle());
    ///     worker.block_on(async {
    ///         let mut jobs = pubsub.subscribe_envelopes("job", "").await.unwrap();
    ///         while let Some(job) = jobs.next().await {
    ///             println!("{job:?}");
    ///         }
    ///     });
    /// })?;
    /// let pubsub = PubSub::new(Arc::new(host));
    /// # let publishing = pubsub.publish_json("job", "", &1);
    /// # assert!(std::pin::pin!(publishing).as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready());
    /// // pubsub.publish_json("job", "", &1).await?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        let Self { handle, batch, .. } = self;
        block_on(future, |waker| match handle.link.deliver(batch, waker) {
            Taken::Events { .. } => Poll::Ready(()),
            Taken::End(_) | Taken::Nothing => Poll::Pending,
        })
    }
}

impl Drop for WorkerThreadEventTarget {
    fn drop(&mut self) {
        let there = match std::thread::panicking() {
            true => CloseReason::Lost { error: "the worker panicked".into() },
            false => done(),
        };
        self.handle.link.worker_ends(CloseReason::Closed, there);
    }
}

delegate_event_target!([] WorkerThreadEventTarget, self => self.handle);

impl EventTarget for WorkerHandle {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.link.worker.add(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.link.worker.remove(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.dispatch_event_ref(&event)
    }

    fn dispatch_event_ref(&self, event: &EventEnvelope) -> Result<(), DispatchError> {
        self.link.dispatch_to_host(event)
    }

    /// What waits here is dropped, and counted at the host's end.
    fn close(&self) {
        self.link.worker_ends(CloseReason::Closed, done());
    }

    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        let closed = self.link.worker.closed().is_some();
        Box::pin(std::future::ready(if closed { Readiness::Closed } else { Readiness::Confirmed }))
    }

    /// The host's listeners are called at once.
    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.link.waiters.until(|| self.link.worker.ended()))
    }

    fn stats(&self) -> Stats {
        self.link.stats_of_worker()
    }

    /// A closed target says yes, so that the dispatch that follows tells of it.
    fn is_heard(&self, topic: &str) -> bool {
        self.link.host.is_heard(topic)
            || self.link.worker.closed().is_some()
            || self.link.host.closed().is_some()
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle").finish_non_exhaustive()
    }
}
