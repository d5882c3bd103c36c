//! What a program may say about a hub's connections.

use super::spoke::Spoke;
use crate::event_target::CloseReason;
use crate::protocol::control::{Action, DenyReason};
use std::sync::Arc;

/// A program's say in its hub. Each hook is called on the task that serves the connection and must not block; by several
/// threads at a time, where there are several [`shards`](crate::websocket_server::ServerOptions::shards).
/// One that panics is reported as the `error` notice; its connection is denied what it asked for, or goes on.
pub trait HubHooks: Send + Sync + 'static {
    /// A connection is there. Listeners added to its own target here hear its first event.
    fn connected(&self, spoke: &Arc<Spoke>) {
        let _ = spoke;
    }

    /// A connection is gone; comes once for each that was there.
    fn disconnected(&self, spoke: &Arc<Spoke>, reason: &CloseReason) {
        let _ = (spoke, reason);
    }

    /// More waits for a connection than the bound allows. It is closed with 1013 when this returns.
    fn backpressure(&self, spoke: &Arc<Spoke>, queued_bytes: usize) {
        let _ = (spoke, queued_bytes);
    }

    /// Whether a connection may subscribe to, or publish on, a topic, which is split at its first `:`. So it is for
    /// publications too, whatever the envelope says: type `a:b` with id `c` asks for `a` and `b:c`.
    ///
    /// # Errors
    /// The reason that the spoke is told.
    fn authorise(
        &self,
        spoke: &Arc<Spoke>,
        action: Action,
        event_type: &str,
        id: &str,
    ) -> Result<(), DenyReason> {
        let _ = (spoke, action, event_type, id);
        Ok(())
    }
}
