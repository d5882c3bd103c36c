//! A connection's way into a hub, where its first bytes decide on it: the engine reads them, its listener's protocol
//! says what they mean.

use super::handle::Reserved;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// A connection whose request has not come as a whole; without I/O.
pub(crate) trait Opening: Send {
    /// The shard in which it has a place. Where it has none, and is told so, the first.
    fn shard(&self) -> u8;

    /// How long it may take for all of it.
    fn patience(&self) -> Duration;

    /// Takes what came.
    fn take(&mut self, read: &[u8]) -> Step;
}

/// What is to be done with a newcomer.
#[derive(Debug)]
pub(crate) enum Step {
    /// To be read on.
    More,
    /// It comes in, is sent `greeting`, and has sent `received` behind its request.
    Welcome { place: Reserved, greeting: String, received: Vec<u8> },
    /// It is told why it does not come in, or what it asked, as long as `turn` is held.
    Answer { response: String, turn: OwnedSemaphorePermit },
    /// It ends without an answer: too many are being answered.
    Drop,
}
