//! Links over iroh, where peers are known by their keys: what carries them, and their two ends.

#[cfg(feature = "iroh-hub")]
mod hub;
#[cfg(feature = "iroh-spoke")]
mod spoke;
mod stream;
#[cfg(feature = "iroh-ticket")]
mod ticket;

#[cfg(feature = "iroh-hub")]
pub use hub::IrohHubEventTarget;
#[cfg(feature = "iroh-spoke")]
pub use spoke::IrohSpokeEventTarget;
#[cfg(feature = "iroh-ticket")]
pub(crate) use ticket::connect;
#[cfg(feature = "iroh-ticket")]
pub use ticket::{address_of, endpoint_for, url_of};

/// What both ends of a connection ask for by ALPN: version 1 of the protocol.
pub const ALPN: &[u8] = b"alkpubsub/1";
