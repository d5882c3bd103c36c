//! How a broker behind the connection stands, for the hubs before it.

use super::{LinkTarget, Stage, State};
use crate::adapter::broker::{BrokerNews, Standing, WatchBroker};
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
    /// The last ping that one of them waits for.
    asked: u64,
}

impl Watched {
    fn tell(&self, news: &BrokerNews) {
        self.by.iter().for_each(|(_, watch)| watch.told(news.clone()));
    }
}

impl State {
    /// To be called when a subscription was denied.
    pub(super) fn tell_denied(&mut self, topic: &str, reason: DenyReason) {
        if !self.watched.by.is_empty() {
            self.watched.tell(&BrokerNews::Denied { topic: topic.into(), reason });
            self.tell_in();
        }
    }

    /// To be called when a ping was answered.
    pub(super) fn tell_pong(&mut self) {
        let answered = self.link.pongs();
        if self.watched.asked > 0 && self.watched.is_in {
            self.watched.tell(&BrokerNews::CaughtUp(answered));
            if answered >= self.watched.asked {
                self.watched.asked = 0;
            }
        }
    }

    /// To be called when something happened after which it may be in.
    pub(super) fn tell_in(&mut self) {
        // One that takes its leave takes no event any more.
        let open = matches!(self.stage, Stage::Open);
        if open && !self.watched.by.is_empty() && !self.watched.is_in && self.link.is_complete() {
            self.watched.is_in = true;
            self.watched.tell(&BrokerNews::In);
        }
    }

    /// To be called when the connection is over.
    pub(super) fn tell_out(&mut self) {
        self.watched.asked = 0;
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

    /// See [`Broker::is_in`](crate::adapter::broker::Broker::is_in).
    pub(crate) fn is_in(&self) -> bool {
        self.lock().watched.is_in
    }

    /// See [`Broker::standing`](crate::adapter::broker::Broker::standing).
    pub(crate) fn standing(&self, topic: &str) -> Standing {
        let state = self.lock();
        match state.link.readiness(topic) {
            Some(Readiness::Denied(_)) => Standing::Denied,
            _ if !state.watched.is_in => Standing::Out,
            None => Standing::Asked,
            Some(_) => Standing::Confirmed,
        }
    }

    /// See [`Broker::catch_up`](crate::adapter::broker::Broker::catch_up).
    pub(crate) fn catch_up(&self) -> Option<u64> {
        if !self.lock().watched.is_in {
            return None;
        }
        let number = self.send_ping().ok()?;
        let mut state = self.lock();
        // The answer may be there by now: then it was not told.
        if state.watched.is_in && state.link.ponged(number) {
            state.watched.tell(&BrokerNews::CaughtUp(number));
        } else {
            state.watched.asked = state.watched.asked.max(number);
        }
        Some(number)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("by", &self.by.len()).field("is_in", &self.is_in).finish()
    }
}
