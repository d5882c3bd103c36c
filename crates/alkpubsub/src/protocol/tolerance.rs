//! How much bad input a peer may send.

use std::time::Duration;

/// Bad messages within [`WINDOW`] that end a connection, with close code 1007.
pub const MAX_BAD_INPUT: u32 = 100;
/// The time in which they count together, to the second.
pub const WINDOW: Duration = Duration::from_secs(10);

/// The current second, and those of the window before it.
const SECONDS: usize = WINDOW.as_secs() as usize + 1;

/// Counts bad messages by the second in which they came. One is too many if [`MAX_BAD_INPUT`] came in this second
/// and the ten before it: whatever ten seconds hold so many, wherever they begin, end the connection, and who sends
/// fewer in every eleven goes on. It takes 24 bytes, however many come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    /// The second of the last one.
    last: u64,
    /// How many came in each second, at its number's remainder.
    counts: [u8; SECONDS],
}

const _: () = assert!(MAX_BAD_INPUT <= u8::MAX as u32, "a second's count fits its byte");

impl Tolerance {
    /// Counts one; `true` if it was one too many. The time does not run backwards.
    pub(crate) fn exhausted(&mut self, now: Duration) -> bool {
        let second = now.as_secs();
        // The seconds that passed without one begin anew, all of them at the most.
        for empty in (self.last + 1..=second).take(SECONDS) {
            self.counts[Self::at(empty)] = 0;
        }
        self.last = self.last.max(second);
        let count = &mut self.counts[Self::at(self.last)];
        *count = count.saturating_add(1);
        self.counts.iter().map(|&count| u32::from(count)).sum::<u32>() >= MAX_BAD_INPUT
    }

    const fn at(second: u64) -> usize {
        (second % SECONDS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The times are in milliseconds. Gives the index of the first that is one too many.
    fn first_too_many(times: impl IntoIterator<Item = u64>) -> Option<usize> {
        let mut tolerance = Tolerance::default();
        times.into_iter().position(|time| tolerance.exhausted(at(time)))
    }

    #[test]
    fn the_hundredth_at_once_is_too_many() {
        assert_eq!(first_too_many([7_000; 200]), Some(99));
        assert_eq!(first_too_many([0; 200]), Some(99));
    }

    #[test]
    fn no_ten_seconds_hold_a_hundred_wherever_they_begin() {
        // At the end of one window and the beginning of the next.
        for begin in (0..25_000).step_by(100) {
            let late = [begin + 9_900; 99];
            for next in [begin + 10_000, begin + 15_000, begin + 19_899] {
                assert_eq!(
                    first_too_many([late.as_slice(), &[next; 99]].concat()),
                    Some(99),
                    "{begin} {next}"
                );
            }
        }
        // Whatever the rate is that is too much, the window that is full ends it.
        for gap in 1..=100 {
            let times: Vec<u64> = (0..1000).map(|number| 12_345 + number * gap).collect();
            let ends = first_too_many(times.iter().copied()).expect("too much");
            assert!(ends <= 99, "{gap}: 100 within {} ms passed", 99 * gap);
        }
    }

    #[test]
    fn who_sends_fewer_than_a_hundred_in_every_eleven_seconds_goes_on() {
        assert_eq!(first_too_many((0..100_000).map(|number| number * 112)), None);
        let bursts = (0..100u64).flat_map(|burst| [burst * 11_000 + 999; 99]);
        assert_eq!(first_too_many(bursts), None);
    }

    #[test]
    fn after_a_long_peace_everything_begins_anew() {
        let mut tolerance = Tolerance::default();
        assert!((0..99).all(|_| !tolerance.exhausted(at(3_000))));
        let years = Duration::from_secs(1 << 40);
        assert!((0..99).all(|_| !tolerance.exhausted(years)));
        assert!(tolerance.exhausted(years));
        // A clock that steps back counts into the second it has reached.
        assert!(tolerance.exhausted(at(0)));
    }
}
