//! The way of events from one shard of a hub to the others.
//!
//! Each shard has sockets and a sans-IO hub of its own, and knows nothing of the others' links. What they share is
//! here: who wants which topic ([`interest`]), an inbox for each ([`inbox`]), and the sums of what is bounded for all
//! together ([`totals`]). An event is looked up once, framed once, and put once before each other shard that wants
//! it, which passes it on to its own links. A hub of one shard has none of this.

mod inbox;
mod interest;
mod shard_set;
mod totals;

use super::wake::ReadyList;
use crate::protocol::Message;
use crate::protocol::hub::{FanOut, Held, Hub, HubLimits, TopicChange};
use inbox::{Bounds, Inbox};
use interest::Interest;
pub(super) use shard_set::ShardSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use totals::Totals;

/// What may wait in a shard's inbox.
const INBOX: Bounds = Bounds { messages: 4096, bytes: 1 << 20 };
/// What a shard gathers for another one before it puts it there; at the end of its reading it puts what it has.
const BATCH: Bounds = Bounds { messages: 64, bytes: 16 << 10 };

/// What the shards of a hub share.
#[derive(Debug)]
pub(super) struct Crossings<M> {
    fan_out: FanOut,
    interest: Interest,
    totals: Totals,
    seats: Box<[Seat<M>]>,
    /// In place of a topic where that does not matter.
    no_topic: Arc<str>,
}

#[derive(Debug)]
struct Seat<M> {
    inbox: Inbox<Crossed<M>>,
    /// Wakes the shard.
    ready: Arc<ReadyList>,
    /// Connections that are there, or on their way.
    links: AtomicUsize,
}

/// An event from another shard.
#[derive(Clone, Debug)]
pub(super) struct Crossed<M> {
    /// Shared by all who want the topic: to find it anew would be to read the message again.
    pub(super) topic: Arc<str>,
    pub(super) message: M,
}

impl<M: Message> Crossings<M> {
    /// For shards that are woken by these, in their order.
    pub(super) fn new(ready: Vec<Arc<ReadyList>>, fan_out: FanOut, limits: &HubLimits) -> Self {
        Self::with_inboxes(ready, fan_out, limits, INBOX)
    }

    fn with_inboxes(ready: Vec<Arc<ReadyList>>, fan_out: FanOut, limits: &HubLimits, bounds: Bounds) -> Self {
        let seat = |ready| Seat { inbox: Inbox::new(bounds), ready, links: AtomicUsize::new(0) };
        let seats = ready.into_iter().map(seat).collect();
        let (interest, totals) = (Interest::default(), Totals::new(limits));
        Self { fan_out, interest, totals, seats, no_topic: Arc::default() }
    }

    /// One shard's end. Each has to be taken once.
    pub(super) fn crossing(self: &Arc<Self>, shard: u8) -> Crossing<M> {
        Crossing {
            shard,
            outgoing: self.seats.iter().map(|_| Outgoing::default()).collect(),
            unsent: ShardSet::default(),
            held_up: ShardSet::default(),
            said: Held::default(),
            all: self.clone(),
        }
    }

    /// The shard with the fewest connections, which counts for one more from here on. Of several it is the last, as the
    /// first shares its thread with the program.
    pub(super) fn place(&self) -> u8 {
        let shards = (0..self.seats.len() as u8).zip(&self.seats).rev();
        let fewest = shards.min_by_key(|(_, seat)| seat.links.load(Relaxed));
        let (shard, seat) = fewest.expect("a hub has a shard");
        // What is published once a connection's handshake was answered is for it, too, where all are sent everything.
        seat.links.fetch_add(1, Release);
        shard
    }

    /// A connection that was placed there is gone.
    pub(super) fn left(&self, shard: u8) {
        self.seats[usize::from(shard)].links.fetch_sub(1, Relaxed);
    }

    /// The shards that want a topic, but for one, and its text to send along; `None` where none does.
    pub(super) fn wanted(&self, topic: &str, but: Option<u8>) -> Option<(Arc<str>, ShardSet)> {
        if self.fan_out == FanOut::Subscribed {
            return self.interest.shards(topic, but);
        }
        let shards = (0u8..).zip(&self.seats);
        let with_links: ShardSet = shards
            .filter(|(shard, seat)| Some(*shard) != but && seat.links.load(Acquire) > 0)
            .map(|(shard, _)| shard)
            .collect();
        (!with_links.is_empty()).then(|| (self.no_topic.clone(), with_links))
    }

    /// How many topics are held by connections, each counted once.
    pub(super) fn topics(&self) -> usize {
        self.interest.len()
    }

    fn wake(&self, shards: ShardSet) {
        shards.iter().for_each(|shard| self.seats[shard].ready.wake());
    }
}

/// One shard's end of the ways to the others.
#[derive(Debug)]
pub(super) struct Crossing<M> {
    all: Arc<Crossings<M>>,
    shard: u8,
    /// What was not put before the others yet, and before which of them.
    outgoing: Box<[Outgoing<M>]>,
    unsent: ShardSet,
    /// Those whose inbox was full.
    held_up: ShardSet,
    /// What the others know of this one's part of the totals.
    said: Held,
}

#[derive(Debug)]
struct Outgoing<M> {
    batch: Vec<Crossed<M>>,
    bytes: usize,
}

impl<M> Default for Outgoing<M> {
    fn default() -> Self {
        Self { batch: Vec::new(), bytes: 0 }
    }
}

impl<M: Message> Crossing<M> {
    /// Sends an event to the other shards that want it. `make` is called where there is one; what it made is given
    /// back for the links of this shard.
    pub(super) fn publish(&mut self, topic: &str, make: impl FnOnce() -> M) -> Option<M> {
        let (topic, shards) = self.all.wanted(topic, Some(self.shard))?;
        let message = make();
        let weight = message.weight();
        for shard in shards.iter() {
            let Outgoing { batch, bytes } = &mut self.outgoing[shard];
            batch.push(Crossed { topic: topic.clone(), message: message.clone() });
            *bytes += weight;
            self.unsent.insert(shard as u8);
            if batch.len() >= BATCH.messages || *bytes >= BATCH.bytes {
                self.put(shard);
            }
        }
        Some(message)
    }

    /// Puts what was gathered before the others: when the sockets were read, and before they are written, so that
    /// nobody hears an event here and publishes because of it before the others have it, too.
    pub(super) fn flush(&mut self) {
        let unsent = std::mem::take(&mut self.unsent);
        unsent.iter().for_each(|shard| self.put(shard));
    }

    fn put(&mut self, shard: usize) {
        let Outgoing { batch, bytes } = &mut self.outgoing[shard];
        if batch.is_empty() {
            return;
        }
        let seat = &self.all.seats[shard];
        let put = seat.inbox.put(self.shard, batch, std::mem::take(bytes));
        if put.wake {
            seat.ready.wake();
        }
        if put.full {
            self.held_up.insert(shard as u8);
        }
    }

    /// Whether another shard has more before it than it should: no socket is to be read then. The shard is woken
    /// when that may have changed.
    pub(super) fn is_held_up(&self) -> bool {
        !self.held_up.is_empty()
    }

    /// Once a round: whether those that were full still are.
    pub(super) fn look_for_room(&mut self) {
        for shard in self.held_up.iter() {
            if !self.all.seats[shard].inbox.is_full(self.shard) {
                self.held_up.remove(shard as u8);
            }
        }
    }

    /// Takes what the others have put before this shard, and wakes those who waited for room.
    pub(super) fn take(&self, into: &mut Vec<Crossed<M>>) {
        let inbox = &self.all.seats[usize::from(self.shard)].inbox;
        if inbox.is_filled() {
            self.all.wake(inbox.take(into));
        }
    }

    /// Makes known what topics are wanted here: before anything is written, so that nobody has read that it is
    /// subscribed and misses what is published then.
    pub(super) fn tell_topics(&self, hub: &Hub<M>, changes: &[TopicChange]) {
        for TopicChange { topic, .. } in changes {
            // As it is by now: one that was left and joined again meanwhile is not let go of in between.
            self.all.interest.set(topic.clone(), self.shard, hub.is_wanted(topic));
        }
    }

    /// Makes known what is held here of that which is bounded for all, and tells the hub what the others hold.
    pub(super) fn share_totals(&mut self, hub: &mut Hub<M>) {
        let (others, over) = self.all.totals.say(&mut self.said, hub.held());
        hub.others_hold(others);
        if over {
            let shards = 0..self.all.seats.len() as u8;
            self.all.wake(shards.filter(|shard| *shard != self.shard).collect());
        }
    }
}

impl<M> Drop for Crossing<M> {
    /// Nobody waits for a shard that has ended, and nothing of it counts any more.
    fn drop(&mut self) {
        self.all.totals.say(&mut self.said, Held::default());
        let held_up = self.all.seats[usize::from(self.shard)].inbox.end();
        held_up.iter().for_each(|shard| self.all.seats[shard].ready.wake());
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests;
#[cfg(all(test, not(alkpubsub_loom)))]
mod tests;
