//! Peers that keep to the letter of every frame, or do nothing at all.

use super::messages::sized;
use super::seen::End;
use super::{Case, cases};
use crate::support::{Heard, close, envelope, frame, limits, subscribe, text};
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{Action, CloseReason, DenyReason, EventEnvelope, EventTarget};
use std::cell::Cell;
use std::sync::{Arc, Once};
use std::time::Duration;

fn event(number: usize) -> String {
    envelope("a", "b", &number.to_string())
}

cases! {
    stops_reading: Case::story("stops reading, while more than 1,000 messages a second come for it",
        "hears all up to the bound, in order", "closed with 1013", |stage| Box::pin(async move {
            let mut stuck = stage.narrow_peer().await;
            stuck.subscribe("flood:").await;
            let mut publisher = stage.peer().await;
            let (before, filler) = (stage.hub.stats(), "x".repeat(2_000));
            let flood = |number: usize| envelope("flood", "", &format!("[{number},\"{filler}\"]"));
            let mut sent = 0;
            while stage.hub.stats().too_slow == before.too_slow {
                let some: Vec<u8> = (sent..sent + 20).flat_map(|number| text(&flood(number))).collect();
                publisher.send(some).await;
                tokio::task::yield_now().await;
                sent += 20;
            }
            publisher.leave().await;
            // What waited up to the bound is gone; what the kernel had is there, and the close behind it.
            let mut heard = 0;
            let reason = loop {
                match stuck.next().await {
                    Heard::Text(text) => assert_eq!(text, flood(heard)),
                    Heard::Close(code, reason) => break (code, reason),
                    other => panic!("{other:?}"),
                }
                heard += 1;
            };
            assert_eq!(reason, (Some(1013), "too slow: more waits than the bound".to_owned()));
            let dropped = (stage.hub.stats().dropped - before.dropped) as usize;
            // Those behind the end are not sent to it any more.
            assert!(dropped >= 400 && heard + dropped <= sent, "{heard} heard, {dropped} dropped, {sent} sent");
            stage.seen.also("hears all up to the bound, in order");
            stage.seen.ended(End::Closed(1013));
        })).once();
    publishes_much: Case::text("10,000 envelopes as fast as they go", "10,000 delivered", "goes on",
        || ((0..10_000).flat_map(|number| text(&event(number))).collect(), (0..10_000).map(event).collect())).once();
    falls_silent: Case::story("falls silent, and answers no Ping for 8 s", "nothing", "cut", |stage| Box::pin(async move {
        let mut peer = stage.peer().await;
        stage.pass(Duration::from_secs(13)).await;
        stage.pass(Duration::from_secs(13)).await;
        stage.answer_pings().await;
        assert_eq!(peer.next().await, Heard::Ping(vec![]));
        stage.pass(Duration::from_secs(9)).await;
        let end = stage.seen.listen(&mut peer).await;
        stage.seen.ended(end);
    }));
    answers_no_close: Case::story("does not answer the hub's Close for 8 s", "counted as `not_utf8`", "closed with 1007",
        |stage| Box::pin(async move {
            let mut peer = stage.peer().await;
            peer.send(frame(0x81, b"\xff")).await;
            let end = stage.seen.listen(&mut peer).await;
            let links = stage.hub.stats().links;
            stage.pass(Duration::from_secs(9)).await;
            peer.ends().await;
            assert_eq!(stage.hub.stats().links, links - 1);
            stage.seen.ended(end);
        }));
    answers_no_close_of_frames: Case::story("the same, where nothing of it can be read any more", "nothing", "closed with 1002",
        |stage| Box::pin(async move {
            let mut peer = stage.peer().await;
            peer.send(frame(0x83, b"")).await;
            let end = stage.seen.listen(&mut peer).await;
            peer.ends().await;
            let links = stage.hub.stats().links;
            stage.pass(Duration::from_secs(9)).await;
            stage.hub.until("without it", |stats| stats.links == links - 1).await;
            stage.seen.ended(end);
        }));
    vanishes: Case::story("vanishes without a Close: between messages, within a header, within a frame, within a fragmented message; \
        by FIN, by reset", "nothing", "8 gone", |stage| Box::pin(async move {
            let fragment = frame(0x01, b"{\"type\":\"a\"");
            for begun in [&[][..], &text(&event(1))[..1], &text(&event(1))[..20], &fragment] {
                for reset in [false, true] {
                    let mut peer = stage.peer().await;
                    peer.subscribe("x:1").await;
                    let links = stage.hub.stats().links;
                    peer.send(begun).await;
                    if reset { peer.reset() } else { drop(peer) }
                    stage.hub.until("without it", |stats| stats.links == links - 1).await;
                    stage.seen.ended(End::Left);
                }
            }
        }));
    vanishes_with_events: Case::story("vanishes while 1 MB of events waits for it", "nothing", "gone", |stage| Box::pin(async move {
        let mut peer = stage.narrow_peer().await;
        peer.subscribe("x:1").await;
        let event = EventEnvelope::new("x", "1", &"x".repeat(60_000)).unwrap();
        while stage.hub.stats().queued_bytes < 900_000 {
            let _ = stage.hub.dispatch_event(event.clone());
            tokio::task::yield_now().await;
        }
        peer.reset();
        stage.seen.ended(End::Left);
    }));
    ends_its_half: Case::story("ends its half of the stream, and listens on", "nothing", "cut", |stage| Box::pin(async move {
        let mut peer = stage.peer().await;
        tokio::io::AsyncWriteExt::shutdown(&mut peer.socket).await.unwrap();
        let end = stage.seen.listen(&mut peer).await;
        stage.seen.ended(end);
    }));
    comes_and_goes: Case::story("connects, subscribes and vanishes, 300 times", "nothing", "300 gone", |stage| Box::pin(async move {
        for number in 0..300 {
            let mut peer = stage.peer().await;
            peer.send_text(&subscribe("x:1")).await;
            if number % 2 == 0 { peer.reset() } else { drop(peer) }
            stage.seen.ended(End::Left);
        }
    })).once();
    half_messages: Case::story("a hundred half messages, which take more memory together than they may; one holds most",
        "99 delivered", "99 go on, 1 closed with 1013", |stage| Box::pin(async move {
            let mut half = text(&sized(2000));
            let last = half.pop().unwrap();
            let mut peers = Vec::new();
            for number in 0..99 {
                let mut peer = stage.peer().await;
                peer.send(&half).await;
                let held = 2000 * (number + 1);
                stage.hub.until("half read", |stats| stats.incoming_bytes >= held).await;
                peers.push(peer);
            }
            let mut fullest = stage.peer().await;
            fullest.send(&text(&sized(50_000))[..49_000]).await;
            let end = stage.seen.listen(&mut fullest).await;
            stage.seen.ended(end);
            drop(fullest);
            for mut peer in peers {
                peer.send([last]).await;
                peer.leave().await;
                stage.expect(|| sized(2000));
                stage.seen.ended(End::GoesOn);
            }
        })).with(|options| options.limits(limits(|limits| limits.max_incoming_total = 240_000))).once();
    hook_panics_at_subscribe: Case::text("subscribes, and the program's `authorise` hook panics", "denied: `not_allowed`, counted as `panicked`",
        "goes on", || (text(&subscribe("panic:1")), Vec::new())).with(panicking);
    hook_panics_at_publish: Case::text("publishes, and the program's `authorise` hook panics", "denied: `not_allowed`, counted as `panicked`",
        "goes on", || (text(&envelope("panic", "1", "1")), Vec::new())).with(panicking);
    hook_panics_at_connect: Case::story("connects, and the program's `connected` hook panics", "counted as `panicked`",
        "closed with 1011", |stage| Box::pin(async move {
            ARMED.set(Some("connected"));
            let mut peer = stage.peer().await;
            ARMED.set(None);
            peer.send_text(&event(1)).await;
            let end = stage.seen.listen(&mut peer).await;
            stage.seen.ended(end);
        })).with(panicking);
    hook_panics_at_the_end: Case::story("leaves, and the program's `disconnected` hook panics", "counted as `panicked`",
        "its Close is answered", |stage| Box::pin(async move {
            let mut peer = stage.peer().await;
            ARMED.set(Some("disconnected"));
            peer.send(close(1000)).await;
            let end = stage.seen.listen(&mut peer).await;
            peer.ends().await;
            ARMED.set(None);
            stage.seen.ended(end);
        })).with(panicking);
    listener_panics: Case::story("publishes what a listener of the program's panics at", "delivered, counted as `panicked`", "goes on",
        |stage| Box::pin(async move {
            panic_quietly();
            let listener = stage.hub.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| panic!("{ON_PURPOSE}"))).unwrap();
            stage.expect(|| event(1));
            let peer = stage.peer().await;
            stage.converse(peer, &text(&event(1)), 1).await;
            stage.hub.remove_event_listener(listener);
        }));
}

/// What has a test of its own, elsewhere: what the peer does, what comes of it, how it ends, and the test's name.
pub(super) const ELSEWHERE: [[&str; 4]; 5] = [
    [
        "stops reading, is too slow, and does not read up to the Close within 8 s",
        "what waited is dropped at once",
        "reset",
        "limits::who_does_not_read_up_to_its_close_is_reset_after_8_s_and_nothing_is_kept_for_it",
    ],
    [
        "has a socket that the program lent to the hub, and that panics",
        "counted as `panicked`",
        "closed with 1011, where it can be told",
        "spokes::a_lent_socket_that_panics_ends_its_own_connection_alone",
    ],
    [
        "ends its handshake while the hub shuts down",
        "refused",
        "HTTP 503",
        "ends::a_handshake_that_ends_while_the_hub_does_holds_nothing_up",
    ],
    [
        "300 connections where there is no place, which never speak",
        "256 are told so, if they ask",
        "HTTP 503, or cut",
        "handshake::those_who_find_no_place_are_few_at_a_time",
    ],
    [
        "20,000 connections, in waves, where the process may have 1,000 files open",
        "those beyond wait, and are served as others leave; the process is idle meanwhile",
        "HTTP 101",
        "hostile::descriptors::twenty_thousand_connections_against_a_thousand_descriptors",
    ],
];

thread_local! {
    /// Which hook panics now. Hub and peers share their test's thread.
    static ARMED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

const ON_PURPOSE: &str = "on purpose";

/// What a panic's report takes of memory, and where it goes, is the test runner's.
fn panic_quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(ON_PURPOSE) {
                others(info);
            }
        }));
    });
}

fn panicking(options: ServerOptions) -> ServerOptions {
    panic_quietly();
    options.hooks(Panicking)
}

struct Panicking;

fn panic_if(hook: &str) {
    assert!(ARMED.get() != Some(hook), "{ON_PURPOSE}");
}

impl HubHooks for Panicking {
    fn connected(&self, _: &Arc<Spoke>) {
        panic_if("connected");
    }
    fn disconnected(&self, _: &Arc<Spoke>, _: &CloseReason) {
        panic_if("disconnected");
    }
    fn authorise(&self, _: &Arc<Spoke>, _: Action, event_type: &str, _: &str) -> Result<(), DenyReason> {
        assert!(event_type != "panic", "{ON_PURPOSE}");
        Ok(())
    }
}
