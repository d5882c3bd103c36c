//! A hub on a Unix socket: its file, and who comes while it is full, ends, or is another one by then.
#![cfg(unix)]

use alkpubsub::hub::HubOptions;
use alkpubsub::unix_socket::{BindError, UnixSocketListener};
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamHubEventTarget, ByteStreamOptions, CloseReason, ConnectError,
    EventTarget, Item, PubSub, Spoke, SpokeOptions,
};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    (directory, path)
}

fn hub(change: impl FnOnce(&mut HubOptions)) -> Arc<ByteStreamHubEventTarget> {
    let mut options = HubOptions::new().relay();
    change(&mut options);
    Arc::new(ByteStreamHubEventTarget::try_new(options).unwrap())
}

fn serve(hub: &Arc<ByteStreamHubEventTarget>, path: &Path) -> JoinHandle<std::io::Result<()>> {
    let (listener, hub) = (UnixSocketListener::bind(path).unwrap(), hub.clone());
    tokio::spawn(async move { listener.serve(&hub).await })
}

/// A file that nobody listens on any more.
fn left(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(fs::symlink_metadata(path).unwrap().file_type().is_socket());
}

#[tokio::test]
async fn its_file_is_for_this_user_alone_unless_said_otherwise_and_goes_with_it() {
    let (_directory, path) = place();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let listener = UnixSocketListener::bind(&path).unwrap();
    assert_eq!((mode(&path), listener.path()), (0o600, &*path));
    drop(listener);
    assert!(!path.exists());
    let listener = UnixSocketListener::bind_with_mode(&path, 0o666).unwrap();
    assert_eq!(mode(&path), 0o666);
    drop(listener);

    let hub = hub(|_| {});
    let serving = serve(&hub, &path);
    hub.shutdown(Duration::from_secs(1)).await;
    serving.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[test]
fn what_is_there_already_is_told_apart() {
    let (directory, path) = place();
    left(&path);
    let listener = UnixSocketListener::bind(&path).expect("nobody listens on the file that was left");
    let second = UnixSocketListener::bind(&path).unwrap_err();
    assert!(matches!(&second, BindError::InUse { path: at } if *at == path), "{second}");
    assert!(path.exists(), "the one that listens has its file still");
    drop(listener);

    fs::write(&path, "precious").unwrap();
    let error = UnixSocketListener::bind(&path).unwrap_err();
    assert!(matches!(&error, BindError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");

    for path in [directory.path().join("none/hub.sock"), directory.path().join("x".repeat(200))] {
        let error = UnixSocketListener::bind(&path).unwrap_err();
        assert!(matches!(&error, BindError::Io { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_file_that_somebody_else_has_put_there_since_is_not_removed() {
    let (_directory, path) = place();
    let listener = UnixSocketListener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixSocketListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(other);
    assert!(!path.exists());
}

#[test]
fn of_many_that_find_a_file_that_was_left_one_listens() {
    for _ in 0..20 {
        let (_directory, path) = place();
        left(&path);
        let (listening, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let bound = UnixSocketListener::bind(&path);
                    match &bound {
                        Ok(_) => listening.fetch_add(1, Relaxed),
                        Err(BindError::InUse { .. }) => told.fetch_add(1, Relaxed),
                        Err(error) => panic!("{error}"),
                    };
                    all.wait();
                });
            }
        });
        assert_eq!((listening.into_inner(), told.into_inner()), (1, 7));
    }
}

/// A hub may come at the very moment when another one ends and removes its file.
#[test]
fn who_comes_while_another_ends_listens_or_is_told_of_it() {
    let (_directory, path) = place();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Bound and ended without a pause, on a thread of its own: the two meet at every step.
        scope.spawn(|| {
            while !over.load(Relaxed) {
                drop(UnixSocketListener::bind(&path))
            }
        });
        let failed = (0..10_000).find_map(|_| match UnixSocketListener::bind(&path) {
            Ok(_) | Err(BindError::InUse { .. }) => None,
            Err(error) => Some(error),
        });
        over.store(true, Relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
}

/// Programs hold such a lock as long as they live, so that their directory is not tidied up.
#[test]
fn a_directory_that_somebody_has_locked_stops_no_hub() {
    let (directory, path) = place();
    let locked = fs::File::open(directory.path()).unwrap();
    locked.lock().unwrap();
    let (told, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(UnixSocketListener::bind(path)));
    let listener = bound.recv_timeout(Duration::from_secs(10)).expect("no wait without end").unwrap();
    assert!(listener.path().exists());
}

#[tokio::test]
async fn a_spoke_goes_on_with_the_next_hub_at_the_same_path() {
    let (_directory, path) = place();
    let first = hub(|_| {});
    let serving = serve(&first, &path);
    let mut options = SpokeOptions::DEFAULT;
    (options.backoff.first, options.backoff.max) = (Duration::from_millis(1), Duration::from_millis(10));
    let spoke = Spoke::unix(&path, options).await.unwrap();
    let pubsub = PubSub::new(spoke);
    let mut ticks = pubsub.subscribe_envelopes("tick", "").await.unwrap();
    pubsub.publish_json("tick", "", &1).await.unwrap();
    assert!(matches!(ticks.next().await, Some(Item::Event(_))));

    first.shutdown(Duration::from_secs(5)).await;
    serving.await.unwrap().unwrap();
    let second = hub(|_| {});
    let _serving = serve(&second, &path);
    assert!(matches!(ticks.next().await, Some(Item::Gap(_))));
    pubsub.publish_json("tick", "", &2).await.unwrap();
    assert!(matches!(ticks.next().await, Some(Item::Event(_))));
}

#[tokio::test]
async fn who_is_turned_away_is_told_why() {
    let (_directory, path) = place();
    let hub = hub(|options| options.limits.max_links = 1);
    let serving = serve(&hub, &path);
    let here = ByteStreamEventTarget::unix(&path, ByteStreamOptions::DEFAULT).await.unwrap();
    here.ping().await.unwrap();
    let late = ByteStreamEventTarget::unix(&path, ByteStreamOptions::DEFAULT).await.unwrap();
    let reason = late.closed().await;
    assert!(
        matches!(&reason, CloseReason::ByPeer { code: 1013, reason } if reason.contains("its limit")),
        "{reason}"
    );
    here.ping().await.expect("who was there is served");
    here.disconnect(Duration::from_secs(5)).await.unwrap();
    hub.shutdown(Duration::from_secs(1)).await;
    serving.await.unwrap().unwrap();

    let error = ByteStreamEventTarget::unix(&path, ByteStreamOptions::DEFAULT).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unreachable { address, .. } if *address == path.display().to_string())
    );
}

/// Linux refuses at once, for the moment; what comes in a crowd is to wait for its turn.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_finds_the_queue_of_newcomers_full_waits() {
    let (_directory, path) = place();
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let listener = socket.listen(2).unwrap();
    let mut crowd = Vec::new();
    while let Ok(one) = tokio::net::UnixStream::connect(&path).await {
        crowd.push(one);
    }
    let mut late = std::pin::pin!(ByteStreamEventTarget::unix(&path, ByteStreamOptions::DEFAULT));
    let first = tokio::time::timeout(Duration::from_millis(1), &mut late).await;
    assert!(first.is_err(), "it does not wait: {first:?}");
    let accept = async {
        for _ in 0..=crowd.len() {
            listener.accept().await.unwrap();
        }
    };
    let (late, ()) = tokio::join!(late, accept);
    late.expect("there is room by now");
}

#[tokio::test]
async fn a_connection_can_be_taken_out_of_the_hub_and_put_into_another() {
    let (_directory, path) = place();
    let (one, two) = (hub(|_| {}), hub(|_| {}));
    let _serving = serve(&one, &path);
    let link = Arc::new(ByteStreamEventTarget::unix(&path, ByteStreamOptions::DEFAULT).await.unwrap());
    let heard = PubSub::new(one.clone());
    let mut ticks = heard.subscribe_envelopes("tick", "").await.unwrap();
    let pubsub = PubSub::new(link.clone());
    pubsub.publish_json("tick", "", &1).await.unwrap();
    let Some(Item::Event(tick)) = ticks.next().await else { panic!("an event") };
    let socket = one.remove_connection(tick.source().unwrap()).await.expect("it stands between two messages");
    assert_eq!(one.stats().links, 0);
    two.add_connection(socket, None).await.unwrap();
    link.ping().await.unwrap();
    assert_eq!(two.stats().links, 1);
}
