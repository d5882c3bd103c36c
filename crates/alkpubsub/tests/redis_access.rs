//! The target behind Redis: who may connect, as whom, over TLS, and with a password that changes.
#![cfg(unix)]

#[path = "support/bare_redis.rs"]
mod bare_redis;
#[path = "support/redis.rs"]
mod redis_server;

use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{
    CloseReason, ConnectError, DispatchError, End, EventEnvelope, EventTarget, Interruption, Item, Notice,
    PubSub, Readiness, SpokeState, States, Subscription, on_notice,
};
use bare_redis::{ask, bare, clients};
use redis::Client;
use redis_server::RedisServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(20);

fn options() -> RedisOptions {
    let mut options = RedisOptions::new();
    options.prefix = "p:".into();
    options.spoke.backoff.first = Duration::from_millis(2);
    options.spoke.backoff.max = Duration::from_millis(20);
    options
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: it took too long"))
}

async fn next(stream: &mut Subscription<EventEnvelope>) -> Item<EventEnvelope> {
    within("an item", stream.next()).await.expect("the stream has ended")
}

async fn number(stream: &mut Subscription<EventEnvelope>) -> u32 {
    match next(stream).await {
        Item::Event(event) => event.payload().unwrap(),
        other => panic!("instead of an event came {other:?}"),
    }
}

async fn until(states: &mut States, what: &str, is: impl Fn(&SpokeState) -> bool) -> SpokeState {
    let reached = async {
        loop {
            let state = states.next().await.expect("it has ended");
            if is(&state) {
                return state;
            }
        }
    };
    within(what, reached).await
}

fn is_connected(state: &SpokeState) -> bool {
    matches!(state, SpokeState::Connected)
}

/// A target that publishes and hears its own, also after its connection was killed by its server.
async fn works_and_works_again(target: RedisEventTarget, bare: &mut redis::aio::MultiplexedConnection) {
    let target = Arc::new(target);
    let pubsub = PubSub::new(target.clone());
    let mut stream = pubsub.subscribe_envelopes("n", "").await.unwrap();
    assert_eq!(stream.readiness(), Readiness::Confirmed);
    pubsub.publish_json("n", "", &1).await.unwrap();
    assert_eq!(number(&mut stream).await, 1);
    for id in clients(bare, "pubsub").await {
        assert_eq!(ask::<i64>(bare, &["CLIENT", "KILL", "ID", &id]).await, 1);
    }
    assert!(matches!(next(&mut stream).await, Item::Gap(_)));
    pubsub.publish_json("n", "", &2).await.unwrap();
    assert_eq!(number(&mut stream).await, 2);
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn over_tls_all_is_the_same_and_who_is_not_trusted_is_not_spoken_to() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use redis::TlsCertificates;

    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuers_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&issuers_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &Issuer::new(authority, issuers_key)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = [
        ("--tls-ca-cert-file", file("root.pem", &root)),
        ("--tls-cert-file", file("server.pem", &certificate.pem())),
        ("--tls-key-file", file("key.pem", &key.serialize_pem())),
    ];
    let mut arguments = vec!["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
    arguments.extend(files.iter().flat_map(|(name, path)| [*name, path.as_str()]));
    let server = RedisServer::start(&arguments);
    let url = format!("rediss://127.0.0.1:{}", server.port);

    let trusting = || TlsCertificates { client_tls: None, root_cert: Some(root.clone().into_bytes()) };
    let client = Client::build_with_tls(url.as_str(), trusting()).unwrap();
    let mut bare = client.get_multiplexed_async_connection().await.unwrap();
    let target = RedisEventTarget::connected(client.clone(), client, options()).await.unwrap();
    works_and_works_again(target, &mut bare).await;

    // The system's authorities know nothing of this one.
    let error = RedisEventTarget::connect(&url, options()).await.unwrap_err();
    assert!(error.to_string().contains("ertificate"), "{error}");
    // Nor is the certificate for another name.
    let other = Client::build_with_tls(format!("rediss://localhost:{}", server.port), trusting()).unwrap();
    let error = RedisEventTarget::connected(other.clone(), other, options()).await.unwrap_err();
    assert!(error.to_string().contains("ertificate"), "{error}");
    // And without TLS there is nobody.
    let mut hasty = options();
    hasty.spoke.connect_timeout = Duration::from_secs(2);
    assert!(RedisEventTarget::connect(&server.url(), hasty).await.is_err());
}

#[tokio::test]
async fn publishing_and_subscribing_may_be_the_work_of_two_users() {
    let server = RedisServer::start(&[]);
    let mut bare = bare(&server.url()).await;
    for (user, commands) in [("says", "+publish"), ("hears", "+subscribe|+unsubscribe")] {
        let rights = ["ACL", "SETUSER", user, "on", ">pw", "resetchannels", "&p:*", "+@connection"];
        let rights: Vec<&str> = rights.into_iter().chain(commands.split('|')).collect();
        ask::<()>(&mut bare, &rights).await;
    }
    let client = |user: &str| Client::open(format!("redis://{user}:pw@127.0.0.1:{}", server.port)).unwrap();
    let (says, hears) = (client("says"), client("hears"));
    let target = RedisEventTarget::connected(says.clone(), hears.clone(), options()).await.unwrap();
    works_and_works_again(target, &mut bare).await;
    // The other way around neither may do its work.
    let target = Arc::new(RedisEventTarget::connected(hears, says, options()).await.unwrap());
    let (told, mut tellings) = mpsc::unbounded_channel();
    let tell = move |notice: &Notice| _ = told.send(notice.to_string());
    target.add_event_listener("denied", Arc::new(on_notice(tell))).unwrap();
    target.dispatch_event(EventEnvelope::new("n", "", &1).unwrap()).unwrap();
    let telling = within("a denial", tellings.recv()).await.unwrap();
    assert_eq!(telling, "publish \"n:\" was denied: not_allowed");
    let denied = PubSub::new(target).subscribe_envelopes("n", "").await.unwrap_err();
    assert_eq!(denied.to_string(), "the topic was denied: not_allowed");
}

#[tokio::test]
async fn a_password_that_is_changed_is_tried_until_it_is_right_again() {
    let server = RedisServer::start(&["--requirepass", "hunter1"]);
    let url = format!("redis://:hunter1@127.0.0.1:{}", server.port);
    let mut admin = bare(&url).await;
    let target = Arc::new(RedisEventTarget::connect(&url, options()).await.unwrap());
    let pubsub = PubSub::new(target.clone());
    let mut stream = pubsub.subscribe_envelopes("n", "").await.unwrap();
    ask::<()>(&mut admin, &["CONFIG", "SET", "requirepass", "hunter2"]).await;
    // Who is in stays in.
    pubsub.publish_json("n", "", &1).await.unwrap();
    assert_eq!(number(&mut stream).await, 1);
    let mut states = target.states();
    for id in clients(&mut admin, "pubsub").await {
        ask::<i64>(&mut admin, &["CLIENT", "KILL", "ID", &id]).await;
    }
    for _ in 0..5 {
        let refused = |state: &SpokeState| {
            matches!(state, SpokeState::Waiting { why: Interruption::Failed(error), .. }
                if matches!(**error, ConnectError::NotLetIn { .. }))
        };
        let state = until(&mut states, "to be refused", refused).await;
        assert!(!state.to_string().contains("hunter"), "{state}");
        until(&mut states, "to try again", |state| matches!(state, SpokeState::Connecting)).await;
    }
    let refused = target.dispatch_event(EventEnvelope::new("n", "", &2).unwrap());
    assert!(matches!(refused, Err(DispatchError::Disconnected)), "{refused:?}");
    ask::<()>(&mut admin, &["CONFIG", "SET", "requirepass", "hunter1"]).await;
    assert!(matches!(next(&mut stream).await, Item::Gap(_)));
    pubsub.publish_json("n", "", &3).await.unwrap();
    assert_eq!(number(&mut stream).await, 3);
}

#[tokio::test]
async fn one_that_is_made_before_redis_is_there_connects_by_itself() {
    let server = RedisServer::start(&[]);
    let port = server.port;
    let client = Client::open(server.url()).unwrap();
    drop(server);
    let target = Arc::new(RedisEventTarget::new(client.clone(), client, options()));
    let mut states = target.states();
    let nobody = |state: &SpokeState| {
        matches!(state, SpokeState::Waiting { why: Interruption::Failed(error), .. }
            if matches!(**error, ConnectError::Unreachable { .. }))
    };
    until(&mut states, "to find nobody", nobody).await;
    target.add_event_listener("n:", Arc::new(|_: &EventEnvelope| {})).unwrap();
    let refused = target.dispatch_event(EventEnvelope::new("n", "", &1).unwrap());
    assert!(matches!(refused, Err(DispatchError::Disconnected)), "{refused:?}");
    let _server = RedisServer::start_at(port, &[]).unwrap();
    until(&mut states, "to connect", is_connected).await;
    assert_eq!(within("to subscribe", target.ready("n:")).await, Readiness::Confirmed);
}

#[tokio::test]
async fn one_that_does_not_reconnect_ends_with_its_connection() {
    let server = RedisServer::start(&[]);
    let mut options = options();
    options.reconnects = false;
    let target = Arc::new(RedisEventTarget::connect(&server.url(), options).await.unwrap());
    let mut stream = PubSub::new(target.clone()).subscribe_envelopes("n", "").await.unwrap();
    drop(server);
    assert!(within("the end", stream.next()).await.is_none());
    assert!(matches!(stream.end(), Some(End::Closed(CloseReason::Lost { .. }))), "{:?}", stream.end());
    let closed = target.dispatch_event(EventEnvelope::new("n", "", &1).unwrap());
    assert!(matches!(closed, Err(DispatchError::Closed(_))), "{closed:?}");
    assert!(matches!(within("to close", target.closed()).await, CloseReason::Lost { .. }));
}
