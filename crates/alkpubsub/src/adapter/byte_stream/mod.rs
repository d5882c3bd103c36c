//! Links over whatever carries bytes and no messages: TCP, Unix sockets, SSH channels, pipes.

mod message;
mod socket;
mod target;

pub use message::{ByteStreamError, ByteStreamMessage};
pub use socket::{ByteStreamSocket, Parts};
pub use target::{ByteStreamEventTarget, ByteStreamOptions};
