//! Topics that come and go, futures that are dropped, and the end.

use super::*;

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
