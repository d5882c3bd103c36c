//! `alkpubsub sub`

use crate::args::{Sub, topic};
use crate::compact;
use crate::failure::Failure;
use crate::link::Way;
use crate::signals::Signals;
use alkpubsub::{
    Action, ClientOptions, ConnectError, EventEnvelope, EventTarget, Listener, Notice, SpokeOptions,
    SpokeState, States, Topic, on_notice,
};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What the hub may send: its own limits are for it to keep.
const MAX_ENVELOPE: usize = 64 << 20;
const MAX_DEPTH: usize = alkpubsub::MessageLimits::MOST_DEPTH;
/// How long the close may take at the end.
const CLOSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: Sub) -> Result<(), Failure> {
    let topics = topics(&args.topics)?;
    let way = args.remote.way(&args.url).await?;
    let heard = subscribe(&args, &way, topics).await;
    way.close().await;
    heard
}

async fn subscribe(args: &Sub, way: &Way<'_>, topics: Vec<Topic>) -> Result<(), Failure> {
    let connecting = async { if args.no_reconnect { once(way).await } else { on_and_on(way).await } };
    let mut signals = Signals::listen()?;
    end_even_if_nobody_reads();
    let target = tokio::select! {
        target = connecting => target.map_err(|error| args.remote.failure(&error, way))?,
        () = signals.next() => return Ok(()),
    };
    let output = Arc::new(Output::new(args.count));
    let heard = tokio::select! {
        heard = hear(&*target, topics, &output, args.timeout.map(|patience| patience.0)) => heard,
        () = signals.next() => Ok(()),
    };
    target.close();
    target.closed().await;
    heard
}

/// A target that ends with its connection.
async fn once(way: &Way<'_>) -> Result<Arc<dyn EventTarget>, ConnectError> {
    let mut options = ClientOptions::DEFAULT;
    options.message.max_message = MAX_ENVELOPE;
    options.message.max_depth = MAX_DEPTH;
    options.link.max_topic = MAX_ENVELOPE;
    options.close_timeout = CLOSE;
    Ok(way.link(options).await?.target())
}

/// A target that connects anew whenever its connection is lost. The first one has to come about: what is wrong from the
/// beginning is told at once.
async fn on_and_on(way: &Way<'_>) -> Result<Arc<dyn EventTarget>, ConnectError> {
    let mut options = SpokeOptions::DEFAULT;
    options.message.max_message = MAX_ENVELOPE;
    options.message.max_depth = MAX_DEPTH;
    options.link.max_topic = MAX_ENVELOPE;
    options.close_timeout = CLOSE;
    let (target, states) = way.spoke(options).await?;
    tokio::spawn(tell(states));
    Ok(target)
}

/// Says how the connection fares, until it ends for good.
async fn tell(mut states: States) {
    let mut interrupted = false;
    while let Some(state) = states.next().await {
        match state {
            SpokeState::Waiting { why, retry_after } => {
                interrupted = true;
                tracing::warn!("{why}; connecting again in {} s", tenths(retry_after));
            }
            SpokeState::Connected if interrupted => tracing::warn!("connected again"),
            _ => {}
        }
    }
}

/// Seconds with one digit behind the point.
fn tenths(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// Pairs of type and id, each once.
fn topics(words: &[String]) -> Result<Vec<Topic>, Failure> {
    let mut topics: Vec<Topic> = Vec::new();
    for pair in words.chunks(2) {
        let [event_type, id] = pair else {
            let wrong = format!("the type {:?} has no id; an id that is empty is written ''", pair[0]);
            return Err(Failure::input(wrong));
        };
        let topic = topic(event_type, id)?;
        let again = topics.iter().any(|known| known.event_type() == event_type && known.id() == id);
        if !again {
            topics.push(topic);
        }
    }
    Ok(topics)
}

async fn hear(
    target: &dyn EventTarget,
    topics: Vec<Topic>,
    output: &Arc<Output>,
    patience: Option<Duration>,
) -> Result<(), Failure> {
    let add = |name: &str, listener: Arc<dyn Listener>| {
        target.add_event_listener(name, listener).map_err(|error| match error {
            alkpubsub::ListenError::Closed(reason) => Failure::ended(&reason),
            other => Failure::input(other.to_string()),
        })
    };
    for name in ["gap", "error"] {
        add(name, Arc::new(on_notice(|notice| tracing::warn!("{notice}"))))?;
    }
    for topic in topics.clone() {
        let name = topic.clone();
        add(name.as_str(), Arc::new(Printer { topic, output: output.clone() }))?;
    }
    let settled = async {
        for topic in &topics {
            let readiness = target.ready(topic.as_str()).await;
            tracing::info!(%topic, ?readiness, "subscribed");
        }
        std::future::pending::<()>().await;
    };
    let done = output.done.notified();
    tokio::select! {
        () = done => {}
        // Before the end of the connection: what came in before it was printed by then.
        reason = target.closed() => output.end(Err(Failure::ended(&reason))),
        () = output.silence(patience) => {
            let patience = humantime::Duration::from(patience.unwrap_or_default());
            output.end(Err(Failure::timeout(format!("no event within {patience}"))));
        }
        () = settled => {}
        () = reader_gone() => output.end(Ok(())),
    }
    output.outcome()
}

/// Resolves when whoever reads our output has gone, where the system tells it: else the next event would be the one
/// that shows it, and may never come.
#[cfg(unix)]
#[expect(
    deprecated,
    reason = "its successor is unsafe; an `OwnedFd` stays what it is, so that this one is sound"
)]
async fn reader_gone() {
    use std::os::fd::AsFd;
    use tokio::io::{Interest, unix::AsyncFd};
    let output = io::stdout().as_fd().try_clone_to_owned();
    // Files cannot be watched, and nobody reads at their other end.
    if let Ok(output) = output.and_then(|output| AsyncFd::with_interest(output, Interest::ERROR))
        && output.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

#[cfg(not(unix))]
async fn reader_gone() {
    std::future::pending().await
}

/// Prints the events of one topic.
struct Printer {
    topic: Topic,
    output: Arc<Output>,
}

impl Listener for Printer {
    /// Called on the task that reads the connection, and blocks it while whoever reads our output is slow: so the
    /// hub is held back, and nothing is lost on this side.
    fn event(&self, event: &EventEnvelope) {
        // Another type and id may make the same topic.
        if event.event_type() == self.topic.event_type() {
            self.output.print(event);
        }
    }

    fn notice(&self, notice: &Notice) {
        if let Notice::Denied { action: Action::Subscribe, .. } = notice {
            self.output.end(Err(Failure::refused(notice.to_string())));
        }
    }
}

/// Standard output, and how it ended.
struct Output {
    state: Mutex<State>,
    done: Notify,
}

struct State {
    /// Events that are still to be printed, where that was said.
    left: Option<u64>,
    outcome: Option<Result<(), Failure>>,
    /// When the last event was printed.
    last: Instant,
    line: Vec<u8>,
}

impl Output {
    fn new(left: Option<u64>) -> Self {
        let state = State { left, outcome: None, last: Instant::now(), line: Vec::new() };
        Self { state: Mutex::new(state), done: Notify::new() }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn print(&self, event: &EventEnvelope) {
        let outcome = self.with(|state| {
            if state.outcome.is_some() {
                return None;
            }
            let printed = state.print(event);
            state.last = Instant::now();
            match printed {
                // Whoever read it has had enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(Ok(())),
                Err(error) => Some(Err(Failure::connection(format!("cannot write to stdout: {error}")))),
                Ok(()) => {
                    state.left = state.left.map(|left| left - 1);
                    (state.left == Some(0)).then_some(Ok(()))
                }
            }
        });
        if let Some(outcome) = outcome {
            self.end(outcome);
        }
    }

    /// The first end counts.
    fn end(&self, outcome: Result<(), Failure>) {
        self.with(|state| {
            state.outcome.get_or_insert(outcome);
        });
        self.done.notify_one();
    }

    fn outcome(&self) -> Result<(), Failure> {
        self.with(|state| state.outcome.take().unwrap_or(Ok(())))
    }

    /// Resolves when nothing was printed for so long.
    async fn silence(&self, patience: Option<Duration>) {
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        // Connecting and subscribing is no silence of the hub's.
        self.with(|state| state.last = Instant::now());
        loop {
            let Some(until) = self.with(|state| state.last).checked_add(patience) else {
                return std::future::pending().await;
            };
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl State {
    fn print(&mut self, event: &EventEnvelope) -> io::Result<()> {
        self.line.clear();
        let json = event.to_json().map_err(io::Error::other)?;
        compact::append(&mut self.line, json);
        self.line.push(b'\n');
        let mut stdout = io::stdout().lock();
        stdout.write_all(&self.line)?;
        stdout.flush()
    }
}

/// While standard output is blocked, so is everything else on this thread. Another one waits for the signal.
fn end_even_if_nobody_reads() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without it, a signal that comes while the output is blocked waits until it is not.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut signals) = Signals::listen() else { return };
            signals.next().await;
            tokio::time::sleep(2 * CLOSE).await;
            std::process::exit(0)
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_may_be_longer_than_any_clock_runs() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let output = Output::new(None);
            let silence = output.silence(Some(Duration::MAX));
            assert!(tokio::time::timeout(Duration::from_millis(1), silence).await.is_err());
        });
    }
}
