//! What a run has come to, and how it is told: as text, as JSON, and as a page with charts.

mod chart;
mod file;
mod html;
mod json;
mod markup;
mod scale;
mod text;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

pub(super) use self::file::ReportFile;
use super::clock::{Nanos, seconds};
use super::figures::{percent, time};
use super::plan::{Load, Plan};
use super::sample::{ErrorCount, Totals};
use super::timeline::Timeline;
use super::usage::{Process, ThreadTime, Usage};

/// All that is known of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) plan: Arc<Plan>,
    pub(super) began: SystemTime,
    pub(super) end: End,
    /// How long calls were made, and how long it took until the last one had ended.
    pub(super) window: Nanos,
    pub(super) total: Nanos,
    /// Calls that were to be made.
    pub(super) due: u64,
    pub(super) totals: Totals,
    /// Calls of which nobody waited to see the end.
    pub(super) abandoned: u64,
    pub(super) rates: Rates,
    /// Nanoseconds that answers took, each from when its call was due.
    pub(super) latencies: Histogram<u64>,
    pub(super) errors: Vec<ErrorCount>,
    pub(super) connections: Connections,
    pub(super) client: Option<Cost>,
    pub(super) servers: Vec<Server>,
    pub(super) busy: Busy,
    pub(super) timeline: Timeline,
}

/// A process on this machine that listens at the address.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    /// `None` if it was not there for long enough.
    pub(super) cost: Option<Cost>,
    pub(super) has_ended: bool,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Time,
    Count,
    Interrupted,
    /// There was no connection left.
    Lost(String),
}

/// What was answered in a second, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) calls: f64,
    pub(super) sent_bytes: f64,
    pub(super) received_bytes: f64,
}

/// What a thread that calls had of the processors: the largest of all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Busy {
    /// Shares of the time in which it ran, and in which it waited for a processor.
    pub(super) ran: f64,
    pub(super) waited: f64,
    /// How long it waited each time.
    pub(super) wait: Nanos,
}

/// So long does nobody wait for a processor that nobody else wants.
const LONG_WAIT: Nanos = 20_000;

/// What became of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) made: u64,
    pub(super) lost: u64,
    /// The server asked to go elsewhere.
    pub(super) drained: u64,
    /// Attempts in vain after which others followed.
    pub(super) missed: u64,
    /// Not made again.
    pub(super) given_up: u64,
    /// What the last of those said that were lost or missed.
    pub(super) reason: Option<String>,
}

/// What a process has used in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) user: Duration,
    pub(super) system: Duration,
    pub(super) over: Duration,
    /// The most memory since the process began, in bytes.
    pub(super) peak_memory: Option<u64>,
}

impl Cost {
    pub(super) fn between(before: &Usage, after: &Usage, over: Duration) -> Self {
        Self {
            user: after.user.saturating_sub(before.user),
            system: after.system.saturating_sub(before.system),
            over,
            peak_memory: after.peak_memory,
        }
    }

    pub(super) fn time(&self) -> Duration {
        self.user + self.system
    }

    /// Of one processor.
    fn percent(&self) -> f64 {
        if self.over.is_zero() { 0.0 } else { 100.0 * self.time().as_secs_f64() / self.over.as_secs_f64() }
    }

    /// Microseconds for each call, if so many were answered in a second of this time. Of a process that was not there all
    /// the time nobody knows how many were its own.
    fn micros_per_call(&self, rate: f64, window: Nanos) -> Option<f64> {
        let (over, calls) = (self.over.as_secs_f64(), rate * self.over.as_secs_f64());
        (calls >= 1.0 && over > 0.9 * seconds(window)).then(|| self.time().as_secs_f64() * 1e6 / calls)
    }
}

impl Busy {
    /// That of a thread which was watched for so long.
    pub(super) fn of(thread: &ThreadTime, over: Nanos) -> Self {
        let share = |time: Nanos| (time as f64 / over.max(1) as f64).min(1.0);
        Self {
            ran: share(thread.ran),
            waited: share(thread.waited),
            wait: thread.waited / thread.turns.max(1),
        }
    }

    pub(super) fn max(self, other: Self) -> Self {
        Self {
            ran: self.ran.max(other.ran),
            waited: self.waited.max(other.waited),
            wait: self.wait.max(other.wait),
        }
    }
}

impl Rates {
    /// So much in so long.
    pub(super) fn of(totals: &Totals, time: Nanos) -> Self {
        let per_second = |count: u64| if time == 0 { 0.0 } else { count as f64 / seconds(time) };
        Self {
            calls: per_second(totals.answered),
            sent_bytes: per_second(totals.sent_bytes),
            received_bytes: per_second(totals.received_bytes),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

/// The percentiles that are told, with their names.
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

impl Report {
    /// Calls that were to be made in a second.
    fn target_rate(&self) -> Option<f64> {
        match self.plan.load {
            Load::Closed => None,
            Load::Open { rate, .. } => Some(rate),
        }
    }

    /// What whoever reads the numbers should know.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let Busy { ran, waited, wait } = self.busy;
        if ran + waited >= 0.95 {
            let is_few = self.plan.threads < self.plan.connections;
            let more = if is_few { "--threads" } else { "--connections and --threads" };
            let so = match self.plan.load {
                Load::Closed => "the server may be faster",
                Load::Open { .. } => "latencies may be its own",
            };
            notes.push(format!("a thread of lw was always busy: {so}; more {more} would tell"));
        }
        if waited >= 0.1 && wait >= LONG_WAIT {
            notes.push(format!(
                "a thread of lw waited for a processor {} of the time, {} at a time: too much runs on this machine, and \
                 latencies are longer for it",
                percent(waited),
                time(wait)
            ));
        }
        if let Some(target) = self.target_rate().filter(|&target| self.rates.calls < 0.98 * target) {
            notes.push(format!(
                "{} of the calls that were due in this time were answered in it",
                percent(self.rates.calls / target)
            ));
        }
        if self.totals.answered > 0 && self.totals.failed > 0 {
            notes.push("latencies are those of answered calls; failed ones are not among them".to_owned());
        }
        notes
    }
}

#[cfg(test)]
mod tests;
