//! Several threads at a time.

use super::*;

/// The number of the publisher and that of its event.
fn numbers(heard: &Heard) -> Vec<(u64, u64)> {
    take(heard)
        .iter()
        .map(|text| EventEnvelope::parse(text.clone()).unwrap().payload::<(u64, u64)>().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_several_threads_on_both_sides_each_publishers_events_cross_in_their_order() {
    const EVENTS: u64 = 2000;
    let (left, right) = in_process();
    let heard = [listen(&left), listen(&right)];
    let bridge = bridged(left.clone(), right.clone(), BridgeOptions::new()).bridge;
    // Two, of which one at a time carries.
    let running = [(); 2].map(|()| {
        let bridge = bridge.clone();
        tokio::spawn(async move { bridge.run().await })
    });
    let publishers: Vec<_> = (0..6_u64)
        .map(|publisher| {
            let target = if publisher % 2 == 0 { left.clone() } else { right.clone() };
            std::thread::spawn(move || {
                for number in 0..EVENTS {
                    target.dispatch_event(event(format!("[{publisher},{number}]"))).unwrap();
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let all_there = async {
        while heard.iter().any(|heard| heard.lock().unwrap().len() < 6 * EVENTS as usize) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, all_there).await.expect("not all came");
    for heard in &heard {
        let mut next = [0; 6];
        for (publisher, number) in numbers(heard) {
            assert_eq!(number, next[publisher as usize], "of publisher {publisher}");
            next[publisher as usize] += 1;
        }
        assert_eq!(next, [EVENTS; 6]);
    }
    bridge.close();
    for running in running {
        assert_eq!(tokio::time::timeout(LONG, running).await.unwrap().unwrap(), BridgeEnd::Closed);
    }
}

#[test]
fn topics_that_threads_add_and_remove_at_random_end_as_they_are_wanted() {
    let (left, right) = in_process();
    let bridge = Arc::new(Bridge::new(left.clone(), right.clone(), BridgeOptions::new()).unwrap());
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let bridge = bridge.clone();
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                let mut held = Vec::new();
                for _ in 0..5000 {
                    if random.bool() || held.is_empty() {
                        let topic = format!("t:{}", random.u32(..8));
                        bridge.add_topic(&topic).unwrap();
                        held.push(topic);
                    } else {
                        bridge.remove_topic(&held.swap_remove(random.usize(..held.len())));
                    }
                }
                held
            })
        })
        .collect();
    let held: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let wanted: std::collections::BTreeSet<_> = held.iter().cloned().collect();
    let counts = || (left.stats().topics, right.stats().topics, bridge.stats().topics);
    let all = wanted.len() as u64;
    assert_eq!((counts(), left.stats().listeners), ((all, all, all), all + 1));
    held.iter().for_each(|topic| bridge.remove_topic(topic));
    assert_eq!((counts(), left.stats().listeners), ((0, 0, 0), 1));
}
