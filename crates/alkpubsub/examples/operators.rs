//! A dashboard on a live hub: six operators of the library, and those of `futures` between them.
//!
//!     cargo run --example operators --features websocket-client,websocket-server

use alkpubsub::operators::{Operators, TokioTimer};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    Event, EventTarget, Item, PubSub, QueueLimits, TypedEvent, WebSocketClientEventTarget,
    WebSocketServerEventTarget,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "reading.taken")]
struct Reading {
    sensor: String,
    serial: u32,
    celsius: f64,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "sensor.retired")]
struct Retired;

enum Sensor {
    Reading(TypedEvent<Reading>),
    Retired,
}

impl Sensor {
    fn reading(self) -> TypedEvent<Reading> {
        match self {
            Self::Reading(reading) => reading,
            Self::Retired => unreachable!("the stream ends before it"),
        }
    }
}

const READINGS: u32 = 60;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let served = hub.clone();
    tokio::spawn(async move { served.serve(listener).await });
    let spoke = async || WebSocketClientEventTarget::connect(&url).await.map(PubSub::new);
    let (reader, publisher) = (spoke().await?, spoke().await?);

    // 1, subscribe_many: the last reading is known to be the last, as both topics come in one order.
    let sensors = reader
        .subscribe_many()
        .topic("house", Sensor::Reading)
        .topic("house", |_: TypedEvent<Retired>| Sensor::Retired);
    let sensors = sensors.within(QueueLimits::DEFAULT).subscribe().await?;
    let (kitchen, cellar) =
        (reader.subscribe::<Reading>("kitchen").await?, reader.subscribe::<Reading>("cellar").await?);

    let publishing = tokio::spawn(async move {
        for serial in 0..READINGS {
            let sensor = if serial % 3 == 0 { "attic" } else { "hall" };
            let reading =
                Arc::new(Reading { sensor: sensor.into(), serial, celsius: f64::from(18 + serial / 20) });
            // A publisher that is not sure says it twice.
            for _ in 0..1 + serial % 2 {
                publisher.publish("house", reading.clone()).await?;
            }
            let room = if serial % 2 == 0 { "kitchen" } else { "cellar" };
            publisher.publish(room, reading).await?;
        }
        publisher.publish("house", Retired).await?;
        publisher.flush().await;
        Ok::<_, alkpubsub::DispatchError>(publisher)
    });

    // 2, dedupe: what was said twice is heard once. 3, group_by: a stream for each sensor.
    let mut groups = sensors
        .dedupe(|event| match event {
            Sensor::Reading(reading) => Some(reading.serial),
            Sensor::Retired => None,
        })
        .last(100)
        // The end is an event of another topic.
        .take_while(|item| std::future::ready(!matches!(item, Item::Event(Sensor::Retired))))
        .map(|item| item.map(Sensor::reading))
        .group_by(|reading| reading.sensor.clone());
    let mut sensors = Vec::new();
    while let Some(item) = groups.next().await {
        match item {
            Item::Event(group) => {
                let sensor = group.key().clone();
                // 4, window: the means of the last five readings. 5, batch: in rows of up to four, none older than 50 ms.
                let means = group
                    .window(5)
                    .step(5)
                    .map(|item| {
                        item.map(|window| window.iter().map(|reading| reading.celsius).sum::<f64>() / 5.0)
                    })
                    .batch(4)
                    .within(Duration::from_millis(50), TokioTimer::new());
                sensors.push(tokio::spawn(async move {
                    let rows: Vec<_> =
                        means.filter_map(|item| std::future::ready(item.event())).collect().await;
                    (sensor, rows)
                }));
            }
            loss => println!("missing: {loss:?}"),
        }
    }
    drop(groups);
    let mut windows = 0;
    for sensor in sensors {
        let (sensor, rows) = sensor.await?;
        println!("{sensor}: means of five, in rows: {rows:?}");
        windows += rows.iter().map(Vec::len).sum::<usize>();
    }
    assert_eq!(windows, 12);

    // 6, join: a fair merge of two rooms, each of which keeps its own order.
    let both: Vec<_> = stream::select_all([kitchen, cellar]).take(READINGS as usize).collect().await;
    let kitchen = both.iter().filter_map(Item::as_event).filter(|reading| reading.id() == "kitchen").count();
    println!("{kitchen} readings of the kitchen among {}", both.len());
    assert_eq!(kitchen, both.len() / 2);

    drop(publishing.await??);
    hub.close();
    hub.closed().await;
    Ok(())
}
