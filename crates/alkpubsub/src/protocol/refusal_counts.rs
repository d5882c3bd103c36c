//! How many messages were refused, and for what.

use super::check::Refusal;
use std::fmt;

/// Counts of refused messages, one for each reason.
///
/// ```
/// use alkpubsub::{Refusal, RefusalCounts};
///
/// let mut counts = RefusalCounts::default();
/// counts.add(&Refusal::EmptyType);
/// assert_eq!((counts.of("empty_type"), counts.of("not_json"), counts.total()), (1, 0, 1));
/// // What is 0 is not shown.
/// assert_eq!(counts.to_string(), "empty_type=1");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusalCounts([u64; Refusal::NAMES.len()]);

impl RefusalCounts {
    /// Counts one.
    pub fn add(&mut self, refusal: &Refusal) {
        self.0[refusal.index()] += 1;
    }

    /// How many were refused for the reason of this name; 0 for a name that no reason has.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    /// Every reason's name with its count, those of 0 included.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::NAMES.into_iter().zip(self.0)
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds what was counted elsewhere.
    #[cfg(feature = "_engine")]
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// What was counted since `before`, an earlier copy of the same counts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].saturating_sub(before.0[at])))
    }
}

/// `not_json=3 too_deep=1`: the counts that are not 0.
impl fmt::Display for RefusalCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.iter().filter(|(_, count)| *count > 0);
        for (at, (name, count)) in counted.enumerate() {
            write!(f, "{}{name}={count}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for RefusalCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().filter(|(_, count)| *count > 0)).finish()
    }
}
