//! Answers that stand behind one that is not known yet: a hub that asks a broker first answers its links in order all
//! the same.

use crate::protocol::control::DenyReason;
use crate::protocol::hub::LinkId;
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::sync::Arc;

/// What came of a subscription.
pub(super) type Verdict = Result<(), DenyReason>;

/// What links are owed, each from its first answer on that is not known yet.
///
/// **Invariant:** the first of a link's rows is a subscription without a verdict; a link whose row is empty is not here.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    links: HashMap<LinkId, Row>,
    /// Who waits for a topic's verdict; of links that are gone, too.
    topics: HashMap<Arc<str>, Vec<LinkId>>,
}

#[derive(Debug, Default)]
struct Row {
    owed: VecDeque<Owed>,
    /// Topics without a verdict.
    open: HashSet<Arc<str>>,
}

/// What is done when its turn comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Answer { topic: Arc<str>, verdict: Option<Verdict> },
    Unsubscribe(Box<str>),
    Say(String),
}

impl Deferred {
    /// Whether something has to wait for this link's turn.
    pub(super) fn holds(&self, link: LinkId) -> bool {
        !self.links.is_empty() && self.links.contains_key(&link)
    }

    /// Whether somebody waits for this topic.
    pub(super) fn awaits(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether this link waits for this topic.
    pub(super) fn link_awaits(&self, link: LinkId, topic: &str) -> bool {
        self.links.get(&link).is_some_and(|row| row.open.contains(topic))
    }

    /// How many topics this link waits for.
    pub(super) fn awaited_by(&self, link: LinkId) -> usize {
        self.links.get(&link).map_or(0, |row| row.open.len())
    }

    /// A subscription whose verdict is to come.
    pub(super) fn open(&mut self, link: LinkId, topic: &str) {
        let known = self.topics.get_key_value(topic).map(|(topic, _)| topic.clone());
        let topic = known.unwrap_or_else(|| topic.into());
        let row = self.links.entry(link).or_default();
        if row.open.insert(topic.clone()) {
            self.topics.entry(topic.clone()).or_default().push(link);
        }
        row.owed.push_back(Owed::Answer { topic, verdict: None });
    }

    /// Puts something behind what this link waits for; gives it back where it waits for nothing.
    pub(super) fn put(&mut self, link: LinkId, owed: Owed) -> Option<Owed> {
        let Some(row) = self.links.get_mut(&link) else { return Some(owed) };
        row.owed.push_back(owed);
        None
    }

    /// A topic's verdict. Gives the links that have waited for it, each to be taken from by [`next`](Self::next).
    pub(super) fn settle(&mut self, topic: &str, verdict: Verdict) -> Vec<LinkId> {
        let mut links = self.topics.remove(topic).unwrap_or_default();
        links.retain(|link| {
            let Some(row) = self.links.get_mut(link) else { return false };
            row.open.remove(topic);
            for owed in &mut row.owed {
                if let Owed::Answer { topic: of, verdict: none @ None } = owed
                    && **of == *topic
                {
                    *none = Some(verdict);
                }
            }
            true
        });
        links
    }

    /// A topic that somebody waits for.
    pub(super) fn any(&self) -> Option<Arc<str>> {
        self.topics.keys().next().cloned()
    }

    /// What is this link's turn by now.
    pub(super) fn next(&mut self, link: LinkId) -> Option<Owed> {
        let row = self.links.get_mut(&link)?;
        let owed = row.owed.pop_front_if(|owed| !matches!(owed, Owed::Answer { verdict: None, .. }));
        if row.owed.is_empty() {
            self.links.remove(&link);
        }
        owed
    }

    /// A link is owed nothing any more.
    pub(super) fn forget(&mut self, link: LinkId) {
        if !self.links.is_empty() {
            self.links.remove(&link);
        }
    }
}
