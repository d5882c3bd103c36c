//! A hub of several shards: what its spokes and the program see of that, which is nothing.

use crate::support::{Hub, Raw, denied, envelope, hear, limits, next, recorded, subscribe, text, within};
use alkpubsub::websocket_server::{AddConnectionError, FanOut, HubLimits, ServerOptions, StartError};
use alkpubsub::{DispatchError, EventEnvelope, EventTarget, WebSocketServerEventTarget};
use std::num::NonZeroU8;
use std::time::Duration;

fn shards(count: u8) -> ServerOptions {
    ServerOptions::new().relay().shards(NonZeroU8::new(count).unwrap())
}

/// New connections go where the fewest are: one after the other, when none leaves.
async fn spread(hub: &Hub, topics: &[&str]) -> [Raw; 4] {
    [
        hub.subscriber(topics).await,
        hub.subscriber(topics).await,
        hub.subscriber(topics).await,
        hub.subscriber(topics).await,
    ]
}

#[tokio::test]
async fn connections_are_spread_and_known_by_ids_of_their_own() {
    let (hub, mut record) = recorded(shards(4)).await;
    let _clients = [spread(&hub, &["a:b"]).await, spread(&hub, &["a:b"]).await];
    let mut ids = vec![];
    for _ in 0..8 {
        ids.push(record.connected().await.id());
    }
    let mut shards: Vec<u8> = ids.iter().map(|id| id.shard()).collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 0, 1, 1, 2, 2, 3, 3]);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    let stats = hub.until("there", |stats| stats.links == 8).await;
    assert_eq!((stats.topics, stats.connections), (1, 8), "a topic counts once, wherever it is held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_every_publisher_comes_once_and_in_order_in_every_shard() {
    const EVENTS: usize = 2000;
    let hub = Hub::start(shards(3)).await;
    let mut clients = vec![];
    for _ in 0..6 {
        clients.push(hub.subscriber(&["a:b", "c:d"]).await);
    }
    let mut publishers = vec![hub.client().await, hub.client().await, hub.client().await];
    let publishing: Vec<_> = publishers
        .drain(..)
        .enumerate()
        .map(|(publisher, mut client)| {
            tokio::spawn(async move {
                for number in 0..EVENTS {
                    let topic = if number % 3 == 0 { "c:d" } else { "a:b" };
                    let (event_type, id) = topic.split_once(':').unwrap();
                    client.publish(event_type, id, &format!("[{publisher},{number}]")).await;
                }
                client
            })
        })
        .collect();
    let hearing: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            tokio::spawn(async move {
                let mut next = [0; 3];
                while next != [EVENTS; 3] {
                    let text = client.text().await;
                    let (_, payload) = text.trim_end_matches("]}").split_once("payload\":[").unwrap();
                    let (publisher, number) = payload.split_once(',').unwrap();
                    let (publisher, number): (usize, usize) =
                        (publisher.parse().unwrap(), number.parse().unwrap());
                    assert_eq!(number, next[publisher], "of publisher {publisher}");
                    next[publisher] += 1;
                }
                assert_eq!(client.flush().await, [""; 0]);
            })
        })
        .collect();
    for task in hearing {
        task.await.unwrap();
    }
    for task in publishing {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn who_was_told_that_it_is_subscribed_misses_nothing_that_another_shard_publishes() {
    let hub = Hub::start(shards(2)).await;
    let mut publisher = hub.client().await;
    for round in 0..200 {
        let id = round.to_string();
        // In either shard.
        let topic = format!("a:{id}");
        let mut clients = [hub.client().await, hub.client().await];
        for client in &mut clients {
            client.subscribe(&topic).await;
        }
        publisher.publish("a", &id, "1").await;
        for mut client in clients {
            assert_eq!(client.text().await, envelope("a", &id, "1"));
            assert_eq!(client.leave().await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn what_the_program_dispatches_reaches_every_shard_in_order_and_before_its_goodbye() {
    let (hub, mut record) = recorded(shards(2)).await;
    let mut clients = spread(&hub, &["a:b"]).await;
    for number in 0..10 {
        hub.dispatch("a", "b", &number);
        hub.dispatch("nobody", "here", &number);
    }
    for _ in 0..4 {
        let spoke = record.connected().await;
        spoke.dispatch_event(EventEnvelope::new("own", "", &1).unwrap()).unwrap();
        spoke.disconnect(1000, "done");
    }
    hub.target.flush().await;
    for client in &mut clients {
        for number in 0..10 {
            assert_eq!(client.text().await, envelope("a", "b", &number.to_string()));
        }
        assert_eq!(client.text().await, envelope("own", "", "1"));
        assert_eq!(client.closes_with(1000).await, "done");
    }
    let stats = hub.stats();
    assert_eq!((stats.dispatched, stats.rejected, stats.sent), (24, 0, 44));
}

#[tokio::test]
async fn an_event_that_one_shard_has_no_room_for_reaches_no_other_either() {
    let hub = Hub::start(shards(2)).await;
    // The first shard is this thread's, and takes nothing until it has its turn.
    let mut clients = [hub.subscriber(&["a:b"]).await, hub.subscriber(&["a:b"]).await];
    let event = EventEnvelope::new("a", "b", &1).unwrap();
    let mut taken = 0;
    let full = loop {
        match hub.target.dispatch_event(event.clone()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, DispatchError::Full), "{full}");
    assert_eq!(taken, 4096);
    hub.target.room().await;
    hub.dispatch("a", "b", &2);
    for client in &mut clients {
        for _ in 0..taken {
            assert_eq!(client.text().await, envelope("a", "b", "1"));
        }
        assert_eq!(client.text().await, envelope("a", "b", "2"));
    }
}

#[tokio::test]
async fn all_are_sent_everything_where_that_is_asked_for() {
    let hub = Hub::start(shards(2).fan_out(FanOut::All)).await;
    let mut clients = [hub.client().await, hub.client().await, hub.client().await];
    clients[1].publish("a", "b", "1").await;
    hub.until("sent", |stats| stats.sent == 3).await;
    hub.dispatch("a", "b", &2);
    for client in &mut clients {
        assert_eq!(client.text().await, envelope("a", "b", "1"));
        assert_eq!(client.text().await, envelope("a", "b", "2"));
    }
}

#[tokio::test]
async fn the_programs_listeners_hear_every_shard() {
    let hub = Hub::start(shards(2)).await;
    let mut heard = hear(&*hub.target, "a:b");
    for client in &mut spread(&hub, &[]).await {
        client.publish("a", "b", "1").await;
        assert_eq!(next("an event", &mut heard).await.payload::<u32>().unwrap(), 1);
    }
    assert_eq!(hub.until("counted", |stats| stats.received == 4).await.received, 4);
}

#[tokio::test]
async fn an_owner_of_an_identity_in_one_shard_is_known_in_the_other() {
    let hub = Hub::start(shards(2)).await;
    let mut early = [hub.client().await, hub.client().await];
    for client in &mut early {
        client.subscribe("direct:before").await;
    }
    let (near, far) = tokio::io::duplex(1000);
    hub.target.add_connection(near, Some("me")).await.unwrap();
    Raw::over(far).subscribe("direct:me").await;
    for client in &mut early {
        client.send_text(&subscribe("direct:me")).await;
        assert_eq!(client.text().await, denied("direct:me", "subscribe", "not_allowed"));
    }
}

#[tokio::test]
async fn the_limit_of_connections_is_that_of_all_shards_together() {
    let hub = Hub::start(shards(2).limits(limits(|limits| limits.max_links = 3))).await;
    let mut clients = vec![];
    for _ in 0..3 {
        clients.push(hub.client().await);
    }
    let full = hub.target.add_connection(tokio::io::duplex(8).0, None).await.map(|_| ());
    assert_eq!(full, Err(AddConnectionError::Full { limit: 3 }));
    // Each shard counts at the end of its round.
    hub.until("there", |stats| stats.links == 3).await;
    clients.pop();
    hub.until("left", |stats| stats.links == 2).await;
    hub.client().await;
}

#[tokio::test]
async fn what_waits_for_all_is_bounded_for_all_shards_together() {
    let bounded = |limits: &mut HubLimits| limits.max_outbound_total = 40_000;
    let (hub, mut record) = recorded(shards(2).limits(limits(bounded))).await;
    // Nobody reads: what waits stays.
    let mut far = vec![];
    for _ in 0..4 {
        let (near, end) = tokio::io::duplex(64);
        far.push(end);
        hub.target.add_connection(near, None).await.unwrap();
    }
    let mut spokes = vec![];
    for _ in 0..4 {
        spokes.push(record.connected().await);
    }
    let event = |bytes| EventEnvelope::new("a", "b", &"x".repeat(bytes)).unwrap();
    // 30,000 in the one shard, 9,000 in the other: together as much as is allowed.
    let one = spokes[0].id().shard();
    let other = spokes.iter().position(|spoke| spoke.id().shard() != one).unwrap();
    spokes[0].dispatch_event(event(30_000)).unwrap();
    spokes[other].dispatch_event(event(9_000)).unwrap();
    let stats = hub.until("queued", |stats| stats.queued_bytes > 38_000).await;
    assert_eq!(stats.too_slow, 0);
    // What breaks the bound is another shard's, which has less than its share: it is the first one's turn.
    spokes[other].dispatch_event(event(3_000)).unwrap();
    let (link, _) = record.backpressure().await;
    assert_eq!(link, spokes[0].id());
    let stats = hub.until("relieved", |stats| stats.queued_bytes < 20_000).await;
    assert_eq!(stats.too_slow, 1);
}

#[tokio::test]
async fn a_connection_is_given_back_from_any_shard_to_the_programs_runtime() {
    let (hub, mut record) = recorded(shards(2)).await;
    let mut others = vec![];
    for _ in 0..2 {
        let mut client = hub.subscriber(&["a:b"]).await;
        let spoke = record.connected().await;
        let mut socket = hub.target.remove_connection(spoke.id()).await.expect("it is between two messages");
        // Nothing of a shard is left in it: it is read and written here.
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"\x81\x02hi").await.unwrap();
        assert_eq!(client.text().await, "hi");
        client.send(text("yes")).await;
        let mut read = [0; 9];
        tokio::io::AsyncReadExt::read_exact(&mut socket, &mut read).await.unwrap();
        record.disconnected().await;
        // So that the next one goes to the other shard.
        others.push(hub.client().await);
        record.connected().await;
    }
}

#[tokio::test]
async fn a_shutdown_closes_the_connections_of_all_shards_and_then_ends() {
    let hub = Hub::start(shards(3)).await;
    let clients = spread(&hub, &["a:b"]).await;
    let shutting_down = tokio::spawn({
        let target = hub.target.clone();
        async move { target.shutdown(Duration::from_secs(60)).await }
    });
    for mut client in clients {
        client.is_closed_with(1001).await;
    }
    shutting_down.await.unwrap();
    assert_eq!(hub.stats().links, 0);
    let event = EventEnvelope::new("a", "b", &1).unwrap();
    assert!(matches!(hub.target.dispatch_event(event), Err(DispatchError::Closed(_))));
}

#[tokio::test]
async fn a_hub_that_is_dropped_ends_in_all_shards() {
    let hub = Hub::start(shards(3)).await;
    let clients = spread(&hub, &["a:b"]).await;
    drop(hub);
    for mut client in clients {
        client.ends().await;
    }
}

#[tokio::test]
#[should_panic(expected = "65 shards are too many: a hub may have 64")]
async fn more_shards_than_there_may_be_are_refused() {
    Hub::start(shards(65)).await;
}

/// In a process of its own, which may have few files open: this very test.
#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_for_all_shards_there_is_an_error_and_nothing_is_left_of_the_others() {
    const NAME: &str =
        "shards::without_descriptors_for_all_shards_there_is_an_error_and_nothing_is_left_of_the_others";
    if !crate::support::is_alone(NAME, "ulimit -n 64 && ") {
        return;
    }
    let entries = |of: &str| std::fs::read_dir(of).unwrap().count();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (threads, descriptors) = (entries("/proc/self/task"), entries("/proc/self/fd"));
        for _ in 0..3 {
            let error = WebSocketServerEventTarget::try_new(shards(64)).unwrap_err();
            let StartError::Shard { shard, shards: 64, error } = &error else { panic!("{error}") };
            assert!(*shard > 4, "some were started: {shard}");
            assert_eq!(error.raw_os_error(), Some(24), "{error}");
            assert_eq!(entries("/proc/self/fd"), descriptors);
            // One that was joined may be listed for a moment longer.
            let gone = async {
                while entries("/proc/self/task") > threads {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            within("the end of the threads", gone).await;
        }
        let hub = Hub::start(shards(4)).await;
        let [mut one, _, _, mut other] = spread(&hub, &["a:b"]).await;
        one.publish("a", "b", "1").await;
        assert_eq!(other.text().await, envelope("a", "b", "1"));
    });
}

#[test]
fn too_many_shards_and_no_runtime_are_errors() {
    let error = WebSocketServerEventTarget::try_new(shards(2)).unwrap_err();
    assert!(matches!(error, StartError::NoRuntime), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _on_it = runtime.enter();
    let error = WebSocketServerEventTarget::try_new(shards(65)).unwrap_err();
    assert_eq!(error.to_string(), "65 shards are too many: a hub may have 64");
    assert!(format!("{:?}", shards(65)).contains("shards: 65"));
}
