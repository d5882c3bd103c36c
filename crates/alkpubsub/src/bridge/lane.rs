//! What was heard on one side of a bridge: what of it crosses, and what is told in its place.
//!
//! Sans-IO: it decides; [`ear`](super::ear) adds the lock, the wakers and the calls of targets.

use super::copies::{Copies, Gone};
use super::notice::LossReason;
use super::stats::SideStats;
use crate::envelope::EventEnvelope;
use crate::event_target::DispatchError;
use crate::protocol::control::{Action, GapReason};
use crate::topic::Topic;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// What waits to cross, and what the bridge has put on this side itself.
pub(super) struct Lane {
    /// Oldest first. **Invariant:** of each topic there is at most one loss behind its last event, so that there are no more
    /// losses than events and topics.
    waiting: VecDeque<Slot>,
    /// How many have left `waiting`.
    passed: u64,
    topics: HashMap<Topic, Heard>,
    /// Where this side echoes.
    copies: Option<Copies>,
    max_queued: u64,
    max_queued_bytes: u64,
    /// Nothing crosses any more.
    ended: bool,
    stats: SideStats,
}

enum Slot {
    Event(EventEnvelope, usize),
    Lost(Topic, Loss),
}

#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) missed: Option<u64>,
    pub(super) why: LossReason,
}

/// A topic that is listened to on this side.
#[derive(Debug, Default)]
struct Heard {
    /// The number of the loss behind its last event.
    loss: Option<u64>,
    /// Whether the side does not deliver it.
    denied: bool,
    /// Whether it is known to be in place.
    settled: bool,
    /// Copies of lower numbers may have been lost.
    doubtful: u64,
}

/// What is next.
pub(super) enum Next {
    /// It stays where it is until [`Lane::crossed`] or [`Lane::refused`].
    Event(EventEnvelope),
    Lost(Topic, Loss),
}

impl Lane {
    pub(super) fn new(max_queued: usize, max_queued_bytes: usize, copies: Option<Copies>) -> Self {
        Self {
            waiting: VecDeque::new(),
            passed: 0,
            topics: HashMap::default(),
            copies,
            max_queued: max_queued.max(1) as u64,
            max_queued_bytes: max_queued_bytes.max(1) as u64,
            ended: false,
            stats: SideStats::default(),
        }
    }

    /// The topic is listened to from here on.
    pub(super) fn listen(&mut self, topic: &Topic) {
        self.topics.insert(topic.clone(), Heard::default());
    }

    pub(super) fn forget(&mut self, topic: &Topic) {
        self.topics.remove(topic);
    }

    /// Takes what was heard on this side.
    pub(super) fn hear(&mut self, event: &EventEnvelope, gone: &mut Gone) {
        let Some(heard) = self.topics.get(event.topic()) else {
            return;
        };
        self.stats.heard += 1;
        // Before the subscription is in place, whether a copy comes is anybody's guess.
        let doubtful = if heard.settled { heard.doubtful } else { u64::MAX };
        let number = self.copies.as_mut().and_then(|copies| copies.came(event, doubtful, gone));
        let Some(number) = number else {
            return self.push(event);
        };
        self.stats.own += 1;
        if number < doubtful {
            self.stats.ambiguous += 1;
            self.lose(event.topic(), None, LossReason::Ambiguous);
        }
    }

    fn push(&mut self, event: &EventEnvelope) {
        if self.ended {
            self.stats.ended += 1;
            return;
        }
        // The last one may go beyond the bound in bytes, so that there is none that never fits.
        let has_room = self.stats.queued < self.max_queued && self.stats.queued_bytes < self.max_queued_bytes;
        if !has_room {
            self.stats.too_slow += 1;
            return self.lose(event.topic(), Some(1), LossReason::TooSlow);
        }
        let weight = event.weight();
        self.stats.queued += 1;
        self.stats.queued_bytes += weight as u64;
        if let Some(heard) = self.topics.get_mut(event.topic()) {
            heard.loss = None;
        }
        self.waiting.push_back(Slot::Event(event.clone(), weight));
    }

    /// Events of a topic are missing here, as the side itself says.
    pub(super) fn gap(&mut self, topic: &Topic, missed: Option<u64>, reason: GapReason) {
        self.stats.gaps += 1;
        self.doubt(topic);
        self.lose(topic, missed, LossReason::Gap(reason));
    }

    /// The side does not deliver the topic, or has not taken an event of it.
    pub(super) fn denied(&mut self, topic: &Topic, action: Action) {
        self.stats.denied += 1;
        match action {
            Action::Publish => self.doubt(topic),
            Action::Subscribe => _ = self.topics.get_mut(topic).map(|heard| heard.denied = true),
        }
    }

    /// Copies of what was put on this side before may be lost.
    fn doubt(&mut self, topic: &Topic) {
        let doubtful = self.next_number();
        if let Some(heard) = self.topics.get_mut(topic) {
            heard.doubtful = doubtful;
        }
    }

    /// Merges with the loss before, where no event of the topic is between.
    fn lose(&mut self, topic: &Topic, missed: Option<u64>, why: LossReason) {
        let Some(heard) = self.topics.get_mut(topic) else {
            return;
        };
        let place = heard.loss.and_then(|number| number.checked_sub(self.passed));
        if let Some(Slot::Lost(_, loss)) = place.and_then(|place| self.waiting.get_mut(place as usize)) {
            loss.missed = loss.missed.zip(missed).map(|(one, other)| one.saturating_add(other));
            return;
        }
        heard.loss = Some(self.passed + self.waiting.len() as u64);
        self.waiting.push_back(Slot::Lost(topic.clone(), Loss { missed, why }));
    }

    /// What is next; a loss leaves, an event waits for its [`crossed`](Self::crossed).
    pub(super) fn next(&mut self) -> Option<Next> {
        if let Slot::Event(event, _) = self.waiting.front()? {
            return Some(Next::Event(event.clone()));
        }
        let Slot::Lost(topic, loss) = self.pop()? else { return None };
        Some(Next::Lost(topic, loss))
    }

    /// The event that was next was taken on the other side. What is given is to be dropped where no lock is held.
    #[must_use]
    pub(super) fn crossed(&mut self) -> Option<EventEnvelope> {
        let event = self.pop_event()?;
        self.stats.crossed += 1;
        Some(event)
    }

    /// The event that was next was not taken, and is lost.
    #[must_use]
    pub(super) fn refused(&mut self, error: &DispatchError) -> Option<EventEnvelope> {
        let event = self.pop_event()?;
        match error {
            DispatchError::Disconnected => self.stats.disconnected += 1,
            DispatchError::Closed(_) => self.stats.ended += 1,
            _ => self.stats.refused += 1,
        }
        Some(event)
    }

    fn pop_event(&mut self) -> Option<EventEnvelope> {
        match self.pop()? {
            Slot::Event(event, _) => Some(event),
            Slot::Lost(..) => None,
        }
    }

    fn pop(&mut self) -> Option<Slot> {
        let slot = self.waiting.pop_front()?;
        self.passed += 1;
        if let Slot::Event(_, weight) = &slot {
            self.stats.queued -= 1;
            self.stats.queued_bytes -= *weight as u64;
        }
        Some(slot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether it has to be asked whether the topic is in place, before the next of its events is put on this side.
    pub(super) fn is_unsettled(&self, topic: &Topic) -> bool {
        self.copies.is_some() && self.topics.get(topic).is_some_and(|heard| !heard.settled)
    }

    /// The topic is in place. Copies of what was put on this side before may be lost.
    pub(super) fn settled(&mut self, topic: &Topic) {
        self.doubt(topic);
        if let Some(heard) = self.topics.get_mut(topic) {
            heard.settled = true;
        }
    }

    /// An event is about to be put on this side: its copy is awaited, where it will be heard. Gives its number.
    pub(super) fn put(&mut self, event: &EventEnvelope, gone: &mut Gone) -> Option<u64> {
        let heard = self.topics.get(event.topic())?;
        let copies = self.copies.as_mut().filter(|_| !heard.denied)?;
        copies.put(event, gone)
    }

    /// The event of this number was not put there. What was heard meanwhile and taken for its copy is another's, and
    /// crosses.
    pub(super) fn take_back(&mut self, number: u64, event: &EventEnvelope, gone: &mut Gone) {
        let awaited = self.copies.as_mut().is_none_or(|copies| copies.take_back(number, gone));
        if !awaited {
            self.stats.own -= 1;
            self.push(event);
        }
    }

    fn next_number(&self) -> u64 {
        self.copies.as_ref().map_or(0, Copies::next_number)
    }

    pub(super) fn stats(&self) -> SideStats {
        let mut stats = self.stats;
        if let Some(copies) = &self.copies {
            stats.awaited = copies.count() as u64;
            stats.awaited_bytes = copies.bytes() as u64;
            stats.forgotten = copies.forgotten();
        }
        stats
    }

    /// Nothing crosses any more. Gives all that waits, which is lost, to be dropped where no lock is held.
    #[must_use]
    pub(super) fn end(&mut self) -> Vec<EventEnvelope> {
        self.ended = true;
        let mut dropped = Vec::new();
        while let Some(slot) = self.pop() {
            if let Slot::Event(event, _) = slot {
                self.stats.ended += 1;
                dropped.push(event);
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(id: u32) -> Topic {
        Topic::new("t", &id.to_string()).unwrap()
    }

    fn event(id: u32) -> EventEnvelope {
        EventEnvelope::without_payload("t", &id.to_string()).unwrap()
    }

    /// What comes out, as text.
    fn drain(lane: &mut Lane) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(next) = lane.next() {
            out.push(match next {
                Next::Event(event) => {
                    assert!(lane.crossed().is_some());
                    event.id().to_owned()
                }
                Next::Lost(topic, Loss { missed, why }) => format!("{}: {missed:?}, {why}", topic.id()),
            });
        }
        out
    }

    fn lane(max_queued: usize) -> Lane {
        let mut lane = Lane::new(max_queued, usize::MAX, None);
        (0..10).for_each(|id| lane.listen(&topic(id)));
        lane
    }

    #[test]
    fn losses_of_a_topic_merge_up_to_its_next_event_and_are_told_where_they_are() {
        let (mut lane, mut gone) = (lane(10), Gone::default());
        lane.gap(&topic(1), Some(2), GapReason::Slow);
        lane.hear(&event(2), &mut gone);
        lane.gap(&topic(1), Some(3), GapReason::Broker);
        lane.hear(&event(1), &mut gone);
        lane.gap(&topic(1), Some(4), GapReason::Slow);
        lane.gap(&topic(1), None, GapReason::Slow);
        let expected = ["1: Some(5), missed there: slow", "2", "1", "1: None, missed there: slow"];
        assert_eq!(drain(&mut lane), expected);
        // One that was told is not added to.
        lane.gap(&topic(1), Some(1), GapReason::Slow);
        lane.gap(&topic(2), Some(1), GapReason::Slow);
        assert_eq!(drain(&mut lane), [1, 2].map(|id| format!("{id}: Some(1), missed there: slow")));
    }

    #[test]
    fn losses_cannot_outgrow_events_and_topics() {
        let (mut lane, mut gone) = (lane(4), Gone::default());
        for step in 0..10_000 {
            lane.gap(&topic(step % 10), Some(u64::MAX), GapReason::Slow);
            lane.hear(&event(step % 7), &mut gone);
        }
        assert!(lane.waiting.len() <= 4 + 4 + 10, "{}", lane.waiting.len());
        assert_eq!((lane.stats().queued, lane.stats().too_slow), (4, 9996));
    }

    #[test]
    fn after_the_end_nothing_waits() {
        let (mut lane, mut gone) = (lane(4), Gone::default());
        lane.hear(&event(1), &mut gone);
        assert_eq!(lane.end().len(), 1);
        lane.hear(&event(1), &mut gone);
        assert!(lane.is_empty());
        assert_eq!(lane.stats().ended, 2);
    }
}
