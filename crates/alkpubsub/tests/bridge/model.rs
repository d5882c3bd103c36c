//! Two brokers and a bridge, in every order of steps, beside what must have been heard.

use crate::broker::Broker;
use crate::{Run, TOPIC, text};
use alkpubsub::bridge::{Bridge, BridgeNotice, BridgeOptions, Side, SideStats};
use alkpubsub::{EventEnvelope, EventTarget, Listener, Notice};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Left is 0, right is 1.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody on this side publishes one of a few texts, or one that nobody else publishes.
    Publish(usize, Option<u8>),
    /// So many go through a broker.
    Deliver(usize, usize),
    /// The bridge has a turn.
    Poll,
    /// The bridge's future is dropped, and another made.
    Cancel,
    /// A broker loses some of what is on its way, and tells of it somewhere.
    Lose(usize, usize, usize, usize),
    Down(usize),
    Up(usize),
    /// The topic is removed, and added again at once.
    Renew,
}

fn step(with_losses: bool) -> impl Strategy<Value = Step> {
    let side = 0..2_usize;
    let often = prop_oneof![
        (side.clone(), prop::option::of(0..3_u8)).prop_map(|(side, few)| Step::Publish(side, few)),
        (side.clone(), 1..4_usize).prop_map(|(side, count)| Step::Deliver(side, count)),
        Just(Step::Poll),
    ];
    let losses = prop_oneof![
        (side.clone(), 0..6_usize, 0..4_usize, 0..8_usize)
            .prop_map(|(side, first, count, gap)| Step::Lose(side, first, count, gap)),
        side.clone().prop_map(Step::Down),
        side.prop_map(Step::Up),
        Just(Step::Renew),
    ];
    let seldom = if with_losses { losses.boxed() } else { Just(Step::Poll).boxed() };
    prop_oneof![20 => often, 1 => Just(Step::Cancel), 3 => seldom]
}

/// What came to a subscriber of one side, each with its time.
#[derive(Default)]
struct Log {
    heard: Vec<(u64, String)>,
    /// When it was last told that something is missing.
    told: u64,
}

#[derive(Clone, Default)]
struct Subscriber {
    clock: Arc<AtomicU64>,
    log: Arc<Mutex<Log>>,
}

impl Subscriber {
    fn is_told(&self) {
        self.log.lock().unwrap().told = self.clock.load(Relaxed);
    }
}

impl Listener for Subscriber {
    fn event(&self, event: &EventEnvelope) {
        let heard = (self.clock.load(Relaxed), event.to_json().unwrap().to_owned());
        self.log.lock().unwrap().heard.push(heard);
    }

    fn notice(&self, notice: &Notice) {
        if matches!(notice, Notice::Gap { .. }) {
            self.is_told();
        }
    }
}

struct World {
    brokers: [Broker; 2],
    subscribers: [Subscriber; 2],
    /// What others have published and was let through, with its time.
    went: [Vec<(u64, String)>; 2],
    published: u32,
    clock: Arc<AtomicU64>,
    run: Run,
}

impl World {
    fn new(options: BridgeOptions, room: usize) -> Self {
        let brokers = [Broker::with_room(room), Broker::with_room(room)];
        let clock = Arc::default();
        let subscribers = [(); 2].map(|()| Subscriber { clock: Arc::clone(&clock), ..Subscriber::default() });
        for (broker, subscriber) in brokers.iter().zip(&subscribers) {
            broker.add_event_listener(TOPIC, Arc::new(subscriber.clone())).unwrap();
        }
        let across = subscribers.clone();
        let tell = move |notice: &BridgeNotice| {
            if let BridgeNotice::Lost { from, .. } = notice {
                across[usize::from(*from == Side::Left)].is_told();
            }
        };
        let bridge = Bridge::new(brokers[0].clone(), brokers[1].clone(), options.on_notice(tell)).unwrap();
        bridge.add_topic(TOPIC).unwrap();
        let run = Run::new(Arc::new(bridge));
        Self { brokers, subscribers, went: Default::default(), published: 0, clock, run }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish(side, few) => {
                self.published += 1;
                let unlike_others = format!("\"{}\"", self.published);
                self.brokers[side].publish(&few.map_or_else(|| text(&unlike_others), |few| text(&few)));
            }
            Step::Deliver(side, count) => (0..count).for_each(|_| self.deliver(side)),
            Step::Poll => self.poll(),
            Step::Cancel => self.run.again(),
            Step::Lose(side, first, count, gap) => self.brokers[side].lose(first..first + count, gap),
            Step::Down(side) => self.brokers[side].be_down(true),
            Step::Up(side) => self.brokers[side].be_down(false),
            Step::Renew => {
                self.run.bridge.remove_topic(TOPIC);
                self.run.bridge.add_topic(TOPIC).unwrap();
            }
        }
    }

    fn poll(&mut self) {
        self.clock.fetch_add(1, Relaxed);
        self.run.poll();
    }

    fn deliver(&mut self, side: usize) {
        let now = self.clock.fetch_add(1, Relaxed) + 1;
        let subscribed = self.brokers[side].subscribed();
        self.went[side].extend(self.brokers[side].deliver().map(|text| (now, text)));
        if self.brokers[side].subscribed() > subscribed {
            // What went before was not heard, and who subscribes knows that.
            self.subscribers[1 - side].is_told();
        }
    }

    /// Everything goes through, until nothing moves.
    fn settle(&mut self) {
        self.brokers.iter().for_each(|broker| broker.be_down(false));
        for _ in 0..5000 {
            self.poll();
            if self.brokers.iter().all(|broker| broker.on_its_way() == 0) {
                return;
            }
            (0..2).for_each(|side| self.deliver(side));
        }
        panic!("it goes on without end");
    }

    /// What holds for the subscriber of one side, whatever was lost: nothing came more often than it was published, and
    /// what was published after the last telling has come.
    fn check(&self, side: usize) {
        let log = self.subscribers[side].log.lock().unwrap();
        let all = self.went.concat();
        let (heard, published) = (since(&log.heard, 0), since(&all, 0));
        for (text, heard) in &heard {
            assert!(
                published.get(text).is_some_and(|published| heard <= published),
                "{text} came {heard} times"
            );
        }
        let late = since(&log.heard, log.told);
        for (text, published) in since(&all, log.told) {
            let heard = late.get(text).copied().unwrap_or(0);
            assert!(
                heard >= published,
                "{text} was published {published} times since, and came {heard} times"
            );
        }
    }
}

/// How often each text stands in a list behind this time.
fn since(list: &[(u64, String)], time: u64) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    let late = list.iter().filter(|(at, _)| *at > time);
    late.for_each(|(_, text)| *counts.entry(text.as_str()).or_default() += 1);
    counts
}

/// Those that nobody else publishes, in their order.
fn unlike_others(list: &[(u64, String)]) -> Vec<&str> {
    list.iter()
        .map(|(_, text)| text.as_str())
        .filter(|text| text.contains(r#":""#) && text.ends_with(r#""}"#))
        .collect()
}

fn adds_up(stats: &SideStats) {
    let SideStats { heard, own, crossed, too_slow, disconnected, refused, ended, queued, .. } = *stats;
    assert_eq!(heard, own + crossed + too_slow + disconnected + refused + ended + queued, "{stats:?}");
}

proptest! {
    #[test]
    fn each_crosses_once_and_in_order(steps in prop::collection::vec(step(false), 1..120), room in 0..6_usize) {
        let mut world = World::new(BridgeOptions::new(), room);
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        for side in [0, 1] {
            world.check(side);
            let log = world.subscribers[side].log.lock().unwrap();
            prop_assert_eq!(log.told, 0);
            let there = unlike_others(&world.went[1 - side]);
            let heard: Vec<_> = unlike_others(&log.heard).into_iter().filter(|text| there.contains(text)).collect();
            prop_assert_eq!(heard, there);
        }
        let stats = world.run.bridge.stats();
        for side in [stats.left, stats.right] {
            adds_up(&side);
            prop_assert_eq!((side.awaited, side.queued, side.ambiguous, side.forgotten), (0, 0, 0, 0));
        }
    }

    #[test]
    fn what_is_lost_is_told_behind_its_place_and_nothing_comes_twice(
        steps in prop::collection::vec(step(true), 1..160),
        room in 0..6_usize,
        max_queued in 1..6_usize,
    ) {
        let mut options = BridgeOptions::new();
        options.max_queued = max_queued;
        let mut world = World::new(options, room);
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        [0, 1].iter().for_each(|side| world.check(*side));
        let stats = world.run.bridge.stats();
        [stats.left, stats.right].iter().for_each(adds_up);
    }
}
