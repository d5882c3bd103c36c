//! What threads of the program do to a link's target, in every order; what it sends is read as a hub would.

use super::*;
use crate::envelope::EventEnvelope;
use crate::event_target::{EventTarget, ListenerId, Readiness, on_notice};
use crate::sync::AtomicBool;
use loom::future::block_on;
use loom::thread;
use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};

const TOPIC: &str = "a:b";

fn target() -> Arc<LinkTarget> {
    let (link, message) = (LinkOptions::DEFAULT, MessageLimits::DEFAULT);
    LinkTarget::new(
        TargetOptions { link, message, close_timeout: Duration::ZERO, broker: false },
        Life::PerConnection { heartbeat: None },
    )
}

fn add(target: &LinkTarget) -> ListenerId {
    target.add(TOPIC, Arc::new(|_: &EventEnvelope| ())).unwrap()
}

fn hear(target: &LinkTarget, name: &str, rest: &str) {
    let text = format!(r#"{{"type":"__{name}","id":"","payload":{{"topic":"{TOPIC}"{rest}}}}}"#);
    target.receive(&text.into(), None, false).unwrap();
}

/// What it has to send: `true` for each `__subscribe`, `false` for each `__unsubscribe`.
fn sent(target: &LinkTarget) -> Vec<bool> {
    let mut sent = Vec::new();
    let mut send = |text: ByteString, _| {
        sent.push(text.contains("__subscribe"));
        Ok::<_, Infallible>(())
    };
    while target.send_next(&mut send).is_some() {}
    sent
}

/// One word for the first listener and one after the last, so that they take turns and the first one asks.
fn assert_takes_turns(sent: &[bool]) {
    assert!(sent.iter().enumerate().all(|(at, subscribe)| *subscribe == (at % 2 == 0)), "{sent:?}");
}

#[test]
fn one_word_for_the_first_listener_and_one_after_the_last() {
    loom::model(|| {
        let target = target();
        let threads = [(); 2].map(|()| {
            let target = target.clone();
            thread::spawn(move || target.remove(add(&target)))
        });
        _ = threads.map(|thread| thread.join().unwrap());
        let sent = sent(&target);
        assert_takes_turns(&sent);
        assert!(matches!(sent.len(), 2 | 4), "nobody listens any more: {sent:?}");
    });
}

#[test]
fn who_comes_while_the_last_one_leaves_is_subscribed() {
    loom::model(|| {
        let target = target();
        let leaves = add(&target);
        let coming = target.clone();
        let comes = thread::spawn(move || add(&coming));
        target.remove(leaves);
        let stays = comes.join().unwrap();
        let words = sent(&target);
        assert_takes_turns(&words);
        assert_eq!(words.last(), Some(&true), "{words:?}");
        target.remove(stays);
        assert_eq!(sent(&target), [false]);
    });
}

#[test]
fn once_closed_nothing_is_sent_any_more() {
    loom::model(|| {
        let target = target();
        let closed = Arc::new(AtomicBool::new(false));
        let too_late = Arc::new(AtomicUsize::new(0));
        let (closing, close) = (target.clone(), closed.clone());
        let closer = thread::spawn(move || {
            closing.close();
            close.store(true, Release);
        });
        let adding = target.clone();
        let adder = thread::spawn(move || {
            if let Ok(id) = adding.add(TOPIC, Arc::new(|_: &EventEnvelope| ())) {
                adding.remove(id);
            }
        });
        for _ in 0..2 {
            let late = too_late.clone();
            _ = target.send_next(|_, _| {
                late.fetch_add(usize::from(closed.load(Acquire)), SeqCst);
                Ok::<_, Infallible>(())
            });
        }
        closer.join().unwrap();
        adder.join().unwrap();
        assert_eq!(too_late.load(SeqCst), 0);
        assert!(sent(&target).is_empty());
        assert!(target.listeners.ended().is_some() && !target.listeners.is_heard(TOPIC));
    });
}

#[test]
fn who_comes_while_a_denial_is_read_is_told_of_it_or_asks_anew() {
    loom::model(|| {
        let target = target();
        add(&target);
        assert_eq!(sent(&target), [true]);
        let told = Arc::new(AtomicUsize::new(0));
        let (coming, counted) = (target.clone(), told.clone());
        let comes = thread::spawn(move || {
            let notice = on_notice(move |_| _ = counted.fetch_add(1, SeqCst));
            coming.add(TOPIC, Arc::new(notice)).unwrap();
        });
        hear(&target, "denied", r#","action":"subscribe","reason":"broker""#);
        comes.join().unwrap();
        let asked = sent(&target).len();
        assert_eq!(told.load(SeqCst) + asked, 1, "told {} times, asked {asked} times", told.load(SeqCst));
    });
}

#[test]
fn who_begins_to_wait_while_the_answer_is_read_is_woken() {
    loom::model(|| {
        let target = target();
        add(&target);
        let waiting = target.clone();
        let waits = thread::spawn(move || block_on(waiting.ready(TOPIC)));
        hear(&target, "subscribed", "");
        // Where the wake-up was lost, all threads wait, and loom says so.
        assert_eq!(waits.join().unwrap(), Readiness::Confirmed);
    });
}

/// Of a broker.
#[cfg(feature = "redis")]
mod watched {
    use super::*;
    use crate::adapter::broker::{BrokerNews, WatchBroker};
    use std::sync::Mutex;

    /// What a hub was told.
    #[derive(Default)]
    struct Told(Mutex<Vec<BrokerNews>>);

    impl WatchBroker for Told {
        fn told(&self, news: BrokerNews) {
            self.0.lock().unwrap().push(news);
        }
    }

    /// Answers the oldest ping that is on its way; `false` where none is.
    fn pong(target: &LinkTarget) -> bool {
        let mut sent = None;
        _ = target.send_next(|text, _| {
            sent = Some(text);
            Ok::<_, Infallible>(())
        });
        let Some(ping) = sent else { return false };
        let pong = ping.replace("__ping", "__pong").replace(r#""payload":"#, r#""payload":{"echo":"#) + "}";
        target.receive(&pong.into(), None, false).unwrap();
        true
    }

    #[test]
    fn whoever_asks_whether_it_has_caught_up_is_told() {
        loom::model(|| {
            let target = target();
            let told = Arc::new(Told::default());
            target.watch(told.clone());
            let asking = target.clone();
            let asks = thread::spawn(move || asking.catch_up().unwrap());
            let asked = target.catch_up().unwrap();
            let mut answered = 0;
            while answered < 2 {
                if pong(&target) {
                    answered += 1;
                } else {
                    thread::yield_now();
                }
            }
            let last = asks.join().unwrap().max(asked);
            let told = told.0.lock().unwrap();
            assert_eq!(told[0], BrokerNews::In);
            let caught_up = told[1..].iter().any(|news| *news == BrokerNews::CaughtUp(last));
            assert!(caught_up, "{told:?}");
        });
    }

    #[test]
    fn whoever_begins_to_watch_while_the_connection_is_lost_knows_it() {
        loom::model(|| {
            let target = target();
            let told = Arc::new(Told::default());
            let (losing, watching) = (target.clone(), told.clone());
            let loses = thread::spawn(move || losing.end(CloseReason::Closed));
            target.watch(watching);
            loses.join().unwrap();
            assert!(!target.is_in());
            let told = told.0.lock().unwrap();
            assert!(told.is_empty() || *told == [BrokerNews::In, BrokerNews::Out], "{told:?}");
        });
    }
}
