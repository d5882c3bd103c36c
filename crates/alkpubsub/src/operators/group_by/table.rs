//! Which groups there are, what waits in each, and which has been quiet for the longest time.

use crate::protocol::control::GapReason;
use crate::queue::{Queue, QueueLimits, Queued};
use crate::subscription::{Item, Undecodable};
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::task::Poll;

/// Who waits: the reader of the groups, or that of one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Reader(usize);

impl Reader {
    pub(super) const GROUPS: Self = Self(0);

    pub(super) const fn group(slot: usize) -> Self {
        Self(slot + 1)
    }

    pub(super) const fn place(self) -> usize {
        self.0
    }
}

/// What waits for the reader of the groups.
pub(super) enum Found<K> {
    Group { slot: usize, key: Arc<K> },
    Undecodable(Undecodable),
}

/// What became of an item: who is to be woken, and what is to be dropped outside of the lock.
pub(super) struct Taken<T, K> {
    pub(super) wake: Wake,
    pub(super) dropped: Dropped<T, K>,
}

#[derive(Default)]
pub(super) struct Wake {
    pub(super) all: bool,
    pub(super) readers: [Option<Reader>; 3],
}

pub(super) struct Dropped<T, K> {
    _key: Option<K>,
    _events: Vec<T>,
    _group: Option<Group<T, K>>,
    _found: Option<Found<K>>,
}

/// What nobody fetched, and its group.
type Gone<T, K> = (Option<Found<K>>, Option<Group<T, K>>);

pub(super) struct Table<T, K> {
    /// Those that somebody has or will get.
    groups: Slab<Group<T, K>>,
    /// Of these, the ones that still get events, by key.
    live: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// At most as many as there may be groups.
    found: Queue<Found<K>>,
    /// The live group that has been quiet for the longest time, and the one that had an event last.
    oldest: Option<usize>,
    newest: Option<usize>,
    max_groups: usize,
    limits: QueueLimits,
    closed: bool,
    /// Somebody found the source being read.
    pub(super) again: bool,
}

pub(super) struct Group<T, K> {
    key: Arc<K>,
    hash: u64,
    queue: Queue<T>,
    live: bool,
    older: Option<usize>,
    newer: Option<usize>,
}

impl<T, K> Table<T, K> {
    pub(super) fn new(max_groups: usize, limits: QueueLimits) -> Self {
        Self {
            groups: Slab::new(),
            live: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            // Its bound is kept here, as what is dropped is more than one event.
            found: Queue::new(QueueLimits { max_events: usize::MAX, max_bytes: usize::MAX, ..limits }),
            oldest: None,
            newest: None,
            max_groups,
            limits,
            closed: false,
            again: false,
        }
    }

    pub(super) fn set_groups(&mut self, max_groups: usize) {
        self.max_groups = max_groups;
    }

    pub(super) fn set_limits(&mut self, limits: QueueLimits) {
        self.limits = limits;
    }

    /// No event will come any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn has_some(&self, reader: Reader) -> bool {
        let here = match reader.0.checked_sub(1) {
            None => !self.found.is_empty(),
            Some(slot) => self.groups.get(slot).is_none_or(|group| !group.live || !group.queue.is_empty()),
        };
        here || self.closed
    }

    pub(super) fn take_found(&mut self) -> Poll<Option<Queued<Found<K>>>> {
        match self.found.pop() {
            None if !self.closed => Poll::Pending,
            found => Poll::Ready(found),
        }
    }

    pub(super) fn take_event(&mut self, slot: usize) -> Poll<Option<Queued<T>>> {
        let Some(group) = self.groups.get_mut(slot) else { return Poll::Ready(None) };
        match group.queue.pop() {
            None if group.live && !self.closed => Poll::Pending,
            event => Poll::Ready(event),
        }
    }

    /// A loss concerns every group, as nobody knows whose events are missing.
    pub(super) fn loss(&mut self, loss: Item<Infallible>) -> Taken<T, K> {
        let mut wake = Wake::default();
        let mut found = None;
        let gap = match loss {
            Item::Event(never) => match never {},
            Item::Undecodable(undecodable) => {
                found = self.make_room_for_found();
                self.found.take(Found::Undecodable(undecodable), 0);
                wake.readers[0] = Some(Reader::GROUPS);
                None
            }
            Item::Lagged(missed) => {
                self.found.push_lagged(missed);
                Some(GapReason::Slow)
            }
            Item::Gap(reason) => {
                self.found.push_gap(reason);
                Some(reason)
            }
        };
        if let Some(reason) = gap {
            self.groups
                .iter_mut()
                .filter(|(_, group)| group.live)
                .for_each(|(_, group)| group.queue.push_gap(reason));
            wake.all = true;
        }
        let (found, group) = found.unwrap_or_default();
        Taken { wake, dropped: Dropped { _key: None, _events: Vec::new(), _group: group, _found: found } }
    }

    /// Where it is full, the oldest that nobody fetched goes, with what it held, and its events are counted as lost.
    fn make_room_for_found(&mut self) -> Option<Gone<T, K>> {
        if self.found.len() < self.max_groups {
            return None;
        }
        let group = match self.found.first()? {
            Found::Undecodable(_) => None,
            &Found::Group { slot, .. } => self.forget(slot),
        };
        let missed = group.as_ref().map_or(1, |group| group.queue.len() as u64 + group.queue.lost());
        Some((self.found.drop_first(missed), group))
    }

    /// A group whose reader is gone, or that never had one.
    pub(super) fn forget(&mut self, slot: usize) -> Option<Group<T, K>> {
        self.end(slot);
        self.groups.try_remove(slot)
    }

    /// What nobody will fetch.
    pub(super) fn forget_found(&mut self) -> Vec<Gone<T, K>> {
        let mut gone = Vec::new();
        while let Some(found) = self.found.pop() {
            let Queued::Event(found) = found else { continue };
            let group = match &found {
                Found::Group { slot, .. } => self.forget(*slot),
                Found::Undecodable(_) => None,
            };
            gone.push((Some(found), group));
        }
        gone
    }

    /// The group gets no event any more.
    fn end(&mut self, slot: usize) {
        let Some(group) = self.groups.get_mut(slot).filter(|group| group.live) else { return };
        group.live = false;
        let hash = group.hash;
        if let Ok(entry) = self.live.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        self.unlink(slot);
    }

    fn unlink(&mut self, slot: usize) {
        let Group { older, newer, .. } = self.groups[slot];
        match older {
            Some(older) => self.groups[older].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.groups[newer].older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, slot: usize) {
        (self.groups[slot].older, self.groups[slot].newer) = (self.newest, None);
        match self.newest.replace(slot) {
            Some(newest) => self.groups[newest].newer = Some(slot),
            None => self.oldest = Some(slot),
        }
    }
}

impl<T, K: Eq + Hash> Table<T, K> {
    pub(super) fn event(&mut self, key: K, event: T, weight: usize) -> Taken<T, K> {
        let mut wake = Wake::default();
        let mut dropped = Dropped { _key: None, _events: Vec::new(), _group: None, _found: None };
        let hash = self.hasher.hash_one(&key);
        let known = self.live.find(hash, |&slot| *self.groups[slot].key == key).copied();
        let slot = match known {
            Some(slot) => {
                dropped._key = Some(key);
                if self.newest != Some(slot) {
                    self.unlink(slot);
                    self.link_newest(slot);
                }
                slot
            }
            None => {
                if self.live.len() >= self.max_groups
                    && let Some(quiet) = self.oldest
                {
                    self.end(quiet);
                    wake.readers[2] = Some(Reader::group(quiet));
                }
                (dropped._found, dropped._group) = self.make_room_for_found().unwrap_or_default();
                wake.readers[1] = Some(Reader::GROUPS);
                self.add(Arc::new(key), hash)
            }
        };
        wake.readers[0] = Some(Reader::group(slot));
        let queue = &mut self.groups[slot].queue;
        if queue.has_room(weight) {
            queue.take(event, weight);
        } else if queue.push(event, weight, &mut dropped._events).is_err() {
            queue.push_lagged(1);
            self.end(slot);
        }
        Taken { wake, dropped }
    }

    fn add(&mut self, key: Arc<K>, hash: u64) -> usize {
        let queue = Queue::new(self.limits);
        let group = Group { key: key.clone(), hash, queue, live: true, older: None, newer: None };
        let slot = self.groups.insert(group);
        let groups = &self.groups;
        self.live.insert_unique(hash, slot, |&slot| groups[slot].hash);
        self.link_newest(slot);
        self.found.take(Found::Group { slot, key }, 0);
        slot
    }
}
