//! From bytes to parts: the check of a whole message at a trust boundary, before anything leaves.
//!
//! The second step, from parts to verdict, is [`control::read`](super::control::read). They are two because not
//! every transport carries bytes: `postMessage` hands over an object whose parts are known already.

use super::json::{Json, JsonError, past_plain, past_space, unescape};
use std::borrow::Cow;
use std::fmt;

/// What is checked of one message, before memory is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageLimits {
    /// Bytes of the whole message; equal is allowed.
    pub max_message: usize,
    /// How deep objects and arrays may nest; the envelope itself is 1. Never more than [`Self::MOST_DEPTH`].
    pub max_depth: usize,
}

impl MessageLimits {
    /// 64 KiB a message, 64 deep.
    pub const DEFAULT: Self = Self { max_message: 64 * 1024, max_depth: 64 };

    /// The depth beyond which no message is read, whatever the limit: the reader's stack grows with it.
    pub const MOST_DEPTH: usize = 1024;

    fn depth(&self) -> usize {
        self.max_depth.min(Self::MOST_DEPTH)
    }

    /// Checks an envelope of our own making, which is JSON for certain, before it is sent: the other end would
    /// refuse it, and might end the connection for it.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] or [`Refusal::TooDeep`].
    pub fn admit(&self, text: &str) -> Result<(), Refusal> {
        if text.len() > self.max_message {
            return Err(Refusal::TooLarge { limit: self.max_message });
        }
        if nests_deeper(text.as_bytes(), self.depth()) {
            return Err(Refusal::TooDeep { limit: self.depth() });
        }
        Ok(())
    }
}

fn nests_deeper(json: &[u8], limit: usize) -> bool {
    // Nearly every envelope holds fewer brackets than it may nest, and counting them is much cheaper.
    if opening_brackets(json) <= limit {
        return false;
    }
    let (mut depth, mut in_string) = (0usize, false);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    false
}

/// How many `{` and `[` there are, in strings or not.
fn opening_brackets(json: &[u8]) -> usize {
    // They differ in one bit. Counted in bytes, as many at a time as a byte can count: the compiler makes vectors of it.
    let opening = |byte: &u8| u8::from(byte | 0x20 == b'{');
    json.chunks(255).map(|bytes| usize::from(bytes.iter().map(opening).sum::<u8>())).sum()
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The parts of a message that was checked. Everything borrows from the message unless an escape had to be
/// undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'t> {
    /// The whole message, white space and unknown members as they came.
    pub text: &'t str,
    /// The value of `type`, unescaped; not empty.
    pub event_type: Cow<'t, str>,
    /// The value of `id`, unescaped.
    pub id: Cow<'t, str>,
    /// The JSON text of `payload`, not re-encoded; `None` where it is missing.
    pub payload: Option<&'t str>,
}

/// One of the three members an envelope is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Member {
    /// `type`
    Type,
    /// `id`
    Id,
    /// `payload`
    Payload,
}

impl Member {
    const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Id => "id",
            Self::Payload => "payload",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message was refused. Its text never holds any of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More bytes than [`MessageLimits::max_message`].
    #[error("the message is longer than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// More nesting than [`MessageLimits::max_depth`].
    #[error("the message nests deeper than the limit of {limit}")]
    TooDeep {
        /// The limit; the envelope itself is 1.
        limit: usize,
    },
    /// Invalid UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is no part of a character.
        at: usize,
    },
    /// A byte order mark in front.
    #[error("a byte order mark stands before the JSON; send the text without it")]
    ByteOrderMark,
    /// Not JSON as RFC 8259 has it.
    #[error("not JSON at byte {at}")]
    NotJson {
        /// Where the reader could not go on.
        at: usize,
    },
    /// Something stands after the envelope.
    #[error("something stands after the envelope, at byte {at}; send one envelope a message")]
    TrailingBytes {
        /// Where it begins.
        at: usize,
    },
    /// JSON, but no object.
    #[error("not an object; an envelope is {{\"type\":…,\"id\":…,\"payload\":…}}")]
    NotAnObject,
    /// `type` or `id` is missing.
    #[error("`{0}` is missing")]
    Missing(Member),
    /// `type` or `id` is not a string.
    #[error("`{0}` is not a string")]
    NotAString(Member),
    /// `type`, `id` or `payload` is there more than once (names are compared after unescaping).
    #[error("`{0}` is there more than once")]
    Repeated(Member),
    /// A lone surrogate, as in `"\ud800"`, in `type` or `id`.
    #[error("`{0}` holds a lone surrogate")]
    LoneSurrogate(Member),
    /// `type` is the empty string.
    #[error("`type` is empty")]
    EmptyType,
    /// A member whose name begins with `__`; they are kept for later versions of the protocol.
    #[error("a member's name begins with `__`; these names are reserved")]
    ReservedMember,
    /// A control event whose payload is not what its type calls for.
    #[error("the payload of this control event is not what its type calls for")]
    BadControl,
}

impl Refusal {
    /// The names of all reasons, in the order in which [`RefusalCounts`](super::RefusalCounts) tells them.
    pub const NAMES: [&'static str; 14] = [
        "too_large",
        "too_deep",
        "not_utf8",
        "byte_order_mark",
        "not_json",
        "trailing_bytes",
        "not_an_object",
        "missing_member",
        "not_a_string",
        "repeated_member",
        "lone_surrogate",
        "empty_type",
        "reserved_member",
        "bad_control",
    ];

    /// Where its name stands in [`NAMES`](Self::NAMES).
    pub(super) const fn index(&self) -> usize {
        match self {
            Self::TooLarge { .. } => 0,
            Self::TooDeep { .. } => 1,
            Self::NotUtf8 { .. } => 2,
            Self::ByteOrderMark => 3,
            Self::NotJson { .. } => 4,
            Self::TrailingBytes { .. } => 5,
            Self::NotAnObject => 6,
            Self::Missing(_) => 7,
            Self::NotAString(_) => 8,
            Self::Repeated(_) => 9,
            Self::LoneSurrogate(_) => 10,
            Self::EmptyType => 11,
            Self::ReservedMember => 12,
            Self::BadControl => 13,
        }
    }

    /// The number that belongs to it: where in the message, counted in bytes, or the limit.
    #[must_use]
    pub const fn number(&self) -> Option<usize> {
        match self {
            Self::NotUtf8 { at } | Self::NotJson { at } | Self::TrailingBytes { at } => Some(*at),
            Self::TooLarge { limit } | Self::TooDeep { limit } => Some(*limit),
            _ => None,
        }
    }

    /// A short name for counters and logs, the same for every message refused for this reason.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// Checks one whole message and finds its parts.
///
/// # Errors
/// [`Refusal`] names the first thing that is wrong.
pub fn parts<'t>(bytes: &'t [u8], limits: &MessageLimits) -> Result<Parts<'t>, Refusal> {
    if bytes.len() > limits.max_message {
        return Err(Refusal::TooLarge { limit: limits.max_message });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Refusal::NotUtf8 { at: error.valid_up_to() })?;
    within_limit(text, limits)
}

/// The same of what is known to be UTF-8 already.
///
/// # Errors
/// As of [`parts`].
pub fn text_parts<'t>(text: &'t str, limits: &MessageLimits) -> Result<Parts<'t>, Refusal> {
    if text.len() > limits.max_message {
        return Err(Refusal::TooLarge { limit: limits.max_message });
    }
    within_limit(text, limits)
}

#[inline(always)]
fn within_limit<'t>(text: &'t str, limits: &MessageLimits) -> Result<Parts<'t>, Refusal> {
    let json = Json::new(text, limits.depth());
    let begin = past_space(text.as_bytes());
    let [b'{', inside @ ..] = begin else {
        if text.starts_with('\u{feff}') {
            return Err(Refusal::ByteOrderMark);
        }
        json.value(begin, 0)?;
        return Err(Refusal::NotAnObject);
    };
    json.check_depth(0)?;
    let mut found = Found::default();
    let left = if let Some((event_type, id, begin)) = usual_members(text) {
        let left = json.value(begin.as_bytes(), 1)?;
        let (event_type, id) = (Cow::Borrowed(event_type), Cow::Borrowed(id));
        let payload = Some(&begin[..begin.len() - left.len()]);
        if left == b"}" {
            return Ok(Parts { text, event_type, id, payload });
        }
        found = Found { event_type: Some(event_type), id: Some(id), payload };
        left
    } else {
        match past_space(inside) {
            left @ [b'}', ..] => left,
            left => found.member(&json, left)?,
        }
    };
    let left = past_space(found.members(&json, left)?);
    if !left.is_empty() {
        return Err(Refusal::TrailingBytes { at: json.at(left) });
    }
    let event_type = found.event_type.ok_or(Refusal::Missing(Member::Type))?;
    let id = found.id.ok_or(Refusal::Missing(Member::Id))?;
    Ok(Parts { text, event_type, id, payload: found.payload })
}

/// Type, id, and what begins with the payload, where an envelope is written as nearly all are: in this order, without
/// white space and without escapes. `None` leaves the members, and what is wrong with them, to be read one by one.
#[inline(always)]
fn usual_members(text: &str) -> Option<(&str, &str, &str)> {
    let (event_type, left) = plain(text.strip_prefix(r#"{"type":""#)?)?;
    let (id, left) = plain(left.strip_prefix(r#"","id":""#)?)?;
    let payload = left.strip_prefix(r#"","payload":"#)?;
    // No white space either: its first byte is the payload's.
    (!event_type.is_empty() && payload.as_bytes().first()? > &b' ').then_some((event_type, id, payload))
}

#[inline(always)]
fn plain(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.len() - past_plain(text.as_bytes()).len())
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax { at } => Self::NotJson { at },
            JsonError::TooDeep { limit } => Self::TooDeep { limit },
        }
    }
}

/// The members of an envelope that were read so far.
#[derive(Default)]
struct Found<'t> {
    event_type: Option<Cow<'t, str>>,
    id: Option<Cow<'t, str>>,
    payload: Option<&'t str>,
}

/// What is left of the message, or why it is refused.
type Read<'t> = Result<&'t [u8], Refusal>;

impl<'t> Found<'t> {
    /// Reads from behind a member to behind the closing bracket.
    fn members(&mut self, json: &Json<'t>, mut left: &'t [u8]) -> Read<'t> {
        loop {
            left = match past_space(left) {
                [b',', behind @ ..] => self.member(json, behind)?,
                [b'}', behind @ ..] => return Ok(behind),
                left => return Ok(json.syntax(left)?),
            };
        }
    }

    fn member(&mut self, json: &Json<'t>, left: &'t [u8]) -> Read<'t> {
        let left = past_space(left);
        let [b'"', inside @ ..] = left else { return Ok(json.syntax(left)?) };
        // No escapes, no space before the colon: then the name need not be read, as these bytes say it all.
        if let Some(left) = inside.strip_prefix(br#"type":"#) {
            return self.event_type(json, left);
        }
        if let Some(left) = inside.strip_prefix(br#"id":"#) {
            return self.id(json, left);
        }
        if let Some(left) = inside.strip_prefix(br#"payload":"#) {
            return self.payload(json, left);
        }
        let (name, left) = json.string(inside)?;
        let left = json.colon(left)?;
        let name = if name.escaped { unescape_name(name.text) } else { Cow::Borrowed(name.text) };
        match &*name {
            "type" => self.event_type(json, left),
            "id" => self.id(json, left),
            "payload" => self.payload(json, left),
            reserved if reserved.starts_with("__") => Err(Refusal::ReservedMember),
            _ => Ok(json.value(left, 1)?),
        }
    }

    fn event_type(&mut self, json: &Json<'t>, left: &'t [u8]) -> Read<'t> {
        let (value, left) = string_member(json, left, Member::Type, self.event_type.is_some())?;
        if value.is_empty() {
            return Err(Refusal::EmptyType);
        }
        self.event_type = Some(value);
        Ok(left)
    }

    fn id(&mut self, json: &Json<'t>, left: &'t [u8]) -> Read<'t> {
        let (value, left) = string_member(json, left, Member::Id, self.id.is_some())?;
        self.id = Some(value);
        Ok(left)
    }

    fn payload(&mut self, json: &Json<'t>, left: &'t [u8]) -> Read<'t> {
        if self.payload.is_some() {
            return Err(Refusal::Repeated(Member::Payload));
        }
        let value = past_space(left);
        let left = json.value(value, 1)?;
        self.payload = Some(json.between(value, left));
        Ok(left)
    }
}

fn string_member<'t>(
    json: &Json<'t>,
    left: &'t [u8],
    member: Member,
    again: bool,
) -> Result<(Cow<'t, str>, &'t [u8]), Refusal> {
    if again {
        return Err(Refusal::Repeated(member));
    }
    let left = past_space(left);
    let [b'"', inside @ ..] = left else {
        json.value(left, 1)?;
        return Err(Refusal::NotAString(member));
    };
    let (raw, left) = json.string(inside)?;
    let text = if raw.escaped {
        unescape(raw.text).ok_or(Refusal::LoneSurrogate(member))?
    } else {
        Cow::Borrowed(raw.text)
    };
    Ok((text, left))
}

/// Undoes the escapes of a member's name. One with a lone surrogate is none of the three, but may be reserved:
/// what stands before the first surrogate tells.
fn unescape_name(raw: &str) -> Cow<'_, str> {
    unescape(raw).unwrap_or_else(|| {
        let mut at = 0;
        while let Some(found) = raw.as_bytes()[at..].iter().position(|byte| *byte == b'\\') {
            let escape = at + found;
            let is_surrogate = matches!(raw.as_bytes()[escape + 1..], [b'u', b'd' | b'D', ..]);
            match unescape(&raw[..escape]) {
                Some(before) if is_surrogate => return Cow::Owned(before.into_owned() + "\u{fffd}"),
                _ => at = escape + 2,
            }
        }
        Cow::Borrowed("\u{fffd}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Parts<'_>, Refusal> {
        let found = parts(text.as_bytes(), &MessageLimits::DEFAULT);
        assert_eq!(text_parts(text, &MessageLimits::DEFAULT), found, "known to be UTF-8 or not");
        found
    }

    #[test]
    fn the_parts_are_found_in_any_order_and_the_payload_is_left_as_it_lies() {
        let text = r#" { "payload" : {"b":1e400,"a":[ 9007199254740993 ],"a":"\ud800"} , "x":[], "id":"i:d","type":"t" } "#;
        let found = check(text).unwrap();
        assert_eq!((&*found.event_type, &*found.id), ("t", "i:d"));
        assert_eq!(found.payload, Some(r#"{"b":1e400,"a":[ 9007199254740993 ],"a":"\ud800"}"#));
        assert_eq!(found.text, text);
        assert_eq!(check(r#"{"type":"t","id":""}"#).unwrap().payload, None);
        assert_eq!(check(r#"{"type":"t","id":"","payload":null}"#).unwrap().payload, Some("null"));
    }

    #[test]
    fn names_and_strings_are_compared_after_unescaping() {
        let found = check(r#"{"t\u0079pe":"call\u002eresponded","id":"\ud83d\ude00\n"}"#).unwrap();
        assert_eq!((&*found.event_type, &*found.id), ("call.responded", "\u{1f600}\n"));
        assert_eq!(check(r#"{"type":"a","t\u0079pe":"b","id":""}"#), Err(Refusal::Repeated(Member::Type)));
        assert_eq!(check(r#"{"type":"a","id":"","\u005f\u005fhop":1}"#), Err(Refusal::ReservedMember));
    }

    #[test]
    fn each_refusal_has_its_name() {
        for (text, refusal) in [
            ("", Refusal::NotJson { at: 0 }),
            ("{", Refusal::NotJson { at: 1 }),
            (r#"{"type":"a","id":"b"}x"#, Refusal::TrailingBytes { at: 21 }),
            (r#"{"type":"a","id":"b"}{}"#, Refusal::TrailingBytes { at: 21 }),
            (r#"{"type":"a","id":"b",}"#, Refusal::NotJson { at: 21 }),
            ("[]", Refusal::NotAnObject),
            ("7", Refusal::NotAnObject),
            ("{}", Refusal::Missing(Member::Type)),
            (r#"{"type":"a"}"#, Refusal::Missing(Member::Id)),
            (r#"{"type":1,"id":""}"#, Refusal::NotAString(Member::Type)),
            (r#"{"type":"a","id":null}"#, Refusal::NotAString(Member::Id)),
            (r#"{"type":"a","id":"","id":""}"#, Refusal::Repeated(Member::Id)),
            (r#"{"type":"a","id":"","payload":1,"payload":1}"#, Refusal::Repeated(Member::Payload)),
            (r#"{"type":"","id":""}"#, Refusal::EmptyType),
            (r#"{"type":"\ud800","id":""}"#, Refusal::LoneSurrogate(Member::Type)),
            (r#"{"type":"a","id":"\udc00\ud800"}"#, Refusal::LoneSurrogate(Member::Id)),
            (r#"{"type":"a","id":"","__x":0}"#, Refusal::ReservedMember),
            ("\u{feff}{}", Refusal::ByteOrderMark),
        ] {
            assert_eq!(check(text), Err(refusal), "{text}");
        }
        assert_eq!(parts(b"{\"\xff\":1}", &MessageLimits::DEFAULT), Err(Refusal::NotUtf8 { at: 2 }));
    }

    #[test]
    fn the_offset_is_that_of_what_cannot_stand_there() {
        // Of an escape, a word or a pair of brackets: of its first byte.
        for (payload, wrong) in [
            ("tru", "tru"),
            ("nulL", "nulL"),
            ("-", "}"),
            ("-x", "x"),
            ("01", "1"),
            ("1.", "}"),
            ("1.e1", "e1"),
            ("1e+", "}"),
            ("123456789012x", "x"),
            (r#""abc\x""#, r#"\x"#),
            (r#""abcdefghijklmnop\u12g4""#, r#"\u12"#),
            ("\"ab\tc\"", "\tc"),
            ("[1 ,, 2]", ", 2"),
            ("[1, ]", "]"),
            ("[1 2]", "2"),
            ("[1}", "}}"),
            (r#"{"a" 1}"#, "1}"),
            (r#"{"a": }"#, "}"),
            (r#"{"a":1, }"#, "}"),
            (r#"{"a":1]"#, "]"),
            ("{a:1}", "a:1"),
            ("", "}"),
        ] {
            for (before, after) in [
                (r#"{"type":"a","id":"b","payload":"#, "}"),
                (r#"{"type":"a","id":"b","payload": "#, "}"),
                (r#"{"id":"b","payload":"#, r#"}"#),
                (r#"{"x":"#, r#"}"#),
            ] {
                let text = [before, payload, after].concat();
                let at = before.len() + text[before.len()..].find(wrong).unwrap();
                assert_eq!(check(&text), Err(Refusal::NotJson { at }), "{text}");
            }
        }
        for (text, at) in [
            (r#"{"type":"a","id":"b","payload":"unfinished"#, 42),
            (r#"{"type":"a","id":"b"#, 19),
            (r#"{"type":"a""#, 11),
            (r#"{"type" "a"}"#, 8),
            (r#"{"type":"a","id":"b" "payload":1}"#, 21),
            (r#"{"type":"a","id":"b","payload":1,}"#, 33),
        ] {
            assert_eq!(check(text), Err(Refusal::NotJson { at }), "{text}");
        }
    }

    #[test]
    fn what_is_written_as_usual_is_held_to_the_same_rules() {
        let usual = r#"{"type":"a","id":"b","payload":[1]}"#;
        for (instead, refusal) in [
            (r#""b","payload":[1],"id":"b"}"#, Refusal::Repeated(Member::Id)),
            (r#""b","payload":[1],"type":"a"}"#, Refusal::Repeated(Member::Type)),
            (r#""b","payload":[1],"payload":[1]}"#, Refusal::Repeated(Member::Payload)),
            (r#""b","payload":[1],"__x":[1]}"#, Refusal::ReservedMember),
            (r#""b","payload":[1]}}"#, Refusal::TrailingBytes { at: 35 }),
            (r#""b","payload":[1]"#, Refusal::NotJson { at: 34 }),
        ] {
            assert_eq!(check(&usual.replace(r#""b","payload":[1]}"#, instead)), Err(refusal), "{instead}");
        }
        let empty = usual.replace(r#""a""#, r#""""#);
        assert_eq!(check(&empty), Err(Refusal::EmptyType));
        assert_eq!(check(&empty.replace("]}", "")), Err(Refusal::EmptyType));
        for spaced in
            [&format!("{usual}\n"), &usual.replace("]}", "] }"), &usual.replace("]}", "],\"x\":{}}")]
        {
            assert_eq!(check(spaced).unwrap().payload, Some("[1]"), "{spaced}");
        }
    }

    #[test]
    fn a_name_with_a_lone_surrogate_is_an_unknown_member() {
        for name in [r"\ud800", r"\u005f\ud800", r"\uD7ff\udc00", r"\\\ud800__", r"type\ud800"] {
            assert!(check(&format!(r#"{{"type":"a","{name}":1,"id":""}}"#)).is_ok(), "{name}");
        }
        for name in [r"__\ud800", r"\u005f_\ud800", r"__\n\uD7ff\udc00"] {
            let refused = check(&format!(r#"{{"type":"a","{name}":1,"id":""}}"#)).map(|_| ());
            assert_eq!(refused, Err(Refusal::ReservedMember), "{name}");
        }
    }

    #[test]
    fn what_is_sent_is_held_to_the_same_limits() {
        let limits = MessageLimits { max_message: 71, max_depth: 3 };
        let admit = |payload: &str| limits.admit(&format!(r#"{{"type":"a","id":"","payload":{payload}}}"#));
        for fits in ["[[]]", "[[],[],[],{}]", r#"["[[[[","\"[[[[","\\",[]]"#] {
            assert_eq!(admit(fits), Ok(()), "{fits}");
        }
        for too_deep in ["[[[]]]", r#"["\\",[{}]]"#] {
            assert_eq!(admit(too_deep), Err(Refusal::TooDeep { limit: 3 }), "{too_deep}");
        }
        assert_eq!(admit(&"7".repeat(40)), Ok(()));
        assert_eq!(admit(&"7".repeat(41)), Err(Refusal::TooLarge { limit: 71 }));
    }

    #[test]
    fn no_limit_lets_a_message_use_up_the_stack() {
        let limits = MessageLimits { max_message: usize::MAX, max_depth: usize::MAX };
        let nested = |depth: usize| {
            format!(r#"{{"type":"a","id":"","payload":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
        };
        let refused = Err(Refusal::TooDeep { limit: 1024 });
        assert!(parts(nested(1023).as_bytes(), &limits).is_ok());
        assert_eq!(parts(nested(1_000_000).as_bytes(), &limits), refused);
        assert_eq!(limits.admit(&nested(1023)), Ok(()));
        assert_eq!(limits.admit(&nested(1024)), refused.map(|_| ()));
    }

    #[test]
    fn limits_are_kept_and_equal_is_allowed() {
        let nested = |depth: usize| {
            format!(r#"{{"type":"a","id":"","payload":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
        };
        assert!(check(&nested(63)).is_ok());
        assert_eq!(check(&nested(64)), Err(Refusal::TooDeep { limit: 64 }));
        let sized = |bytes: usize| {
            let envelope = r#"{"type":"a","id":"","payload":""}"#;
            envelope.replace("\"\"}", &format!("\"{}\"}}", "x".repeat(bytes - envelope.len())))
        };
        assert!(check(&sized(64 * 1024)).is_ok());
        assert_eq!(check(&sized(64 * 1024 + 1)), Err(Refusal::TooLarge { limit: 64 * 1024 }));
        assert_eq!(
            parts(b"{}", &MessageLimits { max_depth: 0, ..MessageLimits::DEFAULT }),
            Err(Refusal::TooDeep { limit: 0 })
        );
    }
}
