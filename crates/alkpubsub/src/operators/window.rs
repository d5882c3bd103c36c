//! The last few events, again and again.

use super::opaque_debug;
use super::timer::{NoTimer, Timer};
use crate::subscription::Item;
use futures_core::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pin_project_lite::pin_project! {
    /// What [`window`](super::Operators::window) gives: a stream of `Item<Vec<T>>`.
    #[must_use = "a stream does nothing unless it is read"]
    pub struct Window<S, T, C = NoTimer> {
        #[pin]
        source: S,
        // Each with the time at which it came, oldest first.
        held: VecDeque<(Duration, T)>,
        // How many events are left until the next window.
        missing: usize,
        count: usize,
        step: usize,
        within: Option<Duration>,
        timer: C,
    }
}

opaque_debug!(Window<S, T, C> { count, step, within });

impl<S, T> Window<S, T> {
    pub(super) fn new(source: S, count: usize) -> Self {
        let count = count.max(1);
        Self { source, held: VecDeque::new(), missing: count, count, step: 1, within: None, timer: NoTimer }
    }
}

impl<S, T, C> Window<S, T, C> {
    /// Gives a window after so many more events, in place of each; 0 counts as 1. Beyond the window's count, the events
    /// between two windows are left out.
    pub fn step(self, step: usize) -> Self {
        Self { step: step.max(1), ..self }
    }

    /// Windows of the events that were read within this time, the newest included, and of these the last `count`. The
    /// first event is the first window.
    pub fn within<D: Timer>(self, within: Duration, timer: D) -> Window<S, T, D> {
        Window {
            source: self.source,
            held: VecDeque::new(),
            missing: 1,
            count: self.count,
            step: self.step,
            within: Some(within),
            timer,
        }
    }
}

impl<S, T, C> Stream for Window<S, T, C>
where
    S: Stream<Item = Item<T>>,
    T: Clone,
    C: Timer,
{
    type Item = Item<Vec<T>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            let event = match std::task::ready!(this.source.as_mut().poll_next(context)).map(Item::split) {
                None => return Poll::Ready(None),
                Some(Err(loss)) => {
                    // A window has no hole.
                    this.held.clear();
                    *this.missing = if this.within.is_some() { 1 } else { *this.count };
                    return Poll::Ready(Some(loss.map(|never| match never {})));
                }
                Some(Ok(event)) => event,
            };
            let now = if this.within.is_some() { this.timer.now() } else { Duration::ZERO };
            if this.held.len() == *this.count {
                this.held.pop_front();
            }
            this.held.push_back((now, event));
            if let Some(within) = *this.within {
                while this.held.front().is_some_and(|(at, _)| now.saturating_sub(*at) > within) {
                    this.held.pop_front();
                }
            }
            *this.missing -= 1;
            if *this.missing > 0 {
                continue;
            }
            *this.missing = *this.step;
            let window = if this.within.is_none() && this.step >= this.count {
                this.held.drain(..).map(|(_, event)| event).collect()
            } else {
                this.held.iter().map(|(_, event)| event.clone()).collect()
            };
            return Poll::Ready(Some(Item::Event(window)));
        }
    }
}
