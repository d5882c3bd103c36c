//! What the host has for the worker, until the worker takes it.

use crate::envelope::EventEnvelope;
use crate::event_target::CloseReason;
use crate::sync::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::task::Waker;

/// A bounded queue from any thread to one.
#[derive(Debug)]
pub(super) struct Inbox {
    max_events: usize,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<EventEnvelope>,
    bytes: usize,
    /// Events that were ever put.
    put: u64,
    /// Of the worker, while it sleeps.
    waker: Option<Waker>,
    /// What the worker is told behind the last event; nothing is put from then on.
    end: Option<CloseReason>,
}

/// Why an event was not put.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Ended,
}

/// What there was for the worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All that waited, the last of which has this number; whether there was no room.
    Events { last: u64, was_full: bool },
    /// Nothing, and nothing will come.
    End(CloseReason),
    /// Nothing yet; the waker will be woken.
    Nothing,
}

impl Inbox {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self { max_events: max_events.max(1), max_bytes: max_bytes.max(1), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, state: &State) -> bool {
        state.events.len() >= self.max_events || state.bytes >= self.max_bytes
    }

    pub(super) fn put(&self, event: EventEnvelope) -> Result<(), Refused> {
        let weight = event.weight();
        let mut state = self.state();
        if state.end.is_some() {
            return Err(Refused::Ended);
        }
        if self.is_full(&state) {
            return Err(Refused::Full);
        }
        state.events.push_back(event);
        state.bytes += weight;
        state.put += 1;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether an event could be put, or none will be any more.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        state.end.is_some() || !self.is_full(&state)
    }

    /// Nothing is put from here on. What waits is the worker's still. The first reason counts.
    pub(super) fn end(&self, reason: CloseReason) {
        let waker = {
            let mut state = self.state();
            state.end.get_or_insert(reason);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What the worker is told in the end.
    pub(super) fn ended(&self) -> Option<CloseReason> {
        self.state().end.clone()
    }

    /// Takes all that waits; `into` is empty, and gives its memory for the next ones.
    pub(super) fn take(&self, into: &mut VecDeque<EventEnvelope>, waker: &Waker) -> Taken {
        let mut state = self.state();
        if !state.events.is_empty() {
            let was_full = self.is_full(&state);
            std::mem::swap(&mut state.events, into);
            state.bytes = 0;
            return Taken::Events { last: state.put, was_full };
        }
        if let Some(reason) = &state.end {
            return Taken::End(reason.clone());
        }
        let earlier = match &state.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => state.waker.replace(waker.clone()),
        };
        drop(state);
        // A waker may own what it wakes.
        drop(earlier);
        Taken::Nothing
    }

    /// How many events were ever put.
    pub(super) fn count(&self) -> u64 {
        self.state().put
    }

    /// How many wait, and their weight.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.state();
        (state.events.len(), state.bytes)
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use loom::future::block_on;
    use loom::sync::Arc;
    use loom::thread;
    use std::future::poll_fn;
    use std::task::Poll;

    fn event() -> EventEnvelope {
        EventEnvelope::without_payload("a", "b").unwrap()
    }

    #[test]
    fn all_that_was_put_is_taken_and_then_the_end() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(2, 1000));
            let host = inbox.clone();
            let putting = thread::spawn(move || {
                let put = (0..2).filter(|_| host.put(event()).is_ok()).count();
                host.end(CloseReason::Closed);
                assert_eq!(host.put(event()), Err(Refused::Ended));
                put
            });
            // Where a wake-up was lost, all threads wait, and loom says so.
            let (mut batch, mut taken) = (VecDeque::new(), 0);
            let reason = block_on(poll_fn(|context| {
                loop {
                    match inbox.take(&mut batch, context.waker()) {
                        Taken::Events { .. } => taken += batch.drain(..).count(),
                        Taken::End(reason) => return Poll::Ready(reason),
                        Taken::Nothing => return Poll::Pending,
                    }
                }
            }));
            assert_eq!((putting.join().unwrap(), taken, reason), (2, 2, CloseReason::Closed));
        });
    }
}

#[cfg(all(test, not(alkpubsub_loom)))]
mod tests {
    use super::*;

    fn event(payload: &str) -> EventEnvelope {
        EventEnvelope::new("a", "b", &payload).unwrap()
    }

    #[test]
    fn it_has_a_bound_in_events_and_in_bytes() {
        let mut batch = VecDeque::new();
        for (inbox, payload) in [(Inbox::new(2, 1000), ""), (Inbox::new(1000, 100), &*"x".repeat(60))] {
            assert_eq!([(); 3].map(|()| inbox.put(event(payload))), [Ok(()), Ok(()), Err(Refused::Full)]);
            assert!(!inbox.has_room());
            let taken = inbox.take(&mut batch, Waker::noop());
            assert_eq!((taken, batch.drain(..).count()), (Taken::Events { last: 2, was_full: true }, 2));
            assert!(inbox.has_room());
            assert_eq!(inbox.waiting(), (0, 0));
        }
    }
}
