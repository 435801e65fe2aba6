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
        match &mut self.mode {
            Mode::Quiet => {}
            Mode::Line => {
                if self.seen.len() == LAST {
                    self.seen.pop_front();
                }
                progress::show(&self.words(plan, now, phase, seen));
                self.seen.push_back((now, seen.ended));
            }
            Mode::Lines { next } => {
                if now < *next {
                    if self.seen.is_empty() {
                        self.seen.push_back((now, seen.ended));
                    }
                    return;
                }
                *next = if now < 10 * SECOND { *next + SECOND } else { now + 10 * SECOND };
                say(self.words(plan, now, phase, seen));
                self.seen = VecDeque::from([(now, seen.ended)]);
            }
        }
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
