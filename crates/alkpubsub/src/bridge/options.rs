//! What a bridge is told when it is made.

use super::notice::{BridgeNotice, Side};
use std::fmt;
use std::sync::Arc;

/// What becomes of the copies of what a bridge has put on a side that echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Echo {
    /// They go no further. This is so for a target that [declares](crate::Capabilities::echo) its echo, unless the
    /// program says otherwise.
    ///
    /// A copy is known by its exact text, or, where a target carries events by reference, by being the same event.
    Dropped,
    /// They go on to the other side like everything that is heard here, so that who published there hears it, too.
    ///
    /// It is for a hub that does not relay what its spokes send, beside a broker: all spokes of all such hubs then hear
    /// everything from the broker, in its order. Nothing has to be remembered. The other side must not echo.
    PassedOn,
}

/// How a bridge behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct BridgeOptions {
    /// Carry only what is published on this side.
    pub only_from: Option<Side>,
    /// How the left side echoes, where that is not as its target declares.
    ///
    /// A spoke does not know whether its hub relays, and declares no echo. The hub program relays, and so do hubs in a
    /// library that are told to: then this is [`Echo::Dropped`].
    pub left_echo: Option<Echo>,
    /// The same of the right side.
    pub right_echo: Option<Echo>,
    /// Events that may wait on each side for the other to take them; at least 1. Newer ones are lost, and that is told.
    pub max_queued: usize,
    /// Bytes that may wait so.
    pub max_queued_bytes: usize,
    /// Events whose copies may be awaited on each side; at least 1. Beyond, the oldest is given up; should its copy come
    /// after all, it crosses like another's.
    pub max_awaited: usize,
    /// Bytes of such events.
    pub max_awaited_bytes: usize,
    pub(super) told: Option<Arc<Told>>,
}

pub(super) type Told = dyn Fn(&BridgeNotice) + Send + Sync;

impl BridgeOptions {
    /// Both ways, echoes as declared. 65,536 events and 16 MiB may wait on each side; 262,144 events and 64 MiB be awaited,
    /// which is more than may be on its way through a Redis target or a spoke with their own defaults.
    pub const DEFAULT: Self = Self {
        only_from: None,
        left_echo: None,
        right_echo: None,
        max_queued: 65_536,
        max_queued_bytes: 16 << 20,
        max_awaited: 262_144,
        max_awaited_bytes: 64 << 20,
        told: None,
    };

    /// [`DEFAULT`](Self::DEFAULT).
    #[must_use]
    pub const fn new() -> Self {
        Self::DEFAULT
    }

    /// One way only.
    #[must_use]
    pub fn only_from(self, side: Side) -> Self {
        Self { only_from: Some(side), ..self }
    }

    /// With a side that echoes otherwise than its target declares.
    #[must_use]
    pub fn echo(self, side: Side, echo: Echo) -> Self {
        match side {
            Side::Left => Self { left_echo: Some(echo), ..self },
            Side::Right => Self { right_echo: Some(echo), ..self },
        }
    }

    /// Calls this with what the bridge has to tell, which no subscriber hears otherwise. It must not block. What it
    /// dispatches on the other side stands in the place of the loss.
    #[must_use]
    pub fn on_notice(self, told: impl Fn(&BridgeNotice) + Send + Sync + 'static) -> Self {
        Self { told: Some(Arc::new(told)), ..self }
    }
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for BridgeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeOptions")
            .field("only_from", &self.only_from)
            .field("left_echo", &self.left_echo)
            .field("right_echo", &self.right_echo)
            .field("max_queued", &self.max_queued)
            .field("max_queued_bytes", &self.max_queued_bytes)
            .field("max_awaited", &self.max_awaited)
            .field("max_awaited_bytes", &self.max_awaited_bytes)
            .finish_non_exhaustive()
    }
}
