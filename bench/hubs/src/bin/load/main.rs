//! The load generator: publishes, and sees that everything arrives, once, in order and as it left.
//!
//! One thread. It prints one JSON object; `wrong` in it is empty if all was well, and the exit code is 0 then, and 1
//! otherwise. 2: there is no result.

mod connect;
mod flow;
mod join;
mod measure;
mod net;
mod pairs;

use alkpubsub_bench_hubs::message::{Dialect, Words};
use alkpubsub_bench_hubs::process::{self, Process};
use anyhow::Result;
use clap::Parser as _;
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Debug, clap::Parser)]
#[command(name = "load", about = "A load generator for WebSocket hubs", args_override_self = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Where the hub listens; of several that are one, connections take them in turn
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:8484")]
    address: Vec<SocketAddr>,
    #[arg(long, global = true, default_value = "/")]
    path: String,
    /// A line for the request, may be repeated
    #[arg(long, global = true)]
    header: Vec<String>,
    /// The hub speaks NATS
    #[arg(long, global = true)]
    nats: bool,
    /// The hub's process, whose CPU time and memory are told
    #[arg(long, global = true)]
    pid: Option<i32>,
    /// How long it is measured
    #[arg(long, global = true, default_value_t = 3.0)]
    seconds: f64,
    /// How long it runs before
    #[arg(long, global = true, default_value_t = 1.0)]
    warm_up: f64,
    /// Sleep when there is nothing to do: then the hub has to wake this program
    #[arg(long, global = true)]
    sleep: bool,
    /// What chance decides
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
}

impl Common {
    fn words(&self) -> Words {
        Words::new(if self.nats { Dialect::Nats } else { Dialect::Json })
    }

    fn net(&self) -> Result<net::Net> {
        net::Net::new(self.address.clone(), &self.path, &self.header, self.words().dialect())
    }

    fn hub(&self) -> Option<Process> {
        self.pid.map(Process::with_descendants)
    }
}

/// How much is published: one of the two.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Pace {
    /// At most so many messages that have not reached all their readers
    #[arg(long)]
    window: Option<usize>,
    /// So many messages a second, whatever becomes of them
    #[arg(long)]
    rate: Option<f64>,
}

#[derive(Debug, clap::Subcommand)]
enum Work {
    /// Events flow from publishers to those who hold their topics
    #[command(args_override_self = true)]
    Flow(flow::Flow),
    /// Pairs exchange a request and its answer
    #[command(args_override_self = true)]
    Pairs(pairs::Pairs),
    /// Connections come, subscribe and stay
    #[command(args_override_self = true)]
    Connect(connect::Connect),
}

fn run(cli: &Cli) -> Result<bool> {
    process::raise_open_files()?;
    fastrand::seed(cli.common.seed);
    let mut results = measure::Results::default();
    match &cli.work {
        Work::Flow(flow) => flow.run(&cli.common, &mut results)?,
        Work::Pairs(pairs) => pairs.run(&cli.common, &mut results)?,
        Work::Connect(connect) => connect.run(&cli.common, &mut results)?,
    }
    Ok(results.print())
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::from(2)
        }
    }
}
