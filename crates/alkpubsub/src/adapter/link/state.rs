//! Whether a spoke is connected, to be watched.

use crate::connect::ConnectError;
use crate::event_target::{BoxFuture, CloseReason};
use crate::waiters::Waiters;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Whether a [`Spoke`](crate::Spoke) is connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SpokeState {
    /// It connects.
    Connecting,
    /// It is connected.
    Connected,
    /// It is not, and waits before it tries again.
    Waiting {
        /// Why it is not connected.
        why: Interruption,
        /// How long it waits, from the beginning of this state.
        retry_after: Duration,
    },
    /// It has ended, for good.
    Closed(CloseReason),
}

impl fmt::Display for SpokeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Connected => f.write_str("connected"),
            Self::Waiting { why, .. } => why.fmt(f),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

/// Why a spoke is not connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Interruption {
    /// The connection ended.
    Lost(CloseReason),
    /// An attempt to connect failed.
    Failed(Arc<ConnectError>),
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(reason) => reason.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The state of one spoke, and those who watch it.
pub(super) struct StateCell {
    state: Mutex<Numbered>,
    waiters: Waiters,
}

struct Numbered {
    /// How many states there were before this one.
    number: u64,
    state: SpokeState,
}

impl StateCell {
    pub(super) fn new(state: SpokeState) -> Arc<Self> {
        let state = Mutex::new(Numbered { number: 0, state });
        Arc::new(Self { state, waiters: Waiters::default() })
    }

    pub(super) fn get(&self) -> SpokeState {
        self.lock().state.clone()
    }

    pub(super) fn set(&self, state: SpokeState) {
        tracing::debug!(%state, "spoke");
        let _earlier = {
            let mut now = self.lock();
            now.number += 1;
            std::mem::replace(&mut now.state, state)
        };
        self.waiters.wake_all();
    }

    pub(super) fn watch(self: &Arc<Self>) -> States {
        States { cell: self.clone(), seen: None, next: None, ended: false }
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The states of a spoke as a `Stream`: the present one first, then each that follows, and its end after
/// [`SpokeState::Closed`].
///
/// Nothing is queued: whoever reads slowly gets the newest, and does not see those between.
#[must_use = "a stream does nothing until it is read"]
pub struct States {
    cell: Arc<StateCell>,
    /// The number of the state that was given last.
    seen: Option<u64>,
    next: Option<BoxFuture<'static, (u64, SpokeState)>>,
    ended: bool,
}

impl States {
    /// The next state; `None` after the end.
    pub async fn next(&mut self) -> Option<SpokeState> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for States {
    type Item = SpokeState;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SpokeState>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let next = this.next.get_or_insert_with(|| {
            let (cell, seen) = (this.cell.clone(), this.seen);
            Box::pin(async move {
                let look = || {
                    let now = cell.lock();
                    (Some(now.number) != seen).then(|| (now.number, now.state.clone()))
                };
                cell.waiters.until(look).await
            })
        });
        let (number, state) = ready!(next.as_mut().poll(context));
        this.next = None;
        this.seen = Some(number);
        this.ended = matches!(state, SpokeState::Closed(_));
        Poll::Ready(Some(state))
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("now", &self.cell.get()).finish_non_exhaustive()
    }
}
