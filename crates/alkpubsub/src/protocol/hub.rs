//! Many links, seen from the hub: who wants which topic, and what leaves for whom.
//!
//! A hub holds ids and messages, no callbacks and no sockets. An adapter feeds it what was received, asks its
//! program's hook where [`Asked`] calls for it, and writes what [`take_dirty`](Hub::take_dirty) names, once a
//! round.

use super::check::{MessageLimits, Parts, Refusal};
use super::control::{self, Action, Control, DenyReason, GapReason};
use super::outbound::{Message, Outbound};
use super::refusal_counts::RefusalCounts;
pub use super::table::TopicChange;
use super::table::{Member, Table};
use super::tolerance::Tolerance;
use crate::stats::Stats;
use crate::topic::{self, BadTopic};
use deferred::{Deferred, Owed};
use slab::Slab;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

mod deferred;

/// To whom a hub sends an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FanOut {
    /// To the links that subscribed to its topic.
    #[default]
    Subscribed,
    /// To all links, the sender included; for spokes that never subscribe. Nobody is asked who may hear what: a
    /// `direct:<identity>` goes to all like anything else.
    All,
}

/// The bounds of a hub. To change one, take the defaults and set its field.
///
/// ```
/// use alkpubsub::protocol::hub::HubLimits;
///
/// let mut limits = HubLimits::DEFAULT;
/// limits.message.max_message = 1 << 20;
/// limits.max_topics_per_link = 1000;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubLimits {
    /// What is checked of one message.
    pub message: MessageLimits,
    /// Bytes of a topic; beyond, a subscription to it and an event on it are denied.
    pub max_topic: usize,
    /// Distinct topics a link may hold; beyond, subscriptions are denied.
    pub max_topics_per_link: usize,
    /// Links at one time; beyond, a newcomer is refused (over WebSocket with 503). More than
    /// [`MOST_LINKS`](Self::MOST_LINKS) count as that.
    pub max_links: usize,
    /// Bytes that may wait for one link after a write was tried; beyond, it is closed with 1013.
    pub max_outbound: usize,
    /// Messages that may wait for one link after a write was tried; beyond, it is closed with 1013. The smallest, an
    /// answer to a ping frame, takes many times its two bytes to keep.
    pub max_outbound_messages: usize,
    /// Bytes that may wait for all links together; beyond, the link with most waiting is closed with 1013.
    pub max_outbound_total: usize,
    /// Bytes of memory that unfinished messages of all links together may take; beyond, the link whose take most is
    /// closed with 1013. Each link's are bounded by `message.max_message`, twice at the most. The requests of those
    /// that shake hands may take as much again; beyond, a newcomer is refused (503).
    pub max_incoming_total: usize,
    /// How long a link may be silent before it is pinged.
    pub ping_interval: Duration,
    /// How long it may take to answer; beyond, its connection is given up. A byte stream, which cannot be pinged, may be
    /// silent for both times together, and for 33 s at least.
    pub ping_timeout: Duration,
}

impl HubLimits {
    /// The most links that a hub can tell apart.
    pub const MOST_LINKS: usize = 1 << LinkId::SLOT_BITS;

    /// The hub program's defaults: 64 KiB a message, 64 deep, topics of 255 bytes, 128 of them a link, 65,536
    /// links, 1 MiB and 16,384 messages outbound a link and 256 MiB in all, 256 MiB of unfinished messages, a ping
    /// after 25 s with 8 s to answer.
    pub const DEFAULT: Self = Self {
        message: MessageLimits::DEFAULT,
        max_topic: 255,
        max_topics_per_link: 128,
        max_links: 65_536,
        max_outbound: 1 << 20,
        max_outbound_messages: 16_384,
        max_outbound_total: 256 << 20,
        max_incoming_total: 256 << 20,
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(8),
    };
}

impl Default for HubLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a spoke asks for, where the program may have a say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked<'t> {
    /// To hear a topic: answer with [`Hub::subscribe`] or [`Hub::deny`]; or with `Hub::defer`, where that is not known
    /// yet.
    Subscribe(Cow<'t, str>),
    /// To publish the event that was received: pass it on with [`Hub::fan_out`], or [`Hub::deny`] it.
    Publish,
    /// To say goodbye, over a byte stream: answer with a `__close` behind all that waits for it ([`Hub::finish`]). Where a
    /// transport has a close of its own, this is to be ignored.
    Close {
        /// Why: see the close codes.
        code: u16,
        /// The same in words; may be empty.
        reason: Cow<'t, str>,
    },
    /// Nothing more: it was handled.
    Done,
}

/// What a silent link calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// A ping.
    Ping,
    /// It did not answer the ping: its end.
    Dead,
}

/// Many links and their topics. Generic over what a message is; the time is an argument, counted from any fixed
/// point.
#[derive(Debug)]
pub struct Hub<M: Message> {
    limits: HubLimits,
    fan_out: FanOut,
    identities: bool,
    draining: bool,
    shard: u8,
    /// How many shards it is one of, and what the others hold of what is bounded for all together.
    shards: u64,
    others: Held,
    links: Slab<Link<M>>,
    /// Counts connections, so that an id is not used twice while a slot is.
    serial: u32,
    table: Table,
    deferred: Deferred,
    run: Option<Run<M>>,
    queued: Queued,
    /// What the unfinished messages of all links take.
    incoming: u64,
    /// Slots of links with something new to send, each once.
    dirty: Vec<usize>,
    /// Whether more waits for some link than its bound allows.
    overfull: bool,
    counters: Counters,
}

/// Events of one topic, one behind the other, that are not queued yet.
///
/// A topic with many links often gets several events at once. They are joined first, and queued as one piece: what a
/// link costs, it costs once for all of them. Whatever else happens to a link or a topic ends the run before it does,
/// so that nothing changes its place.
#[derive(Debug)]
struct Run<M> {
    /// Where the topic stands in the table.
    topic: usize,
    joined: M,
}

/// How long a link may be silent that cannot be pinged, at least: its peer pings every 20 to 25 s, whatever the hub's
/// patience is with others.
const UNASKED: Duration = Duration::from_secs(33);

/// From so many links on, a topic's events are joined.
const RUN_FROM: usize = 4;
/// Bytes of a run.
const RUN_BYTES: usize = 16 << 10;
/// The part of what may wait for a link that a run may be: a link is too slow by as much later at the most.
const RUN_PART: usize = 64;

/// What a hub holds of that which is bounded for all links together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Bytes that wait for links.
    pub outbound: u64,
    /// Bytes of memory that unfinished messages take.
    pub incoming: u64,
}

#[derive(Debug, Default)]
struct Queued {
    // Where a usize has 32 bits, the links of a hub can have more waiting than it counts.
    bytes: u64,
    messages: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connections: u64,
    received: u64,
    sent: u64,
    refusals: RefusalCounts,
    denied: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Link<M: Message> {
    id: LinkId,
    dirty: bool,
    /// Whether anything was queued for it since the last look for silence.
    used: bool,
    pinged: bool,
    /// Its last message is queued: nothing comes behind it.
    finished: bool,
    heard: Duration,
    identity: Option<Arc<str>>,
    framing: M::Framing,
    tolerance: Tolerance,
    /// What its unfinished message takes.
    incoming: usize,
    outbound: Outbound<M>,
}

/// One connection of a hub, unique while the hub lives.
///
/// From the top: 32 bits of a serial number, 8 of the shard, 24 of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LinkId {
    const SLOT_BITS: u32 = 24;

    fn new(slot: usize, shard: u8, serial: u32) -> Self {
        Self((u64::from(serial) << 32) | (u64::from(shard) << Self::SLOT_BITS) | slot as u64)
    }

    /// Where the link stands among the links of its shard; used again after it is gone.
    #[must_use]
    pub fn slot(self) -> usize {
        (self.0 & ((1 << Self::SLOT_BITS) - 1)) as usize
    }

    /// Which shard of its hub it belongs to; 0 in a hub that is one alone.
    #[must_use]
    pub fn shard(self) -> u8 {
        (self.0 >> Self::SLOT_BITS) as u8
    }
}

impl<M: Message> Hub<M> {
    /// A hub without links. With `identities`, `direct:<identity>` may be subscribed to by its owner alone; so it is,
    /// too, from the first link on that comes with an identity.
    #[must_use]
    pub fn new(limits: HubLimits, fan_out: FanOut, identities: bool) -> Self {
        Self {
            limits,
            fan_out,
            identities,
            draining: false,
            shard: 0,
            shards: 1,
            others: Held::default(),
            links: Slab::new(),
            serial: 0,
            table: Table::default(),
            deferred: Deferred::default(),
            run: None,
            queued: Queued::default(),
            incoming: 0,
            dirty: Vec::new(),
            overfull: false,
            counters: Counters::default(),
        }
    }

    /// One of several hubs that are one to their spokes: number `shard` of `shards`, counted from 0.
    ///
    /// To be called before the first link comes. Its ids differ from those of the other shards, and it keeps what
    /// [`topic_changes`](Self::topic_changes) gives. A bound for all links together is one for all shards: where they
    /// hold more than that ([`others_hold`](Self::others_hold)), a shard ends links of its own as long as it holds more
    /// than its share, the bound divided by `shards`. There is always one that does.
    ///
    /// # Panics
    /// Where `shard` is not less than `shards`.
    #[must_use]
    pub fn shard(mut self, shard: u8, shards: u8) -> Self {
        assert!(shard < shards, "shard {shard} of {shards}");
        (self.shard, self.shards) = (shard, shards.into());
        self.keep_topic_changes();
        self
    }

    /// From now on [`topic_changes`](Self::topic_changes) gives what has changed.
    pub fn keep_topic_changes(&mut self) {
        self.table.keep_changes();
    }

    /// The topics that have got their first link or lost their last since the list was emptied, in order, and those to
    /// which nobody waits for an answer that was put off any more; `None` where there are none, and always of a hub that does
    /// not [keep them](Self::keep_topic_changes).
    ///
    /// To be emptied, and made known to the other shards, before anything is written: whoever has read that it is
    /// subscribed misses nothing that is published from then on, wherever that is done.
    pub fn topic_changes(&mut self) -> Option<&mut Vec<TopicChange>> {
        self.table.changes()
    }

    /// What it holds of that which is bounded for all links together.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { outbound: self.queued.bytes, incoming: self.incoming }
    }

    /// What all other shards hold of it.
    pub fn others_hold(&mut self, held: Held) {
        self.others = held;
    }

    /// From now on `direct:<identity>` may be subscribed to by its owner alone.
    pub fn have_identities(&mut self) {
        self.identities = true;
    }

    /// A link came; `None` if there are as many as there may be.
    pub fn connect(&mut self, identity: Option<Arc<str>>, now: Duration) -> Option<LinkId> {
        self.connect_framed(M::Framing::default(), identity, now)
    }

    /// The same for a link of this framing.
    pub fn connect_framed(
        &mut self,
        framing: M::Framing,
        identity: Option<Arc<str>>,
        now: Duration,
    ) -> Option<LinkId> {
        if self.links.len() >= self.limits.max_links.min(HubLimits::MOST_LINKS) {
            return None;
        }
        self.serial = self.serial.wrapping_add(1);
        self.counters.connections += 1;
        self.identities |= identity.is_some();
        let id = LinkId::new(self.links.vacant_key(), self.shard, self.serial);
        self.links.insert(Link {
            id,
            dirty: false,
            used: false,
            pinged: false,
            finished: false,
            heard: now,
            identity,
            framing,
            tolerance: Tolerance::default(),
            incoming: 0,
            outbound: Outbound::default(),
        });
        Some(id)
    }

    /// A link is gone; what waited for it is dropped. Gives how many events that were.
    pub fn disconnect(&mut self, id: LinkId) -> u64 {
        if self.link(id).is_none() {
            return 0;
        }
        self.end_run();
        self.forget_deferred(id);
        self.table.leave_all(id.slot());
        let link = self.links.remove(id.slot());
        self.queued.bytes -= link.outbound.bytes() as u64;
        self.queued.messages -= link.outbound.len() as u64;
        self.incoming -= link.incoming as u64;
        let events = events_in(&link.outbound);
        self.counters.dropped += events;
        events
    }

    /// A link is about to end: it holds no topic any more, gets `last`, and nothing behind it. With `drop_rest`,
    /// nothing before it either.
    pub fn finish(&mut self, id: LinkId, last: Option<M>, drop_rest: bool) {
        self.end_run();
        let Some(link) = self.link_mut(id).filter(|link| !link.finished) else {
            return;
        };
        if drop_rest {
            let rest = std::mem::take(&mut link.outbound);
            self.queued.bytes -= rest.bytes() as u64;
            self.queued.messages -= rest.len() as u64;
            self.counters.dropped += events_in(&rest);
        }
        if let Some(last) = last {
            self.send(id, last);
        }
        self.forget_deferred(id);
        self.table.leave_all(id.slot());
        self.links[id.slot()].finished = true;
    }

    /// Whether the link is there.
    #[must_use]
    pub fn contains(&self, id: LinkId) -> bool {
        self.link(id).is_some()
    }

    /// The links there are.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.links.iter().map(|(_, link)| link.id)
    }

    /// How many links there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// From now on no new subscription is taken.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Takes what a link sent, after its check.
    ///
    /// # Errors
    /// [`Refusal::BadControl`]; to be counted with [`refused`](Self::refused).
    pub fn receive<'t>(&mut self, id: LinkId, parts: &Parts<'t>) -> Result<Asked<'t>, Refusal> {
        let Some(control) = control::read(parts)? else {
            self.counters.received += 1;
            let length = parts.event_type.len() + 1 + parts.id.len();
            if length > self.limits.max_topic {
                let topic = [&*parts.event_type, &*parts.id].join(":");
                self.deny(id, &topic, Action::Publish, DenyReason::TopicTooLong);
                return Ok(Asked::Done);
            }
            return Ok(Asked::Publish);
        };
        match control {
            // Who is about to end holds nothing any more.
            Control::Subscribe(_) if self.is_finished(id) => {}
            Control::Subscribe(topic) => match self.objection(id, &topic) {
                None => return Ok(Asked::Subscribe(topic)),
                Some(reason) => self.deny(id, &topic, Action::Subscribe, reason),
            },
            Control::Unsubscribe(topic) if self.deferred.holds(id) => {
                self.owe(id, Owed::Unsubscribe((*topic).into()));
            }
            Control::Unsubscribe(topic) => self.unsubscribe(id, &topic),
            Control::Ping(echo) => self.owe(id, Owed::Say(control::pong(echo))),
            Control::Close { code, reason } => return Ok(Asked::Close { code, reason }),
            // A hub's own words, or a later version's, from a spoke.
            _ => {}
        }
        Ok(Asked::Done)
    }

    /// Why this link may not have this topic, whatever the program says.
    fn objection(&self, id: LinkId, topic: &str) -> Option<DenyReason> {
        let link = self.link(id)?;
        if topic.len() > self.limits.max_topic {
            return Some(DenyReason::TopicTooLong);
        }
        match topic::split(topic) {
            Err(BadTopic::Reserved) => return Some(DenyReason::Reserved),
            Err(_) if topic.starts_with("__") => return Some(DenyReason::Reserved),
            Err(_) => return Some(DenyReason::BadTopic),
            Ok(("direct", owner)) if self.identities && link.identity.as_deref() != Some(owner) => {
                return Some(DenyReason::NotAllowed);
            }
            Ok(_) => {}
        }
        let (holds, count) = self.will_hold(id, topic);
        if holds {
            return None;
        }
        if self.draining {
            return Some(DenyReason::Draining);
        }
        (count >= self.limits.max_topics_per_link).then_some(DenyReason::TooManySubscriptions)
    }

    /// Whether a link holds a topic when it is owed nothing any more, and how many it holds then.
    fn will_hold(&self, id: LinkId, topic: &str) -> (bool, usize) {
        let holds = self.deferred.will_hold(id, topic);
        let count = self.deferred.will_hold_count(id);
        (
            holds.unwrap_or_else(|| self.table.holds(id.slot(), topic)),
            count.unwrap_or_else(|| self.table.held_by(id.slot())),
        )
    }

    /// Grants a topic: the answer is queued before any event of it. A topic that is held is answered again and
    /// delivered once.
    pub fn subscribe(&mut self, id: LinkId, topic: &str) {
        if self.deferred.holds(id) {
            let holds = self.will_hold(id, topic);
            self.deferred.open(id, topic, holds, None);
        } else {
            self.grant(id, topic);
        }
    }

    fn is_finished(&self, id: LinkId) -> bool {
        self.link(id).is_none_or(|link| link.finished)
    }

    fn grant(&mut self, id: LinkId, topic: &str) {
        if self.is_finished(id) {
            return;
        }
        // This ends a run, which is not for the link that joins.
        self.tell(id, control::subscribed(topic));
        self.table.join(id.slot(), topic);
    }

    /// Says no to what a link asked for, or takes a topic back that it holds.
    pub fn deny(&mut self, id: LinkId, topic: &str, action: Action, reason: DenyReason) {
        if action == Action::Subscribe && self.deferred.holds(id) {
            self.owe(id, Owed::Answer(topic.into(), Err(reason)));
        } else {
            self.refuse(id, topic, action, reason);
        }
    }

    fn refuse(&mut self, id: LinkId, topic: &str, action: Action, reason: DenyReason) {
        self.counters.denied += 1;
        if action == Action::Subscribe {
            self.unsubscribe(id, topic);
        }
        self.tell(id, control::denied(topic, action, reason));
    }

    /// Does it now, or behind what the link waits for.
    fn owe(&mut self, id: LinkId, owed: Owed) {
        let held = match &owed {
            Owed::Unsubscribe(topic) | Owed::Answer(topic, _) => self.will_hold(id, topic).0,
            _ => false,
        };
        if let Some(owed) = self.deferred.put(id, owed, held) {
            self.pay(id, owed);
        }
    }

    /// A link waits for no answer any more.
    fn forget_deferred(&mut self, id: LinkId) {
        for topic in self.deferred.forget(id) {
            self.table.changed(topic);
        }
    }

    fn pay(&mut self, id: LinkId, owed: Owed) {
        match owed {
            Owed::Answer(topic, Ok(())) => self.grant(id, &topic),
            Owed::Answer(topic, Err(reason)) => self.refuse(id, &topic, Action::Subscribe, reason),
            Owed::Unsubscribe(topic) => self.unsubscribe(id, &topic),
            Owed::Say(text) => self.tell(id, text),
            // It is not given out.
            #[cfg(feature = "_engine")]
            Owed::Open(..) => {}
        }
    }

    fn unsubscribe(&mut self, id: LinkId, topic: &str) {
        self.end_run();
        if self.contains(id) {
            self.table.leave(id.slot(), topic);
        }
    }

    /// Queues an event for all who want its topic; `make` is called once, and only if somebody does. Gives how
    /// many they are.
    pub fn fan_out(&mut self, topic: &str, make: impl FnOnce() -> M) -> usize {
        let receivers = match self.fan_out {
            FanOut::Subscribed => self.fan_out_to_members(topic, make),
            FanOut::All => self.fan_out_to_all(make),
        };
        self.counters.sent += receivers as u64;
        receivers
    }

    fn fan_out_to_members(&mut self, topic: &str, make: impl FnOnce() -> M) -> usize {
        let Some(topic) = self.table.find(topic) else { return 0 };
        let receivers = self.table.members_of(topic).len();
        let message = make();
        if !self.joins(topic, &message) {
            self.end_run();
            self.run = Some(Run { topic, joined: message });
            if receivers < RUN_FROM {
                self.end_run();
            }
        }
        receivers
    }

    /// Joins an event to the run, if it is one of the same topic and there is room.
    fn joins(&mut self, topic: usize, message: &M) -> bool {
        let Self { run: Some(run), limits, .. } = self else { return false };
        let (bytes, count) = (run.joined.weight() + message.weight(), run.joined.count() + message.count());
        run.topic == topic
            && bytes <= RUN_BYTES.min(limits.max_outbound / RUN_PART)
            && count <= limits.max_outbound_messages / RUN_PART
            && run.joined.join(message)
    }

    /// Queues what was joined.
    fn end_run(&mut self) {
        let Some(Run { topic, joined }) = self.run.take() else { return };
        let Self { links, table, dirty, overfull, limits, queued, .. } = self;
        let mut joined = Weighed::new(&joined);
        for &Member { link, .. } in table.members_of(topic) {
            *overfull |= joined.queue(&mut links[link], link, dirty, limits);
        }
        joined.count_in(queued);
    }

    fn fan_out_to_all(&mut self, make: impl FnOnce() -> M) -> usize {
        let Self { links, dirty, overfull, limits, queued, .. } = self;
        let mut receivers = links.iter_mut().filter(|(_, link)| !link.finished).peekable();
        if receivers.peek().is_none() {
            return 0;
        }
        let message = make();
        let mut message = Weighed::new(&message);
        for (slot, link) in receivers {
            *overfull |= message.queue(link, slot, dirty, limits);
        }
        message.count_in(queued)
    }

    /// The same for an adapter that hands an event over at once, since its sockets take all that they are given: names
    /// the links that want its topic, and queues nothing. What waits for them has to be handed over before.
    pub fn fan_out_at_once(&mut self, topic: &str, mut each: impl FnMut(LinkId)) -> usize {
        self.end_run();
        let before = self.counters.sent;
        match self.fan_out {
            FanOut::Subscribed => {
                for member in self.table.members(topic) {
                    each(self.links[member.link].id);
                    self.counters.sent += 1;
                }
            }
            FanOut::All => {
                for (_, link) in self.links.iter().filter(|(_, link)| !link.finished) {
                    each(link.id);
                    self.counters.sent += 1;
                }
            }
        }
        (self.counters.sent - before) as usize
    }

    /// Whether [`fan_out`](Self::fan_out) would reach anyone.
    #[must_use]
    pub fn is_wanted(&self, topic: &str) -> bool {
        match self.fan_out {
            FanOut::Subscribed => !self.table.members(topic).is_empty(),
            FanOut::All => !self.links.is_empty(),
        }
    }

    /// Tells the links that events are missing: those that hold `topic`, or (`None`) all that hold any.
    pub fn gap(&mut self, topic: Option<&str>, missed: Option<u64>, reason: GapReason) {
        let message = M::from_text(control::gap(topic, missed, reason), M::Framing::default());
        let links: Vec<LinkId> = match topic {
            None => self.links().filter(|id| self.table.held_by(id.slot()) > 0).collect(),
            Some(topic) => {
                let members = self.table.members(topic).iter();
                members.map(|member| self.links[member.link].id).collect()
            }
        };
        for link in links {
            self.send(link, message.clone());
        }
    }

    /// Queues a message for one link, subscribed or not.
    pub fn send(&mut self, id: LinkId, message: M) {
        self.end_run();
        let slot = id.slot();
        let open = |link: &&mut Link<M>| link.id == id && !link.finished;
        if let Some(link) = self.links.get_mut(slot).filter(open) {
            let mut message = Weighed::new(&message);
            self.overfull |= message.queue(link, slot, &mut self.dirty, &self.limits);
            message.count_in(&mut self.queued);
        }
    }

    /// Queues a control event for one link.
    fn tell(&mut self, id: LinkId, text: String) {
        if let Some(link) = self.link(id) {
            let message = M::from_text(text, link.framing);
            self.send(id, message);
        }
    }

    /// Queues an event for one link, subscribed or not. Where the link is gone or about to end, it counts as
    /// dropped.
    pub fn send_event(&mut self, id: LinkId, message: M) {
        if self.link(id).is_some_and(|link| !link.finished) {
            self.counters.sent += 1;
            self.send(id, message);
        } else {
            self.counters.dropped += 1;
        }
    }

    /// The links that have something new to send, each once. What cannot be sent now is the adapter's to come
    /// back for.
    pub fn take_dirty(&mut self, into: &mut Vec<LinkId>) {
        self.end_run();
        for slot in self.dirty.drain(..) {
            // The slot's link may be gone, or be another one that was named already.
            if let Some(link) = self.links.get_mut(slot).filter(|link| link.dirty) {
                link.dirty = false;
                into.push(link.id);
            }
        }
    }

    /// Whether, since this was asked last, more than the bound was queued for a link, or for all. It counts only
    /// after a write was tried: the adapter should write now, not at the end of its round.
    pub fn take_overfull(&mut self) -> bool {
        self.end_run();
        std::mem::take(&mut self.overfull) || self.is_over_total()
    }

    /// Whether a link has something new to send.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.run.is_some()
    }

    /// What waits for a link, as of [`take_dirty`](Self::take_dirty).
    pub fn waiting(&self, id: LinkId) -> Option<&Outbound<M>> {
        self.link(id).map(|link| &link.outbound)
    }

    /// Takes the oldest message that waits for a link.
    pub fn pop(&mut self, id: LinkId) -> Option<M> {
        self.end_run();
        let message = self.link_mut(id)?.outbound.pop()?;
        self.queued.bytes -= message.weight() as u64;
        self.queued.messages -= message.count() as u64;
        Some(message)
    }

    /// Of what was taken by [`pop`](Self::pop), only the first `written` bytes went out, as its link is gone: the events
    /// in it that do not end within them count as dropped.
    pub fn not_sent(&mut self, message: &M, written: usize) {
        if !message.is_control() {
            self.counters.dropped += (message.count() - message.ended_within(written)) as u64;
        }
    }

    /// Drops from a link's queue what was written: so many bytes, from the beginning of its oldest message. Gives
    /// how many of them are of the message that is the oldest now.
    pub fn written(&mut self, id: LinkId, bytes: usize) -> usize {
        let Some(link) = self.link_mut(id) else {
            return 0;
        };
        let (bytes_before, messages_before) = (link.outbound.bytes(), link.outbound.len());
        let begun = link.outbound.advance(bytes);
        let (bytes_left, messages_left) = (link.outbound.bytes(), link.outbound.len());
        self.queued.bytes -= (bytes_before - bytes_left) as u64;
        self.queued.messages -= (messages_before - messages_left) as u64;
        begun
    }

    /// After a write was tried: whether too much still waits for this link (close code 1013). The oldest message,
    /// which is on its way, does not count, nor do those joined to it: one that is longer than the bound may pass
    /// alone.
    #[must_use]
    pub fn is_too_slow(&self, id: LinkId) -> bool {
        self.link(id).is_some_and(|link| {
            let oldest = link.outbound.iter().next();
            let (bytes, count) = oldest.map_or((0, 0), |oldest| (oldest.weight(), oldest.count()));
            link.outbound.bytes() - bytes > self.limits.max_outbound
                || link.outbound.len() - count > self.limits.max_outbound_messages
        })
    }

    /// After writes were tried: the link with most waiting, if too much waits for all together.
    #[must_use]
    pub fn slowest_over_total(&self) -> Option<LinkId> {
        if !self.is_over_total() {
            return None;
        }
        let (_, link) = self.links.iter().max_by_key(|(_, link)| link.outbound.bytes())?;
        Some(link.id)
    }

    /// How much memory a link's unfinished message takes, after each read that changed it.
    pub fn holds(&mut self, id: LinkId, bytes: usize) {
        if let Some(link) = self.link_mut(id) {
            let before = std::mem::replace(&mut link.incoming, bytes);
            self.incoming = self.incoming - before as u64 + bytes as u64;
        }
    }

    /// The link whose unfinished message takes most, if those of all links together take too much. It is to be
    /// closed with 1013, and what it holds to be let go: then [`holds`](Self::holds) `0`.
    #[must_use]
    pub fn fullest_over_total(&self) -> Option<LinkId> {
        if !self.is_over(self.limits.max_incoming_total, self.incoming, self.others.incoming) {
            return None;
        }
        let (_, link) = self.links.iter().max_by_key(|(_, link)| link.incoming)?;
        Some(link.id)
    }

    /// Counts a message that was refused; `true` if the link sent one too many (close code 1007).
    pub fn refused(&mut self, id: LinkId, refusal: &Refusal, now: Duration) -> bool {
        self.counters.refusals.add(refusal);
        self.link_mut(id).is_some_and(|link| link.tolerance.exhausted(now))
    }

    /// Something came from a link, be it only a pong.
    pub fn heard(&mut self, id: LinkId, now: Duration) {
        if let Some(link) = self.link_mut(id) {
            link.heard = now;
            link.pinged = false;
        }
    }

    /// Finds the links that were silent too long; to be called about once a second.
    ///
    /// Gives the memory of queues back that were not used since the last look: doing so whenever one is empty would
    /// cost a busy link more than all the rest of a delivery.
    pub fn silent(&mut self, now: Duration, mut each: impl FnMut(LinkId, Silence)) {
        let HubLimits { ping_interval, ping_timeout, .. } = self.limits;
        let patience = ping_interval.saturating_add(ping_timeout);
        for (_, link) in &mut self.links {
            if !std::mem::take(&mut link.used) {
                link.outbound.shrink();
            }
            let silent = now.saturating_sub(link.heard);
            if !M::can_be_pinged(link.framing) {
                if silent >= patience.max(UNASKED) {
                    each(link.id, Silence::Dead);
                }
            } else if link.pinged && silent >= patience {
                each(link.id, Silence::Dead);
            } else if !link.pinged && silent >= ping_interval {
                link.pinged = true;
                // The answer is due from now on, however late this look came.
                link.heard = now.saturating_sub(ping_interval);
                each(link.id, Silence::Ping);
            }
        }
    }

    /// What was refused, by reason.
    #[must_use]
    pub fn refusals(&self) -> &RefusalCounts {
        &self.counters.refusals
    }

    /// Adds the hub's counters.
    pub fn count(&self, stats: &mut Stats) {
        stats.received += self.counters.received;
        stats.sent += self.counters.sent;
        stats.bad_input += self.counters.refusals.total();
        stats.refusals = self.counters.refusals;
        stats.denied += self.counters.denied;
        stats.dropped += self.counters.dropped;
        stats.topics += self.table.len() as u64;
        stats.connections += self.counters.connections;
        stats.links += self.links.len() as u64;
        let (mut bytes, mut messages) = (self.queued.bytes, self.queued.messages);
        if let Some(Run { topic, joined }) = &self.run {
            for member in self.table.members_of(*topic) {
                bytes += joined.framed(self.links[member.link].framing).weight() as u64;
                messages += joined.count() as u64;
            }
        }
        stats.queued_messages += messages;
        stats.queued_bytes += bytes;
        stats.incoming_bytes += self.incoming;
    }

    fn is_over_total(&self) -> bool {
        self.is_over(self.limits.max_outbound_total, self.queued.bytes, self.others.outbound)
    }

    /// Whether all shards have more than `total`, and this one more than its share.
    fn is_over(&self, total: usize, own: u64, others: u64) -> bool {
        own > total as u64 / self.shards && own.saturating_add(others) > total as u64
    }

    fn link(&self, id: LinkId) -> Option<&Link<M>> {
        self.links.get(id.slot()).filter(|link| link.id == id)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link<M>> {
        self.links.get_mut(id.slot()).filter(|link| link.id == id)
    }
}

fn events_in<M: Message>(outbound: &Outbound<M>) -> u64 {
    outbound.iter().map(events_of).sum()
}

fn events_of<M: Message>(message: &M) -> u64 {
    if message.is_control() { 0 } else { message.count() as u64 }
}

/// A message for many links, asked once for what all of them count.
struct Weighed<'m, M: Message> {
    message: &'m M,
    framing: M::Framing,
    weight: usize,
    count: usize,
    /// How many links it was queued for, and of which in another framing, with the weight that it has there.
    links: usize,
    others: usize,
    others_weight: u64,
}

impl<'m, M: Message> Weighed<'m, M> {
    fn new(message: &'m M) -> Self {
        let (framing, weight, count) = (message.framing(), message.weight(), message.count());
        Self { message, framing, weight, count, links: 0, others: 0, others_weight: 0 }
    }

    /// Gives whether more waits for the link now than may.
    fn queue(&mut self, link: &mut Link<M>, slot: usize, dirty: &mut Vec<usize>, limits: &HubLimits) -> bool {
        self.links += 1;
        if link.framing == self.framing {
            link.outbound.push_weighed(self.message.clone(), self.weight, self.count);
        } else {
            self.queue_framed(link);
        }
        link.used = true;
        if !link.dirty {
            link.dirty = true;
            dirty.push(slot);
        }
        link.outbound.bytes() > limits.max_outbound || link.outbound.len() > limits.max_outbound_messages
    }

    #[inline(never)]
    fn queue_framed(&mut self, link: &mut Link<M>) {
        let framed = self.message.framed(link.framing);
        let weight = framed.weight();
        self.others += 1;
        self.others_weight += weight as u64;
        link.outbound.push_weighed(framed, weight, self.count);
    }

    /// Adds what was queued to what waits for all; gives for how many links that was.
    fn count_in(self, queued: &mut Queued) -> usize {
        let same = (self.links - self.others) as u64 * self.weight as u64;
        queued.bytes += same + self.others_weight;
        queued.messages += self.links as u64 * self.count as u64;
        self.links
    }
}

#[cfg(test)]
mod tests;
