//! Runs every promise on a runtime, and says what came of it.

mod arguments;
mod kept;
mod promises;
mod report;
mod resources;
mod runner;
mod watchdog;

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::arguments::Arguments;
use self::report::{Report, Tally};
use self::resources::Resources;
use self::runner::{OnLoop, OnRuntime, Runner};
use self::watchdog::Watchdog;
use crate::adapter::Adapter;
use crate::embedded::EventLoop;
use crate::model::{Model, Violation};
use crate::other;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::virtual_time::VirtualTime;

pub use self::promises::{PROMISES, Promise};

/// Runs the suite on a runtime, as the `main` of a test that has `harness = false`.
///
/// It takes the arguments that `cargo test -- …` hands to every test: words that select promises by parts of their names,
/// `--exact`, `--list`; others are for other harnesses and do nothing here. The environment:
///
/// | variable | |
/// |---|---|
/// | `CONFORMANCE_CASES` | scenarios for each promise, in place of 3 to 100 |
/// | `CONFORMANCE_SEED` | draws the same scenarios again: each run says its seed |
/// | `CONFORMANCE_MINUTES` | goes on with other seeds for so long, and fails if memory, descriptors or threads grow (Linux) |
///
/// A scenario that breaks a promise is made as small as possible and written to `scenarios/` in the directory of the package
/// that runs it. All that is there is played first on each run; so are the scenarios that come with this crate.
pub fn run<A: Adapter>() -> ExitCode {
    run_on::<OnRuntime<A>>()
}

/// Runs the suite on an event loop that drives connections itself, like [`run()`].
pub fn run_loop<L: EventLoop>() -> ExitCode {
    run_on::<OnLoop<L>>()
}

fn run_on<R: Runner>() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("conformance: {problem}");
            return ExitCode::from(2);
        }
    };
    let selected = || PROMISES.iter().filter(|promise| arguments.selects(promise.name));
    if arguments.list {
        selected().for_each(|promise| println!("{}: test", promise.name));
        return ExitCode::SUCCESS;
    }
    let mut report = Report::begin(R::NAME, arguments.seed);
    let runner = match R::start() {
        Ok(runner) => runner,
        Err(reason) => return report.skipped_all(&reason, selected().count()),
    };
    let subject = Subject { runner, watchdog: Watchdog::start(R::NAME) };
    if arguments.selects(kept::NAME) {
        subject.replay(&mut report);
    }
    let tried: Vec<&Promise> =
        selected().filter(|promise| R::HAS_CLIENTS || !promise.needs_clients).collect();
    for promise in selected().filter(|promise| !R::HAS_CLIENTS && promise.needs_clients) {
        report.skipped(promise.name, "it has no clients that come back");
    }
    tried.iter().for_each(|promise| subject.test(promise, &arguments, &mut report));
    if let Some(minutes) = arguments.minutes {
        subject.go_on(Duration::from_secs(60 * minutes), &tried, &arguments, &mut report);
    }
    report.end()
}

/// What is tried.
struct Subject<R> {
    runner: R,
    watchdog: Watchdog,
}

impl<R: Runner> Subject<R> {
    /// Plays all that has been kept.
    fn replay(&self, report: &mut Report) {
        let line = report.line(kept::NAME);
        let mut tally = Tally::default();
        for (name, text) in kept::all() {
            let judged = match text.parse::<Scenario>() {
                Ok(scenario) if scenario.needs_clients() && !R::HAS_CLIENTS => continue,
                Ok(scenario) => self.judge(&scenario, &mut tally).map_err(|violation| violation.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(problem) = judged {
                return report.failed(line, &tally, &format!("{name}: {problem}"));
            }
        }
        report.passed(line, &tally);
    }

    /// Goes on with other seeds, round after round, and looks whether something grows that should not.
    fn go_on(&self, time: Duration, promises: &[&Promise], arguments: &Arguments, report: &mut Report) {
        let (started, before) = (Instant::now(), Resources::now());
        for round in 1.. {
            if started.elapsed() >= time || report.has_failed() {
                break;
            }
            let arguments = arguments.with_seed(arguments.seed.wrapping_add(round));
            report.round(round, arguments.seed, Resources::now().as_ref());
            promises.iter().for_each(|promise| self.test(promise, &arguments, report));
        }
        let line = report.line("nothing_grows");
        match before.zip(Resources::now()) {
            None => report.skipped("nothing_grows", "this system does not tell what a process holds"),
            Some((before, now)) => match now.growth_since(&before) {
                None => report.passed(line, &Tally::default()),
                Some(grown) => report.failed(line, &Tally::default(), &grown),
            },
        }
    }

    fn test(&self, promise: &Promise, arguments: &Arguments, report: &mut Report) {
        let cases = arguments.cases.unwrap_or(promise.cases * R::FACTOR);
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 1000,
            max_shrink_time: 30_000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &arguments.seed_of(promise.name));
        let mut runner = TestRunner::new_with_rng(config, rng);
        let line = report.line(promise.name);
        let tally = RefCell::new(Tally::default());
        let met = Cell::new(0usize);
        let scenarios = (promise.draw)()
            .prop_map(|scenario| Scenario { comes_back: scenario.comes_back && R::HAS_CLIENTS, ..scenario });
        let result = runner.run(&scenarios, |scenario| {
            let trace = self.judge(&scenario, &mut tally.borrow_mut());
            let trace = trace.map_err(|violation| TestCaseError::fail(violation.to_string()))?;
            met.set(met.get() + usize::from((promise.meets.1)(&trace)));
            Ok(())
        });
        let tally = tally.into_inner();
        match result {
            Ok(()) if met.get() == 0 && cases >= promise.cases => {
                report.failed(
                    line,
                    &tally,
                    &format!("no scenario had {}: they prove nothing", promise.meets.0),
                );
            }
            Ok(()) => report.passed(line, &tally),
            Err(TestError::Fail(reason, scenario)) => {
                let explained = explain(&scenario, reason.message());
                report.failed(line, &tally, &kept::keep(R::NAME, promise.name, &scenario, &explained));
            }
            Err(TestError::Abort(reason)) => report.failed(line, &tally, reason.message()),
        }
    }

    /// Plays a scenario and judges what was observed.
    fn judge(&self, scenario: &Scenario, tally: &mut Tally) -> Result<Trace, Violation> {
        let started = Instant::now();
        let trace = self.watchdog.watch(scenario, || self.runner.play(scenario));
        let model = Model::new(scenario);
        model.judge(&trace)?;
        let is_exact = model.is_exact();
        if is_exact {
            compare(&trace, &VirtualTime::play(scenario))?;
        }
        tally.add(&trace, is_exact, started.elapsed());
        Ok(trace)
    }
}

/// Where nothing races, the model allows one trace; that virtual time agrees says that it does not allow too much.
fn compare(here: &Trace, there: &Trace) -> Result<(), Violation> {
    for role in crate::BOTH {
        let essence = |trace: &Trace| trace.side(role).essence(trace.side(other(role)));
        let (here, there) = (essence(here), essence(there));
        if here != there {
            return Err(Violation {
                promise: "where nothing races, every runtime observes the same",
                observed: format!(
                    "here the {role:?} observed\n    {here}\n  and in virtual time\n    {there}"
                ),
            });
        }
    }
    Ok(())
}

/// Says where to look first.
fn explain(scenario: &Scenario, problem: &str) -> String {
    let in_virtual_time = Model::new(scenario).judge(&VirtualTime::play(scenario));
    let hint = match in_virtual_time {
        Ok(()) => "In virtual time the promise is kept: look at the adapter first, or at what races here.",
        Err(_) => "In virtual time it is broken as well: look at the core, or at the scenario.",
    };
    format!("{problem}\n{hint}")
}
