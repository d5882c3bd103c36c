use super::super::check::parts;
use super::*;
use std::collections::{HashMap as StdMap, HashSet};

const NOW: Duration = Duration::from_secs(100);

fn hub() -> Hub<String> {
    Hub::new(HubLimits::DEFAULT, FanOut::Subscribed, false)
}

fn connect(hub: &mut Hub<String>) -> LinkId {
    hub.connect(None, NOW).unwrap()
}

/// Hands a text to the hub as the program would that allows everything and relays.
fn hear(hub: &mut Hub<String>, from: LinkId, text: &str) {
    let parts = parts(text.as_bytes(), &MessageLimits::DEFAULT).unwrap();
    match hub.receive(from, &parts).unwrap() {
        Asked::Subscribe(topic) => hub.subscribe(from, &topic),
        Asked::Publish => {
            hub.fan_out(&format!("{}:{}", parts.event_type, parts.id), || text.to_owned());
        }
        Asked::Done | Asked::Close { .. } => {}
    }
}

fn sent(hub: &mut Hub<String>, to: LinkId) -> Vec<String> {
    std::iter::from_fn(|| hub.pop(to)).collect()
}

fn event(topic: &str) -> String {
    let (event_type, id) = topic.split_once(':').unwrap();
    format!(r#"{{"type":"{event_type}","id":"{id}"}}"#)
}

#[test]
fn an_event_reaches_the_subscribed_the_sender_included_and_nobody_else() {
    let mut hub = hub();
    let (one, two, three) = (connect(&mut hub), connect(&mut hub), connect(&mut hub));
    for (link, topic) in [(one, "a:1"), (two, "a:1"), (three, "a:2")] {
        hear(&mut hub, link, &control::subscribe(topic));
        assert_eq!(sent(&mut hub, link), [control::subscribed(topic)]);
    }
    hear(&mut hub, one, &event("a:1"));
    assert_eq!(sent(&mut hub, one), [event("a:1")]);
    assert_eq!(sent(&mut hub, two), [event("a:1")]);
    assert_eq!(sent(&mut hub, three), [""; 0]);
}

#[test]
fn every_subscribe_has_one_answer_and_a_topic_held_twice_delivers_once() {
    let mut hub = hub();
    let link = connect(&mut hub);
    hear(&mut hub, link, &control::subscribe("a:1"));
    hear(&mut hub, link, &control::subscribe("a:1"));
    hear(&mut hub, link, &event("a:1"));
    let yes = control::subscribed("a:1");
    assert_eq!(sent(&mut hub, link), [yes.clone(), yes, event("a:1")]);
    hear(&mut hub, link, &control::unsubscribe("a:1"));
    hear(&mut hub, link, &control::unsubscribe("a:1"));
    hear(&mut hub, link, &event("a:1"));
    assert_eq!(sent(&mut hub, link), [""; 0]);
    assert!(hub.table.len() == 0);
}

#[test]
fn what_cannot_be_had_is_denied_with_its_reason() {
    let limits = HubLimits { max_topics_per_link: 1, ..HubLimits::DEFAULT };
    let mut hub = Hub::new(limits, FanOut::Subscribed, true);
    let link = hub.connect(Some("me".into()), NOW).unwrap();
    let long = format!("a:{}", "x".repeat(254));
    for (topic, reason) in [
        ("__gap:", DenyReason::Reserved),
        ("__gap", DenyReason::Reserved),
        ("close", DenyReason::BadTopic),
        (":1", DenyReason::BadTopic),
        (long.as_str(), DenyReason::TopicTooLong),
        ("direct:you", DenyReason::NotAllowed),
        ("direct:", DenyReason::NotAllowed),
    ] {
        hear(&mut hub, link, &control::subscribe(topic));
        assert_eq!(sent(&mut hub, link), [control::denied(topic, Action::Subscribe, reason)]);
    }
    hear(&mut hub, link, &control::subscribe("direct:me"));
    hear(&mut hub, link, &control::subscribe("a:1"));
    hear(&mut hub, link, &control::subscribe("direct:me"));
    let many = control::denied("a:1", Action::Subscribe, DenyReason::TooManySubscriptions);
    let yes = control::subscribed("direct:me");
    assert_eq!(sent(&mut hub, link), [yes.clone(), many, yes.clone()], "a topic that is held is no new one");
    hub.drain();
    hear(&mut hub, link, &control::unsubscribe("direct:me"));
    hear(&mut hub, link, &control::subscribe("direct:me"));
    assert_eq!(sent(&mut hub, link), [control::denied("direct:me", Action::Subscribe, DenyReason::Draining)]);
}

#[test]
fn a_topic_that_is_taken_back_delivers_no_more() {
    let mut hub = hub();
    let link = connect(&mut hub);
    hear(&mut hub, link, &control::subscribe("a:1"));
    hub.deny(link, "a:1", Action::Subscribe, DenyReason::NotAllowed);
    hear(&mut hub, link, &event("a:1"));
    assert_eq!(
        sent(&mut hub, link),
        [control::subscribed("a:1"), control::denied("a:1", Action::Subscribe, DenyReason::NotAllowed)]
    );
}

#[test]
fn a_ping_is_answered_after_what_came_before_it() {
    let mut hub = hub();
    let link = connect(&mut hub);
    hear(&mut hub, link, &control::subscribe("a:1"));
    hear(&mut hub, link, &event("a:1"));
    hear(&mut hub, link, r#"{"type":"__ping","id":"","payload":{ "x" : 1e400 }}"#);
    assert_eq!(
        sent(&mut hub, link),
        [control::subscribed("a:1"), event("a:1"), control::pong(r#"{ "x" : 1e400 }"#)]
    );
}

#[test]
fn a_message_is_made_once_and_only_if_somebody_wants_it() {
    let mut hub = hub();
    assert_eq!(hub.fan_out("a:1", || panic!("nobody wants it")), 0);
    for _ in 0..3 {
        let link = connect(&mut hub);
        hear(&mut hub, link, &control::subscribe("a:1"));
    }
    let mut made = 0;
    let reached = hub.fan_out("a:1", || {
        made += 1;
        "x".to_owned()
    });
    assert_eq!((made, reached), (1, 3));
}

#[test]
fn fan_out_to_all_needs_no_subscription() {
    let mut hub = Hub::new(HubLimits::DEFAULT, FanOut::All, false);
    assert_eq!(hub.fan_out("a:1", || panic!("there is nobody")), 0);
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    hear(&mut hub, one, &event("a:1"));
    assert_eq!((sent(&mut hub, one), sent(&mut hub, two)), (vec![event("a:1")], vec![event("a:1")]));
}

#[test]
fn at_once_the_same_links_are_named_as_get_it_from_the_queue() {
    for fan_out in [FanOut::Subscribed, FanOut::All] {
        let mut hub = Hub::new(HubLimits::DEFAULT, fan_out, false);
        let links = [connect(&mut hub), connect(&mut hub), connect(&mut hub)];
        for link in [links[0], links[2]] {
            hear(&mut hub, link, &control::subscribe("a:1"));
        }
        hub.finish(links[0], None, true);
        for topic in ["a:1", "b:1"] {
            links.iter().for_each(|&link| drop(sent(&mut hub, link)));
            let mut named = Vec::new();
            let count = hub.fan_out_at_once(topic, |link| named.push(link));
            assert_eq!(count, named.len());
            assert!(links.iter().all(|&link| sent(&mut hub, link).is_empty()), "nothing is queued");
            assert_eq!(hub.fan_out(topic, || event(topic)), count);
            let queued: Vec<_> = links.into_iter().filter(|&link| !sent(&mut hub, link).is_empty()).collect();
            assert_eq!(named, queued, "{fan_out:?} {topic}");
        }
        let mut stats = Stats::default();
        hub.count(&mut stats);
        assert_eq!(stats.sent, if fan_out == FanOut::All { 8 } else { 2 });
    }
}

#[test]
fn a_gap_is_told_to_those_whom_it_concerns() {
    let mut hub = hub();
    let (one, two, three) = (connect(&mut hub), connect(&mut hub), connect(&mut hub));
    for (link, topic) in [(one, "a:1"), (two, "a:2")] {
        hear(&mut hub, link, &control::subscribe(topic));
        sent(&mut hub, link);
    }
    hub.gap(Some("a:1"), Some(2), GapReason::TooLarge);
    hub.gap(Some("a:3"), None, GapReason::Slow);
    hub.gap(None, None, GapReason::Broker);
    let (of_one, of_all) = (
        control::gap(Some("a:1"), Some(2), GapReason::TooLarge),
        control::gap(None, None, GapReason::Broker),
    );
    assert_eq!(sent(&mut hub, one), [of_one, of_all.clone()]);
    assert_eq!((sent(&mut hub, two), sent(&mut hub, three)), (vec![of_all], vec![]));
}

#[test]
fn what_comes_behind_the_last_message_is_not_queued() {
    let mut hub = hub();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    for link in [one, two] {
        hear(&mut hub, link, &control::subscribe("a:1"));
        sent(&mut hub, link);
    }
    hear(&mut hub, one, &event("a:1"));
    hub.finish(one, Some("last".into()), false);
    hub.finish(two, Some("last".into()), true);
    hub.fan_out("a:1", || panic!("nobody holds it any more"));
    hub.subscribe(one, "a:1");
    hub.send(one, "more".into());
    assert_eq!(sent(&mut hub, one), [event("a:1"), "last".into()]);
    assert_eq!(sent(&mut hub, two), ["last"]);
    assert!(hub.table.len() == 0);
}

#[test]
fn each_link_with_something_to_send_is_named_once_a_round() {
    let mut hub = hub();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    hear(&mut hub, one, &control::subscribe("a:1"));
    hear(&mut hub, one, &event("a:1"));
    hear(&mut hub, two, &control::subscribe("a:1"));
    let mut dirty = vec![];
    hub.take_dirty(&mut dirty);
    assert_eq!(dirty, [one, two]);
    assert!(!hub.is_dirty());
    hear(&mut hub, one, &event("a:1"));
    hub.disconnect(one);
    dirty.clear();
    hub.take_dirty(&mut dirty);
    assert_eq!(dirty, [two]);
}

#[test]
fn too_much_waiting_is_seen_for_one_and_for_all() {
    let limits = HubLimits { max_outbound: 10, max_outbound_total: 15, ..HubLimits::DEFAULT };
    let mut hub = Hub::new(limits, FanOut::Subscribed, false);
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    hub.send(one, "x".repeat(10));
    assert!(!hub.is_too_slow(one));
    hub.send(two, "x".repeat(5));
    assert_eq!(hub.slowest_over_total(), None);
    hub.send(two, "x".into());
    assert_eq!(hub.slowest_over_total(), Some(one));
    hub.send(one, "x".repeat(10));
    assert!(!hub.is_too_slow(one), "the oldest is on its way");
    hub.send(one, "x".into());
    assert!(hub.is_too_slow(one));
    assert_eq!(hub.disconnect(one), 3);
    assert_eq!(hub.slowest_over_total(), None);
    let mut stats = Stats::default();
    hub.count(&mut stats);
    assert_eq!((stats.queued_bytes, stats.queued_messages, stats.dropped), (6, 2, 3));
}

#[test]
fn an_id_does_not_outlive_its_link() {
    let mut hub = hub();
    let old = connect(&mut hub);
    hub.disconnect(old);
    let new = connect(&mut hub);
    assert_eq!(old.slot(), new.slot());
    hub.send(old, "x".into());
    hub.subscribe(old, "a:1");
    hub.disconnect(old);
    assert!(hub.contains(new) && hub.waiting(new).unwrap().is_empty() && hub.table.len() == 0);
}

#[test]
fn a_silent_link_is_pinged_and_then_given_up() {
    let mut hub = hub();
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    let mut at = |seconds, heard: Option<LinkId>| {
        let now = NOW + Duration::from_secs(seconds);
        let mut said = vec![];
        if let Some(link) = heard {
            hub.heard(link, now);
        }
        hub.silent(now, |link, silence| said.push((link, silence)));
        said
    };
    assert_eq!(at(24, None), []);
    assert_eq!(at(25, None), [(one, Silence::Ping), (two, Silence::Ping)]);
    assert_eq!(at(32, Some(two)), []);
    assert_eq!(at(33, None), [(one, Silence::Dead)]);
}

#[test]
fn any_sequence_of_joins_and_leaves_keeps_the_table_as_a_naive_one() {
    let mut hub =
        Hub::new(HubLimits { max_topics_per_link: 1000, ..HubLimits::DEFAULT }, FanOut::Subscribed, false);
    let mut model: StdMap<LinkId, HashSet<String>> = StdMap::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for step in 0..20_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let links: Vec<LinkId> = hub.links().collect();
        let link = links.get((seed >> 8) as usize % links.len().max(1)).copied();
        let topic = format!("t:{}", (seed >> 32) % 12);
        match (seed % 10, link) {
            (0, _) if links.len() < 8 => drop(model.insert(connect(&mut hub), HashSet::new())),
            (1, Some(link)) if (seed >> 48).is_multiple_of(4) => {
                hub.disconnect(link);
                model.remove(&link);
            }
            (2..6, Some(link)) => {
                hear(&mut hub, link, &control::subscribe(&topic));
                model.get_mut(&link).unwrap().insert(topic);
            }
            (6..9, Some(link)) => {
                hear(&mut hub, link, &control::unsubscribe(&topic));
                model.get_mut(&link).unwrap().remove(&topic);
            }
            _ => {
                links.iter().for_each(|&link| drop(sent(&mut hub, link)));
                hub.fan_out(&topic, || "x".into());
                for (&link, topics) in &model {
                    let expected = usize::from(topics.contains(&topic));
                    assert_eq!(sent(&mut hub, link).len(), expected, "step {step}, {topic}");
                }
            }
        }
    }
    let wanted: HashSet<_> = model.values().flatten().collect();
    assert_eq!(hub.table.len(), wanted.len());
    hub.links().collect::<Vec<_>>().into_iter().for_each(|link| {
        hub.disconnect(link);
    });
    assert!(hub.table.len() == 0 && hub.queued.bytes == 0 && hub.queued.messages == 0);
}

#[test]
fn where_unfinished_messages_take_too_much_the_fullest_is_named() {
    let limits = HubLimits { max_incoming_total: 100, ..HubLimits::DEFAULT };
    let mut hub = Hub::<String>::new(limits, FanOut::Subscribed, false);
    let links = [connect(&mut hub), connect(&mut hub), connect(&mut hub)];
    let incoming = |hub: &Hub<String>| {
        let mut stats = Stats::default();
        hub.count(&mut stats);
        stats.incoming_bytes
    };
    for (link, bytes) in links.iter().zip([30, 50, 20]) {
        hub.holds(*link, bytes);
    }
    assert_eq!((hub.fullest_over_total(), incoming(&hub)), (None, 100), "as much is allowed");
    hub.holds(links[2], 21);
    assert_eq!(hub.fullest_over_total(), Some(links[1]), "not the one that broke the bound");
    hub.holds(links[1], 0);
    assert_eq!((hub.fullest_over_total(), incoming(&hub)), (None, 51));
    hub.disconnect(links[0]);
    hub.holds(links[0], 1000);
    assert_eq!(incoming(&hub), 21, "who is gone holds nothing");
    hub.disconnect(links[2]);
    assert_eq!(incoming(&hub), 0);
}

/// On 32 bits, the sum of what waits for many links is more than a usize counts.
#[test]
fn what_waits_for_all_is_counted_beyond_32_bits() {
    #[derive(Clone)]
    struct Heavy;
    impl Message for Heavy {
        type Framing = ();

        fn from_text(_: String, (): ()) -> Self {
            Self
        }
        fn weight(&self) -> usize {
            u32::MAX as usize
        }
        fn is_control(&self) -> bool {
            false
        }
    }
    let limits = HubLimits { max_outbound_total: u32::MAX as usize, ..HubLimits::DEFAULT };
    let mut hub = Hub::<Heavy>::new(limits, FanOut::All, false);
    let links: Vec<_> = (0..3).map(|_| hub.connect(None, NOW).unwrap()).collect();
    assert_eq!(hub.fan_out("a:b", || Heavy), 3);
    let mut stats = Stats::default();
    hub.count(&mut stats);
    assert_eq!(stats.queued_bytes, 3 * u64::from(u32::MAX));
    assert!(hub.take_overfull());
    for link in links {
        assert!(hub.slowest_over_total().is_some() || stats.queued_bytes <= u64::from(u32::MAX));
        hub.disconnect(link);
        stats = Stats::default();
        hub.count(&mut stats);
    }
    assert_eq!(stats.queued_bytes, 0);
}

/// Texts that can be joined, as bytes can.
#[derive(Clone, Debug, PartialEq)]
struct Joined(Vec<String>);

impl Message for Joined {
    type Framing = ();

    fn from_text(text: String, (): ()) -> Self {
        Self(vec![text])
    }

    fn weight(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }

    fn is_control(&self) -> bool {
        self.0[0].starts_with(control::BEGINNING)
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn join(&mut self, next: &Self) -> bool {
        self.0.extend_from_slice(&next.0);
        true
    }
}

/// A hub of which so many links hold `a:1` and `b:1`; what they were answered is gone.
fn crowd(links: usize, limits: HubLimits) -> (Hub<Joined>, Vec<LinkId>) {
    let mut hub = Hub::new(limits, FanOut::Subscribed, false);
    let links: Vec<_> = (0..links).map(|_| hub.connect(None, NOW).unwrap()).collect();
    for &link in &links {
        for topic in ["a:1", "b:1"] {
            hub.subscribe(link, topic);
            hub.pop(link);
        }
    }
    (hub, links)
}

fn publish(hub: &mut Hub<Joined>, topic: &str, text: &str) {
    hub.fan_out(topic, || Joined::from_text(text.to_owned(), ()));
}

fn pieces(hub: &mut Hub<Joined>, link: LinkId) -> Vec<Vec<String>> {
    std::iter::from_fn(|| hub.pop(link)).map(|piece| piece.0).collect()
}

#[test]
fn events_of_one_topic_go_out_as_one_piece_and_nothing_changes_its_place() {
    let (mut hub, links) = crowd(RUN_FROM, HubLimits::DEFAULT);
    for (topic, text) in [("a:1", "1"), ("a:1", "2"), ("b:1", "3"), ("a:1", "4")] {
        publish(&mut hub, topic, text);
    }
    hub.send(links[0], Joined::from_text("5".into(), ()));
    publish(&mut hub, "a:1", "6");
    let mut stats = Stats::default();
    hub.count(&mut stats);
    let crowd = RUN_FROM as u64;
    assert_eq!(
        (stats.sent, stats.queued_messages, stats.queued_bytes),
        (5 * crowd, 5 * crowd + 1, 5 * crowd + 1)
    );
    assert!(hub.is_dirty());
    assert_eq!(pieces(&mut hub, links[0]), [vec!["1", "2"], vec!["3"], vec!["4"], vec!["5"], vec!["6"]]);
    assert_eq!(pieces(&mut hub, links[1]), [vec!["1", "2"], vec!["3"], vec!["4"], vec!["6"]]);
}

#[test]
fn who_comes_or_goes_during_a_run_has_the_part_of_it_that_was_published_while_it_was_there() {
    let (mut hub, links) = crowd(RUN_FROM + 1, HubLimits::DEFAULT);
    let late = hub.connect(None, NOW).unwrap();
    publish(&mut hub, "a:1", "1");
    hub.subscribe(late, "a:1");
    publish(&mut hub, "a:1", "2");
    hub.deny(links[0], "a:1", Action::Subscribe, DenyReason::NotAllowed);
    publish(&mut hub, "a:1", "3");
    assert_eq!(hub.disconnect(links[1]), 3, "what waited for it");
    publish(&mut hub, "a:1", "4");
    assert_eq!(pieces(&mut hub, late)[1..], [vec!["2"], vec!["3"], vec!["4"]]);
    let denied = control::denied("a:1", Action::Subscribe, DenyReason::NotAllowed);
    assert_eq!(pieces(&mut hub, links[0]), [vec!["1".to_owned()], vec!["2".into()], vec![denied]]);
    assert_eq!(pieces(&mut hub, links[2]).concat(), ["1", "2", "3", "4"]);
}

#[test]
fn few_links_and_small_bounds_have_no_runs() {
    let mut limits = HubLimits::DEFAULT;
    (limits.max_outbound, limits.max_outbound_messages) = (4 * RUN_PART, 3 * RUN_PART);
    let (mut hub, links) = crowd(RUN_FROM, limits);
    for text in ["aa", "bb", "c", "d", "e", "f"] {
        publish(&mut hub, "a:1", text);
    }
    assert_eq!(pieces(&mut hub, links[0]), [vec!["aa", "bb"], vec!["c", "d", "e"], vec!["f"]]);
    let (mut hub, links) = crowd(RUN_FROM - 1, HubLimits::DEFAULT);
    publish(&mut hub, "a:1", "1");
    publish(&mut hub, "a:1", "2");
    assert_eq!(pieces(&mut hub, links[0]), [["1"], ["2"]]);
}

#[test]
fn the_ids_of_two_shards_are_not_confused() {
    let mut shards = [0, 1].map(|shard| hub().shard(shard, 2));
    let ids = shards.each_mut().map(connect);
    assert_eq!(ids.map(|id| (id.slot(), id.shard())), [(0, 0), (0, 1)]);
    let [one, _] = &mut shards;
    assert!(one.contains(ids[0]) && !one.contains(ids[1]));
    one.send(ids[1], "x".into());
    one.disconnect(ids[1]);
    assert!(one.contains(ids[0]) && one.waiting(ids[0]).unwrap().is_empty());
    // The bounds of the three parts.
    let most = LinkId::new(HubLimits::MOST_LINKS - 1, u8::MAX, u32::MAX);
    assert_eq!((most.slot(), most.shard(), most.0), (HubLimits::MOST_LINKS - 1, u8::MAX, u64::MAX));
}

#[test]
fn a_shard_tells_of_topics_that_it_comes_to_want_and_to_want_no_more() {
    let mut hub = hub().shard(1, 2);
    let (one, two) = (connect(&mut hub), connect(&mut hub));
    fn told(hub: &mut Hub<String>) -> Vec<(String, bool)> {
        let changes = hub.topic_changes().map(std::mem::take).unwrap_or_default();
        changes.into_iter().map(|change| (change.topic.to_string(), change.held)).collect()
    }
    let change = |topic: &str, held| (topic.to_owned(), held);
    hear(&mut hub, one, &control::subscribe("a:1"));
    hear(&mut hub, one, &control::subscribe("a:1"));
    hear(&mut hub, two, &control::subscribe("a:1"));
    assert_eq!(told(&mut hub), [change("a:1", true)]);
    hear(&mut hub, one, &control::unsubscribe("a:1"));
    hear(&mut hub, one, &control::subscribe("a:2"));
    hear(&mut hub, one, &control::subscribe("a:3"));
    assert_eq!(told(&mut hub), [change("a:2", true), change("a:3", true)]);
    // Whatever ends a subscription.
    hub.deny(one, "a:2", Action::Subscribe, DenyReason::NotAllowed);
    hub.finish(one, None, true);
    hub.disconnect(two);
    assert_eq!(told(&mut hub), [change("a:2", false), change("a:3", false), change("a:1", false)]);
    assert!(hub.topic_changes().is_none());
}

#[test]
fn a_hub_of_one_keeps_no_changes_that_nobody_takes() {
    let mut hub = hub();
    let link = connect(&mut hub);
    hear(&mut hub, link, &control::subscribe("a:1"));
    assert!(hub.topic_changes().is_none());
}

#[test]
fn over_the_total_of_all_shards_those_act_that_have_more_than_their_share() {
    let limits = HubLimits { max_outbound_total: 100, max_incoming_total: 100, ..HubLimits::DEFAULT };
    let mut hub = Hub::new(limits, FanOut::Subscribed, false).shard(0, 4);
    let link = connect(&mut hub);
    let mut acts = |own: usize, others: u64| {
        while hub.pop(link).is_some() {}
        hub.send(link, "x".repeat(own));
        hub.holds(link, own);
        hub.others_hold(Held { outbound: others, incoming: others });
        assert_eq!(hub.held(), Held { outbound: own as u64, incoming: own as u64 });
        let (outbound, incoming) = (hub.slowest_over_total(), hub.fullest_over_total());
        assert_eq!(outbound, incoming);
        assert_eq!(hub.take_overfull(), outbound.is_some());
        outbound
    };
    assert_eq!(acts(25, 75), None, "as much is allowed");
    assert_eq!(acts(25, 1000), None, "it is another's turn: this one has no more than its share");
    assert_eq!(acts(26, 74), None);
    assert_eq!(acts(26, 75), Some(link));
    assert_eq!(acts(101, 0), Some(link));
    assert_eq!(acts(100, 0), None, "where others have nothing, all is one's own");
}
