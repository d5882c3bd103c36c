//! Two hundred spokes do whatever comes to mind, against a model that knows what each of them must have heard.
//!
//! ```sh
//! cargo test -p alkpubsub --all-features --test soak                       # 3 s
//! SOAK_SECONDS=600 SOAK_SEED=7 cargo test ... --test soak -- --nocapture   # longer, and the operations of one seed
//! SOAK_HUB=target/debug/alkpubsub cargo test ... --test soak               # with the program as the hub
//! ```
//!
//! Real sockets, real tasks on several threads, and a relaying hub: the library's in this process, or the program as
//! a child. The operations are those of one seed; how threads and sockets interleave is not.
//!
//! # What happens
//! Spokes that connect anew (half of them through a proxy that cuts, stalls and refuses), some of which keep their
//! events, clients of one connection, and raw peers that send what is wrong. They subscribe, several times to one
//! topic, with queues of all policies and sizes; take it back, also before the answer; read fast, slowly or not at
//! all; listen without a queue; publish events small and large; are denied; leave by every way there is, and others
//! come. The proxy cuts between and within frames. The hub closes with 1001, 1011, 1012 and 1013, drains and ends
//! and is there again, denies a topic for a while that it granted before.
//!
//! # What the model knows
//! An event carries its publisher, the number of the publisher's connection (0 where events are kept for the next
//! one), and its own number among those of that connection and topic: together a *source* and a number, from 1. The
//! run is divided into *epochs*, which end at *fences*. At a fence all faults are healed, all spokes are connected
//! and confirmed, and each has heard an event of its own twice: the first time says that the hub has taken all that
//! was published before by anybody over a connection that is there, the second that everybody has received what the
//! hub then had for them. If a connection was made meanwhile, the fence is built anew. Then every queue is read to
//! its end. For each subscription, and each source of its topic:
//!
//! 1. *Never twice, never out of order, nothing else*: the numbers heard grow, no number was heard that was not
//!    published, nothing that an earlier fence settled comes again, no event of another topic, no byte is different.
//! 2. *Everything from the confirmation on*: what was published after `subscribe` had returned, or a `Gap` was
//!    read, is *owed*. It is heard, up to the last one at the fence, or a loss is told in its place: between the last
//!    number heard before and the first heard after, there is a `Lagged`, or a `Gap`. What was on its way at the time of
//!    the confirmation may be heard or not, also with holes: it may come of an earlier subscription to the same topic.
//! 3. *`Lagged` is exact*: at a fence the sum of all `Lagged` of an epoch lies between the number of events owed that
//!    are missing around one of them, and that of all that may be. Without an interruption both are the same.
//! 4. *A `Gap` for each interruption*: none without a connection that was made in this epoch, at least one for a
//!    subscription that was confirmed on an earlier connection than the one at the fence.
//! 5. *A connection that broke took its end with it, and nothing else*: of a source whose connection is gone, the last
//!    events may be missing, never one in the middle. Of one that keeps its events some of an epoch in which it lost a
//!    connection may be missing.
//! 6. *After the removal nothing*: a listener that was removed is not called. Calls that had begun are over at the
//!    next fence; a later one is an error.
//! 7. *An end has a reason*: a stream ends by its own overflow, where its policy says so, with its target, or denied
//!    after an interruption, where the topic is one that is denied at times.
//! 8. *Counters add up*: at each fence those of each spoke (dispatched, sent, rejected, listeners, topics, queues) are
//!    what it did and holds, and the hub's links and topics are those of all spokes together. Over an epoch without
//!    interruptions the hub has received what all have dispatched, has sent what all have received, and dropped
//!    nothing. A hub that has ended holds nothing. When all have left, every task is gone.
//!
//! What is not known: an event that was dispatched while one connection followed the other may have been sent over
//! either; it counts as neither owed nor wrong. Events of a connection that is gone may still be in the hub's socket,
//! so they may come until the fence after the next, in order.

mod ear;
mod hub;
mod ledger;
mod proxy;
mod random;
mod raw;
mod reader;
mod run;
mod spoke;
mod world;

use std::num::NonZeroU8;
use std::time::Duration;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value:?} is not a number")))
}

#[test]
fn everyone_hears_what_the_model_says() {
    soak(NonZeroU8::MIN);
}

#[test]
fn everyone_hears_it_in_a_hub_of_two_shards() {
    soak(NonZeroU8::MIN.saturating_add(1));
}

fn soak(shards: NonZeroU8) {
    let seed = variable("SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let time = Duration::from_secs(variable("SOAK_SECONDS").unwrap_or(3));
    let hub = std::env::var("SOAK_HUB").ok();
    eprintln!(
        "SOAK_SEED={seed}, {time:?}, shards: {shards}, hub: {}",
        hub.as_deref().unwrap_or("the library's")
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runtime.block_on(run::soak(seed, time, hub, shards));
    match done {
        Ok(figures) => eprintln!("{figures}"),
        Err(why) => panic!("SOAK_SEED={seed}: {why}"),
    }
    let tasks = || runtime.metrics().num_alive_tasks();
    for _ in 0..2000 {
        if tasks() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("SOAK_SEED={seed}: {} tasks are left", tasks());
}
