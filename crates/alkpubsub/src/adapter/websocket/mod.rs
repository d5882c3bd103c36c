//! WebSocket: one text message is one envelope.

#[cfg(feature = "websocket-client")]
pub(crate) mod client;
#[cfg(feature = "websocket-server")]
mod frame;
