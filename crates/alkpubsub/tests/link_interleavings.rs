//! One link and one hub with a wire between them, in 100,000 orders of what threads, wire, hub and clock do. Half of
//! the links outlive their connections, and lose some.
//!
//! The hub is a naive one that really holds topics. What is on the wire is read as text, not through the library. A
//! failure prints its seed; `LINK_SEED=n` runs that one alone, and `LINK_SEEDS=n` as many.

use alkpubsub::protocol::check::{MessageLimits, parts};
use alkpubsub::protocol::link::{Due, Heard, Link, LinkOptions, Readiness};
use alkpubsub::protocol::{HeartbeatOptions, Message};
use alkpubsub::{Action, DenyReason};
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const SEEDS: u64 = 100_000;
const TOPICS: [&str; 3] = ["a:", "a:b", "c:d"];
const SUBSCRIBE: &str = r#"{"type":"__subscribe","id":"","payload":{"topic":""#;
const UNSUBSCRIBE: &str = r#"{"type":"__unsubscribe","id":"","payload":{"topic":""#;

#[derive(Clone)]
struct Text(String);

impl Message for Text {
    type Framing = ();

    fn from_text(text: String, (): ()) -> Self {
        Self(text)
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn is_control(&self) -> bool {
        true
    }
}

/// What the link sends, as a hub reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Question {
    Subscribe(usize),
    Unsubscribe(usize),
}

impl Question {
    fn read(text: &str) -> Self {
        let topic = |rest: &str| TOPICS.iter().position(|topic| rest == [topic, r#""}}"#].concat());
        let subscribe = text.strip_prefix(SUBSCRIBE).and_then(topic).map(Self::Subscribe);
        let unsubscribe = text.strip_prefix(UNSUBSCRIBE).and_then(topic).map(Self::Unsubscribe);
        subscribe.or(unsubscribe).unwrap_or_else(|| panic!("{text} is on the wire"))
    }

    fn topic(self) -> usize {
        match self {
            Self::Subscribe(topic) | Self::Unsubscribe(topic) => topic,
        }
    }
}

/// What the hub sends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Yes(usize),
    No(usize),
    /// A no that was not asked for; it reads the same.
    Revoked(usize),
    /// An event, and its number.
    Event(usize, u64),
}

impl Said {
    fn text(self) -> String {
        match self {
            Self::Yes(topic) => {
                format!(r#"{{"type":"__subscribed","id":"","payload":{{"topic":"{}"}}}}"#, TOPICS[topic])
            }
            Self::No(topic) | Self::Revoked(topic) => format!(
                r#"{{"type":"__denied","id":"","payload":{{"topic":"{}","action":"subscribe","reason":"broker"}}}}"#,
                TOPICS[topic]
            ),
            Self::Event(topic, number) => {
                let (event_type, id) = TOPICS[topic].split_once(':').expect("a topic");
                format!(r#"{{"type":"{event_type}","id":"{id}","payload":{number}}}"#)
            }
        }
    }
}

/// What is known of a topic from the wire and the words of the contract alone.
#[derive(Clone, Copy, Default)]
struct Naive {
    listeners: usize,
    /// A question without its opposite or a denial behind it.
    asked: bool,
    owed: usize,
    /// The last answer that came, and nothing asked since.
    answer: Option<bool>,
    /// A denial came that answers another question than the link must think, as nothing in it says which it answers:
    /// one that revokes and crossed a question, or one that comes after the link gave up waiting. From then on the two
    /// ends may differ about the topic, until the connection ends.
    crossed: bool,
    /// The listeners there are have been told that events come.
    settled: bool,
    /// They came, and then the connection was lost: a gap is to be told when the topic is settled anew.
    interrupted: bool,
    /// A gap was told since, ahead of an event that came before that.
    told: bool,
    /// A gap was told when the link gave up waiting; an answer that comes after all completes it.
    late: bool,
}

/// How often what happened.
#[derive(Debug, Default)]
struct Counts {
    subscribes: u64,
    unsubscribes: u64,
    /// Times that a topic was looked at and found confirmed.
    confirmed: u64,
    denied: u64,
    revoked: u64,
    crossed: u64,
    gave_up: u64,
    events: u64,
    cuts: u64,
    gaps: u64,
}

impl Counts {
    fn all(&mut self) -> [&mut u64; 10] {
        let Self {
            subscribes,
            unsubscribes,
            confirmed,
            denied,
            revoked,
            crossed,
            gave_up,
            events,
            cuts,
            gaps,
        } = self;
        [subscribes, unsubscribes, confirmed, denied, revoked, crossed, gave_up, events, cuts, gaps]
    }

    fn add(&mut self, mut other: Self) {
        self.all().into_iter().zip(other.all()).for_each(|(sum, more)| *sum += *more);
    }
}

struct World {
    random: u64,
    now: Duration,
    link: Link<Text>,
    topics: [Naive; TOPICS.len()],
    /// Under way to the hub.
    up: VecDeque<Question>,
    /// What the hub holds.
    held: BTreeSet<usize>,
    /// Under way to the link.
    down: VecDeque<Said>,
    answers: bool,
    outlives: bool,
    online: bool,
    /// The link waited for an answer too long.
    gave_up: bool,
    /// Some answer came on this connection.
    answered: bool,
    published: u64,
    /// Events published while the link called their topic confirmed, and not come yet.
    due: BTreeSet<u64>,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            // Any seed, 0 among them, begins far away from its neighbours.
            random: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            now: Duration::ZERO,
            link: Link::new(LinkOptions::DEFAULT),
            topics: Default::default(),
            up: VecDeque::new(),
            held: BTreeSet::new(),
            down: VecDeque::new(),
            answers: true,
            outlives: false,
            online: true,
            gave_up: false,
            answered: false,
            published: 0,
            due: BTreeSet::new(),
            counts: Counts::default(),
        };
        world.answers = world.below(8) > 0;
        world.outlives = world.below(2) == 0;
        if world.outlives {
            world.link = Link::outliving(LinkOptions::DEFAULT, HeartbeatOptions::DEFAULT);
            world.online = false;
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }

    fn run(mut self) -> Counts {
        for _ in 0..16 + self.below(32) {
            self.step();
            self.check();
        }
        if !self.online {
            self.connect();
        }
        // Everything arrives, and nobody does anything more.
        while !self.up.is_empty() || !self.down.is_empty() {
            if self.down.is_empty() {
                self.hub_reads()
            } else {
                self.link_reads()
            }
            self.check();
        }
        self.at_rest();
        self.counts
    }

    fn step(&mut self) {
        let topic = self.below(TOPICS.len() as u64) as usize;
        match self.below(64) {
            0..12 => {
                self.topics[topic].listeners += 1;
                // Who comes after a denial asks anew, now or on the next connection.
                self.topics[topic].answer = self.topics[topic].answer.filter(|yes| *yes);
                self.link.want(TOPICS[topic], self.now).expect("there is room");
                self.sent();
                assert!(
                    self.topics[topic].asked || !self.online,
                    "{} is wanted, also after a denial",
                    TOPICS[topic]
                );
            }
            12..22 if self.topics[topic].listeners > 0 => {
                self.topics[topic].listeners -= 1;
                self.link.unwant(TOPICS[topic]).expect("there is room");
                self.sent();
                let state = &mut self.topics[topic];
                if state.listeners == 0 {
                    (state.settled, state.interrupted, state.told, state.late) = (false, false, false, false);
                }
                assert!(state.listeners > 0 || !state.asked, "nobody wants {} any more", TOPICS[topic]);
            }
            22..38 => self.hub_reads(),
            38..54 => self.link_reads(),
            54..58 => self.publish(topic),
            58..60 => self.revoke(topic),
            60..62 if self.below(2) == 0 => self.time_passes(),
            62..64 if self.online && self.outlives && self.below(2) == 0 => self.cut(),
            _ if !self.online => self.connect(),
            _ => {}
        }
        self.sent();
    }

    fn time_passes(&mut self) {
        let passed = Duration::from_millis(self.below(4_000));
        self.now += passed;
        // The hub answers every ping in time, as far as the link can tell.
        self.link.alive();
        let Due::Unanswered { after_gap } = self.link.handle_timeout(self.now).expect("there is room") else {
            return;
        };
        self.gave_up = true;
        self.counts.gave_up += 1;
        for (index, topic) in self.topics.iter_mut().enumerate() {
            topic.owed = 0;
            let settles = topic.listeners > 0 && topic.answer != Some(false);
            let told = after_gap.iter().any(|told| **told == *TOPICS[index]);
            assert_eq!(told, settles && topic.interrupted, "whether {} is told of a gap", TOPICS[index]);
            if settles {
                self.counts.gaps += u64::from(told);
                (topic.settled, topic.interrupted, topic.told, topic.late) = (true, false, false, told);
            }
        }
    }

    /// The connection is lost, and what was on its way.
    fn cut(&mut self) {
        self.counts.cuts += 1;
        (self.online, self.gave_up, self.answered) = (false, false, false);
        self.link.disconnected(false);
        self.up.clear();
        self.down.clear();
        self.held.clear();
        self.due.clear();
        for topic in &mut self.topics {
            let answer = topic.answer.filter(|yes| !yes && topic.owed == 0);
            let interrupted = topic.settled || topic.interrupted;
            *topic = Naive { listeners: topic.listeners, answer, interrupted, ..Naive::default() };
        }
    }

    fn connect(&mut self) {
        self.online = true;
        self.link.connected(self.now).expect("there is room");
        let Some(Text(ping)) = self.link.outbound().pop() else { panic!("nothing is sent") };
        assert!(ping.starts_with(r#"{"type":"__ping""#), "{ping} comes first");
        self.sent();
        for (index, topic) in self.topics.iter().enumerate() {
            let wanted = topic.listeners > 0 && topic.answer != Some(false);
            assert_eq!(topic.asked, wanted, "whether {} is asked for anew", TOPICS[index]);
        }
    }

    /// Reads what the link has to send: never the same word twice in a row.
    fn sent(&mut self) {
        while let Some(Text(text)) = self.link.outbound().pop() {
            let question = Question::read(&text);
            let topic = &mut self.topics[question.topic()];
            match question {
                Question::Subscribe(_) => {
                    assert!(!topic.asked, "asked twice for {}", TOPICS[question.topic()]);
                    assert!(topic.listeners > 0);
                    (topic.asked, topic.answer) = (true, None);
                    topic.owed += usize::from(!self.gave_up);
                    self.counts.subscribes += 1;
                }
                Question::Unsubscribe(_) => {
                    assert!(topic.asked, "let go twice of {}", TOPICS[question.topic()]);
                    assert_eq!(topic.listeners, 0);
                    (topic.asked, topic.answer) = (false, None);
                    self.counts.unsubscribes += 1;
                }
            }
            self.up.push_back(question);
        }
    }

    fn hub_reads(&mut self) {
        let Some(question) = self.up.pop_front() else { return };
        match question {
            Question::Subscribe(topic) => {
                let yes = self.below(4) > 0;
                if yes {
                    self.held.insert(topic);
                } else {
                    self.held.remove(&topic);
                }
                if self.answers {
                    self.down.push_back(if yes { Said::Yes(topic) } else { Said::No(topic) });
                }
            }
            Question::Unsubscribe(topic) => _ = self.held.remove(&topic),
        }
    }

    fn revoke(&mut self, topic: usize) {
        if !self.answers || !self.held.remove(&topic) {
            return;
        }
        self.counts.revoked += 1;
        self.down.push_back(Said::Revoked(topic));
    }

    fn publish(&mut self, topic: usize) {
        self.published += 1;
        if self.held.contains(&topic) {
            self.down.push_back(Said::Event(topic, self.published));
        }
        let revoked = self.down.contains(&Said::Revoked(topic));
        if self.link.readiness(TOPICS[topic]) == Some(Readiness::Confirmed)
            && !revoked
            && !self.topics[topic].crossed
        {
            self.due.insert(self.published);
        }
    }

    fn link_reads(&mut self) {
        let Some(said) = self.down.pop_front() else { return };
        let text = said.text();
        let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).expect("an envelope");
        self.link.alive();
        let mut gap = false;
        let denied = match self.link.receive(&parts).expect("well-formed") {
            Heard::Event { after_gap } => {
                gap = after_gap;
                false
            }
            Heard::Settled { topic, after_gap } => {
                assert_eq!(topic, TOPICS[said_topic(said)]);
                gap = after_gap;
                false
            }
            Heard::Denied { topic, action: Action::Subscribe, reason } => {
                assert_eq!((&*topic, reason), (TOPICS[said_topic(said)], DenyReason::Broker));
                self.counts.denied += 1;
                true
            }
            _ => false,
        };
        let topic = &mut self.topics[said_topic(said)];
        match said {
            Said::Event(_, number) => {
                self.due.remove(&number);
                self.counts.events += 1;
                assert_eq!(gap, topic.interrupted && !topic.told, "whether a gap is told before the event");
                topic.told |= gap;
                // At a hub that may never answer, an event shows that events come.
                topic.settled |= self.outlives && !self.answered && !self.gave_up && topic.listeners > 0;
                self.counts.gaps += u64::from(gap);
            }
            // An answer to what nobody waits for any more, or that was taken for the answer to something else.
            Said::Yes(_) if topic.owed == 0 => {
                assert_eq!(gap, topic.late && topic.asked, "whether a late answer completes a gap");
                topic.late = false;
                self.answered = true;
                self.counts.gaps += u64::from(gap);
            }
            Said::Yes(_) | Said::No(_) | Said::Revoked(_) => {
                self.answered = true;
                topic.owed = topic.owed.saturating_sub(1);
                let index = said_topic(said);
                let asked =
                    self.up.iter().filter(|question| **question == Question::Subscribe(index)).count();
                let answered = |said: &&Said| **said == Said::Yes(index) || **said == Said::No(index);
                let outstanding = asked + self.down.iter().filter(answered).count();
                if !matches!(said, Said::Yes(_)) && outstanding != topic.owed && !topic.crossed {
                    topic.crossed = true;
                    self.counts.crossed += 1;
                }
                if topic.owed > 0 || topic.listeners == 0 {
                    assert!(!denied, "it is not the last answer, or nobody is left to be told");
                    return;
                }
                let yes = matches!(said, Said::Yes(_));
                assert_eq!(denied, !yes, "listeners are told of a denial");
                topic.answer = Some(yes);
                topic.asked &= yes;
                assert_eq!(gap, yes && topic.interrupted, "whether a gap is told when it is settled");
                self.counts.gaps += u64::from(gap);
                (topic.settled, topic.interrupted, topic.told, topic.late) = (yes, false, false, false);
            }
        }
    }

    /// The contract's words: confirmed when it is wanted, nothing is owed, and the last answer was yes.
    fn check(&mut self) {
        for (index, topic) in self.topics.iter_mut().enumerate().filter(|(_, topic)| topic.listeners > 0) {
            let readiness = self.link.readiness(TOPICS[index]);
            let expected = match topic.answer {
                Some(false) if topic.owed == 0 => Some(Readiness::Denied(DenyReason::Broker)),
                _ if !self.online => None,
                _ if self.gave_up => Some(Readiness::Unconfirmed),
                Some(true) if topic.owed == 0 => Some(Readiness::Confirmed),
                _ => None,
            };
            assert_eq!(readiness, expected, "readiness of {}", TOPICS[index]);
            topic.settled |= matches!(readiness, Some(Readiness::Confirmed | Readiness::Unconfirmed));
            if readiness == Some(Readiness::Confirmed) && !topic.crossed {
                self.counts.confirmed += 1;
                let revoked = self.down.contains(&Said::Revoked(index));
                assert!(
                    self.held.contains(&index) || revoked,
                    "{} is confirmed, and not held",
                    TOPICS[index]
                );
                let under_way = self.up.iter().any(|question| question.topic() == index);
                assert!(!under_way, "{} is confirmed, and about to change", TOPICS[index]);
            }
        }
    }

    /// Nothing is under way any more: the two ends agree.
    fn at_rest(&self) {
        assert!(self.due.is_empty(), "events {:?} were missed", self.due);
        for (index, topic) in self.topics.iter().enumerate().filter(|(_, topic)| !topic.crossed) {
            let wanted = topic.listeners > 0 && topic.answer != Some(false);
            if self.answers && !self.gave_up {
                assert_eq!(self.held.contains(&index), wanted, "whether the hub holds {}", TOPICS[index]);
                assert_eq!(topic.owed, 0);
            } else {
                assert!(!self.held.contains(&index) || wanted, "{} is held for nobody", TOPICS[index]);
            }
        }
    }
}

fn said_topic(said: Said) -> usize {
    match said {
        Said::Yes(topic) | Said::No(topic) | Said::Revoked(topic) | Said::Event(topic, _) => topic,
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn the_two_ends_agree_in_every_order_of_events() {
    let seeds = match number("LINK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LINK_SEEDS").unwrap_or(SEEDS),
    };
    let all = seeds.end - seeds.start > 1000;
    let next = AtomicU64::new(seeds.start);
    let run = || {
        let mut total = Counts::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return total;
            }
            let counts = catch_unwind(AssertUnwindSafe(|| World::new(seed).run()));
            total.add(counts.unwrap_or_else(|_| panic!("failed with LINK_SEED={seed}")));
        }
    };
    let mut total = Counts::default();
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(run)).collect();
        threads.into_iter().for_each(|thread| total.add(thread.join().expect("a seed that failed")));
    });
    println!("on the wire: {total:?}");
    if all {
        assert!(total.all().iter().all(|count| **count > 0), "not everything happened that can");
    }
}
