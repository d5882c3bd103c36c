//! What all shards of a hub hold of that which is bounded for all their connections together.

use crate::protocol::hub::{Held, HubLimits};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The sums over all shards. Each shard says, once a round, what it holds, and hears what the others do; where
/// nothing has changed, as where all that is queued in a round is written in it, that is one read of each sum.
#[derive(Debug)]
pub(super) struct Totals {
    outbound: Total,
    incoming: Total,
}

#[derive(Debug)]
struct Total {
    limit: u64,
    sum: AtomicU64,
}

impl Totals {
    pub(super) fn new(limits: &HubLimits) -> Self {
        let total = |limit: usize| Total { limit: limit as u64, sum: AtomicU64::new(0) };
        Self { outbound: total(limits.max_outbound_total), incoming: total(limits.max_incoming_total) }
    }

    /// A shard holds `own` now, having `said` something else before. Gives what the others hold, and whether this
    /// took a sum over its limit: then they are to be woken, as the one whose part is too large may be asleep.
    pub(super) fn say(&self, said: &mut Held, own: Held) -> (Held, bool) {
        let (outbound, over) = self.outbound.say(&mut said.outbound, own.outbound);
        let (incoming, over_too) = self.incoming.say(&mut said.incoming, own.incoming);
        (Held { outbound, incoming }, over || over_too)
    }
}

impl Total {
    fn say(&self, said: &mut u64, own: u64) -> (u64, bool) {
        let before = std::mem::replace(said, own);
        if before == own {
            return (self.sum.load(Relaxed) - own, false);
        }
        // Sums are of what was said, and so never less than one's own part.
        let sum = self.sum.fetch_add(own.wrapping_sub(before), Relaxed);
        let now = sum.wrapping_sub(before).wrapping_add(own);
        (now - own, sum <= self.limit && now > self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(outbound: u64, incoming: u64) -> Held {
        Held { outbound, incoming }
    }

    #[test]
    fn each_hears_what_the_others_hold_and_one_that_the_limit_was_passed() {
        let mut limits = HubLimits::DEFAULT;
        (limits.max_outbound_total, limits.max_incoming_total) = (100, 10);
        let totals = Totals::new(&limits);
        let [mut one, mut two, mut three] = [Held::default(); 3];
        assert_eq!(totals.say(&mut one, held(60, 1)), (held(0, 0), false));
        assert_eq!(totals.say(&mut two, held(40, 2)), (held(60, 1), false), "as much is allowed");
        assert_eq!(totals.say(&mut three, held(1, 0)), (held(100, 3), true));
        assert_eq!(totals.say(&mut two, held(50, 2)), (held(61, 1), false), "it was over before");
        assert_eq!(totals.say(&mut one, held(10, 1)), (held(51, 2), false));
        assert_eq!(totals.say(&mut one, held(10, 9)), (held(51, 2), true), "each sum by itself");
        assert_eq!(totals.say(&mut one, held(10, 9)), (held(51, 2), false));
        for said in [&mut one, &mut two, &mut three] {
            totals.say(said, Held::default());
        }
        assert_eq!(totals.say(&mut one, Held::default()), (Held::default(), false));
    }
}
