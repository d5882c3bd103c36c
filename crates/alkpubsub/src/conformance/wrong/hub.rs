//! What in-memory links connect to: a scripted wire, or a hub that relays between them.

use super::link::{Far, Link};
use super::{HubFlaw, LinkFlaw};
use crate::conformance::run::lock;
use crate::conformance::{FarSide, Fault, Fixture, Lent, Offers, Peers, RawMessage, Wire};
use crate::event_target::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order};
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Action, Control, DenyReason};
use crate::{BadTopic, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// One link and a scripted far side.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkFixture {
    pub(super) flaw: LinkFlaw,
    pub(super) lifetime: Lifetime,
    /// The connection was lent to it; then there is no other end to look at.
    pub(super) lent: bool,
}

impl Fixture for LinkFixture {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: self.lifetime,
            confirms: true,
        }
    }

    fn offers(&self) -> Offers {
        if self.lent {
            return Offers { lent: true, ..Offers::default() };
        }
        let wire = Some(FarSide::Hub);
        Offers { cut: true, stall: true, wire, near: true, hang_up: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let mut far = None;
        let link = Arc::new_cyclic(|link: &Weak<Link>| {
            let near = link.clone();
            let receive = move |message| {
                if let Some(link) = near.upgrade() {
                    link.receive(&message);
                }
            };
            let wire = far.insert(Wire::new(FarSide::Hub, receive)).clone();
            let mut link = Link::new(self.flaw, self.lifetime, wire);
            link.owned = !self.lent;
            link
        });
        let peers = far.map(|wire| {
            let target: Arc<dyn EventTarget> = link.clone();
            if self.lent {
                return Peers::new(wire.target(), vec![target]).with_lent(Arc::new(LentWire(wire)));
            }
            let fault = Arc::new(LinkFault(link));
            Peers::new(wire.target(), vec![target.clone()]).with_wire(wire, Some(target)).with_fault(fault)
        });
        Box::pin(std::future::ready(peers.ok_or_else(String::new)))
    }

    fn deadline(&self) -> Duration {
        super::deadline(self.flaw == LinkFlaw::None)
    }
}

impl Far for Wire {
    fn heard(&self, text: String) {
        Self::heard(self, text);
    }

    fn ended(&self, code: Option<u16>) {
        Self::ended(self, code);
    }
}

/// A connection that was lent: it should go on when its link has ended.
struct LentWire(Arc<Wire>);

impl Lent for LentWire {
    fn use_again(&self) -> BoxFuture<'_, Result<(), String>> {
        let used = self.0.goes_on().then_some(()).ok_or_else(|| "a connection that has ended".to_owned());
        Box::pin(std::future::ready(used))
    }
}

struct LinkFault(Arc<Link>);

impl Fault for LinkFault {
    fn cut(&self) -> BoxFuture<'_, ()> {
        self.0.cut();
        Box::pin(std::future::ready(()))
    }

    fn heal(&self) -> BoxFuture<'_, ()> {
        self.0.heal();
        Box::pin(std::future::ready(()))
    }

    fn stall(&self) -> BoxFuture<'_, ()> {
        self.0.stall(true);
        Box::pin(std::future::ready(()))
    }

    fn go_on(&self) -> BoxFuture<'_, ()> {
        self.0.stall(false);
        Box::pin(std::future::ready(()))
    }
}

/// Three links to a hub that relays, and a raw spoke.
#[derive(Clone, Copy, Debug)]
pub(super) struct HubFixture(pub(super) HubFlaw);

impl Fixture for HubFixture {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: true,
        }
    }

    fn offers(&self) -> Offers {
        Offers { stall: true, wire: Some(FarSide::Spoke), ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let hub = Arc::new(Hub { flaw: self.0, state: Mutex::default() });
        let mut links = (0..RAW).map(|number| -> Arc<dyn EventTarget> { hub.connect(number) });
        let publisher = links.next();
        let spoke = Socket { hub: hub.clone(), number: RAW, before: Mutex::default() };
        let send = move |message| {
            spoke.heard(match message {
                RawMessage::Text(text) => text,
                RawMessage::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                // It does not offer to hang up.
                RawMessage::Close(_) => return,
            });
        };
        let wire = Wire::new(FarSide::Spoke, send);
        let fault = Arc::new(RawSpoke { wire: wire.clone(), queue: Mutex::default() });
        lock(&hub.state).raw = Some(fault.clone());
        let peers = publisher.map(|publisher| {
            Peers::new(publisher, links.collect())
                .with_wire(wire, None)
                .with_fault(fault)
                .keeping(hub.clone())
        });
        Box::pin(std::future::ready(peers.ok_or_else(String::new)))
    }

    fn deadline(&self) -> Duration {
        super::deadline(self.0 == HubFlaw::None)
    }
}

/// The number of the raw spoke; links have those below.
const RAW: usize = 3;

/// Bytes that may wait for a raw spoke that does not read.
const MAX_OUTBOUND: usize = 1 << 20;

struct Hub {
    flaw: HubFlaw,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: Vec<Weak<Link>>,
    raw: Option<Arc<RawSpoke>>,
    /// Topic and link.
    subscribed: BTreeSet<(String, usize)>,
    /// Subscribed twice, where that counts.
    twice: BTreeSet<(String, usize)>,
    /// Confirmed, but not in place yet, where that is the flaw.
    late: Vec<(String, usize)>,
}

/// The hub's end of the raw spoke.
struct RawSpoke {
    wire: Arc<Wire>,
    queue: Mutex<RawQueue>,
}

#[derive(Default)]
struct RawQueue {
    stalled: bool,
    too_slow: bool,
    bytes: usize,
    texts: Vec<String>,
}

impl RawSpoke {
    fn send(&self, text: &str, bounded: bool) {
        {
            let mut queue = lock(&self.queue);
            queue.too_slow |= bounded && queue.bytes > MAX_OUTBOUND;
            if queue.too_slow {
                return;
            }
            if queue.stalled {
                queue.bytes += text.len();
                queue.texts.push(text.to_owned());
                return;
            }
        }
        self.wire.heard(text);
    }
}

impl Fault for RawSpoke {
    fn stall(&self) -> BoxFuture<'_, ()> {
        lock(&self.queue).stalled = true;
        Box::pin(std::future::ready(()))
    }

    fn go_on(&self) -> BoxFuture<'_, ()> {
        let queue = std::mem::take(&mut *lock(&self.queue));
        queue.texts.into_iter().for_each(|text| self.wire.heard(text));
        if queue.too_slow {
            self.wire.ended(Some(1013));
        }
        Box::pin(std::future::ready(()))
    }
}

/// One link's place at the hub.
struct Socket {
    hub: Arc<Hub>,
    number: usize,
    /// What came last, where that is handled after what comes next.
    before: Mutex<Option<String>>,
}

impl Hub {
    fn connect(self: &Arc<Self>, number: usize) -> Arc<Link> {
        let socket = Arc::new(Socket { hub: self.clone(), number, before: Mutex::default() });
        let mut link = Link::new(LinkFlaw::None, Lifetime::PerConnection, socket);
        link.sends_unencodable = self.flaw == HubFlaw::SendsUnencodable;
        let link = Arc::new(link);
        lock(&self.state).links.push(Arc::downgrade(&link));
        link
    }

    fn send(&self, number: usize, text: &str) {
        let (link, raw) = {
            let state = lock(&self.state);
            (state.links.get(number).and_then(Weak::upgrade), state.raw.clone().filter(|_| number == RAW))
        };
        if let Some(link) = link {
            link.receive(&RawMessage::Text(text.to_owned()));
        }
        if let Some(raw) = raw {
            raw.send(text, self.flaw != HubFlaw::WaitsForSlowSpoke);
        }
    }

    fn relay(&self, from: usize, topic: &str, text: &str) {
        let to: BTreeMap<usize, usize> = {
            let mut state = lock(&self.state);
            let mut to = BTreeMap::new();
            let of_topic = |(of, _): &&(String, usize)| of == topic;
            for (_, number) in state.subscribed.iter().chain(&state.twice).filter(of_topic) {
                *to.entry(*number).or_default() += 1;
            }
            if self.flaw == HubFlaw::SendsToAll {
                (0..=RAW).for_each(|number| _ = to.entry(number).or_insert(1));
            }
            let late = std::mem::take(&mut state.late);
            state.subscribed.extend(late);
            to
        };
        for (number, held) in to {
            let times = match self.flaw {
                HubFlaw::EchoesTwice if number == from => 2,
                HubFlaw::NoEcho if number == from => 0,
                _ => held,
            };
            (0..times).for_each(|_| self.send(number, text));
        }
    }

    fn subscribe(&self, number: usize, topic: &str) {
        let denied = match Topic::parse(topic) {
            Ok(topic) if topic.event_type() == "direct" && self.flaw == HubFlaw::DeniesDirect => {
                Some(DenyReason::NotAllowed)
            }
            Ok(_) => None,
            Err(BadTopic::Reserved) => Some(DenyReason::Reserved),
            Err(_) => Some(DenyReason::BadTopic),
        };
        if let Some(reason) = denied {
            if self.flaw != HubFlaw::DeniesInSilence {
                self.send(number, &control::denied(topic, Action::Subscribe, reason));
            }
            return;
        }
        let entry = (topic.to_owned(), number);
        let again = {
            let mut state = lock(&self.state);
            let again = state.subscribed.contains(&entry);
            match self.flaw {
                HubFlaw::ConfirmsBeforeInPlace => state.late.push(entry),
                HubFlaw::HeldTwiceDeliversTwice if again => _ = state.twice.insert(entry),
                _ => _ = state.subscribed.insert(entry),
            }
            again
        };
        if !again || self.flaw != HubFlaw::AnswersOnce {
            self.send(number, &control::subscribed(topic));
        }
    }
}

impl Socket {
    fn handle(&self, text: String) {
        let Ok(parts) = parts(text.as_bytes(), &MessageLimits::DEFAULT) else { return };
        match control::read(&parts) {
            Ok(None) => {
                let topic = format!("{}:{}", parts.event_type, parts.id);
                self.hub.relay(self.number, &topic, &text);
            }
            Ok(Some(Control::Subscribe(topic))) => self.hub.subscribe(self.number, &topic),
            Ok(Some(Control::Unsubscribe(topic))) if self.hub.flaw != HubFlaw::IgnoresUnsubscribe => {
                lock(&self.hub.state).subscribed.remove(&(topic.into_owned(), self.number));
            }
            Ok(Some(Control::Ping(echo))) => {
                let anew = serde_json::from_str(echo).map(|echo: serde_json::Value| echo.to_string());
                let echo = match (self.hub.flaw, &anew) {
                    (HubFlaw::PongReencodes, Ok(anew)) => anew,
                    _ => echo,
                };
                self.hub.send(self.number, &control::pong(echo));
            }
            _ => {}
        }
    }
}

impl Far for Socket {
    fn heard(&self, text: String) {
        if self.hub.flaw == HubFlaw::PongsFirst && !text.contains("\"__") {
            *lock(&self.before) = Some(text);
            return;
        }
        self.handle(text);
        let before = lock(&self.before).take();
        before.into_iter().for_each(|text| self.handle(text));
    }

    fn ended(&self, _: Option<u16>) {
        lock(&self.hub.state).subscribed.retain(|(_, number)| *number != self.number);
    }
}
