//! The engine that every hub transport shares: shards that own the sockets, each a task, and ask the sans-IO
//! hub.

mod connection;
mod crossing;
mod frame;
mod handle;
mod hooks;
mod intake;
mod io;
mod orders;
mod shard;
mod shared;
mod spoke;
mod wake;

pub use handle::{AddConnectionError, StartError};
pub(crate) use handle::{Handle, Reserved};
pub use hooks::HubHooks;
pub use io::Socket;
#[cfg(unix)]
pub(crate) use io::{Plain, readable};
pub(crate) use orders::Arrival;
pub(crate) use shard::Relaying;
pub(crate) const MOST_SHARDS: u8 = crossing::ShardSet::MOST;
pub use spoke::Spoke;
