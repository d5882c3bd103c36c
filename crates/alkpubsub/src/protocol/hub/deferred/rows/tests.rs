//! Any order of what links ask for and what becomes known, beside a naive hub that writes down what each link asked for and
//! does it in order.

use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Action, DenyReason};
use crate::protocol::hub::{Asked, FanOut, Hub, HubLimits, LinkId};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const LINKS: usize = 3;
const TOPICS: [&str; 4] = ["a:1", "a:2", "b:1", "b:2"];
const MOST: usize = 2;

/// The program's answer to a subscription.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Yes,
    No,
    Later,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Subscribe(usize, usize, Verdict),
    Unsubscribe(usize, usize),
    Ping(usize),
    Publish(usize),
    /// The broker is asked whether it has caught up.
    Ask,
    /// It has.
    Settle,
    SettleAll,
    Revoke(usize),
    /// A link goes and another comes.
    Disconnect(usize),
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![1 => Just(Verdict::Yes), 1 => Just(Verdict::No), 6 => Just(Verdict::Later)];
    let (link, topic) = (0..LINKS, 0..TOPICS.len());
    prop_oneof![
        12 => (link.clone(), topic.clone(), verdict).prop_map(|(link, topic, verdict)| Step::Subscribe(link, topic, verdict)),
        6 => (link.clone(), topic.clone()).prop_map(|(link, topic)| Step::Unsubscribe(link, topic)),
        2 => link.clone().prop_map(Step::Ping),
        4 => topic.clone().prop_map(Step::Publish),
        4 => Just(Step::Ask),
        4 => Just(Step::Settle),
        1 => Just(Step::SettleAll),
        2 => topic.prop_map(Step::Revoke),
        1 => link.clone().prop_map(Step::Disconnect),
        1 => link.prop_map(Step::Finish),
    ]
}

/// What a link asked for, as it is written down.
#[derive(Clone, Debug)]
enum Wish {
    /// With its answer, or when that is known.
    Topic(&'static str, Result<Result<(), DenyReason>, u64>),
    No(&'static str, DenyReason),
    Leave(&'static str),
    Ping,
}

#[derive(Debug, Default)]
struct Naive {
    wishes: VecDeque<Wish>,
    held: BTreeSet<&'static str>,
    heard: Vec<String>,
    finished: bool,
}

impl Naive {
    /// What it holds when all is done, where every answer is yes.
    fn will_hold(&self) -> BTreeSet<&'static str> {
        let mut held = self.held.clone();
        for wish in &self.wishes {
            match wish {
                Wish::Topic(topic, Err(_) | Ok(Ok(()))) => _ = held.insert(topic),
                Wish::Topic(topic, Ok(Err(_))) | Wish::No(topic, _) | Wish::Leave(topic) => {
                    _ = held.remove(topic)
                }
                Wish::Ping => {}
            }
        }
        held
    }

    fn wish(&mut self, wish: Wish) {
        if !self.finished {
            self.wishes.push_back(wish);
            self.go_on();
        }
    }

    /// Does what is known, in order.
    fn go_on(&mut self) {
        while let Some(wish) = self.wishes.pop_front_if(|wish| !matches!(wish, Wish::Topic(_, Err(_)))) {
            let said = match wish {
                Wish::Topic(topic, Ok(Ok(()))) => {
                    self.held.insert(topic);
                    control::subscribed(topic)
                }
                Wish::Topic(topic, Ok(Err(reason))) | Wish::No(topic, reason) => {
                    self.held.remove(topic);
                    control::denied(topic, Action::Subscribe, reason)
                }
                Wish::Leave(topic) => {
                    self.held.remove(topic);
                    continue;
                }
                Wish::Ping => control::pong("{}"),
                Wish::Topic(_, Err(_)) => unreachable!("it is not known"),
            };
            self.heard.push(said);
        }
    }

    fn learn(&mut self, answer: impl Fn(&str, u64) -> Option<Result<(), DenyReason>>) {
        for wish in &mut self.wishes {
            if let Wish::Topic(topic, known @ Err(_)) = wish
                && let Err(ticket) = *known
                && let Some(answer) = answer(topic, ticket)
            {
                *known = Ok(answer);
            }
        }
        self.go_on();
    }

    fn end(&mut self) {
        self.wishes.clear();
        self.held.clear();
    }
}

/// The hub, the program before it, and what both should do.
struct World {
    hub: Hub<String>,
    links: [LinkId; LINKS],
    naive: [Naive; LINKS],
    /// What the program listens to at its broker.
    listening: BTreeSet<String>,
    ticket: u64,
    asked: Option<u64>,
    /// The last ticket that is not settled.
    last: u64,
}

const NOW: Duration = Duration::ZERO;

impl World {
    fn new() -> Self {
        let limits = HubLimits { max_topics_per_link: MOST, ..HubLimits::DEFAULT };
        let mut hub = Hub::new(limits, FanOut::Subscribed, false);
        hub.keep_topic_changes();
        let links = [(); LINKS].map(|()| hub.connect(None, NOW).unwrap());
        let naive = [(); LINKS].map(|()| Naive::default());
        Self { hub, links, naive, listening: BTreeSet::new(), ticket: 0, asked: None, last: 0 }
    }

    fn receive(&mut self, link: usize, text: &str, verdict: Verdict) {
        let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).unwrap();
        let id = self.links[link];
        let Asked::Subscribe(topic) = self.hub.receive(id, &parts).unwrap() else { return };
        match verdict {
            Verdict::No => {
                return self.hub.deny(id, &topic, Action::Subscribe, DenyReason::NotAllowed);
            }
            Verdict::Yes => self.hub.subscribe(id, &topic),
            Verdict::Later => self.hub.defer(id, &topic, self.ticket),
        }
        self.listening.insert(topic.into());
    }

    fn subscribe(&mut self, link: usize, topic: &'static str, verdict: Verdict) {
        let naive = &mut self.naive[link];
        let will_hold = naive.will_hold();
        let wish = match verdict {
            _ if !will_hold.contains(topic) && will_hold.len() >= MOST => {
                Wish::No(topic, DenyReason::TooManySubscriptions)
            }
            Verdict::No => Wish::No(topic, DenyReason::NotAllowed),
            // In its turn, which is not known yet.
            Verdict::Yes if !naive.wishes.is_empty() => Wish::Topic(topic, Err(self.last)),
            Verdict::Yes => Wish::Topic(topic, Ok(Ok(()))),
            Verdict::Later => Wish::Topic(topic, Err(self.ticket)),
        };
        if matches!(verdict, Verdict::Later) && matches!(wish, Wish::Topic(..)) && !naive.finished {
            self.last = self.ticket;
        }
        naive.wish(wish);
        self.receive(link, &control::subscribe(topic), verdict);
    }

    fn settle(&mut self, up_to: u64) {
        self.naive.iter_mut().for_each(|naive| naive.learn(|_, ticket| (ticket <= up_to).then_some(Ok(()))));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Subscribe(link, topic, verdict) => self.subscribe(link, TOPICS[topic], verdict),
            Step::Unsubscribe(link, topic) => {
                self.naive[link].wish(Wish::Leave(TOPICS[topic]));
                self.receive(link, &control::unsubscribe(TOPICS[topic]), Verdict::No);
            }
            Step::Ping(link) => {
                self.naive[link].wish(Wish::Ping);
                self.receive(link, r#"{"type":"__ping","id":"","payload":{}}"#, Verdict::No);
            }
            Step::Publish(topic) => {
                self.hub.fan_out(TOPICS[topic], || TOPICS[topic].into());
                for naive in self.naive.iter_mut().filter(|naive| naive.held.contains(TOPICS[topic])) {
                    naive.heard.push(TOPICS[topic].into());
                }
            }
            Step::Ask if self.asked.is_none() => {
                self.asked = Some(self.ticket);
                self.ticket += 1;
            }
            Step::Settle => {
                if let Some(ticket) = self.asked.take() {
                    self.settle(ticket);
                    self.hub.settle(ticket);
                }
            }
            Step::SettleAll => {
                self.asked = None;
                self.settle(u64::MAX);
                self.hub.settle_all();
            }
            Step::Revoke(topic) => {
                let topic = TOPICS[topic];
                for naive in &mut self.naive {
                    naive.learn(|own, _| (own == topic).then_some(Err(DenyReason::Broker)));
                    if naive.held.contains(topic) && naive.will_hold().contains(topic) {
                        naive.wish(Wish::No(topic, DenyReason::Broker));
                    }
                }
                self.listening.remove(topic);
                self.hub.revoke(topic, DenyReason::Broker);
            }
            Step::Disconnect(link) => {
                self.look();
                self.naive[link] = Naive::default();
                self.hub.disconnect(self.links[link]);
                self.links[link] = self.hub.connect(None, NOW).unwrap();
            }
            Step::Finish(link) => {
                self.naive[link].end();
                self.naive[link].finished = true;
                self.hub.finish(self.links[link], None, false);
            }
            Step::Ask => {}
        }
        for change in self.hub.topic_changes().map(std::mem::take).unwrap_or_default() {
            if !self.hub.is_asked_for(&change.topic) {
                self.listening.remove(&*change.topic);
            }
        }
        self.look();
    }

    fn look(&mut self) {
        let mut asked_for = BTreeMap::new();
        for (id, naive) in self.links.iter().zip(&mut self.naive) {
            let heard: Vec<String> = std::iter::from_fn(|| self.hub.pop(*id)).collect();
            assert_eq!(heard, std::mem::take(&mut naive.heard));
            assert_eq!(self.hub.is_deferring(*id), !naive.wishes.is_empty());
            let will_hold = naive.will_hold();
            let held = naive.held.iter().map(|topic| (*topic, will_hold.contains(topic)));
            let waits = naive.wishes.iter().filter_map(|wish| match wish {
                Wish::Topic(topic, Err(_)) => Some((*topic, true)),
                _ => None,
            });
            for (topic, stays) in held.chain(waits) {
                *asked_for.entry(topic).or_insert(false) |= stays;
            }
        }
        for topic in TOPICS {
            let wanted = asked_for.get(topic);
            assert_eq!(self.hub.is_asked_for(topic), wanted.is_some(), "{topic}");
            match wanted {
                None => assert!(!self.listening.contains(topic), "{topic} is left behind"),
                Some(true) => assert!(self.listening.contains(topic), "the hub is deaf to {topic}"),
                // Those who hold it lose it in their turn.
                Some(false) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn each_link_is_answered_in_order_whatever_becomes_known_when(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        // Nothing is left of what is gone.
        for link in 0..LINKS {
            world.take(Step::Disconnect(link));
        }
        prop_assert!(world.hub.deferred.is_empty() && world.listening.is_empty());
    }
}
