//! The fixed timers of a connection: few, so the next one is found by looking at all of them.

use core::time::Duration;

use crate::time::Instant;

/// When a connection next wants [`handle_timeout`](crate::Connection::handle_timeout), and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The instant at which to call it, on the clock whose instants the connection is given.
    pub at: Instant,
    /// What will be due: to be read by people, in logs and in failed tests.
    pub timer: Timer,
}

/// What a connection measures time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// A call's deadline.
    Call,
    /// How long to wait for the end of the stream after CLOSE.
    Closing,
    /// The handshake.
    Handshake,
    /// A PING that is due, or a peer that is silent.
    Heartbeat,
    /// Output that makes no progress.
    WriteStall,
}

/// The timers that exist once in a connection. Each is set or not.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; FIXED.len()]);

const FIXED: [Timer; 3] = [Timer::Closing, Timer::Handshake, Timer::WriteStall];

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.put(timer, Some(now + after));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.put(timer, None);
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        FIXED.iter().zip(&self.0).any(|(&fixed, at)| fixed == timer && at.is_some())
    }

    /// The earliest one that is set.
    pub(super) fn next(&self) -> Option<Deadline> {
        let set = FIXED.iter().zip(self.0).filter_map(|(&timer, at)| Some(Deadline { at: at?, timer }));
        set.min_by_key(|deadline| deadline.at)
    }

    /// Takes one that is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let due = self.next().filter(|deadline| deadline.at <= now)?;
        self.clear(due.timer);
        Some(due.timer)
    }

    fn put(&mut self, timer: Timer, at: Option<Instant>) {
        for (fixed, place) in FIXED.iter().zip(&mut self.0) {
            if *fixed == timer {
                *place = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_comes_first_and_only_when_it_is_due() {
        let mut timers = Timers::default();
        let start = Instant::EPOCH;
        timers.set(Timer::Handshake, start, Duration::from_secs(2));
        timers.set(Timer::WriteStall, start, Duration::from_secs(1));
        assert_eq!(timers.next().map(|deadline| deadline.timer), Some(Timer::WriteStall));
        assert_eq!(timers.pop_due(start), None);
        assert_eq!(timers.pop_due(start + Duration::from_secs(1)), Some(Timer::WriteStall));
        assert_eq!(timers.pop_due(start + Duration::from_secs(1)), None);
        timers.clear_all();
        assert_eq!(timers.next(), None);
    }
}
