//! Opening connections and subscribing them.

use crate::measure::micros;
use crate::net::Net;
use alkpubsub_bench_hubs::message::Heard;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// One connection to be opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) topics: Vec<u32>,
    /// Whether its socket is to take little.
    pub(crate) small: bool,
}

/// What became of them.
#[derive(Debug)]
pub(crate) struct Joined {
    /// From the call of connect to the last answer, in microseconds, for each that was served.
    pub(crate) times: Vec<u32>,
    /// How many were not, and why the first of them was not.
    pub(crate) refused: u64,
    pub(crate) why: Option<String>,
}

/// No news for so long is the end of waiting.
pub(crate) const STALL: Duration = Duration::from_secs(10);

/// Opens them all, `parallel` at a time; a connection is done when all its topics are acknowledged.
pub(crate) fn try_join(net: &mut Net, plans: &[Plan], parallel: usize) -> Result<Joined> {
    let mut owed: Vec<(Instant, usize)> = Vec::with_capacity(plans.len());
    let mut joined = Joined { times: vec![], refused: 0, why: None };
    let (mut first, mut busy, mut progress) = (None, 0, Instant::now());
    let mut unexpected = None;
    while owed.len() < plans.len() || busy > 0 {
        while owed.len() < plans.len() && busy < parallel {
            let plan = &plans[owed.len()];
            owed.push((Instant::now(), plan.topics.len()));
            let at = net.connect(plan.small)?;
            first.get_or_insert(at);
            busy += 1;
        }
        let first = first.unwrap_or(0);
        net.turn(Duration::from_millis(20), |at, now, heard| match heard {
            Heard::Subscribed if at >= first && owed[at - first].1 > 0 => {
                let (since, left) = &mut owed[at - first];
                *left -= 1;
                if *left == 0 {
                    joined.times.push(micros(now - *since));
                    busy -= 1;
                }
                progress = now;
            }
            Heard::Other | Heard::Asks => {}
            other => unexpected = Some(format!("{other:?}")),
        })?;
        if let Some(what) = unexpected {
            bail!("while connecting: {what}");
        }
        for at in std::mem::take(&mut net.fresh) {
            net.say(at, |words, out| words.greet(out));
            let topics = &plans[at - first].topics;
            for topic in topics {
                net.say(at, |words, out| words.subscribe(*topic, out));
            }
            net.flush(at);
            if topics.is_empty() {
                joined.times.push(micros(owed[at - first].0.elapsed()));
                busy -= 1;
            }
            progress = Instant::now();
        }
        for (at, why) in std::mem::take(&mut net.lost) {
            joined.refused += 1;
            joined.why.get_or_insert(why);
            if at >= first && owed[at - first].1 > 0 {
                busy -= 1;
            }
        }
        if progress.elapsed() > STALL {
            joined.refused += busy as u64;
            joined.why.get_or_insert(format!("{busy} had no answer for {STALL:?}"));
            break;
        }
    }
    Ok(joined)
}

/// The same where all have to be served.
pub(crate) fn join(net: &mut Net, plans: &[Plan]) -> Result<Joined> {
    let joined = try_join(net, plans, 64)?;
    match &joined.why {
        Some(why) => bail!("while connecting: {} of {}: {why}", joined.refused, plans.len()),
        None => Ok(joined),
    }
}

/// Takes what is still on its way, until there is nothing for a while.
pub(crate) fn settle(net: &mut Net, time: Duration) -> Result<()> {
    let mut quiet = Instant::now();
    while quiet.elapsed() < time {
        net.turn(Duration::from_millis(10), |_, now, _| quiet = now)?;
    }
    Ok(())
}
