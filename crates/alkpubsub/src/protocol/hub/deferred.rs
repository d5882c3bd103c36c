//! Answers that are not known yet, and what stands behind them: a hub that asks a broker first answers each of its links in
//! order all the same.
//!
//! The engine alone does so. A build without it, as that for JavaScript, has none of this.

#[cfg(not(feature = "_engine"))]
mod none;
#[cfg(feature = "_engine")]
mod rows;

#[cfg(not(feature = "_engine"))]
pub(super) use none::Deferred;
#[cfg(feature = "_engine")]
pub(super) use rows::Deferred;

#[cfg(feature = "_engine")]
use super::{Action, Hub, LinkId, Message};
use crate::protocol::control::DenyReason;
use std::sync::Arc;

/// What is done when its turn comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// An answer that is known when this is settled.
    #[cfg(feature = "_engine")]
    Open(u64, Arc<str>),
    Answer(Arc<str>, Result<(), DenyReason>),
    Unsubscribe(Arc<str>),
    Say(String),
}

#[cfg(feature = "_engine")]
impl Owed {
    fn is_known(&self) -> bool {
        !matches!(self, Self::Open(..))
    }

    /// Writes the answer down where it was open; gives the topic.
    fn known(&mut self, answer: Result<(), DenyReason>) -> Option<Arc<str>> {
        let Self::Open(_, topic) = self else { return None };
        let topic = topic.clone();
        *self = Self::Answer(topic.clone(), answer);
        Some(topic)
    }
}

#[cfg(feature = "_engine")]
impl<M: Message> Hub<M> {
    /// Puts the answer to a subscription off, until this `ticket`, which is none before the last one, is
    /// [settled](Self::settle). What the link asks for meanwhile is answered behind it; what it publishes is not held up. It
    /// should not be read on, as nothing bounds what it may be owed.
    pub fn defer(&mut self, id: LinkId, topic: &str, ticket: u64) {
        if !self.is_finished(id) {
            let holds = self.will_hold(id, topic);
            self.deferred.open(id, topic, holds, Some(ticket));
        }
    }

    /// Whether a link waits for an answer that was put off.
    #[must_use]
    pub fn is_deferring(&self, id: LinkId) -> bool {
        self.deferred.holds(id)
    }

    /// Whether somebody holds a topic, or waits for the answer to whether it may.
    #[must_use]
    pub fn is_asked_for(&self, topic: &str) -> bool {
        !self.table.members(topic).is_empty() || self.deferred.awaits(topic)
    }

    /// All answers that were [put off](Self::defer) until this ticket are yes.
    pub fn settle(&mut self, ticket: u64) {
        for link in self.deferred.settle(ticket) {
            self.pay_all(link);
        }
    }

    /// All answers that were [put off](Self::defer) are yes.
    pub fn settle_all(&mut self) {
        self.settle(u64::MAX);
    }

    /// Takes a topic back from all who hold it, and says no to all who wait for it.
    pub fn revoke(&mut self, topic: &str, reason: DenyReason) {
        for link in self.deferred.deny(topic, reason) {
            self.pay_all(link);
        }
        let members = self.table.members(topic).iter().map(|member| self.links[member.link].id);
        // Whoever gives it up in their turn, or was told so just now, is not told again.
        let links: Vec<LinkId> = members.filter(|link| self.will_hold(*link, topic).0).collect();
        for link in links {
            self.deny(link, topic, Action::Subscribe, reason);
        }
    }

    /// Does what is a link's turn by now.
    fn pay_all(&mut self, id: LinkId) {
        while let Some(owed) = self.deferred.next(id) {
            self.pay(id, owed);
        }
    }
}

#[cfg(all(test, feature = "_engine"))]
mod tests;
