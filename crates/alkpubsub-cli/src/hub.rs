//! `alkpubsub hub`

use crate::args::{Hub, Limits, To};
use crate::failure::Failure;
use crate::signals::Signals;
use alkpubsub::WebSocketServerEventTarget;
use alkpubsub::websocket_server::{FanOut, HubLimits, Origins, ServerOptions};
use std::io::{self, Write};
use tokio::net::TcpListener;

pub(crate) async fn run(args: Hub) -> Result<(), Failure> {
    let drain = args.limits.drain.into();
    let listener = listen(&args).await?;
    let address = listener.local_addr().map_err(|error| Failure::connection(error.to_string()))?;
    let hub = WebSocketServerEventTarget::new(options(args));
    // Before the line, so that whoever has read it can end the hub in good order.
    let mut signals = Signals::listen()?;
    announce(&format!("listening on ws://{address}/"))?;
    tokio::select! {
        served = hub.serve(listener) => {
            return served.map_err(|error| Failure::connection(format!("cannot accept connections: {error}")));
        }
        () = signals.next() => tracing::info!("shutting down"),
    }
    tokio::select! {
        () = hub.shutdown(drain) => {}
        () = signals.next() => tracing::warn!("ending at once"),
    }
    Ok(())
}

async fn listen(args: &Hub) -> Result<TcpListener, Failure> {
    let at = &args.listen;
    let bad = |error: io::Error| {
        Failure::input(format!("--listen {at:?}: {error}; an address looks like 127.0.0.1:8484"))
    };
    let addresses: Vec<_> = tokio::net::lookup_host(at).await.map_err(bad)?.collect();
    if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback())
        && !args.insecure
    {
        return Err(Failure::input(format!(
            "--listen {open} is not a loopback address, and whoever reaches it may hear and publish everything; \
             add --insecure if that is meant"
        )));
    }
    TcpListener::bind(&*addresses).await.map_err(|error| {
        Failure::connection(format!("cannot listen on {at}: {error}; --listen takes another address"))
    })
}

fn options(args: Hub) -> ServerOptions {
    let Hub { fan_out, allow_origin, limits, .. } = args;
    let fan_out = match fan_out {
        To::Subscribed => FanOut::Subscribed,
        To::All => FanOut::All,
    };
    let mut options = ServerOptions::new()
        .relay()
        .fan_out(fan_out)
        .origins(Origins::allow(allow_origin))
        .limits(hub_limits(&limits));
    options.handshake_timeout = limits.handshake_timeout.into();
    options
}

fn hub_limits(args: &Limits) -> HubLimits {
    let mut limits = HubLimits::DEFAULT;
    limits.message.max_message = args.max_message.0;
    limits.message.max_depth = args.max_depth;
    limits.max_topic = args.max_topic.0;
    limits.max_topics_per_link = args.max_topics_per_link;
    limits.max_links = args.max_links;
    limits.max_outbound = args.max_outbound.0;
    limits.max_outbound_messages = args.max_outbound_messages;
    limits.max_outbound_total = args.max_outbound_total.0;
    limits.max_incoming_total = args.max_incoming_total.0;
    limits.ping_interval = args.ping_interval.into();
    limits.ping_timeout = args.ping_timeout.into();
    limits
}

/// A hub whose starter does not read on is still a hub.
fn announce(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::connection(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
