//! A subscriber's queue: bounded in messages and bytes, and honest about what it lost.
//!
//! Sans-IO: it decides what is kept, dropped and told; [`subscription`](crate::subscription) adds the lock and
//! the waker.

use crate::protocol::control::GapReason;
use std::collections::VecDeque;

/// What happens to an event that comes when a subscriber's queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest events make room; `Lagged` stands where they stood.
    #[default]
    DropOldest,
    /// The new event is dropped; `Lagged` stands where it would have stood.
    DropNewest,
    /// The subscription ends, after what is in the queue, with `Overflowed`.
    Close,
}

/// The bounds of a subscriber's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Events that may wait; at least 1.
    pub max_events: usize,
    /// Bytes that may wait, as [`EventEnvelope::weight`](crate::EventEnvelope::weight) counts them.
    pub max_bytes: usize,
    /// What happens beyond.
    pub overflow: Overflow,
}

impl QueueLimits {
    /// 1,024 events, 8 MiB, drop oldest.
    pub const DEFAULT: Self = Self { max_events: 1024, max_bytes: 8 << 20, overflow: Overflow::DropOldest };

    /// With another bound in events.
    #[must_use]
    pub const fn max_events(self, max_events: usize) -> Self {
        Self { max_events, ..self }
    }

    /// With another bound in bytes.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// With another policy.
    #[must_use]
    pub const fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The queue overflowed under [`Overflow::Close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflowed;

/// What comes out, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Queued<T> {
    Event(T),
    Lagged(u64),
    Gap(GapReason),
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    slots: VecDeque<Slot<T>>,
    events: usize,
    bytes: usize,
    limits: QueueLimits,
    lost: u64,
}

/// **Invariant:** two losses never stand side by side: they merge, so that there is at most one more of them than
/// events and the bound on events bounds the whole.
#[derive(Debug)]
enum Slot<T> {
    Event(T, usize),
    /// Behind a pointer, as it is rare: each slot is as large as the largest.
    Loss(Box<Loss>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    lagged: u64,
    gap: Option<GapReason>,
}

impl Loss {
    fn merge(self, later: Self) -> Self {
        // The numbers may be a far side's own, and then of any size.
        Self { lagged: self.lagged.saturating_add(later.lagged), gap: self.gap.or(later.gap) }
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        let limits = QueueLimits { max_events: limits.max_events.max(1), ..limits };
        Self { slots: VecDeque::new(), events: 0, bytes: 0, limits, lost: 0 }
    }

    /// Whether an event of this weight can be taken without a loss.
    #[inline]
    pub(crate) fn has_room(&self, weight: usize) -> bool {
        self.events < self.limits.max_events && weight <= self.limits.max_bytes.saturating_sub(self.bytes)
    }

    /// Takes an event that there [is room](Self::has_room) for.
    #[inline]
    pub(crate) fn take(&mut self, event: T, weight: usize) {
        self.events += 1;
        self.bytes += weight;
        self.slots.push_back(Slot::Event(event, weight));
    }

    /// Takes an event, or counts it as lost. Events that make room for it are handed out: to drop one may run a
    /// program's code, which must not happen under the lock that guards this queue.
    pub(crate) fn push(&mut self, event: T, weight: usize, dropped: &mut Vec<T>) -> Result<(), Overflowed> {
        // For an event that alone is over the bound in bytes no room can be made: it is dropped itself.
        let fits = weight <= self.limits.max_bytes;
        while !self.has_room(weight) {
            match self.limits.overflow {
                Overflow::Close => {
                    self.lost += 1;
                    dropped.push(event);
                    return Err(Overflowed);
                }
                Overflow::DropOldest if fits => dropped.extend(self.drop_oldest()),
                Overflow::DropOldest | Overflow::DropNewest => {
                    self.lost += 1;
                    self.push_loss(Loss { lagged: 1, gap: None });
                    dropped.push(event);
                    return Ok(());
                }
            }
        }
        self.take(event, weight);
        Ok(())
    }

    /// Marks that something is missing here.
    pub(crate) fn push_gap(&mut self, reason: GapReason) {
        self.push_loss(Loss { lagged: 0, gap: Some(reason) });
    }

    /// Marks that exactly so many are missing here.
    pub(crate) fn push_lagged(&mut self, missed: u64) {
        self.push_loss(Loss { lagged: missed, gap: None });
    }

    fn push_loss(&mut self, loss: Loss) {
        match self.slots.back_mut() {
            Some(Slot::Loss(last)) => **last = last.merge(loss),
            _ => self.slots.push_back(Slot::Loss(Box::new(loss))),
        }
    }

    fn drop_oldest(&mut self) -> Option<T> {
        self.drop_first(1)
    }

    /// The oldest event, whatever is before it.
    pub(crate) fn first(&self) -> Option<&T> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Event(event, _) => Some(event),
            Slot::Loss(_) => None,
        })
    }

    /// Drops the oldest event, which counts as so many.
    pub(crate) fn drop_first(&mut self, missed: u64) -> Option<T> {
        let mut loss = Loss { lagged: missed, gap: None };
        self.lost += missed;
        let dropped = loop {
            match self.slots.pop_front() {
                Some(Slot::Loss(earlier)) => loss = earlier.merge(loss),
                Some(Slot::Event(event, weight)) => {
                    self.events -= 1;
                    self.bytes -= weight;
                    break Some(event);
                }
                None => break None,
            }
        };
        match self.slots.front_mut() {
            Some(Slot::Loss(later)) => **later = loss.merge(**later),
            _ => self.slots.push_front(Slot::Loss(Box::new(loss))),
        }
        dropped
    }

    /// What is next, if it is an event.
    #[inline]
    pub(crate) fn pop_event(&mut self) -> Option<T> {
        let Some(Slot::Event(..)) = self.slots.front() else { return None };
        let Some(Slot::Event(event, weight)) = self.slots.pop_front() else { return None };
        self.events -= 1;
        self.bytes -= weight;
        Some(event)
    }

    pub(crate) fn pop(&mut self) -> Option<Queued<T>> {
        match self.slots.pop_front()? {
            Slot::Event(event, weight) => {
                self.events -= 1;
                self.bytes -= weight;
                Some(Queued::Event(event))
            }
            Slot::Loss(loss) => Some(match *loss {
                Loss { lagged: 0, gap } => Queued::Gap(gap.unwrap_or_default()),
                Loss { lagged, gap } => {
                    if gap.is_some() {
                        self.slots.push_front(Slot::Loss(Box::new(Loss { lagged: 0, gap })));
                    }
                    Queued::Lagged(lagged)
                }
            }),
        }
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.events
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Events lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(max_events: usize, max_bytes: usize, overflow: Overflow) -> Queue<u32> {
        Queue::new(QueueLimits { max_events, max_bytes, overflow })
    }

    fn push(queue: &mut Queue<u32>, event: u32, weight: usize) -> Result<(), Overflowed> {
        queue.push(event, weight, &mut Vec::new())
    }

    fn drain(queue: &mut Queue<u32>) -> Vec<Queued<u32>> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    use Queued::{Event, Gap, Lagged};

    #[test]
    fn drop_oldest_tells_how_many_where_they_stood() {
        let mut queue = queue(2, 1000, Overflow::DropOldest);
        for event in 1..=5 {
            push(&mut queue, event, 1).unwrap();
        }
        assert_eq!(drain(&mut queue), [Lagged(3), Event(4), Event(5)]);
        assert_eq!(queue.lost(), 3);
    }

    #[test]
    fn drop_newest_tells_where_the_new_ones_would_have_stood() {
        let mut queue = queue(2, 1000, Overflow::DropNewest);
        for event in 1..=5 {
            push(&mut queue, event, 1).unwrap();
        }
        assert_eq!(queue.pop(), Some(Event(1)));
        push(&mut queue, 6, 1).unwrap();
        assert_eq!(drain(&mut queue), [Event(2), Lagged(3), Event(6)]);
    }

    #[test]
    fn close_keeps_what_is_there() {
        let mut queue = queue(1, 1000, Overflow::Close);
        push(&mut queue, 1, 1).unwrap();
        assert_eq!(push(&mut queue, 2, 1), Err(Overflowed));
        assert_eq!(drain(&mut queue), [Event(1)]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut queue = queue(1000, 10, Overflow::DropOldest);
        push(&mut queue, 1, 6).unwrap();
        push(&mut queue, 2, 4).unwrap();
        push(&mut queue, 3, 5).unwrap();
        assert_eq!(drain(&mut queue), [Lagged(1), Event(2), Event(3)]);
        push(&mut queue, 4, 10).unwrap();
        push(&mut queue, 5, 11).unwrap();
        assert_eq!(
            drain(&mut queue),
            [Event(4), Lagged(1)],
            "5 alone is over the bound; 4 need not go for it"
        );
    }

    #[test]
    fn neighbouring_losses_merge_and_stay_in_their_place() {
        let mut queue = queue(2, 1000, Overflow::DropOldest);
        push(&mut queue, 1, 1).unwrap();
        queue.push_gap(GapReason::Broker);
        queue.push_gap(GapReason::Slow);
        push(&mut queue, 2, 1).unwrap();
        queue.push_lagged(4);
        push(&mut queue, 3, 1).unwrap();
        assert_eq!(drain(&mut queue), [Lagged(1), Gap(GapReason::Broker), Event(2), Lagged(4), Event(3)]);
    }

    #[test]
    fn losses_of_any_size_add_up() {
        let mut queue = queue(2, 1000, Overflow::DropOldest);
        queue.push_lagged(u64::MAX);
        queue.push_lagged(u64::MAX);
        assert_eq!(drain(&mut queue), [Lagged(u64::MAX)]);
    }

    #[test]
    fn losses_cannot_outgrow_the_bound() {
        let mut queue = queue(4, 1000, Overflow::DropOldest);
        for event in 0..10_000 {
            queue.push_gap(GapReason::Slow);
            push(&mut queue, event, 1).unwrap();
        }
        assert!(queue.slots.len() <= 9);
    }
}
