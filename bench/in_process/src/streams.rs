//! Streams: a task for each subscriber, which counts what it gets; the publisher is a task of the same thread.

use crate::{MEASURED, PAYLOAD, TOPICS, TYPE, Way, id, timed};
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
fn channels(subscribers: usize) -> (impl FnMut(), Vec<broadcast::Receiver<Plain>>) {
    let channels: Vec<_> = (0..TOPICS).map(|_| broadcast::channel(64)).collect();
    let sender = channels[MEASURED].0.clone();
    let event = Plain { _topic: format!("{TYPE}:{}", id(MEASURED)).into(), payload: PAYLOAD.into() };
    let receivers = (0..subscribers).map(|_| sender.subscribe()).collect();
    (move || assert!(sender.send(black_box(&event).clone()).is_ok()), receivers)
}

pub(crate) fn broadcast(subscribers: usize, at_a_time: u64) -> impl Way {
    let (send, receivers) = channels(subscribers);
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

/// Those of the measured topic first; each other one has its own.
fn subscribed(subscribers: usize) -> (impl FnMut(), Vec<Subscription<EventEnvelope>>) {
    let target = Arc::new(InProcess::new());
    let pubsub = PubSub::new(target.clone());
    let text = format!(r#"{{"type":"{TYPE}","id":"{}","payload":{PAYLOAD}}}"#, id(MEASURED));
    let event = EventEnvelope::parse(text).expect("an envelope");
    let runtime = Builder::new_current_thread().build().expect("a runtime without I/O");
    let others = (0..TOPICS).filter(|&topic| topic != MEASURED);
    let topics = std::iter::repeat_n(MEASURED, subscribers).chain(others);
    let subscribe = |topic| runtime.block_on(pubsub.subscribe_envelopes(TYPE, &id(topic))).expect("it is open");
    let subscriptions = topics.map(subscribe).collect();
    (move || target.dispatch_event(black_box(&event).clone()).expect("it is open"), subscriptions)
}

pub(crate) fn subscriptions(subscribers: usize, at_a_time: u64) -> impl Way {
    let (send, subscriptions) = subscribed(subscribers);
    let tasks = Tasks::new(subscribers, at_a_time, send);
    for mut subscription in subscriptions {
        let seen = tasks.seen.clone();
        tasks.tasks.spawn_local(async move {
            while let Some(item) = subscription.next().await {
                let event = item.event().expect("the queue is long enough");
                black_box(event.payload_json().ok().flatten().map(str::len));
                seen.set(seen.get() + 1);
            }
        });
    }
    tasks
}

/// Without tasks: one is sent, then each takes it.
struct InTurn<S, R> {
    send: S,
    receivers: Vec<R>,
    take: fn(&mut R),
}

impl<S: FnMut(), R> Way for InTurn<S, R> {
    fn turn(&mut self) -> f64 {
        timed(|events| {
            for _ in 0..events {
                (self.send)();
                self.receivers.iter_mut().for_each(self.take);
            }
        })
    }
}

pub(crate) fn try_broadcast(subscribers: usize) -> impl Way {
    let (send, receivers) = channels(subscribers);
    InTurn { send, receivers, take: |receiver| drop(black_box(receiver.try_recv().expect("one was sent"))) }
}

pub(crate) fn try_subscriptions(subscribers: usize) -> impl Way {
    let (send, mut receivers) = subscribed(subscribers);
    // The others are left alone, and stay.
    std::mem::forget(receivers.split_off(subscribers));
    InTurn { send, receivers, take: |receiver| drop(black_box(receiver.try_next().expect("one was sent"))) }
}
