//! What one message costs through a redis-server on loopback, published and heard by one program on one thread, with the target
//! and with the bare crate redis.
//!
//! `redis [ROUNDS [MESSAGES]]`: in each round every way has its turn, and is compared in that very round with the first. The
//! tables show medians of the rounds, with the quarters around them. A turn ends when the last message was heard; each is
//! counted, and what is missing is a failure.

use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{EventEnvelope, EventTarget};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ioredis::Ioredis;
use redis::Client;
use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

mod ioredis;

const CHANNEL: &str = "chat.message:room-1";
/// Messages on their way.
const WINDOW: usize = 1024;

fn envelope(payload: usize) -> String {
    let text = "x".repeat(payload);
    format!(r#"{{"type":"chat.message","id":"room-1","payload":{{"text":"{text}"}}}}"#)
}

struct Server(Child);

impl Server {
    fn start() -> (Self, String) {
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let port = free.port().to_string();
        let mut child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is needed");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let server = Self(child);
        for line in output.lines() {
            if line.expect("a line").contains("Ready to accept connections") {
                return (server, format!("redis://127.0.0.1:{port}"));
            }
        }
        panic!("redis-server did not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As programs do it: each PUBLISH is a future, many of them under way; a stream of messages.
async fn bare(url: &str, text: String, messages: usize) -> Duration {
    let client = Client::open(url).expect("a URL");
    let connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut pubsub = client.get_async_pubsub().await.expect("a connection");
    pubsub.subscribe(CHANNEL).await.expect("subscribed");
    let mut heard = pubsub.into_on_message().take(messages);
    let publish = || {
        let (mut connection, text) = (connection.clone(), text.as_str());
        async move {
            redis::cmd("PUBLISH")
                .arg(CHANNEL)
                .arg(text)
                .query_async::<i64>(&mut connection)
                .await
                .expect("published")
        }
    };
    let since = Instant::now();
    let publishing = async {
        let mut under_way = FuturesUnordered::new();
        for _ in 0..messages {
            if under_way.len() == WINDOW {
                under_way.next().await;
            }
            under_way.push(publish());
        }
        while under_way.next().await.is_some() {}
    };
    let hearing = async {
        let mut count = 0;
        while let Some(message) = heard.next().await {
            // What both do: the text is looked at.
            count += usize::from(message.get_payload_bytes().len() == text.len());
        }
        assert_eq!(count, messages);
    };
    tokio::join!(publishing, hearing);
    since.elapsed()
}

/// As fast as the crate goes: pipelines whose answers nobody looks at one by one.
async fn pipelines(url: &str, text: String, messages: usize) -> Duration {
    let client = Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut pubsub = client.get_async_pubsub().await.expect("a connection");
    pubsub.subscribe(CHANNEL).await.expect("subscribed");
    let heard = pubsub.into_on_message().take(messages);
    let since = Instant::now();
    let publishing = async {
        let mut left = messages;
        while left > 0 {
            let mut pipeline = redis::pipe();
            for _ in 0..left.min(WINDOW) {
                pipeline.cmd("PUBLISH").arg(CHANNEL).arg(&text).ignore();
            }
            pipeline.query_async::<()>(&mut connection).await.expect("published");
            left -= left.min(WINDOW);
        }
    };
    let (count, ()) = tokio::join!(heard.count(), publishing);
    assert_eq!(count, messages);
    since.elapsed()
}

async fn ours(url: &str, text: String, messages: usize) -> Duration {
    let target = RedisEventTarget::connect(url, RedisOptions::new()).await.expect("a connection");
    let event = EventEnvelope::parse(text).expect("an envelope");
    let (heard, more) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, wake) = (heard.clone(), more.clone());
    let listener = move |_: &EventEnvelope| {
        // Half a window at a time, as the publisher needs no more.
        if (count.fetch_add(1, Relaxed) + 1) % (WINDOW / 2) == 0 {
            wake.notify_one();
        }
    };
    target.add_event_listener(CHANNEL, Arc::new(listener)).expect("open");
    target.ready(CHANNEL).await;
    let since = Instant::now();
    let sent = Cell::new(0);
    while sent.get() < messages {
        while sent.get() - heard.load(Relaxed) >= WINDOW {
            more.notified().await;
        }
        target.dispatch_event_ref(&event).expect("taken");
        sent.set(sent.get() + 1);
    }
    while heard.load(Relaxed) < messages {
        tokio::task::yield_now().await;
    }
    since.elapsed()
}

async fn bare_echo(url: &str, text: String, messages: usize) -> Duration {
    let client = Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut pubsub = client.get_async_pubsub().await.expect("a connection");
    pubsub.subscribe(CHANNEL).await.expect("subscribed");
    let mut heard = pubsub.into_on_message();
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(&text);
    let since = Instant::now();
    for _ in 0..messages {
        let (published, message) = tokio::join!(publish.query_async::<i64>(&mut connection), heard.next());
        assert!(published.is_ok() && message.is_some());
    }
    since.elapsed()
}

async fn our_echo(url: &str, text: String, messages: usize) -> Duration {
    let target = RedisEventTarget::connect(url, RedisOptions::new()).await.expect("a connection");
    let event = EventEnvelope::parse(text).expect("an envelope");
    let came = Arc::new(Notify::new());
    let wake = came.clone();
    target.add_event_listener(CHANNEL, Arc::new(move |_: &EventEnvelope| wake.notify_one())).expect("open");
    target.ready(CHANNEL).await;
    let since = Instant::now();
    for _ in 0..messages {
        target.dispatch_event_ref(&event).expect("taken");
        came.notified().await;
    }
    since.elapsed()
}

/// The median, and the quarters around it.
fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

/// A way to take a turn: its name, and what it takes for this text and so many messages.
type Way<'w> = (&'static str, Box<dyn FnMut(&str, usize) -> Duration + 'w>);

/// One of this program's own ways, on a runtime of its own.
fn here<'w, F: Future<Output = Duration>>(
    name: &'static str,
    url: &'w str,
    way: impl Fn(&'w str, String, usize) -> F + 'w,
) -> Way<'w> {
    let turn = move |text: &str, messages| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(way(url, text.to_owned(), messages))
    };
    (name, Box::new(turn))
}

/// Every way has its turn in each round.
fn table(title: &str, ways: &mut [Way<'_>], text: &str, rounds: usize, messages: usize) {
    let mut taken = vec![Vec::new(); ways.len()];
    for round in 0..=rounds {
        for ((_, way), taken) in ways.iter_mut().zip(&mut taken) {
            let turn = way(text, messages);
            // The first warms up.
            if round > 0 {
                taken.push(turn.as_nanos() as f64 / messages as f64);
            }
        }
    }
    println!("\n{title}, {} bytes a message\n", text.len());
    println!("| | ns a message | messages/s, beside the first | quarters |");
    println!("| --- | --: | --: | --: |");
    for ((name, _), own) in ways.iter().zip(&taken) {
        let ratios = taken[0].iter().zip(own).map(|(first, own)| first / own).collect();
        let (low, ratio, high) = quartiles(ratios);
        let (_, nanoseconds, _) = quartiles(own.clone());
        println!("| {name} | {nanoseconds:.0} | {ratio:.2} | {low:.2}-{high:.2} |");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse().expect("a number"));
    let (rounds, messages) = (arguments.next().unwrap_or(9), arguments.next().unwrap_or(100_000_usize));
    let (_server, url) = Server::start();
    let url = url.as_str();
    let node = match Ioredis::start(url, CHANNEL) {
        Ok(node) => Some(RefCell::new(node)),
        Err(why) => {
            eprintln!("without ioredis: {why}");
            None
        }
    };
    let node = |name, way: &'static str, pipelining| -> Option<Way<'_>> {
        let node = node.as_ref()?;
        let turn = move |text: &str, messages| node.borrow_mut().turn(way, text, messages, pipelining);
        Some((name, Box::new(turn)))
    };
    let mut one_way = vec![
        here("the bare crate, 1,024 under way", url, bare),
        here("the bare crate, pipelines of 1,024 (the floor)", url, pipelines),
        here("alkpubsub", url, ours),
    ];
    one_way.extend(node("ioredis, 1,024 under way", "one way", false));
    one_way.extend(node("the same with enableAutoPipelining", "one way", true));
    let mut there_and_back = vec![here("the bare crate", url, bare_echo), here("alkpubsub", url, our_echo)];
    there_and_back.extend(node("ioredis", "there and back", false));
    for payload in [30, 128, 4096] {
        let text = envelope(payload);
        let messages = if payload > 1000 { messages / 8 } else { messages };
        table("One way", &mut one_way, &text, rounds, messages.max(1));
        table("There and back, one at a time", &mut there_and_back, &text, rounds, (messages / 20).max(1));
    }
}
