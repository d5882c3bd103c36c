//! The run: epochs of random operations, and a fence behind each.

use crate::ear::Tally;
use crate::hub::Hub;
use crate::ledger::{Book, Ledger, Source, Standing, TopicNumber};
use crate::proxy::{Faults, Proxy};
use crate::random::{Map, Random};
use crate::raw::{Finale, Raw};
use crate::reader::Pace;
use crate::spoke::{Actor, Checked, Leave, Op, Peer};
use crate::world::{Kind, Topic, World};
use alkpubsub::{
    ClientOptions, DenyReason, EventTarget, HandshakeOptions, Overflow, QueueLimits, Spoke, SpokeOptions,
    WebSocketClientEventTarget,
};
use futures_util::future::join_all;
use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

const SPOKES: usize = 200;
const PLAIN_TOPICS: usize = 30;
const FICKLE_TOPICS: usize = 4;
const MUTE_TOPICS: usize = 2;
const OPERATIONS: usize = 600;

/// What was done and found.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    epochs: u64,
    operations: u64,
    tally: Tally,
    published: u64,
    interruptions: u64,
    restarts: u64,
    fences_built_anew: u64,
    epochs_counted: u64,
    came: u64,
    raw: u64,
    most_sources: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, .. } = self;
        write!(
            f,
            "{} epochs, {} operations, {} events published, {} heard, {} lagged ({} sums exact, {} within bounds), \
             {} gaps, {} connections lost, {} restarts of the hub, {} spokes in all, {} raw peers, {} fences built \
             anew, {} epochs with counters compared, at most {} sources remembered",
            self.epochs,
            self.operations,
            self.published,
            tally.events,
            tally.lagged,
            tally.lags_exact,
            tally.lags_within,
            tally.gaps,
            self.interruptions,
            self.restarts,
            self.came,
            self.raw,
            self.fences_built_anew,
            self.epochs_counted,
            self.most_sources,
        )
    }
}

struct Member {
    number: u64,
    ops: mpsc::UnboundedSender<Op>,
    faults: Option<Arc<Faults>>,
    keeps_events: bool,
    /// Connections made, as the fence under way has seen, and the one before.
    now: u64,
    at_fence: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Spokes that keep their events, and how often they were connected at the last fence.
type Keepers = Arc<Mutex<Map<u64, (Weak<Spoke>, Arc<AtomicU64>)>>>;

struct Soak {
    random: Random,
    world: Arc<World>,
    hub: Hub,
    proxy: Proxy,
    keepers: Keepers,
    members: Vec<Member>,
    raws: JoinSet<()>,
    next: u64,
    fences: u64,
    figures: Figures,
    /// Sums of dispatched, received and denied at the last fence, and the hub's.
    sums: Option<(u64, u64)>,
    hub_sums: (u64, u64, u64),
}

type Done<T = ()> = Result<T, String>;

pub(crate) async fn soak(seed: u64, time: Duration, hub: Option<String>, shards: NonZeroU8) -> Done<Figures> {
    let mut topics = Vec::new();
    for (event_type, kind, count) in [
        ("t", Kind::Plain, PLAIN_TOPICS),
        ("fickle", Kind::Fickle, FICKLE_TOPICS),
        ("mute", Kind::Mute, MUTE_TOPICS),
    ] {
        // Without hooks nothing is denied.
        let kind = if hub.is_some() { Kind::Plain } else { kind };
        topics.extend((0..count).map(|id| Topic { event_type, id: id.to_string(), kind }));
    }
    let keepers = Keepers::default();
    let known = keepers.clone();
    let shaken = move |publisher| match known.lock().unwrap_or_else(PoisonError::into_inner).get(&publisher) {
        Some((spoke, at_fence)) => {
            spoke.upgrade().is_none_or(|spoke| spoke.stats().connections != at_fence.load(SeqCst))
        }
        None => true,
    };
    let ledger = Arc::new(Ledger::new(topics.len(), shaken));
    let world = World::new(topics, ledger);
    let hub = Hub::start(hub, shards).await;
    let proxy = Proxy::start(hub.address).await;
    let mut soak = Soak {
        random: Random::new(seed),
        world: world.clone(),
        hub,
        proxy,
        keepers,
        members: Vec::new(),
        raws: JoinSet::new(),
        next: 1,
        fences: 0,
        figures: Figures::default(),
        sums: None,
        hub_sums: (0, 0, 0),
    };
    tokio::select! {
        done = soak.run(time) => done?,
        why = world.failed() => return Err(why),
    }
    match world.failure() {
        Some(why) => Err(why),
        None => {
            let Soak { proxy, figures, .. } = soak;
            proxy.end().await;
            Ok(figures)
        }
    }
}

impl Soak {
    async fn run(&mut self, time: Duration) -> Done {
        for _ in 0..SPOKES {
            self.come().await?;
        }
        self.fence(false).await?;
        let begun = Instant::now();
        let mut told = Instant::now();
        while begun.elapsed() < time {
            let calm = self.figures.epochs % 3 == 2;
            self.world.did("all", format_args!("epoch {}, calm: {calm}", self.figures.epochs));
            self.epoch(calm).await?;
            self.fence(calm).await?;
            self.figures.epochs += 1;
            if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                eprintln!("{:?}: {}", begun.elapsed(), self.figures);
            }
        }
        self.end().await
    }

    fn name(number: u64) -> Arc<str> {
        format!("spoke {number}").into()
    }

    /// A new spoke, of one kind or other.
    async fn come(&mut self) -> Done {
        let number = self.next;
        self.next += 1;
        self.figures.came += 1;
        let direct = format!("ws://{}/", self.hub.address);
        let mut options = SpokeOptions::DEFAULT;
        options.backoff.first = Duration::from_millis(5);
        options.backoff.max = Duration::from_millis(50);
        options.backoff.later = Duration::from_millis(20);
        // A machine that is busy is no hub that answers nobody.
        options.link.answer_timeout = Duration::from_secs(120);
        let kind = number % 10;
        let faults = (kind < 5).then(|| self.proxy.faults(number));
        let peer = match kind {
            0..8 => {
                options.keep_events = matches!(kind, 0 | 5);
                let url = match &faults {
                    Some(_) => format!("ws://{}/{number}", self.proxy.address),
                    None => direct,
                };
                let spoke = Spoke::websocket(&url, HandshakeOptions::DEFAULT, options);
                Peer::Spoke(Arc::new(spoke.map_err(|error| error.to_string())?), options.keep_events)
            }
            _ => {
                let mut options = ClientOptions::DEFAULT;
                options.link.answer_timeout = Duration::from_secs(120);
                let client = WebSocketClientEventTarget::connect_with(&direct, options).await;
                Peer::Client(Arc::new(client.map_err(|error| format!("a client: {error}"))?))
            }
        };
        let at_fence = Arc::new(AtomicU64::new(peer.target().stats().connections));
        if let Peer::Spoke(spoke, true) = &peer {
            let keeper = (Arc::downgrade(spoke), at_fence.clone());
            self.keepers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, keeper);
        }
        let keeps_events = peer.keeps_events();
        let (ops, to_do) = mpsc::unbounded_channel();
        let actor = Actor::new(self.world.clone(), Self::name(number), number, peer, at_fence.clone());
        let task = tokio::spawn(actor.run(to_do));
        self.members.push(Member { number, ops, faults, keeps_events, now: 0, at_fence, task });
        Ok(())
    }

    async fn gone(&mut self, member: Member) -> Done {
        drop(member.ops);
        member.task.await.map_err(|error| format!("{}: {error}", Self::name(member.number)))?;
        self.proxy.forget(member.number);
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).remove(&member.number);
        Ok(())
    }

    async fn epoch(&mut self, calm: bool) -> Done {
        let restarts = !calm && self.random.one_in(6);
        let restart_at = self.random.below(OPERATIONS);
        if let Some(door) = self.hub.door() {
            let fickle = door.fickle.load(SeqCst) ^ (!calm && self.random.one_in(3));
            door.fickle.store(fickle, SeqCst);
        }
        if !calm {
            for _ in 0..3 {
                self.raw(restarts);
            }
        }
        for operation in 0..OPERATIONS {
            self.figures.operations += 1;
            if !calm && self.random.one_in(40) {
                self.interrupt();
            }
            if !calm && self.random.one_in(150) {
                self.leave().await?;
                self.come_in(restarts).await?;
            }
            let (member, op) = (self.random.below(self.members.len()), self.op());
            let _ = self.members[member].ops.send(op);
            if restarts && operation == restart_at {
                let kill = self.random.one_in(3);
                self.world.did("all", format_args!("the hub ends and is there again, at once: {kill}"));
                self.hub.restart(kill).await?;
                self.figures.restarts += 1;
                self.sums = None;
            }
            if operation % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    /// A client may not get in while the hub ends; then it is not one that came.
    async fn come_in(&mut self, restarts: bool) -> Done {
        let before = self.members.len();
        match self.come().await {
            Err(why) if restarts && self.members.len() == before => {
                self.world.did("all", format_args!("could not come: {why}"));
                Ok(())
            }
            done => done,
        }
    }

    async fn leave(&mut self) -> Done {
        let which = self.random.below(self.members.len());
        let member = self.members.swap_remove(which);
        let how = *self.random.pick(&[Leave::Dropped, Leave::Closed, Leave::Disconnected]);
        let (reply, replied) = oneshot::channel();
        let _ = member.ops.send(Op::Leave(how, reply));
        if let Some(faults) = &member.faults {
            faults.heal();
        }
        let _ = replied.await;
        self.sums = None;
        self.gone(member).await
    }

    fn raw(&mut self, disturbed: bool) {
        let number = self.next;
        self.next += 1;
        self.figures.raw += 1;
        let topics = HashSet::from([(); 3].map(|()| self.random.below(PLAIN_TOPICS)));
        let mut topics: Vec<TopicNumber> = topics.into_iter().collect();
        topics.sort_unstable();
        let raw = Raw {
            world: self.world.clone(),
            address: self.hub.address,
            number,
            topics,
            events: self.random.within(0..20),
            finale: *self.random.pick(&Finale::ALL),
            disturbed,
        };
        self.raws.spawn(raw.run());
        self.sums = None;
    }

    fn interrupt(&mut self) {
        self.sums = None;
        let which = self.random.below(self.members.len());
        let member = &self.members[which];
        let (what, reset) = (self.random.below(10), self.random.one_in(2));
        let who = Self::name(member.number);
        match (&member.faults, what) {
            (Some(faults), 0..3) => {
                self.world.did(&who, format_args!("its connection is cut, with a reset: {reset}"));
                faults.cut_now(reset);
            }
            (Some(faults), 3..6) => {
                let bytes = self.random.within(0..3000) as u32;
                self.world
                    .did(&who, format_args!("its connection is cut in {bytes} bytes, with a reset: {reset}"));
                faults.cut_after(bytes, reset);
            }
            (Some(faults), 6) => {
                self.world.did(&who, format_args!("its connection is held up"));
                faults.stall();
            }
            (Some(faults), 7) => {
                self.world.did(&who, format_args!("its connection is cut, and none is let in"));
                faults.refuse();
                faults.cut_now(reset);
            }
            _ => {
                if let Some(code) = self.hub.close_one(&mut self.random) {
                    self.world.did("all", format_args!("the hub closes one with {code}"));
                }
            }
        }
    }

    fn topic(&mut self) -> TopicNumber {
        // A few are much more used than the others.
        let among = if self.random.one_in(3) { 5 } else { self.world.topics.len() };
        self.random.below(among)
    }

    fn limits(&mut self) -> QueueLimits {
        let overflow = *self.random.pick(&[
            Overflow::DropOldest,
            Overflow::DropOldest,
            Overflow::DropNewest,
            Overflow::Close,
        ]);
        let max_events = *self.random.pick(&[1, 2, 10, 50, 1024, 1 << 20]);
        let max_bytes = *self.random.pick(&[600, 20_000, 8 << 20, 1 << 30]);
        QueueLimits::DEFAULT.max_events(max_events).max_bytes(max_bytes).overflow(overflow)
    }

    fn pace(&mut self) -> Pace {
        *self.random.pick(&[Pace::Fast, Pace::Fast, Pace::Slow, Pace::Never])
    }

    fn op(&mut self) -> Op {
        let (topic, which) = (self.topic(), self.random.below(64));
        match self.random.below(100) {
            0..50 => {
                let burst = if self.random.one_in(20) { 200 } else { 10 };
                let count = self.random.within(1..burst);
                let large = self.random.one_in(40);
                let bytes = self.random.below(if large { 40_000 } else { 200 });
                Op::Publish { topic, count: if large { count.min(20) } else { count }, bytes }
            }
            50..68 => Op::Subscribe { topic, limits: self.limits(), pace: self.pace() },
            68..71 => Op::SubscribeAndCancel { topic, looks: which % 8 },
            71..80 => Op::Unsubscribe { which },
            80..85 => Op::Pace { which, pace: self.pace() },
            85..90 => Op::AddProbe { topic },
            90..93 => Op::RemoveProbe { which },
            93..96 => Op::Own,
            96..97 => Op::Ping,
            _ if self.hub.door().is_some() && self.random.one_in(2) => {
                Op::Forbidden { event_type: "denied", id: String::new(), reason: DenyReason::NotAllowed }
            }
            _ => Op::Forbidden { event_type: "t", id: "x".repeat(300), reason: DenyReason::TopicTooLong },
        }
    }

    /// Asks all members at once; those that have ended are taken out.
    async fn ask<T>(&mut self, op: impl Fn(oneshot::Sender<Option<T>>) -> Op) -> Done<Vec<T>> {
        let asked: Vec<_> = self
            .members
            .iter()
            .map(|member| {
                let (reply, replied) = oneshot::channel();
                let _ = member.ops.send(op(reply));
                replied
            })
            .collect();
        let mut answers = Vec::new();
        for (member, answer) in std::mem::take(&mut self.members).into_iter().zip(join_all(asked).await) {
            match answer {
                Ok(Some(answer)) => {
                    answers.push(answer);
                    self.members.push(member);
                }
                Ok(None) => {
                    self.sums = None;
                    self.gone(member).await?;
                }
                Err(_) => return Err(format!("{} panicked", Self::name(member.number))),
            }
        }
        Ok(answers)
    }

    async fn fence(&mut self, calm: bool) -> Done {
        for member in &self.members {
            if let Some(faults) = &member.faults {
                faults.heal();
            }
        }
        let begun = Instant::now();
        while let Some(raw) = self.raws.join_next().await {
            raw.map_err(|error| format!("a raw peer: {error}"))?;
        }
        loop {
            let before = self.ask(Op::Settle).await?;
            self.fences += 1;
            let number = self.fences;
            self.ask(|reply| Op::Echo(number, reply)).await?;
            self.fences += 1;
            let number = self.fences;
            let after = self.ask(|reply| Op::Echo(number, reply)).await?;
            // A hub has more connections as long as one that broke has not ended there, and fewer where one that is
            // about to be closed has ended there first.
            let links = self.members.len() as u64;
            let all_there = self.hub.stats().is_none_or(|stats| stats.links == links);
            if before == after && all_there {
                self.members.iter_mut().zip(after).for_each(|(member, now)| member.now = now);
                break;
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(format!("no fence can be built: {links} spokes, hub {:?}", self.hub.stats()));
            }
            self.figures.fences_built_anew += 1;
            if before != after {
                self.sums = None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.world.did("all", format_args!("the fence stands"));
        self.check(calm).await?;
        // Clients whose connection was closed are replaced.
        while self.members.len() < SPOKES {
            self.come().await?;
        }
        Ok(())
    }

    async fn check(&mut self, calm: bool) -> Done {
        let standings: Map<u64, (u64, Standing)> = self
            .members
            .iter()
            .map(|member| {
                let shaken = member.keeps_events && member.now != member.at_fence.load(SeqCst);
                let standing = if shaken { Standing::Shaken } else { Standing::Taken };
                let life = if member.keeps_events { 0 } else { member.now };
                (member.number, (life, standing))
            })
            .collect();
        let standing = |source: Source| match standings.get(&source.publisher) {
            Some((life, standing)) if *life == source.life => *standing,
            _ => Standing::Over,
        };
        let books = Arc::new(self.world.ledger.books(standing));
        let members = self.members.len();
        let checked = self.ask(|reply| Op::Check(books.clone(), reply)).await?;
        if self.members.len() < members {
            // It said why.
            return Err(self.world.failed().await);
        }
        self.figures.most_sources = self.figures.most_sources.max(self.world.ledger.len());
        self.world.ledger.turn_the_page(&books);
        for member in &self.members {
            let then = member.at_fence.swap(member.now, SeqCst);
            self.figures.interruptions += (member.now - then).min(member.now - 1);
        }
        checked.iter().for_each(|checked| self.figures.tally.add(&checked.tally));
        self.compare(calm, &checked, &books).await
    }

    /// The hub's counters with those of all spokes.
    async fn compare(&mut self, calm: bool, checked: &[Checked], books: &[Book]) -> Done {
        let _ = books;
        let topics: HashSet<&String> = checked.iter().flat_map(|checked| &checked.topics).collect();
        let topics = topics.len() as u64;
        self.hub.until(&format!("topics are not {topics}"), |stats| stats.topics == topics).await?;
        let sum = |of: fn(&Checked) -> u64| checked.iter().map(of).sum::<u64>();
        let (dispatched, received) = (sum(|it| it.stats.dispatched), sum(|it| it.stats.received));
        let Some(stats) = self.hub.stats() else {
            self.figures.published = self.figures.published.max(dispatched);
            return Ok(());
        };
        if let Some((dispatched_then, received_then)) = self.sums.filter(|_| calm) {
            let (hub_received, hub_sent, hub_dropped) = self.hub_sums;
            let must_be = (
                hub_received + dispatched - dispatched_then,
                hub_sent + received - received_then,
                hub_dropped,
            );
            let what =
                format!("in an epoch without interruptions received, sent, dropped are not {must_be:?}");
            self.hub.until(&what, |stats| (stats.received, stats.sent, stats.dropped) == must_be).await?;
            self.figures.epochs_counted += 1;
        }
        self.figures.published += stats.received.saturating_sub(self.hub_sums.0);
        self.hub_sums = (stats.received, stats.sent, stats.dropped);
        self.sums = Some((dispatched, received));
        Ok(())
    }

    async fn end(&mut self) -> Done {
        for mut member in std::mem::take(&mut self.members) {
            let how = *self.random.pick(&[Leave::Dropped, Leave::Closed, Leave::Disconnected]);
            let (reply, replied) = oneshot::channel();
            let _ = member.ops.send(Op::Leave(how, reply));
            let _ = replied.await;
            member.faults = None;
            self.gone(member).await?;
        }
        let nothing = |stats: &alkpubsub::Stats| {
            (stats.links, stats.topics, stats.queued_messages, stats.queued_bytes, stats.incoming_bytes)
                == (0, 0, 0, 0, 0)
        };
        self.hub.until("all have left, and something is there", nothing).await?;
        self.hub.end(false).await
    }
}
