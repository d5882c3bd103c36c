//! Connections to a hub that listens on a Unix socket.

use crate::adapter::byte_stream::{ByteStreamEventTarget, ByteStreamOptions, ByteStreamSocket};
use crate::adapter::link::{Spoke, SpokeOptions};
use crate::connect::ConnectError;
use crate::event_target::BoxFuture;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// How long a hub whose queue of newcomers is full is waited for, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

impl ByteStreamEventTarget {
    /// One connection to a hub that listens on a Unix socket. It ends with the target.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`]: there is no such file, nobody listens there, or this user may not open it.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn unix(path: impl AsRef<Path>, options: ByteStreamOptions) -> Result<Self, ConnectError> {
        open(path.as_ref()).await.map(|stream| Self::owning(stream, options))
    }
}

impl Spoke {
    /// Connects to a hub that listens on a Unix socket, and goes on connecting when the connection is lost.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use alkpubsub::hub::HubOptions;
    /// use alkpubsub::unix_socket::UnixSocketListener;
    /// use alkpubsub::{ByteStreamHubEventTarget, PubSub, Spoke, SpokeOptions};
    ///
    /// # let directory = std::env::temp_dir().join(format!("alkpubsub-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory)?;
    /// let path = directory.join("hub.sock");
    /// let hub = ByteStreamHubEventTarget::try_new(HubOptions::new().relay())?;
    /// let listener = UnixSocketListener::bind(&path)?;
    /// let serving = async { listener.serve(&hub).await };
    /// let using = async {
    ///     let pubsub = PubSub::new(Spoke::unix(&path, SpokeOptions::DEFAULT).await?);
    ///     let mut ticks = pubsub.subscribe_envelopes("tick", "").await?;
    ///     pubsub.publish_json("tick", "", &1).await?;
    ///     assert!(ticks.next().await.is_some());
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// };
    /// tokio::select! {
    ///     used = using => used?,
    ///     served = serving => served?,
    /// }
    /// let nobody = Spoke::unix(directory.join("other.sock"), SpokeOptions::DEFAULT).await.unwrap_err();
    /// assert!(nobody.to_string().contains("other.sock: No such file or directory"));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`]: there is no such file, nobody listens there, or this user may not open it.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    pub async fn unix(path: impl Into<PathBuf>, options: SpokeOptions) -> Result<Self, ConnectError> {
        let path = path.into();
        let max_message = options.message.max_message;
        let connector = move || -> BoxFuture<'static, _> {
            let path = path.clone();
            Box::pin(async move {
                open(&path).await.map(|stream| ByteStreamSocket::with_max_message(stream, max_message))
            })
        };
        Self::connected(connector, options).await
    }
}

async fn open(path: &Path) -> Result<UnixStream, ConnectError> {
    let unreachable = |error| ConnectError::Unreachable { address: path.display().to_string(), error };
    match tokio::time::timeout(PATIENCE, connect(path)).await {
        Ok(connected) => connected.map_err(unreachable),
        Err(_) => {
            let words = "the queue of those who want to connect is full; nobody is accepted";
            Err(unreachable(io::Error::new(io::ErrorKind::TimedOut, words)))
        }
    }
}

async fn connect(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            // Linux lets no socket wait that is not to block, and tells nobody when there is room.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// The path of a `unix:` URL, which is everything behind the scheme as it stands: nothing in it is percent-encoded.
pub(crate) fn path_of(url: &str) -> Result<&Path, ConnectError> {
    let path = url.split_once(':').map_or("", |(_, path)| path);
    // `unix:///run/hub.sock` is written as well, with an authority that is empty.
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    if path.is_empty() {
        return Err(ConnectError::BadUrl { why: "`unix:` is followed by the path of a socket".into() });
    }
    Ok(Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_scheme_and_a_path() {
        for (url, path) in [
            ("unix:hub.sock", "hub.sock"),
            ("unix:/run/a b%20.sock", "/run/a b%20.sock"),
            ("unix:///run/hub.sock", "/run/hub.sock"),
            ("unix://hub.sock", "//hub.sock"),
        ] {
            assert_eq!(path_of(url).unwrap(), Path::new(path), "{url}");
        }
        assert!(matches!(path_of("unix:"), Err(ConnectError::BadUrl { .. })));
    }
}
