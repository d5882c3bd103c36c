//! WebSocket: one text message is one envelope.

#[cfg(feature = "websocket-client")]
pub(crate) mod client;
#[cfg(feature = "websocket-server")]
mod handshake;
#[cfg(feature = "hyper")]
mod mounted;
#[cfg(feature = "websocket-server")]
pub(crate) mod opening;
#[cfg(feature = "websocket-server")]
mod server;

#[cfg(feature = "websocket-server")]
pub use handshake::Origins;
#[cfg(feature = "websocket-server")]
pub use server::{ServerOptions, WebSocketServerEventTarget};
