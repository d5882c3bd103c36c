//! A host and its child in one program: it starts itself once more. Work crosses, results come back; then a child that
//! fails, and how the host is told.
//!
//!     cargo run --example worker_process --features worker-process

use alkpubsub::worker_process::{ProcessHostEventTarget, ProcessOptions, WorkerProcessEventTarget};
use alkpubsub::{Event, EventTarget, Item, PubSub};
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "number.given")]
struct NumberGiven {
    number: u64,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "number.factored")]
struct NumberFactored {
    number: u64,
    factors: Vec<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("child") => child().await,
        _ => host().await,
    }
}

/// The child's side is one call.
async fn child() -> Result<(), Box<dyn std::error::Error>> {
    let pubsub = PubSub::new(Arc::new(WorkerProcessEventTarget::from_stdio()?));
    let mut numbers = pubsub.subscribe::<NumberGiven>("").await?;
    println!("ready"); // standard output is the link's; this goes to standard error
    while let Some(item) = numbers.next().await {
        let Item::Event(given) = item else { continue };
        if given.number == 0 {
            eprintln!("0 has no factors");
            std::process::exit(3);
        }
        let factored = NumberFactored { number: given.number, factors: factors(given.number) };
        pubsub.publish("", factored).await?;
    }
    // The link has ended, whether the host closed it or was killed: nothing is left to do.
    Ok(())
}

async fn host() -> Result<(), Box<dyn std::error::Error>> {
    // Standard error is logged unless told otherwise; here the child writes to ours.
    let mut options = ProcessOptions::DEFAULT;
    options.stderr = alkpubsub::worker_process::ChildStderr::Inherit;
    let start = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("child");
        Ok::<_, Box<dyn std::error::Error>>(Arc::new(ProcessHostEventTarget::spawn(
            command,
            options.clone(),
        )?))
    };

    let worker = start()?;
    let pubsub = PubSub::new(worker.clone());
    let mut results = pubsub.subscribe::<NumberFactored>("").await?;
    for number in [12, 97, 600_851_475_143] {
        pubsub.publish("", NumberGiven { number }).await?;
        let Some(Item::Event(result)) = results.next().await else { return Err("no result".into()) };
        println!("{} = {:?}", result.number, result.factors);
    }
    // In good order: all that was sent is handled, the child exits by itself, and is reaped.
    worker.disconnect(Duration::from_secs(5)).await?;
    println!("{}; {:?}", worker.closed().await, worker.exit_status());

    let worker = start()?;
    PubSub::new(worker.clone()).publish("", NumberGiven { number: 0 }).await?;
    println!("{}; {:?}", worker.closed().await, worker.failure());
    Ok(())
}

fn factors(mut number: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut factor = 2;
    while factor * factor <= number {
        while number.is_multiple_of(factor) {
            factors.push(factor);
            number /= factor;
        }
        factor += 1;
    }
    if number > 1 {
        factors.push(number);
    }
    factors
}
