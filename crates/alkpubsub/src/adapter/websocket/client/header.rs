//! Headers of the opening request that are the program's own.

use std::fmt;
use tokio_tungstenite::tungstenite::http::header::{HeaderName, HeaderValue};

/// A header of the opening request, as for a token: `Authorization: Bearer …`.
///
/// Its value is shown nowhere: neither by `Debug` nor by an error.
///
/// ```
/// use alkpubsub::{HandshakeOptions, RequestHeader};
///
/// let mut options = HandshakeOptions::DEFAULT;
/// let token = RequestHeader::new("Authorization", "Bearer s3cret")?;
/// assert_eq!(format!("{token:?}"), "RequestHeader(\"authorization\")");
/// options.headers.push(token);
///
/// let error = RequestHeader::new("Upgrade", "h2c").unwrap_err();
/// assert_eq!(error.to_string(), "the header `upgrade` is set by the handshake itself");
/// # Ok::<(), alkpubsub::BadHeader>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// Why a text is no header to send. Holds nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeader {
    /// The name is empty, or holds what a name may not.
    #[error("the name of a header is made of letters, digits and hyphens, as in `Authorization: Bearer …`")]
    Name,
    /// The value holds a line break or another control character.
    #[error("the value of the header `{name}` holds a character that may not be sent")]
    Value {
        /// The header's name.
        name: String,
    },
    /// The handshake sends it by itself: `Host`, `Connection`, `Upgrade`, `Sec-WebSocket-*`, and what belongs to a
    /// body.
    #[error("the header `{name}` is set by the handshake itself")]
    OfTheHandshake {
        /// The header's name.
        name: String,
    },
}

impl RequestHeader {
    /// A header to be sent beside those of the handshake.
    ///
    /// # Errors
    /// [`BadHeader`]: not a name, not a value, or a name that belongs to the handshake. Subprotocols have
    /// [`HandshakeOptions::subprotocols`](super::HandshakeOptions::subprotocols).
    pub fn new(name: &str, value: &str) -> Result<Self, BadHeader> {
        let name: HeaderName = name.parse().map_err(|_| BadHeader::Name)?;
        let text = name.as_str();
        if text.starts_with("sec-websocket-")
            || matches!(
                text,
                "host" | "connection" | "upgrade" | "content-length" | "transfer-encoding" | "te" | "trailer"
            )
        {
            return Err(BadHeader::OfTheHandshake { name: text.into() });
        }
        let value: Result<HeaderValue, _> = value.trim_matches([' ', '\t']).parse();
        let value = value.map_err(|_| BadHeader::Value { name: text.into() })?;
        Ok(Self { name, value })
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl fmt::Debug for RequestHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestHeader").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_handshake_sets_and_what_is_no_header_is_refused() {
        for name in ["Host", "connection", "UPGRADE", "Sec-WebSocket-Key", "sec-websocket-protocol", "TE"] {
            assert!(matches!(RequestHeader::new(name, "x"), Err(BadHeader::OfTheHandshake { .. })), "{name}");
        }
        for name in ["", " ", "a b", "a:b", "a\r\nb", "ä"] {
            assert_eq!(RequestHeader::new(name, "x"), Err(BadHeader::Name), "{name:?}");
        }
        for value in ["a\r\nX-Injected: b", "a\nb", "a\0b", "\x7f"] {
            let error = RequestHeader::new("X-Token", value).unwrap_err();
            assert_eq!(error, BadHeader::Value { name: "x-token".into() }, "{value:?}");
        }
        let header = RequestHeader::new("Origin", "  https://example.org ").unwrap();
        assert_eq!((header.name(), header.value.as_bytes()), ("origin", &b"https://example.org"[..]));
    }
}
