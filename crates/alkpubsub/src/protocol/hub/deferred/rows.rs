//! The rows of what links are owed.

use super::Owed;
use crate::protocol::control::DenyReason;
use crate::protocol::hub::LinkId;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// What links are owed, each from its first answer on that is not known yet.
///
/// **Invariant:** the first that a link is owed is an answer that is not known; a link that is owed nothing is not here, and
/// leaves nothing behind when it is forgotten.
#[derive(Debug, Default)]
pub(in crate::protocol::hub) struct Deferred {
    links: HashMap<LinkId, Row>,
    /// Who waits for the answer to each topic, and how many times.
    topics: HashMap<Arc<str>, HashMap<LinkId, usize>>,
    /// The last ticket of them.
    last: u64,
}

#[derive(Debug)]
struct Row {
    owed: VecDeque<Owed>,
    /// Which topics it holds, or holds no more, when all of that is done, where every answer is yes.
    will_hold: HashMap<Arc<str>, bool>,
    /// How many it holds then, with those of which nothing is said here.
    count: usize,
}

impl Deferred {
    /// Whether something has to wait for this link's turn.
    pub(in crate::protocol::hub) fn holds(&self, link: LinkId) -> bool {
        !self.links.is_empty() && self.links.contains_key(&link)
    }

    /// Whether somebody waits for the answer to this topic.
    pub(in crate::protocol::hub) fn awaits(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether a link holds a topic when it is owed nothing any more; `None` where that changes nothing.
    pub(in crate::protocol::hub) fn will_hold(&self, link: LinkId, topic: &str) -> Option<bool> {
        self.links.get(&link)?.will_hold.get(topic).copied()
    }

    /// How many it holds then.
    pub(in crate::protocol::hub) fn will_hold_count(&self, link: LinkId) -> Option<usize> {
        self.links.get(&link).map(|row| row.count)
    }

    /// A link that [holds](Self::will_hold) so many topics has asked for this one. The answer is known when `ticket` is
    /// settled, which is none before the last one; without one, when the last one is.
    pub(in crate::protocol::hub) fn open(
        &mut self,
        link: LinkId,
        topic: &str,
        holds: (bool, usize),
        ticket: Option<u64>,
    ) {
        self.last = ticket.unwrap_or(self.last);
        let known = self.topics.get_key_value(topic).map(|(topic, _)| topic.clone());
        let topic = known.unwrap_or_else(|| topic.into());
        let (held, count) = holds;
        let new = || Row { owed: VecDeque::new(), will_hold: HashMap::new(), count };
        let row = self.links.entry(link).or_insert_with(new);
        row.owed.push_back(Owed::Open(self.last, topic.clone()));
        row.comes_to_hold(topic.clone(), true, held);
        *self.topics.entry(topic).or_default().entry(link).or_default() += 1;
    }

    /// Puts something behind what this link waits for, after which it holds what it is about no more, where it `held` it;
    /// gives it back where it waits for nothing.
    pub(in crate::protocol::hub) fn put(&mut self, link: LinkId, owed: Owed, held: bool) -> Option<Owed> {
        let Some(row) = self.links.get_mut(&link) else { return Some(owed) };
        if let Owed::Unsubscribe(topic) | Owed::Answer(topic, Err(_)) = &owed {
            row.comes_to_hold(topic.clone(), false, held);
        }
        row.owed.push_back(owed);
        None
    }

    /// The answers up to this ticket are yes. Gives the links that have waited for one of them.
    pub(in crate::protocol::hub) fn settle(&mut self, ticket: u64) -> Vec<LinkId> {
        let Self { links, topics, .. } = self;
        let mut settled = Vec::new();
        for (link, row) in links {
            let due = |owed: &&mut Owed| !matches!(owed, Owed::Open(own, _) if *own > ticket);
            for owed in row.owed.iter_mut().take_while(due) {
                if let Some(topic) = owed.known(Ok(())) {
                    one_less(topics, &topic, *link);
                }
            }
            if row.owed.front().is_some_and(Owed::is_known) {
                settled.push(*link);
            }
        }
        settled
    }

    /// The answer to this topic is no, for all who wait for it, and who are given.
    pub(in crate::protocol::hub) fn deny(&mut self, topic: &str, reason: DenyReason) -> Vec<LinkId> {
        let Some((topic, waiting)) = self.topics.remove_entry(topic) else { return Vec::new() };
        for link in waiting.keys() {
            let Some(row) = self.links.get_mut(link) else { continue };
            for owed in &mut row.owed {
                if matches!(owed, Owed::Open(_, own) if *own == topic) {
                    owed.known(Err(reason));
                }
            }
            if row.will_hold.get(&topic) == Some(&true) {
                row.comes_to_hold(topic.clone(), false, true);
            }
        }
        waiting.into_keys().collect()
    }

    /// What is this link's turn by now.
    pub(in crate::protocol::hub) fn next(&mut self, link: LinkId) -> Option<Owed> {
        let row = self.links.get_mut(&link)?;
        let owed = row.owed.pop_front_if(|owed| owed.is_known());
        if row.owed.is_empty() {
            self.links.remove(&link);
        }
        owed
    }

    /// A link is owed nothing any more. Gives the topics to which nobody waits for an answer since.
    pub(in crate::protocol::hub) fn forget(&mut self, link: LinkId) -> Vec<Arc<str>> {
        if self.links.is_empty() {
            return Vec::new();
        }
        let Some(row) = self.links.remove(&link) else { return Vec::new() };
        let open = row.owed.into_iter().filter_map(|owed| match owed {
            Owed::Open(_, topic) => Some(topic),
            _ => None,
        });
        open.filter(|topic| one_less(&mut self.topics, topic, link)).collect()
    }
}

impl Row {
    fn comes_to_hold(&mut self, topic: Arc<str>, holds: bool, held: bool) {
        self.count = self.count + usize::from(holds) - usize::from(held);
        self.will_hold.insert(topic, holds);
    }
}

/// Gives whether it was the last answer to this topic that anybody waited for.
fn one_less(topics: &mut HashMap<Arc<str>, HashMap<LinkId, usize>>, topic: &str, link: LinkId) -> bool {
    let Some(waiting) = topics.get_mut(topic) else { return false };
    if let Some(count) = waiting.get_mut(&link) {
        *count -= 1;
        if *count == 0 {
            waiting.remove(&link);
        }
    }
    let last = waiting.is_empty();
    if last {
        topics.remove(topic);
    }
    last
}

#[cfg(test)]
impl Deferred {
    pub(in crate::protocol::hub) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.topics.is_empty()
    }
}

#[cfg(test)]
mod tests;
