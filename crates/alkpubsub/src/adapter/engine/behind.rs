//! A hub behind a broker, from one of its shards: what it listens to there, and whether it is in.
//!
//! Each shard goes by what it has heard, in the order in which the broker told it: events, and that it is in or out. So
//! what was taken from a spoke goes one way alone, and is not overtaken.

use super::frame::Frame;
use super::orders::FromBroker;
use super::shared::Shared;
use crate::adapter::broker::{Broker, BrokerNews, Standing, WatchBroker};
use crate::envelope::EventEnvelope;
use crate::event_target::{BoxFuture, DispatchError, LinkId, ListenError, Listener, ListenerId};
use crate::protocol::control::{Action, DenyReason, GapReason};
use crate::protocol::hub::{Hub, TopicChange};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One shard's end of what lies between a hub and its broker.
pub(super) struct Behind {
    broker: Arc<dyn Broker>,
    ear: Arc<Ear>,
    watch: ListenerId,
    stage: Stage,
    /// What is listened to: what a link holds, or waits for.
    topics: HashMap<Arc<str>, ListenerId>,
    /// Events that the broker has not taken yet, in order: there was no room, or it is out, which is about to be heard here.
    /// No socket is read meanwhile, so that they are no more than what one read has brought.
    waiting: VecDeque<Said>,
    /// Resolves when it may have.
    room: Option<BoxFuture<'static, ()>>,
    /// Subscriptions are answered when the broker has caught up with them. Those that come now have this ticket.
    ticket: u64,
    /// Whether there are any.
    asks: bool,
    /// The question that is under way, by the broker's number, and the ticket that it is for.
    asked: Option<(u64, u64)>,
    /// Events that the broker refused, or had no room for when the hub ended.
    pub(super) dropped: u64,
}

/// What this shard has heard of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Out,
    /// It is in, and takes events. What it gives is not taken until it has caught up, of which it is asked with this ticket:
    /// whoever came here while it was out was answered at once, and may have heard elsewhere what is still on its way here.
    Entering(u64),
    In,
}

/// An event, and the link that said it; none where the program did.
pub(super) struct Said {
    pub(super) event: EventEnvelope,
    pub(super) by: Option<LinkId>,
}

/// What becomes of a subscription.
pub(super) enum Answer {
    Yes,
    No(DenyReason),
    /// It is known when this ticket is settled.
    Later(u64),
}

/// What hears the broker for a shard.
struct Ear {
    shared: Arc<Shared>,
    shard: u8,
}

impl Ear {
    fn hear(&self, from_broker: FromBroker) {
        self.shared.orders(self.shard).hear(from_broker);
    }
}

impl Listener for Ear {
    fn event(&self, event: &EventEnvelope) {
        self.hear(FromBroker::Event(event.clone()));
    }
}

impl WatchBroker for Ear {
    fn told(&self, news: BrokerNews) {
        self.hear(FromBroker::News(news));
    }
}

impl Behind {
    pub(super) fn new(broker: Arc<dyn Broker>, shared: Arc<Shared>, shard: u8) -> Self {
        let ear = Arc::new(Ear { shared, shard });
        let watch = broker.watch(ear.clone());
        Self {
            broker,
            ear,
            watch,
            stage: Stage::Out,
            topics: HashMap::new(),
            waiting: VecDeque::new(),
            room: None,
            ticket: 0,
            asks: false,
            asked: None,
            dropped: 0,
        }
    }

    /// Whether what spokes say goes to the broker. That it is in counts from the first: once a spoke was told of it, no
    /// shard keeps its events to this hub. And what waits is not overtaken.
    pub(super) fn takes_events(&self) -> bool {
        self.stage != Stage::Out || self.is_held_up() || self.broker.is_in()
    }

    /// The answer to a subscription that this hub itself has nothing against.
    ///
    /// Of a topic that is held already, too, it is the broker's: whoever comes from another hub, which is quicker than this
    /// one, would hear here once more what is still on its way.
    pub(super) fn answer(&mut self, topic: &str) -> Answer {
        if !self.topics.contains_key(topic) {
            match self.broker.add_event_listener(topic, self.ear.clone()) {
                Ok(listener) => _ = self.topics.insert(topic.into(), listener),
                // For good, as it seems: this hub is alone, or about to hear that it is.
                Err(ListenError::Closed(_)) => return self.answer_alone(),
                Err(_) => return Answer::No(DenyReason::Broker),
            }
        }
        match self.broker.standing(topic) {
            Standing::Out => self.answer_alone(),
            // That it was is about to be heard here: until then the topic is its holders'.
            Standing::Denied | Standing::Asked | Standing::Confirmed => {
                self.asks = true;
                Answer::Later(self.ticket)
            }
        }
    }

    /// The answer of a hub that is out. Where that is about to be heard here, it is known then: what came from the broker
    /// before may have been heard elsewhere.
    fn answer_alone(&self) -> Answer {
        if self.stage != Stage::Out { Answer::Later(self.ticket) } else { Answer::Yes }
    }

    /// To be called once a round, at least: asks the broker whether it has caught up with what was asked for, one question at a
    /// time.
    pub(super) fn ask(&mut self) {
        if self.asks
            && self.asked.is_none()
            && let Some(number) = self.broker.catch_up()
        {
            self.asked = Some((number, self.ticket));
            self.ticket += 1;
            self.asks = false;
        }
    }

    /// Lets go of what no link holds any more.
    pub(super) fn tell_topics(&mut self, hub: &Hub<Frame>, changes: &[TopicChange]) {
        for TopicChange { topic, .. } in changes {
            self.let_go_unasked(hub, topic);
        }
    }

    fn let_go_unasked(&mut self, hub: &Hub<Frame>, topic: &str) {
        if !hub.is_asked_for(topic) {
            self.let_go(topic);
        }
    }

    fn let_go(&mut self, topic: &str) {
        if let Some(listener) = self.topics.remove(topic) {
            self.broker.remove_event_listener(listener);
        }
    }

    /// Gives the broker an event of a spoke's, or of the program's.
    pub(super) fn publish(&mut self, hub: &mut Hub<Frame>, said: Said) {
        if self.waiting.is_empty() {
            self.offer(hub, said);
        } else {
            self.waiting.push_back(said);
        }
    }

    /// Gives the broker the next event; `false` where it does not take it now, and all that comes has to wait.
    fn offer(&mut self, hub: &mut Hub<Frame>, said: Said) -> bool {
        match self.broker.dispatch_event(said.event.clone()) {
            Ok(()) => return true,
            Err(DispatchError::Full) => {
                let broker = self.broker.clone();
                self.room = Some(Box::pin(async move { broker.room().await }));
            }
            // It goes the other way, as soon as it is heard here that the broker is out.
            Err(DispatchError::Disconnected | DispatchError::Closed(_)) => {}
            Err(error) => {
                let topic = said.event.topic();
                tracing::debug!(%topic, %error, "the broker does not take an event");
                self.dropped += 1;
                if let Some(link) = said.by {
                    hub.deny(link, topic.as_str(), Action::Publish, DenyReason::Broker);
                }
                return true;
            }
        }
        self.waiting.push_front(said);
        false
    }

    /// Whether no socket is to be read, as the broker has no room for what it says.
    pub(super) fn is_held_up(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives the broker what waits for it, as far as there is room; gives whether that was all.
    pub(super) fn poll(&mut self, hub: &mut Hub<Frame>, context: &mut Context<'_>) -> bool {
        while let Some(room) = &mut self.room {
            if room.as_mut().poll(context) == Poll::Pending {
                return false;
            }
            self.room = None;
            while let Some(said) = self.waiting.pop_front()
                && self.offer(hub, said)
            {}
            if self.waiting.is_empty() {
                self.waiting = VecDeque::new();
                return true;
            }
        }
        false
    }

    /// What the broker has not taken before it was out: to be passed on without it.
    pub(super) fn take_left(&mut self) -> VecDeque<Said> {
        if self.stage == Stage::Out { std::mem::take(&mut self.waiting) } else { VecDeque::new() }
    }

    /// The hub has ended: what still waits is lost.
    pub(super) fn end(&mut self) {
        self.dropped += std::mem::take(&mut self.waiting).len() as u64;
    }

    /// Takes what the broker has for this shard; gives whether more may have changed than that an event came.
    pub(super) fn hear(&mut self, hub: &mut Hub<Frame>, from_broker: FromBroker) -> bool {
        match from_broker {
            FromBroker::Event(event) => {
                if self.stage == Stage::In
                    && let Ok(text) = event.text()
                {
                    let framing = self.ear.shared.framing;
                    hub.fan_out(event.topic().as_str(), || Frame::text(text, framing));
                }
                return false;
            }
            FromBroker::Missing if self.stage == Stage::In => hub.gap(None, None, GapReason::Broker),
            FromBroker::Missing => {}
            FromBroker::News(BrokerNews::In) => {
                self.stage = Stage::Entering(self.ticket);
                self.asks = true;
            }
            FromBroker::News(BrokerNews::Out) => {
                self.room = None;
                // Alone, a hub answers at once.
                (self.asks, self.asked) = (false, None);
                hub.settle_all();
                self.turn(hub, Stage::Out);
            }
            FromBroker::News(BrokerNews::CaughtUp(number)) => {
                if let Some((_, ticket)) = self.asked.take_if(|(asked, _)| *asked <= number) {
                    if let Stage::Entering(of) = self.stage
                        && of <= ticket
                    {
                        self.turn(hub, Stage::In);
                    }
                    hub.settle(ticket);
                }
            }
            FromBroker::News(BrokerNews::Denied { topic, reason }) => {
                tracing::warn!(%topic, %reason, "the broker denies a topic");
                self.let_go(&topic);
                hub.revoke(&topic, DenyReason::Broker);
            }
        }
        true
    }

    fn turn(&mut self, hub: &mut Hub<Frame>, stage: Stage) {
        let turned = if stage == Stage::In { "in: behind" } else { "out: without" };
        tracing::info!(shard = self.ear.shard, "{turned} the broker");
        self.stage = stage;
        hub.gap(None, None, GapReason::Broker);
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        for listener in self.topics.values() {
            self.broker.remove_event_listener(*listener);
        }
        self.broker.remove_event_listener(self.watch);
    }
}
