//! What links and hubs decide: the wire's words, checks, subscriptions and queues.
//!
//! Sans-IO: nothing here reads a socket or a clock, starts a task or needs a runtime. Bytes, ids and the time go
//! in as arguments; what is to be sent or told comes out as values. It builds for wasm32.

mod backoff;
pub mod check;
mod close_code;
pub mod control;
pub mod drain;
mod heartbeat;
pub mod hub;
mod json;
pub mod length_prefix;
pub mod link;
mod outbound;
mod refusal_counts;
mod table;
mod tolerance;

pub use backoff::{Backoff, BackoffOptions};
pub use close_code::AfterClose;
pub use heartbeat::HeartbeatOptions;
pub use outbound::{Message, Outbound};
pub use refusal_counts::RefusalCounts;
pub use tolerance::{MAX_BAD_INPUT, WINDOW};
