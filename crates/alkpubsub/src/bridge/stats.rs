//! The counters of a bridge.

/// What a bridge has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BridgeStats {
    /// What was heard on the left, and what became of it.
    pub left: SideStats,
    /// What was heard on the right, and what became of it.
    pub right: SideStats,
    /// Topics that are carried now.
    pub topics: u64,
    /// Panics of what was given to [`on_notice`](super::BridgeOptions::on_notice).
    pub panicked: u64,
}

/// What was heard on one side of a bridge. Each event of `heard` is one of `own`, `crossed`, `too_slow`, `disconnected`,
/// `refused`, `ended` and `queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SideStats {
    /// Events that were heard.
    pub heard: u64,
    /// Of these, copies of what the bridge itself had put there; they went no further.
    pub own: u64,
    /// Taken by the other side.
    pub crossed: u64,
    /// Lost, as more waited than the bridge's bound.
    pub too_slow: u64,
    /// Lost, as the other side had no connection.
    pub disconnected: u64,
    /// Lost, as the other side does not take such an event: it is too large there, for example.
    pub refused: u64,
    /// Lost, as the other side or the bridge has ended.
    pub ended: u64,
    /// Gaps that this side told of, one for each topic that they concern.
    pub gaps: u64,
    /// Denials that this side told of.
    pub denied: u64,
    /// Those of `own` that may have been another's, as the own copy may have been lost before.
    pub ambiguous: u64,
    /// Own copies that were given up: too many were awaited, or a thousand later ones had come.
    pub forgotten: u64,
    /// Events that wait for the other side now.
    pub queued: u64,
    /// Bytes that wait for the other side now.
    pub queued_bytes: u64,
    /// Own copies that are awaited now.
    pub awaited: u64,
    /// Bytes of memory that these take, texts that others hold, too, included.
    pub awaited_bytes: u64,
}
