//! Connections that are not in the hub yet: their requests are read, answered, and let in or not.

use super::super::frame::Frame;
use super::super::framing::Framing;
use super::super::io::Io;
#[cfg(not(unix))]
use super::super::io::Lent;
#[cfg(unix)]
use super::super::io::Poller;
use super::super::opening::{Opening, Step};
use super::super::orders::Arrival;
use super::{Opened, READS_PER_ROUND, Shard};
use bytes::{Buf, Bytes};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

/// Set in the token of a socket that is a newcomer's.
const NEWCOMER: usize = 1 << (usize::BITS - 1);

/// The key of the newcomer that a token names; `Err` with the slot, where it is a connection's.
pub(super) fn newcomer(token: usize) -> Result<usize, usize> {
    if token & NEWCOMER == 0 { Err(token) } else { Ok(token & !NEWCOMER) }
}

/// The newcomers of a shard, each for as long as its listener allows.
#[derive(Default)]
pub(super) struct Newcomers {
    slab: Slab<Newcomer>,
    /// When the time of each is over, its key and number, in the order in which they came: all of a listener have the
    /// same time. One that has left stays in it until then.
    deadlines: VecDeque<(Duration, usize, u64)>,
    came: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Newcomer {
    number: u64,
    /// Whether it stands among those that have another turn.
    again: bool,
    io: Io,
    way: Way,
}

/// Which way a newcomer goes.
enum Way {
    In(Box<dyn Opening>),
    Out(Farewell),
}

/// What becomes of one that does not come in.
struct Farewell {
    /// What is left of its answer.
    unsent: Bytes,
    /// Whether it was told to the end. What it sends is still read, until it has read that and leaves: closing with
    /// something unread would take the answer from it.
    told: bool,
    /// Held as long as this takes.
    _turn: OwnedSemaphorePermit,
}

impl Newcomers {
    #[cfg(unix)]
    pub(super) fn io(&mut self, key: usize) -> Option<&mut Io> {
        self.slab.get_mut(key).map(|newcomer| &mut newcomer.io)
    }

    /// Gives the memory back that more than `keep` have called for, if there is nobody.
    pub(super) fn give_back(&mut self, keep: usize) {
        if self.slab.is_empty() && self.slab.capacity() > keep {
            self.slab = Slab::new();
        }
        self.deadlines.shrink_to(keep);
    }

    /// It has its turn now.
    pub(super) fn takes_turn(&mut self, key: usize) {
        if let Some(newcomer) = self.slab.get_mut(key) {
            newcomer.again = false;
        }
    }

    fn remove(&mut self, key: usize) {
        self.slab.remove(key);
    }
}

impl Shard {
    /// Takes a socket whose handshake has not begun.
    pub(super) fn arrive(&mut self, Arrival(socket): Arrival, opening: Box<dyn Opening>) {
        let deadline = self.intake.now.saturating_add(opening.patience());
        self.newcomers.came += 1;
        let number = self.newcomers.came;
        #[cfg(not(unix))]
        let ready = self.intake.shared.orders(self.intake.shard).ready.clone();
        let entry = self.newcomers.slab.vacant_entry();
        let key = entry.key();
        #[cfg(unix)]
        let io = Io::Plain(socket);
        #[cfg(not(unix))]
        let io = Io::Lent(Box::new(Lent::new(socket, key | NEWCOMER, ready)));
        entry.insert(Newcomer { number, again: false, io, way: Way::In(opening) });
        // Its request may be there, and then it needs not be watched under two names.
        self.serve_newcomer(key);
        if !self.newcomers.slab.contains(key) {
            return;
        }
        #[cfg(unix)]
        if let Err(error) = watch(&mut self.poller, &mut self.newcomers.slab[key].io, key | NEWCOMER) {
            tracing::warn!(%error, "a new connection was dropped");
            return self.newcomers.remove(key);
        }
        self.newcomers.deadlines.push_back((deadline, key, number));
    }

    /// Goes by the name of a connection with a socket that was a newcomer's.
    pub(super) fn rename(&mut self, io: Io, slot: usize) -> (Io, io::Result<()>) {
        match io {
            #[cfg(unix)]
            mut io @ Io::Plain(_) => {
                let named = watch(&mut self.poller, &mut io, slot);
                (io, named)
            }
            // It is read at once, and then wakes by its new name.
            Io::Lent(lent) => (self.lent(lent.into_socket(), slot), Ok(())),
        }
    }

    /// Goes on with a newcomer of which there was something to tell.
    pub(super) fn serve_newcomer(&mut self, key: usize) {
        for _ in 0..READS_PER_ROUND {
            // Events may stand right behind a request.
            let Some(Newcomer { again, io, way, .. }) = self.newcomers.slab.get_mut(key) else { return };
            if *again {
                return;
            }
            if self.intake.is_held_up() {
                *again = true;
                return self.stalled.push(key | NEWCOMER);
            }
            let left = match way {
                Way::In(_) => Poll::Ready(Ok(())),
                Way::Out(farewell) => farewell.poll(io),
            };
            let read = match left {
                Poll::Ready(Ok(())) => io.poll_read(&mut self.scratch),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => return,
            };
            let read = match read {
                Poll::Pending => return,
                Poll::Ready(Ok(0) | Err(_)) => return self.newcomers.remove(key),
                Poll::Ready(Ok(read)) => read,
            };
            let Way::In(opening) = way else { continue };
            let step = opening.take(&self.scratch[..read]);
            match step {
                Step::More => {}
                Step::Drop => return self.newcomers.remove(key),
                Step::Answer { response, turn } => {
                    *way = Way::Out(Farewell { unsent: response.into(), told: false, _turn: turn });
                }
                Step::Welcome { place, greeting, mut received } => {
                    let io = self.newcomers.slab.remove(key).io;
                    place.keep();
                    let greeting = Some(Frame::greeting(greeting.into_bytes()));
                    self.open(Opened::Named(io), Framing::WebSocket, None, greeting, &mut received, None);
                    // As after any other read.
                    return self.relieve();
                }
            }
        }
        // It has more to say than one turn takes.
        if let Some(newcomer) = self.newcomers.slab.get_mut(key) {
            newcomer.again = true;
            self.again.push(key | NEWCOMER);
        }
    }

    /// Ends those whose time is over, and sees to it that the task wakes for the next.
    pub(super) fn end_late_newcomers(&mut self, context: &mut Context<'_>) {
        let Newcomers { slab, deadlines, timer, .. } = &mut self.newcomers;
        while let Some(&(deadline, key, number)) = deadlines.front() {
            if slab.get(key).is_some_and(|newcomer| newcomer.number == number) {
                if deadline > self.intake.now {
                    // A deadline beyond what the clock can tell does not come.
                    let Some(at) = self.started.checked_add(deadline) else { return };
                    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                    if timer.deadline() != at {
                        timer.as_mut().reset(at);
                    }
                    if timer.as_mut().poll(context).is_pending() {
                        return;
                    }
                }
                slab.remove(key);
            }
            deadlines.pop_front();
        }
    }
}

/// From now on, a plain socket is told of by this token.
#[cfg(unix)]
fn watch(poller: &mut Option<Poller>, io: &mut Io, token: usize) -> io::Result<()> {
    let Io::Plain(plain) = io else { return Ok(()) };
    let poller = match poller {
        Some(poller) => poller,
        none => none.insert(Poller::new()?),
    };
    poller.watch(plain, token)
}

impl Farewell {
    /// Ready when it was told.
    fn poll(&mut self, io: &mut Io) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(io.poll_write(&self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.unsent.advance(written),
            }
        }
        if !self.told {
            ready!(io.poll_flush())?;
            ready!(io.poll_shutdown())?;
            self.told = true;
        }
        Poll::Ready(Ok(()))
    }
}
