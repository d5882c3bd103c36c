//! What one message costs over a Unix socket or a channel, from one thread to another, or to a child process, with a link and without.
//!
//! `links [ROUNDS [MESSAGES [NAME]]]` (with a name, only the tables that have it in theirs): in each round every way has
//! its turn, and is compared in that very round with the one that it stands beside. The tables show medians of the rounds, with the quarters around them. A turn ends when the reader has
//! seen the last message; each is counted, and what is missing is a failure.

mod bare;
mod ours;
mod processes;
mod threads;

use std::time::{Duration, Instant};

/// What every way carries: the same envelopes.
fn envelope(payload: usize) -> String {
    let text = "x".repeat(payload);
    format!(r#"{{"type":"chat.message","id":"room-1","payload":{{"text":"{text}"}}}}"#)
}

/// As it crosses a byte stream.
fn frame(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

/// One way of doing it: so many messages to the other thread, or there and back one after the other; gives the time.
type Way = fn(text: &str, messages: usize) -> Duration;

struct Row {
    name: &'static str,
    way: Way,
    nanoseconds: Vec<f64>,
    /// Of all rounds together, as the kernel counts it in hundredths of a second only.
    cpu: Duration,
    messages: usize,
}

impl Row {
    fn cpu_of_one(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.messages as f64
    }
}

/// What this process and the children that it has seen end have had of the CPU.
fn cpu() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a system that counts");
    // The name in brackets may hold anything. Behind it, the 12th field and the three that follow.
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace().skip(11).take(4);
    fields.map(|ticks| TICK * ticks.parse::<u32>().expect("a number")).sum()
}

struct Table {
    name: &'static str,
    /// How many messages a turn has, as a part of what was asked for.
    part: usize,
    rows: Vec<Row>,
}

impl Table {
    fn new(name: &'static str, part: usize, ways: &[(&'static str, Way)]) -> Self {
        let row = |&(name, way): &(&'static str, Way)| Row {
            name,
            way,
            nanoseconds: Vec::new(),
            cpu: Duration::ZERO,
            messages: 0,
        };
        Self { name, part, rows: ways.iter().map(row).collect() }
    }

    fn round(&mut self, text: &str, messages: usize) {
        let messages = (messages / self.part).max(1);
        for row in &mut self.rows {
            let before = cpu();
            row.nanoseconds.push((row.way)(text, messages).as_nanos() as f64 / messages as f64);
            row.cpu += cpu() - before;
            row.messages += messages;
        }
    }

    /// The first row is what the others stand beside.
    fn print(&self, bytes: usize) {
        println!("\n{}, {bytes} bytes a message\n", self.name);
        println!(
            "| | ns a message | messages/s, beside the first | quarters | CPU ns a message | messages by CPU, beside the first |"
        );
        println!("| --- | --: | --: | --: | --: | --: |");
        let beside = &self.rows[0].nanoseconds;
        let cpu_beside = self.rows[0].cpu_of_one();
        for row in &self.rows {
            let ratios = beside.iter().zip(&row.nanoseconds).map(|(other, own)| other / own);
            let (low, ratio, high) = quartiles(ratios.collect());
            let (_, nanoseconds, _) = quartiles(row.nanoseconds.clone());
            let (name, cpu) = (row.name, row.cpu_of_one());
            let by_cpu = cpu_beside / cpu;
            println!(
                "| {name} | {nanoseconds:.0} | {ratio:.2} | {low:.2}-{high:.2} | {cpu:.0} | {by_cpu:.2} |"
            );
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
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|argument| argument == "--child").is_some() {
        let role = arguments.next().expect("a role");
        let messages = arguments.next().and_then(|number| number.parse().ok()).expect("a number");
        return processes::child(&role, messages);
    }
    let mut number = |default| arguments.next().map_or(default, |number| number.parse().expect("a number"));
    let (rounds, messages) = (number(9), number(200_000));
    let only = arguments.next().unwrap_or_default();
    for payload in [30, 128, 4096] {
        let text = envelope(payload);
        let messages = if payload > 1000 { messages / 8 } else { messages };
        let tables = [
            Table::new(
                "One way",
                1,
                &[
                    ("the bare socket, a write for each message", bare::each),
                    ("the bare socket, 64 KiB at a time (the floor)", bare::gathered),
                    ("tokio-util's `LengthDelimitedCodec`", bare::codec),
                    ("alkpubsub, link to link", ours::links),
                    ("alkpubsub, link to hub to link", ours::through_hub),
                ],
            ),
            Table::new(
                "There and back, one at a time",
                20,
                &[
                    ("the bare socket", bare::echo),
                    ("tokio-util's `LengthDelimitedCodec`", bare::codec_echo),
                    ("alkpubsub, link to link", ours::echo),
                ],
            ),
        ];
        let mut tables = Vec::from(tables);
        let ways: &[(_, Way)] = &[
            ("the bare pipe, a write for each message", processes::each),
            ("the bare pipe, 64 KiB at a time (the floor)", processes::gathered),
            ("alkpubsub, host to child", processes::to_child),
        ];
        tables.push(Table::new("To a child process, one way", 1, ways));
        let ways: &[(_, Way)] = &[
            ("the bare pipes", processes::bare_echo),
            ("the pipes on tokio, with tokio-util's codec", processes::codec_echo),
            ("alkpubsub", processes::echo),
        ];
        tables.push(Table::new("To a child process, there and back, one at a time", 20, ways));
        if payload == 128 {
            // A pointer crosses, whatever it points to.
            let ways: &[(_, Way)] = &[
                ("a bare `flume` channel of 4,096", threads::flume),
                ("a bare channel of the standard library's of 4,096", threads::std),
                ("alkpubsub, host to worker", threads::to_worker),
                ("alkpubsub, worker to host", threads::to_host),
            ];
            tables.push(Table::new("Between threads, one way", 1, ways));
            let ways: &[(_, Way)] =
                &[("two bare `flume` channels", threads::flume_echo), ("alkpubsub", threads::echo)];
            tables.push(Table::new("Between threads, there and back, one at a time", 20, ways));
        }
        tables.retain(|table| table.name.contains(&only));
        for round in 0..=rounds {
            tables.iter_mut().for_each(|table| table.round(&text, messages));
            if round == 0 {
                // It does not count: caches, and the allocator's first pages.
                for row in tables.iter_mut().flat_map(|table| &mut table.rows) {
                    (row.cpu, row.messages) = (Duration::ZERO, 0);
                    row.nanoseconds.clear();
                }
            }
        }
        tables.iter().for_each(|table| table.print(text.len()));
    }
}

/// Runs a reader on a thread of its own and a writer on this one; the time until both are done.
fn timed<R, W>(reader: impl FnOnce() -> R + Send + 'static, writer: impl FnOnce() -> W) -> Duration
where
    R: Send + 'static,
{
    let begun = Instant::now();
    let reading = std::thread::spawn(reader);
    drop(writer());
    drop(reading.join().expect("a reader"));
    begun.elapsed()
}

/// A runtime for one thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
