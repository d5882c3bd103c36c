//! What crosses, and what does not come back.

use super::*;

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
