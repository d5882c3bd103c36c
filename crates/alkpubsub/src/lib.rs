//! alkpubsub

// What the hub's engine will call; until it does, nothing but the tests uses it.
#[cfg(feature = "websocket-server")]
#[cfg_attr(not(test), expect(dead_code))]
mod adapter;
