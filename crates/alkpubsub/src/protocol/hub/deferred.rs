//! Answers that are not known yet, and what stands behind them: a hub that asks a broker first answers each of its links in
//! order all the same.

use crate::protocol::control::DenyReason;
use crate::protocol::hub::LinkId;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// What links are owed, each from its first answer on that is not known yet.
///
/// **Invariant:** the first that a link is owed is an answer that is not known; a link that is owed nothing is not here.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    links: HashMap<LinkId, Row>,
    /// How many answers are not known of each topic.
    topics: HashMap<Arc<str>, usize>,
    /// Whose answer is known when, in this order; of links that are gone, too.
    waiting: VecDeque<(u64, LinkId)>,
}

#[derive(Debug, Default)]
struct Row {
    owed: VecDeque<Owed>,
    /// How many answers this link waits for, of each topic.
    topics: HashMap<Arc<str>, usize>,
}

/// What is done when its turn comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// An answer that is known when this is settled.
    Open(u64, Arc<str>),
    Answer(Arc<str>, Result<(), DenyReason>),
    Unsubscribe(Box<str>),
    Say(String),
}

impl Deferred {
    /// Whether something has to wait for this link's turn.
    pub(super) fn holds(&self, link: LinkId) -> bool {
        !self.links.is_empty() && self.links.contains_key(&link)
    }

    /// Whether somebody waits for the answer to this topic.
    pub(super) fn awaits(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether this link does.
    pub(super) fn link_awaits(&self, link: LinkId, topic: &str) -> bool {
        self.links.get(&link).is_some_and(|row| row.topics.contains_key(topic))
    }

    /// How many topics this link waits for.
    pub(super) fn awaited_by(&self, link: LinkId) -> usize {
        self.links.get(&link).map_or(0, |row| row.topics.len())
    }

    /// A link has asked for a topic; the answer is known when `ticket` is settled, which is none before the last one.
    pub(super) fn open(&mut self, link: LinkId, topic: &str, ticket: u64) {
        let known = self.topics.get_key_value(topic).map(|(topic, _)| topic.clone());
        let topic = known.unwrap_or_else(|| topic.into());
        let row = self.links.entry(link).or_default();
        row.owed.push_back(Owed::Open(ticket, topic.clone()));
        *row.topics.entry(topic.clone()).or_default() += 1;
        *self.topics.entry(topic).or_default() += 1;
        self.waiting.push_back((ticket, link));
    }

    /// Puts something behind what this link waits for; gives it back where it waits for nothing.
    pub(super) fn put(&mut self, link: LinkId, owed: Owed) -> Option<Owed> {
        let Some(row) = self.links.get_mut(&link) else { return Some(owed) };
        row.owed.push_back(owed);
        None
    }

    /// The answers up to this ticket are yes. Gives a link that has waited for one of them, until there is none.
    pub(super) fn settle(&mut self, ticket: u64) -> Option<LinkId> {
        let (_, link) = self.waiting.pop_front_if(|(own, _)| *own <= ticket)?;
        let Self { links, topics, .. } = self;
        if let Some(row) = links.get_mut(&link) {
            row.know(topics, |own, _| (own <= ticket).then_some(Ok(())));
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(link)
    }

    /// The last ticket that somebody waits for.
    pub(super) fn last(&self) -> Option<u64> {
        self.waiting.back().map(|(ticket, _)| *ticket)
    }

    /// The answer to this topic is no, for all who wait for it. Gives the links that were owed anything.
    pub(super) fn deny(&mut self, topic: &str, reason: DenyReason) -> Vec<LinkId> {
        if !self.awaits(topic) {
            return Vec::new();
        }
        let Self { links, topics, .. } = self;
        for row in links.values_mut() {
            row.know(topics, |_, own| (own == topic).then_some(Err(reason)));
        }
        links.keys().copied().collect()
    }

    /// What is this link's turn by now.
    pub(super) fn next(&mut self, link: LinkId) -> Option<Owed> {
        let row = self.links.get_mut(&link)?;
        let owed = row.owed.pop_front_if(|owed| !matches!(owed, Owed::Open(..)));
        if row.owed.is_empty() {
            self.links.remove(&link);
        }
        owed
    }

    /// A link is owed nothing any more. Gives the topics to which nobody waits for an answer since.
    pub(super) fn forget(&mut self, link: LinkId) -> Vec<Arc<str>> {
        if self.links.is_empty() {
            return Vec::new();
        }
        let Some(row) = self.links.remove(&link) else { return Vec::new() };
        let mut let_go = Vec::new();
        for (topic, count) in row.topics {
            if let Some(all) = self.topics.get_mut(&topic) {
                *all -= count;
                if *all == 0 {
                    self.topics.remove(&topic);
                    let_go.push(topic);
                }
            }
        }
        let_go
    }
}

impl Row {
    /// Writes the answers down that `answer` knows.
    fn know(
        &mut self,
        topics: &mut HashMap<Arc<str>, usize>,
        answer: impl Fn(u64, &str) -> Option<Result<(), DenyReason>>,
    ) {
        for owed in &mut self.owed {
            if let Owed::Open(ticket, topic) = owed
                && let Some(known) = answer(*ticket, topic)
            {
                one_less(topics, topic);
                one_less(&mut self.topics, topic);
                *owed = Owed::Answer(topic.clone(), known);
            }
        }
    }
}

fn one_less(counts: &mut HashMap<Arc<str>, usize>, topic: &str) {
    if let Some(count) = counts.get_mut(topic) {
        *count -= 1;
        if *count == 0 {
            counts.remove(topic);
        }
    }
}
