//! The control events, version 1: what they say, and their text.
//!
//! All are envelopes whose type begins with `__` and whose id is empty. A peer that does not know a control type
//! ignores it.

use super::check::{Parts, Refusal};
use super::json::{members, push_number, push_quoted, unescape};
use std::borrow::Cow;
use std::fmt;

/// The version of the control protocol that `__pong` tells.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a spoke wanted to do when a hub said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Hear a topic.
    Subscribe,
    /// Send an event on a topic.
    Publish,
}

impl Action {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a hub said no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    NotAllowed,
}

impl DenyReason {
    const ALL: [Self; 7] = [
        Self::Reserved,
        Self::BadTopic,
        Self::TopicTooLong,
        Self::TooManySubscriptions,
        Self::Broker,
        Self::Draining,
        Self::NotAllowed,
    ];

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

    /// The reason of this word; [`NotAllowed`](Self::NotAllowed) where it is none that this version knows.
    #[must_use]
    pub fn named(word: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or_default()
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The hub lost its broker for a while.
    Broker,
    /// A message did not fit this connection's limit.
    TooLarge,
    /// The connection was down. Never on the wire: the link itself knows it.
    Disconnected,
    /// This connection, or this subscriber, was too slow. An unknown reason reads as this one.
    #[default]
    Slow,
}

impl GapReason {
    const ON_THE_WIRE: [Self; 3] = [Self::Slow, Self::Broker, Self::TooLarge];

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

    /// The reason of this word; [`Slow`](Self::Slow) where it is none that is ever on the wire.
    #[must_use]
    pub fn named(word: &str) -> Self {
        Self::ON_THE_WIRE.into_iter().find(|reason| reason.as_str() == word).unwrap_or_default()
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
    let payload = parts.payload.unwrap_or_default();
    let body = || Body::read(payload);
    let control = match name {
        "subscribe" => body()?.topic().map(Control::Subscribe),
        "unsubscribe" => body()?.topic().map(Control::Unsubscribe),
        "subscribed" => body()?.topic().map(Control::Subscribed),
        "denied" => body()?.denied(),
        "gap" => body()?.gap(),
        "close" => body()?.close(),
        "ping" if payload.starts_with('{') => Some(Control::Ping(payload)),
        "pong" if payload.starts_with('{') => Some(Control::Pong(payload)),
        "ping" | "pong" => None,
        _ => Some(Control::Unknown),
    };
    control.map(Some).ok_or(Refusal::BadControl)
}

/// What control events say beside their type: the text of each member that this version knows.
#[derive(Default)]
struct Body<'t> {
    topic: Option<&'t str>,
    action: Option<&'t str>,
    reason: Option<&'t str>,
    missed: Option<&'t str>,
    code: Option<&'t str>,
}

impl<'t> Body<'t> {
    fn read(payload: &'t str) -> Result<Self, Refusal> {
        let mut body = Self::default();
        let mut repeated = false;
        let read = members(payload, &mut |name, value| {
            let member = match name {
                "topic" => &mut body.topic,
                "action" => &mut body.action,
                "reason" => &mut body.reason,
                "missed" => &mut body.missed,
                "code" => &mut body.code,
                _ => return,
            };
            repeated |= member.replace(value).is_some();
        });
        if read.is_none() || repeated { Err(Refusal::BadControl) } else { Ok(body) }
    }

    fn topic(&self) -> Option<Cow<'t, str>> {
        string(self.topic?)
    }

    /// `None`: it is no string. One that is missing or unknown is the default one.
    fn reason<R: Default>(&self, named: impl Fn(&str) -> R) -> Option<R> {
        let Some(said) = self.reason else { return Some(R::default()) };
        Some(named(&string(said)?))
    }

    fn denied(&self) -> Option<Control<'t>> {
        let action = string(self.action?)?;
        let action =
            [Action::Subscribe, Action::Publish].into_iter().find(|known| known.as_str() == action)?;
        let reason = self.reason(DenyReason::named)?;
        Some(Control::Denied { topic: self.topic()?, action, reason })
    }

    fn gap(&self) -> Option<Control<'t>> {
        let topic = match self.topic {
            None | Some("null") => None,
            Some(topic) => Some(string(topic)?),
        };
        let missed = match self.missed {
            None | Some("null") => None,
            Some(missed) => Some(missed.parse().ok()?),
        };
        let reason = self.reason(GapReason::named)?;
        Some(Control::Gap { topic, missed, reason })
    }

    fn close(&self) -> Option<Control<'t>> {
        let reason = self.reason.map_or(Some(Cow::Borrowed("")), string)?;
        Some(Control::Close { code: self.code?.parse().ok()?, reason })
    }
}

/// The text of a string whose syntax was checked.
fn string(value: &str) -> Option<Cow<'_, str>> {
    unescape(value.strip_prefix('"')?.strip_suffix('"')?)
}

/// How the text of every control event made here begins, and that of no event: its type would be reserved.
pub(crate) const BEGINNING: &str = r#"{"type":"__"#;

/// The text of a control event, whose payload `write` appends.
fn envelope(name: &str, write: impl FnOnce(&mut String)) -> String {
    let mut text = String::with_capacity(128);
    for part in [BEGINNING, name, r#"","id":"","payload":"#] {
        text.push_str(part);
    }
    write(&mut text);
    text.push('}');
    text
}

/// The same where the payload names a topic, and `rest` appends what follows.
fn of_topic(name: &str, topic: &str, rest: impl FnOnce(&mut String)) -> String {
    envelope(name, |text| {
        text.push_str(r#"{"topic":"#);
        push_quoted(text, topic);
        rest(text);
        text.push('}');
    })
}

/// Appends what is a word of the protocol.
fn push_word(text: &mut String, name: &str, word: &str) {
    for part in [",\"", name, "\":\"", word, "\""] {
        text.push_str(part);
    }
}

/// The text of `__subscribe`.
pub(crate) fn subscribe(topic: &str) -> String {
    of_topic("subscribe", topic, |_| ())
}

/// The text of `__unsubscribe`.
pub(crate) fn unsubscribe(topic: &str) -> String {
    of_topic("unsubscribe", topic, |_| ())
}

/// The text of `__subscribed`.
pub(crate) fn subscribed(topic: &str) -> String {
    of_topic("subscribed", topic, |_| ())
}

/// The text of `__denied`.
pub(crate) fn denied(topic: &str, action: Action, reason: DenyReason) -> String {
    of_topic("denied", topic, |text| {
        push_word(text, "action", action.as_str());
        push_word(text, "reason", reason.as_str());
    })
}

/// The text of `__gap`.
pub(crate) fn gap(topic: Option<&str>, missed: Option<u64>, reason: GapReason) -> String {
    envelope("gap", |text| {
        text.push('{');
        if let Some(topic) = topic {
            text.push_str(r#""topic":"#);
            push_quoted(text, topic);
            text.push(',');
        }
        text.push_str(r#""missed":"#);
        match missed {
            Some(missed) => push_number(text, missed),
            None => text.push_str("null"),
        }
        push_word(text, "reason", reason.as_str());
        text.push('}');
    })
}

/// The text of `__ping` with a number to know its answer by.
pub(crate) fn ping(number: u64) -> String {
    envelope("ping", |text| {
        text.push_str(r#"{"n":"#);
        push_number(text, number);
        text.push('}');
    })
}

/// The text of `__pong`; `echo` is the ping's payload, untouched.
pub(crate) fn pong(echo: &str) -> String {
    envelope("pong", |text| {
        text.push_str(r#"{"echo":"#);
        text.push_str(echo);
        text.push_str(r#","protocol":"#);
        push_number(text, PROTOCOL_VERSION.into());
        text.push_str(r#","features":[]}"#);
    })
}

/// The text of `__close`, for whoever writes the target of a byte stream.
#[must_use]
pub fn close(code: u16, reason: &str) -> String {
    envelope("close", |text| {
        text.push_str(r#"{"code":"#);
        push_number(text, code.into());
        text.push_str(r#","reason":"#);
        push_quoted(text, reason);
        text.push('}');
    })
}

/// What a hub would answer to a control event of a spoke, for whoever stands in for one, as where a broker is behind a
/// link; `None` where there is nothing to say. With `denied`, a subscription is refused for that reason.
#[must_use]
pub fn answer(asked: &Control<'_>, denied: Option<DenyReason>) -> Option<String> {
    match (asked, denied) {
        (Control::Subscribe(topic), None) => Some(subscribed(topic)),
        (Control::Subscribe(topic), Some(reason)) => Some(self::denied(topic, Action::Subscribe, reason)),
        (Control::Ping(echo), _) => Some(pong(echo)),
        _ => None,
    }
}

/// The number of the ping that a pong's payload answers, where it is one of ours.
pub(crate) fn pong_number(payload: &str) -> Option<u64> {
    let (mut echo, mut number) = (None, None);
    members(payload, &mut |name, value| echo = if name == "echo" { Some(value) } else { echo })?;
    members(echo?, &mut |name, value| number = if name == "n" { Some(value) } else { number })?;
    number?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::check::{MessageLimits, parts};
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

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
    fn who_stands_in_for_a_hub_answers_as_one() {
        let topic = || Cow::Borrowed("a:b");
        let broker = Some(DenyReason::Broker);
        assert_eq!(answer(&Control::Subscribe(topic()), None), Some(subscribed("a:b")));
        let refused = denied("a:b", Action::Subscribe, DenyReason::Broker);
        assert_eq!(answer(&Control::Subscribe(topic()), broker), Some(refused));
        assert_eq!(answer(&Control::Ping(r#"{"n":7}"#), broker), Some(pong(r#"{"n":7}"#)));
        assert_eq!(answer(&Control::Unsubscribe(topic()), None), None);
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

    /// What serde's derives make of a payload: a reader that knows nothing of the one here.
    fn derived<'t>(name: &str, payload: &'t str) -> Option<Control<'t>> {
        #[derive(Deserialize)]
        struct Body<'t> {
            #[serde(borrow)]
            topic: Cow<'t, str>,
        }
        #[derive(Deserialize)]
        struct Denied<'t> {
            #[serde(borrow)]
            topic: Cow<'t, str>,
            action: String,
            #[serde(default)]
            reason: String,
        }
        #[derive(Deserialize)]
        struct Gap<'t> {
            #[serde(borrow)]
            topic: Option<Cow<'t, str>>,
            missed: Option<u64>,
            #[serde(default)]
            reason: String,
        }
        #[derive(Deserialize)]
        struct Close {
            code: u16,
            #[serde(default)]
            reason: String,
        }
        fn from<'t, T: Deserialize<'t>>(payload: &'t str) -> Option<T> {
            serde_json::from_str(payload).ok()
        }
        Some(match name {
            "subscribe" => Control::Subscribe(from::<Body<'_>>(payload)?.topic),
            "unsubscribe" => Control::Unsubscribe(from::<Body<'_>>(payload)?.topic),
            "subscribed" => Control::Subscribed(from::<Body<'_>>(payload)?.topic),
            "denied" => {
                let Denied { topic, action, reason } = from(payload)?;
                let action = match &*action {
                    "subscribe" => Action::Subscribe,
                    "publish" => Action::Publish,
                    _ => return None,
                };
                let reason = DENY_REASONS.into_iter().find(|known| known.as_str() == reason);
                Control::Denied { topic, action, reason: reason.unwrap_or(DenyReason::NotAllowed) }
            }
            "gap" => {
                let Gap { topic, missed, reason } = from(payload)?;
                let reason = match &*reason {
                    "broker" => GapReason::Broker,
                    "too_large" => GapReason::TooLarge,
                    _ => GapReason::Slow,
                };
                Control::Gap { topic, missed, reason }
            }
            "close" => {
                let Close { code, reason } = from(payload)?;
                Control::Close { code, reason: reason.into() }
            }
            _ => return None,
        })
    }

    const VALUES: [&str; 24] = [
        r#""a:b""#,
        r#""subscribe""#,
        r#""publish""#,
        r#""\u0073ubscribe""#,
        r#""draining""#,
        r#""broker""#,
        r#""too_large""#,
        r#""disconnected""#,
        r#""full_moon""#,
        r#""\ud800""#,
        r#""""#,
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "1.0",
        "1e2",
        "65535",
        "65536",
        "18446744073709551615",
        "18446744073709551616",
        r#"["a:b"]"#,
        r#"{"topic":"a:b","topic":1}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_payload_is_read_as_serde_reads_it(
            name in prop::sample::select(&["subscribe", "unsubscribe", "subscribed", "denied", "gap", "close"][..]),
            // Most of what is drawn should be read, and some of it be wrong by a single member.
            usual in prop::bool::weighted(0.8),
            more in prop::collection::vec(
                (
                    prop::sample::select(
                        &["topic", "action", "reason", "missed", "code", r"t\u006fpic", "Topic", "x"][..],
                    ),
                    prop::sample::select(&VALUES[..]),
                ),
                0..4,
            ),
        ) {
            let mut members = more;
            let is = |names: &[&str]| usual && names.contains(&name);
            if is(&["subscribe", "unsubscribe", "subscribed", "denied"]) {
                members.retain(|(member, _)| *member != "topic");
                members.push(("topic", r#""a:b""#));
            }
            if is(&["denied"]) && members.iter().all(|(member, _)| *member != "action") {
                members.push(("action", r#""publish""#));
            }
            if is(&["close"]) && members.iter().all(|(member, _)| *member != "code") {
                members.push(("code", "1000"));
            }
            let known = |known: &str| {
                members.iter().filter(|(member, _)| member.replace(r"\u006f", "o") == known).count()
            };
            // serde's derives look only at what a control type calls for, and the one here at all that is known.
            let repeated = ["topic", "action", "reason", "missed", "code"].iter().any(|name| known(name) > 1);
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
            let payload = format!("{{ {} }}", members.join(" ,"));
            let text = format!(r#"{{"type":"__{name}","id":"","payload":{payload}}}"#);
            let expected = derived(name, &payload).filter(|_| !repeated).ok_or(Refusal::BadControl);
            prop_assert_eq!(verdict(&text), expected.map(Some), "{}", text);
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
        let odd_name = r#"{"type":"__subscribe","id":"","payload":{"\ud800":1,"topic":"a:b"}}"#;
        assert_eq!(verdict(odd_name), Ok(Some(Control::Subscribe("a:b".into()))));
    }

    #[test]
    fn a_control_event_with_the_wrong_payload_is_refused() {
        for text in [
            r#"{"type":"__subscribe","id":""}"#,
            r#"{"type":"__subscribe","id":"","payload":{"topic":7}}"#,
            r#"{"type":"__subscribe","id":"","payload":{"topic":"\ud800"}}"#,
            r#"{"type":"__subscribe","id":"","payload":"a:b"}"#,
            r#"{"type":"__subscribe","id":"","payload":["a:b"]}"#,
            r#"{"type":"__subscribe","id":"","payload":{"topic":"a:b","t\u006fpic":"a:b"}}"#,
            r#"{"type":"__denied","id":"","payload":{"topic":"a:b","action":"listen"}}"#,
            r#"{"type":"__gap","id":"","payload":{"missed":-1}}"#,
            r#"{"type":"__ping","id":"","payload":1}"#,
            r#"{"type":"__close","id":"","payload":{"reason":"no code"}}"#,
            r#"{"type":"__close","id":"","payload":{"code":65536}}"#,
        ] {
            assert_eq!(verdict(text), Err(Refusal::BadControl), "{text}");
        }
    }
}
