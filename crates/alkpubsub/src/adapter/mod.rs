//! One folder per transport; no adapter knows another.

pub(crate) mod websocket;
