//! The WebSocket hub, from both ends: bytes made by hand on plain sockets, and the program that owns the hub.
//!
//! Nothing here waits for time to pass. Whatever is awaited has a watchdog behind it, which fails the test.

mod bad_input;
mod churn;
mod control;
mod conversation;
mod drain;
mod ends;
mod fan_out;
mod handshake;
mod hostile;
mod layers;
mod limits;
mod load;
#[cfg(feature = "hyper")]
mod mounted;
mod once_wrong;
mod programs;
mod races;
mod shards;
mod spokes;
mod support;
