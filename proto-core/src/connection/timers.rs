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
    /// The greatest age of the connection.
    Age,
    /// A call's deadline.
    Call,
    /// How long to wait for the end of the stream after CLOSE.
    Closing,
    /// A drain.
    Drain,
    /// The handshake.
    Handshake,
    /// A PING that is due, or a peer that is silent.
    Heartbeat,
    /// A connection on which nothing is said.
    Idle,
    /// A frame that does not go on.
    Progress,
    /// Output that makes no progress.
    WriteStall,
}

/// The timers that exist once in a connection. Each is set or not.
#[derive(Debug)]
pub(super) struct Timers([Instant; FIXED.len()]);

const FIXED: [Timer; 7] = [
    Timer::Age,
    Timer::Closing,
    Timer::Drain,
    Timer::Handshake,
    Timer::Idle,
    Timer::Progress,
    Timer::WriteStall,
];
/// A timer that is not set is never due.
const UNSET: Instant = Instant::MAX;

impl Default for Timers {
    fn default() -> Self {
        Self([UNSET; FIXED.len()])
    }
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.0[place(timer)] = now + after;
    }

    /// Sets a timer unless it is due before that anyway.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let place = &mut self.0[place(timer)];
        *place = at.min(*place);
    }

    pub(super) const fn clear(&mut self, timer: Timer) {
        self.0[place(timer)] = UNSET;
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.0[place(timer)] != UNSET
    }

    /// When the earliest is due that is set; [`Instant::MAX`] if none is.
    pub(super) fn earliest(&self) -> Instant {
        self.0.iter().fold(UNSET, |earliest, &at| earliest.min(at))
    }

    /// The earliest one that is set.
    pub(super) fn next(&self) -> Option<Deadline> {
        let at = self.earliest();
        let place = self.0.iter().position(|&other| other == at)?;
        (at != UNSET).then_some(Deadline { at, timer: FIXED[place] })
    }

    /// Takes one that is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let due = self.next().filter(|deadline| deadline.at <= now)?;
        self.clear(due.timer);
        Some(due.timer)
    }
}

/// Where a timer stands among the fixed ones.
const fn place(timer: Timer) -> usize {
    match timer {
        Timer::Age => 0,
        Timer::Closing => 1,
        Timer::Drain => 2,
        Timer::Handshake => 3,
        Timer::Idle => 4,
        Timer::Progress => 5,
        Timer::WriteStall => 6,
        Timer::Call | Timer::Heartbeat => panic!("this timer is kept elsewhere"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_timer_has_its_place() {
        assert!(FIXED.iter().enumerate().all(|(at, &timer)| place(timer) == at));
    }

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
