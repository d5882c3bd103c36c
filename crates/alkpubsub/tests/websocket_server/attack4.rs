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

struct Random(u64);
impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13; self.0 ^= self.0 >> 7; self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }
}

/// One publisher, itself a member, says a random sequence in writes of any size: what everybody hears is known exactly.
async fn model(options: ServerOptions, seed: u64, steps: usize, members: usize, slow: usize) {
    eprintln!("seed {seed}");
    let hub = Hub::start(options).await;
    let mut random = Random(seed | 1);
    let topics: Vec<String> = (0..4).map(|t| format!("t:{t}")).collect();
    let mut names: Vec<&str> = topics.iter().map(|t| t.as_str()).collect();
    let mut readers = vec![];
    for _ in 0..members { readers.push((hub.subscriber(&names).await, false)); }
    for _ in 0..slow {
        let mut client = small(&hub).await;
        for topic in &names { client.subscribe(topic).await; }
        readers.push((client, true));
    }
    // Some that hold one topic alone.
    let mut single = hub.subscriber(&["t:0"]).await;
    let mut publisher = hub.client().await;
    names.clear();
    let mut held = [false; 4];
    let (mut all, mut own, mut zero) = (vec![], vec![], vec![]);
    let mut bytes = vec![];
    let mut topic = 0;
    let mut said = vec![];
    for step in 0..steps {
        if random.below(5) == 0 { topic = random.below(4); }
        match random.below(20) {
            0 => { held[topic] = true; bytes.extend(text(&subscribe(&topics[topic]))); own.push(subscribed(&topics[topic])); }
            1 => { held[topic] = false; bytes.extend(text(&envelope("__unsubscribe", "", &format!(r#"{{"topic":"{}"}}"#, topics[topic])))); }
            2 => { bytes.extend(text(&envelope("__ping", "", &format!(r#"{{"n":{step}}}"#))));
                   own.push(format!(r#"{{"type":"__pong","id":"","payload":{{"echo":{{"n":{step}}},"protocol":1,"features":[]}}}}"#)); }
            _ => {
                let size = match random.below(60) { 0 => 65_400 - 64, 1 => 16_300 + random.below(100), 2..5 => 1500 + random.below(200), 5..20 => 100 + random.below(50), _ => random.below(30) };
                let event = envelope("t", &topic.to_string(), &format!(r#"[{step},"{}"]"#, "x".repeat(size)));
                assert!(event.len() <= 65536);
                bytes.extend(text(&event));
                if held[topic] { own.push(event.clone()); }
                if topic == 0 { zero.push(event.clone()); }
                all.push(event);
            }
        }
        if random.below(8) == 0 { said.push(std::mem::take(&mut bytes)); }
    }
    bytes.extend(text(&envelope("end", "", "1")));
    said.push(bytes);
    let all = Arc::new(all);
    let mut tasks = tokio::task::JoinSet::new();
    let many = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(tokio::sync::Notify::new());
    for (at, (mut reader, slow)) in readers.into_iter().enumerate() {
        let (all, many, done) = (all.clone(), many.clone(), done.clone());
        tasks.spawn(async move {
            if slow { done.notified().await; }
            let mut heard = 0;
            while heard < all.len() {
                match reader.next().await {
                    Heard::Text(text) => { assert!(text == all[heard], "reader {at} at {heard}: {} in place of {}", &text[..60.min(text.len())], &all[heard][..60.min(all[heard].len())]); heard += 1; }
                    Heard::Close(Some(1013), _) => { let _ = tokio::io::AsyncWriteExt::write_all(&mut reader.socket, &crate::support::close(1013)).await; break; }
                    other => panic!("reader {at} at {heard}: {other:?}"),
                }
            }
            many.fetch_add(heard, SeqCst);
            (reader, heard)
        });
    }
    let zero_task = tokio::spawn(async move { for (at, event) in zero.iter().enumerate() { let text = single.text().await; assert!(text == *event, "single at {at}"); } zero.len() });
    let (mut read, mut write) = (Vec::new(), said);
    let socket = publisher.socket;
    let (r, mut w) = socket.into_split();
    let own_task = tokio::spawn(async move {
        // Reads while the other half writes.
        let mut reader = Raw::over(Joined(r));
        for (at, expected) in own.iter().enumerate() {
            let text = reader.text().await;
            assert!(text == *expected, "own at {at}: {} in place of {}", &text[..60.min(text.len())], &expected[..60.min(expected.len())]);
        }
        (own.len(), reader)
    });
    for part in write.drain(..) {
        tokio::io::AsyncWriteExt::write_all(&mut w, &part).await.unwrap();
        if random.below(30) == 0 { tokio::time::sleep(Duration::from_millis(1)).await; }
    }
    read.push(0u8);
    let (owned, _keep) = within("own", own_task).await.unwrap();
    let zeros = within("zero", zero_task).await.unwrap();
    done.notify_waiters();
    for _ in 0..slow { done.notify_one(); }
    let mut kept = vec![];
    while let Some(reader) = within("readers", tasks.join_next()).await { kept.push(reader.unwrap()); }
    let own_events = owned;
    let stats = hub.stats();
    let heards: Vec<_> = kept.iter().map(|(_, heard)| *heard).collect();
    eprintln!("events {} heard {:?} own {own_events} zero {zeros} too_slow {} dropped {} sent {} queued {}", all.len(), heards, stats.too_slow, stats.dropped, stats.sent, stats.queued_messages);
    if slow == 0 && stats.too_slow == 0 { assert!(heards.iter().all(|h| *h == all.len())); }
}

struct Joined(tokio::net::tcp::OwnedReadHalf);
impl tokio::io::AsyncRead for Joined {
    fn poll_read(mut self: std::pin::Pin<&mut Self>, c: &mut std::task::Context<'_>, b: &mut tokio::io::ReadBuf<'_>) -> std::task::Poll<std::io::Result<()>> { std::pin::Pin::new(&mut self.0).poll_read(c, b) }
}
impl tokio::io::AsyncWrite for Joined {
    fn poll_write(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>, _: &[u8]) -> std::task::Poll<std::io::Result<usize>> { panic!() }
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> { panic!() }
    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> { panic!() }
}

fn seeds() -> u64 { std::env::var("SEEDS").map_or(10, |s| s.parse().unwrap()) }
fn big(l: &mut alkpubsub::websocket_server::HubLimits) { l.max_outbound = 64 << 20; l.max_outbound_messages = 1 << 20; }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m1_model_1() { for s in 1..=seeds() { model(shards(1).limits(limits(big)), s * 7919, 2000, 5, 0).await } }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m1_model_2() { for s in 1..=seeds() { model(shards(2).limits(limits(big)), s * 7919, 2000, 8, 0).await } }
#[tokio::test]
async fn m1_model_64() { for s in 1..=seeds() { model(shards(64).limits(limits(big)), s * 7919, 500, 80, 0).await } }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m2_slow_1() { for s in 1..=seeds() { model(shards(1).limits(limits(|l| { l.max_outbound = 300_000; l.max_outbound_messages = 1000; })), s * 7919, 4000, 5, 3).await } }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m2_slow_2() { for s in 1..=seeds() { model(shards(2).limits(limits(|l| { l.max_outbound = 300_000; l.max_outbound_messages = 1000; })), s * 7919, 4000, 8, 4).await } }
#[tokio::test]
async fn m2_slow_1c() { for s in 1..=seeds() { model(shards(1).limits(limits(|l| { l.max_outbound = 300_000; l.max_outbound_messages = 64; })), s * 7919, 4000, 5, 3).await } }

fn threads() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("/proc/self/task").unwrap()
        .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok()).map(|n| n.trim().to_owned()).collect();
    names.sort(); names
}
fn hub_threads() -> usize { threads().iter().filter(|n| n.starts_with("hub-shard")).count() }
fn fds() -> Vec<String> {
    std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|f| std::fs::read_link(f.ok()?.path()).ok()).map(|p| p.to_string_lossy().into_owned()).filter(|p| !p.starts_with("/proc")).collect()
}
fn eventually(what: &str, is: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is() { assert!(began.elapsed() < Duration::from_secs(10), "not {what}: {:?} {:?}", threads(), fds()); std::thread::sleep(Duration::from_micros(200)); }
    began.elapsed()
}

/// L1: at the moment at which closed() resolves, which threads and descriptors are left?
#[test]
fn l1_closed_means_nothing_left() {
    for flavor in ["current", "multi"] {
        let mut builder = if flavor == "multi" { let mut b = tokio::runtime::Builder::new_multi_thread(); b.worker_threads(2); b } else { tokio::runtime::Builder::new_current_thread() };
        let runtime = builder.enable_all().build().unwrap();
        for count in [1u8, 2, 64] {
            runtime.block_on(async {
                let (t0, f0) = (hub_threads(), fds().len());
                let (mut late_threads, mut late_fds) = (0, 0);
                let rounds = if count == 64 { 5 } else { 40 };
                for _ in 0..rounds {
                    let hub = Hub::start(shards(count)).await;
                    let mut clients = vec![];
                    for _ in 0..count.max(4) { clients.push(hub.subscriber(&["a:b"]).await); }
                    for client in &mut clients { client.send(crate::support::close(1000)).await; client.is_closed_with(1000).await; client.ends().await; }
                    drop(clients);
                    hub.until("no links", |s| s.links == 0).await;
                    hub.target.close();
                    within("closed", hub.target.closed()).await;
                    late_threads = late_threads.max(hub_threads() - t0);
                    late_fds = late_fds.max(fds().len() as i64 - f0 as i64);
                    drop(hub);
                    eventually("no thread", || hub_threads() == t0);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                eprintln!("L1 {flavor} shards {count}: at closed() still {late_threads} threads and {late_fds} descriptors; afterwards {} fds (before {f0})", fds().len());
                assert_eq!(fds().len(), f0);
            });
        }
    }
}

/// L2: the hub is dropped under full load.
#[test]
fn l2_drop_under_load() {
    for flavor in ["current", "multi"] { for count in [1u8, 2, 16] {
        let mut builder = if flavor == "multi" { let mut b = tokio::runtime::Builder::new_multi_thread(); b.worker_threads(2); b } else { tokio::runtime::Builder::new_current_thread() };
        let runtime = builder.enable_all().build().unwrap();
        let peers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (t0, f0) = (hub_threads(), fds().len());
        let mut worst = Duration::ZERO;
        for round in 0..6 {
            let t = Instant::now();
            let hub = runtime.block_on(Hub::start(shards(count)));
            let address = hub.address;
            let driving = Arc::new(std::sync::atomic::AtomicBool::new(true));
            let (ready, is_ready) = tokio::sync::oneshot::channel();
            let peer = peers.spawn(async move {
                let mut slow = vec![];
                for _ in 0..10 { let mut c = Raw::connect(address).await; c.subscribe("a:b").await; slow.push(c); }
                let mut tasks = tokio::task::JoinSet::new();
                let mut pubs = vec![]; for _ in 0..3 { pubs.push(Raw::connect(address).await); }
                let _ = ready.send(());
                for mut c in pubs {
                    tasks.spawn(async move {
                        let many = text(&envelope("a", "b", &format!("\"{}\"", "x".repeat(500)))).repeat(100);
                        while tokio::io::AsyncWriteExt::write_all(&mut c.socket, &many).await.is_ok() {}
                    });
                }
                while tasks.join_next().await.is_some() {}
                for mut c in slow { loop { match c.more_().await { Ok(n) if n > 0 => {} _ => break } } }
            });
            runtime.block_on(async { is_ready.await.unwrap() });
            let ready_at = t.elapsed();
            let target = hub.target.clone();
            let event = EventEnvelope::new("a", "b", &"y".repeat(300)).unwrap();
            let own = { let driving = driving.clone(); let target = Arc::downgrade(&target); std::thread::spawn(move || { while driving.load(SeqCst) { let Some(t) = target.upgrade() else { break }; let _ = t.dispatch_event(event.clone()); } }) };
            drop(target);
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(150)).await });
            let slept_at = t.elapsed();
            if round % 2 == 0 {
                // While a flush, room and closed are waited for by others: those hold references; so end by close + short shutdown.
                let began = Instant::now();
                runtime.block_on(async { within("shutdown", hub.target.shutdown(Duration::ZERO)).await });
                assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
                driving.store(false, SeqCst); own.join().unwrap();
                runtime.block_on(async move { drop(hub) });
            } else {
                driving.store(false, SeqCst); own.join().unwrap();
                runtime.block_on(async move { drop(hub) });
                if flavor == "current" { runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await }); }
            }
            let ended_at = t.elapsed();
            let took = eventually("threads gone", || hub_threads() == t0);
            worst = worst.max(took);
            peers.block_on(async { within("peers", peer).await }).unwrap();
            eprintln!("  ready {ready_at:?} slept {slept_at:?} ended {ended_at:?} peers {:?}", t.elapsed());
        }
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        drop(peers);
        drop(runtime);
        eprintln!("L2 {flavor} shards {count}: threads gone within {worst:?} of the drop; fds {} before {f0}", fds().len());
    } }
}

/// L3: the caller's runtime is dropped early, while the hub is held elsewhere.
#[test]
fn l3_runtime_dropped_early() {
    for flavor in ["current", "multi"] { for count in [1u8, 2, 64] {
        let (t0, _f0) = (hub_threads(), fds().len());
        let peers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut builder = if flavor == "multi" { let mut b = tokio::runtime::Builder::new_multi_thread(); b.worker_threads(2); b } else { tokio::runtime::Builder::new_current_thread() };
        let runtime = builder.enable_all().build().unwrap();
        struct Spawning(AtomicU64);
        impl HubHooks for Spawning {
            fn disconnected(&self, _: &Arc<Spoke>, _: &alkpubsub::CloseReason) { self.0.fetch_add(1, SeqCst); drop(tokio::spawn(async {})); }
            fn authorise(&self, _: &Arc<Spoke>, _: Action, _: &str, _: &str) -> Result<(), DenyReason> { drop(tokio::spawn(async {})); Ok(()) }
        }
        let target = runtime.block_on(async { Arc::new(WebSocketServerEventTarget::new(shards(count).hooks(Spawning(AtomicU64::new(0))))) });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = { let t = target.clone(); runtime.spawn(async move { t.serve(listener).await }) };
        let background = if flavor == "current" { Some(peers.spawn(async move { 
            let mut clients = vec![];
            for _ in 0..8 { let mut c = Raw::connect(address).await; c.subscribe("a:b").await; clients.push(c); } clients })) } else { None };
        let clients = match background {
            Some(task) => runtime.block_on(async { task.await.unwrap() }),
            None => peers.block_on(async { let mut clients = vec![]; for _ in 0..8 { let mut c = Raw::connect(address).await; c.subscribe("a:b").await; clients.push(c); } clients }),
        };
        let closed = { let t = target.clone(); peers.spawn(async move { t.closed().await }) };
        let flushing = { let t = target.clone(); peers.spawn(async move { loop { t.flush().await; t.room().await; if t.dispatch_event(EventEnvelope::new("a", "b", &1).unwrap()).is_err() { break } } }) };
        std::thread::sleep(Duration::from_millis(30));
        let publishing = peers.spawn(async move { let mut c = clients; let mut p = c.pop().unwrap(); let many = text(&envelope("a", "b", "1")).repeat(50);
            let mut writes = 0; while tokio::io::AsyncWriteExt::write_all(&mut p.socket, &many).await.is_ok() { writes += 1; if writes > 1_000_000 { break } } 
            for mut c in c { loop { match c.more_().await { Ok(n) if n > 0 => {} _ => break } } } writes });
        std::thread::sleep(Duration::from_millis(30));
        let began = Instant::now();
        drop(runtime);
        let dropped = began.elapsed();
        peers.block_on(async { within("closed", closed).await }).unwrap();
        let closed_after = began.elapsed();
        peers.block_on(async { within("flushing", flushing).await }).unwrap();
        let writes = peers.block_on(async { within("publishing", publishing).await }).unwrap();
        let gone = eventually("threads", || hub_threads() == t0);
        drop(serving);
        eprintln!("L3 {flavor} shards {count}: drop took {dropped:?}, closed after {closed_after:?}, threads {gone:?}, writes {writes}, stats {:?}", { let s = target.stats(); (s.links, s.queued_messages, s.topics, s.panicked, s.sent, s.dropped) });
        assert_eq!(target.stats().links, 0);
        assert!(target.dispatch_event(EventEnvelope::new("a", "b", &1).unwrap()).is_err());
        // And one more hub dies where the last reference is dropped outside of any runtime.
        drop(target);
    } }
}

/// L4: a start that fails half-way leaves threads behind?
#[test]
fn l4_start_fails() {
    if std::env::var("L4").is_err() { return }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = (hub_threads(), fds().len());
    for _ in 0..5 {
        let mut hog = vec![]; while let Ok(f) = std::fs::File::open("/dev/null") { hog.push(f); } hog.truncate(hog.len() - 40);
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(async { WebSocketServerEventTarget::new(shards(64)) })));
        drop(hog);
        eprintln!("made: {}; threads {}", made.is_ok(), hub_threads());
        drop(made);
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await });
    }
    eprintln!("L4 before {before:?} after ({})", hub_threads());
    assert_eq!(hub_threads(), before.0);
}

struct Bomb(Arc<AtomicUsize>);
impl Drop for Bomb { fn drop(&mut self) { if self.0.fetch_sub(1, SeqCst) == 1 { panic!("the payload's drop") } } }

/// P1: panics of listeners and hooks in every shard: reported once each, nobody ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_panics_in_shards() {
    struct Panicking;
    impl HubHooks for Panicking {
        fn disconnected(&self, _: &Arc<Spoke>, _: &alkpubsub::CloseReason) { panic!("disconnected") }
        fn authorise(&self, _: &Arc<Spoke>, _: Action, _: &str, id: &str) -> Result<(), DenyReason> { if id == "no" { panic!("authorise") } Ok(()) }
    }
    let hub = Hub::start(shards(4).hooks(Panicking)).await;
    let told = Arc::new(AtomicUsize::new(0));
    { let told = told.clone(); hub.target.add_event_listener("error", Arc::new(on_notice(move |_: &Notice| { told.fetch_add(1, SeqCst); }))).unwrap(); }
    hub.target.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| panic!("listener"))).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    { let heard = heard.clone(); hub.target.add_event_listener("a:b", Arc::new(move |_: &EventEnvelope| { heard.fetch_add(1, SeqCst); })).unwrap(); }
    let mut ears = vec![]; for _ in 0..4 { ears.push(hub.subscriber(&["a:b"]).await); }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut c = hub.client().await;
        tasks.spawn(async move {
            for _ in 0..50 { c.publish("a", "b", "1").await; c.publish("a", "no", "1").await; c.send_text(&subscribe("a:no")).await; }
            let texts = c.flush().await; assert_eq!(texts.len(), 100);
            c.leave().await;
        });
    }
    while let Some(t) = within("publishers", tasks.join_next()).await { t.unwrap(); }
    for ear in &mut ears { for _ in 0..400 { ear.text().await; } assert_eq!(ear.flush().await, [""; 0]); }
    let stats = hub.until("left", |s| s.links == 4).await;
    eprintln!("P1 told {} panicked {} heard {}", told.load(SeqCst), stats.panicked, heard.load(SeqCst));
    assert_eq!((told.load(SeqCst), stats.panicked, heard.load(SeqCst)), (400 + 800 + 8, 1208, 400));
}

/// P2: what was thrown panics in its turn when it is dropped.
async fn p2(count: u8, what: &'static str) {
    struct Panicking(Arc<AtomicUsize>, &'static str);
    impl HubHooks for Panicking {
        fn authorise(&self, _: &Arc<Spoke>, _: Action, _: &str, id: &str) -> Result<(), DenyReason> { if id == "hook" && self.1 == "hook" { std::panic::panic_any(Bomb(self.0.clone())) } Ok(()) }
    }
    let bombs = Arc::new(AtomicUsize::new(1));
    let hub = Hub::start(shards(count).hooks(Panicking(bombs.clone(), what))).await;
    if what == "listener" { let bombs = bombs.clone(); hub.target.add_event_listener("a:hook", Arc::new(move |_: &EventEnvelope| std::panic::panic_any(Bomb(bombs.clone())))).unwrap(); }
    let heard = Arc::new(AtomicUsize::new(0));
    { let heard = heard.clone(); hub.target.add_event_listener("a:hook", Arc::new(move |_: &EventEnvelope| { heard.fetch_add(1, SeqCst); })).unwrap(); }
    let mut ears = vec![]; for _ in 0..2 { ears.push(hub.subscriber(&["a:b"]).await); }
    let mut c = hub.client().await;
    c.publish("a", "hook", "1").await;
    c.send_text(&envelope("__ping", "", "{}")).await;
    let first = c.next().await;
    let mut other = hub.client().await;
    other.publish("a", "b", "1").await;
    for ear in &mut ears { eprintln!("P2 {what} {count}: ear {:?}", tokio::time::timeout(Duration::from_secs(2), ear.next()).await); }
    eprintln!("P2 {what} {count}: publisher hears {first:?}; listeners behind heard {}; stats panicked {} links {}", heard.load(SeqCst), hub.stats().panicked, hub.stats().links);
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_bombs() { for c in [1, 2] { p2(c, "listener").await; p2(c, "hook").await; } }

/// N1: listeners come and go in two shards while events flow: removed is removed; added hears all that comes behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n1_listeners_from_two_shards() {
    for round in 0..4u64 {
        let hub = Hub::start(shards(2)).await;
        let heard = Arc::new(AtomicU64::new(0));
        let wrong = Arc::new(AtomicU64::new(0));
        // One that stays counts all.
        { let heard = heard.clone(); hub.target.add_event_listener("a:b", Arc::new(move |_: &EventEnvelope| { heard.fetch_add(1, SeqCst); })).unwrap(); }
        // On "go:N" a listener (which runs in the publisher's shard) adds and removes others on "a:b" and on its own topic.
        let target = Arc::downgrade(&hub.target);
        let toggles = Arc::new(AtomicU64::new(0));
        for go in 0..4 {
            let (target, wrong, toggles) = (target.clone(), wrong.clone(), toggles.clone());
            let mine: std::sync::Mutex<Vec<(alkpubsub::ListenerId, Arc<std::sync::atomic::AtomicBool>)>> = Default::default();
            hub.target.add_event_listener(&format!("go:{go}"), Arc::new(move |_: &EventEnvelope| {
                let target = target.upgrade().unwrap();
                toggles.fetch_add(1, SeqCst);
                let mut mine = mine.lock().unwrap();
                if mine.len() > 3 {
                    let (id, gone) = mine.remove(0);
                    target.remove_event_listener(id);
                    // A call that runs on the other thread may finish: given its time below.
                    gone.store(true, SeqCst);
                } else {
                    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
                    let (flag, wrong) = (gone.clone(), wrong.clone());
                    let id = target.add_event_listener("a:b", Arc::new(move |_: &EventEnvelope| { if flag.load(SeqCst) { wrong.fetch_add(1, SeqCst); } })).unwrap();
                    mine.push((id, gone));
                }
            })).unwrap();
        }
        let mut tasks = tokio::task::JoinSet::new();
        for publisher in 0..4u64 {
            let mut c = hub.client().await;
            tasks.spawn(async move {
                let mut random = Random(round * 31 + publisher + 1);
                let (mut a, mut go) = (0, 0);
                for _ in 0..100 {
                    let mut bytes = vec![];
                    for _ in 0..20 { if random.below(3) == 0 { go += 1; bytes.extend(text(&envelope("go", &publisher.to_string(), "1"))) } else { a += 1; bytes.extend(text(&envelope("a", "b", "1"))) } }
                    c.send(bytes).await;
                }
                assert_eq!(c.flush().await, [""; 0]);
                (a, go)
            });
        }
        let (mut a, mut go) = (0, 0);
        while let Some(t) = within("publishers", tasks.join_next()).await { let (x, y) = t.unwrap(); a += x; go += y; }
        let stats = hub.stats();
        eprintln!("N1 heard {} of {a}, toggles {} of {go}, called after removal (a race of calls under way) {}, listeners {}", heard.load(SeqCst), toggles.load(SeqCst), wrong.load(SeqCst), stats.listeners);
        assert_eq!((heard.load(SeqCst), toggles.load(SeqCst), stats.panicked), (a, go, 0));
    }
}

/// S1: request and frames, cut at each byte.
async fn s1(count: u8, three: bool) {
    let hub = Hub::start(shards(count)).await;
    let big = envelope("a", "b", &format!("\"{}\"", "y".repeat(300)));
    let mut fragment = crate::support::frame(0x01, &big.as_bytes()[..100]);
    fragment.extend(crate::support::frame(0x89, b"in between"));
    fragment.extend(crate::support::frame(0x80, &big.as_bytes()[100..]));
    let mut all = crate::support::REQUEST.as_bytes().to_vec();
    all.extend(text(&subscribe("a:b")));
    all.extend(text(&envelope("a", "b", "1")));
    all.extend(text(&big));
    all.extend(fragment);
    all.extend(crate::support::frame(0x89, b""));
    all.extend(text(&envelope("a", "b", "2")));
    all.extend(crate::support::close(1000));
    let expected = vec![Heard::Text(subscribed("a:b")), Heard::Text(envelope("a", "b", "1")), Heard::Text(big.clone()), Heard::Pong(b"in between".to_vec()), Heard::Text(big.clone()), Heard::Pong(vec![]), Heard::Text(envelope("a", "b", "2")), Heard::Close(Some(1000), String::new())];
    let (all, expected) = (Arc::new(all), Arc::new(expected));
    eprintln!("S1 {} bytes", all.len());
    let address = hub.address;
    let mut tasks = tokio::task::JoinSet::new();
    let mut random = Random(99);
    for at in 1..all.len() {
        let (all, expected) = (all.clone(), expected.clone());
        let second = at + random.below(all.len() - at);
        tasks.spawn(async move {
            let mut c = Raw::over(Raw::tcp(address).await);
            c.send(&all[..at]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            if three { c.send(&all[at..second]).await; tokio::time::sleep(Duration::from_millis(5)).await; c.send(&all[second..]).await; } else { c.send(&all[at..]).await; }
            assert!(c.head().await.starts_with("HTTP/1.1 101"), "at {at}");
            // On a topic that all hold: own events only are told by... so that each has its own topic is simpler.
            let mut heard = vec![];
            loop { match c.next().await { Heard::End | Heard::Reset => break, h => heard.push(h) } }
            (at, heard, expected)
        });
        if tasks.len() >= 40 || true {
            // One at a time where the topic is shared: the others' events would come between.
            let (at, heard, expected) = within("a cut", tasks.join_next()).await.unwrap().unwrap();
            assert_eq!(heard, *expected, "cut at {at}");
        }
    }
    let stats = hub.until_empty().await;
    eprintln!("S1 {count}: received {} bad {} violations {} incoming {}", stats.received, stats.bad_input, stats.violations, stats.incoming_bytes);
    assert_eq!((stats.bad_input, stats.violations, stats.incoming_bytes), (0, 0, 0));
}
#[tokio::test]
async fn s1_cuts_1() { s1(1, false).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_cuts_2() { s1(2, true).await }

/// P3: a lent socket panics with a payload whose drop panics: does the hub live on?
struct Exploding(Arc<AtomicUsize>);
impl tokio::io::AsyncRead for Exploding { fn poll_read(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>, _: &mut tokio::io::ReadBuf<'_>) -> std::task::Poll<std::io::Result<()>> { std::panic::panic_any(Bomb(self.0.clone())) } }
impl tokio::io::AsyncWrite for Exploding {
    fn poll_write(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>, b: &[u8]) -> std::task::Poll<std::io::Result<usize>> { std::task::Poll::Ready(Ok(b.len())) }
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> { std::task::Poll::Ready(Ok(())) }
    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> { std::task::Poll::Ready(Ok(())) }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_socket_bomb() {
    for count in [1, 2] {
        let hub = Hub::start(shards(count)).await;
        let mut ear = hub.subscriber(&["a:b"]).await;
        let added = hub.target.add_connection(Exploding(Arc::new(AtomicUsize::new(1))), None).await.is_ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut ended = false;
        if let Ok(Ok(mut s)) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(hub.address)).await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut s, crate::support::REQUEST.as_bytes()).await;
            let mut b = [0; 100]; ended = !matches!(tokio::io::AsyncReadExt::read(&mut s, &mut b).await, Ok(n) if n > 0);
        }
        eprintln!("P3 shards {count}: added {added}; newcomers refused {ended}; ear {:?}; closed {}", tokio::time::timeout(Duration::from_millis(100), ear.next()).await.is_ok(), tokio::time::timeout(Duration::from_millis(100), hub.target.closed()).await.is_ok());
    }
}

/// T1: TLS beside plain, the same random sequence for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_tls() {
    use tokio_rustls::rustls::{self, crypto::ring, pki_types::{PrivateKeyDer, ServerName}};
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let cert = signed.cert.der().clone();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(vec![cert.clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let mut roots = rustls::RootCertStore::empty(); roots.add(cert).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    for count in [1, 2] { for seed in 1..=seeds() {
        let hub = Hub::start(shards(count).limits(limits(big))).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, acceptor) = (hub.target.clone(), acceptor.clone());
        let accepting = tokio::spawn(async move { loop {
            let (socket, _) = listener.accept().await.unwrap();
            target.add_connection(acceptor.accept(socket).await.unwrap(), None).await.unwrap();
        } });
        let mut random = Random(seed * 104729);
        let mut events = vec![];
        let mut out = vec![];
        for n in 0..600 { let size = match random.below(30) { 0 => 60_000, 1..4 => 17_000, 4..10 => 1_000, _ => 20 }; let e = envelope("a", "b", &format!(r#"[{n},"{}"]"#, "x".repeat(size))); out.push(text(&e)); events.push(e); }
        let events = Arc::new(events);
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..6 {
            let (events, connector) = (events.clone(), connector.clone());
            let (subscribed, is) = tokio::sync::oneshot::channel();
            if at < 3 {
                let socket = Raw::tcp(address).await;
                tasks.spawn(async move {
                    let tls = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
                    let mut c = Raw::over(tls);
                    c.subscribe("a:b").await; let _ = subscribed.send(());
                    for (n, e) in events.iter().enumerate() { assert!(c.text().await == *e, "tls {at} at {n}"); }
                    c.leave().await;
                });
            } else {
                let mut c = hub.client().await;
                tasks.spawn(async move {
                    c.subscribe("a:b").await; let _ = subscribed.send(());
                    for (n, e) in events.iter().enumerate() { assert!(c.text().await == *e, "plain {at} at {n}"); }
                    c.leave().await;
                });
            }
            within("subscribed", is).await.unwrap();
        }
        // The publisher speaks TLS as well.
        let tls = connector.connect(ServerName::try_from("localhost").unwrap(), Raw::tcp(address).await).await.unwrap();
        let mut publisher = Raw::over(tls);
        let mut bytes = vec![];
        for part in out { bytes.extend(part); if random.below(6) == 0 { publisher.send(std::mem::take(&mut bytes)).await; } }
        publisher.send(bytes).await;
        publisher.flush().await;
        while let Some(t) = within("ears", tasks.join_next()).await { t.unwrap(); }
        accepting.abort();
        let stats = hub.until("left", |s| s.links == 1).await;
        assert_eq!((stats.sent, stats.dropped, stats.received), (3600, 0, 600));
    } }
    eprintln!("T1 ok");
}

/// G1: drain in the middle of a flood: what was taken reaches everybody, counters add up.
async fn g1(count: u8, ears: usize) {
    for round in 0..seeds() {
        let mut options = shards(count).limits(limits(big));
        options.drain_window = Duration::from_millis(100);
        let hub = Hub::start(options).await;
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..ears {
            let mut c = hub.subscriber(&["a:b"]).await;
            tasks.spawn(async move {
                let mut next = [0u64; 2];
                let mut heard = 0u64;
                loop { match c.next().await {
                    Heard::Text(text) => {
                        heard += 1;
                        let (_, payload) = text.trim_end_matches("]}").split_once("payload\":[").unwrap();
                        let (p, n) = payload.split_once(',').unwrap();
                        let (p, n): (usize, u64) = (p.parse().unwrap(), n.parse().unwrap());
                        assert_eq!(n, next[p], "ear {at} of {p}"); next[p] += 1;
                    }
                    Heard::Close(code, _) => { assert_eq!(code, Some(1001)); let _ = tokio::io::AsyncWriteExt::write_all(&mut c.socket, &crate::support::close(1001)).await; }
                    Heard::End => break heard,
                    other => panic!("{other:?}"),
                } }
            });
        }
        let mut publishers = tokio::task::JoinSet::new();
        for p in 0..2 {
            let c = hub.client().await;
            publishers.spawn(async move {
                let (r, mut w) = c.socket.into_split();
                let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
                let reading = { let stop = stop.clone(); tokio::spawn(async move { let mut reader = Raw::over(Joined(r)); loop { match reader.next().await { Heard::Close(code, _) => { assert_eq!(code, Some(1001)); stop.store(true, SeqCst); break } Heard::End | Heard::Reset => { stop.store(true, SeqCst); break } _ => {} } } reader }) };
                let mut n = 0u64;
                while !stop.load(SeqCst) {
                    let mut bytes = vec![]; for _ in 0..10 { bytes.extend(text(&envelope("a", "b", &format!("[{p},{n}]")))); n += 1; }
                    tokio::io::AsyncWriteExt::write_all(&mut w, &bytes).await.unwrap();
                }
                tokio::io::AsyncWriteExt::write_all(&mut w, &crate::support::close(1001)).await.unwrap();
                let mut reader = reading.await.unwrap();
                reader.ends().await;
                n
            });
        }
        tokio::time::sleep(Duration::from_millis(50 + 10 * (round % 3))).await;
        let began = Instant::now();
        within("shutdown", hub.target.shutdown(Duration::from_secs(20))).await;
        let took = began.elapsed();
        let (mut said, mut heard) = (0, vec![]);
        while let Some(t) = within("publishers", publishers.join_next()).await { said += t.unwrap(); }
        while let Some(t) = within("ears", tasks.join_next()).await { heard.push(t.unwrap()); }
        let s = hub.stats();
        let sum: u64 = heard.iter().sum();
        eprintln!("G1 shards {count}: took {took:?}, said {said}, received {}, sent {}, heard {sum}, dropped {}", s.received, s.sent, s.dropped);
        assert_eq!(s.received, said, "every event that was said before the answer was taken");
        assert_eq!(s.sent, sum + s.dropped);
        assert_eq!((s.links, s.queued_messages, s.queued_bytes, s.topics, s.incoming_bytes), (0, 0, 0, 0, 0));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_drain_1() { g1(1, 6).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_drain_2() { g1(2, 6).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_drain_64() { g1(64, 130).await }

/// B1: bounds of all shards together, under a flood that nobody reads; then mass disconnect.
async fn b1(count: u8) {
    let hub = Hub::start(shards(count).limits(limits(|l| { l.max_outbound = 1 << 20; l.max_outbound_total = 2 << 20; l.max_incoming_total = 300_000; }))).await;
    let mut slow = vec![];
    for _ in 0..40 { let mut c = small(&hub).await; c.subscribe("a:b").await; slow.push(c); }
    let mut ear = hub.subscriber(&["a:b"]).await;
    let reading = tokio::spawn(async move { let mut next = 0u64; loop { match ear.next().await { Heard::Text(t) => { assert!(t.contains(&format!("[{next},")), "{next}"); next += 1; if t.contains("last") { break next } } other => panic!("the ear: {other:?} at {next}") } } });
    let mut publisher = hub.client().await;
    let most = Arc::new(AtomicU64::new(0));
    let watching = { let (t, most) = (hub.target.clone(), most.clone()); tokio::spawn(async move { loop { let s = t.stats(); most.fetch_max(s.queued_bytes, SeqCst); tokio::time::sleep(Duration::from_micros(300)).await; } }) };
    let filler = "x".repeat(2000);
    for n in 0..6000 { publisher.publish("a", "b", &format!(r#"[{n},"{filler}"]"#)).await; }
    publisher.publish("a", "b", r#"[6000,"last"]"#).await;
    let heard = within("the ear", reading).await.unwrap();
    let s = hub.stats();
    eprintln!("B1 {count}: heard {heard} too_slow {} most queued {} links {}", s.too_slow, most.load(SeqCst), s.links);
    // Half messages beyond the bound of all together.
    let mut halves = vec![];
    for _ in 0..30 { let mut c = hub.client().await; let mut bytes = crate::support::header(0x81, 0x80, 40_000); bytes.extend([1, 2, 3, 4]); bytes.extend(vec![b'x'; 20_000]); let _ = tokio::io::AsyncWriteExt::write_all(&mut c.socket, &bytes).await; halves.push(c); }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let s = hub.stats();
    eprintln!("B1 {count}: unfinished {} incoming {}", s.unfinished, s.incoming_bytes);
    assert!(s.incoming_bytes <= 300_000, "{}", s.incoming_bytes);
    drop(halves); drop(slow);
    watching.abort();
    let s = hub.until("left", |s| s.links == 1).await;
    assert_eq!((s.incoming_bytes, s.queued_bytes, s.queued_messages, s.topics), (0, 0, 0, 0));
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_bounds_1() { b1(1).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_bounds_2() { b1(2).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_bounds_8() { b1(8).await }

/// K1: between the answer to a subscription and its end, every event of each publisher, once, in order.
async fn k1(count: u8, spokes: usize, rounds: u64) {
    let hub = Hub::start(shards(count).limits(limits(big))).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut publishers = vec![];
    for p in 0..3 {
        let mut c = hub.client().await; let stop = stop.clone();
        publishers.push(tokio::spawn(async move { let mut n = 0u64; while !stop.load(SeqCst) { let mut b = vec![]; for _ in 0..4 { for t in 0..3 { b.extend(text(&envelope("k", &t.to_string(), &format!("[{p},{n}]")))); } n += 1; } c.send(b).await; c.flush().await; } }));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for s in 0..spokes {
        let mut c = hub.client().await;
        tasks.spawn(async move {
            let mut random = Random(s as u64 * 77 + 5);
            let mut heard = 0u64;
            for _ in 0..rounds {
                let t = random.below(3); let topic = format!("k:{t}");
                if random.below(6) == 0 { c.send_text(&envelope("__unsubscribe", "", &format!(r#"{{"topic":"{topic}"}}"#))).await; }
                c.subscribe(&topic).await;
                let mut last: [Option<u64>; 3] = [None; 3];
                let many = random.below(30);
                let mut ended = false; let mut seen = 0;
                loop {
                    if seen == many && !ended { ended = true; c.send_text(&envelope("__unsubscribe", "", &format!(r#"{{"topic":"{topic}"}}"#))).await; c.send_text(&envelope("__ping", "", "{}")).await; }
                    let text = c.text().await;
                    if text.starts_with(r#"{"type":"__pong"#) { assert!(ended); break; }
                    assert!(text.contains(&format!(r#""type":"k","id":"{t}""#)), "{text} in {topic}");
                    let (_, payload) = text.trim_end_matches("]}").split_once("payload\":[").unwrap();
                    let (p, n) = payload.split_once(',').unwrap(); let (p, n): (usize, u64) = (p.parse().unwrap(), n.parse().unwrap());
                    if let Some(l) = last[p] { assert_eq!(n, l + 1, "spoke {s} {topic} of {p}"); }
                    last[p] = Some(n); heard += 1; seen += 1;
                }
            }
            c.leave().await; heard
        });
    }
    let mut heard = 0;
    while let Some(t) = within("spokes", tasks.join_next()).await { heard += t.unwrap(); }
    stop.store(true, SeqCst);
    for p in publishers { within("publishers", p).await.unwrap(); }
    let s = hub.until_empty().await;
    eprintln!("K1 {count}: heard {heard} sent {} dropped {} received {}", s.sent, s.dropped, s.received);
    assert_eq!((s.sent, s.dropped), (heard, 0));
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_churn_1() { k1(1, 12, 60).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_churn_2() { k1(2, 12, 60).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_churn_64() { k1(64, 80, 20).await }

/// M3: many leave at once, by reset and by end, of several shards, while a pair goes on.
async fn m3(count: u8, many: usize) {
    let hub = Hub::start(shards(count)).await;
    let mut ear = hub.subscriber(&["p:p"]).await; let mut mouth = hub.client().await;
    let mut crowd = vec![];
    for n in 0..many { let mut c = hub.client().await; c.send_text(&subscribe(&format!("c:{}", n % 50))).await; if n % 3 == 0 { c.send(&text(&envelope("c", "1", "1"))[..10]).await; } crowd.push(c); }
    hub.until("there", |s| s.links == many as u64 + 2 && s.topics == 51).await;
    let began = Instant::now();
    let leaving = tokio::task::spawn_blocking(move || { for (n, c) in crowd.into_iter().enumerate() { if n % 2 == 0 { c.reset() } else { drop(c) } } });
    let (mut worst, mut n) = (Duration::ZERO, 0);
    while hub.stats().links > 2 || n < 200 {
        let at = Instant::now();
        mouth.publish("p", "p", &n.to_string()).await; assert_eq!(ear.text().await, envelope("p", "p", &n.to_string()));
        worst = worst.max(at.elapsed()); n += 1;
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", hub.stats());
    }
    let gone = began.elapsed();
    leaving.await.unwrap();
    let s = hub.stats();
    eprintln!("M3 {count}: {many} gone in {gone:?}; pair's worst {worst:?} of {n}; {:?}", (s.links, s.topics, s.incoming_bytes, s.queued_bytes, s.sent, s.dropped));
    assert_eq!((s.links, s.topics, s.incoming_bytes, s.queued_bytes, s.dropped), (2, 1, 0, 0, 0));
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m3_crowd_2() { m3(2, 3000).await }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m3_crowd_64() { m3(64, 3000).await }

/// H1: the server is dropped while a hook blocks a shard's thread; the others end, and that one when it may.
#[test]
fn h1_blocked() {
    for count in [2u8, 4] {
        struct Blocking(std::sync::Mutex<std::sync::mpsc::Receiver<()>>, std::sync::mpsc::SyncSender<()>);
        impl HubHooks for Blocking { fn authorise(&self, _: &Arc<Spoke>, _: Action, _: &str, id: &str) -> Result<(), DenyReason> { if id == "block" { let _ = self.1.send(()); let _ = self.0.lock().unwrap().recv(); } Ok(()) } }
        let (let_go, wait) = std::sync::mpsc::channel(); let (says, blocked) = std::sync::mpsc::sync_channel(5);
        let t0 = hub_threads();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (hub, mut clients) = runtime.block_on(async {
            let hub = Hub::start(shards(count).hooks(Blocking(std::sync::Mutex::new(wait), says))).await;
            let mut clients = vec![]; for _ in 0..count { clients.push(hub.subscriber(&["a:b"]).await); }
            for _ in 0..count { clients.push(hub.client().await); }
            (hub, clients)
        });
        // The first client is in the last shard.
        runtime.block_on(async { clients[0].publish("a", "block", "1").await; });
        blocked.recv_timeout(Duration::from_secs(5)).unwrap();
        // A flood meanwhile: its shard's inbox fills; the others go on with each other.
        runtime.block_on(async {
            let mut p = clients.pop().unwrap();
            let many = text(&envelope("a", "b", "1")).repeat(100);
            let flooding = tokio::time::timeout(Duration::from_millis(300), async { for _ in 0..200 { tokio::io::AsyncWriteExt::write_all(&mut p.socket, &many).await.unwrap(); } }).await.is_ok();
            let s = hub.stats();
            eprintln!("H1 {count}: flood written {flooding}; received {} sent {}", s.received, s.sent);
            drop(hub);
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        let left = hub_threads() - t0;
        let_go.send(()).unwrap();
        let took = eventually("gone", || hub_threads() == t0);
        eprintln!("H1 {count}: while blocked {left} threads; gone {took:?} after");
        runtime.block_on(async { for c in &mut clients { loop { match within("end", c.next()).await { Heard::End | Heard::Reset => break, _ => {} } } } });
    }
}
