//! How long to wait before the next attempt to connect.

use crate::protocol::AfterClose;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
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

pub(super) struct Backoff {
    options: BackoffOptions,
    ceilings: ExponentialBackoff,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(options: BackoffOptions) -> Self {
        Self { options, ceilings: ceilings(&options), random: fastrand::Rng::new() }
    }

    pub(super) fn reset(&mut self) {
        self.ceilings = ceilings(&self.options);
    }

    /// How long to wait now. (The jitter of backon itself is added to the ceiling, and is no full one.)
    pub(super) fn next(&mut self, after: AfterClose) -> Duration {
        let ceiling = self.ceilings.next().unwrap_or(self.options.max);
        let wait = ceiling.mul_f64(self.random.f64());
        if after == AfterClose::ReconnectLater { self.options.later.saturating_add(wait) } else { wait }
    }
}

fn ceilings(options: &BackoffOptions) -> ExponentialBackoff {
    let first = options.first.max(Duration::from_millis(1));
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(options.max.max(first))
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_highest_and_stay_there() {
        let seconds: Vec<_> =
            ceilings(&BackoffOptions::DEFAULT).take(10).map(|ceiling| ceiling.as_secs_f32()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]);
        assert_eq!(ceilings(&BackoffOptions::DEFAULT).nth(1_000_000), Some(BackoffOptions::DEFAULT.max));
    }

    #[test]
    fn waits_are_spread_from_nothing_to_the_ceiling() {
        let mut waits: Vec<_> = (0..1000)
            .map(|seed| {
                let mut backoff = Backoff::new(BackoffOptions::DEFAULT);
                backoff.random.seed(seed);
                backoff.next(AfterClose::Reconnect).as_millis()
            })
            .collect();
        waits.sort_unstable();
        assert!(waits[999] < 500);
        for tenth in 0..10 {
            let in_it = waits.iter().filter(|wait| (tenth * 50..(tenth + 1) * 50).contains(*wait)).count();
            assert!((50..=150).contains(&in_it), "{in_it} of 1000 waits in the {tenth}th tenth");
        }
    }

    #[test]
    fn a_hub_with_too_much_to_do_is_left_alone_for_longer() {
        let mut backoff = Backoff::new(BackoffOptions::DEFAULT);
        assert!(backoff.next(AfterClose::ReconnectLater) >= Duration::from_secs(5));
    }

    #[test]
    fn no_options_make_a_loop_without_waits() {
        let options =
            BackoffOptions { first: Duration::ZERO, max: Duration::ZERO, ..BackoffOptions::DEFAULT };
        assert!(ceilings(&options).take(100).all(|ceiling| ceiling == Duration::from_millis(1)));
    }
}
