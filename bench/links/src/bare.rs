//! Without a link: the same bytes on the same kind of socket.

use super::{block_on, frame, timed};
use futures_util::{SinkExt, StreamExt};
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Reads frames as they come, until so many have.
fn read(stream: UnixStream, messages: usize) {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut message = Vec::new();
    for _ in 0..messages {
        read_one(&mut stream, &mut message);
    }
}

fn read_one(stream: &mut impl Read, message: &mut Vec<u8>) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    message.resize(u32::from_be_bytes(length) as usize, 0);
    stream.read_exact(message).expect("a message");
}

/// A write for each message.
pub(crate) fn each(text: &str, messages: usize) -> Duration {
    let (mut here, there) = UnixStream::pair().expect("a pair");
    let frame = frame(text);
    timed(
        move || read(there, messages),
        || (0..messages).for_each(|_| here.write_all(&frame).expect("a write")),
    )
}

/// As few writes as fit 64 KiB each: what the kernel and the memory alone cost.
pub(crate) fn gathered(text: &str, messages: usize) -> Duration {
    let (mut here, there) = UnixStream::pair().expect("a pair");
    let frame = frame(text);
    timed(
        move || read(there, messages),
        || {
            let mut gathered = Vec::with_capacity(128 * 1024);
            for _ in 0..messages {
                gathered.extend_from_slice(&frame);
                if gathered.len() >= 64 * 1024 {
                    here.write_all(&gathered).expect("a write");
                    gathered.clear();
                }
            }
            here.write_all(&gathered).expect("a write");
        },
    )
}

fn framed(stream: UnixStream) -> Framed<tokio::net::UnixStream, LengthDelimitedCodec> {
    stream.set_nonblocking(true).expect("a socket");
    Framed::new(tokio::net::UnixStream::from_std(stream).expect("a socket"), LengthDelimitedCodec::new())
}

/// The usual way in tokio: it frames, gathers and checks nothing.
pub(crate) fn codec(text: &str, messages: usize) -> Duration {
    let (here, there) = UnixStream::pair().expect("a pair");
    let message = Bytes::copy_from_slice(text.as_bytes());
    timed(
        move || {
            block_on(async {
                let mut stream = framed(there);
                for _ in 0..messages {
                    stream.next().await.expect("a message").expect("a message");
                }
            })
        },
        || {
            block_on(async {
                let mut stream = framed(here);
                for _ in 0..messages {
                    stream.feed(message.clone()).await.expect("a write");
                }
                SinkExt::<Bytes>::flush(&mut stream).await.expect("a write");
            })
        },
    )
}

/// There and back.
pub(crate) fn echo(text: &str, messages: usize) -> Duration {
    let (mut here, mut there) = UnixStream::pair().expect("a pair");
    let frame = frame(text);
    timed(
        move || {
            let mut message = Vec::new();
            for _ in 0..messages {
                read_one(&mut there, &mut message);
                let back = [&(message.len() as u32).to_be_bytes(), &message[..]].concat();
                there.write_all(&back).expect("a write");
            }
        },
        || {
            let mut message = Vec::new();
            for _ in 0..messages {
                here.write_all(&frame).expect("a write");
                read_one(&mut here, &mut message);
            }
        },
    )
}

/// There and back through the codec.
pub(crate) fn codec_echo(text: &str, messages: usize) -> Duration {
    let (here, there) = UnixStream::pair().expect("a pair");
    let message = Bytes::copy_from_slice(text.as_bytes());
    timed(
        move || {
            block_on(async {
                let mut stream = framed(there);
                for _ in 0..messages {
                    let message = stream.next().await.expect("a message").expect("a message");
                    stream.send(message.freeze()).await.expect("a write");
                }
            })
        },
        || {
            block_on(async {
                let mut stream = framed(here);
                for _ in 0..messages {
                    stream.send(message.clone()).await.expect("a write");
                    stream.next().await.expect("a message").expect("a message");
                }
            })
        },
    )
}
