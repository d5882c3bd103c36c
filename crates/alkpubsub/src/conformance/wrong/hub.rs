//! What in-memory links connect to: a scripted wire, or a hub that relays between them.

use super::link::{Far, Link};
use super::{HubFlaw, LinkFlaw};
use crate::conformance::run::lock;
use crate::conformance::{FarSide, Fault, Fixture, Offers, Peers, RawMessage, Wire};
use crate::event_target::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order};
use crate::protocol::check::{MessageLimits, parts};
use crate::protocol::control::{self, Control};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// One link and a scripted far side.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkFixture {
    pub(super) flaw: LinkFlaw,
    pub(super) lifetime: Lifetime,
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
        Offers { cut: true, stall: true, wire: Some(FarSide::Hub), near: true }
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
            Link::new(self.flaw, self.lifetime, wire)
        });
        let peers = far.map(|wire| {
            let target: Arc<dyn EventTarget> = link.clone();
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

/// Three links to a hub that relays.
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

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let hub = Arc::new(Hub { flaw: self.0, state: Mutex::default() });
        let mut links = (0..3).map(|number| -> Arc<dyn EventTarget> { hub.connect(number) });
        let publisher = links.next();
        let peers = publisher.map(|publisher| Peers::new(publisher, links.collect()));
        Box::pin(std::future::ready(peers.ok_or_else(String::new)))
    }

    fn deadline(&self) -> Duration {
        super::deadline(self.0 == HubFlaw::None)
    }
}

struct Hub {
    flaw: HubFlaw,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: Vec<Weak<Link>>,
    /// Topic and link.
    subscribed: BTreeSet<(String, usize)>,
    /// Confirmed, but not in place yet, where that is the flaw.
    late: Vec<(String, usize)>,
}

/// One link's place at the hub.
struct Socket {
    hub: Arc<Hub>,
    number: usize,
}

impl Hub {
    fn connect(self: &Arc<Self>, number: usize) -> Arc<Link> {
        let socket = Arc::new(Socket { hub: self.clone(), number });
        let mut link = Link::new(LinkFlaw::None, Lifetime::PerConnection, socket);
        link.sends_unencodable = self.flaw == HubFlaw::SendsUnencodable;
        let link = Arc::new(link);
        lock(&self.state).links.push(Arc::downgrade(&link));
        link
    }

    fn send(&self, number: usize, text: &str) {
        let link = lock(&self.state).links.get(number).and_then(Weak::upgrade);
        if let Some(link) = link {
            link.receive(&RawMessage::Text(text.to_owned()));
        }
    }

    fn relay(&self, from: usize, topic: &str, text: &str) {
        let to: Vec<_> = {
            let mut state = lock(&self.state);
            let of_topic = |(of, number): &(String, usize)| (of == topic).then_some(*number);
            let to = state.subscribed.iter().filter_map(of_topic).collect();
            let late = std::mem::take(&mut state.late);
            state.subscribed.extend(late);
            to
        };
        for number in to {
            let times = match self.flaw {
                HubFlaw::EchoesTwice if number == from => 2,
                HubFlaw::NoEcho if number == from => 0,
                _ => 1,
            };
            (0..times).for_each(|_| self.send(number, text));
        }
    }
}

impl Far for Socket {
    fn heard(&self, text: String) {
        let Ok(parts) = parts(text.as_bytes(), &MessageLimits::DEFAULT) else { return };
        match control::read(&parts) {
            Ok(None) => {
                let topic = format!("{}:{}", parts.event_type, parts.id);
                self.hub.relay(self.number, &topic, &text);
            }
            Ok(Some(Control::Subscribe(topic))) => {
                let entry = (topic.clone().into_owned(), self.number);
                let mut state = lock(&self.hub.state);
                if self.hub.flaw == HubFlaw::ConfirmsBeforeInPlace {
                    state.late.push(entry);
                } else {
                    state.subscribed.insert(entry);
                }
                drop(state);
                self.hub.send(self.number, &control::subscribed(&topic));
            }
            Ok(Some(Control::Unsubscribe(topic))) => {
                lock(&self.hub.state).subscribed.remove(&(topic.into_owned(), self.number));
            }
            _ => {}
        }
    }

    fn ended(&self, _: Option<u16>) {
        lock(&self.hub.state).subscribed.retain(|(_, number)| *number != self.number);
    }
}
