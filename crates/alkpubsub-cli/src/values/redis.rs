//! Where Redis is.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A URL of Redis; empty where there is none. It may hold a password, which is shown nowhere: so it is not judged here, as
/// whatever is refused on a command line is repeated.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct RedisUrl(pub(crate) String);

impl RedisUrl {
    pub(crate) fn url(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl FromStr for RedisUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

/// Without the password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            self.0.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
        match parts {
            Some((scheme, (user, place))) => {
                let name = user.split_once(':').map_or("", |(name, _)| name);
                write!(f, "{scheme}://{name}:…@{place}")
            }
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (given, shown) in [
            ("redis://host:6379/2", "redis://host:6379/2"),
            ("rediss://:p@ss:word@host", "rediss://:…@host"),
            ("redis://ann:pw@host", "redis://ann:…@host"),
            ("redis://secret@host", "redis://:…@host"),
            ("", ""),
        ] {
            let url: RedisUrl = given.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }
}
