//! A target with a broker behind it, whose every step is the test's: events wait until they are let through.

use alkpubsub::{
    Action, BoxFuture, Capabilities, Carries, CloseReason, DenyReason, DispatchError, EventEnvelope,
    EventTarget, GapReason, Lifetime, ListenError, Listener, ListenerId, Notice, Order, Readiness, Stats,
    Topic,
};
use std::collections::{HashSet, VecDeque};
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// It echoes, as Redis does.
#[derive(Clone, Default)]
pub(crate) struct Broker(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    listeners: Vec<Listening>,
    /// How many subscriptions came into place.
    subscribed: usize,
    /// What was published and has not come back.
    on_its_way: VecDeque<Passing>,
    /// How many may be on their way before a dispatch finds it full; 0 for any number.
    room: usize,
    waiting_for_room: Vec<Waker>,
    is_down: bool,
    denies: bool,
    /// Subscriptions are not even on their way.
    holds_subscriptions: bool,
    /// What comes from somebody else in the middle of the next dispatch, which is refused then.
    comes_between: Option<String>,
}

#[derive(Clone)]
struct Listening {
    id: ListenerId,
    name: String,
    listener: Arc<dyn Listener>,
    /// Whether the broker knows of it; before, nothing comes.
    in_place: bool,
}

enum Passing {
    Subscribe(ListenerId),
    /// And whether somebody else published it.
    Event(String, bool),
    Gap,
}

impl Broker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn with_room(room: usize) -> Self {
        let broker = Self::default();
        broker.lock().room = room;
        broker
    }

    /// Somebody else publishes.
    pub(crate) fn publish(&self, text: &str) {
        self.lock().on_its_way.push_back(Passing::Event(text.into(), true));
    }

    pub(crate) fn on_its_way(&self) -> usize {
        self.lock().on_its_way.len()
    }

    /// Lets the next one through; gives its text, where somebody else published it.
    pub(crate) fn deliver(&self) -> Option<String> {
        let passing = self.lock().on_its_way.pop_front();
        let by_others = match passing? {
            Passing::Event(text, by_others) => {
                let event = EventEnvelope::parse(text.clone()).unwrap();
                self.call(event.topic().as_str(), |listener| listener.event(&event));
                by_others.then_some(text)
            }
            Passing::Subscribe(id) => {
                let state = &mut *self.lock();
                if let Some(listening) = state.listeners.iter_mut().find(|listening| listening.id == id) {
                    listening.in_place = true;
                    state.subscribed += 1;
                }
                None
            }
            Passing::Gap => {
                for topic in self.topics() {
                    let (missed, reason) = (None, GapReason::Disconnected);
                    let notice = Notice::Gap { topic: Some(topic.clone()), missed, reason };
                    self.call(topic.as_str(), |listener| listener.notice(&notice));
                }
                None
            }
        };
        let waiting = std::mem::take(&mut self.lock().waiting_for_room);
        waiting.into_iter().for_each(Waker::wake);
        by_others
    }

    /// Lets all through.
    pub(crate) fn deliver_all(&self) {
        while self.on_its_way() > 0 {
            self.deliver();
        }
    }

    /// Of what is on its way this is lost, and a gap is told at this place of the rest.
    pub(crate) fn lose(&self, lost: std::ops::Range<usize>, gap: usize) {
        let on_its_way = &mut self.lock().on_its_way;
        let mut places = 0..;
        on_its_way.retain(|passing| {
            let is_lost = places.next().is_some_and(|place| lost.contains(&place));
            !is_lost || !matches!(passing, Passing::Event(..))
        });
        on_its_way.insert(gap.min(on_its_way.len()), Passing::Gap);
    }

    /// Without a connection, or with one again.
    pub(crate) fn be_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// From now on nothing that is published through this target is taken.
    pub(crate) fn deny(&self) {
        self.lock().denies = true;
    }

    /// Subscriptions are overtaken by what is published, as on a connection of their own, until they are let go.
    pub(crate) fn hold_subscriptions(&self) {
        self.lock().holds_subscriptions = true;
    }

    pub(crate) fn let_subscriptions_go(&self) {
        let state = &mut *self.lock();
        state.holds_subscriptions = false;
        let held = state.listeners.iter().filter(|listening| !listening.in_place);
        state.on_its_way.extend(held.map(|listening| Passing::Subscribe(listening.id)));
    }

    /// In the middle of the next dispatch comes an event of somebody else; then it is refused.
    pub(crate) fn refuse_behind(&self, text: &str) {
        self.lock().comes_between = Some(text.into());
    }

    /// The topics that are listened to are denied from now on.
    pub(crate) fn revoke(&self) {
        for topic in self.topics() {
            let (action, reason) = (Action::Subscribe, DenyReason::NotAllowed);
            let notice = Notice::Denied { topic: topic.as_str().into(), action, reason };
            self.call(topic.as_str(), |listener| listener.notice(&notice));
        }
    }

    /// So many events of a topic, or of all, are missing here.
    pub(crate) fn miss(&self, topic: Option<Topic>, missed: u64) {
        let notice = Notice::Gap { topic, missed: Some(missed), reason: GapReason::Slow };
        self.topics().iter().for_each(|topic| self.call(topic.as_str(), |listener| listener.notice(&notice)));
    }

    fn topics(&self) -> HashSet<Topic> {
        let state = self.lock();
        state.listeners.iter().filter_map(|listening| Topic::parse(&listening.name).ok()).collect()
    }

    pub(crate) fn close_with(&self, reason: CloseReason) {
        self.call("close", |listener| listener.notice(&Notice::Close(reason.clone())));
    }

    /// How many subscriptions came into place that were not there at once.
    pub(crate) fn subscribed(&self) -> usize {
        self.lock().subscribed
    }

    pub(crate) fn listeners(&self) -> usize {
        self.lock().listeners.len()
    }

    fn call(&self, name: &str, call: impl Fn(&dyn Listener)) {
        let mut listeners = self.lock().listeners.clone();
        listeners.retain(|listening| listening.in_place && listening.name == name);
        listeners.iter().for_each(|listening| call(&*listening.listener));
    }
}

impl EventTarget for Broker {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::Outlives,
            confirms: true,
        }
    }

    fn add_event_listener(&self, name: &str, listener: Arc<dyn Listener>) -> Result<ListenerId, ListenError> {
        let limit = 20;
        if name.len() > limit {
            return Err(ListenError::TopicTooLong { limit });
        }
        let (id, name) = (ListenerId::unique(), name.to_owned());
        let mut state = self.lock();
        let held = state.holds_subscriptions;
        let in_place = !name.contains(':') || (state.on_its_way.is_empty() && !held);
        state.listeners.push(Listening { id, name, listener, in_place });
        if !in_place && !held {
            state.on_its_way.push_back(Passing::Subscribe(id));
        }
        Ok(id)
    }

    fn remove_event_listener(&self, listener: ListenerId) {
        self.lock().listeners.retain(|listening| listening.id != listener);
    }

    fn dispatch_event(&self, event: EventEnvelope) -> Result<(), DispatchError> {
        let text = event.to_json()?.to_owned();
        let comes_between = self.lock().comes_between.take();
        if let Some(text) = comes_between {
            let other = EventEnvelope::parse(text).unwrap();
            self.call(other.topic().as_str(), |listener| listener.event(&other));
            return Err(DispatchError::Disconnected);
        }
        {
            let mut state = self.lock();
            if state.is_down {
                return Err(DispatchError::Disconnected);
            }
            if state.room > 0 && state.on_its_way.len() >= state.room {
                return Err(DispatchError::Full);
            }
            if !state.denies {
                state.on_its_way.push_back(Passing::Event(text, false));
                return Ok(());
            }
        }
        let (topic, action, reason) = (event.topic(), Action::Publish, DenyReason::NotAllowed);
        let notice = Notice::Denied { topic: topic.as_str().into(), action, reason };
        self.call(topic.as_str(), |listener| listener.notice(&notice));
        Ok(())
    }

    fn close(&self) {
        self.close_with(CloseReason::Closed);
    }

    fn ready<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Readiness> {
        let denied = topic.starts_with("denied:");
        Box::pin(poll_fn(move |_| match denied {
            true => Poll::Ready(Readiness::Denied(DenyReason::NotAllowed)),
            false => {
                let of = |listening: &&Listening| listening.name == topic;
                let in_place = self.lock().listeners.iter().filter(of).all(|listening| listening.in_place);
                if in_place { Poll::Ready(Readiness::Confirmed) } else { Poll::Pending }
            }
        }))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(poll_fn(|context| {
            let mut state = self.lock();
            if state.on_its_way.len() < state.room {
                return Poll::Ready(());
            }
            state.waiting_for_room.push(context.waker().clone());
            Poll::Pending
        }))
    }

    fn closed(&self) -> BoxFuture<'_, CloseReason> {
        Box::pin(pending())
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}
