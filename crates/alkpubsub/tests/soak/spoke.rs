//! One spoke: a target, what holds subscriptions on it, and what it is told to do.

use crate::ear::{Ear, Tally};
use crate::ledger::{Book, Source, TopicNumber};
use crate::reader::{Fence, Interruptions, Order, Pace, Probe, Reader};
use crate::world::{Kind, World};
use alkpubsub::{
    DenyReason, DispatchError, EventEnvelope, EventTarget, ListenerId, PubSub, QueueLimits, Readiness, Spoke,
    SpokeState, Stats, SubscribeError, WebSocketClientEventTarget,
};
use futures_util::FutureExt;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

#[derive(Clone)]
pub(crate) enum Peer {
    /// With whether it keeps its events.
    Spoke(Arc<Spoke>, bool),
    Client(Arc<WebSocketClientEventTarget>),
}

impl Peer {
    pub(crate) fn target(&self) -> Arc<dyn EventTarget> {
        match self {
            Self::Spoke(spoke, _) => spoke.clone(),
            Self::Client(client) => client.clone(),
        }
    }

    pub(crate) fn keeps_events(&self) -> bool {
        matches!(self, Self::Spoke(_, true))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave {
    Dropped,
    Closed,
    /// In good order, after its subscriptions.
    Disconnected,
}

pub(crate) enum Op {
    Publish {
        topic: TopicNumber,
        count: u64,
        bytes: usize,
    },
    Subscribe {
        topic: TopicNumber,
        limits: QueueLimits,
        pace: Pace,
    },
    /// The future is dropped after so many looks at it.
    SubscribeAndCancel {
        topic: TopicNumber,
        looks: usize,
    },
    Unsubscribe {
        which: usize,
    },
    Pace {
        which: usize,
        pace: Pace,
    },
    AddProbe {
        topic: TopicNumber,
    },
    RemoveProbe {
        which: usize,
    },
    /// A subscription that the hub denies.
    Forbidden {
        event_type: &'static str,
        id: String,
        reason: DenyReason,
    },
    /// A topic that nobody else has is subscribed to and left: the hub must forget it.
    Own,
    Ping,
    /// Waits until it is connected and all is confirmed; answers how many connections it has made, or nothing if it
    /// has ended for a reason that it may have.
    Settle(oneshot::Sender<Option<u64>>),
    /// Hears a number of its own, and answers how many connections it has made.
    Echo(u64, oneshot::Sender<Option<u64>>),
    Check(Arc<Vec<Book>>, oneshot::Sender<Option<Checked>>),
    Leave(Leave, oneshot::Sender<()>),
}

/// What a fence found out about one spoke.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) tally: Tally,
    pub(crate) stats: Stats,
    pub(crate) topics: HashSet<String>,
}

struct Held {
    topic: TopicNumber,
    orders: mpsc::UnboundedSender<Order>,
}

pub(crate) const MOST_SUBSCRIPTIONS: usize = 8;

pub(crate) struct Actor {
    world: Arc<World>,
    who: Arc<str>,
    number: u64,
    peer: Peer,
    target: Arc<dyn EventTarget>,
    /// How often it had been connected at the last fence.
    at_fence: Arc<AtomicU64>,
    held: Vec<Held>,
    probes: Vec<(ListenerId, Arc<Probe>)>,
    /// Removed since the last fence.
    removed: Vec<Arc<Probe>>,
    subscribing: JoinSet<Option<Held>>,
    /// What is waited for beside all that.
    aside: JoinSet<()>,
    readers: JoinSet<()>,
    echoed: watch::Receiver<u64>,
    taken: u64,
    refused: u64,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Actor {
    pub(crate) fn new(
        world: Arc<World>,
        who: Arc<str>,
        number: u64,
        peer: Peer,
        at_fence: Arc<AtomicU64>,
    ) -> Self {
        let target = peer.target();
        let (echoing, echoed) = watch::channel(0);
        let hear = move |event: &EventEnvelope| {
            let number: u64 = event.payload().expect("a number");
            echoing.send_replace(number);
        };
        // Only a target that has closed already says no, and the first fence finds that.
        let _ = target.add_event_listener(&echo_topic(number), Arc::new(hear));
        Self {
            world,
            who,
            number,
            peer,
            target,
            at_fence,
            held: Vec::new(),
            probes: Vec::new(),
            removed: Vec::new(),
            subscribing: JoinSet::new(),
            aside: JoinSet::new(),
            readers: JoinSet::new(),
            echoed,
            taken: 0,
            refused: 0,
        }
    }

    pub(crate) async fn run(mut self, mut ops: mpsc::UnboundedReceiver<Op>) {
        loop {
            let op = tokio::select! {
                op = ops.recv() => op,
                Some(done) = self.subscribing.join_next() => {
                    self.held.extend(done.ok().flatten());
                    continue;
                }
                Some(_) = self.aside.join_next() => continue,
            };
            match op {
                None => return,
                Some(Op::Leave(how, reply)) => {
                    self.leave(how).await;
                    let _ = reply.send(());
                    return;
                }
                Some(op) => self.act(op).await,
            }
        }
    }

    async fn act(&mut self, op: Op) {
        match op {
            Op::Publish { topic, count, bytes } => self.publish(topic, count, bytes).await,
            Op::Subscribe { topic, limits, pace } => self.subscribe(topic, limits, pace),
            Op::SubscribeAndCancel { topic, looks } => self.subscribe_and_cancel(topic, looks).await,
            Op::Unsubscribe { which } => self.unsubscribe(which).await,
            Op::Pace { which, pace } => {
                if !self.held.is_empty() {
                    let held = &self.held[which % self.held.len()];
                    let _ = held.orders.send(Order::Pace(pace));
                }
            }
            Op::AddProbe { topic } => self.add_probe(topic),
            Op::RemoveProbe { which } => self.remove_probe(which),
            Op::Forbidden { event_type, id, reason } => self.forbidden(event_type, id, reason),
            Op::Own => {
                let (target, id) = (self.target.clone(), self.number.to_string());
                self.aside.spawn(async move {
                    drop(PubSub::new(target).subscribe_envelopes("own", &id).await);
                });
            }
            Op::Ping => {
                if let Peer::Client(client) = &self.peer {
                    let _ = tokio::time::timeout(PATIENCE, client.ping()).await;
                }
            }
            Op::Settle(reply) => _ = reply.send(self.settle().await),
            Op::Echo(number, reply) => _ = reply.send(self.echo(number).await),
            Op::Check(books, reply) => _ = reply.send(self.check(&books).await),
            Op::Leave(..) => unreachable!("it was taken before"),
        }
    }

    fn name(&self, topic: TopicNumber) -> String {
        self.world.topics[topic].name()
    }

    fn did(&self, what: std::fmt::Arguments<'_>) {
        self.world.did(&self.who, what);
    }

    fn connections(&self) -> u64 {
        self.target.stats().connections
    }

    async fn publish(&mut self, topic: TopicNumber, count: u64, bytes: usize) {
        let mut range = (0, 0);
        for _ in 0..count {
            let connection = self.connections();
            let life = if self.peer.keeps_events() { 0 } else { connection };
            let source = Source { publisher: self.number, life };
            if self.world.topics[topic].kind == Kind::Mute {
                let taken = self.target.dispatch_event(self.world.event(topic, source, 1, bytes));
                self.count(taken.is_ok());
                continue;
            }
            let number = self.world.ledger.calls(topic, source);
            let taken = self.target.dispatch_event(self.world.event(topic, source, number, bytes));
            self.count(taken.is_ok());
            match taken {
                Ok(()) => {
                    range = (if range.0 == 0 { number } else { range.0 }, number);
                    if life != 0 && self.connections() != connection {
                        self.world.ledger.unsure(topic, source, number);
                    }
                }
                Err(error) => {
                    self.world.ledger.refused(topic, source);
                    match error {
                        DispatchError::Full => {
                            let _ = tokio::time::timeout(Duration::from_millis(20), self.target.room()).await;
                        }
                        DispatchError::Disconnected | DispatchError::Closed(_) => break,
                        other => self.world.fail(&self.who, Some(topic), &format!("publishing: {other}")),
                    }
                }
            }
        }
        let name = self.name(topic);
        self.did(format_args!(
            "published {name} {range:?} of {bytes} bytes, by connection {}",
            self.connections()
        ));
    }

    fn count(&mut self, taken: bool) {
        *(if taken { &mut self.taken } else { &mut self.refused }) += 1;
    }

    fn subscribe(&mut self, topic: TopicNumber, limits: QueueLimits, pace: Pace) {
        if self.held.len() + self.subscribing.len() >= MOST_SUBSCRIPTIONS {
            return;
        }
        let (world, who, target) = (self.world.clone(), self.who.clone(), self.target.clone());
        let one_connection = matches!(self.peer, Peer::Client(_));
        let (orders, to_follow) = mpsc::unbounded_channel();
        let (reading, begun) = oneshot::channel::<Reader>();
        self.readers.spawn(async move {
            if let Ok(reader) = begun.await {
                reader.run(to_follow).await;
            }
        });
        self.subscribing.spawn(async move {
            let name = world.topics[topic].name();
            let mut ear = Ear::new(world.ledger.clone(), topic);
            let (event_type, id) = (world.topics[topic].event_type, &world.topics[topic].id);
            world.did(&who, format_args!("subscribes {name} {limits:?} {pace:?}"));
            let pubsub = PubSub::new(target.clone());
            let subscription = match pubsub.subscribe_envelopes_within(event_type, id, limits).await {
                Ok(subscription) => subscription,
                Err(SubscribeError::Denied(DenyReason::NotAllowed))
                    if world.topics[topic].kind == Kind::Fickle =>
                {
                    return None;
                }
                Err(SubscribeError::Closed(_)) => return None,
                // Its hub is about to end, and it with it.
                Err(SubscribeError::Denied(DenyReason::Draining)) if one_connection => return None,
                Err(other) => {
                    world.fail(&who, Some(topic), &format!("subscribing: {other}"));
                    return None;
                }
            };
            if subscription.readiness() != Readiness::Confirmed {
                world.fail(&who, Some(topic), &format!("subscribed: {:?}", subscription.readiness()));
            }
            ear.confirm();
            let confirmed_at = target.stats().connections;
            world.did(&who, format_args!("subscribed {name} on connection {confirmed_at}"));
            let interruptions = Interruptions { confirmed_at };
            let reader = Reader {
                world,
                who,
                topic,
                subscription,
                limits,
                pace,
                ear,
                interruptions,
                lagged: 0,
                end: None,
            };
            reading.send(reader).ok().map(|()| Held { topic, orders })
        });
    }

    async fn subscribe_and_cancel(&self, topic: TopicNumber, looks: usize) {
        let topic = &self.world.topics[topic];
        let pubsub = PubSub::new(self.target.clone());
        self.did(format_args!("subscribes {} and takes it back", topic.name()));
        let subscribing = pubsub.subscribe_envelopes(topic.event_type, &topic.id);
        let mut subscribing = std::pin::pin!(subscribing);
        for _ in 0..looks {
            if subscribing.as_mut().now_or_never().is_some() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn unsubscribe(&mut self, which: usize) {
        if self.held.is_empty() {
            return;
        }
        let held = self.held.swap_remove(which % self.held.len());
        let name = self.name(held.topic);
        finish(held, false).await;
        self.did(format_args!("unsubscribed {name} "));
    }

    fn add_probe(&mut self, topic: TopicNumber) {
        if self.probes.len() >= 2 || self.world.topics[topic].kind != Kind::Plain {
            return;
        }
        let ear = Ear::new(self.world.ledger.clone(), topic);
        // Until it is confirmed no gap is owed to it.
        let interruptions = Interruptions { confirmed_at: u64::MAX };
        let probe = Arc::new(Probe {
            world: self.world.clone(),
            who: self.who.clone(),
            topic,
            ear: Mutex::new((ear, interruptions)),
            buried: AtomicBool::new(false),
        });
        let name = self.name(topic);
        let Ok(id) = self.target.add_event_listener(&name, probe.clone()) else { return };
        self.did(format_args!("listens {name} "));
        self.probes.push((id, probe.clone()));
        let target = self.target.clone();
        self.aside.spawn(async move {
            if target.ready(&name).await == Readiness::Confirmed {
                let connections = target.stats().connections;
                let (ear, interruptions) = &mut *probe.lock();
                ear.confirm();
                interruptions.confirmed_at = connections;
            }
        });
    }

    fn remove_probe(&mut self, which: usize) {
        if self.probes.is_empty() {
            return;
        }
        let (id, probe) = self.probes.swap_remove(which % self.probes.len());
        self.target.remove_event_listener(id);
        self.did(format_args!("listens no more {} ", self.name(probe.topic)));
        self.removed.push(probe);
    }

    fn forbidden(&mut self, event_type: &'static str, id: String, reason: DenyReason) {
        let (world, who, target) = (self.world.clone(), self.who.clone(), self.target.clone());
        self.aside.spawn(async move {
            match PubSub::new(target).subscribe_envelopes(event_type, &id).await {
                Err(SubscribeError::Denied(because)) if because == reason => {}
                Err(SubscribeError::Closed(_) | SubscribeError::Denied(DenyReason::Draining)) => {}
                other => world.fail(&who, None, &format!("{other:?} in place of a denial: {reason}")),
            }
        });
    }

    /// Whether it has ended, which only a client of one connection may.
    fn has_ended(&self) -> bool {
        match &self.peer {
            Peer::Spoke(spoke, _) => {
                if let SpokeState::Closed(reason) = spoke.state() {
                    self.world.fail(&self.who, None, &format!("the spoke has ended: {reason}"));
                }
                false
            }
            Peer::Client(_) => self.target.stats().links == 0,
        }
    }

    async fn settle(&mut self) -> Option<u64> {
        let settled = tokio::time::timeout(PATIENCE, async {
            while let Some(done) = self.subscribing.join_next().await {
                self.held.extend(done.ok().flatten());
            }
            while self.aside.join_next().await.is_some() {}
            if let Peer::Spoke(spoke, _) = &self.peer {
                let mut states = spoke.states();
                while !matches!(states.next().await, Some(SpokeState::Connected) | None) {}
            }
            for topic in self.topics() {
                self.target.ready(&topic).await;
            }
        });
        if settled.await.is_err() {
            let state = format!("{:?}", self.target.stats());
            self.world.fail(&self.who, None, &format!("it does not come to rest: {state}"));
        }
        if self.has_ended() {
            for held in self.held.drain(..) {
                finish(held, true).await;
            }
            return None;
        }
        Some(self.connections())
    }

    fn topics(&self) -> HashSet<String> {
        let held = self.held.iter().map(|held| held.topic);
        let listened = self.probes.iter().map(|(_, probe)| probe.topic);
        let mut topics: HashSet<String> = held.chain(listened).map(|topic| self.name(topic)).collect();
        topics.insert(echo_topic(self.number));
        topics
    }

    async fn echo(&mut self, number: u64) -> Option<u64> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let event = EventEnvelope::new("echo", &self.number.to_string(), &number).expect("a topic");
            let taken = self.target.dispatch_event(event);
            self.count(taken.is_ok());
            let wait = if taken.is_ok() { Duration::from_millis(300) } else { Duration::from_millis(5) };
            let heard = async { self.echoed.wait_for(|heard| *heard == number).await.is_ok() };
            if let Ok(true) = tokio::time::timeout(wait, heard).await {
                return Some(self.connections());
            }
            if self.has_ended() {
                return None;
            }
            if tokio::time::Instant::now() > deadline {
                self.world.fail(&self.who, None, "it does not hear itself");
                return None;
            }
        }
    }

    async fn check(&mut self, books: &[Book]) -> Option<Checked> {
        let now = self.connections();
        let then = self.at_fence.load(SeqCst);
        let mut tally = Tally::default();
        let listeners = (self.held.len() + self.probes.len() + 1) as u64;
        let stats = self.target.stats();
        let topics = self.topics();
        let mut wrong = Vec::new();
        // A spoke pings whenever its time has come, also now. No event is as short.
        let a_ping = stats.queued_messages == 1 && stats.queued_bytes < 48;
        let (messages, bytes) = if a_ping { (0, 0) } else { (stats.queued_messages, stats.queued_bytes) };
        for (what, is, must_be) in [
            ("dispatched", stats.dispatched, self.taken),
            ("sent", stats.sent, self.taken),
            ("rejected", stats.rejected, self.refused),
            ("listeners", stats.listeners, listeners),
            ("topics", stats.topics, topics.len() as u64),
            ("links", stats.links, 1),
            ("queued_messages", messages, 0),
            ("queued_bytes", bytes, 0),
            ("bad_input", stats.bad_input, 0),
            ("violations", stats.violations, 0),
            ("panicked", stats.panicked, 0),
        ] {
            if is != must_be {
                wrong.push(format!("{what} is {is}, not {must_be}"));
            }
        }
        if !wrong.is_empty() {
            self.world.fail(&self.who, None, &wrong.join(", "));
        }
        for (_, probe) in &self.probes {
            let fence = Fence { book: books[probe.topic].clone(), connections: (then, now) };
            tally.add(&probe.check(&fence)?);
        }
        self.removed.drain(..).for_each(|probe| probe.buried.store(true, SeqCst));
        let held = std::mem::take(&mut self.held);
        let mut replies = Vec::new();
        for held in held {
            let fence = Fence { book: books[held.topic].clone(), connections: (then, now) };
            let (reply, replied) = oneshot::channel();
            let _ = held.orders.send(Order::Check(fence, reply));
            replies.push((held, replied));
        }
        for (held, replied) in replies {
            let (found, ended) = replied.await.ok().flatten()?;
            tally.add(&found);
            if ended {
                finish(held, false).await;
            } else {
                self.held.push(held);
            }
        }
        // What was told is dropped with its memory.
        while self.readers.try_join_next().is_some() {}
        // Without what has ended.
        let topics = self.topics();
        Some(Checked { tally, stats, topics })
    }

    async fn leave(mut self, how: Leave) {
        self.did(format_args!("leaves: {how:?}"));
        self.subscribing.shutdown().await;
        self.aside.shutdown().await;
        if let Leave::Closed = how {
            self.target.close();
        }
        for held in self.held.drain(..) {
            finish(held, matches!(how, Leave::Closed)).await;
        }
        if let Leave::Disconnected = how {
            let patience = Duration::from_secs(5);
            // Where the connection breaks meanwhile, there is nothing to be said.
            match &self.peer {
                Peer::Spoke(spoke, _) => drop(spoke.disconnect(patience).await),
                Peer::Client(client) => drop(client.disconnect(patience).await),
            }
        }
        if !matches!(how, Leave::Dropped) {
            let ended = tokio::time::timeout(PATIENCE, self.target.closed()).await;
            if ended.is_err() {
                self.world.fail(&self.who, None, "it was closed and does not end");
            }
        }
    }
}

pub(crate) fn echo_topic(number: u64) -> String {
    format!("echo:{number}")
}

async fn finish(held: Held, closed: bool) {
    let (reply, replied) = oneshot::channel();
    let _ = held.orders.send(Order::Finish(closed, reply));
    let _ = replied.await;
}
