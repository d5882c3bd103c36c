//! Commands to one connection, many at a time, and their answers in order.

use crate::event_target::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker, ready};
use tokio::task::unconstrained;

/// Pipelines that may be under way, so that a far server does not make each wait for the one before it.
const MAX_UNDER_WAY: usize = 16;
/// Bytes of commands that may be unanswered; the last command may go beyond.
const MAX_BYTES: usize = 1 << 20;

/// Commands to one connection; each comes with what is to be known when it is answered.
pub(super) struct Lane<A> {
    connection: MultiplexedConnection,
    /// To be sent with the next [`start`](Self::start).
    next: Batch<A>,
    under_way: VecDeque<(Answers, Asked<A>)>,
    bytes: usize,
}

/// Of one pipeline, to come.
type Answers = BoxFuture<'static, RedisResult<Vec<Value>>>;

struct Batch<A> {
    commands: Pipeline,
    asked: Asked<A>,
}

struct Asked<A> {
    about: Vec<A>,
    bytes: usize,
}

impl<A> Batch<A> {
    fn new() -> Self {
        Self { commands: Pipeline::new(), asked: Asked { about: Vec::new(), bytes: 0 } }
    }
}

impl<A> Lane<A> {
    pub(super) fn new(connection: MultiplexedConnection) -> Self {
        Self { connection, next: Batch::new(), under_way: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < MAX_UNDER_WAY && self.bytes < MAX_BYTES
    }

    /// Whether something waits for [`start`](Self::start).
    pub(super) fn has_more(&self) -> bool {
        !self.next.asked.about.is_empty()
    }

    /// Pipelines that are not answered yet.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && !self.has_more()
    }

    /// Adds a command that has one answer.
    pub(super) fn push(&mut self, command: &str, arguments: &[&str], about: A) {
        self.next.commands.cmd(command);
        for argument in arguments {
            self.next.commands.arg(*argument);
        }
        let bytes = command.len() + arguments.iter().map(|argument| argument.len()).sum::<usize>();
        self.next.asked.about.push(about);
        self.next.asked.bytes += bytes;
        self.bytes += bytes;
    }

    /// Sends what was added, if there is room.
    pub(super) fn start(&mut self) {
        if !self.has_more() || self.under_way.len() >= MAX_UNDER_WAY {
            return;
        }
        let Batch { commands, asked } = std::mem::replace(&mut self.next, Batch::new());
        let (mut connection, count) = (self.connection.clone(), asked.about.len());
        // What is polled first is sent first, as the client has room for all that may be under way; but not where the
        // runtime has it wait for its other tasks, while what comes later need not.
        let answers = async move { connection.send_packed_commands(&commands, 0, count).await };
        let mut answers: Answers = Box::pin(unconstrained(answers));
        // None is answered already: that takes the client's task.
        let polled = answers.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Pending => self.under_way.push_back((answers, asked)),
            Poll::Ready(answered) => {
                self.under_way.push_back((Box::pin(std::future::ready(answered)), asked));
            }
        }
    }

    /// The oldest commands that were answered, and the answers; pending while there are none.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<RedisResult<(Vec<A>, Vec<Value>)>> {
        let Some((answers, _)) = self.under_way.front_mut() else {
            return Poll::Pending;
        };
        let answered = ready!(answers.as_mut().poll(context));
        let Some((_, asked)) = self.under_way.pop_front() else {
            return Poll::Pending;
        };
        self.bytes = self.bytes.saturating_sub(asked.bytes);
        Poll::Ready(answered.map(|answers| (asked.about, answers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{AsyncConnectionConfig, RedisConnectionInfo};
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::coop::consume_budget;

    /// Says yes to everything, and gives what it was told.
    fn server() -> (tokio::io::DuplexStream, tokio::task::JoinHandle<String>) {
        let (here, mut there) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(async move {
            let (mut said, mut buffer) = (String::new(), [0; 1024]);
            while let Ok(read @ 1..) = there.read(&mut buffer).await {
                let text = std::str::from_utf8(&buffer[..read]).unwrap();
                said.push_str(text);
                there.write_all("+OK\r\n".repeat(text.matches('*').count()).as_bytes()).await.unwrap();
            }
            said
        });
        (here, serving)
    }

    #[tokio::test]
    async fn what_was_started_first_is_sent_first_whatever_the_runtime_allows() {
        let (stream, serving) = server();
        let info = RedisConnectionInfo::default();
        let config = AsyncConnectionConfig::new();
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = made.unwrap();
        let driver = tokio::spawn(driver);
        let mut lane = Lane::new(connection);
        poll_fn(|context| {
            while std::pin::pin!(consume_budget()).poll(context).is_ready() {}
            lane.push("FIRST", &[], 1);
            lane.start();
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
        lane.push("SECOND", &[], 2);
        lane.start();
        for expected in 1..=2 {
            let (about, _) = poll_fn(|context| lane.poll(context)).await.unwrap();
            assert_eq!(about, [expected]);
        }
        drop(lane);
        driver.await.unwrap();
        let said = serving.await.unwrap();

        assert!(said.find("FIRST").unwrap() < said.find("SECOND").unwrap(), "{said}");
    }
}
