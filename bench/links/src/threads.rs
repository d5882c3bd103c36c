//! The same envelopes as values, from thread to thread: each is made anew by its sender, and read by its receiver.

use super::timed;
use alkpubsub::worker::{WorkerHostEventTarget, WorkerOptions, pair};
use alkpubsub::{DispatchError, EventEnvelope, EventTarget};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

const TOPIC: &str = "chat.message:room-1";
const BOUND: usize = 4096;

fn event(text: &str) -> EventEnvelope {
    EventEnvelope::parse(text.to_owned()).expect("an envelope")
}

/// What a receiver does with an event.
fn look(event: &EventEnvelope) {
    black_box(event.id());
}

pub(crate) fn flume(text: &str, messages: usize) -> Duration {
    let (sender, receiver) = flume::bounded(BOUND);
    let event = event(text);
    timed(
        move || receiver.iter().take(messages).for_each(|event| look(&event)),
        || (0..messages).for_each(|_| sender.send(event.clone()).expect("a receiver")),
    )
}

pub(crate) fn std(text: &str, messages: usize) -> Duration {
    let (sender, receiver) = mpsc::sync_channel(BOUND);
    let event = event(text);
    timed(
        move || receiver.iter().take(messages).for_each(|event| look(&event)),
        || (0..messages).for_each(|_| sender.send(event.clone()).expect("a receiver")),
    )
}

/// Waits for room as any thread may that has no runtime.
fn publish(host: &WorkerHostEventTarget, event: &EventEnvelope) {
    loop {
        match host.dispatch_event_ref(event) {
            Ok(()) => return,
            Err(DispatchError::Full) => super::block_on(host.room()),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn to_worker(text: &str, messages: usize) -> Duration {
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let event = event(text);
    timed(
        move || {
            let heard = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let count = heard.clone();
            let listener = move |event: &EventEnvelope| {
                look(event);
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            };
            worker.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
            worker.run();
            assert_eq!(heard.load(std::sync::atomic::Ordering::Relaxed), messages);
        },
        || {
            (0..messages).for_each(|_| publish(&host, &event));
            host.close();
        },
    )
}

pub(crate) fn to_host(text: &str, messages: usize) -> Duration {
    let (host, worker) = pair(WorkerOptions::DEFAULT);
    let event = event(text);
    host.add_event_listener(TOPIC, Arc::new(look)).expect("a listener");
    timed(
        move || {
            (0..messages).for_each(|_| worker.dispatch_event_ref(&event).expect("a host"));
        },
        || (),
    )
}

pub(crate) fn flume_echo(text: &str, messages: usize) -> Duration {
    let (sender, receiver) = flume::bounded::<EventEnvelope>(BOUND);
    let (back, came) = flume::bounded(BOUND);
    let event = event(text);
    timed(
        move || receiver.iter().take(messages).for_each(|event| back.send(event).expect("a sender")),
        || {
            (0..messages).for_each(|_| {
                sender.send(event.clone()).expect("a receiver");
                look(&came.recv().expect("an answer"));
            });
        },
    )
}

pub(crate) fn echo(text: &str, messages: usize) -> Duration {
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let (back, came) = flume::bounded(BOUND);
    let event = event(text);
    let listener = move |event: &EventEnvelope| back.send(event.clone()).expect("a sender");
    host.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
    timed(
        move || {
            let answers = worker.handle();
            let listener = move |event: &EventEnvelope| answers.dispatch_event_ref(event).expect("a host");
            worker.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
            worker.run();
        },
        || {
            (0..messages).for_each(|_| {
                publish(&host, &event);
                look(&came.recv().expect("an answer"));
            });
            host.close();
        },
    )
}
