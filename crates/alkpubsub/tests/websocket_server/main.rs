//! The WebSocket hub, from both ends: bytes made by hand on plain sockets, and the program that owns the hub.
//!
//! Nothing here waits for time to pass. Whatever is awaited has a watchdog behind it, which fails the test.

mod attack4;
mod bad_input;
mod churn;
mod control;
mod drain;
mod ends;
mod fan_out;
mod handshake;
mod hostile;
mod limits;
#[cfg(feature = "hyper")]
mod mounted;
mod programs;
mod races;
mod shards;
mod spokes;
mod support;
