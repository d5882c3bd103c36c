//! The one stream of a connection, as messages and a Close.

use alkpubsub::MessageLimits;
use alkpubsub::protocol::check;
use alkpubsub::protocol::control::{self, Control};
use alkpubsub::protocol::length_prefix::{self, Decoder};
use futures_util::lock::Mutex;
use iroh::Endpoint;
use iroh::endpoint::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt};
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Close codes below are QUIC's or iroh's own: a connection that is dropped ends with 0.
const CODES: RangeInclusive<u64> = 1000..=4999;
/// A connection that broke, as it is told to who still listens.
const BROKEN: u64 = 1006;
/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// The frame's length was looked at.
const ANY: MessageLimits = {
    let mut limits = MessageLimits::DEFAULT;
    limits.max_message = usize::MAX;
    limits
};

/// How it ended.
#[derive(Clone, Debug)]
enum End {
    /// The connection is lost.
    Lost(String),
    /// The far side has ended its half without a word, which is an answer as well.
    Over,
    /// The far side has said its last word, which wants an answer.
    Said(u16, String),
    /// The connection was closed by the far side, with a code and words of its own.
    Closed(u16, String),
    /// What came is no frame, or too long: the code to end it with.
    Refused(u16, String),
}

/// The one stream of a connection.
#[wasm_bindgen]
pub struct Stream {
    /// `None` where the connection was over before it was ours.
    halves: Option<Halves>,
    end: RefCell<Option<End>>,
}

struct Halves {
    connection: Connection,
    /// It ends with the last who has it, and its connections end without a word: JavaScript may have forgotten its own.
    _endpoint: Endpoint,
    send: Mutex<SendStream>,
    receive: Mutex<Receiving>,
}

impl Stream {
    pub(crate) async fn open(endpoint: Endpoint, connection: Connection, max_message: usize) -> Self {
        // There is one stream, and it is ours.
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(0));
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(0));
        match connection.open_bi().await {
            Ok((send, receive)) => {
                let receive = Receiving { stream: receive, decoder: Decoder::new(max_message), last: None };
                let (send, receive) = (send.into(), receive.into());
                let halves = Halves { connection, _endpoint: endpoint, send, receive };
                Self { halves: Some(halves), end: RefCell::default() }
            }
            Err(error) => Self::ended(&error),
        }
    }

    pub(crate) fn ended(error: &ConnectionError) -> Self {
        Self { halves: None, end: RefCell::new(Some(End::of(error))) }
    }
}

#[wasm_bindgen]
impl Stream {
    /// The next messages, as soon as there is one. None: it has ended, as [`end`](Self::end) tells.
    pub async fn next(&self) -> Vec<Uint8Array> {
        let Some(halves) = &self.halves else { return Vec::new() };
        match halves.receive.lock().await.next().await {
            Ok(messages) => messages,
            Err(end) => {
                *self.end.borrow_mut() = Some(end);
                Vec::new()
            }
        }
    }

    /// How it ended: 0 lost, 1 over, 2 said, 3 closed, 4 refused; a code; words.
    #[must_use]
    pub fn end(&self) -> Array {
        let end = self.end.borrow().clone().unwrap_or(End::Over);
        let (kind, code, reason) = match end {
            End::Lost(reason) => (0, 0, reason),
            End::Over => (1, 0, "the far side ended it without a word".to_owned()),
            End::Said(code, reason) => (2, code, reason),
            End::Closed(code, reason) => (3, code, reason),
            End::Refused(code, reason) => (4, code, reason),
        };
        Array::of3(&kind.into(), &code.into(), &reason.into())
    }

    /// Sends messages; when this is over, QUIC has taken them.
    ///
    /// # Errors
    /// The far side takes nothing any more.
    pub async fn write(&self, texts: Vec<String>) -> Result<(), JsError> {
        let Some(halves) = &self.halves else { return Ok(()) };
        let mut frames =
            Vec::with_capacity(texts.iter().map(|text| length_prefix::HEADER + text.len()).sum());
        for text in &texts {
            frames.extend_from_slice(&length_prefix::header(text.len())?);
            frames.extend_from_slice(text.as_bytes());
        }
        Ok(halves.send.lock().await.write_all(&frames).await?)
    }

    /// Says the last word, and ends our half; when this is over, the far side has all of it.
    ///
    /// # Errors
    /// The far side takes nothing any more.
    pub async fn finish(&self, code: u16, reason: String) -> Result<(), JsError> {
        let Some(halves) = &self.halves else { return Ok(()) };
        let mut send = halves.send.lock().await;
        send.write_all(&length_prefix::encode(&control::close(code, &reason))?).await?;
        send.finish()?;
        send.stopped().await?;
        Ok(())
    }

    /// Ends the connection. What has not arrived never will.
    pub fn close(&self, code: u16, reason: &str) {
        if let Some(halves) = &self.halves {
            halves.connection.close(VarInt::from_u32(code.into()), reason.as_bytes());
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("end", &self.end).finish_non_exhaustive()
    }
}

struct Receiving {
    stream: RecvStream,
    decoder: Decoder,
    /// What came behind the messages that were given last.
    last: Option<End>,
}

impl Receiving {
    async fn next(&mut self) -> Result<Vec<Uint8Array>, End> {
        loop {
            if let Some(end) = &self.last {
                return Err(end.clone());
            }
            match self.stream.read_chunk(PIECE).await {
                Ok(Some(piece)) => {
                    let messages = self.messages(&piece);
                    if !messages.is_empty() {
                        return Ok(messages);
                    }
                }
                Ok(None) => {
                    let end = self.decoder.end();
                    self.last = Some(end.map_or_else(|error| End::Lost(error.to_string()), |()| End::Over));
                }
                Err(ReadError::ConnectionLost(error)) => self.last = Some(End::of(&error)),
                Err(error) => self.last = Some(End::Lost(error.to_string())),
            }
        }
    }

    fn messages(&mut self, mut piece: &[u8]) -> Vec<Uint8Array> {
        let mut messages = Vec::new();
        while self.last.is_none() {
            match self.decoder.next(&mut piece) {
                Ok(Some(message)) => match last_word(&message) {
                    None => messages.push(Uint8Array::from(&*message)),
                    last => self.last = last,
                },
                Ok(None) => break,
                Err(error) => self.last = Some(End::Refused(error.close_code(), error.to_string())),
            }
        }
        messages
    }
}

/// What is no message at all is for the link to refuse.
fn last_word(message: &[u8]) -> Option<End> {
    match control::read(&check::parts(message, &ANY).ok()?) {
        Ok(Some(Control::Close { code, reason })) => Some(End::Said(code, reason.into_owned())),
        _ => None,
    }
}

impl End {
    fn of(error: &ConnectionError) -> Self {
        let ConnectionError::ApplicationClosed(close) = error else { return Self::Lost(error.to_string()) };
        match close.error_code.into_inner() {
            code if code != BROKEN && CODES.contains(&code) => {
                Self::Closed(code as u16, String::from_utf8_lossy(&close.reason).into_owned())
            }
            _ => Self::Lost(error.to_string()),
        }
    }
}
