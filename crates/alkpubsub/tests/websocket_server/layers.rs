//! Sockets with a layer of their own below the hub, TLS most of all, which the program adds beside plain ones.

use crate::support::{Hub, Raw, envelope, limits, text, within};
use alkpubsub::websocket_server::ServerOptions;
use std::num::NonZeroU8;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn ends() -> (TlsAcceptor, TlsConnector) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (signed.cert.der().clone(), signed.signing_key.serialize_der());
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::try_from(key).unwrap())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

async fn hears<S: AsyncRead + AsyncWrite + Unpin>(mut client: Raw<S>, events: Arc<Vec<String>>) {
    for (at, expected) in events.iter().enumerate() {
        assert!(client.text().await == *expected, "event {at}");
    }
    assert_eq!(client.leave().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_plain_connections_hear_the_same_in_every_shard() {
    let limits = limits(|limits| limits.max_outbound = 64 << 20);
    let options = ServerOptions::new().relay().limits(limits).shards(NonZeroU8::new(2).unwrap());
    let hub = Hub::start(options).await;
    let (acceptor, connector) = ends();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = hub.target.clone();
    let accepting = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            target.add_connection(acceptor.accept(socket).await.unwrap(), None).await.unwrap();
        }
    });
    let connect = async || {
        let name = ServerName::try_from("localhost").unwrap();
        Raw::over(within("TLS", connector.connect(name, Raw::tcp(address).await)).await.unwrap())
    };
    // Less than a record of TLS, and more than several.
    let sizes = (0..200).map(|number| [0, 100, 3_000, 17_000, 60_000][number % 5]);
    let events = sizes.map(|size| envelope("a", "b", &format!("\"{}\"", "x".repeat(size))));
    let events: Arc<Vec<String>> = Arc::new(events.collect());
    let mut hearing = JoinSet::new();
    for _ in 0..3 {
        let mut client = connect().await;
        client.subscribe("a:b").await;
        hearing.spawn(hears(client, events.clone()));
        hearing.spawn(hears(hub.subscriber(&["a:b"]).await, events.clone()));
    }
    let mut publisher = connect().await;
    for several in events.chunks(7) {
        publisher.send(several.iter().flat_map(|event| text(event)).collect::<Vec<_>>()).await;
    }
    assert_eq!(publisher.flush().await, [""; 0]);
    while let Some(heard) = within("the readers", hearing.join_next()).await {
        heard.unwrap();
    }
    accepting.abort();
    let stats = hub.until("left", |stats| stats.links == 1).await;
    assert_eq!((stats.received, stats.sent, stats.dropped), (200, 1_200, 0));
}

/// As a layer below may do that gathers small writes.
#[tokio::test]
async fn what_a_socket_keeps_back_is_flushed() {
    let hub = Hub::start(ServerOptions::new().relay()).await;
    let (near, far) = tokio::io::duplex(1000);
    hub.target.add_connection(tokio::io::BufWriter::new(near), None).await.unwrap();
    let mut client = Raw::over(far);
    client.subscribe("a:b").await;
    client.publish("a", "b", "1").await;
    assert_eq!(client.text().await, envelope("a", "b", "1"));
    assert_eq!(client.leave().await, [""; 0]);
}
