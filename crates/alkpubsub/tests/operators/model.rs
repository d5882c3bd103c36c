//! What the operators do, on vectors, as slowly as one likes.

use alkpubsub::{GapReason, Item, Overflow, QueueLimits};
use std::collections::VecDeque;
use std::fmt::Debug;

/// An item that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    Event(String),
    Lagged(u64),
    Gap(GapReason),
    Undecodable,
}

pub(crate) fn show<T: Debug>(item: Item<T>) -> Shown {
    match item {
        Item::Event(event) => Shown::Event(format!("{event:?}")),
        Item::Lagged(missed) => Shown::Lagged(missed),
        Item::Gap(reason) => Shown::Gap(reason),
        Item::Undecodable(_) => Shown::Undecodable,
        _ => panic!("an item that the model does not know"),
    }
}

type Schedule = [(u64, Item<u8>)];

/// Items with the time at which they come, and the time at which the stream ends.
fn timed(schedule: &Schedule) -> (Vec<(u64, Item<u8>)>, u64) {
    let mut now = 0;
    let mut timed = Vec::new();
    for (after, item) in schedule {
        now += after;
        timed.push((now, item.clone()));
    }
    (timed, now)
}

pub(crate) fn batch(schedule: &Schedule, count: usize, bytes: usize, within: u64) -> Vec<(u64, Shown)> {
    let (timed, end) = timed(schedule);
    let mut given = Vec::new();
    let mut held: Vec<u8> = Vec::new();
    let mut first = 0;
    let weight = |held: &[u8]| held.iter().map(|event| usize::from(*event)).sum::<usize>();
    // Nothing weighs anything where there is no bound.
    let full = |held: &[u8]| held.len() >= count.max(1) || (bytes != usize::MAX && weight(held) >= bytes);
    let mut give = |at: u64, held: &mut Vec<u8>| {
        if !held.is_empty() {
            given.push((at, show(Item::Event(std::mem::take(held)))));
        }
    };
    let mut losses = Vec::new();
    for (now, item) in timed {
        let over = first + within.min(1 << 40);
        if now > over {
            give(over, &mut held);
        }
        match item {
            Item::Event(event) => {
                held.push(event);
                if bytes != usize::MAX && weight(&held) > bytes && held.len() > 1 {
                    held.pop();
                    give(now, &mut held);
                    held.push(event);
                }
                if held.len() == 1 {
                    first = now;
                }
                if full(&held) {
                    give(now, &mut held);
                }
            }
            loss => {
                give(now, &mut held);
                // A batch of its own, so that `give` stays the only one who writes.
                losses.push(show(loss));
                held = vec![u8::MAX; losses.len() + 100];
                give(now, &mut held);
            }
        }
    }
    give(end, &mut held);
    for (_, shown) in &mut given {
        if let Shown::Event(text) = &*shown
            && text.contains("255")
        {
            let number = text.split(',').count() - 101;
            *shown = losses[number].clone();
        }
    }
    given
}

pub(crate) fn dedupe(schedule: &Schedule, last: usize, within: u64) -> Vec<(u64, Shown)> {
    let mut passed: Vec<(u64, u8)> = Vec::new();
    let mut given = Vec::new();
    for (now, item) in timed(schedule).0 {
        if let Item::Event(event) = item {
            let known = passed.iter().rev().take(last.max(1));
            if known.clone().any(|(at, key)| *key == event && now - at <= within) {
                continue;
            }
            passed.push((now, event));
        }
        given.push((now, show(item)));
    }
    given
}

pub(crate) fn window(
    schedule: &Schedule,
    count: usize,
    step: usize,
    within: Option<u64>,
) -> Vec<(u64, Shown)> {
    let (count, step) = (count.max(1), step.max(1));
    let mut since_loss: Vec<(u64, u8)> = Vec::new();
    let mut given = Vec::new();
    for (now, item) in timed(schedule).0 {
        let Item::Event(event) = item else {
            since_loss.clear();
            given.push((now, show(item)));
            continue;
        };
        since_loss.push((now, event));
        let first = if within.is_some() { 1 } else { count };
        let there = since_loss.len();
        if there < first || !(there - first).is_multiple_of(step) {
            continue;
        }
        let last = &since_loss[there.saturating_sub(count)..];
        let young = last.iter().filter(|(at, _)| within.is_none_or(|within| now - at <= within));
        given.push((now, show(Item::Event(young.map(|(_, event)| *event).collect::<Vec<_>>()))));
    }
    given
}

/// Items that wait; of losses that are neighbours there is one `Lagged` and one `Gap`.
#[derive(Default)]
struct Waiting<T>(Vec<Result<T, (u64, Option<GapReason>)>>);

impl<T> Waiting<T> {
    fn lose(&mut self, at: usize, missed: u64, gap: Option<GapReason>) {
        self.0.insert(at, Err((missed, gap)));
        let mut merged: Vec<Result<T, (u64, Option<GapReason>)>> = Vec::new();
        for item in self.0.drain(..) {
            match (merged.last_mut(), item) {
                (Some(Err((sum, first))), Err((missed, gap))) => {
                    *sum += missed;
                    *first = first.or(gap);
                }
                (_, item) => merged.push(item),
            }
        }
        self.0 = merged;
    }

    fn events(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|item| item.as_ref().ok())
    }

    fn take_first_event(&mut self) -> Option<(usize, T)> {
        let at = self.0.iter().position(Result::is_ok)?;
        self.0.remove(at).ok().map(|event| (at, event))
    }

    fn next(&mut self) -> Option<Item<T>> {
        if self.0.is_empty() {
            return None;
        }
        match self.0.remove(0) {
            Ok(event) => Some(Item::Event(event)),
            Err((0, gap)) => Some(Item::Gap(gap.unwrap_or_default())),
            Err((missed, gap)) => {
                if gap.is_some() {
                    self.0.insert(0, Err((0, gap)));
                }
                Some(Item::Lagged(missed))
            }
        }
    }
}

struct Group {
    key: u8,
    waiting: Waiting<u8>,
    lost: u64,
    live: bool,
    gone: bool,
    last_event: usize,
}

enum Found {
    Group(usize),
    Undecodable(Item<u8>),
}

/// What `group_by` gives to one who asks, where the source is always ready.
pub(crate) struct Model<W> {
    source: VecDeque<Item<u8>>,
    read: usize,
    groups: Vec<Group>,
    found: Waiting<Found>,
    max_groups: usize,
    limits: QueueLimits,
    weigh: W,
    closed: bool,
}

impl<W: Fn(&u8) -> usize> Model<W> {
    pub(crate) fn new(items: Vec<Item<u8>>, max_groups: usize, limits: QueueLimits, weigh: W) -> Self {
        Self {
            source: items.into(),
            read: 0,
            groups: Vec::new(),
            found: Waiting(Vec::new()),
            max_groups,
            limits,
            weigh,
            closed: false,
        }
    }

    pub(crate) fn next_group(&mut self) -> Option<Item<(usize, u8)>> {
        while self.found.0.is_empty() && self.read_one() {}
        Some(match self.found.next()? {
            Item::Event(Found::Group(number)) => Item::Event((number, self.groups[number].key)),
            Item::Event(Found::Undecodable(item)) => item.map(|_| unreachable!()),
            loss => loss.map(|_| unreachable!()),
        })
    }

    pub(crate) fn next_event(&mut self, number: usize) -> Option<Item<u8>> {
        while self.groups[number].waiting.0.is_empty() && self.groups[number].live && self.read_one() {}
        self.groups[number].waiting.next()
    }

    pub(crate) fn drop_group(&mut self, number: usize) {
        (self.groups[number].live, self.groups[number].gone) = (false, true);
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    fn read_one(&mut self) -> bool {
        if self.closed {
            return false;
        }
        let Some(item) = self.source.pop_front() else {
            self.closed = true;
            return false;
        };
        self.read += 1;
        match item {
            Item::Event(event) => self.event(event),
            Item::Lagged(missed) => self.loss(missed, None, GapReason::Slow),
            Item::Gap(reason) => self.loss(0, Some(reason), reason),
            undecodable => {
                self.make_room();
                self.found.0.push(Ok(Found::Undecodable(undecodable)));
            }
        }
        true
    }

    fn loss(&mut self, missed: u64, gap: Option<GapReason>, for_groups: GapReason) {
        self.found.lose(self.found.0.len(), missed, gap);
        for group in self.groups.iter_mut().filter(|group| group.live) {
            group.waiting.lose(group.waiting.0.len(), 0, Some(for_groups));
        }
    }

    fn make_room(&mut self) {
        if self.found.events().count() < self.max_groups {
            return;
        }
        let (at, oldest) = self.found.take_first_event().expect("it is full");
        let missed = match oldest {
            Found::Undecodable(_) => 1,
            Found::Group(number) => {
                let group = &mut self.groups[number];
                (group.live, group.gone) = (false, true);
                group.waiting.events().count() as u64 + group.lost
            }
        };
        self.found.lose(at, missed, None);
    }

    fn event(&mut self, event: u8) {
        let known = self.groups.iter().position(|group| group.live && group.key == event);
        let number = known.unwrap_or_else(|| {
            let mut live: Vec<_> = self.groups.iter_mut().filter(|group| group.live).collect();
            if live.len() >= self.max_groups {
                live.sort_by_key(|group| group.last_event);
                live[0].live = false;
            }
            self.make_room();
            self.groups.push(Group {
                key: event,
                waiting: Waiting(Vec::new()),
                lost: 0,
                live: true,
                gone: false,
                last_event: 0,
            });
            self.found.0.push(Ok(Found::Group(self.groups.len() - 1)));
            self.groups.len() - 1
        });
        let group = &mut self.groups[number];
        assert!(!group.gone);
        group.last_event = self.read;
        let weight = |group: &Group| group.waiting.events().map(&self.weigh).sum::<usize>();
        let own = (self.weigh)(&event);
        loop {
            let events = group.waiting.events().count();
            if events < self.limits.max_events && weight(group) + own <= self.limits.max_bytes {
                group.waiting.0.push(Ok(event));
                return;
            }
            group.lost += 1;
            match self.limits.overflow {
                Overflow::DropOldest if own <= self.limits.max_bytes => {
                    let (at, _) = group.waiting.take_first_event().expect("something is in the way");
                    group.waiting.lose(at, 1, None);
                }
                overflow => {
                    group.waiting.lose(group.waiting.0.len(), 1, None);
                    if overflow == Overflow::Close {
                        group.live = false;
                    }
                    return;
                }
            }
        }
    }
}
