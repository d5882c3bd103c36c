//! What may be sent.

use crate::envelope::EventEnvelope;
use crate::event_target::DispatchError;
use crate::protocol::check::{MessageLimits, Refusal};
use crate::topic::check_type;
use bytestring::ByteString;

/// The text of an envelope to send, if it may be sent: what every target asks that has a far side.
pub(crate) fn admit<'e>(
    event: &'e EventEnvelope,
    limits: &MessageLimits,
) -> Result<&'e ByteString, DispatchError> {
    check_type(event.event_type())?;
    let text = event.text()?;
    limits.admit(text).map_err(|refusal| match refusal {
        Refusal::TooDeep { limit } => DispatchError::TooDeep { limit },
        _ => DispatchError::TooLarge { bytes: text.len(), limit: limits.max_message },
    })?;
    Ok(text)
}
