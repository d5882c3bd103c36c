//! Frames on a byte stream, as a stream and a sink of messages.

use super::message::{ByteStreamError, ByteStreamMessage};
use crate::adapter::peer_closed::PeerClosed;
use crate::protocol::length_prefix::{self, Decoder};
use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;
/// Bytes that are gathered before they are written, unless a flush comes first.
const GATHER: usize = 64 * 1024;

/// Messages over a byte stream: four bytes of length, big-endian, then one envelope
/// ([`protocol::length_prefix`](crate::protocol::length_prefix)).
///
/// What [`Spoke::new`](crate::Spoke::new) is given for each attempt, and
/// [`ByteStreamEventTarget::release`](super::ByteStreamEventTarget::release) gives back. From the first read on it has a
/// buffer of 64 KiB, and it holds what was read and is no whole message yet, at most one message, and up to 64 KiB and one
/// message that the stream has not taken. Its `__close` is the
/// last that it writes; then it shuts its half of the stream down.
pub struct ByteStreamSocket<S> {
    stream: S,
    decoder: Decoder,
    /// What was read; `input[unread..read]` is not decoded yet. Empty until the first read.
    input: Box<[u8]>,
    unread: usize,
    read: usize,
    output: BytesMut,
    /// `__close` is the last in `output`, or was written.
    finishing: bool,
    shut_down: bool,
    ended: bool,
}

/// What a [`ByteStreamSocket`] is made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<S> {
    /// The stream itself.
    pub stream: S,
    /// What was read behind the last whole message.
    pub unread: Bytes,
    /// What is still to be written; it may begin in the middle of a frame.
    pub unwritten: Bytes,
}

impl<S> ByteStreamSocket<S> {
    /// For messages of at most 64 KiB from the far side.
    pub fn new(stream: S) -> Self {
        Self::with_max_message(stream, crate::MessageLimits::DEFAULT.max_message)
    }

    /// For messages of at most so many bytes from the far side.
    pub fn with_max_message(stream: S, max_message: usize) -> Self {
        Self {
            stream,
            decoder: Decoder::new(max_message),
            input: Box::default(),
            unread: 0,
            read: 0,
            output: BytesMut::new(),
            finishing: false,
            shut_down: false,
            ended: false,
        }
    }

    #[cfg(all(unix, feature = "worker-process"))]
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Gives the stream back, with what lies between it and the messages. `None` in the middle of a message of the far
    /// side's.
    pub fn into_parts(self) -> Option<Parts<S>> {
        self.decoder.end().ok()?;
        let unread = Bytes::copy_from_slice(&self.input[self.unread..self.read]);
        Some(Parts { stream: self.stream, unread, unwritten: self.output.freeze() })
    }
}

impl<S: AsyncRead + Unpin> ByteStreamSocket<S> {
    /// Reads a piece; 0 at the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            self.input = vec![0; PIECE].into();
        }
        let mut buffer = ReadBuf::new(&mut self.input);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        (self.unread, self.read) = (0, buffer.filled().len());
        Poll::Ready(Ok(self.read))
    }

    fn at_end(&mut self) -> Option<Result<ByteStreamMessage, ByteStreamError>> {
        self.ended = true;
        match self.decoder.end() {
            Err(error) => Some(Err(error.into())),
            Ok(()) => self.finishing.then_some(Ok(ByteStreamMessage::Ended)),
        }
    }
}

impl<S: AsyncRead + Unpin> Stream for ByteStreamSocket<S> {
    type Item = Result<ByteStreamMessage, ByteStreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            let mut rest = &this.input[this.unread..this.read];
            let message = this.decoder.next(&mut rest).map(|found| {
                found.map(|message| ByteStreamMessage::Received(Bytes::from(message.into_owned())))
            });
            this.unread = this.read - rest.len();
            match message {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(error) => {
                    // Where the next frame begins is not known.
                    this.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            match ready!(this.poll_piece(context)) {
                Ok(0) => return Poll::Ready(this.at_end()),
                Ok(_) => {}
                Err(error) => {
                    this.ended = true;
                    let closed = PeerClosed::of(&error).cloned();
                    return Poll::Ready(Some(match closed {
                        Some(PeerClosed { code, reason }) => Ok(ByteStreamMessage::Closed { code, reason }),
                        None => Err(error.into()),
                    }));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> ByteStreamSocket<S> {
    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.output.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Sink<ByteStreamMessage> for ByteStreamSocket<S> {
    type Error = ByteStreamError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        if self.output.len() < GATHER { Poll::Ready(Ok(())) } else { self.poll_write_out(context) }
    }

    fn start_send(mut self: Pin<&mut Self>, message: ByteStreamMessage) -> Result<(), ByteStreamError> {
        let is_last = matches!(message, ByteStreamMessage::Close(_));
        let (ByteStreamMessage::Text(text) | ByteStreamMessage::Close(text)) = message else {
            return Ok(());
        };
        if self.finishing {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "nothing follows `__close`").into());
        }
        let header = length_prefix::header(text.len())?;
        let frame = header.len() + text.len();
        let gathered = self.output.len();
        if gathered > 0 && self.output.capacity() - gathered < frame {
            // One message takes what it needs; where more are gathered, there is room for all at once.
            self.output.reserve(GATHER.saturating_sub(gathered) + frame);
        }
        self.output.extend_from_slice(&header);
        self.output.extend_from_slice(text.as_bytes());
        self.finishing = is_last;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        ready!(self.poll_write_out(context))?;
        // An idle one keeps no buffer.
        self.output = BytesMut::new();
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.finishing && !self.shut_down {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.shut_down = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ByteStreamError>> {
        self.poll_flush(context)
    }
}

/// Shows how much lies between it and the stream; what it says is nobody's business in a log.
impl<S> fmt::Debug for ByteStreamSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStreamSocket")
            .field("unread", &(self.read - self.unread))
            .field("unwritten", &self.output.len())
            .finish_non_exhaustive()
    }
}
