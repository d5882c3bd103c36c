//! What everybody in the soak shares: topics, the ledger, the verdict and the last operations.

use crate::ear::Heard;
use crate::ledger::{Ledger, Source, TopicNumber};
use alkpubsub::EventEnvelope;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What is special about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Subscriptions are denied for a while, now and then.
    Fickle,
    /// Whatever is published on it is denied.
    Mute,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) event_type: &'static str,
    pub(crate) id: String,
    pub(crate) kind: Kind,
}

impl Topic {
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.event_type, self.id)
    }
}

pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) topics: Vec<Topic>,
    failure: watch::Sender<Option<String>>,
    history: Mutex<VecDeque<String>>,
}

/// Operations that are remembered.
const HISTORY: usize = 20_000;
/// Of these, what a failure shows.
const SHOWN: usize = 40;

impl World {
    pub(crate) fn new(topics: Vec<Topic>, ledger: Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self { ledger, topics, failure: watch::Sender::new(None), history: Mutex::default() })
    }

    /// Remembers an operation of `who`.
    pub(crate) fn did(&self, who: &str, what: std::fmt::Arguments<'_>) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(format!("{who}: {what}"));
    }

    /// Something is not as it must be. The first that says so is heard.
    pub(crate) fn fail(&self, who: &str, topic: Option<TopicNumber>, why: &str) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| self.report(who, topic, why));
            first
        });
    }

    fn report(&self, who: &str, topic: Option<TopicNumber>, why: &str) -> String {
        let name = topic.map(|topic| self.topics[topic].name());
        let (person, on) = (format!("{who}: "), name.as_ref().map(|name| format!(" {name} ")));
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let concerns = |line: &&String| {
            line.starts_with(&person)
                || line.starts_with("all: ")
                || on.as_ref().is_some_and(|on| line.contains(on.as_str()))
        };
        let mut last: Vec<&str> =
            history.iter().rev().filter(concerns).take(SHOWN).map(String::as_str).collect();
        last.reverse();
        let name = name.unwrap_or_else(|| "-".into());
        format!("{who}, topic {name}: {why}\nthe last operations that concern it:\n  {}", last.join("\n  "))
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Resolves when something is not as it must be.
    pub(crate) async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the world ended".into(),
        }
    }

    /// An event with its source, its number and bytes that can be checked.
    pub(crate) fn event(
        &self,
        topic: TopicNumber,
        source: Source,
        number: u64,
        bytes: usize,
    ) -> EventEnvelope {
        let Topic { event_type, id, .. } = &self.topics[topic];
        let payload = (source.publisher, source.life, number, filling(number).repeat(bytes));
        EventEnvelope::new(event_type, id, &payload).expect("a topic and JSON")
    }

    /// What an event says; an error if it is none of ours, or of another topic.
    pub(crate) fn read(&self, topic: TopicNumber, event: &EventEnvelope) -> Result<Heard, String> {
        let Topic { event_type, id, .. } = &self.topics[topic];
        if (event.event_type(), event.id()) != (*event_type, id.as_str()) {
            return Err(format!("an event of another topic: {event:?}"));
        }
        let payload: (u64, u64, u64, String) = event.payload().map_err(|error| error.to_string())?;
        let (publisher, life, number, rest) = payload;
        if !rest.bytes().all(|byte| filling(number).as_bytes() == [byte]) {
            return Err(format!("event {number} of {publisher} holds what was not sent"));
        }
        Ok(Heard::Event(Source { publisher, life }, number))
    }
}

fn filling(number: u64) -> &'static str {
    ["a", "b", "c", "d", "e", "f", "g"][(number % 7) as usize]
}
