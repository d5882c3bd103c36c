//! Frames that RFC 6455 forbids, and those that it allows and nobody expects.

use super::seen::End;
use super::{Case, cases};
use crate::support::{BINARY, CLOSE, Heard, PING, PONG, TEXT, close, envelope, frame, header, text};
use alkpubsub::EventTarget;

/// Frames, and an envelope behind them that nobody may hear.
fn bad(frames: Vec<u8>) -> (Vec<u8>, Vec<String>) {
    ([frames, text(&envelope("a", "b", "1"))].concat(), Vec::new())
}

fn event() -> String {
    envelope("a", "b", "1")
}

/// One peer for each of these openings of a conversation.
macro_rules! each {
    ($frames:expr) => {
        |stage| {
            Box::pin(async move {
                for frames in $frames {
                    let peer = stage.peer().await;
                    stage.converse(peer, &bad(frames).0, 1).await;
                }
            })
        }
    };
}

cases! {
    unmasked: Case::text("a frame that is not masked", "nothing", "closed with 1002",
        || bad([header(TEXT, 0, 2), b"{}".to_vec()].concat()));
    reserved_bits: Case::story("each of the three reserved bits", "nothing", "3 closed with 1002",
        each!([0xc1, 0xa1, 0x91].map(|first| frame(first, event().as_bytes()))));
    reserved_opcodes: Case::story("each of the ten reserved opcodes", "nothing", "10 closed with 1002",
        each!((0x83..=0x87).chain(0x8b..=0x8f).map(|first| frame(first, b""))));
    fragmented_control: Case::story("a Ping, a Pong, a Close in fragments", "nothing", "3 closed with 1002",
        each!([PING, PONG, CLOSE].map(|first| frame(first & 0x7f, b""))));
    long_control: Case::story("a Ping, a Pong, a Close of 126 bytes", "nothing", "3 closed with 1002",
        each!([PING, PONG, CLOSE].map(|first| frame(first, &[b' '; 126]))));
    longest_ping: Case::text("a Ping of 125 bytes", "a pong", "goes on", || (frame(PING, &[7; 125]), Vec::new()));
    unasked_pong: Case::text("Pongs that nobody asked for", "nothing", "goes on", || (frame(PONG, b"x").repeat(100), Vec::new()));
    stray_continuation: Case::text("a continuation of nothing", "nothing", "closed with 1002", || bad(frame(0x80, b"{}")));
    message_in_message: Case::text("a message inside a fragmented one", "nothing", "closed with 1002",
        || bad([frame(0x01, b"{"), frame(TEXT, b"}")].concat()));
    long_form: Case::text("a length in more bytes than it needs", "nothing", "closed with 1002",
        || bad([vec![TEXT, 0xfe, 0, 2, 0, 0, 0, 0], b"{}".to_vec()].concat()));
    ten_mebibytes: Case::story("10 MiB in one frame, all of them sent", "nothing", "closed with 1009", |stage| Box::pin(async move {
        let mut peer = stage.peer().await;
        peer.send(header(TEXT, 0x80, 10 << 20)).await;
        stage.converse(peer, &[0; 64 << 10], 160).await;
    }));
    four_gibibytes: Case::text("4 GiB announced", "nothing", "closed with 1009", || bad(header(TEXT, 0x80, 4 << 30)));
    four_gibibytes_binary: Case::text("2^63 - 1 bytes announced", "nothing", "closed with 1009",
        || bad(header(BINARY, 0x80, (1 << 63) - 1)));
    top_bit: Case::text("2^63 bytes announced, which sets the top bit", "nothing", "closed with 1002",
        || bad(header(TEXT, 0x80, 1 << 63)));
    endless_fragments: Case::text("fragments of a byte without end", "nothing", "closed with 1009",
        || bad([frame(0x01, b"["), frame(0x00, b"[").repeat(80_000)].concat()));
    empty_fragments: Case::text("empty fragments without end", "nothing", "closed with 1009",
        || bad([frame(0x01, b""), frame(0x00, b"").repeat(80_000)].concat()));
    pings_between: Case::text("Pings between the fragments of a message", "delivered, 3 pongs", "goes on", || {
        let whole = event();
        let (first, rest) = whole.as_bytes().split_at(5);
        let (second, third) = rest.split_at(5);
        let ping = || frame(PING, b"?");
        let frames = [frame(0x01, first), ping(), frame(0x00, second), ping(), ping(), frame(0x80, third)];
        (frames.concat(), vec![whole.clone()])
    });
    byte_by_byte: Case::story("an envelope byte by byte", "delivered", "goes on", |stage| Box::pin(async move {
        stage.expect(event);
        let mut peer = stage.peer().await;
        for byte in text(&event()) {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        stage.converse(peer, &[], 1).await;
    }));
    ping_flood: Case::text("100,000 Pings, and reads the answers", "100,000 pongs", "goes on",
        || (frame(PING, b"1234").repeat(100_000), Vec::new())).once();
    ping_flood_unread: Case::story("Pings without end, and reads nothing", "nothing", "closed with 1013", |stage| Box::pin(async move {
        let mut peer = stage.narrow_peer().await;
        let before = stage.hub.stats().too_slow;
        let pings = frame(PING, &[7; 125]).repeat(100);
        while stage.hub.stats().too_slow == before {
            peer.send(&pings).await;
            tokio::task::yield_now().await;
        }
        peer.is_closed_with(1013).await;
        stage.seen.ended(End::Closed(1013));
    })).once();
    close_codes: Case::story("a Close with each code that may be sent, and without one", "nothing", "6 its Close is answered",
        |stage| Box::pin(async move {
            for code in [Some(1000), Some(1001), Some(1014), Some(3000), Some(4999), None] {
                let mut peer = stage.peer().await;
                peer.send(code.map_or_else(|| frame(CLOSE, b""), close)).await;
                assert_eq!(peer.next().await, Heard::Close(code, String::new()), "the same code");
                peer.ends().await;
                stage.seen.ended(End::Answered);
            }
        }));
    bad_close_codes: Case::story("a Close with a code that is not for the wire: 0, 999, 1004 to 1006, 1015, 2999, 5000", "nothing",
        "8 closed with 1002", each!([0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map(close)));
    half_a_close_code: Case::text("a Close of one byte", "nothing", "closed with 1002", || bad(frame(CLOSE, b"\x03")));
    close_not_utf8: Case::text("a Close whose reason is not UTF-8", "nothing", "closed with 1007",
        || bad(frame(CLOSE, b"\x03\xe8\xff")));
    behind_a_close: Case::text("envelopes behind its Close, and another Close", "nothing", "its Close is answered",
        || bad([close(1000), text(&event()).repeat(5000), close(1001)].concat()));
    close_within: Case::text("a Close in the middle of a fragmented message", "nothing", "its Close is answered",
        || bad([frame(0x01, b"{\"type\":"), close(1000)].concat()));
}
