//! How much bad input a peer may send.

use std::time::Duration;

/// Bad messages within [`WINDOW`] that end a connection, with close code 1007.
pub const MAX_BAD_INPUT: u32 = 100;
/// The time in which they count together.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Counts bad messages in windows of ten seconds that begin with a bad message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    count: u32,
    since: Duration,
}

impl Tolerance {
    /// Counts one; `true` if it was one too many.
    pub(crate) fn exhausted(&mut self, now: Duration) -> bool {
        if self.count == 0 || now.saturating_sub(self.since) > WINDOW {
            *self = Self { count: 0, since: now };
        }
        self.count += 1;
        self.count >= MAX_BAD_INPUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_in_ten_seconds_are_too_many() {
        let mut tolerance = Tolerance::default();
        let second = Duration::from_secs(1);
        assert!((0..99).all(|_| !tolerance.exhausted(second)));
        assert!(tolerance.exhausted(second * 11));
        let mut tolerance = Tolerance::default();
        assert!((0..99).all(|_| !tolerance.exhausted(second)));
        assert!(!tolerance.exhausted(second * 12), "a new window");
    }
}
