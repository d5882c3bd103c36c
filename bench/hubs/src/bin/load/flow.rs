//! Events that flow from publishers to those who hold their topics, as fast as a window allows or at a rate.

use crate::join::{self, Plan};
use crate::measure::{Phases, Results, micros};
use crate::net::{Net, SMALL_SOCKET};
use crate::{Common, Pace};
use alkpubsub_bench_hubs::message::{Heard, SHORTEST, Tag, Words};
use alkpubsub_bench_hubs::process;
use anyhow::{Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Who holds which topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hold {
    /// Every reader holds every topic.
    All,
    /// The first reader holds the first so many, the next one the next; nobody shares one.
    Own,
    /// Each holds so many of them, chosen at random.
    Some,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Flow {
    /// Topics
    #[arg(long, default_value_t = 1)]
    topics: u32,
    /// Connections that hold topics
    #[arg(long, default_value_t = 1000)]
    readers: usize,
    #[arg(long, value_enum, default_value_t = Hold::All)]
    hold: Hold,
    /// Topics for each reader
    #[arg(long, default_value_t = 1)]
    each: u32,
    /// Connections that publish and hold nothing, 256 at most; 0: the readers publish, each for its neighbour
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    #[command(flatten)]
    pace: Pace,
    /// Bytes of a payload
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// If given, payloads have between --bytes and so many bytes, short ones being as frequent in each octave as long ones
    #[arg(long)]
    bytes_to: Option<usize>,
    /// One reader in so many is slow
    #[arg(long)]
    slow_one_in: Option<usize>,
    /// Bytes that a slow reader takes in a second
    #[arg(long, default_value_t = 8192)]
    slow_rate: usize,
    /// Bytes that are sent to each slow reader before anything is measured, beyond what the kernel holds: so much
    /// waits in the hub
    #[arg(long, default_value_t = 256 << 10)]
    slow_backlog: usize,
}

/// A slow reader reads so often.
const SLOW_TICK: Duration = Duration::from_millis(50);
/// Messages that can be under way in a window, a power of two.
const RING: usize = 1 << 16;
/// One delivery in so many is compared as a whole.
const SAMPLE: u64 = 61;

/// What the readers are to have heard, and have.
#[derive(Debug)]
struct Ledger {
    publishers: usize,
    /// The topics of each reader, in order.
    held: Vec<Vec<u32>>,
    slow: Vec<bool>,
    /// The number of the last event, by reader, place of the topic and publisher.
    seen: Vec<Vec<u32>>,
    /// The same that was sent, by topic and publisher.
    sent: Vec<u32>,
    /// Readers of a topic that keep up.
    keepers: Vec<u32>,
    owed: u64,
    delivered: u64,
    heard: u64,
    disorder: u64,
    altered: u64,
    strange: u64,
    /// Readers that some message of a single topic has still to reach.
    left: Vec<u32>,
    under_way: usize,
}

impl Ledger {
    fn publish(&mut self, topic: u32, publisher: usize) -> u32 {
        let number = &mut self.sent[topic as usize * self.publishers + publisher];
        *number += 1;
        let keepers = self.keepers[topic as usize];
        self.owed += u64::from(keepers);
        if keepers > 0 {
            self.left[*number as usize % RING] = keepers;
            self.under_way += 1;
        }
        *number
    }

    /// Whether it is news for one who keeps up.
    fn hear(&mut self, words: &Words, reader: usize, tag: Tag, payload: &[u8]) -> bool {
        let place = self.held[reader].binary_search(&tag.topic);
        let publisher = usize::from(tag.publisher);
        let (Ok(place), true) = (place, publisher < self.publishers) else {
            self.strange += 1;
            return false;
        };
        self.heard += 1;
        if self.heard.is_multiple_of(SAMPLE) && !words.is_whole(tag, payload) {
            self.altered += 1;
        }
        let seen = &mut self.seen[reader][place * self.publishers + publisher];
        if tag.number <= *seen || tag.number > self.sent[tag.topic as usize * self.publishers + publisher] {
            self.disorder += 1;
            return false;
        }
        *seen = tag.number;
        if self.slow[reader] {
            return false;
        }
        self.delivered += 1;
        let left = match self.keepers[tag.topic as usize] {
            1 => 0,
            _ => {
                let left = &mut self.left[tag.number as usize % RING];
                *left = left.saturating_sub(1);
                *left
            }
        };
        if left == 0 {
            self.under_way = self.under_way.saturating_sub(1);
        }
        true
    }
}

impl Flow {
    fn hold(&self, reader: usize) -> Vec<u32> {
        let reader = u32::try_from(reader).unwrap_or(u32::MAX);
        match self.hold {
            Hold::All => (0..self.topics).collect(),
            Hold::Own => {
                (0..self.topics).skip((reader * self.each) as usize).take(self.each as usize).collect()
            }
            Hold::Some => {
                let mut held = fastrand::choose_multiple(0..self.topics, self.each as usize);
                held.sort_unstable();
                held
            }
        }
    }

    fn size(&self) -> usize {
        match self.bytes_to {
            None => self.bytes,
            Some(to) => {
                let octaves = (to as f64 / self.bytes as f64).log2();
                ((self.bytes as f64 * (fastrand::f64() * octaves).exp2()) as usize).clamp(self.bytes, to)
            }
        }
    }

    pub(crate) fn run(&self, common: &Common, results: &mut Results) -> Result<()> {
        ensure!(self.bytes >= SHORTEST, "a payload has {SHORTEST} bytes at least");
        ensure!(self.publishers <= 256, "256 publishers at most");
        ensure!(
            self.pace.window.is_none()
                || (self.publishers == 1 && (self.topics == 1 || self.hold == Hold::Own)),
            "a window is for one publisher, and for one topic or such that nobody shares"
        );
        let mut net = common.net()?;
        let is_slow = |reader: usize| self.slow_one_in.is_some_and(|one_in| reader.is_multiple_of(one_in));
        // What the slow are sent ahead comes on a topic that they alone hold.
        let backlog_topic = self.topics;
        let plans: Vec<Plan> = (0..self.readers)
            .map(|reader| {
                let small = is_slow(reader);
                let mut topics = self.hold(reader);
                topics.extend(small.then_some(backlog_topic));
                Plan { topics, small }
            })
            .collect();
        join::join(&mut net, &vec![Plan::default(); self.publishers])?;
        let first = self.publishers;
        join::join(&mut net, &plans)?;
        let held: Vec<Vec<u32>> = plans.into_iter().map(|plan| plan.topics).collect();
        let slow: Vec<bool> = (0..self.readers).map(is_slow).collect();
        let publishers = self.publishers.max(1);
        let mut keepers = vec![0; self.topics as usize + 1];
        for topic in held.iter().zip(&slow).filter(|(_, slow)| !**slow).flat_map(|(held, _)| held) {
            keepers[*topic as usize] += 1;
        }
        let mut ledger = Ledger {
            publishers,
            seen: held.iter().map(|held| vec![0; held.len() * publishers]).collect(),
            sent: vec![0; (self.topics as usize + 1) * publishers],
            held,
            keepers,
            owed: 0,
            delivered: 0,
            heard: 0,
            disorder: 0,
            altered: 0,
            strange: 0,
            left: vec![0; RING],
            under_way: 0,
            slow,
        };
        for reader in (0..self.readers).filter(|reader| is_slow(*reader)) {
            net.slow_down(first + reader);
        }
        if self.slow_one_in.is_some() {
            self.fill(&mut net, &mut ledger, backlog_topic)?;
        }
        net.spin = !common.sleep;
        self.measure(common, &mut net, ledger, results)
    }

    /// Sends the slow as much as their sockets hold, and a little more.
    fn fill(&self, net: &mut Net, ledger: &mut Ledger, topic: u32) -> Result<()> {
        let size = 16 << 10;
        let backlog = kernel_holds()? + self.slow_backlog;
        for _ in 0..backlog / size {
            let number = ledger.publish(topic, 0);
            net.say(0, |words, out| words.publish(Tag { topic, publisher: 0, number, due: 0 }, size, out));
            net.flush(0);
            // At the hub's pace: this is no test of what it does with a publisher who is faster.
            join::settle(net, Duration::from_millis(2))?;
        }
        join::settle(net, Duration::from_millis(300))
    }

    fn measure(
        &self,
        common: &Common,
        net: &mut Net,
        mut ledger: Ledger,
        results: &mut Results,
    ) -> Result<()> {
        let hub = common.hub();
        let words = common.words();
        let mut phases = Phases::new(common.warm_up, common.seconds);
        let gap = self.pace.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let (mut plan, mut next_slow) = (Duration::ZERO, Duration::ZERO);
        let (mut times, mut late) = (vec![], vec![]);
        let mut progress = Instant::now();
        let first = self.publishers;
        let (mut lost, mut why) = (0_u64, None);
        loop {
            let publishing = phases.tick(hub.as_ref(), net, ledger.delivered)?;
            let now = phases.now();
            let through = ledger.delivered >= ledger.owed;
            if through {
                progress = Instant::now();
            }
            if (!publishing && through) || progress.elapsed() > Duration::from_secs(3) || lost > 0 {
                break;
            }
            while publishing
                && match (self.pace.window, gap) {
                    (Some(window), _) => ledger.under_way < window,
                    (None, Some(_)) => plan <= now && plan < phases.to,
                    (None, None) => bail!("--window or --rate"),
                }
            {
                let due = if gap.is_some() { plan } else { phases.now() };
                plan += gap.unwrap_or_default();
                let topic = if self.topics == 1 { 0 } else { fastrand::u32(..self.topics) };
                let (from, publisher) = match self.publishers {
                    0 => ((self.reader_of(topic) + 1) % self.readers, 0),
                    1 => (0, 0),
                    many => {
                        let publisher = fastrand::usize(..many);
                        (publisher, publisher)
                    }
                };
                let number = ledger.publish(topic, publisher);
                let tag = Tag { topic, publisher: publisher as u8, number, due: due.as_micros() as u64 };
                let size = self.size();
                net.say(from, |words, out| words.publish(tag, size, out));
                // A window's messages leave together; otherwise each leaves when it is due.
                if gap.is_some() {
                    net.flush(from);
                    if phases.counts(due) {
                        late.push(micros(phases.now().saturating_sub(due)));
                    }
                }
            }
            if gap.is_none() {
                net.flush(0);
            }
            let wait = match gap {
                Some(_) if publishing && !common.sleep => plan.saturating_sub(now + Duration::from_millis(1)),
                Some(_) if publishing => plan.saturating_sub(now),
                _ => Duration::from_millis(20),
            };
            let before = ledger.delivered;
            let mut hear = |at: usize, now: Instant, heard: Heard<'_>| match heard {
                Heard::Event(tag, payload) => {
                    let due = Duration::from_micros(tag.due);
                    if ledger.hear(&words, at - first, tag, payload) && gap.is_some() && phases.counts(due) {
                        times.push(micros(phases.at(now).saturating_sub(due)));
                    }
                }
                Heard::Other | Heard::Asks => {}
                Heard::Subscribed | Heard::Wrong(_) => ledger.strange += 1,
            };
            net.turn(wait.min(Duration::from_millis(20)), &mut hear)?;
            if let Some(one_in) = self.slow_one_in
                && now >= next_slow
            {
                next_slow = now + SLOW_TICK;
                for at in (first..first + self.readers).step_by(one_in) {
                    let bytes = (self.slow_rate as f64 * SLOW_TICK.as_secs_f64()) as usize;
                    net.read_slowly(at, bytes, &mut hear);
                }
            }
            for (at, reason) in net.lost.drain(..) {
                if !at.checked_sub(first).is_some_and(|reader| ledger.slow[reader]) {
                    lost += 1;
                    why.get_or_insert(reason);
                }
            }
            if ledger.delivered > before {
                progress = Instant::now();
            }
        }
        let incomplete = phases.report(results);
        if gap.is_some() {
            results.times(times, "");
            late.sort_unstable();
            results.add("late_p99_us", crate::measure::percentile(&late, 0.99));
        }
        if self.slow_one_in.is_some() {
            // Those whose end is still behind what the kernel holds for them among them.
            let open = process::open_connections(common.address[0].port())?;
            results.add("slow_closed", (first + self.readers).saturating_sub(open + lost as usize) as f64);
        }
        if let Some(process) = &hub {
            results.add("memory_mib", process.memory()? as f64 / 1024.0);
        }
        results.complain(ledger.owed.saturating_sub(ledger.delivered), "missing");
        results.complain(ledger.disorder, "out of order or twice");
        results.complain(ledger.altered, &format!("altered (of one in {SAMPLE} compared)"));
        results.complain(ledger.strange, "never asked for");
        results.complain(lost, &format!("lost: {}", why.unwrap_or_default()));
        if lost == 0 && ledger.delivered >= ledger.owed {
            incomplete?;
        }
        Ok(())
    }

    /// Who holds a topic that nobody shares.
    fn reader_of(&self, topic: u32) -> usize {
        (topic / self.each) as usize
    }
}

/// How much a connection takes whose far end reads nothing.
fn kernel_holds() -> Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    far.set_recv_buffer_size(SMALL_SOCKET)?;
    far.connect(&listener.local_addr()?.into())?;
    let (mut near, _) = listener.accept()?;
    near.set_nonblocking(true)?;
    let mut held = 0;
    loop {
        match near.write(&[0; 16 << 10]) {
            Ok(count) => held += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(held),
            Err(error) => return Err(error.into()),
        }
    }
}
