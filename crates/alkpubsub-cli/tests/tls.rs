//! `pub` and `sub` at a hub behind a proxy that speaks TLS.

mod program;

use program::{Listener, Program, Scratch, in_time, run};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A proxy with a certificate for `localhost`; it ends with this value.
struct Proxy {
    url: String,
    /// The authority that vouches for it.
    authority: Scratch,
    serving: JoinHandle<()>,
}

impl Proxy {
    async fn before(hub: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = Scratch::with(&params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
        let hub = hub.strip_prefix("ws://").unwrap().trim_end_matches('/').to_owned();
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, hub) = (acceptor.clone(), hub.clone());
                connections.spawn(async move {
                    let Ok(mut here) = acceptor.accept(stream).await else { return };
                    let mut there = TcpStream::connect(hub).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut here, &mut there).await);
                });
            }
        });
        Self { url, authority, serving }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn events_pass_over_tls() {
    let (_hub, url) = Program::hub(&[]).await;
    let proxy = Proxy::before(&url).await;
    let ca = ["--ca", proxy.authority.path()];
    let mut sub = Program::start(["sub", &proxy.url, "a", "b", "--log", "alkpubsub=info"].iter().chain(&ca));
    assert!(sub.said().await.contains("subscribed"));
    run(&["pub", &proxy.url, "a", "b", "1", ca[0], ca[1]]).await.assert(0, "");
    assert_eq!(sub.line().await, r#"{"type":"a","id":"b","payload":1}"#);
    // The system's authorities are those of this variable.
    let variables = [("SSL_CERT_FILE", proxy.authority.path())];
    Program::start_in(["pub", &proxy.url, "a", "b", "2"], &variables).ended().await.assert(0, "");
    assert_eq!(sub.line().await, r#"{"type":"a","id":"b","payload":2}"#);
    sub.signal("TERM").await;
    sub.ended().await;
}

#[tokio::test]
async fn what_is_not_trusted_is_told() {
    let (_hub, url) = Program::hub(&[]).await;
    let (proxy, other) = (Proxy::before(&url).await, Proxy::before(&url).await);
    let not_trusted =
        "not signed by an authority that is trusted here; with --ca, those in its file alone are";
    run(&["sub", &proxy.url, "a", "b", "--ca", other.authority.path()]).await.assert(1, not_trusted);
    // `--ca` takes the place of the system's authorities.
    let variables = [("SSL_CERT_FILE", proxy.authority.path())];
    let args = ["pub", &*proxy.url, "a", "b", "1", "--ca", other.authority.path()];
    Program::start_in(args, &variables).ended().await.assert(1, not_trusted);
    let by_address = proxy.url.replace("localhost", "127.0.0.1");
    let ca = proxy.authority.path();
    run(&["pub", &by_address, "a", "b", "1", "--ca", ca])
        .await
        .assert(1, "its certificate is not for this host name");
    let plain = url.replace("ws://", "wss://");
    run(&["pub", &plain, "a", "b", "1", "--ca", ca]).await.assert(1, "is it meant to be `ws:`?");
}

#[tokio::test]
async fn headers_are_sent_and_shown_nowhere() {
    let (listener, url) = Listener::bind().await;
    let file = Scratch::with("X-From-File: s3cret\n\nX-Other: s3cret-too\n");
    let from_file = format!("@{}", file.path());
    let headers = ["--header", "Authorization: Bearer s3cret", "--header", &from_file, "--log", "trace"];
    let publish = Program::start(["pub", &url, "a", "b", "1"].iter().chain(&headers));
    let request = in_time(listener.refuse(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")).await;
    for header in ["authorization: Bearer s3cret", "x-from-file: s3cret", "x-other: s3cret-too"] {
        assert!(request.lines().any(|line| line.eq_ignore_ascii_case(header)), "{header} in {request}");
    }
    let ended = publish.ended().await;
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("401: it wants a token") && !ended.stderr.contains("s3cret"), "{ended:?}");
    // Nor where it is wrong.
    for header in
        ["Authorization Bearer s3cret", "Authorization: s3cret\x07", "Upgrade: s3cret", "s3 cret: x"]
    {
        let ended = run(&["pub", &url, "a", "b", "1", "--header", header]).await;
        ended.assert(2, "header");
        assert!(!ended.stderr.contains("cret"), "{ended:?}");
    }
}

#[tokio::test]
async fn redirects_are_told() {
    let (listener, url) = Listener::bind().await;
    let answer = b"HTTP/1.1 302 Found\r\nLocation: wss://other.example/\r\nContent-Length: 0\r\n\r\n";
    let (ended, _) = tokio::join!(run(&["sub", &url, "a", "b"]), listener.refuse(answer));
    ended.assert(1, "redirects to wss://other.example/ (HTTP status 302), which is not followed");
}
