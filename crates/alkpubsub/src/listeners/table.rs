//! Names and their lists, read by dispatches that nobody waits for.

use super::{Entry, List};
use crate::event_target::{CloseReason, ListenerId};
use crate::sync::{AtomicBool, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, fence};
use crate::topic::digest;
use hashbrown::hash_table::Entry::{Occupied, Vacant};
use hashbrown::{HashMap, HashTable};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, PoisonError, TryLockError};

/// A name as the table looks it up.
#[derive(Clone, Copy)]
pub(super) struct Key<'n> {
    pub(super) name: &'n str,
    pub(super) digest: u64,
}

impl<'n> From<&'n str> for Key<'n> {
    fn from(name: &'n str) -> Self {
        Self { name, digest: digest(name) }
    }
}

/// Where a target keeps its listeners, by topic and by notice name: a name without `:` cannot be a topic.
///
/// A dispatch holds the read side of `settled` while it calls the listeners, which keeps its list as it is without a
/// count of references. **Invariant:** nobody waits for that lock. It is tried, and who does not get it goes another
/// way: a change is kept in `changes` and marked by `changed`, and from then on dispatches look there first, under a
/// lock that is held for a look-up and not for calls. The last one that held the read side settles the changes.
#[derive(Default)]
pub(super) struct Table {
    settled: RwLock<Lists>,
    /// Whether there are changes that are not settled yet.
    changed: AtomicBool,
    changes: Mutex<Changes>,
}

#[derive(Default)]
pub(super) struct Changes {
    /// The newer list of a name; an empty one stands for none.
    newer: Lists,
    /// The settled lists are void.
    cleared: bool,
    pub(super) names: HashMap<ListenerId, Arc<str>>,
    pub(super) closed: Option<CloseReason>,
    /// Closed, and every close notice was given.
    pub(super) ended: bool,
}

#[derive(Default)]
struct Lists(HashTable<Row>);

struct Row {
    digest: u64,
    name: Arc<str>,
    list: List,
}

impl Lists {
    fn get(&self, key: Key<'_>) -> Option<&Row> {
        self.0.find(key.digest, |row| row.digest == key.digest && *row.name == *key.name)
    }

    /// The list of a name, to be changed; an empty one, if that is what `first` gives, where there was none.
    fn entry(&mut self, digest: u64, name: &Arc<str>, first: impl FnOnce() -> List) -> &mut List {
        let equal = |row: &Row| row.digest == digest && row.name == *name;
        let entry = self.0.entry(digest, equal, |row| row.digest);
        &mut entry.or_insert_with(|| Row { digest, name: name.clone(), list: first() }).into_mut().list
    }

    /// Puts a row in the place of another; an empty one leaves the place empty. Gives what stood there.
    fn put(&mut self, row: Row) -> Option<List> {
        let equal = |other: &Row| other.digest == row.digest && other.name == row.name;
        match self.0.entry(row.digest, equal, |row| row.digest) {
            Occupied(place) if row.list.is_empty() => Some(place.remove().0.list),
            Occupied(mut place) => Some(std::mem::replace(&mut place.get_mut().list, row.list)),
            Vacant(place) => {
                if !row.list.is_empty() {
                    place.insert(row);
                }
                None
            }
        }
    }

    fn holds(&self, row: &Row) -> bool {
        self.get(Key { name: &row.name, digest: row.digest }).is_some()
    }

    fn take(&mut self) -> impl Iterator<Item = (Arc<str>, List)> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|row| (row.name, row.list))
    }
}

impl Table {
    /// Calls `visit` with the list of a name, if it has one; the list stays as it is meanwhile. Lists that go out of
    /// use are given to `let_go`, outside of every lock that anybody waits for: what listeners own is the program's.
    #[inline]
    pub(super) fn visit<R>(
        &self,
        key: Key<'_>,
        visit: impl FnOnce(&[Arc<Entry>]) -> R,
        let_go: impl Fn(&str, List),
    ) -> Option<R> {
        let reading = self.try_read().filter(|_| !self.changed.load(Acquire));
        let newer = if reading.is_none() { self.newer(key, &let_go) } else { None };
        let settled = reading.as_ref().and_then(|settled| settled.get(key)).map(|row| &row.list);
        // One call for both, so that it is compiled into its caller.
        let visited = settled.or(newer.as_ref()).map(|list| visit(list));
        if let Some(list) = newer {
            let_go(key.name, list);
        }
        if let Some(settled) = reading {
            drop(settled);
            // With `mark_changed`: whoever could not settle a change because this was reading has made it known before.
            fence(Acquire);
            // The real lock's release reads the word that it writes, so that the fence acquires; loom's does not.
            #[cfg(all(test, alkpubsub_loom))]
            drop(self.try_read());
            if self.changed.load(Relaxed) {
                self.settle(let_go);
            }
        }
        visited
    }

    /// The list of a name with all changes, of which those that can be are settled with this.
    #[cold]
    fn newer(&self, key: Key<'_>, let_go: impl Fn(&str, List)) -> Option<List> {
        let (list, replaced) = {
            let mut changes = self.lock();
            let replaced = self.try_settle(&mut changes);
            (self.list(&changes, key), replaced)
        };
        replaced.into_iter().for_each(|(name, list)| let_go(&name, list));
        list.map(|(_, list)| list)
    }

    #[cold]
    fn settle(&self, let_go: impl Fn(&str, List)) {
        let replaced = self.try_settle(&mut self.lock());
        replaced.into_iter().for_each(|(name, list)| let_go(&name, list));
    }

    /// Whoever holds this changes the table, or reads it as it is with all changes.
    pub(super) fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of a name, and the name to share.
    pub(super) fn list(&self, changes: &Changes, key: Key<'_>) -> Option<(Arc<str>, List)> {
        let shared = |row: &Row| (!row.list.is_empty()).then(|| (row.name.clone(), row.list.clone()));
        match changes.newer.get(key) {
            Some(row) => shared(row),
            None if changes.cleared => None,
            None => self.read().get(key).and_then(shared),
        }
    }

    /// The names that have a list, with it.
    pub(super) fn lists(&self, changes: &Changes) -> Vec<(Arc<str>, List)> {
        let settled = self.read();
        let settled = settled.0.iter().filter(|row| !changes.cleared && !changes.newer.holds(row));
        let rows = settled.chain(changes.newer.0.iter()).filter(|row| !row.list.is_empty());
        rows.map(|row| (row.name.clone(), row.list.clone())).collect()
    }

    /// Changes the list of a name, a new one where there was none; an empty list is forgotten. Lists that go out of
    /// use are to be dropped when the lock is not held any more.
    pub(super) fn change<R>(
        &self,
        changes: &mut Changes,
        name: &Arc<str>,
        change: impl FnOnce(&mut Vec<Arc<Entry>>) -> R,
    ) -> (R, Vec<(Arc<str>, List)>) {
        let digest = digest(name);
        if let Some(mut settled) = self.try_write() {
            let replaced = self.settle_into(&mut settled, changes);
            let list = settled.entry(digest, name, List::default);
            let changed = change(Arc::make_mut(list));
            if list.is_empty() {
                settled.put(Row { digest, name: name.clone(), list: List::default() });
            }
            return (changed, replaced);
        }
        let cleared = changes.cleared;
        let list = changes.newer.entry(digest, name, || {
            let settled = self.read();
            let row = settled.get(Key { name, digest }).filter(|_| !cleared);
            row.map(|row| row.list.clone()).unwrap_or_default()
        });
        let changed = change(Arc::make_mut(list));
        self.mark_changed();
        (changed, self.try_settle(changes))
    }

    /// Forgets all lists; they are to be dropped when the lock is not held any more.
    pub(super) fn clear(&self, changes: &mut Changes) -> Vec<(Arc<str>, List)> {
        let mut replaced: Vec<_> = changes.newer.take().collect();
        changes.cleared = true;
        self.mark_changed();
        replaced.extend(self.try_settle(changes));
        replaced
    }

    /// From here on dispatches look at the changes first.
    fn mark_changed(&self) {
        self.changed.store(true, Release);
        // A dispatch that still reads, so that the changes cannot be settled, lets go after this and acquires it with
        // that: it sees the mark, and settles.
        drop(self.try_read());
    }

    /// Settles the changes unless somebody reads.
    fn try_settle(&self, changes: &mut Changes) -> Vec<(Arc<str>, List)> {
        let settled = self.try_write();
        settled.map(|mut settled| self.settle_into(&mut settled, changes)).unwrap_or_default()
    }

    fn settle_into(&self, settled: &mut Lists, changes: &mut Changes) -> Vec<(Arc<str>, List)> {
        let mut replaced = Vec::new();
        if std::mem::take(&mut changes.cleared) {
            replaced.extend(settled.take());
        }
        for (name, list) in changes.newer.take() {
            let row = Row { digest: digest(&name), name: name.clone(), list };
            replaced.extend(settled.put(row).map(|list| (name, list)));
        }
        self.changed.store(false, Relaxed);
        replaced
    }

    fn try_read(&self) -> Option<RwLockReadGuard<'_, Lists>> {
        match self.settled.try_read() {
            Ok(settled) => Some(settled),
            Err(TryLockError::Poisoned(settled)) => Some(settled.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn try_write(&self) -> Option<RwLockWriteGuard<'_, Lists>> {
        match self.settled.try_write() {
            Ok(settled) => Some(settled),
            Err(TryLockError::Poisoned(settled)) => Some(settled.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// For who has locked the changes: the one that could write meanwhile is the one that reads here.
    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.settled.read().unwrap_or_else(PoisonError::into_inner)
    }
}
