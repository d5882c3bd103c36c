//! Some of the shards of a hub.

/// A set of shards, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::adapter::engine) struct ShardSet(u64);

impl ShardSet {
    /// The most shards that a hub may have.
    pub(in crate::adapter::engine) const MOST: u8 = 64;

    pub(super) fn insert(&mut self, shard: u8) {
        self.0 |= 1 << shard;
    }

    pub(super) fn remove(&mut self, shard: u8) {
        self.0 &= !(1 << shard);
    }

    pub(super) fn without(mut self, shard: u8) -> Self {
        self.remove(shard);
        self
    }

    pub(in crate::adapter::engine) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards, lowest first.
    pub(in crate::adapter::engine) fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let shard = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (shard < u64::BITS).then_some(shard as usize)
        })
    }
}

impl FromIterator<u8> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u8>>(shards: I) -> Self {
        let mut set = Self::default();
        shards.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it_lowest_first() {
        let mut set: ShardSet = [63, 0, 5].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(set.without(5).iter().collect::<Vec<_>>(), [0, 63]);
        [0, 5, 63].into_iter().for_each(|shard| set.remove(shard));
        assert!(set.is_empty() && set.iter().next().is_none());
    }
}
