//! Typed publish/subscribe over event targets that can be exchanged.
//!
//! A program publishes and subscribes to events by type and id. Where they go is decided where the target is made: to
//! this process, over a WebSocket to a hub, or to all spokes of a hub of its own.
//!
//! ```
//! # #[cfg(feature = "derive")] mod example {
//! use alkpubsub::{Event, Item, PubSub};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Event)]
//! #[event(type = "call.responded")]
//! struct CallResponded {
//!     output: u32,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pubsub = PubSub::in_process(); // or PubSub::new(any event target)
//! let mut events = pubsub.subscribe::<CallResponded>("uuid-123").await?;
//! pubsub.publish("uuid-123", CallResponded { output: 42 }).await?;
//! match events.next().await {
//!     Some(Item::Event(event)) => assert_eq!((event.id(), event.output), ("uuid-123", 42)),
//!     other => panic!("{other:?}"), // a loss that stands here, or `None`: the end
//! }
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "derive")] example::main().unwrap();
//! ```
//!
//! # Where to begin
//!
//! | to | see |
//! | --- | --- |
//! | publish and subscribe, typed or as JSON | [`PubSub`], [`Event`], [`Subscription`] and its [`Item`]s |
//! | read several topics in one order | [`PubSub::subscribe_many`] |
//! | batch, dedupe, window or group what a stream gives | [`operators`] |
//! | choose a target from a URL at run time | [`connect`] |
//! | stay within one process | [`InProcess`] |
//! | be a spoke of a hub | [`Spoke`][spoke], which connects anew; [`WebSocketClientEventTarget`][client] for one connection |
//! | be a hub, on a port of its own or in a hyper or axum application | [`WebSocketServerEventTarget`][server], its options and hooks in [`websocket_server`][server module] |
//! | join two targets, a hub and Redis for example | [`bridge`] |
//! | pass envelopes on without knowing their types | [`EventEnvelope`], [`Topic`], [`EventTarget`] |
//! | write a target | [`EventTarget`], [`Listener`], [`protocol`], and the laws in [`conformance`][conformance module] |
//!
#![cfg_attr(feature = "websocket-client", doc = "[client]: WebSocketClientEventTarget")]
#![cfg_attr(not(feature = "websocket-client"), doc = "[client]: #features")]
#![cfg_attr(feature = "websocket-client", doc = "[spoke]: Spoke")]
#![cfg_attr(not(feature = "websocket-client"), doc = "[spoke]: #features")]
#![cfg_attr(feature = "websocket-server", doc = "[server]: WebSocketServerEventTarget")]
#![cfg_attr(not(feature = "websocket-server"), doc = "[server]: #features")]
#![cfg_attr(feature = "websocket-server", doc = "[server module]: websocket_server")]
#![cfg_attr(not(feature = "websocket-server"), doc = "[server module]: #features")]
#![cfg_attr(feature = "conformance", doc = "[conformance module]: conformance")]
#![cfg_attr(not(feature = "conformance"), doc = "[conformance module]: #features")]
//!
//! # What to rely on
//!
//! - **Delivery is at most once.** Who was not subscribed did not hear it, and nothing is stored.
//!   [`subscribe`](PubSub::subscribe) returns when the far side has confirmed, where it does that; from then on nothing
//!   published is missed but what the stream says is missing.
//! - **Queues are bounded**, and a loss is an [`Item`] in the place of the loss. A publisher waits for its target's own
//!   outbound queue, never for a subscriber.
//! - **`Ok` of a publish** says that the target has taken the event: the listeners in this process were called, or it
//!   waits to be sent. What still waits when the target is closed or dropped is lost. A program that publishes and
//!   leaves calls [`flush`](PubSub::flush) before (what waited is handed to the socket), or
//!   [`disconnect`][spoke] on its `Spoke` or client (the hub has answered the Close after all before it).
//! - **What came over a wire was checked as a whole** and is passed on as the text that it was.
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `derive` | yes | `#[derive(Event)]` |
//! | `tokio-timer` | | `operators::TokioTimer`; tokio. The features below bring it, too, where they bring a link |
//! | `websocket-client` | | `WebSocketClientEventTarget` and `Spoke`; tokio, tokio-tungstenite |
//! | `websocket-client-tls` | | `wss:` for it; rustls with ring, the system's authorities |
//! | `byte-stream` | | `ByteStreamEventTarget`, `ByteStreamHubEventTarget`, and `ByteStreamSocket` for a `Spoke`; tokio, mio |
//! | `unix-socket` | | `UnixSocketListener`, `ByteStreamEventTarget::unix`, `Spoke::unix`; on Unix |
//! | `redis` | | `redis::RedisEventTarget`; redis |
//! | `redis-tls` | | `rediss:` for it; rustls with ring, the system's authorities |
//! | `iroh-spoke` | | `IrohSpokeEventTarget`, `Spoke::iroh`; iroh |
//! | `iroh-ticket` | | `iroh:` URLs for [`connect`], `iroh::url_of`; iroh's tickets, rustls with ring |
//! | `iroh-hub` | | `IrohHubEventTarget`, a protocol for a router of iroh's; iroh |
//! | `worker-process` | | `worker_process::ProcessHostEventTarget`, `worker_process::WorkerProcessEventTarget`; tokio's processes, rustix; on Unix |
//! | `worker` | | `WorkerHostEventTarget`, `WorkerThreadEventTarget`: threads |
//! | `websocket-server` | | `WebSocketServerEventTarget`; tokio, tungstenite's parser |
//! | `hyper` | | `WebSocketServerEventTarget::upgrade`, for a route of a hyper or axum application; hyper's upgrades |
//! | `conformance` | | the laws, for targets of your own; not covered by semver |
//!
//! Without features it is the in-process core: no runtime, no socket, and it builds for wasm32.

// The README's example is a test, too.
#[cfg(all(doctest, feature = "derive"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(any(feature = "_link", feature = "_engine", feature = "worker"))]
mod adapter;
pub mod bridge;
mod caught;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connect;
mod counts;
mod envelope;
mod event;
mod event_target;
mod in_process;
mod inbox;
mod listeners;
mod notice;
pub mod operators;
pub mod protocol;
mod pubsub;
mod queue;
mod stats;
mod subscribe_many;
mod subscription;
mod sync;
mod topic;
mod waiters;

#[cfg(feature = "byte-stream")]
pub use crate::adapter::byte_stream::{
    ByteStreamError, ByteStreamEventTarget, ByteStreamHubEventTarget, ByteStreamMessage, ByteStreamOptions,
    ByteStreamSocket, Parts,
};
#[cfg(feature = "_link")]
pub use crate::adapter::link::{
    DisconnectError, Interruption, LinkSocket, SocketInput, SocketMessage, Spoke, SpokeOptions, SpokeState,
    States,
};
#[cfg(feature = "websocket-client-tls")]
pub use crate::adapter::websocket::client::TlsRoots;
#[cfg(feature = "websocket-client")]
pub use crate::adapter::websocket::client::{
    BadHeader, ClientOptions, HandshakeOptions, RequestHeader, WebSocketClientEventTarget,
};
pub use crate::connect::{ConnectError, TlsProblem, connect};
pub use crate::envelope::{DecodeError, EncodeError, EnvelopeError, EventEnvelope};
pub use crate::event::{Event, IntoEvent};
pub use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, LinkId, ListenError,
    Listener, ListenerId, Notice, Order, Readiness, TargetError, on_notice,
};
pub use crate::in_process::InProcess;
pub use crate::inbox::End;
#[cfg(feature = "_link")]
pub use crate::protocol::BackoffOptions;
pub use crate::protocol::RefusalCounts;
pub use crate::protocol::check::{Member, MessageLimits, Refusal};
pub use crate::protocol::control::{Action, DenyReason, GapReason};
pub use crate::pubsub::{PubSub, SubscribeError};
pub use crate::queue::{Overflow, QueueLimits};
pub use crate::stats::Stats;
pub use crate::subscribe_many::{ManySubscription, SubscribeMany, SubscribeManyError};
pub use crate::subscription::{Events, Item, Subscription, TypedEvent, Undecodable};
pub use crate::topic::{BadTopic, Topic};
#[cfg(feature = "derive")]
#[doc(no_inline)]
pub use alkpubsub_macros::Event;

#[cfg(feature = "iroh-hub")]
pub use crate::adapter::iroh::IrohHubEventTarget;
#[cfg(feature = "iroh-spoke")]
pub use crate::adapter::iroh::IrohSpokeEventTarget;

/// Links over iroh: what both ends ask for, and URLs of hubs.
#[cfg(feature = "_iroh")]
pub mod iroh {
    pub use crate::adapter::iroh::ALPN;
    #[cfg(feature = "iroh-ticket")]
    pub use crate::adapter::iroh::{address_of, endpoint_for, url_of};
}
/// A Redis server between programs.
#[cfg(feature = "redis")]
pub mod redis {
    pub use crate::adapter::redis::{RedisEventTarget, RedisOptions};
}
/// Where a hub listens on a Unix socket.
#[cfg(all(unix, feature = "unix-socket"))]
pub mod unix_socket {
    pub use crate::adapter::unix_socket::{BindError, UnixSocketListener};
}
/// Threads as the other end of a link.
#[cfg(feature = "worker")]
pub mod worker {
    pub use crate::adapter::worker::{
        JoinError, WorkerHandle, WorkerHostEventTarget, WorkerOptions, WorkerThreadEventTarget, pair,
    };
}
/// Child processes as the other end of a link.
#[cfg(all(unix, feature = "worker-process"))]
pub mod worker_process {
    pub use crate::adapter::worker_process::{
        ChildStderr, ProcessFailure, ProcessHostEventTarget, ProcessOptions, SpawnError, StdioError,
        WorkerProcessEventTarget,
    };
}
/// What every hub is given and gives, whatever its connections are.
#[cfg(feature = "_engine")]
pub mod hub {
    pub use crate::adapter::broker::{Broker, BrokerNews, Standing, WatchBroker};
    pub use crate::adapter::engine::{
        AddConnectionError, HubHooks, HubOptions, SharedHub, Socket, Spoke, StartError,
    };
    pub use crate::protocol::hub::{FanOut, HubLimits};
}
/// What a WebSocket hub is given and gives, beside [`WebSocketServerEventTarget`].
#[cfg(feature = "websocket-server")]
pub mod websocket_server {
    pub use crate::adapter::websocket::{Origins, ServerOptions};
    #[doc(no_inline)]
    pub use crate::hub::{AddConnectionError, FanOut, HubHooks, HubLimits, Socket, Spoke, StartError};
}
#[cfg(feature = "websocket-server")]
pub use crate::adapter::websocket::WebSocketServerEventTarget;
