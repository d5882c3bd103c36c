//! The hub's face to iroh: an endpoint, who may come, and the ticket by which it is found.

use super::key::Key;
use crate::config::Loaded;
use crate::failure::Failure;
use crate::values::{Allowed, Relay};
use ::iroh::endpoint::{BindOpts, Builder, presets};
use ::iroh::protocol::Router;
use ::iroh::{Endpoint, EndpointId, RelayMode, RelayUrl};
use alkpubsub::IrohHubEventTarget;
use alkpubsub::hub::SharedHub;
use alkpubsub::iroh::{ALPN, url_of};
use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// How long the first word of a relay is waited for, before the ticket says what is known.
const ONLINE: Duration = Duration::from_secs(5);

/// The endpoint, and the router on it from when there is a hub.
pub(crate) struct Face {
    endpoint: Endpoint,
    router: Option<Router>,
    allowed: HashSet<EndpointId>,
    relay: Option<RelayUrl>,
    waits_for_relay: bool,
    _key: Key,
}

impl Face {
    /// The one that `--iroh` asks for, not served yet.
    pub(crate) async fn bind(loaded: &Loaded) -> Result<Option<Self>, Failure> {
        let options = &loaded.options;
        if !options.iroh.0 {
            return Ok(None);
        }
        let allowed = allowed(&options.iroh_allow, &loaded.naming("iroh-allow"))?;
        // Whoever may come has said who they are, or may be anybody.
        let for_others = !allowed.is_empty() || options.insecure.0;
        let (builder, relay) = relay(loaded, for_others)?;
        let host = if for_others { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let key = Key::take(options.iroh_key.path())?;
        let mut builder = builder.secret_key(key.secret.clone()).clear_ip_transports();
        match options.iroh_port.0 {
            Some(port) => {
                let wrong = |error| Failure::input(format!("{}: {error}", loaded.naming("iroh-port")));
                builder = builder.bind_addr((host, port)).map_err(wrong)?;
                if for_others {
                    let if_there_is_any = BindOpts::default().set_is_required(false);
                    builder = builder
                        .bind_addr_with_opts((Ipv6Addr::UNSPECIFIED, port), if_there_is_any)
                        .map_err(wrong)?;
                }
            }
            None if options.iroh_relay == Relay::None => {
                return Err(Failure::input(format!(
                    "{} none leaves no way to the hub; --iroh-relay names one",
                    loaded.naming("iroh-port")
                )));
            }
            None => {}
        }
        let endpoint = builder.bind().await.map_err(|error| {
            let words = chain(&error);
            Failure::connection(format!("cannot listen over iroh: {words}; --iroh-port takes another port"))
        })?;
        let waits_for_relay = options.iroh_relay != Relay::None;
        Ok(Some(Self { endpoint, router: None, allowed, relay, waits_for_relay, _key: key }))
    }

    pub(crate) fn serve(&mut self, hub: SharedHub) {
        let mut hub = IrohHubEventTarget::of(hub);
        if !self.allowed.is_empty() {
            hub = hub.allow(self.allowed.drain());
        }
        self.router = Some(Router::builder(self.endpoint.clone()).accept(ALPN, hub).spawn());
    }

    /// The URL for `sub` and `pub`, as soon as a relay is found, if one is to be.
    pub(crate) async fn url(&self) -> String {
        if self.waits_for_relay && tokio::time::timeout(ONLINE, self.endpoint.online()).await.is_err() {
            tracing::warn!("no relay has answered within {} s; the hub goes on asking", ONLINE.as_secs());
        }
        let mut address = self.endpoint.addr();
        if let Some(relay) = &self.relay {
            address = address.with_relay_url(relay.clone());
        }
        tracing::info!(id = %address.id, paths = address.addrs.len(), "listening");
        url_of(address)
    }

    /// Waits, so long at most, until each spoke has been told that it is over.
    pub(crate) async fn shutdown(&self, within: Duration) {
        let done = async {
            if let Some(router) = &self.router {
                drop(router.shutdown().await);
            }
            self.endpoint.close().await;
        };
        if tokio::time::timeout(within, done).await.is_err() {
            // It would complain that it was not closed, which was tried: the program ends.
            std::mem::forget(self.endpoint.clone());
        }
    }
}

/// All the ids, those of files included.
fn allowed(given: &[Allowed], naming: &str) -> Result<HashSet<EndpointId>, Failure> {
    let mut ids = HashSet::new();
    for Allowed(text) in given {
        if let Ok(id) = text.parse() {
            ids.insert(id);
            continue;
        }
        let list = fs::read_to_string(text).map_err(|error| {
            Failure::input(format!(
                "{naming} {text:?} is no id, and cannot be read as a file of ids: {error}"
            ))
        })?;
        let mut empty = true;
        for (at, line) in list.lines().enumerate() {
            let id = line.split('#').next().unwrap_or_default().trim();
            if id.is_empty() {
                continue;
            }
            empty = false;
            let id = id.parse().map_err(|_| {
                Failure::input(format!("{text}:{}: {id:?} is no id, which is 64 hexadecimal digits", at + 1))
            })?;
            ids.insert(id);
        }
        if empty {
            return Err(Failure::input(format!("{naming} {text}: there is no id in it")));
        }
    }
    Ok(ids)
}

/// An endpoint's beginning, and the relay that its ticket names in any case.
fn relay(loaded: &Loaded, for_others: bool) -> Result<(Builder, Option<RelayUrl>), Failure> {
    let (named, given) = (loaded.naming("iroh-relay"), &loaded.options.iroh_relay);
    if !for_others && *given != Relay::None {
        return Err(Failure::input(format!(
            "{named} {given}: whoever has the ticket may hear and publish everything; --iroh-allow says who may come, \
             or add --insecure if that is meant"
        )));
    }
    Ok(match given {
        Relay::None => (Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled), None),
        Relay::Default => (Endpoint::builder(presets::N0), None),
        Relay::Url(url) => {
            let relay: RelayUrl =
                url.parse().map_err(|error| Failure::input(format!("{named} {url:?}: {error}")))?;
            let mode = RelayMode::custom([relay.clone()]);
            (Endpoint::builder(presets::Minimal).relay_mode(mode), Some(relay))
        }
    })
}

/// An error of iroh's names the step that failed, and what it stands on says why.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
