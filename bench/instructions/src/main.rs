//! Counts the instructions and allocations that one event takes in the library, and compares them with those that
//! `bench/instructions.txt` holds.
//!
//! `instructions` counts, with valgrind's callgrind; more than 5 % above, and it fails. `UPDATE=1 instructions` writes
//! the file. `instructions run CASE EVENTS` is what is counted.
//!
//! A case runs twice, the second time with twice as many events, so that what a start costs falls out. Only
//! instructions of this executable count, where the library is linked into: the C library chooses its `memcpy` by the
//! processor and its `malloc` by its version. What goes on there shows in the number of allocations, which may not grow
//! at all, and in the large message.

mod callgrind;
mod cases;
mod memory_socket;
mod operators;
mod table;

use anyhow::{Context, bail};
use cases::CASES;
use std::process::ExitCode;
use table::{Counted, Table};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["run", name, events] => {
            let case = CASES.iter().find(|case| case.name == name).context("no such case")?;
            (case.run)(events.parse()?)
        }
        _ => bail!("usage: instructions [run CASE EVENTS]"),
    }
}

fn compare() -> anyhow::Result<()> {
    let counted = CASES.iter().map(|case| {
        let [once, twice] = [case.events, 2 * case.events].map(|events| callgrind::count(case.name, events));
        let per_event = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / case.events as f64;
        let (once, twice) = (once?, twice?);
        let instructions = per_event(once.instructions, twice.instructions);
        let allocations = per_event(once.allocations, twice.allocations);
        Ok(Counted { name: case.name.into(), instructions, allocations })
    });
    let counted = Table { compiler: table::compiler()?, rows: counted.collect::<anyhow::Result<_>>()? };
    if std::env::var_os("UPDATE").is_some() {
        print!("{counted}");
        return counted.write();
    }
    counted.compare(&Table::read()?)
}
