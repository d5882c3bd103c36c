//! What the operators add to an event, on numbers that are there already; and several topics in one subscription.

use crate::cases::now;
use alkpubsub::operators::Operators;
use alkpubsub::{EventEnvelope, Item, PubSub};
use anyhow::{Context, ensure};
use futures_util::{FutureExt, Stream, StreamExt, stream};

fn numbers(events: u64) -> stream::Iter<impl Iterator<Item = Item<u64>>> {
    stream::iter((0..events).map(Item::Event))
}

fn drain(stream: impl Stream, expected: u64) -> anyhow::Result<()> {
    let count = now(stream.count())? as u64;
    ensure!(count == expected, "{count} items in place of {expected}");
    Ok(())
}

/// Of the last 100, every other one is there already.
pub(crate) fn dedupe(events: u64) -> anyhow::Result<()> {
    drain(numbers(events).dedupe(|number| number / 2).last(100), events / 2)
}

pub(crate) fn batch(events: u64) -> anyhow::Result<()> {
    drain(numbers(events).batch(100).bytes(100, |_| 1), events / 100)
}

pub(crate) fn window(events: u64) -> anyhow::Result<()> {
    drain(numbers(events).window(100).step(100), events / 100)
}

/// Two groups, read in turn.
pub(crate) fn group_by(events: u64) -> anyhow::Result<()> {
    let mut groups = numbers(events).group_by(|number| number % 2);
    let mut group = || now(groups.next())?.and_then(Item::event).context("a group is missing");
    let mut both = [group()?, group()?];
    for number in 0..events {
        let given = both[(number % 2) as usize].next().now_or_never().flatten();
        ensure!(given.and_then(Item::event) == Some(number), "a number is missing");
    }
    Ok(())
}

pub(crate) fn subscribe_many(events: u64) -> anyhow::Result<()> {
    let pubsub = PubSub::in_process();
    let many = pubsub.subscribe_many().envelopes("a", "1", |event| event).envelopes("b", "1", |event| event);
    let mut many = now(many.subscribe())??;
    let published = ["a", "b"].map(|of| EventEnvelope::without_payload(of, "1"));
    for event in published.iter().cycle().take(events as usize) {
        pubsub.target().dispatch_event_ref(event.as_ref().map_err(Clone::clone)?)?;
        ensure!(many.try_next().and_then(Item::event).is_some(), "an event is missing");
    }
    Ok(())
}
