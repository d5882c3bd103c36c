//! An endpoint: a key, and the relays by which it reaches others.

use crate::crypto;
use crate::stream::Stream;
use iroh::endpoint::{ConnectionError, presets};
use iroh::{EndpointAddr, EndpointId, RelayMode, RelayUrl, SecretKey};
use iroh_tickets::endpoint::EndpointTicket;
use n0_future::time::timeout;
use std::error::Error;
use std::time::Duration;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// An endpoint of iroh's.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Endpoint {
    endpoint: iroh::Endpoint,
    relays: Vec<RelayUrl>,
}

#[wasm_bindgen]
impl Endpoint {
    /// One that reaches others by these relays, with this key or a new one.
    ///
    /// # Errors
    /// An address is none, or the key has not 32 bytes.
    pub async fn bind(relays: Vec<String>, secret_key: Option<Box<[u8]>>) -> Result<Self, JsError> {
        let relays = relays.iter().map(|url| url.parse()).collect::<Result<Vec<RelayUrl>, _>>()?;
        let mut builder = iroh::Endpoint::builder(presets::Empty)
            .crypto_provider(crypto::provider())
            .ca_tls_config(crypto::certificates())
            .relay_mode(RelayMode::custom(relays.clone()));
        if let Some(key) = secret_key {
            let key = key.as_ref().try_into().map_err(|_| JsError::new("a secret key has 32 bytes"))?;
            builder = builder.secret_key(SecretKey::from_bytes(key));
        }
        Ok(Self { endpoint: builder.bind().await?, relays })
    }

    /// Its public key.
    #[must_use]
    pub fn id(&self) -> String {
        self.endpoint.id().to_string()
    }

    /// Its secret key.
    #[wasm_bindgen(js_name = secretKey)]
    #[must_use]
    pub fn secret_key(&self) -> Box<[u8]> {
        self.endpoint.secret_key().to_bytes().into()
    }

    /// Connects to a hub: a ticket, or an id, and the relay at which it is; ours where none is named.
    ///
    /// # Errors
    /// What is no address, or why nothing with this key answered within so many milliseconds. A hub that refused us is a
    /// stream that it has ended.
    pub async fn connect(
        &self,
        hub: String,
        relay: Option<String>,
        alpn: String,
        max_message: u32,
        patience: u32,
    ) -> Result<Stream, JsError> {
        let hub = self.address(&hub, relay)?;
        let id = hub.id;
        let unreachable = |why: &str| JsError::new(&format!("cannot reach {id}: {why}"));
        let connecting = self.endpoint.connect(hub, alpn.as_bytes());
        let connection = timeout(Duration::from_millis(patience.into()), connecting).await;
        match connection.map_err(|_| unreachable("nothing has answered in time"))? {
            Ok(connection) => Ok(Stream::open(self.endpoint.clone(), connection, max_message as usize).await),
            Err(error) => match closed_by_hub(&error) {
                // How soon the hub's word arrives is chance: it is told in one way alone.
                Some(closed) => Ok(Stream::ended(&closed)),
                None => Err(unreachable(&chain(&error))),
            },
        }
    }

    /// Closes it, and what is left of its connections.
    pub async fn close(&self) {
        self.endpoint.close().await;
    }

    fn address(&self, hub: &str, relay: Option<String>) -> Result<EndpointAddr, JsError> {
        let hub = hub.strip_prefix("iroh:").unwrap_or(hub);
        let mut address = match hub.parse::<EndpointTicket>() {
            Ok(ticket) => ticket.endpoint_addr().clone(),
            Err(_) => hub.parse::<EndpointId>().map_err(|_| JsError::new(NO_HUB))?.into(),
        };
        if let Some(relay) = relay {
            address = address.with_relay_url(relay.parse()?);
        }
        if address.relay_urls().next().is_none() {
            address = self.relays.iter().cloned().fold(address, EndpointAddr::with_relay_url);
        }
        if address.relay_urls().next().is_none() {
            return Err(JsError::new(NO_RELAY));
        }
        Ok(address)
    }
}

const NO_HUB: &str = "this is neither an id nor a ticket of iroh's";
const NO_RELAY: &str = "no relay is known by which to reach the hub: its ticket names one where it was started with one \
                        (--iroh-relay); else give it beside its id, or to the endpoint";

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn closed_by_hub(error: &(dyn Error + 'static)) -> Option<ConnectionError> {
    let error = causes(error).find_map(|error| error.downcast_ref())?;
    matches!(error, ConnectionError::ApplicationClosed(_)).then(|| error.clone())
}

/// An error of iroh's names the step that failed, and what it stands on says why.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = causes(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}
