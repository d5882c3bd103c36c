//! Bad input as the hub's own program hears of it; what comes of it on the wire is with [`hostile`](crate::hostile).

use crate::support::{Heard, Hub, PING, frame, hear, next, notices, recorded};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{EventTarget, Notice, TargetError};

/// To the listeners of the hub and of the connection, each once and by its name.
#[tokio::test]
async fn each_refusal_is_told_by_its_name() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut heard = hear(&*hub.target, "a:b");
    let mut client = hub.client().await;
    let spoke = record.connected().await;
    let mut errors = [hub.notices("error"), notices(&*spoke, "error")];
    let cases = [
        ("not_json", "{"),
        ("missing_member", r#"{"type":"a"}"#),
        ("trailing_bytes", r#"{"type":"a","id":"b"}{"type":"a","id":"b"}"#),
        ("bad_control", r#"{"type":"__ping","id":"","payload":1}"#),
    ];
    for (name, bad) in cases {
        client.send_text(bad).await;
        assert_eq!(client.flush().await, [""; 0], "{bad}");
        for errors in &mut errors {
            let Notice::Error(TargetError::BadInput(refusal)) = next("the notice", errors).await else {
                panic!()
            };
            assert_eq!(refusal.name(), name, "{bad}");
            assert!(errors.try_recv().is_err(), "once");
        }
    }
    assert!(heard.try_recv().is_err());
    let refusals = hub.stats().refusals;
    assert_eq!(refusals.to_string(), "not_json=1 trailing_bytes=1 missing_member=1 bad_control=1");
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
