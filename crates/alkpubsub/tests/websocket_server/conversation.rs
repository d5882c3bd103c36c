//! What one connection says, in any order and in reads of any size, is heard exactly: known from what was said alone.

use crate::support::{
    CLOSE, Heard, Hub, PING, REQUEST, Raw, envelope, frame, limits, subscribe, subscribed, text, within,
};
use alkpubsub::websocket_server::ServerOptions;
use std::num::NonZeroU8;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

fn hub(shards: u8) -> ServerOptions {
    // Nobody is too slow here: the readers share the machine with the hub.
    let limits = limits(|limits| {
        limits.max_outbound = 64 << 20;
        limits.max_outbound_messages = 1 << 20;
    });
    ServerOptions::new().relay().limits(limits).shards(NonZeroU8::new(shards).unwrap())
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }
}

const TOPICS: [&str; 4] = ["t:0", "t:1", "t:2", "t:3"];

/// Events, subscriptions and pings of one connection, and what has to be heard of them.
#[derive(Default)]
struct Script {
    /// What it says, a write each.
    writes: Vec<Vec<u8>>,
    /// What it hears itself.
    own: Vec<String>,
    /// What those hear who hold all topics.
    all: Vec<String>,
    /// What those hear who hold the first alone.
    first: Vec<String>,
}

impl Script {
    /// Several events of a topic often stand behind each other, and are queued as one piece where many hold it; sizes
    /// are those around which such a piece is full, or a frame's header longer.
    fn write(seed: u64, steps: usize) -> Self {
        let mut random = Random(seed | 1);
        let (mut script, mut write) = (Self::default(), vec![]);
        let (mut topic, mut held) = (0, [false; TOPICS.len()]);
        for step in 0..steps {
            if random.below(5) == 0 {
                topic = random.below(TOPICS.len());
            }
            let said = match random.below(20) {
                0 => {
                    held[topic] = true;
                    script.own.push(subscribed(TOPICS[topic]));
                    subscribe(TOPICS[topic])
                }
                1 => {
                    held[topic] = false;
                    envelope("__unsubscribe", "", &format!(r#"{{"topic":"{}"}}"#, TOPICS[topic]))
                }
                2 => {
                    let echo = format!(r#"{{"n":{step}}}"#);
                    let pong = format!(r#"{{"echo":{echo},"protocol":1,"features":[]}}"#);
                    script.own.push(envelope("__pong", "", &pong));
                    envelope("__ping", "", &echo)
                }
                _ => {
                    let size = match random.below(60) {
                        0 => 65_300,
                        1 => 16_280 + random.below(100),
                        2..5 => 1_500 + random.below(200),
                        5..20 => 80 + random.below(60),
                        _ => random.below(30),
                    };
                    let payload = format!(r#"[{step},"{}"]"#, "x".repeat(size));
                    let event = envelope("t", &topic.to_string(), &payload);
                    if held[topic] {
                        script.own.push(event.clone());
                    }
                    if topic == 0 {
                        script.first.push(event.clone());
                    }
                    script.all.push(event.clone());
                    event
                }
            };
            write.extend(text(&said));
            if random.below(8) == 0 {
                script.writes.push(std::mem::take(&mut write));
            }
        }
        script.writes.push(write);
        script
    }
}

/// Reads texts, which have to be these, and then nothing.
async fn hears(who: String, mut client: Raw, expected: Arc<Vec<String>>) {
    for (at, expected) in expected.iter().enumerate() {
        let text = client.text().await;
        let beginning = |text: &str| text[..text.len().min(70)].to_owned();
        assert!(
            text == *expected,
            "{who}, text {at}: {} in place of {}",
            beginning(&text),
            beginning(expected)
        );
    }
    assert_eq!(client.flush().await, [""; 0], "{who}");
}

async fn a_conversation(shards: u8, seed: u64) {
    println!("seed {seed}, {shards} shards");
    let Script { writes, own, all, first } = Script::write(seed, 1_500);
    let (events, of_first) = (all.len() as u64, first.len() as u64);
    let of_own = own.iter().filter(|text| text.starts_with(r#"{"type":"t""#)).count() as u64;
    let hub = Hub::start(hub(shards)).await;
    let (all, first) = (Arc::new(all), Arc::new(first));
    let mut hearing = JoinSet::new();
    for reader in 0..6 {
        let client = hub.subscriber(&TOPICS).await;
        hearing.spawn(hears(format!("seed {seed}, reader {reader}"), client, all.clone()));
    }
    let client = hub.subscriber(&TOPICS[..1]).await;
    hearing.spawn(hears(format!("seed {seed}, the reader of one topic"), client, first));
    // It reads while it writes, as else both ends could wait for each other.
    let (near, mut said) = hub.client().await.socket.into_split();
    let mut client = Raw::over(tokio::io::join(near, tokio::io::sink()));
    let hearing_itself = tokio::spawn(async move {
        for (at, expected) in own.iter().enumerate() {
            assert!(client.text().await == *expected, "seed {seed}, what it hears itself, text {at}");
        }
        client
    });
    for write in writes {
        within("room to write", said.write_all(&write)).await.unwrap();
    }
    let _open = hearing_itself.await.unwrap();
    while let Some(heard) = within("the readers", hearing.join_next()).await {
        heard.unwrap();
    }
    let sent = 6 * events + of_first + of_own;
    let stats = hub.until("counted", |stats| stats.received == events && stats.sent == sent).await;
    assert_eq!((stats.dropped, stats.too_slow, stats.denied, stats.bad_input), (0, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_one_connection_says_everybody_hears_what_is_for_them_exactly() {
    for seed in [7_919, 15_838] {
        a_conversation(1, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_in_two_shards() {
    for seed in [7_919, 15_838] {
        a_conversation(2, seed).await;
    }
}

/// A request and what follows it, in two reads, for each place between two bytes of it.
#[tokio::test]
async fn a_request_and_its_frames_may_be_cut_between_any_two_bytes() {
    let hub = Hub::start(hub(1)).await;
    let long = "y".repeat(200);
    // All say as many bytes; each has a topic of its own, as the others' events would come anywhere.
    let says = |id: &str| {
        let event = |payload: &str| envelope("a", id, payload);
        let long = event(&format!("\"{long}\""));
        let (head, tail) = long.as_bytes().split_at(100);
        let bytes = [
            REQUEST.as_bytes(),
            &text(&subscribe(&format!("a:{id}"))),
            &text(&event("1")),
            &text(&long),
            &frame(0x01, head),
            &frame(PING, b"within"),
            &frame(0x80, tail),
            &text(&event("2")),
            &frame(CLOSE, &1000_u16.to_be_bytes()),
        ]
        .concat();
        let heard = vec![
            Heard::Text(subscribed(&format!("a:{id}"))),
            Heard::Text(event("1")),
            Heard::Text(long.clone()),
            Heard::Pong(b"within".to_vec()),
            Heard::Text(long.clone()),
            Heard::Text(event("2")),
            Heard::Close(Some(1000), String::new()),
        ];
        (bytes, heard)
    };
    let length = says("0000").0.len();
    for part in (1..length).collect::<Vec<_>>().chunks(100) {
        let mut clients = vec![];
        for &cut in part {
            let (bytes, heard) = says(&format!("{cut:04}"));
            let mut client = Raw::over(Raw::tcp(hub.address).await);
            client.send(&bytes[..cut]).await;
            clients.push((cut, client, bytes, heard));
        }
        // The hub, which shares this thread, has read what was sent: it answers somebody who came later.
        hub.client().await.leave().await;
        for (cut, mut client, bytes, heard) in clients {
            client.send(&bytes[cut..]).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "cut at {cut}: {head}");
            for expected in heard {
                assert_eq!(client.next().await, expected, "cut at {cut}");
            }
            client.ends().await;
        }
    }
    let stats = hub.until_empty().await;
    assert_eq!((stats.bad_input, stats.violations, stats.incoming_bytes), (0, 0, 0));
    assert_eq!(stats.received, 4 * (length as u64 - 1));
}
