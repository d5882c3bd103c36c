//! Streams: a task for each subscriber, which counts what it gets; the publisher is a task of the same thread.

use crate::{MEASURED, PAYLOAD, TOPICS, TYPE, Way, id, subscribers_of, timed};
use alkpubsub::{EventEnvelope, EventTarget, InProcess, PubSub, Subscription};
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;
use tokio::task::{LocalSet, yield_now};

/// Events are sent `at_a_time`, then the tasks have their turn until all have got all of them.
struct Tasks<S> {
    runtime: Runtime,
    tasks: LocalSet,
    seen: Rc<Cell<u64>>,
    subscribers: usize,
    at_a_time: u64,
    send: S,
}

impl<S> Tasks<S> {
    fn new(subscribers: usize, at_a_time: u64, send: S) -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime without I/O");
        Self { runtime, tasks: LocalSet::new(), seen: Rc::default(), subscribers, at_a_time, send }
    }
}

impl<S: FnMut()> Way for Tasks<S> {
    fn turn(&mut self) -> f64 {
        let Self { runtime, tasks, seen, subscribers, at_a_time, send } = self;
        timed(|events| {
            tasks.block_on(runtime, async {
                for _ in 0..events / *at_a_time {
                    let all = seen.get() + *at_a_time * *subscribers as u64;
                    (0..*at_a_time).for_each(|_| send());
                    while seen.get() < all {
                        yield_now().await;
                    }
                }
            });
        })
    }
}

#[derive(Clone)]
struct Plain {
    _topic: Arc<str>,
    payload: Arc<str>,
}

/// One channel for each topic, found by whoever holds its sender: no table, no names.
pub(crate) fn broadcast(subscribers: usize, at_a_time: u64) -> impl Way {
    let channels: Vec<_> = (0..TOPICS).map(|_| broadcast::channel(64)).collect();
    let sender = channels[MEASURED].0.clone();
    let event = Plain { _topic: format!("{TYPE}:{}", id(MEASURED)).into(), payload: PAYLOAD.into() };
    let receivers: Vec<_> = (0..subscribers).map(|_| sender.subscribe()).collect();
    drop(channels);
    let send = move || assert!(sender.send(black_box(&event).clone()).is_ok());
    let tasks = Tasks::new(subscribers, at_a_time, send);
    for mut receiver in receivers {
        let seen = tasks.seen.clone();
        tasks.tasks.spawn_local(async move {
            while let Ok(event) = receiver.recv().await {
                black_box(event.payload.len());
                seen.set(seen.get() + 1);
            }
        });
    }
    tasks
}

pub(crate) fn subscriptions(subscribers: usize, at_a_time: u64) -> impl Way {
    let target = Arc::new(InProcess::new());
    let pubsub = PubSub::new(target.clone());
    let text = format!(r#"{{"type":"{TYPE}","id":"{}","payload":{PAYLOAD}}}"#, id(MEASURED));
    let event = EventEnvelope::parse(text).expect("an envelope");
    let send = move || target.dispatch_event(black_box(&event).clone()).expect("it is open");
    let tasks = Tasks::new(subscribers, at_a_time, send);
    for topic in 0..TOPICS {
        for _ in 0..subscribers_of(topic, subscribers) {
            let subscription = tasks.runtime.block_on(pubsub.subscribe_envelopes(TYPE, &id(topic)));
            let seen = tasks.seen.clone();
            tasks.tasks.spawn_local(count(subscription.expect("it is open"), seen));
        }
    }
    tasks
}

async fn count(mut subscription: Subscription<EventEnvelope>, seen: Rc<Cell<u64>>) {
    while let Some(item) = subscription.next().await {
        let event = item.event().expect("the queue is long enough");
        black_box(event.payload_json().ok().flatten().map(str::len));
        seen.set(seen.get() + 1);
    }
}
