//! Topic to listeners: the one dispatch that every target uses.

use crate::caught::caught;
use crate::counts::Counts;
use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, ListenError, Listener, ListenerId, Notice, TargetError};
use crate::sync::AtomicBool;
use crate::topic::{self, Topic};
use hashbrown::HashMap;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use table::{Key, Table};

mod table;

/// The listeners of one target.
///
/// **Invariant:** no lock that anybody waits for is held while a listener runs, so that it may publish, add and remove
/// on its own target. A dispatch works on the list as it stood when it began (a listener added meanwhile does not hear
/// that event) and asks each entry before its call whether it was removed.
#[derive(Default)]
pub(crate) struct Listeners {
    table: Table,
    /// Set before the close notice, so that no call with an event begins after it.
    closed: AtomicBool,
    /// Events that had a listener, and calls.
    counts: Counts<2>,
    panicked: AtomicU64,
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
        let mut changes = self.table.lock();
        if let Some(reason) = &changes.closed {
            return Err(ListenError::Closed(reason.clone()));
        }
        let id = ListenerId::unique();
        let entry = Arc::new(Entry { id, removed: AtomicBool::new(false), listener });
        let name = self.table.list(&changes, name.into()).map_or_else(|| Arc::from(name), |(name, _)| name);
        let ((), replaced) = self.table.change(&mut changes, &name, |list| list.push(entry));
        changes.names.insert(id, name);
        drop(changes);
        self.counts.prepare();
        self.let_go_all(replaced);
        Ok(id)
    }

    /// Removes a listener; gives the name that it was added to.
    pub(crate) fn remove(&self, id: ListenerId) -> Option<Arc<str>> {
        let mut changes = self.table.lock();
        let name = changes.names.remove(&id)?;
        let (removed, replaced) = self.table.change(&mut changes, &name, |list| {
            let at = list.iter().position(|entry| entry.id == id)?;
            list[at].removed.store(true, Relaxed);
            Some(list.remove(at))
        });
        // What the listener owns may lock again when it is dropped.
        drop(changes);
        self.let_go_all(replaced);
        self.let_go_one(&name, removed?);
        Some(name)
    }

    pub(crate) fn is_heard(&self, topic: &str) -> bool {
        self.visit(topic.into(), |_| ()).is_some()
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.closed.load(Relaxed).then(|| self.table.lock().closed.clone()).flatten()
    }

    /// [`closed`](Self::closed), once every close notice was given and no listener is left.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        let changes = self.table.lock();
        changes.closed.clone().filter(|_| changes.ended)
    }

    /// Calls all listeners of the event's topic; gives how many there were. None once it is closed, although they
    /// are there until each has had its close notice: the notice is the last that they hear.
    pub(crate) fn dispatch(&self, event: &EventEnvelope) -> usize {
        let topic = event.topic();
        let called = self.visit(topic.into(), |list| {
            let goes_on = || !self.closed.load(Relaxed);
            if !goes_on() {
                return 0;
            }
            let calls = self.call(topic.as_str(), list, goes_on, |listener| listener.event(event));
            self.counts.add([1, calls]);
            list.len()
        });
        called.unwrap_or(0)
    }

    /// The listeners of `topic` (`None`: of all topics) as they are now.
    pub(crate) fn audience(&self, topic: Option<&str>) -> Audience {
        let changes = self.table.lock();
        Audience(match topic {
            Some(topic) => self.table.list(&changes, topic.into()).into_iter().collect(),
            None => {
                let mut lists = self.table.lists(&changes);
                lists.retain(|(name, _)| name.contains(':'));
                lists
            }
        })
    }

    /// Tells those who listen to the notice by name, and the listeners of `topic` (`None`: of all topics).
    pub(crate) fn notify(&self, topic: Option<&str>, notice: &Notice) {
        let audience = self.audience(topic);
        self.tell(&audience, notice);
        self.let_go_all(audience.0);
    }

    /// Tells an audience, and those who listen to the notice by name.
    pub(crate) fn tell(&self, audience: &Audience, notice: &Notice) {
        for (name, list) in &audience.0 {
            let calls = self.call(name, list, || true, |listener| listener.notice(notice));
            self.counts.add([0, calls]);
        }
        self.notify_named(notice);
    }

    /// Tells those who listen to the notice by name alone.
    pub(crate) fn notify_named(&self, notice: &Notice) {
        self.visit(notice.name().into(), |list| {
            let calls = self.call(notice.name(), list, || true, |listener| listener.notice(notice));
            self.counts.add([0, calls]);
        });
    }

    /// Ends it: everyone gets the close notice, once, and nobody can be added any more. Gives whether this call
    /// was the one that closed it.
    pub(crate) fn close(&self, reason: CloseReason) -> bool {
        {
            let mut changes = self.table.lock();
            if changes.closed.is_some() {
                return false;
            }
            changes.closed = Some(reason.clone());
            self.closed.store(true, Relaxed);
        }
        self.notify(None, &Notice::Close(reason));
        // Dropped outside of the lock, for the same reason as in `remove`.
        let (lists, replaced) = {
            let mut changes = self.table.lock();
            let lists = self.table.lists(&changes);
            changes.names = HashMap::default();
            (lists, self.table.clear(&mut changes))
        };
        for entry in lists.iter().flat_map(|(_, list)| list.iter()) {
            entry.removed.store(true, Relaxed);
        }
        self.let_go_all(replaced);
        self.let_go_all(lists);
        self.table.lock().ended = true;
        true
    }

    /// How many events had a listener.
    pub(crate) fn heard(&self) -> u64 {
        self.counts.read()[0]
    }

    pub(crate) fn count(&self, stats: &mut crate::Stats) {
        let changes = self.table.lock();
        stats.listeners += changes.names.len() as u64;
        let topics = self.table.lists(&changes);
        stats.topics += topics.iter().filter(|(name, _)| name.contains(':')).count() as u64;
        drop(changes);
        self.let_go_all(topics);
        stats.delivered += self.counts.read()[1];
        stats.panicked += self.panicked.load(Relaxed);
    }

    fn visit<R>(&self, key: Key<'_>, visit: impl FnOnce(&[Arc<Entry>]) -> R) -> Option<R> {
        self.table.visit(key, visit, |name, list| self.let_go(name, list))
    }

    /// Calls those who were not removed, one after the other; gives how many. One that panics is told of before the
    /// next one is called.
    fn call(
        &self,
        name: &str,
        list: &[Arc<Entry>],
        goes_on: impl Fn() -> bool,
        call: impl Fn(&dyn Listener),
    ) -> u64 {
        // Outside of what unwinds, which begins anew behind the one that panicked.
        let (next, passed_over) = (Cell::new(0), Cell::new(0));
        let run = || {
            let begin = next.get();
            for (at, entry) in list[begin..].iter().enumerate() {
                if entry.removed.load(Relaxed) || !goes_on() {
                    passed_over.set(passed_over.get() + 1);
                    continue;
                }
                next.set(begin + at + 1);
                call(&*entry.listener);
            }
        };
        while let Err(message) = caught(run) {
            self.report(name, &message);
        }
        list.len() as u64 - passed_over.get()
    }

    fn let_go_all(&self, lists: Vec<(Arc<str>, List)>) {
        for (name, list) in lists {
            self.let_go(&name, list);
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
        if let Err(message) = caught(|| drop(entry)) {
            self.report(name, &message);
        }
    }

    /// Counts a panic that somebody else tells of.
    pub(crate) fn count_panic(&self) {
        self.panicked.fetch_add(1, Relaxed);
    }

    /// Counts a panic and tells of it, as one of a listener to `name`. A panic of an `error` listener is counted and
    /// goes no further.
    #[cold]
    pub(crate) fn report(&self, name: &str, message: &str) {
        self.count_panic();
        if name != "error" {
            let error = TargetError::ListenerPanicked { name: name.into(), message: message.into() };
            self.notify_named(&Notice::Error(error));
        }
    }
}

impl<'t> From<&'t Topic> for Key<'t> {
    fn from(topic: &'t Topic) -> Self {
        Self { name: topic.as_str(), digest: topic.digest() }
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("count", &self.table.lock().names.len()).finish_non_exhaustive()
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

    #[test]
    fn what_a_listener_changes_counts_within_its_call_and_is_settled_behind_it() {
        let listeners = Arc::new(Listeners::default());
        let (owned, heard) = (Arc::new(()), Arc::new(Mutex::new(Vec::new())));
        let owns = owned.clone();
        let victim = listeners.add("a:b", Arc::new(move |_: &EventEnvelope| _ = &owns)).unwrap();
        let (target, log) = (Arc::downgrade(&listeners), heard.clone());
        let event = |id| EventEnvelope::without_payload("a", id).unwrap();
        let changing = move |_: &EventEnvelope| {
            let target = target.upgrade().unwrap();
            target.remove(victim);
            let new = target.add("a:new", Arc::new(|_: &EventEnvelope| ())).unwrap();
            let mut heard = log.lock().unwrap();
            heard.push(target.dispatch(&event("new")));
            target.remove(new);
            heard.push(target.dispatch(&event("new")));
        };
        listeners.add("a:b", Arc::new(changing)).unwrap();
        assert_eq!(listeners.dispatch(&event("b")), 2, "those there were when it began");
        assert_eq!(*heard.lock().unwrap(), [1, 0]);
        assert_eq!(Arc::strong_count(&owned), 1, "what was removed is dropped behind the calls");
        let mut stats = crate::Stats::default();
        listeners.count(&mut stats);
        assert_eq!((stats.listeners, stats.topics, stats.delivered), (1, 1, 3));
    }

    #[test]
    fn behind_one_that_panics_the_others_are_called_once() {
        let (listeners, heard) = (Listeners::default(), Arc::new(Mutex::new(Vec::new())));
        let mut ids = Vec::new();
        for number in 0..6 {
            let heard = heard.clone();
            let listener = move |_: &EventEnvelope| {
                heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(number);
                assert!(number % 2 == 0, "an odd one");
            };
            ids.push(listeners.add("a:b", Arc::new(listener)).unwrap());
        }
        listeners.remove(ids[2]);
        listeners.dispatch(&EventEnvelope::without_payload("a", "b").unwrap());
        assert_eq!(*heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner), [0, 1, 3, 4, 5]);
        let mut stats = crate::Stats::default();
        listeners.count(&mut stats);
        assert_eq!((stats.delivered, stats.panicked), (5, 3));
    }
}
