//! What a connection's bytes come from and go to: a TCP or Unix socket of the shard's own, or any other that was lent.

use super::wake::{ReadyList, SocketWaker};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(unix)]
pub(super) use plain::{Listens, Plain, Poller, Ready, readable};

/// What a hub needs of a socket.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for T {}

/// A socket of a hub. What it is costs nothing to find out, and most are plain.
pub(super) enum Io {
    #[cfg(unix)]
    Plain(Plain),
    Lent(Box<Lent>),
}

/// A socket that says by a waker when it is ready: TLS, a pipe in memory, another server's connection.
pub(super) struct Lent {
    socket: Box<dyn Socket>,
    /// Whether the last write found no room.
    blocked: bool,
    wake: Arc<SocketWaker>,
    waker: Waker,
}

impl Lent {
    pub(super) fn new(socket: Box<dyn Socket>, slot: usize, ready: Arc<ReadyList>) -> Self {
        let wake = SocketWaker::new(slot, ready);
        Self { socket, blocked: false, waker: Waker::from(wake.clone()), wake }
    }

    pub(super) fn into_socket(self) -> Box<dyn Socket> {
        self.socket
    }

    /// To be called when its slot was taken from the list, before it is looked at.
    pub(super) fn woken(&mut self) {
        self.wake.taken();
        self.blocked = false;
    }
}

impl Io {
    /// `Ok(0)` is the end of the stream.
    pub(super) fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            #[cfg(unix)]
            Self::Plain(plain) => plain.poll_read(into),
            Self::Lent(lent) => {
                let mut buffer = ReadBuf::new(into);
                let mut context = Context::from_waker(&lent.waker);
                ready!(Pin::new(&mut *lent.socket).poll_read(&mut context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// A socket that had no room is not asked again until it wakes: what waits for it would be gathered anew for each
    /// event, and peers that are slow would cost more than those that are not.
    pub(super) fn is_blocked(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::Plain(plain) => plain.is_blocked(),
            Self::Lent(lent) => lent.blocked && !lent.wake.is_listed(),
        }
    }

    pub(super) fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            #[cfg(unix)]
            Self::Plain(plain) => plain.poll_write(bytes),
            Self::Lent(lent) => {
                let mut context = Context::from_waker(&lent.waker);
                let written = Pin::new(&mut *lent.socket).poll_write(&mut context, bytes);
                lent.blocked = written.is_pending();
                written
            }
        }
    }

    /// Sends what a TLS or another layer below may have kept back, or the end of the stream.
    pub(super) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        match self {
            #[cfg(unix)]
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Lent(lent) => Pin::new(&mut *lent.socket).poll_flush(&mut Context::from_waker(&lent.waker)),
        }
    }

    /// When it is dropped, the peer gets a reset, and what the system still has for it is gone. A socket that was lent
    /// ends as it likes.
    pub(super) fn reset_at_end(&self) {
        match self {
            #[cfg(unix)]
            Self::Plain(plain) => plain.reset_at_end(),
            Self::Lent(_) => {}
        }
    }

    pub(super) fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        match self {
            #[cfg(unix)]
            Self::Plain(plain) => Poll::Ready(plain.shutdown()),
            Self::Lent(lent) => {
                Pin::new(&mut *lent.socket).poll_shutdown(&mut Context::from_waker(&lent.waker))
            }
        }
    }
}

#[cfg(unix)]
mod plain {
    use super::Socket;
    use mio::event::Event;
    use mio::event::Source;
    use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
    use mio::{Events, Interest as Interests, Poll as Selector, Token};
    use socket2::SockRef;
    use std::io::{self, Read, Write};
    use std::net::Shutdown;
    use std::os::fd::AsRawFd;
    use std::task::{Context, Poll};
    use std::time::Duration;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A socket of either kind.
    #[derive(Debug)]
    pub(crate) enum Stream {
        Tcp(TcpStream),
        Unix(UnixStream),
    }

    impl Stream {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self {
                Self::Tcp(socket) => socket.read(into),
                Self::Unix(socket) => socket.read(into),
            }
        }

        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self {
                Self::Tcp(socket) => socket.write(bytes),
                Self::Unix(socket) => socket.write(bytes),
            }
        }

        fn source(&mut self) -> &mut dyn Source {
            match self {
                Self::Tcp(socket) => socket,
                Self::Unix(socket) => socket,
            }
        }
    }

    /// A listener of either kind.
    pub(crate) trait Listens: Descriptor + Send + Sync {
        /// `None` where the peer has left already.
        fn accept(&self) -> io::Result<Option<Stream>>;
    }

    impl Listens for TcpListener {
        fn accept(&self) -> io::Result<Option<Stream>> {
            let (socket, _) = self.accept()?;
            // A hub's messages are small and wanted now; everything that waits leaves in one write anyway. It fails where
            // the peer has left already (on macOS, as if the argument were wrong): that ends this connection, and no
            // listener.
            Ok(socket.set_nodelay(true).is_ok().then_some(Stream::Tcp(socket)))
        }
    }

    impl Listens for UnixListener {
        fn accept(&self) -> io::Result<Option<Stream>> {
            self.accept().map(|(socket, _)| Some(Stream::Unix(socket)))
        }
    }

    /// A socket that is read and written without anybody between it and the system.
    ///
    /// The system tells each change once (edge-triggered), so that what it told is kept here.
    #[derive(Debug)]
    pub(crate) struct Plain {
        socket: Stream,
        readable: bool,
        writable: bool,
        /// The peer sends no more: what is left is read to its end, of which nobody tells again.
        ends: bool,
        /// Our own end was told.
        shut: bool,
        /// Whether a poller tells of it.
        watched: bool,
    }

    impl Plain {
        /// A new one: as its peer may have spoken while it waited to be accepted, it is worth a look.
        pub(in super::super) fn new(socket: Stream) -> Self {
            Self { socket, readable: true, writable: true, ends: false, shut: false, watched: false }
        }

        pub(in super::super) fn told(&mut self, ready: Ready) {
            self.readable |= ready.readable;
            self.writable |= ready.writable;
            self.ends |= ready.ends;
        }

        pub(super) fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
            while self.readable {
                match self.socket.read(into) {
                    Ok(read) => {
                        // Less than there was room for is all that there was; the next bytes will be told of.
                        self.readable = read == into.len() || self.ends;
                        return Poll::Ready(Ok(read));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Pending
        }

        /// Writes what it takes at once, and lets it go.
        #[cfg(feature = "unix-socket")]
        pub(in super::super) fn say_and_end(mut self, bytes: &[u8]) {
            let _ = self.poll_write(bytes);
            let _ = self.shutdown();
        }

        pub(super) fn is_blocked(&self) -> bool {
            !self.writable
        }

        pub(super) fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
            while self.writable {
                match self.socket.write(bytes) {
                    Ok(written) => return Poll::Ready(Ok(written)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Pending
        }

        pub(super) fn shutdown(&mut self) -> io::Result<()> {
            // Once: of each the system tells as of a change, and whoever shuts down again then would never end.
            if std::mem::replace(&mut self.shut, true) {
                Ok(())
            } else {
                match &self.socket {
                    Stream::Tcp(socket) => socket.shutdown(Shutdown::Write),
                    Stream::Unix(socket) => socket.shutdown(Shutdown::Write),
                }
            }
        }

        pub(super) fn reset_at_end(&self) {
            // What waits in a Unix socket goes with its end anyway.
            if let Stream::Tcp(socket) = &self.socket {
                // Should it fail, it ends like any other.
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }

        /// Gives it to the runtime, on which this must be called.
        pub(in super::super) fn into_tokio(mut self, poller: Option<&Poller>) -> io::Result<Box<dyn Socket>> {
            if let Some(poller) = poller.filter(|_| self.watched) {
                poller.selector.get_ref().registry().deregister(self.socket.source())?;
            }
            Ok(match self.socket {
                Stream::Tcp(socket) => Box::new(tokio::net::TcpStream::from_std(socket.into())?),
                Stream::Unix(socket) => Box::new(tokio::net::UnixStream::from_std(socket.into())?),
            })
        }
    }

    /// What became of a socket.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Ready {
        pub(in super::super) token: usize,
        pub(in super::super) readable: bool,
        pub(in super::super) writable: bool,
        pub(in super::super) ends: bool,
    }

    impl Ready {
        fn new(event: &Event) -> Self {
            let ends = event.is_read_closed() || event.is_error();
            Self {
                token: event.token().0,
                readable: event.is_readable() || ends,
                writable: event.is_writable() || event.is_error() || event.is_write_closed(),
                ends,
            }
        }
    }

    /// What has one descriptor, its own, from its beginning to its end.
    pub(crate) trait Descriptor: AsRawFd {}

    impl Descriptor for Selector {}
    impl Descriptor for TcpListener {}
    impl Descriptor for UnixListener {}

    /// Lets the current runtime watch when something can be read.
    #[allow(unsafe_code, reason = "the runtime has no other way to watch a descriptor that is not its own")]
    pub(in super::super) fn readable<T: Descriptor>(inner: T) -> io::Result<AsyncFd<T>> {
        // SAFETY: the descriptor has to be open, and the same, until the runtime lets go of it. `Descriptor` is what
        // promises it: none of these types changes its descriptor or closes it before it is dropped, and `AsyncFd` lets the
        // runtime forget it before it drops or gives back what it holds.
        Ok(unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }?)
    }

    /// How many sockets a round hears of at the most.
    const EVENTS: usize = 1024;

    /// Asks the system which plain sockets are ready: an epoll or kqueue of the shard's own, which the runtime sees as
    /// one descriptor. So a ready socket costs an entry in a list, and no waker, no lock and no task.
    pub(in super::super) struct Poller {
        selector: AsyncFd<Selector>,
        events: Events,
    }

    impl Poller {
        /// On the current runtime.
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self { selector: readable(Selector::new()?)?, events: Events::with_capacity(EVENTS) })
        }

        /// From now on, changes of this socket are told with this token; what it is by now is told again.
        pub(in super::super) fn watch(&self, plain: &mut Plain, token: usize) -> io::Result<()> {
            let registry = self.selector.get_ref().registry();
            let (token, all) = (Token(token), Interests::READABLE | Interests::WRITABLE);
            if std::mem::replace(&mut plain.watched, true) {
                registry.reregister(plain.socket.source(), token, all)
            } else {
                registry.register(plain.socket.source(), token, all)
            }
        }

        /// Takes what there is to tell. Where that is nothing, the task will be woken.
        pub(in super::super) fn take(&mut self, context: &mut Context<'_>, into: &mut Vec<Ready>) {
            while let Poll::Ready(Ok(mut guard)) = self.selector.poll_read_ready_mut(context) {
                // An interrupted call is made again when the task is woken; it fails for no other reason.
                if guard.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO)).is_err() {
                    context.waker().wake_by_ref();
                    return;
                }
                if !self.events.is_empty() {
                    into.extend(self.events.iter().map(Ready::new));
                    return;
                }
                guard.clear_ready();
            }
        }
    }
}
