//! Bridges to what is outside of the process: a hub that relays, a redis-server, and hubs behind one.
#![cfg(unix)]

#[path = "support/bare_redis.rs"]
mod bare_redis;
#[path = "support/redis.rs"]
mod redis_server;

use alkpubsub::bridge::{Bridge, BridgeNotice, BridgeOptions, Echo, LossReason, Side};
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    EventEnvelope, EventTarget, InProcess, Listener, Notice, PubSub, Readiness, Spoke, SpokeState,
    WebSocketServerEventTarget,
};
use bare_redis::{ask, bare, clients};
use redis_server::RedisServer;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(30);
const TOPIC: &str = "t:1";

fn event(party: u64, number: u64) -> EventEnvelope {
    EventEnvelope::new("t", "1", &(party, number)).unwrap()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: it took too long"))
}

/// Party and number of an event; `None` is a loss.
type Numbered = Option<(u64, u64)>;

/// What a subscriber hears.
#[derive(Clone, Default)]
struct Ear(Arc<(Mutex<Vec<Numbered>>, Notify)>);

impl Ear {
    async fn on(target: &dyn EventTarget) -> Self {
        let ear = Self::default();
        target.add_event_listener(TOPIC, Arc::new(ear.clone())).unwrap();
        assert_eq!(within("to subscribe", target.ready(TOPIC)).await, Readiness::Confirmed);
        ear
    }

    fn add(&self, item: Numbered) {
        self.0.0.lock().unwrap().push(item);
        self.0.1.notify_waiters();
    }

    fn items(&self) -> Vec<Numbered> {
        self.0.0.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<(u64, u64)> {
        self.items().into_iter().flatten().collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&[Numbered]) -> bool) {
        let until = async {
            loop {
                let changed = self.0.1.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if holds(&self.0.0.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        within(what, until).await;
    }

    /// Waits for so many events.
    async fn count(&self, count: usize) {
        self.until(&format!("{count} events"), |items| items.iter().flatten().count() >= count).await;
    }

    /// Nothing came twice, and of each party all in order.
    fn check_order(&self) -> BTreeMap<u64, Vec<u64>> {
        let mut parties: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        self.events().into_iter().for_each(|(party, number)| parties.entry(party).or_default().push(number));
        for (party, numbers) in &parties {
            let wrong = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
            assert!(wrong.is_none(), "of {party} came {wrong:?}");
        }
        parties
    }
}

impl Listener for Ear {
    fn event(&self, event: &EventEnvelope) {
        self.add(Some(event.payload().unwrap()));
    }

    fn notice(&self, notice: &Notice) {
        if matches!(notice, Notice::Gap { .. }) {
            self.add(None);
        }
    }
}

/// A bridge that runs until the test ends.
struct Running {
    bridge: Arc<Bridge>,
    told: Arc<Mutex<Vec<BridgeNotice>>>,
    _task: JoinSet<()>,
}

impl Running {
    /// Losses from the right are told to this subscriber of the left, in their place.
    async fn start(
        left: impl EventTarget,
        right: impl EventTarget,
        options: BridgeOptions,
        on_left: Option<Ear>,
    ) -> Self {
        let told = Arc::<Mutex<Vec<BridgeNotice>>>::default();
        let log = told.clone();
        let tell = move |notice: &BridgeNotice| {
            if let (BridgeNotice::Lost { from: Side::Right, .. }, Some(ear)) = (notice, &on_left) {
                ear.add(None);
            }
            log.lock().unwrap().push(notice.clone());
        };
        let bridge = Arc::new(Bridge::new(left, right, options.on_notice(tell)).unwrap());
        bridge.add_topic(TOPIC).unwrap();
        assert_eq!(within("to carry", bridge.ready(TOPIC)).await, Ok(Readiness::Confirmed));
        let mut task = JoinSet::new();
        let running = bridge.clone();
        task.spawn(async move { _ = running.run().await });
        Self { bridge, told, _task: task }
    }
}

async fn publish(target: Arc<dyn EventTarget>, party: u64, count: u64) {
    let pubsub = PubSub::new(target);
    for number in 1..=count {
        pubsub.publish_envelope(event(party, number)).await.unwrap();
        if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

struct Hub {
    hub: Arc<WebSocketServerEventTarget>,
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Hub {
    async fn start(options: ServerOptions) -> Self {
        let hub = Arc::new(WebSocketServerEventTarget::new(options));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        let serve = hub.clone();
        serving.spawn(async move { serve.serve(listener).await.unwrap() });
        Self { hub, address, _serving: serving }
    }

    async fn spoke(&self) -> Arc<dyn EventTarget> {
        Arc::new(Spoke::connect(&format!("ws://{}/", self.address)).await.unwrap())
    }
}

fn redis_options() -> RedisOptions {
    let mut options = RedisOptions::new();
    options.spoke.backoff.first = Duration::from_millis(2);
    options.spoke.backoff.max = Duration::from_millis(20);
    options
}

async fn target(server: &RedisServer, options: RedisOptions) -> Arc<RedisEventTarget> {
    Arc::new(RedisEventTarget::connect(&server.url(), options).await.expect("a redis-server"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_relays_is_joined_by_a_spoke_of_which_it_is_said_that_it_echoes() {
    const EVENTS: u64 = 1000;
    let hub = Hub::start(ServerOptions::new().relay()).await;
    let inside: Arc<dyn EventTarget> = Arc::new(InProcess::new());
    let (of_hub, ear_inside) = (hub.spoke().await, Ear::on(&inside).await);
    let ear_at_hub = Ear::on(&of_hub).await;
    let options = BridgeOptions::new().echo(Side::Right, Echo::Dropped);
    let running = Running::start(inside.clone(), hub.spoke().await, options, None).await;
    tokio::join!(publish(inside.clone(), 1, EVENTS), publish(of_hub.clone(), 2, EVENTS));
    for ear in [&ear_inside, &ear_at_hub] {
        ear.count(2 * EVENTS as usize).await;
        let parties = ear.check_order();
        assert_eq!((parties[&1].len(), parties[&2].len()), (EVENTS as usize, EVENTS as usize));
    }
    // The last copy may still be on its way: behind this event it is not.
    publish(of_hub.clone(), 3, 1).await;
    ear_inside.count(2 * EVENTS as usize + 1).await;
    let stats = running.bridge.stats();
    assert_eq!((stats.right.own, stats.right.awaited), (EVENTS, 0));
    assert!(running.told.lock().unwrap().is_empty());

    // What is not said, nobody knows: each event comes back.
    let inside: Arc<dyn EventTarget> = Arc::new(InProcess::new());
    let ear = Ear::on(&inside).await;
    let _running = Running::start(inside.clone(), hub.spoke().await, BridgeOptions::new(), None).await;
    publish(inside.clone(), 4, 1).await;
    ear.count(2).await;
    assert_eq!(ear.events(), [(4, 1), (4, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_joined_to_redis_under_load_from_both_sides() {
    const EVENTS: u64 = 5000;
    let server = RedisServer::start(&[]);
    let inside: Arc<dyn EventTarget> = Arc::new(InProcess::new());
    let outside: Arc<dyn EventTarget> = target(&server, redis_options()).await;
    let (ear_inside, ear_outside) = (Ear::on(&inside).await, Ear::on(&outside).await);
    let redis = target(&server, redis_options()).await;
    let running = Running::start(inside.clone(), redis, BridgeOptions::new(), None).await;
    tokio::join!(publish(inside.clone(), 1, EVENTS), publish(outside.clone(), 2, EVENTS));
    for ear in [&ear_inside, &ear_outside] {
        ear.count(2 * EVENTS as usize).await;
        let parties = ear.check_order();
        assert_eq!((parties[&1].len(), parties[&2].len()), (EVENTS as usize, EVENTS as usize));
    }
    publish(outside.clone(), 3, 1).await;
    ear_inside.count(2 * EVENTS as usize + 1).await;
    let stats = running.bridge.stats();
    assert_eq!((stats.right.own, stats.right.awaited, stats.right.ambiguous), (EVENTS, 0, 0));
    assert!(running.told.lock().unwrap().is_empty());
}

/// Publishes numbers as long as it is let; gives the last one.
struct Publishing {
    goes_on: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Publishing {
    fn start(target: Arc<dyn EventTarget>, party: u64) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let going = goes_on.clone();
        let task = tokio::spawn(async move {
            let mut number = 0;
            while going.load(Relaxed) {
                number += 1;
                // Without a connection it is lost here, which nobody else can know.
                _ = target.dispatch_event(event(party, number));
                if number % 16 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            number
        });
        Self { goes_on, task }
    }

    async fn stop(self) -> u64 {
        self.goes_on.store(false, Relaxed);
        self.task.await.unwrap()
    }
}

/// Numbers of a party that are missing where no loss was told between.
fn silent(items: &[Numbered], of: u64) -> u64 {
    let (mut last, mut told, mut silent) = (0, false, 0);
    for item in items {
        match item {
            None => told = true,
            Some((party, number)) if *party == of => {
                if !told && last > 0 {
                    silent += number - last - 1;
                }
                (last, told) = (*number, false);
            }
            Some(_) => {}
        }
    }
    silent
}

async fn connected_again(target: &RedisEventTarget, before: u64) {
    let mut states = target.states();
    let again = async {
        while let Some(state) = states.next().await {
            if matches!(state, SpokeState::Connected) && target.stats().connections > before {
                return;
            }
        }
    };
    within("to connect again", again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_redis_that_is_lost_costs_what_is_told_and_nothing_comes_twice() {
    let server = RedisServer::start(&[]);
    let mut bare = bare(&server.url()).await;
    let mut options = redis_options();
    options.spoke.heartbeat.interval = Duration::from_millis(100);
    options.spoke.heartbeat.timeout = Duration::from_millis(500);
    let redis = target(&server, options).await;
    let inside: Arc<dyn EventTarget> = Arc::new(InProcess::new());
    let ear_inside = Ear::on(&inside).await;
    let running =
        Running::start(inside.clone(), redis.clone(), BridgeOptions::new(), Some(ear_inside.clone())).await;
    let own = clients(&mut bare, "pubsub").await;
    let outside = target(&server, redis_options()).await;
    let ear_outside = Ear::on(&*outside).await;
    let publishing = [Publishing::start(inside.clone(), 1), Publishing::start(outside.clone(), 2)];

    let more_of = |ear: Ear, party: u64| async move {
        let now = ear.items().len();
        let heard = move |items: &[Numbered]| {
            items[now..].iter().flatten().filter(|(of, _)| *of == party).count() > 200
        };
        ear.until("more events", heard).await;
    };
    more_of(ear_inside.clone(), 2).await;
    more_of(ear_outside.clone(), 1).await;
    // Killed, then silent with all that was sent to it still unread, which it reads when both connections are new.
    let before = redis.stats().connections;
    assert_eq!(ask::<i64>(&mut bare, &["CLIENT", "KILL", "ID", &own[0]]).await, 1);
    connected_again(&redis, before).await;
    more_of(ear_inside.clone(), 2).await;
    more_of(ear_outside.clone(), 1).await;
    let before = redis.stats().connections;
    server.signal(Signal::STOP);
    let mut states = redis.states();
    let noticed = async { while matches!(states.next().await, Some(SpokeState::Connected)) {} };
    within("to notice the silence", noticed).await;
    server.signal(Signal::CONT);
    connected_again(&redis, before).await;
    more_of(ear_inside.clone(), 2).await;
    more_of(ear_outside.clone(), 1).await;

    let [one, two] = publishing;
    let (last_inside, last_outside) = (one.stop().await, two.stop().await);
    // A last one of each, which comes through where neither direction is deaf.
    inside.dispatch_event(event(1, last_inside + 1)).unwrap();
    PubSub::new(outside.clone()).publish_envelope(event(2, last_outside + 1)).await.unwrap();
    let has = |party, number| move |items: &[Numbered]| items.contains(&Some((party, number)));
    ear_inside.until("the last from outside", has(2, last_outside + 1)).await;
    ear_outside.until("the last from inside", has(1, last_inside + 1)).await;

    for ear in [&ear_inside, &ear_outside] {
        ear.check_order();
    }
    assert_eq!(ear_inside.check_order()[&1].len() as u64, last_inside + 1, "nothing of its own came back");
    assert_eq!(silent(&ear_inside.items(), 2), 0);
    let stats = running.bridge.stats();
    println!("{stats:?}");
    assert_eq!((stats.left.ambiguous, stats.left.own), (0, stats.right.crossed));
    let told = running.told.lock().unwrap();
    let gaps = told.iter().filter(|notice| {
        matches!(notice, BridgeNotice::Lost { from: Side::Right, why: LossReason::Gap(_), .. })
    });
    let (gaps, interruptions) = (gaps.count() as u64, redis.stats().connections - 1);
    assert!((2..=interruptions).contains(&gaps), "{gaps} for {interruptions}; neighbours are one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_behind_redis_are_one_for_their_spokes_whether_they_relay_or_not() {
    const EVENTS: u64 = 500;
    let server = RedisServer::start(&[]);
    for relays in [true, false] {
        let mut options = redis_options();
        options.prefix = format!("{relays}:");
        let (hub_options, echo) = match relays {
            true => (ServerOptions::new().relay(), Echo::Dropped),
            false => (ServerOptions::new(), Echo::PassedOn),
        };
        let mut hubs = Vec::new();
        let mut spokes = Vec::new();
        for _ in 0..2 {
            let hub = Hub::start(hub_options.clone()).await;
            let redis = target(&server, options.clone()).await;
            let bridge = BridgeOptions::new().echo(Side::Right, echo);
            let running = Running::start(hub.hub.clone(), redis, bridge, None).await;
            for _ in 0..2 {
                let spoke = hub.spoke().await;
                spokes.push((Ear::on(&spoke).await, spoke));
            }
            hubs.push((hub, running));
        }
        let mut publishing = JoinSet::new();
        for ((_, spoke), party) in spokes.iter().zip(0..) {
            publishing.spawn(publish(spoke.clone(), party, EVENTS));
        }
        publishing.join_all().await;
        for (ear, _) in &spokes {
            ear.count(4 * EVENTS as usize).await;
            let parties = ear.check_order();
            assert!(parties.values().all(|numbers| numbers.len() as u64 == EVENTS), "relays: {relays}");
            assert_eq!(ear.items().len() as u64, 4 * EVENTS);
        }
        if !relays {
            let orders: Vec<_> = spokes.iter().map(|(ear, _)| ear.events()).collect();
            assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "Redis gives one order to all");
        }
        for (_, running) in &hubs {
            let stats = running.bridge.stats();
            assert_eq!(stats.left.crossed, 2 * EVENTS, "each event goes to Redis once");
            assert!(running.told.lock().unwrap().is_empty());
        }
    }
}
