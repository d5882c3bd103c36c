//! Two event targets joined for some topics, so that what is published on one is heard on the other.
//!
//! ```
//! use alkpubsub::bridge::{Bridge, BridgeOptions};
//! use alkpubsub::{InProcess, PubSub};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (inside, outside) = (Arc::new(InProcess::new()), Arc::new(InProcess::new())); // any two targets
//! let bridge = Arc::new(Bridge::new(inside.clone(), outside.clone(), BridgeOptions::new())?);
//! bridge.add_topic("chat:1")?;
//! bridge.ready("chat:1").await?; // from here on nothing is missed
//! let running = { let bridge = bridge.clone(); tokio::spawn(async move { bridge.run().await }) };
//!
//! let (inside, outside) = (PubSub::new(inside), PubSub::new(outside));
//! let mut here = inside.subscribe_envelopes("chat", "1").await?.events();
//! let mut there = outside.subscribe_envelopes("chat", "1").await?.events();
//! inside.publish_json("chat", "1", &"from inside").await?;
//! assert_eq!(there.next().await.unwrap().payload::<String>()?, "from inside");
//! outside.publish_json("chat", "1", &"from outside").await?;
//! for expected in ["from inside", "from outside"] {
//!     assert_eq!(here.next().await.unwrap().payload::<String>()?, expected); // each once
//! }
//!
//! // What is no topic, or not on both sides, is an error with the side in it.
//! let error = bridge.add_topic("chat").unwrap_err();
//! assert!(error.to_string().starts_with("on the left: a topic is `type:id`, and this text holds no `:`"));
//!
//! // The end of a side ends the bridge, and not the other side.
//! outside.target().close();
//! assert_eq!(running.await?.to_string(), "the target on the right has ended: closed here");
//! inside.publish_json("chat", "1", &"goes on").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A library hub and Redis, as one program. Its spokes hear the spokes of all other such programs:
//!
//! ```no_run
//! # #[cfg(all(feature = "redis", feature = "websocket-server"))]
//! # mod example {
//! use alkpubsub::WebSocketServerEventTarget;
//! use alkpubsub::bridge::{Bridge, BridgeOptions};
//! use alkpubsub::redis::{RedisEventTarget, RedisOptions};
//! use alkpubsub::websocket_server::ServerOptions;
//! use std::sync::Arc;
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
//! let redis = RedisEventTarget::connect("redis://127.0.0.1:6379", RedisOptions::new()).await?;
//! let options = BridgeOptions::new().on_notice(|notice| eprintln!("{notice}"));
//! let bridge = Bridge::new(hub.clone(), redis, options)?;
//! for topic in ["chat:1", "chat:2"] {
//!     bridge.add_topic(topic)?;
//! }
//! let listener = TcpListener::bind("127.0.0.1:8484").await?;
//! tokio::select! {
//!     served = hub.serve(listener) => served?,
//!     end = bridge.run() => eprintln!("{end}"),
//! }
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! This hub relays: its spokes hear each other directly, and when Redis is away, they still do. A hub that does not relay
//! is bridged with `.echo(Side::Right, Echo::PassedOn)`: its spokes hear each other from Redis, in the order in which all
//! others hear it, and not at all when Redis is away. A hub that is to know by itself which topics its spokes want, and
//! that holds answers back until Redis has given its own, is told so in
//! [`HubOptions::behind`][behind]; the program's is `alkpubsub hub --redis`.
//!
#![cfg_attr(feature = "_engine", doc = "[behind]: crate::hub::HubOptions::behind")]
#![cfg_attr(not(feature = "_engine"), doc = "[behind]: crate#features")]
//!
//! # What holds
//!
//! - **Once each way, in order.** What is heard on one side is dispatched on the other, once, in the order in which it was
//!   heard, and as it is: no text is read or written anew, and a value that was published typed stays one. Whoever polls
//!   [`run`](Bridge::run) dispatches, not the publisher's call; so nothing nests, whatever listeners do.
//! - **Nothing comes back.** What the bridge has put on a side that [echoes](crate::Capabilities::echo) is heard there
//!   again, and goes no further ([`Echo`]). A spoke cannot know whether its hub relays, and declares no echo: **say so**
//!   ([`BridgeOptions::echo`]), or each event that it sends comes back to the other side.
//! - **Nothing waits without a bound.** While the other side is [full](crate::DispatchError::Full), events wait for its
//!   [`room`](crate::EventTarget::room), up to [`max_queued`](BridgeOptions::max_queued); newer ones are lost then. While
//!   it is [disconnected](crate::DispatchError::Disconnected), they are lost at once, unless it is told to keep events.
//! - **What is lost is told**, in its place among the events that cross, to
//!   [`on_notice`](BridgeOptions::on_notice), and counted ([`stats`](Bridge::stats)). Subscribers of the other side are
//!   not told: no target has a way to tell its subscribers of what was lost elsewhere. A program that wants that
//!   dispatches an event of its own from there.
//! - **The end.** When a target closes, what was heard there before still crosses; then [`run`](Bridge::run) says why.
//!   The other target goes on. Dropping the bridge removes its listeners.
//!
//! # Copies
//!
//! Own copies are told from others' events by their exact text or, where a target carries by reference, by being the very
//! same event. What comes of that:
//!
//! - **Two parties publish the same text at the same time.** As many cross as others have published: which of the equal
//!   ones is taken for the bridge's own, nobody can tell. It may change places with what others published between.
//! - **A copy does not come**, because a connection was lost with it. It is awaited, as it may still come late: an event
//!   that is heard twice is worse than one that is lost. If meanwhile another publishes the same text, that one is taken
//!   for it. After whatever can lose a copy (a gap, a denied event, a subscription that was not in place yet) this is told
//!   as [`LossReason::Ambiguous`], so that a program that loads its state anew at each loss is right in the end. When a
//!   thousand later copies have come in a row, it is given up.
//! - **More are awaited than the bound** ([`max_awaited`](BridgeOptions::max_awaited)): the oldest is given up. Should it
//!   come after all, it crosses like another's, and is heard twice. The default holds more than can be on its way.
//!
//! With [`Echo::PassedOn`] there is nothing to remember, and none of this can happen.
//!
//! # Bridges form a tree
//!
//! Of three bridges in a triangle, or two between the same two targets, each takes the other's events for somebody's own:
//! every event then goes round in both directions without end, and is heard once each time it passes.

mod copies;
mod ear;
mod lane;
mod notice;
mod options;
mod stats;
mod topics;

pub use notice::{BridgeEnd, BridgeError, BridgeNotice, LossReason, Side};
pub use options::{BridgeOptions, Echo};
pub use stats::{BridgeStats, SideStats};

use crate::event_target::{Carries, DispatchError, EventTarget, ListenError, ListenerId, Notice, Readiness};
use crate::notice::on_notice;
use crate::sync::{Mutex, MutexGuard};
use crate::topic::Topic;
use crate::waiters::Waiters;
use copies::Copies;
use ear::{Ear, Work};
use lane::{Lane, Loss};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use topics::{Bank, Topics};

/// After so many events, other tasks have their turn.
const EVENTS_A_TURN: u32 = 64;

/// Carries events of some topics between two targets: see the [module's page](self).
///
/// It does nothing by itself: somebody polls [`run`](Self::run), on any executor. Meanwhile, and before, topics can be
/// added and removed, on any thread and within listeners.
#[must_use = "a bridge that is dropped carries nothing"]
pub struct Bridge {
    left: Bank,
    right: Bank,
    only_from: Option<Side>,
    topics: Topics,
    /// The listeners to the close notices.
    closing: [(Side, ListenerId); 2],
    state: Mutex<State>,
    waiters: Waiters,
}

#[derive(Default)]
struct State {
    end: Option<BridgeEnd>,
    /// Somebody polls `run`.
    running: bool,
}

impl Bridge {
    /// Joins two targets, for no topic yet. They stay the program's: the bridge closes neither.
    ///
    /// # Errors
    /// [`BridgeError`]: a target is closed, or an echo is to be passed on to a side that echoes.
    pub fn new(
        left: impl EventTarget,
        right: impl EventTarget,
        options: BridgeOptions,
    ) -> Result<Self, BridgeError> {
        let [left, right]: [Arc<dyn EventTarget>; 2] = [Arc::new(left), Arc::new(right)];
        let echoes = [(&left, options.left_echo), (&right, options.right_echo)].map(|(target, told)| {
            let declared = target.capabilities().echo.then_some(Echo::Dropped);
            told.or(declared)
        });
        let both_ways = options.only_from.is_none();
        if both_ways && echoes.contains(&Some(Echo::PassedOn)) && !echoes.contains(&None) {
            return Err(BridgeError::BothEcho);
        }
        let bank = |side, target: Arc<dyn EventTarget>, echo| {
            let copies = (both_ways && echo == Some(Echo::Dropped)).then(|| {
                let by_reference = target.capabilities().carries == Carries::Reference;
                Copies::new(by_reference, options.max_awaited, options.max_awaited_bytes)
            });
            let lane = Lane::new(options.max_queued, options.max_queued_bytes, copies);
            Bank { side, target, ear: Ear::new(side, lane, options.told.clone()) }
        };
        let left = bank(Side::Left, left, echoes[0]);
        let right = bank(Side::Right, right, echoes[1]);
        let hear_the_end = |bank: &Bank| {
            let ear = bank.ear.clone();
            let hear = move |notice: &Notice| {
                if let Notice::Close(reason) = notice {
                    ear.closed(reason);
                }
            };
            let added = bank.target.add_event_listener("close", Arc::new(on_notice(hear)));
            added.map_err(|error| BridgeError::Listen { side: bank.side, error })
        };
        let on_left = hear_the_end(&left)?;
        let on_right = hear_the_end(&right).inspect_err(|_| left.target.remove_event_listener(on_left))?;
        Ok(Self {
            left,
            right,
            only_from: options.only_from,
            topics: Topics::default(),
            closing: [(Side::Left, on_left), (Side::Right, on_right)],
            state: Mutex::default(),
            waiters: Waiters::default(),
        })
    }

    /// Carries a topic, as many times as it is added less the times that it is removed. It is listened to when this
    /// returns; [`ready`](Self::ready) tells when the far sides have confirmed it.
    ///
    /// # Errors
    /// [`BridgeError`]: it is no topic, is too long for a side, or the bridge or a side has ended.
    pub fn add_topic(&self, topic: &str) -> Result<(), BridgeError> {
        if let Some(end) = self.end() {
            return Err(BridgeError::Ended(end));
        }
        let listen = |error| BridgeError::Listen { side: self.heard()[0].side, error };
        let topic = Topic::parse(topic).map_err(|error| listen(ListenError::BadTopic(error)))?;
        self.topics.add(topic, &self.heard())
    }

    /// Carries a topic once less. When it returns for the last time, nothing of it is heard any more, unless another
    /// thread changes the same topic right now; what was heard before still crosses. A topic that is not carried is left
    /// alone.
    pub fn remove_topic(&self, topic: &str) {
        if let Ok(topic) = Topic::parse(topic) {
            self.topics.remove(&topic, &self.heard());
        }
    }

    /// Waits until it is known on both sides whether the topic is in place: what is published on either afterwards
    /// crosses. [`Readiness::Unconfirmed`] where a far side does not answer. [`EventTarget::ready`] says how long that may
    /// take.
    ///
    /// # Errors
    /// [`BridgeError`]: a side denied it, the topic was not added, or the bridge or a side has ended.
    pub async fn ready(&self, topic: &str) -> Result<Readiness, BridgeError> {
        let carried = Topic::parse(topic).is_ok_and(|topic| self.topics.carries(&topic));
        if !carried {
            return Err(self
                .end()
                .map_or(BridgeError::NotCarried { topic: topic.into() }, BridgeError::Ended));
        }
        let mut readiness = Readiness::Confirmed;
        for bank in self.heard() {
            match bank.target.ready(topic).await {
                Readiness::Confirmed => {}
                Readiness::Unconfirmed => readiness = Readiness::Unconfirmed,
                Readiness::Denied(reason) => return Err(BridgeError::Denied { side: bank.side, reason }),
                Readiness::Closed => {
                    let error = ListenError::Closed(bank.target.closed().await);
                    return Err(BridgeError::Listen { side: bank.side, error });
                }
            }
        }
        Ok(readiness)
    }

    /// Carries events until the bridge ends, and tells why. Then its listeners are removed.
    ///
    /// Cancel-safe: what waits is kept for the next call. Of several at a time one carries, and the others wait for it.
    pub async fn run(&self) -> BridgeEnd {
        let _turn = self.turn().await;
        let mut ended = pin!(self.waiters.until(|| self.end()));
        let mut from_left = pin!(self.carry(Side::Left));
        let mut from_right = pin!(self.carry(Side::Right));
        let end = std::future::poll_fn(|context| {
            if let Poll::Ready(end) = ended.as_mut().poll(context) {
                return Poll::Ready(end);
            }
            match from_left.as_mut().poll(context) {
                Poll::Pending => from_right.as_mut().poll(context),
                ready => ready,
            }
        });
        self.finish(end.await)
    }

    /// Ends the bridge, and neither target. What waits is lost, and counted.
    pub fn close(&self) {
        self.finish(BridgeEnd::Closed);
    }

    /// Why it has ended; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<BridgeEnd> {
        self.lock().end.clone()
    }

    /// All counters, as they are now.
    #[must_use]
    pub fn stats(&self) -> BridgeStats {
        BridgeStats {
            left: self.left.ear.stats(),
            right: self.right.ear.stats(),
            topics: self.topics.count() as u64,
            panicked: self.left.ear.panicked() + self.right.ear.panicked(),
        }
    }

    fn bank(&self, side: Side) -> &Bank {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// The sides that are listened to.
    fn heard(&self) -> Vec<&Bank> {
        let banks = [&self.left, &self.right];
        banks.into_iter().filter(|bank| self.only_from.is_none_or(|side| side == bank.side)).collect()
    }

    /// Carries what is heard on one side across.
    async fn carry(&self, from: Side) -> BridgeEnd {
        let (here, there) = (self.bank(from), self.bank(from.other()));
        for turn in 1_u32.. {
            match here.ear.next().await {
                Work::End(reason) => return BridgeEnd::Target { side: from, reason },
                Work::Lost(topic, Loss { missed, why }) => {
                    here.ear.tell(&BridgeNotice::Lost { from, topic, missed, why });
                }
                Work::Event(event) => match there.ear.put(&*there.target, &event) {
                    // It is still the next one.
                    Err(DispatchError::Full) => there.target.room().await,
                    outcome => {
                        here.ear.settle(&outcome);
                        if let Err(error) = outcome {
                            let (topic, why) = (event.topic().clone(), LossReason::Refused(error));
                            here.ear.tell(&BridgeNotice::Lost { from, topic, missed: Some(1), why });
                        }
                    }
                },
            }
            if turn % EVENTS_A_TURN == 0 {
                yield_now().await;
            }
        }
        unreachable!("the loop has no other end")
    }

    /// The right to carry, which one at a time has.
    async fn turn(&self) -> Turn<'_> {
        let take = || (!std::mem::replace(&mut self.lock().running, true)).then_some(());
        self.waiters.until(take).await;
        Turn(self)
    }

    /// The first end is the end.
    fn finish(&self, end: BridgeEnd) -> BridgeEnd {
        let end = self.lock().end.get_or_insert(end).clone();
        self.topics.end(&self.heard());
        for (side, listener) in self.closing {
            self.bank(side).target.remove_event_listener(listener);
            self.bank(side).ear.abandon();
        }
        self.waiters.wake_all();
        end
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("stats", &self.stats())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// Gives the right to carry back.
struct Turn<'b>(&'b Bridge);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().running = false;
        self.0.waiters.wake_all();
    }
}

/// Lets the executor's other tasks go first.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
