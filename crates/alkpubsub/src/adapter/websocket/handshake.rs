//! The opening handshake, server side (RFC 6455, section 4.2), without I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1_smol::Sha1;
use std::fmt::Write as _;

/// Bytes of a request's head; a browser's, cookies included, has some 500 to 4,000.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// The only subprotocol there is: version 1 of the control events.
const SUBPROTOCOL: &str = "alkpubsub.1";

/// Which web pages may connect.
///
/// A browser sends the page's origin; whatever is no browser sends none and passes. Pages of this machine's own
/// loopback names and addresses pass too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    /// Origins that pass besides none and loopback ones, as browsers write them: `https://example.org`, with the
    /// port where it is not the scheme's own, and without a `/` behind it. They are compared as texts, whatever the
    /// case of their letters. `*` lets all pass.
    pub fn allow(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { allowed: origins.into_iter().map(Into::into).collect() }
    }

    fn pass(&self, origin: &str) -> bool {
        is_loopback(origin)
            || self.allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

fn is_loopback(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else {
        return false;
    };
    // An IPv6 address holds colons itself, within its brackets.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "[::1]"
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Why an upgrade is refused: an HTTP status and words for whoever reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) why: &'static str,
}

const fn refused<T>(status: u16, why: &'static str) -> Result<T, Refused> {
    Err(Refused { status, why })
}

pub(crate) const FULL: Refused = Refused { status: 503, why: "the hub holds as many connections as it may" };
pub(crate) const BUSY: Refused = Refused { status: 503, why: "too many requests are half sent to the hub" };
pub(crate) const CLOSING: Refused = Refused { status: 503, why: "the hub shuts down" };

/// Where a hub tells whether it serves, if it was asked to.
const HEALTH: &str = "/healthz";

/// A request that asks whether the hub serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// `HEAD` wants none.
    body: bool,
}

impl Health {
    /// Finds such a request, whole; by HTTP/1.0 too, as simple probes speak it.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"GET /healthz") && !bytes.starts_with(b"HEAD /healthz") {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; 96];
        let mut request = httparse::Request::new(&mut headers);
        if !request.parse(bytes).ok()?.is_complete() {
            return None;
        }
        let path = request.path?.split('?').next();
        (path == Some(HEALTH)).then_some(Self { body: request.method == Some("GET") })
    }

    /// 200 while it serves, 503 while it shuts down.
    pub(crate) fn response(self, draining: bool) -> String {
        let (status, word) =
            if draining { ("503 Service Unavailable", "draining\n") } else { ("200 OK", "ok\n") };
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{}",
            word.len(),
            if self.body { word } else { "" }
        )
    }
}

/// An upgrade that was granted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    /// `Sec-WebSocket-Protocol`, where one was offered that is known.
    pub(crate) subprotocol: Option<&'static str>,
}

/// Reads a request's head; `None` while it is not whole. Gives the length of the head.
pub(crate) fn read(bytes: &[u8], origins: &Origins) -> Result<Option<(Upgrade, usize)>, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; 96];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= MAX_HEAD => head,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(_) => return refused(431, "the request's head is too long"),
        Err(httparse::Error::TooManyHeaders) => return refused(431, "the request has too many headers"),
        Err(_) => return refused(400, "this is not HTTP/1.1"),
    };
    if request.version != Some(1) {
        return refused(505, "WebSocket needs HTTP/1.1");
    }
    let headers = request.headers.iter().map(|header| (header.name, header.value));
    check(request.method.unwrap_or_default(), headers, origins).map(|upgrade| Some((upgrade, head)))
}

/// Checks a request, from wherever its head was read.
pub(crate) fn check<'h>(
    method: &str,
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    origins: &Origins,
) -> Result<Upgrade, Refused> {
    let (mut upgrade, mut connection, mut version) = (false, false, None);
    let (mut key, mut keys, mut origin_passes, mut subprotocol) = (None, 0, true, None);
    for (name, value) in headers {
        let value = value.trim_ascii();
        let lists = |word: &str| tokens(value).any(|token| token.eq_ignore_ascii_case(word.as_bytes()));
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => upgrade |= lists("websocket"),
            "connection" => connection |= lists("upgrade"),
            "sec-websocket-version" => version = Some(value),
            "sec-websocket-key" => (key, keys) = (Some(value), keys + 1),
            // Each, where somebody added another one.
            "origin" => origin_passes &= std::str::from_utf8(value).is_ok_and(|origin| origins.pass(origin)),
            "sec-websocket-protocol" if lists(SUBPROTOCOL) => subprotocol = Some(SUBPROTOCOL),
            _ => {}
        }
    }
    if method != "GET" {
        return refused(405, "a WebSocket is opened by GET");
    }
    if !upgrade || !connection {
        return refused(426, "this is a WebSocket hub; connect to it with a WebSocket client");
    }
    if version != Some(b"13") {
        return refused(426, "the WebSocket version must be 13");
    }
    // 16 bytes in base64, of which the last character holds 4 bits, and two of padding.
    let is_key = |key: &&[u8]| {
        key.len() == 24
            && key.ends_with(b"==")
            && key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    };
    let Some(key) = key.filter(is_key).filter(|_| keys == 1) else {
        return refused(400, "Sec-WebSocket-Key is missing or not 16 bytes in base64");
    };
    if !origin_passes {
        return refused(403, "pages of this origin may not connect to this hub");
    }
    Ok(Upgrade { accept: accept(key), subprotocol })
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455, section 4.2.2).
fn accept(key: &[u8]) -> String {
    let mut hash = Sha1::from(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(hash.digest().bytes())
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

impl Upgrade {
    /// The answer that grants it.
    pub(crate) fn response(&self) -> String {
        let mut head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(subprotocol) = self.subprotocol {
            // Writing to a string cannot fail.
            let _ = write!(head, "Sec-WebSocket-Protocol: {subprotocol}\r\n");
        }
        head.push_str("\r\n");
        head
    }
}

impl Refused {
    /// The headers that its status calls for.
    pub(crate) const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self.status {
            405 => &[("Allow", "GET")],
            426 => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            503 => &[("Retry-After", "5")],
            _ => &[],
        }
    }

    /// The answer that refuses this request: without the body, where it asks for the head alone.
    pub(crate) fn response_to(self, request: &[u8]) -> String {
        let mut response = self.response();
        if request.starts_with(b"HEAD ")
            && let Some(end) = response.find("\r\n\r\n")
        {
            response.truncate(end + 4);
        }
        response
    }

    /// The answer that refuses it.
    pub(crate) fn response(self) -> String {
        let Self { status, why } = self;
        let reason = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "Refused",
        };
        let mut extra = String::new();
        for (name, value) in self.headers() {
            let _ = write!(extra, "{name}: {value}\r\n");
        }
        let connection = if status == 426 { "close, Upgrade" } else { "close" };
        format!(
            "HTTP/1.1 {status} {reason}\r\nConnection: {connection}\r\n{extra}Content-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{why}\n",
            why.len() + 1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 6455, section 1.3, with one line left out, and some added.
    fn request(without: Option<&str>, extra: &str) -> Vec<u8> {
        let lines = [
            "GET /chat HTTP/1.1",
            "Host: server.example.com",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ];
        let kept = lines.iter().filter(|line| without.is_none_or(|name| !line.starts_with(name)));
        let kept: Vec<_> = kept.copied().collect();
        format!("{}\r\n{extra}\r\n", kept.join("\r\n")).into_bytes()
    }

    fn ask(bytes: &[u8]) -> Result<Option<(Upgrade, usize)>, Refused> {
        read(bytes, &Origins::allow(["https://example.org"]))
    }

    #[test]
    fn the_example_of_the_standard_is_granted() {
        let bytes = request(None, "");
        let (upgrade, head) = ask(&[&bytes[..], b"\x81"].concat()).unwrap().unwrap();
        assert_eq!(head, bytes.len());
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(upgrade.response().ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        for part in 0..bytes.len() {
            assert_eq!(ask(&bytes[..part]), Ok(None), "the first {part} bytes");
        }
    }

    #[test]
    fn health_is_asked_for_by_path_and_method() {
        for (request, body) in [
            ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", Some(true)),
            ("GET /healthz HTTP/1.0\r\n\r\n", Some(true)),
            ("GET /healthz?verbose HTTP/1.1\r\n\r\n", Some(true)),
            ("HEAD /healthz HTTP/1.1\r\n\r\n", Some(false)),
            ("POST /healthz HTTP/1.1\r\n\r\n", None),
            ("GET /healthzz HTTP/1.1\r\n\r\n", None),
            ("GET /healthz/ HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", None),
            ("GET /healthz HTTP/1.1\r\nHost: a\r\n", None),
            ("GET /healthz nonsense\r\n\r\n", None),
        ] {
            assert_eq!(Health::read(request.as_bytes()).map(|health| health.body), body, "{request:?}");
        }
        let (get, head) = (Health { body: true }, Health { body: false });
        assert!(
            get.response(false).starts_with("HTTP/1.1 200 OK\r\n")
                && get.response(false).ends_with("\r\n\r\nok\n")
        );
        assert!(get.response(true).starts_with("HTTP/1.1 503 "));
        assert!(
            head.response(false).ends_with("Content-Length: 3\r\n\r\n"),
            "the length that GET would have"
        );
    }

    #[test]
    fn a_known_subprotocol_is_selected_and_no_other_is_echoed() {
        let offer = |protocols| ask(&request(None, protocols)).unwrap().unwrap().0.subprotocol;
        assert_eq!(offer("Sec-WebSocket-Protocol: token.abc, alkpubsub.1\r\n"), Some("alkpubsub.1"));
        assert_eq!(offer("Sec-WebSocket-Protocol: token.abc\r\n"), None);
    }

    #[test]
    fn origins_are_none_loopback_or_allowed() {
        let status = |origin: &str| {
            ask(&request(None, &format!("Origin: {origin}\r\n")))
                .map(|_| ())
                .map_err(|refused| refused.status)
        };
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://127.0.0.1:8443",
            "http://127.1.2.3",
            "http://[::1]:5173",
            "https://example.org",
            "https://EXAMPLE.org",
        ] {
            assert_eq!(status(origin), Ok(()), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://example.org:444",
            "http://example.org",
            "http://[::1].evil.example",
            "http://[::2]",
            "localhost",
            "",
            "http://localhost@evil.example",
            "http://localhost:80@evil.example",
            "http://evil.example:80@localhost",
            "http://evil.example/http://localhost",
            "http://evil.example\r\nOrigin: http://localhost",
            "http://localhost\r\nORIGIN: http://evil.example",
        ] {
            assert_eq!(status(origin), Err(403), "{origin}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_status() {
        let without = |name| request(Some(name), "");
        let status = |bytes: &[u8]| ask(bytes).unwrap_err().status;
        assert_eq!(status(&without("Upgrade")), 426);
        assert_eq!(status(&without("Connection")), 426);
        assert_eq!(status(&without("Sec-WebSocket-Version")), 426);
        assert_eq!(status(&without("Sec-WebSocket-Key")), 400);
        assert_eq!(status(&request(None, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")), 400, "twice");
        assert_eq!(status(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
        assert_eq!(status(b"GET / HTTP/1.0\r\n\r\n"), 505);
        assert_eq!(status(b"\x16\x03\x01\x02\x00"), 400, "TLS where there is none");
        assert_eq!(status(&[b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; MAX_HEAD]].concat()), 431);
        assert!(ask(&without("Upgrade")).unwrap_err().response().contains("Sec-WebSocket-Version: 13\r\n"));
    }
}
