//! Numbers for topics, so that a topic's name crosses once and not with each event.

use hashbrown::HashMap;
use slab::Slab;

/// The topics that are listened to.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    numbers: HashMap<Box<str>, u32>,
    listeners: Slab<usize>,
}

impl Topics {
    /// Counts a listener; gives the topic's number, from 1 on.
    pub(crate) fn add(&mut self, topic: &str) -> u32 {
        let number = match self.numbers.get(topic) {
            Some(number) => *number,
            None => {
                let number = self.listeners.insert(0) as u32 + 1;
                self.numbers.insert(topic.into(), number);
                number
            }
        };
        self.listeners[number as usize - 1] += 1;
        number
    }

    /// Takes a listener off; with the last one the number is free for another topic.
    pub(crate) fn remove(&mut self, topic: &str) {
        let Some(&number) = self.numbers.get(topic) else { return };
        let listeners = &mut self.listeners[number as usize - 1];
        *listeners -= 1;
        if *listeners == 0 {
            self.listeners.remove(number as usize - 1);
            self.numbers.remove(topic);
        }
    }

    /// How many are listened to.
    pub(crate) fn len(&self) -> u32 {
        self.numbers.len() as u32
    }

    /// The number of a topic that is listened to, or 0.
    pub(crate) fn number(&self, topic: &str) -> u32 {
        self.numbers.get(topic).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_topics_while_somebody_listens() {
        let mut topics = Topics::default();
        assert_eq!((topics.add("a:"), topics.add("b:"), topics.add("a:")), (1, 2, 1));
        topics.remove("a:");
        assert_eq!((topics.number("a:"), topics.number("b:"), topics.number("c:")), (1, 2, 0));
        topics.remove("a:");
        topics.remove("a:");
        assert_eq!((topics.number("a:"), topics.add("c:"), topics.add("a:")), (0, 1, 3));
    }
}
