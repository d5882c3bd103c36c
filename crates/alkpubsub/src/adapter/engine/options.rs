//! How a hub behaves, whatever its connections are.

use super::crossing::ShardSet;
use super::hooks::HubHooks;
use crate::adapter::broker::Broker;
use crate::protocol::hub::{FanOut, HubLimits};
use std::fmt;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

/// How a hub behaves, whatever its connections are.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// The bounds.
    pub limits: HubLimits,
    /// To whom an event goes.
    pub fan_out: FanOut,
    /// Whether an event of any spoke goes to all who want it, the sender included. `false` in a library: there
    /// the program's listeners decide what becomes of it.
    pub relay: bool,
    /// Whether connections have identities: then `direct:<identity>` may be subscribed to by its owner alone. So it
    /// is without this from the first connection on that is added with an identity; where others may come before
    /// that one, say it here.
    pub identities: bool,
    /// How long a handshake may take, and over a byte stream the first message; 10 s by default.
    pub handshake_timeout: Duration,
    /// Over how long a shutdown spreads the closes, so that those who come back do not all come at once; 5 s by default.
    /// It is no more than half of the time that the shutdown is given, and a hub with few connections takes less: one is
    /// closed every 10 ms.
    pub drain_window: Duration,
    /// How many shards serve the connections, each on one core at the most; 1 by default,
    /// [64](Self::MOST_SHARDS) at most. The first is a task on the runtime on which the hub is made; every other
    /// one has a thread of its own. See [`shards`](Self::shards).
    pub shards: NonZeroU8,
    /// The program's say.
    pub hooks: Option<Arc<dyn HubHooks>>,
    /// What stands between this hub and others; see [`behind`](Self::behind).
    pub broker: Option<Arc<dyn Broker>>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            limits: HubLimits::DEFAULT,
            fan_out: FanOut::Subscribed,
            relay: false,
            identities: false,
            handshake_timeout: Duration::from_secs(10),
            drain_window: Duration::from_secs(5),
            shards: NonZeroU8::MIN,
            hooks: None,
            broker: None,
        }
    }
}

impl HubOptions {
    /// The most [`shards`](Self::shards) that a hub may have.
    pub const MOST_SHARDS: u8 = ShardSet::MOST;

    /// The defaults: every limit of the hub program's, to the subscribed, nothing relayed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(self, limits: HubLimits) -> Self {
        Self { limits, ..self }
    }

    /// With another fan-out.
    #[must_use]
    pub fn fan_out(self, fan_out: FanOut) -> Self {
        Self { fan_out, ..self }
    }

    /// Relaying what spokes send, as the hub program does.
    #[must_use]
    pub fn relay(self) -> Self {
        Self { relay: true, ..self }
    }

    /// With identities, which own `direct:<identity>`.
    #[must_use]
    pub fn identities(self) -> Self {
        Self { identities: true, ..self }
    }

    /// With several shards, for more connections and events than one core can serve.
    ///
    /// A connection belongs to one shard, that with the fewest when it came. An event goes once to each shard that
    /// wants it, and costs little more than in a hub of one. Whatever the number, what one connection publishes
    /// arrives in its order, once; the limits are those of all shards together. But:
    ///
    /// - Two connections may hear the events of two publishers in a different order, one each way.
    /// - Listeners and hooks are called by several threads at a time; what they start by `tokio::spawn` runs on the
    ///   runtime on which the hub was made.
    /// - Of the program's own events, the queue of each shard holds 4,096 (4 MiB). An event is refused as a whole if
    ///   one of the shards that want it has no room.
    ///
    /// Up to 4,096 events (1 MiB) wait for a shard. Whoever finds as many there reads no socket until there is room
    /// again: nothing is lost between shards.
    ///
    /// Each takes a thread and about four file descriptors. A hub's `try_new` says where the system lacks these, or
    /// there were to be more than [`MOST_SHARDS`](Self::MOST_SHARDS).
    #[must_use]
    pub fn shards(self, shards: NonZeroU8) -> Self {
        Self { shards, ..self }
    }

    /// Behind a broker, which makes one hub of many: what a spoke of one says, the spokes of all hear. It relays.
    ///
    /// The broker stays the caller's, and may have listeners of the program's own. The hub listens there to what its spokes
    /// want, and to nothing else.
    ///
    /// - **In**, while the broker is connected and has confirmed once all that was wanted when it connected: an event of a
    ///   spoke, and of the program's own, goes to the broker alone, and the hub's own spokes hear it from there, once and in
    ///   order. A subscription is answered when the broker has confirmed it, and this hub has caught up with the broker: who
    ///   comes from another hub hears nothing twice.
    /// - **Out**, at any other time: nothing goes there and nothing is taken from there. The hub's own spokes hear each
    ///   other, and subscriptions are answered at once.
    ///
    /// Each event goes one way. One that was on its way to the broker when the connection broke is not sent again: it may
    /// have arrived or not. At each change all subscribed spokes are told of a gap. A hub that comes in asks the broker
    /// whether it has caught up, and takes nothing from it before the answer, behind which that gap stands: whoever came
    /// while the hub was out, and has heard elsewhere what is on its way here, hears nothing twice. (Of several shards,
    /// each changes by itself: then, and only then, events may overtake each other between them.)
    ///
    /// Where the broker has no room, no spoke is read until it has. Whose event it refuses is told so (`denied`, `broker`).
    /// Where spokes are served more slowly than the broker gives, what is beyond 65,536 events or 32 MiB a shard is
    /// missing, which is told as a gap, and counted as [`Stats::dropped`](crate::Stats::dropped).
    ///
    /// A broker that falls silent holds spokes up until that is noticed, and they give a hub up that answers no ping for 8
    /// s: the broker's heartbeat should be shorter, as the hub program's is with 2 s and 3 s. It should keep no events for
    /// its next connection (`SpokeOptions::keep_events`): they would be late, and out of their order.
    ///
    /// The hub's own listeners hear its own spokes alone, and what is dispatched to one spoke goes to that one. Whose
    /// `direct:<identity>` is, each hub knows of its own spokes: where one has identities, all should
    /// ([`identities`](Self::identities)). It does not go with [`FanOut::All`], as nobody knows then what to listen to.
    #[must_use]
    pub fn behind(self, broker: Arc<dyn Broker>) -> Self {
        Self { relay: true, broker: Some(broker), ..self }
    }

    /// With the program's hooks.
    #[must_use]
    pub fn hooks(self, hooks: impl HubHooks) -> Self {
        Self { hooks: Some(Arc::new(hooks)), ..self }
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("limits", &self.limits)
            .field("fan_out", &self.fan_out)
            .field("relay", &self.relay)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}
