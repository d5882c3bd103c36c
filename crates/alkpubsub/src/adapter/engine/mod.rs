//! The engine that every hub transport shares: shards that own the sockets, each a task, and ask the sans-IO
//! hub.

mod behind;
mod connection;
mod crossing;
#[cfg(any(feature = "websocket-server", feature = "unix-socket"))]
mod doorway;
mod frame;
pub(crate) mod framing;
mod handle;
mod hooks;
mod intake;
mod io;
mod opening;
mod options;
mod orders;
mod shard;
mod shared;
mod spoke;
mod wake;

#[cfg(any(feature = "websocket-server", feature = "unix-socket"))]
pub(crate) use doorway::{Doorway, accept_into};
pub use handle::{AddConnectionError, SharedHub, StartError};
pub(crate) use handle::{Handle, Reserved};
pub use hooks::HubHooks;
pub use io::Socket;
pub(crate) use opening::{Opening, Step};
pub use options::HubOptions;
pub use spoke::Spoke;
