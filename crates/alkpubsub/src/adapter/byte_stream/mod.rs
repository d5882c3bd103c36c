//! Links over whatever carries bytes and no messages: TCP, Unix sockets, SSH channels, pipes.

mod hub;
mod message;
mod socket;
mod target;

pub use hub::ByteStreamHubEventTarget;
pub use message::{ByteStreamError, ByteStreamMessage};
pub use socket::{ByteStreamSocket, Parts};
pub use target::{ByteStreamEventTarget, ByteStreamOptions};
