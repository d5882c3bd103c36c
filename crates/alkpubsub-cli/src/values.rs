//! The kinds of value that options have. Each is read from text, by one parser, wherever it was given: on the command
//! line, in the environment or in a file.

use alkpubsub::MessageLimits;
use alkpubsub::websocket_server::{HubLimits, ServerOptions};
use clap::ValueEnum;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU8;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `65536`, `64KiB`, `1MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let size = number.parse().ok().and_then(|number: usize| number.checked_mul(bytes));
        match size {
            Some(0) => Err("must be at least 1".into()),
            Some(size) => Ok(Self(size)),
            None => Err("not a number of bytes, as in 65536, 64KiB or 1MiB".into()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, usize)| self.0.is_multiple_of(*bytes);
        match UNITS.iter().find(whole) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

/// How many of something: a limit of 0 would be a hub that does nothing and does not say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("must be at least 1".into()),
            Ok(count) => Ok(Self(count)),
            Err(_) => Err("not a whole number, as in 16".into()),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How deep a message may nest: beyond what the library reads, a limit would be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth(pub(crate) usize);

impl FromStr for Depth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Count(levels) if levels > MessageLimits::MOST_DEPTH => {
                Err(format!("must be at most {}", MessageLimits::MOST_DEPTH))
            }
            Count(levels) => Ok(Self(levels)),
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many connections a hub may have: more than it can tell apart, a limit would be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links(pub(crate) usize);

impl FromStr for Links {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Count(links) if links > HubLimits::MOST_LINKS => {
                Err(format!("must be at most {}", HubLimits::MOST_LINKS))
            }
            Count(links) => Ok(Self(links)),
        }
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Into how many shards a hub is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shards(pub(crate) NonZeroU8);

impl Shards {
    pub(crate) const ONE: Self = Self(NonZeroU8::MIN);
}

impl FromStr for Shards {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Count(shards) = text.parse()?;
        let most = ServerOptions::MOST_SHARDS;
        let shards = u8::try_from(shards).ok().filter(|shards| *shards <= most).and_then(NonZeroU8::new);
        shards.map(Self).ok_or_else(|| format!("must be at most {most}"))
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A length of time: `25s`, `1m 30s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = humantime::parse_duration(text);
        read.map(Self).map_err(|error| format!("not a length of time, as in 25s, 1m 30s or 500ms: {error}"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A length of time that something may take: none at all would be too little for whoever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience(pub(crate) Duration);

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Time(Duration::ZERO) => Err("must be more than 0".into()),
            Time(time) => Ok(Self(time)),
        }
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Time(self.0).fmt(f)
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "must be true or false".into())
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An origin as browsers write it: nothing else would ever be equal to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host =
            text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map_or("", |(_, host)| host);
        if text == "*" || !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*', ',']) {
            Ok(Self(text.into()))
        } else {
            Err("an origin is a scheme and a host, with the port where it is not the scheme's own, as in \
                 https://example.org or http://example.org:8080"
                .into())
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketPath(pub(crate) String);

impl FromStr for SocketPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path is not empty".into()) } else { Ok(Self(text.into())) }
    }
}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rights of a file, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|digit| digit.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| "not the rights of a file, as in 600 or 660".into())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

/// Reads a value by its parser, from a text or from what a file may write without quotes.
struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true or false")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<T, E> {
        self.visit_str(if yes { "true" } else { "false" })
    }
}

macro_rules! read_as_text {
    ($($value:ty => $write:expr),* $(,)?) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FromText(PhantomData))
            }
        }

        impl Serialize for $value {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $write(self, serializer)
            }
        }
    )*};
}

mod iroh;
mod redis;
pub(crate) use iroh::{Allowed, KeyFile, Relay, UdpPort};
pub(crate) use redis::RedisUrl;

read_as_text! {
    Time => |time: &Time, to: S| to.collect_str(time),
    Patience => |time: &Patience, to: S| to.collect_str(time),
    Origin => |origin: &Origin, to: S| to.collect_str(origin),
    SocketPath => |path: &SocketPath, to: S| to.collect_str(path),
    Mode => |mode: &Mode, to: S| to.collect_str(mode),
    KeyFile => |file: &KeyFile, to: S| to.collect_str(file),
    RedisUrl => |url: &RedisUrl, to: S| to.serialize_str(&url.0),
    Allowed => |allowed: &Allowed, to: S| to.collect_str(allowed),
    Relay => |relay: &Relay, to: S| to.collect_str(relay),
    UdpPort => |port: &UdpPort, to: S| match port.0 {
        Some(port) => to.serialize_u16(port),
        None => to.serialize_str("none"),
    },
    Count => |count: &Count, to: S| to.serialize_u64(count.0 as u64),
    Links => |links: &Links, to: S| to.serialize_u64(links.0 as u64),
    Depth => |depth: &Depth, to: S| to.serialize_u64(depth.0 as u64),
    Shards => |shards: &Shards, to: S| to.serialize_u8(shards.0.get()),
    Switch => |switch: &Switch, to: S| to.serialize_bool(switch.0),
    // Quotes are for the unit.
    Size => |size: &Size, to: S| match size.0 {
        bytes if bytes.is_multiple_of(1 << 10) => to.collect_str(size),
        bytes => to.serialize_u64(bytes as u64),
    },
}

/// One of a few words, the same as on the command line.
pub(crate) fn one_of<'de, T: ValueEnum, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    T::from_str(&text, false).map_err(|_| {
        let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
        de::Error::custom(format!("must be one of {}", words.join(", ")))
    })
}

/// A list, or one text with commas in between, which is all that the environment has.
pub(crate) fn list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err = String> + Deserialize<'de>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Text(String),
        List(Vec<String>),
    }
    let parts = match Given::deserialize(deserializer) {
        Ok(Given::List(parts)) => parts,
        Ok(Given::Text(text)) if text.is_empty() => Vec::new(),
        Ok(Given::Text(text)) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Err(_) => return Err(de::Error::custom("not a list of texts, as in [\"https://example.org\"]")),
    };
    parts.iter().map(|part| part.parse().map_err(de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for text in ["*", "https://example.org", "http://[2001:db8::1]:8080", "chrome-extension://abc"] {
            assert_eq!(text.parse(), Ok(Origin(text.into())));
        }
        for text in ["", "example.org", "https://", "://example.org", "https://example.org/", "https://*.org"]
        {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn rights_are_octal() {
        for (text, mode) in [("600", 0o600), ("0660", 0o660), ("777", 0o777)] {
            assert_eq!(text.parse(), Ok(Mode(mode)));
        }
        assert_eq!(Mode(0o660).to_string(), "660");
        for text in ["", "8", "+600", "1777", "rw-------"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for (text, bytes) in [("255", 255), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for text in ["", "0", "0KiB", "KiB", "-1", "1.5MiB", "64kb", "18446744073709551615KiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn counts_begin_at_1() {
        assert_eq!("1".parse(), Ok(Count(1)));
        for text in ["", "0", "-1", "1.0", "many", "18446744073709551616"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }
}
