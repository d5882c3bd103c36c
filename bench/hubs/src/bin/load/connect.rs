//! Connections that come, subscribe and stay.

use crate::Common;
use crate::join::{self, Plan};
use crate::measure::{Mark, Results};
use alkpubsub_bench_hubs::message::{Heard, Tag};
use alkpubsub_bench_hubs::process;
use anyhow::Result;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// Connections, each with a topic of its own
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// How many are opened at one time; 0: all of them
    #[arg(long, default_value_t = 64)]
    parallel: usize,
}

impl Connect {
    pub(crate) fn run(&self, common: &Common, results: &mut Results) -> Result<()> {
        let mut net = common.net()?;
        let hub = common.hub();
        // The first takes its time, and what it takes is not what the next one costs.
        join::join(&mut net, &[Plan::default()])?;
        let own = |topic| Plan { topics: vec![topic], small: false };
        let plans: Vec<Plan> = (0..self.connections as u32).map(own).collect();

        let (kernel, memory) =
            (process::kernel_memory()?, hub.as_ref().map(process::Process::memory).transpose()?);
        let before = Mark::take(hub.as_ref(), &net, 0)?;
        let started = Instant::now();
        net.spin = !common.sleep;
        let parallel = if self.parallel == 0 { self.connections } else { self.parallel };
        let joined = join::try_join(&mut net, &plans, parallel)?;
        let time = started.elapsed();
        let after = Mark::take(hub.as_ref(), &net, 0)?;
        net.spin = false;
        let served = joined.times.len();
        before.report_each(&after, served.max(1), results);
        results.add("served", served as f64);
        results.add("all_after_ms", time.as_secs_f64() * 1e3);
        results.add("per_s", served as f64 / time.as_secs_f64());
        results.times(joined.times, "");

        // What was needed for the moment alone is gone after a while.
        stay(common.warm_up, &mut net)?;
        let before = Mark::take(hub.as_ref(), &net, 0)?;
        stay(common.seconds, &mut net)?;
        results.add("idle_cpu_pct", before.hub_pct(&Mark::take(hub.as_ref(), &net, 0)?));
        let each = |later: u64, earlier: u64| (later as f64 - earlier as f64) / served.max(1) as f64;
        if let (Some(hub), Some(memory)) = (&hub, memory) {
            results.add("memory_kib", each(hub.memory()?, memory));
        }
        results.add("kernel_kib", each(process::kernel_memory()?, kernel));

        // They are connected only if they hear something.
        let mut silent = vec![true; self.connections];
        let mut wrong = 0;
        if joined.refused == 0 {
            let mut progress = Instant::now();
            let mut next = 0;
            let mut under_way = 0_usize;
            while (next < self.connections || under_way > 0) && progress.elapsed() < Duration::from_secs(3) {
                while next < self.connections && under_way < 256 {
                    let tag = Tag { topic: next as u32, publisher: 0, number: 1, due: 0 };
                    net.say(0, |words, out| words.publish(tag, 128, out));
                    next += 1;
                    under_way += 1;
                }
                net.flush(0);
                net.turn(Duration::from_millis(20), |at, now, heard| match heard {
                    Heard::Event(tag, _) if at == tag.topic as usize + 1 && silent[at - 1] => {
                        silent[at - 1] = false;
                        under_way -= 1;
                        progress = now;
                    }
                    Heard::Other | Heard::Asks => {}
                    _ => wrong += 1,
                })?;
            }
            results.complain(silent.iter().filter(|silent| **silent).count() as u64, "heard nothing");
        }
        results.complain(joined.refused, &format!("not served: {}", joined.why.unwrap_or_default()));
        results.complain(wrong, "out of place");
        results.complain(net.lost.len() as u64, "lost while idle");
        Ok(())
    }
}

fn stay(seconds: f64, net: &mut crate::net::Net) -> Result<()> {
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < seconds {
        net.turn(Duration::from_millis(20), |_, _, _| {})?;
    }
    Ok(())
}
