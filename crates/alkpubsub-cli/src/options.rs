//! The options of the hub: the one place that says which there are. Flags, environment variables, keys of the file, the
//! table in `docs/hub.md` and `--print-config` are made from it.

use crate::values::{
    Allowed, Count, Depth, KeyFile, Links, Mode, Origin, Patience, RedisUrl, Relay, Shards, Size, SocketPath,
    Switch, Time, UdpPort, list, one_of,
};
use alkpubsub::websocket_server::HubLimits;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Each field is a key of the file, a flag and an environment variable.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct HubOptions {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8484")]
    pub(crate) listen: String,
    /// Do not listen for WebSockets at all: for a hub over iroh or a Unix socket alone. There is no `/healthz` then.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = Switch(false), hide_default_value = true)]
    pub(crate) no_websocket: Switch,
    /// Listen on a Unix socket, too; what is published there and over WebSockets reaches both. A file of a hub that was
    /// killed is replaced. May be repeated.
    #[arg(long, value_name = "PATH")]
    #[serde(deserialize_with = "list")]
    pub(crate) unix: Vec<SocketPath>,
    /// Who may use the Unix sockets, as `chmod` has it: 600 for this user, 660 for the group as well.
    #[arg(long, value_name = "MODE", default_value_t = Mode(0o600))]
    pub(crate) unix_mode: Mode,
    /// Listen over iroh, too, where the hub is found by its key, in any network: by the ticket in the line `listening on
    /// iroh:TICKET`. For this machine alone, unless --iroh-allow or --insecure says more.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = Switch(false), hide_default_value = true, help_heading = IROH)]
    pub(crate) iroh: Switch,
    /// The file of the hub's secret key, which makes it the same hub each time; made if there is none, for this user
    /// alone. Without a file the key is another one each time.
    #[arg(long, value_name = "FILE", default_value_t = KeyFile::default(), hide_default_value = true, help_heading = IROH)]
    pub(crate) iroh_key: KeyFile,
    /// Who may come over iroh: an id, as `alkpubsub id` prints it, or a file of them, one a line. May be repeated.
    #[arg(long, value_name = "ID|FILE", value_delimiter = ',', help_heading = IROH)]
    #[serde(deserialize_with = "list")]
    pub(crate) iroh_allow: Vec<Allowed>,
    /// The relay that helps where there is no direct path: a URL, `default` for those that n0 runs for everybody, with its
    /// name servers, or `none`.
    #[arg(long, value_name = "URL|none|default", default_value_t = Relay::None, help_heading = IROH)]
    pub(crate) iroh_relay: Relay,
    /// The UDP port for direct paths; 0 takes a free one, `none` leaves the relay alone.
    #[arg(long, value_name = "PORT|none", default_value_t = UdpPort(Some(0)), help_heading = IROH)]
    pub(crate) iroh_port: UdpPort,
    /// Be one hub with all others that have the same Redis and prefix: what a spoke of one says, the spokes of all hear. A
    /// URL, as in redis://host:6379 or rediss://user:password@host; best by the variable, as a command line is seen by
    /// everybody on this machine.
    #[arg(long, value_name = "URL", default_value_t = RedisUrl::default(), hide_default_value = true, help_heading = REDIS)]
    pub(crate) redis: RedisUrl,
    /// What channels in Redis begin with, ahead of the topic.
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true, help_heading = REDIS)]
    pub(crate) redis_prefix: String,
    /// Listen on other addresses than loopback too, and over iroh for everybody, with no authentication: whoever reaches
    /// it may hear and publish everything.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = Switch(false), hide_default_value = true)]
    pub(crate) insecure: Switch,
    /// To whom an event goes: to the spokes that subscribed to its topic, or to all, for spokes that never subscribe
    /// (the sender gets its own too).
    #[arg(long, value_name = "TO", default_value = "subscribed")]
    #[serde(deserialize_with = "one_of")]
    pub(crate) fan_out: To,
    /// Let web pages of this origin connect, as in `https://example.org`; `*` for all. May be repeated. Pages from this
    /// machine may always connect, and so may programs that are no browsers.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    #[serde(deserialize_with = "list")]
    pub(crate) allow_origin: Vec<Origin>,
    /// Answer `GET /healthz`: 200 while the hub serves, 503 while it shuts down.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = Switch(true))]
    pub(crate) health: Switch,
    /// How many threads serve the connections, 64 at most; more than 1 where one core cannot keep up.
    #[arg(long, value_name = "THREADS", default_value_t = Shards::ONE)]
    pub(crate) shards: Shards,
    /// The longest message.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.message.max_message), help_heading = LIMITS)]
    pub(crate) max_message: Size,
    /// How deep a message may nest, 1024 at most; the envelope itself is 1.
    #[arg(long, value_name = "LEVELS", default_value_t = Depth(HubLimits::DEFAULT.message.max_depth), help_heading = LIMITS)]
    pub(crate) max_depth: Depth,
    /// The longest topic.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_topic), help_heading = LIMITS)]
    pub(crate) max_topic: Size,
    /// Topics that one connection may hold.
    #[arg(long, value_name = "TOPICS", default_value_t = Count(HubLimits::DEFAULT.max_topics_per_link), help_heading = LIMITS)]
    pub(crate) max_topics_per_link: Count,
    /// Connections at one time; beyond, 503.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Links(HubLimits::DEFAULT.max_links), help_heading = LIMITS)]
    pub(crate) max_links: Links,
    /// What may wait for one connection; beyond, it is closed with 1013.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_outbound), help_heading = LIMITS)]
    pub(crate) max_outbound: Size,
    /// Messages that may wait for one connection; beyond, it is closed with 1013.
    #[arg(long, value_name = "MESSAGES", default_value_t = Count(HubLimits::DEFAULT.max_outbound_messages), help_heading = LIMITS)]
    pub(crate) max_outbound_messages: Count,
    /// What may wait for all connections together.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_outbound_total), help_heading = LIMITS)]
    pub(crate) max_outbound_total: Size,
    /// Memory that half-sent messages may take together, and half-sent requests as much again.
    #[arg(long, value_name = "BYTES", default_value_t = Size(HubLimits::DEFAULT.max_incoming_total), help_heading = LIMITS)]
    pub(crate) max_incoming_total: Size,
    /// How long a connection may be silent before it is pinged.
    #[arg(long, value_name = "TIME", default_value_t = Patience(HubLimits::DEFAULT.ping_interval), help_heading = LIMITS)]
    pub(crate) ping_interval: Patience,
    /// How long it may take to answer.
    #[arg(long, value_name = "TIME", default_value_t = Patience(HubLimits::DEFAULT.ping_timeout), help_heading = LIMITS)]
    pub(crate) ping_timeout: Patience,
    /// How long a handshake may take.
    #[arg(long, value_name = "TIME", default_value_t = Patience(Duration::from_secs(10)), help_heading = LIMITS)]
    pub(crate) handshake_timeout: Patience,
    /// Over how long a shutdown spreads the closes, up to half of --drain-limit; few connections take less, one every
    /// 10 ms.
    #[arg(long, value_name = "TIME", default_value_t = Time(Duration::from_secs(5)), help_heading = LIMITS)]
    pub(crate) drain_window: Time,
    /// How long a shutdown may take in all.
    #[arg(long, value_name = "TIME", default_value_t = Time(Duration::from_secs(30)), help_heading = LIMITS)]
    pub(crate) drain_limit: Time,
}

const IROH: &str = "iroh";
const REDIS: &str = "Many hubs as one";
const LIMITS: &str = "Limits";

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum To {
    Subscribed,
    All,
}

/// What a hub is started with beside its options.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Read options from this file, in TOML; ALKPUBSUB_HUB_CONFIG names one too. Environment and flags go before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print all options as they are in force, and from where, as a file for --config; then end.
    #[arg(long)]
    pub(crate) print_config: bool,
}
