//! Children without a line of ours, in Python and in Node, written from the wire's description alone
//! (docs/architecture/event-targets/worker-process.md).
//!
//!     cargo run --example worker_process_strangers --features worker-process

use alkpubsub::worker_process::{ChildStderr, ProcessHostEventTarget, ProcessOptions};
use alkpubsub::{EventTarget, Item, PubSub};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let children = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/worker_process_strangers");
    for (program, file) in [("python3", "child.py"), ("node", "child.mjs")] {
        let mut options = ProcessOptions::DEFAULT;
        options.stderr = ChildStderr::Lines(Arc::new(move |line| println!("{program} says: {line}")));
        let mut command = Command::new(program);
        command.arg(children.join(file));
        let worker = Arc::new(ProcessHostEventTarget::spawn(command, options)?);
        let pubsub = PubSub::new(worker.clone());
        let mut answers = pubsub.subscribe_envelopes("shouted", "1").await?;
        pubsub.publish_json("said", "1", &"good morning").await?;
        match answers.next().await {
            Some(Item::Event(answer)) => println!("{program}: {}", answer.to_json()?),
            other => return Err(format!("{program}: {other:?}, {:?}", answers.end()).into()),
        }
        // It has handled all that came before.
        worker.ping().await?;
        worker.disconnect(Duration::from_secs(5)).await?;
        println!("{program}: {}, {:?}", worker.closed().await, worker.exit_status());
        if !worker.exit_status().is_some_and(|status| status.success()) {
            return Err(format!("{program} did not end as it should").into());
        }
    }
    Ok(())
}
