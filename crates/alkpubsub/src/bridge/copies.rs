//! The bridge's own events on a side that echoes: which of those heard there are their copies.

use crate::envelope::EventEnvelope;
use bytestring::ByteString;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// So many later copies in a row say that an earlier one does not come any more.
///
/// Copies come in the order of their events, but for those of an old connection, which may come among the next one's for
/// a while: redis-server reads 16 KiB of each connection in turn, which is 234 of the shortest PUBLISHes. What is left of
/// the number is for others' events that are taken for one of ours.
const OVERTAKEN: u32 = 1024;

/// What the bridge has put on a side and was not heard there yet.
///
/// Where a target carries events by reference, the copy is the event itself; else it is known by its exact text. Nobody can
/// tell equal ones apart, so that how many there are alone matters.
pub(super) struct Copies {
    by_reference: bool,
    /// Oldest first, each in the place of its number. One that came is `None`; the first never is.
    awaited: VecDeque<Option<Awaited>>,
    /// The number of the first.
    first: u64,
    /// The numbers of those that are equal, oldest first.
    numbers: HashMap<Key, Numbers>,
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
    /// How many in a row have overtaken the oldest, and the lowest number among them.
    overtaking: (u32, u64),
    /// How many were given up.
    forgotten: u64,
}

struct Awaited {
    key: Key,
    weight: usize,
}

/// One, as a rule.
struct Numbers {
    oldest: u64,
    later: VecDeque<u64>,
}

#[derive(Clone)]
enum Key {
    Text(ByteString),
    /// Kept, so that no other event can be where it was.
    Itself(EventEnvelope),
}

/// What is to be dropped where no lock is held: an event may own what is the program's.
#[must_use = "it may run a program's code when it is dropped"]
#[derive(Default)]
pub(super) struct Gone(#[allow(dead_code, reason = "it is there to be dropped")] Vec<Key>);

impl Copies {
    pub(super) fn new(by_reference: bool, max_count: usize, max_bytes: usize) -> Self {
        Self {
            by_reference,
            awaited: VecDeque::new(),
            first: 0,
            numbers: HashMap::default(),
            count: 0,
            bytes: 0,
            max_count,
            max_bytes,
            overtaking: (0, u64::MAX),
            forgotten: 0,
        }
    }

    /// Awaits the copy of an event that is about to be put there; gives its number. At the bound the oldest are given up,
    /// but never this one. `None` where it has no text, so that it cannot go there.
    pub(super) fn put(&mut self, event: &EventEnvelope, gone: &mut Gone) -> Option<u64> {
        let key = self.key(event)?;
        let weight = match &key {
            Key::Text(text) => text.len(),
            Key::Itself(event) => event.weight(),
        };
        let full = |copies: &Self| {
            copies.count >= copies.max_count || copies.bytes.saturating_add(weight) > copies.max_bytes
        };
        while self.count > 0 && full(self) {
            self.forget_oldest(gone);
        }
        let number = self.next_number();
        self.awaited.push_back(Some(Awaited { key: key.clone(), weight }));
        self.numbers
            .entry(key)
            .and_modify(|numbers| numbers.later.push_back(number))
            .or_insert_with(|| Numbers { oldest: number, later: VecDeque::new() });
        self.count += 1;
        self.bytes += weight;
        Some(number)
    }

    /// Whether what was heard is an awaited copy, which is not awaited any more then; gives its number. Those below
    /// `doubtful` may be lost: they are taken where no other is equal, so that one of them stays where others' events were
    /// taken for ours.
    pub(super) fn came(&mut self, event: &EventEnvelope, doubtful: u64, gone: &mut Gone) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let key = self.key(event)?;
        let number = self.numbers.get(&key)?.oldest_from(doubtful);
        let overtaken = number > self.first;
        self.remove(number, gone);
        self.overtaking = match self.overtaking {
            _ if !overtaken => (0, u64::MAX),
            (in_a_row, lowest) => (in_a_row + 1, lowest.min(number)),
        };
        if self.overtaking.0 >= OVERTAKEN {
            while self.count > 0 && self.first < self.overtaking.1 {
                self.forget_oldest(gone);
            }
            self.overtaking = (0, u64::MAX);
        }
        Some(number)
    }

    /// The event of this number was not taken; `false` where its copy has come all the same: that was another's.
    pub(super) fn take_back(&mut self, number: u64, gone: &mut Gone) -> bool {
        self.remove(number, gone)
    }

    /// The number of the next event that is put there.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.awaited.len() as u64
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn key(&self, event: &EventEnvelope) -> Option<Key> {
        if self.by_reference {
            return Some(Key::Itself(event.clone()));
        }
        event.text().ok().cloned().map(Key::Text)
    }

    fn forget_oldest(&mut self, gone: &mut Gone) {
        self.remove(self.first, gone);
        self.forgotten += 1;
    }

    fn remove(&mut self, number: u64, gone: &mut Gone) -> bool {
        let place = number.checked_sub(self.first).map(|place| place as usize);
        let Some(Awaited { key, weight }) =
            place.and_then(|place| self.awaited.get_mut(place)).and_then(Option::take)
        else {
            return false;
        };
        self.count -= 1;
        self.bytes -= weight;
        while matches!(self.awaited.front(), Some(None)) {
            self.awaited.pop_front();
            self.first += 1;
        }
        if let Some(numbers) = self.numbers.get_mut(&key) {
            let is_last = !numbers.remove(number);
            if is_last {
                gone.0.extend(self.numbers.remove_entry(&key).map(|(key, _)| key));
            }
        }
        gone.0.push(key);
        true
    }
}

impl Numbers {
    /// The oldest that is not below, if there is one.
    fn oldest_from(&self, number: u64) -> u64 {
        if self.oldest >= number {
            return self.oldest;
        }
        let place = self.later.partition_point(|later| *later < number);
        self.later.get(place).copied().unwrap_or(self.oldest)
    }

    /// Whether another one is left.
    fn remove(&mut self, number: u64) -> bool {
        if self.oldest == number {
            return self.later.pop_front().map(|next| self.oldest = next).is_some();
        }
        if let Ok(place) = self.later.binary_search(&number) {
            self.later.remove(place);
        }
        true
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Itself(one), Self::Itself(other)) => one.address() == other.address(),
            _ => false,
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Text(text) => text.hash(state),
            Self::Itself(event) => event.address().hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: u32) -> EventEnvelope {
        EventEnvelope::parse(format!(r#"{{"type":"t","id":"","payload":{payload}}}"#)).unwrap()
    }

    fn put(copies: &mut Copies, payload: u32) -> u64 {
        copies.put(&event(payload), &mut Gone::default()).unwrap()
    }

    fn came(copies: &mut Copies, payload: u32) -> Option<u64> {
        copies.came(&event(payload), 0, &mut Gone::default())
    }

    fn copies() -> Copies {
        Copies::new(false, 10_000, usize::MAX)
    }

    #[test]
    fn a_copy_is_known_by_its_exact_text_and_comes_once() {
        let mut copies = copies();
        put(&mut copies, 1);
        let other = EventEnvelope::parse(r#"{"type":"t","id":"","payload": 1}"#).unwrap();
        assert_eq!(copies.came(&other, 0, &mut Gone::default()), None, "a space more");
        assert_eq!(came(&mut copies, 1), Some(0));
        assert_eq!(came(&mut copies, 1), None);
        assert_eq!(
            (copies.count(), copies.bytes(), copies.numbers.len(), copies.awaited.len()),
            (0, 0, 0, 0)
        );
    }

    #[test]
    fn of_equal_ones_as_many_come_as_were_put_there_oldest_first() {
        let mut copies = copies();
        let numbers = [1, 2, 1, 1].map(|payload| put(&mut copies, payload));
        assert_eq!(came(&mut copies, 1), Some(numbers[0]));
        assert!(copies.take_back(numbers[2], &mut Gone::default()));
        assert_eq!(came(&mut copies, 1), Some(numbers[3]));
        assert_eq!(came(&mut copies, 1), None);
        assert_eq!(came(&mut copies, 2), Some(numbers[1]));
    }

    #[test]
    fn of_equal_ones_those_in_doubt_come_last() {
        let mut copies = copies();
        let numbers = [(); 4].map(|()| put(&mut copies, 1));
        let came = [(); 5].map(|()| copies.came(&event(1), numbers[2], &mut Gone::default()));
        assert_eq!(came, [Some(numbers[2]), Some(numbers[3]), Some(numbers[0]), Some(numbers[1]), None]);
    }

    #[test]
    fn by_reference_an_equal_event_is_another() {
        let mut copies = Copies::new(true, 10, usize::MAX);
        let (own, equal) = (event(1), event(1));
        let mut gone = Gone::default();
        copies.put(&own, &mut gone);
        assert_eq!(copies.came(&equal, 0, &mut gone), None);
        assert_eq!(copies.came(&own.clone(), 0, &mut gone), Some(0));
    }

    #[test]
    fn what_was_refused_is_awaited_no_more_and_it_is_told_if_anothers_came_meanwhile() {
        let mut copies = copies();
        let number = put(&mut copies, 1);
        assert!(copies.take_back(number, &mut Gone::default()));
        let number = put(&mut copies, 1);
        assert!(came(&mut copies, 1).is_some());
        assert!(!copies.take_back(number, &mut Gone::default()));
    }

    #[test]
    fn at_a_bound_the_oldest_is_given_up_and_never_the_newest() {
        let mut copies = Copies::new(false, 2, usize::MAX);
        (0..3).for_each(|payload| _ = put(&mut copies, payload));
        assert_eq!((came(&mut copies, 0), came(&mut copies, 2), copies.forgotten()), (None, Some(2), 1));
        let mut copies = Copies::new(false, 0, 0);
        (0..3).for_each(|payload| _ = put(&mut copies, payload));
        assert_eq!((came(&mut copies, 1), came(&mut copies, 2), copies.forgotten()), (None, Some(2), 2));
        let length = event(0).to_json().unwrap().len();
        let mut copies = Copies::new(false, 10, 2 * length);
        (0..3).for_each(|payload| _ = put(&mut copies, payload));
        assert_eq!((copies.count(), copies.bytes()), (2, 2 * length));
    }

    #[test]
    fn what_a_thousand_later_ones_in_a_row_have_overtaken_is_given_up() {
        let mut copies = copies();
        let lost = [put(&mut copies, 90_000), put(&mut copies, 90_001)];
        let late = put(&mut copies, 90_002);
        for payload in 0..OVERTAKEN - 1 {
            put(&mut copies, payload);
            assert!(came(&mut copies, payload).is_some());
        }
        // One of before breaks nothing off, as it is no later than the lost ones; it is not waited for beyond itself.
        assert_eq!(came(&mut copies, 90_002), Some(late));
        assert_eq!((copies.count(), copies.forgotten()), (0, 2));
        assert!(lost.iter().all(|number| *number < late));
    }

    #[test]
    fn what_comes_late_among_later_ones_is_known() {
        let mut copies = copies();
        (0..2000).for_each(|payload| _ = put(&mut copies, 90_000 + payload));
        // An old connection's last, among the new one's first: 200 of each in turn.
        let mut new = 0;
        for old in 0..2000 {
            assert!(came(&mut copies, 90_000 + old).is_some(), "{old}");
            if old % 200 == 0 {
                for _ in 0..200 {
                    put(&mut copies, new);
                    assert!(came(&mut copies, new).is_some());
                    new += 1;
                }
            }
        }
        assert_eq!((copies.count(), copies.forgotten()), (0, 0));
    }
}
