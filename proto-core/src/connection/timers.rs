//! The fixed timers of a connection: few, so the next one is found by looking at all of them.

use alloc::boxed::Box;
use core::time::Duration;

#[cfg(feature = "peer")]
use super::buffers::Boxes;
use super::progress::Progress;
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
///
/// Most connections at rest have none: what holds them is kept while one is set, and for the next one, until somebody else wants it.
#[derive(Debug, Default)]
pub(super) struct Timers(Option<Box<Clockwork>>);

/// What holds timers, and what is measured beside one of them.
#[derive(Debug)]
pub(super) struct Clockwork {
    at: [Instant; FIXED.len()],
    /// Which of them are set, a bit for each: most often none. One that is due at the end of time is set and never goes off.
    set: u8,
    progress: Progress,
}

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

impl Default for Clockwork {
    fn default() -> Self {
        Self { at: [UNSET; FIXED.len()], set: 0, progress: Progress::new(Instant::EPOCH) }
    }
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.clockwork().set(timer, now + after);
    }

    /// Sets a timer unless it is due before that anyway.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let clockwork = self.clockwork();
        clockwork.set(timer, at.min(clockwork.at[place(timer)]));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(clockwork) = &mut self.0 {
            clockwork.at[place(timer)] = UNSET;
            clockwork.set &= !(1 << place(timer));
        }
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.0.as_ref().is_some_and(|clockwork| clockwork.set & 1 << place(timer) != 0)
    }

    /// When the earliest is due that is set; [`Instant::MAX`] if none is.
    pub(super) fn earliest(&self) -> Instant {
        self.0.as_ref().map_or(UNSET, |clockwork| clockwork.earliest())
    }

    /// The earliest one that is set.
    pub(super) fn next(&self) -> Option<Deadline> {
        let set = self.0.iter().flat_map(|clockwork| FIXED.iter().zip(&clockwork.at));
        let (&timer, &at) = set.min_by_key(|&(_, &at)| at)?;
        (at != UNSET).then_some(Deadline { at, timer })
    }

    /// Takes one that is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let due = self.next().filter(|deadline| deadline.at <= now)?;
        self.clear(due.timer);
        Some(due.timer)
    }

    /// How the frame comes on that [`Timer::Progress`] is set for.
    pub(super) fn progress(&mut self) -> &mut Progress {
        &mut self.clockwork().progress
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |clockwork| size_of_val(&**clockwork))
    }

    /// Gives back what is kept for the next timer, if none is set.
    pub(super) fn shrink(&mut self) {
        drop(self.lend());
    }

    /// Lends what holds timers to somebody else, if none is set.
    pub(super) fn lend(&mut self) -> Option<Box<Clockwork>> {
        self.0.take_if(|clockwork| clockwork.set == 0)
    }

    /// Takes what somebody else has no use for, unless there is one here.
    #[cfg(feature = "peer")]
    pub(super) fn borrow(&mut self, clockworks: &mut Boxes<Clockwork>) {
        if self.0.is_none() {
            self.0 = clockworks.pop();
        }
    }

    fn clockwork(&mut self) -> &mut Clockwork {
        self.0.get_or_insert_default()
    }
}

impl Clockwork {
    fn set(&mut self, timer: Timer, at: Instant) {
        self.at[place(timer)] = at;
        self.set |= 1 << place(timer);
    }

    #[inline]
    fn earliest(&self) -> Instant {
        if self.set == 0 {
            return UNSET;
        }
        self.at.iter().fold(UNSET, |earliest, &at| earliest.min(at))
    }
}

/// Where a timer stands among those that are kept here.
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
        let mut timers = Timers::default();
        for (nth, timer) in (0..).zip(FIXED) {
            timers.set(timer, Instant::EPOCH, Duration::from_secs(nth));
        }
        for timer in FIXED {
            assert!(timers.is_set(timer));
            assert_eq!(timers.pop_due(Instant::EPOCH + Duration::from_secs(9)), Some(timer));
            assert!(!timers.is_set(timer));
        }
        timers.shrink();
        assert_eq!(timers.held_bytes(), 0);
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
