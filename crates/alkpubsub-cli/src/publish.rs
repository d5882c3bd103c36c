//! `alkpubsub pub`

use crate::args::{Pub, topic};
use crate::failure::{Failure, deeper};
use crate::link::{Link, Way};
use crate::signals::Signals;
use alkpubsub::{
    Action, ClientOptions, ConnectError, DisconnectError, DispatchError, EventEnvelope, EventTarget,
    MessageLimits, Notice, PubSub, Refusal, on_notice,
};
use serde_json::value::RawValue;
use std::io::{self, BufRead, Write};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The longest envelope that is sent. The hub has a limit of its own, and says so.
const MAX_ENVELOPE: usize = 64 << 20;
/// How long the hub may take to answer the last ping while nothing moves, before it counts as one that does not know
/// pings.
const PONG: Duration = Duration::from_secs(3);
/// How often it is looked whether something moves.
const LOOK: Duration = Duration::from_millis(100);
/// How long it may then take to answer the close.
const CLOSE: Duration = Duration::from_secs(5);
/// How long the close may take where nothing depends on it, as after Ctrl-C.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Lines that are read ahead.
const AHEAD: usize = 64;

pub(crate) async fn run(args: Pub) -> Result<(), Failure> {
    let mut limits = MessageLimits::DEFAULT;
    limits.max_message = MAX_ENVELOPE;
    limits.max_depth = args.max_depth.0;
    let one = match args.event.as_slice() {
        [dash] if dash == "-" => None,
        _ if args.skip_bad => {
            let wrong =
                "--skip-bad is about lines of standard input, so it needs `-` in the place of an event";
            return Err(Failure::input(format!("{wrong}; see `alkpubsub pub --help`")));
        }
        [event_type, id, payload] => Some(envelope(event_type, id, payload, &limits)?),
        _ => {
            let wrong = "an event is TYPE ID PAYLOAD, or `-` alone for envelopes on standard input";
            return Err(Failure::input(format!("{wrong}; see `alkpubsub pub --help`")));
        }
    };
    let mut options = ClientOptions::DEFAULT;
    options.message = limits;
    options.close_timeout = LAST_WORD;
    let way = args.remote.way(&args.url).await?;
    let published = publish(&args, &way, one, options).await;
    way.close().await;
    published
}

/// Publishes one event, or else those of standard input.
async fn publish(
    args: &Pub,
    way: &Way<'_>,
    one: Option<EventEnvelope>,
    options: ClientOptions,
) -> Result<(), Failure> {
    let limits = options.message;
    let mut signals = Signals::listen()?;
    let hub = tokio::select! {
        hub = Hub::connect(way, options) => hub.map_err(|error| args.remote.failure(&error, way))?,
        () = signals.next() => return Ok(()),
    };
    let sending = async {
        let bad_line = match one {
            Some(envelope) => hub.publish(envelope).await.map_err(Failure::dispatch).map(|()| None),
            None => hub.publish_lines(limits, args.skip_bad).await,
        }?;
        hub.flush().await?;
        bad_line.map_or(Ok(()), Err)
    };
    let sent = tokio::select! {
        sent = sending => sent,
        () = signals.next() => {
            // What was read goes out still, if it can at once.
            drop(hub.link.disconnect(LAST_WORD).await);
            Ok(())
        }
    };
    hub.leave().await;
    sent
}

fn envelope(
    event_type: &str,
    id: &str,
    payload: &str,
    limits: &MessageLimits,
) -> Result<EventEnvelope, Failure> {
    let payload: &RawValue = serde_json::from_str(payload).map_err(|error| {
        Failure::input(format!("the payload is not JSON: {error}; a text is written '\"like this\"'"))
    })?;
    topic(event_type, id)?;
    let envelope =
        EventEnvelope::new(event_type, id, &payload).map_err(|error| Failure::input(error.to_string()))?;
    let text = envelope.to_json().map_err(|error| Failure::input(error.to_string()))?;
    limits.admit(text).map_err(|refusal| Failure::input(too_big(refusal)))?;
    Ok(envelope)
}

fn too_big(refusal: Refusal) -> String {
    match refusal {
        Refusal::TooDeep { limit } => format!("{refusal}{}", deeper(limit)),
        other => other.to_string(),
    }
}

struct Hub {
    link: Link,
    target: Arc<dyn EventTarget>,
    pubsub: PubSub,
    denied: Arc<OnceLock<String>>,
}

impl Hub {
    async fn connect(way: &Way<'_>, options: ClientOptions) -> Result<Self, ConnectError> {
        let link = way.link(options).await?;
        let target = link.target();
        let denied = Arc::<OnceLock<String>>::default();
        let first = denied.clone();
        let listener = on_notice(move |notice| {
            if let Notice::Denied { action: Action::Publish, .. } = notice {
                // The first says it all.
                let _ = first.set(notice.to_string());
            }
        });
        let added = target.add_event_listener("denied", Arc::new(listener));
        // Refused only if the connection is at its end already, which the next publish tells.
        drop(added);
        Ok(Self { link, pubsub: PubSub::new(target.clone()), target, denied })
    }

    async fn publish(&self, envelope: EventEnvelope) -> Result<(), DispatchError> {
        self.pubsub.publish_envelope(envelope).await
    }

    fn denied(&self) -> Result<(), Failure> {
        self.denied.get().map_or(Ok(()), |denied| Err(Failure::refused(denied.clone())))
    }

    /// Publishes standard input; gives the first bad line, where that ended it.
    async fn publish_lines(&self, limits: MessageLimits, skip_bad: bool) -> Result<Option<Failure>, Failure> {
        let mut lines = read_lines();
        let mut closed = self.target.closed();
        let mut number = 0_u64;
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                reason = &mut closed => return Err(Failure::ended(&reason)),
            };
            let Some(line) = line else {
                return Ok(None);
            };
            number += 1;
            let line =
                line.map_err(|error| Failure::input(format!("cannot read standard input: {error}")))?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match self.publish_line(line, &limits).await {
                Ok(()) => self.denied()?,
                Err(Wrong::Hub(failure)) => return Err(failure),
                Err(Wrong::Line(why)) if skip_bad => {
                    let _ = writeln!(io::stderr(), "alkpubsub: line {number} was left out: {why}");
                }
                Err(Wrong::Line(why)) => {
                    let what_to_do = "the lines before it were sent; --skip-bad goes on";
                    return Ok(Some(Failure::input(format!("line {number}: {why}; {what_to_do}"))));
                }
            }
        }
    }

    async fn publish_line(&self, line: Vec<u8>, limits: &MessageLimits) -> Result<(), Wrong> {
        if line.len() > MAX_ENVELOPE {
            return Err(Wrong::Line(Refusal::TooLarge { limit: MAX_ENVELOPE }.to_string()));
        }
        let text = String::from_utf8(line)
            .map_err(|error| Refusal::NotUtf8 { at: error.utf8_error().valid_up_to() }.to_string())
            .map_err(Wrong::Line)?;
        let envelope =
            EventEnvelope::parse_within(text, limits).map_err(|refusal| Wrong::Line(too_big(refusal)))?;
        self.publish(envelope).await.map_err(|error| match error {
            DispatchError::Closed(reason) => Wrong::Hub(Failure::ended(&reason)),
            other => Wrong::Line(other.to_string()),
        })
    }

    /// Returns when the hub has handled all that was published.
    async fn flush(&self) -> Result<(), Failure> {
        let mut ping = pin!(self.link.ping());
        let (mut waiting, mut moved) = (u64::MAX, Instant::now());
        while moved.elapsed() < PONG {
            match tokio::time::timeout(LOOK, &mut ping).await {
                Ok(Ok(())) => return self.denied(),
                Ok(Err(reason)) => return Err(Failure::ended(&reason)),
                Err(_) => {}
            }
            let still = self.target.stats().queued_bytes;
            if still < waiting {
                // It takes what is sent, and has not come to the ping yet.
                (waiting, moved) = (still, Instant::now());
            }
        }
        tracing::debug!("the hub does not answer pings, so it is asked by the close");
        match self.link.disconnect(CLOSE).await {
            Ok(()) => self.denied(),
            Err(DisconnectError::Closed(reason)) => Err(Failure::ended(&reason)),
            Err(unanswered) => Err(Failure::connection(format!(
                "{unanswered}, nor the ping before it; it is not known what of it has arrived"
            ))),
        }
    }

    /// Ends the connection, if it is there still.
    async fn leave(&self) {
        self.target.close();
        self.target.closed().await;
    }
}

enum Wrong {
    Line(String),
    Hub(Failure),
}

/// Lines of standard input, without their ends. They are read on a thread of their own, which may wait for the next
/// one longer than the program lives.
fn read_lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (send, lines) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let line = match next_line(&mut stdin) {
                Ok(None) => return,
                Ok(Some(line)) => Ok(line),
                Err(error) => Err(error),
            };
            let last = line.is_err();
            if send.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    lines
}

/// The next line. Of one that is too long no more is kept than shows that it is.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (MAX_ENVELOPE + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        let mut input = io::BufReader::with_capacity(3, &b"one\r\n\ntwo\nthree"[..]);
        for line in [&b"one\r"[..], b"", b"two", b"three"] {
            assert_eq!(next_line(&mut input).unwrap().as_deref(), Some(line));
        }
        assert_eq!(next_line(&mut input).unwrap(), None);
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let endless = io::Read::take(io::repeat(b'x'), 2 * MAX_ENVELOPE as u64);
        let mut input = io::BufReader::new(io::Read::chain(endless, &b"\nnext"[..]));
        assert_eq!(next_line(&mut input).unwrap().map(|line| line.len()), Some(MAX_ENVELOPE + 1));
        assert_eq!(next_line(&mut input).unwrap().as_deref(), Some(&b"next"[..]));
    }
}
