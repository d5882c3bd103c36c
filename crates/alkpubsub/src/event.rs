//! The typed side: a Rust type and its event type.

use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A Rust type that is the payload of one event type. Usually derived:
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use alkpubsub::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(type = "call.responded")]
/// struct CallResponded {
///     output: u32,
/// }
///
/// assert_eq!(CallResponded::TYPE, "call.responded");
/// # }
/// ```
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The event type on the wire: not empty, not beginning with `__`, better without `:`.
    const TYPE: &'static str;
}

/// What can be published: an event by value, or one that is shared already.
pub trait IntoEvent {
    /// The event it holds.
    type Event: Event;

    /// Shares it.
    fn into_shared(self) -> Arc<Self::Event>;
}

impl<E: Event> IntoEvent for E {
    type Event = E;

    fn into_shared(self) -> Arc<E> {
        Arc::new(self)
    }
}

impl<E: Event> IntoEvent for Arc<E> {
    type Event = E;

    fn into_shared(self) -> Self {
        self
    }
}
