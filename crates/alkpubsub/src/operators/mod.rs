//! What streams of [`Item`]s have beside what every stream has.
//!
//! A [`Subscription`](crate::Subscription) is a `Stream`, so that `futures` and `tokio-stream` bring most of what there is
//! to do with one. What they do not bring is in [`Operators`], and clashes with no name of theirs.
//!
//! # What holds for all
//!
//! - **Losses keep their place.** [`Item::Lagged`], [`Item::Gap`] and [`Item::Undecodable`] pass where they stood among
//!   the events, and are not counted as events. No batch and no window reaches across one: what was gathered before it
//!   is given first (a batch) or let go (a window, which is to have no hole).
//! - **Nothing is read ahead**: the source is read while somebody waits for an item. Each operator holds no more than it
//!   says.
//! - **Cancel-safe.** What was read and not yet given is kept in the stream, not in the future that waits for it: that
//!   one may be dropped at any time, in a `select!` for example, and the next call goes on where it stood.
//! - **At the end**, what was gathered is given, then `None`.
//! - **Time** is that of a [`Timer`] of the program's choice, on native targets and on wasm32.
//!
//! # The thirteen of `@alkdev/pubsub`, in Rust
//!
//! | there | here |
//! | --- | --- |
//! | `filter` | `StreamExt::filter` with [`Item::as_event`] ([how](#filter)) |
//! | `map` | `StreamExt::map` with [`Item::map`] ([how](#map)) |
//! | `take` | `StreamExt::take` ([how](#take)) |
//! | `reduce` | `StreamExt::fold` ([how](#reduce)) |
//! | `toArray` | `StreamExt::collect` ([how](#toarray)) |
//! | `flat` | `StreamExt::flat_map` with [`Item::flatten`] ([how](#flat)) |
//! | `chain` | `StreamExt::chain` ([how](#chain)) |
//! | `join` | `stream::select_all`; to keep the order across topics, [`subscribe_many`](crate::PubSub::subscribe_many) ([how](#join)) |
//! | `pipe` | one method call after the other ([how](#pipe)) |
//! | `batch` | [`Operators::batch`] |
//! | `dedupe` | [`Operators::dedupe`] |
//! | `window` | [`Operators::window`] |
//! | `groupBy` | [`Operators::group_by`] |
//!
//! `StreamExt` is that of `futures` below. In all of these `items` gives an event 1, a loss of five, and the events 2 and 3.
//!
//! ## filter
//!
//! Losses are kept where they are not asked:
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let odd = items().filter(|item| ready(item.as_event().is_none_or(|n| n % 2 == 1)));
//! let odd: Vec<_> = odd.collect().await;
//! assert!(matches!(odd[..], [Item::Event(1), Item::Lagged(5), Item::Event(3)]));
//! # }).unwrap();
//! ```
//!
//! ## map
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let doubled: Vec<_> = items().map(|item| item.map(|n| n * 2)).collect().await;
//! assert!(matches!(doubled[..], [Item::Event(2), Item::Lagged(5), Item::Event(4), Item::Event(6)]));
//! # }).unwrap();
//! ```
//!
//! ## take
//!
//! It counts items, and a loss is one. Of the events alone, those of [`Subscription::events`](crate::Subscription::events)
//! or of a `filter_map`:
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! assert_eq!(items().take(2).count().await, 2); // the event 1, and the loss
//! let events: Vec<_> = items().filter_map(|item| ready(item.event())).take(2).collect().await;
//! assert_eq!(events, [1, 2]);
//! # }).unwrap();
//! ```
//!
//! ## reduce
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let (sum, missed) = items()
//!     .fold((0, 0), async |(sum, missed), item| match item {
//!         Item::Event(n) => (sum + n, missed),
//!         Item::Lagged(n) => (sum, missed + n),
//!         _ => (sum, missed + 1),
//!     })
//!     .await;
//! assert_eq!((sum, missed), (6, 5));
//! # }).unwrap();
//! ```
//!
//! ## toArray
//!
//! With a bound, as the stream of a subscription has none:
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let all: Vec<Item<u32>> = items().take(1000).collect().await;
//! assert_eq!(all.len(), 4);
//! # }).unwrap();
//! ```
//!
//! ## flat
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let pairs = items().map(|item| item.map(|n| [n, n * 10]));
//! let flat: Vec<_> = pairs.flat_map(|item| stream::iter(item.flatten())).take(3).collect().await;
//! assert!(matches!(flat[..], [Item::Event(1), Item::Event(10), Item::Lagged(5)]));
//! # }).unwrap();
//! ```
//!
//! ## chain
//!
//! A second subscription that is there already queues, and may lose, while the first is read. One that begins where the
//! first ends is `stream::once(subscribe).flatten()`.
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let twice: Vec<_> = items().chain(items()).collect().await;
//! assert_eq!(twice.len(), 8);
//! # }).unwrap();
//! ```
//!
//! ## join
//!
//! Each in its turn, so that a busy stream does not keep the others back, and each in its own order. How two streams lie
//! to each other is not kept: where that matters, it is [`subscribe_many`](crate::PubSub::subscribe_many).
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! let tens = stream::iter([10, 20]).map(Item::Event).boxed();
//! let merged = stream::select_all([items().boxed(), tens]);
//! let merged: Vec<_> = merged.filter_map(|item| ready(item.event())).collect().await;
//! assert_eq!(merged.len(), 5);
//! assert!(merged[..3].contains(&10), "the second had its turn among the first");
//! # }).unwrap();
//! ```
//!
//! ## pipe
//!
//! A stage of one's own is a function:
//!
//! ```
//! # futures_util::FutureExt::now_or_never(async {
//! # use alkpubsub::Item;
//! # use futures_util::{StreamExt, stream};
//! # use std::future::ready;
//! # let items = || stream::iter([Item::Event(1), Item::Lagged(5), Item::Event(2), Item::Event(3)]);
//! use alkpubsub::operators::Operators;
//! use futures_util::Stream;
//!
//! fn sums(numbers: impl Stream<Item = Item<u32>>) -> impl Stream<Item = Item<u32>> {
//!     numbers.window(2).map(|item| item.map(|pair| pair.iter().sum()))
//! }
//!
//! let all: Vec<_> = sums(items().map(|item| item.map(|n| n + 1))).batch(10).collect().await;
//! // [2] is no pair, and no window reaches across the loss.
//! assert!(matches!(&all[..], [Item::Lagged(5), Item::Event(batch)] if batch == &[7]));
//! # }).unwrap();
//! ```

mod batch;
mod dedupe;
mod group_by;
mod timer;
mod window;

pub use batch::Batch;
pub use dedupe::Dedupe;
pub use group_by::{Group, GroupBy};
#[cfg(feature = "tokio-timer")]
pub use timer::TokioTimer;
pub use timer::{NoTimer, Timer};
pub use window::Window;

use crate::subscription::Item;
use futures_core::Stream;
use std::hash::Hash;

/// `Debug` that shows settings and no events.
macro_rules! opaque_debug {
    ($name:ident<$($generic:ident $(: $bound:path)?),*> { $($field:ident),* }) => {
        impl<$($generic $(: $bound)?),*> std::fmt::Debug for $name<$($generic),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    };
}
use opaque_debug;

/// The operators on a stream of [`Item`]s: a subscription, or what another operator made of one. For a stream of plain
/// events, `stream.map(Item::Event)` is one of items.
///
/// Each is configured by methods of what it gives, before that is read.
pub trait Operators<T>: Stream<Item = Item<T>> + Sized {
    /// Puts events together, each in one batch, of at most `count` (0 counts as 1), and with
    /// [`bytes`](Batch::bytes) and [`within`](Batch::within) no heavier and no later than these say: whichever comes
    /// first. No batch is empty.
    ///
    /// A loss ends the batch before it, and follows as an item of its own. Holds one batch and one item; allocates the
    /// batches.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use alkpubsub::operators::Operators;
    /// use alkpubsub::{Item, PubSub, QueueLimits};
    /// use futures_util::StreamExt;
    ///
    /// let pubsub = PubSub::in_process();
    /// let limits = QueueLimits::DEFAULT.max_events(4);
    /// let ticks = pubsub.subscribe_envelopes_within("tick", "", limits).await?;
    /// let mut batches = ticks.batch(3).bytes(64 << 10, |event| event.weight());
    /// for n in 1..=6 {
    ///     pubsub.publish_json("tick", "", &n).await?;
    /// }
    /// pubsub.target().close();
    /// // The first two are lost, and it is told before the batch of those behind.
    /// assert!(matches!(batches.next().await, Some(Item::Lagged(2))));
    /// assert_eq!(batches.next().await.unwrap().event().unwrap().len(), 3);
    /// assert_eq!(batches.next().await.unwrap().event().unwrap().len(), 1);
    /// assert!(batches.next().await.is_none());
    /// # Ok(())
    /// # }
    /// # futures_util::FutureExt::now_or_never(example()).unwrap().unwrap();
    /// ```
    ///
    /// None older than a quarter of a second, with the feature `tokio-timer`. As tokio's alarms are to stay in their
    /// place, such a stream is pinned where it is read:
    ///
    /// ```
    /// # #[cfg(feature = "tokio-timer")] {
    /// use alkpubsub::operators::{Operators, TokioTimer};
    /// use alkpubsub::{EventEnvelope, Item, Subscription};
    /// use futures_util::StreamExt;
    /// use std::pin::pin;
    /// use std::time::Duration;
    ///
    /// # async fn example(events: Subscription<EventEnvelope>) {
    /// let mut rows = pin!(events.batch(100).within(Duration::from_millis(250), TokioTimer::new()));
    /// while let Some(item) = rows.next().await {
    ///     match item {
    ///         Item::Event(rows) => println!("{} at once", rows.len()),
    ///         loss => eprintln!("{loss:?}"),
    ///     }
    /// }
    /// # }
    /// # }
    /// ```
    fn batch(self, count: usize) -> Batch<Self, T> {
        Batch::new(self, count)
    }

    /// Leaves out an event whose key is that of the one let through before it; with [`last`](Dedupe::last) and
    /// [`within`](Dedupe::within), whose key was let through among the last so many, not longer ago than so long.
    ///
    /// What is left out makes its key no younger, so that within a time something that repeats for ever comes through
    /// once in that time. A loss passes, and makes no key forgotten. Holds the keys, and no event; allocates nothing once it
    /// holds as many keys as it may.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use alkpubsub::operators::Operators;
    /// use alkpubsub::{EventEnvelope, Item, PubSub, QueueLimits};
    /// use futures_util::StreamExt;
    ///
    /// let pubsub = PubSub::in_process();
    /// let limits = QueueLimits::DEFAULT.max_events(4);
    /// let state = pubsub.subscribe_envelopes_within("state", "", limits).await?;
    /// for state in ["off", "on", "on", "off", "off"] {
    ///     pubsub.publish_json("state", "", &state).await?;
    /// }
    /// pubsub.target().close();
    /// let mut changes = state.dedupe(|event| event.payload::<String>().ok());
    /// let json = |item: Item<EventEnvelope>| item.event().unwrap().payload_json().unwrap().map(str::to_owned);
    /// assert!(matches!(changes.next().await, Some(Item::Lagged(1))));
    /// assert_eq!(changes.next().await.and_then(json).as_deref(), Some(r#""on""#));
    /// assert_eq!(changes.next().await.and_then(json).as_deref(), Some(r#""off""#));
    /// assert!(changes.next().await.is_none());
    /// # Ok(())
    /// # }
    /// # futures_util::FutureExt::now_or_never(example()).unwrap().unwrap();
    /// ```
    fn dedupe<K, F>(self, key: F) -> Dedupe<Self, F, K>
    where
        K: Eq + Hash,
        F: FnMut(&T) -> K,
    {
        Dedupe::new(self, key)
    }

    /// The last `count` events (0 counts as 1), given after each event, or every [`step`](Window::step) events; with
    /// [`within`](Window::within), those of a time, of which there may be fewer.
    ///
    /// A window by count is always full, and a window has no hole: behind a loss it begins anew. Holds `count` events;
    /// allocates the windows.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use alkpubsub::operators::Operators;
    /// use alkpubsub::{Item, PubSub, QueueLimits};
    /// use futures_util::StreamExt;
    ///
    /// let pubsub = PubSub::in_process();
    /// let limits = QueueLimits::DEFAULT.max_events(4);
    /// let samples = pubsub.subscribe_envelopes_within("sample", "", limits).await?;
    /// for n in 1..=6 {
    ///     pubsub.publish_json("sample", "", &n).await?;
    /// }
    /// pubsub.target().close();
    /// // 1 and 2 are lost. The windows are [3, 4, 5] and [4, 5, 6].
    /// let sum = |window: Vec<alkpubsub::EventEnvelope>| -> u32 {
    ///     window.iter().map(|event| event.payload::<u32>().unwrap()).sum()
    /// };
    /// let mut sums = samples.window(3).map(|item| item.map(sum));
    /// assert!(matches!(sums.next().await, Some(Item::Lagged(2))));
    /// assert!(matches!(sums.next().await, Some(Item::Event(12))));
    /// assert!(matches!(sums.next().await, Some(Item::Event(15))));
    /// assert!(sums.next().await.is_none());
    /// # Ok(())
    /// # }
    /// # futures_util::FutureExt::now_or_never(example()).unwrap().unwrap();
    /// ```
    fn window(self, count: usize) -> Window<Self, T> {
        Window::new(self, count)
    }

    /// Sorts events into a stream for each key. Gives a [`Group`] when a key comes for the first time, or again after its
    /// group has ended or was dropped.
    ///
    /// The source is read by whoever waits, for a group or for an event of one. What is for others waits in their
    /// [queues](GroupBy::queue), bounded like that of a subscription: a group that nobody reads blocks nobody, and what
    /// it loses is [`Item::Lagged`] in its own stream. There are at most so many [groups](GroupBy::groups) at a
    /// time, and as many that nobody has fetched yet: beyond, the oldest of these goes, and what it held is
    /// [`Item::Lagged`] in the stream of groups.
    ///
    /// - A loss of the source stands in the stream of groups as it is and in every group as [`Item::Gap`], as nobody knows
    ///   whose events are missing. An undecodable event stands in the stream of groups.
    /// - Dropping a group forgets it. Dropping the stream of groups drops the source, and ends the groups after what
    ///   waits in them.
    /// - The groups can be read on as many tasks as there are, where the source is `Send`. When the source wakes,
    ///   all that wait are woken.
    ///
    /// Allocates the groups and, as they grow, their queues; nothing for an event.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use alkpubsub::operators::Operators;
    /// use alkpubsub::{Item, PubSub, QueueLimits};
    /// use futures_util::StreamExt;
    ///
    /// let pubsub = PubSub::in_process();
    /// let numbers = pubsub.subscribe_envelopes("number", "").await?;
    /// let number = |event: &alkpubsub::EventEnvelope| event.payload::<u32>().unwrap_or_default();
    /// let mut groups = numbers.group_by(move |event| number(event) % 2).queue(QueueLimits::DEFAULT.max_events(2));
    /// for n in 1..=8 {
    ///     pubsub.publish_json("number", "", &n).await?;
    /// }
    /// pubsub.target().close();
    /// let mut odd = groups.next().await.unwrap().event().unwrap();
    /// let even = groups.next().await.unwrap().event().unwrap();
    /// assert_eq!((odd.key(), even.key()), (&1, &0));
    /// // Nobody reads the even ones. Of the odd ones, two can wait; all were read before the end was.
    /// assert!(groups.next().await.is_none());
    /// assert!(matches!(odd.next().await, Some(Item::Lagged(2))));
    /// assert_eq!(odd.next().await.unwrap().event().as_ref().map(number), Some(5));
    /// assert_eq!(odd.next().await.unwrap().event().as_ref().map(number), Some(7));
    /// assert!(odd.next().await.is_none());
    /// # Ok(())
    /// # }
    /// # futures_util::FutureExt::now_or_never(example()).unwrap().unwrap();
    /// ```
    #[doc(alias = "groupBy")]
    fn group_by<K, F>(self, key: F) -> GroupBy<Self, T, F, K>
    where
        K: Eq + Hash,
        F: FnMut(&T) -> K,
    {
        GroupBy::new(self, key)
    }
}

impl<T, S: Stream<Item = Item<T>>> Operators<T> for S {}
