//! Where a hub listens: a file, its rights, and what was left of it by somebody who did not remove it.

use crate::adapter::byte_stream::ByteStreamHubEventTarget;
use crate::adapter::engine::{Doorway, accept_into};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that may wait to be accepted, as far as the system allows it (`somaxconn`).
const BACKLOG: i32 = 65_535;

/// How long another hub, which begins in the same directory, is waited for, and how often it is asked for.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Why nobody listens at a path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program listens there.
    #[error("another program listens at {}; end it, or take another path", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// There is something that is no socket, and is not touched.
    #[error("{} exists and is no socket; it is left as it is, take another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system says no: there is no such directory, it may not be written to, or the path is too long for a socket
    /// (about 100 bytes).
    #[error("cannot listen at {}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

/// A Unix socket that a hub listens on. Its file is removed when it ends.
///
/// # Who may connect
/// Whoever may write to the file: this user alone (0600), unless [`bind_with_mode`](Self::bind_with_mode) says otherwise.
/// On Linux it has these rights from the first moment; elsewhere, a moment later: put it into a directory that is this
/// user's own.
///
/// # Files that were left
/// A program that was killed leaves its file. If nobody listens on it any more, it is replaced. Two hubs that do so at the
/// same time wait for each other, where the directory can be locked within half a second: one of them is told that the
/// other one listens.
#[derive(Debug)]
pub struct UnixSocketListener {
    // In this order: its file goes first, while it is sure to be its own.
    file: SocketFile,
    listener: std::os::unix::net::UnixListener,
}

impl UnixSocketListener {
    /// Listens at this path, for this user alone.
    ///
    /// # Errors
    /// [`BindError`] says what is there, or what the system says.
    pub fn bind(path: impl Into<PathBuf>) -> Result<Self, BindError> {
        Self::bind_with_mode(path, 0o600)
    }

    /// The same for a file with these rights, such as `0o660` for a group.
    ///
    /// # Errors
    /// As of [`bind`](Self::bind).
    pub fn bind_with_mode(path: impl Into<PathBuf>, mode: u32) -> Result<Self, BindError> {
        let path = path.into();
        match listen(&path, mode) {
            Ok((listener, identity)) => Ok(Self { file: SocketFile { path, identity }, listener }),
            Err(Refused::InUse) => Err(BindError::InUse { path }),
            Err(Refused::NotASocket) => Err(BindError::NotASocket { path }),
            Err(Refused::Io(error)) => Err(BindError::Io { path, error }),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Accepts connections until the hub has ended. Who comes while the hub is full is told so by `__close` 1013, while it
    /// shuts down by 1001. Out of file descriptors, new connections wait and the others live.
    ///
    /// # Errors
    /// Those of the listener that are not one connection's.
    pub async fn serve(self, hub: &ByteStreamHubEventTarget) -> io::Result<()> {
        let Self { file, listener } = self;
        let hub = hub.share().0;
        let mut doorway = Doorway::new(mio::net::UnixListener::from_std(listener))?;
        // It goes before what listens, as above: the number of a file that nobody listens on may be another one's at once.
        let _file = file;
        let admit = |arrival| match hub.reserve() {
            Ok(place) => place.connect_arrival(arrival),
            Err(error) => arrival.turn_away(&error),
        };
        accept_into(&hub, &mut doorway, admit).await
    }
}

/// What a file is known by when it may have been replaced.
type Identity = (u64, u64);

/// Removes it when dropped, if it is the same still.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

enum Refused {
    InUse,
    NotASocket,
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn listen(path: &Path, mode: u32) -> Result<(std::os::unix::net::UnixListener, Identity), Refused> {
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    // Held until it listens: between the look at a file and its removal, another hub may come.
    let _lock = lock(directory);
    let address = SockAddr::unix(path)?;
    let socket = new_socket(mode)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_left(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let identity = identity(path)?;
    let listening =
        fs::set_permissions(path, Permissions::from_mode(mode)).and_then(|()| socket.listen(BACKLOG));
    if let Err(error) = listening {
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    Ok((socket.into(), identity))
}

/// Locks a directory, where it can be opened and locked. Who holds such a lock for longer, so that the directory is not
/// tidied up, say, is no hub that begins: it is not waited for.
fn lock(directory: &Path) -> Option<File> {
    // A pipe would be waited for.
    let directory = directory.is_dir().then(|| File::open(directory).ok())??;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match directory.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_PAUSE),
            tried => return tried.is_ok().then_some(directory),
        }
    }
}

/// A socket whose file will have these rights.
fn new_socket(mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = File::from(OwnedFd::from(socket));
    // On Linux, a socket's own rights are those of the file that it is bound to. Others may refuse to set them.
    let _ = file.set_permissions(Permissions::from_mode(mode));
    Ok(OwnedFd::from(file).into())
}

/// Removes a socket file that nobody listens on.
fn remove_left(path: &Path, address: &SockAddr) -> Result<(), Refused> {
    // Whose it was may have removed it by now.
    let gone_is_removed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error.into()),
    };
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return Err(Refused::NotASocket),
        Err(error) => return gone_is_removed(error),
    }
    let asking = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose queue is full is one, too.
    asking.set_nonblocking(true)?;
    match asking.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).or_else(gone_is_removed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        _ => Err(Refused::InUse),
    }
}
