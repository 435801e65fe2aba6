//! A point in time that no clock in this crate produces.
//!
//! Whoever drives the protocol says what time it is: an adapter from a monotonic clock, a simulation from a
//! counter. Arithmetic saturates; nothing here can panic, and nothing here may ask an operating system.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// Nanoseconds since an epoch of the driver's choice.
///
/// Only differences mean anything. The epoch is whatever the driver likes (a process's start, zero in a
/// simulation) and is the same for all calls on one connection. The range is some 584 years.
///
/// ```
/// use core::time::Duration;
/// use proto_core::Instant;
///
/// let start = Instant::EPOCH;
/// let later = start + Duration::from_millis(1500);
/// assert_eq!(later.saturating_since(start), Duration::from_millis(1500));
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64); // nanoseconds plus one, so that an Option of it costs nothing

impl Instant {
    /// The epoch itself.
    pub const EPOCH: Self = Self(NonZeroU64::MIN);
    /// The latest instant. A sum that would go beyond it is this instant.
    pub const MAX: Self = Self(NonZeroU64::MAX);

    /// The instant that lies `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        match NonZeroU64::new(nanos.saturating_add(1)) {
            Some(stored) => Self(stored),
            None => Self::MAX,
        }
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// How much later this is than `earlier`; zero if it is not later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

/// What the hot path wants: a [`Duration`] is taken apart with a division.
impl Instant {
    /// So many nanoseconds later.
    pub(crate) const fn plus(self, nanos: u64) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(nanos))
    }

    /// How many nanoseconds later this is than `earlier`; 0 if it is not later.
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

/// A duration in nanoseconds; as much as fits.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.plus(nanos(duration))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Duration::from_nanos(self.as_nanos()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_at_the_end_of_time() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::EPOCH + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::from_nanos(u64::MAX), Instant::MAX);
    }

    #[test]
    fn an_optional_instant_takes_no_extra_room() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<Instant>());
    }
}
