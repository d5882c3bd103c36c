//! Pairs that exchange a request and its answer, while others go perhaps.

use crate::Common;
use crate::join::{self, Plan};
use crate::measure::{Phases, Results, micros};
use crate::net::{How, Net};
use alkpubsub_bench_hubs::message::{Heard, Tag};
use anyhow::Result;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Pairs {
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    /// Requests a second of each pair; without it, the next one follows each answer
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of a payload
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// So many others go at once when a third of the time is over
    #[arg(long, default_value_t = 0)]
    leave: usize,
    #[arg(long, value_enum, default_value_t = How::Close)]
    how: How,
}

/// So many go between two looks at the sockets: all at one moment would be this program's delay, not the hub's.
const LEAVE_AT_ONCE: usize = 16;

impl Pairs {
    fn say(&self, net: &mut Net, from: usize, number: u32, due: Duration) {
        let tag = Tag { topic: (from ^ 1) as u32, publisher: 0, number, due: due.as_micros() as u64 };
        net.say(from, |words, out| words.publish(tag, self.bytes, out));
        net.flush(from);
    }

    pub(crate) fn run(&self, common: &Common, results: &mut Results) -> Result<()> {
        let mut net = common.net()?;
        let count = self.pairs * 2;
        let own = |topic: usize| Plan { topics: vec![topic as u32], small: false };
        let shared = (count + self.leave) as u32;
        let mut plans: Vec<Plan> = (0..count + self.leave).map(own).collect();
        plans[count..].iter_mut().for_each(|plan| plan.topics.push(shared));
        join::join(&mut net, &plans)?;
        net.spin = !common.sleep;

        let hub = common.hub();
        let words = common.words();
        let mut phases = Phases::new(common.warm_up, common.seconds);
        let leave_at = phases.from + (phases.to - phases.from) / 3;
        let gap = self.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        // Requests of a rate are due one after the other, not all at one moment.
        let mut due: Vec<Duration> =
            (0..self.pairs).map(|pair| gap.unwrap_or_default() * pair as u32 / self.pairs as u32).collect();
        let mut asked = vec![0_u32; self.pairs];
        let mut answered = vec![0_u32; self.pairs];
        let mut heard_by_second = vec![0_u32; self.pairs];
        let (mut delivered, mut wrong, mut heard_so_far) = (0, 0, 0_u64);
        let (mut before, mut after) = (vec![], vec![]);
        let mut replies = vec![];
        let (mut gone, mut gone_at, mut all_gone_at) = (0, None, None);
        let (mut last_turn, mut longest_turn) = (phases.now(), Duration::ZERO);
        let (mut progress, mut why, mut lost) = (Instant::now(), None, 0);
        loop {
            let publishing = phases.tick(hub.as_ref(), &net, delivered)?;
            let now = phases.now();
            if now > phases.from && now < phases.to {
                longest_turn = longest_turn.max(now - last_turn);
            }
            last_turn = now;
            let through = asked == answered;
            if through && gap.is_some() {
                progress = Instant::now();
            }
            if (!publishing && through) || progress.elapsed() > Duration::from_secs(3) || lost > 0 {
                break;
            }
            for pair in 0..self.pairs {
                while publishing
                    && match gap {
                        Some(_) => due[pair] <= now && due[pair] < phases.to,
                        None => asked[pair] == answered[pair],
                    }
                {
                    asked[pair] += 1;
                    self.say(
                        &mut net,
                        pair * 2,
                        asked[pair],
                        gap.map_or_else(|| phases.now(), |_| due[pair]),
                    );
                    due[pair] += gap.unwrap_or_default();
                }
            }
            if self.leave > gone && now >= leave_at {
                for at in (count + gone..count + self.leave).take(LEAVE_AT_ONCE) {
                    net.leave(at, self.how)?;
                    gone += 1;
                }
                gone_at = Some(phases.now());
            } else if self.leave > 0 && gone == self.leave && net.leaving == 0 {
                all_gone_at.get_or_insert(now);
            }
            let wait = if gap.is_some() { Duration::from_millis(1) } else { Duration::from_millis(20) };
            net.turn(wait, |at, now, heard| match heard {
                Heard::Event(tag, payload) if at < count && tag.topic == at as u32 => {
                    let pair = at / 2;
                    heard_so_far += 1;
                    if heard_so_far.is_multiple_of(61) && !words.is_whole(tag, payload) {
                        wrong += 1;
                    }
                    let last = if at % 2 == 1 { &mut heard_by_second[pair] } else { &mut answered[pair] };
                    if tag.number != *last + 1 {
                        wrong += 1;
                        return;
                    }
                    *last += 1;
                    delivered += 1;
                    progress = now;
                    let since = Duration::from_micros(tag.due);
                    if at % 2 == 1 {
                        replies.push((at, tag.number, since));
                    } else if phases.counts(since) {
                        let time = micros(phases.at(now).saturating_sub(since));
                        if self.leave > 0 && since >= leave_at { &mut after } else { &mut before }.push(time);
                    }
                }
                Heard::Other | Heard::Asks => {}
                _ => wrong += 1,
            })?;
            for (at, number, due) in replies.drain(..) {
                self.say(&mut net, at, number, due);
            }
            for (_, reason) in net.lost.drain(..) {
                lost += 1;
                why.get_or_insert(reason);
            }
        }
        let incomplete = phases.report(results);
        results.times(before, if self.leave > 0 { "_before" } else { "" });
        if self.leave > 0 {
            results.times(after, "");
            let since = |end: Option<Duration>| end.map_or(0.0, |end| (end - leave_at).as_secs_f64() * 1e3);
            results.add("left_in_ms", since(gone_at));
            if self.how == How::Close {
                results.add("answered_in_ms", since(all_gone_at));
            }
            results.complain((self.leave - gone) as u64, "did not go");
            results.complain(net.leaving as u64, "closes without an answer");
        }
        results.add("longest_turn_us", longest_turn.as_secs_f64() * 1e6);
        let open: u64 =
            asked.iter().zip(&answered).map(|(asked, answered)| u64::from(asked - answered)).sum();
        results.complain(open, "without an answer");
        results.complain(wrong, "out of order, altered, or never asked for");
        results.complain(lost, &format!("lost: {}", why.unwrap_or_default()));
        if lost == 0 && open == 0 {
            incomplete?;
        }
        Ok(())
    }
}
