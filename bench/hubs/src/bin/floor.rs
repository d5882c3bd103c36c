//! The floor: what a hub on epoll and plain sockets cannot do without, and no more. It finds a message's topic at a
//! fixed place, as all messages of this benchmark begin with as many bytes, and holds nothing but the map of topics.
//! No JSON, no checks, no limits but one: a reader for whom more than 1 MiB waits is dropped.
//!
//! All events of a topic that one round of epoll brought leave in one write for each reader.
//!
//! `floor PORT drops|doubles|swaps|alters` does wrong on purpose, which a load generator has to notice.

use alkpubsub_bench_hubs::frame::{self, Header};
use alkpubsub_bench_hubs::message::HEAD;
use anyhow::{Context as _, Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustc_hash::FxHashMap;
use std::io::{ErrorKind, Read as _, Write as _};

const LISTENER: Token = Token(usize::MAX);
const MAX_WAITING: usize = 1 << 20;
/// Every so manieth write is a wrong one, if they are to be.
const WRONG_EVERY: u64 = 100;

struct Connection {
    stream: TcpStream,
    upgraded: bool,
    /// The beginning of a frame whose end has not come.
    unfinished: Vec<u8>,
    /// What the socket did not take.
    waiting: Vec<u8>,
    topics: Vec<usize>,
}

impl Connection {
    /// Whether the connection is still of use.
    fn write(&mut self, bytes: &[u8]) -> bool {
        let mut taken = 0;
        if self.waiting.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => taken = count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        self.waiting.extend_from_slice(&bytes[taken..]);
        self.waiting.len() <= MAX_WAITING
    }

    fn write_on(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn upgrade(&mut self, request: &[u8]) -> bool {
        let request = String::from_utf8_lossy(request);
        let Some(key) = frame::header_value(&request, "sec-websocket-key") else { return false };
        self.upgraded = true;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            frame::accept(key)
        );
        self.write(answer.as_bytes())
    }

    fn text(&mut self, text: &[u8]) -> bool {
        let mut bytes = Vec::with_capacity(text.len() + 4);
        frame::put_header(&mut bytes, frame::TEXT, text.len(), None);
        bytes.extend_from_slice(text);
        self.write(&bytes)
    }
}

#[derive(Default)]
struct Topic {
    readers: Vec<usize>,
    /// What this round brought, in frames.
    batch: Vec<u8>,
}

/// What is done wrong on purpose.
#[derive(Clone, Copy)]
enum Wrong {
    Drops,
    Doubles,
    Swaps,
    Alters,
}

#[derive(Default)]
struct Hub {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// By the first bytes of their events.
    by_head: FxHashMap<[u8; HEAD], usize>,
    topics: Vec<Topic>,
    /// Topics with a batch.
    dirty: Vec<usize>,
    ended: Vec<usize>,
    wrong: Option<Wrong>,
    writes: u64,
    held_back: Option<(usize, Vec<u8>)>,
}

impl Hub {
    fn accept(&mut self, mut stream: TcpStream, poll: &Poll) -> Result<()> {
        stream.set_nodelay(true)?;
        let at = self.free.pop().unwrap_or(self.connections.len());
        poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        if at == self.connections.len() {
            self.connections.push(None);
        }
        let (unfinished, waiting, topics) = (vec![], vec![], vec![]);
        self.connections[at] = Some(Connection { stream, upgraded: false, unfinished, waiting, topics });
        Ok(())
    }

    fn read(&mut self, at: usize, scratch: &mut [u8], to_the_end: bool) {
        while let Some(connection) = &mut self.connections[at] {
            let before = connection.unfinished.len();
            if before == scratch.len() {
                return self.ended.push(at);
            }
            scratch[..before].copy_from_slice(&connection.unfinished);
            let length = match connection.stream.read(&mut scratch[before..]) {
                Ok(0) => return self.ended.push(at),
                Ok(count) => before + count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.ended.push(at),
            };
            connection.unfinished.clear();
            let Some(used) = self.take(at, &mut scratch[..length]) else { return self.ended.push(at) };
            if let Some(connection) = &mut self.connections[at] {
                connection.unfinished.extend_from_slice(&scratch[used..length]);
            }
            // What did not fill the buffer emptied the socket; more of it is a new edge.
            if length < scratch.len() && !to_the_end {
                return;
            }
        }
    }

    /// How many bytes were whole frames; `None` if the connection is of no use any more.
    fn take(&mut self, at: usize, bytes: &mut [u8]) -> Option<usize> {
        let mut used = 0;
        let connection = self.connections[at].as_mut()?;
        if !connection.upgraded {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Some(0) };
            if !connection.upgrade(&bytes[..end]) {
                return None;
            }
            used = end + 4;
        }
        while let Some(header) = Header::parse(&bytes[used..]).ok()? {
            let start = used + header.size;
            let Some(payload) = bytes.get_mut(start..start + header.payload) else { break };
            frame::mask(payload, header.mask?);
            used = start + header.payload;
            match header.opcode {
                frame::TEXT | frame::BINARY if header.last => self.message(at, payload)?,
                frame::CLOSE => {
                    self.connections[at].as_mut()?.write(&[0x80 | frame::CLOSE, 0]);
                    return None;
                }
                _ => return None,
            }
        }
        Some(used)
    }

    fn message(&mut self, at: usize, text: &[u8]) -> Option<()> {
        if let Some(rest) = text.strip_prefix(br#"{"type":"__subscribe","#) {
            return self.subscribe(at, rest);
        }
        let head: &[u8; HEAD] = text.first_chunk()?;
        // An event that nobody wants.
        let Some(&topic) = self.by_head.get(head) else { return Some(()) };
        let batch = &mut self.topics[topic].batch;
        if batch.is_empty() {
            self.dirty.push(topic);
        }
        frame::put_header(batch, frame::TEXT, text.len(), None);
        batch.extend_from_slice(text);
        Some(())
    }

    fn subscribe(&mut self, at: usize, rest: &[u8]) -> Option<()> {
        let (id, quotes) = rest.last_chunk::<8>()?.split_first_chunk::<5>()?;
        let mut head = *br#"{"type":"bench.event","id":"00000","payload":"#;
        head[28..33].copy_from_slice(id);
        let topic = *self.by_head.entry(head).or_insert_with(|| {
            self.topics.push(Topic::default());
            self.topics.len() - 1
        });
        let connection = self.connections[at].as_mut()?;
        self.topics[topic].readers.push(at);
        connection.topics.push(topic);
        let answer = [&br#"{"type":"__subscribed","#[..], rest].concat();
        (quotes == br#""}}"# && connection.text(&answer)).then_some(())
    }

    fn end_of_round(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for topic in dirty.drain(..) {
            let Topic { readers, batch } = &mut self.topics[topic];
            for &reader in readers.iter() {
                let Some(connection) = &mut self.connections[reader] else { continue };
                self.writes += 1;
                let of_use = match self.wrong {
                    None => connection.write(batch),
                    Some(wrong) => wrong.write(reader, connection, batch, self.writes, &mut self.held_back),
                };
                if !of_use {
                    self.ended.push(reader);
                }
            }
            batch.clear();
        }
        self.dirty = dirty;
        for at in std::mem::take(&mut self.ended) {
            let Some(connection) = self.connections[at].take() else { continue };
            for topic in connection.topics {
                self.topics[topic].readers.retain(|reader| *reader != at);
            }
            self.free.push(at);
        }
    }
}

impl Wrong {
    fn write(
        self,
        reader: usize,
        connection: &mut Connection,
        batch: &[u8],
        writes: u64,
        held_back: &mut Option<(usize, Vec<u8>)>,
    ) -> bool {
        if let Some((_, earlier)) = held_back.take_if(|(of, _)| *of == reader) {
            return connection.write(batch) && connection.write(&earlier);
        }
        let now = writes.is_multiple_of(WRONG_EVERY);
        match self {
            Self::Drops if now => true,
            Self::Doubles if now => connection.write(batch) && connection.write(batch),
            Self::Swaps if now && held_back.is_none() => {
                *held_back = Some((reader, batch.to_vec()));
                true
            }
            Self::Alters => {
                let mut other = batch.to_vec();
                let near_the_end = other.len() - 5;
                other[near_the_end] ^= 1;
                connection.write(&other)
            }
            _ => connection.write(batch),
        }
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).context("floor PORT")?;
    let wrong = match arguments.next().as_deref() {
        None => None,
        Some("drops") => Some(Wrong::Drops),
        Some("doubles") => Some(Wrong::Doubles),
        Some("swaps") => Some(Wrong::Swaps),
        Some("alters") => Some(Wrong::Alters),
        Some(other) => bail!("floor PORT drops|doubles|swaps|alters, not {other}"),
    };
    let mut hub = Hub { wrong, ..Hub::default() };
    let mut poll = Poll::new()?;
    // The standard library's, as it asks for the longest queue that the machine allows.
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 1 << 18];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    hub.accept(stream, &poll)?;
                }
                continue;
            }
            let at = event.token().0;
            if event.is_writable() && hub.connections[at].as_mut().is_some_and(|one| !one.write_on()) {
                hub.ended.push(at);
            }
            let over = event.is_read_closed() || event.is_error();
            if event.is_readable() || over {
                hub.read(at, &mut scratch, over);
            }
        }
        hub.end_of_round();
    }
}
