//! How long the way to the peer and back takes.

use core::time::Duration;

use crate::time::nanos;

/// Round-trip times, from PINGs and their PONGs.
///
/// Smoothed as in RFC 6298 (α = 1/8, β = 1/4); jitter as in RFC 3550, the smoothed difference of neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTrip {
    /// The newest measurement.
    pub latest: Duration,
    /// The smoothed round-trip time.
    pub smoothed: Duration,
    /// How much it varies.
    pub variation: Duration,
    /// The smallest that was measured.
    pub minimum: Duration,
    /// How much neighbouring measurements differ.
    pub jitter: Duration,
    /// How many measurements there are; all else is zero while there is none.
    pub samples: u32,
}

/// [`RoundTrip`], in little memory: there is one for each connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    latest: Short,
    smoothed: Short,
    variation: Short,
    minimum: Short,
    jitter: Short,
    samples: u32,
}

/// A time in units of 16 ns, up to 68 s. Nobody waits that long for a PONG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Short(u32);

impl Short {
    fn new(time: Duration) -> Self {
        Self(u32::try_from(nanos(time) / 16).unwrap_or(u32::MAX))
    }

    const fn duration(self) -> Duration {
        Duration::from_nanos(self.0 as u64 * 16)
    }

    /// This one with one part in so many of the new one.
    const fn smooth(self, new: u32, parts: u64) -> Self {
        Self(((self.0 as u64 * (parts - 1) + new as u64) / parts) as u32)
    }
}

impl Measured {
    pub(super) fn add(&mut self, sample: Duration) {
        let sample = Short::new(sample);
        if self.samples == 0 {
            (self.latest, self.smoothed, self.minimum) = (sample, sample, sample);
            (self.variation, self.samples) = (Short(sample.0 / 2), 1);
            return;
        }
        self.variation = self.variation.smooth(self.smoothed.0.abs_diff(sample.0), 4);
        self.smoothed = self.smoothed.smooth(sample.0, 8);
        self.jitter = self.jitter.smooth(self.latest.0.abs_diff(sample.0), 16);
        self.minimum = self.minimum.min(sample);
        self.latest = sample;
        self.samples = self.samples.saturating_add(1);
    }

    pub(super) const fn round_trip(&self) -> RoundTrip {
        let Self { latest, smoothed, variation, minimum, jitter, samples } = *self;
        RoundTrip {
            latest: latest.duration(),
            smoothed: smoothed.duration(),
            variation: variation.duration(),
            minimum: minimum.duration(),
            jitter: jitter.duration(),
            samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_smoothed_as_the_rfc_says() {
        let mut measured = Measured::default();
        for millis in [100, 200, 100] {
            measured.add(Duration::from_millis(millis));
        }
        let trips = measured.round_trip();
        assert_eq!(trips.minimum, Duration::from_millis(100));
        assert!(Duration::from_nanos(110_937_500).abs_diff(trips.smoothed) <= Duration::from_nanos(48));
        // 50 ms; then 3/4 of it and 1/4 of 100 ms; then 3/4 of that and 1/4 of 12.5 ms.
        assert_eq!(trips.variation, Duration::from_nanos(50_000_000));
        assert_eq!(trips.samples, 3);
    }
}
