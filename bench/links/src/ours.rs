//! With links, which check every message as a whole and give it to the listeners of its topic.

use super::{block_on, timed};
use alkpubsub::hub::HubOptions;
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamHubEventTarget, ByteStreamOptions, DispatchError, EventEnvelope,
    EventTarget,
};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

const TOPIC: &str = "chat.message:room-1";

/// A link; `forward` where a hub has to be told what is wanted.
fn link(stream: UnixStream, forward: bool) -> ByteStreamEventTarget {
    stream.set_nonblocking(true).expect("a socket");
    let stream = tokio::net::UnixStream::from_std(stream).expect("a socket");
    let mut options = ByteStreamOptions::DEFAULT;
    options.link.forward_subscriptions = forward;
    ByteStreamEventTarget::owning(stream, options)
}

async fn publish(target: &ByteStreamEventTarget, event: &EventEnvelope) {
    loop {
        match target.dispatch_event_ref(event) {
            Ok(()) => return,
            Err(DispatchError::Full) => target.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Counts what comes, and tells when all has.
fn counting(target: &dyn EventTarget, messages: usize) -> Arc<Notify> {
    let (done, heard) = (Arc::new(Notify::new()), AtomicUsize::new(0));
    let told = done.clone();
    let listener = move |_: &EventEnvelope| {
        if heard.fetch_add(1, Relaxed) + 1 == messages {
            told.notify_one();
        }
    };
    target.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
    done
}

/// From one link to the other.
pub(crate) fn links(text: &str, messages: usize) -> Duration {
    let (here, there) = UnixStream::pair().expect("a pair");
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    let (done, finished) = oneshot::channel();
    timed(
        move || {
            block_on(async {
                let target = link(there, false);
                counting(&target, messages).notified().await;
                let _ = done.send(());
            })
        },
        || {
            block_on(async {
                let target = link(here, false);
                for _ in 0..messages {
                    publish(&target, &event).await;
                }
                finished.await.expect("a reader");
            })
        },
    )
}

/// From a link to a hub, which relays to another link; the hub and the reader have a thread in common.
pub(crate) fn through_hub(text: &str, messages: usize) -> Duration {
    let (here, there) = UnixStream::pair().expect("a pair");
    let (reading, read) = UnixStream::pair().expect("a pair");
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    let (done, finished) = oneshot::channel();
    let (subscribed, ready) = oneshot::channel();
    timed(
        move || {
            block_on(async {
                let mut options = HubOptions::new().relay();
                // A reader that shares its thread with the hub may be behind by what a round brings.
                options.limits.max_outbound = 64 << 20;
                options.limits.max_outbound_messages = usize::MAX;
                let hub = ByteStreamHubEventTarget::try_new(options).expect("a hub");
                for stream in [there, read] {
                    stream.set_nonblocking(true).expect("a socket");
                    let stream = tokio::net::UnixStream::from_std(stream).expect("a socket");
                    hub.add_connection(stream, None).await.expect("a connection");
                }
                let target = link(reading, true);
                let counted = counting(&target, messages);
                target.ready(TOPIC).await;
                let _ = subscribed.send(());
                counted.notified().await;
                let _ = done.send(());
            })
        },
        || {
            block_on(async {
                let target = link(here, true);
                ready.await.expect("a reader");
                for _ in 0..messages {
                    publish(&target, &event).await;
                }
                finished.await.expect("a reader");
            })
        },
    )
}

/// There and back, one at a time.
pub(crate) fn echo(text: &str, messages: usize) -> Duration {
    let (here, there) = UnixStream::pair().expect("a pair");
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    let (done, finished) = oneshot::channel::<()>();
    timed(
        move || {
            block_on(async {
                let target = Arc::new(link(there, false));
                let back = Arc::downgrade(&target);
                let listener = move |event: &EventEnvelope| {
                    back.upgrade().expect("a target").dispatch_event_ref(event).expect("room for one");
                };
                target.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
                let _ = finished.await;
            })
        },
        || {
            block_on(async {
                let target = link(here, false);
                let came = Arc::new(Notify::new());
                let told = came.clone();
                let listener = move |_: &EventEnvelope| told.notify_one();
                target.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
                for _ in 0..messages {
                    publish(&target, &event).await;
                    came.notified().await;
                }
                let _ = done.send(());
            })
        },
    )
}
