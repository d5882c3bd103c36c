//! A close code that came from below the frames.

use crate::event_target::CloseReason;
use std::io;
use std::sync::Arc;

/// What reading fails with where the transport has close codes of its own, as QUIC has, and the far side gave one: inside
/// of the [`io::Error`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("closed by the far side ({code}): {reason}")]
pub(crate) struct PeerClosed {
    pub(crate) code: u16,
    pub(crate) reason: Arc<str>,
}

impl PeerClosed {
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Why a connection is over whose socket failed.
    #[cfg(feature = "_engine")]
    pub(crate) fn reason(error: &io::Error) -> CloseReason {
        match Self::of(error) {
            Some(Self { code, reason }) => CloseReason::by_peer(*code, reason.clone()),
            None => CloseReason::Lost { error: error.to_string().into() },
        }
    }
}
