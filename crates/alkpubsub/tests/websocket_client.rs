//! The WebSocket client target against a peer whose every message is scripted here. The first five tests are the
//! five points of the test plan that this project began with, by its names.

mod peer;

use alkpubsub::{
    Action, ClientOptions, CloseReason, ConnectError, DenyReason, DisconnectError, DispatchError, End,
    EventEnvelope, EventTarget, GapReason, Item, ListenError, Notice, PubSub, Readiness, SubscribeError,
    TargetError, WebSocketClientEventTarget, on_notice,
};
use futures_util::{SinkExt, StreamExt};
use peer::{Peer, Scripted, in_time, pair, pair_with, scripted};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const TOPIC: &str = "call.responded:uuid-123";
const ENVELOPE: &str = r#"{"type":"call.responded","id":"uuid-123","payload":{"output":42}}"#;
const SUBSCRIBE: &str = r#"{"type":"__subscribe","id":"","payload":{"topic":"call.responded:uuid-123"}}"#;
const UNSUBSCRIBE: &str = r#"{"type":"__unsubscribe","id":"","payload":{"topic":"call.responded:uuid-123"}}"#;
const SUBSCRIBED: &str = r#"{"type":"__subscribed","id":"","payload":{"topic":"call.responded:uuid-123"}}"#;
const DENIED: &str = r#"{"type":"__denied","id":"","payload":{"topic":"call.responded:uuid-123","action":"subscribe","reason":"broker"}}"#;

fn event(text: &str) -> EventEnvelope {
    EventEnvelope::parse(text).unwrap()
}

/// What listeners heard, in order.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn listen(&self, target: &dyn EventTarget, name: &str, label: &'static str) -> alkpubsub::ListenerId {
        let heard = self.clone();
        let listener =
            move |event: &EventEnvelope| heard.push(format!("{label}{}", event.to_json().unwrap()));
        target.add_event_listener(name, Arc::new(listener)).unwrap()
    }

    fn listen_to_notice(&self, target: &dyn EventTarget, name: &str) {
        let heard = self.clone();
        let listener = on_notice(move |notice| heard.push(notice.to_string()));
        target.add_event_listener(name, Arc::new(listener)).unwrap();
    }

    fn push(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Everything that the peer sent before was handled once this is answered.
async fn settle(target: &WebSocketClientEventTarget, peer: &mut Peer) {
    let answer = async {
        let ping = peer.text().await;
        let n = ping
            .strip_prefix(r#"{"type":"__ping","id":"","payload":"#)
            .expect(&ping)
            .strip_suffix('}')
            .unwrap();
        peer.send(&format!(
            r#"{{"type":"__pong","id":"","payload":{{"echo":{n},"protocol":1,"features":[]}}}}"#
        ))
        .await;
    };
    let (ponged, ()) = in_time(async { tokio::join!(target.ping(), answer) }).await;
    ponged.unwrap();
}

#[tokio::test]
async fn send_path() {
    let (target, mut peer) = pair().await;
    // Key order, numbers above 2^53, escapes, white space and unknown members: as they came.
    let odd = "{ \"x\":[1e400], \"payload\" : {\"b\":9007199254740993,\"a\":\"\\u00e9\\/\"}, \"id\":\"\", \"type\":\"t\\u0079pe\" }";
    for text in [ENVELOPE, odd] {
        target.dispatch_event(event(text)).unwrap();
        assert_eq!(peer.text().await, text);
    }
    target.dispatch_event(EventEnvelope::new("tick", "a\"b", &1.5).unwrap()).unwrap();
    assert_eq!(peer.text().await, r#"{"type":"tick","id":"a\"b","payload":1.5}"#);
    target.dispatch_event(EventEnvelope::without_payload("tick", "").unwrap()).unwrap();
    assert_eq!(peer.text().await, r#"{"type":"tick","id":""}"#);
    assert_eq!((target.stats().dispatched, target.stats().sent), (4, 4));
}

#[tokio::test]
async fn receive_path() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    assert_eq!(peer.text().await, SUBSCRIBE);
    let odd = "\n{\"payload\" : [ 9007199254740993,\"\\ud800\" ],\"id\":\"uuid-123\",\"z\":{},\"type\":\"call.responded\"} ";
    peer.send(ENVELOPE).await;
    peer.send(odd).await;
    peer.send_message(Message::Binary(ENVELOPE.as_bytes().to_vec().into())).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [ENVELOPE, odd, ENVELOPE], "the text is the one that came");
    assert_eq!(target.stats().received, 3);

    let payload = Arc::new(Mutex::new(None));
    let slot = payload.clone();
    let listener =
        move |event: &EventEnvelope| *slot.lock().unwrap() = event.payload_json().unwrap().map(String::from);
    target.add_event_listener(TOPIC, Arc::new(listener)).unwrap();
    peer.send(odd).await;
    settle(&target, &mut peer).await;
    assert_eq!(payload.lock().unwrap().as_deref(), Some(r#"[ 9007199254740993,"\ud800" ]"#));
}

#[tokio::test]
async fn topic_scoping() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    heard.listen(&target, "call.responded:", "empty id ");
    heard.listen(&target, "call.responded:*", "star ");
    let target = Arc::new(target);
    let pubsub = PubSub::new(target.clone());
    let subscribing = pubsub.subscribe_envelopes("a", "b:c");
    let answering = async {
        for _ in 0..3 {
            peer.text().await;
        }
        assert_eq!(peer.text().await, r#"{"type":"__subscribe","id":"","payload":{"topic":"a:b:c"}}"#);
        peer.send(r#"{"type":"__subscribed","id":"","payload":{"topic":"a:b:c"}}"#).await;
    };
    let (subscription, ()) = in_time(async { tokio::join!(subscribing, answering) }).await;
    let mut subscription = subscription.unwrap();
    for text in [
        r#"{"type":"call.responded","id":"uuid-124"}"#,
        r#"{"type":"call.requested","id":"uuid-123"}"#,
        r#"{"type":"call.responded","id":""}"#,
        r#"{"type":"call\u002eresponded","id":"uuid\u002d123"}"#,
        r#"{"type":"a:b","id":"c"}"#,
        r#"{"type":"a","id":"b:c"}"#,
    ] {
        peer.send(text).await;
    }
    settle(&target, &mut peer).await;
    assert_eq!(
        heard.take(),
        [
            r#"empty id {"type":"call.responded","id":""}"#,
            r#"{"type":"call\u002eresponded","id":"uuid\u002d123"}"#
        ]
    );
    let Some(Item::Event(one)) = subscription.try_next() else { panic!() };
    assert_eq!((one.event_type(), one.id()), ("a", "b:c"));
    assert!(subscription.try_next().is_none(), "a:b + c is another event");
}

#[tokio::test]
async fn connection_close() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let heard = Heard::default();
    heard.listen(&*target, TOPIC, "");
    heard.listen_to_notice(&*target, "close");
    let pubsub = PubSub::new(target.clone());
    let (subscription, ()) = in_time(async {
        tokio::join!(pubsub.subscribe_envelopes("call.responded", "uuid-123"), peer.grant(SUBSCRIBED))
    })
    .await;
    let mut subscription = subscription.unwrap();
    assert_eq!(subscription.readiness(), Readiness::Confirmed);

    peer.send(ENVELOPE).await;
    peer.close(1001, "drained").await;
    let reason = in_time(target.closed()).await;
    assert_eq!(reason, CloseReason::ByPeer { code: 1001, reason: "drained".into() });
    assert_eq!(heard.take(), [ENVELOPE, "closed by the far side (1001): drained"]);
    assert!(matches!(subscription.next().await, Some(Item::Event(_))));
    assert!(subscription.next().await.is_none());
    assert_eq!(subscription.end(), Some(End::Closed(reason.clone())));

    let dispatched = target.dispatch_event(event(ENVELOPE));
    assert!(matches!(dispatched, Err(DispatchError::Closed(CloseReason::ByPeer { code: 1001, .. }))));
    let added = target.add_event_listener(TOPIC, Arc::new(|_: &EventEnvelope| {}));
    assert_eq!(added, Err(ListenError::Closed(reason.clone())));
    assert_eq!(target.ready(TOPIC).await, Readiness::Closed);
    target.room().await;
    assert_eq!(target.ping().await, Err(reason.clone()));
    assert_eq!(target.disconnect(Duration::ZERO).await, Err(DisconnectError::Closed(reason)));
    // The socket's own answer.
    assert!(
        matches!(peer.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001)
    );
}

#[tokio::test]
async fn multiple_listeners() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    let one = heard.listen(&target, TOPIC, "1 ");
    let two = heard.listen(&target, TOPIC, "2 ");
    let three = heard.listen(&target, TOPIC, "3 ");
    assert_eq!(peer.text().await, SUBSCRIBE);
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), ["1 ", "2 ", "3 "].map(|label| format!("{label}{ENVELOPE}")));

    target.remove_event_listener(two);
    target.remove_event_listener(two);
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), ["1 ", "3 "].map(|label| format!("{label}{ENVELOPE}")));

    target.remove_event_listener(one);
    target.remove_event_listener(three);
    assert_eq!(peer.text().await, UNSUBSCRIBE);
    heard.listen(&target, TOPIC, "4 ");
    assert_eq!(peer.text().await, SUBSCRIBE, "nothing else went out");
}

#[tokio::test]
async fn a_dispatched_event_is_not_heard_here() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    target.dispatch_event(event(ENVELOPE)).unwrap();
    assert_eq!([peer.text().await, peer.text().await], [SUBSCRIBE, ENVELOPE]);
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_come_and_go_are_told_to_the_peer_as_one() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let target = target.clone();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    let listener = Arc::new(|_: &EventEnvelope| {});
                    let id = target.add_event_listener(TOPIC, listener).unwrap();
                    target.remove_event_listener(id);
                }
            })
        })
        .collect();
    let joined =
        tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
    let pinging = async {
        joined.await.unwrap();
        // Answered by nobody: it marks the end of what was sent.
        let _ = tokio::time::timeout(Duration::ZERO, target.ping()).await;
    };
    let counting = async {
        let mut subscribed = false;
        loop {
            let text = peer.text().await;
            if text.contains("__ping") {
                return subscribed;
            }
            assert_eq!(text, if subscribed { UNSUBSCRIBE } else { SUBSCRIBE });
            subscribed = !subscribed;
        }
    };
    let ((), subscribed) = in_time(async { tokio::join!(pinging, counting) }).await;
    assert!(!subscribed);
    assert_eq!(target.stats().listeners, 0);
}

#[tokio::test]
async fn ready_waits_for_the_answer() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    let mut ready = target.ready(TOPIC);
    assert!(futures_util::poll!(&mut ready).is_pending());
    assert_eq!(peer.text().await, SUBSCRIBE);
    peer.send(SUBSCRIBED).await;
    assert_eq!(in_time(ready).await, Readiness::Confirmed);
    assert_eq!(target.ready(TOPIC).await, Readiness::Confirmed);
    assert!(target.capabilities().confirms);
}

#[tokio::test]
async fn who_waits_for_a_subscription_that_is_taken_back_waits_no_longer() {
    let (target, _silent) = pair().await;
    let heard = Heard::default();
    let id = heard.listen(&target, TOPIC, "");
    let ready = async {
        let ready = target.ready(TOPIC).await;
        assert_eq!(target.stats().listeners, 0);
        ready
    };
    let remove = async { target.remove_event_listener(id) };
    // Sooner than the peer counts as one that answers nobody.
    let in_time = tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(ready, remove).0 });
    assert_eq!(in_time.await, Ok(Readiness::Unconfirmed));
}

#[tokio::test]
async fn a_peer_that_never_answers_is_waited_for_once() {
    let mut options = ClientOptions::DEFAULT;
    options.link.answer_timeout = Duration::from_millis(20);
    let (target, mut peer) = pair_with(options).await;
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    assert_eq!(in_time(target.ready(TOPIC)).await, Readiness::Unconfirmed);
    heard.listen(&target, "a:b", "");
    assert_eq!(target.ready("a:b").await, Readiness::Unconfirmed);
    assert_eq!(peer.text().await, SUBSCRIBE);
    assert_eq!(peer.text().await, SUBSCRIBE.replace(TOPIC, "a:b"));
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [ENVELOPE]);
}

#[tokio::test]
async fn subscriptions_are_not_forwarded_where_it_was_said_so() {
    let mut options = ClientOptions::DEFAULT;
    options.link.forward_subscriptions = false;
    let (target, mut peer) = pair_with(options).await;
    let heard = Heard::default();
    let id = heard.listen(&target, TOPIC, "");
    assert_eq!(target.ready(TOPIC).await, Readiness::Unconfirmed);
    assert!(!target.capabilities().confirms);
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    target.remove_event_listener(id);
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [ENVELOPE]);
}

#[tokio::test]
async fn a_denied_topic_ends_its_streams_and_can_be_asked_for_again() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let heard = Heard::default();
    heard.listen_to_notice(&*target, "denied");
    let pubsub = PubSub::new(target.clone());
    let subscribe = || pubsub.subscribe_envelopes("call.responded", "uuid-123");

    let (denied, ()) = in_time(async { tokio::join!(subscribe(), peer.grant(DENIED)) }).await;
    assert_eq!(denied.err(), Some(SubscribeError::Denied(DenyReason::Broker)));
    assert_eq!(heard.take(), [r#"subscribe "call.responded:uuid-123" was denied: broker"#]);

    let (granted, ()) = in_time(async { tokio::join!(subscribe(), peer.grant(SUBSCRIBED)) }).await;
    let mut subscription = granted.unwrap();
    peer.send(ENVELOPE).await;
    peer.send(DENIED).await;
    assert!(matches!(in_time(subscription.next()).await, Some(Item::Event(_))));
    assert!(in_time(subscription.next()).await.is_none());
    assert_eq!(subscription.end(), Some(End::Denied(DenyReason::Broker)), "revoked");
    assert_eq!(target.ready(TOPIC).await, Readiness::Denied(DenyReason::Broker));

    peer.send(&DENIED.replace("subscribe", "publish")).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take().len(), 2);
    assert_eq!(target.stats().denied, 3);
}

#[tokio::test]
async fn a_denial_that_was_read_before_does_not_reach_a_listener_that_asks_anew() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let pubsub = PubSub::new(target.clone());
    // The first to be told of the denial subscribes again while it is being told.
    struct Again(PubSub, Mutex<Option<alkpubsub::ListenerId>>, Heard);
    impl alkpubsub::Listener for Again {
        fn event(&self, _: &EventEnvelope) {}
        fn notice(&self, notice: &Notice) {
            if let Notice::Denied { action: Action::Subscribe, .. } = notice {
                let id = self.2.listen(&**self.0.target(), TOPIC, "again ");
                *self.1.lock().unwrap() = Some(id);
            }
        }
    }
    let heard = Heard::default();
    target.add_event_listener(TOPIC, Arc::new(Again(pubsub, Mutex::default(), heard.clone()))).unwrap();
    peer.grant(DENIED).await;
    assert_eq!(peer.text().await, SUBSCRIBE);
    assert!(futures_util::poll!(target.ready(TOPIC)).is_pending());
    peer.send(SUBSCRIBED).await;
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [format!("again {ENVELOPE}")]);
    assert_eq!(target.ready(TOPIC).await, Readiness::Confirmed);
}

#[tokio::test]
async fn gaps_stand_in_their_place() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let heard = Heard::default();
    heard.listen_to_notice(&*target, "gap");
    let pubsub = PubSub::new(target.clone());
    let (subscription, ()) = in_time(async {
        tokio::join!(pubsub.subscribe_envelopes("call.responded", "uuid-123"), peer.grant(SUBSCRIBED))
    })
    .await;
    let mut subscription = subscription.unwrap();
    peer.send(r#"{"type":"__gap","id":"","payload":{"topic":"call.responded:uuid-123","missed":3,"reason":"slow"}}"#)
        .await;
    peer.send(ENVELOPE).await;
    peer.send(r#"{"type":"__gap","id":"","payload":{"missed":null,"reason":"broker"}}"#).await;
    peer.send(r#"{"type":"__gap","id":"","payload":{"topic":"other:","missed":9,"reason":"slow"}}"#).await;
    settle(&target, &mut peer).await;
    assert!(matches!(subscription.try_next(), Some(Item::Lagged(3))));
    assert!(matches!(subscription.try_next(), Some(Item::Event(_))));
    assert!(matches!(subscription.try_next(), Some(Item::Gap(GapReason::Broker))));
    assert!(subscription.try_next().is_none());
    assert_eq!(
        heard.take(),
        [
            r#"3 events are missing of "call.responded:uuid-123": slow"#,
            "events may be missing: broker",
            r#"9 events are missing of "other:": slow"#,
        ]
    );
}

#[tokio::test]
async fn bad_input_is_told_and_delivers_nothing() {
    let (target, mut peer) = pair().await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = errors.clone();
    let listener = on_notice(move |notice| {
        if let Notice::Error(TargetError::BadInput(refusal)) = notice {
            seen.lock().unwrap().push(refusal.name());
        }
    });
    target.add_event_listener("error", Arc::new(listener)).unwrap();
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    assert_eq!(peer.text().await, SUBSCRIBE);
    for bad in [
        "{",
        "[]",
        r#"{"type":"call.responded"}"#,
        r#"{"type":"call.responded","id":"uuid-123"}x"#,
        r#"{"type":"__subscribed","id":"","payload":{"topic":7}}"#,
        r#"{"type":"__gap","id":"","payload":{"topic":"no topic"}}"#,
    ] {
        peer.send(bad).await;
    }
    peer.send_message(Message::Binary(b"{\"\xff".to_vec().into())).await;
    // Not for this end, or of a later version: ignored.
    peer.send(SUBSCRIBE).await;
    peer.send(r#"{"type":"__later","id":"","payload":1}"#).await;
    settle(&target, &mut peer).await;
    let names = [
        "not_json",
        "not_an_object",
        "missing_member",
        "trailing_bytes",
        "bad_control",
        "bad_control",
        "not_utf8",
    ];
    assert_eq!(*errors.lock().unwrap(), names);
    assert_eq!(target.stats().bad_input, 7);
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [ENVELOPE]);
}

/// The peer does something; the target must close with this code, and the peer must be told it.
async fn refused(code: u16, words: &str, wrong: impl AsyncFnOnce(&mut Peer)) {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen_to_notice(&target, "close");
    wrong(&mut peer).await;
    let reason = in_time(target.closed()).await;
    let CloseReason::Refused { code: said, reason } = reason else { panic!("{reason:?}") };
    assert_eq!(said, code, "{reason}");
    assert!(reason.contains(words), "{reason}");
    assert_eq!(heard.take().len(), 1);
    let (got, told) = peer.closed().await;
    assert_eq!((got, &*told), (code, &*reason));
}

#[tokio::test]
async fn a_peer_that_breaks_a_rule_is_told_which() {
    refused(1009, "too long", async |peer| peer.send(&" ".repeat(65 * 1024)).await).await;
    refused(1007, "not JSON", async |peer| {
        for _ in 0..100 {
            peer.send("}").await;
        }
    })
    .await;
    // A text frame of one byte that is no UTF-8; one with a reserved bit.
    refused(1007, "UTF-8", async |peer| peer.raw(&[0x81, 1, 0xff]).await).await;
    refused(1002, "", async |peer| peer.raw(&[0xc1, 2, b'{', b'}']).await).await;
}

#[tokio::test]
async fn a_message_at_the_limit_passes() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    assert_eq!(peer.text().await, SUBSCRIBE);
    let long = ENVELOPE.replace("42", &"4".repeat(64 * 1024 - ENVELOPE.len() + 2));
    assert_eq!(long.len(), 64 * 1024);
    peer.send(&long).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [&*long]);
    target.dispatch_event(event(&long)).unwrap();
    assert_eq!(peer.text().await, long);
}

#[tokio::test]
async fn a_connection_that_breaks_is_lost() {
    let (target, peer) = pair().await;
    drop(peer);
    let reason = in_time(target.closed()).await;
    assert!(matches!(reason, CloseReason::Lost { .. }), "{reason:?}");
    assert_eq!(reason.code(), 1006);
}

#[tokio::test]
async fn what_came_before_the_break_is_heard_even_if_writing_failed_first() {
    let (target, mut peer) = scripted(ClientOptions::DEFAULT);
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    heard.listen_to_notice(&target, "close");
    peer.fail_writing("broken pipe");
    target.dispatch_event(event(ENVELOPE)).unwrap();
    peer.written().await;
    peer.send(Scripted::Text(ENVELOPE.into()));
    peer.send(Scripted::Close(1013));
    in_time(target.closed()).await;
    assert_eq!(heard.take(), [ENVELOPE, "closed by the far side (1013)"]);

    // And where nothing comes, it is over after a while.
    let mut options = ClientOptions::DEFAULT;
    options.close_timeout = Duration::from_millis(20);
    let (target, peer) = scripted(options);
    peer.fail_writing("broken pipe");
    target.dispatch_event(event(ENVELOPE)).unwrap();
    let reason = in_time(target.closed()).await;
    assert_eq!(reason, CloseReason::Lost { error: "broken pipe".into() });
    assert_eq!(target.stats().dropped, 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_an_error_at_once() {
    #[derive(serde::Serialize)]
    struct Nested(Vec<Self>);
    let (target, mut peer) = pair().await;
    let reserved = event(r#"{"type":"__subscribe","id":"","payload":{"topic":"a:b"}}"#);
    assert!(matches!(target.dispatch_event(reserved), Err(DispatchError::Reserved)));
    let long = EventEnvelope::new("a", "b", &"x".repeat(64 * 1024)).unwrap();
    assert!(
        matches!(target.dispatch_event(long), Err(DispatchError::TooLarge { limit: 65_536, bytes }) if bytes > 65_536)
    );
    let nested = |depth| (0..depth).fold(Nested(Vec::new()), |inside, _| Nested(vec![inside]));
    let deep = EventEnvelope::new("a", "b", &nested(63)).unwrap();
    assert!(matches!(target.dispatch_event(deep), Err(DispatchError::TooDeep { limit: 64 })));
    let fits = EventEnvelope::new("a", "b", &nested(62)).unwrap();
    target.dispatch_event(fits.clone()).unwrap();
    assert_eq!(peer.text().await, fits.to_json().unwrap());
    assert_eq!((target.stats().rejected, target.stats().dispatched), (3, 1));
    let bad_name = target.add_event_listener("closed", Arc::new(|_: &EventEnvelope| {}));
    assert!(matches!(bad_name, Err(ListenError::BadTopic(_))));
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let mut options = ClientOptions::DEFAULT;
    options.link.max_queued = 2;
    let (target, mut peer) = pair_with(options).await;
    // Nobody else runs meanwhile: the task cannot send yet.
    target.dispatch_event(event(ENVELOPE)).unwrap();
    target.dispatch_event(event(ENVELOPE)).unwrap();
    assert!(matches!(target.dispatch_event(event(ENVELOPE)), Err(DispatchError::Full)));
    assert!(futures_util::poll!(target.room()).is_pending());
    assert_eq!((target.stats().queued_messages, target.stats().queued_bytes), (2, 2 * ENVELOPE.len() as u64));
    in_time(target.room()).await;
    let pubsub = PubSub::new(target);
    for _ in 0..20 {
        in_time(pubsub.publish_envelope(event(ENVELOPE))).await.unwrap();
    }
    for _ in 0..22 {
        assert_eq!(peer.text().await, ENVELOPE);
    }
}

#[tokio::test]
async fn a_publisher_whose_event_does_not_fit_lets_the_others_run() {
    let mut options = ClientOptions::DEFAULT;
    options.link.max_queued_bytes = 70 * 1024;
    let (target, mut peer) = pair_with(options).await;
    let pubsub = PubSub::new(target);
    let long = EventEnvelope::new("a", "b", &"x".repeat(60 * 1024)).unwrap();
    let publishing = async {
        for _ in 0..3 {
            pubsub.publish_envelope(long.clone()).await.unwrap();
            pubsub.publish_envelope(event(ENVELOPE)).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..6 {
            peer.text().await;
        }
    };
    in_time(async { tokio::join!(publishing, reading) }).await;
}

#[tokio::test]
async fn control_events_have_a_bound_too() {
    let mut options = ClientOptions::DEFAULT;
    options.link.max_queued = 4;
    let (target, mut peer) = pair_with(options).await;
    let mut closed = None;
    for n in 0..20 {
        let added = target.add_event_listener(&format!("a:{n}"), Arc::new(|_: &EventEnvelope| {}));
        if let Err(ListenError::Closed(reason)) = added {
            closed = Some(reason);
            break;
        }
    }
    assert!(matches!(closed, Some(CloseReason::Refused { code: 1013, .. })), "{closed:?}");
    assert_eq!(target.stats().too_slow, 1);
    assert_eq!(peer.closed().await.0, 1013);
    in_time(target.closed()).await;
}

#[tokio::test]
async fn what_was_flushed_is_not_dropped_by_close() {
    let (target, mut peer) = pair().await;
    let target: Arc<dyn EventTarget> = Arc::new(target);
    in_time(target.flush()).await;
    for number in 0..1000 {
        target.dispatch_event(EventEnvelope::new("a", "b", &number).unwrap()).unwrap();
    }
    in_time(target.flush()).await;
    target.close();
    assert_eq!(target.stats().dropped, 0);
    for number in 0..1000 {
        assert_eq!(peer.text().await, format!(r#"{{"type":"a","id":"b","payload":{number}}}"#));
    }
}

#[tokio::test]
async fn a_flush_ends_with_the_target() {
    let (target, _peer) = pair().await;
    let long = EventEnvelope::new("a", "b", &"x".repeat(60 * 1024)).unwrap();
    // More than the peer, which does not read, and the sockets' buffers take.
    while tokio::time::timeout(Duration::from_millis(200), target.room()).await.is_ok() {
        let _ = target.dispatch_event(long.clone());
    }
    let mut flush = std::pin::pin!(target.flush());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut flush).await.is_err());
    target.close();
    in_time(flush).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_fills_the_queue_and_no_more() {
    let mut options = ClientOptions::DEFAULT;
    options.link.max_queued_bytes = 1 << 20;
    let (target, peer) = pair_with(options).await;
    let long = EventEnvelope::new("a", "b", &"x".repeat(60 * 1024)).unwrap();
    let filling = async {
        while tokio::time::timeout(Duration::from_millis(200), target.room()).await.is_ok() {
            let _ = target.dispatch_event(long.clone());
        }
    };
    in_time(filling).await;
    let queued = target.stats().queued_bytes;
    assert!(queued < (1 << 20) + 64 * 1024, "{queued}");
    target.close();
    let stats = target.stats();
    assert_eq!((stats.queued_messages, stats.queued_bytes), (0, 0));
    assert!(stats.dropped > 10, "{stats:?}");
    drop(peer);
    in_time(target.closed()).await;
}

#[tokio::test]
async fn what_waits_leaves_in_one_write() {
    let (target, mut peer) = scripted(ClientOptions::DEFAULT);
    for n in 0..10 {
        target.dispatch_event(EventEnvelope::new("tick", "", &n).unwrap()).unwrap();
    }
    for n in 0..10 {
        assert_eq!(peer.text().await, format!(r#"{{"type":"tick","id":"","payload":{n}}}"#));
    }
    assert_eq!(peer.flushes(), 1);
}

#[tokio::test]
async fn close_sends_nothing_more_and_leaves_the_socket_as_it_was() {
    let (socket, mut peer) = peer::sockets().await;
    let target = WebSocketClientEventTarget::new(socket);
    let heard = Heard::default();
    heard.listen(&target, TOPIC, "");
    heard.listen_to_notice(&target, "close");
    assert_eq!(peer.text().await, SUBSCRIBE);
    target.dispatch_event(event(ENVELOPE)).unwrap();
    target.close();
    target.close();
    assert_eq!(heard.take(), ["closed here"], "at once, and once");
    assert!(matches!(
        target.dispatch_event(event(ENVELOPE)),
        Err(DispatchError::Closed(CloseReason::Closed))
    ));
    assert_eq!((target.stats().dropped, target.stats().links), (1, 0));
    assert_eq!(in_time(target.closed()).await, CloseReason::Closed);

    assert!(target.release::<TcpStream>().await.is_none(), "another type");
    let socket: WebSocketStream<TcpStream> = in_time(target.release()).await.unwrap();
    assert!(target.release::<WebSocketStream<TcpStream>>().await.is_none(), "given back already");
    let again = WebSocketClientEventTarget::new(socket);
    again.dispatch_event(EventEnvelope::without_payload("second", "").unwrap()).unwrap();
    assert_eq!(
        peer.text().await,
        r#"{"type":"second","id":""}"#,
        "no Close, no __unsubscribe, nothing of the first"
    );
}

#[tokio::test]
async fn what_was_not_read_before_the_close_stays_in_the_socket() {
    let (target, peer) = scripted(ClientOptions::DEFAULT);
    let target = Arc::new(target);
    let weak = Arc::downgrade(&target);
    let closes = move |_: &EventEnvelope| weak.upgrade().unwrap().close();
    target.add_event_listener(TOPIC, Arc::new(closes)).unwrap();
    for _ in 0..4 {
        peer.send(Scripted::Text(ENVELOPE.into()));
    }
    in_time(target.closed()).await;
    let mut socket: peer::Socket = in_time(target.release()).await.unwrap();
    assert_eq!(target.stats().received, 1);
    for _ in 0..3 {
        assert!(matches!(in_time(socket.next()).await, Some(Ok(Scripted::Text(text))) if text == ENVELOPE));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_waits_for_the_message_that_is_on_its_way_into_the_socket() {
    let (target, peer) = scripted(ClientOptions::DEFAULT);
    let order = Heard::default();
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let (writing, released) = (order.clone(), Mutex::new(released));
    peer.within_writing(move || {
        entered.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        writing.push("sent".into());
    });
    target.dispatch_event(event(ENVELOPE)).unwrap();
    tokio::task::block_in_place(|| {
        has_entered.recv().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                target.close();
                order.push("closed".into());
            });
            while target.stats().links > 0 {
                std::thread::yield_now();
            }
            // Time for a close that does not wait to be found out.
            std::thread::sleep(Duration::from_millis(20));
            release.send(()).unwrap();
        });
    });
    assert_eq!(order.take(), ["sent", "closed"]);
}

#[tokio::test]
async fn closed_says_that_no_task_is_left() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for owned in [false, true] {
        let (target, mut peer) =
            if owned { peer::connected(ClientOptions::DEFAULT).await } else { pair().await };
        assert_eq!(tasks(), before + 1);
        if owned {
            peer.close(1000, "").await;
        } else {
            target.close();
        }
        in_time(target.closed()).await;
        assert_eq!(tasks(), before);
    }
}

#[tokio::test]
async fn a_listener_may_publish_add_remove_and_close() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let weak = Arc::downgrade(&target);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let listener = move |event: &EventEnvelope| {
        let target = weak.upgrade().unwrap();
        match counter.fetch_add(1, SeqCst) {
            0 => {
                let id = target.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| {})).unwrap();
                target.remove_event_listener(id);
                target.dispatch_event(event.clone()).unwrap();
            }
            _ => target.close(),
        }
    };
    target.add_event_listener(TOPIC, Arc::new(listener)).unwrap();
    assert_eq!(peer.text().await, SUBSCRIBE);
    peer.send(ENVELOPE).await;
    for expected in [&SUBSCRIBE.replace(TOPIC, "a:b"), &UNSUBSCRIBE.replace(TOPIC, "a:b"), ENVELOPE] {
        assert_eq!(peer.text().await, expected);
    }
    for _ in 0..3 {
        peer.send(ENVELOPE).await;
    }
    in_time(target.closed()).await;
    assert_eq!(calls.load(SeqCst), 2, "nothing is heard after the close");
}

#[tokio::test]
async fn a_listener_that_panics_harms_nobody() {
    let (target, mut peer) = pair().await;
    let heard = Heard::default();
    heard.listen_to_notice(&target, "error");
    target.add_event_listener(TOPIC, Arc::new(|_: &EventEnvelope| panic!("on purpose"))).unwrap();
    heard.listen(&target, TOPIC, "");
    assert_eq!(peer.text().await, SUBSCRIBE);
    peer.send(ENVELOPE).await;
    settle(&target, &mut peer).await;
    assert_eq!(heard.take(), [&format!("a listener of {TOPIC:?} panicked: on purpose"), ENVELOPE]);
    assert_eq!(target.stats().panicked, 1);
}

#[tokio::test]
async fn a_socket_of_its_own_is_closed_with_1000() {
    let (target, mut peer) = peer::connected(ClientOptions::DEFAULT).await;
    target.dispatch_event(event(ENVELOPE)).unwrap();
    assert_eq!(peer.text().await, ENVELOPE);
    target.close();
    assert_eq!(peer.closed().await, (1000, String::new()));
    assert!(peer.next().await.is_none());
    drop(peer);
    assert_eq!(in_time(target.closed()).await, CloseReason::Closed);
    assert!(target.release::<WebSocketStream<TcpStream>>().await.is_none());
}

#[tokio::test]
async fn a_close_is_sent_even_if_the_target_is_dropped_after_it() {
    let (target, mut peer) = peer::connected(ClientOptions::DEFAULT).await;
    target.close();
    drop(target);
    assert_eq!(peer.closed().await.0, 1000);
}

#[tokio::test]
async fn a_target_that_is_dropped_ends_its_task_and_tells_its_listeners() {
    let (target, mut peer) = peer::connected(ClientOptions::DEFAULT).await;
    let heard = Heard::default();
    heard.listen_to_notice(&target, "close");
    drop(target);
    assert_eq!(heard.take(), ["closed here"]);
    assert!(matches!(in_time(peer.next()).await, Some(Err(_)) | None), "without a word");
}

#[test]
fn a_runtime_that_ends_ends_the_target() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (target, _peer) = runtime.block_on(pair());
    let heard = Heard::default();
    heard.listen_to_notice(&target, "close");
    drop(runtime);
    assert_eq!(heard.take(), ["the connection was lost: the task that served the connection was stopped"]);
    assert!(matches!(target.dispatch_event(event(ENVELOPE)), Err(DispatchError::Closed(_))));
}

#[tokio::test]
async fn disconnect_sends_what_is_queued_and_waits_for_the_answer() {
    for owned in [false, true] {
        let (target, mut peer) =
            if owned { peer::connected(ClientOptions::DEFAULT).await } else { pair().await };
        let heard = Heard::default();
        heard.listen(&target, TOPIC, "");
        heard.listen_to_notice(&target, "close");
        target.dispatch_event(event(ENVELOPE)).unwrap();
        let reading = async {
            assert_eq!([peer.text().await, peer.text().await], [SUBSCRIBE, ENVELOPE]);
            peer.send(ENVELOPE).await;
            assert_eq!(peer.closed().await.0, 1000);
            // The answer goes out with the next look at the socket.
            assert!(matches!(peer.next().await, None | Some(Err(_))));
        };
        let (answered, ()) = in_time(async {
            tokio::join!(
                async {
                    let mut leaving = Box::pin(target.disconnect(Duration::from_secs(5)));
                    assert!(futures_util::poll!(&mut leaving).is_pending());
                    let late = target.dispatch_event(event(ENVELOPE));
                    assert!(matches!(late, Err(DispatchError::Closed(CloseReason::Closed))), "{late:?}");
                    let answered = leaving.await;
                    drop(target.release::<WebSocketStream<TcpStream>>().await);
                    answered
                },
                reading
            )
        })
        .await;
        assert_eq!(answered, Ok(()));
        assert_eq!(heard.take(), [ENVELOPE, "closed here"]);
        assert_eq!(in_time(target.closed()).await, CloseReason::Closed);
        assert_eq!(target.stats().dropped, 0);
    }
}

#[tokio::test]
async fn disconnect_says_when_the_peer_did_not_answer() {
    let (target, mut peer) = pair().await;
    let (left, ()) = in_time(async {
        tokio::join!(target.disconnect(Duration::from_secs(5)), async {
            assert_eq!(peer.closed().await.0, 1000);
            // Its answer would leave with the next look at the socket.
            drop(peer);
        })
    })
    .await;
    assert!(matches!(left, Err(DisconnectError::Closed(CloseReason::Lost { .. }))), "{left:?}");

    let (target, mut peer) = pair().await;
    assert_eq!(in_time(target.disconnect(Duration::from_millis(20))).await, Err(DisconnectError::Unanswered));
    assert_eq!(in_time(target.closed()).await, CloseReason::Closed);
    assert_eq!(peer.closed().await.0, 1000);

    let (target, peer) = scripted(ClientOptions::DEFAULT);
    peer.send(Scripted::Close(1009));
    let left = in_time(target.disconnect(Duration::from_secs(5))).await;
    let own_word = CloseReason::ByPeer { code: 1009, reason: "".into() };
    assert_eq!(left, Err(DisconnectError::Closed(own_word)), "a code of its own is no answer");
}

#[tokio::test]
async fn ping_waits_for_its_own_answer() {
    let (target, mut peer) = pair().await;
    let mut first = Box::pin(target.ping());
    let mut second = Box::pin(target.ping());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(peer.text().await, r#"{"type":"__ping","id":"","payload":{"n":1}}"#);
    assert_eq!(peer.text().await, r#"{"type":"__ping","id":"","payload":{"n":2}}"#);
    peer.send(r#"{"type":"__pong","id":"","payload":{"echo":{"n":1},"protocol":1,"features":[]}}"#).await;
    assert_eq!(in_time(first).await, Ok(()));
    assert!(futures_util::poll!(&mut second).is_pending());
    peer.close(1000, "").await;
    assert_eq!(in_time(second).await, Err(CloseReason::ByPeer { code: 1000, reason: "".into() }));
}

#[tokio::test]
async fn connect_says_why_not() {
    // Nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = WebSocketClientEventTarget::connect(&format!("ws://{address}/")).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unreachable { address: at, .. } if *at == address.to_string()),
        "{error:?}"
    );

    let answers = async |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/path", listener.local_addr().unwrap());
        let serving = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(answer).await.unwrap();
            socket.shutdown().await.unwrap();
            socket
        };
        let (target, _socket) =
            in_time(async { tokio::join!(WebSocketClientEventTarget::connect(&url), serving) }).await;
        target.unwrap_err()
    };
    for (answer, status) in [
        (&b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"[..], 403),
        (b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", 200),
    ] {
        let error = answers(answer).await;
        assert!(matches!(error, ConnectError::Refused { status: said } if said == status), "{error:?}");
    }
    let error = answers(b"220 mail.example ESMTP\r\n").await;
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");

    // Somebody accepts and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = ClientOptions::DEFAULT;
    options.connect_timeout = Duration::from_millis(20);
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let error = in_time(WebSocketClientEventTarget::connect_with(&url, options)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_target_is_chosen_by_its_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (target, mut peer) =
        in_time(async { tokio::join!(alkpubsub::connect(&url), Peer::accept(&listener)) }).await;
    target.unwrap().dispatch_event(event(ENVELOPE)).unwrap();
    // Dropped at once: what was queued was never sent.
    assert!(matches!(peer.next().await, Some(Err(_)) | None));

    let in_process = alkpubsub::connect("in-process:").await.unwrap();
    assert!(in_process.capabilities().echo);
    for (url, words) in [
        #[cfg(not(feature = "websocket-client-tls"))]
        ("wss://hub.example", "build alkpubsub with its feature `websocket-client-tls`"),
        #[cfg(feature = "websocket-client-tls")]
        ("wss://", "it names no host"),
        (
            "nats://localhost",
            if cfg!(feature = "websocket-client-tls") {
                "there is `in-process:`, `ws:`, `wss:`"
            } else {
                "; `wss:` comes with the feature `websocket-client-tls`"
            },
        ),
        ("localhost:8484", "one looks like ws://127.0.0.1:8484"),
        ("ws://", "it names no host"),
    ] {
        let error = alkpubsub::connect(url).await.err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_listener_that_leaves_on_hearing_of_the_end_sends_nothing() {
    let (target, mut peer) = pair().await;
    let target = Arc::new(target);
    let listener = target.add_event_listener(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap();
    assert_eq!(peer.text().await, SUBSCRIBE);
    let own = Arc::downgrade(&target);
    let leaves = on_notice(move |_| own.upgrade().unwrap().remove_event_listener(listener));
    target.add_event_listener("close", Arc::new(leaves)).unwrap();
    target.close();
    let mut socket: WebSocketStream<TcpStream> = in_time(target.release()).await.unwrap();
    assert_eq!(target.stats().queued_messages, 0);
    socket.send(Message::text("mine again")).await.unwrap();
    assert_eq!(peer.text().await, "mine again");
}

#[tokio::test]
async fn a_ping_behind_an_event_of_any_size_is_answered_after_it() {
    let mut options = ClientOptions::DEFAULT;
    options.message.max_message = 16 << 20;
    let (target, mut peer) = pair_with(options).await;
    let event = EventEnvelope::new("a", "b", &"x".repeat(10 << 20)).unwrap();
    target.dispatch_event(event.clone()).unwrap();
    let answering = async {
        assert!(peer.text().await == event.to_json().unwrap());
        peer.text().await;
        peer.send(r#"{"type":"__pong","id":"","payload":{"echo":{"n":1}}}"#).await;
    };
    let (ponged, ()) = in_time(async { tokio::join!(target.ping(), answering) }).await;
    assert_eq!(ponged, Ok(()));
}

#[tokio::test]
async fn a_ping_that_does_not_fit_is_not_answered_by_itself() {
    let mut options = ClientOptions::DEFAULT;
    options.link.max_queued = 1;
    let (target, _peer) = pair_with(options).await;
    // The target's task does not run before the first of them waits.
    let (first, second) = in_time(async { tokio::join!(target.ping(), target.ping()) }).await;
    assert_eq!(
        (first.map_err(|reason| reason.code()), second.map_err(|reason| reason.code())),
        (Err(1013), Err(1013))
    );
}

#[tokio::test]
async fn bounds_and_times_may_be_as_large_as_they_can() {
    let mut options = ClientOptions::DEFAULT;
    (options.link.max_queued, options.link.max_queued_bytes) = (usize::MAX, usize::MAX);
    options.link.answer_timeout = Duration::MAX;
    options.close_timeout = Duration::MAX;
    let (target, mut peer) = pair_with(options.clone()).await;
    target.add_event_listener(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap();
    assert_eq!(peer.text().await, SUBSCRIBE);
    peer.send(SUBSCRIBED).await;
    assert_eq!(in_time(target.ready(TOPIC)).await, Readiness::Confirmed);
    // Writing fails, and nothing is read for now.
    let (target, mut script) = scripted(options);
    script.fail_writing("no more");
    target.dispatch_event(event(ENVELOPE)).unwrap();
    script.written().await;
    drop(script);
    assert!(matches!(in_time(target.closed()).await, CloseReason::Lost { .. }));
}

/// A hub denies it with the topic in its words, and that would be longer than a message may be.
#[tokio::test]
async fn an_event_on_a_topic_over_the_limit_is_not_sent() {
    let (target, mut peer) = pair().await;
    let on_topic_of = |bytes: usize| EventEnvelope::new("a", &"x".repeat(bytes - 2), &1).unwrap();
    let refused = target.dispatch_event(on_topic_of(4097));
    assert!(matches!(refused, Err(DispatchError::TopicTooLong { limit: 4096 })), "{refused:?}");
    target.dispatch_event(on_topic_of(4096)).unwrap();
    assert_eq!(peer.text().await, on_topic_of(4096).to_json().unwrap());
    assert_eq!((target.stats().dispatched, target.stats().rejected), (1, 1));
}
