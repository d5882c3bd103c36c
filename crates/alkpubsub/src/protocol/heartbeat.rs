//! Whether the far side is still there.

use std::time::Duration;

/// How often the far side is asked whether it is there, and how long it may take to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatOptions {
    /// A `__ping` is sent when nothing came for so long, and at the beginning of each connection.
    pub interval: Duration,
    /// The connection counts as lost when so long after a `__ping` nothing at all has come, and the far side had
    /// answered one before on this connection. One that never answered is not held dead for its silence.
    pub timeout: Duration,
}

impl HeartbeatOptions {
    /// Every 25 s, with 8 s to answer.
    pub const DEFAULT: Self = Self { interval: Duration::from_secs(25), timeout: Duration::from_secs(8) };
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    Ping,
    Dead,
}

/// The heartbeat of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    options: HeartbeatOptions,
    /// When the last ping was sent, and whether something has come since then.
    pinged: Option<(Duration, bool)>,
    /// When something came last, or the connection began.
    heard: Duration,
    /// The far side knows `__ping`.
    answers: bool,
}

impl Heartbeat {
    /// That of a connection that begins now: its first ping is due at once.
    pub(crate) fn new(options: HeartbeatOptions, now: Duration) -> Self {
        Self { options, pinged: None, heard: now, answers: false }
    }

    /// Something came, of whatever kind.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
        if let Some((_, heard_since)) = &mut self.pinged {
            *heard_since = true;
        }
    }

    /// A ping was answered.
    pub(crate) fn answered(&mut self) {
        self.answers = true;
    }

    /// When [`beat`](Self::beat) has something to say.
    pub(crate) fn due(&self) -> Duration {
        match self.pinged {
            None => self.heard,
            Some((pinged, false)) if self.answers => pinged.saturating_add(self.options.timeout),
            Some((pinged, _)) => pinged.max(self.heard).saturating_add(self.options.interval),
        }
    }

    /// What is to be done now; a ping counts as sent.
    pub(crate) fn beat(&mut self, now: Duration) -> Beat {
        if now < self.due() {
            return Beat::Nothing;
        }
        if matches!(self.pinged, Some((_, false))) && self.answers {
            return Beat::Dead;
        }
        self.pinged = Some((now, false));
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begun() -> Heartbeat {
        let mut heartbeat = Heartbeat::new(HeartbeatOptions::DEFAULT, at(100));
        assert_eq!(heartbeat.beat(at(100)), Beat::Ping, "the first is sent at once");
        heartbeat
    }

    #[test]
    fn silence_after_a_ping_is_death_for_one_that_answered_before() {
        let mut heartbeat = begun();
        heartbeat.heard(at(101));
        heartbeat.answered();
        assert_eq!(heartbeat.due(), at(126), "an interval after it was heard last");
        assert_eq!(heartbeat.beat(at(125)), Beat::Nothing);
        assert_eq!(heartbeat.beat(at(126)), Beat::Ping);
        assert_eq!(heartbeat.due(), at(134));
        assert_eq!(heartbeat.beat(at(133)), Beat::Nothing);
        assert_eq!(heartbeat.beat(at(134)), Beat::Dead);
    }

    #[test]
    fn whatever_comes_is_a_sign_of_life() {
        let mut heartbeat = begun();
        heartbeat.answered();
        heartbeat.heard(at(107));
        assert_eq!(heartbeat.beat(at(108)), Beat::Nothing, "an event came in place of the answer");
        heartbeat.heard(at(120));
        assert_eq!(heartbeat.due(), at(145), "while events come nothing is asked");
    }

    #[test]
    fn one_that_never_answered_is_asked_on_and_not_held_dead() {
        let mut heartbeat = begun();
        for n in 1..5 {
            assert_eq!(heartbeat.due(), at(100 + 25 * n));
            assert_eq!(heartbeat.beat(heartbeat.due()), Beat::Ping);
        }
    }
}
