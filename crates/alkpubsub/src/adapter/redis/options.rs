//! What a target behind Redis is given.

use crate::adapter::link::SpokeOptions;
use std::time::Duration;

/// The prefix, bounds and times of a [`RedisEventTarget`](super::RedisEventTarget).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// What channels begin with, ahead of the topic; empty unless given. All who are to hear each other have the same.
    pub prefix: String,
    /// Queues, limits, heartbeat, the waits between attempts to connect, and whether events are kept for the next
    /// connection: as with a [`Spoke`](crate::Spoke). `renews_credentials` means nothing here: a password that Redis does not
    /// take may be right again.
    pub spoke: SpokeOptions,
    /// Whether a lost connection is followed by the next. Otherwise the target ends with it; where it is
    /// [made without one](super::RedisEventTarget::new) that means nothing.
    pub reconnects: bool,
    /// Messages that may wait between the connection and the listeners. Beyond, the connection is given up, and the loss
    /// is told when the next one is there: Redis does the same at its `client-output-buffer-limit`.
    pub max_received: usize,
    /// Bytes of them.
    pub max_received_bytes: usize,
}

impl RedisOptions {
    /// No prefix; it reconnects; [`SpokeOptions::DEFAULT`], but as many as 65,536 messages and 16 MiB may wait to be sent, as one
    /// connection carries what many want; 65,536 messages and 32 MiB may wait to be heard; and however much it was sent, a
    /// Redis that says nothing is lost after [8 s](crate::protocol::HeartbeatOptions::timeout).
    #[must_use]
    pub fn new() -> Self {
        let mut spoke = SpokeOptions::DEFAULT;
        spoke.link.max_queued = 65_536;
        spoke.link.max_queued_bytes = 16 << 20;
        // Redis always answers; where it does not, the heartbeat finds out.
        spoke.link.answer_timeout = Duration::MAX;
        // Whatever it has before it, it answers piece by piece.
        spoke.heartbeat.slowest = u64::MAX;
        Self {
            prefix: String::new(),
            spoke,
            reconnects: true,
            max_received: 65_536,
            max_received_bytes: 32 << 20,
        }
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}
