//! What one event costs within a process: with 1, 10 and 100 subscribers of its topic, among 1,000 topics.
//!
//! `in_process [ROUNDS [NAME]]`: in each round every way of doing it has its turn, for a few milliseconds, and is compared
//! with the one that it stands beside in that very round. The table shows medians of the rounds. With a name, only the
//! ways that have it in theirs.

mod callbacks;
mod node;
mod streams;

use std::time::{Duration, Instant};

/// How long a turn takes.
const TURN: Duration = Duration::from_millis(20);
const TOPICS: usize = 1000;
/// The topic that is measured.
const MEASURED: usize = 500;
const TYPE: &str = "chat.message";
const PAYLOAD: &str = r#"{"text":"hello","from":"me"}"#;

fn id(topic: usize) -> String {
    format!("room-{topic}")
}

fn subscribers_of(topic: usize, measured: usize) -> usize {
    if topic == MEASURED { measured } else { 1 }
}

/// One way of doing it: gives the nanoseconds of one event, over a turn.
trait Way {
    fn turn(&mut self) -> f64;
}

/// Runs events, a number at a time, until the turn is over.
fn timed(mut events: impl FnMut(u64)) -> f64 {
    const EVENTS: u64 = 1024;
    let begun = Instant::now();
    let mut done = 0;
    while begun.elapsed() < TURN {
        events(EVENTS);
        done += EVENTS;
    }
    begun.elapsed().as_nanos() as f64 / done as f64
}

struct Row {
    name: String,
    way: Box<dyn Way>,
    nanoseconds: Vec<f64>,
}

/// Ways that are compared with the first of them.
struct Group {
    subscribers: usize,
    rows: Vec<Row>,
}

impl Group {
    fn new(subscribers: usize) -> Self {
        Self { subscribers, rows: Vec::new() }
    }

    fn row(mut self, name: &str, way: impl Way + 'static) -> Self {
        self.rows.push(Row { name: name.into(), way: Box::new(way), nanoseconds: Vec::new() });
        self
    }

    fn round(&mut self) {
        for row in &mut self.rows {
            row.nanoseconds.push(row.way.turn());
        }
    }

    fn print(&self) {
        let beside = &self.rows[0].nanoseconds;
        for row in &self.rows {
            let ratios = row.nanoseconds.iter().zip(beside).map(|(own, other)| own / other);
            let (low, ratio, high) = quartiles(ratios.collect());
            let (_, nanoseconds, _) = quartiles(row.nanoseconds.clone());
            let subscribers = self.subscribers;
            println!("| {} | {subscribers} | {nanoseconds:.1} | {ratio:.2} | {low:.2}-{high:.2} |", row.name);
        }
    }
}

/// The median, and the quarters around it.
fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(15, |rounds| rounds.parse().expect("the number of rounds"));
    let only = arguments.next().unwrap_or_default();
    let mut node = node::Node::start();
    if node.is_none() {
        eprintln!("node is not here: without EventTarget");
    }
    let mut groups = Vec::new();
    for subscribers in [1, 10, 100] {
        let mut group = Group::new(subscribers)
            .row("callbacks in a map under a lock", callbacks::BareMap::new(subscribers))
            .row("alkpubsub, `add_event_listener`", callbacks::Target::new(subscribers, false))
            .row("the same, the event given away", callbacks::Target::new(subscribers, true))
            .row("the same, a typed value published", callbacks::Typed::new(subscribers));
        if let Some(node) = &mut node {
            group = group.row("Node's `EventTarget`", node.with(subscribers));
        }
        groups.push(group);
    }
    for subscribers in [1, 10, 100] {
        groups.push(
            Group::new(subscribers)
                .row("`tokio::sync::broadcast`, `try_recv` by all", streams::try_broadcast(subscribers))
                .row("alkpubsub, `try_next` by all subscriptions", streams::try_subscriptions(subscribers)),
        );
    }
    for at_a_time in [1, 32] {
        for subscribers in [1, 10, 100] {
            let name = |what: &str| format!("{what}, {at_a_time} at a time");
            groups.push(
                Group::new(subscribers)
                    .row(&name("`tokio::sync::broadcast`, tasks"), streams::broadcast(subscribers, at_a_time))
                    .row(
                        &name("alkpubsub, subscriptions, tasks"),
                        streams::subscriptions(subscribers, at_a_time),
                    ),
            );
        }
    }
    groups.iter_mut().for_each(|group| group.rows.retain(|row| row.name.contains(&only)));
    groups.retain(|group| !group.rows.is_empty());
    // One round that does not count: caches, branches, Node's compiler.
    for round in 0..=rounds {
        groups.iter_mut().for_each(Group::round);
        if round == 0 {
            groups.iter_mut().flat_map(|group| &mut group.rows).for_each(|row| row.nanoseconds.clear());
        }
    }
    println!("| one event to one of {TOPICS} topics | subscribers | ns | ratio | middle half of {rounds} |");
    println!("| --- | --: | --: | --: | --- |");
    groups.iter().for_each(Group::print);
}
