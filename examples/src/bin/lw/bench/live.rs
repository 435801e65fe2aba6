//! What is to be seen of a run while it goes on: a line on a terminal that changes, or a line now and then elsewhere.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clock::{Nanos, seconds};
use super::figures::{amount, rate, time};
use super::plan::Plan;
use crate::exit::say;
use crate::progress;
use crate::units::grouped;

/// How often a terminal is told. A rate is that of the last second.
pub(super) const PERIOD: Duration = Duration::from_millis(200);
const LAST: usize = 6;
const SECOND: Nanos = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Live {
    mode: Mode,
    /// When how many calls had ended.
    seen: VecDeque<(Nanos, u64)>,
}

#[derive(Debug)]
enum Mode {
    Quiet,
    /// A line that changes.
    Line,
    /// A line after each of the first ten seconds, then one every ten.
    Lines {
        next: Nanos,
    },
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting {
        open: u64,
    },
    WarmingUp(Nanos),
    Measuring(Nanos),
    /// No further calls are made.
    Waiting,
}

/// What has ended so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) ended: u64,
    /// Those of them that count.
    pub(super) measured: u64,
    pub(super) failed: u64,
    pub(super) open: u64,
    pub(super) latencies: &'a Histogram<u64>,
}

impl Mode {
    /// Whether something is to be shown now.
    const fn take_due(&mut self, now: Nanos) -> bool {
        match self {
            Self::Quiet => false,
            Self::Line => true,
            Self::Lines { next } if now < *next => false,
            Self::Lines { next } => {
                *next = if now < 10 * SECOND { *next + SECOND } else { now + 10 * SECOND };
                true
            }
        }
    }
}

impl Live {
    pub(super) fn new(is_quiet: bool) -> Self {
        let mode = match (is_quiet, io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Line,
            (false, false) => Mode::Lines { next: SECOND },
        };
        Self { mode, seen: VecDeque::new() }
    }

    /// Shows how it stands, if that is due.
    pub(super) fn show(&mut self, plan: &Plan, now: Nanos, phase: Phase, seen: Seen<'_>) {
        if self.mode.take_due(now) {
            let words = self.words(plan, now, phase, seen);
            match self.mode {
                Mode::Quiet => {}
                Mode::Line => progress::show(&words),
                Mode::Lines { .. } => {
                    say(words);
                    self.seen.clear();
                }
            }
        } else if !self.seen.is_empty() {
            return;
        }
        if self.seen.len() == LAST {
            self.seen.pop_front();
        }
        self.seen.push_back((now, seen.ended));
    }

    fn words(&self, plan: &Plan, now: Nanos, phase: Phase, seen: Seen<'_>) -> String {
        let at = match phase {
            Phase::Connecting { open } => {
                return format!(
                    "connecting: {} of {}",
                    grouped(open),
                    amount(plan.connections as u64, "connection")
                );
            }
            Phase::WarmingUp(since) => {
                format!("warming up {:.1} s of {} s", seconds(since), seconds(plan.warm_up))
            }
            Phase::Measuring(since) => match (plan.duration, plan.count) {
                (Some(all), _) => format!("{:.1} s of {} s", seconds(since), seconds(all)),
                (None, Some(count)) => format!("{} of {}", grouped(seen.measured), amount(count, "call")),
                (None, None) => format!("{:.1} s", seconds(since)),
            },
            Phase::Waiting => "waiting for the last answers".to_owned(),
        };
        let (since, before) = self.seen.front().copied().unwrap_or((now, seen.ended));
        let calls = match now - since {
            0 => 0.0,
            past => (seen.ended - before) as f64 / seconds(past),
        };
        let p99 = match seen.latencies.is_empty() {
            true => String::new(),
            false => format!(", p99 {}", time(seen.latencies.value_at_quantile(0.99))),
        };
        let down = match (plan.connections as u64).saturating_sub(seen.open) {
            0 => String::new(),
            down => format!(", {} down", amount(down, "connection")),
        };
        format!("{at}: {} calls/s{p99}, {} failed{down}", rate(calls), grouped(seen.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::super::sample::{histogram, record};
    use super::*;

    const TENTH: Nanos = SECOND / 10;

    fn words(live: &Live, options: &str, phase: Phase, ended: u64) -> String {
        let plan = plan(options).expect("the arguments make sense");
        let mut latencies = histogram(3);
        if ended > 0 {
            record(&mut latencies, 412_000);
        }
        let seen = Seen { ended, measured: ended, failed: 1, open: 2, latencies: &latencies };
        live.words(&plan, 35 * TENTH, phase, seen)
    }

    #[test]
    fn it_says_where_the_run_is_and_how_fast_it_was_of_late() {
        let live = Live { mode: Mode::Quiet, seen: VecDeque::from([(25 * TENTH, 1000), (30 * TENTH, 9000)]) };
        let now = Phase::Measuring(12 * TENTH);
        let cases = [
            ("-c 2 -d 10s", now, 4000, "1.2 s of 10 s: 3,000 calls/s, p99 412 µs, 1 failed"),
            ("-c 2 -n 5000", now, 4000, "4,000 of 5,000 calls: 3,000 calls/s, p99 412 µs, 1 failed"),
            (
                "-c 3 -w 2s",
                Phase::WarmingUp(TENTH),
                1000,
                "warming up 0.1 s of 2 s: 0.00 calls/s, p99 412 µs, 1 failed, 1 connection down",
            ),
            (
                "-c 2",
                Phase::Waiting,
                2000,
                "waiting for the last answers: 1,000 calls/s, p99 412 µs, 1 failed",
            ),
            ("-c 7", Phase::Connecting { open: 3 }, 0, "connecting: 3 of 7 connections"),
        ];
        for (options, phase, ended, text) in cases {
            assert_eq!(words(&live, options, phase, ended), text);
        }
        let fresh = Live { mode: Mode::Quiet, seen: VecDeque::new() };
        assert_eq!(words(&fresh, "-c 2 -d 10s", now, 0), "1.2 s of 10 s: 0.00 calls/s, 1 failed");
    }

    #[test]
    fn lines_become_rare() {
        let mut mode = Mode::Lines { next: SECOND };
        let told: Vec<_> = (0..400).filter(|tenth| mode.take_due(tenth * TENTH)).collect();
        assert_eq!(told, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 200, 300]);
    }
}
