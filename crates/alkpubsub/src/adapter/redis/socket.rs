//! Two connections to Redis as one socket of the link: what a link tells a hub becomes commands, and what Redis answers
//! becomes what a hub would say.

use super::lane::Lane;
use super::message::{RedisMessage, RedisSocketError};
use super::options::RedisOptions;
use super::received::{self, Received};
use crate::protocol::check::{self, MessageLimits};
use crate::protocol::control::{self, Action, Control, DenyReason};
use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream;
use futures_sink::Sink;
use redis::{
    AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisResult, ServerErrorKind, Value,
};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What was asked of Redis, to be known when it answers.
enum Asked {
    Publish(crate::Topic),
    Subscribe(ByteString),
    Unsubscribe,
    Ping,
}

/// Messages that are taken before answers have their turn, however many more there are.
const TURN: usize = 64;

const PUBLISHING: usize = 0;
const SUBSCRIBING: usize = 1;

/// Of a control event of our own link.
const OWN: MessageLimits = MessageLimits { max_message: usize::MAX, max_depth: 64 };

/// Connected: one connection to publish on, one that subscribes.
pub(super) struct RedisSocket {
    prefix: Arc<str>,
    publishing: Lane<Asked>,
    subscribing: Lane<Asked>,
    received: Received,
    /// What Redis has said, in a hub's words, each with its place among what was received.
    answers: VecDeque<(u64, ByteString)>,
    /// Answers to the link's pings, each due when both connections have answered theirs.
    pongs: VecDeque<String>,
    /// Pings that each connection has answered of those that `pongs` is for.
    pinged: [usize; 2],
    limits: (usize, usize),
    /// Which connection has brought something since both were found alive last, and whether that is to be told.
    heard: [bool; 2],
    alive: bool,
    /// What was received since answers were looked at.
    taken: usize,
    /// Writing waits for an answer, which reading may be the one to take.
    waits: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing more is sent; what was sent is to be answered.
    Closing,
    Closed,
}

impl RedisSocket {
    pub(super) async fn open(
        publish: &Client,
        subscribe: &Client,
        options: &RedisOptions,
    ) -> RedisResult<Self> {
        let (receiving, received) = received::queue(options.max_received, options.max_received_bytes);
        // Our own supervisor knows how long to wait, and for what.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                receiving.push(push);
                Ok::<(), Infallible>(())
            });
        let (publish, subscribe) = (resp3(publish)?, resp3(subscribe)?);
        let (publishing, subscribing) = tokio::try_join!(
            publish.get_multiplexed_async_connection_with_config(&config),
            subscribe.get_multiplexed_async_connection_with_config(&config),
        )?;
        Ok(Self {
            prefix: options.prefix.as_str().into(),
            publishing: Lane::new(publishing),
            subscribing: Lane::new(subscribing),
            received,
            answers: VecDeque::new(),
            pongs: VecDeque::new(),
            pinged: [0; 2],
            limits: (options.max_received, options.max_received_bytes),
            heard: [false; 2],
            alive: false,
            taken: 0,
            waits: false,
            stage: Stage::Open,
        })
    }

    fn under_way(&self) -> usize {
        self.publishing.under_way() + self.subscribing.under_way()
    }

    fn has_room(&self) -> bool {
        self.publishing.has_room() && self.subscribing.has_room()
    }

    /// Takes a control event of the link's.
    fn control(&mut self, text: &ByteString) {
        let parts = check::text_parts(text, &OWN);
        let Ok(Some(control)) =
            parts.as_ref().map_err(|_| ()).and_then(|parts| control::read(parts).map_err(|_| ()))
        else {
            return;
        };
        match control {
            Control::Subscribe(topic) => {
                let channel = [&*self.prefix, &topic].concat();
                let topic = ByteString::from(&*topic);
                self.subscribing.push("SUBSCRIBE", &[&channel], Asked::Subscribe(topic));
            }
            Control::Unsubscribe(topic) => {
                let channel = [&*self.prefix, &topic].concat();
                self.subscribing.push("UNSUBSCRIBE", &[&channel], Asked::Unsubscribe);
            }
            Control::Ping(echo) => {
                self.pongs.push_back(control::pong(echo));
                self.publishing.push("PING", &[], Asked::Ping);
                self.subscribing.push("PING", &[], Asked::Ping);
            }
            _ => {}
        }
    }

    /// Takes the answers that have come.
    fn advance(&mut self, context: &mut Context<'_>) -> Result<(), RedisSocketError> {
        self.taken = 0;
        while let Poll::Ready(answered) = self.publishing.poll(context) {
            self.answered(PUBLISHING, answered?);
        }
        while let Poll::Ready(answered) = self.subscribing.poll(context) {
            self.answered(SUBSCRIBING, answered?);
        }
        // One that owes nothing may be silent.
        let [publishing, subscribing] = self.heard;
        if (publishing || self.publishing.is_idle()) && (subscribing || self.subscribing.is_idle()) {
            self.alive |= publishing || subscribing;
            self.heard = [false; 2];
        }
        Ok(())
    }

    fn answered(&mut self, connection: usize, (asked, answers): (Vec<Asked>, Vec<Value>)) {
        self.heard[connection] = true;
        for (asked, answer) in asked.into_iter().zip(answers) {
            let denied = |error: &redis::ServerError| match error.kind() {
                Some(ServerErrorKind::NoPerm) => DenyReason::NotAllowed,
                _ => DenyReason::Broker,
            };
            let answer = match (asked, &answer) {
                (Asked::Publish(topic), Value::ServerError(error)) => {
                    tracing::debug!(%topic, %error, "Redis did not publish");
                    control::denied(topic.as_str(), Action::Publish, denied(error))
                }
                (Asked::Subscribe(topic), Value::ServerError(error)) => {
                    tracing::debug!(%topic, %error, "Redis did not subscribe");
                    control::denied(&topic, Action::Subscribe, denied(error))
                }
                (Asked::Ping, _) => match self.ponged(connection) {
                    Some(pong) => pong,
                    None => continue,
                },
                // A subscription that was made is told in its place among the messages.
                (Asked::Publish(_) | Asked::Subscribe(_) | Asked::Unsubscribe, _) => continue,
            };
            // All that Redis has sent before is received by now.
            self.answers.push_back((self.received.place(), answer.into()));
        }
    }

    /// This connection has answered its next ping; gives what that answers of the link's.
    fn ponged(&mut self, connection: usize) -> Option<String> {
        self.pinged[connection] += 1;
        if self.pinged.contains(&0) {
            return None;
        }
        self.pinged = self.pinged.map(|answered| answered - 1);
        self.pongs.pop_front()
    }

    /// What the client gave, as the link reads it; `None` where it is of no use.
    fn take(&mut self, push: PushInfo) -> Result<Option<RedisMessage>, RedisSocketError> {
        let mut data = push.data.into_iter();
        let (Some(Value::BulkString(channel)), payload) = (data.next(), data.next()) else {
            return match push.kind {
                PushKind::Disconnection => Err(RedisSocketError::Lost),
                _ => Ok(None),
            };
        };
        self.taken += 1;
        self.heard[SUBSCRIBING] = true;
        let topic = ByteString::try_from(Bytes::from(channel)).ok();
        let Some(topic) = topic.filter(|channel| channel.starts_with(&*self.prefix)) else {
            return Ok(None);
        };
        let topic = topic.slice_ref(&topic[self.prefix.len()..]);
        Ok(match (push.kind, payload) {
            (PushKind::Message, Some(Value::BulkString(text))) => {
                Some(RedisMessage::Published { topic, text: text.into() })
            }
            (PushKind::Subscribe, _) => Some(RedisMessage::Control(control::subscribed(&topic).into())),
            _ => None,
        })
    }
}

/// The same client, in the version of the protocol that tells messages from answers.
fn resp3(client: &Client) -> RedisResult<Client> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings))
}

impl Stream for RedisSocket {
    type Item = Result<RedisMessage, RedisSocketError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let received = &this.received;
            if let Some((_, answer)) = this.answers.pop_front_if(|(place, _)| received.has_reached(*place)) {
                return Poll::Ready(Some(Ok(RedisMessage::Control(answer))));
            }
            if this.taken >= TURN {
                this.advance(context)?;
            }
            if std::mem::take(&mut this.alive) {
                return Poll::Ready(Some(Ok(RedisMessage::Alive)));
            }
            match this.received.poll(context) {
                Poll::Ready(Some(push)) => match this.take(push) {
                    Ok(None) => continue,
                    Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if this.received.has_overflowed() {
                let (messages, bytes) = this.limits;
                return Poll::Ready(Some(Err(RedisSocketError::TooSlow { messages, bytes })));
            }
            let before = this.under_way();
            if let Err(error) = this.advance(context) {
                return Poll::Ready(Some(Err(error)));
            }
            if this.waits && this.under_way() < before {
                // Nobody else would tell the writer: the answers that it waits for are taken.
                this.waits = false;
                context.waker().wake_by_ref();
            }
            if !this.answers.is_empty() || this.alive {
                continue;
            }
            return match this.stage {
                Stage::Closing if this.publishing.is_idle() && this.subscribing.is_idle() => {
                    this.stage = Stage::Closed;
                    Poll::Ready(Some(Ok(RedisMessage::Closed)))
                }
                Stage::Closed => Poll::Ready(None),
                _ => Poll::Pending,
            };
        }
    }
}

impl Sink<RedisMessage> for RedisSocket {
    type Error = RedisSocketError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        if this.has_room() {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut *this).poll_flush(context))?;
        this.advance(context)?;
        this.waits = !this.has_room();
        if this.waits { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn start_send(self: Pin<&mut Self>, message: RedisMessage) -> Result<(), Self::Error> {
        let this = self.get_mut();
        match message {
            RedisMessage::Event { topic, text } => {
                let channel = [&*this.prefix, topic.as_str()].concat();
                this.publishing.push("PUBLISH", &[&channel, &text], Asked::Publish(topic));
            }
            RedisMessage::Control(text) => this.control(&text),
            RedisMessage::Close => this.stage = Stage::Closing,
            RedisMessage::Published { .. } | RedisMessage::Alive | RedisMessage::Closed => {}
        }
        Ok(())
    }

    /// All is with the client when this is ready; that Redis has it, is known by its answer.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        loop {
            this.publishing.start();
            this.subscribing.start();
            if !this.publishing.has_more() && !this.subscribing.has_more() {
                return Poll::Ready(Ok(()));
            }
            let before = this.under_way();
            this.advance(context)?;
            if this.under_way() == before {
                this.waits = true;
                return Poll::Pending;
            }
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().stage = Stage::Closing;
        let _ = context;
        Poll::Ready(Ok(()))
    }
}
