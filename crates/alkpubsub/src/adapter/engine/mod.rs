//! The engine that every hub transport shares: one task that owns the sockets and asks the sans-IO hub.

mod connection;
#[allow(dead_code, reason = "taken up by the next commit")]
mod crossing;
mod frame;
mod handle;
mod hooks;
mod intake;
mod shard;
mod shared;
mod spoke;
mod wake;

pub use connection::Socket;
pub use handle::AddConnectionError;
pub(crate) use handle::{Handle, Reserved};
pub use hooks::HubHooks;
pub(crate) use shard::Relaying;
pub use spoke::Spoke;
