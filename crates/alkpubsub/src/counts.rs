//! Counters of the dispatch, which all threads add to and few read.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

/// As many threads at a time as have a place of their own; the others share one.
const PLACES: usize = 8;

/// A few numbers that only grow, exact whoever adds to them.
///
/// A counter that threads share is an atomic addition each time, which costs as much as a lock. Here a thread adds to
/// numbers that no other thread writes while it lives: a load, a store.
#[derive(Debug)]
pub(crate) struct Counts<const N: usize> {
    own: OnceLock<Box<[[AtomicU64; N]; PLACES]>>,
    shared: [AtomicU64; N],
}

impl<const N: usize> Counts<N> {
    /// Takes the memory for numbers of threads' own: not before there is something to count, as most of the many
    /// targets of a hub never have.
    pub(crate) fn prepare(&self) {
        self.own.get_or_init(|| Box::new(std::array::from_fn(|_| zeros())));
    }

    #[inline]
    pub(crate) fn add(&self, numbers: [u64; N]) {
        let place = PLACE.get();
        if let Some(own) = self.own.get().and_then(|places| places.get(place)) {
            for (count, number) in own.iter().zip(numbers) {
                count.store(count.load(Relaxed) + number, Relaxed);
            }
        } else {
            self.add_shared(numbers);
        }
    }

    #[cold]
    fn add_shared(&self, numbers: [u64; N]) {
        // For the next time. While a thread ends it has given its place back already.
        if PLACE.get() == UNKNOWN {
            PLACE.set(HELD.try_with(|held| held.0).ok().flatten().unwrap_or(NONE));
        }
        for (count, number) in self.shared.iter().zip(numbers) {
            count.fetch_add(number, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> [u64; N] {
        std::array::from_fn(|at| {
            let own = self.own.get().into_iter().flat_map(|places| places.iter());
            own.map(|place| place[at].load(Relaxed)).sum::<u64>() + self.shared[at].load(Relaxed)
        })
    }
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self { own: OnceLock::new(), shared: zeros() }
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

const UNKNOWN: usize = usize::MAX;
const NONE: usize = usize::MAX - 1;

/// One bit for each place that a living thread has.
static TAKEN: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Beside what gives it back, as a thread's variable that needs no dropping is read at once.
    static PLACE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static HELD: Held = Held::take();
}

/// **Invariant:** of two living threads, no two have the same place. Giving back releases what the thread has
/// written, and taking acquires it.
struct Held(Option<usize>);

impl Held {
    fn take() -> Self {
        let free = |taken: u32| (0..PLACES).find(|place| taken & (1 << place) == 0);
        let taken = TAKEN.fetch_update(AcqRel, Acquire, |taken| Some(taken | 1 << free(taken)?));
        Self(taken.ok().and_then(free))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        PLACE.set(NONE);
        if let Some(place) = self.0 {
            TAKEN.fetch_and(!(1 << place), AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn what_more_threads_add_than_there_are_places_is_counted_to_the_last() {
        let counts = Counts::<2>::default();
        counts.prepare();
        for _ in 0..4 {
            let start = Barrier::new(3 * PLACES);
            std::thread::scope(|threads| {
                for _ in 0..3 * PLACES {
                    threads.spawn(|| {
                        start.wait();
                        (0..1000).for_each(|_| counts.add([1, 2]));
                        start.wait();
                    });
                }
            });
        }
        let all = 4 * 3 * PLACES as u64 * 1000;
        assert_eq!(counts.read(), [all, 2 * all]);
    }
}
