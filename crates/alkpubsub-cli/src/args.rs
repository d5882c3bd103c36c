//! The command line.

use crate::failure::Failure;
use alkpubsub::websocket_server::HubLimits;
use alkpubsub::{MessageLimits, Topic};
use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use std::fmt;
use std::str::FromStr;

const AFTER: &str = "\
Example, in three terminals:
  alkpubsub hub
  alkpubsub sub ws://127.0.0.1:8484 call.responded uuid-123
  alkpubsub pub ws://127.0.0.1:8484 call.responded uuid-123 '{\"output\":42}'

Exit codes: 0 done (Ctrl-C too), 1 connection or transport, 2 bad input or usage, 3 refused by the hub, 4 timeout.";

/// Events between processes: a hub, and what publishes to it and hears from it.
#[derive(Debug, Parser)]
#[command(name = "alkpubsub", version, after_help = AFTER, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// What to log on stderr: a level, or levels by module as in `warn,alkpubsub=debug`.
    #[arg(long, global = true, value_name = "FILTER", default_value = "warn")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Hub(Hub),
    Pub(Pub),
    Sub(Sub),
}

/// Run a hub: what a spoke publishes reaches every spoke that subscribed.
///
/// Prints `listening on ws://HOST:PORT/` as soon as it accepts connections. Ends on Ctrl-C and SIGTERM, when what
/// waits for its spokes is sent; a second signal ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: alkpubsub hub --listen 127.0.0.1:0")]
pub(crate) struct Hub {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8484")]
    pub(crate) listen: String,
    /// Listen on other addresses than loopback too, with no authentication: whoever reaches it may hear and
    /// publish everything.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// To whom an event goes: to the spokes that subscribed to its topic, or to all, for spokes that never
    /// subscribe (the sender gets its own too).
    #[arg(long, value_name = "TO", default_value = "subscribed")]
    pub(crate) fan_out: To,
    /// Let web pages of this origin connect, as in `https://example.org`; `*` for all. May be repeated. Pages from
    /// this machine, and what is no browser, always may.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub(crate) allow_origin: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// The longest message.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.message.max_message))]
    pub(crate) max_message: Size,
    /// How deep a message may nest, 1024 at most; the envelope itself is 1.
    #[arg(long, value_name = "LEVELS", value_parser = at_least_one(), default_value_t = HubLimits::DEFAULT.message.max_depth)]
    pub(crate) max_depth: usize,
    /// The longest topic.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_topic))]
    pub(crate) max_topic: Size,
    /// Topics that one connection may hold.
    #[arg(long, value_name = "TOPICS", value_parser = at_least_one(), default_value_t = HubLimits::DEFAULT.max_topics_per_link)]
    pub(crate) max_topics_per_link: usize,
    /// Connections at one time; beyond, 503.
    #[arg(long, value_name = "CONNECTIONS", value_parser = at_least_one(), default_value_t = HubLimits::DEFAULT.max_links)]
    pub(crate) max_links: usize,
    /// What may wait for one connection; beyond, it is closed with 1013.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_outbound))]
    pub(crate) max_outbound: Size,
    /// Messages that may wait for one connection; beyond, it is closed with 1013.
    #[arg(long, value_name = "MESSAGES", value_parser = at_least_one(), default_value_t = HubLimits::DEFAULT.max_outbound_messages)]
    pub(crate) max_outbound_messages: usize,
    /// What may wait for all connections together.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_outbound_total))]
    pub(crate) max_outbound_total: Size,
    /// Memory that half-sent messages may take together, and half-sent requests as much again.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_incoming_total))]
    pub(crate) max_incoming_total: Size,
    /// How long a connection may be silent before it is pinged.
    #[arg(long, value_name = "TIME", default_value_t = HubLimits::DEFAULT.ping_interval.into())]
    pub(crate) ping_interval: humantime::Duration,
    /// How long it may take to answer.
    #[arg(long, value_name = "TIME", default_value_t = HubLimits::DEFAULT.ping_timeout.into())]
    pub(crate) ping_timeout: humantime::Duration,
    /// How long a handshake may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) handshake_timeout: humantime::Duration,
    /// How long the shutdown may take.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) drain: humantime::Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum To {
    Subscribed,
    All,
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
    /// The hub, as in ws://127.0.0.1:8484.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The event's type, its id (may be empty: '') and its payload, which is JSON; or `-` alone: standard input has
    /// one envelope a line.
    #[arg(value_name = "TYPE ID PAYLOAD", required = true, num_args = 1..=3, allow_negative_numbers = true)]
    pub(crate) event: Vec<String>,
    /// With `-` only: name a line that is no envelope on stderr, and go on.
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// How deep an envelope may nest; for a hub with another limit than the usual one. A hub leaves out what nests
    /// deeper than its own limit, and nothing says so.
    #[arg(long, value_name = "LEVELS", default_value_t = MessageLimits::DEFAULT.max_depth)]
    pub(crate) max_depth: usize,
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
    /// The hub, as in ws://127.0.0.1:8484.
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
    pub(crate) timeout: Option<humantime::Duration>,
}

/// A type and an id of the command line as a topic.
pub(crate) fn topic(event_type: &str, id: &str) -> Result<Topic, Failure> {
    Topic::new(event_type, id)
        .map_err(|error| Failure::input(format!("{event_type:?} cannot be an event's type: {error}")))
}

/// An origin as browsers write it: nothing else would ever be equal to one.
fn origin(text: &str) -> Result<String, &'static str> {
    let host = text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map_or("", |(_, host)| host);
    if text == "*" || !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*']) {
        Ok(text.into())
    } else {
        Err("an origin is a scheme and a host, with the port where it is not the scheme's own, as in \
             https://example.org or http://example.org:8080")
    }
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A limit of 0 would be a hub that does nothing and does not say why.
fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let size = number.parse().ok().and_then(|number: usize| number.checked_mul(bytes));
        match size {
            Some(0) => Err("must be at least 1".into()),
            Some(size) => Ok(Self(size)),
            None => Err("not a number of bytes, as in 65536, 64KiB or 1MiB".into()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, usize)| self.0.is_multiple_of(*bytes);
        match UNITS.iter().find(whole) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for text in ["*", "https://example.org", "http://[2001:db8::1]:8080", "chrome-extension://abc"] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in ["", "example.org", "https://", "://example.org", "https://example.org/", "https://*.org"]
        {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for (text, bytes) in [("255", 255), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for text in ["", "0", "0KiB", "KiB", "-1", "1.5MiB", "64kb", "18446744073709551615KiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
