//! What came from Redis and was not heard yet.

use redis::{PushInfo, PushKind, Value};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Of one message, beside its bytes.
const OVERHEAD: usize = 128;

/// Where the client puts what came, without waiting.
#[derive(Clone)]
pub(super) struct Receiving {
    sender: mpsc::UnboundedSender<PushInfo>,
    waiting: Arc<Waiting>,
}

/// Where the socket takes it from.
pub(super) struct Received {
    receiver: mpsc::UnboundedReceiver<PushInfo>,
    waiting: Arc<Waiting>,
    taken: u64,
}

struct Waiting {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    max_messages: usize,
    max_bytes: usize,
    /// All that was ever put here.
    put: AtomicU64,
    /// There was no room: nothing that comes afterwards is taken.
    overflowed: AtomicBool,
}

/// The two ends of a queue of so much.
pub(super) fn queue(max_messages: usize, max_bytes: usize) -> (Receiving, Received) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting {
        messages: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        max_messages,
        max_bytes,
        put: AtomicU64::new(0),
        overflowed: AtomicBool::new(false),
    });
    (Receiving { sender, waiting: waiting.clone() }, Received { receiver, waiting, taken: 0 })
}

fn weight(push: &PushInfo) -> usize {
    let bytes = |value: &Value| if let Value::BulkString(bytes) = value { bytes.len() } else { 0 };
    OVERHEAD + push.data.iter().map(bytes).sum::<usize>()
}

impl Receiving {
    pub(super) fn push(&self, push: PushInfo) {
        let waiting = &self.waiting;
        let is_wanted =
            matches!(push.kind, PushKind::Message | PushKind::Subscribe | PushKind::Disconnection);
        if !is_wanted || waiting.overflowed.load(Relaxed) {
            return;
        }
        let weight = weight(&push);
        let messages = waiting.messages.fetch_add(1, Relaxed);
        let bytes = waiting.bytes.fetch_add(weight, Relaxed);
        if messages >= waiting.max_messages || bytes >= waiting.max_bytes {
            waiting.overflowed.store(true, Relaxed);
            return;
        }
        // Where nobody takes it any more, the connection is about to be closed.
        let _ = self.sender.send(push);
        waiting.put.fetch_add(1, Release);
    }
}

impl Received {
    /// `None` where the client is gone.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<PushInfo>> {
        let polled = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(push)) = &polled {
            self.taken += 1;
            self.waiting.messages.fetch_sub(1, Relaxed);
            self.waiting.bytes.fetch_sub(weight(push), Relaxed);
        }
        polled
    }

    /// The place in the row behind all that has come so far.
    pub(super) fn place(&self) -> u64 {
        self.waiting.put.load(Acquire)
    }

    /// Whether all that came ahead of this place was taken.
    pub(super) fn has_reached(&self, place: u64) -> bool {
        self.taken >= place
    }

    /// Whether something that came was not taken.
    pub(super) fn has_overflowed(&self) -> bool {
        self.waiting.overflowed.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn message(payload: &str) -> PushInfo {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        PushInfo { kind: PushKind::Message, data: vec![text("tick:"), text(payload)] }
    }

    fn taken(received: &mut Received) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| received.poll(&mut context).is_ready().then_some(())).count()
    }

    #[test]
    fn nothing_is_taken_after_what_had_no_room() {
        let (receiving, mut received) = queue(3, 1 << 20);
        (0..3).for_each(|_| receiving.push(message("{}")));
        assert!(!received.has_overflowed());
        receiving.push(message("{}"));
        assert!(received.has_overflowed());
        assert_eq!(taken(&mut received), 3);
        receiving.push(message("{}"));
        assert_eq!(taken(&mut received), 0, "there would be a hole before it");
    }

    #[test]
    fn bytes_have_a_bound_and_what_was_taken_makes_room() {
        let (receiving, mut received) = queue(1000, 3 * OVERHEAD);
        for _ in 0..100 {
            receiving.push(message("{}"));
            receiving.push(message("{}"));
            assert_eq!(taken(&mut received), 2);
        }
        assert!(!received.has_overflowed());
        receiving.push(message(&"x".repeat(3 * OVERHEAD)));
        receiving.push(message("{}"));
        assert!(received.has_overflowed(), "the first went beyond");
    }
}
