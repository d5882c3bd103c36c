//! One link: the core's, and the numbers of its topics.

use crate::Shared;
use crate::message::{Outgoing, admit, checked, place, tell_refusal};
use crate::topics::Topics;
use alkpubsub::protocol::check::{MessageLimits, Refusal};
use alkpubsub::protocol::control::Action;
use alkpubsub::protocol::link::{ControlOverflow, Due, Heard, Link, Readiness};
use alkpubsub::protocol::{Backoff, BackoffOptions};
use std::time::Duration;

/// What a message means, as a number. The words tell the rest.
pub(crate) mod heard {
    /// Nothing, or nobody listens.
    pub(crate) const NOTHING: u32 = 0;
    /// An event: the topic's number, how long its type is in UTF-16 units, where the payload begins and ends in the
    /// message's bytes (both 0 where it is missing), whether a gap is to be told first, whether all outside of the
    /// payload is ASCII.
    pub(crate) const EVENT: u32 = 1;
    /// It became known whether subscriptions are in place: the number of the topic whose gap is to be told, or 0.
    pub(crate) const SETTLED: u32 = 2;
    /// A denial: the text `reason\ntopic`, and whether it was a subscription.
    pub(crate) const DENIED: u32 = 3;
    /// Events are missing: the text `reason\ntopic`, whether a topic is named, how many are missing or `u32::MAX`.
    pub(crate) const GAP: u32 = 4;
    /// A ping was answered.
    pub(crate) const PONG: u32 = 5;
    /// It is refused: the reason's name as text, and as the third word where in the message, or the limit.
    pub(crate) const REFUSED: u32 = 6;
}

/// That there is no room for a control event: the link is to be closed with 1013.
pub(crate) const OVERFLOW: u32 = u32::MAX;

pub(crate) struct LinkEnd {
    pub(crate) link: Link<Outgoing>,
    pub(crate) limits: MessageLimits,
    pub(crate) topics: Topics,
    pub(crate) backoff: Backoff,
    /// A topic that is put together, again and again.
    key: String,
    refusal: Option<Refusal>,
}

impl LinkEnd {
    pub(crate) fn new(link: Link<Outgoing>, limits: MessageLimits) -> Self {
        let backoff = Backoff::new(BackoffOptions::DEFAULT);
        Self { link, limits, topics: Topics::default(), backoff, key: String::new(), refusal: None }
    }

    pub(crate) fn want(&mut self, topic: &str, now: Duration) -> Result<u32, ControlOverflow> {
        let number = self.topics.add(topic);
        self.link.want(topic, now).map(|()| number)
    }

    /// Gives how many topics are still listened to.
    pub(crate) fn unwant(&mut self, topic: &str) -> Result<u32, ControlOverflow> {
        self.topics.remove(topic);
        self.link.unwant(topic).map(|()| self.topics.len())
    }

    /// Whether an envelope of the program's own may be sent. One that the package did not make itself is checked like
    /// one that was received.
    pub(crate) fn admit(&mut self, length: usize, is_ours: bool, shared: &mut Shared) -> bool {
        admit(length, is_ours, &self.limits, shared)
    }

    pub(crate) fn receive(&mut self, length: usize, shared: &mut Shared) -> u32 {
        let Self { link, limits, topics, key, .. } = self;
        link.alive();
        let heard = checked(&shared.input, length, limits)
            .and_then(|parts| link.receive(&parts).map(|heard| (parts, heard)));
        let (parts, heard) = match heard {
            Ok(heard) => heard,
            Err(refusal) => {
                self.refusal = Some(refusal);
                tell_refusal(&refusal, shared);
                return heard::REFUSED;
            }
        };
        match heard {
            Heard::Event { after_gap } => {
                key.clear();
                key.push_str(&parts.event_type);
                key.push(':');
                key.push_str(&parts.id);
                let number = topics.number(key);
                if number == 0 {
                    return heard::NOTHING;
                }
                let [number, type_length, from, to, plain] = place(number, &parts);
                let words = [number, type_length, from, to, u32::from(after_gap), plain];
                shared.words[..6].copy_from_slice(&words);
                heard::EVENT
            }
            Heard::Settled { topic, after_gap } => {
                shared.words[0] = if after_gap { topics.number(&topic) } else { 0 };
                heard::SETTLED
            }
            Heard::Denied { topic, action, reason } => {
                let subscribe = u32::from(action == Action::Subscribe);
                let topic: &str = &topic;
                Shared::give_two(&mut shared.text, &mut shared.words, reason.as_str(), topic);
                shared.words[2] = subscribe;
                heard::DENIED
            }
            Heard::Gap { topic, missed, reason } => {
                let missed = missed.map_or(u32::MAX, |missed| missed.min(u64::from(u32::MAX) - 1) as u32);
                let words = [u32::from(topic.is_some()), missed];
                let topic = topic.as_deref().unwrap_or_default();
                Shared::give_two(&mut shared.text, &mut shared.words, reason.as_str(), topic);
                shared.words[2..4].copy_from_slice(&words);
                heard::GAP
            }
            Heard::Pong => heard::PONG,
            _ => heard::NOTHING,
        }
    }

    /// Counts what was refused: the close code where the connection is to end for it, or 0.
    pub(crate) fn refused(&mut self, now: Duration) -> u32 {
        let too_many = self.link.refused(now);
        match self.refusal.take() {
            Some(Refusal::TooLarge { .. }) => 1009,
            _ if too_many => 1007,
            _ => 0,
        }
    }

    pub(crate) fn readiness(&self, topic: &str, shared: &mut Shared) -> u32 {
        match self.link.readiness(topic) {
            None => 0,
            Some(Readiness::Confirmed) => 1,
            Some(Readiness::Denied(reason)) => {
                shared.give(reason.as_str());
                3
            }
            Some(_) => 2,
        }
    }

    /// What became due: 0 for nothing; 1 if those who wait should look, with the numbers of the topics whose gap is to
    /// be told (where they are, and how many); 2 if the far side is gone.
    pub(crate) fn handle_timeout(&mut self, now: Duration, shared: &mut Shared) -> u32 {
        match self.link.handle_timeout(now) {
            Ok(Due::Unanswered { after_gap }) => {
                shared.give_numbers(after_gap.iter().map(|topic| self.topics.number(topic)));
                1
            }
            Ok(Due::Dead) => 2,
            Ok(_) => 0,
            Err(ControlOverflow) => OVERFLOW,
        }
    }

    /// An event of so many bytes: 0 if there is no room; 1 if it is the only message, and taken off again; 2 if it waits.
    pub(crate) fn send(&mut self, weight: usize) -> u32 {
        let is_alone = self.link.outbound().is_empty();
        if !self.link.send(Outgoing::Event { weight }) {
            return 0;
        }
        if is_alone && self.link.is_online() {
            self.link.pop();
            return 1;
        }
        2
    }

    /// The oldest message that waits: 0 for none; 1 for the oldest event that was taken; 2 for a control event, whose
    /// text it is.
    pub(crate) fn pop(&mut self, shared: &mut Shared) -> u32 {
        match self.link.pop() {
            None => 0,
            Some(Outgoing::Event { .. }) => 1,
            Some(Outgoing::Control(text)) => {
                shared.give(&text);
                2
            }
        }
    }
}
