//! Tasks that wait for something to change.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Wakes all that wait. A waiter looks, registers, looks again: [`until`](Self::until) does so.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    wakers: Mutex<Vec<Waker>>,
}

impl Waiters {
    /// Resolves with what `look` finds, as soon as it finds something.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        std::future::poll_fn(|context| self.poll(context, &mut look)).await
    }

    fn poll<T>(&self, context: &mut Context<'_>, look: &mut impl FnMut() -> Option<T>) -> Poll<T> {
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
        }
        // It may have changed before the waker was in place.
        look().map_or(Poll::Pending, Poll::Ready)
    }

    /// Wakes all; call it after the change, outside of the lock that guards what `look` reads.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in wakers {
            waker.wake();
        }
    }
}
