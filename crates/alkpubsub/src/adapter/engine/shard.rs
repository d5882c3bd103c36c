//! The task that serves all connections of a hub.
//!
//! One round: take the program's orders, read every socket that became ready and hand what came to the sans-IO
//! hub, then write, once for each socket, all that this made it send. Between rounds the task sleeps; no
//! connection has a task, a lock or a buffer of its own.

use super::connection::{Closing, Connection, Heed, State};
use super::frame::Frame;
use super::hooks::HubHooks;
use super::shared::{Command, NewConnection, Shared};
use super::spoke::Spoke;
use super::wake::SocketWaker;
use crate::adapter::websocket::frame::{self, Rules, Violation};
use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, LinkId, Notice, TargetError};
use crate::listeners::panic_message;
use crate::protocol::check::{self, Parts, Refusal};
use crate::protocol::control::{Action, DenyReason};
use crate::protocol::hub::{Asked, FanOut, Hub, Silence};
use crate::stats::Stats;
use crate::topic::with_topic;
use bytestring::ByteString;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tungstenite::protocol::Role;

/// The buffer that all sockets of a shard are read into, one after the other, and written from.
const SCRATCH: usize = 64 * 1024;
/// Reads of one socket in a round; one that has more comes again in the next.
const READS_PER_ROUND: usize = 4;
/// How long a peer may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// How a hub passes events on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Relaying {
    pub(crate) fan_out: FanOut,
    /// Whether an event of any spoke goes to the others, without the program's doing.
    pub(crate) relay: bool,
    /// Whether connections have identities, which own `direct:<identity>`.
    pub(crate) identities: bool,
}

/// The task, as a future that ends when the hub was shut down.
pub(super) struct Shard {
    connections: Vec<Option<Connection>>,
    core: Core,
    scratch: Box<[u8]>,
    tick: Interval,
    /// When the hub ends whatever is left, once it was told to shut down.
    ending: Option<Duration>,
    // Lists that are filled and emptied each round; kept for their memory.
    commands: VecDeque<Command>,
    ready: Vec<usize>,
    dirty: Vec<LinkId>,
}

/// What a received message is held against, apart from the sockets.
struct Core {
    hub: Hub<Frame>,
    shared: Arc<Shared>,
    hooks: Option<Arc<dyn HubHooks>>,
    relay: bool,
    rules: Rules,
    started: Instant,
    now: Duration,
    too_slow: u64,
}

/// Why a connection is to end, from what was read.
enum Ending {
    /// The peer broke a rule: this close code, and what of its words still counts.
    Offence { code: u16, reason: String, heed: Heed },
    /// The peer closed.
    Closed { code: Option<u16>, reason: Arc<str> },
}

impl Shard {
    pub(super) fn new(shared: Arc<Shared>, relaying: Relaying, hooks: Option<Arc<dyn HubHooks>>) -> Self {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let limits = shared.limits;
        let Relaying { fan_out, relay, identities } = relaying;
        let rules = Rules { role: Role::Server, max_message: limits.message.max_message };
        let hub = Hub::new(limits, fan_out, identities);
        let (started, now) = (Instant::now(), Duration::ZERO);
        Self {
            connections: Vec::new(),
            core: Core { hub, shared, hooks, relay, rules, started, now, too_slow: 0 },
            scratch: vec![0; SCRATCH].into(),
            tick,
            ending: None,
            commands: VecDeque::new(),
            ready: Vec::new(),
            dirty: Vec::new(),
        }
    }

    fn round(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        self.core.shared.ready.register(context.waker());
        self.core.now = self.core.started.elapsed();
        while self.tick.poll_tick(context).is_ready() {
            self.look_around();
        }
        self.obey();
        let mut ready = std::mem::take(&mut self.ready);
        self.core.shared.ready.take(&mut ready);
        for slot in ready.drain(..) {
            self.serve(slot);
        }
        self.ready = ready;
        // Listeners and hooks may have given orders: they belong to this round.
        self.obey();
        self.write_dirty();
        self.core.count();
        if let Some(until) = self.ending
            && (self.core.hub.is_empty() || self.core.now >= until)
        {
            self.drop_all();
            return Poll::Ready(CloseReason::Closed);
        }
        Poll::Pending
    }

    /// Carries out the program's orders.
    fn obey(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        loop {
            self.core.shared.take_commands(&mut commands);
            if commands.is_empty() {
                break;
            }
            for command in commands.drain(..) {
                match command {
                    Command::Connect(connection) => self.connect(connection),
                    Command::Dispatch { event, to } => self.core.dispatch(&event, to),
                    Command::Close { link, code, reason } => {
                        let reason = CloseReason::Refused { code, reason };
                        self.close(link, reason, false, Heed::Events);
                    }
                    Command::Remove { link, reply } => drop(reply.send(self.release(link))),
                    Command::Shutdown { within } => self.shut_down(within),
                }
            }
            // What the orders queued is tried before it counts as too much.
            self.write_dirty();
        }
        self.commands = commands;
    }

    fn connect(&mut self, new: NewConnection) {
        let NewConnection { socket, mut received, identity, reply } = new;
        let Some(id) =
            self.core.hub.connect(identity.clone(), self.core.now).filter(|_| self.ending.is_none())
        else {
            // Not reached by `serve`, which counts before it shakes hands.
            self.core.shared.links.fetch_sub(1, Relaxed);
            return;
        };
        let wake = SocketWaker::new(id.slot(), self.core.shared.ready.clone());
        let mut connection = Connection::new(id, socket, wake);
        if self.core.hooks.is_some() || reply.is_some() {
            let spoke = Arc::new(Spoke::new(id, identity, self.core.shared.clone()));
            connection.spoke = Some(spoke.clone());
            self.core.hook(|hooks| hooks.connected(&spoke));
            if let Some(reply) = reply {
                // Who asked may have gone away meanwhile; the connection stays.
                let _ = reply.send(spoke);
            }
        }
        if self.connections.len() <= id.slot() {
            self.connections.resize_with(id.slot() + 1, || None);
        }
        let connection = self.connections[id.slot()].insert(connection);
        match self.core.take(connection, &mut received) {
            Ok(()) => self.read(id.slot()),
            Err(ending) => self.end(id.slot(), ending),
        }
    }

    fn serve(&mut self, slot: usize) {
        let Some(connection) = self.connections.get(slot).and_then(Option::as_ref) else {
            return;
        };
        connection.wake.taken();
        self.read(slot);
        self.write(slot);
    }

    /// Reads a socket until it has no more, or its turn is over.
    fn read(&mut self, slot: usize) {
        for _ in 0..READS_PER_ROUND {
            let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
                return;
            };
            let read = match connection.poll_read(&mut self.scratch) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => return self.lost(slot, "the connection was cut".into()),
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => return self.lost(slot, error.to_string()),
            };
            if let Err(ending) = self.core.take(connection, &mut self.scratch[..read]) {
                return self.end(slot, ending);
            }
            if self.core.hub.take_overfull() {
                // A link that has too much waiting gets its write now, in the middle of the round: a fast reader is
                // never closed for what a single round brought it.
                self.write_dirty();
            }
        }
        if let Some(connection) = self.connections.get(slot).and_then(Option::as_ref) {
            connection.requeue();
        }
    }

    /// What was read ends the connection.
    fn end(&mut self, slot: usize, ending: Ending) {
        let Some(connection) = self.connections[slot].as_mut() else {
            return;
        };
        let id = connection.id;
        match (ending, &mut connection.state) {
            (Ending::Offence { code, reason, heed }, State::Open) => {
                tracing::debug!(link = %id, code, reason, "closing");
                self.close(id, CloseReason::Refused { code, reason: reason.into() }, true, heed);
                // The peer's close may have come with the rest already.
                self.take_rest(slot);
            }
            (Ending::Closed { code, reason }, State::Open) => {
                // The answer goes behind everything that was queued before it.
                self.core.hub.finish(id, Some(frame::close(code, "").into()), false);
                connection.state = State::Closing(Closing {
                    until: self.core.now + CLOSE_TIMEOUT,
                    answered: true,
                    heed: Heed::Nothing,
                    reason: CloseReason::ByPeer { code: code.unwrap_or(1005), reason },
                });
                self.write(slot);
            }
            (Ending::Closed { .. }, State::Closing(closing)) => {
                closing.answered = true;
                closing.heed = Heed::Nothing;
                self.write(slot);
            }
            (Ending::Offence { .. }, State::Closing(closing)) => closing.heed = Heed::Nothing,
        }
    }

    fn take_rest(&mut self, slot: usize) {
        if let Some(connection) = &mut self.connections[slot]
            && let Err(ending) = self.core.take(connection, &mut [])
        {
            self.end(slot, ending);
        }
    }

    /// Begins to close a connection: its close frame goes behind what waits for it or, with `drop_rest`, in place
    /// of that.
    fn close(&mut self, id: LinkId, reason: CloseReason, drop_rest: bool, heed: Heed) {
        let Some(connection) = self.connections.get_mut(id.slot()).and_then(Option::as_mut) else {
            return;
        };
        if connection.id != id || !matches!(connection.state, State::Open) {
            return;
        }
        let words = match &reason {
            CloseReason::Refused { reason, .. } => reason.clone(),
            _ => Arc::default(),
        };
        self.core.hub.finish(id, Some(frame::close(Some(reason.code()), &words).into()), drop_rest);
        let until = self.core.now + CLOSE_TIMEOUT;
        connection.state = State::Closing(Closing { until, answered: false, heed, reason });
        self.write(id.slot());
    }

    /// Writes what waits for a socket. At the end of a closing connection, ends it.
    fn write(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let id = connection.id;
        let written = match connection.poll_write(&mut self.core.hub, &mut self.scratch) {
            Poll::Ready(Ok(())) => connection.poll_flush(),
            other => other,
        };
        match (written, &connection.state) {
            (Poll::Ready(Err(error)), _) => self.lost(slot, error.to_string()),
            (Poll::Ready(Ok(())), State::Closing(Closing { answered: true, .. })) => {
                // The server ends the stream first (RFC 6455, section 7.1.1); the rest is the peer's.
                let _ = connection.poll_shutdown();
                self.gone(slot);
            }
            (Poll::Pending, State::Open) if self.core.hub.is_too_slow(id) => self.too_slow(id),
            _ => {}
        }
    }

    fn write_dirty(&mut self) {
        while self.core.hub.is_dirty() {
            let mut dirty = std::mem::take(&mut self.dirty);
            self.core.hub.take_dirty(&mut dirty);
            for id in dirty.drain(..) {
                self.write(id.slot());
            }
            self.dirty = dirty;
        }
        while let Some(id) = self.core.hub.slowest_over_total() {
            self.too_slow(id);
        }
    }

    fn too_slow(&mut self, id: LinkId) {
        self.core.too_slow += 1;
        let queued = self.core.hub.waiting(id).map_or(0, |waiting| waiting.bytes());
        if let Some(spoke) =
            self.connections[id.slot()].as_ref().and_then(|connection| connection.spoke.clone())
        {
            self.core.hook(|hooks| hooks.backpressure(&spoke, queued));
        }
        tracing::debug!(link = %id, queued, "too slow");
        let reason =
            CloseReason::Refused { code: 1013, reason: "too slow: more waits than the bound".into() };
        match &self.connections[id.slot()] {
            Some(connection) if matches!(connection.state, State::Open) => {
                self.close(id, reason, true, Heed::Close)
            }
            // It was closing already, and does not read.
            _ => self.gone(id.slot()),
        }
    }

    /// Once a second: silent peers, and closes that were not answered.
    fn look_around(&mut self) {
        let mut dead = Vec::new();
        let mut ping = Vec::new();
        self.core.hub.silent(self.core.now, |id, silence| match silence {
            Silence::Ping => ping.push(id),
            _ => dead.push(id),
        });
        for id in ping {
            self.core.hub.send(id, frame::ping(b"").into());
        }
        for id in dead {
            self.lost(id.slot(), "the peer did not answer a ping".to_owned());
        }
        for slot in 0..self.connections.len() {
            if let Some(Connection { state: State::Closing(closing), .. }) = &self.connections[slot]
                && self.core.now >= closing.until
            {
                self.gone(slot);
            }
        }
    }

    fn lost(&mut self, slot: usize, error: String) {
        if let Some(connection) = &mut self.connections[slot] {
            if let State::Open = connection.state {
                let reason = CloseReason::Lost { error: error.into() };
                let until = self.core.now;
                connection.state =
                    State::Closing(Closing { until, answered: true, heed: Heed::Nothing, reason });
            }
            self.gone(slot);
        }
    }

    /// A connection has ended: forgets it and tells who wants to know.
    fn gone(&mut self, slot: usize) {
        let Some(connection) = self.connections[slot].take() else {
            return;
        };
        self.core.hub.disconnect(connection.id);
        self.core.shared.links.fetch_sub(1, Relaxed);
        let Connection { spoke, state, .. } = connection;
        let reason = match state {
            State::Closing(closing) => closing.reason,
            State::Open => CloseReason::Closed,
        };
        if let Some(spoke) = spoke {
            self.core.disconnected(&spoke, reason);
        }
    }

    /// Takes a connection out and gives its socket back, as long as it stands between two frames.
    fn release(&mut self, id: LinkId) -> Option<Box<dyn super::Socket>> {
        let connection = self.connections.get_mut(id.slot())?.take_if(|connection| {
            connection.id == id && matches!(connection.state, State::Open) && !connection.is_mid_frame()
        })?;
        self.core.hub.disconnect(id);
        self.core.shared.links.fetch_sub(1, Relaxed);
        if let Some(spoke) = connection.spoke {
            self.core.disconnected(&spoke, CloseReason::Closed);
        }
        Some(connection.socket)
    }

    fn shut_down(&mut self, within: Duration) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(self.core.now + within);
        self.core.hub.drain();
        for id in self.core.hub.links().collect::<Vec<_>>() {
            let reason = CloseReason::Refused { code: 1001, reason: "the hub shuts down".into() };
            self.close(id, reason, false, Heed::Events);
        }
    }

    fn drop_all(&mut self) {
        for slot in 0..self.connections.len() {
            self.gone(slot);
        }
        self.core.count();
    }
}

impl Core {
    /// Takes what was read behind what was left from the last read, message by message.
    fn take(&mut self, connection: &mut Connection, read: &mut [u8]) -> Result<(), Ending> {
        self.hub.heard(connection.id, self.now);
        let mut joined = std::mem::take(&mut connection.partial);
        let buffer = if joined.is_empty() {
            read
        } else {
            joined.extend_from_slice(read);
            &mut joined
        };
        let mut at = 0;
        let taken = self.messages(connection, buffer, &mut at);
        // A new vector: the memory that is kept fits what is kept, and there is none for an idle socket.
        connection.partial = buffer[at..].to_vec();
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
        if heed == Heed::Nothing {
            *at = buffer.len();
            return Ok(());
        }
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
                frame::Message::Close { code, reason } => Err(Ending::Closed { code, reason: reason.into() }),
                _ if heed == Heed::Close => Ok(()),
                frame::Message::Text(text) => self.message(connection, &text, true),
                frame::Message::Binary(text) => self.message(connection, &text, false),
                frame::Message::Ping(payload) => {
                    self.hub.send(connection.id, frame::pong(payload).into());
                    Ok(())
                }
                frame::Message::Pong(_) => Ok(()),
            };
            if taken.is_err() {
                break taken;
            }
        };
        connection.decoder = decoder;
        ended
    }

    fn message(&mut self, connection: &Connection, bytes: &[u8], is_text: bool) -> Result<(), Ending> {
        let refusal = match check::parts(bytes, &self.shared.limits.message) {
            Ok(parts) => match self.hub.receive(connection.id, &parts) {
                Ok(Asked::Done) => return Ok(()),
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
        tracing::debug!(link = %connection.id, reason = refusal.name(), "bad input");
        let too_many = self.hub.refused(connection.id, self.now);
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
        let (event_type, id) = topic.split_once(':').unwrap_or((topic, ""));
        match self.authorise(connection, Action::Subscribe, event_type, id) {
            Ok(()) => self.hub.subscribe(connection.id, topic),
            Err(reason) => self.hub.deny(connection.id, topic, Action::Subscribe, reason),
        }
    }

    fn publish(&mut self, connection: &Connection, parts: &Parts<'_>) {
        if let Err(reason) = self.authorise(connection, Action::Publish, &parts.event_type, &parts.id) {
            return with_topic(&parts.event_type, &parts.id, |topic| {
                self.hub.deny(connection.id, topic, Action::Publish, reason);
            });
        }
        with_topic(&parts.event_type, &parts.id, |topic| {
            let spoke = connection.spoke.as_ref();
            if let Some(spoke) = spoke {
                spoke.received.fetch_add(1, Relaxed);
            }
            let spoke = spoke.filter(|spoke| spoke.listeners.is_heard(topic));
            if spoke.is_some() || self.shared.listeners.is_heard(topic) {
                // The scratch buffer is used again for the next read: what listeners keep must be theirs.
                let text = ByteString::from(parts.text);
                let envelope = EventEnvelope::checked(&text, parts, Some(connection.id));
                if let Some(spoke) = spoke {
                    spoke.listeners.dispatch(&envelope);
                }
                self.shared.listeners.dispatch(&envelope);
            }
            if self.relay {
                self.hub.fan_out(topic, || Frame::text(parts.text));
            }
        });
    }

    /// Passes an event of the program's own on.
    fn dispatch(&mut self, event: &EventEnvelope, to: Option<LinkId>) {
        // It was written when it was taken; a failure would have been the publisher's.
        let Ok(text) = event.text() else { return };
        match to {
            Some(link) => self.hub.send(link, Frame::text(text)),
            None => {
                self.hub.fan_out(event.topic().as_str(), || Frame::text(text));
            }
        }
    }

    fn authorise(
        &self,
        connection: &Connection,
        action: Action,
        event_type: &str,
        id: &str,
    ) -> Result<(), DenyReason> {
        let (Some(hooks), Some(spoke)) = (&self.hooks, &connection.spoke) else {
            return Ok(());
        };
        let asked = catch_unwind(AssertUnwindSafe(|| hooks.authorise(spoke, action, event_type, id)));
        asked.unwrap_or_else(|panic| {
            self.hook_panicked(&*panic);
            Err(DenyReason::NotAllowed)
        })
    }

    fn hook(&self, call: impl FnOnce(&dyn HubHooks)) {
        if let Some(hooks) = &self.hooks
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&**hooks)))
        {
            self.hook_panicked(&*panic);
        }
    }

    #[cold]
    fn hook_panicked(&self, panic: &(dyn std::any::Any + Send)) {
        let message = panic_message(panic).into();
        let error = TargetError::ListenerPanicked { name: "hook".into(), message };
        self.shared.listeners.notify_named(&Notice::Error(error));
    }

    fn disconnected(&self, spoke: &Arc<Spoke>, reason: CloseReason) {
        self.hook(|hooks| hooks.disconnected(spoke, &reason));
        spoke.listeners.close(reason);
        spoke.ended.wake_all();
    }

    fn count(&self) {
        let mut stats = Stats { too_slow: self.too_slow, ..Stats::default() };
        self.hub.count(&mut stats);
        self.shared.publish_stats(stats);
    }
}

fn offence(violation: Violation) -> Ending {
    Ending::Offence { code: violation.close_code(), reason: violation.to_string(), heed: Heed::Nothing }
}

impl Future for Shard {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shard = self.get_mut();
        let reason = ready!(shard.round(context));
        shard.core.shared.end(reason);
        Poll::Ready(())
    }
}

impl Drop for Shard {
    /// Also when the task is aborted, nobody is left waiting.
    fn drop(&mut self) {
        self.drop_all();
        self.core.shared.end(CloseReason::Closed);
    }
}
