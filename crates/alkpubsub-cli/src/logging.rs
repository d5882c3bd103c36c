//! What the program says on stderr: log lines, and the one line of a failure.

use crate::failure::Failure;
use crate::values::one_of;
use anstream::AutoStream;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::io::{Write, stderr};
use std::time::SystemTime;
use tracing_subscriber::EnvFilter;

/// As for other programs of the Rust world. An empty one counts as none.
pub(crate) const RUST_LOG: &str = "RUST_LOG";

/// Each field is a flag of every command, and an option of the hub.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Logging {
    /// What to log on stderr: a level, or levels by module as in `warn,alkpubsub=debug`. RUST_LOG is read too. A hub
    /// logs at `info` by default, `pub` and `sub` at `warn`.
    #[arg(long, global = true, value_name = "FILTER", default_value = "warn", hide_default_value = true, help_heading = LOGGING)]
    pub(crate) log: String,
    /// How to log: lines of text, or one JSON object a line, the failure at the end included.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = LOGGING)]
    #[serde(deserialize_with = "one_of")]
    pub(crate) log_format: Format,
    /// Whether to colour; `auto` does on a terminal, unless NO_COLOR or CLICOLOR say otherwise.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = LOGGING)]
    #[serde(deserialize_with = "one_of")]
    pub(crate) color: Color,
}

/// Last in the help, behind the command's own options.
const LOGGING: &str = "Logging";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    fn on_stderr(self) -> bool {
        match self {
            Self::Auto => AutoStream::choice(&stderr()) != anstream::ColorChoice::Never,
            Self::Always => true,
            Self::Never => false,
        }
    }

    /// What the words of the command line say, before they are read as a whole: for the help.
    pub(crate) fn of_help(words: &[String]) -> clap::ColorChoice {
        let said = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--color")? {
            "" => words.get(at + 1).map(String::as_str),
            value => value.strip_prefix('='),
        });
        match said {
            Some("always") => clap::ColorChoice::Always,
            Some("never") => clap::ColorChoice::Never,
            _ => clap::ColorChoice::Auto,
        }
    }
}

impl Logging {
    /// Begins to log. `origin` tells where the filter was given, for the error.
    pub(crate) fn start(&self, origin: &str) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            let known = "a level is error, warn, info, debug or trace";
            Failure::input(format!("{origin} {:?}: {error}; {known}", self.log))
        })?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(stderr)
            .with_ansi(self.color.on_stderr());
        match self.log_format {
            Format::Text => lines.init(),
            Format::Json => lines.json().init(),
        }
        Ok(())
    }
}

/// A failure as log lines are: the same members, in the same order.
#[derive(Serialize)]
struct Line {
    timestamp: String,
    level: &'static str,
    fields: Fields,
    target: &'static str,
}

#[derive(Serialize)]
struct Fields {
    message: String,
    exit_code: u8,
}

/// Says why the program ends. Where nobody can read it, the exit code still tells.
pub(crate) fn report(failure: &Failure, format: Format) {
    let line = match format {
        Format::Text => format!("alkpubsub: {failure}"),
        Format::Json => {
            let line = Line {
                timestamp: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
                level: "ERROR",
                fields: Fields { message: failure.to_string(), exit_code: failure.code() },
                target: "alkpubsub",
            };
            serde_json::to_string(&line).expect("texts and a number are JSON")
        }
    };
    let _ = writeln!(stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_knows_its_colour_before_the_line_is_read() {
        let choice = |words: &str| Color::of_help(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(choice("hub --color never --help"), clap::ColorChoice::Never);
        assert_eq!(choice("--color=always --help"), clap::ColorChoice::Always);
        assert_eq!(choice("--help --color"), clap::ColorChoice::Auto);
        assert_eq!(choice("--colors=never"), clap::ColorChoice::Auto);
    }
}
