//! A worker thread that computes what the host asks for, in blocking code and without a runtime.
//!
//!     cargo run --example worker --features worker

use alkpubsub::worker::{WorkerHostEventTarget, WorkerOptions};
use alkpubsub::{Event, EventEnvelope, EventTarget, Item, PubSub};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[derive(Serialize, Deserialize, Event)]
#[event(type = "sum.requested")]
struct SumRequested {
    numbers: Vec<u64>,
}

#[derive(Serialize, Deserialize, Event)]
#[event(type = "sum.computed")]
struct SumComputed {
    sum: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
        let pubsub = PubSub::new(worker.handle());
        // Streams work on this thread, which takes what the host sends beside them.
        worker.block_on(async {
            let mut requests = pubsub.subscribe::<SumRequested>("").await.expect("an open target");
            while let Some(Item::Event(request)) = requests.next().await {
                let sum = request.numbers.iter().sum();
                if pubsub.publish("", SumComputed { sum }).await.is_err() {
                    break; // the host has gone
                }
            }
            println!("the worker: {}", requests.end().expect("an end"));
        });
    })?;

    // A listener is called on the worker's thread; this one hands the answers on.
    let (sender, answers) = mpsc::channel();
    let listener = move |event: &EventEnvelope| {
        // The very value that the worker has made, shared: no JSON is written.
        let _ = sender.send(event.payload_shared::<SumComputed>());
    };
    host.add_event_listener("sum.computed:", Arc::new(listener))?;
    let host = Arc::new(host);
    let pubsub = PubSub::new(host.clone());
    pubsub.try_publish("", SumRequested { numbers: (1..=100).collect() })?;
    println!("the sum is {}", answers.recv()??.sum);

    drop(pubsub);
    // Closes, and waits for the worker to end: it says how it did.
    Arc::into_inner(host).expect("nobody else has it").join(Duration::from_secs(5))?;

    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |_| panic!("on purpose"))?;
    println!("another one: {}", host.join(Duration::from_secs(5)).expect_err("it panics"));
    Ok(())
}
