//! A thousand lives of every target leave the number of tasks and the allocator's bytes where they were.
//!
//! Hub, spokes and test share one thread, whose allocations are counted, the kernel's sockets between them are real.
//! What the first rounds take stays: lists and tables grow to their size once.

use alkpubsub::hub::HubOptions;
use alkpubsub::protocol::length_prefix::encode;
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke as Connection};
use alkpubsub::worker::{WorkerOptions, pair};
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamHubEventTarget, ByteStreamOptions, EventEnvelope, EventTarget,
    HandshakeOptions, InProcess, Item, PubSub, Spoke, SpokeOptions, Subscription, WebSocketClientEventTarget,
    WebSocketServerEventTarget,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const WARM_UP: usize = 50;
const ROUNDS: usize = 1000;

/// Runs `rounds` twice: the second time, for a thousand rounds, nothing may be left of them, to the byte.
fn leaves_nothing(runtime: &Runtime, warm_up: usize, mut rounds: impl AsyncFnMut(usize)) {
    let tasks = || runtime.metrics().num_alive_tasks();
    runtime.block_on(rounds(warm_up));
    let tasks_before = tasks();
    let counted = allocation_counter::measure(|| runtime.block_on(rounds(ROUNDS)));
    assert_eq!(tasks(), tasks_before, "tasks");
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0), "{counted:?}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The watchdog: what is awaited comes, or the test fails.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(40), future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The hub's end of the connection that was made last.
#[derive(Clone, Default)]
struct Last(Arc<Mutex<Option<Arc<Connection>>>>);

impl Last {
    fn set(&self, connection: Option<Arc<Connection>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn close(&self, code: u16) {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        connection.expect("a connection").disconnect(code, "");
    }
}

impl HubHooks for Last {
    fn connected(&self, connection: &Arc<Connection>) {
        self.set(Some(connection.clone()));
    }
}

/// A relaying hub on a port.
struct Hub {
    target: Arc<WebSocketServerEventTarget>,
    last: Last,
    address: SocketAddr,
}

impl Hub {
    async fn start() -> Self {
        let last = Last::default();
        let options = ServerOptions::new().relay().hooks(last.clone());
        let target = Arc::new(WebSocketServerEventTarget::new(options));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let served = target.clone();
        tokio::spawn(async move { served.serve(listener).await });
        Self { target, last, address }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Nothing is left of any connection.
    async fn until_empty(&self) {
        self.last.set(None);
        let empty = async {
            loop {
                let stats = self.target.stats();
                if (stats.links, stats.topics, stats.queued_messages, stats.queued_bytes) == (0, 0, 0, 0) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within("an empty hub", empty).await;
    }
}

async fn hears(subscription: &mut Subscription<EventEnvelope>, payload: &str) {
    match within("an event", subscription.next()).await {
        Some(Item::Event(event)) => assert_eq!(event.payload_json().expect("JSON"), Some(payload)),
        other => panic!("{other:?} in place of {payload}"),
    }
}

/// Subscribes twice, publishes and hears it, on a target that is then to be closed.
async fn talk(pubsub: &PubSub, round: usize) -> [Subscription<EventEnvelope>; 2] {
    let id = (round % 7).to_string();
    let mut one = pubsub.subscribe_envelopes("talk", &id).await.expect("a subscription");
    let mut two = pubsub.subscribe_envelopes("talk", &id).await.expect("a subscription");
    pubsub.publish_json("talk", &id, &round).await.expect("it is open");
    hears(&mut one, &round.to_string()).await;
    hears(&mut two, &round.to_string()).await;
    [one, two]
}

#[test]
fn in_process() {
    leaves_nothing(&runtime(), WARM_UP, async |rounds| {
        for round in 0..rounds {
            let pubsub = PubSub::new(InProcess::new());
            let subscriptions = talk(&pubsub, round).await;
            // Closed with its subscriptions, after them, or not at all.
            match round % 3 {
                0 => pubsub.target().close(),
                1 => {
                    drop(subscriptions);
                    pubsub.target().close();
                    pubsub.target().closed().await;
                }
                _ => {}
            }
        }
    });
}

#[test]
fn websocket_client() {
    let runtime = runtime();
    let hub = runtime.block_on(Hub::start());
    leaves_nothing(&runtime, WARM_UP, async |rounds| {
        for round in 0..rounds {
            let target = WebSocketClientEventTarget::connect(&hub.url()).await.expect("the hub is there");
            let target = Arc::new(target);
            let pubsub = PubSub::new(target.clone());
            let subscriptions = talk(&pubsub, round).await;
            match round % 4 {
                0 => target.disconnect(Duration::from_secs(20)).await.expect("an answer"),
                1 => target.close(),
                2 => hub.last.close(1011),
                _ => {
                    drop(subscriptions);
                    drop((pubsub, target));
                    hub.until_empty().await;
                    continue;
                }
            }
            within("the end", target.closed()).await;
            drop((subscriptions, pubsub, target));
            hub.until_empty().await;
        }
    });
    assert_eq!(hub.target.stats().received, (WARM_UP + ROUNDS) as u64);
}

#[test]
fn byte_streams() {
    let runtime = runtime();
    let (hub, streams) = runtime.block_on(async {
        let hub = Hub::start().await;
        let streams = ByteStreamHubEventTarget::of(hub.target.share());
        (hub, streams)
    });
    leaves_nothing(&runtime, WARM_UP, async |rounds| {
        for round in 0..rounds {
            let (here, there) = tokio::io::duplex(1024);
            streams.add_connection(there, None).await.expect("room");
            let target = Arc::new(ByteStreamEventTarget::owning(here, ByteStreamOptions::DEFAULT));
            let pubsub = PubSub::new(target.clone());
            let subscriptions = talk(&pubsub, round).await;
            match round % 4 {
                0 => target.disconnect(Duration::from_secs(20)).await.expect("an answer"),
                1 => target.close(),
                2 => hub.last.close(1011),
                _ => {}
            }
            if round % 4 < 3 {
                within("the end", target.closed()).await;
            }
            drop((subscriptions, pubsub, target));
            hub.until_empty().await;
        }
    });
}

/// Whether it has looked around since its last newcomer makes no difference.
#[test]
fn a_hub_that_has_looked_around() {
    let runtime = runtime();
    let hub = runtime.block_on(Hub::start());
    let rounds = async |rounds: usize| {
        for round in 0..rounds {
            let target = WebSocketClientEventTarget::connect(&hub.url()).await.expect("the hub is there");
            drop(talk(&PubSub::new(target), round).await);
            hub.until_empty().await;
        }
    };
    runtime.block_on(async {
        rounds(WARM_UP).await;
        // It does so once a second, as the clock has it.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::task::yield_now().await;
        tokio::time::resume();
    });
    let counted = allocation_counter::measure(|| runtime.block_on(rounds(1)));
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0), "{counted:?}");
}

/// Both ends in one thread: what crosses between threads is the same.
#[test]
fn worker() {
    leaves_nothing(&runtime(), WARM_UP, async |rounds| {
        for round in 0..rounds {
            let (host, mut worker) = pair(WorkerOptions::DEFAULT);
            let host = PubSub::new(host);
            let back = worker.handle();
            // Of what is heard behind the host's end nobody is told.
            let echo = move |event: &EventEnvelope| drop(back.dispatch_event_ref(event));
            worker.add_event_listener("talk:1", Arc::new(echo)).expect("a listener");
            let mut heard = host.subscribe_envelopes("talk", "1").await.expect("a subscription");
            host.publish_json("talk", "1", &round).await.expect("it is open");
            let payload = round.to_string();
            tokio::select! {
                () = hears(&mut heard, &payload) => {}
                reason = worker.run_async() => panic!("{reason}"),
            }
            // Closed with something waiting, dropped with it, or the worker first.
            host.publish_json("talk", "1", &round).await.expect("it is open");
            match round % 4 {
                0 => {
                    host.target().close();
                    worker.run_async().await;
                }
                1 => host.target().close(),
                2 => drop(worker),
                _ => drop(host),
            }
        }
    });
}

fn impatient() -> SpokeOptions {
    let mut options = SpokeOptions::DEFAULT;
    options.backoff.first = Duration::from_millis(1);
    options.backoff.max = Duration::from_millis(1);
    options
}

#[test]
fn whole_lives_of_a_spoke() {
    let runtime = runtime();
    let hub = runtime.block_on(Hub::start());
    leaves_nothing(&runtime, WARM_UP, async |rounds| {
        for round in 0..rounds {
            let spoke = match round % 2 {
                0 => Spoke::connect(&hub.url()).await,
                _ => Spoke::websocket(&hub.url(), HandshakeOptions::DEFAULT, impatient()),
            };
            let spoke = Arc::new(spoke.expect("the hub is there"));
            let pubsub = PubSub::new(spoke.clone());
            let mut states = spoke.states();
            let subscriptions = talk(&pubsub, round).await;
            match round % 3 {
                0 => spoke.disconnect(Duration::from_secs(20)).await.expect("an answer"),
                1 => spoke.close(),
                _ => {}
            }
            if round % 3 < 2 {
                within("the end", spoke.closed()).await;
                within("the states' end", async { while states.next().await.is_some() {} }).await;
            }
            drop((states, subscriptions, pubsub, spoke));
            hub.until_empty().await;
        }
    });
}

#[test]
fn connections_of_one_spoke() {
    let runtime = runtime();
    let hub = runtime.block_on(Hub::start());
    let spoke = runtime.block_on(async {
        let spoke = Spoke::websocket(&hub.url(), HandshakeOptions::DEFAULT, impatient()).expect("a URL");
        Arc::new(spoke)
    });
    let pubsub = PubSub::new(spoke.clone());
    // The connection that is there at the end keeps the memory of its first frame, a ping with the number of the
    // connection in it: here and there it has four digits.
    leaves_nothing(&runtime, ROUNDS, async |rounds| {
        let mut stays = pubsub.subscribe_envelopes("stays", "").await.expect("a subscription");
        for round in 0..rounds {
            let mut subscriptions = talk(&pubsub, round).await;
            hub.last.close(if round % 2 == 0 { 1011 } else { 1001 });
            if round % 3 == 0 {
                // Gone before the next connection is there, or on it.
                drop(subscriptions);
                assert!(matches!(within("the gap", stays.next()).await, Some(Item::Gap(_))));
            } else {
                assert!(matches!(within("the gap", stays.next()).await, Some(Item::Gap(_))));
                for subscription in &mut subscriptions {
                    assert!(matches!(within("the gap", subscription.next()).await, Some(Item::Gap(_))));
                }
            }
        }
        drop(stays);
        // A subscription that is asked for last is confirmed last: what was taken back before is.
        drop(pubsub.subscribe_envelopes("last", "").await.expect("a subscription"));
        let gone = async {
            while hub.target.stats().topics > 0 || hub.target.stats().links != 1 {
                tokio::task::yield_now().await
            }
        };
        within("the topics to go", gone).await;
    });
    assert_eq!(spoke.stats().connections as usize, 2 * ROUNDS + 1);
}

/// A hub is opened, given a connection that talks, and closed, or has its connection taken out of it.
#[test]
fn websocket_server() {
    // A client's masked text frames, with a mask of zeros.
    fn frame(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 126);
        [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
    }
    let runtime = runtime();
    leaves_nothing(&runtime, WARM_UP, async |rounds| {
        for round in 0..rounds {
            let last = Last::default();
            let options = ServerOptions::new().relay().hooks(last.clone());
            let hub = Arc::new(WebSocketServerEventTarget::new(options));
            let pubsub = PubSub::new(hub.clone());
            let mut own = pubsub.subscribe_envelopes("a", "b").await.expect("a subscription");
            let (near, mut far) = tokio::io::duplex(1024);
            let connection = hub.add_connection(near, (round % 2 == 0).then_some("ann")).await.expect("room");
            far.write_all(&frame(r#"{"type":"__subscribe","id":"","payload":{"topic":"a:b"}}"#))
                .await
                .expect("a pipe");
            far.write_all(&frame(r#"{"type":"a","id":"b","payload":1}"#)).await.expect("a pipe");
            hears(&mut own, "1").await;
            let mut texts = Vec::new();
            while !texts.ends_with(br#"{"type":"a","id":"b","payload":1}"#) {
                within("the echo", far.read_buf(&mut texts)).await.expect("a pipe");
            }
            match round % 3 {
                0 => drop(
                    within("the socket", hub.remove_connection(connection.id())).await.expect("it is there"),
                ),
                1 => drop(far),
                _ => connection.disconnect(1000, ""),
            }
            hub.shutdown(Duration::ZERO).await;
            let stats = hub.stats();
            assert_eq!((stats.links, stats.queued_messages, stats.queued_bytes), (0, 0, 0));
            last.set(None);
        }
    });
}

/// However long a first message may take: of those whose first message came, and of those that are gone, nothing is kept.
#[test]
fn connections_of_a_byte_stream_hub() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let mut options = HubOptions::new();
    options.handshake_timeout = Duration::from_secs(3600);
    let hub = runtime.block_on(async { ByteStreamHubEventTarget::try_new(options).expect("a hub") });
    leaves_nothing(&runtime, WARM_UP, async |rounds| {
        for round in 0..rounds {
            let (mut here, there) = tokio::io::duplex(1024);
            hub.add_connection(there, None).await.expect("a place");
            if round % 2 == 0 {
                let ping = encode(r#"{"type":"__ping","id":"","payload":{}}"#).expect("a frame");
                here.write_all(&ping).await.expect("a ping");
                here.read_u32().await.expect("its answer");
            }
            drop(here);
            while hub.stats().links > 0 {
                tokio::task::yield_now().await;
            }
        }
        // What is old is looked for once a second; the clock is the test's.
        tokio::time::sleep(Duration::from_secs(2)).await;
    });
    drop(runtime);
}
