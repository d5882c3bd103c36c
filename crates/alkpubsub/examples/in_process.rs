//! Typed events in one process: a subscriber that keeps up, one that does not, and the end.
//!
//!     cargo run --example in_process

use alkpubsub::{DispatchError, End, Event, Item, PubSub, QueueLimits};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "reading.taken")]
struct ReadingTaken {
    celsius: f32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pubsub = PubSub::in_process();

    // A clone shares the target; a subscription hears from the moment it is made.
    let mut kitchen = pubsub.subscribe::<ReadingTaken>("kitchen").await?;
    let reader = tokio::spawn(async move {
        while let Some(item) = kitchen.next().await {
            match item {
                Item::Event(reading) => println!("{}: {} °C", reading.id(), reading.celsius),
                other => println!("kitchen: {other:?}"),
            }
        }
        kitchen.end()
    });

    // Nobody reads this one for a while: two events wait for it, the others are lost, and it is told.
    let limits = QueueLimits::DEFAULT.max_events(2);
    let mut cellar = pubsub.subscribe_within::<ReadingTaken>("cellar", limits).await?;
    for celsius in [11.0, 11.5, 12.0, 12.5, 13.0] {
        pubsub.publish("kitchen", ReadingTaken { celsius: celsius + 9.0 }).await?;
        pubsub.publish("cellar", ReadingTaken { celsius }).await?;
    }
    assert!(matches!(cellar.next().await, Some(Item::Lagged(3))));
    // Those who want the events alone ask for them alone.
    let mut cellar = cellar.events();
    let reading = cellar.next().await.expect("the fourth reading");
    println!("cellar: 3 readings are missing, then {} °C", reading.celsius);

    // An event of a subscriber's topic whose payload is something else is that subscriber's item.
    pubsub.publish_json("reading.taken", "kitchen", &"warm").await?;

    // The streams end after what waits in them, and say why.
    pubsub.target().close();
    println!("kitchen: {}", reader.await?.expect("an end"));
    assert_eq!(cellar.next().await.map(|reading| reading.celsius), Some(13.0));
    assert!(cellar.next().await.is_none());
    assert!(matches!(cellar.end(), Some(End::Closed(_))));
    let late = pubsub.publish("cellar", ReadingTaken { celsius: 14.0 }).await;
    assert!(matches!(late, Err(DispatchError::Closed(_))));
    Ok(())
}
