//! One folder per transport; no adapter knows another.

#[cfg(feature = "websocket-server")]
pub(crate) mod engine;
pub(crate) mod websocket;
