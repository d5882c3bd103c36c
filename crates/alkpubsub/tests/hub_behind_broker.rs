//! A hub behind a broker that does what a test has it do between two steps of the hub: the orders of things that a real one
//! brings about once in a year.

use alkpubsub::hub::{Broker, BrokerNews, HubHooks, Spoke, Standing, WatchBroker};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    Action, BoxFuture, Capabilities, CloseReason, DenyReason, DispatchError, EventEnvelope, EventTarget,
    GapReason, InProcess, Item, ListenError, Listener, ListenerId, Notice, PubSub, Readiness, Stats,
    Subscription, WebSocketClientEventTarget, WebSocketServerEventTarget, on_notice,
};
use futures_util::{SinkExt, StreamExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;

const LONG: Duration = Duration::from_secs(20);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

type Step = Box<dyn FnOnce(&Scripted) + Send>;

/// A broker in this memory.
#[derive(Default)]
struct Scripted {
    medium: InProcess,
    watches: Mutex<Vec<(ListenerId, Arc<dyn WatchBroker>)>>,
    is_in: AtomicBool,
    /// The last question of whether it has caught up.
    asked: AtomicU64,
    /// How many events there is no room for, before the connection is lost.
    full: AtomicU64,
    is_lost: AtomicBool,
    /// What happens before it next says how a topic stands.
    before_standing: Mutex<Option<Step>>,
    dispatched: AtomicU64,
    /// Whoever waits for room waits for this.
    room: Notify,
    /// What it takes no event of.
    refused: Option<&'static str>,
}

impl Scripted {
    fn tell(&self, news: &BrokerNews) {
        self.watches.lock().unwrap().iter().for_each(|(_, watch)| watch.told(news.clone()));
    }

    fn come_in(&self) {
        self.is_lost.store(false, SeqCst);
        self.is_in.store(true, SeqCst);
        self.tell(&BrokerNews::In);
    }

    /// Comes in, and answers the hub, which asks whether it has caught up.
    async fn be_in(&self) {
        let asked = self.asked.load(SeqCst) + 1;
        self.come_in();
        until(|| self.asked.load(SeqCst) == asked).await;
        self.tell(&BrokerNews::CaughtUp(asked));
    }

    fn take(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        if self.full.fetch_update(SeqCst, SeqCst, |full| full.checked_sub(1)).is_ok() {
            return Err(DispatchError::Full);
        }
        if self.is_lost.load(SeqCst) {
            return Err(DispatchError::Disconnected);
        }
        if self.refused.is_some_and(|refused| event.event_type() == refused) {
            return Err(DispatchError::TooLarge { bytes: 2, limit: 1 });
        }
        self.medium.dispatch_event(event)
    }

    fn go_out(&self) {
        self.is_lost.store(true, SeqCst);
        self.is_in.store(false, SeqCst);
        self.tell(&BrokerNews::Out);
    }
}

impl EventTarget for Scripted {
    fn capabilities(&self) -> Capabilities {
        self.medium.capabilities()
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.medium.add_event_listener(name, listener)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.medium.remove_event_listener(listener);
        self.watches.lock().unwrap().retain(|(id, _)| *id != listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        let taken = self.take(event);
        // Who waits for this may rely on what it has done.
        assert!(self.dispatched.fetch_add(1, SeqCst) < 1000, "the hub tries without end");
        taken
    }

    fn close(&self) {
        self.medium.close();
    }

    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        self.medium.ready(topic)
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.room.notified())
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        self.medium.closed()
    }

    fn stats(&self) -> Stats {
        self.medium.stats()
    }
}

impl Broker for Scripted {
    fn watch(&self, watch: Arc<dyn WatchBroker>) -> ListenerId {
        let id = ListenerId::unique();
        if self.is_in() {
            watch.told(BrokerNews::In);
        }
        self.watches.lock().unwrap().push((id, watch));
        id
    }

    fn is_in(&self) -> bool {
        self.is_in.load(SeqCst)
    }

    fn standing(&self, _: &str) -> Standing {
        let step = self.before_standing.lock().unwrap().take();
        if let Some(step) = step {
            step(self);
        }
        if self.is_in() { Standing::Confirmed } else { Standing::Out }
    }

    fn catch_up(&self) -> Option<u64> {
        self.is_in().then(|| self.asked.fetch_add(1, SeqCst) + 1)
    }
}

struct Hub {
    broker: Arc<Scripted>,
    target: Arc<WebSocketServerEventTarget>,
    url: String,
    serving: AbortHandle,
}

impl Hub {
    async fn start(options: ServerOptions) -> Self {
        Self::start_with(options, Scripted::default()).await
    }

    async fn start_with(options: ServerOptions, broker: Scripted) -> Self {
        let broker = Arc::new(broker);
        let target = Arc::new(WebSocketServerEventTarget::try_new(options.behind(broker.clone())).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let served = target.clone();
        let serving = tokio::spawn(async move { served.serve(listener).await }).abort_handle();
        Self { broker, target, url, serving }
    }

    async fn spoke(&self) -> Arc<WebSocketClientEventTarget> {
        Arc::new(in_time(WebSocketClientEventTarget::connect(&self.url)).await.unwrap())
    }

    async fn subscribe(&self, event_type: &str) -> Subscription<EventEnvelope> {
        let pubsub = PubSub::new(self.spoke().await);
        in_time(pubsub.subscribe_envelopes(event_type, "")).await.unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn next(stream: &mut Subscription<EventEnvelope>) -> Item<EventEnvelope> {
    in_time(stream.next()).await.expect("the stream has ended")
}

async fn gap(stream: &mut Subscription<EventEnvelope>) {
    match next(stream).await {
        Item::Gap(GapReason::Broker) => {}
        other => panic!("instead of a gap came {other:?}"),
    }
}

async fn number(stream: &mut Subscription<EventEnvelope>) -> u64 {
    match next(stream).await {
        Item::Event(event) => event.payload().unwrap(),
        other => panic!("instead of an event came {other:?}"),
    }
}

async fn say(spoke: &Arc<WebSocketClientEventTarget>, number: u64) {
    PubSub::new(spoke.clone()).publish_json("n", "", &number).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_waits_for_room_when_the_broker_is_lost_goes_the_other_way() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut stream = hub.subscribe("n").await;
    hub.broker.be_in().await;
    gap(&mut stream).await;
    hub.broker.full.store(1, SeqCst);
    hub.broker.is_lost.store(true, SeqCst);
    hub.broker.room.notify_one();
    let spoke = hub.spoke().await;
    say(&spoke, 1).await;
    until(|| hub.broker.dispatched.load(SeqCst) == 2).await;
    say(&spoke, 2).await;
    hub.broker.go_out();
    gap(&mut stream).await;
    assert_eq!((number(&mut stream).await, number(&mut stream).await), (1, 2));
    assert_eq!(hub.broker.dispatched.load(SeqCst), 2, "nobody asks whether it is back");
}

/// Waits until this is so.
async fn until(what: impl Fn() -> bool) {
    in_time(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_about_to_end_takes_no_topic_any_more() {
    struct Close;
    impl HubHooks for Close {
        fn connected(&self, spoke: &Arc<Spoke>) {
            spoke.disconnect(1000, "");
        }
    }
    for is_in in [false, true] {
        let hub = Hub::start(ServerOptions::new().hooks(Close)).await;
        if is_in {
            hub.broker.be_in().await;
        }
        let (mut peer, _) = in_time(tokio_tungstenite::connect_async(&hub.url)).await.unwrap();
        // It is read although its close was sent: who leaves in peace may finish what it says.
        for id in 0..1000 {
            let text = format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"n:{id}"}}}}"#);
            in_time(peer.feed(Message::text(text))).await.unwrap();
        }
        in_time(peer.flush()).await.unwrap();
        while in_time(peer.next()).await.is_some_and(|heard| heard.is_ok()) {}
        until(|| hub.target.stats().links == 0).await;
        assert_eq!(hub.broker.stats().listeners, 0, "in: {is_in}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_it_goes_out_hears_nothing_that_came_before() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut known = hub.subscribe("n").await;
    hub.broker.be_in().await;
    gap(&mut known).await;
    // The spoke has heard this one elsewhere.
    let event = EventEnvelope::new("n", "", &1).unwrap();
    let step: Step = Box::new(move |broker| {
        broker.medium.dispatch_event(event).unwrap();
        broker.go_out();
    });
    *hub.broker.before_standing.lock().unwrap() = Some(step);
    let mut new = hub.subscribe("n").await;
    assert_eq!(number(&mut known).await, 1);
    let spoke = hub.spoke().await;
    say(&spoke, 2).await;
    for stream in [&mut known, &mut new] {
        gap(stream).await;
        assert_eq!(number(stream).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_while_it_was_out_hears_nothing_that_was_on_its_way_when_it_came_in() {
    let hub = Hub::start(ServerOptions::new()).await;
    let mut stream = hub.subscribe("n").await;
    let spoke = hub.spoke().await;
    say(&spoke, 1).await;
    assert_eq!(number(&mut stream).await, 1);
    hub.broker.come_in();
    until(|| hub.broker.asked.load(SeqCst) == 1).await;
    // The one has heard this elsewhere before it came; nobody can tell that from what the other says.
    hub.broker.medium.dispatch_event(EventEnvelope::new("n", "", &2).unwrap()).unwrap();
    say(&spoke, 3).await;
    until(|| hub.broker.dispatched.load(SeqCst) == 1).await;
    hub.broker.tell(&BrokerNews::CaughtUp(1));
    gap(&mut stream).await;
    say(&spoke, 4).await;
    assert_eq!(number(&mut stream).await, 4);
    // And out again, before it has caught up.
    hub.broker.go_out();
    gap(&mut stream).await;
    hub.broker.come_in();
    until(|| hub.broker.asked.load(SeqCst) == 2).await;
    hub.broker.go_out();
    gap(&mut stream).await;
    hub.broker.tell(&BrokerNews::CaughtUp(2));
    say(&spoke, 5).await;
    assert_eq!(number(&mut stream).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_shuts_down_waits_until_the_broker_has_all() {
    let hub = Hub::start(ServerOptions::new()).await;
    hub.broker.be_in().await;
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let hear = move |event: &EventEnvelope| _ = heard.send(event.payload::<u64>().unwrap());
    hub.broker.add_event_listener("n:", Arc::new(hear)).unwrap();
    hub.broker.full.store(1, SeqCst);
    let (mut peer, _) = in_time(tokio_tungstenite::connect_async(&hub.url)).await.unwrap();
    for number in 1..=3 {
        let text = format!(r#"{{"type":"n","id":"","payload":{number}}}"#);
        in_time(peer.feed(Message::text(text))).await.unwrap();
    }
    in_time(peer.close(None)).await.unwrap();
    until(|| hub.target.stats().links == 0 && hub.target.stats().connections == 1).await;
    let target = hub.target.clone();
    let mut ended = tokio::spawn(async move { target.shutdown(LONG).await });
    tokio::time::timeout(Duration::from_millis(100), &mut ended).await.unwrap_err();
    hub.broker.room.notify_one();
    in_time(ended).await.unwrap();
    for expected in 1..=3 {
        assert_eq!(hearing.try_recv(), Ok(expected));
    }
    assert_eq!(hub.target.stats().dropped, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_event_the_broker_does_not_take_is_told() {
    let hub =
        Hub::start_with(ServerOptions::new(), Scripted { refused: Some("big"), ..Scripted::default() }).await;
    hub.broker.be_in().await;
    let spoke = hub.spoke().await;
    let (told, mut telling) = mpsc::unbounded_channel();
    let tell = move |notice: &Notice| _ = told.send(notice.clone());
    spoke.add_event_listener("denied", Arc::new(on_notice(tell))).unwrap();
    PubSub::new(spoke.clone()).publish_json("big", "", &1).await.unwrap();
    let Some(Notice::Denied { topic, action, reason }) = in_time(telling.recv()).await else {
        panic!("no denial")
    };
    assert_eq!((&*topic, action, reason), ("big:", Action::Publish, DenyReason::Broker));
    until(|| hub.target.stats().dropped == 1).await;
}
