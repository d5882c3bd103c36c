//! Bridges within one process: what crosses, what does not come back, and what is told.

mod broker;
mod crossing;
mod life;
mod losses;
mod model;
mod threads;

use alkpubsub::bridge::{Bridge, BridgeEnd, BridgeError, BridgeOptions, Echo, Side};
use alkpubsub::{
    CloseReason, DispatchError, EventEnvelope, EventTarget, InProcess, ListenError, PubSub, Readiness,
};
use broker::Broker;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const TOPIC: &str = "t:1";
const LONG: Duration = Duration::from_secs(20);

fn text(payload: &impl Display) -> String {
    format!(r#"{{"type":"t","id":"1","payload":{payload}}}"#)
}

fn event(payload: impl Display) -> EventEnvelope {
    EventEnvelope::parse(text(&payload)).unwrap()
}

/// A bridge that is polled when the test says so.
struct Run {
    bridge: Arc<Bridge>,
    future: Pin<Box<dyn Future<Output = BridgeEnd> + Send>>,
}

impl Run {
    fn new(bridge: Arc<Bridge>) -> Self {
        Self { future: Self::future(&bridge), bridge }
    }

    fn future(bridge: &Arc<Bridge>) -> Pin<Box<dyn Future<Output = BridgeEnd> + Send>> {
        let bridge = bridge.clone();
        Box::pin(async move { bridge.run().await })
    }

    /// Until nothing moves; gives the end, if there is one.
    fn poll_to_end(&mut self) -> Option<BridgeEnd> {
        // A turn is 64 events.
        for _ in 0..100 {
            let polled = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(end) = polled {
                return Some(end);
            }
        }
        None
    }

    fn poll(&mut self) {
        assert_eq!(self.poll_to_end(), None);
    }

    /// The future is dropped, and another made.
    fn again(&mut self) {
        self.future = Self::future(&self.bridge);
    }
}

/// The texts that came to a listener of the topic.
type Heard = Arc<Mutex<Vec<String>>>;

fn listen(target: &impl EventTarget) -> Heard {
    let heard = Heard::default();
    let log = heard.clone();
    let hear = move |event: &EventEnvelope| log.lock().unwrap().push(event.to_json().unwrap().into());
    target.add_event_listener(TOPIC, Arc::new(hear)).unwrap();
    heard
}

fn take(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut heard.lock().unwrap())
}

/// What the bridge told, as text, and options that have it told.
fn told() -> (Heard, BridgeOptions) {
    let told = Heard::default();
    let log = told.clone();
    (told, BridgeOptions::new().on_notice(move |notice| log.lock().unwrap().push(notice.to_string())))
}

fn bridged(left: impl EventTarget, right: impl EventTarget, options: BridgeOptions) -> Run {
    let bridge = Bridge::new(left, right, options).unwrap();
    bridge.add_topic(TOPIC).unwrap();
    Run::new(Arc::new(bridge))
}

fn in_process() -> (Arc<InProcess>, Arc<InProcess>) {
    (Arc::new(InProcess::new()), Arc::new(InProcess::new()))
}
