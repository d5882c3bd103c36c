//! TLS below the WebSocket: rustls with ring.

use crate::connect::TlsProblem;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// Which authorities may vouch for a hub that is connected to by `wss:`.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsRoots {
    /// Those that the system trusts, read anew for each connection; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others,
    /// as for OpenSSL.
    #[default]
    System,
    /// These certificates, in PEM, and no others: a file as `curl --cacert` takes it.
    Pem(Arc<[u8]>),
}

impl TlsRoots {
    /// The certificates of a PEM file, checked now rather than when they are used.
    ///
    /// # Errors
    /// [`TlsProblem::NoRoots`]: it holds none, or one that cannot be read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use alkpubsub::{ClientOptions, ConnectError, TlsProblem, TlsRoots, WebSocketClientEventTarget};
    ///
    /// let mut options = ClientOptions::DEFAULT;
    /// match TlsRoots::pem(&b"not a certificate"[..]) {
    ///     Ok(roots) => options.handshake.tls_roots = roots,
    ///     Err(problem) => assert!(matches!(problem, TlsProblem::NoRoots { .. })),
    /// }
    /// // A server that speaks no TLS, or whose certificate is not trusted, is a `ConnectError::Tls`.
    /// # let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    /// let error = WebSocketClientEventTarget::connect_with(&format!("wss://127.0.0.1:{nobody}"), options).await;
    /// assert!(matches!(error.unwrap_err(), ConnectError::Unreachable { .. }));
    /// # }
    /// ```
    pub fn pem(pem: impl Into<Arc<[u8]>>) -> Result<Self, TlsProblem> {
        let pem = pem.into();
        roots_in(&pem).map(|_| Self::Pem(pem))
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Pem(pem) => write!(f, "Pem({} bytes)", pem.len()),
        }
    }
}

/// Shakes hands with the server, whose certificate has to be for this host.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    roots: &TlsRoots,
) -> Result<TlsStream<TcpStream>, TlsProblem> {
    let roots = match roots {
        TlsRoots::System => {
            // It reads files.
            let reading = tokio::task::spawn_blocking(system_roots).await;
            reading.map_err(|error| TlsProblem::NoRoots { why: error.to_string() })??
        }
        TlsRoots::Pem(pem) => roots_in(pem)?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsProblem::Other { why: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A server that speaks other versions of HTTP too would choose one that has no WebSocket.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsProblem::Other {
        why: format!("`{host}` is no name that a certificate could be for"),
    })?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| problem(&error))
}

fn system_roots() -> Result<RootCertStore, TlsProblem> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = match found.errors.first() {
            Some(error) => error.to_string(),
            None => "the system has no file of them".into(),
        };
        return Err(TlsProblem::NoRoots { why });
    }
    Ok(roots)
}

fn roots_in(pem: &[u8]) -> Result<RootCertStore, TlsProblem> {
    let bad = |why: String| TlsProblem::NoRoots { why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(format!("this is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| bad(format!("a certificate cannot be read: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad("the PEM holds no certificate".into()));
    }
    Ok(roots)
}

fn problem(error: &io::Error) -> TlsProblem {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, InvalidPurpose, InvalidPurposeContext, NotValidForName,
        NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(wrong)) => match wrong {
            // A bad signature: an authority of the same name is trusted, with another key.
            UnknownIssuer | BadSignature | InvalidPurpose | InvalidPurposeContext { .. } => {
                TlsProblem::NotTrusted
            }
            NotValidForName | NotValidForNameContext { .. } => TlsProblem::WrongHost,
            Expired | ExpiredContext { .. } => TlsProblem::Expired,
            NotValidYet | NotValidYetContext { .. } => TlsProblem::NotYetValid,
            // One that signed itself, and says that it is an authority.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                TlsProblem::NotTrusted
            }
            other => TlsProblem::Other { why: other.to_string() },
        },
        Some(Error::InvalidMessage(_)) => TlsProblem::NotTls,
        Some(other) => TlsProblem::Other { why: other.to_string() },
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            TlsProblem::Other { why: "the connection was cut within the TLS handshake".into() }
        }
        None => TlsProblem::Other { why: error.to_string() },
    }
}
