//! Several shards at work at the same time: panics, listeners that come and go, subscriptions, and the end.

use crate::support::{CLOSE, Heard, Hub, Raw, envelope, frame, limits, notices, subscribe, text, within};
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{
    Action, CloseReason, DenyReason, EventEnvelope, EventTarget, ListenerId, WebSocketServerEventTarget,
};
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;

fn shards(count: u8) -> ServerOptions {
    // Nobody is too slow here: the readers share the machine with the hub.
    let limits = limits(|limits| {
        limits.max_outbound = 64 << 20;
        limits.max_outbound_messages = 1 << 20;
    });
    ServerOptions::new().relay().limits(limits).shards(NonZeroU8::new(count).unwrap())
}

/// The results of all.
async fn all<T: 'static>(what: &str, mut tasks: JoinSet<T>) -> Vec<T> {
    let mut results = vec![];
    while let Some(result) = within(what, tasks.join_next()).await {
        results.push(result.unwrap());
    }
    results
}

/// How often a listener of the program's is called.
fn count(hub: &Hub, topic: &str) -> Arc<AtomicU64> {
    let heard = Arc::new(AtomicU64::new(0));
    let counting = heard.clone();
    let listener = move |_: &EventEnvelope| {
        counting.fetch_add(1, SeqCst);
    };
    hub.target.add_event_listener(topic, Arc::new(listener)).unwrap();
    heard
}

/// The publisher and the number of an event whose payload is `[publisher,number]`.
fn numbers(text: &str) -> (usize, u64) {
    let (_, payload) = text.trim_end_matches("]}").split_once(r#""payload":["#).unwrap();
    let (publisher, number) = payload.split_once(',').unwrap();
    (publisher.parse().unwrap(), number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_any_shard_is_told_of_once_and_ends_nobody() {
    struct Panicking;
    impl HubHooks for Panicking {
        fn disconnected(&self, _: &Arc<Spoke>, _: &CloseReason) {
            panic!("a hook");
        }
        fn authorise(&self, _: &Arc<Spoke>, _: Action, _: &str, id: &str) -> Result<(), DenyReason> {
            assert!(id != "panic", "a hook");
            Ok(())
        }
    }
    let hub = Hub::start(shards(4).hooks(Panicking)).await;
    let mut errors = notices(&*hub.target, "error");
    hub.target.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| panic!("a listener"))).unwrap();
    let heard = count(&hub, "a:b");
    let mut ears = vec![];
    for _ in 0..4 {
        ears.push(hub.subscriber(&["a:b"]).await);
    }
    let mut publishing = JoinSet::new();
    for _ in 0..8 {
        let mut client = hub.client().await;
        publishing.spawn(async move {
            for _ in 0..3 {
                client.publish("a", "b", "1").await;
                client.publish("a", "panic", "1").await;
                client.send_text(&subscribe("a:panic")).await;
            }
            assert_eq!(client.flush().await.len(), 6, "each of these is denied");
            client.leave().await;
        });
    }
    all("the publishers", publishing).await;
    for ear in &mut ears {
        for _ in 0..24 {
            assert_eq!(ear.text().await, envelope("a", "b", "1"));
        }
        assert_eq!(ear.flush().await, [""; 0]);
    }
    // 24 of the listener, 48 of `authorise`, and one for each that has left.
    let stats = hub.until("left", |stats| stats.links == 4 && stats.panicked >= 80).await;
    assert_eq!((stats.panicked, heard.load(SeqCst)), (80, 24));
    for _ in 0..80 {
        crate::support::next("a notice", &mut errors).await;
    }
    assert!(errors.try_recv().is_err(), "each is told of once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_come_and_go_in_two_shards_while_events_flow() {
    let hub = Hub::start(shards(2)).await;
    let heard = count(&hub, "a:b");
    // Each publisher has a listener that adds and removes others, on the topic of all and in the publisher's shard.
    for publisher in 0..4 {
        let target = Arc::downgrade(&hub.target);
        let added: Mutex<Vec<ListenerId>> = Mutex::default();
        let changing = move |_: &EventEnvelope| {
            let target = target.upgrade().unwrap();
            let mut added = added.lock().unwrap();
            if added.len() == 3 {
                added.drain(..2).for_each(|id| target.remove_event_listener(id));
            } else {
                added.push(target.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| ())).unwrap());
            }
        };
        hub.target.add_event_listener(&format!("change:{publisher}"), Arc::new(changing)).unwrap();
    }
    let mut publishing = JoinSet::new();
    for publisher in 0..4 {
        let mut client = hub.client().await;
        publishing.spawn(async move {
            let change = text(&envelope("change", &publisher.to_string(), "1"));
            let event = text(&envelope("a", "b", "1"));
            for _ in 0..100 {
                client.send([event.repeat(7), change.clone()].concat().repeat(2)).await;
            }
            assert_eq!(client.flush().await, [""; 0]);
        });
    }
    all("the publishers", publishing).await;
    let stats = hub.until("counted", |stats| stats.received == 4 * 1_600).await;
    assert_eq!((heard.load(SeqCst), stats.panicked), (4 * 1_400, 0));
    // Of each publisher's, two are left: 1, 2, 3, then 1 again, and so on, 200 times.
    assert_eq!(stats.listeners, 5 + 4 * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_its_answer_and_its_end_a_subscription_hears_every_event_of_every_shard() {
    let hub = Hub::start(shards(2)).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut publishing = JoinSet::new();
    for publisher in 0..3 {
        let (mut client, done) = (hub.client().await, done.clone());
        publishing.spawn(async move {
            for number in 0.. {
                if done.load(SeqCst) {
                    return;
                }
                let events =
                    ["0", "1", "2"].map(|id| text(&envelope("a", id, &format!("[{publisher},{number}]"))));
                client.send(events.concat()).await;
                client.flush().await;
            }
        });
    }
    let mut hearing = JoinSet::new();
    for spoke in 0..8 {
        let mut client = hub.client().await;
        hearing.spawn(async move {
            let mut heard = 0;
            for round in 0..20 {
                let topic = format!("a:{}", (spoke + round) % 3);
                client.subscribe(&topic).await;
                let mut last = [None; 3];
                for count in 0.. {
                    if count == 2 * round {
                        let unsubscribe = envelope("__unsubscribe", "", &format!(r#"{{"topic":"{topic}"}}"#));
                        client.send_text(&unsubscribe).await;
                        client.send_text(&envelope("__ping", "", "{}")).await;
                    }
                    let text = client.text().await;
                    if text.starts_with(r#"{"type":"__pong""#) {
                        break;
                    }
                    let (publisher, number) = numbers(&text);
                    let before = last[publisher].replace(number);
                    assert!(before.is_none_or(|before| before + 1 == number), "{text} behind {before:?}");
                    heard += 1;
                }
            }
            client.leave().await;
            heard
        });
    }
    let heard: u64 = all("the spokes", hearing).await.into_iter().sum();
    done.store(true, SeqCst);
    all("the publishers", publishing).await;
    let stats = hub.until_empty().await;
    assert_eq!((stats.sent, stats.dropped), (heard, 0));
}

/// Everybody answers the hub's Close: what was said before is taken, and what was taken is heard or counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_amid_a_flood_loses_nothing_and_its_counters_add_up() {
    let mut options = shards(3);
    options.hub.drain_window = Duration::from_millis(50);
    let hub = Hub::start(options).await;
    let mut hearing = JoinSet::new();
    for _ in 0..6 {
        let mut client = hub.subscriber(&["a:b"]).await;
        hearing.spawn(async move {
            let mut next = [0; 2];
            loop {
                match client.next().await {
                    Heard::Text(text) => {
                        let (publisher, number) = numbers(&text);
                        assert_eq!(number, next[publisher], "of publisher {publisher}");
                        next[publisher] += 1;
                    }
                    Heard::Close(Some(1001), _) => client.send(frame(CLOSE, &1001_u16.to_be_bytes())).await,
                    Heard::End => return next[0] + next[1],
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    let mut publishing = JoinSet::new();
    for publisher in 0..2 {
        let (near, mut said) = hub.client().await.socket.into_split();
        let mut client = Raw::over(tokio::io::join(near, tokio::io::sink()));
        publishing.spawn(async move {
            let mut number = 0_u64;
            let say = async |said: &mut OwnedWriteHalf, from: u64| {
                let events = (from..from + 10).map(|number| format!("[{publisher},{number}]"));
                let events = events.map(|payload| text(&envelope("a", "b", &payload)));
                said.write_all(&events.collect::<Vec<_>>().concat()).await.unwrap();
            };
            let mut told = std::pin::pin!(client.next());
            let told = loop {
                say(&mut said, number).await;
                number += 10;
                tokio::select! { biased; told = &mut told => break told, () = tokio::task::yield_now() => {} }
            };
            // Whoever was told to close may still finish what it says.
            say(&mut said, number).await;
            number += 10;
            assert!(matches!(told, Heard::Close(Some(1001), _)), "{told:?}");
            said.write_all(&frame(CLOSE, &1001_u16.to_be_bytes())).await.unwrap();
            // The stream is the hub's to end: this end is held until all is over.
            (number, said)
        });
    }
    hub.until("a flood", |stats| stats.received > 1_000).await;
    within("the end", hub.target.shutdown(Duration::from_secs(30))).await;
    let said: u64 = all("the publishers", publishing).await.iter().map(|(number, _)| number).sum();
    let heard: u64 = all("the readers", hearing).await.into_iter().sum();
    let stats = hub.stats();
    assert_eq!((stats.received, stats.sent), (said, heard + stats.dropped));
    assert_eq!((stats.links, stats.topics, stats.queued_messages, stats.queued_bytes), (0, 0, 0, 0));
}

/// The program drops the runtime on which it made the hub, and keeps the hub.
#[test]
fn a_runtime_that_is_dropped_ends_the_hub_in_all_shards() {
    struct Spawning;
    impl HubHooks for Spawning {
        fn disconnected(&self, _: &Arc<Spoke>, _: &CloseReason) {
            // Where nothing is run any more.
            drop(tokio::spawn(async {}));
        }
    }
    let peers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for threads in [0, 2] {
        let runtime = match threads {
            0 => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            _ => tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build()
                .unwrap(),
        };
        let (target, address) = runtime.block_on(async {
            let target = Arc::new(WebSocketServerEventTarget::new(shards(3).hooks(Spawning)));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let served = target.clone();
            drop(tokio::spawn(async move { served.serve(listener).await }));
            (target, address)
        });
        let connecting = peers.spawn(async move {
            let mut clients = vec![];
            for _ in 0..6 {
                let mut client = Raw::connect(address).await;
                client.subscribe("a:b").await;
                clients.push(client);
            }
            clients
        });
        let clients = runtime.block_on(connecting).unwrap();
        let waiting = {
            let target = target.clone();
            peers.spawn(async move { target.closed().await })
        };
        drop(runtime);
        peers.block_on(async {
            within("the end", waiting).await.unwrap();
            for mut client in clients {
                client.ends().await;
            }
        });
        assert_eq!((target.stats().links, target.stats().panicked), (0, 0));
        let event = EventEnvelope::new("a", "b", &1).unwrap();
        assert!(target.dispatch_event(event).is_err());
    }
}
