//! Real threads that add and remove on one WebSocket client, counted by a naive hub at the other end of the socket.
//!
//! `link_interleavings.rs` has every order; this one has real locks, a real socket and a real task between. A failure
//! prints its seed, and `LINK_SEED=n` runs that one alone; what the threads do is the same then, not when.

use alkpubsub::{EventEnvelope, EventTarget, ListenerId, Readiness, WebSocketClientEventTarget};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

const SEEDS: u64 = 300;
const THREADS: u64 = 3;
const CALLS: u64 = 40;
const TOPICS: [&str; 2] = ["a:", "a:b"];

struct Random(u64);

impl Random {
    /// Any seed, 0 among them, begins far away from its neighbours.
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// What was said about a topic last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Word {
    #[default]
    LetGo,
    Asked,
    Denied,
}

/// What a topic went through on the wire.
#[derive(Default)]
struct Counted {
    last: Word,
    subscribes: u64,
    unsubscribes: u64,
}

/// Answers by chance until the socket ends; gives what it counted.
async fn hub(mut socket: WebSocketStream<DuplexStream>, mut random: Random) -> HashMap<String, Counted> {
    let mut topics: HashMap<String, Counted> = HashMap::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let payload = &value["payload"];
        let topic = payload["topic"].as_str().unwrap_or_default();
        let answer = match value["type"].as_str().expect("a type") {
            "__subscribe" => {
                let counted = topics.entry(topic.to_owned()).or_default();
                assert_ne!(counted.last, Word::Asked, "asked twice for {topic}");
                let yes = random.below(5) > 0;
                counted.last = if yes { Word::Asked } else { Word::Denied };
                counted.subscribes += 1;
                let (name, rest) = match yes {
                    true => ("subscribed", ""),
                    false => ("denied", r#","action":"subscribe","reason":"broker""#),
                };
                format!(r#"{{"type":"__{name}","id":"","payload":{{"topic":"{topic}"{rest}}}}}"#)
            }
            "__unsubscribe" => {
                let counted = topics.get_mut(topic).expect("it was asked for");
                // A denial may not have been read yet when it is sent.
                assert_ne!(counted.last, Word::LetGo, "let go twice of {topic}");
                counted.last = Word::LetGo;
                counted.unsubscribes += 1;
                continue;
            }
            "__ping" => format!(r#"{{"type":"__pong","id":"","payload":{{"echo":{payload}}}}}"#),
            other => panic!("{other} is on the wire"),
        };
        // The target may be gone already.
        if socket.send(Message::text(answer)).await.is_err() {
            break;
        }
    }
    topics
}

/// One thread of the program: gives the listeners that it leaves behind, by topic.
fn add_and_remove(target: &dyn EventTarget, mut random: Random) -> [usize; TOPICS.len()] {
    let mut held: [Vec<ListenerId>; TOPICS.len()] = Default::default();
    for _ in 0..CALLS {
        let topic = random.below(TOPICS.len() as u64) as usize;
        match held[topic].pop() {
            Some(listener) if random.below(8) > 0 => target.remove_event_listener(listener),
            kept => {
                held[topic].extend(kept);
                let listener = Arc::new(|_: &EventEnvelope| ());
                held[topic].push(target.add_event_listener(TOPICS[topic], listener).expect("it is open"));
            }
        }
        if random.below(4) == 0 {
            std::thread::yield_now();
        }
    }
    // Half of the time nobody is left.
    if random.below(2) == 0 {
        held.iter_mut()
            .flat_map(|held| held.drain(..))
            .for_each(|listener| target.remove_event_listener(listener));
    }
    held.map(|held| held.len())
}

/// Gives how many words it counted.
async fn round(seed: u64) -> u64 {
    let (here, there) = tokio::io::duplex(256);
    let here = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
    let there = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
    let target = Arc::new(WebSocketClientEventTarget::new(here));
    let hub = tokio::spawn(hub(there, Random::new(seed)));
    let threads = (1..=THREADS).map(|thread| {
        let (target, (done, joined)) = (target.clone(), oneshot::channel());
        let random = Random::new(seed.wrapping_mul(THREADS + 1).wrapping_add(thread));
        std::thread::spawn(move || done.send(add_and_remove(&target, random)));
        joined
    });
    let threads: Vec<_> = threads.collect();
    let mut listeners = [0; TOPICS.len()];
    for thread in threads {
        let left = thread.await.expect("the thread ends");
        listeners.iter_mut().zip(left).for_each(|(sum, more)| *sum += more);
    }
    // The answer comes after all that came before it was handled.
    target.ping().await.expect("the hub answers");
    let mut states = [None; TOPICS.len()];
    for (topic, state) in TOPICS.iter().zip(&mut states) {
        *state = Some(target.ready(topic).await);
    }
    drop(target);
    let topics = hub.await.expect("nothing was sent twice");
    for ((topic, listeners), state) in TOPICS.iter().zip(listeners).zip(states) {
        let Counted { last, subscribes, unsubscribes } = &topics[*topic];
        let expected = match (listeners, state) {
            (0, _) => [Word::LetGo, Word::Denied],
            (_, Some(Readiness::Confirmed)) => [Word::Asked; 2],
            (_, Some(Readiness::Denied(_))) => [Word::Denied; 2],
            (_, state) => panic!("{topic} is {state:?}"),
        };
        assert!(
            expected.contains(last),
            "{topic} has {listeners} listeners, is {state:?}, and the last word was {last:?}"
        );
        assert!(subscribes >= unsubscribes);
    }
    topics.values().map(|counted| counted.subscribes + counted.unsubscribes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_add_and_remove_send_one_word_for_the_first_and_one_after_the_last() {
    let seeds = match std::env::var("LINK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("LINK_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let mut words = 0;
    for seed in seeds {
        let round = tokio::time::timeout(Duration::from_secs(20), tokio::spawn(round(seed))).await;
        words += match round {
            Ok(Ok(words)) => words,
            Ok(Err(_)) => panic!("failed with LINK_SEED={seed}"),
            Err(_) => panic!("takes too long with LINK_SEED={seed}"),
        };
    }
    println!("{words} words on the wire");
    assert!(words > 0);
}
