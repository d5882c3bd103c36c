//! The counters of a target.

use crate::protocol::RefusalCounts;

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
    /// The same by reason.
    pub refusals: RefusalCounts,
    /// Connections that this side closed for what they sent: frames that break the rules, messages over the limit,
    /// too much bad input (close codes 1002, 1007, 1009).
    pub violations: u64,
    /// Listeners and hooks that panicked, and sockets that were lent.
    pub panicked: u64,
    /// Events of ours that never left: the connection closed first.
    pub dropped: u64,
    /// Connections that were closed because too much waited for them.
    pub too_slow: u64,
    /// Connections that were closed because too much was begun by all and not ended; these had begun the most.
    pub unfinished: u64,
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
    /// Bytes of memory that unfinished messages from the far side take now.
    pub incoming_bytes: u64,
}

impl Stats {
    /// Adds what was counted by another part of the same target.
    #[cfg(feature = "_engine")]
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            dispatched,
            rejected,
            received,
            delivered,
            sent,
            bad_input,
            refusals,
            violations,
            panicked,
            dropped,
            too_slow,
            unfinished,
            denied,
            listeners,
            topics,
            connections,
            links,
            queued_messages,
            queued_bytes,
            incoming_bytes,
        } = other;
        self.dispatched += dispatched;
        self.rejected += rejected;
        self.received += received;
        self.delivered += delivered;
        self.sent += sent;
        self.bad_input += bad_input;
        self.refusals.merge(refusals);
        self.violations += violations;
        self.panicked += panicked;
        self.dropped += dropped;
        self.too_slow += too_slow;
        self.unfinished += unfinished;
        self.denied += denied;
        self.listeners += listeners;
        self.topics += topics;
        self.connections += connections;
        self.links += links;
        self.queued_messages += queued_messages;
        self.queued_bytes += queued_bytes;
        self.incoming_bytes += incoming_bytes;
    }
}
