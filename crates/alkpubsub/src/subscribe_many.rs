//! One subscription over several topics, in one order.

use crate::envelope::EventEnvelope;
use crate::event::Event;
use crate::event_target::{EventTarget, Listener, ListenerId, Notice, Readiness};
use crate::inbox::{End, Inbox};
use crate::protocol::control::Action;
use crate::pubsub::SubscribeError;
use crate::queue::QueueLimits;
use crate::subscription::{Item, TypedEvent, Undecodable, decode_typed};
use crate::topic::Topic;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// What a [`SubscribeMany`] could not be made into, and over which topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event_type:?} of {id:?}: {error}")]
#[non_exhaustive]
pub struct SubscribeManyError {
    /// The event type of the topic.
    pub event_type: Box<str>,
    /// Its id.
    pub id: Box<str>,
    /// Why not.
    #[source]
    pub error: SubscribeError,
}

type Read<T> = Box<dyn Fn(EventEnvelope) -> Result<T, Undecodable> + Send + Sync>;

/// One subscription over several topics, on its way: topics are added, then it is [made](Self::subscribe).
/// [`PubSub::subscribe_many`](crate::PubSub::subscribe_many) begins one.
#[must_use = "nothing is heard before `subscribe` was awaited"]
pub struct SubscribeMany<T> {
    target: Arc<dyn EventTarget>,
    limits: QueueLimits,
    topics: Vec<(Topic, Read<T>)>,
    error: Option<SubscribeManyError>,
}

impl<T> SubscribeMany<T> {
    pub(crate) fn new(target: Arc<dyn EventTarget>) -> Self {
        Self { target, limits: QueueLimits::DEFAULT, topics: Vec::new(), error: None }
    }

    /// Adds an event type and an id. `into` makes the stream's event of the typed one: the name of an enum's variant does.
    pub fn topic<E: Event>(
        self,
        id: &str,
        into: impl Fn(TypedEvent<E>) -> T + Send + Sync + 'static,
    ) -> Self {
        self.add(E::TYPE, id, move |event| decode_typed(event).map(&into))
    }

    /// Adds an event type and an id, of which the envelopes are wanted as they are.
    pub fn envelopes(
        self,
        event_type: &str,
        id: &str,
        into: impl Fn(EventEnvelope) -> T + Send + Sync + 'static,
    ) -> Self {
        self.add(event_type, id, move |event| Ok(into(event)))
    }

    /// The one queue of all topics, with other bounds than [`QueueLimits::DEFAULT`].
    pub fn within(self, limits: QueueLimits) -> Self {
        Self { limits, ..self }
    }

    fn add(
        mut self,
        event_type: &str,
        id: &str,
        read: impl Fn(EventEnvelope) -> Result<T, Undecodable> + Send + Sync + 'static,
    ) -> Self {
        match Topic::new(event_type, id) {
            Ok(topic) => self.topics.push((topic, Box::new(read))),
            // The first mistake is told where it can be.
            Err(error) => _ = self.error.get_or_insert_with(|| of(event_type, id, error.into())),
        }
        self
    }

    /// Subscribes. When it returns, the far side has confirmed every topic, or is known not to answer; what is
    /// published from now on is heard, in one order over all topics. Dropping the future takes all of it back.
    ///
    /// A topic that was added twice gives its events twice. Without any topic there is nothing to hear but the end.
    ///
    /// # Errors
    /// [`SubscribeManyError`] with the first topic that is none, is too long or is denied, or where the target is closed;
    /// then no topic is held.
    pub async fn subscribe(self) -> Result<ManySubscription<T>, SubscribeManyError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (topics, read): (Vec<_>, _) = self.topics.into_iter().unzip();
        let mailbox = Arc::new(Mailbox {
            topics: topics.into(),
            inbox: Inbox::new(self.limits),
            denied: OnceLock::new(),
        });
        let mut subscription = ManySubscription {
            mailbox: mailbox.clone(),
            read,
            target: self.target,
            listeners: Vec::new(),
            readiness: Readiness::Confirmed,
        };
        // Where there is no topic, whose listener is told as well, this one tells of the end.
        let end = Some("close").filter(|_| mailbox.topics.is_empty());
        for (at, name) in mailbox.topics.iter().map(Topic::as_str).chain(end).enumerate() {
            let member = Arc::new(Member { at, mailbox: mailbox.clone() });
            let added = subscription.target.add_event_listener(name, member);
            let topic = mailbox.topics.get(at);
            let (event_type, id) = topic.map_or(("", ""), |topic| (topic.event_type(), topic.id()));
            subscription.listeners.push(added.map_err(|error| of(event_type, id, error.into()))?);
        }
        for topic in &*mailbox.topics {
            match subscription.target.ready(topic.as_str()).await {
                Readiness::Confirmed => {}
                Readiness::Unconfirmed => subscription.readiness = Readiness::Unconfirmed,
                Readiness::Denied(reason) => return Err(of_topic(topic, SubscribeError::Denied(reason))),
                Readiness::Closed => {
                    let reason = subscription.target.closed().await;
                    return Err(of_topic(topic, SubscribeError::Closed(reason)));
                }
            }
        }
        Ok(subscription)
    }
}

fn of(event_type: &str, id: &str, error: SubscribeError) -> SubscribeManyError {
    SubscribeManyError { event_type: event_type.into(), id: id.into(), error }
}

fn of_topic(topic: &Topic, error: SubscribeError) -> SubscribeManyError {
    of(topic.event_type(), topic.id(), error)
}

impl<T> fmt::Debug for SubscribeMany<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.topics.iter().map(|(topic, _)| topic).collect();
        f.debug_struct("SubscribeMany")
            .field("topics", &topics)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Several topics' events as one `Stream` of [`Item`]s, in the order in which they came.
///
/// All topics share one queue, bounded like that of a [`Subscription`](crate::Subscription). So the order of one
/// publisher's events holds across topics as far as the target keeps it
/// ([`Capabilities::order`](crate::Capabilities::order)), and a loss stands where it happened, whatever the topic of what is
/// missing.
///
/// The stream ends, after what is queued, when the target closes or *any* of the topics is denied: who waits for an
/// event that can no longer come would wait for ever. [`end`](Self::end) says why, and [`denied`](Self::denied) which
/// topic it was. Dropping the subscription removes all its listeners.
#[must_use = "a subscription that is dropped hears nothing"]
pub struct ManySubscription<T> {
    mailbox: Arc<Mailbox>,
    read: Vec<Read<T>>,
    target: Arc<dyn EventTarget>,
    listeners: Vec<ListenerId>,
    readiness: Readiness,
}

struct Mailbox {
    topics: Box<[Topic]>,
    /// An event, and the place of its topic.
    inbox: Inbox<(usize, EventEnvelope)>,
    denied: OnceLock<Topic>,
}

/// The listener of one topic.
struct Member {
    at: usize,
    mailbox: Arc<Mailbox>,
}

impl Listener for Member {
    fn event(&self, event: &EventEnvelope) {
        if event.topic().has_type_as_long(&self.mailbox.topics[self.at]) {
            self.mailbox.inbox.take(event.weight(), || (self.at, event.clone()));
        }
    }

    fn notice(&self, notice: &Notice) {
        // What is missing of all topics is told to the listeners of each: one of them counts it.
        if matches!(notice, Notice::Gap { topic: None, .. }) && self.at > 0 {
            return;
        }
        // Before the end is seen. Where this is not what ends it, nobody asks.
        if matches!(notice, Notice::Denied { action: Action::Subscribe, .. }) {
            _ = self.mailbox.denied.set(self.mailbox.topics[self.at].clone());
        }
        self.mailbox.inbox.notice(notice);
    }
}

impl<T> ManySubscription<T> {
    /// The topics, in the order in which they were added.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        &self.mailbox.topics
    }

    /// What the far side said when the subscription was made: every topic confirmed, or that it does not answer.
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
        let queued = self.mailbox.inbox.try_next()?;
        Some(Item::of(queued, |(at, event)| (self.read[at])(event)))
    }

    /// Why the stream ended; `None` while it goes on or has items left.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.mailbox.inbox.end()
    }

    /// The topic whose denial ended the stream, where [`end`](Self::end) is [`End::Denied`].
    #[must_use]
    pub fn denied(&self) -> Option<&Topic> {
        self.end().filter(|end| matches!(end, End::Denied(_))).and_then(|_| self.mailbox.denied.get())
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

    fn poll_item(&self, context: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        let queued = std::task::ready!(self.mailbox.inbox.poll(context));
        Poll::Ready(queued.map(|queued| Item::of(queued, |(at, event)| (self.read[at])(event))))
    }
}

impl<T> Stream for ManySubscription<T> {
    type Item = Item<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        self.poll_item(context)
    }
}

impl<T> Drop for ManySubscription<T> {
    fn drop(&mut self) {
        for &listener in &self.listeners {
            self.target.remove_event_listener(listener);
        }
    }
}

impl<T> fmt::Debug for ManySubscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManySubscription")
            .field("topics", &self.topics())
            .field("readiness", &self.readiness)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
