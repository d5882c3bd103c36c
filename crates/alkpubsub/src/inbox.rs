//! Between the dispatch and the reader of a subscription: the queue, its lock, its waker and the end.

use crate::event_target::{CloseReason, Notice};
use crate::protocol::control::{Action, DenyReason};
use crate::queue::{Queue, QueueLimits, Queued};
use crate::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

/// Why a subscription's stream ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// Its target closed.
    #[error("the target has ended: {0}")]
    Closed(CloseReason),
    /// The far side denied the topic, or revoked it.
    #[error("the topic was denied: {0}")]
    Denied(DenyReason),
    /// Its queue overflowed, under [`Overflow::Close`](crate::Overflow::Close).
    #[error("the subscription's queue overflowed")]
    Overflowed,
}

/// What waits to be read: `M` is an event and what else the reader needs.
pub(crate) struct Inbox<M>(Mutex<State<M>>);

struct State<M> {
    queue: Queue<M>,
    end: Option<End>,
    reader: Option<Waker>,
}

impl<M> Inbox<M> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self(Mutex::new(State { queue: Queue::new(limits), end: None, reader: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event, or counts it as lost.
    #[inline]
    pub(crate) fn take(&self, weight: usize, event: impl FnOnce() -> M) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        if !state.queue.has_room(weight) {
            drop(state);
            return self.overflow(event(), weight);
        }
        state.queue.take(event(), weight);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    #[cold]
    fn overflow(&self, event: M, weight: usize) {
        self.change(|state| {
            let mut dropped = Vec::new();
            if state.queue.push(event, weight, &mut dropped).is_err() {
                state.end = Some(End::Overflowed);
            }
            dropped
        });
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        self.change(|state| match notice {
            Notice::Close(reason) => state.end = Some(End::Closed(reason.clone())),
            Notice::Denied { action: Action::Subscribe, reason, .. } => {
                state.end = Some(End::Denied(*reason))
            }
            Notice::Gap { missed: Some(missed @ 1..), .. } => state.queue.push_lagged(*missed),
            // A gap of none is a far side's odd word for one of unknown size.
            Notice::Gap { reason, .. } => state.queue.push_gap(*reason),
            _ => {}
        });
    }

    /// What `change` gives back is dropped outside of the lock.
    fn change<D>(&self, change: impl FnOnce(&mut State<M>) -> D) {
        let (_dropped, reader) = {
            let mut state = self.lock();
            if state.end.is_some() {
                return;
            }
            (change(&mut state), state.reader.take())
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    #[inline]
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Queued<M>>> {
        let mut state = self.lock();
        if let Some(event) = state.queue.pop_event() {
            return Poll::Ready(Some(Queued::Event(event)));
        }
        match state.queue.pop() {
            Some(queued) => Poll::Ready(Some(queued)),
            None if state.end.is_some() => Poll::Ready(None),
            None => {
                let mut earlier = None;
                if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker())) {
                    earlier = state.reader.replace(context.waker().clone());
                }
                drop(state);
                // A waker may own the task that it wakes, and whatever that owns.
                drop(earlier);
                Poll::Pending
            }
        }
    }

    pub(crate) fn try_next(&self) -> Option<Queued<M>> {
        self.lock().queue.pop()
    }

    /// Why no more comes; `None` while something waits.
    pub(crate) fn end(&self) -> Option<End> {
        let state = self.lock();
        state.end.clone().filter(|_| state.queue.is_empty())
    }

    pub(crate) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lock().queue.lost()
    }
}
