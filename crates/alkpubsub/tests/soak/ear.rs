//! What one subscription hears, item by item, against what it must hear.

use crate::ledger::{Book, Ledger, Source, Standing, TopicNumber};
use crate::random::Map;
use std::sync::Arc;

/// One item, as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Event(Source, u64),
    Lagged(u64),
    Gap,
}

/// What a fence found in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) lagged: u64,
    pub(crate) gaps: u64,
    /// Sums of `Lagged` that were compared with a number that was known exactly, and with one that was not.
    pub(crate) lags_exact: u64,
    pub(crate) lags_within: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.lagged += other.lagged;
        self.gaps += other.gaps;
        self.lags_exact += other.lags_exact;
        self.lags_within += other.lags_within;
    }
}

/// How far one source was heard.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// The last number heard, or known not to come any more.
    floor: u64,
    /// From this number on everything is owed.
    owed_from: u64,
    /// How many `Lagged` there had been when `floor` was heard.
    lags: u64,
    /// How many there had been when what is owed now began.
    lags_when_owed: u64,
}

/// Nothing is owed.
const NEVER: u64 = u64::MAX;

pub(crate) struct Ear {
    ledger: Arc<Ledger>,
    topic: TopicNumber,
    confirmed: bool,
    streams: Map<Source, Stream>,
    /// How many `Lagged` there were, and how many there had been at the last fence.
    lags: u64,
    lags_at_fence: u64,
    /// What they must add up to since the last fence, at least and at most.
    at_least: u64,
    at_most: u64,
    /// Of this epoch.
    tally: Tally,
    /// The last items, for whoever has to find out.
    trail: std::collections::VecDeque<Heard>,
}

const TRAIL: usize = 24;

impl Ear {
    /// To be made before the subscription is asked for: what the last fence settled must not come again.
    pub(crate) fn new(ledger: Arc<Ledger>, topic: TopicNumber) -> Self {
        let fenced = ledger.all_fenced(topic).into_iter();
        let stream = |floor| Stream { floor, owed_from: NEVER, lags: 0, lags_when_owed: 0 };
        Self {
            ledger,
            topic,
            confirmed: false,
            streams: fenced.map(|(source, floor)| (source, stream(floor))).collect(),
            lags: 0,
            lags_at_fence: 0,
            at_least: 0,
            at_most: 0,
            tally: Tally::default(),
            trail: std::collections::VecDeque::new(),
        }
    }

    /// What is published from now on is owed: the subscription is confirmed, or is again, after a gap.
    pub(crate) fn confirm(&mut self) {
        self.confirmed = true;
        let called = self.ledger.all_called(self.topic);
        let new = self.new_source();
        for (source, called) in called {
            let stream = self.streams.entry(source).or_insert(new);
            stream.owed_from = called.max(stream.floor) + 1;
            stream.lags_when_owed = self.lags;
        }
    }

    /// A source that has published nothing before the last fence, and nothing by the last confirmation.
    fn new_source(&self) -> Stream {
        let owed_from = if self.confirmed { 1 } else { NEVER };
        let lags = self.lags_at_fence;
        Stream { floor: 0, owed_from, lags, lags_when_owed: lags }
    }

    pub(crate) fn hear(&mut self, heard: Heard) -> Result<(), String> {
        if self.trail.len() == TRAIL {
            self.trail.pop_front();
        }
        self.trail.push_back(heard);
        match heard {
            Heard::Event(source, number) => return self.event(source, number),
            Heard::Lagged(0) => return Err("a Lagged of nothing".into()),
            Heard::Lagged(missed) => {
                self.lags += 1;
                self.tally.lagged += missed;
            }
            Heard::Gap => {
                self.tally.gaps += 1;
                self.confirm();
            }
        }
        Ok(())
    }

    fn event(&mut self, source: Source, number: u64) -> Result<(), String> {
        self.tally.events += 1;
        match self.ledger.called(self.topic, source) {
            None => return Err(format!("{number} of {source:?}, which publishes nothing here")),
            Some(called) if called < number => {
                return Err(format!("{number} of {source:?}, which has published up to {called}"));
            }
            Some(_) => {}
        }
        let new = self.new_source();
        let stream = *self.streams.entry(source).or_insert(new);
        if number <= stream.floor {
            return Err(format!("{number} of {source:?} after {}: twice, or out of order", stream.floor));
        }
        self.account(source, stream, number - 1, true)?;
        let lags = self.lags;
        let heard = match stream.owed_from > number {
            // Of those before the confirmation some may come, from an earlier subscription of the same topic.
            true => Stream { floor: number, lags, ..stream },
            false => Stream { floor: number, owed_from: number + 1, lags, lags_when_owed: lags },
        };
        self.streams.insert(source, heard);
        Ok(())
    }

    /// The events behind the stream's floor, up to `last`, did not come.
    fn account(&mut self, source: Source, stream: Stream, last: u64, certain: bool) -> Result<(), String> {
        if last <= stream.floor {
            return Ok(());
        }
        let first_owed = stream.owed_from.max(stream.floor + 1);
        let owed = if certain { self.ledger.owed(self.topic, source, first_owed, last) } else { 0 };
        if self.lags > stream.lags {
            self.at_most += last - stream.floor;
        }
        if self.lags > stream.lags_when_owed {
            self.at_least += owed;
        } else if owed > 0 {
            return Err(format!(
                "{owed} events between {} and {} of {source:?} are missing, and no Lagged or Gap says so",
                stream.floor,
                last + 1
            ));
        }
        Ok(())
    }

    /// Everything that will come has come: is it all? Begins the next epoch. A subscription that has ended is owed
    /// nothing behind its last item.
    pub(crate) fn fence(&mut self, book: &Book, ended: bool) -> Result<Tally, String> {
        let lags = self.lags;
        for (source, entry) in book.iter() {
            let new = self.new_source();
            let stream = *self.streams.entry(*source).or_insert(new);
            let certain = entry.standing == Standing::Taken && !ended;
            self.account(*source, stream, entry.last, certain)?;
            let settled = match entry.standing {
                Standing::Over => Stream { owed_from: NEVER, ..stream },
                _ => Stream { floor: entry.last, owed_from: entry.last + 1, lags, lags_when_owed: lags },
            };
            self.streams.insert(*source, settled);
        }
        self.streams.retain(|source, _| book.contains_key(source));
        self.lags_at_fence = lags;
        let mut tally = std::mem::take(&mut self.tally);
        let (at_least, at_most) = (std::mem::take(&mut self.at_least), std::mem::take(&mut self.at_most));
        if !(at_least..=at_most).contains(&tally.lagged) {
            return Err(format!(
                "Lagged says that {} are missing; it is {at_least} to {at_most}",
                tally.lagged
            ));
        }
        if tally.lagged > 0 {
            let counter = if at_least == at_most { &mut tally.lags_exact } else { &mut tally.lags_within };
            *counter += 1;
        }
        Ok(tally)
    }

    pub(crate) fn trail(&self) -> String {
        format!("{:?}", self.trail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source { publisher: 1, life: 1 };
    const KEEPS: Source = Source { publisher: 2, life: 0 };

    fn ledger(events: u64) -> Arc<Ledger> {
        let ledger = Arc::new(Ledger::new(1, |_| false));
        publish(&ledger, events);
        ledger
    }

    fn publish(ledger: &Ledger, events: u64) {
        (0..events).for_each(|_| _ = ledger.calls(0, A));
    }

    fn ear(ledger: &Arc<Ledger>) -> Ear {
        let mut ear = Ear::new(ledger.clone(), 0);
        ear.confirm();
        ear
    }

    /// Everything but the last item is in order.
    fn ends_with_error(ear: &mut Ear, items: &[Heard]) -> String {
        let (last, before) = items.split_last().expect("an item");
        before.iter().for_each(|item| ear.hear(*item).expect("in order"));
        ear.hear(*last).expect_err("it is not seen")
    }

    fn fence(ledger: &Ledger, ear: &mut Ear, standing: Standing) -> Result<Tally, String> {
        let books = ledger.books(|_| standing);
        let found = ear.fence(&books[0], false);
        ledger.turn_the_page(&books);
        found
    }

    fn event(number: u64) -> Heard {
        Heard::Event(A, number)
    }

    #[test]
    fn what_is_missing_doubled_late_or_invented_is_seen() {
        let ledger = ledger(2);
        let mut first = ear(&ledger);
        publish(&ledger, 8);
        // Of those before the confirmation any may be missing.
        assert!(ends_with_error(&mut first, &[event(1), event(3), event(5)]).contains("missing"));
        assert!(ends_with_error(&mut ear(&ledger), &[event(3), event(3)]).contains("twice"));
        assert!(ends_with_error(&mut ear(&ledger), &[event(3), event(2)]).contains("out of order"));
        assert!(ends_with_error(&mut ear(&ledger), &[event(11)]).contains("up to 10"));
        assert!(ends_with_error(&mut ear(&ledger), &[Heard::Event(KEEPS, 1)]).contains("publishes nothing"));
        let mut owed = ear(&ledger);
        publish(&ledger, 2);
        assert!(ends_with_error(&mut owed, &[event(12)]).contains("missing"));
    }

    #[test]
    fn the_end_of_what_was_taken_is_owed_and_the_end_of_a_connection_is_not() {
        let ledger = ledger(0);
        let (mut strict, mut lenient) = (ear(&ledger), ear(&ledger));
        publish(&ledger, 3);
        for ear in [&mut strict, &mut lenient] {
            ear.hear(event(1)).unwrap();
            ear.hear(event(2)).unwrap();
        }
        let books = ledger.books(|_| Standing::Taken);
        assert!(strict.fence(&books[0], false).unwrap_err().contains("between 2 and 4"));
        assert_eq!(fence(&ledger, &mut lenient, Standing::Over).unwrap().events, 2);
    }

    #[test]
    fn lagged_has_to_be_exact_and_in_its_place() {
        for said in 3..=5 {
            let ledger = ledger(0);
            let mut ear = ear(&ledger);
            publish(&ledger, 10);
            for item in [event(1), event(2), Heard::Lagged(said), event(7), event(8), event(9), event(10)] {
                ear.hear(item).unwrap();
            }
            let found = fence(&ledger, &mut ear, Standing::Taken);
            assert_eq!(found.is_ok(), said == 4, "3, 4, 5 and 6 are missing, not {said}: {found:?}");
        }
        let ledger = ledger(0);
        let mut misplaced = ear(&ledger);
        publish(&ledger, 10);
        let items = [event(1), Heard::Lagged(1), event(2), event(4)];
        assert!(ends_with_error(&mut misplaced, &items).contains("missing"));
    }

    #[test]
    fn a_gap_excuses_what_was_published_before_it_was_read_and_nothing_else() {
        let ledger = ledger(0);
        let mut one = ear(&ledger);
        publish(&ledger, 5);
        one.hear(event(1)).unwrap();
        one.hear(Heard::Gap).unwrap();
        publish(&ledger, 3);
        assert!(ends_with_error(&mut one, &[event(4), event(7)]).contains("missing"));
        let mut two = ear(&ledger);
        two.hear(Heard::Gap).unwrap();
        publish(&ledger, 2);
        assert!(ends_with_error(&mut two, &[event(10)]).contains("missing"));
    }

    #[test]
    fn what_a_fence_settled_does_not_come_again() {
        let ledger = ledger(0);
        let mut old = ear(&ledger);
        publish(&ledger, 2);
        old.hear(event(1)).unwrap();
        old.hear(event(2)).unwrap();
        fence(&ledger, &mut old, Standing::Taken).unwrap();
        assert!(ends_with_error(&mut old, &[event(2)]).contains("twice"));
        assert!(ends_with_error(&mut ear(&ledger), &[event(2)]).contains("twice"));
        // A connection that is over is forgotten at the second fence.
        fence(&ledger, &mut ear(&ledger), Standing::Over).unwrap();
        fence(&ledger, &mut ear(&ledger), Standing::Over).unwrap();
        assert_eq!(ledger.len(), 0);
    }
}
