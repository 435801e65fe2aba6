//! How fast a frame arrives that has begun to (PROTOCOL.md §8).
//!
//! Judged while bytes arrive, over windows of time in which a pause counts as one window at the most: so a peer that
//! trickles is found out, and one that was stopped and goes on is not. That nothing comes at all is bounded beside it.

use super::{Connection, Timer};
use crate::config::ProgressConfig;
use crate::error::{CloseReason, Limit};
use crate::time::{Instant, nanos};

/// The progress of one frame.
#[derive(Debug)]
pub(super) struct Progress {
    /// When its last bytes came.
    arrived: Instant,
    /// Of the window that is being looked at: how long it is so far in nanoseconds, and what came in it.
    window: u64,
    bytes: u32,
    /// The window before it was too slow.
    failed: bool,
}

impl Progress {
    pub(super) const fn new(now: Instant) -> Self {
        Self { arrived: now, window: 0, bytes: 0, failed: false }
    }

    /// More of the frame came. Says whether it comes too slowly.
    fn add(&mut self, now: Instant, bytes: usize, limits: &ProgressConfig) -> bool {
        let window = nanos(limits.window);
        self.window = self.window.saturating_add(now.nanos_since(self.arrived).min(window));
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.arrived = now;
        if self.window < window {
            return false;
        }
        let enough = u128::from(limits.rate) * u128::from(self.window) / 1_000_000_000;
        let failed = u128::from(self.bytes) < enough;
        let twice = failed && self.failed;
        *self = Self { failed, ..Self::new(now) };
        twice
    }
}

impl Connection {
    /// Bytes came: judges the frame that they belong to, unless it is complete with them or began with them. There may be
    /// none, if a layer hands out what came before.
    pub(super) fn judge_progress(&mut self, bytes: usize, frames_before: u64) {
        let running = self.is_running();
        let within = self.inbound.is_within_a_frame()
            || self.layer.as_ref().is_some_and(|layered| layered.is_within_a_record());
        let Some(limits) = self.config.progress else { return };
        let now = self.now;
        if !running || !within {
            self.timers.clear(Timer::Progress);
        } else if !self.timers.is_set(Timer::Progress) || self.counters.frames() != frames_before {
            *self.timers.progress() = Progress::new(now);
            self.timers.set(Timer::Progress, now, limits.pause);
        } else if bytes > 0 && self.timers.progress().add(now, bytes, &limits) {
            self.fail(CloseReason::TimedOut(Limit::Progress));
        }
    }

    /// Nothing may have come for too long in the middle of a frame.
    pub(super) fn check_pause(&mut self) {
        let Some(limits) = self.config.progress else { return };
        let progress = self.timers.progress();
        let due = progress.arrived + limits.pause;
        // Who looks so late was not running, and cannot say what the peer did meanwhile.
        let excused = self.now.saturating_since(due) >= limits.window;
        if due <= self.now && !excused {
            return self.fail(CloseReason::TimedOut(Limit::Progress));
        }
        if due <= self.now {
            progress.arrived = self.now;
        }
        let arrived = progress.arrived;
        self.timers.set(Timer::Progress, arrived, limits.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::time::Duration;
    use proptest::prelude::*;

    const LIMITS: ProgressConfig =
        ProgressConfig { rate: 1024, window: Duration::from_secs(5), pause: Duration::from_secs(30) };

    /// When a frame is given up whose bytes come in these pieces at these distances in milliseconds.
    fn given_up(pieces: impl IntoIterator<Item = (u64, usize)>) -> Option<u64> {
        let mut progress = Progress::new(Instant::EPOCH);
        let mut millis = 0;
        for (distance, bytes) in pieces {
            millis += distance;
            if progress.add(Instant::from_nanos(millis * 1_000_000), bytes, &LIMITS) {
                return Some(millis);
            }
        }
        None
    }

    /// LW-8.4: one byte per second is too slow after two windows.
    #[test]
    fn a_trickle_is_found_out() {
        assert_eq!(given_up((0..100).map(|_| (1000, 1))), Some(10_000));
        assert_eq!(given_up((0..100).map(|_| (29_000, 1))), Some(58_000));
    }

    /// LW-8.4: a peer that was stopped and goes on is not slow.
    #[test]
    fn a_pause_is_not_slowness() {
        let stopped_twice = [(10, 4000), (29_000, 1), (10, 4000), (500, 2000), (29_000, 6000), (10, 5000)];
        assert_eq!(given_up(stopped_twice), None);
    }

    proptest! {
        /// LW-8.4: whoever sends at the rate is never given up, however its bytes are cut.
        #[test]
        fn the_rate_is_enough(distances in prop::collection::vec(1u64..4_000, 1..200)) {
            let pieces: Vec<_> = distances.iter().map(|&millis| (millis, (millis as usize * 1024).div_ceil(1000))).collect();
            prop_assert_eq!(given_up(pieces), None);
        }

        /// LW-8.4: whoever sends at less than half of it is given up in time.
        #[test]
        fn half_of_the_rate_is_not(distances in prop::collection::vec(1u64..4_000, 50..200)) {
            let pieces: Vec<_> = distances.iter().map(|&millis| (millis, millis as usize * 500 / 1000)).collect();
            prop_assume!(distances.iter().sum::<u64>() > 20_000);
            prop_assert!(given_up(pieces).is_some_and(|millis| millis <= 20_000));
        }
    }
}
