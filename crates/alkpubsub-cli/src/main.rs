//! `alkpubsub`: a hub for events over WebSockets, and `pub` and `sub` beside it.
//!
//! It parses, wires and reports; what is decided is decided in the library.

mod args;
mod compact;
mod failure;
mod hub;
mod publish;
mod signals;
mod subscribe;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use std::io::Write;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let done = match Args::try_parse() {
        Ok(args) => run(args),
        Err(answer) if !answer.use_stderr() => {
            // `--help` and `--version`; a closed pipe is no error.
            let _ = answer.print();
            Ok(())
        }
        Err(error) => Err(Failure::of_usage(&error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody can read it, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "alkpubsub: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| {
        Failure::input(format!("--log {:?}: {error}; a level is error, warn, info, debug or trace", args.log))
    })?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::connection(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async {
        match args.command {
            Command::Hub(hub) => hub::run(hub).await,
            Command::Pub(publish) => publish::run(publish).await,
            Command::Sub(subscribe) => subscribe::run(subscribe).await,
        }
    });
    // Whatever a blocking call still waits for is nobody's concern any more.
    runtime.shutdown_background();
    done
}
