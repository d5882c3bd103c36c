use super::*;
use crate::protocol::check::{MessageLimits, parts};

const TOPIC: &str = "a:b";
const NOW: Duration = Duration::from_secs(5);
const SETTLED: Heard<'static> = Heard::Settled { topic: Cow::Borrowed(TOPIC), after_gap: false };
const AFTER_GAP: Heard<'static> = Heard::Settled { topic: Cow::Borrowed(TOPIC), after_gap: true };

fn link() -> Link<String> {
    Link::new(LinkOptions::DEFAULT)
}

fn sent(link: &mut Link<String>) -> Vec<String> {
    std::iter::from_fn(|| link.outbound().pop()).collect()
}

fn hear(link: &mut Link<String>, text: &str) -> Heard<'static> {
    let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).unwrap();
    match link.receive(&parts).unwrap() {
        Heard::Denied { topic, action, reason } => {
            Heard::Denied { topic: topic.into_owned().into(), action, reason }
        }
        Heard::Gap { topic, missed, reason } => {
            Heard::Gap { topic: topic.map(|topic| topic.into_owned().into()), missed, reason }
        }
        Heard::Event { after_gap } => Heard::Event { after_gap },
        Heard::Settled { topic, after_gap } => Heard::Settled { topic: topic.into_owned().into(), after_gap },
        Heard::Close { code, reason } => Heard::Close { code, reason: reason.into_owned().into() },
        Heard::Pong => Heard::Pong,
        Heard::Ping(queued) => Heard::Ping(queued),
        Heard::Ignored => Heard::Ignored,
    }
}

fn yes(link: &mut Link<String>) -> Heard<'static> {
    hear(link, &control::subscribed(TOPIC))
}

fn settled(topic: &'static str, after_gap: bool) -> Heard<'static> {
    Heard::Settled { topic: topic.into(), after_gap }
}

fn no(link: &mut Link<String>) -> Heard<'static> {
    hear(link, &control::denied(TOPIC, Action::Subscribe, DenyReason::Broker))
}

#[test]
fn the_first_listener_subscribes_and_the_last_unsubscribes() {
    let mut link = link();
    link.want(TOPIC, NOW).unwrap();
    link.want(TOPIC, NOW).unwrap();
    link.unwant(TOPIC).unwrap();
    assert_eq!(sent(&mut link), [control::subscribe(TOPIC)]);
    link.unwant(TOPIC).unwrap();
    link.unwant(TOPIC).unwrap();
    assert_eq!(sent(&mut link), [control::unsubscribe(TOPIC)]);
    assert_eq!(yes(&mut link), Heard::Ignored);
    assert!(link.topics.is_empty(), "nothing is kept of a topic that nobody wants and nothing is owed for");
}

#[test]
fn a_topic_is_confirmed_only_when_nothing_is_owed() {
    let mut link = link();
    link.want(TOPIC, NOW).unwrap();
    link.unwant(TOPIC).unwrap();
    link.want(TOPIC, NOW).unwrap();
    assert_eq!(yes(&mut link), Heard::Ignored, "this answers the first question, which no longer counts");
    assert_eq!(link.readiness(TOPIC), None);
    assert_eq!(yes(&mut link), SETTLED);
    assert_eq!(link.readiness(TOPIC), Some(Readiness::Confirmed));
    assert_eq!(yes(&mut link), Heard::Ignored, "an answer that nobody asked for");
}

#[test]
fn a_denied_topic_counts_as_not_subscribed_and_the_next_listener_asks_again() {
    let mut link = link();
    link.want(TOPIC, NOW).unwrap();
    let denied = Heard::Denied { topic: TOPIC.into(), action: Action::Subscribe, reason: DenyReason::Broker };
    assert_eq!(no(&mut link), denied);
    assert_eq!(link.readiness(TOPIC), Some(Readiness::Denied(DenyReason::Broker)));
    sent(&mut link);
    link.want(TOPIC, NOW).unwrap();
    assert_eq!(sent(&mut link), [control::subscribe(TOPIC)]);
    assert_eq!(link.readiness(TOPIC), None);
    yes(&mut link);
    assert_eq!(link.readiness(TOPIC), Some(Readiness::Confirmed));
    assert_eq!(no(&mut link), denied, "with nothing owed it revokes");
    link.unwant(TOPIC).unwrap();
    link.unwant(TOPIC).unwrap();
    assert_eq!(sent(&mut link), [""; 0], "there is nothing to unsubscribe from");
}

#[test]
fn a_far_side_that_does_not_answer_is_waited_for_once() {
    let mut link = link();
    assert_eq!(link.timeout(), None);
    link.want(TOPIC, NOW).unwrap();
    link.want("c:d", NOW).unwrap();
    link.unwant("c:d").unwrap();
    assert_eq!(link.timeout(), Some(NOW + Duration::from_secs(2)));
    assert_eq!(link.handle_timeout(NOW + Duration::from_secs(1)), Ok(Due::Nothing));
    let unanswered = Due::Unanswered { after_gap: vec![] };
    assert_eq!(link.handle_timeout(NOW + Duration::from_secs(2)), Ok(unanswered));
    assert_eq!((link.readiness(TOPIC), link.timeout()), (Some(Readiness::Unconfirmed), None));
    assert_eq!(link.topics.len(), 1, "no answer will come for what nobody wants");
    link.want("e:f", NOW).unwrap();
    assert_eq!(link.readiness("e:f"), Some(Readiness::Unconfirmed));
    link.unwant("e:f").unwrap();
    assert_eq!(link.topics.len(), 1);
}

#[test]
fn any_interleaving_sends_as_many_questions_as_answers_are_counted() {
    // A model of the hub answers in order; the link must end confirmed exactly if it wants the topic.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..2_000 {
        let mut link = link();
        let (mut listeners, mut held, mut answers) = (0, false, 0);
        for _ in 0..30 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            match seed % 4 {
                0 | 1 if listeners > 0 && seed.is_multiple_of(2) => {
                    listeners -= 1;
                    link.unwant(TOPIC).unwrap();
                }
                0 | 1 => {
                    listeners += 1;
                    link.want(TOPIC, NOW).unwrap();
                }
                2 => {
                    for text in sent(&mut link) {
                        let asks = text == control::subscribe(TOPIC);
                        assert_ne!(asks, held, "round {round}: the hub was told what it knows");
                        held = asks;
                        answers += usize::from(asks);
                    }
                }
                _ if answers > 0 => {
                    answers -= 1;
                    yes(&mut link);
                }
                _ => {}
            }
        }
        for text in sent(&mut link) {
            held = text == control::subscribe(TOPIC);
            answers += usize::from(held);
        }
        (0..answers).for_each(|_| drop(yes(&mut link)));
        assert_eq!(held, listeners > 0, "round {round}");
        let expected = if held { Readiness::Confirmed } else { Readiness::Unconfirmed };
        assert_eq!(link.readiness(TOPIC), Some(expected), "round {round}");
        assert_eq!(link.topics.len(), usize::from(held), "round {round}");
    }
}

#[test]
fn events_stop_at_the_bound_and_control_has_room_of_its_own() {
    let options = LinkOptions { max_queued: 2, max_queued_bytes: 10, ..LinkOptions::DEFAULT };
    let mut link: Link<String> = Link::new(options);
    assert!(link.send("x".repeat(20)), "the last one may go beyond");
    assert!(!link.send("x".into()));
    assert!(link.want(TOPIC, NOW).is_err(), "but not without bound");
}

#[test]
fn a_large_event_takes_no_room_from_control() {
    let options = LinkOptions { max_queued: 2, max_queued_bytes: 100, ..LinkOptions::DEFAULT };
    let mut link: Link<String> = Link::new(options);
    assert!(link.send("x".repeat(1000)));
    assert_eq!(link.ping(), Ok(1));
    assert_eq!(link.ping(), Ok(2));
    assert_eq!(link.ping(), Err(ControlOverflow));
}

#[test]
fn pongs_are_known_by_their_number() {
    let mut link = link();
    let ping = link.ping().unwrap();
    assert!(!link.ponged(ping));
    hear(&mut link, &control::pong(r#"{"n":99}"#));
    assert!(link.ponged(ping));
    assert!(!link.ponged(ping + 1), "a pong for what was not asked answers what was");
    assert_eq!(hear(&mut link, r#"{"type":"__later","id":"","payload":[]}"#), Heard::Ignored);
}

/// One that outlives its connections, and has the first.
fn outliving() -> Link<String> {
    let mut link = Link::outliving(LinkOptions::DEFAULT, HeartbeatOptions::DEFAULT);
    link.want(TOPIC, NOW).unwrap();
    assert_eq!((sent(&mut link), link.readiness(TOPIC)), (vec![], None), "without a connection");
    link.connected(NOW).unwrap();
    assert_eq!(sent(&mut link), [control::ping(1), control::subscribe(TOPIC)]);
    assert_eq!(yes(&mut link), SETTLED);
    link
}

fn event(link: &mut Link<String>, topic: &str) -> bool {
    let (event_type, id) = topic.split_once(':').unwrap();
    match hear(link, &format!(r#"{{"type":"{event_type}","id":"{id}"}}"#)) {
        Heard::Event { after_gap } => after_gap,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_connection_is_asked_for_all_that_is_wanted_and_confirms_after_a_gap() {
    let mut link = outliving();
    link.want("old:1", NOW).unwrap();
    link.disconnected(false);
    assert_eq!((sent(&mut link), link.timeout()), (vec![], None));
    assert_eq!(link.readiness(TOPIC), None);
    link.unwant("old:1").unwrap();
    link.want("new:1", NOW).unwrap();
    link.connected(NOW).unwrap();
    let mut asked = sent(&mut link);
    assert_eq!(asked.remove(0), control::ping(2));
    asked.sort();
    assert_eq!(asked, [control::subscribe(TOPIC), control::subscribe("new:1")]);
    assert_eq!(yes(&mut link), AFTER_GAP);
    let first = hear(&mut link, &control::subscribed("new:1"));
    assert_eq!(first, settled("new:1", false), "nothing was promised for it before");
    assert!(!event(&mut link, TOPIC));
    assert_eq!(link.untold, 0);
}

#[test]
fn an_interruption_of_many_attempts_leaves_one_gap() {
    let mut link = outliving();
    for _ in 0..3 {
        link.disconnected(false);
        link.connected(NOW).unwrap();
    }
    assert_eq!(yes(&mut link), AFTER_GAP);
    assert_eq!(yes(&mut link), Heard::Ignored);
}

#[test]
fn a_topic_that_was_never_confirmed_has_no_gap() {
    let mut link = Link::<String>::outliving(LinkOptions::DEFAULT, HeartbeatOptions::DEFAULT);
    link.want(TOPIC, NOW).unwrap();
    for _ in 0..2 {
        link.connected(NOW).unwrap();
        link.disconnected(false);
    }
    link.connected(NOW).unwrap();
    assert_eq!(yes(&mut link), SETTLED);
}

#[test]
fn an_event_ahead_of_its_confirmation_comes_after_a_gap_of_its_own() {
    let mut link = outliving();
    link.disconnected(false);
    link.connected(NOW).unwrap();
    assert!(!event(&mut link, "other:1"));
    assert!(event(&mut link, TOPIC));
    assert!(!event(&mut link, TOPIC), "once");
    assert_eq!(yes(&mut link), AFTER_GAP, "only now it is complete");
}

#[test]
fn a_far_side_that_answers_nothing_ends_the_interruption_in_time() {
    let mut link = outliving();
    link.disconnected(false);
    link.connected(NOW).unwrap();
    let due = Due::Unanswered { after_gap: vec![TOPIC.into()] };
    assert_eq!(link.handle_timeout(NOW + Duration::from_secs(2)), Ok(due));
    assert_eq!((link.readiness(TOPIC), link.untold), (Some(Readiness::Unconfirmed), 0));
    link.disconnected(false);
    link.connected(NOW).unwrap();
    assert_eq!(link.readiness(TOPIC), None, "another connection may answer");
}

#[test]
fn a_topic_denied_anew_is_denied_and_has_no_gap() {
    let mut link = outliving();
    link.disconnected(false);
    link.connected(NOW).unwrap();
    assert!(matches!(no(&mut link), Heard::Denied { .. }));
    assert_eq!((link.readiness(TOPIC), link.untold), (Some(Readiness::Denied(DenyReason::Broker)), 0));
    link.disconnected(false);
    link.connected(NOW).unwrap();
    assert_eq!(sent(&mut link), [control::ping(3)], "a denied topic is not asked for");
    link.want(TOPIC, NOW).unwrap();
    assert_eq!(sent(&mut link), [control::subscribe(TOPIC)]);
}

#[test]
fn a_hub_that_drains_puts_a_topic_off_to_the_next_connection() {
    let mut link = outliving();
    link.want("late:1", NOW).unwrap();
    let denied = control::denied("late:1", Action::Subscribe, DenyReason::Draining);
    assert_eq!(hear(&mut link, &denied), Heard::Ignored);
    assert_eq!(link.readiness("late:1"), None);
    sent(&mut link);
    link.disconnected(false);
    link.connected(NOW).unwrap();
    assert!(sent(&mut link).contains(&control::subscribe("late:1")));
    let first = hear(&mut link, &control::subscribed("late:1"));
    assert_eq!(first, settled("late:1", false));
}

#[test]
fn what_is_first_wanted_of_a_far_side_that_answers_nothing_is_interrupted_too() {
    let mut link = outliving();
    link.disconnected(false);
    link.connected(NOW).unwrap();
    let later = NOW + Duration::from_secs(2);
    assert!(matches!(link.handle_timeout(later), Ok(Due::Unanswered { .. })));
    link.want("late:1", later).unwrap();
    assert_eq!(link.readiness("late:1"), Some(Readiness::Unconfirmed));
    link.disconnected(false);
    link.connected(later).unwrap();
    let first = hear(&mut link, &control::subscribed("late:1"));
    assert_eq!(first, settled("late:1", true));
}

#[test]
fn events_that_were_kept_come_after_the_questions() {
    let mut link = outliving();
    assert!(link.send("one".into()));
    link.ping().unwrap();
    link.disconnected(true);
    assert!(link.send("two".into()));
    link.connected(NOW).unwrap();
    assert_eq!(sent(&mut link), [&control::ping(3), &control::subscribe(TOPIC), "one", "two"]);
    link.disconnected(true);
    assert!(link.send("three".into()));
    link.disconnected(false);
    assert_eq!((link.outbound().len(), link.outbound().bytes()), (0, 0));
}

/// A link with 50 topics, at a new connection that has room for a few of them.
fn with_more_topics_than_room(options: LinkOptions) -> (Link<String>, Vec<String>) {
    let mut link: Link<String> = Link::outliving(options, HeartbeatOptions::DEFAULT);
    let topics: Vec<_> = (0..50).map(|n| format!("a:{n}")).collect();
    for topic in &topics {
        link.want(topic, NOW).unwrap();
    }
    link.unwant(&topics[0]).unwrap();
    link.connected(NOW).unwrap();
    (link, topics)
}

/// All that is sent until nothing is left to be asked for.
fn sent_in_parts(link: &mut Link<String>) -> Vec<String> {
    let mut asked = Vec::new();
    while link.refill(NOW).unwrap() {
        let part = sent(link);
        assert!(!part.is_empty(), "it goes on");
        asked.extend(part);
    }
    asked.extend(sent(link));
    asked
}

#[test]
fn more_topics_than_the_queue_holds_are_asked_for_in_parts() {
    let few = LinkOptions { max_queued: 4, ..LinkOptions::DEFAULT };
    let small = LinkOptions { max_queued_bytes: 300, ..LinkOptions::DEFAULT };
    for options in [few, small] {
        let (mut link, topics) = with_more_topics_than_room(options);
        let (count, bytes) = (link.outbound().len(), link.outbound().bytes());
        let longest = control::subscribe("a:49").len();
        assert!((1..=options.max_queued / 2 + 1).contains(&count), "{options:?}: {count}");
        assert!(bytes <= options.max_queued_bytes / 2 + longest, "{options:?}: {bytes} bytes");
        let asked = sent_in_parts(&mut link);
        let once = |topic: &String| asked.iter().filter(|text| **text == control::subscribe(topic)).count();
        assert_eq!(once(&topics[0]), 0);
        assert!(topics[1..].iter().all(|topic| once(topic) == 1), "{options:?}: {asked:?}");
    }
}

#[test]
fn a_topic_that_is_left_and_wanted_again_before_its_turn_is_asked_for_once() {
    let (mut link, topics) =
        with_more_topics_than_room(LinkOptions { max_queued: 4, ..LinkOptions::DEFAULT });
    let mut asked = sent(&mut link);
    let later = topics[1..].iter().find(|topic| !asked.contains(&control::subscribe(topic))).unwrap();
    link.unwant(later).unwrap();
    link.want(later, NOW).unwrap();
    asked.extend(sent_in_parts(&mut link));
    assert_eq!(asked.iter().filter(|text| **text == control::subscribe(later)).count(), 1, "{asked:?}");
    assert!(!asked.contains(&control::unsubscribe(later)), "it had not been asked for");
}

#[test]
fn bad_input_counts_for_its_own_connection_alone() {
    let mut link = outliving();
    for _ in 0..3 {
        assert!((0..60).all(|_| !link.refused(NOW)));
        link.disconnected(false);
        link.connected(NOW).unwrap();
    }
    assert!((0..200).any(|_| link.refused(NOW)), "within one connection there is an end");
}

#[test]
fn a_far_side_that_fell_silent_is_dead() {
    let mut link = outliving();
    let at = |seconds| NOW + Duration::from_secs(seconds);
    link.alive();
    hear(&mut link, &control::pong(r#"{"n":1}"#));
    assert_eq!(link.timeout(), Some(at(20)));
    assert_eq!(link.handle_timeout(at(20)), Ok(Due::Nothing));
    assert_eq!(link.timeout(), Some(at(28)));
    assert_eq!(link.pop(), Some(control::ping(2)));
    assert_eq!(link.handle_timeout(at(28)), Ok(Due::Nothing), "it may have come, and not been read yet");
    let last = link.timeout().unwrap();
    assert_eq!(link.handle_timeout(last), Ok(Due::Dead));
    link.disconnected(false);
    assert_eq!(link.timeout(), None);
}

#[test]
fn events_that_wait_for_the_next_connection_are_not_lost_where_no_ping_fits() {
    let options = LinkOptions { max_queued_bytes: 10, ..LinkOptions::DEFAULT };
    let mut link: Link<String> = Link::outliving(options, HeartbeatOptions::DEFAULT);
    assert!(link.send("one".into()));
    assert_eq!(link.connected(NOW), Err(ControlOverflow));
    link.disconnected(true);
    assert_eq!(sent(&mut link), ["one"]);
}

#[test]
fn an_answer_that_comes_late_completes_the_gap() {
    let mut link = outliving();
    link.disconnected(false);
    link.connected(NOW).unwrap();
    let due = Due::Unanswered { after_gap: vec![TOPIC.into()] };
    assert_eq!(link.handle_timeout(NOW + Duration::from_secs(2)), Ok(due));
    assert!(!event(&mut link, TOPIC), "it was told");
    assert_eq!(yes(&mut link), AFTER_GAP, "what was published before this may be missing");
    assert_eq!(yes(&mut link), Heard::Ignored);
    assert_eq!(link.untold, 0);
}

#[test]
fn a_topic_whose_events_came_before_an_answer_has_a_gap() {
    let mut link = Link::<String>::outliving(LinkOptions::DEFAULT, HeartbeatOptions::DEFAULT);
    link.want(TOPIC, NOW).unwrap();
    link.connected(NOW).unwrap();
    event(&mut link, TOPIC);
    link.disconnected(false);
    link.connected(NOW).unwrap();
    assert_eq!(yes(&mut link), AFTER_GAP);
}

#[test]
fn a_link_that_this_end_opened_begins_with_a_ping_and_finds_a_far_side_that_falls_silent() {
    let seconds = Duration::from_secs;
    let heartbeat = HeartbeatOptions::DEFAULT;
    let mut link = Link::<String>::opening(LinkOptions::DEFAULT, heartbeat);
    link.connected(Duration::ZERO).unwrap();
    link.want("tick:", Duration::ZERO).unwrap();
    let first = sent(&mut link);
    assert!(first[0].starts_with(r#"{"type":"__ping""#), "{first:?}");
    assert!(first[1].starts_with(r#"{"type":"__subscribe""#), "{first:?}");
    let pong = r#"{"type":"__pong","id":"","payload":{"echo":{},"protocol":1,"features":[]}}"#;
    assert_eq!(hear(&mut link, pong), Heard::Pong);
    link.alive();
    // Two things are due: the hub has not answered the subscription.
    assert_eq!(link.handle_timeout(seconds(20)), Ok(Due::Unanswered { after_gap: vec![] }));
    assert_eq!(link.handle_timeout(seconds(20)), Ok(Due::Nothing));
    assert!(sent(&mut link)[0].starts_with(r#"{"type":"__ping""#));
    let due =
        (0..20).map(|more| link.handle_timeout(seconds(28 + more)).unwrap()).find(|due| *due == Due::Dead);
    assert_eq!(due, Some(Due::Dead));
}

#[test]
fn the_far_sides_last_word_is_told() {
    let mut link = Link::<String>::new(LinkOptions::DEFAULT);
    let close = control::close(1013, "too slow");
    assert_eq!(hear(&mut link, &close), Heard::Close { code: 1013, reason: "too slow".into() });
}

#[test]
fn between_two_ends_nothing_is_forwarded_all_is_ready_and_pings_are_answered() {
    let first = Duration::from_secs(30);
    let beating = Some((HeartbeatOptions::DEFAULT, first));
    let mut host = Link::<String>::direct(LinkOptions::DEFAULT, beating, Duration::ZERO).unwrap();
    let mut worker = Link::<String>::direct(LinkOptions::DEFAULT, None, Duration::ZERO).unwrap();
    host.want("a:b", Duration::ZERO).unwrap();
    assert_eq!(host.readiness("a:b"), Some(Readiness::Confirmed));
    assert_eq!(sent(&mut host), [control::ping(1)], "no `__subscribe`");
    assert_eq!(hear(&mut worker, &control::ping(1)), Heard::Ping(Ok(())));
    let answer = sent(&mut worker);
    assert_eq!((answer.len(), worker.timeout()), (1, None));
    assert_eq!(hear(&mut host, &answer[0]), Heard::Pong);
    assert!(host.ponged(1));

    let mut silent = Link::<String>::direct(LinkOptions::DEFAULT, beating, Duration::ZERO).unwrap();
    assert_eq!(silent.handle_timeout(first), Ok(Due::Dead));
}

#[test]
fn it_is_complete_when_all_that_was_wanted_is_answered_and_stays_so_on_this_connection() {
    let mut link = outliving();
    assert!(link.is_complete());
    link.want("new:1", NOW).unwrap();
    assert!(link.is_complete(), "what is wanted anew changes nothing");
    link.disconnected(false);
    assert!(!link.is_complete());
    link.connected(NOW).unwrap();
    assert!(!link.is_complete());
    // Where there are always some that are not answered yet, it is complete all the same.
    link.want("new:2", NOW).unwrap();
    yes(&mut link);
    assert!(!link.is_complete());
    hear(&mut link, &control::denied("new:1", Action::Subscribe, DenyReason::Broker));
    assert!(link.is_complete(), "it does not wait for what was not wanted when the connection was made");
    link.disconnected(false);
    link.connected(NOW).unwrap();
    yes(&mut link);
    assert!(!link.is_complete());
    link.unwant("new:2").unwrap();
    assert!(link.is_complete(), "nobody waits for the last one any more");
    link.disconnected(false);
    link.unwant(TOPIC).unwrap();
    link.unwant("new:1").unwrap();
    link.connected(NOW).unwrap();
    assert!(link.is_complete(), "nothing is wanted");
}

mod complete;
