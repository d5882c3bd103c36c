//! When it is measured, and what there is to say afterwards.

use crate::net::Net;
use alkpubsub_bench_hubs::process::{self, Process};
use anyhow::{Context as _, Result};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// What the counters say at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    at: Instant,
    hub: Duration,
    own: Duration,
    machine: Duration,
    segments: u64,
    writes: u64,
    delivered: u64,
}

impl Mark {
    pub(crate) fn take(hub: Option<&Process>, net: &Net, delivered: u64) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            hub: hub.map_or(Ok(Duration::ZERO), Process::cpu)?,
            own: process::own_cpu()?,
            machine: process::machine_cpu()?,
            segments: process::tcp_segments()?,
            writes: net.writes,
            delivered,
        })
    }

    /// What others did between two marks, in percent of one CPU.
    fn others(&self, later: &Self) -> f64 {
        let known = (later.hub - self.hub) + (later.own - self.own);
        percent((later.machine - self.machine).saturating_sub(known), later.at - self.at)
    }

    /// What is said of every workload that lasts for a while.
    pub(crate) fn report(&self, later: &Self, results: &mut Results) {
        let time = later.at - self.at;
        let deliveries = (later.delivered - self.delivered) as f64;
        results.add("deliveries_per_s", deliveries / time.as_secs_f64());
        results.add("hub_cpu_us", (later.hub - self.hub).as_secs_f64() * 1e6 / deliveries);
        results.add("hub_cpu_pct", percent(later.hub - self.hub, time));
        let written = (later.segments - self.segments).saturating_sub(later.writes - self.writes).max(1);
        results.add("deliveries_per_write", deliveries / written as f64);
        results.add("load_cpu_pct", percent(later.own - self.own, time));
        results.add("others_cpu_pct", self.others(later));
    }

    /// What is said of `count` things that were done once.
    pub(crate) fn report_each(&self, later: &Self, count: usize, results: &mut Results) {
        results.add("hub_cpu_us", (later.hub - self.hub).as_secs_f64() * 1e6 / count as f64);
        results.add("hub_cpu_pct", percent(later.hub - self.hub, later.at - self.at));
        results.add("load_cpu_pct", percent(later.own - self.own, later.at - self.at));
        results.add("others_cpu_pct", self.others(later));
    }

    /// The hub's CPU between two marks, in percent.
    pub(crate) fn hub_pct(&self, later: &Self) -> f64 {
        percent(later.hub - self.hub, later.at - self.at)
    }
}

fn percent(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}

/// The clock that events tell their time by, and the part of it that is measured.
#[derive(Debug)]
pub(crate) struct Phases {
    start: Instant,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    first: Option<Mark>,
    last: Option<Mark>,
}

impl Phases {
    pub(crate) fn new(warm_up: f64, seconds: f64) -> Self {
        let from = Duration::from_secs_f64(warm_up);
        let to = from + Duration::from_secs_f64(seconds);
        Self { start: Instant::now(), from, to, first: None, last: None }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// An instant by this clock.
    pub(crate) fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// Takes the marks when it is time to; whether there is still something to be published.
    pub(crate) fn tick(&mut self, hub: Option<&Process>, net: &Net, delivered: u64) -> Result<bool> {
        let now = self.now();
        if self.first.is_none() && now >= self.from {
            self.first = Some(Mark::take(hub, net, delivered)?);
        }
        if self.last.is_none() && now >= self.to {
            self.last = Some(Mark::take(hub, net, delivered)?);
        }
        Ok(self.last.is_none())
    }

    /// Whether something that was due then counts.
    pub(crate) fn counts(&self, due: Duration) -> bool {
        (self.from..self.to).contains(&due)
    }

    pub(crate) fn report(&self, results: &mut Results) -> Result<()> {
        let first = self.first.context("ended before the measured part began")?;
        first.report(&self.last.context("stalled before the measured part was over")?, results);
        Ok(())
    }
}

/// The figures and complaints of a run, in order.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: Map<String, Value>,
    wrong: Vec<String>,
}

impl Results {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        let digits = 10_f64.powi(4 - value.abs().max(1e-9).log10().floor() as i32);
        self.values.insert(name.to_owned(), ((value * digits).round() / digits).into());
    }

    /// Percentiles of times in microseconds, under names that end with `suffix`.
    pub(crate) fn times(&mut self, mut times: Vec<u32>, suffix: &str) {
        times.sort_unstable();
        for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            self.add(&format!("{name}_us{suffix}"), percentile(&times, part));
        }
    }

    /// Something that was not as it must be, if it happened at all.
    pub(crate) fn complain(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.wrong.push(format!("{count} {what}"));
        }
    }

    pub(crate) fn print(mut self) -> bool {
        let fine = self.wrong.is_empty();
        self.values.insert("wrong".to_owned(), self.wrong.into());
        println!("{}", Value::Object(self.values));
        fine
    }
}

/// The smallest of sorted values that so large a part of them does not exceed.
pub(crate) fn percentile(sorted: &[u32], part: f64) -> f64 {
    let at = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(0.0, |value| f64::from(*value))
}

/// Microseconds, for a list of times.
pub(crate) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(
            [0.5, 0.99, 0.999, 1.0].map(|part| percentile(&hundred, part)),
            [50.0, 99.0, 100.0, 100.0]
        );
        assert_eq!(percentile(&[7], 0.5), 7.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
