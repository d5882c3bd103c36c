//! Tasks that wait for something to change.

use crate::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

/// Wakes all that wait. A waiter looks, registers, looks again: [`until`](Self::until) does so.
///
/// **Invariant:** a waker is kept no longer than its future lives. Targets live long, and a program may wait for
/// their end anew in each of its short tasks.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    wakers: Vec<(u64, Waker)>,
    next: u64,
}

impl Waiters {
    /// Resolves with what `look` finds, as soon as it finds something.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut place = Place { waiters: self, number: None };
        std::future::poll_fn(|context| place.poll(context, &mut look)).await
    }

    /// Wakes all; call it after the change, outside of the lock that guards what `look` reads.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut self.lock().wakers);
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One future's place in the table.
struct Place<'w> {
    waiters: &'w Waiters,
    number: Option<u64>,
}

impl Place<'_> {
    fn poll<T>(&mut self, context: &mut Context<'_>, look: &mut impl FnMut() -> Option<T>) -> Poll<T> {
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        self.register(context.waker());
        // It may have changed before the waker was in place.
        look().map_or(Poll::Pending, Poll::Ready)
    }

    fn register(&mut self, waker: &Waker) {
        let mut table = self.waiters.lock();
        let number = *self.number.get_or_insert_with(|| {
            table.next += 1;
            table.next
        });
        let earlier = match table.wakers.iter_mut().find(|(of, _)| *of == number) {
            Some((_, known)) if known.will_wake(waker) => None,
            Some((_, known)) => Some(std::mem::replace(known, waker.clone())),
            None => {
                table.wakers.push((number, waker.clone()));
                None
            }
        };
        drop(table);
        // A waker may own the task that it wakes, and with it another place in this table.
        drop(earlier);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut table = self.waiters.lock();
            let at = table.wakers.iter().position(|(of, _)| *of == number);
            let own = at.map(|at| table.wakers.swap_remove(at));
            drop(table);
            drop(own);
        }
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use loom::future::block_on;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn what_changes_while_somebody_begins_to_wait_is_seen() {
        loom::model(|| {
            let shared = Arc::new((Waiters::default(), Mutex::new(0)));
            let threads = [(); 2].map(|()| {
                let shared = shared.clone();
                thread::spawn(move || {
                    *shared.1.lock().unwrap() += 1;
                    shared.0.wake_all();
                })
            });
            // Where a wake-up was lost, all threads wait, and loom says so.
            let (waiters, changes) = &*shared;
            block_on(waiters.until(|| (*changes.lock().unwrap() == 2).then_some(())));
            _ = threads.map(|thread| thread.join().unwrap());
            assert_eq!(waiters.lock().wakers.len(), 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_is_dropped_leaves_no_waker() {
        let waiters = Waiters::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = Box::pin(waiters.until(|| None::<()>));
        assert!(kept.as_mut().poll(&mut context).is_pending());
        for _ in 0..100 {
            let mut dropped = Box::pin(waiters.until(|| None::<()>));
            assert!(dropped.as_mut().poll(&mut context).is_pending());
        }
        assert!(kept.as_mut().poll(&mut context).is_pending());
        assert_eq!(waiters.lock().wakers.len(), 1);
        waiters.wake_all();
        assert_eq!(waiters.lock().wakers.len(), 0);
    }
}
