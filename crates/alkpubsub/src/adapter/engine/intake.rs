//! What becomes of the bytes that a connection sent: frames, messages, the hub's verdict, listeners and hooks.

use super::behind::{Answer, Behind, Said};
use super::connection::{Connection, Heed, State};
use super::crossing::{Crossed, Crossing};
use super::frame::Frame;
use super::framing::Framing;
use super::framing::websocket::{Message, Rules, Violation};
use super::hooks::HubHooks;
use super::options::HubOptions;
use super::orders::FromBroker;
use super::shared::Shared;
use super::spoke::Spoke;
use crate::caught::caught;
use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, LinkId, Notice, TargetError};
use crate::protocol::RefusalCounts;
use crate::protocol::check::{self, Parts, Refusal};
use crate::protocol::control::{self, Action, Control, DenyReason};
use crate::protocol::hub::{Asked, Hub};
use crate::protocol::length_prefix::{self, HEADER};
use crate::stats::Stats;
use bytestring::ByteString;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::time::Duration;

/// What a received message is held against, apart from the sockets.
pub(super) struct Intake {
    pub(super) hub: Hub<Frame>,
    pub(super) shared: Arc<Shared>,
    /// Which of the shards it is.
    pub(super) shard: u8,
    /// The way to the others, where there are any.
    crossing: Option<Crossing<Frame>>,
    /// What they sent, while it is passed on; kept for its memory.
    crossed: Vec<Crossed<Frame>>,
    /// The way to the broker, where there is one.
    behind: Option<Behind>,
    /// The runtime that listeners and hooks find themselves on, where it is not the thread's own.
    home: Option<tokio::runtime::Handle>,
    pub(super) hooks: Option<Arc<dyn HubHooks>>,
    pub(super) relay: bool,
    pub(super) rules: Rules,
    pub(super) now: Duration,
    pub(super) too_slow: u64,
    pub(super) unfinished: u64,
    pub(super) violations: u64,
    /// That of the event at hand; kept for its memory.
    topic: String,
    /// The bad input that was logged, and when.
    logged: (RefusalCounts, Option<Duration>),
}

/// How often bad input is logged, at the most, whatever it is that peers send and however many they are.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a connection is to end, from what was read.
pub(super) enum Ending {
    /// The peer broke a rule: this close code, and what of its words still counts.
    Offence { code: u16, reason: String, heed: Heed },
    /// The peer closed.
    Closed { code: Option<u16>, reason: Arc<str> },
}

impl Intake {
    pub(super) fn new(
        shared: Arc<Shared>,
        shard: u8,
        home: Option<tokio::runtime::Handle>,
        options: &HubOptions,
    ) -> Self {
        let HubOptions { fan_out, relay, identities, ref hooks, ref broker, .. } = *options;
        let mut hub = Hub::new(shared.limits, fan_out, identities);
        let crossing = shared.crossings.as_ref().map(|crossings| crossings.crossing(shard));
        if crossing.is_some() {
            hub = hub.shard(shard, shared.shards());
        }
        let behind = broker.as_ref().map(|broker| Behind::new(broker.clone(), shared.clone(), shard));
        if behind.is_some() {
            hub.keep_topic_changes();
        }
        let rules = Rules { max_message: shared.limits.message.max_message };
        Self {
            hub,
            shared,
            shard,
            crossing,
            crossed: Vec::new(),
            behind,
            home,
            hooks: hooks.clone(),
            relay,
            rules,
            now: Duration::ZERO,
            too_slow: 0,
            unfinished: 0,
            violations: 0,
            topic: String::new(),
            logged: Default::default(),
        }
    }

    /// Takes what was read behind what was left from the last read, message by message.
    pub(super) fn take(&mut self, connection: &mut Connection, read: &mut [u8]) -> Result<(), Ending> {
        self.hub.heard(connection.id, self.now);
        if self.crossing.is_some() && self.shared.has_identities() {
            self.hub.have_identities();
        }
        let taken = self.take_frames(connection, read);
        connection.tell_held(&mut self.hub);
        taken
    }

    fn take_frames(&mut self, connection: &mut Connection, read: &mut [u8]) -> Result<(), Ending> {
        let mut at = 0;
        if connection.partial.is_empty() {
            let taken = self.messages(connection, read, &mut at);
            connection.partial = read[at..].to_vec();
            return taken;
        }
        let mut joined = std::mem::take(&mut connection.partial);
        joined.extend_from_slice(read);
        let taken = self.messages(connection, &mut joined, &mut at);
        // A frame that is still incomplete grows where it is; else the memory that is kept fits what is kept, and
        // there is none for an idle socket.
        connection.partial = if at == 0 { joined } else { joined[at..].to_vec() };
        taken
    }

    fn messages(
        &mut self,
        connection: &mut Connection,
        buffer: &mut [u8],
        at: &mut usize,
    ) -> Result<(), Ending> {
        let heed = match &connection.state {
            State::Open => Heed::Events,
            State::Closing(closing) => closing.heed,
        };
        match (heed, connection.framing) {
            (Heed::Nothing, _) => {
                *at = buffer.len();
                Ok(())
            }
            (_, Framing::WebSocket) => self.of_websocket(connection, buffer, at, heed),
            (_, Framing::LengthPrefix) => self.of_byte_stream(connection, buffer, at, heed),
        }
    }

    fn of_websocket(
        &mut self,
        connection: &mut Connection,
        buffer: &mut [u8],
        at: &mut usize,
        heed: Heed,
    ) -> Result<(), Ending> {
        let mut decoder = std::mem::take(&mut connection.decoder);
        let ended = loop {
            let message = match decoder.next(self.rules, buffer, at) {
                Ok(Some(message)) => message,
                Ok(None) => break Ok(()),
                Err(violation) => {
                    *at = buffer.len();
                    break Err(offence(violation));
                }
            };
            let taken = match message {
                Message::Close { code, reason } => Err(Ending::Closed { code, reason: reason.into() }),
                _ if heed == Heed::Close => Ok(()),
                Message::Text(text) => self.message(connection, &text, true),
                Message::Binary(text) => self.message(connection, &text, false),
                Message::Ping(payload) => {
                    self.hub.send(connection.id, Frame::pong(payload));
                    Ok(())
                }
                Message::Pong(_) => Ok(()),
            };
            if taken.is_err() {
                break taken;
            }
        };
        connection.decoder = decoder;
        ended
    }

    fn of_byte_stream(
        &mut self,
        connection: &mut Connection,
        buffer: &[u8],
        at: &mut usize,
        heed: Heed,
    ) -> Result<(), Ending> {
        loop {
            let message = match length_prefix::first(&buffer[*at..], self.rules.max_message) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) => {
                    // Where the next one begins is not known.
                    *at = buffer.len();
                    let (code, reason) = (error.close_code(), error.to_string());
                    return Err(Ending::Offence { code, reason, heed: Heed::Nothing });
                }
            };
            *at += HEADER + message.len();
            connection.opened = true;
            match heed {
                Heed::Close => self.farewell(message)?,
                _ => self.message(connection, message, false)?,
            }
        }
    }

    /// Of what a peer still says, its close alone counts.
    fn farewell(&self, message: &[u8]) -> Result<(), Ending> {
        let Ok(parts) = check::parts(message, &self.shared.limits.message) else { return Ok(()) };
        match control::read(&parts) {
            Ok(Some(Control::Close { code, reason })) => {
                Err(Ending::Closed { code: Some(code), reason: (*reason).into() })
            }
            _ => Ok(()),
        }
    }

    fn message(&mut self, connection: &Connection, bytes: &[u8], is_text: bool) -> Result<(), Ending> {
        let refusal = match check::parts(bytes, &self.shared.limits.message) {
            Ok(parts) => match self.hub.receive(connection.id, &parts) {
                Ok(Asked::Close { code, reason }) if connection.framing == Framing::LengthPrefix => {
                    return Err(Ending::Closed { code: Some(code), reason: (*reason).into() });
                }
                Ok(Asked::Done | Asked::Close { .. }) => return Ok(()),
                Ok(Asked::Subscribe(topic)) => {
                    self.subscribe(connection, &topic);
                    return Ok(());
                }
                Ok(Asked::Publish) => {
                    self.publish(connection, &parts);
                    return Ok(());
                }
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        self.refuse(connection, refusal, is_text)
    }

    #[cold]
    fn refuse(&mut self, connection: &Connection, refusal: Refusal, is_text: bool) -> Result<(), Ending> {
        tracing::trace!(link = %connection.id, reason = refusal.name(), "bad input");
        let too_many = self.hub.refused(connection.id, &refusal, self.now);
        if let Some(spoke) = &connection.spoke {
            spoke.listeners.notify_named(&Notice::Error(TargetError::BadInput(refusal)));
        }
        self.shared.listeners.notify_named(&Notice::Error(TargetError::BadInput(refusal)));
        match refusal {
            Refusal::NotUtf8 { .. } if is_text => {
                Err(Ending::Offence { code: 1007, reason: refusal.to_string(), heed: Heed::Close })
            }
            _ if too_many => {
                let reason = format!("too much bad input: {refusal}");
                Err(Ending::Offence { code: 1007, reason, heed: Heed::Close })
            }
            _ => Ok(()),
        }
    }

    fn subscribe(&mut self, connection: &Connection, topic: &str) {
        let answer = match (self.authorise(connection, Action::Subscribe, topic), &mut self.behind) {
            (Err(reason), _) => Answer::No(reason),
            (Ok(()), None) => Answer::Yes,
            (Ok(()), Some(behind)) => behind.answer(topic),
        };
        match answer {
            Answer::Yes => self.hub.subscribe(connection.id, topic),
            Answer::No(reason) => self.hub.deny(connection.id, topic, Action::Subscribe, reason),
            Answer::Later(ticket) => self.hub.defer(connection.id, topic, ticket),
        }
    }

    fn publish(&mut self, connection: &Connection, parts: &Parts<'_>) {
        // Made in the same place each time, and of two texts: nothing is allocated, and nothing checked again.
        let mut topic = std::mem::take(&mut self.topic);
        topic.clear();
        topic.extend([&*parts.event_type, ":", &*parts.id]);
        self.publish_on(&topic, connection, parts);
        self.topic = topic;
    }

    fn publish_on(&mut self, topic: &str, connection: &Connection, parts: &Parts<'_>) {
        if let Err(reason) = self.authorise(connection, Action::Publish, topic) {
            return self.hub.deny(connection.id, topic, Action::Publish, reason);
        }
        let spoke = connection.spoke.as_ref();
        if let Some(spoke) = spoke {
            spoke.received.fetch_add(1, Relaxed);
        }
        let spoke = spoke.filter(|spoke| spoke.listeners.is_heard(topic));
        // The scratch buffer is used again for the next read: what listeners keep, and what waits for the broker, must be
        // theirs.
        let envelope = || EventEnvelope::checked(&ByteString::from(parts.text), parts, Some(connection.id));
        if spoke.is_some() || self.shared.listeners.is_heard(topic) {
            let envelope = envelope();
            let _home = self.enter_home();
            if let Some(spoke) = spoke {
                spoke.listeners.dispatch(&envelope);
            }
            self.shared.listeners.dispatch(&envelope);
        }
        match &mut self.behind {
            Some(behind) if behind.takes_events() => {
                behind.publish(&mut self.hub, Said { event: envelope(), by: Some(connection.id) });
            }
            // Those who hear it have, as a rule, a connection of the same kind.
            _ if self.relay => self.relay(topic, || Frame::text(parts.text, connection.framing)),
            _ => {}
        }
    }

    /// Passes an event on to all who want it, in this shard and in the others: in one frame.
    fn relay(&mut self, topic: &str, frame: impl Fn() -> Frame) {
        let crossing = self.crossing.as_mut();
        match crossing.and_then(|crossing| crossing.publish(topic, &frame)) {
            Some(frame) => self.hub.fan_out(topic, || frame),
            None => self.hub.fan_out(topic, frame),
        };
    }

    /// Passes an event of the program's own on.
    pub(super) fn dispatch(&mut self, event: EventEnvelope, to: Option<LinkId>) {
        // It was written when it was taken; a failure would have been the publisher's.
        let Ok(text) = event.text() else { return };
        let framing = self.shared.framing;
        match (to, &mut self.behind) {
            (Some(link), _) => self.hub.send_event(link, Frame::text(text, framing)),
            (None, Some(behind)) if behind.takes_events() => {
                behind.publish(&mut self.hub, Said { event, by: None });
            }
            // Of several shards without a broker, each that wants it has it in its orders.
            (None, Some(_)) => self.relay(event.topic().as_str(), || Frame::text(text, framing)),
            (None, None) => _ = self.hub.fan_out(event.topic().as_str(), || Frame::text(text, framing)),
        }
    }

    /// Takes what the broker has for this shard; gives whether links may go on that have waited for an answer.
    pub(super) fn hear_broker(&mut self, from_broker: FromBroker) -> bool {
        let Self { behind: Some(behind), hub, .. } = self else { return false };
        if !behind.hear(hub, from_broker) {
            return false;
        }
        let framing = self.shared.framing;
        for Said { event, .. } in behind.take_left() {
            if let Ok(text) = event.text() {
                self.relay(event.topic().as_str(), || Frame::text(text, framing));
            }
        }
        true
    }

    /// Gives the broker what waits until it has room; gives whether sockets may be read again because of that.
    pub(super) fn poll_broker(&mut self, context: &mut Context<'_>) -> bool {
        self.behind.as_mut().is_some_and(|behind| behind.poll(&mut self.hub, context))
    }

    /// Whether the broker is still to be given what was taken from spokes.
    pub(super) fn owes_broker(&self) -> bool {
        self.behind.as_ref().is_some_and(Behind::is_held_up)
    }

    /// The hub has ended.
    pub(super) fn end(&mut self) {
        self.tell_others();
        if let Some(behind) = &mut self.behind {
            behind.end();
        }
        self.count();
    }

    /// Passes an event that was framed elsewhere on to those who want it here.
    pub(super) fn deliver(&mut self, Crossed { topic, message }: Crossed<Frame>) {
        self.hub.fan_out(&topic, || message);
    }

    /// To be called after each read, and once a round: passes on what the other shards have for this one. So an event
    /// that was heard there is ahead of what somebody here says because of it.
    pub(super) fn hear_others(&mut self) {
        let Some(crossing) = &mut self.crossing else { return };
        crossing.take(&mut self.crossed);
        for Crossed { topic, message } in self.crossed.drain(..) {
            self.hub.fan_out(&topic, || message);
        }
    }

    /// Once a round: whether the other shards have room again.
    pub(super) fn look_for_room(&mut self) {
        if let Some(crossing) = &mut self.crossing {
            crossing.look_for_room();
        }
    }

    /// Gives the memory back that many at once have called for.
    pub(super) fn give_back(&mut self, keep: usize) {
        self.crossed.shrink_to(keep);
    }

    /// Whether no socket is to be read, as another shard, or the broker, has enough to do with what it was sent.
    pub(super) fn is_held_up(&self) -> bool {
        self.crossing.as_ref().is_some_and(Crossing::is_held_up) || self.owes_broker()
    }

    /// To be called before anything is written, and when a round is over: tells the other shards what is wanted here
    /// and what was published.
    pub(super) fn tell_others(&mut self) {
        if let Some(changes) = self.hub.topic_changes() {
            let changes = std::mem::take(changes);
            if let Some(crossing) = &self.crossing {
                crossing.tell_topics(&self.hub, &changes);
            }
            if let Some(behind) = &mut self.behind {
                behind.tell_topics(&self.hub, &changes);
            }
        }
        if let Some(behind) = &mut self.behind {
            behind.ask();
        }
        if let Some(crossing) = &mut self.crossing {
            crossing.flush();
        }
    }

    /// To be called before the bounds for all connections together are asked for.
    pub(super) fn share_totals(&mut self) {
        if let Some(crossing) = &mut self.crossing {
            crossing.share_totals(&mut self.hub);
        }
    }

    /// Does what is bound to the program's runtime.
    #[cfg(unix)]
    pub(super) fn at_home<T>(&self, work: impl FnOnce() -> T) -> T {
        let _home = self.enter_home();
        work()
    }

    /// What the program's own starts, it starts on the runtime that it knows, whichever shard calls it.
    fn enter_home(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        self.home.as_ref().map(tokio::runtime::Handle::enter)
    }

    /// Rights go by the topic, split at its first `:`, whatever an envelope says of type and id: `a:b` + `c` reaches
    /// those who hear `a` + `b:c`.
    fn authorise(&self, connection: &Connection, action: Action, topic: &str) -> Result<(), DenyReason> {
        let (Some(hooks), Some(spoke)) = (&self.hooks, &connection.spoke) else {
            return Ok(());
        };
        let (event_type, id) = topic.split_once(':').unwrap_or((topic, ""));
        let _home = self.enter_home();
        let asked = caught(|| hooks.authorise(spoke, action, event_type, id));
        asked.unwrap_or_else(|message| {
            self.hook_panicked(&message);
            Err(DenyReason::NotAllowed)
        })
    }

    /// Calls a hook; `false` if it panicked.
    pub(super) fn hook(&self, call: impl FnOnce(&dyn HubHooks)) -> bool {
        let Some(hooks) = &self.hooks else { return true };
        let _home = self.enter_home();
        let called = caught(|| call(&**hooks));
        called.map_err(|message| self.hook_panicked(&message)).is_ok()
    }

    fn hook_panicked(&self, message: &str) {
        self.shared.listeners.report("hook", message);
    }

    /// Something of the program's that a connection holds panicked.
    #[cold]
    pub(super) fn connection_panicked(&self, message: &str) {
        let message = message.into();
        self.shared.listeners.count_panic();
        self.shared.listeners.notify_named(&Notice::Error(TargetError::ConnectionPanicked { message }));
    }

    /// To be called now and then: logs the reasons of what was refused since the last time, without any of it.
    pub(super) fn log_refusals(&mut self) {
        let (logged, when) = self.logged;
        let refusals = *self.hub.refusals();
        if refusals != logged && when.is_none_or(|when| self.now.saturating_sub(when) >= LOG_EVERY) {
            let refused = refusals.since(&logged);
            tracing::warn!(messages = refused.total(), reasons = %refused, "bad input was refused");
            self.logged = (refusals, Some(self.now));
        }
    }

    pub(super) fn disconnected(&self, spoke: &Arc<Spoke>, reason: CloseReason) {
        let _ = self.hook(|hooks| hooks.disconnected(spoke, &reason));
        spoke.listeners.close(reason);
        spoke.ended.wake_all();
    }

    pub(super) fn count(&self) {
        let Self { too_slow, unfinished, violations, .. } = *self;
        let mut stats = Stats { too_slow, unfinished, violations, ..Stats::default() };
        self.hub.count(&mut stats);
        if let Some(behind) = &self.behind {
            stats.dropped += behind.dropped + self.shared.orders(self.shard).missed();
        }
        self.shared.orders(self.shard).publish_stats(stats);
    }
}

fn offence(violation: Violation) -> Ending {
    Ending::Offence { code: violation.close_code(), reason: violation.to_string(), heed: Heed::Nothing }
}
