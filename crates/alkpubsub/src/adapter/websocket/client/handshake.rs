//! The opening handshake, client side (RFC 6455, section 4.1), without I/O.
//!
//! Not the one of tungstenite: that puts the whole request into the log at `trace`, and a token with it.

use super::HandshakeOptions;
use crate::connect::ConnectError;
use crate::notice::is_plain;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::Uri;

/// Bytes of an answer's head; a proxy's, cookies included, has some hundred.
const MAX_HEAD: usize = 16 * 1024;
/// How much of the address that a redirect points to is shown.
const MAX_LOCATION: usize = 500;

/// A handshake that was begun.
pub(super) struct Opening<'o> {
    request: Vec<u8>,
    accept: String,
    subprotocols: &'o [String],
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Refused { status: u16 },
    Redirected { status: u16, to: String },
    Broken(&'static str),
}

impl<'o> Opening<'o> {
    pub(super) fn new(uri: &Uri, options: &'o HandshakeOptions) -> Result<Self, ConnectError> {
        Self::with_key(uri, options, &generate_key())
    }

    fn with_key(uri: &Uri, options: &'o HandshakeOptions, key: &str) -> Result<Self, ConnectError> {
        let HandshakeOptions { headers, subprotocols, .. } = options;
        if let Some(wrong) = subprotocols.iter().position(|offered| !is_token(offered)) {
            return Err(ConnectError::BadSubprotocol { number: wrong + 1 });
        }
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = format!(
            "GET {}{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            uri.path()
        )
        .into_bytes();
        let mut add = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                request.extend_from_slice(part);
            }
        };
        if !subprotocols.is_empty() {
            add("Sec-WebSocket-Protocol", subprotocols.join(", ").as_bytes());
        }
        for header in headers {
            add(header.name.as_str(), header.value.as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        Ok(Self { request, accept: derive_accept_key(key.as_bytes()), subprotocols })
    }

    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Reads the answer; `None` while it is not whole. Gives the length of its head.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Option<usize>, Wrong> {
        let mut headers = [httparse::EMPTY_HEADER; 96];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(Wrong::Broken("its answer's head is too long"));
            }
            Err(_) => return Err(Wrong::Broken("its answer is not HTTP/1.1")),
        };
        let status = response.code.unwrap_or_default();
        // What is said beforehand means nothing here (RFC 9110, section 15.2).
        if matches!(status, 100 | 102..200) {
            if bytes.len() > MAX_HEAD {
                return Err(Wrong::Broken("its answer's head is too long"));
            }
            return Ok(self.read(&bytes[head..])?.map(|more| head + more));
        }
        let all = |name: &'static str| {
            let named = response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value.trim_ascii())
        };
        let only = |name| {
            let mut values = all(name);
            values.next().filter(|_| values.next().is_none())
        };
        let lists = |name, word: &str| {
            let mut words = all(name).flat_map(|value| value.split(|&byte| byte == b','));
            words.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        };
        if status != 101 {
            let to = all("location").next().filter(|_| (300..400).contains(&status));
            return Err(match to.map(String::from_utf8_lossy) {
                None => Wrong::Refused { status },
                Some(to) => {
                    let to = to.chars().filter(|c| is_plain(*c)).take(MAX_LOCATION).collect();
                    Wrong::Redirected { status, to }
                }
            });
        }
        if !lists("upgrade", "websocket") || !lists("connection", "upgrade") {
            return Err(Wrong::Broken("it switches to another protocol"));
        }
        if only("sec-websocket-accept") != Some(self.accept.as_bytes()) {
            return Err(Wrong::Broken("its Sec-WebSocket-Accept is not the answer to the key that was sent"));
        }
        if all("sec-websocket-extensions").any(|value| !value.is_empty()) {
            return Err(Wrong::Broken("it uses an extension that was not offered"));
        }
        let mut selected = all("sec-websocket-protocol");
        match (selected.next(), selected.next()) {
            (None, None) if self.subprotocols.is_empty() => {}
            (None, None) => {
                return Err(Wrong::Broken("it selected none of the subprotocols that were offered"));
            }
            (Some(one), None) if self.subprotocols.iter().any(|offered| offered.as_bytes() == one) => {}
            _ => return Err(Wrong::Broken("it selected a subprotocol that was not offered")),
        }
        Ok(Some(head))
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestHeader;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    /// The answer of RFC 6455, section 1.3.
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn read(options: &HandshakeOptions, answer: &str) -> Result<Option<usize>, Wrong> {
        let uri = "ws://hub.example/".parse().unwrap();
        Opening::with_key(&uri, options, KEY).unwrap().read(answer.as_bytes())
    }

    /// The answer of the standard with a line more.
    fn with(line: &str) -> String {
        ANSWER.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
    }

    #[test]
    fn the_request_is_what_was_asked_for() {
        let mut options = HandshakeOptions::DEFAULT;
        options.headers.push(RequestHeader::new("Authorization", "Bearer abc").unwrap());
        options.subprotocols = vec!["alkpubsub.1".into(), "token.abc".into()];
        for (url, line, host) in [
            ("ws://hub.example:81/a/b?c=d#e", "GET /a/b?c=d HTTP/1.1", "hub.example:81"),
            ("ws://[::1]?c", "GET /?c HTTP/1.1", "[::1]"),
        ] {
            let opening = Opening::with_key(&url.parse().unwrap(), &options, KEY).unwrap();
            let request = String::from_utf8(opening.request().to_vec()).unwrap();
            assert_eq!(
                request,
                format!(
                    "{line}\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Protocol: alkpubsub.1, token.abc\r\nauthorization: Bearer abc\r\n\r\n"
                )
            );
        }
    }

    #[test]
    fn the_answer_of_the_standard_is_taken_once_it_is_whole() {
        let options = HandshakeOptions::DEFAULT;
        assert_eq!(read(&options, &format!("{ANSWER}\u{1}")), Ok(Some(ANSWER.len())));
        for part in 0..ANSWER.len() {
            assert_eq!(read(&options, &ANSWER[..part]), Ok(None), "the first {part} bytes");
        }
    }

    #[test]
    fn an_answer_that_is_not_the_one_to_the_request_is_refused() {
        let options = HandshakeOptions::DEFAULT;
        let mut offering = HandshakeOptions::DEFAULT;
        offering.subprotocols = vec!["alkpubsub.1".into()];
        for (options, answer, words) in [
            (&options, "SSH-2.0-OpenSSH\r\n".to_owned(), "not HTTP/1.1"),
            (&options, ANSWER.replace("websocket", "h2c"), "another protocol"),
            (&options, ANSWER.replace("Connection: Upgrade", "Connection: close"), "another protocol"),
            (&options, ANSWER.replace("s3pPL", "S3pPL"), "Sec-WebSocket-Accept"),
            (&options, with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "Sec-WebSocket-Accept"),
            (&options, with("Sec-WebSocket-Extensions: permessage-deflate"), "extension"),
            (&options, with("Sec-WebSocket-Protocol: alkpubsub.1"), "not offered"),
            (&offering, ANSWER.to_owned(), "none of the subprotocols"),
            (&offering, with("Sec-WebSocket-Protocol: other"), "not offered"),
            (
                &offering,
                with("Sec-WebSocket-Protocol: alkpubsub.1\r\nSec-WebSocket-Protocol: x"),
                "not offered",
            ),
            (&options, format!("HTTP/1.1 101 OK\r\nX: {}", "x".repeat(MAX_HEAD)), "too long"),
            (&options, format!("HTTP/1.1 101 OK\r\n{}", "X: x\r\n".repeat(100)), "too long"),
        ] {
            match read(options, &answer) {
                Err(Wrong::Broken(why)) => assert!(why.contains(words), "{why}"),
                other => panic!("{answer:?}: {other:?}"),
            }
        }
        assert!(matches!(read(&offering, &with("Sec-WebSocket-Protocol: alkpubsub.1")), Ok(Some(_))));
    }

    #[test]
    fn a_status_is_told_and_a_redirect_with_its_target() {
        let options = HandshakeOptions::DEFAULT;
        let answer = |status: &str, line: &str| format!("HTTP/1.1 {status}\r\n{line}\r\n\r\n");
        let refused = |status| Err(Wrong::Refused { status });
        assert_eq!(read(&options, &answer("401 Unauthorized", "Location: /x")), refused(401));
        assert_eq!(read(&options, &answer("304 Not Modified", "X: y")), refused(304));
        assert_eq!(read(&options, &answer("200 OK", "X: y")), refused(200));
        let to = "/a\tb".to_owned() + &"c".repeat(1000);
        let Err(Wrong::Redirected { status: 301, to }) =
            read(&options, &answer("301 Moved", &format!("location: {to}")))
        else {
            panic!()
        };
        assert!(to.starts_with("/abc") && to.len() == MAX_LOCATION, "{to}");
    }

    #[test]
    fn what_is_said_beforehand_is_passed_over() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
        let options = HandshakeOptions::DEFAULT;
        let answer = format!("{early}{early}{ANSWER}");
        assert_eq!(read(&options, &answer), Ok(Some(answer.len())));
        assert_eq!(read(&options, early), Ok(None));
        assert_eq!(
            read(&options, &format!("{early}HTTP/1.1 503 Full\r\n\r\n")),
            Err(Wrong::Refused { status: 503 })
        );
        assert!(read(&options, &early.repeat(1000)).is_err(), "but not without end");
    }
}
