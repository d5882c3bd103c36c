//! Which sockets are ready: one waker for each socket, one list for the task that serves them all.

use crate::sync::{AtomicBool, Mutex};
use std::sync::atomic::{Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

/// The slots of the sockets that became ready, and the waker of the task that reads the list.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: Vec<usize>,
    task: Option<Waker>,
}

impl ReadyList {
    /// Names the task; to be called before it looks for work.
    pub(super) fn register(&self, task: &Waker) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut inner.task {
            Some(known) => known.clone_from(task),
            unknown => *unknown = Some(task.clone()),
        }
    }

    /// Wakes the task, with no socket to look at.
    pub(super) fn wake(&self) {
        let task = self.inner.lock().unwrap_or_else(PoisonError::into_inner).task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    fn push(&self, slot: usize) {
        let task = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.slots.push(slot);
            // The first one wakes; the others are read with it.
            if inner.slots.len() == 1 { inner.task.clone() } else { None }
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Takes the list; `into` is empty and gives its memory for the next one.
    pub(super) fn take(&self, into: &mut Vec<usize>) {
        std::mem::swap(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner).slots, into);
    }
}

/// The waker of one socket. However often the socket wakes it, it stands in the list once.
#[derive(Debug)]
pub(super) struct SocketWaker {
    slot: usize,
    listed: AtomicBool,
    ready: Arc<ReadyList>,
}

impl SocketWaker {
    pub(super) fn new(slot: usize, ready: Arc<ReadyList>) -> Arc<Self> {
        Arc::new(Self { slot, listed: AtomicBool::new(false), ready })
    }

    /// Whether the socket woke it, and has not been looked at since.
    pub(super) fn is_listed(&self) -> bool {
        self.listed.load(Acquire)
    }

    /// To be called when the slot was taken from the list, before the socket is looked at.
    pub(super) fn taken(&self) {
        // A swap, not a store: it sees what whoever found it listed has done before, and so does the look that follows.
        self.listed.swap(false, AcqRel);
    }
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, AcqRel) {
            self.ready.push(self.slot);
        }
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use loom::future::block_on;
    use loom::thread;
    use std::future::poll_fn;
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::Poll;

    #[test]
    fn a_socket_that_wakes_while_it_is_looked_at_is_looked_at_again() {
        loom::model(|| {
            let ready = Arc::new(ReadyList::default());
            let socket = SocketWaker::new(0, ready.clone());
            // What the socket has to say, in two pieces. Waking is what makes it visible.
            let said = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
            let (saying, waker) = (said.clone(), socket.clone());
            let peer = thread::spawn(move || {
                for piece in saying {
                    piece.store(true, Relaxed);
                    waker.wake_by_ref();
                }
            });
            let mut slots = Vec::new();
            // Where a wake-up was lost, all threads wait, and loom says so.
            block_on(poll_fn(|context| {
                ready.register(context.waker());
                slots.clear();
                ready.take(&mut slots);
                assert!(slots.len() <= 1, "it stands in the list once");
                for _ in &slots {
                    socket.taken();
                    if said.iter().all(|piece| piece.load(Relaxed)) {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending
            }));
            peer.join().unwrap();
        });
    }
}
