//! The routing key: `type:id`, always the whole string.

use hashbrown::DefaultHashBuilder;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// What is wrong with a topic or a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTopic {
    /// The type is the empty string, or begins with `:`, so that its topic would have an empty one.
    #[error(
        "the event type is empty, or begins with the `:` at which a topic's type ends; a topic is `type:id`"
    )]
    EmptyType,
    /// The type begins with `__`, which belongs to the adapters' own control events.
    #[error("event types that begin with `__` are reserved for control events")]
    Reserved,
    /// A topic text without `:`.
    #[error("a topic is `type:id`, and this text holds no `:`")]
    NoColon,
}

/// A topic: an event type and an id, joined by `:`.
///
/// Two topics are equal when their whole texts are, whatever their type and id: a type may hold `:` (it is
/// discouraged), so that `a` + `b:c` and `a:b` + `c` are one topic. A [`PubSub`](crate::PubSub) tells the two
/// apart all the same, because it compares an envelope's type and id with those it asked for. An empty id keeps
/// the colon; `""` and `*` are ordinary ids, not wildcards.
///
/// ```
/// use alkpubsub::{BadTopic, Topic};
///
/// let topic = Topic::new("call.responded", "uuid-123")?;
/// assert_eq!(topic.as_str(), "call.responded:uuid-123");
/// assert_eq!(Topic::parse("call.requested:")?.id(), "");
/// assert_eq!(Topic::new("__subscribe", ""), Err(BadTopic::Reserved));
/// # Ok::<(), BadTopic>(())
/// ```
///
/// A clone shares the text.
#[derive(Clone)]
pub struct Topic {
    text: Arc<str>,
    /// Where the `:` between type and id stands.
    colon: usize,
    /// Of the text, so that a look-up for each dispatch need not read it again.
    digest: u64,
}

/// What tables of topics look up by. One seed for the process, chosen when it starts: topics come from peers, who
/// must not know which of them meet.
pub(crate) fn digest(text: &str) -> u64 {
    static SEED: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    let mut hasher = SEED.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl Topic {
    /// Joins a type and an id.
    ///
    /// # Errors
    /// [`BadTopic`] where the type is empty or begins with `__`.
    pub fn new(event_type: &str, id: &str) -> Result<Self, BadTopic> {
        check_type(event_type)?;
        Ok(Self::join(event_type, id))
    }

    /// Reads a topic's text; its type ends at the first `:`.
    ///
    /// # Errors
    /// [`BadTopic`] where there is no `:`, or the type before it is empty or begins with `__`.
    pub fn parse(text: &str) -> Result<Self, BadTopic> {
        let (event_type, id) = split(text)?;
        Self::new(event_type, id)
    }

    /// For a type that was checked already, control types among them.
    pub(crate) fn join(event_type: &str, id: &str) -> Self {
        let colon = event_type.len();
        with_topic(event_type, id, |text| Self { text: text.into(), colon, digest: digest(text) })
    }

    /// The whole text, `type:id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Of two topics that are equal, whether their types are, too.
    pub(crate) fn has_type_as_long(&self, other: &Self) -> bool {
        self.colon == other.colon
    }

    /// The event type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[self.colon + 1..]
    }
}

/// A topic's type and id, split at the first `:`.
pub(crate) fn split(text: &str) -> Result<(&str, &str), BadTopic> {
    let (event_type, id) = text.split_once(':').ok_or(BadTopic::NoColon)?;
    check_type(event_type)?;
    Ok((event_type, id))
}

pub(crate) fn check_type(event_type: &str) -> Result<(), BadTopic> {
    match event_type {
        "" => Err(BadTopic::EmptyType),
        // A topic is split at its first `:`, so that nobody could subscribe to it.
        colon if colon.starts_with(':') => Err(BadTopic::EmptyType),
        reserved if reserved.starts_with("__") => Err(BadTopic::Reserved),
        _ => Ok(()),
    }
}

/// Joins type and id for a look-up; texts up to 256 bytes stay on the stack, so that a publish which nobody
/// hears allocates nothing.
pub(crate) fn with_topic<R>(event_type: &str, id: &str, use_it: impl FnOnce(&str) -> R) -> R {
    let length = event_type.len() + 1 + id.len();
    let mut stack = [0u8; 256];
    let Some(room) = stack.get_mut(..length) else {
        return use_it(&[event_type, id].join(":"));
    };
    room[..event_type.len()].copy_from_slice(event_type.as_bytes());
    room[event_type.len()] = b':';
    room[event_type.len() + 1..].copy_from_slice(id.as_bytes());
    // Two valid texts and a colon between them are valid UTF-8.
    use_it(std::str::from_utf8(room).expect("joined from two texts"))
}

impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Topic {}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_id_keeps_the_colon() {
        let topic = Topic::new("call.requested", "").unwrap();
        assert_eq!(
            (topic.as_str(), topic.event_type(), topic.id()),
            ("call.requested:", "call.requested", "")
        );
        assert_eq!(Topic::parse("call.requested:").unwrap(), topic);
    }

    #[test]
    fn a_colon_in_the_type_is_kept_apart_from_the_id() {
        let (one, other) = (Topic::new("a:b", "c").unwrap(), Topic::new("a", "b:c").unwrap());
        assert_eq!(one, other);
        assert_ne!((one.event_type(), one.id()), (other.event_type(), other.id()));
    }

    #[test]
    fn what_is_no_topic_is_named() {
        assert_eq!(Topic::new("", "x"), Err(BadTopic::EmptyType));
        assert_eq!(Topic::parse(":x"), Err(BadTopic::EmptyType));
        assert_eq!(Topic::new(":a", "x"), Err(BadTopic::EmptyType));
        assert_eq!(Topic::parse("close"), Err(BadTopic::NoColon));
        assert_eq!(Topic::parse("__gap:"), Err(BadTopic::Reserved));
        assert!(Topic::new("_one", "underscore is free").is_ok());
    }

    #[test]
    fn long_topics_are_joined_on_the_heap() {
        for length in [0, 1, 253, 254, 255, 256, 1000] {
            let id = "x".repeat(length);
            with_topic("t", &id, |text| assert_eq!(text, format!("t:{id}")));
        }
    }
}
