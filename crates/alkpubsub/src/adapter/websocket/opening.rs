//! A connection's way into a hub, without I/O: from its first bytes to the answer that it gets.

use super::handshake::{self, BUSY, CLOSING, Health, MAX_HEAD, Origins, Refused};
use crate::adapter::engine::{Opening, Reserved, Step};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all newcomers of a listener have in common.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) origins: Arc<Origins>,
    /// Whether `/healthz` is answered.
    pub(crate) health: bool,
    /// Turns among those that are answered and do not come in.
    pub(crate) refusals: Arc<Semaphore>,
    /// How long one may take for all of it.
    pub(crate) patience: Duration,
}

/// With what a connection begins its handshake.
#[derive(Debug)]
pub(crate) enum Entry {
    Place(Reserved),
    /// There was none; but a turn among those that are told so.
    Refused(Refused, OwnedSemaphorePermit),
}

/// A connection whose request has not come as a whole.
#[derive(Debug)]
pub(crate) struct Handshake {
    door: Arc<Door>,
    /// Taken with the last step.
    entry: Option<Entry>,
    head: Vec<u8>,
}

impl Opening for Handshake {
    fn shard(&self) -> u8 {
        match &self.entry {
            Some(Entry::Place(place)) => place.shard(),
            _ => 0,
        }
    }

    fn patience(&self) -> Duration {
        self.door.patience
    }

    fn take(&mut self, read: &[u8]) -> Step {
        let before = self.head.len();
        if before > 0 {
            self.head.extend_from_slice(read);
        }
        // Only the end of a line, or of what a head may hold, can bring the reader further, which begins anew each time:
        // of a head that comes byte by byte it would read most bytes thousands of times. With the first bytes it may
        // show that this is no HTTP.
        let tells = before == 0 || self.head.len() >= MAX_HEAD || read.contains(&b'\n');
        let head = std::mem::take(&mut self.head);
        let whole = if before > 0 { &head } else { read };
        let read = if tells { self.read(whole) } else { Read::Partial };
        match read {
            Read::Partial => self.keep(if before > 0 { head } else { whole.to_vec() }),
            Read::Upgrade(greeting, length) => self.welcome(greeting, whole[length..].to_vec()),
            Read::Answer(response) => self.answer(response),
        }
    }
}

impl Handshake {
    pub(crate) fn new(door: Arc<Door>, entry: Entry) -> Self {
        Self { door, entry: Some(entry), head: Vec::new() }
    }

    fn read(&self, whole: &[u8]) -> Read {
        if let Some(health) = self.door.health.then(|| Health::read(whole)).flatten() {
            return Read::Answer(health.response(self.is_draining()));
        }
        let refused = match (handshake::read(whole, &self.door.origins), &self.entry) {
            (Ok(None), _) => return Read::Partial,
            (Ok(Some(_)), Some(Entry::Refused(refused, _))) => *refused,
            (Ok(Some((upgrade, length))), _) => return Read::Upgrade(upgrade.response(), length),
            (Err(refused), _) => refused,
        };
        tracing::debug!(status = refused.status, why = refused.why, "refused");
        Read::Answer(refused.response_to(whole))
    }

    fn is_draining(&self) -> bool {
        match &self.entry {
            Some(Entry::Place(place)) => place.is_draining(),
            Some(Entry::Refused(refused, _)) => *refused == CLOSING,
            None => false,
        }
    }

    fn keep(&mut self, head: Vec<u8>) -> Step {
        if let Some(Entry::Place(place)) = &mut self.entry
            && !place.takes(head.capacity())
        {
            tracing::debug!(status = BUSY.status, why = BUSY.why, "refused");
            return self.answer(BUSY.response_to(&head));
        }
        self.head = head;
        Step::More
    }

    fn welcome(&mut self, greeting: String, received: Vec<u8>) -> Step {
        match self.entry.take() {
            // The hub began to shut down while it shook hands.
            Some(Entry::Place(place)) if place.is_draining() => {
                self.entry = Some(Entry::Place(place));
                self.answer(CLOSING.response())
            }
            Some(Entry::Place(place)) => Step::Welcome { place, greeting, received },
            _ => Step::Drop,
        }
    }

    /// The turn it has already, or one that is free; a place is given back.
    fn answer(&mut self, response: String) -> Step {
        let turn = match self.entry.take() {
            Some(Entry::Refused(_, turn)) => Some(turn),
            _ => self.door.refusals.clone().try_acquire_owned().ok(),
        };
        turn.map_or(Step::Drop, |turn| Step::Answer { response, turn })
    }
}

/// What a request turned out to be.
enum Read {
    Partial,
    /// The answer that grants it, and the length of its head.
    Upgrade(String, usize),
    /// The answer that ends it.
    Answer(String),
}
