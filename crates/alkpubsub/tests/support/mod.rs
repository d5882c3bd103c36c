//! What the fixtures of links and hubs share: a raw peer that is neither our client nor our server.
#![allow(dead_code, reason = "each test file uses its part")]

mod frames;
pub(crate) mod hub;
pub(crate) mod line;
pub(crate) mod redis;

use alkpubsub::BoxFuture;
use alkpubsub::conformance::{FarSide, Fault, RawMessage, Wire};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

pub(crate) fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance").join(file)
}

/// A runtime for one law. It ends with the law, and everything that runs on it.
pub(crate) fn block_on(law: BoxFuture<'_, ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(law);
}

/// One end of a connection: a WebSocket, read and written by a library that is not ours, or a byte stream.
pub(crate) struct RawPeer {
    pub(crate) wire: Arc<Wire>,
    stalled: watch::Sender<bool>,
    tasks: [AbortHandle; 2],
}

impl RawPeer {
    pub(crate) fn new<S>(far: FarSide, socket: WebSocketStream<S>) -> Arc<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (to_send, sending) = mpsc::unbounded_channel();
        // A message that is sent after the end goes nowhere, as on a socket.
        let wire = Wire::new(far, move |message| _ = to_send.send(message));
        Self::on(wire, sending, socket)
    }

    /// On a wire that may have had another connection before, and sends what is received here.
    pub(crate) fn on<S>(
        wire: Arc<Wire>,
        sending: mpsc::UnboundedReceiver<RawMessage>,
        socket: WebSocketStream<S>,
    ) -> Arc<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sink, stream) = socket.split();
        let reading = |stall| read(stream, wire.clone(), stall);
        Self::started(wire.clone(), write(sink, sending), reading)
    }

    /// On a byte stream.
    pub(crate) fn framed<S>(far: FarSide, stream: S) -> Arc<Self>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (to_send, sending) = mpsc::unbounded_channel();
        let wire = Wire::new(far, move |message| _ = to_send.send(message));
        Self::framed_on(wire, sending, stream)
    }

    /// [`on`](Self::on) a byte stream.
    pub(crate) fn framed_on<S>(
        wire: Arc<Wire>,
        sending: mpsc::UnboundedReceiver<RawMessage>,
        stream: S,
    ) -> Arc<Self>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        let (close, closing) = mpsc::unbounded_channel();
        let reading = |stall| frames::read(reader, wire.clone(), close, stall);
        Self::started(wire.clone(), frames::write(writer, sending, closing), reading)
    }

    fn started<R: Future<Output = ()> + Send + 'static>(
        wire: Arc<Wire>,
        writing: impl Future<Output = ()> + Send + 'static,
        reading: impl FnOnce(watch::Receiver<bool>) -> R,
    ) -> Arc<Self> {
        let (stalled, stall) = watch::channel(false);
        let writing = tokio::spawn(writing).abort_handle();
        let reading = {
            let (reading, writing) = (reading(stall), writing.clone());
            tokio::spawn(async move {
                reading.await;
                // Both halves have to go before the socket does.
                writing.abort();
            })
        };
        let tasks = [writing, reading.abort_handle()];
        Arc::new(Self { wire, stalled, tasks })
    }

    /// A spoke of the hub at that URL, `ws://host:port/`.
    pub(crate) async fn connect(url: &str) -> Result<Arc<Self>, Box<dyn std::error::Error + Send + Sync>> {
        let address = url.trim_start_matches("ws://").trim_end_matches('/');
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        Ok(Self::new(FarSide::Spoke, socket))
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut sending: mpsc::UnboundedReceiver<RawMessage>,
) {
    while let Some(message) = sending.recv().await {
        let message = match message {
            RawMessage::Text(text) => Message::text(text),
            RawMessage::Binary(bytes) => Message::binary(bytes),
            RawMessage::Close(code) => {
                Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() }))
            }
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: SplitStream<WebSocketStream<S>>,
    wire: Arc<Wire>,
    mut stall: watch::Receiver<bool>,
) {
    let mut code = None;
    loop {
        if stall.wait_for(|stalled| !stalled).await.is_err() {
            return;
        }
        match stream.next().await {
            Some(Ok(Message::Text(text))) => wire.heard(text.as_str()),
            // Read on: the library answers the Close, and then there is nothing more.
            Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                wire.ended(code);
                return;
            }
        }
    }
}

impl Fault for RawPeer {
    /// The socket is dropped without a Close.
    fn cut(&self) -> BoxFuture<'_, ()> {
        self.tasks.iter().for_each(AbortHandle::abort);
        Box::pin(std::future::ready(()))
    }

    fn stall(&self) -> BoxFuture<'_, ()> {
        self.stalled.send_replace(true);
        Box::pin(std::future::ready(()))
    }

    fn go_on(&self) -> BoxFuture<'_, ()> {
        self.stalled.send_replace(false);
        Box::pin(std::future::ready(()))
    }
}
