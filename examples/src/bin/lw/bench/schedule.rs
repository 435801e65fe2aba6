//! When calls are due: fixed before the run, whatever becomes of it.
//!
//! A tool that waits for an answer before it calls again calls less often just when the server is slow, and so hardly sees
//! it: Gil Tene called that *coordinated omission* ("How NOT to Measure Latency", 2013), and `wrk2` measures from when a
//! request was due for this reason. So does this: the schedule knows nothing of answers, and a call that leaves late is late.

use adapter_tokio::proto_core::rng::Rng;

use super::clock::Nanos;
use crate::args::Arrivals;

/// The calls of one thread, in the order in which they are due.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    from: Nanos,
    until: Nanos,
    left: u64,
    next: Option<Nanos>,
    distances: Distances,
}

/// Which part of a run's calls a thread makes: every so manieth of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) thread: usize,
    pub(super) threads: usize,
}

#[derive(Clone, Debug)]
enum Distances {
    /// Calls in turn with those of the other threads. Each time is computed from the call's number: no error adds up.
    Constant { rate: f64, number: u64, threads: u64 },
    /// A Poisson process. Those of all threads together are one, too.
    Poisson { rate: f64, rng: Rng, sum: f64 },
}

impl Schedule {
    /// Calls from one time to before another, at most so many of this thread.
    pub(super) fn new(
        (from, until): (Nanos, Option<Nanos>),
        most: Option<u64>,
        (rate, arrivals): (f64, Arrivals),
        part: Part,
    ) -> Self {
        let distances = match arrivals {
            Arrivals::Constant => {
                Distances::Constant { rate, number: part.thread as u64, threads: part.threads as u64 }
            }
            Arrivals::Poisson => {
                // The same schedule in every run, so that runs can be compared.
                let (rng, rate) = (Rng::new(part.thread as u64), rate / part.threads as f64);
                Distances::Poisson { rate, rng, sum: 0.0 }
            }
        };
        let left = most.unwrap_or(u64::MAX);
        let mut schedule = Self { from, until: until.unwrap_or(Nanos::MAX), left, next: None, distances };
        schedule.advance();
        schedule
    }

    /// When the next call is due; `None` at the end.
    pub(super) const fn next(&self) -> Option<Nanos> {
        self.next
    }

    /// Whether it has ended because there were enough calls.
    pub(super) const fn is_counted_out(&self) -> bool {
        self.next.is_none() && self.left == 0
    }

    /// The next call, if it is due by now.
    pub(super) fn due(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.next.filter(|&next| next <= now)?;
        self.advance();
        Some(due)
    }

    fn advance(&mut self) {
        let after = match &mut self.distances {
            Distances::Constant { rate, number, threads } => {
                let after = *number as f64 / *rate;
                *number += *threads;
                after
            }
            Distances::Poisson { rate, rng, sum } => {
                // Above 0 and up to 1, so that it has a logarithm.
                let chance = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                *sum -= chance.ln() / *rate;
                *sum
            }
        };
        let next = self.from.saturating_add((after * 1e9) as Nanos);
        self.next = (self.left > 0 && next < self.until).then_some(next);
        self.left -= u64::from(self.next.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;
    const ALL: Part = Part { thread: 0, threads: 1 };

    fn times(mut schedule: Schedule) -> Vec<Nanos> {
        std::iter::from_fn(|| schedule.due(Nanos::MAX)).collect()
    }

    fn constant(rate: f64, until: Nanos, part: Part) -> Vec<Nanos> {
        times(Schedule::new((0, Some(until)), None, (rate, Arrivals::Constant), part))
    }

    #[test]
    fn calls_are_due_at_equal_distances() {
        assert_eq!(constant(4.0, SECOND, ALL), [0, SECOND / 4, SECOND / 2, SECOND / 4 * 3]);
        // What is no whole number of nanoseconds does not add up to an error.
        let times = constant(3.0, 1000 * SECOND, ALL);
        assert_eq!((times.len(), times[2700]), (3000, 900 * SECOND));
        assert_eq!(constant(0.1, SECOND, ALL), [0]);
    }

    #[test]
    fn threads_share_the_calls_without_gap_or_overlap() {
        let mut shared: Vec<Nanos> =
            (0..3).flat_map(|thread| constant(1000.0, SECOND, Part { thread, threads: 3 })).collect();
        shared.sort_unstable();
        assert_eq!(shared, constant(1000.0, SECOND, ALL));
    }

    #[test]
    fn nothing_is_due_too_early_and_nothing_is_left_out() {
        let mut schedule = Schedule::new((SECOND, Some(2 * SECOND)), None, (10.0, Arrivals::Constant), ALL);
        assert_eq!(schedule.due(SECOND - 1), None);
        assert_eq!(schedule.next(), Some(SECOND));
        // Whoever asks late gets them all, each with the time at which it was due.
        let late: Vec<_> = std::iter::from_fn(|| schedule.due(SECOND + SECOND / 2)).collect();
        assert_eq!(late, [0, 1, 2, 3, 4, 5].map(|tenth| SECOND + tenth * SECOND / 10));
        assert_eq!(times(schedule).len(), 4);
    }

    #[test]
    fn a_count_ends_it() {
        let schedule = Schedule::new((0, None), Some(3), (1000.0, Arrivals::Constant), ALL);
        assert!(!schedule.is_counted_out());
        assert_eq!(times(schedule), [0, SECOND / 1000, SECOND / 500]);
        let none = Schedule::new((0, None), Some(0), (1000.0, Arrivals::Constant), ALL);
        assert!(none.next().is_none() && none.is_counted_out());
        let mut short = Schedule::new((0, Some(1)), Some(2), (1000.0, Arrivals::Constant), ALL);
        assert!(short.due(SECOND).is_some() && short.next().is_none() && !short.is_counted_out());
    }

    #[test]
    fn random_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let schedule = Schedule::new((0, Some(100 * SECOND)), None, (1000.0, Arrivals::Poisson), ALL);
        let found = times(schedule.clone());
        assert!((99_000..101_000).contains(&found.len()), "{}", found.len());
        let gaps: Vec<f64> = found.windows(2).map(|two| (two[1] - two[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential distribution with mean 1 ms, both are 1.
        assert!((0.98..1.02).contains(&mean) && (0.95..1.05).contains(&variance), "{mean} {variance}");
        assert_eq!(times(schedule), found);
        let other = Schedule::new(
            (0, Some(SECOND)),
            None,
            (1000.0, Arrivals::Poisson),
            Part { thread: 1, threads: 1 },
        );
        assert_ne!(times(other)[..10], found[..10]);
    }
}
