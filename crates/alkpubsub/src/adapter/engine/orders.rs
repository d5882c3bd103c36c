//! What the program asks of a shard, until the shard takes it.

use super::crossing::Crossed;
use super::frame::Frame;
use super::framing::Framing;
#[cfg(all(unix, feature = "unix-socket"))]
use super::handle::AddConnectionError;
#[cfg(unix)]
use super::io::Plain;
use super::io::Socket;
use super::opening::Opening;
use super::spoke::Spoke;
use super::wake::ReadyList;
use crate::adapter::broker::BrokerNews;
use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, DispatchError, LinkId};
use crate::stats::Stats;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Events of the program's own that may wait until a shard takes them. It does so once a round.
const MAX_WAITING: usize = 4096;
/// Bytes of them.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// Events from a broker that may wait until a shard takes them: as many as may wait before, at the client of Redis.
const MAX_FROM_BROKER: usize = 65_536;
/// Bytes of them.
const MAX_FROM_BROKER_BYTES: usize = 32 << 20;

/// What the task is asked to do, in order.
pub(super) enum Command {
    /// A socket whose handshake has not begun.
    Arrive(Arrival, Box<dyn Opening>),
    Connect(NewConnection),
    /// An event for all who subscribed, or for one connection.
    Dispatch {
        event: EventEnvelope,
        to: Option<LinkId>,
    },
    /// An event for all here who subscribed, framed for all shards at once.
    Deliver(Crossed<Frame>),
    Close {
        link: LinkId,
        code: u16,
        reason: Arc<str>,
    },
    Remove {
        link: LinkId,
        reply: oneshot::Sender<Option<Box<dyn Socket>>>,
    },
    Shutdown {
        within: Duration,
        /// Over which the closes are spread.
        window: Duration,
    },
    /// What the broker has for this shard.
    Hear(FromBroker),
    /// To end at once, with all that there is.
    Stop,
}

/// What a broker has for a shard of a hub behind it, in the order in which it came.
pub(super) enum FromBroker {
    Event(EventEnvelope),
    News(BrokerNews),
    /// Here are events missing for which there was no room.
    Missing,
}

/// A listener's new socket.
#[cfg(unix)]
pub(crate) struct Arrival(pub(crate) Plain);
#[cfg(all(unix, feature = "unix-socket"))]
impl Arrival {
    /// Says why a byte stream is not taken, and ends it. A socket that is new takes that at once.
    pub(crate) fn turn_away(self, error: &AddConnectionError) {
        let code = match error {
            AddConnectionError::Full { .. } => 1013,
            AddConnectionError::Closed => 1001,
        };
        self.0.say_and_end(&Framing::LengthPrefix.close(Some(code), &error.to_string()));
    }
}

/// A listener's new socket.
#[cfg(not(unix))]
pub(crate) struct Arrival(pub(crate) Box<dyn Socket>);

/// What a connection comes with.
pub(super) enum Arrived {
    Lent(Box<dyn Socket>),
    #[cfg(all(unix, feature = "unix-socket"))]
    Plain(Plain),
}

/// A connection whose handshake is done.
pub(super) struct NewConnection {
    pub(super) socket: Arrived,
    pub(super) framing: Framing,
    pub(super) identity: Option<Arc<str>>,
    /// `None` where nobody waits for the spoke.
    pub(super) reply: Option<oneshot::Sender<Arc<Spoke>>>,
}

/// The orders of one shard, and what it reports.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) ready: Arc<ReadyList>,
    commands: Mutex<Commands>,
    /// The shard's counters as of its last round.
    counted: Mutex<Stats>,
}

#[derive(Default)]
pub(super) struct Commands {
    queue: VecDeque<Command>,
    /// Events among them, and their bytes.
    events: usize,
    bytes: usize,
    /// Events ever queued here, and those of them whose round is over.
    pub(super) queued: u64,
    written: u64,
    /// The hub was told to shut down: it takes no connection any more.
    draining: bool,
    /// Events from the broker, their bytes, and those there was no room for. The word that some are missing waits already.
    brokered: usize,
    brokered_bytes: usize,
    missed: u64,
    told_missing: bool,
    /// Every connection was told to close: what comes behind that would reach nobody.
    all_told: bool,
    /// The shard has ended: nobody takes commands any more.
    ended: bool,
}

impl Orders {
    pub(super) fn commands(&self) -> MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the shard an order; `false` where it has ended.
    pub(super) fn order(&self, command: Command) -> bool {
        {
            let mut commands = self.commands();
            if commands.ended {
                return false;
            }
            commands.queue.push_back(command);
        }
        self.ready.wake();
        true
    }

    /// Queues an event, if `others` can be queued too, which is asked while no other event comes between.
    pub(super) fn queue(
        &self,
        event: Command,
        bytes: usize,
        others: impl FnOnce() -> Result<(), DispatchError>,
    ) -> Result<(), DispatchError> {
        {
            let mut commands = self.commands();
            if !commands.takes_events() {
                return Err(DispatchError::Closed(CloseReason::Closed));
            }
            if !commands.has_room() {
                return Err(DispatchError::Full);
            }
            others()?;
            commands.push_event(event, bytes);
        }
        self.ready.wake();
        Ok(())
    }

    /// Queues what the broker has for the shard. Of events there is a bound: what is beyond is missing.
    pub(super) fn hear(&self, from_broker: FromBroker) {
        {
            let mut commands = self.commands();
            if commands.ended {
                return;
            }
            let from_broker = match from_broker {
                FromBroker::Event(event) => match commands.admit(event) {
                    Some(from_broker) => from_broker,
                    None => return,
                },
                other => other,
            };
            commands.queue.push_back(Command::Hear(from_broker));
        }
        self.ready.wake();
    }

    /// Events from the broker there was no room for.
    pub(super) fn missed(&self) -> u64 {
        self.commands().missed
    }

    /// Hands a connection to the shard, or gives it back where the hub takes none any more.
    pub(super) fn connect(&self, connection: NewConnection) -> Result<(), NewConnection> {
        {
            let mut commands = self.commands();
            // Looked at under the lock: so no connection comes behind the order to shut down.
            if commands.is_draining() {
                return Err(connection);
            }
            commands.queue.push_back(Command::Connect(connection));
        }
        self.ready.wake();
        Ok(())
    }

    pub(super) fn shut_down(&self, within: Duration, window: Duration) {
        self.commands().draining = true;
        self.order(Command::Shutdown { within, window });
    }

    /// Takes all commands; `into` is empty and gives its memory for the next ones. Gives the number of events that
    /// were ever queued, and whether there was no room for another one.
    pub(super) fn take(&self, into: &mut VecDeque<Command>) -> (u64, bool) {
        let mut commands = self.commands();
        std::mem::swap(&mut commands.queue, into);
        let was_full = !commands.has_room();
        (commands.events, commands.bytes) = (0, 0);
        (commands.brokered, commands.brokered_bytes, commands.told_missing) = (0, 0, false);
        (commands.queued, was_full)
    }

    /// A round is over: all events queued up to this number were written, as far as the sockets took them.
    pub(super) fn wrote(&self, queued: u64) {
        self.commands().written = queued;
    }

    /// From here on no event is taken.
    pub(super) fn all_told(&self) {
        self.commands().all_told = true;
    }

    /// The shard has ended.
    pub(super) fn end(&self) {
        let left = {
            let mut commands = self.commands();
            commands.ended = true;
            std::mem::take(&mut commands.queue)
        };
        drop(left);
    }

    pub(super) fn publish_stats(&self, stats: Stats) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    pub(super) fn stats(&self) -> Stats {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commands {
    pub(super) fn has_room(&self) -> bool {
        self.events < MAX_WAITING && self.bytes < MAX_WAITING_BYTES
    }

    /// What is to be queued of an event of the broker's: it, or the word that one is missing, once.
    fn admit(&mut self, event: EventEnvelope) -> Option<FromBroker> {
        if self.brokered < MAX_FROM_BROKER && self.brokered_bytes < MAX_FROM_BROKER_BYTES {
            self.brokered += 1;
            self.brokered_bytes += event.text().map_or(0, |text| text.len());
            // Behind one that had room, what is missing is so in another place.
            self.told_missing = false;
            return Some(FromBroker::Event(event));
        }
        self.missed += 1;
        (!std::mem::replace(&mut self.told_missing, true)).then_some(FromBroker::Missing)
    }

    fn push_event(&mut self, event: Command, bytes: usize) {
        self.events += 1;
        self.queued += 1;
        self.bytes += bytes;
        self.queue.push_back(event);
    }

    /// Whether an event would still reach anybody.
    pub(super) fn takes_events(&self) -> bool {
        !self.all_told && !self.ended
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining || self.ended
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the round of all events up to this number is over, or none comes any more.
    pub(super) fn has_written(&self, queued: u64) -> bool {
        self.written >= queued || self.ended
    }
}
