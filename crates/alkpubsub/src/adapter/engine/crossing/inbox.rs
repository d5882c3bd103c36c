//! What other shards have put before a shard.

use super::shard_set::ShardSet;
use crate::sync::{AtomicBool, Mutex, MutexGuard};
use std::sync::PoisonError;
use std::sync::atomic::{Ordering::Acquire, Ordering::Release};

/// A shard's inbox: whatever the others put there, in the order of each, until the shard takes all of it.
///
/// Nothing is refused, as nothing may be lost between shards. Instead a shard that is told that an inbox is full
/// reads no socket until it has room; it still takes what is in its own inbox, so that two of them cannot wait for
/// each other. So an inbox holds no more than its bound and one batch of each other shard; and its owner, which
/// takes all at once, as much again.
#[derive(Debug)]
pub(super) struct Inbox<M> {
    bounds: Bounds,
    /// Whether there is anything to take, so that looking costs no lock.
    filled: AtomicBool,
    inner: Mutex<Inner<M>>,
}

/// From so many messages, or so many bytes, an inbox is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Inner<M> {
    messages: Vec<M>,
    bytes: usize,
    /// Shards to be woken when there is room.
    held_up: ShardSet,
    /// Nobody takes any more.
    ended: bool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Put {
    /// Whether the owner has to be woken: it had nothing to take before.
    pub(super) wake: bool,
    /// Whether the inbox is full now. Then whoever put this is woken when it has room.
    pub(super) full: bool,
}

impl<M> Inbox<M> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let held_up = ShardSet::default();
        let inner = Inner { messages: Vec::new(), bytes: 0, held_up, ended: false };
        Self { bounds, filled: AtomicBool::new(false), inner: Mutex::new(inner) }
    }

    /// Puts a batch of `bytes` behind all that is there, on behalf of a shard; `batch` is empty afterwards.
    pub(super) fn put(&self, from: u8, batch: &mut Vec<M>, bytes: usize) -> Put {
        let mut inner = self.lock();
        if inner.ended {
            drop(inner);
            batch.clear();
            return Put::default();
        }
        let wake = inner.messages.is_empty();
        inner.messages.append(batch);
        inner.bytes += bytes;
        self.filled.store(true, Release);
        Put { wake, full: self.holds_up(&mut inner, from) }
    }

    /// For a shard that was told that the inbox is full: whether it still is. If so, it is woken when there is room.
    pub(super) fn is_full(&self, from: u8) -> bool {
        self.holds_up(&mut self.lock(), from)
    }

    fn holds_up(&self, inner: &mut Inner<M>, from: u8) -> bool {
        let full = inner.messages.len() >= self.bounds.messages || inner.bytes >= self.bounds.bytes;
        if full {
            inner.held_up.insert(from);
        }
        full
    }

    /// Whether there is something to take. Whatever was put before something that the owner has read is seen.
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Acquire)
    }

    /// Takes all; `into` is empty and gives its memory for what comes. Gives the shards that are to be woken.
    pub(super) fn take(&self, into: &mut Vec<M>) -> ShardSet {
        let mut inner = self.lock();
        std::mem::swap(&mut inner.messages, into);
        inner.bytes = 0;
        self.filled.store(false, Release);
        std::mem::take(&mut inner.held_up)
    }

    /// The owner has ended: nothing is kept from here on. Gives the shards that are to be woken.
    pub(super) fn end(&self) -> ShardSet {
        let mut left = Vec::new();
        self.lock().ended = true;
        self.take(&mut left)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(alkpubsub_loom)))]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { messages: 3, bytes: 100 };

    #[test]
    fn all_is_taken_at_once_in_order_and_the_owner_woken_once() {
        let (inbox, mut taken) = (Inbox::new(BOUNDS), vec![]);
        assert_eq!(inbox.put(0, &mut vec![1], 1), Put { wake: true, full: false });
        assert_eq!(inbox.put(1, &mut vec![2], 1), Put { wake: false, full: false });
        assert!(inbox.take(&mut taken).is_empty());
        assert_eq!(taken, [1, 2]);
        taken.clear();
        assert!(!inbox.is_filled());
        assert_eq!(inbox.put(0, &mut vec![3], 1), Put { wake: true, full: false });
        assert!(inbox.is_filled());
    }

    #[test]
    fn at_either_bound_it_is_full_and_room_is_told_to_all_who_were_held_up() {
        let (inbox, mut taken) = (Inbox::new(BOUNDS), vec![]);
        assert!(!inbox.put(1, &mut vec!["a", "b"], 99).full);
        assert!(inbox.put(2, &mut vec!["c"], 0).full, "three messages");
        assert!(inbox.is_full(3));
        assert!(inbox.put(2, &mut vec!["d"], 0).full, "what is put is kept all the same");
        assert_eq!(inbox.take(&mut taken).iter().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(taken, ["a", "b", "c", "d"]);
        assert!(!inbox.is_full(1), "its bytes are counted anew, too");
        assert!(inbox.put(1, &mut vec!["e"], 100).full, "a hundred bytes");
    }

    #[test]
    fn what_comes_after_the_end_is_let_go_and_holds_nobody_up() {
        let inbox = Inbox::new(BOUNDS);
        let mut batch = vec![1, 2, 3];
        assert!(inbox.put(1, &mut batch, 3).full);
        assert_eq!(inbox.end().iter().collect::<Vec<_>>(), [1]);
        batch.extend([4, 5, 6]);
        assert_eq!(inbox.put(1, &mut batch, 1000), Put::default());
        assert!(batch.is_empty() && !inbox.is_full(1));
        let mut taken = vec![];
        inbox.take(&mut taken);
        assert!(taken.is_empty());
    }
}
