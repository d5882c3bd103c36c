//! What a connection of iroh's is encrypted with, and nothing beside it: with all that ring can do for certificates, the
//! module would be longer by what `docs/adr/0019-iroh-in-browsers.md` tells.

use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use std::sync::Arc;

/// Both ends have these: QUIC's first packets are in that suite, whatever is agreed on.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        // Keys take the place of certificates, and iroh checks them itself.
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &Host,
        key_provider: &Host,
    })
}

#[derive(Debug)]
struct Host;

impl SecureRandom for Host {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(buffer).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Host {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("an endpoint's key is iroh's own to use".to_owned()))
    }
}
