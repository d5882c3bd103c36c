//! The raw end of a medium: text in and out, as a peer in another language would write and see it.

use super::run::{lock, waits_for};
use crate::envelope::EventEnvelope;
use crate::event_target::{
    BoxFuture, Capabilities, Carries, CloseReason, DispatchError, EventTarget, Lifetime, ListenError,
    Listener, ListenerId, Order, Readiness,
};
use crate::listeners::Listeners;
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Control};
use crate::stats::Stats;
use crate::waiters::Waiters;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Which end of a link the wire plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarSide {
    /// A hub: the target under test subscribes at it.
    Hub,
    /// A spoke of the hub under test.
    Spoke,
    /// The other end of a link without a hub: it gets everything, and sends everything.
    Peer,
}

/// One message that the wire sends into the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawMessage {
    /// Text, not necessarily an envelope.
    Text(String),
    /// Bytes, not necessarily UTF-8.
    Binary(Vec<u8>),
    /// The medium's own close, with a code of the contract's table. Only where [`Offers::hang_up`] says so.
    ///
    /// [`Offers::hang_up`]: super::Offers::hang_up
    Close(u16),
}

/// The raw end of a medium. A fixture makes one with a function that writes to the connection, and tells it what
/// comes back: [`heard`](Self::heard) for each message, [`ended`](Self::ended) at the end.
///
/// As a hub it answers `__subscribe` and `__ping`, as a peer `__ping`, by itself until a law asks it not to.
pub struct Wire {
    far: FarSide,
    send: Box<dyn Fn(RawMessage) + Send + Sync>,
    log: Mutex<Log>,
    changed: Waiters,
    listeners: Listeners,
}

#[derive(Default)]
struct Log {
    texts: Vec<String>,
    ended: Option<Option<u16>>,
    silent: bool,
    subscribed: BTreeSet<String>,
}

impl Wire {
    /// A wire that plays `far` and writes with `send`, which must not block.
    pub fn new(far: FarSide, send: impl Fn(RawMessage) + Send + Sync + 'static) -> Arc<Self> {
        let (log, changed) = (Mutex::default(), Waiters::default());
        Arc::new(Self { far, send: Box::new(send), log, changed, listeners: Listeners::default() })
    }

    /// The near end sent this.
    pub fn heard(&self, text: impl Into<String>) {
        let text = text.into();
        let answer = {
            let mut log = lock(&self.log);
            log.texts.push(text.clone());
            if self.far == FarSide::Spoke { None } else { log.answer(&text) }
        };
        if let Some(answer) = answer {
            self.send(answer);
        }
        self.changed.wake_all();
        if let Ok(event) = EventEnvelope::parse(text) {
            self.listeners.dispatch(&event);
        }
    }

    /// The near end closed, or the connection broke.
    pub fn ended(&self, code: Option<u16>) {
        {
            let mut log = lock(&self.log);
            log.ended = Some(code);
            log.subscribed.clear();
        }
        self.changed.wake_all();
    }

    /// An event target on the wire itself: what is dispatched is written to it if, as a hub, it was asked to, and
    /// its listeners hear what the near end sends. The scripted opposite of a target under test.
    #[must_use]
    pub fn target(self: &Arc<Self>) -> Arc<dyn EventTarget> {
        Arc::new(WireTarget(self.clone()))
    }

    pub(super) fn send(&self, text: impl Into<String>) {
        (self.send)(RawMessage::Text(text.into()));
    }

    pub(super) fn send_bytes(&self, bytes: &[u8]) {
        (self.send)(RawMessage::Binary(bytes.into()));
    }

    /// Which end it plays.
    pub(super) fn far(&self) -> FarSide {
        self.far
    }

    /// Whether `__subscribe` is answered, as a hub.
    pub(super) fn answer(&self, answer: bool) {
        lock(&self.log).silent = !answer;
    }

    /// As a spoke, asks for a topic and waits for the answer; as a hub everything comes without asking.
    pub(super) async fn subscribe(&self, topic: &str) {
        if self.far == FarSide::Spoke {
            self.send(control::subscribe(topic));
            let answer = control::subscribed(topic);
            self.until("__subscribed on the wire", |texts| texts.contains(&answer).then_some(())).await;
        }
    }

    /// Waits until what was heard so far is as asked for.
    pub(super) async fn until<T>(&self, what: &str, mut look: impl FnMut(&[String]) -> Option<T>) -> T {
        waits_for(what);
        self.changed.until(|| look(&lock(&self.log).texts)).await
    }

    /// Waits until the near end is gone; its close code.
    pub(super) async fn end(&self) -> Option<u16> {
        waits_for("the end of the connection, seen from the far side");
        self.changed.until(|| lock(&self.log).ended).await
    }

    /// Ends the connection in good order, with this code.
    pub(super) fn hang_up(&self, code: u16) {
        (self.send)(RawMessage::Close(code));
    }

    /// Whether the near end has not ended it.
    pub(super) fn goes_on(&self) -> bool {
        lock(&self.log).ended.is_none()
    }

    /// What was heard so far.
    pub(super) fn texts(&self) -> Vec<String> {
        lock(&self.log).texts.clone()
    }
}

impl Log {
    fn answer(&mut self, text: &str) -> Option<String> {
        let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).ok()?;
        match control::read(&parts).ok()?? {
            Control::Subscribe(topic) if !self.silent => {
                let answer = control::subscribed(&topic);
                self.subscribed.insert(topic.into());
                Some(answer)
            }
            Control::Unsubscribe(topic) => {
                self.subscribed.remove(&*topic);
                None
            }
            Control::Ping(echo) if !self.silent => Some(control::pong(echo)),
            _ => None,
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("far", &self.far).finish_non_exhaustive()
    }
}

struct WireTarget(Arc<Wire>);

impl EventTarget for WireTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: false,
        }
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.0.listeners.add(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.0.listeners.remove(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        crate::topic::check_type(event.event_type())?;
        let text = event.to_json()?;
        if self.0.far != FarSide::Hub || lock(&self.0.log).subscribed.contains(event.topic().as_str()) {
            self.0.send(text);
        }
        Ok(())
    }

    fn close(&self) {
        self.0.listeners.close(CloseReason::Closed);
    }

    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        Box::pin(std::future::ready(Readiness::Unconfirmed))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(std::future::ready(CloseReason::Closed))
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}
