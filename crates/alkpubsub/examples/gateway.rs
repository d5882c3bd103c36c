//! The untyped face: text comes in, is checked, crosses from one target to another, and goes out as it came.
//!
//!     cargo run --example gateway
//!
//! Both targets are in this process here; in a gateway one of them is a hub, or a connection to one. Nothing below
//! would change: it is written against `EventTarget`. Where nothing is to be decided, a `bridge::Bridge` does it, both ways.

use alkpubsub::{EventEnvelope, EventTarget, InProcess, Topic, on_notice};
use std::sync::Arc;

/// Passes the events of a topic on. One way only: there and back would be a loop.
fn forward(
    from: &dyn EventTarget,
    topic: &Topic,
    to: Arc<dyn EventTarget>,
) -> Result<(), alkpubsub::ListenError> {
    let pass_on = move |event: &EventEnvelope| {
        // A clone shares the text. A full queue or a lost connection is the gateway's to decide on; this one tells.
        if let Err(error) = to.dispatch_event(event.clone()) {
            eprintln!("{event:?} was not passed on: {error}");
        }
    };
    from.add_event_listener(topic.as_str(), Arc::new(pass_on)).map(drop)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let inside: Arc<dyn EventTarget> = Arc::new(InProcess::new());
    let outside: Arc<dyn EventTarget> = Arc::new(InProcess::new());

    let topic = Topic::new("call.responded", "uuid-123")?;
    forward(&*inside, &topic, outside.clone())?;
    outside.add_event_listener(
        topic.as_str(),
        Arc::new(|event: &EventEnvelope| println!("{}", event.to_json().expect("it came as JSON"))),
    )?;
    outside.add_event_listener("close", Arc::new(on_notice(|notice| println!("{notice}"))))?;

    for line in [
        // Key order, a number no double holds, an unknown member: all of it arrives.
        r#"{"id":"uuid-123","payload":{"z":1,"a":9007199254740993},"type":"call.responded","trace":"7f"}"#,
        r#"{"type":"call.responded","id":"another"}"#,
        r#"{"type":"call.responded"}"#,
        r#"{"type":"__subscribe","id":"","payload":{"topic":"call.responded:uuid-123"}}"#,
    ] {
        // What is no envelope has a name, and what is reserved is not taken.
        match EventEnvelope::parse(line) {
            Ok(event) => {
                if let Err(error) = inside.dispatch_event(event) {
                    println!("not taken: {error}");
                }
            }
            Err(refusal) => println!("{}: {refusal}", refusal.name()),
        }
    }

    outside.close();
    println!("received: {}, passed on: {}", inside.stats().received, outside.stats().dispatched);
    Ok(())
}
