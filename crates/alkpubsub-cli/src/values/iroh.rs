//! Those of iroh. Its own crate reads keys and URLs, where it is part of the build; here is what tells one kind from
//! another.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The path of a file with a secret key; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyFile(String);

impl KeyFile {
    pub(crate) fn path(&self) -> Option<&Path> {
        (!self.0.is_empty()).then(|| Path::new(&self.0))
    }
}

impl FromStr for KeyFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may come: an id, or a file of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed(pub(crate) String);

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an id, as `alkpubsub id` prints it, or the path of a file of ids".into());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// By whom peers find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relay {
    None,
    /// Those of n0.
    Default,
    Url(String),
}

impl FromStr for Relay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "default" => Ok(Self::Default),
            url if url.starts_with("https://") || url.starts_with("http://") => Ok(Self::Url(url.into())),
            _ => Err("a relay is a URL, as in https://relay.example.org, or one of none, default".into()),
        }
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Default => "default",
            Self::Url(url) => url,
        })
    }
}

/// A UDP port, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UdpPort(pub(crate) Option<u16>);

impl FromStr for UdpPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|port| Self(Some(port)))
            .map_err(|_| "not a port, which is 0 to 65535, nor none".into())
    }
}

impl fmt::Display for UdpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(port) => port.fmt(f),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_and_ports_are_read_as_they_are_shown() {
        for text in ["none", "default", "https://relay.example.org/", "http://127.0.0.1:3340"] {
            assert_eq!(text.parse::<Relay>().unwrap().to_string(), text);
        }
        for text in ["", "relay.example.org", "None", "ws://relay.example.org"] {
            assert!(text.parse::<Relay>().is_err(), "{text}");
        }
        for text in ["0", "65535", "none"] {
            assert_eq!(text.parse::<UdpPort>().unwrap().to_string(), text);
        }
        for text in ["", "65536", "-1", "any"] {
            assert!(text.parse::<UdpPort>().is_err(), "{text}");
        }
    }
}
