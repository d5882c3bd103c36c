//! Thousands of WebSocket clients on one thread: edge-triggered epoll, one buffer for all that is read.

use alkpubsub_bench_hubs::frame::{self, Header};
use alkpubsub_bench_hubs::message::{Dialect, Heard, Words};
use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the socket of a slow reader holds, as far as the kernel lets it.
pub(crate) const SMALL_SOCKET: usize = 4096;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Connecting,
    Upgrading,
    Open,
    /// It said that it goes, and waits for the answer.
    Leaving,
    Ended,
}

#[derive(Debug)]
struct Connection {
    stream: Option<TcpStream>,
    state: State,
    /// Read only when told to.
    slow: bool,
    /// The beginning of a frame whose end has not come.
    unfinished: Vec<u8>,
    /// The fragments of a message so far.
    fragments: Vec<u8>,
    /// What a dialect without messages has left over.
    rest: Vec<u8>,
    /// What the socket did not take yet.
    out: Vec<u8>,
    mask: u32,
}

/// How a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// With a Close, whose answer it awaits.
    Close,
    /// The socket is closed without a word.
    Drop,
    /// The same with a reset.
    Reset,
}

#[derive(Debug)]
pub(crate) struct Net {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    text: Vec<u8>,
    connections: Vec<Connection>,
    /// Connections take them in turn.
    addresses: Vec<SocketAddr>,
    request: Vec<u8>,
    accept: String,
    pub(crate) words: Words,
    /// Never sleep: a hub need not wake this process then.
    pub(crate) spin: bool,
    /// Connections that were upgraded.
    pub(crate) opened: usize,
    /// Connections that were upgraded since someone looked.
    pub(crate) fresh: Vec<usize>,
    /// Connections that ended without being asked to, and why, since someone looked.
    pub(crate) lost: Vec<(usize, String)>,
    /// Connections that are leaving still.
    pub(crate) leaving: usize,
    /// Writes so far.
    pub(crate) writes: u64,
}

impl Net {
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        path: &str,
        headers: &[String],
        dialect: Dialect,
    ) -> Result<Self> {
        let key = frame::key();
        let host = addresses.first().context("no address")?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        );
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        request.push_str("\r\n");
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(256),
            scratch: vec![0; 1 << 18],
            text: vec![],
            connections: vec![],
            addresses,
            request: request.into_bytes(),
            accept: frame::accept(&key),
            words: Words::new(dialect),
            spin: false,
            opened: 0,
            fresh: vec![],
            lost: vec![],
            leaving: 0,
            writes: 0,
        })
    }

    /// Begins a connection; with `small`, one whose socket takes little.
    pub(crate) fn connect(&mut self, small: bool) -> Result<usize> {
        let at = self.connections.len();
        let address = self.addresses[at % self.addresses.len()];
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if small {
            socket.set_recv_buffer_size(SMALL_SOCKET)?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
                return Err(error).with_context(|| format!("connection {at}"));
            }
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        self.connections.push(Connection {
            stream: Some(stream),
            state: State::Connecting,
            slow: false,
            unfinished: vec![],
            fragments: vec![],
            rest: vec![],
            out: vec![],
            mask: fastrand::u32(..),
        });
        Ok(at)
    }

    /// From now on the connection is read by [`Self::read_slowly`] alone.
    pub(crate) fn slow_down(&mut self, at: usize) {
        self.connections[at].slow = true;
    }

    /// Puts a message into the connection's queue; [`Self::flush`] writes what waits there.
    pub(crate) fn say(&mut self, at: usize, message: impl FnOnce(&Words, &mut Vec<u8>)) {
        self.text.clear();
        message(&self.words, &mut self.text);
        if !self.text.is_empty() {
            self.connections[at].queue(frame::TEXT, &self.text);
        }
    }

    pub(crate) fn flush(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        if connection.out.is_empty() {
            return;
        }
        self.writes += 1;
        if let Err(why) = connection.flush() {
            self.lose(at, why);
        }
    }

    /// Ends a connection.
    pub(crate) fn leave(&mut self, at: usize, how: How) -> Result<()> {
        let connection = &mut self.connections[at];
        if how == How::Close {
            connection.state = State::Leaving;
            self.leaving += 1;
            connection.queue(frame::CLOSE, &1000_u16.to_be_bytes());
            self.flush(at);
            return Ok(());
        }
        connection.state = State::Ended;
        if let Some(stream) = connection.stream.take()
            && how == How::Reset
        {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    fn lose(&mut self, at: usize, why: String) {
        let connection = &mut self.connections[at];
        match connection.state {
            State::Ended => return,
            State::Leaving => self.leaving -= 1,
            _ => self.lost.push((at, why)),
        }
        connection.state = State::Ended;
        connection.stream = None;
    }

    /// One look at the sockets. `hear` is given the connection, the time of the read, and each thing that was said.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut hear: impl FnMut(usize, Instant, Heard<'_>),
    ) -> Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let wait = if self.spin { Duration::ZERO } else { wait };
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => bail!("epoll: {error}"),
            _ => {}
        }
        for event in &events {
            let at = event.token().0;
            let connection = &mut self.connections[at];
            let Some(stream) = &connection.stream else { continue };
            if event.is_writable() {
                if connection.state == State::Connecting {
                    if let Ok(Some(error)) | Err(error) = stream.take_error() {
                        self.lose(at, format!("connect: {error}"));
                        continue;
                    }
                    connection.state = State::Upgrading;
                    connection.out.extend_from_slice(&self.request);
                }
                self.flush(at);
            }
            let over = event.is_read_closed() || event.is_error();
            let slow = self.connections[at].slow && self.connections[at].state == State::Open && !over;
            if (event.is_readable() || over) && !slow {
                self.read(at, over, usize::MAX, &mut hear);
            }
        }
        self.events = events;
        Ok(())
    }

    /// Reads so many bytes of a slow connection, if they are there.
    pub(crate) fn read_slowly(
        &mut self,
        at: usize,
        bytes: usize,
        mut hear: impl FnMut(usize, Instant, Heard<'_>),
    ) {
        self.read(at, false, bytes, &mut hear);
    }

    fn read(
        &mut self,
        at: usize,
        to_the_end: bool,
        limit: usize,
        hear: &mut impl FnMut(usize, Instant, Heard<'_>),
    ) {
        loop {
            let connection = &mut self.connections[at];
            let Some(stream) = &mut connection.stream else { return };
            let before = connection.unfinished.len();
            if before == self.scratch.len() {
                return self.lose(at, format!("a frame of more than {before} bytes"));
            }
            self.scratch[..before].copy_from_slice(&connection.unfinished);
            let room = self.scratch.len().min(before.saturating_add(limit));
            let length = match stream.read(&mut self.scratch[before..room]) {
                Ok(0) => return self.lose(at, "ended by the hub without a Close".to_owned()),
                Ok(count) => before + count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.lose(at, format!("read: {error}")),
            };
            connection.unfinished.clear();
            if let Err(why) = self.take(at, length, hear) {
                return self.lose(at, why);
            }
            // What did not fill the buffer emptied the socket; more of it is a new edge.
            if limit != usize::MAX || (length < self.scratch.len() && !to_the_end) {
                return;
            }
        }
    }

    fn take(
        &mut self,
        at: usize,
        length: usize,
        hear: &mut impl FnMut(usize, Instant, Heard<'_>),
    ) -> Result<(), String> {
        let now = Instant::now();
        let connection = &mut self.connections[at];
        let bytes = &self.scratch[..length];
        let mut used = 0;
        if connection.state == State::Upgrading {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                connection.unfinished.extend_from_slice(bytes);
                return Ok(());
            };
            let head = String::from_utf8_lossy(&bytes[..end]);
            if !head.starts_with("HTTP/1.1 101") {
                return Err(format!("refused: {}", head.lines().next().unwrap_or("")));
            }
            if frame::header_value(&head, "sec-websocket-accept") != Some(&self.accept) {
                return Err("the answer to the key is wrong".to_owned());
            }
            connection.state = State::Open;
            self.opened += 1;
            self.fresh.push(at);
            used = end + 4;
        }
        while let Some(header) = Header::parse(&bytes[used..])? {
            let start = used + header.size;
            let Some(payload) = bytes.get(start..start + header.payload) else { break };
            used = start + header.payload;
            if header.mask.is_some() {
                return Err("a masked frame from a hub".to_owned());
            }
            match header.opcode {
                frame::TEXT | frame::BINARY | frame::CONTINUATION => {
                    let whole;
                    let message = match (header.last, connection.fragments.is_empty()) {
                        (true, true) => payload,
                        (last, _) => {
                            connection.fragments.extend_from_slice(payload);
                            if !last {
                                continue;
                            }
                            whole = std::mem::take(&mut connection.fragments);
                            &whole
                        }
                    };
                    let mut asked = false;
                    self.words.hear(&mut connection.rest, message, |heard| match heard {
                        Heard::Asks => asked = true,
                        heard => hear(at, now, heard),
                    });
                    if asked {
                        connection.queue(frame::TEXT, b"PONG\r\n");
                    }
                }
                frame::PING => connection.queue(frame::PONG, payload),
                frame::PONG => {}
                frame::CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    return Err(format!("closed by the hub with {code} {reason}"));
                }
                other => return Err(format!("a frame with the opcode {other}")),
            }
        }
        connection.unfinished.extend_from_slice(&bytes[used..]);
        if connection.state == State::Open && !connection.out.is_empty() {
            self.writes += 1;
            connection.flush()?;
        }
        Ok(())
    }
}

impl Connection {
    fn queue(&mut self, opcode: u8, payload: &[u8]) {
        // Any sequence will do that a proxy cannot foresee; there is none here.
        self.mask = self.mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = self.mask.to_be_bytes();
        frame::put_header(&mut self.out, opcode, payload.len(), Some(key));
        let start = self.out.len();
        self.out.extend_from_slice(payload);
        frame::mask(&mut self.out[start..], key);
    }

    fn flush(&mut self) -> Result<(), String> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if self.state == State::Connecting {
            return Ok(());
        }
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break Ok(());
            }
            match stream.write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(format!("write: {error}")),
            }
        };
        self.out.drain(..written);
        result
    }
}
