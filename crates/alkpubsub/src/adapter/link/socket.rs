//! What a socket and its messages have to be able to do.

use crate::topic::Topic;
use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream;
use futures_sink::Sink;
use std::fmt;
use std::sync::Arc;

/// A message of a WebSocket library, so that its sockets can be given to
/// [`WebSocketClientEventTarget::new`](crate::WebSocketClientEventTarget::new) and [`Spoke::new`](crate::Spoke::new).
///
/// Implemented for tungstenite's `Message`; for another library it takes some twenty lines. The socket itself
/// answers pings, puts fragments together and answers the peer's Close when it is flushed, as those libraries do.
pub trait SocketMessage: Send + Sized + 'static {
    /// Whether a Close is the control event `__close`, as on byte streams, and has to be answered by one. A WebSocket
    /// has frames of its own for that, and answers by itself.
    const CLOSES_BY_EVENT: bool = false;

    /// What the socket fails with. Its words end up in
    /// [`CloseReason::Lost`](crate::CloseReason::Lost).
    type Error: fmt::Display + Send + 'static;

    /// A text message. The text is shared: a clone copies nothing.
    fn text(text: ByteString) -> Self;

    /// The same, with the event's topic where a broker is told it; `None` for control events, and wherever the far side is
    /// a hub.
    #[doc(hidden)]
    fn event(text: ByteString, topic: Option<Topic>) -> Self {
        let _ = topic;
        Self::text(text)
    }

    /// A Close with a code and words, of which as much is to be sent as fits 123 bytes.
    fn close(code: u16, reason: &str) -> Self;

    /// What was received.
    fn read(self) -> SocketInput;

    /// Whether this shows that the far side is there. Of what comes at once, the `first` is enough as a rule.
    #[doc(hidden)]
    fn shows_life(&self, first: bool) -> bool {
        first
    }

    /// The close code that an error of the socket calls for, where the peer broke a rule: 1002 frames, 1007
    /// UTF-8, 1009 size. `None`: the connection broke.
    fn close_code(error: &Self::Error) -> Option<u16> {
        let _ = error;
        None
    }
}

/// What came from a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketInput {
    /// A text message.
    Text(ByteString),
    /// An event that a broker gives to whoever asked for its topic; one of another topic is refused.
    #[doc(hidden)]
    Published {
        /// What was asked for.
        topic: ByteString,
        /// The message; not known to be UTF-8 yet.
        text: Bytes,
    },
    /// A binary message; taken as text, if it is UTF-8.
    Binary(Bytes),
    /// The peer's Close.
    Close {
        /// Its code; `None`: it has none (1005).
        code: Option<u16>,
        /// Its words.
        reason: Arc<str>,
    },
    /// Pings, pongs and whatever else is not for the target.
    Other,
}

/// A connected socket: any stream and sink of messages.
pub trait LinkSocket<M: SocketMessage>:
    Stream<Item = Result<M, M::Error>> + Sink<M, Error = M::Error> + Send + Unpin + 'static
{
}

impl<M, S> LinkSocket<M> for S
where
    M: SocketMessage,
    S: Stream<Item = Result<M, M::Error>> + Sink<M, Error = M::Error> + Send + Unpin + 'static,
{
}
