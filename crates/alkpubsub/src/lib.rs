#![doc = include_str!("../README.md")]

#[cfg(any(feature = "websocket-client", feature = "websocket-server"))]
mod adapter;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connect;
mod envelope;
mod event;
mod event_target;
mod in_process;
mod listeners;
pub mod protocol;
mod pubsub;
mod queue;
mod stats;
mod subscription;
mod topic;
mod waiters;

#[cfg(feature = "websocket-client")]
pub use crate::adapter::websocket::client::{
    ClientOptions, DisconnectError, SocketInput, SocketMessage, WebSocketClientEventTarget,
};
pub use crate::connect::{ConnectError, connect};
pub use crate::envelope::{DecodeError, EncodeError, EnvelopeError, EventEnvelope};
pub use crate::event::{Event, IntoEvent};
pub use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, LinkId, ListenError,
    Listener, ListenerId, Notice, Order, Readiness, TargetError, on_notice,
};
pub use crate::in_process::InProcess;
pub use crate::protocol::check::{Member, MessageLimits, Refusal};
pub use crate::protocol::control::{Action, DenyReason, GapReason};
pub use crate::pubsub::{PubSub, SubscribeError};
pub use crate::queue::{Overflow, QueueLimits};
pub use crate::stats::Stats;
pub use crate::subscription::{End, Events, Item, Subscription, TypedEvent, Undecodable};
pub use crate::topic::{BadTopic, Topic};
#[cfg(feature = "derive")]
#[doc(no_inline)]
pub use alkpubsub_macros::Event;

/// What a WebSocket hub is given and gives, beside [`WebSocketServerEventTarget`].
#[cfg(feature = "websocket-server")]
pub mod websocket_server {
    pub use crate::adapter::engine::{AddConnectionError, HubHooks, Socket, Spoke};
    pub use crate::adapter::websocket::{Origins, ServerOptions};
    pub use crate::protocol::hub::{FanOut, HubLimits};
}
#[cfg(feature = "websocket-server")]
pub use crate::adapter::websocket::WebSocketServerEventTarget;
