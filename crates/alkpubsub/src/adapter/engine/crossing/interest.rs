//! Which shards want which topic.

use super::shard_set::ShardSet;
use crate::sync::{Mutex, MutexGuard};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError};

/// Parts of the map, with a lock each: shards that look up different topics at the same time seldom meet. One where
/// every order of threads is tried.
const STRIPES: usize = if cfg!(alkpubsub_loom) { 1 } else { 256 };

/// From a topic to the shards in which a link holds it.
///
/// **Invariant:** a shard is in the set before any of its links can have read that it is subscribed; whoever
/// publishes because of that reads the set afterwards, and so finds it there. It may be in the set for a while
/// after its last link left: what comes until then finds nobody.
#[derive(Debug)]
pub(super) struct Interest {
    // Topics are the peers' choice: the standard library's hasher withstands those who look for collisions.
    hasher: RandomState,
    stripes: Box<[Stripe]>,
}

// Two locks in one cache line would be taken from one another.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(Mutex<HashTable<Wanted>>);

#[derive(Debug)]
struct Wanted {
    /// The text that the table of the first shard uses as well.
    topic: Arc<str>,
    by: ShardSet,
}

impl Default for Interest {
    fn default() -> Self {
        let stripes = (0..STRIPES).map(|_| Stripe::default()).collect();
        Self { hasher: RandomState::new(), stripes }
    }
}

impl Interest {
    /// A shard has come to want a topic, or to want it no more. Each shard says so in the order in which it was.
    pub(super) fn set(&self, topic: Arc<str>, shard: u8, wants: bool) {
        let (hash, mut stripe) = self.stripe(&topic);
        let hash_of = |wanted: &Wanted| self.hasher.hash_one(&*wanted.topic);
        let entry = stripe.entry(hash, |wanted| wanted.topic == topic, hash_of);
        match (entry, wants) {
            (Entry::Occupied(mut wanted), true) => wanted.get_mut().by.insert(shard),
            (Entry::Vacant(place), true) => {
                place.insert(Wanted { topic, by: std::iter::once(shard).collect() });
            }
            (Entry::Occupied(mut wanted), false) => {
                wanted.get_mut().by.remove(shard);
                if wanted.get().by.is_empty() {
                    drop(wanted.remove());
                }
            }
            (Entry::Vacant(_), false) => {}
        }
    }

    /// The shards that want a topic, but for one, and the topic's text to send along; `None` where none does.
    pub(super) fn shards(&self, topic: &str, but: Option<u8>) -> Option<(Arc<str>, ShardSet)> {
        let (hash, stripe) = self.stripe(topic);
        let wanted = stripe.find(hash, |wanted| *wanted.topic == *topic)?;
        let shards = but.map_or(wanted.by, |but| wanted.by.without(but));
        (!shards.is_empty()).then(|| (wanted.topic.clone(), shards))
    }

    /// How many topics are wanted by any shard. Not of one moment: the parts are counted one after the other.
    pub(super) fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().len()).sum()
    }

    fn stripe(&self, topic: &str) -> (u64, MutexGuard<'_, HashTable<Wanted>>) {
        let hash = self.hasher.hash_one(topic);
        // The lowest bits say where in its table a topic stands, the highest seven are compared there.
        let stripe = (hash >> 40) as usize % STRIPES;
        (hash, self.stripes[stripe].lock())
    }
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, HashTable<Wanted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(alkpubsub_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_sequence_of_wishes_keeps_it_as_a_naive_one(
            wishes in prop::collection::vec((0..8u8, 0..ShardSet::MOST, any::<bool>()), 0..200),
        ) {
            let (interest, mut naive) = (Interest::default(), BTreeSet::new());
            for (topic, shard, wants) in wishes {
                let topic: Arc<str> = format!("t:{topic}").into();
                interest.set(topic.clone(), shard, wants);
                if wants {
                    naive.insert((topic.clone(), shard));
                } else {
                    naive.remove(&(topic.clone(), shard));
                }
                let by: ShardSet = naive.iter().filter(|(of, _)| *of == topic).map(|(_, by)| *by).collect();
                let of = |by: ShardSet| (!by.is_empty()).then(|| (topic.clone(), by));
                prop_assert_eq!(interest.shards(&topic, None), of(by));
                prop_assert_eq!(interest.shards(&topic, Some(shard)), of(by.without(shard)));
                let topics: BTreeSet<_> = naive.iter().map(|(topic, _)| topic).collect();
                prop_assert_eq!(interest.len(), topics.len());
            }
        }
    }

    #[test]
    fn topics_are_spread_over_the_stripes() {
        let interest = Interest::default();
        for topic in 0..10_000 {
            interest.set(format!("t:{topic}").into(), 0, true);
        }
        let fullest = interest.stripes.iter().map(|stripe| stripe.lock().len()).max();
        // 39 on average.
        assert!(fullest.is_some_and(|fullest| fullest < 120), "{fullest:?}");
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use crate::sync::AtomicBool;
    use loom::thread;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn who_publishes_after_the_answer_finds_the_shard() {
        publish_after_an_answer(false);
    }

    #[test]
    #[should_panic(expected = "answered, and not found")]
    fn where_the_answer_comes_first_the_shard_may_not_be_found() {
        publish_after_an_answer(true);
    }

    fn publish_after_an_answer(answer_first: bool) {
        loom::model(move || {
            let interest = Arc::new(Interest::default());
            // The answer, as the publisher reads it. It orders nothing by itself.
            let answered = Arc::new(AtomicBool::new(false));
            let (wanted, answer) = (interest.clone(), answered.clone());
            let subscribing = thread::spawn(move || {
                answer.store(answer_first, Relaxed);
                wanted.set("a:b".into(), 1, true);
                answer.store(true, Relaxed);
            });
            let wanted = interest.clone();
            let leaving = thread::spawn(move || {
                wanted.set("a:b".into(), 2, true);
                wanted.set("a:b".into(), 2, false);
            });
            let answered = answered.load(Relaxed);
            let found =
                interest.shards("a:b", Some(0)).is_some_and(|(_, by)| by.iter().any(|shard| shard == 1));
            assert!(found || !answered, "answered, and not found");
            subscribing.join().unwrap();
            leaving.join().unwrap();
            assert_eq!(interest.shards("a:b", None).map(|(_, by)| by), Some(std::iter::once(1).collect()));
        });
    }
}
