//! Whatever a socket can send that it should not.

use crate::support::{BINARY, CLOSE, Heard, Hub, PING, TEXT, close, envelope, frame, header, next, text};
use alkpubsub::{EventTarget, Notice, TargetError};

/// Each is refused, counted and told by name, and leaves the link and everyone else alone.
#[tokio::test]
async fn each_bad_message_is_counted_and_the_link_goes_on() {
    let hub = Hub::relaying().await;
    let mut errors = hub.notices("error");
    let mut other = hub.subscriber(&["a:b"]).await;
    let mut client = hub.client().await;
    let deep = format!(r#"{{"type":"a","id":"b","payload":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let opens = "[".repeat(60_000);
    let cases: &[(&str, &str)] = &[
        ("not_json", ""),
        ("not_json", "{"),
        ("not_json", r#"{"type":"a","id":"b""#),
        ("not_json", r#"{"type":"a","id":"b",}"#),
        ("not_json", "hello"),
        ("too_deep", &opens),
        ("too_deep", &deep),
        ("not_an_object", "[]"),
        ("not_an_object", "\"a:b\""),
        ("not_an_object", "null"),
        ("missing_member", "{}"),
        ("missing_member", r#"{"type":"a"}"#),
        ("missing_member", r#"{"id":"b","payload":1}"#),
        ("not_a_string", r#"{"type":1,"id":"b"}"#),
        ("not_a_string", r#"{"type":"a","id":null}"#),
        ("repeated_member", r#"{"type":"a","t\u0079pe":"a","id":"b"}"#),
        ("repeated_member", r#"{"type":"a","id":"b","payload":1,"payload":1}"#),
        ("empty_type", r#"{"type":"","id":"b"}"#),
        ("lone_surrogate", r#"{"type":"\ud800","id":"b"}"#),
        ("lone_surrogate", r#"{"type":"a","id":"\udc00"}"#),
        ("reserved_member", r#"{"type":"a","id":"b","__hop":1}"#),
        ("byte_order_mark", "\u{feff}{\"type\":\"a\",\"id\":\"b\"}"),
        ("trailing_bytes", r#"{"type":"a","id":"b"}{"type":"a","id":"b"}"#),
        ("bad_control", r#"{"type":"__subscribe","id":""}"#),
        ("bad_control", r#"{"type":"__subscribe","id":"","payload":{"topic":7}}"#),
        ("bad_control", r#"{"type":"__ping","id":"","payload":1}"#),
    ];
    for (count, (name, bad)) in cases.iter().enumerate() {
        client.send(frame(if count % 2 == 0 { TEXT } else { BINARY }, bad.as_bytes())).await;
        assert_eq!(client.flush().await, [""; 0], "{bad}");
        let Notice::Error(TargetError::BadInput(refusal)) = next("the notice", &mut errors).await else {
            panic!()
        };
        assert_eq!(refusal.name(), *name, "{bad}");
        assert_eq!(hub.stats().bad_input, count as u64 + 1);
    }
    client.publish("a", "b", "1").await;
    assert_eq!(other.flush().await.len() + other.flush().await.len(), 1);
    assert_eq!(hub.stats().links, 2);
}

#[tokio::test]
async fn invalid_utf_8_ends_a_text_at_once_and_is_counted_in_binary() {
    let hub = Hub::relaying().await;
    let bad = b"{\"type\":\"a\",\"id\":\"\xff\"}";
    let mut client = hub.client().await;
    client.send(frame(BINARY, bad)).await;
    assert_eq!(client.flush().await, [""; 0]);
    assert_eq!(hub.stats().bad_input, 1);
    client.send(frame(TEXT, bad)).await;
    client.closes_with(1007).await;
    // Also where the character is cut by a fragment's end, and the cut is all that is wrong.
    let mut client = hub.subscriber(&["a:b"]).await;
    let whole = envelope("a", "b", "\"é\"");
    let (first, second) = whole.as_bytes().split_at(whole.find('é').unwrap() + 1);
    client.send([frame(0x01, first), frame(0x80, second)].concat()).await;
    assert_eq!(client.text().await, whole);
    client.send([frame(0x01, first), frame(0x80, b"\"}")].concat()).await;
    client.closes_with(1007).await;
}

#[tokio::test]
async fn the_hundredth_bad_message_ends_the_connection() {
    let hub = Hub::relaying().await;
    let mut other = hub.subscriber(&["a:b"]).await;
    let mut client = hub.client().await;
    for _ in 0..99 {
        client.send_text("bad").await;
    }
    assert_eq!(client.flush().await, [""; 0]);
    client.send([text("bad"), text(&envelope("a", "b", "1"))].concat()).await;
    let reason = client.closes_with(1007).await;
    assert!(reason.contains("bad input"), "{reason}");
    assert_eq!(other.flush().await, [""; 0], "nothing that came behind it is taken");
    hub.until("left by one", |stats| stats.links == 1).await;
}

/// What RFC 6455 forbids, and what each ends with. The client that did it answers the close, and the hub then
/// ends the stream: neither waits for the other.
#[tokio::test]
async fn each_frame_error_ends_with_its_code() {
    let hub = Hub::relaying().await;
    let mut other = hub.subscriber(&["a:b"]).await;
    let unmasked = [header(TEXT, 0, 2), b"{}".to_vec()].concat();
    let cases: Vec<(&str, u16, Vec<u8>)> = vec![
        ("unmasked", 1002, unmasked),
        ("a reserved bit", 1002, frame(0xc1, b"{}")),
        ("another reserved bit", 1002, frame(0xa1, b"{}")),
        ("a reserved opcode", 1002, frame(0x83, b"{}")),
        ("a reserved control opcode", 1002, frame(0x8b, b"")),
        ("a fragmented ping", 1002, frame(0x09, b"x")),
        ("a ping of 126 bytes", 1002, frame(PING, &[0; 126])),
        ("a continuation of nothing", 1002, frame(0x80, b"{}")),
        ("a message in a message", 1002, [frame(0x01, b"{"), frame(TEXT, b"}")].concat()),
        ("a length in its long form", 1002, [vec![TEXT, 0xfe, 0, 2, 0, 0, 0, 0], b"{}".to_vec()].concat()),
        ("the top bit of a length", 1002, header(TEXT, 0x80, 1 << 63)),
        ("half a close code", 1002, frame(CLOSE, b"\x03")),
        ("a close code for nobody", 1002, close(1005)),
        ("another", 1002, close(999)),
        ("a close reason that is no text", 1007, frame(CLOSE, b"\x03\xe8\xff")),
        ("4 GiB announced", 1009, header(TEXT, 0x80, 4 << 30)),
        ("fragments without end", 1009, [frame(0x01, b""), vec![], frame(0x00, b"").repeat(64)].concat()),
    ];
    for (case, code, bytes) in cases {
        let mut client = hub.client().await;
        client.send([bytes, text(&envelope("a", "b", "1"))].concat()).await;
        let reason = client.closes_with(code).await;
        assert!(!reason.is_empty(), "{case}");
        drop(client);
        hub.until(case, |stats| stats.links == 1).await;
    }
    assert_eq!(other.flush().await, [""; 0], "nothing behind an error is taken");
    assert_eq!(hub.stats().bad_input, 0);
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_in_order() {
    let hub = Hub::relaying().await;
    let mut client = hub.client().await;
    for start in (0..10_000u32).step_by(500) {
        client
            .send((start..start + 500).flat_map(|n| frame(PING, &n.to_be_bytes())).collect::<Vec<_>>())
            .await;
        for number in start..start + 500 {
            assert_eq!(client.next().await, Heard::Pong(number.to_be_bytes().to_vec()));
        }
    }
    client.send(frame(crate::support::PONG, b"unasked")).await;
    assert_eq!(client.flush().await, [""; 0]);
}
