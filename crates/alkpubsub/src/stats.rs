//! The counters of a target.

/// What a target has counted since it was made. What does not apply to a target stays 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events taken by `dispatch_event`.
    pub dispatched: u64,
    /// Events that `dispatch_event` refused: closed, full, too large.
    pub rejected: u64,
    /// Events that came from the far side, or in-process the dispatched ones that somebody heard.
    pub received: u64,
    /// Calls of listeners.
    pub delivered: u64,
    /// Events put into outbound queues, one for each connection.
    pub sent: u64,
    /// Messages from the far side that were refused as bad input.
    pub bad_input: u64,
    /// Listeners that panicked.
    pub panicked: u64,
    /// Events of ours that never left: the connection closed first.
    pub dropped: u64,
    /// Connections that were closed because too much waited for them.
    pub too_slow: u64,
    /// Subscriptions and publications that were denied.
    pub denied: u64,
    /// Listeners there are now.
    pub listeners: u64,
    /// Topics that have a listener, or a subscribed connection, now.
    pub topics: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Connections there are now.
    pub links: u64,
    /// Messages that wait in outbound queues now.
    pub queued_messages: u64,
    /// Bytes that wait in outbound queues now.
    pub queued_bytes: u64,
}
