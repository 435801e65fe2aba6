//! How long to wait before the next attempt.

use core::time::Duration;

use crate::rng::Rng;

/// How the time between attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delay {
    /// A random time between zero and a bound that doubles with each failure up to `cap`: *full jitter* (M. Brooker,
    /// *Exponential Backoff And Jitter*, 2015). Chance stays at the cap, where a fleet of clients would otherwise come
    /// back in step.
    Exponential {
        /// The bound for the first attempt after a failure. Default 500 ms.
        base: Duration,
        /// The greatest bound. Default 30 s.
        cap: Duration,
    },
    /// Always this long. For few clients and a server of one's own: a fleet that does this comes back at once.
    Fixed(Duration),
}

impl Default for Delay {
    fn default() -> Self {
        Self::Exponential { base: Duration::from_millis(500), cap: Duration::from_secs(30) }
    }
}

impl Delay {
    /// A fixed delay of 5 s.
    pub const FIVE_SECONDS: Self = Self::Fixed(Duration::from_secs(5));

    /// The most that [`draw`](Self::draw) gives after so many failures in a row.
    pub fn bound(self, failures: u32) -> Duration {
        match self {
            Self::Exponential { base, cap } => {
                let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
                base.saturating_mul(factor).min(cap)
            }
            Self::Fixed(delay) => delay,
        }
    }

    /// How long to wait after so many failures in a row.
    pub fn draw(self, failures: u32, rng: &mut Rng) -> Duration {
        match self {
            Self::Exponential { .. } => up_to(self.bound(failures), rng),
            Self::Fixed(delay) => delay,
        }
    }
}

/// A random time from zero to `bound`.
pub(super) fn up_to(bound: Duration, rng: &mut Rng) -> Duration {
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.below(nanos.saturating_add(1)))
}
