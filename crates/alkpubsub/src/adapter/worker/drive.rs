//! A future on this thread, with what the worker has to do beside it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Wakes a thread.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Release);
        self.thread.unpark();
    }
}

/// Runs `future` to its end. Whenever something wakes this thread, `beside` is called as well, until it says that it has
/// nothing to do.
pub(super) fn block_on<T>(future: impl Future<Output = T>, mut beside: impl FnMut(&Waker) -> Poll<()>) -> T {
    let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(parker.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        if beside(&waker).is_ready() {
            continue;
        }
        while !parker.woken.swap(false, Acquire) {
            thread::park();
        }
    }
}
