//! What was published: by whom, over which connection, on which topic, how much of it.

use crate::random::Map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The events of one topic that one publisher sent over one connection, which are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) publisher: u64,
    /// The number of the publisher's connection; 0 for one that keeps its events for the next.
    pub(crate) life: u64,
}

/// A topic by its place among all.
pub(crate) type TopicNumber = usize;

#[derive(Clone, Debug, Default)]
struct Account {
    /// The last number that was used, and may be on its way.
    called: u64,
    /// The last number of which nothing may come any more.
    fenced: u64,
    /// Numbers that were used while one connection followed the other.
    unsure: Vec<u64>,
    /// Whether its connection ended before the last fence.
    over: bool,
}

/// What a fence found out about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The hub has taken everything.
    Taken,
    /// It lost a connection, and maybe events; nothing more of what was published before the fence will come.
    Shaken,
    /// Its connection is gone, with what the hub had not taken.
    Over,
}

/// What a topic's subscribers are held against at a fence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) last: u64,
    pub(crate) standing: Standing,
}

pub(crate) type Book = Arc<Map<Source, Entry>>;

pub(crate) struct Ledger {
    topics: Vec<Mutex<Map<Source, Account>>>,
    /// For publishers that keep their events: whether a connection was lost since the last fence.
    shaken: Box<dyn Fn(u64) -> bool + Send + Sync>,
}

impl Ledger {
    pub(crate) fn new(topics: usize, shaken: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        Self { topics: (0..topics).map(|_| Mutex::default()).collect(), shaken: Box::new(shaken) }
    }

    fn lock(&self, topic: TopicNumber) -> MutexGuard<'_, Map<Source, Account>> {
        self.topics[topic].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an event that is about to be published.
    pub(crate) fn calls(&self, topic: TopicNumber, source: Source) -> u64 {
        let mut accounts = self.lock(topic);
        let account = accounts.entry(source).or_default();
        account.called += 1;
        account.called
    }

    /// It was not taken: its number is the next one's.
    pub(crate) fn refused(&self, topic: TopicNumber, source: Source) {
        if let Some(account) = self.lock(topic).get_mut(&source) {
            account.called -= 1;
        }
    }

    /// It was taken by this connection or the next one.
    pub(crate) fn unsure(&self, topic: TopicNumber, source: Source, number: u64) {
        if let Some(account) = self.lock(topic).get_mut(&source) {
            account.unsure.push(number);
        }
    }

    /// The last number used, of a source that is known.
    pub(crate) fn called(&self, topic: TopicNumber, source: Source) -> Option<u64> {
        self.lock(topic).get(&source).map(|account| account.called)
    }

    /// The last numbers used by now.
    pub(crate) fn all_called(&self, topic: TopicNumber) -> Map<Source, u64> {
        self.lock(topic).iter().map(|(source, account)| (*source, account.called)).collect()
    }

    /// The last numbers of which nothing may come any more.
    pub(crate) fn all_fenced(&self, topic: TopicNumber) -> Map<Source, u64> {
        self.lock(topic).iter().map(|(source, account)| (*source, account.fenced)).collect()
    }

    /// How many of the numbers from `first` to `last` have to have been taken by the hub, if a later one was.
    pub(crate) fn owed(&self, topic: TopicNumber, source: Source, first: u64, last: u64) -> u64 {
        if first > last || (source.life == 0 && (self.shaken)(source.publisher)) {
            return 0;
        }
        let accounts = self.lock(topic);
        let unsure = accounts.get(&source).map_or(0, |account| {
            account.unsure.iter().filter(|number| (first..=last).contains(number)).count() as u64
        });
        last + 1 - first - unsure
    }

    /// A fence: what is known of each source, topic by topic.
    pub(crate) fn books(&self, standing: impl Fn(Source) -> Standing) -> Vec<Book> {
        let book = |topic| {
            let accounts = self.lock(topic);
            let entry = |(source, account): (&Source, &Account)| {
                (*source, Entry { last: account.called, standing: standing(*source) })
            };
            Arc::new(accounts.iter().map(entry).collect())
        };
        (0..self.topics.len()).map(book).collect()
    }

    /// What the fence settled is forgotten. A connection that is over is remembered for one epoch more: something of
    /// it may lie in the hub's socket.
    pub(crate) fn turn_the_page(&self, books: &[Book]) {
        for (topic, book) in books.iter().enumerate() {
            self.lock(topic).retain(|source, account| {
                let over = book.get(source).is_some_and(|entry| entry.standing == Standing::Over);
                if over && account.over {
                    return false;
                }
                account.over = over;
                if !over {
                    account.fenced = account.called;
                    account.unsure.clear();
                }
                true
            });
        }
    }

    /// Sources that are remembered, to see that they are not too many.
    pub(crate) fn len(&self) -> usize {
        (0..self.topics.len()).map(|topic| self.lock(topic).len()).sum()
    }
}
