//! Callbacks: each adds the payload's length to a number.

use crate::{MEASURED, PAYLOAD, TOPICS, TYPE, Way, id, subscribers_of, timed};
use alkpubsub::{Event, EventEnvelope, EventTarget, InProcess, PubSub};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Clone, Default)]
struct Bytes(Arc<AtomicU64>);

impl Bytes {
    /// A load and a store: what is to be seen is the call, not an atomic addition.
    fn add(&self, payload: &str) {
        self.0.store(self.0.load(Relaxed) + payload.len() as u64, Relaxed);
    }
}

struct Plain {
    topic: Arc<str>,
    payload: Arc<str>,
}

type Callback = Box<dyn Fn(&Plain) + Send + Sync>;

/// What a program writes that has no library: a map from topics to closures under a lock, held during the calls.
pub(crate) struct BareMap {
    callbacks: RwLock<HashMap<String, Vec<Callback>>>,
    event: Plain,
}

impl BareMap {
    pub(crate) fn new(subscribers: usize) -> Self {
        let (bytes, mut callbacks) = (Bytes::default(), HashMap::<_, Vec<Callback>>::new());
        for topic in 0..TOPICS {
            let list = callbacks.entry(format!("{TYPE}:{}", id(topic))).or_default();
            for _ in 0..subscribers_of(topic, subscribers) {
                let bytes = bytes.clone();
                list.push(Box::new(move |event| bytes.add(&event.payload)));
            }
        }
        let event = Plain { topic: format!("{TYPE}:{}", id(MEASURED)).into(), payload: PAYLOAD.into() };
        Self { callbacks: RwLock::new(callbacks), event }
    }
}

impl Way for BareMap {
    fn turn(&mut self) -> f64 {
        timed(|events| {
            for _ in 0..events {
                let event = black_box(&self.event);
                if let Some(list) = self.callbacks.read().get(&*event.topic) {
                    list.iter().for_each(|callback| callback(event));
                }
            }
        })
    }
}

fn target(subscribers: usize) -> InProcess {
    let (bytes, target) = (Bytes::default(), InProcess::new());
    for topic in 0..TOPICS {
        for _ in 0..subscribers_of(topic, subscribers) {
            let bytes = bytes.clone();
            let listener = move |event: &EventEnvelope| {
                bytes.add(event.payload_json().ok().flatten().unwrap_or_default());
            };
            target.add_event_listener(&format!("{TYPE}:{}", id(topic)), Arc::new(listener)).expect("a topic");
        }
    }
    target
}

/// An event that the program has already, as the bare map is given it.
pub(crate) struct Target {
    target: InProcess,
    event: EventEnvelope,
}

impl Target {
    pub(crate) fn new(subscribers: usize) -> Self {
        let text = format!(r#"{{"type":"{TYPE}","id":"{}","payload":{PAYLOAD}}}"#, id(MEASURED));
        Self { target: target(subscribers), event: EventEnvelope::parse(text).expect("an envelope") }
    }
}

impl Way for Target {
    fn turn(&mut self) -> f64 {
        let before = self.target.stats();
        let nanoseconds = timed(|events| {
            for _ in 0..events {
                self.target.dispatch_event(black_box(&self.event).clone()).expect("it is open");
            }
        });
        let after = self.target.stats();
        assert!(after.dispatched > before.dispatched && after.panicked == 0);
        nanoseconds
    }
}

/// A Rust value for each event, made into an envelope by `PubSub`; nobody asks for its JSON.
pub(crate) struct Typed {
    pubsub: PubSub,
    id: String,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Message {
    number: u64,
}

impl Event for Message {
    const TYPE: &'static str = TYPE;
}

impl Typed {
    pub(crate) fn new(subscribers: usize) -> Self {
        let (bytes, target) = (Bytes::default(), InProcess::new());
        for topic in 0..TOPICS {
            for _ in 0..subscribers_of(topic, subscribers) {
                let bytes = bytes.clone();
                let listener = move |event: &EventEnvelope| bytes.add(event.id());
                target.add_event_listener(&format!("{TYPE}:{}", id(topic)), Arc::new(listener)).expect("a topic");
            }
        }
        Self { pubsub: PubSub::new(target), id: id(MEASURED) }
    }
}

impl Way for Typed {
    fn turn(&mut self) -> f64 {
        timed(|events| {
            for number in 0..events {
                self.pubsub.try_publish(black_box(&self.id), black_box(Message { number })).expect("it is open");
            }
        })
    }
}
