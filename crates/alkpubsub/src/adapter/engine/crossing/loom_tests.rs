//! Shards that fill each other's inboxes, in every order of threads.

use super::*;
use loom::future::block_on;
use loom::thread;
use std::future::poll_fn;
use std::task::Poll;

/// Full with one message.
const ONE: Bounds = Bounds { messages: 1, bytes: 1 << 20 };

fn crossings(shards: usize) -> Arc<Crossings<String>> {
    let ready = (0..shards).map(|_| Arc::default()).collect();
    // Topics have a test of their own: here everything goes to everybody, so that there is less to look at.
    let all = Arc::new(Crossings::with_inboxes(ready, FanOut::All, &HubLimits::DEFAULT, ONE));
    for _ in 0..shards {
        all.place();
    }
    all
}

/// A shard that has published one event, so that whoever was sent it holds it up.
fn begun(all: &Arc<Crossings<String>>, shard: u8) -> Crossing<String> {
    let mut crossing = all.crossing(shard);
    crossing.publish("", || format!("{shard}.0"));
    crossing.flush();
    crossing
}

/// Serves a shard until it has published another event, if it is to, and heard so many. Where a wake-up was lost,
/// all threads wait, and loom says so.
fn serve(mut crossing: Crossing<String>, mut publishes: bool, hears: usize) {
    let (all, shard) = (crossing.all.clone(), crossing.shard);
    let mut heard = Vec::new();
    block_on(poll_fn(|context| {
        all.seats[usize::from(shard)].ready.register(context.waker());
        let mut taken = Vec::new();
        crossing.take(&mut taken);
        heard.extend(taken.into_iter().map(|crossed| crossed.message));
        crossing.look_for_room();
        if publishes && !crossing.is_held_up() {
            crossing.publish("", || format!("{shard}.1"));
            crossing.flush();
            publishes = false;
        }
        if !publishes && heard.len() == hears { Poll::Ready(()) } else { Poll::Pending }
    }));
    for from in ["0.", "1."] {
        let heard = heard.iter().filter(|event| event.starts_with(from));
        assert!(heard.is_sorted(), "in the order of each");
    }
}

#[test]
fn two_shards_that_fill_each_other_go_on() {
    loom::model(|| {
        let all = crossings(2);
        let [one, two] = [0, 1].map(|shard| begun(&all, shard));
        assert!(one.is_held_up() && two.is_held_up());
        let serving = thread::spawn(move || serve(two, true, 2));
        serve(one, true, 2);
        serving.join().unwrap();
    });
}

#[test]
fn two_shards_that_fill_a_third_are_both_woken() {
    // Of three threads there are too many orders to look as far.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.map(|bound| bound.saturating_sub(1));
    model.check(|| {
        let all = crossings(3);
        // Nothing goes to those two.
        (0..2).for_each(|shard| all.left(shard));
        let serving = [0, 1].map(|shard| {
            let crossing = begun(&all, shard);
            thread::spawn(move || serve(crossing, true, 0))
        });
        serve(all.crossing(2), false, 4);
        _ = serving.map(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_shard_that_ends_holds_nobody_up() {
    loom::model(|| {
        let all = crossings(2);
        let (one, two) = (begun(&all, 0), all.crossing(1));
        let ending = thread::spawn(move || drop(two));
        serve(one, true, 0);
        ending.join().unwrap();
    });
}
