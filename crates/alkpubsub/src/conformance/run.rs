//! A clock and an executor of a few lines, so that the suite needs no runtime.

use super::{Fixture, Law, Outcome, Violation};
use crate::BoxFuture;
use crate::waiters::Waiters;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

thread_local! {
    /// What the law that runs on this thread waits for, to be told when its time is up.
    static WAITS_FOR: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes what the law waits for from now on.
pub(super) fn waits_for(what: impl Into<String>) {
    WAITS_FOR.set(what.into());
}

/// Runs a law on a fixture, if the fixture is one that the law asks something of.
///
/// The law runs on a thread of its own: a target that blocks in a listener's call for good is then seen, too.
pub fn check(law: &'static Law, fixture: &Arc<dyn Fixture>) -> Outcome {
    if let Some(need) = law.unmet(&**fixture) {
        return Outcome::NotApplicable(need);
    }
    let (done, verdict) = mpsc::channel();
    let deadline = fixture.deadline();
    let run = {
        let fixture = fixture.clone();
        move || {
            let ran = catch_unwind(AssertUnwindSafe(|| run(law, &*fixture)));
            let panicked = |panic: Box<dyn std::any::Any + Send>| {
                Err(Violation::new(format!("a panic came through: {}", crate::caught::message(panic))))
            };
            // The receiver is gone only where the time was up long ago.
            let _ = done.send(ran.unwrap_or_else(panicked));
        }
    };
    thread::Builder::new().name(law.name.into()).spawn(run).expect("a thread for the law");
    // A law whose thread is free sees its deadline by itself.
    match verdict.recv_timeout(deadline + Duration::from_secs(1)) {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(violation)) => Outcome::Failed(violation),
        Err(_) => Outcome::Failed(Violation::new("a call that must not block did not return")),
    }
}

fn run(law: &Law, fixture: &dyn Fixture) -> Result<(), Violation> {
    let mut verdict = Err(Violation::new("the fixture did not run the law to its end"));
    let slot = &mut verdict;
    fixture.block_on(Box::pin(async move {
        let mut law = (law.run)(fixture);
        let mut timer = fixture.timer(fixture.deadline());
        *slot = std::future::poll_fn(|context| {
            if let Poll::Ready(verdict) = law.as_mut().poll(context) {
                return Poll::Ready(verdict);
            }
            timer.as_mut().poll(context).map(|()| {
                let waited = WAITS_FOR.with_borrow(Clone::clone);
                Err(Violation::new(format!("waited in vain for {waited}")))
            })
        })
        .await;
    }));
    verdict
}

/// Runs a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Resolves after that time. Each has a thread, which ends with it: right for a test, not for a program.
#[must_use]
pub fn timer(after: Duration) -> BoxFuture<'static, ()> {
    let shared = Arc::new(TimerShared::default());
    let timer = Timer(shared.clone());
    let sleep = move || {
        let state = lock(&shared.state);
        let wait = shared.ended.wait_timeout_while(state, after, |state| !state.dropped);
        let (mut state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        state.fired = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    thread::Builder::new().name("timer".into()).spawn(sleep).expect("a thread for the timer");
    Box::pin(timer)
}

#[derive(Default)]
struct TimerShared {
    state: Mutex<TimerState>,
    ended: Condvar,
}

#[derive(Default)]
struct TimerState {
    fired: bool,
    dropped: bool,
    waker: Option<Waker>,
}

struct Timer(Arc<TimerShared>);

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0.state);
        if state.fired {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        lock(&self.0.state).dropped = true;
        self.0.ended.notify_one();
    }
}

/// Does some work on another thread and waits for it without blocking this one, which the target may need.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Violation> {
    let shared = Arc::new((Mutex::new(None), Waiters::default()));
    let done = shared.clone();
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        *lock(&done.0) = Some(result);
        done.1.wake_all();
    });
    let result = shared.1.until(|| lock(&shared.0).take()).await;
    result.map_err(|_| Violation::new("a publishing thread panicked"))
}

/// Waits for two futures on this one task.
pub(super) async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// Whether the future is pending right now; it can be awaited afterwards.
pub(super) fn is_pending<T>(future: &mut BoxFuture<'_, T>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// A lock that a panicking listener cannot take away.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
