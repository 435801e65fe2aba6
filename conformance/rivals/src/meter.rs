//! What a client measures while its callers call: it warms up, counts for the time that was asked for, and
//! says when it is over.
//!
//! There is one for each client, which has one thread for its callers, so that it lies in that thread: tasks
//! that a runtime may move need nothing that they could share. All contenders are measured by it in the same
//! way. A call costs it a few nanoseconds; one in [`Echo::sample_every`](crate::workload::Echo::sample_every)
//! is timed, which costs two looks at the clock, and the second of them also tells when a phase ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Result;
use crate::page::{Side, Word, counted, word};
use crate::system::{ProcessClock, busy, core_of};

/// Named figures, as they are told to the orchestrator.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The part of the measured time that is spent before it, uncounted.
const WARM_UP: f64 = 0.2;

thread_local! {
    static METER: RefCell<Option<Meter>> = const { RefCell::new(None) };
}

struct Meter {
    phase: Phase,
    phase_ends: Instant,
    measured: Duration,
    count: u64,
    sample_every: u32,
    until_sample: u32,
    latency: Histogram<u64>,
    server: ProcessClock,
    /// Both ends' cores; one if there is one only.
    cores: BTreeSet<usize>,
    from: Option<Totals>,
    until: Option<Totals>,
    problem: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Over,
}

/// What grows, at one moment.
#[derive(Clone, Copy)]
struct Totals {
    at: Instant,
    calls: u64,
    server_cpu: Duration,
    client_cpu: Duration,
    busy: Duration,
    server_allocations: u64,
    client_allocations: u64,
}

/// Begins to warm up: everything is connected.
pub(crate) fn begin(server: u32, measured: Duration, sample_every: u32) -> Result {
    let cores = BTreeSet::from([core_of(server)?, core_of(std::process::id())?]);
    let meter = Meter {
        phase: Phase::WarmUp,
        phase_ends: Instant::now() + measured.mul_f64(WARM_UP),
        measured,
        count: 0,
        sample_every,
        until_sample: 1,
        latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        server: ProcessClock::of(server)?,
        cores,
        from: None,
        until: None,
        problem: None,
    };
    METER.set(Some(meter));
    Ok(())
}

/// A call begins. What comes back belongs to its [`end`].
pub(crate) fn start() -> Option<Instant> {
    with(|meter| {
        meter.until_sample -= 1;
        (meter.until_sample == 0).then(|| {
            meter.until_sample = meter.sample_every;
            Instant::now()
        })
    })
    .flatten()
}

/// A call has been answered. Says whether to go on.
pub(crate) fn end(started: Option<Instant>) -> bool {
    with(|meter| {
        meter.count += 1;
        if let Some(started) = started {
            meter.sampled(started);
        }
        meter.phase != Phase::Over
    })
    .unwrap_or(false)
}

/// Whether the time is over.
pub(crate) fn is_over() -> bool {
    with(|meter| meter.phase == Phase::Over).unwrap_or(true)
}

/// What was found out between warm-up and end.
pub(crate) fn figures() -> Result<Figures> {
    let meter = METER.take().ok_or("nothing was measured")?;
    if let Some(problem) = meter.problem {
        return Err(problem.into());
    }
    let (Some(from), Some(until)) = (meter.from, meter.until) else {
        return Err("it ended before it was measured".into());
    };
    let seconds = (until.at - from.at).as_secs_f64();
    let calls = (until.calls - from.calls) as f64;
    let per_call = |from: Duration, until: Duration| (until - from).as_nanos() as f64 / calls;
    let own = until.server_cpu - from.server_cpu + until.client_cpu - from.client_cpu;
    let others =
        (until.busy - from.busy).saturating_sub(own).as_secs_f64() / seconds / meter.cores.len() as f64;
    let quantile = |q| meter.latency.value_at_quantile(q) as f64;
    let allocated = |from, until| (until - from) as f64 / calls;
    Ok([
        ("rate", calls / seconds),
        ("p50_ns", quantile(0.5)),
        ("p99_ns", quantile(0.99)),
        ("p99_9_ns", quantile(0.999)),
        ("others", others),
        ("longest_ns", meter.latency.max() as f64),
        ("samples", meter.latency.len() as f64),
        ("server_cpu_ns", per_call(from.server_cpu, until.server_cpu)),
        ("client_cpu_ns", per_call(from.client_cpu, until.client_cpu)),
        ("server_allocations", allocated(from.server_allocations, until.server_allocations)),
        ("client_allocations", allocated(from.client_allocations, until.client_allocations)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}

/// How many frames the server says it has encoded for broadcasts.
pub(crate) fn encodes() -> f64 {
    word(Word::Encodes).map_or(0, |encodes| encodes.load(Ordering::Relaxed)) as f64
}

fn with<T>(act: impl FnOnce(&mut Meter) -> T) -> Option<T> {
    METER.with_borrow_mut(|meter| meter.as_mut().map(act))
}

impl Meter {
    fn sampled(&mut self, started: Instant) {
        let now = Instant::now();
        if self.phase == Phase::Measuring {
            self.latency.saturating_record((now - started).as_nanos() as u64);
        }
        if now >= self.phase_ends && self.phase != Phase::Over {
            self.next_phase(now);
        }
    }

    #[cold]
    fn next_phase(&mut self, now: Instant) {
        let totals = self.totals(now).map_err(|problem| self.problem = Some(problem.to_string())).ok();
        if self.phase == Phase::WarmUp {
            self.phase = Phase::Measuring;
            self.phase_ends = now + self.measured;
            self.from = totals;
        } else {
            self.phase = Phase::Over;
            self.until = totals;
        }
    }

    fn totals(&self, at: Instant) -> Result<Totals> {
        Ok(Totals {
            at,
            calls: self.count,
            busy: self.cores.iter().map(|core| busy(*core)).sum::<Result<_>>()?,
            server_cpu: self.server.now()?,
            client_cpu: ProcessClock::own().now()?,
            server_allocations: counted(Side::Server),
            client_allocations: counted(Side::Client),
        })
    }
}
