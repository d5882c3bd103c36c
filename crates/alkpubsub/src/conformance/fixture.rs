//! What a target's author writes: how to make a few peers on one medium.

use super::run;
use super::wire::{FarSide, Wire};
use crate::event_target::{BoxFuture, Capabilities, EventTarget};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Makes peers on one medium: the one thing that the suite has to be given for a target.
///
/// ```
/// use alkpubsub::conformance::{Fixture, Peers};
/// use alkpubsub::{BoxFuture, Capabilities, EventTarget, InProcess};
/// use std::sync::Arc;
///
/// /// One memory is the medium: the same target publishes and hears.
/// struct OneMemory;
///
/// impl Fixture for OneMemory {
///     fn capabilities(&self) -> Capabilities {
///         InProcess::new().capabilities()
///     }
///
///     fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
///         let target: Arc<dyn EventTarget> = Arc::new(InProcess::new());
///         Box::pin(async { Ok(Peers::new(target.clone(), vec![target])) })
///     }
/// }
///
/// // In a test file: alkpubsub::conformance_tests!(one_memory, OneMemory);
/// ```
pub trait Fixture: Send + Sync + 'static {
    /// What the medium promises as a whole: behind a hub that relays, a publisher hears itself although its link
    /// alone would not let it.
    fn capabilities(&self) -> Capabilities;

    /// What laws may do to the medium beside using it. Nothing, unless it says so.
    fn offers(&self) -> Offers {
        Offers::default()
    }

    /// Whether connections have identities of their own: then a `direct:` topic that is somebody else's is denied.
    fn identities(&self) -> bool {
        false
    }

    /// Makes the peers anew, on a medium that no other law uses, or that many can share.
    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>>;

    /// How long a law may take.
    fn deadline(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Resolves after that time.
    fn timer(&self, after: Duration) -> BoxFuture<'static, ()> {
        run::timer(after)
    }

    /// Runs a law to its end, on this thread; a fixture whose target needs a runtime brings it here.
    fn block_on(&self, law: BoxFuture<'_, ()>) {
        run::block_on(law);
    }
}

/// What laws may do to a medium. Known before any peer is made, because the matrix of targets and laws is drawn
/// from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// [`Peers::fault`] is there, and cuts.
    pub cut: bool,
    /// [`Peers::fault`] is there, and stalls.
    pub stall: bool,
    /// [`Peers::wire`] is there, and plays this end.
    pub wire: Option<FarSide>,
    /// The target at the wire's near end is [`Peers::near`], in this process.
    pub near: bool,
    /// The wire can end the connection in good order: it sends [`RawMessage::Close`](super::RawMessage::Close).
    pub hang_up: bool,
    /// [`Peers::lent`] is there: the first subscriber was given what stays the caller's.
    pub lent: bool,
}

/// The peers of one law. Dropped when the law is over.
pub struct Peers {
    /// Publishes what the subscribers hear.
    pub publisher: Arc<dyn EventTarget>,
    /// Who hears; at least one. The first is the one under test. In-process it is the publisher itself.
    pub subscribers: Vec<Arc<dyn EventTarget>>,
    /// Breaks the connection of the first subscriber.
    pub fault: Option<Arc<dyn Fault>>,
    /// Raw text in and out of the medium.
    pub wire: Option<Arc<Wire>>,
    /// The target that reads and writes the other end of `wire`.
    pub near: Option<Arc<dyn EventTarget>>,
    /// What the first subscriber was given, and what stays the caller's.
    pub lent: Option<Arc<dyn Lent>>,
    /// What has to live as long as the law: sockets, processes, tasks.
    pub keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl Peers {
    /// Peers on a medium that offers nothing more.
    #[must_use]
    pub fn new(publisher: Arc<dyn EventTarget>, subscribers: Vec<Arc<dyn EventTarget>>) -> Self {
        Self { publisher, subscribers, fault: None, wire: None, near: None, lent: None, keep: Vec::new() }
    }

    /// With something that breaks the first subscriber's connection.
    #[must_use]
    pub fn with_fault(self, fault: Arc<dyn Fault>) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// With raw text in and out; `near` is the target at the other end of it, where it is in this process.
    #[must_use]
    pub fn with_wire(self, wire: Arc<Wire>, near: Option<Arc<dyn EventTarget>>) -> Self {
        Self { wire: Some(wire), near, ..self }
    }

    /// With what the first subscriber was given and does not own.
    #[must_use]
    pub fn with_lent(self, lent: Arc<dyn Lent>) -> Self {
        Self { lent: Some(lent), ..self }
    }

    /// With something that has to live as long as the law.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(kept));
        self
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("subscribers", &self.subscribers.len()).finish_non_exhaustive()
    }
}

/// Breaks a connection, as networks do. Each resolves when it is done; the target may notice later.
pub trait Fault: Send + Sync {
    /// Breaks the connection of the first subscriber without a word.
    fn cut(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Lets it connect again.
    fn heal(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// From now on the far side reads nothing of what the target sends.
    fn stall(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The far side reads again.
    fn go_on(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a target was given and does not own: a socket, a client, an endpoint.
pub trait Lent: Send + Sync {
    /// Asked for when the target has ended: uses what was lent as its owner would who never gave it away, and says
    /// what does not work any more.
    fn use_again(&self) -> BoxFuture<'_, Result<(), String>>;
}
