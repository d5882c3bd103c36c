//! Whether the far side is still there.

use std::time::Duration;

/// How often the far side is asked whether it is there, and how long it may take to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatOptions {
    /// A `__ping` is sent at the beginning of each connection and so often, whatever comes: it also tells the far side
    /// that this one is there, which may have nothing to say for hours.
    pub interval: Duration,
    /// The connection counts as lost when so long after a `__ping` nothing at all has come, and the far side had
    /// answered one before on this connection. One that never answered is not held dead for its silence. What was sent
    /// between what came last and the `__ping`, and what waited to be sent then, lengthens it by a second for each
    /// [`slowest`](Self::slowest) bytes: the ping stands behind it in the queue.
    pub timeout: Duration,
    /// Bytes that the far side is taken to read in a second, at the least. `u64::MAX` for one that always answers: neither
    /// what it has to read is an excuse, nor that it never answered before.
    pub slowest: u64,
}

impl HeartbeatOptions {
    /// Every 20 s, with 8 s to answer, and a second more for each 64 KiB. Less than the 25 s after which a hub asks a silent
    /// spoke.
    pub const DEFAULT: Self =
        Self { interval: Duration::from_secs(20), timeout: Duration::from_secs(8), slowest: 64 << 10 };
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How late a moment is noticed by a process that was not stopped meanwhile, and how long what lies in a socket may
/// need to be read.
const LATE: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_millis(100);

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
    began: Duration,
    pinged: Option<Ping>,
    /// The far side knows `__ping`.
    answers: bool,
    /// Bytes that were given to the socket since something came.
    sent: u64,
    /// How long the first answer may take; `None` where there need not be one.
    first_answer: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    at: Duration,
    /// Something has come since.
    heard: bool,
    /// How long the far side may need for what stands before it. What is sent after it is no excuse, or who sends without
    /// a pause would not notice a silence before its queue is full.
    behind: Duration,
    /// Its time is over: until then what came meanwhile may still be read.
    last_look: Option<Duration>,
}

impl Heartbeat {
    /// That of a connection that begins now: its first ping is due at once.
    pub(crate) fn new(options: HeartbeatOptions, now: Duration) -> Self {
        let first_answer = (options.slowest == u64::MAX).then_some(options.timeout);
        Self { options, began: now, pinged: None, answers: false, sent: 0, first_answer }
    }

    /// That of a far side which has to answer, its first time within `first_answer`.
    pub(crate) fn strict(options: HeartbeatOptions, first_answer: Duration, now: Duration) -> Self {
        Self { first_answer: Some(first_answer), ..Self::new(options, now) }
    }

    /// When a far side that has to answer, and never did, is given up.
    fn given_up(&self) -> Option<Duration> {
        self.first_answer.filter(|_| !self.answers).map(|first| self.began.saturating_add(first))
    }

    /// Something came, of whatever kind.
    pub(crate) fn heard(&mut self) {
        self.sent = 0;
        if let Some(ping) = &mut self.pinged {
            ping.heard = true;
        }
    }

    /// A ping was answered.
    pub(crate) fn answered(&mut self) {
        self.answers = true;
    }

    /// So much was given to the socket.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// When [`beat`](Self::beat) has something to say.
    pub(crate) fn due(&self) -> Duration {
        match self.pinged {
            None => self.began,
            Some(ping) if ping.heard || !self.answers => {
                let next = ping.at.saturating_add(self.options.interval);
                self.given_up().map_or(next, |given_up| next.min(given_up))
            }
            Some(Ping { last_look: Some(until), .. }) => until,
            Some(ping) => ping.at.saturating_add(self.options.timeout).saturating_add(ping.behind),
        }
    }

    /// What is to be done now; a ping counts as sent, behind the `waiting` bytes that wait.
    pub(crate) fn beat(&mut self, now: Duration, waiting: usize) -> Beat {
        let due = self.due();
        if now < due {
            return Beat::Nothing;
        }
        if self.pinged.is_some() && self.given_up().is_some_and(|given_up| now >= given_up) {
            return Beat::Dead;
        }
        if let Some(ping) = self.pinged.as_mut().filter(|ping| !ping.heard && self.answers) {
            // After a pause of the whole process nothing is known of the far side.
            if now.saturating_sub(due) <= LATE {
                if ping.last_look.is_some() {
                    return Beat::Dead;
                }
                ping.last_look = Some(now.saturating_add(LAST_LOOK));
                return Beat::Nothing;
            }
        }
        let behind =
            Duration::from_secs(self.sent.saturating_add(waiting as u64) / self.options.slowest.max(1));
        self.pinged = Some(Ping { at: now, heard: false, behind, last_look: None });
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
        assert_eq!(heartbeat.beat(at(100), 0), Beat::Ping, "the first is sent at once");
        heartbeat
    }

    #[test]
    fn silence_after_a_ping_is_death_for_one_that_answered_before() {
        let mut heartbeat = begun();
        heartbeat.heard();
        heartbeat.answered();
        assert_eq!(heartbeat.beat(at(119), 0), Beat::Nothing);
        assert_eq!(heartbeat.beat(at(120), 0), Beat::Ping);
        assert_eq!(heartbeat.due(), at(128));
        assert_eq!(heartbeat.beat(at(128), 0), Beat::Nothing, "what has come may still lie in the socket");
        assert_eq!(heartbeat.due(), at(128) + LAST_LOOK);
        assert_eq!(heartbeat.beat(at(128) + LAST_LOOK, 0), Beat::Dead);
    }

    #[test]
    fn whatever_comes_is_a_sign_of_life() {
        let mut heartbeat = begun();
        heartbeat.answered();
        assert_eq!(heartbeat.beat(at(108), 0), Beat::Nothing);
        heartbeat.heard();
        assert_eq!(
            heartbeat.beat(at(108) + LAST_LOOK, 0),
            Beat::Nothing,
            "an event came in place of the answer"
        );
        assert_eq!(heartbeat.due(), at(120), "it is asked all the same: it may have nothing else to hear");
    }

    #[test]
    fn what_stands_before_the_ping_gives_it_time() {
        let mut heartbeat = begun();
        heartbeat.heard();
        heartbeat.answered();
        heartbeat.sent(10 * 65_536);
        assert_eq!(heartbeat.beat(at(120), 5 * 65_536), Beat::Ping);
        assert_eq!(heartbeat.due(), at(128 + 15));
        heartbeat.sent(100 * 65_536);
        assert_eq!(heartbeat.due(), at(128 + 15), "what is sent behind it is no excuse");
        heartbeat.heard();
        assert_eq!(heartbeat.beat(at(140), 0), Beat::Ping);
        assert_eq!(heartbeat.due(), at(148), "nor is what it has read by now");
    }

    #[test]
    fn one_that_always_answers_has_no_excuse() {
        let options = HeartbeatOptions { slowest: u64::MAX, ..HeartbeatOptions::DEFAULT };
        let mut heartbeat = Heartbeat::new(options, at(100));
        assert_eq!(heartbeat.beat(at(100), usize::MAX), Beat::Ping);
        assert_eq!(heartbeat.due(), at(108), "not that it never answered");
        heartbeat.answered();
        heartbeat.heard();
        heartbeat.sent(1 << 30);
        assert_eq!(heartbeat.beat(at(120), 1 << 30), Beat::Ping);
        assert_eq!(heartbeat.due(), at(128), "nor what it has to read");
    }

    #[test]
    fn a_process_that_was_stopped_asks_anew() {
        let mut heartbeat = begun();
        heartbeat.answered();
        assert_eq!(heartbeat.beat(at(500), 0), Beat::Ping);
        assert_eq!(heartbeat.beat(at(508), 0), Beat::Nothing);
        assert_eq!(heartbeat.beat(at(900), 0), Beat::Ping, "stopped once more, at the last look");
    }

    #[test]
    fn one_that_has_to_answer_is_given_up_where_it_never_did_and_then_asked_as_any_other() {
        let mut heartbeat = Heartbeat::strict(HeartbeatOptions::DEFAULT, at(30), at(100));
        assert_eq!(heartbeat.beat(at(100), 0), Beat::Ping);
        assert_eq!(heartbeat.beat(at(120), 0), Beat::Ping);
        heartbeat.heard();
        assert_eq!(heartbeat.due(), at(130), "what it says is no answer");
        let mut answers = heartbeat;
        assert_eq!(heartbeat.beat(at(130), 0), Beat::Dead);
        answers.answered();
        assert_eq!(answers.due(), at(140));
        assert_eq!(answers.beat(at(140), 0), Beat::Ping);
        assert_eq!(answers.due(), at(148));
    }

    #[test]
    fn one_that_never_answered_is_asked_on_and_not_held_dead() {
        let mut heartbeat = begun();
        for n in 1..5 {
            assert_eq!(heartbeat.due(), at(100 + 20 * n));
            assert_eq!(heartbeat.beat(heartbeat.due(), 0), Beat::Ping);
        }
    }
}
