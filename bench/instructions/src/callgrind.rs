//! One run under callgrind, and its profile read.

use anyhow::{Context, ensure};
use std::collections::HashMap;
use std::process::Command;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Of this executable.
    pub(crate) instructions: u64,
    /// Calls of the allocator, wherever from.
    pub(crate) allocations: u64,
}

pub(crate) fn count(case: &str, events: u64) -> anyhow::Result<Count> {
    let own = std::env::current_exe()?;
    let profile = std::env::temp_dir().join(format!("instructions-{}", std::process::id()));
    let mut file = std::ffi::OsString::from("--callgrind-out-file=");
    file.push(&profile);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]).arg(file);
    let ran = valgrind.arg(&own).args(["run", case, &events.to_string()]).status();
    ensure!(ran.context("valgrind; Debian has it in a package of that name")?.success(), "{case} failed under valgrind");
    let text = std::fs::read_to_string(&profile)?;
    std::fs::remove_file(&profile)?;
    let count = read(&text, &own.to_string_lossy());
    ensure!(count.instructions > 0, "callgrind's profile of {case} holds nothing of {}", own.display());
    Ok(count)
}

/// Reads what belongs to `object`. The format: <https://valgrind.org/docs/manual/cl-format.html>.
fn read(profile: &str, object: &str) -> Count {
    let mut count = Count::default();
    let (mut own, mut called, mut call) = (false, HashMap::<String, u64>::new(), false);
    let mut callee = "";
    for line in profile.lines() {
        if let Some(of) = line.strip_prefix("ob=") {
            own = of == object;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            callee = function;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let times = calls.split(' ').next().and_then(|times| times.parse().ok()).unwrap_or(0);
            *called.entry(callee.to_owned()).or_default() += times;
            // The line that follows is what the call cost, all in all.
            call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
            if own && !std::mem::take(&mut call) {
                count.instructions += cost;
            }
            call = false;
        }
    }
    let allocators = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
    count.allocations = allocators.iter().filter_map(|name| called.get(*name)).sum();
    count
}
