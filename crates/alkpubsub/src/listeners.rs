//! Topic to listeners: the one dispatch that every target uses.

use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, ListenError, Listener, ListenerId, Notice, TargetError};
use crate::sync::{AtomicBool, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::topic;
use hashbrown::HashMap;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

/// The listeners of one target.
///
/// **Invariant:** no lock is held while a listener runs, so that it may publish, add and remove on its own target.
/// A dispatch works on the list as it stood when it began (a listener added meanwhile does not hear that event)
/// and asks each entry before its call whether it was removed.
#[derive(Default)]
pub(crate) struct Listeners {
    table: RwLock<Table>,
    /// Set before the close notice, so that no call with an event begins after it.
    ended: AtomicBool,
    delivered: AtomicU64,
    panicked: AtomicU64,
}

#[derive(Default)]
struct Table {
    /// By topic, and by notice name: a name without `:` cannot be a topic.
    by_name: HashMap<Arc<str>, List>,
    names: HashMap<ListenerId, Arc<str>>,
    closed: Option<CloseReason>,
    /// Closed, and every close notice was given.
    ended: bool,
}

/// The listeners that a notice is for, as they were when it was known. Whoever is added afterwards is not told.
pub(crate) struct Audience(Vec<(Arc<str>, List)>);

/// Shared with the dispatches under way; a change copies it only then.
type List = Arc<Vec<Arc<Entry>>>;

struct Entry {
    id: ListenerId,
    removed: AtomicBool,
    listener: Arc<dyn Listener>,
}

impl Listeners {
    pub(crate) fn add(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        if !Notice::NAMES.contains(&name) {
            topic::split(name)?;
        }
        let mut table = self.write();
        if let Some(reason) = &table.closed {
            return Err(ListenError::Closed(reason.clone()));
        }
        let id = ListenerId::unique();
        let name = match table.by_name.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => Arc::from(name),
        };
        let list = table.by_name.entry(name.clone()).or_default();
        Arc::make_mut(list).push(Arc::new(Entry { id, removed: AtomicBool::new(false), listener }));
        table.names.insert(id, name);
        Ok(id)
    }

    /// Removes a listener; gives the name that it was added to.
    pub(crate) fn remove(&self, id: ListenerId) -> Option<Arc<str>> {
        let mut table = self.write();
        let name = table.names.remove(&id)?;
        let list = table.by_name.get_mut(&name)?;
        let at = list.iter().position(|entry| entry.id == id)?;
        list[at].removed.store(true, Relaxed);
        let removed = Arc::make_mut(list).remove(at);
        if list.is_empty() {
            table.by_name.remove(&name);
        }
        // What the listener owns may lock again when it is dropped.
        drop(table);
        self.let_go_one(&name, removed);
        Some(name)
    }

    pub(crate) fn is_heard(&self, topic: &str) -> bool {
        self.read().by_name.contains_key(topic)
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.read().closed.clone()
    }

    /// [`closed`](Self::closed), once every close notice was given and no listener is left.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        let table = self.read();
        table.closed.clone().filter(|_| table.ended)
    }

    /// Calls all listeners of the event's topic; gives how many there were. None once it is closed, although they
    /// are there until each has had its close notice: the notice is the last that they hear.
    pub(crate) fn dispatch(&self, event: &EventEnvelope) -> usize {
        let list = {
            let table = self.read();
            let open = table.closed.is_none();
            open.then(|| table.by_name.get(event.topic().as_str()).cloned()).flatten()
        };
        let Some(list) = list else {
            return 0;
        };
        let (called, goes_on) = (list.len(), || !self.ended.load(Relaxed));
        self.call(event.topic().as_str(), &list, goes_on, |listener| listener.event(event));
        self.let_go(event.topic().as_str(), list);
        called
    }

    /// The listeners of `topic` (`None`: of all topics) as they are now.
    pub(crate) fn audience(&self, topic: Option<&str>) -> Audience {
        Audience(match topic {
            Some(topic) => self.list(topic).map(|list| (Arc::from(topic), list)).into_iter().collect(),
            None => self.topics(),
        })
    }

    /// Tells those who listen to the notice by name, and the listeners of `topic` (`None`: of all topics).
    pub(crate) fn notify(&self, topic: Option<&str>, notice: &Notice) {
        let audience = self.audience(topic);
        self.tell(&audience, notice);
        for (name, list) in audience.0 {
            self.let_go(&name, list);
        }
    }

    /// Tells an audience, and those who listen to the notice by name.
    pub(crate) fn tell(&self, audience: &Audience, notice: &Notice) {
        for (name, list) in &audience.0 {
            self.call(name, list, || true, |listener| listener.notice(notice));
        }
        self.notify_named(notice);
    }

    /// Tells those who listen to the notice by name alone.
    pub(crate) fn notify_named(&self, notice: &Notice) {
        if let Some(list) = self.list(notice.name()) {
            self.call(notice.name(), &list, || true, |listener| listener.notice(notice));
            self.let_go(notice.name(), list);
        }
    }

    /// Ends it: everyone gets the close notice, once, and nobody can be added any more. Gives whether this call
    /// was the one that closed it.
    pub(crate) fn close(&self, reason: CloseReason) -> bool {
        {
            let mut table = self.write();
            if table.closed.is_some() {
                return false;
            }
            table.closed = Some(reason.clone());
        }
        self.ended.store(true, Relaxed);
        self.notify(None, &Notice::Close(reason));
        // Dropped outside of the lock, for the same reason as in `remove`.
        let (by_name, names) = {
            let mut table = self.write();
            (std::mem::take(&mut table.by_name), std::mem::take(&mut table.names))
        };
        for entry in by_name.values().flat_map(|list| list.iter()) {
            entry.removed.store(true, Relaxed);
        }
        drop(names);
        for (name, list) in by_name {
            self.let_go(&name, list);
        }
        self.write().ended = true;
        true
    }

    pub(crate) fn count(&self, stats: &mut crate::Stats) {
        let table = self.read();
        stats.listeners += table.names.len() as u64;
        stats.topics += table.by_name.keys().filter(|name| name.contains(':')).count() as u64;
        stats.delivered += self.delivered.load(Relaxed);
        stats.panicked += self.panicked.load(Relaxed);
    }

    fn call(
        &self,
        name: &str,
        list: &[Arc<Entry>],
        goes_on: impl Fn() -> bool,
        call: impl Fn(&dyn Listener),
    ) {
        for entry in list {
            if entry.removed.load(Relaxed) || !goes_on() {
                continue;
            }
            self.delivered.fetch_add(1, Relaxed);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&*entry.listener))) {
                self.report(name, &*panic);
            }
        }
    }

    /// Drops what may be the last reference to listeners that were removed: what they own is the program's, and may
    /// panic like the listener itself.
    fn let_go(&self, name: &str, list: List) {
        for entry in Arc::into_inner(list).into_iter().flatten() {
            self.let_go_one(name, entry);
        }
    }

    fn let_go_one(&self, name: &str, entry: Arc<Entry>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(entry))) {
            self.report(name, &*panic);
        }
    }

    /// Counts a panic that somebody else tells of.
    pub(crate) fn count_panic(&self) {
        self.panicked.fetch_add(1, Relaxed);
    }

    /// Counts a panic and tells of it, as one of a listener to `name`. A panic of an `error` listener is counted and
    /// goes no further.
    #[cold]
    pub(crate) fn report(&self, name: &str, panic: &(dyn Any + Send)) {
        self.count_panic();
        if name != "error" {
            let error =
                TargetError::ListenerPanicked { name: name.into(), message: panic_message(panic).into() };
            self.notify_named(&Notice::Error(error));
        }
    }

    fn list(&self, name: &str) -> Option<List> {
        self.read().by_name.get(name).cloned()
    }

    fn topics(&self) -> Vec<(Arc<str>, List)> {
        let table = self.read();
        let topics = table.by_name.iter().filter(|(name, _)| name.contains(':'));
        topics.map(|(name, list)| (name.clone(), list.clone())).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("count", &self.read().names.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, alkpubsub_loom))]
mod loom_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_target::on_notice;
    use std::sync::Mutex;

    #[test]
    fn a_listener_that_closes_keeps_the_event_from_those_after_it() {
        let listeners = Arc::new(Listeners::default());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let say = |what: &'static str| {
            let heard = heard.clone();
            move || heard.lock().unwrap().push(what)
        };
        let (first, closing) = (say("first"), Arc::downgrade(&listeners));
        let first = move |_: &EventEnvelope| {
            first();
            closing.upgrade().unwrap().close(CloseReason::Closed);
        };
        let (second, closed) = (say("second"), say("close"));
        listeners.add("a:b", Arc::new(first)).unwrap();
        listeners.add("a:b", Arc::new(move |_: &EventEnvelope| second())).unwrap();
        listeners.add("close", Arc::new(on_notice(move |_| closed()))).unwrap();
        listeners.dispatch(&EventEnvelope::without_payload("a", "b").unwrap());
        assert_eq!(*heard.lock().unwrap(), ["first", "close"], "nothing comes after the close notice");
    }

    #[test]
    fn an_audience_is_told_as_it_was_less_those_who_left() {
        let listeners = Listeners::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let add = |name: &'static str| {
            let told = told.clone();
            let listener = on_notice(move |_| told.lock().unwrap().push(name));
            listeners.add("a:b", Arc::new(listener)).unwrap()
        };
        let (_stays, leaves) = (add("stays"), add("leaves"));
        let audience = listeners.audience(Some("a:b"));
        listeners.remove(leaves);
        add("comes later");
        listeners.tell(&audience, &Notice::Close(CloseReason::Closed));
        assert_eq!(*told.lock().unwrap(), ["stays"]);
    }
}
