//! How long to wait before the next attempt to connect.

use super::AfterClose;
use std::time::Duration;

/// The waits between attempts to connect: exponential, with full jitter, without end.
///
/// Each wait is random, between nothing and a ceiling that doubles with each attempt that fails: so the spokes of a
/// hub that went away do not come back all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackoffOptions {
    /// The first ceiling; at least 1 ms.
    pub first: Duration,
    /// The highest ceiling.
    pub max: Duration,
    /// What is waited in addition where the hub had too much to do (close code 1013).
    pub later: Duration,
    /// A connection that lived so long brings the ceiling back to the first. One that ended sooner counts as an attempt
    /// that failed, so that a hub which closes at once is not stormed.
    pub stable_after: Duration,
}

impl BackoffOptions {
    /// From 500 ms to 30 s, 5 s more after a 1013, and from the beginning after a connection of 10 s.
    pub const DEFAULT: Self = Self {
        first: Duration::from_millis(500),
        max: Duration::from_secs(30),
        later: Duration::from_secs(5),
        stable_after: Duration::from_secs(10),
    };
}

impl Default for BackoffOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The waits of one spoke, one after the other. What is random is an argument.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    options: BackoffOptions,
    /// Attempts that failed since the beginning, or since a connection that lived long.
    failed: u32,
}

impl Backoff {
    /// None has failed yet.
    #[must_use]
    pub fn new(options: BackoffOptions) -> Self {
        Self { options, failed: 0 }
    }

    /// A connection ended that had lived so long.
    pub fn lived(&mut self, time: Duration) {
        if time >= self.options.stable_after {
            self.failed = 0;
        }
    }

    /// How long to wait now: the part of the ceiling that `random` says, from 0 to 1.
    pub fn next(&mut self, after: AfterClose, random: f64) -> Duration {
        let wait = self.ceiling().mul_f64(random.clamp(0.0, 1.0));
        self.failed = self.failed.saturating_add(1);
        if after == AfterClose::ReconnectLater { self.options.later.saturating_add(wait) } else { wait }
    }

    fn ceiling(&self) -> Duration {
        let first = self.options.first.max(Duration::from_millis(1));
        let factor = 1u32.checked_shl(self.failed).unwrap_or(u32::MAX);
        first.saturating_mul(factor).min(self.options.max.max(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: BackoffOptions = BackoffOptions::DEFAULT;

    fn ceilings(options: BackoffOptions) -> impl Iterator<Item = Duration> {
        let mut backoff = Backoff::new(options);
        std::iter::repeat_with(move || backoff.next(AfterClose::Reconnect, 1.0))
    }

    #[test]
    fn ceilings_double_up_to_the_highest_and_stay_there() {
        let seconds: Vec<_> = ceilings(DEFAULT).take(10).map(|ceiling| ceiling.as_secs_f32()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]);
        assert_eq!(ceilings(DEFAULT).nth(100), Some(DEFAULT.max));
    }

    #[test]
    fn a_wait_is_any_part_of_the_ceiling() {
        let mut backoff = Backoff::new(DEFAULT);
        let waits = [0.0, 0.5, 0.25].map(|random| backoff.next(AfterClose::Reconnect, random).as_millis());
        assert_eq!(waits, [0, 500, 500]);
    }

    #[test]
    fn a_connection_that_lived_long_brings_back_the_first_ceiling() {
        let mut backoff = Backoff::new(DEFAULT);
        for (lived, ceiling) in [(0, 500), (9_999, 1000), (10_000, 500), (20_000, 500), (0, 1000)] {
            backoff.lived(Duration::from_millis(lived));
            assert_eq!(backoff.next(AfterClose::Reconnect, 1.0).as_millis(), ceiling);
        }
    }

    #[test]
    fn a_hub_with_too_much_to_do_is_left_alone_for_longer() {
        let mut backoff = Backoff::new(DEFAULT);
        assert_eq!(backoff.next(AfterClose::ReconnectLater, 0.0), DEFAULT.later);
        assert_eq!(backoff.next(AfterClose::ReconnectLater, 1.0), DEFAULT.later + 2 * DEFAULT.first);
    }

    #[test]
    fn no_options_make_a_loop_without_waits_or_overflow() {
        let none = BackoffOptions { first: Duration::ZERO, max: Duration::ZERO, ..DEFAULT };
        assert!(ceilings(none).take(100).all(|ceiling| ceiling == Duration::from_millis(1)));
        let endless =
            BackoffOptions { first: Duration::MAX, max: Duration::MAX, later: Duration::MAX, ..DEFAULT };
        // Half of it, as the largest number of seconds is none that a float could double.
        assert!(Backoff::new(endless).next(AfterClose::ReconnectLater, 0.5) == Duration::MAX);
    }
}
