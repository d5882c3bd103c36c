//! One connection, seen from the end that connects to a hub: listeners wanted, answers owed, what to send next.

use super::check::{Parts, Refusal};
use super::control::{self, Action, Control, DenyReason, GapReason};
use super::outbound::{Message, Outbound};
use super::tolerance::Tolerance;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::time::Duration;

/// How a link behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkOptions {
    /// Whether the far side is told which topics are wanted. `false` for a hub that sends everything to all.
    pub forward_subscriptions: bool,
    /// Bytes of a topic. What is longer is an error here: a denial has to fit into a message, topic and all.
    pub max_topic: usize,
    /// Messages that may wait to be sent. Control events have as much room again.
    pub max_queued: usize,
    /// Bytes that may wait to be sent; the last message may go beyond. Control events have as much room again.
    pub max_queued_bytes: usize,
    /// How long the far side may take to answer the first subscription before it counts as one that does not
    /// answer. Waited for once per connection.
    pub answer_timeout: Duration,
}

impl LinkOptions {
    /// Subscriptions are forwarded, topics of 4,096 bytes, 4,096 messages and 4 MiB may wait, 2 s for the first answer.
    pub const DEFAULT: Self = Self {
        forward_subscriptions: true,
        max_topic: 4096,
        max_queued: 4096,
        max_queued_bytes: 4 << 20,
        answer_timeout: Duration::from_secs(2),
    };
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Control events that do not fit any more; the link is to be closed with 1013.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more control events wait than the outbound queue may hold")]
pub struct ControlOverflow;

/// What a received message means for this end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard<'t> {
    /// An event for the listeners of its topic.
    Event,
    /// It became known whether a subscription is in place: those who wait for it should look.
    Settled,
    /// The far side denied or revoked; listeners of the topic are to be told.
    Denied {
        /// Of which topic.
        topic: Cow<'t, str>,
        /// What was asked for.
        action: Action,
        /// Why not.
        reason: DenyReason,
    },
    /// Events are missing; listeners of the topic (`None`: of all) are to be told.
    Gap {
        /// Of which topic.
        topic: Option<Cow<'t, str>>,
        /// How many, where that is known.
        missed: Option<u64>,
        /// Why.
        reason: GapReason,
    },
    /// A ping of ours was answered.
    Pong,
    /// Nothing.
    Ignored,
}

/// What is known of a topic's subscription at the far side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// No event published from now on is missed.
    Confirmed,
    /// The far side does not answer subscriptions (waited for once per connection, 2 s); events should come.
    Unconfirmed,
    /// The far side said no.
    Denied(DenyReason),
    /// The target is closed.
    Closed,
}

/// Whether the far side answers subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answering {
    /// Not known; the first question stands since then, if one was asked.
    Unknown(Option<Duration>),
    Yes,
    /// For the rest of this connection.
    No,
}

/// **Invariant:** an entry is there while somebody listens or an answer is owed.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    listeners: usize,
    /// Answers owed: one for each `__subscribe` sent.
    owed: usize,
    denied: Option<DenyReason>,
}

/// The state of one link. Generic over what a message is; the time is an argument, counted from any fixed point.
#[derive(Debug)]
pub struct Link<M> {
    options: LinkOptions,
    topics: HashMap<Box<str>, Wanted>,
    outbound: Outbound<M>,
    answering: Answering,
    tolerance: Tolerance,
    pings: u64,
    pongs: u64,
}

impl<M: Message> Link<M> {
    /// A link that wants nothing yet.
    #[must_use]
    pub fn new(options: LinkOptions) -> Self {
        Self {
            options,
            topics: HashMap::new(),
            outbound: Outbound::default(),
            answering: Answering::Unknown(None),
            tolerance: Tolerance::default(),
            pings: 0,
            pongs: 0,
        }
    }

    /// A listener was added. The first of a topic asks the far side; so does the next after a denial.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the link is to be closed.
    pub fn want(&mut self, topic: &str, now: Duration) -> Result<(), ControlOverflow> {
        if !self.options.forward_subscriptions {
            return Ok(());
        }
        let wanted = match self.topics.get_mut(topic) {
            Some(wanted) => wanted,
            None => self.topics.entry(topic.into()).insert(Wanted::default()).into_mut(),
        };
        wanted.listeners += 1;
        if wanted.listeners > 1 && wanted.denied.is_none() {
            return Ok(());
        }
        wanted.denied = None;
        if self.answering != Answering::No {
            wanted.owed += 1;
        }
        if let Answering::Unknown(since @ None) = &mut self.answering {
            *since = Some(now);
        }
        self.send_control(control::subscribe(topic))
    }

    /// A listener was removed. After the last one the far side is told.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the link is to be closed.
    pub fn unwant(&mut self, topic: &str) -> Result<(), ControlOverflow> {
        let Some(wanted) = self.topics.get_mut(topic).filter(|wanted| wanted.listeners > 0) else {
            return Ok(());
        };
        wanted.listeners -= 1;
        if wanted.listeners > 0 {
            return Ok(());
        }
        let subscribed = wanted.denied.is_none();
        if wanted.owed == 0 {
            self.topics.remove(topic);
        }
        if subscribed { self.send_control(control::unsubscribe(topic)) } else { Ok(()) }
    }

    /// Whether a topic's subscription is in place; `None` while that is open.
    #[must_use]
    pub fn readiness(&self, topic: &str) -> Option<Readiness> {
        let Some(wanted) = self.topics.get(topic) else {
            return Some(Readiness::Unconfirmed);
        };
        match (wanted.denied, self.answering) {
            (Some(reason), _) => Some(Readiness::Denied(reason)),
            (None, Answering::No) => Some(Readiness::Unconfirmed),
            (None, _) => (wanted.owed == 0).then_some(Readiness::Confirmed),
        }
    }

    /// Takes what came from the far side, after its check.
    ///
    /// # Errors
    /// [`Refusal::BadControl`]; to be counted with [`refused`](Self::refused).
    pub fn receive<'t>(&mut self, parts: &Parts<'t>) -> Result<Heard<'t>, Refusal> {
        Ok(match control::read(parts)? {
            None => Heard::Event,
            Some(Control::Subscribed(topic)) => self.answered(&topic, None),
            Some(Control::Denied { topic, action: Action::Subscribe, reason }) => {
                match self.answered(&topic, Some(reason)) {
                    Heard::Settled => Heard::Denied { topic, action: Action::Subscribe, reason },
                    other => other,
                }
            }
            Some(Control::Denied { topic, action, reason }) => Heard::Denied { topic, action, reason },
            Some(Control::Gap { topic, missed, reason }) => Heard::Gap { topic, missed, reason },
            Some(Control::Pong(payload)) => {
                self.pongs = self.pongs.max(control::pong_number(payload).unwrap_or(0).min(self.pings));
                Heard::Pong
            }
            Some(_) => Heard::Ignored,
        })
    }

    /// An answer, or a revocation where none is owed. [`Heard::Settled`] if the topic's state is known now.
    fn answered(&mut self, topic: &str, denied: Option<DenyReason>) -> Heard<'static> {
        if let Answering::Unknown(_) = self.answering {
            self.answering = Answering::Yes;
        }
        let Some(wanted) = self.topics.get_mut(topic) else {
            return Heard::Ignored;
        };
        if wanted.owed == 0 && denied.is_none() {
            return Heard::Ignored;
        }
        wanted.owed = wanted.owed.saturating_sub(1);
        if wanted.owed > 0 {
            return Heard::Ignored;
        }
        wanted.denied = denied;
        if wanted.listeners == 0 {
            self.topics.remove(topic);
            return Heard::Ignored;
        }
        Heard::Settled
    }

    /// Counts a message that was refused; `true` if the far side sent one too many (close code 1007).
    pub fn refused(&mut self, now: Duration) -> bool {
        self.tolerance.exhausted(now)
    }

    /// Queues an event; `false` where the bounds leave no room.
    #[must_use]
    pub fn send(&mut self, message: M) -> bool {
        let room = self.has_room();
        if room {
            self.outbound.push(message);
        }
        room
    }

    /// Whether an event could be queued, of any size: the last one may go beyond the bound in bytes.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outbound.len() < self.options.max_queued && self.outbound.bytes() < self.options.max_queued_bytes
    }

    /// Queues a `__ping`; gives its number.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the link is to be closed.
    pub fn ping(&mut self) -> Result<u64, ControlOverflow> {
        self.pings += 1;
        self.send_control(control::ping(self.pings))?;
        Ok(self.pings)
    }

    /// Whether the ping of this number was answered.
    #[must_use]
    pub fn ponged(&self, ping: u64) -> bool {
        self.pongs >= ping
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        match self.answering {
            Answering::Unknown(Some(since)) => Some(since.saturating_add(self.options.answer_timeout)),
            _ => None,
        }
    }

    /// `true` if the far side now counts as one that does not answer: those who wait should look.
    pub fn handle_timeout(&mut self, now: Duration) -> bool {
        if self.timeout().is_none_or(|due| now < due) {
            return false;
        }
        self.answering = Answering::No;
        self.topics.retain(|_, wanted| {
            wanted.owed = 0;
            wanted.listeners > 0
        });
        true
    }

    /// What waits to be sent.
    pub fn outbound(&mut self) -> &mut Outbound<M> {
        &mut self.outbound
    }

    fn send_control(&mut self, text: String) -> Result<(), ControlOverflow> {
        self.outbound.push(M::from_text(text));
        let fits = |messages: usize, bytes: usize| {
            messages <= self.options.max_queued && bytes <= self.options.max_queued_bytes
        };
        if fits(self.outbound.len(), self.outbound.bytes()) {
            return Ok(());
        }
        // The events before it have a bound of their own, and the last of them may be of any size.
        let control = self.outbound.iter().filter(|message| message.is_control());
        let (messages, bytes) =
            control.fold((0, 0), |(messages, bytes), message| (messages + 1, bytes + message.weight()));
        if fits(messages, bytes) { Ok(()) } else { Err(ControlOverflow) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{MessageLimits, parts};
    use super::*;

    const TOPIC: &str = "a:b";
    const NOW: Duration = Duration::from_secs(5);

    fn link() -> Link<String> {
        Link::new(LinkOptions::DEFAULT)
    }

    fn sent(link: &mut Link<String>) -> Vec<String> {
        std::iter::from_fn(|| link.outbound().pop()).collect()
    }

    fn hear(link: &mut Link<String>, text: &str) -> Heard<'static> {
        let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).unwrap();
        match link.receive(&parts).unwrap() {
            Heard::Denied { topic, action, reason } => {
                Heard::Denied { topic: topic.into_owned().into(), action, reason }
            }
            Heard::Gap { topic, missed, reason } => {
                Heard::Gap { topic: topic.map(|topic| topic.into_owned().into()), missed, reason }
            }
            Heard::Event => Heard::Event,
            Heard::Settled => Heard::Settled,
            Heard::Pong => Heard::Pong,
            Heard::Ignored => Heard::Ignored,
        }
    }

    fn yes(link: &mut Link<String>) -> Heard<'static> {
        hear(link, &control::subscribed(TOPIC))
    }

    fn no(link: &mut Link<String>) -> Heard<'static> {
        hear(link, &control::denied(TOPIC, Action::Subscribe, DenyReason::Broker))
    }

    #[test]
    fn the_first_listener_subscribes_and_the_last_unsubscribes() {
        let mut link = link();
        link.want(TOPIC, NOW).unwrap();
        link.want(TOPIC, NOW).unwrap();
        link.unwant(TOPIC).unwrap();
        assert_eq!(sent(&mut link), [control::subscribe(TOPIC)]);
        link.unwant(TOPIC).unwrap();
        link.unwant(TOPIC).unwrap();
        assert_eq!(sent(&mut link), [control::unsubscribe(TOPIC)]);
        assert_eq!(yes(&mut link), Heard::Ignored);
        assert!(
            link.topics.is_empty(),
            "nothing is kept of a topic that nobody wants and nothing is owed for"
        );
    }

    #[test]
    fn a_topic_is_confirmed_only_when_nothing_is_owed() {
        let mut link = link();
        link.want(TOPIC, NOW).unwrap();
        link.unwant(TOPIC).unwrap();
        link.want(TOPIC, NOW).unwrap();
        assert_eq!(yes(&mut link), Heard::Ignored, "this answers the first question, which no longer counts");
        assert_eq!(link.readiness(TOPIC), None);
        assert_eq!(yes(&mut link), Heard::Settled);
        assert_eq!(link.readiness(TOPIC), Some(Readiness::Confirmed));
        assert_eq!(yes(&mut link), Heard::Ignored, "an answer that nobody asked for");
    }

    #[test]
    fn a_denied_topic_counts_as_not_subscribed_and_the_next_listener_asks_again() {
        let mut link = link();
        link.want(TOPIC, NOW).unwrap();
        let denied =
            Heard::Denied { topic: TOPIC.into(), action: Action::Subscribe, reason: DenyReason::Broker };
        assert_eq!(no(&mut link), denied);
        assert_eq!(link.readiness(TOPIC), Some(Readiness::Denied(DenyReason::Broker)));
        sent(&mut link);
        link.want(TOPIC, NOW).unwrap();
        assert_eq!(sent(&mut link), [control::subscribe(TOPIC)]);
        assert_eq!(link.readiness(TOPIC), None);
        yes(&mut link);
        assert_eq!(link.readiness(TOPIC), Some(Readiness::Confirmed));
        assert_eq!(no(&mut link), denied, "with nothing owed it revokes");
        link.unwant(TOPIC).unwrap();
        link.unwant(TOPIC).unwrap();
        assert_eq!(sent(&mut link), [""; 0], "there is nothing to unsubscribe from");
    }

    #[test]
    fn a_far_side_that_does_not_answer_is_waited_for_once() {
        let mut link = link();
        assert_eq!(link.timeout(), None);
        link.want(TOPIC, NOW).unwrap();
        link.want("c:d", NOW).unwrap();
        link.unwant("c:d").unwrap();
        assert_eq!(link.timeout(), Some(NOW + Duration::from_secs(2)));
        assert!(!link.handle_timeout(NOW + Duration::from_secs(1)));
        assert!(link.handle_timeout(NOW + Duration::from_secs(2)));
        assert_eq!((link.readiness(TOPIC), link.timeout()), (Some(Readiness::Unconfirmed), None));
        assert_eq!(link.topics.len(), 1, "no answer will come for what nobody wants");
        link.want("e:f", NOW).unwrap();
        assert_eq!(link.readiness("e:f"), Some(Readiness::Unconfirmed));
        link.unwant("e:f").unwrap();
        assert_eq!(link.topics.len(), 1);
    }

    #[test]
    fn any_interleaving_sends_as_many_questions_as_answers_are_counted() {
        // A model of the hub answers in order; the link must end confirmed exactly if it wants the topic.
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..2_000 {
            let mut link = link();
            let (mut listeners, mut held, mut answers) = (0, false, 0);
            for _ in 0..30 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                match seed % 4 {
                    0 | 1 if listeners > 0 && seed.is_multiple_of(2) => {
                        listeners -= 1;
                        link.unwant(TOPIC).unwrap();
                    }
                    0 | 1 => {
                        listeners += 1;
                        link.want(TOPIC, NOW).unwrap();
                    }
                    2 => {
                        for text in sent(&mut link) {
                            let asks = text == control::subscribe(TOPIC);
                            assert_ne!(asks, held, "round {round}: the hub was told what it knows");
                            held = asks;
                            answers += usize::from(asks);
                        }
                    }
                    _ if answers > 0 => {
                        answers -= 1;
                        yes(&mut link);
                    }
                    _ => {}
                }
            }
            for text in sent(&mut link) {
                held = text == control::subscribe(TOPIC);
                answers += usize::from(held);
            }
            (0..answers).for_each(|_| drop(yes(&mut link)));
            assert_eq!(held, listeners > 0, "round {round}");
            let expected = if held { Readiness::Confirmed } else { Readiness::Unconfirmed };
            assert_eq!(link.readiness(TOPIC), Some(expected), "round {round}");
            assert_eq!(link.topics.len(), usize::from(held), "round {round}");
        }
    }

    #[test]
    fn events_stop_at_the_bound_and_control_has_room_of_its_own() {
        let options = LinkOptions { max_queued: 2, max_queued_bytes: 10, ..LinkOptions::DEFAULT };
        let mut link: Link<String> = Link::new(options);
        assert!(link.send("x".repeat(20)), "the last one may go beyond");
        assert!(!link.send("x".into()));
        assert!(link.want(TOPIC, NOW).is_err(), "but not without bound");
    }

    #[test]
    fn a_large_event_takes_no_room_from_control() {
        let options = LinkOptions { max_queued: 2, max_queued_bytes: 100, ..LinkOptions::DEFAULT };
        let mut link: Link<String> = Link::new(options);
        assert!(link.send("x".repeat(1000)));
        assert_eq!(link.ping(), Ok(1));
        assert_eq!(link.ping(), Ok(2));
        assert_eq!(link.ping(), Err(ControlOverflow));
    }

    #[test]
    fn pongs_are_known_by_their_number() {
        let mut link = link();
        let ping = link.ping().unwrap();
        assert!(!link.ponged(ping));
        hear(&mut link, &control::pong(r#"{"n":99}"#));
        assert!(link.ponged(ping));
        assert!(!link.ponged(ping + 1), "a pong for what was not asked answers what was");
        assert_eq!(hear(&mut link, r#"{"type":"__later","id":"","payload":[]}"#), Heard::Ignored);
    }
}
