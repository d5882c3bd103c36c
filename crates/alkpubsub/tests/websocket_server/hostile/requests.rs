//! What comes in place of a handshake.

use super::seen::End;
use super::{Case, cases};
use crate::support::{REQUEST, Raw, envelope, limits, text, within};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

fn with(line: &str) -> Vec<u8> {
    REQUEST.replace("Host: hub\r\n", &format!("Host: hub\r\n{line}\r\n")).into_bytes()
}

fn without(name: &str) -> Vec<u8> {
    let lines = REQUEST.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
    lines.collect::<String>().into_bytes()
}

/// As long as a handshake may take by default, and a little more.
const TOO_LONG: Duration = Duration::from_millis(10_100);

cases! {
    never_speaks: Case::story("connects, and says no word for 10 s", "nothing", "cut", |stage| Box::pin(async move {
        let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
        accepted(stage).await;
        stage.pass(TOO_LONG).await;
        let end = stage.seen.listen(&mut peer).await;
        stage.seen.ended(end);
    }));
    never_ends: Case::story("begins a handshake and does not end it for 10 s: a letter, half of it, all but the last line", "nothing", "3 cut",
        |stage| Box::pin(async move {
            for begun in ["G", &REQUEST[..60], &REQUEST[..REQUEST.len() - 2]] {
                let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
                peer.send(begun).await;
                accepted(stage).await;
                stage.pass(TOO_LONG).await;
                let end = stage.seen.listen(&mut peer).await;
                stage.seen.ended(end);
            }
        }));
    half: Case::story("half a request, and gone: by FIN, by reset", "nothing", "2 gone", |stage| Box::pin(async move {
        for reset in [false, true] {
            let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
            peer.send(&REQUEST[..60]).await;
            accepted(stage).await;
            if reset { peer.reset() } else { drop(peer) }
            stage.seen.ended(End::Left);
        }
    }));
    byte_by_byte: Case::story("a request byte by byte", "nothing", "HTTP 101", |stage| Box::pin(async move {
        let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
        for byte in REQUEST.bytes() {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        stage.answered(peer).await;
    }));
    long_byte_by_byte: Case::story("a head of 16 KiB byte by byte", "refused", "HTTP 431", |stage| Box::pin(async move {
        let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
        for byte in REQUEST[..REQUEST.len() - 2].bytes().chain(*b"X: ").chain(std::iter::repeat(b'x')).take(16 << 10) {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        stage.answered(peer).await;
    })).once();
    together: Case::story("an envelope together with the request", "delivered", "goes on", |stage| Box::pin(async move {
        let event = envelope("a", "b", "1");
        let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
        peer.send([REQUEST.as_bytes(), &text(&event)].concat()).await;
        peer.head().await;
        stage.expect(|| event.clone());
        stage.converse(peer, &[], 1).await;
    }));
    wrong_version: Case::request("another version of WebSocket: 8", "HTTP 426", || REQUEST.replace("13", "8").into());
    no_version: Case::request("no version", "HTTP 426", || without("Sec-WebSocket-Version"));
    no_key: Case::request("no key", "HTTP 400", || without("Sec-WebSocket-Key"));
    short_key: Case::request("a key that is not 16 bytes in base64", "HTTP 400",
        || REQUEST.replace("dGhlIHNhbXBsZSBub25jZQ==", "short").into());
    two_keys: Case::request("two keys", "HTTP 400", || with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="));
    no_upgrade: Case::request("a plain GET, as a browser's address bar sends", "HTTP 426", || b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n".into());
    foreign_origin: Case::request("a page of another origin", "HTTP 403", || with("Origin: https://evil.example"));
    null_origin: Case::request("a page without an origin: `null`", "HTTP 403", || with("Origin: null"));
    two_origins: Case::request("two origins, one of them this machine's", "HTTP 403",
        || with("Origin: https://evil.example\r\nOrigin: http://localhost"));
    post: Case::request("POST, with a body", "HTTP 405",
        || b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc".into());
    old_http: Case::request("HTTP/1.0", "HTTP 505", || b"GET / HTTP/1.0\r\n\r\n".into());
    new_http: Case::request("the preface of HTTP/2", "HTTP 400", || b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into());
    tls: Case::request("a TLS ClientHello", "HTTP 400",
        || [&[0x16, 3, 1, 0, 250, 1, 0, 0, 246, 3, 3][..], &[0xa5; 244]].concat());
    noise: Case::request("bytes that are no HTTP, NUL among them", "HTTP 400", || (0..=255).collect());
    broken_header: Case::request("a header without a colon", "HTTP 400", || with("no colon"));
    long_header: Case::request("a header of 20 KB", "HTTP 431", || with(&format!("X: {}", "x".repeat(20_000))));
    many_headers: Case::request("a hundred headers", "HTTP 431", || with(&vec!["X: y"; 100].join("\r\n")));
    long_path: Case::request("a path of 20 KB", "HTTP 431", || REQUEST.replacen('/', &"/".repeat(20_000), 1).into());
    endless_line: Case::request("a first line without end", "HTTP 431", || vec![b'G'; 17 << 10]);
    no_place: Case::story("one connection more than there may be", "refused", "HTTP 503", |stage| Box::pin(async move {
        let last = stage.peer().await;
        stage.ask(REQUEST.as_bytes()).await;
        last.leave().await;
        // Beside this one: the witness, and the bystanders.
    })).with(|options| options.limits(limits(|limits| limits.max_links = 5)));
    half_requests: Case::story("many half requests, which take more memory together than they may", "refused", "HTTP 503",
        |stage| Box::pin(async move {
            let half = [&REQUEST.as_bytes()[..REQUEST.len() - 2], b"X: ", &[b'x'; 9000], b"\r\n"].concat();
            let mut others = Vec::new();
            for _ in 0..2 {
                let mut peer = Raw::over(Raw::tcp(stage.hub.address).await);
                peer.send(&half).await;
                others.push(peer);
            }
            stage.hub.until("both half read", |stats| stats.incoming_bytes >= 18_000).await;
            stage.ask(&half).await;
            for peer in others {
                let mut peer = peer;
                within("room", peer.socket.write_all(b"\r\n")).await.unwrap();
                assert!(peer.head().await.starts_with("HTTP/1.1 101 "), "those before it are served");
                peer.leave().await;
            }
        })).with(|options| options.limits(limits(|limits| limits.max_incoming_total = 25_000)));
}

/// A connection that comes later was accepted: so was the one before it.
async fn accepted(stage: &super::Stage) {
    stage.peer().await.leave().await;
}
