//! A subscription: a topic read as a stream, through a bounded queue of its own.

use crate::envelope::{DecodeError, EventEnvelope};
use crate::event::Event;
use crate::event_target::{EventTarget, Listener, ListenerId, Notice, Readiness};
use crate::inbox::{End, Inbox};
use crate::protocol::control::GapReason;
use crate::queue::{QueueLimits, Queued};
use crate::topic::Topic;
use futures_core::Stream;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One item of a [`Subscription`]. Losses are items, in the place of the loss, so that a `while let` over events
/// alone has to say that it does not care.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item<T> {
    /// An event.
    Event(T),
    /// So many events are missing here, exactly.
    Lagged(u64),
    /// Events may be missing here; how many is not known.
    Gap(GapReason),
    /// An event whose payload does not fit the type asked for.
    Undecodable(Undecodable),
}

impl<T> Item<T> {
    /// The event, if it is one.
    pub fn event(self) -> Option<T> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }

    /// The event, if it is one, without taking it. `item.as_event().is_none_or(wanted)` says of losses that they are
    /// kept.
    pub const fn as_event(&self) -> Option<&T> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }

    /// Makes another event of the event; losses stay.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Item<U> {
        match self {
            Self::Event(event) => Item::Event(change(event)),
            Self::Lagged(missed) => Item::Lagged(missed),
            Self::Gap(reason) => Item::Gap(reason),
            Self::Undecodable(undecodable) => Item::Undecodable(undecodable),
        }
    }

    #[inline]
    pub(crate) fn of<M>(queued: Queued<M>, decode: impl FnOnce(M) -> Result<T, Undecodable>) -> Self {
        match queued {
            Queued::Event(event) => match decode(event) {
                Ok(event) => Self::Event(event),
                Err(undecodable) => Self::Undecodable(undecodable),
            },
            Queued::Lagged(missed) => Self::Lagged(missed),
            Queued::Gap(reason) => Self::Gap(reason),
        }
    }

    /// The event, or what is none, of which items of any type can be made.
    pub(crate) fn split(self) -> Result<T, Item<Infallible>> {
        match self {
            Self::Event(event) => Ok(event),
            Self::Lagged(missed) => Err(Item::Lagged(missed)),
            Self::Gap(reason) => Err(Item::Gap(reason)),
            Self::Undecodable(undecodable) => Err(Item::Undecodable(undecodable)),
        }
    }
}

impl<I: IntoIterator> Item<I> {
    /// The parts of an event that is a batch, a window or a list, as an event each; a loss is one item.
    pub fn flatten(self) -> impl Iterator<Item = Item<I::Item>> {
        let (events, loss) = match self.split() {
            Ok(events) => (Some(events), None),
            Err(loss) => (None, Some(loss.map(|never| match never {}))),
        };
        events.into_iter().flatten().map(Item::Event).chain(loss)
    }
}

/// An event whose payload does not fit the type asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{envelope:?}: {error}")]
#[non_exhaustive]
pub struct Undecodable {
    /// The event as it came.
    pub envelope: EventEnvelope,
    /// Why it does not fit.
    pub error: DecodeError,
}

/// An event with its payload as a Rust type; dereferences to the payload.
pub struct TypedEvent<E> {
    envelope: EventEnvelope,
    payload: Arc<E>,
}

impl<E> TypedEvent<E> {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.envelope.id()
    }

    /// The payload: in-process the published value itself.
    #[must_use]
    pub fn payload(&self) -> &Arc<E> {
        &self.payload
    }

    /// The untyped envelope.
    #[must_use]
    pub fn envelope(&self) -> &EventEnvelope {
        &self.envelope
    }
}

impl<E> Clone for TypedEvent<E> {
    fn clone(&self) -> Self {
        Self { envelope: self.envelope.clone(), payload: self.payload.clone() }
    }
}

/// Shows type and id; payloads are nobody's business in a log.
impl<E> fmt::Debug for TypedEvent<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedEvent").field(&self.envelope).finish()
    }
}

impl<E> Deref for TypedEvent<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.payload
    }
}

/// A topic's events as a `Stream` of [`Item`]s, from the moment it was made until it is dropped.
///
/// # Slow readers
/// What was not read yet waits in a queue of this subscription's own, bounded in events and bytes
/// ([`QueueLimits`]; 1,024 and 8 MiB by default). Beyond the bound its [`Overflow`](crate::Overflow) policy
/// decides: by default the oldest events make room and [`Item::Lagged`] stands where they stood. No other
/// subscriber, and no publisher, waits for this one.
///
/// # The end
/// The stream ends when its target closes or the topic is denied; what is queued is read first.
/// [`end`](Self::end) then says why. Dropping the subscription removes its listener.
///
/// ```
/// use alkpubsub::{Item, PubSub, QueueLimits};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let pubsub = PubSub::in_process();
/// let limits = QueueLimits::DEFAULT.max_events(2);
/// let mut ticks = pubsub.subscribe_envelopes_within("tick", "", limits).await?;
/// for n in 1..=5 {
///     pubsub.publish_json("tick", "", &n).await?;
/// }
/// // Nobody read meanwhile: the first three are gone, and it is said.
/// assert!(matches!(ticks.next().await, Some(Item::Lagged(3))));
/// assert_eq!(ticks.next().await.unwrap().event().unwrap().payload_json()?, Some("4"));
/// # Ok(())
/// # }
/// # let mut run = std::pin::pin!(example());
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(run.as_mut().poll(&mut context).is_ready());
/// # use std::future::Future;
/// ```
#[must_use = "a subscription that is dropped hears nothing"]
pub struct Subscription<T> {
    mailbox: Arc<Mailbox>,
    decode: Decode<T>,
    target: Arc<dyn EventTarget>,
    listener: ListenerId,
    readiness: Readiness,
}

/// Reads an event's payload as what was asked for; in the reader's time, not in the publisher's.
pub(crate) type Decode<T> = fn(EventEnvelope) -> Result<T, Undecodable>;

/// What stands between the dispatch and the reader.
struct Mailbox {
    /// Compared with an envelope's own: topics are equal when their texts are, and `a:b` + `c` is not `a` + `b:c`.
    topic: Topic,
    inbox: Inbox<EventEnvelope>,
}

impl Listener for Mailbox {
    fn event(&self, event: &EventEnvelope) {
        if event.topic().has_type_as_long(&self.topic) {
            self.inbox.take(event.weight(), || event.clone());
        }
    }

    fn notice(&self, notice: &Notice) {
        self.inbox.notice(notice);
    }
}

impl<T> Subscription<T> {
    /// Adds the listener; what is published from now on is heard, as far as this side goes.
    pub(crate) fn new(
        target: Arc<dyn EventTarget>,
        topic: Topic,
        limits: QueueLimits,
        decode: Decode<T>,
    ) -> Result<Self, crate::ListenError> {
        let name = topic.clone();
        let mailbox = Arc::new(Mailbox { topic, inbox: Inbox::new(limits) });
        let listener = target.add_event_listener(name.as_str(), mailbox.clone())?;
        Ok(Self { mailbox, decode, target, listener, readiness: Readiness::Unconfirmed })
    }

    /// Waits until it is known whether the subscription is in place.
    pub(crate) async fn settle(&mut self) -> Readiness {
        self.readiness = self.target.ready(self.mailbox.topic.as_str()).await;
        self.readiness
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.mailbox.topic
    }

    /// What the far side said when the subscription was made: confirmed, or that it does not answer.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// The next item; `None` at the end, when [`end`](Self::end) says why. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Item<T>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    /// An item that waits already; `None` where there is none now.
    pub fn try_next(&mut self) -> Option<Item<T>> {
        self.mailbox.inbox.try_next().map(|queued| self.item(queued))
    }

    /// Why the stream ended; `None` while it goes on or has items left.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.mailbox.inbox.end()
    }

    /// Events that wait to be read.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.mailbox.inbox.queued()
    }

    /// Events lost in this subscription's own queue so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.mailbox.inbox.lost()
    }

    /// The events alone; what else came is counted.
    pub fn events(self) -> Events<T> {
        Events { subscription: self, passed_over: 0 }
    }

    #[inline]
    fn poll_item(&self, context: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        let queued = std::task::ready!(self.mailbox.inbox.poll(context));
        Poll::Ready(queued.map(|queued| self.item(queued)))
    }

    fn item(&self, queued: Queued<EventEnvelope>) -> Item<T> {
        Item::of(queued, self.decode)
    }
}

pub(crate) fn decode_typed<E: Event>(envelope: EventEnvelope) -> Result<TypedEvent<E>, Undecodable> {
    match envelope.payload_shared() {
        Ok(payload) => Ok(TypedEvent { envelope, payload }),
        Err(error) => Err(Undecodable { envelope, error }),
    }
}

impl<T> Stream for Subscription<T> {
    type Item = Item<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        self.poll_item(context)
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.target.remove_event_listener(self.listener);
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", self.topic())
            .field("readiness", &self.readiness)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

/// The events of a [`Subscription`] alone. Losses and undecodable events are counted, not given.
#[derive(Debug)]
#[must_use = "a subscription that is dropped hears nothing"]
pub struct Events<T> {
    subscription: Subscription<T>,
    passed_over: u64,
}

impl<T> Events<T> {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// How many events were missing or undecodable so far; a gap of unknown size counts 1.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Why the stream ended; `None` while it goes on.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.subscription.end()
    }

    /// The subscription with all items again.
    pub fn items(self) -> Subscription<T> {
        self.subscription
    }

    fn pass_over(&mut self, missed: u64) {
        self.passed_over = self.passed_over.saturating_add(missed);
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match std::task::ready!(self.subscription.poll_item(context)) {
                None => return Poll::Ready(None),
                Some(Item::Event(event)) => return Poll::Ready(Some(event)),
                Some(Item::Lagged(missed)) => self.pass_over(missed),
                Some(Item::Gap(_) | Item::Undecodable(_)) => self.pass_over(1),
            }
        }
    }
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_event(context)
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests {
    use super::*;
    use crate::{CloseReason, InProcess};
    use loom::future::block_on;
    use loom::thread;

    fn target_and_subscription() -> (Arc<InProcess>, Subscription<EventEnvelope>) {
        let target = Arc::new(InProcess::new());
        let topic = Topic::new("a", "b").unwrap();
        let subscription = Subscription::new(target.clone(), topic, QueueLimits::DEFAULT, Ok);
        (target, subscription.unwrap())
    }

    fn publish(target: &InProcess) {
        target.dispatch_event(EventEnvelope::without_payload("a", "b").unwrap()).unwrap();
    }

    #[test]
    fn a_reader_that_begins_to_wait_is_woken_by_the_event_that_comes() {
        loom::model(|| {
            let (target, mut subscription) = target_and_subscription();
            let publisher = thread::spawn(move || (0..2).for_each(|_| publish(&target)));
            // Where a wake-up was lost, all threads wait, and loom says so.
            for _ in 0..2 {
                assert!(matches!(block_on(subscription.next()), Some(Item::Event(_))));
            }
            publisher.join().unwrap();
        });
    }

    #[test]
    fn a_reader_is_woken_by_the_end_and_reads_what_came_before() {
        loom::model(|| {
            let (target, mut subscription) = target_and_subscription();
            let closer = thread::spawn(move || {
                publish(&target);
                target.close();
            });
            assert!(matches!(block_on(subscription.next()), Some(Item::Event(_))));
            assert!(block_on(subscription.next()).is_none());
            assert_eq!(subscription.end(), Some(End::Closed(CloseReason::Closed)));
            closer.join().unwrap();
        });
    }
}
