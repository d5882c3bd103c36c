//! One subscription over several topics.

use super::Number;
use alkpubsub::{
    Action, BoxFuture, Capabilities, CloseReason, DenyReason, DispatchError, End, Event, EventEnvelope,
    EventTarget, GapReason, InProcess, Item, ListenError, Listener, ListenerId, Notice, PubSub, QueueLimits,
    Readiness, Stats, SubscribeError, Topic, TypedEvent,
};
use futures_util::FutureExt;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

#[derive(Serialize, Deserialize)]
struct Ended {
    answers: u8,
}

impl Event for Ended {
    const TYPE: &'static str = "ended";
}

enum Call {
    Answer(TypedEvent<Number>),
    Ended(TypedEvent<Ended>),
    Other(EventEnvelope),
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("in-process it is ready at once")
}

fn shown(item: Item<Call>) -> String {
    match item {
        Item::Event(Call::Answer(number)) => format!("answer {}", number.0),
        Item::Event(Call::Ended(ended)) => format!("ended {}", ended.answers),
        Item::Event(Call::Other(event)) => format!("other {}", event.payload_json().unwrap().unwrap()),
        Item::Lagged(missed) => format!("lagged {missed}"),
        Item::Undecodable(what) => format!("undecodable {}", what.envelope.topic()),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

async fn subscribe(pubsub: &PubSub, limits: QueueLimits) -> alkpubsub::ManySubscription<Call> {
    let call = pubsub.subscribe_many().topic("1", Call::Answer).topic("1", Call::Ended);
    call.envelopes("other", "", Call::Other).within(limits).subscribe().await.expect("a subscription")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Published in any order, read in that order, with what the one queue has no room for told in its place.
    #[test]
    fn the_order_is_that_of_the_publisher(
        steps in proptest::collection::vec((0..6_u8, any::<u8>()), 0..60),
        room in 1..20_usize,
    ) {
        let pubsub = PubSub::in_process();
        let mut call = now(subscribe(&pubsub, QueueLimits::DEFAULT.max_events(room)));
        prop_assert_eq!(call.readiness(), Readiness::Confirmed);
        let (mut waiting, mut lagged, mut expected, mut read) = (Vec::new(), 0, Vec::new(), Vec::new());
        let mut settle = |waiting: &mut Vec<String>, lagged: &mut u64| {
            if *lagged > 0 {
                expected.push(format!("lagged {lagged}"));
            }
            *lagged = 0;
            expected.append(waiting);
        };
        for (what, n) in steps {
            match what {
                0 | 1 => {
                    now(pubsub.publish("1", Number(n))).unwrap();
                    waiting.push(format!("answer {n}"));
                }
                2 => {
                    now(pubsub.publish("1", Ended { answers: n })).unwrap();
                    waiting.push(format!("ended {n}"));
                }
                3 => {
                    now(pubsub.publish_json("other", "", &n)).unwrap();
                    waiting.push(format!("other {n}"));
                }
                4 => {
                    now(pubsub.publish_json("ended", "1", &n)).unwrap();
                    waiting.push("undecodable ended:1".into());
                }
                // A future that is dropped where nothing waits, and then what waits.
                _ => {
                    read.extend(std::iter::from_fn(|| call.next().now_or_never().flatten()).map(shown));
                    settle(&mut waiting, &mut lagged);
                }
            }
            if waiting.len() > room {
                waiting.remove(0);
                lagged += 1;
            }
        }
        settle(&mut waiting, &mut lagged);
        pubsub.target().close();
        read.extend(std::iter::from_fn(|| now(call.next())).map(shown));
        prop_assert_eq!(read, expected);
        prop_assert_eq!(call.end(), Some(End::Closed(CloseReason::Closed)));
        prop_assert_eq!(call.denied(), None);
    }
}

#[test]
fn what_is_no_topic_is_named_and_nothing_is_held() {
    let pubsub = PubSub::in_process();
    let many = pubsub.subscribe_many().topic("1", Call::Answer).envelopes("__gap", "2", Call::Other);
    let error = now(many.subscribe()).expect_err("it is reserved");
    assert!(matches!(error.error, SubscribeError::BadTopic(alkpubsub::BadTopic::Reserved)));
    assert_eq!((&*error.event_type, &*error.id), ("__gap", "2"));
    assert_eq!(pubsub.target().stats().listeners, 0);

    let call = now(subscribe(&pubsub, QueueLimits::DEFAULT));
    assert_eq!(pubsub.target().stats().listeners, 3);
    drop(call);
    assert_eq!(pubsub.target().stats().listeners, 0);
    pubsub.target().close();
    let closed = pubsub.subscribe_many().topic("1", Call::Answer).subscribe();
    assert!(matches!(now(closed).expect_err("it is closed").error, SubscribeError::Closed(_)));
}

/// The topics may be a list of the program's, of which there are none today, or one twice.
#[test]
fn without_topics_it_ends_with_its_target_and_a_topic_given_twice_is_heard_twice() {
    let pubsub = PubSub::in_process();
    let mut none = now(pubsub.subscribe_many::<()>().subscribe()).expect("a subscription");
    assert!(none.next().now_or_never().is_none(), "it waits");
    let twice = ["one", "two"].map(str::to_owned).into_iter().fold(pubsub.subscribe_many(), |many, name| {
        many.topic("1", move |number: TypedEvent<Number>| (name.clone(), number.0))
    });
    let mut twice = now(twice.subscribe()).expect("a subscription");
    now(pubsub.publish("1", Number(7))).unwrap();
    pubsub.target().close();
    let heard: Vec<_> = std::iter::from_fn(|| now(twice.next())).filter_map(Item::event).collect();
    assert_eq!(heard, [("one".to_owned(), 7), ("two".to_owned(), 7)]);
    assert!(matches!(none.next().now_or_never(), Some(None)), "and so does its end");
    assert_eq!(none.end(), Some(End::Closed(CloseReason::Closed)));
    let late = now(pubsub.subscribe_many::<()>().subscribe()).expect_err("it is closed");
    assert_eq!(late.error, SubscribeError::Closed(CloseReason::Closed));
}

/// In-process, and the test says what its far side would.
#[derive(Default)]
struct Told {
    inner: InProcess,
    listeners: Mutex<Vec<(String, Arc<dyn Listener>)>>,
}

impl Told {
    /// As targets do: to the listeners of one topic, or of all.
    fn tell(&self, notice: &Notice) {
        let of = match notice {
            Notice::Gap { topic, .. } => topic.as_ref().map(|topic| topic.as_str().to_owned()),
            Notice::Denied { topic, .. } => Some(topic.to_string()),
            _ => None,
        };
        for (topic, listener) in self.listeners.lock().unwrap().iter() {
            if of.as_ref().is_none_or(|of| of == topic) {
                listener.notice(notice);
            }
        }
    }
}

impl EventTarget for Told {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        self.listeners.lock().unwrap().push((name.to_owned(), listener.clone()));
        self.inner.add_event_listener(name, listener)
    }
    fn remove_event_listener(&self, listener: ListenerId) {
        self.inner.remove_event_listener(listener);
    }
    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.inner.dispatch_event(event)
    }
    fn close(&self) {
        self.inner.close();
    }
    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        self.inner.ready(topic)
    }
    fn room(&self) -> BoxFuture<'_, ()> {
        self.inner.room()
    }
    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        self.inner.closed()
    }
    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

#[test]
fn losses_of_all_topics_count_once_and_stand_in_their_place() {
    let target = Arc::new(Told::default());
    let pubsub = PubSub::new(target.clone());
    let mut call = now(subscribe(&pubsub, QueueLimits::DEFAULT));
    let gap = |topic: Option<&str>, missed| Notice::Gap {
        topic: topic.map(|topic| Topic::parse(topic).unwrap()),
        missed,
        reason: GapReason::Broker,
    };
    now(pubsub.publish("1", Number(1))).unwrap();
    target.tell(&gap(None, Some(3)));
    now(pubsub.publish("1", Ended { answers: 1 })).unwrap();
    target.tell(&gap(Some("ended:1"), Some(2)));
    target.tell(&gap(Some("other:"), None));
    now(pubsub.publish("1", Number(2))).unwrap();
    for expected in ["answer 1", "lagged 3", "ended 1", "lagged 2"] {
        assert_eq!(shown(now(call.next()).unwrap()), expected);
    }
    assert!(matches!(now(call.next()), Some(Item::Gap(GapReason::Broker))));
    assert_eq!(shown(now(call.next()).unwrap()), "answer 2");
}

#[test]
fn a_topic_that_is_revoked_ends_it_and_is_named() {
    let target = Arc::new(Told::default());
    let pubsub = PubSub::new(target.clone());
    let mut call = now(subscribe(&pubsub, QueueLimits::DEFAULT));
    now(pubsub.publish("1", Number(1))).unwrap();
    let denied =
        |topic: &str, action| Notice::Denied { topic: topic.into(), action, reason: DenyReason::NotAllowed };
    // What may not be published may be heard.
    target.tell(&denied("number:1", Action::Publish));
    target.tell(&denied("ended:1", Action::Subscribe));
    target.tell(&denied("other:", Action::Subscribe));
    now(pubsub.publish("1", Number(2))).unwrap();
    assert_eq!((call.end(), call.denied()), (None, None), "what came before is read first");
    assert_eq!(shown(now(call.next()).unwrap()), "answer 1");
    assert!(now(call.next()).is_none());
    assert_eq!(call.end(), Some(End::Denied(DenyReason::NotAllowed)));
    assert_eq!(call.denied().map(Topic::as_str), Some("ended:1"));
}

#[cfg(all(feature = "websocket-client", feature = "websocket-server"))]
mod through_a_hub {
    use super::*;
    use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke as Connection};
    use alkpubsub::{WebSocketClientEventTarget, WebSocketServerEventTarget};
    use std::time::Duration;
    use tokio::net::TcpListener;

    /// Lets nobody hear `secret`.
    #[derive(Clone, Default)]
    struct Hooks(Arc<Mutex<Option<Arc<Connection>>>>);

    impl HubHooks for Hooks {
        fn connected(&self, connection: &Arc<Connection>) {
            *self.0.lock().unwrap() = Some(connection.clone());
        }

        fn authorise(
            &self,
            _: &Arc<Connection>,
            _: Action,
            event_type: &str,
            _: &str,
        ) -> Result<(), DenyReason> {
            if event_type == "secret" { Err(DenyReason::NotAllowed) } else { Ok(()) }
        }
    }

    async fn hub() -> (Arc<WebSocketServerEventTarget>, String) {
        let hub =
            Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay().hooks(Hooks::default())));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/", listener.local_addr().expect("its address"));
        let served = hub.clone();
        tokio::spawn(async move { served.serve(listener).await });
        (hub, url)
    }

    async fn spoke(url: &str) -> PubSub {
        PubSub::new(WebSocketClientEventTarget::connect(url).await.expect("the hub is there"))
    }

    #[tokio::test]
    async fn the_order_holds_over_a_connection() {
        let (_hub, url) = hub().await;
        let (reader, publisher) = (spoke(&url).await, spoke(&url).await);
        let mut call = subscribe(&reader, QueueLimits::DEFAULT).await;
        assert_eq!(call.readiness(), Readiness::Confirmed);
        let mut expected = Vec::new();
        for n in 0..100 {
            publisher.publish("1", Number(n)).await.expect("it is open");
            expected.push(format!("answer {n}"));
            if n % 3 == 0 {
                publisher.publish_json("other", "", &n).await.expect("it is open");
                expected.push(format!("other {n}"));
            }
        }
        publisher.publish("1", Ended { answers: 100 }).await.expect("it is open");
        expected.push("ended 100".into());
        let mut read = Vec::new();
        let all = async {
            while read.len() < expected.len() {
                read.push(shown(call.next().await.expect("no end")));
            }
        };
        tokio::time::timeout(Duration::from_secs(40), all).await.expect("all come");
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn a_denied_topic_is_named() {
        let (hub, url) = hub().await;
        let pubsub = spoke(&url).await;
        let many = pubsub.subscribe_many().topic("1", Call::Answer).envelopes("secret", "7", Call::Other);
        let error = many.subscribe().await.expect_err("it is denied");
        assert_eq!(error.to_string(), r#""secret" of "7": the topic was denied: not_allowed"#);
        assert_eq!(error.error, SubscribeError::Denied(DenyReason::NotAllowed));
        assert_eq!(pubsub.target().stats().listeners, 0, "nothing is held");
        drop(hub);
    }
}
