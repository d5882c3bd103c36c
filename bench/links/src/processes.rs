//! From a host to a child and back: this very program, started once more. The child's start does not count.

use super::{block_on, frame};
use alkpubsub::worker_process::{
    ChildStderr, ProcessHostEventTarget, ProcessOptions, WorkerProcessEventTarget,
};
use alkpubsub::{DispatchError, EventEnvelope, EventTarget};
use futures_util::{SinkExt, StreamExt};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

const TOPIC: &str = "chat.message:room-1";
const DONE: &str = r#"{"type":"done","id":""}"#;

fn command(role: &str, messages: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(["--child", role, &messages.to_string()]);
    command
}

/// What a child does, where this process is one: `--child ROLE MESSAGES`.
pub(crate) fn child(role: &str, messages: usize) {
    match role {
        "bare" => bare_child(messages, false),
        "bare_echo" => bare_child(messages, true),
        "codec_echo" => block_on(codec_child(messages)),
        "ours" => block_on(our_child(messages, false)),
        "ours_echo" => block_on(our_child(messages, true)),
        other => panic!("{other}"),
    }
}

fn read_one(from: &mut impl Read, message: &mut Vec<u8>) {
    let mut length = [0; 4];
    from.read_exact(&mut length).expect("a length");
    message.resize(u32::from_be_bytes(length) as usize, 0);
    from.read_exact(message).expect("a message");
}

fn bare_child(messages: usize, echo: bool) {
    let mut from = BufReader::with_capacity(64 * 1024, std::io::stdin().lock());
    let mut to = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut say = |text: &[u8]| {
        to.write_all(&(text.len() as u32).to_be_bytes()).and_then(|()| to.write_all(text)).expect("a write");
        to.flush().expect("a write");
    };
    say(DONE.as_bytes());
    let mut message = Vec::new();
    for _ in 0..messages {
        read_one(&mut from, &mut message);
        if echo {
            say(&message);
        }
    }
    if !echo {
        say(DONE.as_bytes());
    }
}

type Framed =
    (FramedRead<pipe::Receiver, LengthDelimitedCodec>, FramedWrite<pipe::Sender, LengthDelimitedCodec>);

/// The same pipes on tokio, which waits for them in another way than a blocking read does.
fn framed(from: OwnedFd, to: OwnedFd) -> Framed {
    let from = pipe::Receiver::from_file(from.into()).expect("a pipe");
    let to = pipe::Sender::from_file(to.into()).expect("a pipe");
    (FramedRead::new(from, LengthDelimitedCodec::new()), FramedWrite::new(to, LengthDelimitedCodec::new()))
}

async fn codec_child(messages: usize) {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().expect("a descriptor");
    let (mut from, mut to) = framed(own(std::io::stdin().as_fd()), own(std::io::stdout().as_fd()));
    to.send(Bytes::from(DONE)).await.expect("a write");
    for _ in 0..messages {
        let message = from.next().await.expect("a message").expect("a message");
        to.send(message.freeze()).await.expect("a write");
    }
}

/// There and back through tokio-util's codec.
pub(crate) fn codec_echo(text: &str, messages: usize) -> Duration {
    let mut child = command("codec_echo", messages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let message = Bytes::copy_from_slice(text.as_bytes());
    let took = block_on(async {
        let (mut from, mut to) = framed(from.into(), to.into());
        from.next().await.expect("a message").expect("a message");
        let begun = Instant::now();
        for _ in 0..messages {
            to.send(message.clone()).await.expect("a write");
            from.next().await.expect("a message").expect("a message");
        }
        begun.elapsed()
    });
    child.wait().expect("a child");
    took
}

async fn our_child(messages: usize, echo: bool) {
    let host = Arc::new(WorkerProcessEventTarget::from_stdio().expect("a host"));
    let (back, heard) = (Arc::downgrade(&host), AtomicUsize::new(0));
    let done = EventEnvelope::parse(DONE.to_owned()).expect("an envelope");
    let say = done.clone();
    let listener = move |event: &EventEnvelope| {
        let host = back.upgrade().expect("a host");
        if echo {
            host.dispatch_event_ref(event).expect("room for one");
        } else if heard.fetch_add(1, Relaxed) + 1 == messages {
            host.dispatch_event_ref(&done).expect("room for one");
        }
    };
    host.add_event_listener(TOPIC, Arc::new(listener)).expect("a listener");
    host.dispatch_event(say).expect("room for one");
    host.closed().await;
}

struct Bare {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    message: Vec<u8>,
}

impl Bare {
    fn start(role: &str, messages: usize) -> Self {
        let mut child =
            command(role, messages).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let to = child.stdin.take().expect("a pipe");
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut bare = Self { child, to, from, message: Vec::new() };
        bare.hear();
        bare
    }

    fn hear(&mut self) {
        read_one(&mut self.from, &mut self.message);
    }

    fn end(mut self) {
        drop(self.to);
        self.child.wait().expect("a child");
    }
}

/// A write for each message.
pub(crate) fn each(text: &str, messages: usize) -> Duration {
    let mut bare = Bare::start("bare", messages);
    let frame = frame(text);
    let begun = Instant::now();
    (0..messages).for_each(|_| bare.to.write_all(&frame).expect("a write"));
    bare.hear();
    let took = begun.elapsed();
    bare.end();
    took
}

/// As few writes as fit 64 KiB each.
pub(crate) fn gathered(text: &str, messages: usize) -> Duration {
    let mut bare = Bare::start("bare", messages);
    let frame = frame(text);
    let begun = Instant::now();
    {
        let mut to = BufWriter::with_capacity(64 * 1024, &mut bare.to);
        (0..messages).for_each(|_| to.write_all(&frame).expect("a write"));
        to.flush().expect("a write");
    }
    bare.hear();
    let took = begun.elapsed();
    bare.end();
    took
}

/// There and back, one at a time.
pub(crate) fn bare_echo(text: &str, messages: usize) -> Duration {
    let mut bare = Bare::start("bare_echo", messages);
    let frame = frame(text);
    let begun = Instant::now();
    for _ in 0..messages {
        bare.to.write_all(&frame).expect("a write");
        bare.hear();
    }
    let took = begun.elapsed();
    bare.end();
    took
}

fn host(role: &str, messages: usize) -> ProcessHostEventTarget {
    let mut options = ProcessOptions::DEFAULT;
    options.stderr = ChildStderr::Inherit;
    ProcessHostEventTarget::spawn(command(role, messages), options).expect("a child")
}

fn told(host: &ProcessHostEventTarget, topic: &str) -> Arc<Notify> {
    let came = Arc::new(Notify::new());
    let tell = came.clone();
    let listener = move |_: &EventEnvelope| tell.notify_one();
    host.add_event_listener(topic, Arc::new(listener)).expect("a listener");
    came
}

async fn publish(target: &ProcessHostEventTarget, event: &EventEnvelope) {
    loop {
        match target.dispatch_event_ref(event) {
            Ok(()) => return,
            Err(DispatchError::Full) => target.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// From the host to the child.
pub(crate) fn to_child(text: &str, messages: usize) -> Duration {
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    block_on(async {
        let host = host("ours", messages);
        let done = told(&host, "done:");
        done.notified().await;
        let begun = Instant::now();
        for _ in 0..messages {
            publish(&host, &event).await;
        }
        done.notified().await;
        let took = begun.elapsed();
        host.close();
        host.closed().await;
        took
    })
}

/// There and back, one at a time.
pub(crate) fn echo(text: &str, messages: usize) -> Duration {
    let event = EventEnvelope::parse(text.to_owned()).expect("an envelope");
    block_on(async {
        let host = host("ours_echo", messages);
        told(&host, "done:").notified().await;
        let came = told(&host, TOPIC);
        let begun = Instant::now();
        for _ in 0..messages {
            publish(&host, &event).await;
            came.notified().await;
        }
        let took = begun.elapsed();
        host.close();
        host.closed().await;
        took
    })
}
