//! One folder per transport; no adapter knows another.

mod websocket;
