//! The same for hubs.

use crate::hub::{self, HubEnd};
use crate::{time, with, with_hub};
use alkpubsub::protocol::hub::{FanOut, HubLimits};

exports! {
    /// A hub. `fan_out` is 0 for those who subscribed, or 1 for all; `asks` is whether the program has a say in who may
    /// publish.
    fn hub_new(
        fan_out: u32,
        identities: u32,
        asks: u32,
        max_message: u32,
        max_depth: u32,
        max_topic: u32,
        max_topics_per_link: u32,
        max_links: u32,
    ) -> u32 {
        let mut limits = HubLimits::DEFAULT;
        (limits.message.max_message, limits.message.max_depth) = (max_message as usize, max_depth as usize);
        limits.max_topic = max_topic as usize;
        limits.max_topics_per_link = max_topics_per_link as usize;
        limits.max_links = max_links as usize;
        let fan_out = if fan_out == 0 { FanOut::Subscribed } else { FanOut::All };
        let hub = HubEnd::new(limits, fan_out, identities != 0, asks != 0);
        with(|instance| instance.hubs.insert(hub) as u32)
    }

    /// It is gone; its number may be another's.
    fn hub_free(hub: u32) {
        with(|instance| drop(instance.hubs.remove(hub as usize)));
    }

    /// A link came, with or without an identity, which is in the scratch memory: its slot, or `u32::MAX` if there are as
    /// many as there may be.
    fn hub_connect(hub: u32, has_identity: u32, length: u32) -> u32 {
        with_hub(hub, |end, shared| end.connect((has_identity != 0).then(|| shared.input(length as usize))))
    }

    /// A link is gone.
    fn hub_disconnect(hub: u32, slot: u32) {
        with_hub(hub, |end, _| end.disconnect(slot));
    }

    /// A listener of the program's was added: the number of the topic, which is in the scratch memory.
    fn hub_listen(hub: u32, length: u32) -> u32 {
        with_hub(hub, |end, shared| end.listen(shared.input(length as usize)))
    }

    /// A listener was removed.
    fn hub_unlisten(hub: u32, length: u32) {
        with_hub(hub, |end, shared| end.unlisten(shared.input(length as usize)));
    }

    /// Takes the message in the scratch memory; see `hub::asked`. One that is longer than the memory
    /// counts as too large.
    fn hub_receive(hub: u32, slot: u32, length: u32) -> u32 {
        with_hub(hub, |end, shared| end.receive(slot, length as usize, shared))
    }

    /// Counts what was refused just now: the close code with which the connection is to end, or 0.
    fn hub_refused(hub: u32, slot: u32, now: f64) -> u32 {
        with_hub(hub, |end, _| end.refused(slot, time(now)))
    }

    /// Grants the topic in the scratch memory.
    fn hub_subscribe(hub: u32, slot: u32, length: u32) {
        with_hub(hub, |end, shared| end.subscribe(slot, shared.input(length as usize)));
    }

    /// Denies what is in the scratch memory, as `reason\ntopic`: a subscription, be it one that is held, or what was
    /// published.
    fn hub_deny(hub: u32, slot: u32, length: u32, is_subscription: u32) {
        with_hub(hub, |end, shared| end.deny(slot, shared.input(length as usize), is_subscription != 0));
    }

    /// Whether the envelope in the scratch memory may be sent; if not, the reason is given as by [`hub_receive`].
    fn hub_admit(hub: u32, length: u32, is_ours: u32) -> u32 {
        with_hub(hub, |end, shared| u32::from(end.admit(length as usize, is_ours != 0, shared)))
    }

    /// How many links want the topic in the scratch memory; their slots are the numbers. What waits for them has to be
    /// handed over before.
    fn hub_fan_out(hub: u32, length: u32) -> u32 {
        with_hub(hub, |end, shared| end.fan_out(length as usize, shared))
    }

    /// Tells the links what is missing: `reason\ntopic` in the scratch memory, of that topic or of any.
    fn hub_gap(hub: u32, length: u32, is_named: u32, missed: u32) {
        with_hub(hub, |end, shared| end.gap(shared.input(length as usize), is_named != 0, missed));
    }

    /// From now on no new subscription is taken.
    fn hub_drain(hub: u32) {
        with_hub(hub, |end, _| end.hub.drain());
    }

    /// How many links have something to send; their slots are the numbers.
    fn hub_take_dirty(hub: u32) -> u32 {
        with_hub(hub, |end, shared| end.take_dirty(shared))
    }

    /// The oldest message that waits for a link, as text: 0 for none.
    fn hub_pop(hub: u32, slot: u32) -> u32 {
        with_hub(hub, |end, shared| end.pop(slot, shared))
    }

    /// The counters as numbers, two for each.
    fn hub_count(hub: u32) {
        with_hub(hub, |end, shared| end.count(shared));
    }

    /// The counters' names as text, one a line.
    fn hub_counters() {
        with(|instance| hub::names(&mut instance.shared));
    }
}
