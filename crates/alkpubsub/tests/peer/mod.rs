//! The other end: a raw WebSocket peer over TCP, and a socket that does what it is told.

use alkpubsub::{ClientOptions, SocketInput, SocketMessage, WebSocketClientEventTarget};
use bytestring::ByteString;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Fails rather than hangs.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

pub(crate) struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self(accept_async(stream).await.unwrap())
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        in_time(self.0.next()).await
    }

    /// The next text message.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The code and the words of the Close that comes next.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Text(_))) => {}
                other => panic!("not a Close: {other:?}"),
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text.to_owned())).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        in_time(self.0.send(message)).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        in_time(self.0.close(Some(frame))).await.unwrap();
    }

    /// Bytes that need not be frames.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        in_time(self.0.get_mut().write_all(bytes)).await.unwrap();
    }

    /// Waits for a `__subscribe` and answers it.
    pub(crate) async fn grant(&mut self, answer: &str) {
        let text = self.text().await;
        assert!(text.contains("__subscribe"), "{text}");
        self.send(answer).await;
    }
}

/// A connected socket as a program may have it, and its peer.
pub(crate) async fn sockets() -> (WebSocketStream<TcpStream>, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (here, there) = in_time(async { tokio::join!(TcpStream::connect(address), listener.accept()) }).await;
    let config = WebSocketConfig::default().max_message_size(Some(64 * 1024));
    let here = WebSocketStream::from_raw_socket(here.unwrap(), Role::Client, Some(config)).await;
    (here, Peer(WebSocketStream::from_raw_socket(there.unwrap().0, Role::Server, None).await))
}

/// A target on a socket that was given to it.
pub(crate) async fn pair_with(options: ClientOptions) -> (WebSocketClientEventTarget, Peer) {
    let (socket, peer) = sockets().await;
    (WebSocketClientEventTarget::with_options(socket, options), peer)
}

pub(crate) async fn pair() -> (WebSocketClientEventTarget, Peer) {
    pair_with(ClientOptions::DEFAULT).await
}

/// A target that made its own connection.
pub(crate) async fn connected(options: ClientOptions) -> (WebSocketClientEventTarget, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let connecting = WebSocketClientEventTarget::connect_with(&url, options);
    let (target, peer) = in_time(async { tokio::join!(connecting, Peer::accept(&listener)) }).await;
    (target.unwrap(), peer)
}

/// A message of a socket that is no WebSocket at all.
#[derive(Clone, Debug)]
pub(crate) enum Scripted {
    Text(ByteString),
    Close(u16),
}

impl SocketMessage for Scripted {
    type Error = String;

    fn text(text: ByteString) -> Self {
        Self::Text(text)
    }

    fn close(code: u16, _: &str) -> Self {
        Self::Close(code)
    }

    fn read(self) -> SocketInput {
        match self {
            Self::Text(text) => SocketInput::Text(text),
            Self::Close(code) => SocketInput::Close { code: Some(code), reason: "".into() },
        }
    }
}

/// The socket that a target is given in [`scripted`].
pub(crate) struct Socket {
    incoming: mpsc::UnboundedReceiver<Scripted>,
    outgoing: mpsc::UnboundedSender<Option<Scripted>>,
    writing: Arc<Mutex<Writing>>,
}

#[derive(Default)]
struct Writing {
    flushes: usize,
    fails: Option<String>,
    /// Called within each write.
    within: Option<Arc<dyn Fn() + Send + Sync>>,
}

pub(crate) struct ScriptedPeer {
    to: mpsc::UnboundedSender<Scripted>,
    from: mpsc::UnboundedReceiver<Option<Scripted>>,
    writing: Arc<Mutex<Writing>>,
}

pub(crate) fn scripted(options: ClientOptions) -> (WebSocketClientEventTarget, ScriptedPeer) {
    let (to, incoming) = mpsc::unbounded_channel();
    let (outgoing, from) = mpsc::unbounded_channel();
    let writing = Arc::<Mutex<Writing>>::default();
    let socket = Socket { incoming, outgoing, writing: writing.clone() };
    (WebSocketClientEventTarget::with_options(socket, options), ScriptedPeer { to, from, writing })
}

impl ScriptedPeer {
    pub(crate) fn send(&self, message: Scripted) {
        self.to.send(message).unwrap();
    }

    pub(crate) async fn text(&mut self) -> String {
        match in_time(self.from.recv()).await {
            Some(Some(Scripted::Text(text))) => text.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// Waits until a write was tried.
    pub(crate) async fn written(&mut self) {
        in_time(self.from.recv()).await.unwrap();
    }

    pub(crate) fn fail_writing(&self, error: &str) {
        self.writing.lock().unwrap().fails = Some(error.into());
    }

    pub(crate) fn within_writing(&self, call: impl Fn() + Send + Sync + 'static) {
        self.writing.lock().unwrap().within = Some(Arc::new(call));
    }

    pub(crate) fn flushes(&self) -> usize {
        self.writing.lock().unwrap().flushes
    }
}

impl Stream for Socket {
    type Item = Result<Scripted, String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(context).map(|message| message.map(Ok))
    }
}

impl Sink<Scripted> for Socket {
    type Error = String;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Scripted) -> Result<(), String> {
        if let Some(error) = self.writing.lock().unwrap().fails.clone() {
            let _ = self.outgoing.send(None);
            return Err(error);
        }
        let within = self.writing.lock().unwrap().within.clone();
        if let Some(within) = within {
            within();
        }
        let _ = self.outgoing.send(Some(message));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.writing.lock().unwrap().flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.poll_flush(context)
    }
}
