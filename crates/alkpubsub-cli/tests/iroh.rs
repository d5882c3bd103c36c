//! `hub --iroh`, and `iroh:` as the address of a hub: on this machine alone, without relays or by one of the test's own.

mod program;
#[cfg(unix)]
#[path = "../../alkpubsub/tests/support/redis.rs"]
mod redis_server;

use alkpubsub::iroh::address_of;
use alkpubsub_test_relay::Relay;
use program::{Program, run};
use std::time::Duration;
use tempfile::TempDir;

/// A hub over iroh alone, and its URL.
async fn hub(options: &[&str]) -> (Program, String) {
    let (hub, url) = Program::hub(&[&["--iroh", "--no-websocket"], options].concat()).await;
    assert!(url.starts_with("iroh:endpoint"), "{url}");
    (hub, url)
}

/// A directory with keys; gives the path of one and its id.
async fn key(directory: &TempDir, name: &str) -> (String, String) {
    let path = directory.path().join(name).to_str().unwrap().to_owned();
    let made = run(&["id", "--iroh-key", &path]).await;
    made.assert(0, "");
    (path, made.stdout.trim_end().to_owned())
}

/// A `sub` that is subscribed to `n:`.
async fn sub(url: &str, options: &[&str]) -> Program {
    let mut sub = Program::start(["sub", url, "n", "", "--log", "alkpubsub=info"].iter().chain(options));
    while !sub.said().await.contains("subscribed") {}
    sub
}

fn numbered(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|number| format!("{{\"type\":\"n\",\"id\":\"\",\"payload\":{number}}}\n")).collect()
}

/// Publishes events with these numbers.
async fn publish(url: &str, numbers: std::ops::RangeInclusive<u32>, options: &[&str]) {
    let mut publisher = Program::start(["pub", url, "-"].iter().chain(options));
    publisher.input(numbered(numbers)).await;
    publisher.ended().await.assert(0, "");
}

#[tokio::test]
async fn events_cross_directly_on_this_machine_and_the_drain_ends_all() {
    let (hub, url) = hub(&[]).await;
    let address = address_of(&url).unwrap();
    assert!(address.ip_addrs().all(|at| at.ip().is_loopback()) && !address.is_empty(), "{address:?}");
    assert_eq!(address.relay_urls().count(), 0);
    let counting = sub(&url, &["--count", "1000"]).await;
    let mut staying = sub(&url, &["--no-reconnect"]).await;
    publish(&url, 1..=1_000, &[]).await;
    let counted = counting.ended().await;
    assert_eq!((counted.code, counted.stdout), (Some(0), numbered(1..=1_000)));
    let mut heard = String::new();
    while heard.lines().count() < 1_000 {
        heard += &(staying.line().await + "\n");
    }
    assert_eq!(heard, numbered(1..=1_000));

    hub.signal("TERM").await;
    hub.ended().await.assert(0, "");
    let told = staying.ended().await;
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("the hub shuts down"), "{told:?}");
    // Nobody is there any more, and nobody says so.
    run(&["pub", &url, "tick", "", "1"]).await.assert(1, "is the hub that printed this ticket still running");
}

#[tokio::test]
async fn one_hub_is_reached_by_websocket_unix_socket_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let (mut hub, ws) = Program::hub(&["--iroh", "--shards", "2", "--unix", path.to_str().unwrap()]).await;
    let mut urls = vec![ws];
    for scheme in ["unix:", "iroh:"] {
        let line = hub.line().await;
        let url = line.strip_prefix("listening on ").unwrap();
        assert!(url.starts_with(scheme), "{url}");
        urls.push(url.to_owned());
    }
    let mut subs = Vec::new();
    for url in &urls {
        subs.push(sub(url, &["--count", "300"]).await);
    }
    for (at, url) in (0..).zip(&urls) {
        publish(url, at * 100 + 1..=at * 100 + 100, &[]).await;
    }
    for sub in subs {
        let ended = sub.ended().await;
        assert_eq!((ended.code, ended.stdout), (Some(0), numbered(1..=300)));
    }
    // Over WebSockets nobody has an identity that letters could be addressed to.
    let refused = run(&["sub", &urls[0], "direct", "somebody"]).await;
    refused.assert(3, "denied");
    hub.signal("INT").await;
    hub.ended().await.assert(0, "");
    assert!(!path.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn hubs_behind_redis_hear_each_other_whatever_their_spokes_come_by() {
    let server = redis_server::RedisServer::start(&[]);
    let redis = server.url();
    let (_one, by_key) = hub(&["--redis", &redis]).await;
    let (_other, by_socket) = Program::hub(&["--redis", &redis]).await;
    let subs = [sub(&by_key, &["--count", "200"]).await, sub(&by_socket, &["--count", "200"]).await];
    publish(&by_socket, 1..=100, &[]).await;
    publish(&by_key, 101..=200, &[]).await;
    for sub in subs {
        let ended = sub.ended().await;
        assert_eq!((ended.code, ended.stdout), (Some(0), numbered(1..=200)));
    }
}

#[tokio::test]
async fn who_is_not_on_the_list_is_refused_and_letters_belong_to_their_key() {
    let directory = tempfile::tempdir().unwrap();
    let ((friend, friend_id), (other, other_id)) =
        (key(&directory, "friend").await, key(&directory, "other").await);
    let (stranger, stranger_id) = key(&directory, "stranger").await;
    let list = directory.path().join("friends.txt");
    std::fs::write(&list, format!("# who may come\n\n{other_id}  # the other\n")).unwrap();
    let allow = format!("{friend_id},{}", list.display());
    let (_hub, url) = hub(&["--iroh-allow", &allow]).await;

    for options in [&["--iroh-key", &stranger][..], &[]] {
        for command in [&["sub", &url, "n", ""][..], &["pub", &url, "n", "", "1"]] {
            run(&[command, options].concat()).await.assert(3, "this endpoint id is not allowed here");
        }
    }
    let letters = sub(&url, &["--iroh-key", &friend, "direct", &friend_id, "--count", "1"]).await;
    let stolen = run(&["sub", &url, "direct", &friend_id, "--iroh-key", &other]).await;
    stolen.assert(3, "denied");
    run(&["pub", &url, "direct", &friend_id, "1", "--iroh-key", &other]).await.assert(0, "");
    let ended = letters.ended().await;
    assert_eq!(ended.stdout, format!("{{\"type\":\"direct\",\"id\":\"{friend_id}\",\"payload\":1}}\n"));

    let words = format!("{}:2: \"{}\" is no id", list.display(), &stranger_id[1..]);
    std::fs::write(&list, format!("{stranger_id}\n{}", &stranger_id[1..])).unwrap();
    let allow = list.to_str().unwrap();
    run(&["hub", "--iroh", "--iroh-allow", allow]).await.assert(2, &words);
    std::fs::write(&list, "# nobody\n").unwrap();
    run(&["hub", "--iroh", "--iroh-allow", allow]).await.assert(2, "there is no id in it");
}

#[tokio::test]
async fn a_key_is_made_for_its_user_alone_and_is_one_programs_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let (path, id) = key(&directory, "key").await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o640);
        run(&["hub", "--iroh", "--iroh-key", &path])
            .await
            .assert(2, &format!("the key {path}: others may read it (its mode is 640)"));
        run(&["id", "--iroh-key", &path]).await.assert(2, "others may read it");
        mode(0o600);
    }
    let (hub, url) = hub(&["--iroh-key", &path]).await;
    assert_eq!(address_of(&url).unwrap().id.to_string(), id);
    for command in [&["sub", &url, "tick", ""][..], &["hub", "--iroh", "--no-websocket"]] {
        let words = format!("the key {path}: another program is using it");
        run(&[command, &["--iroh-key", &path]].concat()).await.assert(1, &words);
    }
    assert_eq!(key(&directory, "key").await.1, id, "the id may be asked for meanwhile");
    hub.signal("KILL").await;
    hub.ended().await;

    let none = "it holds no secret key, which is 64 hexadecimal digits";
    for content in ["", "secret", &"0".repeat(5_000), &id[1..]] {
        std::fs::write(&path, content).unwrap();
        let ended = run(&["pub", &url, "tick", "", "1", "--iroh-key", &path]).await;
        ended.assert(2, &format!("the key {path}: {none}"));
    }
    let nowhere = directory.path().join("none/key");
    run(&["id", "--iroh-key", nowhere.to_str().unwrap()]).await.assert(2, "No such file or directory");
}

#[tokio::test]
async fn each_mistake_is_one_line() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = port.local_addr().unwrap().port().to_string();
    let ticket = alkpubsub::iroh::url_of(iroh_address(&taken));
    let cut = &ticket[..ticket.len() - 8];
    let open = "whoever has the ticket may hear and publish everything; --iroh-allow says who may come";
    for (code, args, words) in [
        (
            2,
            &["hub", "--no-websocket"][..],
            "--no-websocket leaves nowhere to listen; add --iroh or --unix PATH",
        ),
        (2, &["hub", "--iroh", "--iroh-relay", "default"], open),
        (2, &["hub", "--iroh", "--iroh-relay", "http://127.0.0.1:1"], open),
        (2, &["hub", "--iroh", "--iroh-port", "none"], "--iroh-port none leaves no way to the hub"),
        (2, &["hub", "--iroh", "--insecure", "--iroh-relay", "http://"], "--iroh-relay \"http://\": "),
        (
            2,
            &["hub", "--iroh", "--iroh-allow", "/no/such/file"],
            "is no id, and cannot be read as a file of ids",
        ),
        (1, &["hub", "--iroh", "--no-websocket", "--iroh-port", &taken], "--iroh-port takes another port"),
        (2, &["sub", "iroh:", "a", "b"], "`iroh:` is followed by the ticket of a hub"),
        (2, &["pub", cut, "a", "b", "1"], "`alkpubsub hub --iroh` prints one"),
        (2, &["sub", &ticket, "a", "b", "--header", "A: b"], "each end is known by its key"),
        (2, &["sub", &ticket, "a", "b", "--redis-prefix", "p"], "--redis-prefix is about `redis:`"),
        (2, &["sub", "ws://127.0.0.1:1", "a", "b", "--iroh-key", "k"], "--iroh-key is about `iroh:`"),
        (2, &["id"], "--iroh-key <FILE>"),
    ] {
        run(&[args, &["--log", "off"]].concat()).await.assert(code, words);
    }
}

/// A ticket of nobody's, at this port of the machine.
fn iroh_address(port: &str) -> iroh::EndpointAddr {
    let nobody = iroh::SecretKey::generate().public();
    iroh::EndpointAddr::from(nobody).with_ip_addr(format!("127.0.0.1:{port}").parse().unwrap())
}

#[tokio::test]
async fn a_hub_with_another_key_is_not_the_one_that_is_meant() {
    let (_hub, url) = hub(&[]).await;
    let port = address_of(&url).unwrap().ip_addrs().next().unwrap().port().to_string();
    let other = alkpubsub::iroh::url_of(iroh_address(&port));
    run(&["sub", &other, "n", ""]).await.assert(1, "cannot reach");
}

async fn relay() -> Relay {
    Relay::listen(([127, 0, 0, 1], 0).into()).await.unwrap()
}

#[tokio::test]
async fn through_a_relay_alone_where_there_is_no_direct_path() {
    let directory = tempfile::tempdir().unwrap();
    let ((hears, hears_id), (says, says_id)) =
        (key(&directory, "hears").await, key(&directory, "says").await);
    let relay = relay().await;
    let (url, allow) = (relay.url(), format!("{hears_id},{says_id}"));
    // Without a socket of the hub's.
    let options = ["--iroh-port", "none", "--iroh-relay", &url, "--iroh-allow", &allow];
    let (_hub, url) = hub(&options).await;
    let address = address_of(&url).unwrap();
    assert_eq!((address.ip_addrs().count(), address.relay_urls().count()), (0, 1));
    let subscriber = sub(&url, &["--iroh-key", &hears, "--count", "1000"]).await;
    publish(&url, 1..=1_000, &["--iroh-key", &says]).await;
    assert_eq!(subscriber.ended().await.stdout, numbered(1..=1_000));
    run(&["sub", &url, "n", ""]).await.assert(3, "this endpoint id is not allowed here");
    // Without the relay there is nothing.
    relay.shutdown().await.unwrap();
    let ended = run(&["pub", &url, "n", "", "1", "--iroh-key", &says, "--log", "off"]).await;
    ended.assert(1, "cannot reach");
}

#[tokio::test]
async fn a_hub_that_was_killed_is_found_elsewhere_by_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = key(&directory, "hub").await;
    let relay = relay().await;
    let url_of_relay = relay.url();
    let options = ["--iroh-key", &path, "--insecure", "--iroh-relay", &url_of_relay];
    let (first, url) = hub(&options).await;
    let mut subscriber = sub(&url, &["--count", "200"]).await;
    publish(&url, 1..=100, &[]).await;
    first.signal("KILL").await;
    first.ended().await;
    let (_second, moved) = hub(&options).await;
    let ports = |url: &str| -> Vec<_> {
        address_of(url).unwrap().ip_addrs().map(std::net::SocketAddr::port).collect()
    };
    assert!(ports(&url).iter().all(|port| !ports(&moved).contains(port)), "{url} and {moved}");
    // The old ticket still names the relay, which knows by the key who is meant.
    let told = async {
        while !subscriber.said().await.contains("connected again") {}
        while !subscriber.said().await.contains("events may be missing of \"n:\"") {}
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the hub is found again");
    publish(&url, 101..=200, &[]).await;
    let ended = subscriber.ended().await;
    assert_eq!((ended.code, ended.stdout), (Some(0), numbered(1..=200)));
}
