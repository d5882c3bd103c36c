//! The control events, version 1: what they say, and their text.
//!
//! All are envelopes whose type begins with `__` and whose id is empty. A peer that does not know a control type
//! ignores it.

use super::check::{Parts, Refusal};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The version of the control protocol that `__pong` tells.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a spoke wanted to do when a hub said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Hear a topic.
    Subscribe,
    /// Send an event on a topic.
    Publish,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
        })
    }
}

/// Why a hub said no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DenyReason {
    /// The topic's type begins with `__`.
    Reserved,
    /// The topic is not `type:id`.
    BadTopic,
    /// The topic is longer than the hub allows (255 bytes by default).
    TopicTooLong,
    /// The connection holds as many topics as the hub allows (128 by default).
    TooManySubscriptions,
    /// The broker behind the hub refused it.
    Broker,
    /// The hub is shutting down.
    Draining,
    /// The connection has no right to it. A reason that this version does not know reads as this one.
    #[default]
    #[serde(other)]
    NotAllowed,
}

impl DenyReason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::Reserved => "reserved",
            Self::BadTopic => "bad_topic",
            Self::TopicTooLong => "topic_too_long",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::Broker => "broker",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapReason {
    /// The hub lost its broker for a while.
    Broker,
    /// A message did not fit this connection's limit.
    TooLarge,
    /// The connection was down. Never on the wire: the link itself knows it.
    #[serde(skip)]
    Disconnected,
    /// This connection, or this subscriber, was too slow. An unknown reason reads as this one.
    #[default]
    #[serde(other)]
    Slow,
}

impl GapReason {
    /// The word on the wire, and that for what is never on it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Broker => "broker",
            Self::TooLarge => "too_large",
            Self::Disconnected => "disconnected",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A control event, read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control<'t> {
    /// Spoke to hub: let me hear this topic.
    Subscribe(Cow<'t, str>),
    /// Spoke to hub: no more of it.
    Unsubscribe(Cow<'t, str>),
    /// Hub to spoke: yes.
    Subscribed(Cow<'t, str>),
    /// Hub to spoke: no, or no longer.
    Denied {
        /// Of which topic.
        topic: Cow<'t, str>,
        /// What was asked for.
        action: Action,
        /// Why not.
        reason: DenyReason,
    },
    /// Hub to spoke: events are missing.
    Gap {
        /// Of which topic; `None`: of all.
        topic: Option<Cow<'t, str>>,
        /// How many, where that is known.
        missed: Option<u64>,
        /// Why.
        reason: GapReason,
    },
    /// Spoke to hub: answer when all before this was handled. Holds the object's text.
    Ping(&'t str),
    /// Hub to spoke: the answer. Holds the text of the whole payload.
    Pong(&'t str),
    /// Either end of a byte stream, as its last frame: what a Close frame is to a WebSocket, where this is ignored.
    Close {
        /// Why, as a close code.
        code: u16,
        /// The same in words; often empty.
        reason: Cow<'t, str>,
    },
    /// A control type that this version does not know; to be ignored.
    Unknown,
}

/// From parts to verdict: `None` for an ordinary event.
///
/// # Errors
/// [`Refusal::BadControl`] where the payload is not what the control type calls for.
pub fn read<'t>(parts: &Parts<'t>) -> Result<Option<Control<'t>>, Refusal> {
    let Some(name) = parts.event_type.strip_prefix("__") else {
        return Ok(None);
    };
    let payload = parts.payload.unwrap_or("null");
    let control = match name {
        "subscribe" => Control::Subscribe(topic(payload)?),
        "unsubscribe" => Control::Unsubscribe(topic(payload)?),
        "subscribed" => Control::Subscribed(topic(payload)?),
        "denied" => {
            let Denied { topic, action, reason } = body(payload)?;
            Control::Denied { topic, action, reason }
        }
        "gap" => {
            let Gap { topic, missed, reason } = body(payload)?;
            Control::Gap { topic, missed, reason }
        }
        "close" => {
            let Close { code, reason } = body(payload)?;
            Control::Close { code, reason }
        }
        "ping" if payload.starts_with('{') => Control::Ping(payload),
        "pong" if payload.starts_with('{') => Control::Pong(payload),
        "ping" | "pong" => return Err(Refusal::BadControl),
        _ => Control::Unknown,
    };
    Ok(Some(control))
}

#[derive(Deserialize, Serialize)]
struct OfTopic<'t> {
    #[serde(borrow)]
    topic: Cow<'t, str>,
}

#[derive(Deserialize, Serialize)]
struct Denied<'t> {
    #[serde(borrow)]
    topic: Cow<'t, str>,
    action: Action,
    #[serde(default)]
    reason: DenyReason,
}

#[derive(Deserialize, Serialize)]
struct Gap<'t> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    topic: Option<Cow<'t, str>>,
    #[serde(default)]
    missed: Option<u64>,
    #[serde(default)]
    reason: GapReason,
}

#[derive(Deserialize, Serialize)]
struct Close<'t> {
    code: u16,
    #[serde(borrow, default)]
    reason: Cow<'t, str>,
}

fn body<'t, T: Deserialize<'t>>(payload: &'t str) -> Result<T, Refusal> {
    // serde's derive would take an array for a struct too.
    if !payload.starts_with('{') {
        return Err(Refusal::BadControl);
    }
    serde_json::from_str(payload).map_err(|_| Refusal::BadControl)
}

fn topic(payload: &str) -> Result<Cow<'_, str>, Refusal> {
    body(payload).map(|OfTopic { topic }| topic)
}

/// How the text of every control event made here begins, and that of no event: its type would be reserved.
pub(crate) const BEGINNING: &str = r#"{"type":"__"#;

fn envelope(name: &str, payload: &str) -> String {
    format!(r#"{BEGINNING}{name}","id":"","payload":{payload}}}"#)
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("control payloads hold strings and numbers only")
}

/// The text of `__subscribe`.
pub(crate) fn subscribe(topic: &str) -> String {
    envelope("subscribe", &to_json(&OfTopic { topic: topic.into() }))
}

/// The text of `__unsubscribe`.
pub(crate) fn unsubscribe(topic: &str) -> String {
    envelope("unsubscribe", &to_json(&OfTopic { topic: topic.into() }))
}

/// The text of `__subscribed`.
pub(crate) fn subscribed(topic: &str) -> String {
    envelope("subscribed", &to_json(&OfTopic { topic: topic.into() }))
}

/// The text of `__denied`.
pub(crate) fn denied(topic: &str, action: Action, reason: DenyReason) -> String {
    envelope("denied", &to_json(&Denied { topic: topic.into(), action, reason }))
}

/// The text of `__gap`.
pub(crate) fn gap(topic: Option<&str>, missed: Option<u64>, reason: GapReason) -> String {
    envelope("gap", &to_json(&Gap { topic: topic.map(Cow::from), missed, reason }))
}

/// The text of `__ping` with a number to know its answer by.
pub(crate) fn ping(number: u64) -> String {
    envelope("ping", &format!(r#"{{"n":{number}}}"#))
}

/// The text of `__pong`; `echo` is the ping's payload, untouched.
pub(crate) fn pong(echo: &str) -> String {
    envelope("pong", &format!(r#"{{"echo":{echo},"protocol":{PROTOCOL_VERSION},"features":[]}}"#))
}

/// The text of `__close`, for whoever writes the target of a byte stream.
#[must_use]
pub fn close(code: u16, reason: &str) -> String {
    envelope("close", &to_json(&Close { code, reason: reason.into() }))
}

/// The number of the ping that a pong's payload answers, where it is one of ours.
pub(crate) fn pong_number(payload: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Pong {
        echo: Echo,
    }
    #[derive(Deserialize)]
    struct Echo {
        n: u64,
    }
    serde_json::from_str::<Pong>(payload).ok().map(|pong| pong.echo.n)
}

#[cfg(test)]
mod tests {
    use super::super::check::{MessageLimits, parts};
    use super::*;
    use proptest::prelude::*;

    fn verdict(text: &str) -> Result<Option<Control<'_>>, Refusal> {
        read(&parts(text.as_bytes(), &MessageLimits::DEFAULT).unwrap())
    }

    #[test]
    fn the_texts_are_those_of_the_contract() {
        let topic = "message.sent:conv-123";
        for (text, expected) in [
            (
                subscribe(topic),
                r#"{"type":"__subscribe","id":"","payload":{"topic":"message.sent:conv-123"}}"#,
            ),
            (
                unsubscribe(topic),
                r#"{"type":"__unsubscribe","id":"","payload":{"topic":"message.sent:conv-123"}}"#,
            ),
            (
                subscribed(topic),
                r#"{"type":"__subscribed","id":"","payload":{"topic":"message.sent:conv-123"}}"#,
            ),
            (
                denied(topic, Action::Publish, DenyReason::TooManySubscriptions),
                r#"{"type":"__denied","id":"","payload":{"topic":"message.sent:conv-123","action":"publish","reason":"too_many_subscriptions"}}"#,
            ),
            (
                gap(None, None, GapReason::Broker),
                r#"{"type":"__gap","id":"","payload":{"missed":null,"reason":"broker"}}"#,
            ),
            (
                gap(Some(topic), Some(3), GapReason::TooLarge),
                r#"{"type":"__gap","id":"","payload":{"topic":"message.sent:conv-123","missed":3,"reason":"too_large"}}"#,
            ),
            (ping(7), r#"{"type":"__ping","id":"","payload":{"n":7}}"#),
            (close(1013, ""), r#"{"type":"__close","id":"","payload":{"code":1013,"reason":""}}"#),
            (
                pong(r#"{ "any": [1] }"#),
                r#"{"type":"__pong","id":"","payload":{"echo":{ "any": [1] },"protocol":1,"features":[]}}"#,
            ),
        ] {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let odd = "a\"b:\u{1f600}\\\n";
        assert_eq!(verdict(&subscribe(odd)), Ok(Some(Control::Subscribe(odd.into()))));
        assert_eq!(verdict(&unsubscribe(odd)), Ok(Some(Control::Unsubscribe(odd.into()))));
        assert_eq!(verdict(&subscribed(odd)), Ok(Some(Control::Subscribed(odd.into()))));
        let (action, reason) = (Action::Subscribe, DenyReason::Draining);
        assert_eq!(
            verdict(&denied(odd, action, reason)),
            Ok(Some(Control::Denied { topic: odd.into(), action, reason }))
        );
        let reason = GapReason::Broker;
        assert_eq!(
            verdict(&gap(None, Some(2), reason)),
            Ok(Some(Control::Gap { topic: None, missed: Some(2), reason }))
        );
        assert_eq!(verdict(&close(1009, odd)), Ok(Some(Control::Close { code: 1009, reason: odd.into() })));
        assert_eq!(pong_number(r#"{"echo":{"n":7},"protocol":1,"features":[]}"#), Some(7));
        assert_eq!(pong_number(r#"{"echo":{},"protocol":1}"#), None);
    }

    proptest! {
        #[test]
        fn any_text_and_number_comes_through(
            text: String,
            reason: String,
            code: u16,
            missed: Option<u64>,
            number: u64,
            of_all: bool,
        ) {
            let topic = || Cow::Borrowed(&*text);
            for (written, expected) in [
                (subscribe(&text), Control::Subscribe(topic())),
                (unsubscribe(&text), Control::Unsubscribe(topic())),
                (subscribed(&text), Control::Subscribed(topic())),
                (close(code, &reason), Control::Close { code, reason: Cow::Borrowed(&*reason) }),
            ] {
                prop_assert_eq!(verdict(&written), Ok(Some(expected)));
            }
            for action in [Action::Subscribe, Action::Publish] {
                for reason in DENY_REASONS {
                    let written = denied(&text, action, reason);
                    let expected = Control::Denied { topic: topic(), action, reason };
                    prop_assert_eq!(verdict(&written), Ok(Some(expected)));
                }
            }
            for reason in [GapReason::Slow, GapReason::Broker, GapReason::TooLarge] {
                let topic = (!of_all).then(topic);
                let written = gap(topic.as_deref(), missed, reason);
                prop_assert_eq!(verdict(&written), Ok(Some(Control::Gap { topic, missed, reason })));
            }
            let ping = ping(number);
            let Ok(Some(Control::Ping(echo))) = verdict(&ping) else { panic!("{ping}") };
            let pong = pong(echo);
            let Ok(Some(Control::Pong(payload))) = verdict(&pong) else { panic!("{pong}") };
            prop_assert_eq!(pong_number(payload), Some(number));
        }
    }

    const DENY_REASONS: [DenyReason; 7] = [
        DenyReason::NotAllowed,
        DenyReason::Reserved,
        DenyReason::BadTopic,
        DenyReason::TopicTooLong,
        DenyReason::TooManySubscriptions,
        DenyReason::Broker,
        DenyReason::Draining,
    ];

    #[test]
    fn unknown_words_are_read_as_the_contract_says() {
        assert_eq!(verdict(r#"{"type":"message","id":""}"#), Ok(None));
        assert_eq!(verdict(r#"{"type":"__hello","id":"","payload":7}"#), Ok(Some(Control::Unknown)));
        let later = r#"{"type":"__denied","id":"","payload":{"topic":"a:b","action":"publish","reason":"full_moon","x":1}}"#;
        let Ok(Some(Control::Denied { reason, .. })) = verdict(later) else { panic!() };
        assert_eq!(reason, DenyReason::NotAllowed);
    }

    #[test]
    fn a_control_event_with_the_wrong_payload_is_refused() {
        for text in [
            r#"{"type":"__subscribe","id":""}"#,
            r#"{"type":"__subscribe","id":"","payload":{"topic":7}}"#,
            r#"{"type":"__subscribe","id":"","payload":{"topic":"\ud800"}}"#,
            r#"{"type":"__subscribe","id":"","payload":"a:b"}"#,
            r#"{"type":"__subscribe","id":"","payload":["a:b"]}"#,
            r#"{"type":"__ping","id":"","payload":1}"#,
            r#"{"type":"__close","id":"","payload":{"reason":"no code"}}"#,
            r#"{"type":"__close","id":"","payload":{"code":65536}}"#,
        ] {
            assert_eq!(verdict(text), Err(Refusal::BadControl), "{text}");
        }
    }
}
