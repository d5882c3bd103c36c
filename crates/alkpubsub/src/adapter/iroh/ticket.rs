//! Hubs by URL: `iroh:` and a ticket of iroh's, which holds a key and where its owner may be found.

use super::spoke::IrohSpokeEventTarget;
use crate::adapter::byte_stream::ByteStreamOptions;
use crate::connect::ConnectError;
use iroh::endpoint::{Builder, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode};
use iroh_tickets::endpoint::EndpointTicket;

/// The URL of the hub at this address: `iroh:` and a ticket of iroh's own, as the hub program prints it.
///
/// ```
/// use alkpubsub::iroh::{address_of, url_of};
/// use iroh::EndpointAddr;
///
/// let hub = EndpointAddr::from(iroh::SecretKey::from_bytes(&[7; 32]).public()).with_ip_addr("127.0.0.1:8485".parse()?);
/// let url = url_of(hub.clone());
/// assert!(url.starts_with("iroh:endpoint"));
/// assert_eq!(address_of(&url)?, hub);
/// // An id alone will do where the hub is found by n0's name servers.
/// assert_eq!(address_of(&format!("iroh:{}", hub.id))?.id, hub.id);
/// assert!(address_of("iroh:endpointabc").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn url_of(hub: impl Into<EndpointAddr>) -> String {
    format!("iroh:{}", EndpointTicket::from(hub.into()))
}

/// The address that an `iroh:` URL holds: that of a ticket, or an id and nothing else.
///
/// # Errors
/// [`ConnectError::BadUrl`]: it holds neither.
pub fn address_of(url: &str) -> Result<EndpointAddr, ConnectError> {
    let ticket = url.split_once(':').map_or("", |(_, ticket)| ticket);
    if let Ok(id) = ticket.parse::<EndpointId>() {
        return Ok(id.into());
    }
    ticket.parse::<EndpointTicket>().map(EndpointAddr::from).map_err(|error| {
        let why =
            format!("`iroh:` is followed by the ticket of a hub, or by its id, and this is neither: {error}");
        ConnectError::BadUrl { why }
    })
}

/// What an endpoint needs to reach this hub, beside a key of its own: the relays that the address names. Of n0's public
/// ones all are used, and n0's name servers are asked for a hub that has moved; as they are where there is an id alone.
/// Where the address has sockets alone, nobody else is asked for anything.
#[must_use]
pub fn endpoint_for(hub: &EndpointAddr) -> Builder {
    let of_n0 = RelayMode::Default.relay_map();
    if hub.is_empty() || hub.relay_urls().any(|relay| of_n0.contains(relay)) {
        return Endpoint::builder(presets::N0);
    }
    let relays: Vec<_> = hub.relay_urls().cloned().collect();
    let mode = if relays.is_empty() { RelayMode::Disabled } else { RelayMode::custom(relays) };
    Endpoint::builder(presets::Minimal).relay_mode(mode)
}

/// Connects with an endpoint that is made for it, and with a key for this time alone.
pub(crate) async fn connect(url: &str) -> Result<IrohSpokeEventTarget, ConnectError> {
    let hub = address_of(url)?;
    let endpoint = endpoint_for(&hub).bind().await.map_err(ConnectError::other)?;
    IrohSpokeEventTarget::connect_owning(endpoint, hub, ByteStreamOptions::DEFAULT).await
}
