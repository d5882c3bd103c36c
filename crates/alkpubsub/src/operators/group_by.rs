//! A stream for each key.
//!
//! Whoever waits, for a group or for an event of one, reads the source, and puts what is for others into their queues.
//! So nobody depends on another's reading. Two locks: `source` is held while the source is polled and the program's
//! functions run, and is only ever tried; `table` is held for a moment, and nothing of the program's runs meanwhile but
//! the `Eq` of its keys.

use super::opaque_debug;
use crate::queue::{QueueLimits, Queued};
use crate::subscription::Item;
use crate::sync::{Mutex, MutexGuard};
use futures_core::Stream;
use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use table::{Found, Reader, Table, Taken};

mod table;

/// How many items one reader takes from the source for others before the other tasks have their turn.
const TURN: usize = 256;

/// What [`group_by`](super::Operators::group_by) gives: a stream of `Item<Group<..>>`.
#[must_use = "a stream does nothing unless it is read"]
pub struct GroupBy<S, T, F, K, W = fn(&T) -> usize> {
    shared: Arc<Shared<S, T, F, K, W>>,
}

opaque_debug!(GroupBy < S, T, F, K, W > {});

/// The events of one key, as a stream of [`Item`]s. Dropping it forgets the group; the next event of its key begins
/// another.
#[must_use = "a group that is dropped is forgotten"]
pub struct Group<S, T, F, K, W = fn(&T) -> usize> {
    shared: Arc<Shared<S, T, F, K, W>>,
    key: Arc<K>,
    slot: usize,
}

struct Shared<S, T, F, K, W> {
    /// `None` once it has ended, or nobody is there for new groups.
    source: Mutex<Option<Source<S, F, W>>>,
    table: Mutex<Table<T, K>>,
    wakers: Arc<Wakers>,
}

struct Source<S, F, W> {
    stream: Pin<Box<S>>,
    key: F,
    weigh: Option<W>,
}

/// Why a reader went no further.
enum Read {
    Pending,
    /// There is something for itself, or it was its turn.
    Enough,
    End,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of those who wait. The source wakes all: which of them still wants to read cannot be known.
struct Wakers(Mutex<Vec<Option<Waker>>>);

impl Default for Wakers {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl Wakers {
    fn register(&self, reader: Reader, waker: &Waker) {
        let mut wakers = lock(&self.0);
        if wakers.len() <= reader.place() {
            wakers.resize(reader.place() + 1, None);
        }
        let place = &mut wakers[reader.place()];
        let earlier = match place {
            Some(known) if known.will_wake(waker) => None,
            _ => place.replace(waker.clone()),
        };
        drop(wakers);
        // A waker may own the task that it wakes, and with it a group.
        drop(earlier);
    }

    fn take(&self, reader: Reader) -> Option<Waker> {
        lock(&self.0).get_mut(reader.place()).and_then(Option::take)
    }

    fn wake_one(&self, reader: Reader) {
        if let Some(waker) = self.take(reader) {
            waker.wake();
        }
    }

    fn wake_all(&self) {
        let mut place = 0;
        loop {
            let mut wakers = lock(&self.0);
            let Some(waker) = wakers.get_mut(place).map(Option::take) else { return };
            drop(wakers);
            if let Some(waker) = waker {
                waker.wake();
            }
            place += 1;
        }
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

/// Wakes those who found the source being read, where that ends by a panic of the program's own.
struct Unwinding<'w>(&'w Wakers);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wake_all();
        }
    }
}

impl<S, T, F, K> GroupBy<S, T, F, K> {
    pub(super) fn new(source: S, key: F) -> Self {
        let source = Source { stream: Box::pin(source), key, weigh: None };
        let limits = QueueLimits::DEFAULT;
        Self::of(source, Table::new(1024, limits))
    }
}

impl<S, T, F, K, W> GroupBy<S, T, F, K, W> {
    fn of(source: Source<S, F, W>, table: Table<T, K>) -> Self {
        let shared =
            Shared { source: Mutex::new(Some(source)), table: Mutex::new(table), wakers: Arc::default() };
        Self { shared: Arc::new(shared) }
    }

    /// At most so many groups at a time, 1,024 unless said otherwise; 0 counts as 1. A key beyond it ends the group that
    /// has been without an event for the longest time, after what waits in it.
    pub fn groups(self, groups: usize) -> Self {
        lock(&self.shared.table).set_groups(groups.max(1));
        self
    }

    /// The queue of each group: its bound in events and what happens beyond. [`Overflow::Close`](crate::Overflow::Close)
    /// ends the group, with the loss as its last item.
    /// [`QueueLimits::DEFAULT`] unless said otherwise; its bound in bytes asks for [`weigh`](Self::weigh).
    pub fn queue(self, limits: QueueLimits) -> Self {
        lock(&self.shared.table).set_limits(limits);
        self
    }

    /// What an event counts for against the bound in bytes of its group's queue; for typed events that is
    /// `|event| event.envelope().weight()`.
    pub fn weigh<V: Fn(&T) -> usize>(self, weigh: V) -> GroupBy<S, T, F, K, V> {
        // Nothing was read yet, so that nobody else is there.
        let source = lock(&self.shared.source).take();
        let table = std::mem::replace(&mut *lock(&self.shared.table), Table::new(1, QueueLimits::DEFAULT));
        let shared = Shared {
            source: Mutex::new(source.map(|Source { stream, key, .. }| Source {
                stream,
                key,
                weigh: Some(weigh),
            })),
            table: Mutex::new(table),
            wakers: Arc::default(),
        };
        GroupBy { shared: Arc::new(shared) }
    }
}

impl<S, T, F, K, W> Shared<S, T, F, K, W> {
    /// Lets the source go, where it is not being polled; who polls it does so afterwards.
    fn close(&self) {
        lock(&self.table).close();
        let source = self.lock_source().and_then(|mut source| source.take());
        drop(source);
        self.wakers.wake_all();
    }

    /// `None` where another one has it, who then knows that we were here.
    fn lock_source(&self) -> Option<MutexGuard<'_, Option<Source<S, F, W>>>> {
        let lock_source = || match self.source.try_lock() {
            Ok(source) => Some(source),
            Err(TryLockError::Poisoned(source)) => Some(source.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        lock_source().or_else(|| {
            lock(&self.table).again = true;
            // It may have been let go before that was said.
            lock_source()
        })
    }
}

impl<S, T, F, K, W> Shared<S, T, F, K, W>
where
    S: Stream<Item = Item<T>>,
    F: FnMut(&T) -> K,
    K: Eq + Hash,
    W: Fn(&T) -> usize,
{
    /// What waits for a reader; else the source is read until there is something.
    fn poll<R>(
        &self,
        reader: Reader,
        context: &mut Context<'_>,
        mut take: impl FnMut(&mut Table<T, K>) -> Poll<R>,
    ) -> Poll<R> {
        let taken = take(&mut lock(&self.table));
        if taken.is_ready() {
            return taken;
        }
        self.wakers.register(reader, context.waker());
        // It may have come before the waker was in place.
        self.read(reader);
        let taken = take(&mut lock(&self.table));
        if taken.is_ready() {
            drop(self.wakers.take(reader));
        }
        taken
    }

    /// Reads the source until there is something for this reader, or nothing left; not where another one does.
    ///
    /// **Invariant:** who waits has a waker here, and behind its registration the source was found pending, or is being
    /// read by one who will see `again`. Who stops where the source has more wakes those who said it.
    fn read(&self, reader: Reader) {
        // Behind what holds the source.
        let _unwinding = Unwinding(&self.wakers);
        let mut turn = 0;
        // Somebody found the source being read by us.
        let mut owed = false;
        while let Some(mut source) = self.lock_source() {
            let closed = lock(&self.table).is_closed();
            let reading = source.as_mut().filter(|_| !closed);
            let read = reading.map_or(Read::End, |source| self.read_some(source, reader, &mut turn));
            let ended = if matches!(read, Read::End) { source.take() } else { None };
            drop(source);
            let (again, closed) = {
                let mut table = lock(&self.table);
                (std::mem::take(&mut table.again), table.is_closed())
            };
            match read {
                // Whoever closed it could not let it go.
                Read::Pending | Read::Enough if closed => owed |= again,
                Read::Pending if !again => return,
                Read::Pending => owed = true,
                Read::Enough => {
                    if again || owed || turn >= TURN {
                        self.wakers.wake_all();
                    }
                    return;
                }
                Read::End => {
                    lock(&self.table).close();
                    if again || owed || ended.is_some() {
                        self.wakers.wake_all();
                    }
                    return;
                }
            }
        }
    }

    fn read_some(&self, source: &mut Source<S, F, W>, reader: Reader, turn: &mut usize) -> Read {
        let all = Waker::from(self.wakers.clone());
        let mut context = Context::from_waker(&all);
        while *turn < TURN {
            let Poll::Ready(item) = source.stream.as_mut().poll_next(&mut context) else {
                return Read::Pending;
            };
            let Some(item) = item else { return Read::End };
            *turn += 1;
            let Taken { wake, dropped } = match item.split() {
                Ok(event) => {
                    let weight = source.weigh.as_ref().map_or(0, |weigh| weigh(&event));
                    let key = (source.key)(&event);
                    lock(&self.table).event(key, event, weight)
                }
                Err(loss) => lock(&self.table).loss(loss),
            };
            drop(dropped);
            if wake.all {
                self.wakers.wake_all();
            } else {
                for woken in wake.readers.into_iter().flatten().filter(|woken| *woken != reader) {
                    self.wakers.wake_one(woken);
                }
            }
            if lock(&self.table).has_some(reader) {
                break;
            }
        }
        Read::Enough
    }
}

impl<S, T, F, K, W> Stream for GroupBy<S, T, F, K, W>
where
    S: Stream<Item = Item<T>>,
    F: FnMut(&T) -> K,
    K: Eq + Hash,
    W: Fn(&T) -> usize,
{
    type Item = Item<Group<S, T, F, K, W>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let found = std::task::ready!(self.shared.poll(Reader::GROUPS, context, Table::take_found));
        Poll::Ready(found.map(|found| match found {
            Queued::Event(Found::Group { slot, key }) => {
                Item::Event(Group { shared: self.shared.clone(), key, slot })
            }
            Queued::Event(Found::Undecodable(undecodable)) => Item::Undecodable(undecodable),
            Queued::Lagged(missed) => Item::Lagged(missed),
            Queued::Gap(reason) => Item::Gap(reason),
        }))
    }
}

impl<S, T, F, K, W> Group<S, T, F, K, W> {
    /// The key of its events.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<S, T, F, K, W> Stream for Group<S, T, F, K, W>
where
    S: Stream<Item = Item<T>>,
    F: FnMut(&T) -> K,
    K: Eq + Hash,
    W: Fn(&T) -> usize,
{
    type Item = Item<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let reader = Reader::group(self.slot);
        let queued =
            std::task::ready!(self.shared.poll(reader, context, |table| table.take_event(self.slot)));
        Poll::Ready(queued.map(|queued| match queued {
            Queued::Event(event) => Item::Event(event),
            Queued::Lagged(missed) => Item::Lagged(missed),
            Queued::Gap(reason) => Item::Gap(reason),
        }))
    }
}

impl<S, T, F, K, W> Drop for GroupBy<S, T, F, K, W> {
    fn drop(&mut self) {
        self.shared.close();
        // Groups that were not handed out have no reader any more.
        let dropped = lock(&self.shared.table).forget_found();
        drop(dropped);
    }
}

impl<S, T, F, K, W> Drop for Group<S, T, F, K, W> {
    fn drop(&mut self) {
        let waker = self.shared.wakers.take(Reader::group(self.slot));
        let dropped = lock(&self.shared.table).forget(self.slot);
        drop((waker, dropped));
    }
}

impl<S, T, F, K: fmt::Debug, W> fmt::Debug for Group<S, T, F, K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use crate::{EventEnvelope, EventTarget, InProcess, PubSub, operators::Operators};
    use loom::future::block_on;
    use loom::thread;

    async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
        std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
    }

    /// Where a wake-up was lost, all threads wait, and loom says so.
    #[test]
    fn two_readers_of_one_source_are_woken_by_what_comes_for_either() {
        let mut model = loom::model::Builder::new();
        // It has three threads and many locks: one less than the others is enough to wait for.
        model.preemption_bound = model.preemption_bound.map(|bound| bound.saturating_sub(1));
        model.check(|| {
            let target = Arc::new(InProcess::new());
            let publish = |target: &InProcess, number: u8| {
                target.dispatch_event(EventEnvelope::new("n", "", &number).unwrap()).unwrap();
            };
            let numbers = block_on(PubSub::new(target.clone()).subscribe_envelopes("n", "")).unwrap();
            let mut groups = numbers.group_by(|event| event.payload::<u8>().unwrap());
            let mut group = |number| {
                publish(&target, number);
                let mut group = block_on(next(&mut groups)).and_then(Item::event).unwrap();
                assert!(matches!(block_on(next(&mut group)), Some(Item::Event(_))));
                group
            };
            let (mut one, mut two) = (group(1), group(2));
            let reader = thread::spawn(move || {
                assert!(matches!(block_on(next(&mut one)), Some(Item::Event(_))));
                one
            });
            let publisher = thread::spawn(move || {
                publish(&target, 2);
                publish(&target, 1);
            });
            assert!(matches!(block_on(next(&mut two)), Some(Item::Event(_))));
            drop(reader.join().unwrap());
            publisher.join().unwrap();
        });
    }

    #[test]
    fn a_source_that_is_read_while_nobody_wants_groups_any_more_is_let_go() {
        loom::model(|| {
            let target = Arc::new(InProcess::new());
            let numbers = block_on(PubSub::new(target.clone()).subscribe_envelopes("n", "")).unwrap();
            let mut groups = numbers.group_by(|_| ());
            let publish = || target.dispatch_event(EventEnvelope::without_payload("n", "").unwrap()).unwrap();
            publish();
            let mut group = block_on(next(&mut groups)).and_then(Item::event).unwrap();
            publish();
            let reader = thread::spawn(move || {
                // What waits in the group; what waits in the source may be gone.
                assert!(matches!(block_on(next(&mut group)), Some(Item::Event(_))));
                _ = block_on(next(&mut group));
                group
            });
            drop(groups);
            let group = reader.join().unwrap();
            assert_eq!(target.stats().listeners, 0);
            drop(group);
        });
    }
}
