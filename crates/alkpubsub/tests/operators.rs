//! The operators beside naive ones on vectors, read patiently and impatiently; their time is a clock that stands still.

use alkpubsub::operators::{GroupBy, Operators, Timer, TokioTimer};
use alkpubsub::{
    Event, EventEnvelope, EventTarget, GapReason, InProcess, Item, Overflow, PubSub, QueueLimits,
};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

#[path = "operators/many.rs"]
mod many;
#[path = "operators/model.rs"]
mod model;
#[path = "operators/threads.rs"]
mod threads;

use model::{Model, Shown, show};

#[derive(Serialize, Deserialize)]
struct Number(u8);

impl Event for Number {
    const TYPE: &'static str = "number";
}

/// What a reader gets for an event that is no number.
fn undecodable<T>() -> Item<T> {
    static ONE: LazyLock<alkpubsub::Undecodable> = LazyLock::new(|| {
        let made = async {
            let pubsub = PubSub::in_process();
            let mut numbers = pubsub.subscribe::<Number>("").await.expect("a subscription");
            pubsub.publish_json("number", "", &"one").await.expect("it is open");
            match numbers.next().await {
                Some(Item::Undecodable(undecodable)) => undecodable,
                other => panic!("{other:?}"),
            }
        };
        made.now_or_never().expect("in-process it is there at once")
    });
    Item::Undecodable(ONE.clone())
}

fn items() -> impl Strategy<Value = Item<u8>> {
    prop_oneof![
        12 => (0..6_u8).prop_map(Item::Event),
        1 => (1..4_u64).prop_map(Item::Lagged),
        1 => Just(Item::Gap(GapReason::Broker)),
        1 => Just(()).prop_map(|()| undecodable()),
    ]
}

/// Items, and how many milliseconds after the one before each comes: an even number, so that nothing comes in the moment
/// in which an odd time is over.
fn schedules() -> impl Strategy<Value = Vec<(u64, Item<u8>)>> {
    vec((prop_oneof![Just(0), (1..6_u64).prop_map(|n| 2 * n)], items()), 0..40)
}

fn source(schedule: &[(u64, Item<u8>)]) -> impl Stream<Item = Item<u8>> + use<> {
    stream::iter(schedule.to_vec()).then(async |(after, item)| {
        if after > 0 {
            tokio::time::sleep(Duration::from_millis(after)).await;
        }
        item
    })
}

/// What comes, and when. An impatient reader drops each future that is not ready at once, and asks again a little later.
fn read<T, S: Stream<Item = Item<T>>>(impatient: bool, make: impl FnOnce() -> S) -> Vec<(u64, Shown)>
where
    T: std::fmt::Debug,
{
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let start = tokio::time::Instant::now();
        let mut stream = std::pin::pin!(make());
        let mut read = Vec::new();
        loop {
            let item = if impatient {
                tokio::select! {
                    biased;
                    item = stream.next() => item,
                    () = tokio::time::sleep(Duration::from_millis(1)) => continue,
                }
            } else {
                stream.next().await
            };
            let Some(item) = item else { return read };
            read.push((start.elapsed().as_millis() as u64, show(item)));
        }
    })
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batch(
        schedule in schedules(),
        count in 0..6_usize,
        bytes in prop::option::of(0..12_usize),
        within in prop::option::of((0..8_u64).prop_map(|n| 2 * n + 1)),
        impatient: bool,
    ) {
        let expected = model::batch(&schedule, count, bytes.unwrap_or(usize::MAX), within.unwrap_or(u64::MAX));
        let weigh = |event: &u8| usize::from(*event);
        let read = match (bytes, within) {
            (None, None) => read(impatient, || source(&schedule).batch(count)),
            (Some(bytes), None) => read(impatient, || source(&schedule).batch(count).bytes(bytes, weigh)),
            (None, Some(within)) =>
                read(impatient, || source(&schedule).batch(count).within(millis(within), TokioTimer::new())),
            (Some(bytes), Some(within)) => read(impatient, || {
                source(&schedule).batch(count).within(millis(within), TokioTimer::new()).bytes(bytes, weigh)
            }),
        };
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn dedupe(
        schedule in schedules(),
        last in prop::option::of(0..5_usize),
        within in prop::option::of((0..8_u64).prop_map(|n| 2 * n + 1)),
        impatient: bool,
    ) {
        let expected = model::dedupe(&schedule, last.unwrap_or(if within.is_some() { 1024 } else { 1 }), within.unwrap_or(u64::MAX));
        let dedupe = || source(&schedule).dedupe(|event| *event);
        let clock = TokioTimer::new;
        let read = match (last, within) {
            (None, None) => read(impatient, dedupe),
            (Some(last), None) => read(impatient, || dedupe().last(last)),
            (None, Some(within)) => read(impatient, || dedupe().within(millis(within), clock())),
            (Some(last), Some(within)) => {
                read(impatient, || dedupe().last(last).within(millis(within), clock()))
            }
        };
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn window(
        schedule in schedules(),
        count in 0..5_usize,
        step in 0..7_usize,
        within in prop::option::of((0..8_u64).prop_map(|n| 2 * n + 1)),
        impatient: bool,
    ) {
        let expected = model::window(&schedule, count, step, within);
        let read = match within {
            None => read(impatient, || source(&schedule).window(count).step(step)),
            Some(within) => read(impatient, || {
                source(&schedule).window(count).within(millis(within), TokioTimer::new()).step(step)
            }),
        };
        prop_assert_eq!(read, expected);
    }

    /// One task asks for groups and for events of groups and drops groups, in any order.
    #[test]
    fn group_by(
        items in vec(items(), 0..60),
        groups in 1..5_usize,
        queue in 1..4_usize,
        bytes in prop::option::of(0..8_usize),
        overflow in prop_oneof![Just(Overflow::DropOldest), Just(Overflow::DropNewest), Just(Overflow::Close)],
        asks in vec((0..4_u8, 0..6_usize), 0..60),
    ) {
        let mut limits = QueueLimits::DEFAULT.max_events(queue).overflow(overflow);
        let weigh = |event: &u8| usize::from(*event);
        let stream = stream::iter(items.clone());
        match bytes {
            None => ask(stream.group_by(|event| *event).groups(groups).queue(limits), items, groups, limits, weigh_none, asks)?,
            Some(bytes) => {
                limits.max_bytes = bytes;
                let grouped = stream.group_by(|event| *event).groups(groups).queue(limits).weigh(weigh);
                ask(grouped, items, groups, limits, weigh, asks)?;
            }
        }
    }
}

fn weigh_none(_: &u8) -> usize {
    0
}

fn ask<S, F, W>(
    grouped: GroupBy<S, u8, F, u8, W>,
    items: Vec<Item<u8>>,
    groups: usize,
    limits: QueueLimits,
    weigh: impl Fn(&u8) -> usize,
    asks: Vec<(u8, usize)>,
) -> Result<(), TestCaseError>
where
    S: Stream<Item = Item<u8>>,
    F: FnMut(&u8) -> u8,
    W: Fn(&u8) -> usize,
{
    let mut model = Model::new(items, groups, limits, weigh);
    let mut grouped = grouped;
    // With the number that the model knows it by.
    let mut open = Vec::new();
    for (what, which) in asks {
        match what {
            0 => {
                let item = grouped.next().now_or_never().expect("the source is ready");
                match (item, model.next_group()) {
                    (Some(Item::Event(group)), Some(Item::Event((number, key)))) => {
                        prop_assert_eq!(*group.key(), key);
                        open.push((number, group));
                    }
                    (given, expected) => prop_assert_eq!(
                        given.map(|item| show(item.map(|group| *group.key()))),
                        expected.map(|item| show(item.map(|(_, key)| key)))
                    ),
                }
            }
            1 if !open.is_empty() => {
                let (number, group) = open.remove(which % open.len());
                drop(group);
                model.drop_group(number);
            }
            _ if !open.is_empty() => {
                let at = which % open.len();
                let item = open[at].1.next().now_or_never().expect("the source is ready");
                prop_assert_eq!(item.map(show), model.next_event(open[at].0).map(show));
            }
            _ => {}
        }
    }
    // Nobody asks for groups any more: the others end after what waits in them.
    drop(grouped);
    model.close();
    for (number, mut group) in open {
        loop {
            let item = group.next().now_or_never().expect("the source is closed");
            let ended = item.is_none();
            prop_assert_eq!(item.map(show), model.next_event(number).map(show));
            if ended {
                break;
            }
        }
    }
    Ok(())
}

/// A time that is never over is a time, too.
#[test]
fn within_a_time_without_end_as_many_keys_are_remembered() {
    let items = || stream::iter([1, 2, 1, 2].map(Item::Event));
    for within in [Duration::MAX, Duration::MAX - Duration::from_nanos(1)] {
        assert_eq!(read(false, || items().dedupe(|event| *event).within(within, TokioTimer::new())).len(), 2);
    }
}

/// Its alarms ring when they are asked for the third time.
#[derive(Clone)]
struct Impatient;

impl Timer for Impatient {
    type Sleep = std::pin::Pin<Box<dyn Future<Output = ()>>>;

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Self::Sleep {
        let mut asked = 0;
        Box::pin(std::future::poll_fn(move |_| {
            asked += 1;
            if asked < 3 { Poll::Pending } else { Poll::Ready(()) }
        }))
    }
}

/// A source that always has more is stopped by the time, and lets other tasks have their turn meanwhile.
#[test]
fn a_batch_is_in_time_however_much_there_is() {
    let mut batches = numbers().batch(usize::MAX).within(millis(1), Impatient);
    let mut polls = 0;
    let first = loop {
        polls += 1;
        if let Some(item) = batches.next().now_or_never() {
            break item.expect("no end").event().expect("a batch");
        }
    };
    assert_eq!(polls, 3, "an alarm is asked once in a turn");
    assert!(first.len() < EVENTS / 2, "{} events", first.len());
}

/// That `futures` and `tokio-stream` may be in scope: a name of theirs would make this ambiguous.
#[test]
fn no_name_clashes() {
    #[expect(unused_imports, reason = "nothing of it is called")]
    use tokio_stream::StreamExt as _;
    let stream = || stream::iter([Item::Event(1), Item::Event(1), Item::Event(2)]);
    _ = stream().batch(1);
    _ = stream().dedupe(|event| *event).window(2).group_by(|window| window.len());
}

/// The fair merge that the operators' page names for `join`.
#[test]
fn select_all_is_fair() {
    let busy = |name: char| stream::repeat(name).boxed();
    let mut merged = stream::select_all(['a', 'b', 'c'].map(busy));
    let first: Vec<_> =
        (0..300).map(|_| merged.next().now_or_never().expect("ready").expect("no end")).collect();
    for name in ['a', 'b', 'c'] {
        assert_eq!(first.iter().filter(|of| **of == name).count(), 100);
    }
}

fn counted(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

fn drain(stream: impl Stream) -> usize {
    stream.count().now_or_never().expect("the source is ready")
}

const EVENTS: usize = 10_000;

fn numbers() -> stream::Iter<impl Iterator<Item = Item<usize>>> {
    stream::iter((0..EVENTS).map(Item::Event))
}

#[test]
fn nothing_is_allocated_for_an_event() {
    let few = |counted: u64| assert!(counted < 40, "{counted} allocations for {EVENTS} events");
    few(counted(|| assert_eq!(drain(numbers().dedupe(|event| event / 10).last(100)), EVENTS / 10)));
    // All of one group, read as they come.
    few(counted(|| {
        let mut groups = numbers().group_by(|event| event / EVENTS);
        let group = groups.next().now_or_never().expect("ready").expect("a group").event().expect("a group");
        assert_eq!(drain(group), EVENTS);
    }));
    // Of many groups, which nobody reads: their queues grow.
    few(counted(|| {
        let groups = numbers().group_by(|event| event % 2).queue(QueueLimits::DEFAULT.max_events(EVENTS));
        // It takes more than one turn.
        let mut all = groups.collect::<Vec<_>>();
        let groups = loop {
            if let Some(groups) = (&mut all).now_or_never() {
                break groups;
            }
        };
        assert_eq!(groups.len(), 2);
    }));
    let pubsub = PubSub::in_process();
    let both = pubsub.subscribe_many().envelopes("a", "", |event| event).envelopes("b", "", |event| event);
    let mut both = both.subscribe().now_or_never().expect("in-process").expect("a subscription");
    let events = ["a", "b"].map(|of| EventEnvelope::without_payload(of, "").expect("a topic"));
    few(counted(|| {
        for event in events.iter().cycle().take(EVENTS) {
            pubsub.target().dispatch_event_ref(event).expect("it is open");
            assert!(matches!(both.try_next(), Some(Item::Event(_))));
        }
    }));
}

#[test]
fn one_allocation_makes_a_batch_or_a_window() {
    let batches = EVENTS / 50;
    let made =
        |counted: u64| assert!(counted <= batches as u64 + 10, "{counted} allocations, {batches} batches");
    made(counted(|| assert_eq!(drain(numbers().batch(50).bytes(50, |_| 1)), batches)));
    made(counted(|| assert_eq!(drain(numbers().window(50).step(50)), batches)));
    made(counted(|| assert_eq!(drain(numbers().window(100).step(50)), batches - 1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let _entered = runtime.as_ref().expect("a runtime").enter();
    made(counted(|| {
        let batches = numbers().batch(50).within(millis(5), TokioTimer::new());
        drain(batches);
    }));
}

/// A thousand lives of what has state shared between readers leave nothing.
#[test]
fn groups_leave_nothing() {
    let life = |round: usize| {
        let target = Arc::new(InProcess::new());
        let pubsub = PubSub::new(target.clone());
        let numbers = pubsub.subscribe_envelopes("n", "").now_or_never().expect("ready").expect("open");
        let mut groups = numbers.group_by(|event| event.payload::<u32>().unwrap_or_default() % 5).groups(3);
        let mut kept = Vec::new();
        for n in 0..20 {
            pubsub.publish_json("n", "", &n).now_or_never().expect("ready").expect("open");
            if n % 2 == 0
                && let Some(Some(Item::Event(group))) = groups.next().now_or_never()
            {
                kept.push(group);
            }
            kept.retain_mut(|group| {
                _ = group.next().now_or_never();
                !(round + *group.key() as usize).is_multiple_of(3)
            });
        }
        if round.is_multiple_of(2) {
            drop(groups);
            // Without readers of groups there is no source.
            assert_eq!(target.stats().listeners, 0);
            drop(kept);
        } else {
            drop(kept);
            assert_eq!(target.stats().listeners, 1);
        }
    };
    (0..50).for_each(life);
    let counted = allocation_counter::measure(|| (0..1000).for_each(life));
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0));
}

#[test]
fn items_are_changed_and_taken_apart() {
    let item = Item::Event(vec![1, 2]);
    assert_eq!(item.as_event().map(Vec::len), Some(2));
    let parts: Vec<_> = item.map(|numbers| numbers.into_iter().map(|n| n * 2)).flatten().map(show).collect();
    assert_eq!(parts, [Item::Event(2), Item::Event(4)].map(show));
    let loss = Item::<Vec<u8>>::Lagged(3);
    assert!(loss.as_event().is_none());
    assert_eq!(loss.map(|_| vec![0]).flatten().map(show).collect::<Vec<_>>(), [show(Item::<u8>::Lagged(3))]);
}
