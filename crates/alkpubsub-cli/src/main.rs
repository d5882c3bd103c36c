//! `alkpubsub`: a hub for events over WebSockets, Unix sockets and iroh, and `pub` and `sub` beside it.
//!
//! It parses, wires and reports; what is decided is decided in the library.

mod args;
mod broker;
mod compact;
mod config;
mod failure;
mod hub;
mod iroh;
mod link;
mod logging;
mod options;
mod publish;
mod remote;
mod signals;
mod subscribe;
mod values;

use args::{Args, Command};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use failure::Failure;
use logging::{Color, Format, Logging, RUST_LOG, report};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let shown: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let parsed = Args::command()
        .color(Color::of_help(&shown))
        .try_get_matches_from(words)
        .and_then(|matches| Ok((Args::from_arg_matches(&matches)?, matches)));
    let mut format = Format::Text;
    let done = match parsed {
        Ok((args, matches)) => {
            format = args.logging.log_format;
            run(args, &matches, &mut format)
        }
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
            report(&failure, format);
            failure.exit_code()
        }
    }
}

/// `format` is set as soon as it is known.
fn run(args: Args, matches: &ArgMatches, format: &mut Format) -> Result<(), Failure> {
    let Args { logging, command } = args;
    match command {
        Command::Hub(hub) => {
            let matches = matches.subcommand_matches("hub").expect("it is this command");
            let loaded = config::load(&hub.config, matches, std::env::vars_os())?;
            *format = loaded.logging.log_format;
            loaded.logging.start(&loaded.naming("log"))?;
            if hub.config.print_config {
                return print(&loaded.to_toml());
            }
            block_on(hub::run(loaded))
        }
        Command::Completions(completions) => {
            let mut script = Vec::new();
            clap_complete::generate(completions.shell, &mut Args::command(), "alkpubsub", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Id(id) => print(&format!("{}\n", iroh::id(&id.iroh_key)?)),
        Command::Pub(publish) => {
            start_logging(logging, matches)?;
            block_on(publish::run(publish))
        }
        Command::Sub(subscribe) => {
            start_logging(logging, matches)?;
            block_on(subscribe::run(subscribe))
        }
    }
}

/// Without options of a hub there are the flag and `RUST_LOG`.
fn start_logging(mut logging: Logging, matches: &ArgMatches) -> Result<(), Failure> {
    let said = matches.subcommand().and_then(|(_, matches)| matches.value_source("log"));
    let variable = std::env::var_os(RUST_LOG).filter(|_| said != Some(ValueSource::CommandLine));
    let filter = variable.as_deref().map(config::rust_log).transpose()?.flatten();
    let Some(filter) = filter else {
        return logging.start("--log");
    };
    logging.log = filter.into();
    logging.start(RUST_LOG)
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::connection(format!("cannot start: {error}")))?;
    let done = runtime.block_on(work);
    // Whatever a blocking call still waits for is nobody's concern any more.
    runtime.shutdown_background();
    done
}

/// Prints to stdout. That whoever reads it has gone is no error.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::connection(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
