//! One folder per transport; no adapter knows another.

#[cfg(any(feature = "_link", feature = "_engine"))]
mod admit;
#[cfg(any(feature = "_engine", feature = "redis"))]
#[cfg_attr(
    not(all(feature = "_engine", feature = "redis")),
    allow(
        dead_code,
        unused_imports,
        unreachable_pub,
        reason = "either there is no broker, or no hub behind it"
    )
)]
pub(crate) mod broker;
#[cfg(feature = "byte-stream")]
pub(crate) mod byte_stream;
#[cfg(feature = "_engine")]
#[cfg_attr(
    not(feature = "websocket-server"),
    allow(dead_code, unused_imports, reason = "there is no listener, and nobody who shakes hands")
)]
pub(crate) mod engine;
#[cfg(feature = "_iroh")]
pub(crate) mod iroh;
#[cfg(feature = "_link")]
pub(crate) mod link;
#[cfg(feature = "_engine")]
mod peer_closed;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(all(unix, feature = "unix-socket"))]
pub(crate) mod unix_socket;
#[cfg(any(feature = "websocket-client", feature = "websocket-server"))]
pub(crate) mod websocket;
#[cfg(feature = "worker")]
pub(crate) mod worker;
#[cfg(all(unix, feature = "worker-process"))]
pub(crate) mod worker_process;

#[cfg(any(feature = "_link", feature = "_engine"))]
use admit::admit;
