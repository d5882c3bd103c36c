//! What reads one subscription, at its own pace, and holds it against the model.

use crate::ear::{Ear, Heard, Tally};
use crate::ledger::{Book, TopicNumber};
use crate::world::{Kind, World};
use alkpubsub::{End, EventEnvelope, Item, Listener, Notice, Overflow, QueueLimits, Subscription};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How fast a subscription is read between two fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Fast,
    Slow,
    Never,
}

/// What a fence tells a subscription's reader of its target.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    pub(crate) book: Book,
    /// Connections made by the last fence, and by now.
    pub(crate) connections: (u64, u64),
}

pub(crate) enum Order {
    Pace(Pace),
    /// Everything has come: is it all? Answers what was found, and whether the stream has ended.
    Check(Fence, oneshot::Sender<Option<(Tally, bool)>>),
    /// The subscription is to be dropped; with `true`, its target has closed, and the stream has to have ended.
    Finish(bool, oneshot::Sender<()>),
}

/// How often a subscription has to have been told of an interruption.
pub(crate) struct Interruptions {
    /// Connections of the target when it was confirmed, or at the last fence.
    pub(crate) confirmed_at: u64,
}

impl Interruptions {
    /// Gaps in an epoch are told for interruptions, and each subscription that was interrupted is told one.
    pub(crate) fn check(&mut self, gaps: u64, (then, now): (u64, u64), ended: bool) -> Result<(), String> {
        let confirmed_at = std::mem::replace(&mut self.confirmed_at, now);
        if gaps > now - then {
            return Err(format!(
                "{gaps} gaps; its target made {} connections since the last fence",
                now - then
            ));
        }
        if gaps == 0 && now > confirmed_at && !ended {
            return Err(format!("no gap; confirmed on connection {confirmed_at}, and now it is {now}"));
        }
        Ok(())
    }
}

pub(crate) struct Reader {
    pub(crate) world: Arc<World>,
    pub(crate) who: Arc<str>,
    pub(crate) topic: TopicNumber,
    pub(crate) subscription: Subscription<EventEnvelope>,
    pub(crate) limits: QueueLimits,
    pub(crate) pace: Pace,
    pub(crate) ear: Ear,
    pub(crate) interruptions: Interruptions,
    pub(crate) lagged: u64,
    pub(crate) end: Option<End>,
}

impl Reader {
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let order = tokio::select! {
                biased;
                order = orders.recv() => order,
                item = self.subscription.next(), if self.end.is_none() && self.pace != Pace::Never => {
                    match item {
                        Some(item) => self.hear(item),
                        None => self.end = self.subscription.end(),
                    }
                    if self.pace == Pace::Slow {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    continue;
                }
            };
            match order {
                None => return,
                Some(Order::Pace(pace)) => self.pace = pace,
                Some(Order::Check(fence, reply)) => {
                    self.drain();
                    let found = self.check(&fence);
                    if let Err(why) = &found {
                        self.fail(why);
                    }
                    let _ = reply.send(found.ok().map(|tally| (tally, self.end.is_some())));
                }
                Some(Order::Finish(closed, reply)) => {
                    self.drain();
                    if closed && self.end.is_none() {
                        self.fail("its target has closed, and the stream goes on");
                    }
                    drop(self);
                    let _ = reply.send(());
                    return;
                }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(item) = self.subscription.try_next() {
            self.hear(item);
        }
        self.end = self.subscription.end();
    }

    fn hear(&mut self, item: Item<EventEnvelope>) {
        let heard = match item {
            Item::Event(event) => self.world.read(self.topic, &event),
            Item::Lagged(missed) => {
                self.lagged += missed;
                Ok(Heard::Lagged(missed))
            }
            Item::Gap(_) => Ok(Heard::Gap),
            other => Err(format!("{other:?}")),
        };
        if let Err(why) = heard.and_then(|heard| self.ear.hear(heard)) {
            self.fail(&why);
        }
    }

    fn check(&mut self, fence: &Fence) -> Result<Tally, String> {
        let tally = self.ear.fence(&fence.book, self.end.is_some())?;
        self.interruptions.check(tally.gaps, fence.connections, self.end.is_some())?;
        let interrupted = fence.connections.1 > fence.connections.0;
        let lost_at_the_end = match &self.end {
            None => 0,
            Some(End::Overflowed) if self.limits.overflow == Overflow::Close => 1,
            Some(End::Denied(_)) if interrupted && self.world.topics[self.topic].kind == Kind::Fickle => 0,
            Some(end) => return Err(format!("it has ended: {end}")),
        };
        let lost = self.subscription.lost();
        if lost != self.lagged + lost_at_the_end {
            return Err(format!("its queue has lost {lost}, and {} were told", self.lagged));
        }
        Ok(tally)
    }

    fn fail(&self, why: &str) {
        let Self { limits, pace, ear, .. } = self;
        let why = format!("{why}\n{limits:?}, read {pace:?}\nthe last items: {}", ear.trail());
        self.world.fail(&self.who, Some(self.topic), &why);
    }
}

/// A listener without a queue: it hears on the thread that dispatches.
pub(crate) struct Probe {
    pub(crate) world: Arc<World>,
    pub(crate) who: Arc<str>,
    pub(crate) topic: TopicNumber,
    pub(crate) ear: Mutex<(Ear, Interruptions)>,
    /// It was removed, and whatever had begun by then has ended.
    pub(crate) buried: AtomicBool,
}

impl Probe {
    pub(crate) fn lock(&self) -> MutexGuard<'_, (Ear, Interruptions)> {
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check(&self, fence: &Fence) -> Option<Tally> {
        let found = {
            let (ear, interruptions) = &mut *self.lock();
            ear.fence(&fence.book, false).and_then(|tally| {
                interruptions.check(tally.gaps, fence.connections, false)?;
                Ok(tally)
            })
        };
        found.map_err(|why| self.fail(&why)).ok()
    }

    fn hear(&self, heard: Result<Heard, String>) {
        if self.buried.load(SeqCst) {
            return self.fail("a listener was called after it was removed");
        }
        let result = heard.and_then(|heard| self.lock().0.hear(heard));
        if let Err(why) = result {
            self.fail(&why);
        }
    }

    fn fail(&self, why: &str) {
        let why = format!("{why}\na listener; the last items: {}", self.lock().0.trail());
        self.world.fail(&self.who, Some(self.topic), &why);
    }
}

impl Listener for Probe {
    fn event(&self, event: &EventEnvelope) {
        self.hear(self.world.read(self.topic, event));
    }

    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Gap { missed: None, .. } => self.hear(Ok(Heard::Gap)),
            Notice::Gap { missed: Some(missed), .. } => self.hear(Ok(Heard::Lagged(*missed))),
            _ => {}
        }
    }
}
