//! The operators in WebAssembly, with the host's clock: `./test wasm` drives it by `operators.mjs`.

#![allow(unsafe_code, reason = "the attribute that names an export")]

use alkpubsub::operators::{Operators, Timer};
use alkpubsub::{EventEnvelope, Item, PubSub};
use futures_util::stream::LocalBoxStream;
use futures_util::{FutureExt, StreamExt};
use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

thread_local! {
    static NOW: RefCell<(Duration, Vec<Waker>)> = const { RefCell::new((Duration::ZERO, Vec::new())) };
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// What the host said last, and who waits for it to say more.
#[derive(Clone, Copy)]
struct HostTimer;

impl Timer for HostTimer {
    // Not `Send`, as what a browser has is not.
    type Sleep = futures_util::future::LocalBoxFuture<'static, ()>;

    fn now(&self) -> Duration {
        NOW.with_borrow(|(now, _)| *now)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        let until = self.now() + duration;
        let sleep = poll_fn(move |context| {
            NOW.with_borrow_mut(|(now, waiting)| {
                if *now >= until {
                    return Poll::Ready(());
                }
                waiting.push(context.waker().clone());
                Poll::Pending
            })
        });
        sleep.boxed_local()
    }
}

/// Whether there is a reason to ask again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

struct State {
    pubsub: PubSub,
    batches: LocalBoxStream<'static, Item<Vec<u32>>>,
    woken: Arc<Woken>,
}

fn number(event: &EventEnvelope) -> u32 {
    event.payload().unwrap_or_default()
}

/// Begins: numbers that were not there within 50 ms, in pairs of one parity, whose sums come in batches of at most three,
/// none older than 10 ms.
#[unsafe(no_mangle)]
pub extern "C" fn start() {
    let pubsub = PubSub::in_process();
    let numbers = pubsub.subscribe_envelopes("n", "").now_or_never().expect("ready").expect("open");
    let pairs = numbers
        .dedupe(number)
        .within(Duration::from_millis(50), HostTimer)
        .group_by(|event| number(event) % 2)
        .filter_map(|item| std::future::ready(item.event()))
        .flat_map_unordered(None, |group| {
            group.window(2).step(2).map(|item| item.map(|pair| pair.iter().map(number).sum::<u32>()))
        });
    let batches = pairs.batch(3).within(Duration::from_millis(10), HostTimer).boxed_local();
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    STATE.set(Some(State { pubsub, batches, woken }));
}

/// Publishes a number.
#[unsafe(no_mangle)]
pub extern "C" fn publish(number: u32) {
    STATE.with_borrow(|state| {
        let pubsub = &state.as_ref().expect("started").pubsub;
        pubsub.publish_json("n", "", &number).now_or_never().expect("ready").expect("open");
    });
}

/// The time in milliseconds. Gives -1 where nobody was woken, -2 where there is no batch yet, -3 for a loss and the end;
/// of a batch, a hundred times its length, and its sum.
#[unsafe(no_mangle)]
pub extern "C" fn tick(now: u32) -> i32 {
    let waiting = NOW.with_borrow_mut(|(time, waiting)| {
        *time = Duration::from_millis(now.into());
        std::mem::take(waiting)
    });
    waiting.into_iter().for_each(Waker::wake);
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut().expect("started");
        let mut result = -1;
        while state.woken.0.swap(false, Relaxed) {
            let waker = Waker::from(state.woken.clone());
            result = match state.batches.poll_next_unpin(&mut Context::from_waker(&waker)) {
                Poll::Pending => -2,
                Poll::Ready(item) => {
                    // There may be more, at the next tick.
                    state.woken.0.store(true, Relaxed);
                    let Some(Item::Event(batch)) = item else { return -3 };
                    let told = batch.len() as u32 * 100 + batch.iter().sum::<u32>();
                    return i32::try_from(told).unwrap_or(i32::MAX);
                }
            };
        }
        result
    })
}

/// No event will come any more.
#[unsafe(no_mangle)]
pub extern "C" fn close() {
    STATE.with_borrow(|state| state.as_ref().expect("started").pubsub.target().close());
}
