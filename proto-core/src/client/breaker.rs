//! A pause after many failures that look as if they would last.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::time::Instant;

/// When to stop trying for a while.
///
/// Only failures count that another attempt is unlikely to mend: a peer that speaks another protocol, or that ends
/// connections because of a broken rule. A server that is down does not count: coming back to it is the
/// matter of [`Delay`](super::Delay).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many such failures ... Default 6.
    pub failures: u32,
    /// ... within this time ... Default 10 min.
    pub window: Duration,
    /// ... lead to a pause of this length. Default 15 min.
    pub pause: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 6, window: Duration::from_secs(600), pause: Duration::from_secs(900) }
    }
}

/// The failures that count.
#[derive(Debug, Default)]
pub(super) struct Breaker(VecDeque<Instant>);

impl Breaker {
    /// Counts one; says how long to pause if that was one too many.
    pub(super) fn count(&mut self, config: &BreakerConfig, now: Instant) -> Option<Duration> {
        while self.0.front().is_some_and(|&at| now.saturating_since(at) > config.window) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        if self.0.len() < config.failures.max(1) as usize {
            return None;
        }
        self.reset();
        Some(config.pause)
    }

    pub(super) fn reset(&mut self) {
        self.0 = VecDeque::new();
    }
}
