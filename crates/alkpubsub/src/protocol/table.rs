//! Who holds which topic.

use hashbrown::HashMap;
use slab::Slab;
use std::sync::Arc;

/// Topics and the links that hold them, both ways. Links are small numbers, as a slab gives them.
///
/// **Invariant:** a [`Member`] of a topic and the [`Holding`] of its link hold each other's place, so that leaving
/// costs the same however many links and topics there are.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_name: HashMap<Arc<str>, usize>,
    topics: Slab<Topic>,
    links: Vec<Vec<Holding>>,
    /// What came to be held, and what is held no more, where somebody wants to know.
    changes: Option<Vec<TopicChange>>,
}

/// A topic has got its first link, or has lost its last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicChange {
    /// The topic.
    pub topic: Arc<str>,
    /// Whether a link holds it now.
    pub held: bool,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    members: Vec<Member>,
}

/// A link, among those that hold a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) link: usize,
    /// Where the topic stands among those of the link.
    holding: usize,
}

/// A topic, among those that a link holds.
#[derive(Clone, Copy, Debug)]
struct Holding {
    topic: usize,
    /// Where the link stands among the members of the topic.
    member: usize,
}

impl Table {
    /// The links that hold a topic.
    pub(super) fn members(&self, topic: &str) -> &[Member] {
        self.find(topic).map_or(&[], |topic| self.members_of(topic))
    }

    /// Where a topic stands that somebody holds; until the next change of the table.
    pub(super) fn find(&self, topic: &str) -> Option<usize> {
        self.by_name.get(topic).copied()
    }

    /// The links that hold the topic that stands there.
    pub(super) fn members_of(&self, topic: usize) -> &[Member] {
        &self.topics[topic].members
    }

    /// How many topics a link holds.
    pub(super) fn held_by(&self, link: usize) -> usize {
        self.links.get(link).map_or(0, Vec::len)
    }

    pub(super) fn holds(&self, link: usize, topic: &str) -> bool {
        self.holding(link, topic).is_some()
    }

    /// How many topics are held by anyone.
    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// From now on changes are kept until they are taken.
    pub(super) fn keep_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// What has changed since this was asked last, in order.
    pub(super) fn changes(&mut self) -> Option<&mut Vec<TopicChange>> {
        self.changes.as_mut().filter(|changes| !changes.is_empty())
    }

    /// Something changed about a topic that is not known here.
    pub(super) fn changed(&mut self, topic: Arc<str>) {
        let held = self.by_name.contains_key(&topic);
        if let Some(changes) = &mut self.changes {
            changes.push(TopicChange { topic, held });
        }
    }

    /// A link takes a topic; holding it already, nothing changes.
    pub(super) fn join(&mut self, link: usize, topic: &str) {
        if self.holds(link, topic) {
            return;
        }
        let topic = match self.by_name.get(topic) {
            Some(&topic) => topic,
            None => {
                let name: Arc<str> = topic.into();
                let topic = self.topics.insert(Topic { name: name.clone(), members: Vec::new() });
                if let Some(changes) = &mut self.changes {
                    changes.push(TopicChange { topic: name.clone(), held: true });
                }
                self.by_name.insert(name, topic);
                topic
            }
        };
        if self.links.len() <= link {
            self.links.resize_with(link + 1, Vec::new);
        }
        let (holdings, members) = (&mut self.links[link], &mut self.topics[topic].members);
        holdings.push(Holding { topic, member: members.len() });
        members.push(Member { link, holding: holdings.len() - 1 });
    }

    /// A link gives a topic up; not holding it, nothing changes.
    pub(super) fn leave(&mut self, link: usize, topic: &str) {
        if let Some(holding) = self.holding(link, topic) {
            self.remove(link, holding);
        }
    }

    /// A link gives all its topics up, and keeps no memory.
    pub(super) fn leave_all(&mut self, link: usize) {
        while let Some(&holding) = self.links.get(link).and_then(|holdings| holdings.last()) {
            self.remove(link, holding);
        }
        if let Some(holdings) = self.links.get_mut(link) {
            *holdings = Vec::new();
        }
    }

    fn holding(&self, link: usize, topic: &str) -> Option<Holding> {
        let holdings = self.links.get(link)?;
        let &topic = self.by_name.get(topic)?;
        let members = &self.topics[topic].members;
        // The shorter of the two lists tells.
        if holdings.len() <= members.len() {
            holdings.iter().find(|holding| holding.topic == topic).copied()
        } else {
            members.iter().find(|member| member.link == link).map(|member| holdings[member.holding])
        }
    }

    fn remove(&mut self, link: usize, holding: Holding) {
        let Holding { topic, member: place } = holding;
        let members = &mut self.topics[topic].members;
        let removed = members.swap_remove(place);
        if let Some(moved) = members.get(place) {
            self.links[moved.link][moved.holding].member = place;
        }
        if members.is_empty() {
            let Topic { name, .. } = self.topics.remove(topic);
            self.by_name.remove(&name);
            if let Some(changes) = &mut self.changes {
                changes.push(TopicChange { topic: name, held: false });
            }
        }
        let holdings = &mut self.links[link];
        holdings.swap_remove(removed.holding);
        if let Some(moved) = holdings.get(removed.holding) {
            self.topics[moved.topic].members[moved.member].holding = removed.holding;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn any_sequence_of_joins_and_leaves_keeps_it_as_a_naive_one() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let (mut table, mut naive) = (Table::default(), BTreeSet::new());
        table.keep_changes();
        // What somebody knows who is told of changes alone.
        let mut told = BTreeSet::new();
        for step in 0..50_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let (link, topic) = ((seed >> 8) as usize % 9, format!("t:{}", (seed >> 32) % 12));
            match seed % 16 {
                0 => {
                    table.leave_all(link);
                    naive.retain(|(held_by, _)| *held_by != link);
                }
                1..8 => {
                    table.leave(link, &topic);
                    naive.remove(&(link, topic.clone()));
                }
                _ => {
                    table.join(link, &topic);
                    naive.insert((link, topic.clone()));
                }
            }
            let mut members: Vec<_> = table.members(&topic).iter().map(|member| member.link).collect();
            members.sort_unstable();
            let expected: Vec<_> =
                naive.iter().filter(|(_, held)| *held == topic).map(|(link, _)| *link).collect();
            assert_eq!(members, expected, "step {step}");
            assert_eq!(table.held_by(link), naive.iter().filter(|(held_by, _)| *held_by == link).count());
            assert_eq!(table.holds(link, &topic), naive.contains(&(link, topic)));
            let Some(changes) = table.changes() else { continue };
            for TopicChange { topic, held } in std::mem::take(changes) {
                // Each is something new: the first, or the last.
                assert!(if held { told.insert(topic) } else { told.remove(&topic) }, "step {step}");
            }
            let held: BTreeSet<_> = naive.iter().map(|(_, topic)| topic.as_str()).collect();
            assert!(told.iter().map(|topic| &**topic).eq(held), "step {step}");
        }
        (0..9).for_each(|link| table.leave_all(link));
        assert!(table.topics.is_empty() && table.by_name.is_empty());
    }
}
