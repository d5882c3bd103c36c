//! Events left out that were there before.

use super::opaque_debug;
use super::timer::{NoTimer, Timer};
use crate::subscription::Item;
use futures_core::Stream;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pin_project_lite::pin_project! {
    /// What [`dedupe`](super::Operators::dedupe) gives: a stream of `Item<T>`.
    #[must_use = "a stream does nothing unless it is read"]
    pub struct Dedupe<S, F, K, C = NoTimer> {
        #[pin]
        source: S,
        key: F,
        passed: Passed<K>,
        last: Option<usize>,
        within: Option<Duration>,
        timer: C,
    }
}

opaque_debug!(Dedupe<S, F, K, C> { last, within });

impl<S, F, K> Dedupe<S, F, K> {
    pub(super) fn new(source: S, key: F) -> Self {
        Self { source, key, passed: Passed::new(), last: None, within: None, timer: NoTimer }
    }
}

impl<S, F, K, C> Dedupe<S, F, K, C> {
    /// Remembers the last `last` keys that were let through; 0 counts as 1. Without this it is one, and 1,024 with
    /// [`within`](Self::within).
    pub fn last(self, last: usize) -> Self {
        Self { last: Some(last.max(1)), ..self }
    }

    /// Forgets a key when it was let through longer ago than this. Of keys that are younger, the
    /// [`last`](Self::last) are remembered.
    pub fn within<D: Timer>(self, within: Duration, timer: D) -> Dedupe<S, F, K, D> {
        let Self { source, key, passed, last, .. } = self;
        Dedupe { source, key, passed, last, within: Some(within), timer }
    }
}

impl<S, T, F, K, C> Stream for Dedupe<S, F, K, C>
where
    S: Stream<Item = Item<T>>,
    F: FnMut(&T) -> K,
    K: Eq + Hash,
    C: Timer,
{
    type Item = Item<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            let item = std::task::ready!(this.source.as_mut().poll_next(context));
            let Some(Item::Event(event)) = &item else { return Poll::Ready(item) };
            let (now, within, last) = match *this.within {
                None => (Duration::ZERO, Duration::MAX, 1),
                Some(within) => (this.timer.now(), within, 1024),
            };
            let last = this.last.unwrap_or(last);
            let key = (this.key)(event);
            if this.passed.is_new(key, now, within, last) {
                return Poll::Ready(item);
            }
        }
    }
}

/// The keys that were let through, oldest first.
struct Passed<K> {
    keys: VecDeque<Key<K>>,
    /// To the number of a key: how many were forgotten before it, and its place among those that are there.
    numbers: HashTable<u64>,
    forgotten: u64,
    hasher: DefaultHashBuilder,
}

struct Key<K> {
    key: K,
    hash: u64,
    at: Duration,
}

impl<K: Eq + Hash> Passed<K> {
    /// Remembers a key; gives whether it was not there.
    fn is_new(&mut self, key: K, now: Duration, within: Duration, last: usize) -> bool {
        while self.keys.front().is_some_and(|oldest| now.saturating_sub(oldest.at) > within) {
            self.forget_oldest();
        }
        let hash = self.hasher.hash_one(&key);
        let (keys, forgotten) = (&self.keys, self.forgotten);
        let place = |number: u64| (number - forgotten) as usize;
        if self.numbers.find(hash, |&number| keys[place(number)].key == key).is_some() {
            return false;
        }
        while self.keys.len() >= last {
            self.forget_oldest();
        }
        let number = self.forgotten + self.keys.len() as u64;
        self.keys.push_back(Key { key, hash, at: now });
        let (keys, forgotten) = (&self.keys, self.forgotten);
        self.numbers.insert_unique(hash, number, |&number| keys[(number - forgotten) as usize].hash);
        true
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.keys.front() else { return };
        let number = self.forgotten;
        if let Ok(entry) = self.numbers.find_entry(oldest.hash, |&other| other == number) {
            entry.remove();
        }
        self.keys.pop_front();
        self.forgotten += 1;
    }
}

impl<K> Passed<K> {
    fn new() -> Self {
        Self {
            keys: VecDeque::new(),
            numbers: HashTable::new(),
            forgotten: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }
}
