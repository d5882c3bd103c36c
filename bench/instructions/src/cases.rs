//! What is counted: the hub between sockets without a system, the in-process target, and the operators on streams.

use crate::memory_socket::{MemorySocket, Written};
use crate::operators;
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{EventEnvelope, EventTarget, InProcess, PubSub, WebSocketServerEventTarget};
use anyhow::ensure;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// As many that one more or less of what happens now and then does not count.
    pub(crate) events: u64,
    pub(crate) run: fn(u64) -> anyhow::Result<()>,
}

const SMALL: usize = 128;
const LARGE: usize = 16 << 10;

pub(crate) const CASES: &[Case] = &[
    Case { name: "hub, to 1", events: 2000, run: |events| hub(events, 1, SMALL, 1) },
    Case { name: "hub, to 100", events: 200, run: |events| hub(events, 100, SMALL, 1) },
    Case { name: "hub, to 100, 32 in one read", events: 320, run: |events| hub(events, 100, SMALL, 32) },
    Case { name: "hub, to 1, 16 KiB", events: 200, run: |events| hub(events, 1, LARGE, 1) },
    Case { name: "hub, subscribe and unsubscribe", events: 2000, run: subscriptions },
    Case { name: "in-process, 1 listener", events: 5000, run: |events| listeners(events, 1) },
    Case { name: "in-process, 100 listeners", events: 500, run: |events| listeners(events, 100) },
    Case { name: "in-process, 1 subscription", events: 5000, run: |events| streams(events, 1) },
    Case { name: "in-process, published as JSON", events: 5000, run: published },
    Case { name: "in-process, 1 subscription of 2 topics", events: 5000, run: operators::subscribe_many },
    Case { name: "operators, batch of 100", events: 5000, run: operators::batch },
    Case { name: "operators, dedupe of the last 100", events: 5000, run: operators::dedupe },
    Case { name: "operators, window of 100, every 100", events: 5000, run: operators::window },
    Case { name: "operators, group_by of 2", events: 5000, run: operators::group_by },
];

fn text(bytes: usize) -> String {
    let empty = r#"{"type":"chat.message","id":"room-1","payload":{"text":""}}"#.len();
    let text = "x".repeat(bytes.saturating_sub(empty));
    format!(r#"{{"type":"chat.message","id":"room-1","payload":{{"text":"{text}"}}}}"#)
}

fn control(name: &str) -> String {
    format!(r#"{{"type":"__{name}","id":"","payload":{{"topic":"chat.message:room-1"}}}}"#)
}

/// A frame as a spoke sends it.
fn masked(text: &str) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = header(text.len(), 0x80);
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn header(length: usize, masked: u8) -> Vec<u8> {
    let mut header = vec![0x81];
    match u8::try_from(length) {
        Ok(short @ ..126) => header.push(masked | short),
        _ => {
            header.push(masked | 126);
            header.extend(u16::try_from(length).expect("no longer message is sent here").to_be_bytes());
        }
    }
    header
}

/// Bytes of a text's frame as a hub sends it.
fn framed(text: &str) -> u64 {
    (header(text.len(), 0).len() + text.len()) as u64
}

fn with_hub<F: Future<Output = anyhow::Result<()>>>(
    run: impl FnOnce(Arc<WebSocketServerEventTarget>) -> F,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
        run(hub.clone()).await?;
        let stats = hub.stats();
        ensure!(
            stats.bad_input + stats.violations + stats.too_slow == 0,
            "the hub was not content: {stats:?}"
        );
        Ok(())
    })
}

/// Check, route and frame: all that a hub does between the read of one socket and the writes of others.
fn hub(events: u64, subscribers: u64, bytes: usize, at_a_time: u64) -> anyhow::Result<()> {
    with_hub(|hub| async move {
        let written = Arc::<Written>::default();
        for _ in 0..subscribers {
            let subscribe = MemorySocket::new(masked(&control("subscribe")), 1, &written);
            hub.add_connection(subscribe, None).await?;
        }
        written.more(subscribers * framed(&control("subscribed"))).await;
        let text = text(bytes);
        let frames = masked(&text).repeat(at_a_time as usize);
        hub.add_connection(MemorySocket::new(frames, events / at_a_time, &written), None).await?;
        written.more(events * subscribers * framed(&text)).await;
        Ok(())
    })
}

fn subscriptions(events: u64) -> anyhow::Result<()> {
    with_hub(|hub| async move {
        let written = Arc::<Written>::default();
        let frames = [masked(&control("subscribe")), masked(&control("unsubscribe"))].concat();
        hub.add_connection(MemorySocket::new(frames, events, &written), None).await?;
        written.more(events * framed(&control("subscribed"))).await;
        Ok(())
    })
}

/// In-process nothing has to be waited for.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => anyhow::bail!("what is ready at once in-process was not"),
    }
}

fn listeners(events: u64, listeners: u64) -> anyhow::Result<()> {
    let (target, calls) = (InProcess::new(), Arc::<AtomicU64>::default());
    for _ in 0..listeners {
        let calls = calls.clone();
        let listener = move |_: &EventEnvelope| calls.store(calls.load(Relaxed) + 1, Relaxed);
        target.add_event_listener("chat.message:room-1", Arc::new(listener))?;
    }
    let event = EventEnvelope::parse(text(SMALL))?;
    for _ in 0..events {
        target.dispatch_event_ref(&event)?;
    }
    ensure!(calls.load(Relaxed) == events * listeners, "a listener was not called");
    Ok(())
}

fn streams(events: u64, subscribers: usize) -> anyhow::Result<()> {
    let pubsub = PubSub::in_process();
    let subscribe = |_| Ok(now(pubsub.subscribe_envelopes("chat.message", "room-1"))??);
    let mut subscriptions = (0..subscribers).map(subscribe).collect::<anyhow::Result<Vec<_>>>()?;
    let event = EventEnvelope::parse(text(SMALL))?;
    for _ in 0..events {
        pubsub.target().dispatch_event(event.clone())?;
        for subscription in &mut subscriptions {
            ensure!(subscription.try_next().and_then(|item| item.event()).is_some(), "an event is missing");
        }
    }
    Ok(())
}

fn published(events: u64) -> anyhow::Result<()> {
    let pubsub = PubSub::in_process();
    let mut subscription = now(pubsub.subscribe_envelopes("chat.message", "room-1"))??;
    for number in 0..events {
        now(pubsub.publish_json("chat.message", "room-1", &number))??;
        let event = subscription.try_next().and_then(|item| item.event());
        ensure!(event.is_some_and(|event| event.payload().ok() == Some(number)), "an event is missing");
    }
    Ok(())
}
