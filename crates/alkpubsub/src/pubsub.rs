//! Publish and subscribe, typed, on any target.

use crate::envelope::{EnvelopeError, EventEnvelope};
use crate::event::{Event, IntoEvent};
use crate::event_target::{CloseReason, DispatchError, EventTarget, ListenError, Readiness};
use crate::in_process::InProcess;
use crate::protocol::control::DenyReason;
use crate::queue::QueueLimits;
use crate::subscribe_many::SubscribeMany;
use crate::subscription::{Decode, Subscription, TypedEvent, decode_typed};
use crate::topic::{BadTopic, Topic, check_type, with_topic};
use std::fmt;
use std::sync::Arc;

/// Why a subscription could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Type and id make no topic.
    #[error(transparent)]
    BadTopic(#[from] BadTopic),
    /// The topic is longer than the target forwards.
    #[error("the topic is longer than the limit of {limit} bytes")]
    TopicTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The far side said no.
    #[error("the topic was denied: {0}")]
    Denied(DenyReason),
    /// The target is closed.
    #[error("the target has ended: {0}")]
    Closed(CloseReason),
}

impl From<ListenError> for SubscribeError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::BadTopic(error) => Self::BadTopic(error),
            ListenError::TopicTooLong { limit } => Self::TopicTooLong { limit },
            ListenError::Closed(reason) => Self::Closed(reason),
        }
    }
}

/// Typed publish and subscribe on one event target. A clone shares the target.
///
/// The same program runs on any target: in-process here, over a WebSocket or to all spokes of a hub elsewhere.
///
/// ```
/// # #[cfg(feature = "derive")] mod example {
/// use alkpubsub::{Event, Item, PubSub};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(type = "call.responded")]
/// struct CallResponded {
///     output: u32,
/// }
///
/// # pub async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let pubsub = PubSub::in_process(); // or PubSub::new(any event target)
/// let mut events = pubsub.subscribe::<CallResponded>("uuid-123").await?;
/// pubsub.publish("uuid-123", CallResponded { output: 42 }).await?;
/// match events.next().await {
///     Some(Item::Event(event)) => assert_eq!((event.id(), event.output), ("uuid-123", 42)),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// # }
/// # #[cfg(feature = "derive")] {
/// # use std::future::Future;
/// # let mut run = std::pin::pin!(example::example());
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(matches!(run.as_mut().poll(&mut context), std::task::Poll::Ready(Ok(()))));
/// # }
/// ```
#[derive(Clone)]
pub struct PubSub {
    target: Arc<dyn EventTarget>,
}

impl PubSub {
    /// On an [`InProcess`] target of its own.
    #[must_use]
    pub fn in_process() -> Self {
        Self::new(InProcess::new())
    }

    /// On any target; also on an `Arc<dyn EventTarget>`.
    pub fn new(target: impl EventTarget) -> Self {
        Self { target: Arc::new(target) }
    }

    /// The target, for its own contract: listeners, stats, close.
    #[must_use]
    pub fn target(&self) -> &Arc<dyn EventTarget> {
        &self.target
    }

    /// Publishes an event, given by value or shared. Waits while the target's own outbound queue is full, never
    /// for a subscriber.
    ///
    /// `Ok` says that the target has taken it: in-process the listeners were called, elsewhere it waits to be sent.
    /// It does not say that anybody heard it. What still waits when the target is closed or dropped is lost: who
    /// publishes and leaves calls [`flush`](Self::flush) before (it was handed to the socket), or `disconnect` on the
    /// `Spoke` or the `WebSocketClientEventTarget` (the hub has taken it).
    ///
    /// Cancel-safe: an event whose future is dropped while it waits was not sent.
    ///
    /// # Errors
    /// [`DispatchError`] says why it was not taken; never [`DispatchError::Full`].
    pub async fn publish<I: IntoEvent>(&self, id: &str, event: I) -> Result<(), DispatchError> {
        let Some(envelope) = self.envelope(id, event)? else {
            return Ok(());
        };
        self.publish_envelope(envelope).await
    }

    /// Publishes an event now or not at all; `Ok` says as much as that of [`publish`](Self::publish).
    ///
    /// # Errors
    /// [`DispatchError`] says why it was not taken; [`DispatchError::Full`] where the queue has no room.
    pub fn try_publish<I: IntoEvent>(&self, id: &str, event: I) -> Result<(), DispatchError> {
        match self.envelope(id, event)? {
            Some(envelope) => self.target.dispatch_event(envelope),
            None => Ok(()),
        }
    }

    /// Publishes an untyped event with the JSON of `payload`; waits and promises as [`publish`](Self::publish) does.
    ///
    /// # Errors
    /// [`DispatchError`] says why it was not taken; never [`DispatchError::Full`].
    pub async fn publish_json(
        &self,
        event_type: &str,
        id: &str,
        payload: &impl serde::Serialize,
    ) -> Result<(), DispatchError> {
        let envelope = EventEnvelope::new(event_type, id, payload).map_err(|error| match error {
            EnvelopeError::BadTopic(error) => error.into(),
            EnvelopeError::Encode(error) => DispatchError::Encode(error),
        })?;
        self.publish_envelope(envelope).await
    }

    /// Publishes an envelope; waits and promises as [`publish`](Self::publish) does.
    ///
    /// # Errors
    /// [`DispatchError`] says why it was not taken; never [`DispatchError::Full`].
    pub async fn publish_envelope(&self, envelope: EventEnvelope) -> Result<(), DispatchError> {
        loop {
            match self.target.dispatch_event_ref(&envelope) {
                Err(DispatchError::Full) => self.target.room().await,
                done => return done,
            }
        }
    }

    /// Waits until what was published before has been handed to the transport, or the target is closed. A program
    /// that publishes and leaves does this before it closes.
    pub async fn flush(&self) {
        self.target.flush().await;
    }

    /// Subscribes to an event type and an id, with the default queue.
    ///
    /// When it returns, the far side has confirmed the subscription, or is known not to answer:
    /// [`Subscription::readiness`] tells which. It waits as [`EventTarget::ready`] does. Dropping the future takes the
    /// subscription back.
    ///
    /// # Errors
    /// [`SubscribeError`] where the type makes no topic or one that is too long, the far side says no, or the target is
    /// closed.
    pub async fn subscribe<E: Event>(&self, id: &str) -> Result<Subscription<TypedEvent<E>>, SubscribeError> {
        self.subscribe_within(id, QueueLimits::DEFAULT).await
    }

    /// [`subscribe`](Self::subscribe) with a queue of other bounds.
    ///
    /// # Errors
    /// [`SubscribeError`], as there.
    pub async fn subscribe_within<E: Event>(
        &self,
        id: &str,
        limits: QueueLimits,
    ) -> Result<Subscription<TypedEvent<E>>, SubscribeError> {
        self.start(Topic::new(E::TYPE, id)?, limits, decode_typed::<E>).await
    }

    /// Subscribes to a type and an id and gives the envelopes as they are, with the default queue.
    ///
    /// # Errors
    /// [`SubscribeError`] where the type makes no topic, the far side says no, or the target is closed.
    pub async fn subscribe_envelopes(
        &self,
        event_type: &str,
        id: &str,
    ) -> Result<Subscription<EventEnvelope>, SubscribeError> {
        self.subscribe_envelopes_within(event_type, id, QueueLimits::DEFAULT).await
    }

    /// [`subscribe_envelopes`](Self::subscribe_envelopes) with a queue of other bounds.
    ///
    /// # Errors
    /// [`SubscribeError`], as there.
    pub async fn subscribe_envelopes_within(
        &self,
        event_type: &str,
        id: &str,
        limits: QueueLimits,
    ) -> Result<Subscription<EventEnvelope>, SubscribeError> {
        self.start(Topic::new(event_type, id)?, limits, Ok).await
    }

    /// Begins one subscription over several topics, whose events come in one order: the last answer before the event
    /// that says that there are no more, for example.
    ///
    /// ```
    /// # #[cfg(feature = "derive")] mod example {
    /// use alkpubsub::{Event, Item, PubSub, QueueLimits, TypedEvent};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(type = "call.answered")]
    /// struct Answered(u32);
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(type = "call.ended")]
    /// struct Ended;
    ///
    /// enum Call {
    ///     Answered(TypedEvent<Answered>),
    ///     Ended(TypedEvent<Ended>),
    /// }
    ///
    /// # pub async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let pubsub = PubSub::in_process();
    /// let call = pubsub.subscribe_many().topic("uuid-1", Call::Answered).topic("uuid-1", Call::Ended);
    /// let mut call = call.within(QueueLimits::DEFAULT.max_events(3)).subscribe().await?;
    /// for answer in 1..=4 {
    ///     pubsub.publish("uuid-1", Answered(answer)).await?;
    /// }
    /// pubsub.publish("uuid-1", Ended).await?;
    ///
    /// let (mut answers, mut missed) = (Vec::new(), 0);
    /// loop {
    ///     match call.next().await {
    ///         Some(Item::Event(Call::Answered(answer))) => answers.push(answer.0),
    ///         Some(Item::Event(Call::Ended(_))) => break,
    ///         // The queue holds three: two answers are lost, in the place where this stands.
    ///         Some(Item::Lagged(n)) => missed += n,
    ///         // `None`: the target closed, or one of the topics was denied: `call.denied()` says which.
    ///         other => panic!("{:?} {:?}", other.is_some(), call.end()),
    ///     }
    /// }
    /// assert_eq!((answers, missed), (vec![3, 4], 2));
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "derive")] {
    /// # futures_util::FutureExt::now_or_never(example::example()).unwrap().unwrap();
    /// # }
    /// ```
    #[doc(alias = "join")]
    pub fn subscribe_many<T>(&self) -> SubscribeMany<T> {
        SubscribeMany::new(self.target.clone())
    }

    /// Waits until the target's listeners for the topic are in place (see [`EventTarget::ready`]), checks and
    /// gives the subscription.
    async fn start<T>(
        &self,
        topic: Topic,
        limits: QueueLimits,
        decode: Decode<T>,
    ) -> Result<Subscription<T>, SubscribeError> {
        let mut subscription = Subscription::new(self.target.clone(), topic, limits, decode)?;
        match subscription.settle().await {
            Readiness::Confirmed | Readiness::Unconfirmed => Ok(subscription),
            Readiness::Denied(reason) => Err(SubscribeError::Denied(reason)),
            Readiness::Closed => Err(SubscribeError::Closed(self.target.closed().await)),
        }
    }

    /// `None` where nobody would hear it: then nothing is made.
    fn envelope<I: IntoEvent>(&self, id: &str, event: I) -> Result<Option<EventEnvelope>, DispatchError> {
        check_type(I::Event::TYPE)?;
        if !with_topic(I::Event::TYPE, id, |topic| self.target.is_heard(topic)) {
            return Ok(None);
        }
        Ok(Some(EventEnvelope::typed(id, event.into_shared())?))
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("capabilities", &self.target.capabilities()).finish_non_exhaustive()
    }
}
