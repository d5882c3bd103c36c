//! The command line.

use crate::failure::Failure;
use crate::logging::Logging;
use crate::options::{Config, HubOptions};
use crate::remote::Remote;
use crate::values::{Depth, Patience};
use alkpubsub::{MessageLimits, Topic};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

const AFTER: &str = "\
Example, in three terminals:
  alkpubsub hub
  alkpubsub sub ws://127.0.0.1:8484 call.responded uuid-123
  alkpubsub pub ws://127.0.0.1:8484 call.responded uuid-123 '{\"output\":42}'

Exit codes: 0 done (Ctrl-C too), 1 connection or transport, 2 bad input or usage, 3 refused by the hub, 4 timeout,
130 or 143 a second Ctrl-C or SIGTERM while the hub shuts down.";

/// Events between processes: a hub, and what publishes to it and hears from it.
#[derive(Debug, Parser)]
#[command(name = "alkpubsub", version, after_help = AFTER, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Hub(Box<Hub>),
    Pub(Pub),
    Sub(Sub),
    Id(Id),
    Completions(Completions),
}

/// Run a hub: what a spoke publishes reaches every spoke that subscribed.
///
/// Prints `listening on ws://HOST:PORT/` as soon as it accepts connections, a line `listening on unix:PATH` for each
/// --unix, and `listening on iroh:TICKET` for --iroh. Ends on Ctrl-C and SIGTERM, when what waits for its spokes is sent and
/// they are told to go, one after the other; a second signal ends it at once, with exit code 130 or 143. Each option may be given by a flag, by a variable (ALKPUBSUB_HUB_MAX_LINKS for --max-links)
/// or in a file, and counts in this order.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  alkpubsub hub --listen 127.0.0.1:0
  alkpubsub hub --unix /run/user/1000/hub.sock
  alkpubsub hub --iroh --iroh-key hub.key --iroh-allow friends.txt --iroh-relay default
  ALKPUBSUB_HUB_MAX_LINKS=1000 alkpubsub hub --config hub.toml --print-config")]
pub(crate) struct Hub {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    pub(crate) options: HubOptions,
}

/// Print one's own id: that of a secret key, by which others know and allow this end over iroh.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  alkpubsub id --iroh-key spoke.key    (for the hub: --iroh-allow ID)
  alkpubsub sub --iroh-key spoke.key iroh:TICKET call.responded uuid-123")]
pub(crate) struct Id {
    /// The file of the secret key; made if there is none, for this user alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) iroh_key: PathBuf,
}

/// Print a script that completes the program's commands and options in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  alkpubsub completions bash >~/.local/share/bash-completion/completions/alkpubsub
  alkpubsub completions fish >~/.config/fish/completions/alkpubsub.fish")]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// Publish one event, or each line of standard input.
///
/// Ends when the hub has handled all of it.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "alkpubsub pub [OPTIONS] <URL> <TYPE> <ID> <PAYLOAD>\n       alkpubsub pub [OPTIONS] <URL> -",
    after_help = "\
Examples:
  alkpubsub pub ws://127.0.0.1:8484 call.responded uuid-123 '{\"output\":42}'
  alkpubsub pub ws://127.0.0.1:8484 - <envelopes.ndjson
  alkpubsub pub ws://127.0.0.1:8484 -- -type -id -1    (values that begin with a hyphen)"
)]
pub(crate) struct Pub {
    /// The hub, as in ws://127.0.0.1:8484, wss://hub.example/events, unix:/run/hub.sock or iroh:TICKET; or a Redis server,
    /// as in redis://127.0.0.1:6379.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The event's type, its id (may be empty: '') and its payload, which is JSON; or `-` alone: standard input has
    /// one envelope a line.
    #[arg(value_name = "TYPE ID PAYLOAD", required = true, num_args = 1..=3, allow_negative_numbers = true)]
    pub(crate) event: Vec<String>,
    /// With `-` only: name a line that is no envelope on stderr, and go on.
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// How deep an envelope may nest, 1024 at most; for a hub with another limit than the usual one. A hub leaves out what nests
    /// deeper than its own limit, and nothing says so.
    #[arg(long, value_name = "LEVELS", default_value_t = Depth(MessageLimits::DEFAULT.max_depth))]
    pub(crate) max_depth: Depth,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Print the events of one topic, or of several, as they come.
///
/// One envelope a line, as it came save white space between tokens.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "alkpubsub sub [OPTIONS] <URL> <TYPE> <ID> [<TYPE> <ID>]...",
    after_help = "\
Examples:
  alkpubsub sub ws://127.0.0.1:8484 call.responded uuid-123
  alkpubsub sub --count 1 --timeout 5s ws://127.0.0.1:8484 message.sent conv-1 message.sent conv-2"
)]
pub(crate) struct Sub {
    /// The hub, as in ws://127.0.0.1:8484, wss://hub.example/events, unix:/run/hub.sock or iroh:TICKET; or a Redis server,
    /// as in redis://127.0.0.1:6379.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// An event type and an id; an empty id is ''. May be repeated.
    #[arg(value_name = "TYPE ID", required = true, num_args = 1.., allow_negative_numbers = true)]
    pub(crate) topics: Vec<String>,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End with exit code 4 when this time passes without an event, as in `5s` or `1m 30s`.
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Patience>,
    /// End with exit code 1 when the connection is lost. Otherwise connect again, as often as it takes, and say on
    /// stderr what may have been missed meanwhile. The first connection has to come about either way.
    #[arg(long)]
    pub(crate) no_reconnect: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// A type and an id of the command line as a topic.
pub(crate) fn topic(event_type: &str, id: &str) -> Result<Topic, Failure> {
    Topic::new(event_type, id)
        .map_err(|error| Failure::input(format!("{event_type:?} cannot be an event's type: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
