//! `alkpubsub hub`

use crate::broker;
use crate::config::Loaded;
use crate::failure::Failure;
use crate::iroh;
use crate::options::{HubOptions, To};
use crate::print;
use crate::signals::{Signal, Signals};
use alkpubsub::websocket_server::{FanOut, HubLimits, Origins, ServerOptions};
use alkpubsub::{ByteStreamHubEventTarget, EventTarget, Stats, WebSocketServerEventTarget};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

/// How long iroh may take at the end for what a drain did not: a moment is enough where a peer is there.
const GOODBYE: Duration = Duration::from_millis(100);
/// What it is given of a drain at least, to be told that its spokes have gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where it listens.
struct Faces {
    websockets: Option<TcpListener>,
    unix: Vec<unix::Listener>,
}

pub(crate) async fn run(loaded: Loaded) -> Result<(), Failure> {
    let options = &loaded.options;
    if options.no_websocket.0 && !options.iroh.0 && options.unix.is_empty() {
        let said = loaded.naming("no-websocket");
        return Err(Failure::input(format!("{said} leaves nowhere to listen; add --iroh or --unix PATH")));
    }
    if options.redis.url().is_some() && matches!(options.fan_out, To::All) {
        let said = (loaded.naming("fan-out"), loaded.naming("redis"));
        return Err(Failure::input(format!(
            "{} all does not go with {}: a hub hears from Redis what its spokes subscribed to",
            said.0, said.1
        )));
    }
    let websockets = if options.no_websocket.0 { None } else { Some(listen(&loaded).await?) };
    let faces = Faces { websockets, unix: unix::listen(&loaded)? };
    let mut by_key = iroh::Face::bind(&loaded).await?;
    let served = serve(&loaded, faces, by_key.as_mut()).await;
    if let Some(face) = by_key {
        face.shutdown(GOODBYE).await;
    }
    served
}

async fn serve(loaded: &Loaded, faces: Faces, by_key: Option<&mut iroh::Face>) -> Result<(), Failure> {
    let mut options = server_options(&loaded.options);
    let redis = broker::connect(loaded, &options.hub.limits).await?;
    if let Some(redis) = &redis {
        options = options.behind(redis.clone());
    }
    let hub = WebSocketServerEventTarget::try_new(options).map_err(|error| {
        let what_to_do = "fewer --shards need fewer threads and open files (`ulimit -n`)";
        Failure::connection(format!("cannot start the hub: {error}; {what_to_do}"))
    })?;
    let hub = Arc::new(hub);
    // Before the first line, so that whoever has read it can end the hub in good order.
    let mut signals = Signals::listen()?;
    let mut lines = String::new();
    let mut serving = JoinSet::new();
    if let Some(listener) = faces.websockets {
        let address = listener.local_addr().map_err(|error| Failure::connection(error.to_string()))?;
        tracing::info!(%address, shards = loaded.options.shards.0.get(), "listening");
        lines += &format!("listening on ws://{address}/\n");
        let websockets = hub.clone();
        serving.spawn(async move { websockets.serve(listener).await });
    }
    for socket in faces.unix {
        tracing::info!(path = %socket.path().display(), "listening");
        lines += &format!("listening on unix:{}\n", socket.path().display());
        let streams = ByteStreamHubEventTarget::of(hub.share());
        serving.spawn(async move { socket.serve(&streams).await });
    }
    // A hub whose starter does not read on is still a hub.
    print(&lines)?;
    let by_key = by_key.map(|face| {
        face.serve(hub.share());
        &*face
    });
    // It serves already; by what it is found may take a moment.
    let told = async {
        if let Some(face) = by_key {
            print(&format!("listening on {}\n", face.url().await))?;
        }
        std::future::pending().await
    };
    tokio::select! {
        Some(served) = serving.join_next() => {
            let served = served.unwrap_or_else(|panicked| Err(panicked.into()));
            return served.map_err(|error| Failure::connection(format!("cannot accept connections: {error}")));
        }
        failed = told => return failed,
        signal = signals.which() => tracing::info!(?signal, links = hub.stats().links, "shutting down"),
    }
    // Whoever comes meanwhile is told that it shuts down: it serves on.
    let draining = async {
        let (begun, limit) = (Instant::now(), loaded.options.drain_limit.0);
        hub.shutdown(limit).await;
        if let Some(redis) = &redis {
            broker::leave(redis).await;
        }
        if let Some(face) = by_key {
            face.shutdown(limit.saturating_sub(begun.elapsed()).max(LAST_WORDS)).await;
        }
        while let Some(served) = serving.join_next().await {
            if let Err(error) = served.unwrap_or_else(|panicked| Err(panicked.into())) {
                tracing::warn!(%error, "connections were not accepted any more");
            }
        }
    };
    let cut_short = tokio::select! {
        () = draining => None,
        signal = signals.which() => Some(signal),
    };
    let stats = hub.stats();
    log_counters(&stats);
    cut_short.map_or(Ok(()), |signal| Err(told_twice(signal, &stats)))
}

fn told_twice(signal: Signal, stats: &Stats) -> Failure {
    let cut = match stats.links {
        1 => "1 connection was".into(),
        links => format!("{links} connections were"),
    };
    let line = format!("told twice to end: {cut} cut without a goodbye");
    Failure::cut_short(signal, line)
}

/// All that was counted, as one line.
fn log_counters(stats: &Stats) {
    tracing::info!(
        dispatched = stats.dispatched,
        rejected = stats.rejected,
        received = stats.received,
        delivered = stats.delivered,
        sent = stats.sent,
        bad_input = stats.bad_input,
        refusals = stats.refusals.to_string(),
        violations = stats.violations,
        panicked = stats.panicked,
        dropped = stats.dropped,
        too_slow = stats.too_slow,
        unfinished = stats.unfinished,
        denied = stats.denied,
        listeners = stats.listeners,
        topics = stats.topics,
        connections = stats.connections,
        links = stats.links,
        queued_messages = stats.queued_messages,
        queued_bytes = stats.queued_bytes,
        incoming_bytes = stats.incoming_bytes,
        "counters"
    );
}

/// Connections that may wait to be accepted, as far as the system allows it (`somaxconn`). The usual 128 are full at once
/// when the spokes of a hub that was restarted come back.
const BACKLOG: u32 = 65_535;

/// Listens on the first address that can be had.
fn bind(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As for every server: the port is free again at once after an end.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        match socket.bind(*address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn listen(loaded: &Loaded) -> Result<TcpListener, Failure> {
    let (at, named) = (&loaded.options.listen, loaded.naming("listen"));
    let bad = |error: io::Error| {
        Failure::input(format!("{named} {at:?}: {error}; an address looks like 127.0.0.1:8484"))
    };
    let addresses: Vec<_> = tokio::net::lookup_host(at).await.map_err(bad)?.collect();
    if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback())
        && !loaded.options.insecure.0
    {
        return Err(Failure::input(format!(
            "{named} {open} is not a loopback address, and whoever reaches it may hear and publish everything; \
             add --insecure if that is meant"
        )));
    }
    bind(&addresses).map_err(|error| {
        Failure::connection(format!("cannot listen on {at}: {error}; --listen takes another address"))
    })
}

fn server_options(given: &HubOptions) -> ServerOptions {
    let fan_out = match given.fan_out {
        To::Subscribed => FanOut::Subscribed,
        To::All => FanOut::All,
    };
    let origins = Origins::allow(given.allow_origin.iter().map(|origin| &*origin.0));
    let mut options =
        ServerOptions::new().relay().fan_out(fan_out).origins(origins).limits(hub_limits(given));
    options.hub.handshake_timeout = given.handshake_timeout.0;
    options.hub.drain_window = given.drain_window.0;
    options.health = given.health.0;
    options.hub.shards = given.shards.0;
    options
}

fn hub_limits(given: &HubOptions) -> HubLimits {
    let mut limits = HubLimits::DEFAULT;
    limits.message.max_message = given.max_message.0;
    limits.message.max_depth = given.max_depth.0;
    limits.max_topic = given.max_topic.0;
    limits.max_topics_per_link = given.max_topics_per_link.0;
    limits.max_links = given.max_links.0;
    limits.max_outbound = given.max_outbound.0;
    limits.max_outbound_messages = given.max_outbound_messages.0;
    limits.max_outbound_total = given.max_outbound_total.0;
    limits.max_incoming_total = given.max_incoming_total.0;
    limits.ping_interval = given.ping_interval.0;
    limits.ping_timeout = given.ping_timeout.0;
    limits
}

#[cfg(unix)]
mod unix {
    use super::{Failure, Loaded};
    pub(super) use alkpubsub::unix_socket::UnixSocketListener as Listener;

    /// Listens on all of `--unix`.
    pub(super) fn listen(loaded: &Loaded) -> Result<Vec<Listener>, Failure> {
        let options = &loaded.options;
        let bind = |path: &crate::values::SocketPath| {
            Listener::bind_with_mode(&path.0, options.unix_mode.0)
                .map_err(|error| Failure::connection(format!("{}: {error}", loaded.naming("unix"))))
        };
        options.unix.iter().map(bind).collect()
    }
}

#[cfg(not(unix))]
mod unix {
    use super::{ByteStreamHubEventTarget, Failure, Loaded};
    use std::io;
    use std::path::Path;

    /// There are none.
    pub(super) enum Listener {}

    impl Listener {
        pub(super) fn path(&self) -> &Path {
            match *self {}
        }

        pub(super) async fn serve(self, _: &ByteStreamHubEventTarget) -> io::Result<()> {
            match self {}
        }
    }

    pub(super) fn listen(loaded: &Loaded) -> Result<Vec<Listener>, Failure> {
        if loaded.options.unix.is_empty() {
            return Ok(Vec::new());
        }
        Err(Failure::input(format!("{}: there are no Unix sockets on this system", loaded.naming("unix"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    /// The fields of a value, as `Debug` shows them.
    fn fields(value: &impl std::fmt::Debug) -> Vec<String> {
        format!("{value:?}").split([',', '{', '}']).map(str::to_owned).collect()
    }

    /// Also one that the library will have some day.
    #[test]
    fn each_limit_of_the_library_is_an_option() {
        let known = <HubOptions as clap::Args>::augment_args(clap::Command::new("hub"));
        let limits =
            known.get_arguments().filter_map(|option| match option.get_value_names()?.first()?.as_str() {
                "BYTES" | "LEVELS" | "TOPICS" | "CONNECTIONS" | "MESSAGES" => {
                    Some((option.get_long()?, "77"))
                }
                "TIME" => Some((option.get_long()?, "77s")),
                _ => None,
            });
        let said = limits.map(|(flag, value)| format!("--{flag}={value}"));
        let words = ["alkpubsub", "hub"].map(str::to_owned).into_iter().chain(said);
        let Command::Hub(hub) = Args::try_parse_from(words).unwrap().command else { unreachable!() };
        let (changed, default) = (fields(&hub_limits(&hub.options)), fields(&HubLimits::DEFAULT));
        assert_eq!(changed.len(), default.len());
        for (changed, default) in changed.iter().zip(&default).filter(|(_, default)| default.contains(": ")) {
            assert!(
                changed != default || default.ends_with(": MessageLimits "),
                "{default} is no option of the hub"
            );
        }
        let options = server_options(&hub.options);
        let times = [options.hub.handshake_timeout, options.hub.drain_window, hub.options.drain_limit.0];
        assert_eq!(times.map(|time| time.as_secs()), [77; 3]);
    }
}
