//! How connections end: what was read ends them, a bound, a panic, silence, the program, the hub's own end.

use super::super::connection::{Closing, Connection, Heed, State};
use super::super::frame::Frame;
use super::super::intake::Ending;
use super::super::io::{Io, Socket};
use super::Shard;
use crate::caught::caught;
use crate::event_target::{CloseReason, LinkId};
use std::sync::Arc;
use std::time::Duration;

/// How long a peer may take to answer a close, and to read what is before it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

impl Shard {
    /// Does what calls upon the program's own: a socket that was lent, or what a listener owned, when it is dropped.
    /// Should it panic, the connection that it was done for ends, and no other one notices.
    pub(super) fn guarded(&mut self, slot: Option<usize>, work: impl FnOnce(&mut Self)) {
        if let Err(message) = caught(|| work(self)) {
            self.panicked(slot, &message);
        }
    }

    #[cold]
    fn panicked(&mut self, slot: Option<usize>, message: &str) {
        self.intake.connection_panicked(message);
        let Some(connection) = slot.and_then(|slot| self.connections.get(slot)?.as_ref()) else { return };
        let id = connection.id;
        // It may panic again when it is written to, and when it is dropped; and whether it would ever wake to tell of
        // the peer's answer is not known.
        let _ = caught(|| self.fail(id));
        let _ = caught(|| self.gone(id.slot()));
    }

    /// Closes a connection for a fault of this side.
    pub(super) fn fail(&mut self, id: LinkId) {
        let reason = CloseReason::Refused { code: 1011, reason: "something panicked here".into() };
        self.close(id, reason, true, Heed::Nothing);
    }

    /// What was read ends the connection.
    pub(super) fn end(&mut self, slot: usize, ending: Ending) {
        let Some(connection) = self.connections[slot].as_mut() else {
            return;
        };
        let id = connection.id;
        match (ending, &mut connection.state) {
            (Ending::Offence { code, reason, heed }, State::Open) => {
                tracing::debug!(link = %id, code, reason, "closing");
                self.intake.violations += 1;
                self.close(id, CloseReason::Refused { code, reason: reason.into() }, true, heed);
                // The peer's close may have come with the rest already.
                self.take_rest(slot);
            }
            (Ending::Closed { code, reason }, State::Open) => {
                // The answer goes behind everything that was queued before it.
                self.intake.hub.finish(id, Some(Frame::close(code, "", connection.framing)), false);
                connection.drop_unfinished(&mut self.intake.hub);
                connection.state = State::Closing(Box::new(Closing {
                    until: self.intake.now + CLOSE_TIMEOUT,
                    answered: true,
                    heed: Heed::Nothing,
                    reason: CloseReason::by_peer(code.unwrap_or(1005), reason),
                }));
                self.write(slot);
            }
            (Ending::Closed { .. }, State::Closing(closing)) => {
                closing.answered = true;
                closing.heed = Heed::Nothing;
                connection.drop_unfinished(&mut self.intake.hub);
                self.write(slot);
            }
            (Ending::Offence { .. }, State::Closing(closing)) => {
                closing.heed = Heed::Nothing;
                connection.drop_unfinished(&mut self.intake.hub);
                self.write(slot);
            }
        }
    }

    fn take_rest(&mut self, slot: usize) {
        if let Some(connection) = &mut self.connections[slot]
            && let Err(ending) = self.intake.take(connection, &mut [])
        {
            self.end(slot, ending);
        }
    }

    /// Begins to close a connection: its close frame goes behind what waits for it or, with `drop_rest`, in place
    /// of that.
    pub(super) fn close(&mut self, id: LinkId, reason: CloseReason, drop_rest: bool, heed: Heed) {
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
        if drop_rest {
            connection.keep_begun(&mut self.intake.hub);
        }
        if heed == Heed::Nothing {
            connection.drop_unfinished(&mut self.intake.hub);
        }
        let last = Frame::close(Some(reason.code()), &words, connection.framing);
        self.intake.hub.finish(id, Some(last), drop_rest);
        let until = self.intake.now + CLOSE_TIMEOUT;
        connection.state = State::Closing(Box::new(Closing { until, answered: false, heed, reason }));
        self.write(id.slot());
    }

    pub(super) fn too_slow(&mut self, id: LinkId) {
        let Some(connection) = self.connections.get(id.slot()).and_then(Option::as_ref) else {
            return;
        };
        if !matches!(connection.state, State::Open) {
            // It was told already, and does not read.
            self.reset_unread(id.slot());
            return self.gone(id.slot());
        }
        self.intake.too_slow += 1;
        let queued = self.intake.hub.waiting(id).map_or(0, |waiting| waiting.bytes());
        if let Some(spoke) = connection.spoke.clone() {
            let _ = self.intake.hook(|hooks| hooks.backpressure(&spoke, queued));
        }
        tracing::debug!(link = %id, queued, "too slow");
        let reason = "too slow: more waits than the bound".into();
        self.close(id, CloseReason::Refused { code: 1013, reason }, true, Heed::Close);
    }

    /// What all have begun to send takes too much, and this connection's takes most.
    pub(super) fn unfinished(&mut self, id: LinkId) {
        let Some(connection) = self.connections.get(id.slot()).and_then(Option::as_ref) else {
            return self.intake.hub.holds(id, 0);
        };
        if !matches!(connection.state, State::Open) {
            return self.gone(id.slot());
        }
        self.intake.unfinished += 1;
        tracing::debug!(link = %id, "too much is unfinished");
        let reason =
            "too much is unfinished of what was begun to be sent to this hub, most of it here".into();
        self.close(id, CloseReason::Refused { code: 1013, reason }, false, Heed::Nothing);
    }

    pub(super) fn lost(&mut self, slot: usize, error: String) {
        self.over(slot, CloseReason::Lost { error: error.into() });
    }

    /// Nothing can be read or written any more.
    pub(super) fn over(&mut self, slot: usize, reason: CloseReason) {
        if let Some(connection) = &mut self.connections[slot] {
            if let State::Open = connection.state {
                let until = self.intake.now;
                connection.state =
                    State::Closing(Box::new(Closing { until, answered: true, heed: Heed::Nothing, reason }));
            }
            self.gone(slot);
        }
    }

    /// To be called before a connection is given up whose peer has let its time pass. Where something still waits for it,
    /// the peer does not read: the system would keep what it has taken for it, and offer it for minutes. A reset lets go
    /// of that at once, and does not look like an end of all that there was.
    pub(super) fn reset_unread(&mut self, slot: usize) {
        if let Some(connection) = &self.connections[slot]
            && self.intake.hub.waiting(connection.id).is_some_and(|waiting| !waiting.is_empty())
        {
            connection.io.reset_at_end();
        }
    }

    /// A connection has ended: forgets it and tells who wants to know.
    pub(super) fn gone(&mut self, slot: usize) {
        let Some(mut connection) = self.connections[slot].take() else {
            return;
        };
        connection.keep_begun(&mut self.intake.hub);
        self.intake.hub.disconnect(connection.id);
        connection.count_unsent(&mut self.intake.hub);
        self.intake.shared.left(self.intake.shard);
        let Connection { spoke, state, .. } = connection;
        let reason = match state {
            State::Closing(closing) => closing.reason,
            State::Open => CloseReason::Closed,
        };
        if let Some(spoke) = spoke {
            self.intake.disconnected(&spoke, reason);
        }
    }

    /// Takes a connection out and gives its socket back, as long as it stands between two messages.
    pub(super) fn release(&mut self, id: LinkId) -> Option<Box<dyn Socket>> {
        // What was dispatched before still goes out, as far as the socket takes it.
        if self.intake.hub.contains(id) {
            self.write(id.slot());
        }
        let connection = self.connections.get_mut(id.slot())?.take_if(|connection| {
            connection.id == id && matches!(connection.state, State::Open) && connection.is_between_messages()
        })?;
        self.intake.hub.disconnect(id);
        self.intake.shared.left(self.intake.shard);
        if let Some(spoke) = connection.spoke {
            self.intake.disconnected(&spoke, CloseReason::Closed);
        }
        match connection.io {
            Io::Lent(lent) => Some(lent.into_socket()),
            #[cfg(unix)]
            Io::Plain(plain) => match self.intake.at_home(|| plain.into_tokio(self.poller.as_ref())) {
                Ok(socket) => Some(socket),
                Err(error) => {
                    tracing::warn!(%error, "a connection that was to be given back was dropped");
                    None
                }
            },
        }
    }

    pub(super) fn drop_all(&mut self) {
        for slot in 0..self.connections.len() {
            self.guarded(Some(slot), |shard| shard.gone(slot));
        }
        self.intake.end();
    }
}
