//! Shards without sockets: what is published on one is heard on the others.

use super::*;
use crate::protocol::hub::LinkId;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const NOW: Duration = Duration::ZERO;

/// One shard as an engine would run it, round by round; the sockets are the test's.
struct Shard {
    hub: Hub<String>,
    crossing: Crossing<String>,
    taken: Vec<Crossed<String>>,
}

impl Shard {
    fn new(all: &Arc<Crossings<String>>, shard: u8) -> Self {
        let shards = all.seats.len() as u8;
        let hub = Hub::new(HubLimits::DEFAULT, all.fan_out, false).shard(shard, shards);
        Self { hub, crossing: all.crossing(shard), taken: Vec::new() }
    }

    fn connect(&mut self) -> LinkId {
        self.hub.connect(None, NOW).unwrap()
    }

    /// As a relaying hub does with an event of one of its links.
    fn publish(&mut self, topic: &str, text: &str) {
        match self.crossing.publish(topic, || text.to_owned()) {
            Some(message) => self.hub.fan_out(topic, || message),
            None => self.hub.fan_out(topic, || text.to_owned()),
        };
    }

    fn take(&mut self) {
        self.crossing.take(&mut self.taken);
        for Crossed { topic, message } in self.taken.drain(..) {
            self.hub.fan_out(&topic, || message);
        }
    }

    fn tell_topics(&mut self) {
        let changes = self.hub.topic_changes().map(std::mem::take).unwrap_or_default();
        self.crossing.tell_topics(&self.hub, &changes);
    }

    /// All that waits for a link. What an engine has to do first, it does.
    fn sent(&mut self, link: LinkId) -> Vec<String> {
        self.tell_topics();
        self.crossing.flush();
        std::iter::from_fn(|| self.hub.pop(link)).collect()
    }

    fn subscribe(&mut self, link: LinkId, topic: &str) {
        self.hub.subscribe(link, topic);
        self.sent(link);
    }
}

fn crossings(shards: usize, fan_out: FanOut) -> Arc<Crossings<String>> {
    let ready = (0..shards).map(|_| Arc::default()).collect();
    Arc::new(Crossings::new(ready, fan_out, &HubLimits::DEFAULT))
}

#[test]
fn an_event_crosses_once_to_each_shard_that_wants_it_and_to_no_other() {
    let all = crossings(4, FanOut::Subscribed);
    let mut shards = [0, 1, 2, 3].map(|shard| Shard::new(&all, shard));
    for shard in &mut shards[..3] {
        for _ in 0..2 {
            let link = shard.connect();
            shard.subscribe(link, "a:1");
        }
    }
    shards[3].connect();
    shards[0].publish("a:1", "event");
    shards[0].publish("a:2", "nobody wants it");
    shards[0].crossing.flush();
    let waiting = shards.each_ref().map(|shard| {
        let mut taken = vec![];
        shard.crossing.take(&mut taken);
        taken.len()
    });
    assert_eq!(waiting, [0, 1, 1, 0]);
    assert_eq!(shards[0].hub.held().outbound, 2 * 5, "its own links have it without that");
    // Who leaves is forgotten, wherever it was.
    for shard in &mut shards {
        shard.hub.links().collect::<Vec<_>>().into_iter().for_each(|link| {
            shard.hub.disconnect(link);
        });
        shard.tell_topics();
    }
    assert_eq!((all.topics(), all.wanted("a:1", None)), (0, None));
}

#[test]
fn to_all_is_to_the_shards_that_have_links() {
    let all = crossings(3, FanOut::All);
    assert_eq!(all.wanted("a:1", None), None);
    assert_eq!([all.place(), all.place(), all.place(), all.place()], [2, 1, 0, 2], "the fewest, in turn");
    all.left(1);
    let wanted = |but| all.wanted("a:1", but).map(|(_, shards)| shards.iter().collect::<Vec<_>>());
    assert_eq!((wanted(None), wanted(Some(0))), (Some(vec![0, 2]), Some(vec![2])));
    assert_eq!(all.place(), 1);
}

#[test]
fn a_full_inbox_holds_its_senders_up_and_loses_nothing() {
    let all = crossings(2, FanOut::Subscribed);
    let [mut one, mut two] = [0, 1].map(|shard| Shard::new(&all, shard));
    let link = two.connect();
    two.subscribe(link, "a:1");
    let mut published = 0;
    while !one.crossing.is_held_up() {
        one.publish("a:1", &published.to_string());
        published += 1;
    }
    assert!((INBOX.messages..INBOX.messages + BATCH.messages).contains(&published), "{published}");
    // It may have been in the middle of a read.
    one.publish("a:1", &published.to_string());
    one.crossing.look_for_room();
    assert!(one.crossing.is_held_up());
    two.take();
    one.crossing.look_for_room();
    assert!(!one.crossing.is_held_up());
    one.crossing.flush();
    two.take();
    let expected: Vec<_> = (0..=published).map(|number| number.to_string()).collect();
    assert_eq!(two.sent(link), expected);
}

#[test]
fn the_bytes_of_an_inbox_are_bounded_too() {
    let all = crossings(2, FanOut::Subscribed);
    let [mut one, mut two] = [0, 1].map(|shard| Shard::new(&all, shard));
    let link = two.connect();
    two.subscribe(link, "a:1");
    let large = "x".repeat(INBOX.bytes / 4);
    let published = (1..).find(|_| {
        one.publish("a:1", &large);
        one.crossing.is_held_up()
    });
    assert_eq!(published, Some(4));
}

#[test]
fn over_a_total_of_all_the_shard_with_most_is_woken_and_acts() {
    let mut limits = HubLimits::DEFAULT;
    limits.max_outbound_total = 100;
    let ready: Vec<Arc<ReadyList>> = vec![Arc::default(), Arc::default()];
    let all = Arc::new(Crossings::<String>::new(ready.clone(), FanOut::Subscribed, &limits));
    let [mut one, mut two] = [0, 1].map(|shard| {
        let mut shard = Shard::new(&all, shard);
        shard.hub = Hub::new(limits, FanOut::Subscribed, false).shard(shard.crossing.shard, 2);
        shard
    });
    let (idle, busy) = (one.connect(), two.connect());
    one.hub.send(idle, "x".repeat(90));
    one.crossing.share_totals(&mut one.hub);
    assert_eq!(one.hub.slowest_over_total(), None);
    let (woken, waker) = woken();
    ready[0].register(&waker);
    two.hub.send(busy, "x".repeat(20));
    two.crossing.share_totals(&mut two.hub);
    assert_eq!(two.hub.slowest_over_total(), None, "it has no more than its share");
    assert_eq!(woken.try_iter().count(), 1);
    one.crossing.share_totals(&mut one.hub);
    assert_eq!(one.hub.slowest_over_total(), Some(idle));
    one.hub.disconnect(idle);
    one.crossing.share_totals(&mut one.hub);
    assert_eq!(one.hub.slowest_over_total(), None);
    drop(two);
    one.crossing.share_totals(&mut one.hub);
    assert_eq!(all.totals.say(&mut Held::default(), Held::default()).0, Held::default());
}

struct Told(mpsc::Sender<()>);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

fn woken() -> (mpsc::Receiver<()>, Waker) {
    let (sender, receiver) = mpsc::channel();
    (receiver, Arc::new(Told(sender)).into())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

const SHARDS: usize = 3;
const TOPICS: usize = 4;
const EVENTS: u64 = 3_000;
const DEADLINE: Duration = Duration::from_secs(30);

/// The number of the next event of each shard on each topic. Written before the event is published.
type Next = [[AtomicU64; TOPICS]; SHARDS];

/// What a link is owed since it was told that it is subscribed.
#[derive(Clone, Copy, Default)]
struct Owed {
    /// The number, by shard, that the first event may have at the most.
    at_most: [u64; SHARDS],
    /// The number that has to come next.
    next: [Option<u64>; SHARDS],
}

/// A spoke that keeps the ledger of one topic.
struct Spoke {
    link: LinkId,
    topic: usize,
    owed: Option<Owed>,
}

impl Spoke {
    fn hear(&mut self, text: &str, next: &Next) {
        let event = text
            .split_once('.')
            .and_then(|(from, number)| Some((from.parse::<usize>().ok()?, number.parse::<u64>().ok()?)));
        let Some((from, number)) = event else {
            // The answer. From here on nothing is missed; what came over from the time before may still come.
            assert!(text.contains("__subscribed"), "{text}");
            let at_most = std::array::from_fn(|shard| next[shard][self.topic].load(SeqCst));
            self.owed = Some(Owed { at_most, ..Owed::default() });
            return;
        };
        let Owed { at_most, next } = self.owed.as_mut().expect("events come behind the answer");
        // Of the time before the answer some may come, in order; from the answer on all.
        match next[from].unwrap_or(0) {
            expected if expected < at_most[from] => assert!(
                (expected..=at_most[from]).contains(&number),
                "missed: {number} of {from}, after {expected}, from {}",
                at_most[from]
            ),
            expected if next[from].is_none() => assert_eq!((expected, number), (0, 0), "of shard {from}"),
            expected => assert_eq!(number, expected, "of shard {from}"),
        }
        next[from] = Some(number + 1);
    }

    fn settle(&self, all: &Next) {
        let Some(Owed { at_most, next }) = self.owed else { return };
        for (from, published) in all.iter().enumerate() {
            let published = published[self.topic].load(SeqCst);
            assert_eq!(next[from].unwrap_or(0).max(at_most[from]), published, "missed: the last of {from}");
        }
    }
}

/// Three shards on three threads, which fill each other's inboxes all the time: whoever is subscribed hears each
/// event once, in the order of its publisher, from its answer on.
#[test]
fn on_threads_nothing_is_missed_doubled_or_out_of_order() {
    let ready: Vec<_> = (0..SHARDS).map(|_| Arc::default()).collect();
    let bounds = Bounds { messages: 5, bytes: 1 << 20 };
    let all = Arc::new(Crossings::with_inboxes(ready, FanOut::Subscribed, &HubLimits::DEFAULT, bounds));
    let (next, done) = (Arc::new(Next::default()), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..SHARDS)
        .map(|shard| {
            let (all, next, done) = (all.clone(), next.clone(), done.clone());
            thread::spawn(move || live(shard, &all, &next, &done))
        })
        .collect();
    let held_up: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(held_up.iter().any(|times| *times > 0), "nobody was held up");
    assert_eq!(all.topics(), 0);
}

/// Gives how often it was held up.
fn live(number: usize, all: &Arc<Crossings<String>>, next: &Next, done: &AtomicUsize) -> usize {
    let mut shard = Shard::new(all, number as u8);
    let mut spokes: Vec<Spoke> = (0..2 * TOPICS)
        .map(|spoke| Spoke { link: shard.connect(), topic: spoke % TOPICS, owed: None })
        .collect();
    let (mut left, mut finished, mut times_held_up) = (EVENTS, false, 0);
    let mut random = 0x2545_f491_4f6c_dd1d_u64 + number as u64;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + DEADLINE;
    loop {
        all.seats[number].ready.register(&waker);
        let last = done.load(SeqCst) == SHARDS;
        shard.crossing.look_for_room();
        shard.take();
        while left > 0 && !shard.crossing.is_held_up() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let spoke = &mut spokes[(random >> 8) as usize % (2 * TOPICS)];
            let topic = format!("t:{}", spoke.topic);
            match (random % 16, spoke.owed) {
                (0, Some(_)) => {
                    // What is queued is of the time before.
                    shard.sent(spoke.link).iter().for_each(|text| spoke.hear(text, next));
                    shard.hub.disconnect(spoke.link);
                    *spoke = Spoke { link: shard.connect(), topic: spoke.topic, owed: None };
                }
                (0..2, None) => {
                    shard.hub.subscribe(spoke.link, &topic);
                    shard.sent(spoke.link).iter().for_each(|text| spoke.hear(text, next));
                }
                _ => {
                    let event = next[number][spoke.topic].fetch_add(1, SeqCst);
                    shard.publish(&topic, &format!("{number}.{event}"));
                    left -= 1;
                }
            }
        }
        times_held_up += usize::from(shard.crossing.is_held_up());
        for spoke in &mut spokes {
            shard.sent(spoke.link).iter().for_each(|text| spoke.hear(text, next));
        }
        if last {
            break;
        }
        if left == 0 && !finished && !shard.crossing.is_held_up() {
            finished = true;
            done.fetch_add(1, SeqCst);
            all.wake((0..SHARDS as u8).collect());
        }
        if finished || shard.crossing.is_held_up() {
            thread::park_timeout(DEADLINE);
        }
        assert!(Instant::now() < deadline, "a wake-up was lost");
    }
    spokes.iter().for_each(|spoke| spoke.settle(next));
    for spoke in spokes {
        shard.hub.disconnect(spoke.link);
    }
    shard.tell_topics();
    times_held_up
}
