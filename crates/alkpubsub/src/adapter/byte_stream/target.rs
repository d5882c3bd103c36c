//! The target of one byte stream.

use super::message::ByteStreamMessage;
use super::socket::ByteStreamSocket;
use crate::adapter::link::{DisconnectError, Life, LinkSocket, LinkTarget, Pump, TargetOptions, drain};
use crate::event_target::{CloseReason, EventTarget, delegate_event_target};
use crate::protocol::HeartbeatOptions;
use crate::protocol::check::MessageLimits;
use crate::protocol::link::LinkOptions;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// The bounds and times of a [`ByteStreamEventTarget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByteStreamOptions {
    /// The outbound queue, whether subscriptions are forwarded, and how long the first answer is waited for.
    pub link: LinkOptions,
    /// Bytes and depth of a message, in both directions. A frame of the far side's that is longer ends the connection with
    /// 1009 before any of it is read.
    pub message: MessageLimits,
    /// How often the far side is asked whether it is there, and how long it may take to answer.
    pub heartbeat: HeartbeatOptions,
    /// How long a `__close` may take to leave, and its answer to come.
    pub close_timeout: Duration,
}

impl ByteStreamOptions {
    /// The defaults of each part, and 2 s to close.
    pub const DEFAULT: Self = Self {
        link: LinkOptions::DEFAULT,
        message: MessageLimits::DEFAULT,
        heartbeat: HeartbeatOptions::DEFAULT,
        close_timeout: Duration::from_secs(2),
    };

    pub(crate) fn target(&self) -> TargetOptions {
        TargetOptions {
            link: self.link,
            message: self.message,
            close_timeout: self.close_timeout,
            broker: false,
        }
    }
}

impl Default for ByteStreamOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One byte stream to a hub as an event target: TCP, a Unix socket, an SSH channel, a pipe, anything that is
/// [`AsyncRead`] and [`AsyncWrite`].
///
/// On the wire are frames: four bytes of length, big-endian, then one envelope
/// ([`protocol::length_prefix`](crate::protocol::length_prefix)). This end opened the stream: it sends `__ping` as its first
/// frame, and again every 20 s. All else is as with every link: the first listener of a topic sends `__subscribe`,
/// [`ready`](EventTarget::ready) waits for the hub's answer.
///
/// # Overload and close
/// What is dispatched waits in the outbound queue ([`LinkOptions`]); beyond it,
/// [`DispatchError::Full`](crate::DispatchError::Full). The target ends with its stream: with the code and words of the far
/// side's `__close`, which is answered by one after all that came before it; as lost where the stream ends without, in the
/// middle of a frame, or the far side answers no ping. A frame of length 0 ends it with 1002, one over the limit with
/// 1009. [`close`](EventTarget::close) sends nothing, for the stream stays the caller's; [`disconnect`](Self::disconnect)
/// ends it in good order.
///
/// ```
/// use alkpubsub::protocol::length_prefix::{Decoder, encode};
/// use alkpubsub::{ByteStreamEventTarget, PubSub};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (here, mut there) = tokio::io::duplex(4096); // in life a socket, or a pipe
/// let pubsub = PubSub::new(ByteStreamEventTarget::new(here));
/// pubsub.publish_json("call.requested", "uuid-123", &42).await?;
///
/// let (mut decoder, mut came, mut bytes) = (Decoder::new(65_536), Vec::new(), [0; 4096]);
/// while came.len() < 2 {
///     let count = there.read(&mut bytes).await?;
///     let mut input = &bytes[..count];
///     while let Some(message) = decoder.next(&mut input)? {
///         came.push(String::from_utf8(message.into_owned())?);
///     }
/// }
/// assert!(came[0].starts_with(r#"{"type":"__ping""#));
/// assert_eq!(came[1], r#"{"type":"call.requested","id":"uuid-123","payload":42}"#);
///
/// // The far side ends it, and says why.
/// there.write_all(&encode(r#"{"type":"__close","id":"","payload":{"code":1001,"reason":"bye"}}"#)?).await?;
/// let reason = pubsub.target().closed().await;
/// assert_eq!(reason.to_string(), "closed by the far side (1001): bye");
/// # Ok(())
/// # }
/// # use alkpubsub::EventTarget;
/// ```
pub struct ByteStreamEventTarget {
    target: Arc<LinkTarget>,
}

impl ByteStreamEventTarget {
    /// Takes a connected stream, with the default options.
    ///
    /// It stays the caller's: [`close`](EventTarget::close) sends nothing on it, and [`release`](Self::release) gives it
    /// back. Until then, or until the target is dropped, it is kept here.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn new<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Self {
        Self::with_options(stream, ByteStreamOptions::DEFAULT)
    }

    /// [`new`](Self::new) with other bounds and times.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn with_options<S>(stream: S, options: ByteStreamOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::on(ByteStreamSocket::with_max_message(stream, options.message.max_message), options)
    }

    /// A target on a socket that [`release`](Self::release) gave back; the limit on what comes is the socket's own.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn on<S>(socket: ByteStreamSocket<S>, options: ByteStreamOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let life = Life::PerConnection { heartbeat: Some(options.heartbeat) };
        let target = LinkTarget::new(options.target(), life);
        let pump = Pump::new(target.clone(), socket, false);
        let ending = target.clone();
        target.spawn(async move {
            let (socket, _) = pump.run().await;
            ending.lock().socket = Some(Box::new(socket));
        });
        Self { target }
    }

    /// A target that the stream belongs to, such as one that was opened for it: [`close`](EventTarget::close) sends
    /// `__close` with 1000 and ends the stream.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its time driver.
    pub fn owning<S>(stream: S, options: ByteStreamOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let socket = ByteStreamSocket::with_max_message(stream, options.message.max_message);
        Self::owning_socket(socket, options, async {})
    }

    /// [`owning`](Self::owning) with a socket that knows more of its stream's end, and what there is to be done when the socket
    /// is gone.
    pub(crate) fn owning_socket(
        socket: impl LinkSocket<ByteStreamMessage>,
        options: ByteStreamOptions,
        then: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let life = Life::PerConnection { heartbeat: Some(options.heartbeat) };
        let target = LinkTarget::new(options.target(), life);
        let pump = Pump::new(target.clone(), socket, true);
        target.spawn(async move {
            let (socket, unanswered) = pump.run().await;
            if unanswered {
                drain(socket, options.close_timeout).await;
            } else {
                drop(socket);
            }
            then.await;
        });
        Self { target }
    }

    /// Sends a `__ping` and waits for its answer: the far side then has handled all that was sent before it.
    ///
    /// # Errors
    /// The reason of the end, if the connection ends before the answer comes.
    pub async fn ping(&self) -> Result<(), CloseReason> {
        self.target.ping().await
    }

    /// Ends the connection in good order: sends what is queued, then `__close` with 1000, shuts its half of the stream
    /// down, and waits for the far side's `__close` or the end of its half, but no longer than `patience`. Nothing can be
    /// dispatched meanwhile, but what comes before that is heard.
    ///
    /// # Errors
    /// [`DisconnectError`], where the far side did not answer, or closed for a reason of its own.
    pub async fn disconnect(&self, patience: Duration) -> Result<(), DisconnectError> {
        self.target.disconnect(patience).await
    }

    /// Closes the target and gives back the stream, with what lies between it and the messages: a new target can be made
    /// [`on`](Self::on) it. What was dispatched and had not reached it yet is dropped; [`ping`](Self::ping) first where
    /// it must not be.
    ///
    /// `None` where `S` is not the type of the stream, or it was given back already.
    pub async fn release<S: 'static>(&self) -> Option<ByteStreamSocket<S>> {
        self.close();
        self.closed().await;
        let mut state = self.target.lock();
        match state.socket.take()?.downcast() {
            Ok(socket) => Some(*socket),
            Err(other) => {
                state.socket = Some(other);
                None
            }
        }
    }
}

impl Drop for ByteStreamEventTarget {
    fn drop(&mut self) {
        self.target.abandon();
    }
}

delegate_event_target!([] ByteStreamEventTarget, self => self.target);

impl fmt::Debug for ByteStreamEventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByteStreamEventTarget").field(&self.target).finish()
    }
}
