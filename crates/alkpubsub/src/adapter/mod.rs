//! One folder per transport; no adapter knows another.

pub(crate) mod engine;
pub(crate) mod websocket;
