//! Links, whatever carries them: the target of one connection, its pump, and the spoke that connects anew.
//!
//! A transport brings a socket, which is a stream and a sink of messages ([`SocketMessage`]).

mod pump;
mod socket;
mod spoke;
mod state;
mod target;

pub(crate) use pump::Pump;
pub use socket::{LinkSocket, SocketInput, SocketMessage};
#[cfg(any(feature = "redis", feature = "websocket-client"))]
pub(crate) use spoke::Behind;
#[cfg(feature = "redis")]
pub(crate) use spoke::attempt;
#[cfg(any(feature = "byte-stream", feature = "redis"))]
pub(crate) use spoke::drain;
pub use spoke::{Spoke, SpokeOptions};
pub use state::{Interruption, SpokeState, States};
pub use target::DisconnectError;
#[cfg(any(feature = "byte-stream", feature = "websocket-client"))]
pub(crate) use target::Life;
pub(crate) use target::{LinkTarget, TargetOptions};
