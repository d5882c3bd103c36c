//! The spoke that outlives its connections, against a hub whose every message is scripted here. The clock stands
//! still and jumps to the next thing that is due, so that hours of waiting take no time.

use alkpubsub::{
    BackoffOptions, CloseReason, ConnectError, DisconnectError, DispatchError, EventEnvelope, EventTarget,
    GapReason, Interruption, Item, PubSub, Readiness, Spoke, SpokeOptions, SpokeState, Subscription,
    on_notice,
};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

const SUBSCRIBE: &str = r#"{"type":"__subscribe","id":"","payload":{"topic":"tick:"}}"#;
const SUBSCRIBED: &str = r#"{"type":"__subscribed","id":"","payload":{"topic":"tick:"}}"#;

fn tick(payload: u64) -> String {
    format!(r#"{{"type":"tick","id":"","payload":{payload}}}"#)
}

fn event(payload: u64) -> EventEnvelope {
    EventEnvelope::parse(tick(payload)).unwrap()
}

/// The hub's end of one connection.
struct Peer(WebSocketStream<DuplexStream>);

impl Peer {
    /// The next text; `Err` with the code where the spoke closed.
    async fn next(&mut self) -> Result<String, Option<u16>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn expect(&mut self, wanted: &str) {
        assert_eq!(self.next().await.as_deref(), Ok(wanted));
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text.to_owned())).await.unwrap();
    }

    async fn ping(&mut self) -> String {
        let ping = self.next().await.expect("a ping");
        let echo = ping.strip_prefix(r#"{"type":"__ping","id":"","payload":"#).expect(&ping);
        echo.strip_suffix('}').unwrap().to_owned()
    }

    async fn pong(&mut self) {
        let echo = self.ping().await;
        let payload = format!(r#"{{"echo":{echo},"protocol":1,"features":[]}}"#);
        self.send(&format!(r#"{{"type":"__pong","id":"","payload":{payload}}}"#)).await;
    }

    /// Answers the first ping and the subscription of `tick:`.
    async fn welcome(&mut self) {
        self.pong().await;
        self.expect(SUBSCRIBE).await;
        self.send(SUBSCRIBED).await;
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.0.close(Some(frame)).await.unwrap();
        while self.0.next().await.is_some() {}
    }
}

type Outcome = Result<WebSocketStream<DuplexStream>, ConnectError>;

/// The hub: each attempt to connect asks it.
struct Hub {
    attempts: mpsc::UnboundedReceiver<tokio::sync::oneshot::Sender<Outcome>>,
}

impl Hub {
    fn new(options: SpokeOptions) -> (Spoke, Self) {
        let (asking, attempts) = mpsc::unbounded_channel();
        let connect = move || {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let _ = asking.send(answer);
            async move {
                match answered.await {
                    Ok(outcome) => outcome,
                    Err(_) => std::future::pending().await,
                }
            }
        };
        (Spoke::new(connect, options), Self { attempts })
    }

    async fn accept(&mut self) -> Peer {
        let (here, there) = tokio::io::duplex(1 << 20);
        let client = WebSocketStream::from_raw_socket(there, Role::Client, None).await;
        let answer = self.attempts.recv().await.expect("an attempt");
        assert!(answer.send(Ok(client)).is_ok(), "the spoke waits no longer");
        Peer(WebSocketStream::from_raw_socket(here, Role::Server, None).await)
    }

    async fn refuse(&mut self, error: ConnectError) {
        let _ = self.attempts.recv().await.expect("an attempt").send(Err(error));
    }
}

fn options() -> SpokeOptions {
    SpokeOptions::DEFAULT
}

async fn subscribed(options: SpokeOptions) -> (Arc<Spoke>, Hub, Peer, Subscription<EventEnvelope>) {
    let (spoke, mut hub) = Hub::new(options);
    let spoke = Arc::new(spoke);
    let pubsub = PubSub::new(spoke.clone());
    let (subscription, peer) = {
        let welcome = async {
            let mut peer = hub.accept().await;
            peer.welcome().await;
            peer
        };
        tokio::join!(pubsub.subscribe_envelopes("tick", ""), welcome)
    };
    (spoke, hub, peer, subscription.unwrap())
}

/// The next item in a word.
async fn item(subscription: &mut Subscription<EventEnvelope>) -> String {
    match subscription.next().await {
        Some(Item::Event(event)) => event.payload_json().unwrap().unwrap_or("").to_owned(),
        Some(Item::Gap(reason)) => format!("gap {reason}"),
        other => format!("{other:?}"),
    }
}

async fn until(spoke: &Spoke, wanted: impl Fn(&SpokeState) -> bool) -> SpokeState {
    let mut states = spoke.states();
    let found = async {
        loop {
            let state = states.next().await.expect("the states went on");
            if wanted(&state) {
                return state;
            }
        }
    };
    // Of this clock, which jumps.
    tokio::time::timeout(Duration::from_secs(3600), found).await.expect("the state is never reached")
}

async fn until_waiting(spoke: &Spoke) -> SpokeState {
    until(spoke, |state| matches!(state, SpokeState::Waiting { .. })).await
}

#[tokio::test(start_paused = true)]
async fn the_gap_stands_between_the_old_connections_last_event_and_the_new_ones_first() {
    let (spoke, mut hub, mut peer, mut subscription) = subscribed(options()).await;
    peer.send(&tick(1)).await;
    assert_eq!(item(&mut subscription).await, "1");
    peer.send(&tick(2)).await;
    drop(peer);
    until_waiting(&spoke).await;
    // Two attempts that come to nothing make no second gap, and one that ends before its confirmation neither.
    hub.refuse(ConnectError::other("no")).await;
    let mut peer = hub.accept().await;
    peer.pong().await;
    peer.expect(SUBSCRIBE).await;
    drop(peer);
    let mut peer = hub.accept().await;
    peer.welcome().await;
    peer.send(&tick(3)).await;
    for wanted in ["2", "gap disconnected", "3"] {
        assert_eq!(item(&mut subscription).await, wanted);
    }
    assert_eq!(spoke.stats().connections, 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_the_topic_is_confirmed() {
    let (spoke, mut hub, peer, mut subscription) = subscribed(options()).await;
    drop(peer);
    let mut peer = hub.accept().await;
    peer.pong().await;
    peer.expect(SUBSCRIBE).await;
    until(&spoke, |state| matches!(state, SpokeState::Connected)).await;
    let mut waiting = std::pin::pin!(subscription.next());
    // The hub answers slowly, but in less than the two seconds after which it counts as one that never does.
    let early = tokio::time::timeout(Duration::from_millis(1900), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    peer.send(SUBSCRIBED).await;
    assert!(matches!(waiting.await, Some(Item::Gap(GapReason::Disconnected))));
}

#[tokio::test(start_paused = true)]
async fn with_a_hub_that_answers_nothing_the_gap_comes_in_time() {
    let (spoke, mut hub) = Hub::new(options());
    let pubsub = PubSub::new(spoke);
    let (subscription, first) = tokio::join!(pubsub.subscribe_envelopes("tick", ""), hub.accept());
    let mut subscription = subscription.unwrap();
    assert_eq!(subscription.readiness(), Readiness::Unconfirmed);
    drop(first);
    let mut peer = hub.accept().await;
    let since = Instant::now();
    peer.send(&tick(1)).await;
    // One that is no promise, ahead of an event that came early, and the one that counts.
    for wanted in ["gap disconnected", "1", "gap disconnected"] {
        assert_eq!(item(&mut subscription).await, wanted);
    }
    assert_eq!(since.elapsed().as_secs(), 2);
    peer.send(&tick(2)).await;
    assert_eq!(item(&mut subscription).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_spoke_that_forwards_nothing_tells_of_the_gap_when_it_is_connected() {
    let mut options = options();
    options.link.forward_subscriptions = false;
    let (spoke, mut hub) = Hub::new(options);
    let pubsub = PubSub::new(spoke);
    let (subscription, peer) = tokio::join!(pubsub.subscribe_envelopes("tick", ""), hub.accept());
    let mut subscription = subscription.unwrap();
    drop(peer);
    let mut peer = hub.accept().await;
    peer.send(&tick(1)).await;
    assert_eq!(item(&mut subscription).await, "gap disconnected");
    assert_eq!(item(&mut subscription).await, "1");
}

#[tokio::test(start_paused = true)]
async fn closed_says_that_no_task_is_left() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for connected in [true, false] {
        let (spoke, _hub, peer, _ticks) = subscribed(options()).await;
        assert_eq!(tasks(), before + 1, "a spoke is one task");
        let kept = connected.then_some(peer);
        if !connected {
            until_waiting(&spoke).await;
        }
        spoke.close();
        spoke.closed().await;
        assert_eq!(tasks(), before);
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn each_close_code_does_what_the_table_says() {
    for code in [1000, 1002, 1007, 1008, 1009, 4009] {
        let (spoke, mut hub, peer, mut subscription) = subscribed(options()).await;
        peer.close(code).await;
        let reason = spoke.closed().await;
        assert!(matches!(&reason, CloseReason::ByPeer { code: by, .. } if *by == code), "{code}: {reason}");
        assert!(subscription.next().await.is_none(), "{code}");
        assert!(subscription.end().is_some(), "{code}");
        assert!(matches!(spoke.state(), SpokeState::Closed(end) if end == reason), "{code}");
        let error = spoke.dispatch_event(event(1)).unwrap_err();
        assert!(matches!(error, DispatchError::Closed(end) if end == reason), "{code}");
        assert!(hub.attempts.recv().await.is_none(), "{code}: another attempt");
    }
    for code in [1001, 1003, 1011, 1012, 1013, 3000, 4000 + 13, 4999] {
        let (_spoke, mut hub, peer, mut subscription) = subscribed(options()).await;
        let since = Instant::now();
        peer.close(code).await;
        hub.accept().await.welcome().await;
        let waited = since.elapsed();
        let later = if code % 1000 == 13 { Duration::from_secs(5) } else { Duration::ZERO };
        assert!((later..later + Duration::from_millis(510)).contains(&waited), "{code}: {waited:?}");
        assert_eq!(item(&mut subscription).await, "gap disconnected", "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_does_wrong_ends_the_spoke_too() {
    let (spoke, mut hub, mut peer, _subscription) = subscribed(options()).await;
    let long = format!(r#"{{"type":"tick","id":"","payload":"{}"}}"#, "x".repeat(64 << 10));
    peer.send(&long).await;
    let reason = spoke.closed().await;
    assert!(matches!(reason, CloseReason::Refused { code: 1009, .. }), "{reason}");
    assert_eq!(peer.next().await, Err(Some(1009)));
    assert!(hub.attempts.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_renewed_are_worth_another_attempt() {
    let mut options = options();
    options.renews_credentials = true;
    let (_spoke, mut hub, peer, mut subscription) = subscribed(options).await;
    peer.close(1008).await;
    hub.refuse(ConnectError::Refused { status: 401 }).await;
    hub.accept().await.welcome().await;
    assert_eq!(item(&mut subscription).await, "gap disconnected");
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_again_is_given_up() {
    for status in [400, 401, 403, 405, 426] {
        let (spoke, mut hub) = Hub::new(options());
        hub.refuse(ConnectError::Refused { status }).await;
        let reason = spoke.closed().await;
        assert!(matches!(reason, CloseReason::GivenUp { .. }), "{status}: {reason}");
        assert!(reason.to_string().contains(&status.to_string()), "{reason}");
        assert!(hub.attempts.recv().await.is_none());
    }
    for status in [302, 404, 429, 500, 502, 503] {
        let (_spoke, mut hub) = Hub::new(options());
        hub.refuse(ConnectError::Refused { status }).await;
        hub.accept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_go_on_without_end_and_waits_are_random_under_a_ceiling_that_doubles() {
    let (spoke, mut hub) = Hub::new(options());
    let mut ceiling = 0.5_f64;
    let mut total = Duration::ZERO;
    for attempt in 0..200 {
        hub.refuse(ConnectError::other("nobody is there")).await;
        let state = until_waiting(&spoke).await;
        let SpokeState::Waiting { why: Interruption::Failed(error), retry_after } = state else { panic!() };
        assert_eq!(error.to_string(), "cannot connect: nobody is there");
        assert!(retry_after.as_secs_f64() <= ceiling, "attempt {attempt}: {retry_after:?}");
        total += retry_after;
        ceiling = (ceiling * 2.0).min(30.0);
    }
    // 194 waits of 15 s in the mean; the odds against this are beyond counting.
    assert!((2000..4000).contains(&total.as_secs()), "{total:?} in all");
    let _peer = hub.accept().await;
    until(&spoke, |state| matches!(state, SpokeState::Connected)).await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_closes_at_once_is_not_stormed_and_one_that_stays_is_met_again_soon() {
    let (spoke, mut hub) = Hub::new(options());
    let since = Instant::now();
    for _ in 0..100 {
        hub.accept().await.close(1011).await;
    }
    assert!(since.elapsed() > Duration::from_secs(600), "100 connections in {:?}", since.elapsed());
    let peer = hub.accept().await;
    tokio::time::sleep(BackoffOptions::DEFAULT.stable_after).await;
    peer.close(1011).await;
    let SpokeState::Waiting { retry_after, .. } = until_waiting(&spoke).await else { panic!() };
    assert!(retry_after < Duration::from_millis(500), "{retry_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_falls_silent_is_given_up_and_one_that_never_answered_is_not() {
    let (spoke, mut hub, mut peer, mut subscription) = subscribed(options()).await;
    let since = Instant::now();
    peer.pong().await;
    assert_eq!(since.elapsed().as_secs(), 20);
    peer.ping().await;
    assert_eq!(since.elapsed().as_secs(), 40);
    let state = until_waiting(&spoke).await;
    assert_eq!(since.elapsed().as_secs(), 48);
    assert_eq!(state.to_string(), "the connection was lost: the far side answers no ping");
    drop(peer);
    let mut peer = hub.accept().await;
    peer.ping().await;
    peer.expect(SUBSCRIBE).await;
    peer.send(SUBSCRIBED).await;
    assert_eq!(item(&mut subscription).await, "gap disconnected");
    for _ in 0..10 {
        peer.ping().await;
    }
    peer.send(&tick(1)).await;
    assert_eq!(item(&mut subscription).await, "1");
    assert_eq!(spoke.stats().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_is_a_sign_of_life() {
    let (spoke, _hub, mut peer, mut subscription) = subscribed(options()).await;
    for n in 0..100 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        if n % 2 == 0 {
            peer.send(&tick(n)).await;
            assert_eq!(item(&mut subscription).await, n.to_string());
        } else {
            // A WebSocket's own, as hubs send them.
            peer.0.send(Message::Ping("".into())).await.unwrap();
        }
    }
    assert_eq!(spoke.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_publishing_is_refused_and_nothing_is_kept() {
    let (spoke, mut hub) = Hub::new(options());
    let refused = spoke.dispatch_event(event(1));
    assert!(matches!(refused, Err(DispatchError::Disconnected)), "{refused:?}");
    let mut peer = hub.accept().await;
    peer.pong().await;
    spoke.dispatch_event(event(2)).unwrap();
    peer.expect(&tick(2)).await;
    drop(peer);
    until_waiting(&spoke).await;
    assert!(matches!(spoke.dispatch_event(event(3)), Err(DispatchError::Disconnected)));
    let mut peer = hub.accept().await;
    peer.pong().await;
    until(&spoke, |state| matches!(state, SpokeState::Connected)).await;
    spoke.dispatch_event(event(4)).unwrap();
    peer.expect(&tick(4)).await;
    let stats = spoke.stats();
    assert_eq!((stats.dispatched, stats.rejected, stats.dropped), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_the_connection_is_lost_is_dropped_and_counted() {
    let (spoke, mut hub) = Hub::new(options());
    let peer = hub.accept().await;
    until(&spoke, |state| matches!(state, SpokeState::Connected)).await;
    // Taken while the task has no turn, so that nothing of it was given to the socket.
    for n in 0..5 {
        spoke.dispatch_event(event(n)).unwrap();
    }
    let long = EventEnvelope::new("tick", "", &"x".repeat(60_000)).unwrap();
    while spoke.dispatch_event(long.clone()).is_ok() {}
    drop(peer);
    spoke.flush().await;
    until_waiting(&spoke).await;
    let stats = spoke.stats();
    assert!(stats.dropped > 0 && stats.queued_messages == 0 && stats.queued_bytes == 0, "{stats:?}");
    let mut peer = hub.accept().await;
    peer.pong().await;
    spoke.close();
    assert_eq!(peer.next().await, Err(Some(1000)), "nothing of the old connection was sent on the new one");
}

/// Until the task has had its turns.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Fills the socket, whose far end reads nothing, and then the queue behind it.
async fn fill(spoke: &Spoke) {
    let long = EventEnvelope::new("tick", "", &"x".repeat(60_000)).unwrap();
    let mut queued = 0;
    loop {
        while spoke.dispatch_event(long.clone()).is_ok() {}
        settled().await;
        // The socket took nothing more.
        if spoke.stats().queued_messages == queued {
            return;
        }
        queued = spoke.stats().queued_messages;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_or_a_flush_waits_no_longer_than_the_connection_lasts() {
    let (spoke, _hub, peer, _subscription) = subscribed(options()).await;
    fill(&spoke).await;
    let waiting = async { tokio::join!(spoke.flush(), spoke.room()) };
    let mut waiting = std::pin::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut waiting).await;
    assert!(early.is_err(), "the peer reads nothing");
    drop(peer);
    let since = Instant::now();
    // No other connection follows. At the end of its time a timeout looks once more, woken or not.
    let ended = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(ended.is_ok() && since.elapsed().as_secs() < 1, "{ended:?} after {:?}", since.elapsed());
    assert!(!matches!(spoke.state(), SpokeState::Connected));
}

#[tokio::test(start_paused = true)]
async fn one_control_event_too_many_wakes_the_task_that_waits_for_the_socket() {
    let mut options = options();
    options.link.max_queued = 20;
    let (spoke, _hub, peer, _subscription) = subscribed(options).await;
    fill(&spoke).await;
    for n in 0.. {
        spoke.add_event_listener(&format!("tick:{n}"), Arc::new(|_: &EventEnvelope| ())).unwrap();
        if spoke.stats().too_slow > 0 {
            break;
        }
        // The task has seen this one, and sleeps again.
        settled().await;
    }
    let since = Instant::now();
    let state = until_waiting(&spoke).await;
    assert!(state.to_string().contains("(1013)"), "{state}");
    // The Close does not leave; the next ping, which would wake it, too, is due after 25 s.
    let waited = since.elapsed();
    assert!(waited < options.close_timeout + Duration::from_secs(1), "{waited:?}");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_still_sends_reads_the_close_of_a_spoke_that_has_ended() {
    let (spoke, _hub, mut peer, _subscription) = subscribed(options()).await;
    spoke.close();
    // More than is on its way at a time: somebody takes it, or it cannot be sent.
    let long = format!(r#"{{"type":"tick","id":"","payload":"{}"}}"#, "x".repeat(60_000));
    for _ in 0..100 {
        peer.send(&long).await;
    }
    assert_eq!(peer.next().await, Err(Some(1000)));
    drop(peer);
    assert_eq!(spoke.closed().await, CloseReason::Closed);
    assert_eq!(spoke.stats().received, 0, "nothing of it was heard");
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_where_that_was_asked_for_within_the_bound() {
    let mut options = options();
    options.keep_events = true;
    options.link.max_queued = 3;
    let (spoke, mut hub, peer, mut subscription) = subscribed(options).await;
    drop(peer);
    until_waiting(&spoke).await;
    for n in 0..3 {
        spoke.dispatch_event(event(n)).unwrap();
    }
    assert!(matches!(spoke.dispatch_event(event(3)), Err(DispatchError::Full)));
    let flushing = async {
        spoke.flush().await;
        spoke.room().await;
    };
    let connecting = async {
        let mut peer = hub.accept().await;
        peer.welcome().await;
        for n in 0..3 {
            peer.expect(&tick(n)).await;
        }
        peer
    };
    let ((), mut peer) = tokio::join!(flushing, connecting);
    assert_eq!(item(&mut subscription).await, "gap disconnected");
    spoke.dispatch_event(event(4)).unwrap();
    peer.expect(&tick(4)).await;
    assert_eq!((spoke.stats().dropped, spoke.stats().sent), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_is_asked_for_what_is_wanted_by_then() {
    let (spoke, mut hub, peer, subscription) = subscribed(options()).await;
    drop(peer);
    until_waiting(&spoke).await;
    drop(subscription);
    let pubsub = PubSub::new(spoke);
    let mut other = std::pin::pin!(pubsub.subscribe_envelopes("other", "1"));
    let hub = async {
        let mut peer = hub.accept().await;
        peer.pong().await;
        peer.expect(r#"{"type":"__subscribe","id":"","payload":{"topic":"other:1"}}"#).await;
        peer.send(r#"{"type":"__subscribed","id":"","payload":{"topic":"other:1"}}"#).await;
        peer.send(r#"{"type":"other","id":"1","payload":5}"#).await;
        peer
    };
    let (other, _peer) = tokio::join!(&mut other, hub);
    let mut other = other.unwrap();
    assert_eq!(other.readiness(), Readiness::Confirmed);
    assert_eq!(item(&mut other).await, "5", "no gap: it was not there before the interruption");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_topics_are_asked_for_once_each() {
    let (spoke, mut hub) = Hub::new(options());
    let gaps = Arc::new(AtomicUsize::new(0));
    let counting = gaps.clone();
    spoke.add_event_listener("gap", Arc::new(on_notice(move |_| _ = counting.fetch_add(1, SeqCst)))).unwrap();
    let topics: BTreeSet<_> = (0..10_000).map(|n| format!("tick:{n}")).collect();
    for topic in &topics {
        spoke.add_event_listener(topic, Arc::new(|_: &EventEnvelope| ())).unwrap();
    }
    for round in 0..3 {
        let mut peer = hub.accept().await;
        peer.pong().await;
        let mut asked = BTreeSet::new();
        for _ in 0..topics.len() {
            let text = peer.next().await.unwrap();
            let topic = text.strip_prefix(r#"{"type":"__subscribe","id":"","payload":{"topic":""#).unwrap();
            let topic = topic.strip_suffix(r#""}}"#).unwrap();
            assert!(asked.insert(topic.to_owned()), "{topic} was asked for twice");
            peer.send(&text.replace("__subscribe", "__subscribed")).await;
        }
        assert_eq!(asked, topics);
        let last = topics.last().unwrap();
        assert_eq!(spoke.ready(last).await, Readiness::Confirmed);
        peer.send(&tick(0)).await;
        for topic in &topics {
            assert_eq!(spoke.ready(topic).await, Readiness::Confirmed);
        }
        assert_eq!(gaps.load(SeqCst), round * topics.len());
    }
    assert_eq!(spoke.stats().too_slow, 0);
}

#[tokio::test(start_paused = true)]
async fn more_control_events_than_fit_end_the_connection_but_not_the_spoke() {
    let mut options = options();
    options.link.max_queued = 10;
    let (spoke, mut hub) = Hub::new(options);
    let mut peer = hub.accept().await;
    peer.pong().await;
    until(&spoke, |state| matches!(state, SpokeState::Connected)).await;
    for n in 0..20 {
        // Without a turn of the task's in between.
        spoke.add_event_listener(&format!("tick:{n}"), Arc::new(|_: &EventEnvelope| ())).unwrap();
    }
    let state = until_waiting(&spoke).await;
    assert!(state.to_string().contains("(1013)"), "{state}");
    while peer.next().await.is_ok() {}
    let mut peer = hub.accept().await;
    peer.pong().await;
    for _ in 0..20 {
        peer.next().await.unwrap();
    }
    assert_eq!(spoke.stats().too_slow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_draining_hub_puts_a_subscription_off_to_the_next() {
    let (spoke, mut hub) = Hub::new(options());
    let pubsub = PubSub::new(spoke);
    let subscribing = pubsub.subscribe_envelopes("tick", "");
    let hubs = async {
        let mut peer = hub.accept().await;
        peer.pong().await;
        peer.expect(SUBSCRIBE).await;
        let denied = r#"{"topic":"tick:","action":"subscribe","reason":"draining"}"#;
        peer.send(&format!(r#"{{"type":"__denied","id":"","payload":{denied}}}"#)).await;
        peer.close(1001).await;
        let mut peer = hub.accept().await;
        peer.welcome().await;
        peer.send(&tick(1)).await;
        peer
    };
    let (subscription, _peer) = tokio::join!(subscribing, hubs);
    assert_eq!(item(&mut subscription.unwrap()).await, "1");
}

#[tokio::test(start_paused = true)]
async fn close_ends_it_at_once_whatever_it_does() {
    // While it connects, to nobody.
    let (spoke, _hub) = Hub::new(options());
    let since = Instant::now();
    spoke.close();
    spoke.close();
    assert_eq!(spoke.closed().await, CloseReason::Closed);
    // While it waits.
    let (spoke, mut hub) = Hub::new(options());
    hub.refuse(ConnectError::other("no")).await;
    until_waiting(&spoke).await;
    spoke.close();
    assert_eq!(spoke.closed().await, CloseReason::Closed);
    assert!(hub.attempts.recv().await.is_none(), "the way to connect is let go of");
    // Connected: the hub gets its Close.
    let (spoke, _hub, mut peer, mut subscription) = subscribed(options()).await;
    spoke.close();
    assert_eq!(peer.next().await, Err(Some(1000)));
    while peer.next().await != Err(None) {}
    drop(peer);
    assert_eq!(spoke.closed().await, CloseReason::Closed);
    assert!(subscription.next().await.is_none());
    assert!(since.elapsed() < Duration::from_millis(600), "{:?}", since.elapsed());
    let mut states = spoke.states();
    assert!(matches!(states.next().await, Some(SpokeState::Closed(CloseReason::Closed))));
    assert!(states.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_it_ends_it_and_its_streams() {
    let (spoke, mut hub, mut peer, mut subscription) = subscribed(options()).await;
    let mut states = spoke.states();
    drop(spoke);
    // The subscription holds the spoke.
    peer.send(&tick(1)).await;
    assert_eq!(item(&mut subscription).await, "1");
    drop(subscription);
    while let Some(state) = states.next().await {
        assert!(matches!(state, SpokeState::Connected | SpokeState::Closed(CloseReason::Closed)), "{state}");
    }
    assert!(hub.attempts.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn leaving_in_good_order_sends_what_waits() {
    let (spoke, _hub, mut peer, _subscription) = subscribed(options()).await;
    for n in 0..10 {
        spoke.dispatch_event(event(n)).unwrap();
    }
    let far = async {
        for n in 0..10 {
            peer.expect(&tick(n)).await;
        }
        assert_eq!(peer.next().await, Err(Some(1000)));
        while peer.next().await != Err(None) {}
    };
    let (left, ()) = tokio::join!(spoke.disconnect(Duration::from_secs(1)), far);
    left.unwrap();
    // Without a connection there is nobody to take leave of, and what was kept is not sent.
    let mut keeping = options();
    keeping.keep_events = true;
    let (spoke, _hub) = Hub::new(keeping);
    spoke.dispatch_event(event(1)).unwrap();
    let unsent = spoke.disconnect(Duration::from_secs(1)).await;
    assert_eq!(unsent, Err(DisconnectError::Unsent { events: 1 }));
    assert_eq!(spoke.stats().dropped, 1);
    let (spoke, _hub) = Hub::new(options());
    spoke.disconnect(Duration::from_secs(1)).await.unwrap();
    assert_eq!(spoke.closed().await, CloseReason::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_way_to_connect_that_hangs_or_panics_is_no_trap() {
    let (spoke, mut hub) = Hub::new(options());
    let hanging = hub.attempts.recv().await.unwrap();
    let since = Instant::now();
    let state = until_waiting(&spoke).await;
    assert_eq!(
        (state.to_string().as_str(), since.elapsed().as_secs()),
        ("cannot connect: no connection within 10s", 10)
    );
    drop(hanging);
    hub.accept().await;

    let connect = || async { std::panic::resume_unwind(Box::new("on purpose")) };
    let connect = move || {
        let attempt: std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> = Box::pin(connect());
        attempt
    };
    let spoke = Spoke::new(connect, options());
    let reason = spoke.closed().await;
    assert!(matches!(reason, CloseReason::Lost { .. }), "{reason}");
    assert!(matches!(spoke.state(), SpokeState::Closed(end) if end == reason));
}

#[tokio::test(start_paused = true)]
async fn states_are_the_present_one_and_then_each_that_follows() {
    let (spoke, mut hub) = Hub::new(options());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = {
        let (mut states, seen) = (spoke.states(), seen.clone());
        tokio::spawn(async move {
            while let Some(state) = states.next().await {
                let word = match state {
                    SpokeState::Connecting => "connecting",
                    SpokeState::Connected => "connected",
                    SpokeState::Waiting { why: Interruption::Lost(_), .. } => "lost",
                    SpokeState::Waiting { why: Interruption::Failed(_), .. } => "failed",
                    SpokeState::Closed(_) => "closed",
                    _ => "?",
                };
                seen.lock().unwrap().push(word);
            }
        })
    };
    tokio::task::yield_now().await;
    hub.refuse(ConnectError::other("no")).await;
    for last in [false, true] {
        let mut peer = hub.accept().await;
        peer.pong().await;
        // Its answer was sent when it was connected already.
        tokio::task::yield_now().await;
        if last {
            spoke.close();
            while peer.next().await != Err(None) {}
        } else {
            peer.close(1001).await;
        }
    }
    watching.await.unwrap();
    let wanted =
        ["connecting", "failed", "connecting", "connected", "lost", "connecting", "connected", "closed"];
    assert_eq!(*seen.lock().unwrap(), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_ping_behind_much_that_waits_is_given_time() {
    let (spoke, _hub, mut peer, _subscription) = subscribed(options()).await;
    let long = EventEnvelope::new("tick", "", &"x".repeat(60_000)).unwrap();
    while spoke.dispatch_event(long.clone()).is_ok() {}
    // Some 80 KiB a second of 4 MiB, and each ping answered when its turn comes.
    let mut heard = 0;
    while heard < 60 {
        tokio::time::sleep(Duration::from_millis(750)).await;
        let text = peer.next().await.expect("it is alive");
        if text.contains("__ping") {
            let echo = &text[r#"{"type":"__ping","id":"","payload":"#.len()..text.len() - 1];
            let payload = format!(r#"{{"echo":{echo},"protocol":1,"features":[]}}"#);
            peer.send(&format!(r#"{{"type":"__pong","id":"","payload":{payload}}}"#)).await;
        } else {
            heard += 1;
        }
    }
    assert_eq!(spoke.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn leaving_ends_in_time_also_where_nobody_waits_for_it() {
    let (spoke, _hub, peer, _subscription) = subscribed(options()).await;
    let impatient = tokio::time::timeout(Duration::from_secs(1), spoke.disconnect(Duration::from_secs(10)));
    assert!(impatient.await.is_err(), "the peer reads nothing and answers nothing");
    assert!(matches!(spoke.dispatch_event(event(1)), Err(DispatchError::Closed(_))));
    let since = Instant::now();
    assert_eq!(spoke.closed().await, CloseReason::Closed);
    // What was left of the ten seconds, and two for a Close to leave.
    assert!((8..=11).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    drop(peer);
    // And where somebody waits, it is told.
    let (spoke, _hub, _peer, _subscription) = subscribed(options()).await;
    assert_eq!(spoke.disconnect(Duration::from_secs(10)).await, Err(DisconnectError::Unanswered));
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_was_told_early_is_completed_by_an_answer_that_comes_late() {
    let (spoke, mut hub, peer, mut subscription) = subscribed(options()).await;
    drop(peer);
    let mut peer = hub.accept().await;
    peer.pong().await;
    peer.expect(SUBSCRIBE).await;
    assert_eq!(item(&mut subscription).await, "gap disconnected", "after two seconds");
    tokio::time::sleep(Duration::from_secs(1)).await;
    // What was published until now did not come here.
    peer.send(SUBSCRIBED).await;
    peer.send(&tick(1)).await;
    for wanted in ["gap disconnected", "1"] {
        assert_eq!(item(&mut subscription).await, wanted);
    }
    drop(spoke);
}

#[tokio::test(start_paused = true)]
async fn words_of_a_close_are_shown_plain() {
    let (spoke, _hub, mut peer, _subscription) = subscribed(options()).await;
    let frame = CloseFrame { code: 1000.into(), reason: "bye\n\u{1b}[2J\u{202e}gnp.exe ä".into() };
    peer.0.close(Some(frame)).await.unwrap();
    let reason = spoke.closed().await.to_string();
    assert_eq!(reason, "closed by the far side (1000): bye \u{fffd}[2J\u{fffd}gnp.exe ä");
}
