//! Whether a link is complete, in any order of what its listeners, its far side and its connection do, beside a set that is
//! written down when the connection is made and crossed out.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

const TOPICS: [&str; 3] = ["a:", "a:b", "c:d"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Want(usize),
    Unwant(usize),
    /// The far side answers what was asked first.
    Answer(bool),
    /// It takes a topic back.
    Revoke(usize),
    Disconnect,
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    let topic = 0..TOPICS.len();
    prop_oneof![
        6 => topic.clone().prop_map(Step::Want),
        4 => topic.clone().prop_map(Step::Unwant),
        8 => any::<bool>().prop_map(Step::Answer),
        1 => topic.prop_map(Step::Revoke),
        2 => Just(Step::Disconnect),
        4 => Just(Step::Connect),
    ]
}

#[derive(Default)]
struct Naive {
    listeners: [usize; 3],
    denied: [bool; 3],
    /// Topics that the far side was asked for and has not answered, in order.
    asked: VecDeque<usize>,
    /// What is not answered yet of that which was wanted when the connection was made; `None` without one.
    open: Option<BTreeSet<usize>>,
}

impl Naive {
    fn cross_out(&mut self, topic: usize) {
        if let Some(open) = &mut self.open {
            open.remove(&topic);
        }
    }

    fn take(&mut self, link: &mut Link<String>, step: Step) {
        match step {
            Step::Want(topic) => {
                self.listeners[topic] += 1;
                self.denied[topic] = false;
                link.want(TOPICS[topic], NOW).unwrap();
            }
            Step::Unwant(topic) => {
                self.listeners[topic] = self.listeners[topic].saturating_sub(1);
                if self.listeners[topic] == 0 {
                    self.denied[topic] = false;
                    self.cross_out(topic);
                }
                link.unwant(TOPICS[topic]).unwrap();
            }
            Step::Answer(yes) => {
                let Some(topic) = self.asked.pop_front() else { return };
                // Only the last answer to a topic counts.
                if !self.asked.contains(&topic) && self.listeners[topic] > 0 {
                    self.denied[topic] = !yes;
                    self.cross_out(topic);
                }
                hear(link, &if yes { control::subscribed(TOPICS[topic]) } else { denied(topic) });
            }
            Step::Revoke(topic) => {
                // Where an answer is owed, it would be taken for that.
                if self.open.is_none() || self.asked.contains(&topic) {
                    return;
                }
                if self.listeners[topic] > 0 {
                    self.denied[topic] = true;
                    self.cross_out(topic);
                }
                hear(link, &denied(topic));
            }
            Step::Disconnect => {
                self.open = None;
                self.asked.clear();
                link.disconnected(false);
            }
            Step::Connect => {
                if self.open.is_some() {
                    return;
                }
                let wanted = |topic: &usize| self.listeners[*topic] > 0 && !self.denied[*topic];
                self.open = Some((0..TOPICS.len()).filter(wanted).collect());
                link.connected(NOW).unwrap();
            }
        }
        for text in sent(link) {
            let asked = TOPICS.iter().position(|topic| text == control::subscribe(topic));
            self.asked.extend(asked);
        }
    }
}

fn denied(topic: usize) -> String {
    control::denied(TOPICS[topic], Action::Subscribe, DenyReason::Broker)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn it_is_complete_when_all_is_crossed_out(steps in vec(step(), 1..50)) {
        let mut link = Link::outliving(LinkOptions::DEFAULT, HeartbeatOptions::DEFAULT);
        let mut naive = Naive::default();
        for step in steps {
            naive.take(&mut link, step);
            prop_assert_eq!(link.is_complete(), naive.open.as_ref().is_some_and(BTreeSet::is_empty), "{:?}", step);
        }
    }
}
