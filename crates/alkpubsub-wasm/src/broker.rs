//! A broker behind a link: what the link asks for, in the broker's own terms.

use crate::Shared;
use alkpubsub::protocol::check::{self, MessageLimits, Parts};
use alkpubsub::protocol::control::{self, Control, DenyReason};

/// Whatever its size: it is of our own making, or its size is the link's to judge.
const ANY: MessageLimits = {
    let mut limits = MessageLimits::DEFAULT;
    limits.max_message = usize::MAX;
    limits.max_depth = MessageLimits::MOST_DEPTH;
    limits
};

fn parts(input: &[u8]) -> Option<Parts<'_>> {
    check::parts(input, &ANY).ok()
}

fn control(input: &[u8]) -> Option<Control<'_>> {
    control::read(&parts(input)?).ok()?
}

pub(crate) fn asked(length: usize, shared: &mut Shared) -> u32 {
    let input = std::mem::take(&mut shared.input);
    let (code, topic) = match input.get(..length).and_then(control) {
        Some(Control::Subscribe(topic)) => (1, topic),
        Some(Control::Unsubscribe(topic)) => (2, topic),
        Some(Control::Ping(_)) => (3, "".into()),
        _ => (0, "".into()),
    };
    shared.give(&topic);
    drop(topic);
    shared.input = input;
    code
}

pub(crate) fn answer(length: usize, refused: bool, shared: &mut Shared) -> bool {
    let denied = refused.then_some(DenyReason::Broker);
    let asked = shared.input.get(..length).and_then(control);
    let answer = asked.and_then(|asked| control::answer(&asked, denied));
    shared.give(answer.as_deref().unwrap_or_default());
    answer.is_some()
}

pub(crate) fn admits(topic: usize, length: usize, shared: &mut Shared) -> bool {
    let refused = shared.input.split_at_checked(topic).and_then(|(topic, rest)| {
        let parts = parts(rest.get(..length)?)?;
        let is_of_topic =
            topic.strip_prefix(parts.event_type.as_bytes()).and_then(|rest| rest.strip_prefix(b":"))
                == Some(parts.id.as_bytes());
        match parts.event_type.starts_with("__") {
            true => Some("a control event"),
            false if !is_of_topic => Some("an event of another topic than its channel's"),
            false => None,
        }
    });
    shared.give(refused.unwrap_or_default());
    refused.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(input: &str) -> Shared {
        let mut shared = Shared::new();
        shared.input = input.into();
        shared
    }

    #[test]
    fn what_a_link_asks_for_is_told_and_answered() {
        for (text, code, topic, answers) in [
            (r#"{"type":"__subscribe","id":"","payload":{"topic":"a:\n"}}"#, 1, "a:\n", true),
            (r#"{"type":"__unsubscribe","id":"","payload":{"topic":"a:b"}}"#, 2, "a:b", false),
            (r#"{"type":"__ping","id":"","payload":{"n":1}}"#, 3, "", true),
            (r#"{"type":"tick","id":""}"#, 0, "", false),
            ("nonsense", 0, "", false),
        ] {
            let mut shared = with(text);
            assert_eq!(asked(text.len(), &mut shared), code, "{text}");
            assert_eq!(shared.text, topic);
            assert_eq!(answer(text.len(), false, &mut shared), answers, "{text}");
        }
    }

    #[test]
    fn only_events_of_the_channels_own_topic_are_admitted() {
        for (topic, text, admitted) in [
            ("a:b", r#"{"type":"a","id":"b"}"#, true),
            ("a:b:c", r#"{"type":"a:b","id":"c"}"#, true),
            ("a:b", r#"{"type":"a","id":"c"}"#, false),
            ("a:b", r#"{"type":"ab","id":""}"#, false),
            ("__subscribed:", r#"{"type":"__subscribed","id":"","payload":{"topic":"a:b"}}"#, false),
            // Left to the link, which counts it by its reason.
            ("a:b", "{", true),
        ] {
            let mut shared = with(&[topic, text].concat());
            assert_eq!(admits(topic.len(), text.len(), &mut shared), admitted, "{topic} {text}");
        }
    }
}
