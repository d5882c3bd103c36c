//! From a URL to an open socket.

use super::ClientOptions;
use super::handshake::{Opening, Wrong};
use super::stream::Stream;
use crate::connect::{ConnectError, scheme};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(super) type Socket = WebSocketStream<Stream>;

/// Envelopes are small: this holds many of them, and a longer message makes room for itself.
const READ_BUFFER: usize = 8 * 1024;

/// What is written together. Beyond it a round takes more than one write.
const WRITE_BUFFER: usize = 64 * 1024;

pub(super) async fn open(url: &str, options: &ClientOptions) -> Result<Socket, ConnectError> {
    let Place { uri, address, tls } = read(url)?;
    let opening = Opening::new(&uri, &options.handshake)?;
    let unreachable = |error| ConnectError::Unreachable { address: address.clone(), error };
    let connecting = async {
        let stream = TcpStream::connect(&address).await.map_err(unreachable)?;
        // A round is one write already: waiting for more to send would only delay it.
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut stream =
            if tls { secure(stream, &uri, &address, options).await? } else { Stream::Plain(stream) };
        let max = Some(options.message.max_message);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(max)
            .max_frame_size(max);
        let behind = shake_hands(&mut stream, &opening, &address).await?;
        Ok(WebSocketStream::from_partially_read(stream, behind, Role::Client, Some(config)).await)
    };
    let opened = tokio::time::timeout(options.connect_timeout, connecting).await;
    opened.unwrap_or_else(|_| {
        let why = format!("no answer within {:?}", options.connect_timeout);
        Err(unreachable(io::Error::new(io::ErrorKind::TimedOut, why)))
    })
}

/// Whether a URL can be connected to.
pub(super) fn check(url: &str) -> Result<(), ConnectError> {
    read(url).map(drop)
}

#[cfg(feature = "websocket-client-tls")]
async fn secure(
    stream: TcpStream,
    uri: &Uri,
    address: &str,
    options: &ClientOptions,
) -> Result<Stream, ConnectError> {
    let secured =
        super::tls::connect(stream, uri.host().unwrap_or_default(), &options.handshake.tls_roots).await;
    let tls = |problem| ConnectError::Tls { address: address.into(), problem };
    secured.map(|stream| Stream::Tls(Box::new(stream))).map_err(tls)
}

#[cfg(not(feature = "websocket-client-tls"))]
async fn secure(_: TcpStream, _: &Uri, _: &str, _: &ClientOptions) -> Result<Stream, ConnectError> {
    std::future::ready(crate::connect::no_such_target("wss", crate::connect::NO_TLS)).await
}

/// Shakes hands; gives what came behind the answer.
async fn shake_hands(
    stream: &mut Stream,
    opening: &Opening<'_>,
    address: &str,
) -> Result<Vec<u8>, ConnectError> {
    let broken = |why: &str| ConnectError::Handshake { address: address.into(), why: why.into() };
    let cut = |error: io::Error| broken(&error.to_string());
    stream.write_all(opening.request()).await.map_err(cut)?;
    stream.flush().await.map_err(cut)?;
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut head).await.map_err(cut)? == 0 {
            return Err(broken("the connection was cut within the handshake"));
        }
        match opening.read(&head) {
            Ok(None) => {}
            Ok(Some(length)) => return Ok(head.split_off(length)),
            Err(Wrong::Refused { status }) => return Err(ConnectError::Refused { status }),
            Err(Wrong::Redirected { status, to }) => return Err(ConnectError::Redirected { status, to }),
            Err(Wrong::Broken(why)) => return Err(broken(why)),
        }
    }
}

/// What a URL says.
#[derive(Debug)]
struct Place {
    uri: Uri,
    /// Host and port, for the socket.
    address: String,
    tls: bool,
}

fn read(url: &str) -> Result<Place, ConnectError> {
    let bad = |why: &str| ConnectError::BadUrl { why: why.into() };
    let scheme = scheme(url)?;
    let tls = match &*scheme {
        "ws" => false,
        #[cfg(feature = "websocket-client-tls")]
        "wss" => true,
        #[cfg(not(feature = "websocket-client-tls"))]
        "wss" => return crate::connect::no_such_target("wss", crate::connect::NO_TLS),
        other => return Err(bad(&format!("its scheme is `{other}`, not `ws` or `wss`"))),
    };
    // Without them, what follows would be read as something else.
    match url[scheme.len() + 1..].strip_prefix("//") {
        None => return Err(bad(&format!("`//` is missing after `{scheme}:`"))),
        Some(rest) if rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) => {
            return Err(bad("it names no host"));
        }
        Some(_) => {}
    }
    let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
    let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
    let host = authority.host();
    if authority.as_str().contains('@') {
        return Err(bad("it holds a name or a password, which would end up in logs"));
    }
    // Whatever stands behind the host is a port or a mistake.
    let port = match &authority.as_str()[host.len()..] {
        "" if tls => 443,
        "" => 80,
        _ => authority.port_u16().ok_or_else(|| bad("its port is not a number from 1 to 65535"))?,
    };
    let address = format!("{host}:{port}");
    Ok(Place { uri, address, tls })
}

/// Reads what is still on its way until the far side ends the connection, but no longer than `patience`: closing a
/// socket that has something unread resets the connection, and the Close that we sent may be lost by that.
pub(super) async fn linger(socket: Socket, patience: Duration) {
    let mut stream = socket.into_inner();
    let mut nowhere = [0; 4096];
    let until_end = std::future::poll_fn(|context| {
        loop {
            let mut buffer = tokio::io::ReadBuf::new(&mut nowhere);
            let read = std::task::ready!(std::pin::Pin::new(&mut stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return std::task::Poll::Ready(());
            }
        }
    });
    // Patience that runs out is no error: the peer had its chance.
    let _ = tokio::time::timeout(patience, until_end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_address() {
        for (url, address) in [
            ("ws://127.0.0.1:8484", "127.0.0.1:8484"),
            ("WS://hub.example/path?query", "hub.example:80"),
            ("ws://[::1]:9/", "[::1]:9"),
        ] {
            assert_eq!(read(url).unwrap().address, address);
        }
        #[cfg(feature = "websocket-client-tls")]
        for (url, address) in [("wss://hub.example/", "hub.example:443"), ("WSS://[::1]:9", "[::1]:9")] {
            let place = read(url).unwrap();
            assert!(place.tls);
            assert_eq!(place.address, address);
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, why) in [
            ("", "it does not begin with a scheme"),
            ("127.0.0.1:8484", "it does not begin with a scheme"),
            ("localhost:8484", "it does not begin with a scheme"),
            ("http://127.0.0.1:8484", "its scheme is `http`, not `ws` or `wss`"),
            ("ws:", "`//` is missing after `ws:`"),
            ("ws:hub:8484", "`//` is missing after `ws:`"),
            ("ws://", "it names no host"),
            ("ws://:8484", "it names no host"),
            ("ws://hub:port", "its port is not a number from 1 to 65535"),
            ("ws://hub:70000", "its port is not a number from 1 to 65535"),
            ("ws://me:secret@hub", "it holds a name or a password, which would end up in logs"),
            ("ws://h ub", "invalid uri character"),
        ] {
            match read(url) {
                Err(ConnectError::BadUrl { why: said }) => assert_eq!(said, why, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
        #[cfg(not(feature = "websocket-client-tls"))]
        assert_eq!(
            read("wss://hub").unwrap_err().to_string(),
            "nothing here speaks `wss:`; build alkpubsub with its feature `websocket-client-tls`"
        );
    }
}
