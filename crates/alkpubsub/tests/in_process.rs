//! The in-process target from outside, where the laws of the conformance suite do not look.

use alkpubsub::{Event, EventEnvelope, EventTarget, InProcess, Item, PubSub};
use serde::{Deserialize, Serialize, Serializer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};

/// Counts the allocations of each thread by itself, because tests run beside each other.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// Safety: every call goes to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Nothing in-process has to be waited for but an event that was not published yet.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("in-process this is ready at once"),
    }
}

/// Counts how often its JSON was made.
#[derive(Deserialize)]
struct Counted {
    #[serde(skip)]
    encoded: AtomicUsize,
    number: u64,
}

impl Counted {
    fn new(number: u64) -> Arc<Self> {
        Arc::new(Self { encoded: AtomicUsize::new(0), number })
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.fetch_add(1, Relaxed);
        serde_json::json!({ "number": self.number }).serialize(serializer)
    }
}

impl Event for Counted {
    const TYPE: &'static str = "counted";
}

/// Another Rust type of the same event type, as another crate may have it.
#[derive(Serialize, Deserialize)]
struct Other {
    number: u64,
}

impl Event for Other {
    const TYPE: &'static str = Counted::TYPE;
}

#[test]
fn a_typed_payload_is_shared_with_listeners_of_its_type() {
    let pubsub = PubSub::in_process();
    let mut one = now(pubsub.subscribe::<Counted>("1")).unwrap();
    let mut two = now(pubsub.subscribe::<Counted>("1")).unwrap();
    let value = Counted::new(7);
    now(pubsub.publish("1", value.clone())).unwrap();
    for subscription in [&mut one, &mut two] {
        let Some(Item::Event(event)) = subscription.try_next() else { panic!() };
        assert!(Arc::ptr_eq(event.payload(), &value));
        assert_eq!((event.id(), event.number), ("1", 7));
    }
    assert_eq!(value.encoded.load(Relaxed), 0, "nobody asked for JSON");
    assert_eq!(Arc::strong_count(&value), 1, "nobody holds it any more");
}

#[test]
fn other_listeners_get_its_json_made_once() {
    let pubsub = PubSub::in_process();
    let mut other_type = now(pubsub.subscribe::<Other>("1")).unwrap();
    let mut same_type = now(pubsub.subscribe::<Counted>("1")).unwrap();
    let texts = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        let texts = texts.clone();
        let listener = move |event: &EventEnvelope| {
            texts.lock().unwrap().push(event.payload_json().unwrap().unwrap().to_owned());
            texts.lock().unwrap().push(event.to_json().unwrap().to_owned());
        };
        pubsub.target().add_event_listener("counted:1", Arc::new(listener)).unwrap();
    }
    let value = Counted::new(7);
    now(pubsub.publish("1", value.clone())).unwrap();
    let (payload, text) = (r#"{"number":7}"#, r#"{"type":"counted","id":"1","payload":{"number":7}}"#);
    assert_eq!(*texts.lock().unwrap(), [payload, text, payload, text, payload, text]);
    let Some(Item::Event(event)) = other_type.try_next() else { panic!() };
    assert_eq!(event.number, 7);
    let Some(Item::Event(event)) = same_type.try_next() else { panic!() };
    assert!(Arc::ptr_eq(event.payload(), &value));
    assert_eq!(value.encoded.load(Relaxed), 1);
}

#[test]
fn a_publish_that_nobody_hears_allocates_nothing() {
    let pubsub = PubSub::in_process();
    let kept = now(pubsub.subscribe::<Counted>("other")).unwrap();
    let value = Counted::new(7);
    let unheard = allocations(|| {
        for _ in 0..100 {
            now(pubsub.publish("1", value.clone())).unwrap();
            pubsub.try_publish("1", value.clone()).unwrap();
        }
    });
    assert_eq!(unheard, 0);
    // An envelope that exists already costs nothing more, heard or not.
    let envelope = EventEnvelope::without_payload("counted", "1").unwrap();
    let dispatched = allocations(|| {
        for _ in 0..100 {
            pubsub.target().dispatch_event(envelope.clone()).unwrap();
        }
    });
    assert_eq!(dispatched, 0);
    pubsub.target().add_event_listener("counted:1", Arc::new(|_: &EventEnvelope| ())).unwrap();
    let heard = allocations(|| {
        for _ in 0..100 {
            pubsub.target().dispatch_event(envelope.clone()).unwrap();
        }
    });
    assert_eq!(heard, 0, "a listener's call alone allocates nothing either");
    drop(kept);
}

#[test]
fn a_type_with_a_colon_is_told_apart_from_an_id_with_one() {
    let pubsub = PubSub::in_process();
    let mut short = now(pubsub.subscribe_envelopes("a", "b:c")).unwrap();
    let mut long = now(pubsub.subscribe_envelopes("a:b", "c")).unwrap();
    now(pubsub.publish_json("a", "b:c", &1)).unwrap();
    now(pubsub.publish_json("a:b", "c", &2)).unwrap();
    let payload = |item: Option<Item<EventEnvelope>>| {
        item.and_then(Item::event).map(|event| event.payload::<u64>().unwrap())
    };
    assert_eq!((payload(short.try_next()), payload(short.try_next())), (Some(1), None));
    assert_eq!((payload(long.try_next()), payload(long.try_next())), (Some(2), None));
    // A raw listener is on the topic's text and hears both.
    let heard = Arc::new(AtomicU64::new(0));
    let count = heard.clone();
    pubsub
        .target()
        .add_event_listener("a:b:c", Arc::new(move |_: &EventEnvelope| _ = count.fetch_add(1, Relaxed)))
        .unwrap();
    now(pubsub.publish_json("a", "b:c", &1)).unwrap();
    now(pubsub.publish_json("a:b", "c", &2)).unwrap();
    assert_eq!(heard.load(Relaxed), 2);
}

#[test]
fn an_event_published_in_a_listener_is_heard_before_publish_returns() {
    let target = Arc::new(InProcess::new());
    let heard = Arc::new(Mutex::new(Vec::new()));
    // Each number publishes the next one below it.
    let (weak, order) = (Arc::downgrade(&target), heard.clone());
    let countdown = move |event: &EventEnvelope| {
        let number: u64 = event.payload().unwrap();
        order.lock().unwrap().push(format!("{number} begins"));
        if number > 0 {
            let next = EventEnvelope::new("count", "down", &(number - 1)).unwrap();
            weak.upgrade().unwrap().dispatch_event(next).unwrap();
        }
        order.lock().unwrap().push(format!("{number} ends"));
    };
    target.add_event_listener("count:down", Arc::new(countdown)).unwrap();
    target.dispatch_event(EventEnvelope::new("count", "down", &2).unwrap()).unwrap();
    let wanted = ["2 begins", "1 begins", "0 begins", "0 ends", "1 ends", "2 ends"];
    assert_eq!(*heard.lock().unwrap(), wanted);
}

#[test]
fn many_threads_publish_add_and_remove_at_once() {
    const THREADS: u64 = 8;
    const EVENTS: u64 = 2_000;
    let target = Arc::new(InProcess::new());
    let last = Arc::new(Mutex::new(vec![0; THREADS as usize]));
    let seen = last.clone();
    let in_order = move |event: &EventEnvelope| {
        let (thread, number): (usize, u64) = event.payload().unwrap();
        // Between the call and the lock another thread may be faster, but not one's own.
        let mut last = seen.lock().unwrap();
        assert_eq!(last[thread] + 1, number);
        last[thread] = number;
    };
    target.add_event_listener("load:", Arc::new(in_order)).unwrap();
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (target, start) = (&target, &start);
            threads.spawn(move || {
                start.wait();
                for number in 1..=EVENTS {
                    let passing =
                        target.add_event_listener("load:", Arc::new(|_: &EventEnvelope| ())).unwrap();
                    target
                        .dispatch_event(EventEnvelope::new("load", "", &(thread, number)).unwrap())
                        .unwrap();
                    target.remove_event_listener(passing);
                }
            });
        }
    });
    assert_eq!(*last.lock().unwrap(), vec![EVENTS; THREADS as usize]);
    let stats = target.stats();
    assert_eq!((stats.dispatched, stats.received, stats.panicked), (THREADS * EVENTS, THREADS * EVENTS, 0));
    assert_eq!((stats.listeners, stats.topics), (1, 1));
}

#[test]
fn many_threads_read_their_own_subscriptions_to_the_end() {
    let pubsub = PubSub::in_process();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            let mut events = now(pubsub.subscribe::<Other>("1")).unwrap();
            threads.spawn(move || {
                let mut wanted = 0;
                while let Some(item) = block_on(events.next()) {
                    let Item::Event(event) = item else { panic!("{item:?}") };
                    assert_eq!(event.number, wanted);
                    wanted += 1;
                }
                assert_eq!(wanted, 1000);
                assert!(events.end().is_some());
            });
        }
        for number in 0..1000 {
            pubsub.try_publish("1", Other { number }).unwrap();
        }
        pubsub.target().close();
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A payload that says so when nobody holds it any more.
struct Permit(PubSub);

impl Serialize for Permit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Permit {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a permit is not read"))
    }
}

impl Event for Permit {
    const TYPE: &'static str = "permit";
}

impl Drop for Permit {
    fn drop(&mut self) {
        now(self.0.publish_json("permit", "", &"returned")).unwrap();
    }
}

#[test]
fn a_payload_that_makes_room_for_the_next_may_publish_when_it_is_dropped() {
    let (done, outcome) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let pubsub = PubSub::in_process();
        let limits = alkpubsub::QueueLimits::DEFAULT.max_events(1);
        let mut events = now(pubsub.subscribe_envelopes_within("permit", "", limits)).unwrap();
        now(pubsub.publish("", Permit(pubsub.clone()))).unwrap();
        now(pubsub.publish_json("permit", "", &"next")).unwrap();
        let items: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        done.send(format!("{items:?}")).unwrap();
    });
    let items = outcome.recv_timeout(std::time::Duration::from_secs(20)).expect("it blocks itself");
    assert_eq!(items, r#"[Lagged(2), Event(EventEnvelope { type: "permit", id: "", .. })]"#);
}
