//! The fixed timers of a connection: few, so the next one is found by looking at all of them.

use alloc::boxed::Box;
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
///
/// Two are set and cleared all the time. Of the others, most connections have none: they are kept while one of them is set.
#[derive(Debug)]
pub(super) struct Timers {
    often: [Instant; OFTEN.len()],
    rarely: Option<Box<[Instant; RARELY.len()]>>,
}

const OFTEN: [Timer; 2] = [Timer::Progress, Timer::WriteStall];
const RARELY: [Timer; 5] = [Timer::Age, Timer::Closing, Timer::Drain, Timer::Handshake, Timer::Idle];
/// A timer that is not set is never due.
const UNSET: Instant = Instant::MAX;

/// Where a timer stands.
enum Place {
    Often(usize),
    Rarely(usize),
}

impl Default for Timers {
    fn default() -> Self {
        Self { often: [UNSET; OFTEN.len()], rarely: None }
    }
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        *self.place(timer) = now + after;
    }

    /// Sets a timer unless it is due before that anyway.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let place = self.place(timer);
        *place = at.min(*place);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        match place(timer) {
            Place::Often(place) => self.often[place] = UNSET,
            Place::Rarely(place) => {
                if let Some(rarely) = &mut self.rarely {
                    rarely[place] = UNSET;
                }
                self.rarely.take_if(|rarely| **rarely == [UNSET; RARELY.len()]);
            }
        }
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        let at = match place(timer) {
            Place::Often(place) => self.often[place],
            Place::Rarely(place) => self.rarely.as_ref().map_or(UNSET, |rarely| rarely[place]),
        };
        at != UNSET
    }

    /// When the earliest is due that is set; [`Instant::MAX`] if none is.
    pub(super) fn earliest(&self) -> Instant {
        let [progress, write_stall] = self.often;
        let often = progress.min(write_stall);
        self.rarely
            .as_ref()
            .map_or(often, |rarely| rarely.iter().fold(often, |earliest, &at| earliest.min(at)))
    }

    /// The earliest one that is set.
    pub(super) fn next(&self) -> Option<Deadline> {
        let often = OFTEN.iter().zip(&self.often);
        let rarely = self.rarely.iter().flat_map(|rarely| RARELY.iter().zip(rarely.iter()));
        let (&timer, &at) = rarely.chain(often).min_by_key(|&(_, &at)| at)?;
        (at != UNSET).then_some(Deadline { at, timer })
    }

    /// Takes one that is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let due = self.next().filter(|deadline| deadline.at <= now)?;
        self.clear(due.timer);
        Some(due.timer)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.rarely.as_ref().map_or(0, |rarely| size_of_val(&**rarely))
    }

    fn place(&mut self, timer: Timer) -> &mut Instant {
        match place(timer) {
            Place::Often(place) => &mut self.often[place],
            Place::Rarely(place) => {
                &mut self.rarely.get_or_insert_with(|| Box::new([UNSET; RARELY.len()]))[place]
            }
        }
    }
}

/// Where a timer stands among those that are kept here.
const fn place(timer: Timer) -> Place {
    match timer {
        Timer::Progress => Place::Often(0),
        Timer::WriteStall => Place::Often(1),
        Timer::Age => Place::Rarely(0),
        Timer::Closing => Place::Rarely(1),
        Timer::Drain => Place::Rarely(2),
        Timer::Handshake => Place::Rarely(3),
        Timer::Idle => Place::Rarely(4),
        Timer::Call | Timer::Heartbeat => panic!("this timer is kept elsewhere"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_timer_has_its_place() {
        let mut timers = Timers::default();
        for (nth, timer) in (0..).zip(RARELY.into_iter().chain(OFTEN)) {
            timers.set(timer, Instant::EPOCH, Duration::from_secs(nth));
        }
        for timer in RARELY.into_iter().chain(OFTEN) {
            assert!(timers.is_set(timer));
            assert_eq!(timers.pop_due(Instant::EPOCH + Duration::from_secs(9)), Some(timer));
            assert!(!timers.is_set(timer));
        }
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
