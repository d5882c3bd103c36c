//! Control events that are odd, out of place, or too many.

use super::{Case, cases};
use crate::support::{envelope, subscribe, text};

fn sent<'m>(messages: impl IntoIterator<Item = &'m str>) -> (Vec<u8>, Vec<String>) {
    (messages.into_iter().flat_map(text).collect(), Vec::new())
}

fn asked<T: AsRef<str>>(topics: impl IntoIterator<Item = T>) -> (Vec<u8>, Vec<String>) {
    (topics.into_iter().flat_map(|topic| text(&subscribe(topic.as_ref()))).collect(), Vec::new())
}

fn unsubscribe(topic: &str) -> Vec<u8> {
    text(&subscribe(topic).replace("__subscribe", "__unsubscribe"))
}

cases! {
    unknown: Case::text("a control type that nobody knows: `__tomorrow`, `__`", "nothing", "goes on",
        || sent([r#"{"type":"__tomorrow","id":"","payload":7}"#, r#"{"type":"__","id":""}"#]));
    of_the_hub: Case::text("what only a hub says: `__subscribed`, `__denied`, `__gap`, `__pong`", "nothing", "goes on",
        || sent([
            r#"{"type":"__subscribed","id":"","payload":{"topic":"a:b"}}"#,
            r#"{"type":"__denied","id":"","payload":{"topic":"a:b","action":"subscribe","reason":"broker"}}"#,
            r#"{"type":"__gap","id":"","payload":{"missed":3,"reason":"slow"}}"#,
            r#"{"type":"__pong","id":"","payload":{"echo":{}}}"#,
        ]));
    bad_payloads: Case::text("`__subscribe` without a payload, with no topic, with one that is no string; `__ping` without an object",
        "5 counted as `bad_control`", "goes on",
        || sent([
            r#"{"type":"__subscribe","id":""}"#,
            r#"{"type":"__subscribe","id":"","payload":{}}"#,
            r#"{"type":"__subscribe","id":"","payload":{"topic":7}}"#,
            r#"{"type":"__unsubscribe","id":"","payload":["a:b"]}"#,
            r#"{"type":"__ping","id":"","payload":1}"#,
        ]));
    escaped: Case::text(r#"`__subscribe` escaped, as `"\u005f_subscribe"`, or with an id"#, "2 subscribed", "goes on",
        || sent([
            r#"{"type":"\u005f_subscribe","id":"","payload":{"topic":"x:1"}}"#,
            r#"{"type":"__subscribe","id":"x","payload":{"topic":"x:2"}}"#,
        ]));
    no_topics: Case::text("subscribes to texts that are no topics: no colon, empty, an empty type", "3 denied: `bad_topic`", "goes on",
        || asked(["no colon", "", ":b"]));
    reserved: Case::text("subscribes to reserved topics: `__ping:`, `__x`", "2 denied: `reserved`", "goes on",
        || asked(["__ping:", "__x"]));
    longest: Case::text("subscribes to a topic of 255 bytes", "subscribed", "goes on", || asked([format!("x:{}", "x".repeat(253))]));
    too_long: Case::text("subscribes to one of 256 bytes", "denied: `topic_too_long`", "goes on",
        || asked([format!("x:{}", "x".repeat(254))]));
    far_too_long: Case::text("subscribes to one of 60,000 bytes", "denied: `topic_too_long`", "goes on",
        || asked([format!("x:{}", "x".repeat(60_000))]));
    event_too_long: Case::text("publishes on a topic of 256 bytes", "denied: `topic_too_long`", "goes on",
        || sent([envelope("x", &"x".repeat(254), "1").as_str()]));
    most: Case::text("129 subscriptions", "128 subscribed, denied: `too_many_subscriptions`", "goes on",
        || asked((0..129).map(|number| format!("x:{number}"))));
    hundred_thousand: Case::story("100,000 subscriptions", "128 subscribed, 99,872 denied: `too_many_subscriptions`", "goes on",
        |stage| Box::pin(async move {
            // It reads the answers, a thousand at a time: else too much would wait for it.
            let mut peer = stage.peer().await;
            for thousand in 0..if stage.is_warming_up { 2 } else { 100 } {
                let topics = (0..1000).map(|number| format!("x:{}", thousand * 1000 + number));
                peer.send(asked(topics).0).await;
                for _ in 0..1000 {
                    let answer = peer.next().await;
                    stage.seen.frame(&answer);
                }
            }
            stage.converse(peer, &[], 1).await;
        })).once();
    one_again_and_again: Case::text("one subscription 10,000 times, and an end of others that it never had", "10,000 subscribed", "goes on",
        || {
            let again = text(&subscribe("x:1")).repeat(10_000);
            ([again, unsubscribe("x:2"), unsubscribe("a:b")].concat(), Vec::new())
        }).once();
    on_and_off: Case::text("10,000 topics, each given back before the next", "10,000 subscribed", "goes on",
        || {
            let topics = (0..10_000).map(|number| format!("x:{number}"));
            (topics.flat_map(|topic| [text(&subscribe(&topic)), unsubscribe(&topic)].concat()).collect(), Vec::new())
        }).once();
}
