//! What one message costs over iroh on loopback, from a spoke on one thread to a hub on another, beside the same frames on a bare
//! stream of iroh's, and beside a WebSocket to a hub.
//!
//! `iroh [ROUNDS [MESSAGES [NAME]]]`: in each round every way has its turn, and is compared in that very round with the first;
//! with a name, those that have it in theirs. The tables show medians of the rounds; what both ends had of the CPU is that of
//! all rounds, and says more on a machine that has others. A turn begins when the connection is there and has carried a ping,
//! and ends when the reader has seen the last message; each is counted.

use alkpubsub::hub::HubOptions;
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    ByteStreamOptions, ClientOptions, DispatchError, EventEnvelope, EventTarget, IrohHubEventTarget,
    IrohSpokeEventTarget, WebSocketClientEventTarget, WebSocketServerEventTarget,
};
use iroh::endpoint::presets::Minimal;
use iroh::endpoint::{RecvStream, SendStream};
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::sync::{Notify, oneshot};

const TOPIC: &str = "chat.message:room-1";
const PIECE: usize = 64 * 1024;

type Way = fn(text: &str, messages: usize) -> Duration;
/// Its name, which part of the messages a turn has, and its rows.
type Table = (&'static str, usize, &'static [(&'static str, Way)]);

fn envelope(payload: usize) -> String {
    let text = "x".repeat(payload);
    format!(r#"{{"type":"chat.message","id":"room-1","payload":{{"text":"{text}"}}}}"#)
}

fn frame(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Runs a hub on a thread of its own, which says where it is; the spoke's time.
fn timed<A: Send + 'static, H, S>(
    hub: impl FnOnce(oneshot::Sender<A>, oneshot::Receiver<()>) -> H + Send + 'static,
    spoke: impl FnOnce(A) -> S,
) -> Duration
where
    H: Future<Output = ()>,
    S: Future<Output = Duration>,
{
    let ((told, address), (over, end)) = (oneshot::channel(), oneshot::channel());
    let serving = std::thread::spawn(move || block_on(hub(told, end)));
    let took = block_on(async { spoke(address.await.expect("a hub")).await });
    drop(over);
    serving.join().expect("a hub");
    took
}

async fn endpoint() -> Endpoint {
    let builder = Endpoint::builder(Minimal).alpns(vec![b"bare".to_vec()]).clear_ip_transports();
    builder.bind_addr("127.0.0.1:0").expect("an address").bind().await.expect("an endpoint")
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin), message: &mut Vec<u8>) {
    let length = stream.read_u32().await.expect("a length");
    message.resize(length as usize, 0);
    stream.read_exact(message).await.expect("a message");
}

/// A bare stream; `back` is what the far side sends back: each message, or one byte behind the last.
async fn bare_hub(
    told: oneshot::Sender<EndpointAddr>,
    end: oneshot::Receiver<()>,
    messages: usize,
    echo: bool,
) {
    let endpoint = endpoint().await;
    let _ = told.send(endpoint.addr());
    let connection = endpoint.accept().await.expect("one").await.expect("a connection");
    let (mut send, recv) = connection.accept_bi().await.expect("a stream");
    let mut recv = BufReader::with_capacity(PIECE, recv);
    let mut message = Vec::new();
    read(&mut recv, &mut message).await;
    send.write_all(&[0]).await.expect("a write");
    for _ in 0..messages {
        read(&mut recv, &mut message).await;
        if echo {
            let frame = [&(message.len() as u32).to_be_bytes(), &message[..]].concat();
            send.write_all(&frame).await.expect("a write");
        }
    }
    if !echo {
        send.write_all(&[0]).await.expect("a write");
    }
    let _ = end.await;
    endpoint.close().await;
}

async fn bare_spoke(hub: EndpointAddr, frame: &[u8]) -> (Endpoint, SendStream, RecvStream) {
    let endpoint = endpoint().await;
    let connection = endpoint.connect(hub, b"bare").await.expect("a connection");
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    send.write_all(frame).await.expect("a write");
    recv.read_u8().await.expect("an answer");
    (endpoint, send, recv)
}

/// A write for each message.
fn bare(text: &str, messages: usize) -> Duration {
    let frame = frame(text);
    timed(
        move |told, end| bare_hub(told, end, messages, false),
        |hub| async move {
            let (endpoint, mut send, mut recv) = bare_spoke(hub, &frame).await;
            let begun = Instant::now();
            for _ in 0..messages {
                send.write_all(&frame).await.expect("a write");
            }
            recv.read_u8().await.expect("the end");
            let took = begun.elapsed();
            endpoint.close().await;
            took
        },
    )
}

/// As few writes as fit 64 KiB each: what QUIC alone costs.
fn bare_gathered(text: &str, messages: usize) -> Duration {
    let frame = frame(text);
    timed(
        move |told, end| bare_hub(told, end, messages, false),
        |hub| async move {
            let (endpoint, mut send, mut recv) = bare_spoke(hub, &frame).await;
            let begun = Instant::now();
            let mut gathered = Vec::with_capacity(2 * PIECE);
            for _ in 0..messages {
                gathered.extend_from_slice(&frame);
                if gathered.len() >= PIECE {
                    send.write_all(&gathered).await.expect("a write");
                    gathered.clear();
                }
            }
            send.write_all(&gathered).await.expect("a write");
            recv.read_u8().await.expect("the end");
            let took = begun.elapsed();
            endpoint.close().await;
            took
        },
    )
}

fn bare_echo(text: &str, messages: usize) -> Duration {
    let frame = frame(text);
    timed(
        move |told, end| bare_hub(told, end, messages, true),
        |hub| async move {
            let (endpoint, mut send, mut recv) = bare_spoke(hub, &frame).await;
            let mut message = Vec::new();
            let begun = Instant::now();
            for _ in 0..messages {
                send.write_all(&frame).await.expect("a write");
                read(&mut recv, &mut message).await;
            }
            let took = begun.elapsed();
            endpoint.close().await;
            took
        },
    )
}

/// The last message is answered, or each.
fn answering(hub: &Arc<impl EventTarget>, messages: usize, echo: bool) {
    let (back, heard) = (Arc::downgrade(hub), AtomicUsize::new(0));
    let listener = move |event: &EventEnvelope| {
        if heard.fetch_add(1, Relaxed) + 1 == messages || echo {
            back.upgrade().expect("a hub").dispatch_event_ref(event).expect("room for one");
        }
    };
    hub.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
}

async fn use_target(target: impl EventTarget, event: EventEnvelope, messages: usize, echo: bool) -> Duration {
    let came = Arc::new(Notify::new());
    let told = came.clone();
    let listener = move |_: &EventEnvelope| told.notify_one();
    target.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
    // The answer to the subscription: it is connected.
    target.ready(TOPIC).await;
    let begun = Instant::now();
    for _ in 0..messages {
        while let Err(error) = target.dispatch_event_ref(&event) {
            assert!(matches!(error, DispatchError::Full), "{error}");
            target.room().await;
        }
        if echo {
            came.notified().await;
        }
    }
    if !echo {
        came.notified().await;
    }
    begun.elapsed()
}

fn ours(text: &str, messages: usize, echo: bool) -> Duration {
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    timed(
        move |told, end: oneshot::Receiver<()>| async move {
            let hub = Arc::new(IrohHubEventTarget::try_new(HubOptions::new()).expect("a hub"));
            answering(&hub, messages, echo);
            let router = Router::builder(endpoint().await).accept(alkpubsub::iroh::ALPN, hub).spawn();
            let _ = told.send(router.endpoint().addr());
            let _ = end.await;
            router.shutdown().await.expect("a router");
        },
        |hub| async move {
            let endpoint = endpoint().await;
            let spoke = IrohSpokeEventTarget::connect(&endpoint, hub, ByteStreamOptions::DEFAULT).await;
            let took = use_target(spoke.expect("a connection"), event, messages, echo).await;
            endpoint.close().await;
            took
        },
    )
}

fn websocket(text: &str, messages: usize, echo: bool) -> Duration {
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    timed(
        move |told, end: oneshot::Receiver<()>| async move {
            let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new()));
            answering(&hub, messages, echo);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let _ = told.send(format!("ws://{}/", listener.local_addr().expect("an address")));
            let serving = hub.clone();
            let serving = tokio::spawn(async move { serving.serve(listener).await });
            let _ = end.await;
            hub.shutdown(Duration::from_secs(1)).await;
            drop(serving.await);
        },
        |url| async move {
            let target = WebSocketClientEventTarget::connect_with(&url, ClientOptions::DEFAULT).await;
            use_target(target.expect("a connection"), event, messages, echo).await
        },
    )
}

/// What this process had of the CPU until now, in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_the_name = stat.rsplit(')').next().expect("a name").split_whitespace();
    let ticks =
        after_the_name.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum::<u64>();
    Duration::from_millis(10 * ticks)
}

/// The median, and the quarters around it.
fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |number| number.parse().expect("a number"));
    let (rounds, messages) = (number(9), number(200_000));
    let only = arguments.next().unwrap_or_default();
    for payload in [30, 128, 4096] {
        let text = envelope(payload);
        let messages = if payload > 1000 { messages / 8 } else { messages };
        let tables: [Table; 2] = [
            (
                "One way",
                1,
                &[
                    ("a bare stream of iroh's, a write for each message", bare),
                    ("a bare stream of iroh's, 64 KiB at a time (the floor)", bare_gathered),
                    ("alkpubsub, spoke to hub over iroh", |text, messages| ours(text, messages, false)),
                    ("alkpubsub, spoke to hub over a WebSocket", |text, messages| {
                        websocket(text, messages, false)
                    }),
                ],
            ),
            (
                "There and back, one at a time",
                20,
                &[
                    ("a bare stream of iroh's", bare_echo),
                    ("alkpubsub over iroh", |text, messages| ours(text, messages, true)),
                    ("alkpubsub over a WebSocket", |text, messages| websocket(text, messages, true)),
                ],
            ),
        ];
        for (name, part, ways) in tables {
            let messages = (messages / part).max(1);
            let ways: Vec<_> = ways.iter().filter(|(name, _)| name.contains(&only)).collect();
            if ways.is_empty() {
                continue;
            }
            let mut nanoseconds = vec![Vec::new(); ways.len()];
            let mut busy = vec![Duration::ZERO; ways.len()];
            // The first round does not count: caches, and the allocator's first pages.
            for round in 0..=rounds {
                for (((_, way), taken), busy) in ways.iter().zip(&mut nanoseconds).zip(&mut busy) {
                    let before = cpu();
                    let took = way(&text, messages).as_nanos() as f64 / messages as f64;
                    if round > 0 {
                        taken.push(took);
                        *busy += cpu() - before;
                    }
                }
            }
            println!("\n{name}, {} bytes a message\n", text.len());
            println!("| | ns a message | messages/s, beside the first | quarters | CPU ns, both ends |");
            println!("| --- | --: | --: | --: | --: |");
            for (((name, _), own), busy) in ways.iter().zip(&nanoseconds).zip(&busy) {
                let busy = busy.as_nanos() as f64 / (messages * rounds) as f64;
                let ratios = nanoseconds[0].iter().zip(own).map(|(other, own)| other / own);
                let (low, ratio, high) = quartiles(ratios.collect());
                let (_, own, _) = quartiles(own.clone());
                println!("| {name} | {own:.0} | {ratio:.2} | {low:.2}-{high:.2} | {busy:.0} |");
            }
        }
    }
}
