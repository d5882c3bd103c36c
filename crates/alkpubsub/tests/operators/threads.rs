//! Groups that are read on tasks of their own.

use alkpubsub::operators::Operators;
use alkpubsub::{EventEnvelope, Item, PubSub, QueueLimits};
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const WATCHDOG: Duration = Duration::from_secs(40);

fn number(event: &EventEnvelope) -> u32 {
    event.payload().expect("a number")
}

/// Whoever waits reads: the stream of groups is asked for nothing any more, and the groups go on. One reader after
/// the other gives up in the middle of its waiting.
#[tokio::test]
async fn a_group_goes_on_while_nobody_else_reads() {
    let pubsub = PubSub::in_process();
    let numbers = pubsub.subscribe_envelopes("n", "").await.expect("a subscription");
    let mut groups = numbers.group_by(|event| number(event) % 3);
    for n in 0..3 {
        pubsub.publish_json("n", "", &n).await.expect("it is open");
    }
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(groups.next().await.expect("no end").event().expect("a group"));
    }
    for group in &mut open {
        assert!(matches!(group.next().await, Some(Item::Event(_))));
    }
    // All wait; then all but the last are not polled any more, although they were the last to read the source.
    let mut last = open.pop().expect("three");
    let (key, reader) = (*last.key(), tokio::spawn(async move { last.next().await }));
    tokio::task::yield_now().await;
    assert!(groups.next().now_or_never().is_none());
    for group in &mut open {
        assert!(group.next().now_or_never().is_none());
    }
    pubsub.publish_json("n", "", &(key + 3)).await.expect("it is open");
    let item = tokio::time::timeout(WATCHDOG, reader).await.expect("the reader is woken").expect("no panic");
    assert_eq!(item.and_then(Item::event).as_ref().map(number), Some(key + 3));
}

#[tokio::test]
async fn an_end_wakes_all_readers() {
    let pubsub = PubSub::in_process();
    let numbers = pubsub.subscribe_envelopes("n", "").await.expect("a subscription");
    let mut groups = numbers.group_by(|event| number(event) % 2);
    let mut readers = Vec::new();
    for n in 0..2 {
        pubsub.publish_json("n", "", &n).await.expect("it is open");
        let mut group = groups.next().await.expect("no end").event().expect("a group");
        readers.push(tokio::spawn(async move {
            assert!(matches!(group.next().await, Some(Item::Event(_))));
            assert!(group.next().await.is_none());
        }));
    }
    let groups = tokio::spawn(async move { assert!(groups.next().await.is_none()) });
    tokio::task::yield_now().await;
    pubsub.target().close();
    for reader in readers.into_iter().chain([groups]) {
        tokio::time::timeout(WATCHDOG, reader).await.expect("it is woken").expect("it has the end");
    }
}

/// Nothing is lost, doubled or out of order, and nobody waits for ever, however the readers come and go between threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_event_of_a_group_comes_once_and_in_order() {
    const KEYS: u32 = 8;
    const EACH: u32 = 2_000;
    let pubsub = PubSub::in_process();
    let limits = QueueLimits::DEFAULT.max_events((KEYS * EACH) as usize).max_bytes(usize::MAX);
    let numbers = pubsub.subscribe_envelopes_within("n", "", limits).await.expect("a subscription");
    let mut groups = numbers.group_by(|event| number(event) % KEYS).queue(limits);
    let publisher = std::thread::spawn(move || {
        for n in 0..KEYS * EACH {
            pubsub.publish_json("n", "", &n).now_or_never().expect("ready").expect("it is open");
            if n % 64 == 0 {
                std::thread::yield_now();
            }
        }
        pubsub.target().close();
    });
    let read = async {
        let mut readers = Vec::new();
        while let Some(item) = groups.next().await {
            let mut group = item.event().expect("no loss");
            readers.push(tokio::spawn(async move {
                let mut next = *group.key();
                loop {
                    // Here and there one gives up and comes back.
                    let item = tokio::select! {
                        biased;
                        item = group.next() => item,
                        () = tokio::task::yield_now(), if next % 5 == 0 => continue,
                    };
                    let Some(item) = item else { return next };
                    assert_eq!(number(&item.event().expect("no loss")), next);
                    next += KEYS;
                }
            }));
        }
        for reader in readers {
            assert!(reader.await.expect("no panic") >= KEYS * EACH);
        }
    };
    tokio::time::timeout(WATCHDOG, read).await.expect("nobody waits for ever");
    publisher.join().expect("no panic");
}

/// Says whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// An event on which the function that gives keys panics.
const NO_KEY: u8 = 9;

type Reader = LocalBoxStream<'static, Item<u8>>;
type Lent = Rc<RefCell<Option<Reader>>>;

fn poll(reader: &mut Reader, flag: &Arc<Flag>) -> Poll<Option<Item<u8>>> {
    flag.0.store(false, Relaxed);
    reader.poll_next_unpin(&mut Context::from_waker(&Waker::from(flag.clone())))
}

/// The groups 0 and 1 of a source that gives an event of each, then what `then` says; it has the reader of group 1.
fn two(
    mut then: impl FnMut(u32, &mut Context<'_>, &mut Reader, &Arc<Flag>) -> Poll<u8> + 'static,
) -> ([Arc<Flag>; 2], Reader, Lent) {
    let flags = [Arc::new(Flag::default()), Arc::new(Flag::default())];
    let lent = Lent::default();
    let (borrowed, flag, mut polled) = (lent.clone(), flags[1].clone(), 0);
    let source = stream::iter([0, 1]).map(Item::Event).chain(stream::poll_fn(move |context| {
        // Taken out, as it is polled within its own poll.
        let Some(mut other) = borrowed.borrow_mut().take() else { return Poll::Pending };
        polled += 1;
        let given = then(polled, context, &mut other, &flag);
        borrowed.replace(Some(other));
        given.map(|event| Some(Item::Event(event)))
    }));
    let mut groups = source.group_by(|event| {
        assert_ne!(*event, NO_KEY);
        *event
    });
    let mut readers = Vec::new();
    for _ in 0..2 {
        let group = groups.next().now_or_never().expect("ready").expect("no end").event().expect("a group");
        readers.push(group.boxed_local());
    }
    for reader in &mut readers {
        assert!(reader.next().now_or_never().is_some());
    }
    // A source whose groups nobody asks for ends.
    std::mem::forget(groups);
    lent.replace(readers.pop());
    (flags, readers.pop().expect("two"), lent)
}

/// Two threads meet: one comes to wait in the moment after the source woke those who waited, and before the other one
/// has seen why. The other one takes what came for it, and says so.
#[test]
fn who_comes_while_another_reads_is_not_forgotten() {
    let (flags, mut reader, other) = two(|polled, context, other, flag| match polled {
        1 => {
            context.waker().wake_by_ref();
            assert!(poll(other, flag).is_pending());
            Poll::Pending
        }
        2 => Poll::Ready(1),
        _ => Poll::Pending,
    });
    assert!(poll(&mut reader, &flags[0]).is_pending());
    assert!(flags[1].0.load(Relaxed), "the event is there, and its reader sleeps");
    let mut other = other.take().expect("given back");
    assert!(matches!(poll(&mut other, &flags[1]), Poll::Ready(Some(Item::Event(1)))));
}

/// The same, and the other one finds an event of its own first.
#[test]
fn who_came_while_another_read_is_woken_by_one_who_has_enough() {
    let (flags, mut reader, other) = two(|polled, context, other, flag| match polled {
        1 => {
            context.waker().wake_by_ref();
            assert!(poll(other, flag).is_pending());
            Poll::Pending
        }
        2 => Poll::Ready(0),
        3 => Poll::Ready(1),
        _ => Poll::Pending,
    });
    assert!(matches!(poll(&mut reader, &flags[0]), Poll::Ready(Some(Item::Event(0)))));
    assert!(flags[1].0.load(Relaxed), "nobody reads the source, and its reader sleeps");
    drop(other);
}

#[test]
fn who_has_enough_hands_the_source_on() {
    let (flags, mut reader, other) = two(|polled, _, other, flag| match polled {
        1 => {
            assert!(poll(other, flag).is_pending());
            Poll::Ready(0)
        }
        2 => Poll::Ready(1),
        _ => Poll::Pending,
    });
    assert!(matches!(poll(&mut reader, &flags[0]), Poll::Ready(Some(Item::Event(0)))));
    assert!(flags[1].0.load(Relaxed), "nobody reads the source, and its reader sleeps");
    drop(other);
}

/// What panics takes along who polled it, and nobody else.
#[test]
fn who_came_while_another_read_is_woken_by_one_who_panics() {
    let (flags, mut reader, other) = two(|polled, _, other, flag| match polled {
        1 => {
            assert!(poll(other, flag).is_pending());
            Poll::Ready(NO_KEY)
        }
        2 => Poll::Ready(1),
        _ => Poll::Pending,
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| poll(&mut reader, &flags[0])));
    assert!(panicked.is_err());
    assert!(flags[1].0.load(Relaxed), "nobody reads the source, and its reader sleeps");
    drop(other);
}

/// A source that is always ready for others does not hold a task up.
#[test]
fn a_reader_takes_turns() {
    let (flags, mut reader, other) = two(|_, _, _, _| Poll::Ready(1));
    assert!(poll(&mut reader, &flags[0]).is_pending());
    assert!(flags[0].0.load(Relaxed), "it goes on");
    drop(other);
}
