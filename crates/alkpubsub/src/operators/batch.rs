//! Events put together, each in one batch.

use super::opaque_debug;
use super::timer::{NoTimer, Timer};
use crate::subscription::Item;
use futures_core::Stream;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How many events are read before it is looked whether the time is over, and the other tasks have their turn.
const TURN: usize = 256;

pin_project_lite::pin_project! {
    /// What [`batch`](super::Operators::batch) gives: a stream of `Item<Vec<T>>`.
    #[must_use = "a stream does nothing unless it is read"]
    pub struct Batch<S, T, W = fn(&T) -> usize, C: Timer = NoTimer> {
        #[pin]
        source: S,
        #[pin]
        alarm: Option<C::Sleep>,
        held: Vec<T>,
        // What `held` weighs.
        weight: usize,
        // What comes behind the batch that was given last.
        next: Option<Result<T, Item<Infallible>>>,
        // How many events the batch before had: as many are expected.
        expected: usize,
        ended: bool,
        count: usize,
        bytes: usize,
        weigh: Option<W>,
        within: Duration,
        timer: C,
    }
}

opaque_debug!(Batch<S, T, W, C: Timer> { count, bytes, within });

impl<S, T> Batch<S, T> {
    pub(super) fn new(source: S, count: usize) -> Self {
        Self {
            source,
            alarm: None,
            held: Vec::new(),
            weight: 0,
            next: None,
            expected: 0,
            ended: false,
            count: count.max(1),
            bytes: usize::MAX,
            weigh: None,
            within: Duration::MAX,
            timer: NoTimer,
        }
    }
}

impl<S, T, W, C: Timer> Batch<S, T, W, C> {
    /// Bounds a batch in bytes, too, as `weigh` counts them; for typed events that is
    /// `|event| event.envelope().weight()`. A batch is heavier only where it is one event that is.
    pub fn bytes<V: Fn(&T) -> usize>(self, bytes: usize, weigh: V) -> Batch<S, T, V, C> {
        Batch {
            source: self.source,
            alarm: self.alarm,
            held: self.held,
            weight: self.weight,
            next: self.next,
            expected: self.expected,
            ended: self.ended,
            count: self.count,
            bytes,
            weigh: Some(weigh),
            within: self.within,
            timer: self.timer,
        }
    }

    /// Gives a batch no later than this after its first event was read, however small it is then. The time runs from
    /// where the batch waits for a second event, or has read the first 256, as nothing is read while nobody asks for a
    /// batch. Where a source always has more, other tasks have their turn after each 256.
    pub fn within<D: Timer>(self, within: Duration, timer: D) -> Batch<S, T, W, D> {
        Batch {
            source: self.source,
            alarm: None,
            held: self.held,
            weight: self.weight,
            next: self.next,
            expected: self.expected,
            ended: self.ended,
            count: self.count,
            bytes: self.bytes,
            weigh: self.weigh,
            within,
            timer,
        }
    }
}

impl<S, T, W, C> Stream for Batch<S, T, W, C>
where
    S: Stream<Item = Item<T>>,
    W: Fn(&T) -> usize,
    C: Timer,
{
    type Item = Item<Vec<T>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let mut turn = 0;
        loop {
            let item = match this.next.take() {
                Some(item) => Poll::Ready(Some(item)),
                None if *this.ended => Poll::Ready(None),
                None if turn == TURN && *this.within != Duration::MAX => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                None => this.source.as_mut().poll_next(context).map(|item| item.map(Item::split)),
            };
            turn += 1;
            match item {
                Poll::Ready(Some(Ok(event))) => {
                    let weight = this.weigh.as_ref().map_or(0, |weigh| weigh(&event));
                    let sum = this.weight.saturating_add(weight);
                    if sum > *this.bytes && !this.held.is_empty() {
                        *this.next = Some(Ok(event));
                        break;
                    }
                    if this.held.is_empty() {
                        this.held.reserve(*this.expected);
                    }
                    this.held.push(event);
                    *this.weight = sum;
                    if this.held.len() >= *this.count || sum >= *this.bytes {
                        break;
                    }
                }
                Poll::Ready(Some(Err(loss))) if this.held.is_empty() => {
                    return Poll::Ready(Some(loss.map(|never| match never {})));
                }
                Poll::Ready(Some(Err(loss))) => {
                    *this.next = Some(Err(loss));
                    break;
                }
                Poll::Ready(None) => {
                    *this.ended = true;
                    if this.held.is_empty() {
                        return Poll::Ready(None);
                    }
                    break;
                }
                Poll::Pending => {
                    if this.held.is_empty() || *this.within == Duration::MAX {
                        return Poll::Pending;
                    }
                    if this.alarm.is_none() {
                        this.alarm.set(Some(this.timer.sleep(*this.within)));
                    }
                    let rings =
                        this.alarm.as_mut().as_pin_mut().is_none_or(|alarm| alarm.poll(context).is_ready());
                    if !rings {
                        return Poll::Pending;
                    }
                    break;
                }
            }
        }
        this.alarm.set(None);
        *this.weight = 0;
        *this.expected = this.held.len();
        Poll::Ready(Some(Item::Event(std::mem::take(this.held))))
    }
}
