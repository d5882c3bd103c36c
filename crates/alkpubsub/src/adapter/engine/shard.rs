//! The task that serves all connections of a hub.
//!
//! One round: take the program's orders, read every socket that became ready and hand what came to the sans-IO
//! hub, then write, once for each socket, all that this made it send. Between rounds the task sleeps; no
//! connection has a task, a lock or a buffer of its own.

mod endings;
mod newcomers;

use super::connection::{Connection, Heed, State};
use super::frame::Frame;
use super::framing::Framing;
use super::intake::Intake;
use super::io::{Io, Lent, Socket};
#[cfg(unix)]
use super::io::{Poller, Ready};
use super::options::HubOptions;
use super::orders::{Arrived, Command, NewConnection};
use super::shared::Shared;
use super::spoke::Spoke;
use crate::adapter::peer_closed::PeerClosed;
use crate::event_target::{CloseReason, LinkId};
use crate::protocol::drain::Drain;
use crate::protocol::hub::Silence;
use newcomers::{Newcomers, newcomer};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

/// The buffer that all sockets of a shard are read into, one after the other, and written from.
const SCRATCH: usize = 64 * 1024;
/// Reads of one socket in a round; one that has more comes again in the next.
const READS_PER_ROUND: usize = 4;
/// Sockets whose peer has left that are looked at in a round: when thousands leave at once, nobody else waits for all
/// of them to be closed.
const ENDS_PER_ROUND: usize = 32;
/// Places that the lists of a round keep when they are empty.
const LISTS: usize = 64;
/// How long the task goes on with round after round before the runtime's other tasks have their turn.
const SLICE: Duration = Duration::from_millis(1);
/// How often the hub looks for silent peers and for what has lasted too long.
const TICK: Duration = Duration::from_secs(1);

/// What a new connection's bytes go by.
enum Opened {
    Lent(Box<dyn Socket>),
    /// To be told of by another name from here on.
    Named(Io),
}

/// The task, as a future that ends when the hub was shut down.
pub(super) struct Shard {
    connections: Vec<Option<Connection>>,
    newcomers: Newcomers,
    /// The byte streams of which no first message came yet, or not by the last look, and how long each may take.
    unopened: VecDeque<(Duration, LinkId)>,
    intake: Intake,
    /// Made while there are descriptors: the first connections may come when there are none left. Where it cannot be had,
    /// with the first plain socket.
    #[cfg(unix)]
    poller: Option<Poller>,
    scratch: Box<[u8]>,
    started: Instant,
    tick: Interval,
    /// How many events of the program's were taken, and how many of them the sockets were offered.
    obeyed: u64,
    written: u64,
    /// When the hub ends whatever is left, once it was told to shut down.
    ending: Option<Duration>,
    /// Whether no connection was left then.
    emptied: bool,
    /// Who is still to be told to close then, and the timer for the next.
    drain: Option<(Drain<LinkId>, Pin<Box<Sleep>>)>,
    // Lists that are filled and emptied each round; kept for their memory.
    commands: VecDeque<Command>,
    /// Plain sockets of which there is something to tell.
    #[cfg(unix)]
    told: Vec<Ready>,
    /// Tokens of sockets that woke the task, or that have another turn.
    ready: Vec<usize>,
    /// Those that have another turn in the next round.
    again: Vec<usize>,
    /// Those that are not read until the other shards have room for what they say.
    stalled: Vec<usize>,
    /// Those that are not read until they have the answer that they wait for.
    deferring: Vec<usize>,
    /// Those whose peers have left.
    parting: VecDeque<usize>,
    dirty: Vec<LinkId>,
    /// Whether the next round has something to do already.
    busy: bool,
}

impl Shard {
    /// Number `shard` of the hub's shards, on the current runtime. `home` is the program's, where that is another one.
    pub(super) fn new(
        shared: Arc<Shared>,
        shard: u8,
        home: Option<tokio::runtime::Handle>,
        options: &HubOptions,
    ) -> Self {
        // The two lists of those who are ready change places in each round.
        shared.orders(shard).ready.take(&mut Vec::with_capacity(LISTS));
        let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            connections: Vec::new(),
            newcomers: Newcomers::default(),
            unopened: VecDeque::new(),
            intake: Intake::new(shared, shard, home, options),
            #[cfg(unix)]
            poller: Poller::new().ok(),
            scratch: vec![0; SCRATCH].into(),
            started: Instant::now(),
            tick,
            obeyed: 0,
            written: 0,
            ending: None,
            emptied: false,
            drain: None,
            commands: VecDeque::with_capacity(LISTS),
            #[cfg(unix)]
            told: Vec::with_capacity(LISTS),
            ready: Vec::with_capacity(LISTS),
            again: Vec::with_capacity(LISTS),
            stalled: Vec::new(),
            deferring: Vec::new(),
            parting: VecDeque::with_capacity(LISTS),
            dirty: Vec::with_capacity(LISTS),
            busy: false,
        }
    }

    /// `Ready` when the hub has ended; else whether there is more to do at once.
    fn round(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.intake.shared.orders(self.intake.shard).ready.register(context.waker());
        self.intake.now = self.started.elapsed();
        self.obey();
        self.intake.poll_broker(context);
        self.hear_others();
        self.serve_ready(context);
        // What was read may be more than it has room for; it is asked to say when it has.
        self.busy |= self.intake.poll_broker(context);
        // Listeners and hooks may have given orders since: they belong to this round.
        self.obey();
        // After the reading: a peer whose answer came while the task was held up is not dead.
        while self.tick.poll_tick(context).is_ready() {
            self.look_around();
        }
        self.end_late_newcomers(context);
        self.close_due(context);
        self.write_dirty();
        self.intake.count();
        if std::mem::replace(&mut self.written, self.obeyed) != self.obeyed {
            self.intake.shared.wrote(self.intake.shard, self.obeyed);
        }
        if self.ending.is_some() && !self.emptied && self.intake.hub.is_empty() {
            self.emptied = true;
            self.intake.shared.emptied();
        }
        if let Some(until) = self.ending
            && (self.intake.now >= until || (self.intake.shared.is_empty() && !self.intake.owes_broker()))
        {
            if !self.intake.hub.is_empty() {
                tracing::warn!(links = self.intake.hub.len(), "dropped: the time to shut down is over");
            }
            self.drop_all();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Serves the sockets of which there is something to tell: each once, those that end after the others.
    fn serve_ready(&mut self, #[cfg_attr(not(unix), expect(unused))] context: &mut Context<'_>) {
        let mut ready = std::mem::take(&mut self.ready);
        self.intake.shared.orders(self.intake.shard).ready.take(&mut ready);
        // One that has another turn anyway is passed over until then.
        let woken = ready.len();
        ready.append(&mut self.again);
        for (at, token) in ready.drain(..).enumerate() {
            if at >= woken {
                self.takes_turn(token);
            }
            match newcomer(token) {
                Ok(key) => self.serve_newcomer(key),
                Err(slot) => self.guarded(Some(slot), |shard| shard.serve(slot)),
            }
        }
        self.ready = ready;
        #[cfg(unix)]
        if let Some(poller) = &mut self.poller {
            let mut told = std::mem::take(&mut self.told);
            poller.take(context, &mut told);
            self.busy = !told.is_empty();
            for ready in told.drain(..) {
                self.tell(ready);
            }
            self.told = told;
        }
        for _ in 0..ENDS_PER_ROUND {
            let Some(token) = self.parting.pop_front() else { break };
            match newcomer(token) {
                Ok(key) => self.serve_newcomer(key),
                Err(slot) => self.guarded(Some(slot), |shard| shard.serve(slot)),
            }
        }
        self.busy |= !self.again.is_empty() || !self.parting.is_empty();
    }

    /// Serves a plain socket, or puts that off.
    #[cfg(unix)]
    fn tell(&mut self, ready: Ready) {
        let token = ready.token;
        let place = newcomer(token);
        let io = match place {
            Ok(key) => self.newcomers.io(key),
            Err(slot) => self.connections.get_mut(slot).and_then(Option::as_mut).map(|found| &mut found.io),
        };
        // It may have been closed in this round, after it was told of.
        let Some(Io::Plain(plain)) = io else { return };
        plain.told(ready);
        match place {
            _ if ready.ends => self.parting.push_back(token),
            Ok(key) => self.serve_newcomer(key),
            Err(slot) => self.guarded(Some(slot), |shard| shard.serve(slot)),
        }
    }

    /// Carries out the orders that the program has given; those that come meanwhile wake the task again.
    fn obey(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        let was_full;
        (self.obeyed, was_full) = self.intake.shared.orders(self.intake.shard).take(&mut commands);
        if was_full {
            self.intake.shared.waiters.wake_all();
        }
        for command in commands.drain(..) {
            let slot = match &command {
                Command::Close { link, .. } | Command::Remove { link, .. } => Some(link.slot()),
                _ => None,
            };
            self.guarded(slot, |shard| shard.carry_out(command));
            self.relieve();
        }
        self.commands = commands;
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Arrive(arrival, opening) => self.arrive(arrival, opening),
            Command::Connect(connection) => self.connect(connection),
            Command::Dispatch { event, to } => self.intake.dispatch(event, to),
            Command::Deliver(crossed) => self.intake.deliver(crossed),
            Command::Close { link, code, reason } => {
                // Who leaves in peace may finish what it says; who lost its rights may not.
                let heed = if matches!(code, 1000 | 1001) { Heed::Events } else { Heed::Close };
                self.close(link, CloseReason::Refused { code, reason }, false, heed);
            }
            // Who gave up waiting would let the socket, and with it the connection, fall.
            Command::Remove { reply, .. } if reply.is_closed() => {}
            Command::Remove { link, reply } => drop(reply.send(self.release(link))),
            Command::Hear(from_broker) => {
                if self.intake.hear_broker(from_broker) {
                    self.again.append(&mut self.deferring);
                }
            }
            Command::Shutdown { within, window } => self.shut_down(within, window),
            Command::Stop => {
                self.drop_all();
                self.shut_down(Duration::ZERO, Duration::ZERO);
            }
        }
    }

    /// What there is to do because of other shards, beside the sockets.
    fn hear_others(&mut self) {
        self.intake.share_totals();
        self.intake.hear_others();
        self.relieve();
        self.intake.look_for_room();
        if !self.intake.is_held_up() {
            self.again.append(&mut self.stalled);
        }
    }

    /// Gives a connection another turn in the next round.
    fn come_again(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut)
            && !std::mem::replace(&mut connection.again, true)
        {
            self.again.push(slot);
        }
    }

    /// One of those that have another turn has it now.
    fn takes_turn(&mut self, token: usize) {
        match newcomer(token) {
            Ok(key) => self.newcomers.takes_turn(key),
            Err(slot) => {
                if let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) {
                    connection.again = false;
                }
            }
        }
    }

    /// In the middle of a round, a link that has too much waiting gets its write: a fast reader is never closed for
    /// what a single round brought it. And what all have begun to send takes no more memory than it may.
    fn relieve(&mut self) {
        if self.intake.hub.take_overfull() {
            self.write_dirty();
        }
        while let Some(id) = self.intake.hub.fullest_over_total() {
            self.guarded(Some(id.slot()), |shard| shard.unfinished(id));
        }
    }

    fn connect(&mut self, new: NewConnection) {
        let NewConnection { socket, framing, identity, reply } = new;
        let opened = match socket {
            Arrived::Lent(socket) => Opened::Lent(socket),
            #[cfg(all(unix, feature = "unix-socket"))]
            Arrived::Plain(plain) => Opened::Named(Io::Plain(plain)),
        };
        self.open(opened, framing, identity, None, &mut [], reply);
    }

    /// Takes a connection into the hub. `greeting` is sent first; `received` came behind its handshake.
    fn open(
        &mut self,
        opened: Opened,
        framing: Framing,
        identity: Option<Arc<str>>,
        greeting: Option<Frame>,
        received: &mut [u8],
        reply: Option<oneshot::Sender<Arc<Spoke>>>,
    ) {
        let Some(id) = self.intake.hub.connect_framed(framing, identity.clone(), self.intake.now) else {
            // It had a place among the connections, so that there is room for it.
            debug_assert!(false, "who has a place reserved finds one");
            self.intake.shared.left(self.intake.shard);
            return;
        };
        let slot = id.slot();
        let (io, named) = match opened {
            Opened::Lent(socket) => (self.lent(socket, slot), Ok(())),
            Opened::Named(io) => self.rename(io, slot),
        };
        let mut connection = Connection::new(id, framing, io, greeting);
        let awaited = !connection.opened;
        let mut welcome = true;
        if self.intake.hooks.is_some() || reply.is_some() {
            let spoke = Arc::new(Spoke::new(id, identity, self.intake.shared.clone()));
            connection.spoke = Some(spoke.clone());
            welcome = self.intake.hook(|hooks| hooks.connected(&spoke));
            if let Some(reply) = reply {
                // Who asked may have gone away meanwhile; the connection stays.
                let _ = reply.send(spoke);
            }
        }
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        self.connections[slot] = Some(connection);
        if awaited {
            self.await_opening(id);
        }
        match named {
            Ok(()) => self.guarded(Some(slot), |shard| shard.welcome(id, welcome, received)),
            // Nobody would tell what becomes of it.
            Err(error) => self.lost(slot, error.to_string()),
        }
    }

    fn lent(&self, socket: Box<dyn Socket>, token: usize) -> Io {
        Io::Lent(Box::new(Lent::new(
            socket,
            token,
            self.intake.shared.orders(self.intake.shard).ready.clone(),
        )))
    }

    /// A new connection's first turn; `received` came behind its handshake.
    fn welcome(&mut self, id: LinkId, welcome: bool, received: &mut [u8]) {
        if !welcome {
            // The program may have meant to turn it away.
            self.fail(id);
        }
        let Some(connection) = self.connections[id.slot()].as_mut() else { return };
        self.intake.hear_others();
        if let Err(ending) = self.intake.take(connection, received) {
            self.end(id.slot(), ending);
        }
        // It is read in its turn, where orders may be obeyed between two reads: not here, within one.
        self.come_again(id.slot());
        self.write(id.slot());
    }

    fn serve(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        match &mut connection.io {
            #[cfg(unix)]
            Io::Plain(_) => {}
            Io::Lent(lent) => lent.woken(),
        }
        self.read(slot);
        self.write(slot);
    }

    /// Reads a socket until it has no more, or its turn is over.
    fn read(&mut self, slot: usize) {
        for _ in 0..READS_PER_ROUND {
            let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
                return;
            };
            if connection.again {
                return;
            }
            if self.intake.is_held_up() {
                connection.again = true;
                return self.stalled.push(slot);
            }
            if self.intake.hub.is_deferring(connection.id) {
                connection.again = true;
                return self.deferring.push(slot);
            }
            let read = match connection.io.poll_read(&mut self.scratch) {
                Poll::Pending => return,
                // After a goodbye it takes nothing from what waits for the peer.
                Poll::Ready(Ok(0)) if connection.ends_in_order(&mut self.intake.hub) => return,
                Poll::Ready(Ok(0)) => {
                    let cut = connection.cut();
                    return self.lost(slot, cut);
                }
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => return self.over(slot, PeerClosed::reason(&error)),
            };
            self.intake.hear_others();
            if let Err(ending) = self.intake.take(connection, &mut self.scratch[..read]) {
                // Read on, for the peer's close or the end: a socket that was not read empty wakes nobody again.
                self.end(slot, ending);
            }
            // What listeners gave in answer to one read fits the queue of orders; of a whole round it might not.
            self.obey();
            self.relieve();
        }
        self.come_again(slot);
    }

    /// Writes what waits for a socket. At the end of a closing connection, ends it.
    fn write(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let id = connection.id;
        // Whoever reads that it is subscribed, or an event, may publish because of it.
        if self.intake.hub.waiting(id).is_some_and(|waiting| !waiting.is_empty()) {
            self.intake.tell_others();
        }
        let written = match connection.poll_write(&mut self.intake.hub, &mut self.scratch) {
            Poll::Ready(Ok(())) => connection.io.poll_flush(),
            other => other,
        };
        match (written, &connection.state) {
            (Poll::Ready(Err(error)), _) => self.over(slot, PeerClosed::reason(&error)),
            (Poll::Ready(Ok(())), State::Closing(closing)) if closing.answered => {
                // The server ends the stream first (RFC 6455, section 7.1.1); the rest is the peer's.
                let _ = connection.io.poll_shutdown();
                self.gone(slot);
            }
            (Poll::Ready(Ok(())), State::Closing(closing))
                if closing.heed == Heed::Nothing || connection.framing == Framing::LengthPrefix =>
            {
                // Behind `__close` nothing follows. Of a WebSocket: the peer's answer cannot be read any more, and the peer waits for the server to end the stream. Its
                // own end is waited for: with something unread, the socket's end would be a reset, which may take the
                // close frame from the peer.
                let _ = connection.io.poll_shutdown();
            }
            (Poll::Pending, State::Open) if self.intake.hub.is_too_slow(id) => self.too_slow(id),
            _ => {}
        }
    }

    fn write_dirty(&mut self) {
        self.intake.tell_others();
        while self.intake.hub.is_dirty() {
            let mut dirty = std::mem::take(&mut self.dirty);
            self.intake.hub.take_dirty(&mut dirty);
            for id in dirty.drain(..) {
                self.guarded(Some(id.slot()), |shard| shard.write(id.slot()));
            }
            self.dirty = dirty;
        }
        loop {
            self.intake.share_totals();
            let Some(id) = self.intake.hub.slowest_over_total() else { break };
            self.guarded(Some(id.slot()), |shard| shard.too_slow(id));
        }
    }

    /// Once a tick: silent peers, and closes that were not answered.
    fn look_around(&mut self) {
        // Of those that are not read, nobody can tell whether they have answered.
        if !self.intake.is_held_up() {
            self.end_silent();
            self.end_unopened();
        }
        for slot in 0..self.connections.len() {
            if let Some(Connection { state: State::Closing(closing), .. }) = &self.connections[slot]
                && self.intake.now >= closing.until
            {
                self.guarded(Some(slot), |shard| {
                    shard.reset_unread(slot);
                    shard.gone(slot);
                });
            }
        }
        self.intake.log_refusals();
        self.give_back();
        self.look_in_time();
    }

    /// A byte stream came, of which no first message has come.
    fn await_opening(&mut self, id: LinkId) {
        let until = self.intake.now.saturating_add(self.intake.shared.handshake_timeout);
        // Those that have spoken are forgotten as soon as they head the list: it is short where many come.
        let Self { connections, unopened, .. } = self;
        while unopened.pop_front_if(|(_, id)| !is_unopened(connections, *id)).is_some() {}
        unopened.push_back((until, id));
    }

    /// Gives up the byte streams of which no first message came in time, and forgets those that have spoken or are gone:
    /// the time may be long, and they may be many by then.
    fn end_unopened(&mut self) {
        let Self { connections, unopened, .. } = self;
        unopened.retain(|(_, id)| is_unopened(connections, *id));
        while let Some((_, id)) = self.unopened.pop_front_if(|(until, _)| self.intake.now >= *until) {
            let error = "no message came within the time of a handshake".to_owned();
            self.guarded(Some(id.slot()), |shard| shard.lost(id.slot(), error));
        }
    }

    /// Pings those that were silent for a while, and gives up those that did not answer.
    fn end_silent(&mut self) {
        let mut dead = Vec::new();
        let mut ping = Vec::new();
        self.intake.hub.silent(self.intake.now, |id, silence| match silence {
            Silence::Ping => ping.push(id),
            _ => dead.push(id),
        });
        for id in ping {
            self.intake.hub.send(id, Frame::ping());
        }
        for id in dead {
            let error = match self.framing_of(id) {
                Some(Framing::LengthPrefix) => "the peer was silent for too long; it has to ping",
                _ => "the peer did not answer a ping",
            };
            let error = error.to_owned();
            self.guarded(Some(id.slot()), |shard| {
                shard.reset_unread(id.slot());
                shard.lost(id.slot(), error);
            });
        }
    }

    fn framing_of(&self, id: LinkId) -> Option<Framing> {
        self.connections[id.slot()].as_ref().map(|connection| connection.framing)
    }

    /// Gives the memory back that many at once have called for.
    fn give_back(&mut self) {
        self.newcomers.give_back(LISTS);
        self.unopened.shrink_to(LISTS);
        self.parting.shrink_to(LISTS);
        self.again.shrink_to(LISTS);
        self.ready.shrink_to(LISTS);
        self.dirty.shrink_to(LISTS);
        self.intake.give_back(LISTS);
        self.stalled.shrink_to(LISTS);
        self.deferring.shrink_to(LISTS);
        self.commands.shrink_to(LISTS);
        #[cfg(unix)]
        self.told.shrink_to(LISTS);
    }

    fn shut_down(&mut self, within: Duration, window: Duration) {
        // Patience may be as long as a duration can be, and a second order may shorten it.
        let until = self.intake.now.saturating_add(within);
        self.ending = Some(self.ending.map_or(until, |known| known.min(until)));
        self.look_in_time();
        if let Some((drain, _)) = &mut self.drain {
            return drain.hurry(self.intake.now, window);
        }
        self.intake.hub.drain();
        let links = self.intake.hub.links().collect();
        let drain = Drain::one_of(self.intake.shared.shards(), links, self.intake.now, window);
        self.drain = Some((drain, Box::pin(tokio::time::sleep_until(self.started))));
    }

    /// A shutdown may be over before the next tick.
    fn look_in_time(&mut self) {
        let Some(until) = self.ending else { return };
        let left = until.saturating_sub(self.started.elapsed());
        if left < TICK && !left.is_zero() {
            self.tick.reset_after(left);
        }
    }

    /// Closes those whose turn it is in a shutdown, and sees to it that the task wakes for the next.
    fn close_due(&mut self, context: &mut Context<'_>) {
        let Some((mut drain, mut timer)) = self.drain.take() else {
            return;
        };
        let told = loop {
            for id in drain.due(self.intake.now) {
                let reason = CloseReason::Refused { code: 1001, reason: "the hub shuts down".into() };
                let id = *id;
                self.guarded(Some(id.slot()), |shard| shard.close(id, reason, false, Heed::Events));
            }
            let Some(at) = drain.next_at() else { break true };
            // A time beyond what the clock can tell does not come.
            let Some(at) = self.started.checked_add(at) else { break false };
            timer.as_mut().reset(at);
            if timer.as_mut().poll(context).is_pending() {
                break false;
            }
            self.intake.now = self.started.elapsed();
        };
        if told {
            self.intake.shared.all_told(self.intake.shard);
        }
        self.drain = Some((drain, timer));
    }
}

/// Whether a connection is there that has said nothing yet.
fn is_unopened(connections: &[Option<Connection>], id: LinkId) -> bool {
    let found = connections.get(id.slot()).and_then(Option::as_ref);
    found.is_some_and(|connection| connection.id == id && !connection.opened)
}

impl Future for Shard {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shard = self.get_mut();
        let began = shard.started.elapsed();
        loop {
            shard.busy = false;
            match shard.round(context) {
                Poll::Ready(()) => break,
                Poll::Pending if !shard.busy => return Poll::Pending,
                Poll::Pending => {}
            }
            if shard.started.elapsed().saturating_sub(began) >= SLICE {
                // Behind what the runtime has to hear from the system: a task that wakes itself is polled 61 times
                // before that, and new connections and timers would wait for as many slices.
                let mut others = std::pin::pin!(tokio::task::yield_now());
                if others.as_mut().poll(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        shard.intake.shared.end(shard.intake.shard);
        Poll::Ready(())
    }
}

impl Drop for Shard {
    /// Also when the task is aborted, nobody is left waiting.
    fn drop(&mut self) {
        self.drop_all();
        self.intake.shared.end(self.intake.shard);
    }
}
