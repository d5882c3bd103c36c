//! The topics of a bridge, and the listeners for them on its sides.

use super::ear::{Ear, TopicEar};
use super::notice::{BridgeError, Side};
use crate::event_target::{EventTarget, ListenerId};
use crate::sync::{Mutex, MutexGuard};
use crate::topic::Topic;
use hashbrown::HashMap;
use std::sync::{Arc, PoisonError};

/// A side, as far as the bridge listens there.
pub(super) struct Bank {
    pub(super) side: Side,
    pub(super) target: Arc<dyn EventTarget>,
    pub(super) ear: Arc<Ear>,
}

/// Which topics are carried, how many times each was added, and the listeners for it.
///
/// No lock is held while a target is called, which may call listeners of the program. Whoever finds a topic being changed
/// leaves the rest to the one that changes it, who looks again when it is done.
#[derive(Default)]
pub(super) struct Topics {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    topics: HashMap<Topic, Carried>,
    ended: bool,
}

#[derive(Default)]
struct Carried {
    users: usize,
    listeners: Option<Vec<(Side, ListenerId)>>,
    changing: bool,
}

enum Step {
    Listen,
    Leave(Vec<(Side, ListenerId)>),
    Nothing,
}

impl Topics {
    /// Carries a topic once more.
    pub(super) fn add(&self, topic: Topic, banks: &[&Bank]) -> Result<(), BridgeError> {
        self.lock().topics.entry(topic.clone()).or_default().users += 1;
        self.settle(&topic, banks)
    }

    /// Carries it once less.
    pub(super) fn remove(&self, topic: &Topic, banks: &[&Bank]) {
        if let Some(carried) = self.lock().topics.get_mut(topic) {
            carried.users = carried.users.saturating_sub(1);
        }
        // Listeners are removed, and that does not fail.
        _ = self.settle(topic, banks);
    }

    pub(super) fn carries(&self, topic: &Topic) -> bool {
        self.lock().topics.get(topic).is_some_and(|carried| carried.users > 0)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().topics.len()
    }

    /// Carries nothing from here on.
    pub(super) fn end(&self, banks: &[&Bank]) {
        let topics: Vec<_> = {
            let mut table = self.lock();
            table.ended = true;
            table.topics.keys().cloned().collect()
        };
        for topic in topics {
            _ = self.settle(&topic, banks);
        }
    }

    /// Brings the listeners in line with the number of users.
    fn settle(&self, topic: &Topic, banks: &[&Bank]) -> Result<(), BridgeError> {
        loop {
            match self.step(topic) {
                Step::Nothing => return Ok(()),
                Step::Leave(listeners) => {
                    leave(topic, listeners, banks);
                    self.changed(topic, None);
                }
                Step::Listen => match listen(topic, banks) {
                    Ok(listeners) => self.changed(topic, Some(listeners)),
                    Err(error) => {
                        self.lock().topics.remove(topic);
                        return Err(error);
                    }
                },
            }
        }
    }

    fn step(&self, topic: &Topic) -> Step {
        let mut table = self.lock();
        let ended = table.ended;
        let Some(carried) = table.topics.get_mut(topic).filter(|carried| !carried.changing) else {
            return Step::Nothing;
        };
        match (carried.users > 0 && !ended, carried.listeners.take()) {
            (true, None) => {
                carried.changing = true;
                Step::Listen
            }
            (false, Some(listeners)) => {
                carried.changing = true;
                Step::Leave(listeners)
            }
            (true, listeners) => {
                carried.listeners = listeners;
                Step::Nothing
            }
            (false, None) => {
                table.topics.remove(topic);
                Step::Nothing
            }
        }
    }

    fn changed(&self, topic: &Topic, listeners: Option<Vec<(Side, ListenerId)>>) {
        if let Some(carried) = self.lock().topics.get_mut(topic) {
            carried.changing = false;
            carried.listeners = listeners;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens on each of them, or on none.
fn listen(topic: &Topic, banks: &[&Bank]) -> Result<Vec<(Side, ListenerId)>, BridgeError> {
    let mut listeners = Vec::with_capacity(banks.len());
    for bank in banks {
        bank.ear.listen(topic);
        let ear = TopicEar { ear: bank.ear.clone(), topic: topic.clone() };
        match bank.target.add_event_listener(topic.as_str(), Arc::new(ear)) {
            Ok(listener) => listeners.push((bank.side, listener)),
            Err(error) => {
                bank.ear.forget(topic);
                leave(topic, listeners, banks);
                return Err(BridgeError::Listen { side: bank.side, error });
            }
        }
    }
    Ok(listeners)
}

fn leave(topic: &Topic, listeners: Vec<(Side, ListenerId)>, banks: &[&Bank]) {
    for (side, listener) in listeners {
        for bank in banks.iter().filter(|bank| bank.side == side) {
            bank.target.remove_event_listener(listener);
            bank.ear.forget(topic);
        }
    }
}
