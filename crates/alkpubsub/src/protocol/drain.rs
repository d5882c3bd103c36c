//! When each link of a hub that shuts down is closed: spread over a window, so that those who come back do not all
//! come at once.

use std::time::Duration;

/// The least time between two closes, on average: a hub with few links does not use the whole window.
pub const PACE: Duration = Duration::from_millis(10);

/// The order in which links are closed, and when; generic over how a link is named. The time is an argument, counted from any fixed point.
///
/// The first is closed at once, the others follow at equal distances: [`PACE`], or less where they would not fit
/// the window. Within one window they are closed in the order in which they are given.
///
/// ```
/// use alkpubsub::protocol::drain::Drain;
/// use std::time::Duration;
///
/// let (now, window) = (Duration::ZERO, Duration::from_millis(15));
/// let mut drain = Drain::new(vec!["a", "b", "c"], now, window);
/// assert_eq!(drain.due(now), ["a"]);
/// assert_eq!(drain.next_at(), Some(Duration::from_millis(5)));
/// assert_eq!(drain.due(window), ["b", "c"]);
/// assert_eq!(drain.next_at(), None);
/// ```
#[derive(Debug)]
pub struct Drain<L> {
    links: Vec<L>,
    /// How many of them are closed.
    closed: usize,
    /// The close that the distances are counted from, and its time.
    from: usize,
    since: Duration,
    /// The time in which all from there on are closed.
    span: Duration,
    pace: Duration,
}

impl<L> Drain<L> {
    /// Begins now, and ends within `window`.
    #[must_use]
    pub fn new(links: Vec<L>, now: Duration, window: Duration) -> Self {
        Self::one_of(1, links, now, window)
    }

    /// One of so many that begin together, each with links of its own: so that all keep to [`PACE`], each is slower.
    #[must_use]
    pub fn one_of(drains: u8, links: Vec<L>, now: Duration, window: Duration) -> Self {
        let pace = PACE * u32::from(drains);
        let span = span(links.len(), window, pace);
        Self { links, closed: 0, from: 0, since: now, span, pace }
    }

    /// Those to be closed by now that were not named before. Some may be gone by themselves meanwhile.
    pub fn due(&mut self, now: Duration) -> &[L] {
        let left = self.links.len() - self.from;
        let passed = now.saturating_sub(self.since);
        let count = if passed >= self.span {
            left
        } else {
            // The first one is due at 0.
            let part = passed.as_nanos().saturating_mul(left as u128) / self.span.as_nanos();
            usize::try_from(part).unwrap_or(usize::MAX).saturating_add(1).min(left)
        };
        let due = self.closed..(self.from + count).max(self.closed);
        self.closed = due.end;
        &self.links[due]
    }

    /// When the next is due; `None` when all were named.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        if self.closed == self.links.len() {
            return None;
        }
        let left = (self.links.len() - self.from) as u128;
        let nanos = (self.span.as_nanos().saturating_mul((self.closed - self.from) as u128)).div_ceil(left);
        let after = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.since.saturating_add(after))
    }

    /// Ends within `window` from now where that is sooner.
    pub fn hurry(&mut self, now: Duration, window: Duration) {
        let span = span(self.links.len() - self.closed, window, self.pace);
        let end = self.since.saturating_add(self.span);
        if now.saturating_add(span) < end {
            (self.from, self.since, self.span) = (self.closed, now, span);
        }
    }
}

fn span(links: usize, window: Duration, pace: Duration) -> Duration {
    window.min(pace.saturating_mul(u32::try_from(links).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn links(count: usize) -> Vec<usize> {
        (0..count).collect()
    }

    /// The times at which each link is closed by an adapter that sleeps until the next one is due.
    fn times(drain: &mut Drain<usize>, mut now: Duration) -> Vec<(usize, Duration)> {
        let mut closed = Vec::new();
        loop {
            closed.extend(drain.due(now).iter().map(|id| (*id, now)));
            match drain.next_at() {
                None => return closed,
                Some(at) => {
                    assert!(at > now, "it sleeps at least a little");
                    now = at;
                }
            }
        }
    }

    #[test]
    fn few_links_are_closed_at_the_pace_and_many_fill_the_window() {
        let start = ms(77);
        for (count, window, last) in [
            (0, ms(5000), None),
            (1, ms(5000), Some(ms(0))),
            (2, ms(5000), Some(ms(10))),
            (100, ms(5000), Some(ms(990))),
            (1000, ms(5000), Some(ms(4995))),
            (1000, ms(0), Some(ms(0))),
        ] {
            let links = links(count);
            let closed = times(&mut Drain::new(links.clone(), start, window), start);
            assert_eq!(closed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), links, "each once, in order");
            assert_eq!(closed.last().map(|(_, at)| *at - start), last, "{count} links in {window:?}");
        }
    }

    #[test]
    fn no_moment_sees_more_than_its_share() {
        let closed = times(&mut Drain::new(links(10_000), ms(0), ms(5000)), ms(0));
        for second in 0..5 {
            let in_it = closed.iter().filter(|(_, at)| at.as_millis() / 1000 == second).count();
            assert!((1999..=2001).contains(&in_it), "{in_it} in second {second}");
        }
    }

    #[test]
    fn an_adapter_that_comes_late_closes_all_that_were_due_meanwhile() {
        let mut drain = Drain::new(links(100), ms(0), ms(5000));
        assert_eq!(drain.due(ms(500)).len(), 51);
        assert!(drain.due(ms(500)).is_empty(), "once");
        assert!(drain.due(ms(400)).is_empty(), "a clock that goes back closes nobody and opens nobody");
        assert_eq!(drain.due(ms(9000)).len(), 49);
        assert_eq!(drain.next_at(), None);
        assert!(drain.due(Duration::MAX).is_empty());
    }

    #[test]
    fn a_second_order_shortens_and_never_lengthens() {
        let mut drain = Drain::new(links(1000), ms(0), ms(5000));
        assert_eq!(drain.due(ms(1000)).len(), 201);
        let before = drain.next_at();
        drain.hurry(ms(1000), ms(60_000));
        assert_eq!(drain.next_at(), before);
        drain.hurry(ms(1000), ms(100));
        let closed = times(&mut drain, ms(1000));
        assert_eq!(closed.len(), 799);
        assert!(closed.last().is_some_and(|(_, at)| *at <= ms(1100)), "{closed:?}");
        drain.hurry(ms(1100), ms(0));
        assert!(drain.due(ms(1100)).is_empty());

        let mut drain = Drain::new(links(1000), ms(0), ms(5000));
        drain.hurry(ms(0), ms(0));
        assert_eq!(drain.due(ms(0)).len(), 1000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn each_is_closed_once_and_within_the_window(
            count in 0usize..300,
            window in 0u64..10_000,
            looks in prop::collection::vec((0u64..20_000, prop::option::of(0u64..5_000)), 0..20),
        ) {
            let all = links(count);
            let mut drain = Drain::new(all.clone(), ms(0), ms(window));
            let (mut closed, mut end) = (Vec::new(), ms(window));
            let mut looks = looks;
            looks.sort_unstable();
            for (now, hurry) in looks {
                let now = ms(now);
                if let Some(window) = hurry {
                    drain.hurry(now, ms(window));
                    end = end.min(now.saturating_add(ms(window)));
                }
                closed.extend_from_slice(drain.due(now));
                if now >= end {
                    prop_assert_eq!(closed.len(), count, "{:?} is the end", end);
                }
                prop_assert_eq!(drain.next_at().is_none(), closed.len() == count);
                prop_assert!(drain.next_at().is_none_or(|at| at > now && at <= end));
            }
            closed.extend_from_slice(drain.due(end));
            prop_assert_eq!(closed, all);
        }
    }
}
