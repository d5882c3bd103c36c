//! This process's standard input and output, taken for a link.

use super::worker::StdioError;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{fcntl_getfl, fcntl_setfl};
use rustix::io::fcntl_dupfd_cloexec;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// What were the standard input and output.
pub(super) struct Stdio {
    reader: Reader,
    writer: Option<Writer>,
}

impl Stdio {
    /// Takes them: from now on standard input is empty, and what is printed goes to standard error. Where it fails,
    /// they are as they were.
    pub(super) fn take() -> Result<Self, StdioError> {
        let own = |fd: &dyn AsFd| Ok::<_, io::Error>(fcntl_dupfd_cloexec(fd.as_fd(), 3)?);
        let flags = |fd: &OwnedFd| Ok::<_, io::Error>(fcntl_getfl(fd)?);
        let (stdin, stdout) = (own(&io::stdin())?, own(&io::stdout())?);
        let (of_stdin, of_stdout) = (flags(&stdin)?, flags(&stdout)?);
        Self::on(stdin, stdout).inspect_err(|_| {
            // Whoever shares them does not expect what a runtime wants of them.
            let _ = fcntl_setfl(io::stdin(), of_stdin);
            let _ = fcntl_setfl(io::stdout(), of_stdout);
        })
    }

    fn on(stdin: OwnedFd, stdout: OwnedFd) -> Result<Self, StdioError> {
        let reader: Reader = match kind(stdin)? {
            Kind::Pipe(file) => Box::pin(pipe::Receiver::from_file(file).map_err(|_| StdioError::NoPipe)?),
            Kind::Socket(socket) => Box::pin(socket),
        };
        let writer: Writer = match kind(stdout)? {
            Kind::Pipe(file) => Box::pin(pipe::Sender::from_file(file).map_err(|_| StdioError::NoPipe)?),
            Kind::Socket(socket) => Box::pin(socket),
        };
        let null = File::open("/dev/null")?;
        // In this order: the first fails where there is no standard error.
        rustix::stdio::dup2_stdout(io::stderr()).map_err(io::Error::from)?;
        rustix::stdio::dup2_stdin(null).map_err(io::Error::from)?;
        Ok(Self { reader, writer: Some(writer) })
    }
}

/// Hosts use either: Node, for one, sockets.
enum Kind {
    Pipe(File),
    Socket(UnixStream),
}

fn kind(fd: OwnedFd) -> Result<Kind, StdioError> {
    let file = File::from(fd);
    let found = file.metadata()?.file_type();
    if found.is_fifo() {
        return Ok(Kind::Pipe(file));
    }
    if !found.is_socket() {
        return Err(StdioError::NoPipe);
    }
    let socket = StdUnixStream::from(OwnedFd::from(file));
    socket.set_nonblocking(true)?;
    Ok(Kind::Socket(UnixStream::from_std(socket)?))
}

impl AsyncRead for Stdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reader.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.writer {
            Some(writer) => writer.as_mut().poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().map_or(Poll::Ready(Ok(())), |writer| writer.as_mut().poll_flush(context))
    }

    /// A pipe is shut down by closing it, and this is the only one who holds it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writer) = &mut self.writer {
            // A socket whose far side is gone need not be told.
            let _ = ready!(writer.as_mut().poll_shutdown(context));
        }
        self.writer = None;
        Poll::Ready(Ok(()))
    }
}
