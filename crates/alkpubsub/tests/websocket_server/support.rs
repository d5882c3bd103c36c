//! A hub on a port of its own, a client that sends whatever bytes it is told to, and hooks that keep a record.

use alkpubsub::websocket_server::{HubHooks, HubLimits, ServerOptions, Spoke};
use alkpubsub::{
    Action, CloseReason, DenyReason, EventEnvelope, EventTarget, LinkId, Notice, Stats,
    WebSocketServerEventTarget, on_notice,
};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// A hub that serves a port. Its task and that of `serve` end with it.
pub(crate) struct Hub {
    pub(crate) target: Arc<WebSocketServerEventTarget>,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
}

impl Hub {
    pub(crate) async fn start(options: ServerOptions) -> Self {
        let target = Arc::new(WebSocketServerEventTarget::new(options));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = target.clone();
        let serving = tokio::spawn(async move { served.serve(listener).await });
        Self { target, address, serving }
    }

    pub(crate) async fn relaying() -> Self {
        Self::start(ServerOptions::new().relay()).await
    }

    pub(crate) async fn with_limits(change: impl FnOnce(&mut HubLimits)) -> Self {
        Self::start(ServerOptions::new().relay().limits(limits(change))).await
    }

    pub(crate) async fn client(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// A client that holds these topics.
    pub(crate) async fn subscriber(&self, topics: &[&str]) -> Raw {
        let mut client = self.client().await;
        for topic in topics {
            client.subscribe(topic).await;
        }
        client
    }

    /// What the hub's own listeners hear on a topic.
    pub(crate) fn hear(&self, topic: &str) -> UnboundedReceiver<EventEnvelope> {
        hear(&*self.target, topic)
    }

    pub(crate) fn notices(&self, name: &str) -> UnboundedReceiver<Notice> {
        notices(&*self.target, name)
    }

    pub(crate) fn dispatch(&self, event_type: &str, id: &str, payload: &impl serde::Serialize) {
        self.target.dispatch_event(EventEnvelope::new(event_type, id, payload).unwrap()).unwrap();
    }

    /// Waits until the counters are as they should be.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Stats) -> bool) -> Stats {
        for _ in 0..6000 {
            let stats = self.target.stats();
            if is_so(&stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not {what}: {:?}", self.target.stats());
    }

    /// Waits until nothing is left of any connection.
    pub(crate) async fn until_empty(&self) -> Stats {
        // A topic that the hub's own listeners have is counted too.
        self.until("empty", |stats| {
            stats.links == 0
                && stats.topics <= stats.listeners
                && (stats.queued_messages, stats.queued_bytes) == (0, 0)
        })
        .await
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whether this process runs this test alone. If not, it is run so, in one that `before` was done in by a shell.
#[cfg(unix)]
pub(crate) fn is_alone(name: &str, before: &str) -> bool {
    const ALONE: &str = "ALKPUBSUB_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let script = format!("{before}exec \"$0\" --exact \"$1\" --nocapture");
    let mut alone = std::process::Command::new("sh");
    let alone = alone.args(["-c", &script, this.to_str().unwrap(), name]).env(ALONE, "").status();
    assert!(alone.unwrap().success(), "what it saw is above");
    false
}

pub(crate) fn limits(change: impl FnOnce(&mut HubLimits)) -> HubLimits {
    let mut limits = HubLimits::DEFAULT;
    change(&mut limits);
    limits
}

pub(crate) fn hear(target: &dyn EventTarget, topic: &str) -> UnboundedReceiver<EventEnvelope> {
    let (heard, events) = unbounded_channel();
    let listener = move |event: &EventEnvelope| drop(heard.send(event.clone()));
    target.add_event_listener(topic, Arc::new(listener)).unwrap();
    events
}

pub(crate) fn notices(target: &dyn EventTarget, name: &str) -> UnboundedReceiver<Notice> {
    let (heard, notices) = unbounded_channel();
    let listener = on_notice(move |notice| drop(heard.send(notice.clone())));
    target.add_event_listener(name, Arc::new(listener)).unwrap();
    notices
}

/// The watchdog: what is awaited comes, or the test fails.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(Duration::from_secs(40), future).await else {
        panic!("waited in vain for {what}");
    };
    done
}

pub(crate) async fn next<T>(what: &str, receiver: &mut UnboundedReceiver<T>) -> T {
    within(what, receiver.recv()).await.unwrap_or_else(|| panic!("no more {what}"))
}

/// The text of an envelope.
pub(crate) fn envelope(event_type: &str, id: &str, payload: &str) -> String {
    format!(r#"{{"type":"{event_type}","id":"{id}","payload":{payload}}}"#)
}

pub(crate) fn subscribe(topic: &str) -> String {
    envelope("__subscribe", "", &format!(r#"{{"topic":{}}}"#, serde_json::json!(topic)))
}

pub(crate) fn subscribed(topic: &str) -> String {
    envelope("__subscribed", "", &format!(r#"{{"topic":{}}}"#, serde_json::json!(topic)))
}

pub(crate) fn denied(topic: &str, action: &str, reason: &str) -> String {
    let topic = serde_json::json!(topic);
    envelope("__denied", "", &format!(r#"{{"topic":{topic},"action":"{action}","reason":"{reason}"}}"#))
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// The mask of every frame made here; a constant, so that a failure can be read.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, 0x80, payload.len() as u64);
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A header without a masking key; `mask` is its bit.
pub(crate) fn header(first: u8, mask: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(mask | length as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

pub(crate) fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// What a hub sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The end of the stream.
    End,
    /// The connection was reset.
    Reset,
}

pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client that sends any bytes.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) socket: S,
    buffer: Vec<u8>,
}

impl Raw {
    pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::over(Self::tcp(address).await);
        client.send(REQUEST).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// Closes so that the hub gets a reset.
    pub(crate) fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn over(socket: S) -> Self {
        Self { socket, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("room to write", self.socket.write_all(bytes.as_ref())).await.unwrap();
        within("room to flush", self.socket.flush()).await.unwrap();
    }

    pub(crate) async fn send_text(&mut self, envelope: &str) {
        self.send(text(envelope)).await;
    }

    pub(crate) async fn publish(&mut self, event_type: &str, id: &str, payload: &str) {
        self.send_text(&envelope(event_type, id, payload)).await;
    }

    pub(crate) async fn subscribe(&mut self, topic: &str) {
        self.send_text(&subscribe(topic)).await;
        assert_eq!(self.text().await, subscribed(topic));
    }

    /// An HTTP head, up to and with the empty line.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await.is_ok_and(|read| read > 0), "ended within the head: {:?}", self.buffer);
        }
    }

    /// The body behind a head, up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await.unwrap() > 0 {}
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        within("bytes of the hub", self.socket.read_buf(&mut self.buffer)).await
    }

    /// The next frame; checks that it is unmasked, whole and no longer than need be.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.buffered() {
                return heard;
            }
            match self.more().await {
                Ok(0) if self.buffer.is_empty() => return Heard::End,
                Ok(0) => panic!("ended within a frame"),
                Ok(_) => {}
                Err(_) => return Heard::Reset,
            }
        }
    }

    fn buffered(&mut self) -> Option<Heard> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert_eq!(second & 0x80, 0, "a server's frame is not masked");
        let wide = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let extended = self.buffer.get(2..2 + wide)?;
        let length = match wide {
            0 => usize::from(second),
            _ => extended.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let payload = self.buffer.get(2 + wide..2 + wide + length)?.to_vec();
        self.buffer.drain(..2 + wide + length);
        Some(match first {
            TEXT => Heard::Text(String::from_utf8(payload).unwrap()),
            PING => Heard::Ping(payload),
            PONG => Heard::Pong(payload),
            CLOSE if payload.is_empty() => Heard::Close(None, String::new()),
            CLOSE => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Heard::Close(Some(code), String::from_utf8(payload[2..].to_vec()).unwrap())
            }
            other => panic!("a frame that begins with {other:#x}"),
        })
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Heard::Text(text) => text,
            other => panic!("{other:?} in place of a text"),
        }
    }

    /// The texts up to the answer to a ping sent now: what the hub had for this client.
    pub(crate) async fn flush(&mut self) -> Vec<String> {
        self.send_text(&envelope("__ping", "", r#"{"flush":true}"#)).await;
        let mut texts = Vec::new();
        loop {
            let text = self.text().await;
            if text.starts_with(r#"{"type":"__pong","#) {
                assert!(text.contains(r#""echo":{"flush":true}"#), "{text}");
                return texts;
            }
            texts.push(text);
        }
    }

    /// Reads until the close frame, which has to have this code; then says the same and waits for the end.
    pub(crate) async fn closes_with(&mut self, code: u16) -> String {
        let reason = self.is_closed_with(code).await;
        // The hub may have ended the stream already.
        let _ = self.socket.write_all(&close(code)).await;
        self.ends().await;
        reason
    }

    /// Reads until the close frame, which has to have this code.
    pub(crate) async fn is_closed_with(&mut self, code: u16) -> String {
        loop {
            match self.next().await {
                Heard::Close(with, reason) => {
                    assert_eq!(with, Some(code), "{reason}");
                    return reason;
                }
                end @ (Heard::End | Heard::Reset) => panic!("{end:?} without a close frame of {code}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn ends(&mut self) {
        let end = self.next().await;
        assert!(matches!(end, Heard::End | Heard::Reset), "{end:?} after the close");
    }

    /// Closes in good order, and says what came before the answer.
    pub(crate) async fn leave(mut self) -> Vec<String> {
        self.send(close(1000)).await;
        let mut texts = Vec::new();
        loop {
            match self.next().await {
                Heard::Text(text) => texts.push(text),
                Heard::Close(code, _) => {
                    assert_eq!(code, Some(1000));
                    break;
                }
                other => panic!("{other:?} in place of the answer to a close"),
            }
        }
        self.ends().await;
        texts
    }
}

/// What hooks saw, in order.
#[derive(Debug)]
pub(crate) enum Saw {
    Connected(Arc<Spoke>),
    Disconnected(LinkId, CloseReason),
    Backpressure(LinkId, usize),
}

type Authorise = dyn Fn(&Arc<Spoke>, Action, &str, &str) -> Result<(), DenyReason> + Send + Sync;

pub(crate) struct Recorder {
    saw: UnboundedSender<Saw>,
    authorise: Box<Authorise>,
}

impl Recorder {
    pub(crate) fn new() -> (Self, Record) {
        Self::authorising(|_, _, _, _| Ok(()))
    }

    pub(crate) fn authorising(
        authorise: impl Fn(&Arc<Spoke>, Action, &str, &str) -> Result<(), DenyReason> + Send + Sync + 'static,
    ) -> (Self, Record) {
        let (saw, record) = unbounded_channel();
        (Self { saw, authorise: Box::new(authorise) }, Record(record))
    }
}

impl HubHooks for Recorder {
    fn connected(&self, spoke: &Arc<Spoke>) {
        let _ = self.saw.send(Saw::Connected(spoke.clone()));
    }

    fn disconnected(&self, spoke: &Arc<Spoke>, reason: &CloseReason) {
        let _ = self.saw.send(Saw::Disconnected(spoke.id(), reason.clone()));
    }

    fn backpressure(&self, spoke: &Arc<Spoke>, queued_bytes: usize) {
        let _ = self.saw.send(Saw::Backpressure(spoke.id(), queued_bytes));
    }

    fn authorise(
        &self,
        spoke: &Arc<Spoke>,
        action: Action,
        event_type: &str,
        id: &str,
    ) -> Result<(), DenyReason> {
        (self.authorise)(spoke, action, event_type, id)
    }
}

pub(crate) struct Record(pub(crate) UnboundedReceiver<Saw>);

impl Record {
    pub(crate) async fn connected(&mut self) -> Arc<Spoke> {
        match next("the connected hook", &mut self.0).await {
            Saw::Connected(spoke) => spoke,
            other => panic!("{other:?} in place of a connection"),
        }
    }

    pub(crate) async fn disconnected(&mut self) -> (LinkId, CloseReason) {
        match next("the disconnected hook", &mut self.0).await {
            Saw::Disconnected(link, reason) => (link, reason),
            other => panic!("{other:?} in place of a disconnection"),
        }
    }

    pub(crate) async fn backpressure(&mut self) -> (LinkId, usize) {
        match next("the backpressure hook", &mut self.0).await {
            Saw::Backpressure(link, queued) => (link, queued),
            other => panic!("{other:?} in place of backpressure"),
        }
    }
}

/// A hub with a recorder, and its first client.
pub(crate) async fn recorded(options: ServerOptions) -> (Hub, Record) {
    let (hooks, record) = Recorder::new();
    (Hub::start(options.hooks(hooks)).await, record)
}

impl Deref for Hub {
    type Target = WebSocketServerEventTarget;

    fn deref(&self) -> &WebSocketServerEventTarget {
        &self.target
    }
}
