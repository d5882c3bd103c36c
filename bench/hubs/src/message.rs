//! What the load generator says and hears. Every event can be checked by itself: its payload names its topic,
//! publisher, number and the time when it was due, and the rest of it follows from these.

/// The type of every event; the topic is this, a colon and five hexadecimal digits.
pub const TYPE: &str = "bench.event";

/// Bytes in an envelope ahead of the payload: always the same, which is what lets the floor parse nothing.
pub const HEAD: usize = br#"{"type":"bench.event","id":"00000","payload":"#.len();
const ID: usize = br#"{"type":"bench.event","id":""#.len();

/// The shortest payload: `{"a":"…"}` with the tag, and room to say no more.
pub const SHORTEST: usize = 32;
/// The longest.
pub const LONGEST: usize = 1 << 16;
const TAG: usize = 23;
/// Bytes of a payload that are not filled: `{"a":"`, the tag, `","b":"`, `"}`.
const AROUND: usize = 6 + TAG + 7 + 2;
const PERIOD: usize = 61;

/// What an event's payload says of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Which topic, below 2^20.
    pub topic: u32,
    /// Which publisher.
    pub publisher: u8,
    /// Which one of that publisher and topic, from 1, below 2^28.
    pub number: u32,
    /// When it was to be published, in microseconds of the load generator's clock, below 2^36.
    pub due: u64,
}

impl Tag {
    fn put(self, out: &mut Vec<u8>) {
        put_hex(out, u64::from(self.topic), 5);
        put_hex(out, u64::from(self.publisher), 2);
        put_hex(out, u64::from(self.number), 7);
        put_hex(out, self.due, 9);
    }

    fn read(text: &[u8]) -> Option<Self> {
        if text.len() != TAG {
            return None;
        }
        Some(Self {
            topic: hex(&text[..5])? as u32,
            publisher: hex(&text[5..7])? as u8,
            number: hex(&text[7..14])? as u32,
            due: hex(&text[14..])?,
        })
    }
}

fn put_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    out.extend((0..digits).rev().map(|at| b"0123456789abcdef"[(value >> (4 * at) & 15) as usize]));
}

fn hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// What the far side speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One envelope of JSON a message.
    Json,
    /// The protocol of NATS: a stream of bytes, however it is cut into messages.
    Nats,
}

/// Something that was heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// An event and its payload.
    Event(Tag, &'a [u8]),
    /// A subscription is in force.
    Subscribed,
    /// The far side wants a sign of life.
    Asks,
    /// Something that does not matter here.
    Other,
    /// What must not come: an event that is none of ours, a refusal, news of a loss.
    Wrong(&'a [u8]),
}

/// Writes and reads messages.
#[derive(Debug)]
pub struct Words {
    dialect: Dialect,
    filling: Vec<u8>,
}

impl Words {
    /// Of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let alphabet = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,:;!?-+";
        let filling = alphabet[..PERIOD].iter().copied().cycle().take(LONGEST + PERIOD).collect();
        Self { dialect, filling }
    }

    /// The dialect.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is to be said first on a connection.
    pub fn greet(&self, out: &mut Vec<u8>) {
        if self.dialect == Dialect::Nats {
            out.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true}\r\n");
        }
    }

    /// Asks for a topic; the answer is heard as [`Heard::Subscribed`].
    pub fn subscribe(&self, topic: u32, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Json => {
                out.extend_from_slice(br#"{"type":"__subscribe","id":"","payload":{"topic":"bench.event:"#);
                put_hex(out, u64::from(topic), 5);
                out.extend_from_slice(br#""}}"#);
            }
            Dialect::Nats => {
                out.extend_from_slice(b"SUB bench.event.");
                put_hex(out, u64::from(topic), 5);
                out.extend_from_slice(format!(" {topic}\r\nPING\r\n").as_bytes());
            }
        }
    }

    /// An event whose payload has this many bytes, [`SHORTEST`] at least.
    pub fn publish(&self, tag: Tag, size: usize, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Json => {
                out.extend_from_slice(br#"{"type":"bench.event","id":""#);
                put_hex(out, u64::from(tag.topic), 5);
                out.extend_from_slice(br#"","payload":"#);
                self.payload(tag, size, out);
                out.push(b'}');
            }
            Dialect::Nats => {
                out.extend_from_slice(b"PUB bench.event.");
                put_hex(out, u64::from(tag.topic), 5);
                out.extend_from_slice(format!(" {size}\r\n").as_bytes());
                self.payload(tag, size, out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn payload(&self, tag: Tag, size: usize, out: &mut Vec<u8>) {
        let end = out.len() + size;
        out.extend_from_slice(br#"{"a":""#);
        tag.put(out);
        out.push(b'"');
        if size >= AROUND {
            out.extend_from_slice(br#","b":""#);
            out.extend_from_slice(&self.filling[tag.number as usize % PERIOD..][..size - AROUND]);
            out.push(b'"');
        } else {
            out.resize(end - 1, b' ');
        }
        out.push(b'}');
        assert_eq!(out.len(), end, "a payload of {size} bytes");
    }

    /// Whether an event's payload is the one that was sent, to the byte.
    #[must_use]
    pub fn is_whole(&self, tag: Tag, payload: &[u8]) -> bool {
        let mut expected = Vec::with_capacity(payload.len());
        if !(SHORTEST..=LONGEST).contains(&payload.len()) {
            return false;
        }
        self.payload(tag, payload.len(), &mut expected);
        expected == payload
    }

    /// Tells `each` what is in a message. `rest` is what an earlier one of the same connection left unfinished.
    pub fn hear(&self, rest: &mut Vec<u8>, message: &[u8], mut each: impl FnMut(Heard<'_>)) {
        match self.dialect {
            Dialect::Json => each(envelope(message)),
            Dialect::Nats if rest.is_empty() => {
                let used = stream(message, &mut each);
                rest.extend_from_slice(&message[used..]);
            }
            Dialect::Nats => {
                rest.extend_from_slice(message);
                let used = stream(rest, &mut each);
                rest.drain(..used);
            }
        }
    }
}

fn tag_of(payload: &[u8]) -> Option<Tag> {
    let tag = Tag::read(payload.get(6..6 + TAG)?)?;
    payload.starts_with(br#"{"a":""#).then_some(tag)
}

fn envelope(message: &[u8]) -> Heard<'_> {
    if message.starts_with(br#"{"type":"bench.event","id":""#)
        && let Some((b'}', inner)) = message.split_last()
        && let Some(payload) = inner.get(HEAD..)
        && let Some(tag) = tag_of(payload)
        && hex(&message[ID..ID + 5]) == Some(u64::from(tag.topic))
        && &message[ID + 5..HEAD] == br#"","payload":"#
    {
        return Heard::Event(tag, payload);
    }
    if message.starts_with(br#"{"type":"__subscribed""#) {
        return Heard::Subscribed;
    }
    let harmless = message.starts_with(br#"{"type":"__"#)
        && ![&br#"{"type":"__denied""#[..], br#"{"type":"__gap""#].iter().any(|bad| message.starts_with(bad));
    if harmless { Heard::Other } else { Heard::Wrong(message) }
}

/// How many bytes of it were whole protocol lines and what belongs to them.
fn stream<'a>(bytes: &'a [u8], each: &mut impl FnMut(Heard<'a>)) -> usize {
    let mut used = 0;
    while let Some(length) = bytes[used..].windows(2).position(|two| two == b"\r\n") {
        let line = &bytes[used..used + length];
        let after = used + length + 2;
        if !line.starts_with(b"MSG ") {
            each(match line {
                b"PONG" => Heard::Subscribed,
                b"PING" => Heard::Asks,
                _ if line.starts_with(b"INFO ") => Heard::Other,
                _ => Heard::Wrong(line),
            });
            used = after;
            continue;
        }
        let size =
            line.rsplit(|byte| *byte == b' ').next().and_then(|size| str::from_utf8(size).ok()?.parse().ok());
        let Some(payload) = size.and_then(|size: usize| bytes.get(after..after + size + 2)) else { break };
        let payload = &payload[..payload.len() - 2];
        each(tag_of(payload).map_or(Heard::Wrong(line), |tag| Heard::Event(tag, payload)));
        used = after + payload.len() + 2;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { topic: 0xabcde, publisher: 19, number: 12_345_678, due: (1 << 36) - 1 };

    fn written(words: &Words, size: usize) -> Vec<u8> {
        let mut out = vec![];
        words.publish(TAG, size, &mut out);
        out
    }

    #[test]
    fn an_event_is_json_of_the_size_that_was_asked_for_and_is_heard_as_it_was_said() {
        let words = Words::new(Dialect::Json);
        for size in [32, 33, 37, 38, 39, 128, 16_384, LONGEST] {
            let text = written(&words, size);
            let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!((&value["type"], &value["id"]), (&TYPE.into(), &"abcde".into()));
            assert_eq!(text.len(), HEAD + size + 1);
            words.hear(&mut vec![], &text, |heard| {
                let Heard::Event(tag, payload) = heard else { panic!("{heard:?}") };
                assert_eq!(tag, TAG);
                assert!(words.is_whole(tag, payload));
            });
        }
    }

    #[test]
    fn whatever_byte_is_changed_it_is_seen() {
        let words = Words::new(Dialect::Json);
        let text = written(&words, 128);
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            words.hear(&mut vec![], &other, |heard| {
                let Heard::Event(tag, payload) = heard else { return };
                assert!(tag != TAG || !words.is_whole(tag, payload), "byte {at}");
            });
        }
    }

    #[test]
    fn news_of_a_loss_and_refusals_are_wrong() {
        for (text, wrong) in [
            (r#"{"type":"__gap","id":"","payload":{"missed":1,"reason":"slow"}}"#, true),
            (r#"{"type":"__denied","id":"","payload":{}}"#, true),
            (r#"{"type":"__pong","id":"","payload":{}}"#, false),
            (r#"{"type":"chat","id":"","payload":{}}"#, true),
            ("", true),
        ] {
            assert_eq!(matches!(envelope(text.as_bytes()), Heard::Wrong(_)), wrong, "{text}");
        }
    }

    #[test]
    fn nats_is_heard_however_it_is_cut() {
        let words = Words::new(Dialect::Nats);
        let published = written(&words, 64);
        let head = published.iter().position(|byte| *byte == b'\r').expect("a line");
        let mut text = b"INFO {}\r\nPONG\r\nMSG bench.event.abcde 1 64".to_vec();
        text.extend_from_slice(&published[head..]);
        text.extend_from_slice(b"PING\r\n");
        for cut in 0..text.len() {
            let (mut rest, mut seen) = (vec![], vec![]);
            for part in [&text[..cut], &text[cut..]] {
                words.hear(&mut rest, part, |heard| {
                    seen.push(match heard {
                        Heard::Event(tag, payload) => {
                            assert!(tag == TAG && words.is_whole(tag, payload));
                            "event"
                        }
                        Heard::Subscribed => "subscribed",
                        Heard::Asks => "asks",
                        Heard::Other => "other",
                        Heard::Wrong(_) => "wrong",
                    });
                });
            }
            assert_eq!((seen, rest.len()), (vec!["other", "subscribed", "event", "asks"], 0), "cut at {cut}");
        }
    }
}
