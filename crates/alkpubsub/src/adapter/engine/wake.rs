//! Which sockets are ready: one waker for each socket, one list for the task that serves them all.

use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};
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
        self.listed.store(false, Release);
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
