//! Times of a run, as nanoseconds since it began: small to keep, and the same on all threads.

use std::time::{Duration, Instant};

/// Nanoseconds since the run began.
pub(super) type Nanos = u64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Nanos {
        nanos(self.0.elapsed())
    }

    /// The same time for a timer.
    pub(super) fn at(self, time: Nanos) -> tokio::time::Instant {
        (self.0 + Duration::from_nanos(time)).into()
    }
}

/// A length of time. What takes longer than five centuries does not end.
pub(super) fn nanos(time: Duration) -> Nanos {
    time.as_nanos().try_into().unwrap_or(Nanos::MAX)
}

pub(super) const fn seconds(time: Nanos) -> f64 {
    time as f64 / 1e9
}
