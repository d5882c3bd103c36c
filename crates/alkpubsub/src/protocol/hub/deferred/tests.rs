//! Answers that are put off, from the hub's outside.

use super::super::*;
use crate::protocol::check::parts;

const NOW: Duration = Duration::from_secs(100);

fn hub() -> Hub<String> {
    Hub::new(HubLimits::DEFAULT, FanOut::Subscribed, false)
}

fn connect(hub: &mut Hub<String>) -> LinkId {
    hub.connect(None, NOW).unwrap()
}

fn sent(hub: &mut Hub<String>, to: LinkId) -> Vec<String> {
    std::iter::from_fn(|| hub.pop(to)).collect()
}

/// Hands a text to the hub as a program would that asks a broker first.
fn hear_behind(hub: &mut Hub<String>, from: LinkId, text: &str, ticket: u64) {
    let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).unwrap();
    match hub.receive(from, &parts).unwrap() {
        Asked::Subscribe(topic) => hub.defer(from, &topic, ticket),
        Asked::Publish => panic!("it subscribes alone"),
        Asked::Done | Asked::Close { .. } => {}
    }
}

fn no(topic: &str) -> String {
    control::denied(topic, Action::Subscribe, DenyReason::Broker)
}

#[test]
fn what_a_link_asks_for_behind_an_answer_that_is_to_come_is_answered_in_its_turn() {
    let mut hub = hub();
    hub.keep_topic_changes();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    for text in
        [control::subscribe("a:1"), control::unsubscribe("a:1"), control::ping(7), control::subscribe("a:2")]
    {
        hear_behind(&mut hub, one, &text, 0);
    }
    hear_behind(&mut hub, one, &control::subscribe("close"), 0);
    hear_behind(&mut hub, two, &control::ping(8), 0);
    assert_eq!(sent(&mut hub, one), [""; 0]);
    assert!(sent(&mut hub, two)[0].contains("__pong"), "nobody else waits");
    assert!(hub.is_deferring(one) && !hub.is_deferring(two));
    assert!(hub.is_asked_for("a:1") && !hub.is_wanted("a:1"));
    hub.settle(0);
    let told = sent(&mut hub, one);
    assert_eq!((&told[0], &told[2]), (&control::subscribed("a:1"), &control::subscribed("a:2")), "{told:?}");
    assert!(told[1].contains("__pong") && told[3].contains("bad_topic") && told.len() == 4, "{told:?}");
    assert!(!hub.is_asked_for("a:1") && hub.is_wanted("a:2"), "what was taken back is not held");
    assert!(!hub.is_deferring(one));
}

#[test]
fn an_answer_is_known_by_its_own_ticket_and_not_by_that_of_another_to_the_same_topic() {
    let mut hub = hub();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    hear_behind(&mut hub, one, &control::subscribe("a:1"), 0);
    hear_behind(&mut hub, two, &control::subscribe("a:1"), 1);
    hub.settle(0);
    assert_eq!(sent(&mut hub, one), [control::subscribed("a:1")]);
    assert_eq!(sent(&mut hub, two), [""; 0]);
    hub.fan_out("a:1", || "one".into());
    hub.settle_all();
    hub.fan_out("a:1", || "two".into());
    assert_eq!(sent(&mut hub, one), ["one", "two"]);
    assert_eq!(sent(&mut hub, two), [control::subscribed("a:1"), "two".into()]);
}

#[test]
fn a_topic_that_the_broker_denies_is_taken_from_all_and_given_to_none_who_wait() {
    let mut hub = hub();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    hub.subscribe(one, "a:1");
    hear_behind(&mut hub, two, &control::subscribe("a:2"), 0);
    hear_behind(&mut hub, two, &control::subscribe("a:1"), 0);
    hub.revoke("a:1", DenyReason::Broker);
    assert_eq!(sent(&mut hub, one), [control::subscribed("a:1"), no("a:1")]);
    assert_eq!(sent(&mut hub, two), [""; 0], "in its turn");
    hub.settle(0);
    assert_eq!(sent(&mut hub, two), [control::subscribed("a:2"), no("a:1")]);
    assert!(!hub.is_asked_for("a:1"));
}

#[test]
fn what_is_waited_for_counts_against_the_bound_and_is_let_go_of_with_its_link() {
    let limits = HubLimits { max_topics_per_link: 2, ..HubLimits::DEFAULT };
    let mut hub = Hub::new(limits, FanOut::Subscribed, false);
    hub.keep_topic_changes();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    for topic in ["a:1", "a:1", "a:2", "a:3"] {
        hear_behind(&mut hub, one, &control::subscribe(topic), 0);
    }
    hear_behind(&mut hub, two, &control::subscribe("a:2"), 0);
    assert!(hub.topic_changes().is_none());
    hub.disconnect(one);
    let changes = hub.topic_changes().map(std::mem::take).unwrap();
    assert_eq!(changes, [TopicChange { topic: "a:1".into(), held: false }]);
    hub.settle(0);
    assert_eq!(sent(&mut hub, two), [control::subscribed("a:2")]);
    let three = connect(&mut hub);
    for topic in ["a:1", "a:1", "a:2", "a:3"] {
        hear_behind(&mut hub, three, &control::subscribe(topic), 1);
    }
    hub.settle(1);
    let too_many = control::denied("a:3", Action::Subscribe, DenyReason::TooManySubscriptions);
    let yes = control::subscribed;
    assert_eq!(sent(&mut hub, three), [yes("a:1"), yes("a:1"), yes("a:2"), too_many]);
}
