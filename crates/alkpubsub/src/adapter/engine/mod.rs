//! The engine that every hub transport shares: one task that owns the sockets and asks the sans-IO hub.

mod connection;
mod frame;
mod handle;
mod hooks;
mod intake;
mod io;
mod shard;
mod shared;
mod spoke;
mod wake;

pub use handle::AddConnectionError;
pub(crate) use handle::{Handle, Reserved};
pub use hooks::HubHooks;
pub use io::Socket;
#[cfg(unix)]
pub(crate) use io::{Plain, readable};
pub(crate) use shard::Relaying;
pub(crate) use shared::Arrival;
pub use spoke::Spoke;
