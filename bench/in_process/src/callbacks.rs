//! Callbacks: each adds one to a number.

use crate::{MEASURED, PAYLOAD, TOPICS, TYPE, Way, id, subscribers_of, timed};
use alkpubsub::{Event, EventEnvelope, EventTarget, InProcess, PubSub};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Each event is one of so many, as a program's are not always the same one either.
const EVENTS: usize = 1024;

#[derive(Clone, Default)]
struct Calls(Arc<AtomicU64>);

impl Calls {
    /// A load and a store: what is to be seen is the call, not an atomic addition.
    fn count(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }
}

/// A turn at whose end every callback must have been called for every event.
fn checked(calls: &Calls, subscribers: usize, mut event: impl FnMut(usize)) -> f64 {
    let (before, mut events) = (calls.0.load(Relaxed), 0);
    let nanoseconds = timed(|more| {
        for number in 0..more as usize {
            event(number % EVENTS);
        }
        events += more;
    });
    assert_eq!(calls.0.load(Relaxed) - before, events * subscribers as u64);
    nanoseconds
}

struct Plain {
    topic: Arc<str>,
    _payload: Arc<str>,
}

type Callback = Box<dyn Fn(&Plain) + Send + Sync>;

/// What a program writes that has no library: a map from topics to closures under a lock, held during the calls.
pub(crate) struct BareMap {
    callbacks: RwLock<HashMap<String, Vec<Callback>>>,
    events: Vec<Plain>,
    calls: Calls,
    subscribers: usize,
}

impl BareMap {
    pub(crate) fn new(subscribers: usize) -> Self {
        let (calls, mut callbacks) = (Calls::default(), HashMap::<_, Vec<Callback>>::new());
        for topic in 0..TOPICS {
            let list = callbacks.entry(format!("{TYPE}:{}", id(topic))).or_default();
            for _ in 0..subscribers_of(topic, subscribers) {
                let calls = calls.clone();
                list.push(Box::new(move |_| calls.count()));
            }
        }
        let topic = format!("{TYPE}:{}", id(MEASURED));
        let event = || Plain { topic: topic.as_str().into(), _payload: PAYLOAD.into() };
        let events = (0..EVENTS).map(|_| event()).collect();
        Self { callbacks: RwLock::new(callbacks), events, calls, subscribers }
    }
}

impl Way for BareMap {
    fn turn(&mut self) -> f64 {
        checked(&self.calls, self.subscribers, |number| {
            let event = black_box(&self.events[number]);
            if let Some(list) = self.callbacks.read().get(&*event.topic) {
                list.iter().for_each(|callback| callback(event));
            }
        })
    }
}

fn target(subscribers: usize) -> (InProcess, Calls) {
    let (calls, target) = (Calls::default(), InProcess::new());
    for topic in 0..TOPICS {
        for _ in 0..subscribers_of(topic, subscribers) {
            let calls = calls.clone();
            let listener = Arc::new(move |_: &EventEnvelope| calls.count());
            target.add_event_listener(&format!("{TYPE}:{}", id(topic)), listener).expect("a topic");
        }
    }
    (target, calls)
}

/// Events that the program has already. As the bare map is given them, by reference, or given away.
pub(crate) struct Target {
    given_away: bool,
    target: InProcess,
    events: Vec<EventEnvelope>,
    calls: Calls,
    subscribers: usize,
}

impl Target {
    pub(crate) fn new(subscribers: usize, given_away: bool) -> Self {
        let text = format!(r#"{{"type":"{TYPE}","id":"{}","payload":{PAYLOAD}}}"#, id(MEASURED));
        let event = || EventEnvelope::parse(text.as_str()).expect("an envelope");
        let (target, calls) = target(subscribers);
        Self { given_away, target, events: (0..EVENTS).map(|_| event()).collect(), calls, subscribers }
    }
}

impl Way for Target {
    fn turn(&mut self) -> f64 {
        let Self { target, events, .. } = self;
        let event = |number: usize| black_box(&events[number]);
        if self.given_away {
            checked(&self.calls, self.subscribers, |number| {
                target.dispatch_event(event(number).clone()).expect("it is open");
            })
        } else {
            checked(&self.calls, self.subscribers, |number| {
                target.dispatch_event_ref(event(number)).expect("it is open");
            })
        }
    }
}

/// A Rust value for each event, made into an envelope by `PubSub`; nobody asks for its JSON.
pub(crate) struct Typed {
    pubsub: PubSub,
    id: String,
    calls: Calls,
    subscribers: usize,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Message {
    number: usize,
}

impl Event for Message {
    const TYPE: &'static str = TYPE;
}

impl Typed {
    pub(crate) fn new(subscribers: usize) -> Self {
        let (target, calls) = target(subscribers);
        Self { pubsub: PubSub::new(target), id: id(MEASURED), calls, subscribers }
    }
}

impl Way for Typed {
    fn turn(&mut self) -> f64 {
        checked(&self.calls, self.subscribers, |number| {
            self.pubsub.try_publish(black_box(&self.id), black_box(Message { number })).expect("it is open");
        })
    }
}
