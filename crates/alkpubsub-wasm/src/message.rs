//! What a link sends.

use alkpubsub::protocol::Message;

/// A control event, which is made here, or an event, whose text stays JavaScript's: it keeps those that were taken, in
/// order.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    Control(String),
    Event { weight: usize },
}

impl Message for Outgoing {
    fn from_text(text: String) -> Self {
        Self::Control(text)
    }

    fn weight(&self) -> usize {
        match self {
            Self::Control(text) => text.len(),
            Self::Event { weight } => *weight,
        }
    }

    fn is_control(&self) -> bool {
        matches!(self, Self::Control(_))
    }
}
