//! What is lost on the way, and where that is told.

use super::*;

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
