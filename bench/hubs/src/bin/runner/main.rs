//! Measures hubs beside each other: one at a time, on a core of its own, in turns, on a machine that is quiet.

mod hubs;
mod report;
mod works;

use alkpubsub_bench_hubs::process;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use hubs::Hub;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use works::{WORKS, Work};

/// Measures hubs beside each other and prints tables in Markdown.
#[derive(Debug, clap::Parser)]
#[command(name = "bench/run")]
struct Cli {
    /// Only these hubs: floor, alkpubsub, three (of ours behind a redis-server), bun, node, nats, or names given with --hub
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these workloads; the beginning of a name stands for all that begin so
    #[arg(long = "do", value_delimiter = ',')]
    todo: Vec<String>,
    /// How often each hub does each of them
    #[arg(long, default_value_t = 7)]
    runs: u32,
    /// How long each is measured, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long it runs before that
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// One more hub, which speaks as ours does: NAME=COMMAND, with {port} in it; may be repeated
    #[arg(long, value_name = "NAME=COMMAND")]
    hub: Vec<String>,
    /// Our program, instead of building it
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// The core of the hub
    #[arg(long, default_value_t = 0)]
    hub_core: u32,
    /// The core of the load generator
    #[arg(long, default_value_t = 1)]
    load_core: u32,
    /// How many seconds to wait for a quiet machine, before each run
    #[arg(long, default_value_t = 60.0)]
    patience: f64,
    /// What chance decides: topics, sizes. Each run adds its number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sizes that take a moment: to see that all works, not how fast
    #[arg(long)]
    small: bool,
    /// Cargo's profile for our program
    #[arg(long, default_value = "release", hide = true)]
    profile: String,
    #[command(subcommand)]
    command: Option<Other>,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// List the workloads
    List,
    /// Print the tables of earlier runs again
    Report {
        /// Files in bench/results
        files: Vec<PathBuf>,
    },
    /// See that the load generator notices a hub that does wrong, and that floor and alkpubsub do right in all
    /// workloads: small sizes, a moment each, no waiting, and no table
    Check,
}

/// More of a CPU than this used by others, and a run is repeated.
const DISTURBED_PCT: f64 = 15.0;
/// How often.
const TRIES: u32 = 3;

struct Bench<'a> {
    cli: &'a Cli,
    programs: PathBuf,
    logs: PathBuf,
}

impl Bench<'_> {
    /// Waits until the machine has little to do, or patience is over.
    fn wait_for_quiet(&self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.get() as f64;
        let started = Instant::now();
        while started.elapsed().as_secs_f64() < self.cli.patience {
            let (before, at) = (process::machine_cpu()?, Instant::now());
            std::thread::sleep(Duration::from_millis(400));
            let busy = (process::machine_cpu()?.saturating_sub(before)).as_secs_f64();
            if busy / at.elapsed().as_secs_f64() / cores < 0.05 {
                break;
            }
        }
        Ok(())
    }

    /// One run of one hub: what the load generator says, or why there is nothing.
    fn once(&self, work: &Work, hub: &Hub, run: u32) -> Result<Value> {
        let (hub_cores, load_cores) = if work.variants.is_empty() {
            (self.cli.hub_core.to_string(), self.cli.load_core.to_string())
        } else {
            let all = format!("0-{}", std::thread::available_parallelism()?.get() - 1);
            (all.clone(), all)
        };
        let running = hub.start(&hub_cores, &self.logs, self.cli.patience > 0.0)?;
        let mut load = hubs::pinned(&load_cores);
        load.arg(self.programs.join("load"))
            .args(work.load.split_whitespace())
            .args(["--address", &running.addresses(), "--pid", &running.pid().to_string()])
            .args(["--seconds", &self.cli.seconds.to_string(), "--warm-up", &self.cli.warm_up.to_string()])
            .args(["--seed", &(self.cli.seed + u64::from(run)).to_string()])
            .stdin(Stdio::null());
        if self.cli.small {
            load.args(work.small.split_whitespace());
        }
        if hub.nats {
            load.arg("--nats");
        }
        let output = load.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        match serde_json::from_str(text.trim()) {
            Ok(result) => Ok(result),
            Err(_) => bail!("{}{}", String::from_utf8_lossy(&output.stderr).trim(), running.last_words()),
        }
    }

    /// The same, repeated while others disturb it; the quietest counts.
    fn quietest(&self, work: &Work, hub: &Hub, run: u32) -> Result<Value> {
        let mut best: Option<(f64, Value)> = None;
        for _ in 0..TRIES {
            self.wait_for_quiet()?;
            let result =
                self.once(work, hub, run).unwrap_or_else(|error| json!({ "wrong": [format!("{error:#}")] }));
            let others = result["others_cpu_pct"].as_f64().unwrap_or(0.0);
            if best.as_ref().is_none_or(|(least, _)| others < *least) {
                best = Some((others, result));
            }
            if self.cli.patience == 0.0 || best.as_ref().is_some_and(|(least, _)| *least <= DISTURBED_PCT) {
                break;
            }
        }
        Ok(best.context("no run")?.1)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench/run: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(mut cli: Cli) -> Result<bool> {
    match &cli.command {
        Some(Other::List) => {
            WORKS.iter().for_each(|work| println!("{:18} {}", work.name, work.title));
            return Ok(true);
        }
        Some(Other::Report { files }) => {
            let mut text = String::new();
            for file in files {
                text.push_str(&fs::read_to_string(file).with_context(|| file.display().to_string())?);
            }
            print!("{}", report::report(&text)?);
            return Ok(true);
        }
        Some(Other::Check) => {
            (cli.small, cli.runs, cli.seconds, cli.warm_up, cli.patience) = (true, 1, 0.2, 0.1, 0.0);
            if cli.only.is_empty() {
                cli.only = ["floor", "alkpubsub", "three"].map(str::to_owned).to_vec();
            }
        }
        None => {}
    }
    let (cli, checks) = (&cli, matches!(cli.command, Some(Other::Check)));
    process::raise_open_files()?;
    let here = std::env::current_exe()?;
    let bench_directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no bench directory")?.to_owned();
    let results = bench_directory.join("results");
    let logs = results.join("logs");
    fs::create_dir_all(&logs)?;
    let bench = Bench { cli, programs: here.parent().context("no directory")?.to_owned(), logs };
    if checks {
        notices_wrong(&bench)?;
    }
    let hubs = choose_hubs(&bench, &bench_directory)?;
    let works = choose_works(&cli.todo)?;

    let stamp = hubs::first_line("date", &["-u", "+%Y-%m-%dT%H-%M-%SZ"]).context("date")?;
    let path = results.join(format!("{stamp}.jsonl"));
    let mut file = File::create(&path)?;
    writeln!(file, "{}", about(cli, &hubs, &stamp))?;
    let (mut fine, count) = (true, works.len());
    for work in works {
        let here: Vec<Hub> = if work.variants.is_empty() {
            hubs.clone()
        } else {
            let ours = hubs.iter().filter(|hub| hub.ours && knows(hub, work.variants[0]));
            let known = ours.flat_map(|hub| work.variants.iter().map(|options| hub.with(options)));
            known
                .chain(
                    hubs.iter()
                        .filter(|hub| cli.hub.iter().any(|given| given.starts_with(&hub.name)))
                        .cloned(),
                )
                .collect()
        };
        for run in 1..=cli.runs {
            for hub in &here {
                let turn = format!("{}, run {run} of {}, {}", work.name, cli.runs, hub.name);
                if !checks {
                    eprintln!("{turn}");
                }
                let result = bench.quietest(work, hub, run)?;
                for wrong in result["wrong"].as_array().into_iter().flatten() {
                    fine = false;
                    eprintln!("{turn}: {}", wrong.as_str().unwrap_or_default());
                }
                writeln!(
                    file,
                    "{}",
                    json!({ "work": work.name, "hub": hub.name, "run": run, "result": result })
                )?;
            }
        }
    }
    let report = report::report(&fs::read_to_string(&path)?)?;
    if checks {
        fs::remove_file(&path)?;
        eprintln!(
            "workloads that were tried: {count}; {}",
            if fine { "nothing was lost" } else { "see above" }
        );
    } else {
        println!("{report}");
        eprintln!("again: bench/run report {}", path.display());
    }
    Ok(fine)
}

/// Whether a program of ours has the option, whose name is the first word.
fn knows(hub: &Hub, option: &str) -> bool {
    let name = option.split(' ').next().unwrap_or("");
    let program = hub.command.split(" --").next().unwrap_or("");
    let help = std::process::Command::new("sh").args(["-c", &format!("{program} --help")]).output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(name))
}

fn choose_hubs(bench: &Bench<'_>, directory: &Path) -> Result<Vec<Hub>> {
    let cli = bench.cli;
    let given = cli.hub.iter().map(|text| Hub::given(text)).collect::<Result<Vec<_>>>()?;
    let wanted = |name: &str| cli.only.is_empty() || cli.only.iter().any(|only| only == name);
    let root = directory.parent().context("no checkout")?;
    let mut hubs = vec![];
    if wanted("floor") {
        hubs.push(hubs::floor(&bench.programs));
    }
    // Of many, the one that nobody asks for beside the others: it costs three times as much, and is another thing.
    let three = cli.only.iter().any(|only| only == "three");
    if wanted("alkpubsub") || three {
        let ours = hubs::ours(root, &cli.profile, cli.program.as_deref())?;
        hubs.extend(wanted("alkpubsub").then(|| ours.clone()));
        if three {
            hubs.push(hubs::three(&bench.programs, &ours)?);
        }
    }
    hubs.extend(given.into_iter().filter(|hub| wanted(&hub.name)));
    hubs.extend(hubs::peers(directory, wanted));
    for only in &cli.only {
        ensure!(hubs.iter().any(|hub| hub.name == *only), "--only {only}: there is no such hub here");
    }
    Ok(hubs)
}

fn choose_works(todo: &[String]) -> Result<Vec<&'static Work>> {
    for name in todo {
        ensure!(WORKS.iter().any(|work| work.name.starts_with(name)), "--do {name}: see bench/run list");
    }
    let exact = |name: &String| WORKS.iter().any(|work| work.name == name);
    let chosen = |work: &&Work| {
        let by = |name: &String| if exact(name) { work.name == name } else { work.name.starts_with(name) };
        todo.is_empty() || todo.iter().any(by)
    };
    Ok(WORKS.iter().filter(chosen).collect())
}

/// What has to be known beside the figures.
fn about(cli: &Cli, hubs: &[Hub], stamp: &str) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let versions: Vec<String> = hubs
        .iter()
        .filter(|hub| !hub.version.is_empty())
        .map(|hub| format!("{} {}", hub.name, hub.version))
        .collect();
    json!({
        "at": stamp,
        "cpu": model,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "kernel": hubs::first_line("uname", &["-sr"]),
        "versions": versions,
        "hubs": hubs.iter().map(|hub| &hub.name).collect::<Vec<_>>(),
        "runs": cli.runs,
        "seconds": cli.seconds,
        "seed": cli.seed,
        "small": cli.small,
    })
}

/// A load generator that sees nothing wrong is worth nothing: it is shown hubs that do wrong.
fn notices_wrong(bench: &Bench<'_>) -> Result<()> {
    // Paced: a window would wait for what was held back.
    let work = WORKS.iter().find(|work| work.name == "latency").context("no such workload")?;
    let twice = "out of order or twice";
    for (wrong, named) in [("drops", "missing"), ("doubles", twice), ("swaps", twice), ("alters", "altered")]
    {
        let hub = hubs::floor(&bench.programs).with(wrong);
        let result = bench.once(work, &hub, 1)?;
        let complaints = result["wrong"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let seen = complaints.into_iter().find(|complaint| complaint.contains(named));
        eprintln!("a hub that {wrong}: {}", seen.with_context(|| format!("was not noticed: {result}"))?);
    }
    Ok(())
}
