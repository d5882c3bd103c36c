//! One connection, seen from the end that connects to a hub: listeners wanted, answers owed, what to send next.

use super::check::{Parts, Refusal};
use super::control::{self, Action, Control, DenyReason, GapReason};
use super::heartbeat::{Beat, Heartbeat, HeartbeatOptions};
use super::outbound::{Message, Outbound};
use super::tolerance::Tolerance;
use crate::topic::with_topic;
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
    /// An event for the listeners of its topic. After an interruption they are to be told of the gap first, where
    /// the topic was not confirmed anew before its first event.
    Event {
        /// Whether the listeners are to be told of a gap first.
        after_gap: bool,
    },
    /// A subscription is in place: those who wait for it should look.
    Settled {
        /// Of which topic.
        topic: Cow<'t, str>,
        /// Whether it was interrupted before: its listeners are to be told of the gap.
        after_gap: bool,
    },
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
    /// The far side pings; where nothing lies between the ends the answer is queued, or did not fit.
    Ping(Result<(), ControlOverflow>),
    /// The far side has said its last word: the end of the connection on a byte stream, nothing elsewhere.
    Close {
        /// Why, as a close code.
        code: u16,
        /// The same in words; often empty.
        reason: Cow<'t, str>,
    },
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

/// What an interruption left to be told to a topic's listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gap {
    #[default]
    None,
    /// Nothing was told yet.
    Untold,
    /// Told ahead of an event, and to be told once more when the topic is confirmed: only then is it complete.
    Told,
}

/// **Invariant:** an entry is there while somebody listens or an answer is owed.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    listeners: usize,
    /// Whether the far side was asked on this connection, and did not put it off.
    asked: bool,
    /// Answers owed: one for each `__subscribe` sent.
    owed: usize,
    denied: Option<DenyReason>,
    /// Whether it was known once, for the listeners there are, that events come.
    settled: bool,
    /// Whether it was wanted when the connection was made, and is not answered since.
    awaited: bool,
    gap: Gap,
}

impl Wanted {
    /// It is known now that events come; `true` if a gap before them is to be told.
    fn settle(&mut self) -> bool {
        self.settled = true;
        std::mem::take(&mut self.gap) != Gap::None
    }
}

/// What became due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Due {
    /// Nothing, or a ping that is queued now.
    Nothing,
    /// The far side now counts as one that does not answer: those who wait for a subscription should look.
    Unanswered {
        /// Topics that were interrupted before: their listeners are to be told of the gap.
        after_gap: Vec<Box<str>>,
    },
    /// The far side is gone: the connection is to be given up.
    Dead,
}

/// The state of one link. Generic over what a message is; the time is an argument, counted from any fixed point.
///
/// It is that of one connection ([`new`](Self::new), [`opening`](Self::opening)), or of many, one after the other
/// ([`outliving`](Self::outliving)): then what is wanted is remembered and asked for again at each.
#[derive(Debug)]
pub struct Link<M> {
    options: LinkOptions,
    topics: HashMap<Box<str>, Wanted>,
    outbound: Outbound<M>,
    answering: Answering,
    tolerance: Tolerance,
    pings: u64,
    pongs: u64,
    online: bool,
    /// Where it lives on after its connection.
    outlives: bool,
    heartbeat: Option<HeartbeatOptions>,
    beating: Option<Heartbeat>,
    /// Topics to be asked for on this connection, as soon as there is room.
    to_ask: Vec<Box<str>>,
    /// Topics whose gap is [`Gap::Untold`].
    untold: usize,
    /// Topics that are awaited.
    awaited: usize,
    /// Nothing lies between the ends: everything crosses, and either answers pings.
    direct: bool,
}

impl<M: Message> Link<M> {
    /// The link of one connection, which is there already.
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
            online: true,
            outlives: false,
            heartbeat: None,
            beating: None,
            to_ask: Vec::new(),
            untold: 0,
            awaited: 0,
            direct: false,
        }
    }

    /// One end of a connection between two, without a hub, which is there already: everything crosses, so that nothing
    /// is forwarded and every subscription is in place at once. Either end answers pings. The one with a heartbeat
    /// opens: what it sends begins with a ping, and the far side has to answer it within the time beside it.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the bounds leave no room for any control event.
    pub fn direct(
        options: LinkOptions,
        heartbeat: Option<(HeartbeatOptions, Duration)>,
        now: Duration,
    ) -> Result<Self, ControlOverflow> {
        let options = LinkOptions { forward_subscriptions: false, ..options };
        let beating = heartbeat.map(|(options, first_answer)| Heartbeat::strict(options, first_answer, now));
        let mut link = Self {
            direct: true,
            heartbeat: heartbeat.map(|(options, _)| options),
            beating,
            ..Self::new(options)
        };
        link.handle_timeout(now)?;
        Ok(link)
    }

    /// The link of one connection, whose opener this end is, and which is there when [`connected`](Self::connected) says so:
    /// what is sent begins with a ping, and the far side is asked again and again whether it is there.
    #[must_use]
    pub fn opening(options: LinkOptions, heartbeat: HeartbeatOptions) -> Self {
        Self { outlives: false, ..Self::outliving(options, heartbeat) }
    }

    /// A link that outlives its connections, and has none yet.
    #[must_use]
    pub fn outliving(options: LinkOptions, heartbeat: HeartbeatOptions) -> Self {
        Self { online: false, outlives: true, heartbeat: Some(heartbeat), ..Self::new(options) }
    }

    /// A new connection is there. What is to be sent on it begins with a ping; then everything wanted is asked for,
    /// as far as there is room ([`refill`](Self::refill) asks for the rest); then come the events that were kept.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the bounds leave no room for any control event.
    pub fn connected(&mut self, now: Duration) -> Result<(), ControlOverflow> {
        self.online = true;
        self.answering = Answering::Unknown(None);
        self.tolerance = Tolerance::default();
        self.beating = self.heartbeat.map(|options| Heartbeat::new(options, now));
        let wanted = self.topics.iter_mut().filter(|(_, wanted)| wanted.denied.is_none());
        self.to_ask = wanted
            .map(|(topic, wanted)| {
                wanted.awaited = true;
                topic.clone()
            })
            .collect();
        self.awaited = self.to_ask.len();
        let mut kept = std::mem::take(&mut self.outbound);
        let asked = self.handle_timeout(now).and_then(|_| self.refill(now));
        while let Some(event) = kept.pop() {
            self.outbound.push(event);
        }
        asked.map(drop)
    }

    /// The connection is gone, and with it every answer that it owed. What waited to be sent goes with it, or events
    /// stay for the next one.
    pub fn disconnected(&mut self, keep_events: bool) {
        self.online = false;
        self.beating = None;
        self.to_ask = Vec::new();
        self.outbound.retain(|message| keep_events && !message.is_control());
        self.outbound.shrink();
        self.topics.retain(|_, wanted| wanted.listeners > 0);
        (self.untold, self.awaited) = (0, 0);
        for wanted in self.topics.values_mut() {
            let gap = if wanted.settled || wanted.gap != Gap::None { Gap::Untold } else { Gap::None };
            self.untold += usize::from(gap == Gap::Untold);
            *wanted = Wanted { listeners: wanted.listeners, denied: wanted.denied, gap, ..Wanted::default() };
        }
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.online
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
        if self.online { self.ask(topic, now) } else { Ok(()) }
    }

    /// Whether there is a connection on which everything was confirmed once, denied or let go of that was wanted when it was
    /// made. What is wanted anew afterwards changes nothing of that: where topics come and go there is always one that is
    /// not answered yet.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.online && self.awaited == 0
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
        let subscribed = wanted.asked && wanted.denied.is_none();
        self.untold -= usize::from(wanted.gap == Gap::Untold);
        self.awaited -= usize::from(wanted.awaited);
        let owed = wanted.owed;
        *wanted = Wanted { owed, ..Wanted::default() };
        if owed == 0 {
            self.topics.remove(topic);
        }
        if subscribed { self.send_control(control::unsubscribe(topic)) } else { Ok(()) }
    }

    fn ask(&mut self, topic: &str, now: Duration) -> Result<(), ControlOverflow> {
        if let Some(wanted) = self.topics.get_mut(topic) {
            wanted.asked = true;
            if self.answering == Answering::No {
                // Nothing will say so, but its events come from now on.
                wanted.settled = true;
                self.awaited -= usize::from(std::mem::take(&mut wanted.awaited));
            } else {
                wanted.owed += 1;
            }
        }
        if let Answering::Unknown(since @ None) = &mut self.answering {
            *since = Some(now);
        }
        self.send_control(control::subscribe(topic))
    }

    /// Asks for more of what a new connection has to be asked for: as much as half of the room for control events
    /// holds, so that others have room, too. To be called before what waits is sent; gives whether more is left.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the link is to be closed.
    pub fn refill(&mut self, now: Duration) -> Result<bool, ControlOverflow> {
        while !self.to_ask.is_empty()
            && self.outbound.len() <= self.options.max_queued / 2
            && self.outbound.bytes() <= self.options.max_queued_bytes / 2
        {
            let topic = self.to_ask.pop().unwrap_or_default();
            let open = |wanted: &&Wanted| wanted.listeners > 0 && !wanted.asked && wanted.denied.is_none();
            if self.topics.get(&topic).filter(open).is_some() {
                self.ask(&topic, now)?;
            }
        }
        if self.to_ask.is_empty() {
            self.to_ask = Vec::new();
        }
        Ok(!self.to_ask.is_empty())
    }

    /// Whether a topic's subscription is in place; `None` while that is open. One that nobody listens to is in no place,
    /// whatever is still owed for it.
    #[must_use]
    pub fn readiness(&self, topic: &str) -> Option<Readiness> {
        if self.direct {
            return Some(Readiness::Confirmed);
        }
        let Some(wanted) = self.topics.get(topic).filter(|wanted| wanted.listeners > 0) else {
            return self.online.then_some(Readiness::Unconfirmed);
        };
        if let Some(reason) = wanted.denied {
            return Some(Readiness::Denied(reason));
        }
        let open = !self.online || !wanted.asked || wanted.owed > 0;
        match self.answering {
            _ if open => None,
            Answering::No => Some(Readiness::Unconfirmed),
            _ => Some(Readiness::Confirmed),
        }
    }

    /// Takes what came from the far side, after its check.
    ///
    /// # Errors
    /// [`Refusal::BadControl`]; to be counted with [`refused`](Self::refused).
    pub fn receive<'t>(&mut self, parts: &Parts<'t>) -> Result<Heard<'t>, Refusal> {
        Ok(match control::read(parts)? {
            None => {
                if self.outlives && matches!(self.answering, Answering::Unknown(_)) {
                    self.comes(parts);
                }
                Heard::Event { after_gap: self.untold > 0 && self.tells_gap(parts) }
            }
            Some(Control::Subscribed(topic)) => self.answered(topic, None),
            Some(Control::Denied { topic, action: Action::Subscribe, reason }) => {
                self.answered(topic, Some(reason))
            }
            Some(Control::Denied { topic, action, reason }) => Heard::Denied { topic, action, reason },
            Some(Control::Gap { topic, missed, reason }) => Heard::Gap { topic, missed, reason },
            Some(Control::Pong(payload)) => {
                if let Some(heartbeat) = &mut self.beating {
                    heartbeat.answered();
                }
                self.pongs = self.pongs.max(control::pong_number(payload).unwrap_or(0).min(self.pings));
                Heard::Pong
            }
            Some(Control::Close { code, reason }) => Heard::Close { code, reason },
            Some(Control::Ping(echo)) if self.direct => Heard::Ping(self.send_control(control::pong(echo))),
            Some(_) => Heard::Ignored,
        })
    }

    /// An event shows that its topic's events come, at a hub that has not answered yet and perhaps never will: should
    /// the connection be lost now, there is a gap.
    #[cold]
    fn comes(&mut self, parts: &Parts<'_>) {
        let topics = &mut self.topics;
        with_topic(&parts.event_type, &parts.id, |topic| {
            if let Some(wanted) = topics.get_mut(topic) {
                wanted.settled |= wanted.listeners > 0;
            }
        });
    }

    /// Whether this event comes before its topic's gap was told; then it counts as told.
    #[cold]
    fn tells_gap(&mut self, parts: &Parts<'_>) -> bool {
        let topics = &mut self.topics;
        let told = with_topic(&parts.event_type, &parts.id, |topic| match topics.get_mut(topic) {
            Some(wanted) if wanted.gap == Gap::Untold => {
                wanted.gap = Gap::Told;
                true
            }
            _ => false,
        });
        self.untold -= usize::from(told);
        told
    }

    /// An answer, or a revocation where none is owed.
    fn answered<'t>(&mut self, topic: Cow<'t, str>, denied: Option<DenyReason>) -> Heard<'t> {
        if let Answering::Unknown(_) = self.answering {
            self.answering = Answering::Yes;
        }
        let Some(wanted) = self.topics.get_mut(&*topic) else {
            return Heard::Ignored;
        };
        if wanted.owed == 0 && denied.is_none() {
            // One that comes after it was given up: only now the gap that was told then is complete.
            let late = wanted.gap != Gap::None && wanted.listeners > 0 && wanted.asked;
            if !late {
                return Heard::Ignored;
            }
        }
        wanted.owed = wanted.owed.saturating_sub(1);
        if wanted.owed > 0 {
            return Heard::Ignored;
        }
        if wanted.listeners == 0 {
            self.topics.remove(&*topic);
            return Heard::Ignored;
        }
        let (untold, awaited) = (wanted.gap == Gap::Untold, wanted.awaited);
        let heard = match denied {
            // For this connection only, and another one is to come.
            Some(DenyReason::Draining) if self.outlives => {
                wanted.asked = false;
                return Heard::Ignored;
            }
            Some(reason) => {
                *wanted =
                    Wanted { listeners: wanted.listeners, denied, asked: wanted.asked, ..Wanted::default() };
                Heard::Denied { topic, action: Action::Subscribe, reason }
            }
            None => Heard::Settled { after_gap: wanted.settle(), topic },
        };
        wanted.awaited = false;
        self.untold -= usize::from(untold);
        self.awaited -= usize::from(awaited);
        heard
    }

    /// Something came, of whatever kind: the far side is alive.
    pub fn alive(&mut self) {
        if let Some(heartbeat) = &mut self.beating {
            heartbeat.heard();
        }
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

    /// The number of the last ping that was answered, 0 before the first.
    #[must_use]
    pub fn pongs(&self) -> u64 {
        self.pongs
    }

    /// Whether the ping of this number was answered.
    #[must_use]
    pub fn ponged(&self, ping: u64) -> bool {
        self.pongs >= ping
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let answer = match self.answering {
            Answering::Unknown(Some(since)) => Some(since.saturating_add(self.options.answer_timeout)),
            _ => None,
        };
        answer.filter(|_| self.online).into_iter().chain(self.beating.map(|heartbeat| heartbeat.due())).min()
    }

    /// What became due by now.
    ///
    /// # Errors
    /// [`ControlOverflow`]: the link is to be closed.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<Due, ControlOverflow> {
        let waiting = self.outbound.bytes();
        match self.beating.as_mut().map_or(Beat::Nothing, |heartbeat| heartbeat.beat(now, waiting)) {
            Beat::Dead => return Ok(Due::Dead),
            Beat::Ping => {
                self.ping()?;
            }
            Beat::Nothing => {}
        }
        let unanswered = match self.answering {
            Answering::Unknown(Some(since)) => now >= since.saturating_add(self.options.answer_timeout),
            _ => false,
        };
        if !self.online || !unanswered {
            return Ok(Due::Nothing);
        }
        self.answering = Answering::No;
        let mut after_gap = Vec::new();
        let (mut untold, mut awaited) = (0, 0);
        self.topics.retain(|topic, wanted| {
            wanted.owed = 0;
            if wanted.listeners > 0 && wanted.denied.is_none() && wanted.asked {
                awaited += usize::from(std::mem::take(&mut wanted.awaited));
                if wanted.gap == Gap::Untold {
                    untold += 1;
                }
                if wanted.settle() {
                    after_gap.push(topic.clone());
                    // A late answer is the moment from which nothing is missed.
                    wanted.gap = Gap::Told;
                }
            }
            wanted.listeners > 0
        });
        self.untold -= untold;
        self.awaited -= awaited;
        Ok(Due::Unanswered { after_gap })
    }

    /// The oldest message that waits, to be given to the socket.
    pub fn pop(&mut self) -> Option<M> {
        let message = self.outbound.pop()?;
        if let Some(heartbeat) = &mut self.beating {
            heartbeat.sent(message.weight());
        }
        Some(message)
    }

    /// What waits to be sent.
    pub fn outbound(&mut self) -> &mut Outbound<M> {
        &mut self.outbound
    }

    fn send_control(&mut self, text: String) -> Result<(), ControlOverflow> {
        self.outbound.push(M::from_text(text, M::Framing::default()));
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
mod tests;
