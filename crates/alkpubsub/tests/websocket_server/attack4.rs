//! ATTACK: scratch of an attack on the engine; not for the main branch.
#![allow(clippy::all)]

use crate::support::{Heard, Hub, Raw, envelope, limits, subscribe, text, within, subscribed};
use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{Action, DenyReason, EventEnvelope, EventTarget, Notice, WebSocketServerEventTarget, on_notice};
use std::collections::HashMap;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

fn shards(count: u8) -> ServerOptions {
    ServerOptions::new().relay().shards(NonZeroU8::new(count).unwrap())
}

async fn small(hub: &Hub) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Raw::over(socket.connect(hub.address).await.unwrap());
    client.send(crate::support::REQUEST).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    client
}

/// Counts whole events up to the end; with how it ended.
async fn count(client: &mut Raw) -> (u64, String) {
    let mut events = 0;
    let mut bytes = Vec::new();
    let end = loop {
        let mut buffer = vec![0; 65536];
        match tokio::io::AsyncReadExt::read(&mut client.socket, &mut buffer).await {
            Ok(0) => break "end".to_owned(),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => break error.to_string(),
        }
    };
    let mut end = end;
    let mut rest = &bytes[..];
    while rest.len() >= 2 {
        let (header, length) = match rest[1] {
            126 if rest.len() >= 4 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            126 => break,
            length => (2, usize::from(length)),
        };
        if rest.len() < header + length { break }
        match rest[0] {
            0x81 if rest[header..].starts_with(br#"{"type":"__"#) => {}
            0x81 => events += 1,
            0x88 => end += " after a close",
            _ => {}
        }
        rest = &rest[header + length..];
    }
    (events, format!("{end}, {} bytes of a frame left", rest.len()))
}

/// D1: what left of a joined piece counts as dropped.
#[tokio::test]
async fn d1_duplex() {
    let hub = Hub::relaying().await;
    let mut others = [hub.subscriber(&["a:b"]).await, hub.subscriber(&["a:b"]).await, hub.subscriber(&["a:b"]).await];
    let event = envelope("a", "b", "12345678");
    let framed = event.len() + 2;
    let (near, far) = tokio::io::duplex(framed * 5 + framed / 2);
    hub.add_connection(near, None).await.unwrap();
    let mut far = Raw::over(far);
    far.subscribe("a:b").await;
    let mut publisher = hub.client().await;
    publisher.send(text(&event).repeat(10)).await;
    for other in &mut others { for _ in 0..10 { other.text().await; } }
    let mut buffer = vec![0; 10_000];
    let read = tokio::io::AsyncReadExt::read(&mut far.socket, &mut buffer).await.unwrap();
    drop(far);
    let stats = hub.until("gone", |stats| stats.links == 4).await;
    eprintln!("D1 read {} whole events of {} bytes; stats {stats:?}", read / framed, read);
    assert_eq!(stats.sent, 30 + (read / framed) as u64 + stats.dropped);
}

/// D1/D2 over real sockets: `sent` = received + dropped, where the hub drops a slow connection.
async fn balance(options: ServerOptions, events: usize, size: usize) {
    let hub = Hub::start(options).await;
    let mut slow = vec![];
    for _ in 0..6 {
        let mut client = small(&hub).await;
        client.subscribe("a:b").await;
        slow.push(client);
    }
    let mut publisher = hub.client().await;
    let event = text(&envelope("a", "b", &format!("\"{}\"", "x".repeat(size))));
    for _ in 0..events / 10 { publisher.send(event.repeat(10)).await; }
    assert_eq!(publisher.flush().await, [""; 0]);
    let before = hub.stats();
    within("the end", hub.target.shutdown(Duration::ZERO)).await;
    let stats = hub.stats();
    let mut received = 0;
    for mut client in slow {
        let (events, end) = count(&mut client).await;
        eprintln!("  received {events}, {end}");
        received += events;
    }
    eprintln!("before: sent {} dropped {} too_slow {} queued {}", before.sent, before.dropped, before.too_slow, before.queued_messages);
    eprintln!("after: sent {} dropped {} received {received}; sent - received - dropped = {}", stats.sent, stats.dropped,
        stats.sent as i64 - received as i64 - stats.dropped as i64);
    assert_eq!(stats.sent, received + stats.dropped);
}

#[tokio::test]
async fn d1_sockets() { balance(ServerOptions::new().relay().limits(limits(|l| l.max_outbound = 64 << 20)), 60_000, 64).await }

#[tokio::test]
async fn d2_sockets_too_slow() { balance(ServerOptions::new().relay(), 60_000, 100).await }
