//! Where the time comes from: an adapter says so once, and everybody who shares a connection asks it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::time::Instant;

/// A monotonic clock. Cloning it is cheap, and clones agree.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

/// Behind a pointer of one word, since every connection has one.
struct Source(Box<dyn Fn() -> Instant + Send + Sync>);

impl Clock {
    /// A clock that reads `now`, which must never go back. It is asked while connections are locked: it must not use one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use proto_core::Instant;
    /// use proto_core::peer::Clock;
    ///
    /// let started = std::time::Instant::now();
    /// let clock = Clock::new(move || Instant::EPOCH + started.elapsed());
    /// assert!(clock.now() <= Instant::EPOCH + Duration::from_secs(60));
    /// ```
    pub fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(Source(Box::new(now))))
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        (self.0.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
