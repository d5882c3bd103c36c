//! Worker threads: what crosses, what waits, and how they end.

use alkpubsub::worker::{JoinError, WorkerHostEventTarget, WorkerOptions, WorkerThreadEventTarget, pair};
use alkpubsub::{
    CloseReason, DispatchError, End, Event, EventEnvelope, EventTarget, Item, Listener, PubSub, QueueLimits,
    on_notice,
};
use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "job")]
struct Job(u32);

fn event(number: u32) -> EventEnvelope {
    EventEnvelope::new("tick", "", &number).unwrap()
}

/// What a listener has heard, and the listener.
fn numbers() -> (Arc<Mutex<Vec<u32>>>, Arc<dyn Listener>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    (heard, Arc::new(move |event: &EventEnvelope| kept.lock().unwrap().push(event.payload().unwrap())))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A worker that hears `tick:` and serves until the end.
fn serving(worker: &mut WorkerThreadEventTarget, listener: Arc<dyn Listener>) -> CloseReason {
    worker.add_event_listener("tick:", listener).unwrap();
    worker.run()
}

#[test]
fn typed_values_cross_as_the_values_that_they_are() {
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let there = PubSub::new(worker.handle());
    let sent = Arc::new(Job(7));
    let thread = thread::spawn(move || {
        worker.block_on(async {
            let mut jobs = there.subscribe::<Job>("").await.unwrap();
            let Some(Item::Event(job)) = jobs.next().await else { panic!("a job") };
            there.publish("", job.payload().clone()).await.unwrap();
        });
    });
    let host = Arc::new(host);
    let here = PubSub::new(host.clone());
    block_on(async {
        let mut back = here.subscribe::<Job>("").await.unwrap();
        here.publish("", sent.clone()).await.unwrap();
        let Some(Item::Event(job)) = back.next().await else { panic!("a job") };
        assert!(Arc::ptr_eq(job.payload(), &sent), "it is the very value, there and back");
        assert!(back.next().await.is_none());
        assert_eq!(here.target().closed().await, CloseReason::ByPeer { code: 1000, reason: "".into() });
    });
    thread.join().unwrap();
}

#[test]
fn what_waits_is_bounded_and_a_publisher_waits_for_room() {
    let mut options = WorkerOptions::DEFAULT;
    options.max_queued = 3;
    let (host, mut worker) = pair(options);
    for number in 0..3 {
        host.dispatch_event(event(number)).unwrap();
    }
    assert!(matches!(host.dispatch_event(event(3)), Err(DispatchError::Full)));
    assert_eq!((host.stats().queued_messages, host.stats().rejected), (3, 1));
    let here = PubSub::new(Arc::new(host));
    let mut publishing = pin!(here.publish_json("tick", "", &3));
    let mut context = Context::from_waker(Waker::noop());
    assert!(publishing.as_mut().poll(&mut context).is_pending());
    let (heard, listener) = numbers();
    let thread = thread::spawn(move || serving(&mut worker, listener));
    block_on(async {
        publishing.await.unwrap();
        here.flush().await;
    });
    assert_eq!(*heard.lock().unwrap(), [0, 1, 2, 3], "after the flush, all were heard");
    here.target().close();
    assert_eq!(thread.join().unwrap().code(), 1000);
}

#[test]
fn what_the_host_dispatched_before_it_closed_is_handled_first() {
    let (heard, listener) = numbers();
    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
        serving(worker, listener);
    })
    .unwrap();
    for number in 0..1000 {
        host.dispatch_event(event(number)).unwrap();
    }
    host.join(LONG).unwrap();
    assert_eq!(*heard.lock().unwrap(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_panic_is_a_loss_with_its_message_and_what_waited_is_counted() {
    let wait = Arc::new(Barrier::new(2));
    let waiting = wait.clone();
    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, move |_worker| {
        waiting.wait();
        panic!("worker {} is out of ideas", 7);
    })
    .unwrap();
    let (ended, ends) = mpsc::channel();
    let told = on_notice(move |notice| ended.send(notice.to_string()).unwrap());
    host.add_event_listener("close", Arc::new(told)).unwrap();
    for number in 0..5 {
        host.dispatch_event(event(number)).unwrap();
    }
    wait.wait();
    let reason = block_on(host.closed());
    let error = "the worker panicked: worker 7 is out of ideas";
    assert_eq!(reason, CloseReason::Lost { error: error.into() });
    assert_eq!(ends.try_iter().collect::<Vec<_>>(), [format!("the connection was lost: {error}")]);
    assert_eq!(host.stats().dropped, 5);
    assert!(matches!(host.dispatch_event(event(9)), Err(DispatchError::Closed(CloseReason::Lost { .. }))));
    let error = host.join(LONG).unwrap_err();
    assert_eq!(error, JoinError::Panicked { message: "worker 7 is out of ideas".into() });
}

#[test]
fn a_worker_that_catches_its_own_panic_goes_on() {
    let (sender, heard) = mpsc::channel();
    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, move |worker| {
        let attempt = AssertUnwindSafe(|| {
            worker.block_on(async { panic!("on purpose") });
        });
        assert!(catch_unwind(attempt).is_err());
        let listener = move |event: &EventEnvelope| sender.send(event.payload::<u32>().unwrap()).unwrap();
        serving(worker, Arc::new(listener));
    })
    .unwrap();
    host.dispatch_event(event(7)).unwrap();
    assert_eq!(heard.recv_timeout(LONG), Ok(7));
    host.join(LONG).unwrap();
}

#[test]
fn a_given_thread_that_panics_is_a_loss_too() {
    let (host, worker) = pair(WorkerOptions::DEFAULT);
    let thread = thread::spawn(move || {
        let _worker = worker;
        panic!("whatever");
    });
    assert!(thread.join().is_err());
    assert_eq!(block_on(host.closed()), CloseReason::Lost { error: "the worker panicked".into() });
}

/// A payload that panics when it is dropped.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(type = "trap")]
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_keeps_no_end_from_being_told() {
    let publish = |host: &Arc<WorkerHostEventTarget>| {
        let here = PubSub::new(host.clone());
        for _ in 0..2 {
            block_on(here.publish("", Trap)).unwrap();
        }
    };
    let (ended, ends) = mpsc::channel();
    let told = |host: &WorkerHostEventTarget| {
        let ended = ended.clone();
        let told = on_notice(move |_| ended.send(()).unwrap());
        host.add_event_listener("close", Arc::new(told)).unwrap();
    };

    let (host, worker) = pair(WorkerOptions::DEFAULT);
    let host = Arc::new(host);
    told(&host);
    publish(&host);
    drop(worker);
    ends.recv_timeout(LONG).expect("the end of the one that was given is told");
    assert_eq!(host.stats().dropped, 2);

    let (let_go, held) = mpsc::channel::<()>();
    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, move |_worker| _ = held.recv()).unwrap();
    let host = Arc::new(host);
    told(&host);
    publish(&host);
    drop(let_go);
    ends.recv_timeout(LONG).expect("the end of the one that was started is told");
    assert_eq!(Arc::into_inner(host).unwrap().join(LONG), Ok(()));

    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let host = Arc::new(host);
    publish(&host);
    host.close();
    assert_eq!(worker.run().code(), 1000, "a worker that serves goes on");
    assert_eq!(worker.stats().panicked, 2);
}

#[test]
fn a_listener_that_panics_ends_no_worker() {
    let (heard, listener) = numbers();
    let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
        worker.add_event_listener("tick:", Arc::new(|_: &EventEnvelope| panic!("no"))).unwrap();
        worker.add_event_listener("tick:", listener).unwrap();
        worker.run();
        assert_eq!(worker.stats().panicked, 2);
    })
    .unwrap();
    host.dispatch_event(event(1)).unwrap();
    host.dispatch_event(event(2)).unwrap();
    host.join(LONG).unwrap();
    assert_eq!(*heard.lock().unwrap(), [1, 2]);
}

#[test]
fn a_worker_that_does_not_end_is_left_after_the_time_given() {
    let (let_go, held) = mpsc::channel::<()>();
    let busy = || {
        let mut options = WorkerOptions::DEFAULT;
        options.join_timeout = Duration::from_millis(1);
        options
    };
    let host = WorkerHostEventTarget::spawn(busy(), move |_worker| _ = held.recv()).unwrap();
    let patience = Duration::from_millis(1);
    assert_eq!(host.join(patience), Err(JoinError::StillRunning { waited: patience }));
    drop(let_go);
    let (_let_go, held) = mpsc::channel::<()>();
    drop(WorkerHostEventTarget::spawn(busy(), move |_worker| _ = held.recv()).unwrap());
}

#[test]
fn either_end_may_end_within_a_listener() {
    // The host, dropped by its own worker.
    let host = Arc::new(Mutex::new(None::<WorkerHostEventTarget>));
    let own = host.clone();
    let (over, is_over) = mpsc::channel();
    let spawned = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, move |worker| {
        let drop_it = move |_: &EventEnvelope| drop(own.lock().unwrap().take());
        over.send(serving(worker, Arc::new(drop_it))).unwrap();
    })
    .unwrap();
    let mut place = host.lock().unwrap();
    place.insert(spawned).dispatch_event(event(1)).unwrap();
    drop(place);
    assert_eq!(is_over.recv_timeout(LONG).unwrap().code(), 1000);

    // The worker, closed by a listener of its own: what is behind that is dropped.
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let (closing, heard) = (worker.handle(), Arc::new(AtomicUsize::new(0)));
    let count = heard.clone();
    let close = move |_: &EventEnvelope| {
        count.fetch_add(1, Relaxed);
        closing.close();
    };
    worker.add_event_listener("tick:", Arc::new(close)).unwrap();
    for number in 0..3 {
        host.dispatch_event(event(number)).unwrap();
    }
    assert_eq!(worker.run(), CloseReason::Closed);
    assert_eq!((heard.load(Relaxed), host.stats().dropped), (1, 2));
    assert_eq!(block_on(host.closed()).code(), 1000);

    // Both at the same time.
    for _ in 0..200 {
        let (host, worker) = pair(WorkerOptions::DEFAULT);
        let both = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| (both.wait(), drop(host)));
            scope.spawn(|| (both.wait(), drop(worker)));
        });
    }
}

#[test]
fn an_end_without_the_other_takes_nothing() {
    let (host, worker) = pair(WorkerOptions::DEFAULT);
    let late = worker.handle();
    drop(host);
    let refused = late.dispatch_event(event(1));
    assert!(matches!(refused, Err(DispatchError::Closed(CloseReason::ByPeer { code: 1000, .. }))));
    drop(worker);
    assert!(late.add_event_listener("tick:", Arc::new(|_: &EventEnvelope| ())).is_err());
}

#[test]
fn reserved_types_are_refused_at_either_end() {
    let (host, worker) = pair(WorkerOptions::DEFAULT);
    let control = EventEnvelope::parse(r#"{"type":"__ping","id":""}"#).unwrap();
    assert!(matches!(host.dispatch_event(control.clone()), Err(DispatchError::Reserved)));
    assert!(matches!(worker.dispatch_event(control), Err(DispatchError::Reserved)));
}

/// Inside a runtime, beside its other tasks.
#[tokio::test(flavor = "current_thread")]
async fn a_worker_is_a_task_among_others() {
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let (heard, listener) = numbers();
    worker.add_event_listener("tick:", listener).unwrap();
    let running = tokio::spawn(async move { worker.run_async().await });
    let here = PubSub::new(Arc::new(host));
    for number in 0..10_000 {
        here.publish_json("tick", "", &number).await.unwrap();
    }
    here.flush().await;
    assert_eq!(heard.lock().unwrap().len(), 10_000);
    here.target().close();
    assert_eq!(running.await.unwrap().code(), 1000);
}

/// Neither end has a runtime of tokio's.
#[test]
fn a_worker_is_a_task_of_another_executor_too() {
    const JOBS: u32 = 10_000;
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let there = PubSub::new(worker.handle());
    let thread = thread::spawn(move || {
        let mut pool = LocalPool::new();
        let mut jobs = pool.run_until(there.subscribe::<Job>("")).unwrap();
        pool.spawner().spawn_local(async move { assert_eq!(worker.run_async().await.code(), 1000) }).unwrap();
        pool.run_until(async {
            while let Some(Item::Event(job)) = jobs.next().await {
                there.publish("", job.payload().clone()).await.unwrap();
            }
        });
        jobs.end()
    });
    let here = PubSub::new(host);
    futures_executor::block_on(async {
        let mut back = here.subscribe_within::<Job>("", QueueLimits::DEFAULT.max_events(1)).await.unwrap();
        for number in 0..JOBS {
            here.publish("", Job(number)).await.unwrap();
            let Some(Item::Event(job)) = back.next().await else { panic!("a job") };
            assert_eq!(job.0, number);
        }
        here.target().close();
        assert_eq!(here.target().closed().await, CloseReason::Closed);
    });
    assert!(matches!(thread.join().unwrap(), Some(End::Closed(CloseReason::ByPeer { code: 1000, .. }))));
}

#[test]
fn a_run_that_is_dropped_and_begun_anew_misses_nothing() {
    let (host, mut worker) = pair(WorkerOptions::DEFAULT);
    let (heard, listener) = numbers();
    worker.add_event_listener("tick:", listener).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    for number in 0..100 {
        host.dispatch_event(event(number)).unwrap();
        assert!(pin!(worker.run_async()).as_mut().poll(&mut context).is_pending());
    }
    host.close();
    assert_eq!(
        pin!(worker.run_async()).as_mut().poll(&mut context).map(|reason| reason.code()),
        Poll::Ready(1000)
    );
    assert_eq!(*heard.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn publishers_on_many_threads_lose_nothing_and_keep_their_orders() {
    let mut options = WorkerOptions::DEFAULT;
    options.max_queued = 16;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let listener =
        move |event: &EventEnvelope| kept.lock().unwrap().push(event.payload::<(u32, u32)>().unwrap());
    let host = WorkerHostEventTarget::spawn(options, |worker| {
        serving(worker, Arc::new(listener));
    })
    .unwrap();
    let host = Arc::new(host);
    thread::scope(|scope| {
        for publisher in 0..4 {
            let here = PubSub::new(host.clone());
            scope.spawn(move || {
                block_on(async {
                    for number in 0..5000 {
                        here.publish_json("tick", "", &(publisher, number)).await.unwrap();
                    }
                });
            });
        }
    });
    Arc::into_inner(host).unwrap().join(LONG).unwrap();
    let heard = heard.lock().unwrap();
    for publisher in 0..4 {
        let own = heard.iter().filter(|(of, _)| *of == publisher).map(|(_, number)| *number);
        assert!(own.eq(0..5000), "publisher {publisher}");
    }
}

/// Threads of this process.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_workers_one_after_the_other_and_two_hundred_at_once_leave_no_thread() {
    let before = threads();
    for number in 0..10_000 {
        let (heard, listener) = numbers();
        let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
            serving(worker, listener);
        })
        .unwrap();
        host.dispatch_event(event(number)).unwrap();
        host.join(LONG).unwrap();
        assert_eq!(*heard.lock().unwrap(), [number]);
    }
    let (answered, answers) = mpsc::channel();
    let hosts: Vec<_> = (0..200)
        .map(|_| {
            let host = WorkerHostEventTarget::spawn(WorkerOptions::DEFAULT, |worker| {
                let back = worker.handle();
                let answer = move |event: &EventEnvelope| {
                    let number: u32 = event.payload().unwrap();
                    back.dispatch_event(EventEnvelope::new("back", "", &number).unwrap()).unwrap();
                };
                worker.add_event_listener("tick:", Arc::new(answer)).unwrap();
                worker.run();
            });
            let (host, answered) = (host.unwrap(), answered.clone());
            let listener =
                move |event: &EventEnvelope| answered.send(event.payload::<u32>().unwrap()).unwrap();
            host.add_event_listener("back:", Arc::new(listener)).unwrap();
            host
        })
        .collect();
    for (number, host) in hosts.iter().enumerate() {
        host.dispatch_event(event(number as u32)).unwrap();
    }
    let mut all: Vec<_> = hosts.iter().map(|_| answers.recv_timeout(LONG).unwrap()).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..200));
    drop(hosts);
    // One that was joined may be listed for a moment longer.
    let deadline = std::time::Instant::now() + LONG;
    while threads() > before && std::time::Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(threads() <= before, "{} threads, {before} before", threads());
}
