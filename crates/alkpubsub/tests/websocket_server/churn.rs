//! Many connections, and what they leave behind.

use crate::support::{Hub, Raw, envelope, subscribe, subscribed, text, within};
use alkpubsub::EventTarget;
use std::time::Duration;

async fn rounds(hub: &Hub, count: usize) {
    for round in 0..count {
        let mut client = hub.subscriber(&["a:b"]).await;
        client.publish("a", "b", "1").await;
        assert_eq!(client.text().await, envelope("a", "b", "1"));
        match round % 3 {
            0 => drop(client),
            1 => client.reset(),
            _ => drop(client.leave().await),
        }
        hub.until_empty().await;
    }
}

/// Hub and client share one thread, whose allocations are counted.
#[test]
fn a_thousand_connections_leave_tasks_and_bytes_where_they_were() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hub = runtime.block_on(Hub::relaying());
    let tasks = || runtime.metrics().num_alive_tasks();
    // The first rounds bring lists and tables to their size.
    runtime.block_on(rounds(&hub, 50));
    let tasks_before = tasks();
    let counted = allocation_counter::measure(|| runtime.block_on(rounds(&hub, 1000)));
    assert_eq!(tasks(), tasks_before);
    // Whatever a connection left would be there a thousand times; a list that all share comes and goes with the ticks.
    let left = (counted.count_current.abs() < 10, counted.bytes_current.abs() < 1000);
    assert_eq!(left, (true, true), "{counted:?}");
    assert_eq!(hub.target.stats().received, 1050);
    drop(hub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_leave_at_once_while_a_pair_goes_on() {
    let hub = Hub::relaying().await;
    let mut pair = hub.subscriber(&["pair:1"]).await;
    let mut other = hub.subscriber(&["pair:2"]).await;
    let mut crowd = Vec::new();
    for _ in 0..2000 {
        crowd.push(hub.subscriber(&["crowd:", "pair:3"]).await);
    }
    hub.dispatch("crowd", "", &1);
    let leaving = tokio::spawn(async move {
        for (number, client) in crowd.into_iter().enumerate() {
            match number % 3 {
                0 => drop(client),
                1 => client.reset(),
                _ => {
                    let mut client = client;
                    client.send(crate::support::close(1000)).await;
                }
            }
        }
    });
    let mut exchanged = 0;
    while exchanged < 200 || !leaving.is_finished() {
        pair.publish("pair", "2", &exchanged.to_string()).await;
        assert_eq!(other.text().await, envelope("pair", "2", &exchanged.to_string()));
        other.publish("pair", "1", &exchanged.to_string()).await;
        assert_eq!(pair.text().await, envelope("pair", "1", &exchanged.to_string()));
        exchanged += 1;
    }
    within("leaving", leaving).await.unwrap();
    let stats = hub.until("two links", |stats| stats.links == 2).await;
    assert_eq!(stats.topics, 2);
    pair.leave().await;
    other.leave().await;
    hub.until_empty().await;
}

/// Connections of all kinds at the same time: every subscriber hears exactly what was published while it was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_hears_everything_of_a_topic_in_one_order() {
    let hub = Hub::relaying().await;
    let address = hub.address;
    let publishers = 4;
    let events = 500;
    let mut subscribers = Vec::new();
    for _ in 0..20 {
        subscribers.push(hub.subscriber(&["a:b"]).await);
    }
    let mut publishing = tokio::task::JoinSet::new();
    for publisher in 0..publishers {
        publishing.spawn(async move {
            let mut client = Raw::connect(address).await;
            for number in 0..events {
                client.publish("a", "b", &format!("[{publisher},{number}]")).await;
            }
            client.flush().await;
            client.leave().await;
        });
    }
    let mut heard = tokio::task::JoinSet::new();
    for mut subscriber in subscribers {
        heard.spawn(async move {
            let mut texts = Vec::new();
            for _ in 0..publishers * events {
                texts.push(subscriber.text().await);
            }
            assert_eq!(subscriber.flush().await, [""; 0]);
            texts
        });
    }
    within("the publishers", async { while publishing.join_next().await.transpose().unwrap().is_some() {} })
        .await;
    let heard = within("the subscribers", heard.join_all()).await;
    for texts in &heard {
        assert_eq!(texts, &heard[0], "a hub has one order");
    }
    for publisher in 0..publishers {
        let of_one: Vec<_> =
            heard[0].iter().filter(|text| text.contains(&format!("[{publisher},"))).cloned().collect();
        let sent: Vec<_> =
            (0..events).map(|number| envelope("a", "b", &format!("[{publisher},{number}]"))).collect();
        assert_eq!(of_one, sent);
    }
}

/// Subscribing and leaving a topic while others do: nobody's place in the table is mixed up.
#[tokio::test]
async fn topics_that_come_and_go_stay_apart() {
    let hub = Hub::relaying().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(hub.client().await);
    }
    // A small generator is enough for a mix that is the same each time.
    let mut state = 12345u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut held = vec![[false; 10]; 8];
    for step in 0..3000 {
        let (at, topic) = (random(8), random(10));
        let name = format!("t:{topic}");
        match random(3) {
            0 => {
                clients[at].send(text(&subscribe(&name))).await;
                assert_eq!(clients[at].text().await, subscribed(&name));
                held[at][topic] = true;
            }
            1 => {
                clients[at]
                    .send_text(&envelope("__unsubscribe", "", &format!(r#"{{"topic":"{name}"}}"#)))
                    .await;
                assert_eq!(clients[at].flush().await, [""; 0]);
                held[at][topic] = false;
            }
            _ => {
                let event = envelope("t", &topic.to_string(), &step.to_string());
                clients[at].send_text(&event).await;
                for (client, held) in clients.iter_mut().zip(&held) {
                    if held[topic] {
                        assert_eq!(client.text().await, event);
                    }
                }
            }
        }
    }
    for client in &mut clients {
        assert_eq!(client.flush().await, [""; 0]);
    }
}

/// Connections that come, talk and leave while the hub ends: whatever they find, nothing of them is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_ends_among_newcomers_leaves_nothing() {
    for round in 0..30u64 {
        let mut hub = Hub::relaying().await;
        let mut all = subscribe("a:b").into_bytes();
        all =
            [crate::support::REQUEST.as_bytes(), &crate::support::frame(crate::support::TEXT, &all)].concat();
        all.extend(text(&envelope("a", "b", "1")).repeat(100));
        let mut newcomers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (address, all) = (hub.address, all.clone());
            newcomers.spawn(async move {
                let Ok(mut socket) = tokio::net::TcpStream::connect(address).await else { return };
                let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, &all).await;
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut Vec::new()).await;
            });
        }
        // Somewhere among them, each round elsewhere.
        hub.until("under way", |stats| stats.links >= round).await;
        match round % 3 {
            0 => hub.target.close(),
            1 => within("the shutdown", hub.target.shutdown(Duration::ZERO)).await,
            _ => within("the shutdown", hub.target.shutdown(Duration::from_millis(20))).await,
        }
        if round % 3 == 0 {
            within("the rest of it", hub.target.shutdown(Duration::ZERO)).await;
        }
        within("serving", &mut hub.serving).await.unwrap().unwrap();
        within("the newcomers", newcomers.join_all()).await;
        let stats = hub.target.stats();
        assert_eq!((stats.links, stats.topics, stats.queued_messages, stats.queued_bytes), (0, 0, 0, 0));
    }
}
