//! WebSocket: one text message is one envelope.

pub(crate) mod frame;
mod handshake;
mod server;

pub use handshake::Origins;
pub use server::{ServerOptions, WebSocketServerEventTarget};
