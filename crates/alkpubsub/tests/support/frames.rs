//! A byte stream, read and written as its description has it: four bytes of length, big-endian, then the message.

use alkpubsub::conformance::{RawMessage, Wire};
use alkpubsub::protocol::control;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

pub(super) async fn write<S: AsyncRead + AsyncWrite>(
    mut writer: WriteHalf<S>,
    mut sending: mpsc::UnboundedReceiver<RawMessage>,
    mut closing: mpsc::UnboundedReceiver<u16>,
) {
    loop {
        let message = tokio::select! {
            biased;
            Some(message) = sending.recv() => message,
            Some(code) = closing.recv() => RawMessage::Close(code),
            else => return,
        };
        let is_last = matches!(message, RawMessage::Close(_));
        let bytes = match message {
            // A frame of no bytes is no message but a fault of the stream; white space alone says as little.
            RawMessage::Text(text) if text.is_empty() => b" ".to_vec(),
            RawMessage::Text(text) => text.into_bytes(),
            RawMessage::Binary(bytes) => bytes,
            RawMessage::Close(code) => control::close(code, "").into_bytes(),
        };
        let length = u32::try_from(bytes.len()).expect("a message of a test");
        let framed = [&length.to_be_bytes()[..], &bytes].concat();
        if writer.write_all(&framed).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        if is_last {
            let _ = writer.shutdown().await;
            // To be stopped from outside: the stream has to live until the far side has ended its half, too.
            return std::future::pending().await;
        }
    }
}

pub(super) async fn read<S: AsyncRead + AsyncWrite>(
    mut reader: ReadHalf<S>,
    wire: Arc<Wire>,
    close: mpsc::UnboundedSender<u16>,
    mut stall: watch::Receiver<bool>,
) {
    let mut code = None;
    loop {
        if stall.wait_for(|stalled| !stalled).await.is_err() {
            return;
        }
        let Ok(length) = reader.read_u32().await else {
            wire.ended(code);
            return;
        };
        let mut message = vec![0; length as usize];
        if reader.read_exact(&mut message).await.is_err() {
            wire.ended(code);
            return;
        }
        let text = String::from_utf8(message).expect("what the near side sends is UTF-8");
        match text.strip_prefix(r#"{"type":"__close","id":"","payload":{"code":"#) {
            Some(rest) => {
                code = rest.split(',').next().and_then(|code| code.parse().ok());
                // The answer, unless it was one.
                let _ = close.send(code.unwrap_or(1000));
            }
            None => wire.heard(text),
        }
    }
}
