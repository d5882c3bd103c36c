//! The way of `pub` and `sub` to a hub over iroh.

use super::key::Key;
use crate::failure::Failure;
use crate::link::Link;
use ::iroh::{Endpoint, EndpointAddr};
use alkpubsub::iroh::{address_of, endpoint_for};
use alkpubsub::{ByteStreamOptions, ConnectError, IrohSpokeEventTarget, Spoke, SpokeOptions};
use std::path::Path;
use std::sync::Arc;

/// A hub's address, and an endpoint that can get there.
pub(crate) struct Way {
    hub: EndpointAddr,
    endpoint: Endpoint,
    _key: Key,
}

impl Way {
    pub(crate) async fn to(url: &str, key: Option<&Path>) -> Result<Self, Failure> {
        let wrong = |error: ConnectError| match error {
            ConnectError::BadUrl { why } => Failure::input(format!(
                "{why}; `alkpubsub hub --iroh` prints one, as in `listening on iroh:…`"
            )),
            other => Failure::input(other.to_string()),
        };
        let hub = address_of(url).map_err(wrong)?;
        let key = Key::take(key)?;
        let endpoint = endpoint_for(&hub).secret_key(key.secret.clone()).bind().await;
        let endpoint =
            endpoint.map_err(|error| Failure::connection(format!("cannot start iroh: {error}")))?;
        Ok(Self { hub, endpoint, _key: key })
    }

    pub(crate) async fn spoke(&self, options: SpokeOptions) -> Result<Spoke, ConnectError> {
        Spoke::iroh(&self.endpoint, self.hub.clone(), options).await
    }

    pub(crate) async fn link(&self, options: ByteStreamOptions) -> Result<Link, ConnectError> {
        let target = IrohSpokeEventTarget::connect(&self.endpoint, self.hub.clone(), options).await?;
        Ok(Link::Iroh(Arc::new(target)))
    }

    /// Until the hub knows that its spoke has gone, or can be thought to.
    pub(crate) async fn close(&self) {
        self.endpoint.close().await;
    }
}
