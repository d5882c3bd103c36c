//! What a link sends, and what is said of messages.

use crate::Shared;
use alkpubsub::protocol::Message;
use alkpubsub::protocol::check::{self, MessageLimits, Parts, Refusal};

/// A control event, which is made here, or an event, whose text stays JavaScript's: it keeps those that were taken, in
/// order.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    Control(String),
    Event { weight: usize },
}

impl Message for Outgoing {
    type Framing = ();

    fn from_text(text: String, (): ()) -> Self {
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
    // What is too long was not copied here.
    let admitted = match shared.input.get(..length) {
        None => Err(Refusal::TooLarge { limit: limits.max_message }),
        Some(bytes) if is_ours => std::str::from_utf8(bytes).map_or(Ok(()), |text| limits.admit(text)),
        Some(bytes) => check::parts(bytes, limits).map(drop),
    };
    admitted.map_err(|refusal| tell_refusal(&refusal, shared)).is_ok()
}

/// Its name as text, and the number that belongs to it: where in the message, or the limit.
pub(crate) fn tell_refusal(refusal: &Refusal, shared: &mut Shared) {
    shared.give(refusal.name());
    shared.words[2] = refusal.number().unwrap_or(usize::MAX) as u32;
}

/// A message that was received, checked. One that is too long need not be copied here to be refused.
pub(crate) fn checked<'i>(
    input: &'i [u8],
    length: usize,
    limits: &MessageLimits,
) -> Result<Parts<'i>, Refusal> {
    match input.get(..length) {
        Some(bytes) => check::parts(bytes, limits),
        None => Err(Refusal::TooLarge { limit: limits.max_message }),
    }
}

/// Where JavaScript finds the parts of an event: the topic's number, how long its type is in UTF-16 units, where the payload
/// begins and ends in the message's bytes (both 0 where it is missing), and whether all outside of it is ASCII.
pub(crate) fn place(number: u32, parts: &Parts<'_>) -> [u32; 5] {
    let type_length = match parts.event_type.is_ascii() {
        true => parts.event_type.len(),
        false => parts.event_type.encode_utf16().count(),
    };
    let (from, to) = parts.payload.map_or((0, 0), |payload| {
        let from = payload.as_ptr() as usize - parts.text.as_ptr() as usize;
        (from, from + payload.len())
    });
    let outside = [&parts.text[..from], &parts.text[to..]];
    let is_outside_ascii = outside.iter().all(|text| text.is_ascii());
    [number, type_length as u32, from as u32, to as u32, u32::from(is_outside_ascii)]
}
