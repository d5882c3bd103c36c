//! Where new sockets come in.

use crate::adapter::engine::Arrival;
#[cfg(unix)]
use crate::adapter::engine::{Plain, readable};
use std::io;
use tokio::net::TcpListener;

/// How many are accepted before the runtime's other tasks have their turn, the hub among them.
#[cfg(unix)]
const AT_ONCE: usize = 64;

/// A listener whose sockets are the hub's from the first moment: no runtime watches them, so that none has to let go of
/// them.
#[cfg(unix)]
pub(super) struct Doorway {
    listener: tokio::io::unix::AsyncFd<mio::net::TcpListener>,
    accepted: usize,
}

#[cfg(unix)]
impl Doorway {
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        let listener = mio::net::TcpListener::from_std(listener.into_std()?);
        Ok(Self { listener: readable(listener)?, accepted: 0 })
    }

    pub(super) async fn accept(&mut self) -> io::Result<Arrival> {
        if self.accepted == AT_ONCE {
            self.accepted = 0;
            tokio::task::yield_now().await;
        }
        loop {
            let mut guard = self.listener.readable().await?;
            match guard.try_io(|listener| listener.get_ref().accept()) {
                Ok(accepted) => {
                    let (socket, _) = accepted?;
                    self.accepted += 1;
                    // A hub's messages are small and wanted now; everything that waits leaves in one write anyway.
                    // It fails where the peer has left already (on macOS, as if the argument were wrong): that ends this
                    // connection, and no listener.
                    if socket.set_nodelay(true).is_ok() {
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
pub(super) struct Doorway(TcpListener);

#[cfg(not(unix))]
impl Doorway {
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(listener))
    }

    pub(super) async fn accept(&mut self) -> io::Result<Arrival> {
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
