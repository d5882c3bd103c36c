//! A thread as the other end of a link: values cross, not texts, and no runtime is needed on either side.

mod drive;
mod host;
mod inbox;
mod link;
mod thread;

pub use host::{JoinError, WorkerHostEventTarget, WorkerOptions};
pub use thread::{WorkerHandle, WorkerThreadEventTarget};

/// Both ends, for a thread that is given: the second is to be moved to it.
///
/// Listeners that are added to the host's end before miss nothing of what the thread publishes. The thread is the
/// caller's: the host's end neither waits for it nor joins it. It ends when the thread's end is dropped, with
/// [`CloseReason::Lost`](crate::CloseReason::Lost) where that is because the thread panics.
///
/// ```
/// use alkpubsub::worker::{WorkerOptions, pair};
/// use alkpubsub::{CloseReason, DispatchError, EventEnvelope, EventTarget};
/// use std::sync::{Arc, mpsc};
///
/// let (host, mut worker) = pair(WorkerOptions::DEFAULT);
/// let (sender, heard) = mpsc::channel();
/// let listener = move |event: &EventEnvelope| sender.send(event.payload::<u32>().unwrap()).unwrap();
/// host.add_event_listener("squared:", Arc::new(listener))?;
///
/// let thread = std::thread::spawn(move || {
///     let answers = worker.handle();
///     let square = move |event: &EventEnvelope| {
///         let number: u32 = event.payload().unwrap();
///         answers.dispatch_event(EventEnvelope::new("squared", "", &(number * number)).unwrap()).unwrap();
///     };
///     worker.add_event_listener("square:", Arc::new(square)).unwrap();
///     worker.run()
/// });
/// host.dispatch_event(EventEnvelope::new("square", "", &7)?)?;
/// assert_eq!(heard.recv()?, 49);
/// host.close();
/// assert_eq!(thread.join().unwrap(), CloseReason::ByPeer { code: 1000, reason: "".into() });
/// assert!(matches!(host.dispatch_event(EventEnvelope::new("square", "", &8)?), Err(DispatchError::Closed { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn pair(options: WorkerOptions) -> (WorkerHostEventTarget, WorkerThreadEventTarget) {
    let link = std::sync::Arc::new(link::Link::new(&options));
    (WorkerHostEventTarget::new(link.clone(), &options), WorkerThreadEventTarget::new(link))
}
