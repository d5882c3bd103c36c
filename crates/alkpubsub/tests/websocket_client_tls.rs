//! `wss:` against real TLS servers: what is trusted, what is not, and how it is said.

use alkpubsub::{
    ClientOptions, CloseReason, ConnectError, EventTarget, PubSub, RequestHeader, TlsProblem, TlsRoots,
    WebSocketClientEventTarget,
};
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// An authority that vouches for servers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// What trusts it, and nobody else.
    fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::DEFAULT;
        options.handshake.tls_roots = TlsRoots::Pem(self.pem.as_bytes().into());
        options
    }

    /// A server with a certificate of this authority for these names.
    async fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Server {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Server::start(certificate.der().clone(), &key).await
    }
}

struct Server {
    acceptor: TlsAcceptor,
    listener: TcpListener,
    port: u16,
}

type Peer = WebSocketStream<TlsStream<TcpStream>>;

impl Server {
    async fn start(certificate: CertificateDer<'static>, key: &KeyPair) -> Self {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        // As a server that would rather speak another version.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), listener, port }
    }

    fn url(&self, host: &str) -> String {
        format!("wss://{host}:{}/events?a=b", self.port)
    }

    /// The TLS connection that comes, or how it failed.
    async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await
    }

    /// The WebSocket that comes, and its request.
    async fn accept(&self) -> (Peer, Request) {
        let mut seen = None;
        let stream = self.tls().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        #[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
        let socket = accept_hdr_async(stream, |request: &Request, mut response: Response| {
            if let Some(offer) = request.headers().get("sec-websocket-protocol") {
                assert_eq!(offer, "token.abc, alkpubsub.1");
                response.headers_mut().insert("sec-websocket-protocol", "alkpubsub.1".parse().unwrap());
            }
            seen = Some(request.clone());
            Ok(response)
        });
        (socket.await.unwrap(), seen.unwrap())
    }

    /// Why a client does not connect.
    async fn refused(&self, host: &str, options: ClientOptions) -> TlsProblem {
        let url = self.url(host);
        let (connected, _) = in_time(async {
            tokio::join!(WebSocketClientEventTarget::connect_with(&url, options), self.tls())
        })
        .await;
        problem(connected.unwrap_err())
    }
}

fn problem(error: ConnectError) -> TlsProblem {
    let ConnectError::Tls { problem, .. } = error else { panic!("{error:?}") };
    problem
}

#[tokio::test]
async fn events_go_both_ways_and_the_request_says_what_it_was_given() {
    let authority = Authority::new();
    for host in ["localhost", "127.0.0.1"] {
        let server = authority.server(&[host], |_| {}).await;
        let mut options = authority.options();
        options.message.max_message = 4 << 20;
        options.link.max_queued_bytes = 8 << 20;
        options.handshake.headers.push(RequestHeader::new("Authorization", "Bearer s3cret").unwrap());
        options.handshake.headers.push(RequestHeader::new("X-Twice", "1").unwrap());
        options.handshake.headers.push(RequestHeader::new("X-Twice", "2").unwrap());
        options.handshake.subprotocols = vec!["token.abc".into(), "alkpubsub.1".into()];
        let shown = format!("{options:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("token.abc"), "{shown}");
        let url = server.url(host);
        let (target, (mut peer, request)) = in_time(async {
            tokio::join!(WebSocketClientEventTarget::connect_with(&url, options), server.accept())
        })
        .await;
        assert_eq!(request.uri(), "/events?a=b");
        assert_eq!(request.headers()["host"], format!("{host}:{}", server.port));
        assert_eq!(request.headers()["authorization"], "Bearer s3cret");
        let twice: Vec<_> = request.headers().get_all("x-twice").iter().collect();
        assert_eq!(twice, ["1", "2"]);

        let pubsub = PubSub::new(target.unwrap());
        let granting = async {
            let asked = peer.next().await.unwrap().unwrap().to_string();
            peer.send(Message::text(asked.replace("__subscribe", "__subscribed"))).await.unwrap();
        };
        let (events, ()) =
            in_time(async { tokio::join!(pubsub.subscribe_envelopes("a", "b"), granting) }).await;
        let mut events = events.unwrap();
        // More than any buffer on the way holds.
        let long = "x".repeat(2 << 20);
        pubsub.publish_json("a", "b", &long).await.unwrap();
        let echoed = async {
            let message = peer.next().await.unwrap().unwrap();
            peer.send(message).await.unwrap();
        };
        let (item, ()) = in_time(async { tokio::join!(events.next(), echoed) }).await;
        let item = item.unwrap();
        let alkpubsub::Item::Event(event) = item else { panic!("{item:?}") };
        assert_eq!(event.payload::<String>().unwrap(), long);

        pubsub.target().close();
        let closing = async {
            let Some(Ok(Message::Close(Some(frame)))) = peer.next().await else { panic!() };
            assert_eq!(u16::from(frame.code), 1000);
            assert!(peer.next().await.is_none_or(|end| end.is_err()));
            // The server ends the stream first.
            drop(peer);
        };
        let (reason, ()) = in_time(async { tokio::join!(pubsub.target().closed(), closing) }).await;
        assert_eq!(reason, CloseReason::Closed);
    }
}

/// As over TCP alone, whether TLS was ended or cut.
#[tokio::test]
async fn an_end_without_a_close_is_a_loss() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"], |_| {}).await;
    for tls_is_ended in [true, false] {
        let url = server.url("localhost");
        let connecting = WebSocketClientEventTarget::connect_with(&url, authority.options());
        let (target, (peer, _)) = in_time(async { tokio::join!(connecting, server.accept()) }).await;
        let (mut tcp, mut tls) = peer.into_inner().into_inner();
        let mut last_words = Vec::new();
        if tls_is_ended {
            tls.send_close_notify();
            tls.write_tls(&mut last_words).unwrap();
        }
        tcp.write_all(&last_words).await.unwrap();
        tcp.shutdown().await.unwrap();
        let reason = in_time(target.unwrap().closed()).await;
        let CloseReason::Lost { error } = &reason else { panic!("{reason:?}") };
        assert!(error.ends_with("Connection reset without closing handshake"), "{error}");
    }
}

#[tokio::test]
async fn each_reason_not_to_trust_has_its_name() {
    let authority = Authority::new();
    let good = authority.server(&["localhost"], |_| {}).await;
    assert_eq!(good.refused("localhost", Authority::new().options()).await, TlsProblem::NotTrusted);
    let by_the_system = good.refused("localhost", ClientOptions::DEFAULT).await;
    // A machine may have none.
    assert!(
        matches!(by_the_system, TlsProblem::NotTrusted | TlsProblem::NoRoots { .. }),
        "{by_the_system:?}"
    );
    assert_eq!(good.refused("127.0.0.1", authority.options()).await, TlsProblem::WrongHost);
    let other = authority.server(&["hub.example", "*.localhost"], |_| {}).await;
    assert_eq!(other.refused("localhost", authority.options()).await, TlsProblem::WrongHost);

    let old = authority.server(&["localhost"], |params| params.not_after = date_time_ymd(2020, 1, 1)).await;
    assert_eq!(old.refused("localhost", authority.options()).await, TlsProblem::Expired);
    let young =
        authority.server(&["localhost"], |params| params.not_before = date_time_ymd(2999, 1, 1)).await;
    assert_eq!(young.refused("localhost", authority.options()).await, TlsProblem::NotYetValid);

    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let signed_by_itself = Server::start(params.self_signed(&key).unwrap().der().clone(), &key).await;
        let refused = signed_by_itself.refused("localhost", authority.options()).await;
        assert_eq!(refused, TlsProblem::NotTrusted, "{is_ca:?}");
    }
}

#[tokio::test]
async fn a_url_chooses_tls_with_the_systems_authorities() {
    let server = Authority::new().server(&["localhost"], |_| {}).await;
    let url = server.url("localhost");
    let (connected, _) = in_time(async { tokio::join!(alkpubsub::connect(&url), server.tls()) }).await;
    let error = connected.err().unwrap();
    let words = format!("no TLS connection to localhost:{}: ", server.port);
    assert!(error.to_string().starts_with(&words), "{error}");
    assert!(matches!(problem(error), TlsProblem::NotTrusted | TlsProblem::NoRoots { .. }));
}

/// Answers whatever comes with these bytes and ends the connection.
async fn answering(answer: &'static [u8]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
    });
    (port, answering)
}

#[tokio::test]
async fn what_is_no_tls_is_said_to_be_none() {
    for (answer, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nthis is not HTTP/1.1\n"[..],
            TlsProblem::NotTls,
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n", TlsProblem::NotTls),
        (b"", TlsProblem::Other { why: "the connection was cut within the TLS handshake".into() }),
    ] {
        let (port, answering) = answering(answer).await;
        let options = Authority::new().options();
        let url = format!("wss://127.0.0.1:{port}");
        let error = in_time(WebSocketClientEventTarget::connect_with(&url, options)).await.unwrap_err();
        assert_eq!(problem(error), expected);
        in_time(answering).await.unwrap();
    }
    // Who accepts and says nothing is waited for no longer than for any other handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Authority::new().options();
    options.connect_timeout = Duration::from_millis(20);
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let error = in_time(WebSocketClientEventTarget::connect_with(&url, options)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_an_error_of_their_own() {
    let server = Authority::new().server(&["localhost"], |_| {}).await;
    for (pem, words) in [
        ("", "the PEM holds no certificate"),
        ("no PEM", "the PEM holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "this is not PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate cannot be read"),
    ] {
        let mut options = ClientOptions::DEFAULT;
        options.handshake.tls_roots = TlsRoots::Pem(pem.as_bytes().into());
        let problem = server.refused("localhost", options).await;
        let TlsProblem::NoRoots { why } = &problem else { panic!("{pem:?}: {problem:?}") };
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let answer =
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://other.example/hub\r\nContent-Length: 0\r\n\r\n";
    let (port, answering) = answering(answer).await;
    let mut options = ClientOptions::DEFAULT;
    options.handshake.headers.push(RequestHeader::new("Authorization", "Bearer s3cret").unwrap());
    let url = format!("ws://127.0.0.1:{port}");
    let error = in_time(WebSocketClientEventTarget::connect_with(&url, options)).await.unwrap_err();
    let ConnectError::Redirected { status: 301, to } = &error else { panic!("{error:?}") };
    assert_eq!(to, "https://other.example/hub");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    in_time(answering).await.unwrap();
}

#[tokio::test]
async fn subprotocols_are_tokens_and_are_not_shown() {
    for wrong in ["", "a b", "a,b", "s3cret\r\nX: y"] {
        let mut options = ClientOptions::DEFAULT;
        options.handshake.subprotocols = vec!["alkpubsub.1".into(), wrong.into()];
        let error = WebSocketClientEventTarget::connect_with("ws://127.0.0.1:1", options).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadSubprotocol { number: 2 }), "{error:?}");
        assert!(!error.to_string().contains("s3cret"));
    }
}
