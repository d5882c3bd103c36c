//! Where new sockets come in.

use super::handle::Handle;
#[cfg(unix)]
use super::io::{Listens, Plain, readable};
use super::orders::Arrival;
use crate::event_target::EventTarget;
use std::io;
use std::time::Duration;
#[cfg(feature = "websocket-server")]
use tokio::net::TcpListener;
use tokio::time::Instant;

/// How many are accepted before the runtime's other tasks have their turn, the hub among them.
#[cfg(unix)]
const AT_ONCE: usize = 64;
/// How long to wait before the next `accept` when the process is out of file descriptors.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);
/// How often that is logged, at the most.
const OUT_OF_DESCRIPTORS_WARNING: Duration = Duration::from_secs(10);

/// Where the next socket comes from.
pub(crate) trait Accept {
    fn accept(&mut self) -> impl Future<Output = io::Result<Arrival>> + Send;
}

/// A listener whose sockets are the hub's from the first moment: no runtime watches them, so that none has to let go of
/// them.
#[cfg(unix)]
pub(crate) struct Doorway<L: Listens> {
    listener: tokio::io::unix::AsyncFd<L>,
    accepted: usize,
}

#[cfg(all(unix, feature = "websocket-server"))]
impl Doorway<mio::net::TcpListener> {
    pub(crate) fn tcp(listener: TcpListener) -> io::Result<Self> {
        Self::new(mio::net::TcpListener::from_std(listener.into_std()?))
    }
}

#[cfg(unix)]
impl<L: Listens> Doorway<L> {
    /// The listener has to be in its non-blocking mode.
    pub(crate) fn new(listener: L) -> io::Result<Self> {
        Ok(Self { listener: readable(listener)?, accepted: 0 })
    }
}

#[cfg(unix)]
impl<L: Listens> Accept for Doorway<L> {
    async fn accept(&mut self) -> io::Result<Arrival> {
        if self.accepted == AT_ONCE {
            self.accepted = 0;
            tokio::task::yield_now().await;
        }
        loop {
            let mut guard = self.listener.readable().await?;
            match guard.try_io(|listener| listener.get_ref().accept()) {
                Ok(accepted) => {
                    self.accepted += 1;
                    if let Some(socket) = accepted? {
                        return Ok(Arrival(Plain::new(socket)));
                    }
                }
                Err(_would_block) => self.accepted = 0,
            }
        }
    }
}

/// A listener.
#[cfg(not(unix))]
pub(crate) struct Doorway(TcpListener);

#[cfg(not(unix))]
impl Doorway {
    pub(crate) fn tcp(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(listener))
    }
}

#[cfg(not(unix))]
impl Accept for Doorway {
    async fn accept(&mut self) -> io::Result<Arrival> {
        loop {
            let (socket, _) = self.0.accept().await?;
            // A hub's messages are small and wanted now; everything that waits leaves in one write anyway. It fails
            // where the peer has left already.
            if socket.set_nodelay(true).is_ok() {
                return Ok(Arrival(Box::new(socket)));
            }
        }
    }
}

/// Accepts connections until the hub has ended. Out of file descriptors, new ones wait.
///
/// # Errors
/// Those of the listener that are not one connection's.
pub(crate) async fn accept_into(
    hub: &Handle,
    doorway: &mut impl Accept,
    admit: impl Fn(Arrival),
) -> io::Result<()> {
    let mut closed = std::pin::pin!(hub.closed());
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = doorway.accept() => accepted,
            _ = &mut closed => return Ok(()),
        };
        match accepted {
            Ok(arrival) => admit(arrival),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) if is_of_the_listener(&error) => return Err(error),
            // Out of descriptors or memory, most of all.
            Err(error) => {
                // Each one that leaves lets one in, so that this comes up as often as somebody likes.
                if warned.is_none_or(|warned| warned.elapsed() >= OUT_OF_DESCRIPTORS_WARNING) {
                    tracing::warn!(%error, "new connections wait");
                    warned = Some(Instant::now());
                }
                tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
            }
        }
    }
}

/// Whether an error of `accept` tells of a connection that is gone, and nothing of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Whether an error of `accept` will come again for ever: EBADF, EFAULT, EINVAL, ENOTSOCK. Every other one tells of the
/// network or of what the system lacks right now, and listening goes on.
fn is_of_the_listener(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    !cfg!(unix) || code.is_none_or(|code| matches!(code, 9 | 14 | 22 | 38 | 88))
}
