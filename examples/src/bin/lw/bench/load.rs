//! Which call is to be made next: the next one of a closed loop, or one that is due.

use std::collections::VecDeque;

use super::clock::Nanos;
use super::plan::{self, Plan};
use super::schedule::{Part, Schedule};

/// The calls of one thread. It says when each was due; whoever asks has room to make it.
#[derive(Debug)]
pub(super) struct Load {
    source: Source,
    /// When the time that was asked for is over.
    until: Option<Nanos>,
    /// Calls that are due and wait for a connection that takes them, oldest first.
    backlog: VecDeque<Nanos>,
    most: usize,
}

#[derive(Debug)]
enum Source {
    /// A call is due as soon as there is room for it.
    Closed { begin: Nanos, from: Nanos, left: u64 },
    /// Those before the measurement, and its own.
    Open { warm_up: Schedule, measured: Schedule },
    /// No further ones.
    Ended,
}

impl Load {
    /// What a thread is to do from a time on.
    pub(super) fn new(plan: &Plan, thread: usize, begin: Nanos) -> Self {
        let from = begin + plan.warm_up;
        let until = plan.duration.map(|duration| from.saturating_add(duration));
        let count = plan.count.map(|count| plan.share(count, thread));
        match plan.load {
            plan::Load::Closed => {
                let source = Source::Closed { begin, from, left: count.unwrap_or(u64::MAX) };
                Self { source, until, backlog: VecDeque::new(), most: usize::MAX }
            }
            plan::Load::Open { rate, arrivals, max_backlog } => {
                let part = Part { thread, threads: plan.threads };
                let warm_up = Schedule::new((begin, Some(from)), None, (rate, arrivals), part);
                let measured = Schedule::new((from, until), count, (rate, arrivals), part);
                let most = plan.share(max_backlog as u64, thread) as usize;
                Self { source: Source::Open { warm_up, measured }, until, backlog: VecDeque::new(), most }
            }
        }
    }

    /// Puts what is due by now into the backlog. Each is told to `arrived`, with whether there was room for it.
    pub(super) fn advance(&mut self, now: Nanos, mut arrived: impl FnMut(Nanos, bool)) {
        let Source::Open { warm_up, measured } = &mut self.source else { return };
        while let Some(due) = warm_up.due(now).or_else(|| measured.due(now)) {
            let fits = self.backlog.len() < self.most;
            if fits {
                self.backlog.push_back(due);
            }
            arrived(due, fits);
        }
    }

    /// Takes the oldest call that waits and was due before this time.
    pub(super) fn expired(&mut self, before: Nanos) -> Option<Nanos> {
        if *self.backlog.front()? < before { self.backlog.pop_front() } else { None }
    }

    /// The next call to make, and whether it was due only now.
    pub(super) fn take(&mut self, now: Nanos) -> Option<(Nanos, bool)> {
        if let Some(due) = self.backlog.pop_front() {
            return Some((due, false));
        }
        let in_time = self.until.is_none_or(|until| now < until);
        match &mut self.source {
            Source::Closed { begin, from, left } if in_time && now >= *begin && *left > 0 => {
                *left -= u64::from(now >= *from);
                Some((now, true))
            }
            _ => None,
        }
    }

    /// A call was not taken, and certainly not run. Its time goes on.
    pub(super) fn put_back(&mut self, due: Nanos) {
        self.backlog.push_front(due);
    }

    /// When the time that was asked for is over.
    pub(super) const fn until(&self) -> Option<Nanos> {
        self.until
    }

    /// Whether no further calls become due.
    pub(super) fn has_ended(&self, now: Nanos) -> bool {
        let is_enough = match &self.source {
            Source::Closed { left, .. } => *left == 0,
            Source::Open { warm_up, measured } => warm_up.next().is_none() && measured.is_counted_out(),
            Source::Ended => true,
        };
        is_enough || self.until.is_some_and(|until| now >= until)
    }

    /// When something changes by itself: a call becomes due, or none will any more.
    pub(super) fn next(&self, now: Nanos) -> Option<Nanos> {
        let due = match &self.source {
            Source::Closed { begin, .. } => Some(*begin).filter(|&begin| now < begin),
            Source::Open { warm_up, measured } => warm_up.next().or_else(|| measured.next()),
            Source::Ended => return None,
        };
        due.or(self.until).filter(|&next| next > now)
    }

    /// Calls that are due and wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Nanos> {
        self.backlog.iter().copied()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// No further calls. What waits is forgotten.
    pub(super) fn stop(&mut self) {
        self.source = Source::Ended;
        self.backlog.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    const MS: Nanos = 1_000_000;

    fn load(options: &str) -> Load {
        Load::new(&plan(options).expect("the arguments make sense"), 0, 0)
    }

    /// What arrives up to a time: how much of it had room.
    fn arrivals(load: &mut Load, now: Nanos) -> (usize, usize) {
        let (mut fit, mut all) = (0, 0);
        load.advance(now, |_, fits| {
            fit += usize::from(fits);
            all += 1;
        });
        (fit, all)
    }

    #[test]
    fn a_closed_loop_calls_whenever_there_is_room() {
        let mut load = load("--count 2 --warm-up 1s");
        // What comes before the measurement is not one of the two.
        for now in [0, 1, 1_000 * MS, 1_001 * MS] {
            assert!(!load.has_ended(now));
            assert_eq!(load.take(now), Some((now, true)));
        }
        assert!(load.has_ended(1_001 * MS) && load.take(1_002 * MS).is_none());
        // One that was not taken is made again, and has not become younger.
        load.put_back(5);
        assert_eq!(load.take(2_000 * MS), Some((5, false)));
    }

    #[test]
    fn time_ends_it() {
        let mut closed = load("--duration 10ms");
        assert_eq!(closed.next(0), Some(10 * MS));
        assert!(closed.take(10 * MS - 1).is_some() && closed.take(10 * MS).is_none());
        assert!(closed.has_ended(10 * MS));
        let mut open = load("--duration 10ms --rate 150");
        assert_eq!(arrivals(&mut open, 20 * MS), (2, 2));
        assert!(!open.has_ended(10 * MS - 1) && open.has_ended(10 * MS));
        assert_eq!(open.next(MS), Some(10 * MS));
    }

    #[test]
    fn what_is_due_waits_and_does_not_get_younger() {
        let mut load = load("--rate 1000 --duration 1s --warm-up 5ms --max-backlog 10");
        assert_eq!(arrivals(&mut load, 3 * MS), (4, 4));
        assert_eq!(load.take(4 * MS), Some((0, false)));
        // Nobody takes any for a long time: those for which there is no room are told of, too.
        assert_eq!(arrivals(&mut load, 100 * MS), (7, 97));
        assert_eq!(load.expired(2 * MS), Some(MS));
        assert_eq!(load.expired(2 * MS), None);
        assert_eq!(load.waiting().next(), Some(2 * MS));
        load.stop();
        assert!(load.has_ended(0) && load.take(0).is_none() && !load.is_waiting());
    }
}
