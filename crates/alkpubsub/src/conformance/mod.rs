//! The laws that every event target keeps, as tests that a target's author runs against it.
//!
//! **Not covered by semver**: laws are added and sharpened in minor versions, and a target that kept the old ones
//! may then fail.
//!
//! A [`Law`] is an async function over a [`Fixture`], which makes a few peers on one medium and, where that makes
//! sense, breaks it or opens it to raw text. A target's author writes the fixture and one line:
//!
//! ```
//! use alkpubsub::conformance::{Fixture, LAWS, Outcome, Peers, check};
//! use alkpubsub::{BoxFuture, Capabilities, EventTarget, InProcess};
//! use std::sync::Arc;
//!
//! /// The target under test; here one in this memory, which publishes and hears.
//! struct MyFixture;
//!
//! impl Fixture for MyFixture {
//!     fn capabilities(&self) -> Capabilities {
//!         InProcess::new().capabilities()
//!     }
//!
//!     fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
//!         let target: Arc<dyn EventTarget> = Arc::new(InProcess::new());
//!         Box::pin(std::future::ready(Ok(Peers::new(target.clone(), vec![target]))))
//!     }
//! }
//!
//! # mod tests {
//! # use super::MyFixture;
//! alkpubsub::conformance_tests!(my_target, MyFixture);
//! # }
//!
//! // Or one law, in a program.
//! # fn main() {
//! let fixture: Arc<dyn Fixture> = Arc::new(MyFixture);
//! assert!(matches!(check(&LAWS[0], &fixture), Outcome::Passed));
//! # }
//! ```
//!
//! That makes one test for each law: `my_target::delivers_once` and so on. What a law needs of a target is data
//! ([`Law::requires`]); a law that does not apply is `n/a` in the [matrix](matrix_column), not passed.
//!
//! That the laws can fail at all is shown by the [`wrong`] targets.

mod fixture;
mod in_process;
mod laws;
mod log;
mod matrix;
mod run;
mod wire;
pub mod wrong;

pub use self::fixture::{Fault, Fixture, Lent, Offers, Peers};
pub use self::in_process::InProcessFixture;
pub use self::laws::LAWS;
pub use self::matrix::{committed, matrix_column};
pub use self::run::{block_on, check, timer};
pub use self::wire::{FarSide, RawMessage, Wire};

use crate::event_target::{BoxFuture, Carries, Lifetime, Order};
use std::fmt;
use std::sync::Arc;

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Law {
    /// Its name, the same in every language. A law of several cases begins each with the law's name.
    pub name: &'static str,
    /// Which law of the contract it is a case of.
    pub number: u8,
    /// What it needs of a fixture; all of it.
    pub requires: &'static [Need],
    /// Checks it. Waits without end for what does not come; [`check`] brings the deadline.
    pub run: for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, Result<(), Violation>>,
}

impl Law {
    /// The law of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LAWS.iter().find(|law| law.name == name)
    }

    /// The first thing that the law needs and the fixture has not.
    pub fn unmet(&self, fixture: &dyn Fixture) -> Option<Need> {
        self.requires.iter().copied().find(|need| !need.met(fixture))
    }
}

/// What a law may need of a fixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// A publisher that listens gets its own event.
    Echo,
    /// Order across topics.
    ConnectionOrder,
    /// Values cross by reference.
    Reference,
    /// JSON text crosses.
    Json,
    /// Everything but a structured clone crosses: the text stays as it is.
    Text,
    /// The target says whether a subscription is in place.
    Confirms,
    /// The target ends with its connection.
    PerConnection,
    /// The target goes on when a connection is lost.
    Outlives,
    /// The connection can be cut.
    Cut,
    /// The far side can stop to read.
    Stall,
    /// Raw text in and out.
    Wire,
    /// Raw text in and out, at a hub's place.
    FarHub,
    /// Raw text in and out, at a spoke's place.
    FarSpoke,
    /// The target at the wire's near end is in this process.
    Near,
    /// The far side can end the connection in good order.
    HangUp,
    /// The target was given something that stays the caller's.
    Lent,
}

impl Need {
    fn met(self, fixture: &dyn Fixture) -> bool {
        let (has, offers) = (fixture.capabilities(), fixture.offers());
        match self {
            Self::Echo => has.echo,
            Self::ConnectionOrder => has.order == Order::Connection,
            Self::Reference => has.carries == Carries::Reference,
            Self::Json => has.carries == Carries::Json,
            Self::Text => has.carries != Carries::Clone,
            Self::Confirms => has.confirms,
            Self::PerConnection => has.lifetime == Lifetime::PerConnection,
            Self::Outlives => has.lifetime == Lifetime::Outlives,
            Self::Cut => offers.cut,
            Self::Stall => offers.stall,
            Self::Wire => offers.wire.is_some(),
            Self::FarHub => offers.wire == Some(FarSide::Hub),
            Self::FarSpoke => offers.wire == Some(FarSide::Spoke),
            Self::Near => offers.near,
            Self::HangUp => offers.hang_up,
            Self::Lent => offers.lent,
        }
    }
}

/// How a target broke a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(String);

impl Violation {
    /// With these words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error where the contract allows none is a violation; `?` makes it one.
impl<E: std::error::Error> From<E> for Violation {
    fn from(error: E) -> Self {
        Self(format!("an error where there should be none: {error}"))
    }
}

/// What came of a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target kept it.
    Passed,
    /// The law asks nothing of this target, for want of this.
    NotApplicable(Need),
    /// The target broke it.
    Failed(Violation),
}

/// Runs one law as a test; what [`conformance_tests!`](crate::conformance_tests) expands to.
///
/// # Panics
/// If the target breaks the law.
pub fn test(law: &str, fixture: impl Fixture) {
    let law = Law::named(law).expect("a law of the suite");
    let fixture: Arc<dyn Fixture> = Arc::new(fixture);
    match check(law, &fixture) {
        Outcome::Passed => {}
        Outcome::NotApplicable(need) => println!("n/a: {} needs {need:?}", law.name),
        Outcome::Failed(violation) => panic!("law {}, {}: {violation}", law.number, law.name),
    }
}
