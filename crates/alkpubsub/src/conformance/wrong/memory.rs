//! A target in one memory, written again and naively, with one flaw at choice.

use super::MemoryFlaw as Flaw;
use crate::conformance::run::lock;
use crate::conformance::{Fixture, Peers};
use crate::event_target::{
    BoxFuture, Capabilities, CloseReason, DispatchError, EventTarget, ListenError, Listener, ListenerId,
    Notice, Readiness, TargetError,
};
use crate::stats::Stats;
use crate::topic::{check_type, split};
use crate::waiters::Waiters;
use crate::{EventEnvelope, InProcess};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Peers that share one such target.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryFixture(pub(super) Flaw);

impl Fixture for MemoryFixture {
    fn capabilities(&self) -> Capabilities {
        InProcess::new().capabilities()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let target: Arc<dyn EventTarget> = Arc::new(Memory { flaw: self.0, ..Memory::default() });
        Box::pin(std::future::ready(Ok(Peers::new(target.clone(), vec![target]))))
    }

    fn deadline(&self) -> Duration {
        super::deadline(self.0 == Flaw::None)
    }
}

#[derive(Default)]
struct Memory {
    flaw: Flaw,
    table: Mutex<Table>,
    /// Held while listeners are called, and by add and remove, where that is the flaw.
    gate: Mutex<()>,
    ended: Waiters,
    panicked: AtomicU64,
    /// Calls of listeners under way.
    running: AtomicU64,
    delivered: AtomicU64,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    added: u64,
    dispatched: u64,
    refused: u64,
    taken: u64,
    heard: u64,
    held: Option<EventEnvelope>,
    /// Dispatches in one another.
    depth: u64,
    nested: Vec<EventEnvelope>,
    closed: Option<CloseReason>,
    ended: bool,
}

#[derive(Clone)]
struct Entry {
    id: ListenerId,
    name: Arc<str>,
    listener: Arc<dyn Listener>,
    removed_by: Option<ThreadId>,
}

impl Memory {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn matches(&self, entry: &Entry, name: &str) -> bool {
        match self.flaw {
            Flaw::MatchesPrefix => name.starts_with(&*entry.name),
            Flaw::FoldsCase => name.eq_ignore_ascii_case(&entry.name),
            Flaw::Wildcards => {
                *entry.name == *name
                    || entry.name.strip_suffix('*').is_some_and(|start| name.starts_with(start))
            }
            _ => *entry.name == *name,
        }
    }

    fn entries(&self, name: &str) -> Vec<Entry> {
        let table = lock(&self.table);
        let mut found: Vec<_> =
            table.entries.iter().filter(|entry| self.matches(entry, name)).cloned().collect();
        if self.has(Flaw::CallsInReverse) {
            found.reverse();
        }
        found
    }

    fn is_there(&self, id: ListenerId) -> bool {
        let entry = |entry: &Entry| {
            entry.id == id && entry.removed_by.is_none_or(|remover| remover != thread::current().id())
        };
        lock(&self.table).entries.iter().any(entry)
    }

    /// Calls the listeners of that name, whatever they are to be called with.
    fn call(&self, name: &str, call: &dyn Fn(&dyn Listener)) {
        let _gate = self.has(Flaw::HoldsLock).then(|| lock(&self.gate));
        let mut entries = self.entries(name);
        let mut at = 0;
        while let Some(entry) = entries.get(at).cloned() {
            at += 1;
            if !self.has(Flaw::CallsRemovedInDispatch) && !self.is_there(entry.id) {
                continue;
            }
            self.running.fetch_add(1, SeqCst);
            self.delivered.fetch_add(1, SeqCst);
            let called = catch_unwind(AssertUnwindSafe(|| call(&*entry.listener)));
            self.running.fetch_sub(1, SeqCst);
            if let Err(panic) = called {
                self.panicked.fetch_add(1, SeqCst);
                if self.has(Flaw::PanicGoesThrough) {
                    resume_unwind(panic);
                }
                self.report(name, &crate::caught::message(panic));
                if self.has(Flaw::PanicStopsOthers) {
                    return;
                }
            }
            if self.has(Flaw::NewHearsEventUnderWay) {
                entries = self.entries(name);
            }
        }
    }

    fn report(&self, name: &str, message: &str) {
        let times = match self.flaw {
            Flaw::PanicNotTold => 0,
            Flaw::PanicToldTwice => 2,
            _ => 1,
        };
        for _ in 0..if name == "error" { 0 } else { times } {
            let error = TargetError::ListenerPanicked { name: name.into(), message: message.into() };
            self.call("error", &|listener| listener.notice(&Notice::Error(error.clone())));
        }
    }

    fn deliver(&self, event: &EventEnvelope) {
        let topic = event.topic();
        let heard = !self.entries(topic.as_str()).is_empty();
        lock(&self.table).heard += u64::from(heard);
        self.call(topic.as_str(), &|listener| listener.event(event));
    }

    /// What the target makes of an event before it delivers it.
    fn made_of(&self, event: EventEnvelope) -> EventEnvelope {
        let parsed = || event.payload_json().ok().flatten().and_then(|json| serde_json::from_str(json).ok());
        let made = match self.flaw {
            Flaw::Reencodes => parsed().and_then(|value: serde_json::Value| {
                EventEnvelope::new(event.event_type(), event.id(), &value).ok()
            }),
            Flaw::MissingBecomesNull if matches!(event.payload_json(), Ok(None)) => {
                EventEnvelope::new(event.event_type(), event.id(), &()).ok()
            }
            Flaw::EncodesAlways => event.to_json().ok().map(|_| event.clone()),
            Flaw::CopiesValue => event.to_json().ok().and_then(|text| EventEnvelope::parse(text).ok()),
            _ => None,
        };
        made.unwrap_or(event)
    }

    /// Which events are delivered now, in this order.
    fn due(&self, event: EventEnvelope) -> Vec<EventEnvelope> {
        let mut table = lock(&self.table);
        table.dispatched += 1;
        let number = table.dispatched;
        if let Some(held) = table.held.take() {
            return match self.flaw {
                Flaw::ReordersTopics if held.topic() == event.topic() => vec![held, event],
                _ => vec![event, held],
            };
        }
        match self.flaw {
            Flaw::Drops if number.is_multiple_of(7) => vec![],
            Flaw::Doubles if number.is_multiple_of(7) => vec![event.clone(), event],
            Flaw::Reorders | Flaw::ReordersTopics if number % 10 == 3 => {
                table.held = Some(event);
                vec![]
            }
            Flaw::DropsBacklog
                if number > 16 && event.payload().ok() != Some(crate::conformance::log::FENCE) =>
            {
                vec![]
            }
            Flaw::DropsLarge if event.weight() > 5000 => vec![],
            Flaw::DefersNested | Flaw::DefersNestedTwice
                if table.depth >= if self.has(Flaw::DefersNested) { 1 } else { 2 } =>
            {
                table.nested.push(event);
                vec![]
            }
            _ => vec![event],
        }
    }

    /// What a listener does when it is dropped is its own business.
    fn let_go(&self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let name = entry.name.clone();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(entry))) {
                if self.has(Flaw::DropPanicGoesThrough) {
                    resume_unwind(panic);
                }
                self.report(&name, &crate::caught::message(panic));
            }
        }
    }

    fn take(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        if !self.has(Flaw::TakesReserved) {
            check_type(event.event_type())?;
        }
        let (closed, ended) = {
            let table = lock(&self.table);
            (table.closed.clone(), table.ended)
        };
        if let Some(reason) = closed {
            match self.flaw {
                Flaw::TakesAfterClose => return Ok(()),
                Flaw::HeardWhileClosing if !ended => {}
                _ => return Err(DispatchError::Closed(reason)),
            }
        }
        if self.has(Flaw::UndecodableEnds) && event.payload::<u64>().is_err() {
            let end = Notice::Close(CloseReason::Closed);
            self.call(event.topic().as_str(), &|listener| listener.notice(&end));
        }
        let mut due = self.due(self.made_of(event));
        while !due.is_empty() {
            lock(&self.table).depth += 1;
            due.drain(..).for_each(|event| self.deliver(&event));
            let mut table = lock(&self.table);
            table.depth -= 1;
            due = std::mem::take(&mut table.nested);
        }
        Ok(())
    }

    fn end(&self) {
        let reason = CloseReason::Closed;
        if lock(&self.table).closed.replace(reason.clone()).is_some() && !self.has(Flaw::CloseToldTwice) {
            return;
        }
        if !self.has(Flaw::CloseNotTold) {
            let mut names: Vec<_> =
                lock(&self.table).entries.iter().map(|entry| entry.name.clone()).collect();
            names.retain(|name| name.contains(':'));
            names.push("close".into());
            names.dedup();
            for name in names {
                self.call(&name, &|listener| listener.notice(&Notice::Close(reason.clone())));
            }
        }
        if !self.has(Flaw::KeepsAfterClose) && !self.has(Flaw::CloseToldTwice) {
            let entries = std::mem::take(&mut lock(&self.table).entries);
            self.let_go(entries);
        }
        lock(&self.table).ended = true;
        self.ended.wake_all();
    }
}

impl EventTarget for Memory {
    fn capabilities(&self) -> Capabilities {
        InProcess::new().capabilities()
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        let gated = self.has(Flaw::HoldsLock) || self.has(Flaw::DropsUnderLock);
        let _gate = gated.then(|| lock(&self.gate));
        if !Notice::NAMES.contains(&name) && !self.has(Flaw::TakesAnyName) {
            split(name)?;
        }
        let mut table = lock(&self.table);
        if let Some(reason) = &table.closed
            && !self.has(Flaw::AddsAfterClose)
        {
            return Err(ListenError::Closed(reason.clone()));
        }
        let same = |entry: &&Entry| *entry.name == *name && Arc::ptr_eq(&entry.listener, &listener);
        if self.has(Flaw::MergesSameListener)
            && let Some(entry) = table.entries.iter().find(same)
        {
            return Ok(entry.id);
        }
        let id = ListenerId::unique();
        table.added += 1;
        table.entries.push(Entry { id, name: name.into(), listener, removed_by: None });
        Ok(id)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        let gated = self.has(Flaw::HoldsLock) || self.has(Flaw::DropsUnderLock);
        let _gate = gated.then(|| lock(&self.gate));
        let mut table = lock(&self.table);
        let found = table.entries.iter().position(|entry| entry.id == listener);
        let removed = match (found, self.flaw) {
            (_, Flaw::LeaksRemoved) => None,
            (Some(at), Flaw::RemovesForOneThread) => {
                table.entries[at].removed_by = Some(thread::current().id());
                None
            }
            (None, Flaw::UnknownRemovesNewest) => table.entries.pop(),
            (found, _) => found.map(|at| table.entries.remove(at)),
        };
        drop(table);
        self.let_go(removed);
        while self.has(Flaw::RemoveWaits) && self.running.load(SeqCst) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        let taken = self.take(event);
        let mut table = lock(&self.table);
        match &taken {
            Err(_) if !self.has(Flaw::CountsRefusedAsTaken) => table.refused += 1,
            _ => table.taken += 1,
        }
        taken
    }

    fn close(&self) {
        self.end();
    }

    fn ready<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Readiness> {
        let closed = lock(&self.table).closed.is_some();
        let readiness = match self.flaw {
            Flaw::NeverConfirms => Readiness::Unconfirmed,
            _ if closed => Readiness::Closed,
            _ => Readiness::Confirmed,
        };
        Box::pin(std::future::ready(readiness))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(self.ended.until(|| {
            let table = lock(&self.table);
            table.closed.clone().filter(|_| table.ended && !self.has(Flaw::NeverEnds))
        }))
    }

    fn stats(&self) -> Stats {
        let table = lock(&self.table);
        let names: std::collections::BTreeSet<_> = table.entries.iter().map(|entry| &entry.name).collect();
        Stats {
            listeners: if self.has(Flaw::CountsOnlyUp) { table.added } else { table.entries.len() as u64 },
            topics: names.iter().filter(|name| name.contains(':')).count() as u64,
            dispatched: table.taken,
            rejected: table.refused,
            received: table.heard,
            delivered: self.delivered.load(SeqCst),
            panicked: self.panicked.load(SeqCst),
            ..Stats::default()
        }
    }
}
