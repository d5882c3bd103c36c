//! Connections over iroh, for JavaScript: an endpoint, and on each connection the one stream, as messages and a Close.
//!
//! What links do is decided elsewhere, by the core's own module. This one moves messages. It knows of the protocol what a
//! WebSocket knows of its own: frames, and the last of them, `__close`; both are the core's
//! ([`length_prefix`](alkpubsub::protocol::length_prefix), [`control`](alkpubsub::protocol::control)).
//!
//! It is for `wasm32-unknown-unknown`, where a host has `WebSocket`; elsewhere it is empty.
#![cfg(target_family = "wasm")]

mod crypto;
mod endpoint;
mod stream;

pub use endpoint::Endpoint;
pub use stream::Stream;
