//! The one item of `webpki-roots` that iroh names. Its 56 KB of certificates would be loaded by every page, and asked by
//! none: connections to relays are the browser's to make, and iroh's own go by keys.

use rustls_pki_types::TrustAnchor;

/// None.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];
