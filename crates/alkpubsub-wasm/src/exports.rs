//! What JavaScript calls. Each is one call of what it is named after.

use crate::link::{LinkEnd, OVERFLOW};
use crate::{milliseconds, time, with, with_link};
use alkpubsub::protocol::check::MessageLimits;
use alkpubsub::protocol::link::{Link, LinkOptions};
use alkpubsub::protocol::{AfterClose, Backoff, BackoffOptions, HeartbeatOptions};

fn after(code: u32) -> AfterClose {
    AfterClose::of(code.min(u16::MAX.into()) as u16)
}

macro_rules! exports {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub extern "C" fn $name($($arg: $type),*) $(-> $result)? $body)*
    };
}

#[cfg(feature = "hub")]
pub mod broker;
#[cfg(feature = "hub")]
pub mod hub;

exports! {
    /// Memory for so many bytes, where text goes in; what is there is lost when more is asked for.
    fn scratch(bytes: u32) -> *mut u8 {
        with(|instance| {
            let input = &mut instance.shared.input;
            *input = Vec::new();
            input.resize(bytes as usize, 0);
            input.as_mut_ptr()
        })
    }

    /// Eight numbers of 32 bits, where results are read; they stay where they are.
    fn words() -> *const u32 {
        with(|instance| instance.shared.words.as_ptr())
    }

    /// A link of one connection, which is there (`kind` 0); of one that has none yet, and outlives those that it will have
    /// (1), or begins with a ping and ends with its only one (2).
    fn link_new(
        forward: u32,
        kind: u32,
        max_message: u32,
        max_depth: u32,
        max_topic: u32,
        max_queued: u32,
        max_queued_bytes: u32,
        answer_timeout: f64,
        ping_interval: f64,
        ping_timeout: f64,
    ) -> u32 {
        let mut options = LinkOptions::DEFAULT;
        options.forward_subscriptions = forward != 0;
        options.max_topic = max_topic as usize;
        options.max_queued = max_queued as usize;
        options.max_queued_bytes = max_queued_bytes as usize;
        options.answer_timeout = time(answer_timeout);
        let mut limits = MessageLimits::DEFAULT;
        (limits.max_message, limits.max_depth) = (max_message as usize, max_depth as usize);
        let mut heartbeat = HeartbeatOptions::DEFAULT;
        (heartbeat.interval, heartbeat.timeout) = (time(ping_interval), time(ping_timeout));
        let link = match kind {
            0 => Link::new(options),
            1 => Link::outliving(options, heartbeat),
            _ => Link::opening(options, heartbeat),
        };
        with(|instance| instance.links.insert(LinkEnd::new(link, limits)) as u32)
    }

    /// It is gone; its number may be another's.
    fn link_free(link: u32) {
        with(|instance| drop(instance.links.remove(link as usize)));
    }

    /// See [`Link::connected`].
    fn link_connected(link: u32, now: f64) -> u32 {
        with_link(link, |end, _| end.link.connected(time(now)).map_or(OVERFLOW, |()| 0))
    }

    /// See [`Link::disconnected`].
    fn link_disconnected(link: u32, keep_events: u32) {
        with_link(link, |end, _| end.link.disconnected(keep_events != 0));
    }

    /// A listener was added: the number of the topic, which is in the scratch memory.
    fn link_want(link: u32, length: u32, now: f64) -> u32 {
        with_link(link, |end, shared| {
            end.want(shared.input(length as usize), time(now)).unwrap_or(OVERFLOW)
        })
    }

    /// A listener was removed: how many topics are still listened to.
    fn link_unwant(link: u32, length: u32) -> u32 {
        with_link(link, |end, shared| end.unwant(shared.input(length as usize)).unwrap_or(OVERFLOW))
    }

    /// Whether the topic in the scratch memory is in place: 0 while that is open; 1 confirmed; 2 unconfirmed; 3 denied,
    /// with the reason as text.
    fn link_readiness(link: u32, length: u32) -> u32 {
        with_link(link, |end, shared| {
            let topic = shared.input(length as usize).to_owned();
            end.readiness(&topic, shared)
        })
    }

    /// Takes the message in the scratch memory; see `link::heard`. One that is longer than the memory
    /// counts as too large.
    fn link_receive(link: u32, length: u32) -> u32 {
        with_link(link, |end, shared| end.receive(length as usize, shared))
    }

    /// Counts what was refused just now: the close code with which the connection is to end, or 0.
    fn link_refused(link: u32, now: f64) -> u32 {
        with_link(link, |end, _| end.refused(time(now)))
    }

    /// Whether the envelope in the scratch memory may be sent; if not, the reason is given as by [`link_receive`].
    fn link_admit(link: u32, length: u32, is_ours: u32) -> u32 {
        with_link(link, |end, shared| u32::from(end.admit(length as usize, is_ours != 0, shared)))
    }

    /// An event of so many bytes: 0 if there is no room; 1 if it may leave at once; 2 if it waits, to be given back by
    /// [`link_pop`].
    fn link_send(link: u32, weight: u32) -> u32 {
        with_link(link, |end, _| end.send(weight as usize))
    }

    /// The oldest message that waits: 0 for none; 1 for the oldest event that was taken; 2 for a control event, its
    /// text.
    fn link_pop(link: u32) -> u32 {
        with_link(link, |end, shared| end.pop(shared))
    }

    /// See [`Link::refill`]: 1 if more is left.
    fn link_refill(link: u32, now: f64) -> u32 {
        with_link(link, |end, _| end.link.refill(time(now)).map_or(OVERFLOW, u32::from))
    }

    /// Queues a ping: its number.
    fn link_ping(link: u32) -> u32 {
        with_link(link, |end, _| end.link.ping().map_or(OVERFLOW, |number| number as u32))
    }

    /// Whether that ping was answered.
    fn link_ponged(link: u32, ping: u32) -> u32 {
        with_link(link, |end, _| u32::from(end.link.ponged(ping.into())))
    }

    /// When [`link_handle_timeout`] has something to do; infinite if never.
    fn link_timeout(link: u32) -> f64 {
        with_link(link, |end, _| end.link.timeout().map_or(f64::INFINITY, milliseconds))
    }

    /// What became due: 0 for nothing; 1 if those who wait should look, with the numbers of the topics whose gap is to
    /// be told (where they are, and how many); 2 if the far side is gone.
    fn link_handle_timeout(link: u32, now: f64) -> u32 {
        with_link(link, |end, shared| end.handle_timeout(time(now), shared))
    }

    /// Whether a close code asks a spoke to stop.
    fn stops(code: u32) -> u32 {
        u32::from(after(code) == AfterClose::Stop)
    }

    /// How the waits of a spoke grow; see [`BackoffOptions`].
    fn link_set_backoff(link: u32, first: f64, max: f64, later: f64, stable_after: f64) {
        let mut options = BackoffOptions::DEFAULT;
        (options.first, options.max) = (time(first), time(max));
        (options.later, options.stable_after) = (time(later), time(stable_after));
        with_link(link, |end, _| end.backoff = Backoff::new(options));
    }

    /// How long to wait before the next attempt, after a connection that lived so long and ended with this code (0: there
    /// was none), with a random number from 0 to 1.
    fn link_wait(link: u32, code: u32, lived: f64, random: f64) -> f64 {
        with_link(link, |end, _| {
            end.backoff.lived(time(lived));
            milliseconds(end.backoff.next(after(code), random))
        })
    }
}
