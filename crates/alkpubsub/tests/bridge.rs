//! Bridges within one process: what crosses, what does not come back, and what is told.

#[path = "bridge/broker.rs"]
mod broker;
#[path = "bridge/model.rs"]
mod model;

use alkpubsub::bridge::{Bridge, BridgeEnd, BridgeError, BridgeOptions, Echo, Side};
use alkpubsub::{
    CloseReason, DispatchError, EventEnvelope, EventTarget, InProcess, ListenError, PubSub, Readiness,
};
use broker::Broker;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const TOPIC: &str = "t:1";
const LONG: Duration = Duration::from_secs(20);

fn text(payload: &impl Display) -> String {
    format!(r#"{{"type":"t","id":"1","payload":{payload}}}"#)
}

fn event(payload: impl Display) -> EventEnvelope {
    EventEnvelope::parse(text(&payload)).unwrap()
}

/// A bridge that is polled when the test says so.
struct Run {
    bridge: Arc<Bridge>,
    future: Pin<Box<dyn Future<Output = BridgeEnd> + Send>>,
}

impl Run {
    fn new(bridge: Arc<Bridge>) -> Self {
        Self { future: Self::future(&bridge), bridge }
    }

    fn future(bridge: &Arc<Bridge>) -> Pin<Box<dyn Future<Output = BridgeEnd> + Send>> {
        let bridge = bridge.clone();
        Box::pin(async move { bridge.run().await })
    }

    /// Until nothing moves; gives the end, if there is one.
    fn poll_to_end(&mut self) -> Option<BridgeEnd> {
        // A turn is 64 events.
        for _ in 0..100 {
            let polled = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(end) = polled {
                return Some(end);
            }
        }
        None
    }

    fn poll(&mut self) {
        assert_eq!(self.poll_to_end(), None);
    }

    /// The future is dropped, and another made.
    fn again(&mut self) {
        self.future = Self::future(&self.bridge);
    }
}

/// The texts that came to a listener of the topic.
type Heard = Arc<Mutex<Vec<String>>>;

fn listen(target: &impl EventTarget) -> Heard {
    let heard = Heard::default();
    let log = heard.clone();
    let hear = move |event: &EventEnvelope| log.lock().unwrap().push(event.to_json().unwrap().into());
    target.add_event_listener(TOPIC, Arc::new(hear)).unwrap();
    heard
}

fn take(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut heard.lock().unwrap())
}

/// What the bridge told, as text, and options that have it told.
fn told() -> (Heard, BridgeOptions) {
    let told = Heard::default();
    let log = told.clone();
    (told, BridgeOptions::new().on_notice(move |notice| log.lock().unwrap().push(notice.to_string())))
}

fn bridged(left: impl EventTarget, right: impl EventTarget, options: BridgeOptions) -> Run {
    let bridge = Bridge::new(left, right, options).unwrap();
    bridge.add_topic(TOPIC).unwrap();
    Run::new(Arc::new(bridge))
}

fn in_process() -> (Arc<InProcess>, Arc<InProcess>) {
    (Arc::new(InProcess::new()), Arc::new(InProcess::new()))
}

#[test]
fn each_event_crosses_once_as_it_is_and_does_not_come_back() {
    let (left, right) = in_process();
    let (here, there) = (listen(&left), listen(&right));
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let odd =
        r#"{ "x":1.0, "payload" : {"b":2,"a":123456789012345678901,"é":"\u00e9"},"id":"1", "type":"t" }"#;
    left.dispatch_event(EventEnvelope::parse(odd).unwrap()).unwrap();
    right.dispatch_event(event(1)).unwrap();
    right.dispatch_event(EventEnvelope::without_payload("t", "2").unwrap()).unwrap();
    run.poll();
    assert_eq!(take(&here), [odd.to_owned(), text(&1)]);
    assert_eq!(take(&there), [text(&1), odd.to_owned()], "what crosses comes after what is there");
    let stats = run.bridge.stats();
    assert_eq!((stats.left.heard, stats.left.own, stats.left.crossed), (2, 1, 1));
    assert_eq!((stats.right.heard, stats.right.own, stats.right.crossed), (2, 1, 1));
    assert_eq!((stats.left.awaited, stats.right.awaited, stats.topics), (0, 0, 1));
}

#[test]
fn a_typed_value_crosses_as_the_value_that_it_is() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Value {
        #[serde(serialize_with = "never")]
        #[allow(dead_code, reason = "it is there to be written")]
        number: u32,
    }
    fn never<S: serde::Serializer>(_: &u32, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a value that cannot be written"))
    }
    impl alkpubsub::Event for Value {
        const TYPE: &'static str = "t";
    }
    let (left, right) = in_process();
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let came = Arc::new(Mutex::new(None));
    let log = came.clone();
    let hear = move |event: &EventEnvelope| *log.lock().unwrap() = event.payload_shared::<Value>().ok();
    right.add_event_listener(TOPIC, Arc::new(hear)).unwrap();
    let value = Arc::new(Value { number: 7 });
    PubSub::new(left).try_publish("1", value.clone()).unwrap();
    run.poll();
    assert!(Arc::ptr_eq(&value, came.lock().unwrap().as_ref().expect("it came")));
    assert_eq!(
        (run.bridge.stats().right.own, run.bridge.stats().left.heard),
        (1, 1),
        "known without its text"
    );
    // A target that carries JSON cannot take it, and that is told.
    let (told, options) = told();
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let mut run = bridged(left.clone(), right, options);
    PubSub::new(left).try_publish("1", value).unwrap();
    run.poll();
    let words = "1 events did not cross from the left of \"t:1\": not taken on the other side: the payload cannot \
                 be written as JSON: a value that cannot be written";
    assert_eq!(take(&told), [words]);
    assert_eq!((run.bridge.stats().left.refused, run.bridge.stats().right.awaited), (1, 0));
}

#[test]
fn of_equal_events_of_two_parties_each_crosses() {
    let (left, right) = (Broker::default(), Broker::default());
    let (here, there) = (listen(&left), listen(&right));
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    left.publish(&text(&1));
    right.publish(&text(&1));
    right.publish(&text(&2));
    left.deliver_all();
    run.poll();
    // Right: 1 of its own, 2, and the bridge's 1, whose place the first one takes for the left.
    right.deliver_all();
    run.poll();
    left.deliver_all();
    run.poll();
    assert_eq!(take(&there), [text(&1), text(&2), text(&1)]);
    assert_eq!(take(&here), [text(&1), text(&2), text(&1)]);
    // By reference there is no mistaking one for the other.
    let (left, right) = in_process();
    let (here, there) = (listen(&left), listen(&right));
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let same = event(1);
    for target in [&left, &right, &left] {
        target.dispatch_event_ref(&same).unwrap();
    }
    run.poll();
    assert_eq!((take(&here).len(), take(&there).len()), (3, 3));
}

#[test]
fn what_listeners_do_within_does_not_nest_and_is_carried() {
    let (left, right) = in_process();
    let (here, there) = (listen(&left), listen(&right));
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let (bridge, across) = (Arc::downgrade(&run.bridge), Arc::downgrade(&left));
    let own = Arc::downgrade(&right);
    let answer = move |event: &EventEnvelope| {
        let number: u32 = event.payload().unwrap();
        let bridge = bridge.upgrade().unwrap();
        bridge.add_topic("t:2").unwrap();
        bridge.remove_topic("t:2");
        if number < 100 {
            own.upgrade().unwrap().dispatch_event(self::event(number + 100)).unwrap();
            across.upgrade().unwrap().dispatch_event(self::event(number + 200)).unwrap();
        }
    };
    right.add_event_listener(TOPIC, Arc::new(answer)).unwrap();
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    assert_eq!(take(&there), [1, 101, 201].map(|number| text(&number)));
    let mut here = take(&here);
    here.sort();
    assert_eq!(here, [101, 1, 201].map(|number| text(&number)), "as texts are sorted");
    assert_eq!(run.bridge.stats().topics, 1);
}

#[test]
fn a_full_side_is_waited_for_and_what_does_not_fit_meanwhile_is_told_in_its_place() {
    let (told, mut options) = told();
    options.max_queued = 3;
    let (left, right) = (Arc::new(InProcess::new()), Broker::with_room(1));
    let there = listen(&right);
    let across = right.clone();
    let mut run = bridged(left.clone(), right.clone(), options);
    for number in 1..=7 {
        left.dispatch_event(event(number)).unwrap();
        if number == 1 {
            run.poll();
        }
    }
    run.poll();
    assert!(told.lock().unwrap().is_empty(), "what waits is ahead of it");
    for _ in 0..3 {
        across.deliver();
        run.poll();
    }
    assert_eq!(
        take(&told),
        ["3 events did not cross from the left of \"t:1\": the other side took them too slowly"]
    );
    left.dispatch_event(event(8)).unwrap();
    run.poll();
    across.deliver_all();
    run.poll();
    across.deliver_all();
    assert_eq!(take(&there), [1, 2, 3, 4, 8].map(|number| text(&number)));
    let stats = run.bridge.stats().left;
    assert_eq!((stats.crossed, stats.too_slow, stats.queued, stats.queued_bytes), (5, 3, 0, 0));
}

#[test]
fn bytes_are_bounded_too() {
    let mut options = BridgeOptions::new();
    options.max_queued_bytes = 2 * event(1).weight();
    let (left, right) = in_process();
    let run = bridged(left.clone(), right, options);
    (1..=5).for_each(|number| left.dispatch_event(event(number)).unwrap());
    let stats = run.bridge.stats().left;
    assert_eq!((stats.queued, stats.queued_bytes, stats.too_slow), (2, 2 * event(1).weight() as u64, 3));
}

#[test]
fn while_a_side_has_no_connection_each_loss_is_told() {
    let (told, options) = told();
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let there = listen(&right);
    let mut run = bridged(left.clone(), right.clone(), options);
    right.be_down(true);
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    right.be_down(false);
    left.dispatch_event(event(2)).unwrap();
    run.poll();
    right.deliver_all();
    assert_eq!(take(&there), [text(&2)]);
    let words = "1 events did not cross from the left of \"t:1\": not taken on the other side: there is no connection right now";
    assert_eq!(take(&told), [words]);
    let stats = run.bridge.stats();
    assert_eq!((stats.left.disconnected, stats.right.own, stats.right.awaited), (1, 1, 0));
}

#[test]
fn an_event_of_another_that_equals_one_that_is_being_refused_crosses() {
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let here = listen(&left);
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    left.dispatch_event(event(1)).unwrap();
    right.refuse_behind(&text(&1));
    run.poll();
    assert_eq!(take(&here), [text(&1), text(&1)]);
    let stats = run.bridge.stats();
    assert_eq!((stats.left.disconnected, stats.right.crossed, stats.right.own), (1, 1, 0));
}

#[test]
fn a_gap_is_told_between_the_events_before_and_behind_it() {
    let (left, right) = (Broker::default(), Arc::new(InProcess::new()));
    let there = listen(&right);
    let log = there.clone();
    let options = BridgeOptions::new().on_notice(move |notice| log.lock().unwrap().push(notice.to_string()));
    let mut run = bridged(left.clone(), right, options);
    (1..=4).for_each(|number| left.publish(&text(&number)));
    left.lose(1..2, 1);
    left.deliver_all();
    run.poll();
    let gap = "events may not have crossed from the left of \"t:1\": missed there: disconnected";
    let expected = [text(&1), gap.to_owned(), text(&3), text(&4)];
    assert_eq!(take(&there), expected);
    assert_eq!(run.bridge.stats().left.gaps, 1);
}

#[test]
fn a_copy_that_was_lost_is_told_where_another_may_be_taken_for_it() {
    let (told, options) = told();
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let here = listen(&left);
    let mut run = bridged(left.clone(), right.clone(), options);
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    right.lose(0..1, 0);
    right.deliver_all();
    right.publish(&text(&1));
    right.publish(&text(&1));
    right.deliver_all();
    run.poll();
    assert_eq!(take(&here), [text(&1), text(&1)], "the first was taken for the copy");
    let words = ["missed there: disconnected", "one may have been taken for a copy of the bridge's own"];
    let told = take(&told);
    // Side by side they are one.
    assert!(told.len() == 1 && told[0].ends_with(words[0]), "{told:?}");
    assert_eq!((run.bridge.stats().right.ambiguous, run.bridge.stats().right.awaited), (1, 0));

    // And late ones are known.
    left.dispatch_event(event(2)).unwrap();
    run.poll();
    right.lose(0..0, 0);
    right.deliver_all();
    run.poll();
    assert_eq!(take(&here), [text(&2)], "its own alone");
}

#[test]
fn what_was_put_on_a_side_before_its_subscription_may_not_come_back() {
    for settles in [false, true] {
        let (told, options) = told();
        let (left, right) = (Arc::new(InProcess::new()), Broker::default());
        right.hold_subscriptions();
        let mut run = bridged(left.clone(), right.clone(), options);
        left.dispatch_event(event(1)).unwrap();
        run.poll();
        right.deliver_all();
        right.let_subscriptions_go();
        right.deliver_all();
        if settles {
            // The next one finds the subscription in place, and is certain to come back.
            left.dispatch_event(event(2)).unwrap();
            run.poll();
            right.deliver_all();
            assert_eq!(run.bridge.stats().right.ambiguous, 0);
        }
        right.publish(&text(&1));
        right.deliver_all();
        run.poll();
        let told = take(&told);
        assert!(told.len() == 1 && told[0].ends_with("a copy of the bridge's own"), "{settles}: {told:?}");
    }
}

#[test]
fn a_side_that_denies_an_event_is_told_of_and_its_copy_is_in_doubt() {
    let (told, options) = told();
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let mut run = bridged(left.clone(), right.clone(), options);
    left.dispatch_event(event(0)).unwrap();
    run.poll();
    right.deliver_all();
    right.deny();
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    assert_eq!(take(&told), ["publish \"t:1\" was denied on the right: not_allowed"]);
    right.publish(&text(&1));
    right.deliver_all();
    run.poll();
    assert!(take(&told)[0].ends_with("one may have been taken for a copy of the bridge's own"));
    assert_eq!((run.bridge.stats().right.denied, run.bridge.stats().right.ambiguous), (1, 1));
}

#[test]
fn what_is_denied_or_too_long_or_no_topic_is_an_error_that_names_the_side() {
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let long = format!("t:{}", "x".repeat(20));
    let error = run.bridge.add_topic(&long).unwrap_err();
    let expected = BridgeError::Listen { side: Side::Right, error: ListenError::TopicTooLong { limit: 20 } };
    assert_eq!(error, expected);
    assert_eq!(left.stats().topics, 1, "what was listened to on the left for it is gone");
    for (topic, words) in [("close", "no `:`"), ("__gap:", "reserved"), (":x", "empty")] {
        let error = run.bridge.add_topic(topic).unwrap_err().to_string();
        assert!(error.contains(words), "{topic}: {error}");
    }
    run.bridge.add_topic("denied:1").unwrap();
    let ready = |topic: &'static str| {
        let mut ready = Box::pin(run.bridge.ready(topic));
        match ready.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => ready.map_err(|error| error.to_string()),
            Poll::Pending => panic!("it waits"),
        }
    };
    assert_eq!(ready(TOPIC), Ok(Readiness::Confirmed));
    assert_eq!(ready("denied:1"), Err("the topic was denied on the right: not_allowed".into()));
    assert_eq!(ready("t:9"), Err("the bridge does not carry \"t:9\"; add_topic comes first".into()));
    left.close();
    assert_eq!(ready(TOPIC), Err("on the left: the target has ended: closed here".into()));
    run.bridge.close();
    assert_eq!(ready(TOPIC), Err("the bridge has ended: closed here".into()));
    assert_eq!(run.bridge.add_topic("t:2"), Err(BridgeError::Ended(BridgeEnd::Closed)));
    let error = Bridge::new(right.clone(), left, BridgeOptions::new()).unwrap_err();
    assert_eq!(error.to_string(), "on the right: the target has ended: closed here");
    assert_eq!(right.listeners(), 0, "nothing is left of what could not be made");
}

#[test]
fn a_topic_is_carried_until_it_was_removed_as_often_as_it_was_added() {
    let (left, right) = in_process();
    let there = listen(&right);
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let crosses = |run: &mut Run| {
        left.dispatch_event(event(1)).unwrap();
        run.poll();
        take(&there).len()
    };
    run.bridge.add_topic(TOPIC).unwrap();
    assert_eq!(crosses(&mut run), 1, "once, however often it was added");
    run.bridge.remove_topic(TOPIC);
    assert_eq!(crosses(&mut run), 1);
    left.dispatch_event(event(2)).unwrap();
    run.bridge.remove_topic(TOPIC);
    run.poll();
    assert_eq!(take(&there), [text(&2)], "what was heard before crosses");
    assert_eq!(crosses(&mut run), 0);
    run.bridge.remove_topic(TOPIC);
    run.bridge.remove_topic("no topic");
    run.bridge.add_topic(TOPIC).unwrap();
    assert_eq!(crosses(&mut run), 1);
    assert_eq!(
        (left.stats().listeners, right.stats().listeners),
        (2, 3),
        "one for the topic, one for the end"
    );
}

#[test]
fn one_way_nothing_is_heard_on_the_other_side() {
    let (left, right) = in_process();
    let (here, there) = (listen(&left), listen(&right));
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new().only_from(Side::Right));
    left.dispatch_event(event(1)).unwrap();
    right.dispatch_event(event(2)).unwrap();
    run.poll();
    assert_eq!((take(&here), take(&there)), (vec![text(&1), text(&2)], vec![text(&2)]));
    // The echo of the left is nobody's business.
    assert_eq!((left.stats().listeners, run.bridge.stats().left.heard), (2, 0));
    left.close();
    let end = BridgeEnd::Target { side: Side::Left, reason: CloseReason::Closed };
    assert_eq!(run.poll_to_end(), Some(end));
}

/// What is dispatched here goes to spokes, and what they send is heard here; they do not hear each other.
struct Spokes(InProcess, Heard);

impl EventTarget for Spokes {
    fn capabilities(&self) -> alkpubsub::Capabilities {
        alkpubsub::Capabilities { echo: false, ..self.0.capabilities() }
    }

    fn add_event_listener(
        &self,
        name: &str,
        listener: Arc<dyn alkpubsub::Listener>,
    ) -> Result<alkpubsub::ListenerId, ListenError> {
        self.0.add_event_listener(name, listener)
    }

    fn remove_event_listener(&self, listener: alkpubsub::ListenerId) {
        self.0.remove_event_listener(listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        self.1.lock().unwrap().push(event.to_json()?.into());
        Ok(())
    }

    fn close(&self) {
        self.0.close();
    }

    fn ready<'a>(&'a self, topic: &'a str) -> alkpubsub::BoxFuture<'a, Readiness> {
        self.0.ready(topic)
    }

    fn room(&self) -> alkpubsub::BoxFuture<'_, ()> {
        self.0.room()
    }

    fn closed(&self) -> alkpubsub::BoxFuture<'_, CloseReason> {
        self.0.closed()
    }

    fn stats(&self) -> alkpubsub::Stats {
        self.0.stats()
    }
}

#[test]
fn an_echo_that_is_passed_on_comes_to_those_who_hear_each_other_no_other_way() {
    let new = || (Arc::new(Spokes(InProcess::new(), Heard::default())), Broker::default());
    let (hub, broker) = new();
    let there = listen(&broker);
    let passed_on = BridgeOptions::new().echo(Side::Right, Echo::PassedOn);
    let mut run = bridged(hub.clone(), broker.clone(), passed_on.clone());
    hub.0.dispatch_event(event(1)).unwrap();
    broker.publish(&text(&2));
    run.poll();
    broker.deliver_all();
    run.poll();
    assert_eq!(take(&hub.1), [2, 1].map(|number| text(&number)), "in the broker's order");
    assert_eq!(take(&there), [2, 1].map(|number| text(&number)));
    assert_eq!((run.bridge.stats().right.own, run.bridge.stats().right.awaited), (0, 0));
    // Without that, spokes of the same hub do not hear it.
    let (hub, broker) = new();
    let mut run = bridged(hub.clone(), broker.clone(), BridgeOptions::new());
    hub.0.dispatch_event(event(1)).unwrap();
    run.poll();
    broker.deliver_all();
    run.poll();
    assert_eq!(take(&hub.1), [""; 0]);
    // It is for one side that echoes, not for two.
    let error = Bridge::new(InProcess::new(), Broker::default(), passed_on.clone()).unwrap_err();
    assert_eq!(error, BridgeError::BothEcho);
    let spoke = passed_on.echo(Side::Left, Echo::Dropped);
    assert!(Bridge::new(Spokes(InProcess::new(), Heard::default()), broker, spoke).is_err());
}

#[test]
fn the_end_of_a_side_comes_behind_what_was_heard_there_and_leaves_the_other() {
    let (left, right) = in_process();
    let (here, there) = (listen(&left), listen(&right));
    let (told, options) = told();
    let mut run = bridged(left.clone(), right.clone(), options);
    left.dispatch_event(event(1)).unwrap();
    right.dispatch_event(event(2)).unwrap();
    left.close();
    let end = BridgeEnd::Target { side: Side::Left, reason: CloseReason::Closed };
    assert_eq!(run.poll_to_end(), Some(end.clone()));
    assert_eq!((take(&here), take(&there)), (vec![text(&1)], vec![text(&2), text(&1)]));
    assert_eq!((right.stats().listeners, run.bridge.end()), (1, Some(end.clone())));
    right.dispatch_event(event(3)).unwrap();
    let (left, right) = (run.bridge.stats().left, run.bridge.stats().right);
    assert_eq!((left.crossed, right.heard, right.ended, right.own), (1, 2, 1, 1));
    assert!(take(&told).iter().all(|words| words.ends_with("the target has ended: closed here")));
    run.again();
    assert_eq!(run.poll_to_end(), Some(end));
}

#[test]
fn a_bridge_that_is_dropped_or_closed_leaves_nothing_on_its_targets() {
    let (left, right) = in_process();
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    drop(run);
    assert_eq!((left.stats().listeners, right.stats().listeners), (0, 0));
    assert_eq!((Arc::strong_count(&left), Arc::strong_count(&right)), (1, 1));
    let there = listen(&right);
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    left.dispatch_event(event(1)).unwrap();
    run.bridge.close();
    assert_eq!(run.poll_to_end(), Some(BridgeEnd::Closed));
    assert_eq!((left.stats().listeners, right.stats().listeners, run.bridge.stats().left.ended), (0, 1, 1));
    assert_eq!(take(&there), [""; 0]);
    left.dispatch_event(event(2)).unwrap();
    right.dispatch_event(event(3)).unwrap();
}

#[test]
fn other_tasks_have_their_turn_after_some_events() {
    let (left, right) = in_process();
    let mut run = bridged(left.clone(), right, BridgeOptions::new());
    (0..200).for_each(|number| left.dispatch_event(event(number)).unwrap());
    let polled = run.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    assert_eq!(run.bridge.stats().left.crossed, 64);
    run.poll();
    assert_eq!(run.bridge.stats().left.crossed, 200);
}

#[test]
fn of_a_topic_that_a_side_revokes_no_copy_is_awaited_there() {
    let (told, options) = told();
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let mut run = bridged(left.clone(), right.clone(), options);
    right.revoke();
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    let stats = run.bridge.stats();
    assert_eq!((stats.left.crossed, stats.right.awaited, stats.right.denied), (1, 0, 1));
    assert_eq!(take(&told), ["subscribe \"t:1\" was denied on the right: not_allowed"]);
    // Who removes the topic and adds it asks anew.
    run.bridge.remove_topic(TOPIC);
    run.bridge.add_topic(TOPIC).unwrap();
    left.dispatch_event(event(2)).unwrap();
    run.poll();
    assert_eq!(run.bridge.stats().right.awaited, 1);
}

#[test]
fn how_many_are_missing_of_all_topics_is_not_told_of_each() {
    let (told, options) = told();
    let (left, right) = (Broker::default(), Arc::new(InProcess::new()));
    let mut run = bridged(left.clone(), right, options);
    let of_one = alkpubsub::Topic::parse(TOPIC).unwrap();
    for topic in [Some(of_one), None] {
        left.miss(topic, 3);
        run.poll();
    }
    let words = "events may not have crossed from the left of \"t:1\": missed there: slow";
    assert_eq!(take(&told), ["3 events did not cross from the left of \"t:1\": missed there: slow", words]);
}

#[test]
fn a_future_that_is_dropped_loses_nothing_and_of_two_one_carries() {
    let (left, right) = (Arc::new(InProcess::new()), Broker::with_room(1));
    let there = listen(&right);
    let mut run = bridged(left.clone(), right.clone(), BridgeOptions::new());
    let mut other = Run::new(run.bridge.clone());
    (1..=4).for_each(|number| left.dispatch_event(event(number)).unwrap());
    run.poll(); // 1 is taken, 2 waits for room.
    other.poll();
    run.again();
    for _ in 0..4 {
        other.poll();
        right.deliver_all();
    }
    assert_eq!(take(&there), [1, 2, 3, 4].map(|number| text(&number)));
    assert_eq!(other.bridge.stats().left.crossed, 4);
}

#[test]
fn a_program_that_panics_on_hearing_of_a_loss_does_not_end_the_bridge() {
    let options = BridgeOptions::new().on_notice(|_| panic!("at a notice"));
    let (left, right) = (Arc::new(InProcess::new()), Broker::default());
    let mut run = bridged(left.clone(), right.clone(), options);
    right.be_down(true);
    left.dispatch_event(event(1)).unwrap();
    run.poll();
    right.be_down(false);
    left.dispatch_event(event(2)).unwrap();
    run.poll();
    assert_eq!((run.bridge.stats().panicked, run.bridge.stats().left.crossed), (1, 1));
}

#[test]
fn bridges_in_a_tree_carry_to_all_and_in_a_ring_without_end() {
    let targets = [(); 4].map(|()| Arc::new(InProcess::new()));
    let heard = [0, 1, 2, 3].map(|at| listen(&targets[at]));
    let bridge = |one: usize, other: usize| {
        bridged(targets[one].clone(), targets[other].clone(), BridgeOptions::new())
    };
    let mut runs = vec![bridge(0, 1), bridge(1, 2), bridge(1, 3)];
    (0..4).for_each(|at| targets[at].dispatch_event(event(at)).unwrap());
    (0..3).for_each(|_| runs.iter_mut().for_each(Run::poll));
    for heard in &heard {
        let mut heard = take(heard);
        heard.sort();
        assert_eq!(heard, [0, 1, 2, 3].map(|number| text(&number)));
    }
    // One bridge too many: out of contract, and this is what comes of it.
    runs.push(bridge(3, 0));
    targets[0].dispatch_event(event(9)).unwrap();
    let mut before = 0;
    for _ in 0..5 {
        runs.iter_mut().for_each(|run| _ = run.poll_to_end());
        let now = heard[0].lock().unwrap().len();
        assert!(now > before, "it goes round");
        before = now;
    }
}

/// The number of the publisher and that of its event.
fn numbers(heard: &Heard) -> Vec<(u64, u64)> {
    take(heard)
        .iter()
        .map(|text| EventEnvelope::parse(text.clone()).unwrap().payload::<(u64, u64)>().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_several_threads_on_both_sides_each_publishers_events_cross_in_their_order() {
    const EVENTS: u64 = 2000;
    let (left, right) = in_process();
    let heard = [listen(&left), listen(&right)];
    let bridge = bridged(left.clone(), right.clone(), BridgeOptions::new()).bridge;
    // Two, of which one at a time carries.
    let running = [(); 2].map(|()| {
        let bridge = bridge.clone();
        tokio::spawn(async move { bridge.run().await })
    });
    let publishers: Vec<_> = (0..6_u64)
        .map(|publisher| {
            let target = if publisher % 2 == 0 { left.clone() } else { right.clone() };
            std::thread::spawn(move || {
                for number in 0..EVENTS {
                    target.dispatch_event(event(format!("[{publisher},{number}]"))).unwrap();
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let all_there = async {
        while heard.iter().any(|heard| heard.lock().unwrap().len() < 6 * EVENTS as usize) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, all_there).await.expect("not all came");
    for heard in &heard {
        let mut next = [0; 6];
        for (publisher, number) in numbers(heard) {
            assert_eq!(number, next[publisher as usize], "of publisher {publisher}");
            next[publisher as usize] += 1;
        }
        assert_eq!(next, [EVENTS; 6]);
    }
    bridge.close();
    for running in running {
        assert_eq!(tokio::time::timeout(LONG, running).await.unwrap().unwrap(), BridgeEnd::Closed);
    }
}

#[test]
fn topics_that_threads_add_and_remove_at_random_end_as_they_are_wanted() {
    let (left, right) = in_process();
    let bridge = Arc::new(Bridge::new(left.clone(), right.clone(), BridgeOptions::new()).unwrap());
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let bridge = bridge.clone();
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                let mut held = Vec::new();
                for _ in 0..5000 {
                    if random.bool() || held.is_empty() {
                        let topic = format!("t:{}", random.u32(..8));
                        bridge.add_topic(&topic).unwrap();
                        held.push(topic);
                    } else {
                        bridge.remove_topic(&held.swap_remove(random.usize(..held.len())));
                    }
                }
                held
            })
        })
        .collect();
    let held: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let wanted: std::collections::BTreeSet<_> = held.iter().cloned().collect();
    let counts = || (left.stats().topics, right.stats().topics, bridge.stats().topics);
    let all = wanted.len() as u64;
    assert_eq!((counts(), left.stats().listeners), ((all, all, all), all + 1));
    held.iter().for_each(|topic| bridge.remove_topic(topic));
    assert_eq!((counts(), left.stats().listeners), ((0, 0, 0), 1));
}
