//! What waits for one connection's socket.

use std::collections::VecDeque;
use std::fmt;

/// What a link or a hub sends. The core never looks into it: an adapter's message may be a framed buffer, a
/// string of the JS host, or an object for `postMessage`.
pub trait Message: Clone {
    /// In what ways links write their messages: `()`, unless a hub has links of several kinds.
    type Framing: Copy + fmt::Debug + Default + PartialEq;

    /// From the text of an envelope, for a link of this framing; control events are made here.
    fn from_text(text: String, framing: Self::Framing) -> Self;

    /// Whether a hub can ask a link of this framing if its peer is there. Where it cannot, the peer has to speak by itself.
    fn can_be_pinged(framing: Self::Framing) -> bool {
        let _ = framing;
        true
    }

    /// In which way this one is written.
    fn framing(&self) -> Self::Framing {
        Self::Framing::default()
    }

    /// The same as a link of this framing writes it: a clone, which is cheap, or one of what was made of it for all such
    /// links.
    fn framed(&self, framing: Self::Framing) -> Self {
        let _ = framing;
        self.clone()
    }

    /// Bytes it counts for against the bounds.
    fn weight(&self) -> usize;

    /// Whether it is the adapter's own, such as what [`from_text`](Self::from_text) makes, and no event.
    fn is_control(&self) -> bool;

    /// How many messages it is, for the bounds and the counters: more than one where others were
    /// [joined](Self::join) to it.
    fn count(&self) -> usize {
        1
    }

    /// How many of these messages end within its first so many bytes of weight.
    fn ended_within(&self, bytes: usize) -> usize {
        if bytes >= self.weight() { self.count() } else { 0 }
    }

    /// Puts another event behind this one, so that both go out as one piece to all who get it. `true`:
    /// [`weight`](Self::weight) and [`count`](Self::count) are the sums of both from here on, and clones made before
    /// stay as they were. `false`: nothing has changed, as on a transport that hands over messages and no bytes.
    fn join(&mut self, next: &Self) -> bool {
        let _ = next;
        false
    }
}

/// Messages in order, and their weight.
#[derive(Debug)]
pub struct Outbound<M> {
    messages: VecDeque<M>,
    bytes: usize,
    count: usize,
}

impl<M: Message> Outbound<M> {
    /// Appends a message.
    pub(crate) fn push(&mut self, message: M) {
        let (weight, count) = (message.weight(), message.count());
        self.push_weighed(message, weight, count);
    }

    /// The same for a message whose weight and count are known.
    pub(crate) fn push_weighed(&mut self, message: M, weight: usize, count: usize) {
        self.bytes += weight;
        self.count += count;
        self.messages.push_back(message);
    }

    /// The oldest message, with what was joined to it.
    pub fn pop(&mut self) -> Option<M> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.weight();
        self.count -= message.count();
        Some(message)
    }

    /// Drops the messages that these bytes of weight make up; gives what is left of the bytes, which is the part of
    /// the next message.
    pub(crate) fn advance(&mut self, mut bytes: usize) -> usize {
        while let Some(first) = self.messages.front().map(Message::weight).filter(|&first| first <= bytes) {
            bytes -= first;
            self.pop();
        }
        bytes
    }

    /// Keeps those messages alone.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&M) -> bool) {
        self.messages.retain(keep);
        self.bytes = self.messages.iter().map(Message::weight).sum();
        self.count = self.messages.iter().map(Message::count).sum();
    }

    /// The messages, oldest first; those that were joined as one.
    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.messages.iter()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// All that waits, where that is in one piece.
    #[must_use]
    pub fn one_piece(&self) -> Option<&M> {
        self.messages.front().filter(|_| self.messages.len() == 1)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What they weigh together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the memory of an empty queue back: an idle connection keeps none.
    pub fn shrink(&mut self) {
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }
}

impl<M> Default for Outbound<M> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, count: 0 }
    }
}

#[cfg(test)]
impl Message for String {
    type Framing = ();

    fn from_text(text: String, (): ()) -> Self {
        text
    }

    fn weight(&self) -> usize {
        self.len()
    }

    fn is_control(&self) -> bool {
        self.starts_with(super::control::BEGINNING)
    }
}
