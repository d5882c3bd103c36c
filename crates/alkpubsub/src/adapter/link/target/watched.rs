//! How a broker behind the connection stands, for the hubs before it.

use super::{LinkTarget, Stage, State};
use crate::adapter::broker::{BrokerNews, WatchBroker};
use crate::event_target::ListenerId;
use crate::protocol::control::DenyReason;
use crate::protocol::link::Readiness;
use std::fmt;
use std::sync::Arc;

/// Who watches, and what they know.
#[derive(Default)]
pub(super) struct Watched {
    by: Vec<(ListenerId, Arc<dyn WatchBroker>)>,
    /// They were told that it is in.
    is_in: bool,
}

impl Watched {
    fn tell(&self, news: &BrokerNews) {
        self.by.iter().for_each(|(_, watch)| watch.told(news.clone()));
    }
}

impl State {
    /// To be called when a subscription was answered.
    pub(super) fn tell_answer(&mut self, topic: &str, answer: Result<(), DenyReason>) {
        if self.watched.by.is_empty() {
            return;
        }
        // While it is out, what is confirmed is so by the word that it is in.
        if self.watched.is_in || answer.is_err() {
            self.watched.tell(&BrokerNews::Answered { topic: topic.into(), answer });
        }
        self.tell_in();
    }

    /// To be called when something happened after which it may be in.
    pub(super) fn tell_in(&mut self) {
        if !self.watched.by.is_empty() && !self.watched.is_in && self.link.is_complete() {
            self.watched.is_in = true;
            self.watched.tell(&BrokerNews::In);
        }
    }

    /// To be called when the connection is over.
    pub(super) fn tell_out(&mut self) {
        if std::mem::take(&mut self.watched.is_in) {
            self.watched.tell(&BrokerNews::Out);
        }
    }
}

impl LinkTarget {
    /// See [`Broker::watch`](crate::adapter::broker::Broker::watch).
    pub(crate) fn watch(&self, watch: Arc<dyn WatchBroker>) -> ListenerId {
        let id = ListenerId::unique();
        let mut state = self.lock();
        if matches!(state.stage, Stage::Closed(_)) {
            return id;
        }
        if state.watched.is_in {
            watch.told(BrokerNews::In);
        }
        state.watched.by.push((id, watch));
        state.tell_in();
        id
    }

    pub(super) fn unwatch(&self, id: ListenerId) {
        let mut state = self.lock();
        let at = state.watched.by.iter().position(|(watch, _)| *watch == id);
        let removed = at.map(|at| state.watched.by.remove(at));
        if state.watched.by.is_empty() {
            state.watched.is_in = false;
        }
        drop(state);
        drop(removed);
    }

    /// See [`Broker::answer`](crate::adapter::broker::Broker::answer).
    pub(crate) fn answer(&self, topic: &str) -> Option<Result<(), DenyReason>> {
        let state = self.lock();
        match state.link.readiness(topic) {
            Some(Readiness::Denied(reason)) => Some(Err(reason)),
            None if state.watched.is_in => None,
            _ => Some(Ok(())),
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("by", &self.by.len()).field("is_in", &self.is_in).finish()
    }
}
