//! What a link sends, and what is said of messages.

use crate::Shared;
use alkpubsub::protocol::Message;
use alkpubsub::protocol::check::{self, MessageLimits, Refusal};

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

/// Whether an envelope of the program's own may be sent; if not, it is told why. One that the package did not make itself
/// is checked like one that was received.
pub(crate) fn admit(length: usize, is_ours: bool, limits: &MessageLimits, shared: &mut Shared) -> bool {
    let bytes = &shared.input[..length.min(shared.input.len())];
    let admitted = if is_ours {
        std::str::from_utf8(bytes).map_or(Ok(()), |text| limits.admit(text))
    } else {
        check::parts(bytes, limits).map(drop)
    };
    admitted.map_err(|refusal| tell_refusal(&refusal, shared)).is_ok()
}

/// Its name as text, and the number that belongs to it: where in the message, or the limit.
pub(crate) fn tell_refusal(refusal: &Refusal, shared: &mut Shared) {
    shared.give(refusal.name());
    shared.words[2] = refusal.number().unwrap_or(usize::MAX) as u32;
}
