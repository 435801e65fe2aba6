//! What is said while the suite runs, and at its end. It is in the form that test results of cargo have where that matters.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use super::resources::Resources;
use crate::trace::{Ending, Trace};

/// What scenarios came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    scenarios: usize,
    exact: usize,
    endings: BTreeMap<&'static str, usize>,
    took: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, trace: &Trace, is_exact: bool, took: Duration) {
        self.scenarios += 1;
        self.exact += usize::from(is_exact);
        self.took += took;
        for ending in trace.dialer.calls.values().chain(trace.acceptor.calls.values()).flatten() {
            *self.endings.entry(kind(ending)).or_default() += 1;
        }
    }

    fn join(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.exact += other.exact;
        self.took += other.took;
        for (kind, count) in &other.endings {
            *self.endings.entry(kind).or_default() += count;
        }
    }
}

const fn kind(ending: &Ending) -> &'static str {
    match ending {
        Ending::Answered(0, _) => "answered",
        Ending::Answered(..) => "answered with an error",
        Ending::Discarded => "discarded",
        Ending::Dropped => "dropped",
        Ending::Lost => "lost",
        Ending::NotMade => "not sent",
        Ending::Refused => "refused",
        Ending::TimedOut => "timed out",
    }
}

/// What is said.
#[derive(Debug)]
pub(super) struct Report {
    runner: &'static str,
    seed: u64,
    started: Instant,
    all: Tally,
    passed: usize,
    /// How many tests were not selected.
    left_out: usize,
    skipped: Vec<String>,
    failed: Vec<&'static str>,
}

impl Report {
    pub(super) fn begin(runner: &'static str, arguments: &Arguments, left_out: usize) -> Self {
        let seed = arguments.seed;
        let cases = arguments.cases.map(|cases| format!(" CONFORMANCE_CASES={cases}")).unwrap_or_default();
        println!("\nconformance on {runner}, CONFORMANCE_SEED={seed}{cases}");
        Self {
            left_out,
            runner,
            seed,
            started: Instant::now(),
            all: Tally::default(),
            passed: 0,
            skipped: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Says that another round begins, and what the process holds.
    pub(super) fn round(&self, number: u64, seed: u64, resources: Option<&Resources>) {
        let resources = resources.map(|resources| format!("; {resources}")).unwrap_or_default();
        println!("round {number}, CONFORMANCE_SEED={seed}{resources}");
    }

    pub(super) const fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Whether one more failure would say nothing new.
    pub(super) const fn has_failed_often(&self) -> bool {
        self.failed.len() >= 3
    }

    /// Says what is tried now.
    pub(super) fn line(&self, name: &'static str) -> &'static str {
        print!("test {name:<60} ");
        // Who cannot see it will see the rest of the line.
        let _ = io::stdout().flush();
        name
    }

    pub(super) fn passed(&mut self, _: &'static str, tally: &Tally) {
        self.passed += 1;
        if tally.scenarios == 0 {
            return println!("ok");
        }
        println!(
            "ok      {:>5} scenarios, {:>5} exact, {:>6.2} s",
            tally.scenarios,
            tally.exact,
            tally.took.as_secs_f64()
        );
        self.all.join(tally);
    }

    pub(super) fn failed(&mut self, name: &'static str, tally: &Tally, problem: &str) {
        println!("FAILED\n\n{problem}\n");
        self.failed.push(name);
        self.all.join(tally);
    }

    /// Says that what was announced has nothing to try here.
    pub(super) fn skipped_here(&self, reason: &str) {
        println!("-       {reason}");
    }

    /// Says that one promise is not tried, and why.
    pub(super) fn skipped(&mut self, name: &'static str, reason: &str) {
        println!("test {name:<60} SKIPPED: {reason}");
        self.skipped.push(format!("{name} ({reason})"));
    }

    /// Says that nothing was tried, and why. That is no failure.
    pub(super) fn skipped_all(&self, reason: &str, promises: usize) -> ExitCode {
        println!("SKIPPED: conformance on {}: {reason}", self.runner);
        println!(
            "test result: ok. 0 passed; 0 failed; {promises} ignored; 0 measured; {} filtered out\n",
            self.left_out
        );
        ExitCode::SUCCESS
    }

    pub(super) fn end(&self) -> ExitCode {
        let Self { runner, seed, all, .. } = self;
        let endings: Vec<String> =
            all.endings.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!("\ncalls on {runner}: {}", endings.join(", "));
        let skipped = if self.skipped.is_empty() { "nothing".into() } else { self.skipped.join(", ") };
        println!(
            "{} scenarios on {runner}, {} of them exact; seed {seed}; skipped: {skipped}",
            all.scenarios, all.exact
        );
        for name in &self.failed {
            println!("test {name} ... FAILED");
        }
        let (word, failed) = if self.failed.is_empty() { ("ok", 0) } else { ("FAILED", self.failed.len()) };
        let took = self.started.elapsed().as_secs_f64();
        println!(
            "test result: {word}. {} passed; {failed} failed; {} ignored; 0 measured; {} filtered out; finished in {took:.2}s\n",
            self.passed,
            self.skipped.len(),
            self.left_out
        );
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
