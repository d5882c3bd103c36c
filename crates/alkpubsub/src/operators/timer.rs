//! The clock of the operators that go by time.

use std::time::Duration;

/// A clock and its alarms, given to the operators that go by time. The library's default features hold none: natively
/// it is the runtime's (`TokioTimer`, feature `tokio-timer`), in a browser the page's.
///
/// A clone is the same clock. With [gloo-timers](https://docs.rs/gloo-timers) and
/// [web-time](https://docs.rs/web-time), that of a browser is
///
/// ```ignore
/// impl Timer for WebTimer { // struct WebTimer(web_time::Instant)
///     type Sleep = gloo_timers::future::TimeoutFuture;
///
///     fn now(&self) -> Duration {
///         self.0.elapsed()
///     }
///
///     fn sleep(&self, duration: Duration) -> Self::Sleep {
///         TimeoutFuture::new(duration.as_millis().min(i32::MAX as u128) as u32)
///     }
/// }
/// ```
pub trait Timer {
    /// What [`sleep`](Self::sleep) gives. It need not be `Send` where the stream need not be.
    type Sleep: Future<Output = ()>;

    /// The time since some moment that stays the same. It never goes back.
    fn now(&self) -> Duration;

    /// Resolves when so much time has passed since this call.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

impl<T: Timer + ?Sized> Timer for &T {
    type Sleep = T::Sleep;

    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        (**self).sleep(duration)
    }
}

/// No clock: an operator that goes by count alone. Its time stands still, and its alarms never ring.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoTimer;

impl Timer for NoTimer {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Self::Sleep {
        std::future::pending()
    }
}

/// The clock of the tokio runtime that the stream is polled on; it stands still where that one is paused.
#[cfg(feature = "tokio-timer")]
#[derive(Clone, Copy, Debug)]
pub struct TokioTimer {
    start: tokio::time::Instant,
}

#[cfg(feature = "tokio-timer")]
impl TokioTimer {
    /// The clock, counting from now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

#[cfg(feature = "tokio-timer")]
impl Default for TokioTimer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "tokio-timer")]
impl Timer for TokioTimer {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }
}
