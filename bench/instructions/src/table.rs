//! The committed numbers, and what is said of a difference.

use anyhow::{Context, bail};
use std::fmt;
use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../instructions.txt");
/// How much more an event may take.
const TOLERANCE: f64 = 0.05;
/// Memory that is taken once for many events comes at another one now and then.
const STRAY_ALLOCATIONS: f64 = 0.05;

pub(crate) struct Counted {
    pub(crate) name: String,
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

pub(crate) struct Table {
    pub(crate) compiler: String,
    pub(crate) rows: Vec<Counted>,
}

pub(crate) fn compiler() -> anyhow::Result<String> {
    let version = Command::new("rustc").arg("--version").output().context("rustc")?.stdout;
    Ok(String::from_utf8(version)?.trim().to_owned())
}

impl Table {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(FILE).with_context(|| format!("{FILE}; UPDATE=1 writes it"))?;
        let mut compiler = None;
        let mut rows = Vec::new();
        for line in text.lines() {
            if let Some(version) = line.strip_prefix("# compiler: ") {
                compiler = Some(version.to_owned());
            } else if !line.starts_with('#') {
                let mut fields = line.splitn(3, '\t');
                let mut number = || fields.next()?.trim().parse::<f64>().ok();
                let numbers = number().zip(number());
                let (instructions, allocations) =
                    numbers.with_context(|| format!("a line that is none: {line}"))?;
                let name = fields.next().unwrap_or_default().to_owned();
                rows.push(Counted { name, instructions, allocations });
            }
        }
        Ok(Self { compiler: compiler.context("no compiler is named")?, rows })
    }

    pub(crate) fn write(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(FILE, self.to_string())?)
    }

    /// Prints both, and fails where an event takes more than it took.
    pub(crate) fn compare(&self, before: &Self) -> anyhow::Result<()> {
        let mut grown = Vec::new();
        for row in &self.rows {
            let Some(old) = before.rows.iter().find(|old| old.name == row.name) else {
                grown.push(format!("{}: no numbers of before", row.name));
                continue;
            };
            let change = row.instructions / old.instructions - 1.0;
            let (new_calls, old_calls) = (row.allocations, old.allocations);
            let percent = 100.0 * change;
            println!("{:>9.0} {percent:>+7.1} % {new_calls:>8.2}  {}", row.instructions, row.name);
            if change > TOLERANCE {
                let (new, old) = (row.instructions, old.instructions);
                grown.push(format!("{}: {new:.0} instructions, {percent:+.1} %; it was {old:.0}", row.name));
            }
            if new_calls > old_calls + STRAY_ALLOCATIONS {
                grown.push(format!("{}: {new_calls:.2} allocations; it was {old_calls:.2}", row.name));
            }
        }
        if grown.is_empty() {
            return Ok(());
        }
        let other = (self.compiler != before.compiler)
            .then(|| format!("\nThe numbers are of {}, and this is {}.", before.compiler, self.compiler));
        bail!(
            "an event takes more than it took:\n  {}{}\n\
             `valgrind --tool=callgrind .../release/instructions run '{}' 1000` and callgrind_annotate show where. If it \
             is worth it, UPDATE=1 ./test instructions writes the new numbers, and the commit says why.",
            grown.join("\n  "),
            other.unwrap_or_default(),
            self.rows.first().map_or("", |row| &row.name),
        );
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# What one event takes: instructions of the executable, and allocations.")?;
        writeln!(f, "# UPDATE=1 ./test instructions writes this file.")?;
        writeln!(f, "# compiler: {}", self.compiler)?;
        for Counted { name, instructions, allocations } in &self.rows {
            writeln!(f, "{instructions:.0}\t{allocations:.2}\t{name}")?;
        }
        Ok(())
    }
}
