//! `protocol::hub` beside a naive one: the input is a sequence of calls, one or two bytes each.
//!
//! After each call both hold the same links and topics, and what comes out of their queues is the same.

#![no_main]

use alkpubsub::Stats;
use alkpubsub::protocol::Message;
use alkpubsub::protocol::check::{MessageLimits, parts};
use alkpubsub::protocol::control::{Action, DenyReason, GapReason};
use alkpubsub::protocol::hub::{Asked, FanOut, Hub, HubLimits, LinkId};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const LINKS: usize = 5;
const TOPICS_PER_LINK: usize = 3;

/// Topics to ask for; of the last ones a hub says no by itself.
const TOPICS: [(&str, Option<&str>); 8] = [
    ("a:", None),
    ("a:b", None),
    ("b:", None),
    ("c:d:e", None),
    ("long:topic", None),
    ("much:too-long", Some("topic_too_long")),
    ("__a:", Some("reserved")),
    ("no colon", Some("bad_topic")),
];

/// One text, or several that were joined, in one of two framings, of which the second adds bytes to each.
#[derive(Clone, Debug, PartialEq)]
struct Text(Vec<String>, bool);

const ADDED: usize = 3;

impl Message for Text {
    type Framing = bool;

    fn from_text(text: String, framing: bool) -> Self {
        Self(vec![text], framing)
    }

    fn framing(&self) -> bool {
        self.1
    }

    fn framed(&self, framing: bool) -> Self {
        Self(self.0.clone(), framing)
    }

    fn weight(&self) -> usize {
        self.0.iter().map(|text| text.len() + usize::from(self.1) * ADDED).sum()
    }

    fn is_control(&self) -> bool {
        self.0[0].starts_with(r#"{"type":"__"#)
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn join(&mut self, next: &Self) -> bool {
        self.0.extend_from_slice(&next.0);
        true
    }
}

/// A link of the naive hub.
struct Naive {
    id: LinkId,
    framing: bool,
    topics: BTreeSet<&'static str>,
    queue: VecDeque<String>,
    finished: bool,
    /// Something was queued since the real hub's links were last asked for.
    dirty: bool,
}

impl Naive {
    fn send(&mut self, text: String) {
        if !self.finished {
            self.queue.push_back(text);
            self.dirty = true;
        }
    }

    fn answer(&mut self, topic: &'static str, no: Option<&str>) {
        let (name, rest) = match no {
            None => ("subscribed", String::new()),
            Some(reason) => ("denied", format!(r#","action":"subscribe","reason":"{reason}""#)),
        };
        if no.is_some() || self.finished {
            self.topics.remove(topic);
        } else {
            self.topics.insert(topic);
        }
        self.send(format!(r#"{{"type":"__{name}","id":"","payload":{{"topic":"{topic}"{rest}}}}}"#));
    }
}

fuzz_target!(|input: &[u8]| {
    let mut limits = HubLimits::DEFAULT;
    (limits.max_links, limits.max_topics_per_link, limits.max_topic) = (LINKS, TOPICS_PER_LINK, 10);
    let (mut hub, mut draining) = (Hub::<Text>::new(limits, FanOut::Subscribed, false), false);
    let mut links: Vec<Naive> = Vec::new();
    let mut events = 0;
    let mut calls = input.iter().copied();
    while let Some(call) = calls.next() {
        // Where a call needs a link or a topic, the second byte says which.
        let which = if call % 16 < 2 { 0 } else { calls.next().unwrap_or(0) };
        let (topic, objection) = TOPICS[usize::from(which >> 4) % TOPICS.len()];
        let (event_type, id) = topic.split_once(':').unwrap_or((topic, ""));
        let place = usize::from(which & 15) % links.len().max(1);
        match call % 16 {
            0 => {
                let framing = call & 16 != 0;
                let id = hub.connect_framed(framing, None, Duration::ZERO);
                assert_eq!(id.is_some(), links.len() < LINKS);
                if let Some(id) = id {
                    assert!(links.iter().all(|link| link.id != id));
                    links.push(Naive {
                        id,
                        framing,
                        topics: BTreeSet::new(),
                        queue: VecDeque::new(),
                        finished: false,
                        dirty: false,
                    });
                }
            }
            1 => {
                let mut named = Vec::new();
                hub.take_dirty(&mut named);
                named.sort_unstable();
                let dirty =
                    links.iter_mut().filter_map(|link| std::mem::take(&mut link.dirty).then_some(link.id));
                let mut dirty: Vec<_> = dirty.collect();
                dirty.sort_unstable();
                assert_eq!(named, dirty);
            }
            2 if which >= 0xf8 => {
                hub.drain();
                draining = true;
            }
            2 | 3 if !links.is_empty() => {
                let gone = links.swap_remove(place);
                let waiting = gone.queue.iter().filter(|text| !text.starts_with(r#"{"type":"__"#)).count();
                assert_eq!(hub.disconnect(gone.id), waiting as u64);
                assert!(!hub.contains(gone.id));
            }
            4..=7 if !links.is_empty() => {
                let link = &mut links[place];
                let text = format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#);
                let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).expect("an envelope");
                let asked = hub.receive(link.id, &parts).expect("well-formed");
                if link.finished {
                    // Who is about to end asks for nothing any more.
                    assert_eq!(asked, Asked::Done);
                    continue;
                }
                let no = objection.or_else(|| {
                    let new = !link.topics.contains(topic);
                    let full = link.topics.len() == TOPICS_PER_LINK;
                    match new {
                        true if draining => Some("draining"),
                        true if full => Some("too_many_subscriptions"),
                        _ => None,
                    }
                });
                if asked == Asked::Done {
                    assert!(no.is_some(), "{topic} was denied");
                    link.answer(topic, no);
                } else {
                    assert_eq!((asked, no), (Asked::Subscribe(topic.into()), None));
                    if call % 16 == 7 {
                        hub.deny(link.id, topic, Action::Subscribe, DenyReason::Broker);
                        link.answer(topic, Some("broker"));
                    } else {
                        hub.subscribe(link.id, topic);
                        link.answer(topic, None);
                    }
                }
            }
            8 if !links.is_empty() => {
                let text = format!(r#"{{"type":"__unsubscribe","id":"","payload":{{"topic":"{topic}"}}}}"#);
                let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).expect("an envelope");
                assert_eq!(hub.receive(links[place].id, &parts), Ok(Asked::Done));
                links[place].topics.remove(topic);
            }
            9..=11 => {
                events += 1;
                let text = format!(r#"{{"type":"{event_type}","id":"{id}","payload":{events}}}"#);
                let mut made = 0;
                let receivers = hub.fan_out(topic, || {
                    made += 1;
                    Text::from_text(text.clone(), call & 16 != 0)
                });
                let wanting = links.iter_mut().filter(|link| link.topics.contains(topic));
                let expected = wanting.map(|link| link.send(text.clone())).count();
                assert_eq!((receivers, made), (expected, usize::from(expected > 0)));
            }
            12 | 13 if !links.is_empty() => {
                let link = &mut links[place];
                match hub.pop(link.id) {
                    Some(popped) => {
                        popped.0.into_iter().for_each(|text| assert_eq!(Some(text), link.queue.pop_front()))
                    }
                    None => assert!(link.queue.is_empty()),
                }
            }
            14 if !links.is_empty() => {
                let (link, drop_rest) = (&mut links[place], which & 0x80 != 0);
                let last = (which & 0x40 != 0).then(|| Text::from_text("the last".into(), link.framing));
                hub.finish(link.id, last.clone(), drop_rest);
                if !link.finished {
                    if drop_rest {
                        link.queue.clear();
                    }
                    last.into_iter().flat_map(|last| last.0).for_each(|last| link.send(last));
                    link.topics.clear();
                    link.finished = true;
                }
            }
            15 => {
                let of = (which & 0x80 == 0).then_some(topic);
                hub.gap(of, Some(7), GapReason::Broker);
                let topic = of.map(|topic| format!(r#""topic":"{topic}","#)).unwrap_or_default();
                let text = format!(
                    r#"{{"type":"__gap","id":"","payload":{{{topic}"missed":7,"reason":"broker"}}}}"#
                );
                let concerned = |link: &&mut Naive| {
                    of.map_or(!link.topics.is_empty(), |topic| link.topics.contains(topic))
                };
                links.iter_mut().filter(concerned).for_each(|link| link.send(text.clone()));
            }
            _ => {}
        }
        let mut stats = Stats::default();
        hub.count(&mut stats);
        assert_eq!(hub.len(), links.len());
        let held: BTreeSet<_> = links.iter().flat_map(|link| &link.topics).collect();
        assert_eq!(stats.topics, held.len() as u64);
        let waiting = || links.iter().flat_map(|link| &link.queue);
        assert_eq!(stats.queued_messages, waiting().count() as u64);
        let added = |link: &Naive| usize::from(link.framing) * ADDED * link.queue.len();
        let bytes: usize = waiting().map(String::len).chain(links.iter().map(added)).sum();
        assert_eq!(stats.queued_bytes, bytes as u64);
        for (topic, _) in TOPICS {
            assert_eq!(hub.is_wanted(topic), links.iter().any(|link| link.topics.contains(topic)));
        }
    }
    for mut link in links {
        let waiting = std::iter::from_fn(|| hub.pop(link.id)).flat_map(|message| {
            assert_eq!(message.1, link.framing);
            message.0
        });
        assert!(waiting.eq(link.queue.drain(..)), "what waits for a link");
    }
});
