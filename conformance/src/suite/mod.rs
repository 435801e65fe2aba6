//! Runs every promise on a runtime, and says what came of it.

mod arguments;
mod contract;
mod kept;
mod promises;
mod report;
mod resources;
mod runner;
mod shrink;
mod watchdog;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;

use self::arguments::Arguments;
use self::report::{Report, Tally};
use self::resources::Resources;
use self::runner::{InVirtualTime, OnLoop, OnRuntime, Runner};
use self::shrink::Failure;
use self::watchdog::Watchdog;
use crate::adapter::Adapter;
use crate::embedded::EventLoop;
use crate::model::{self, Model, Violation};
use crate::other;
use crate::player::TOO_LONG;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::virtual_time::VirtualTime;

pub use self::promises::{PROMISES, Promise};

/// How long a scenario may take that is being made small: it has been seen to fail.
const IMPATIENCE: Duration = Duration::from_secs(4);

/// Runs the suite on a runtime, as the `main` of a test that has `harness = false`.
///
/// First come the parts of the adapter by themselves, then scenarios that were kept, then those that are drawn for each promise. The
/// network of a scenario runs on the streams and timers that are tried, so that what is wrong with them may show in
/// surprising places: that is why the parts come first.
///
/// It takes the arguments that `cargo test -- …` hands to every test: words that select promises by parts of their names,
/// `--skip`, `--exact`, `--list`; others are for other harnesses and do nothing here. The environment:
///
/// | variable | |
/// |---|---|
/// | `CONFORMANCE_CASES` | scenarios for each promise, in place of 1 to 100 |
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

/// Runs the suite in virtual time, like [`run()`]: more scenarios, and the same ones give the same result.
pub fn run_in_virtual_time() -> ExitCode {
    run_on::<InVirtualTime>()
}

fn run_on<R: Runner>() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("conformance: {problem}");
            return ExitCode::from(2);
        }
    };
    let names =
        || [contract::NAME, kept::NAME].into_iter().chain(PROMISES.iter().map(|promise| promise.name));
    if arguments.list {
        names().filter(|name| arguments.selects(name)).for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let selected = || PROMISES.iter().filter(|promise| arguments.selects(promise.name));
    let left_out = names().filter(|name| !arguments.selects(name)).count();
    let mut report = Report::begin(R::NAME, &arguments, left_out);
    let runner = match R::start() {
        Ok(runner) => runner,
        Err(reason) => return report.skipped_all(&reason, selected().count()),
    };
    let subject = Subject { runner, watchdog: Watchdog::start(R::NAME) };
    // Whatever is wrong with a part shows in scenarios too, and less clearly.
    if arguments.selects(contract::NAME) && !subject.check(&mut report) {
        return report.end();
    }
    if arguments.selects(kept::NAME) {
        subject.replay(&mut report);
    }
    let tried: Vec<&Promise> = selected().filter(|promise| R::lacks(promise).is_none()).collect();
    for promise in selected() {
        if let Some(reason) = R::lacks(promise) {
            report.skipped(promise.name, reason);
        }
    }
    for promise in &tried {
        if report.has_failed_often() {
            report.skipped(promise.name, "enough is broken already");
        } else {
            subject.test(promise, &arguments, &mut report);
        }
    }
    if let Some(minutes) = arguments.minutes {
        subject.go_on(Duration::from_secs(minutes.saturating_mul(60)), &tried, &arguments, &mut report);
    }
    report.end()
}

/// What is tried.
struct Subject<R> {
    runner: R,
    watchdog: Watchdog,
}

impl<R: Runner> Subject<R> {
    /// Tries the parts by themselves. Says whether they are as they must be.
    fn check(&self, report: &mut Report) -> bool {
        let line = report.line(contract::NAME);
        match self.watchdog.watch(None, || self.runner.check()) {
            None => report.skipped_here("it has none"),
            Some(Ok(())) => report.passed(line, &Tally::default()),
            Some(Err(problem)) => {
                report.failed(line, &Tally::default(), &problem);
                return false;
            }
        }
        true
    }

    /// Plays all that has been kept.
    fn replay(&self, report: &mut Report) {
        let line = report.line(kept::NAME);
        let mut tally = Tally::default();
        for (name, text) in kept::all() {
            let judged = match text.parse::<Scenario>() {
                Ok(scenario) if scenario.needs_clients() && !R::HAS_CLIENTS => continue,
                Ok(scenario) => self
                    .judge(&scenario, TOO_LONG, &mut tally)
                    .map(drop)
                    .map_err(|violation| violation.to_string()),
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
        if promises.is_empty() || report.has_failed() {
            return report.skipped("nothing_grows", "there is nothing to go on with");
        }
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
        let cases = arguments.cases.unwrap_or_else(|| promise.cases.saturating_mul(R::FACTOR));
        let line = report.line(promise.name);
        let scenarios = (promise.draw)()
            .prop_map(|scenario| Scenario { comes_back: scenario.comes_back && R::HAS_CLIENTS, ..scenario });
        let (mut tally, mut met) = (Tally::default(), 0);
        let seed = arguments.seed_of(promise.name);
        let failure = shrink::find(&scenarios.boxed(), &seed, cases, |scenario, found| {
            // One that has been stuck need not be waited for again so long.
            let is_stuck = found.is_some_and(|violation| violation.promise == model::COMES_TO_ITS_END);
            let trace = self.judge(scenario, if is_stuck { IMPATIENCE } else { TOO_LONG }, &mut tally)?;
            met += usize::from((promise.meets.1)(&trace));
            Ok(())
        });
        match failure {
            Some(failure) => {
                report.failed(line, &tally, &self.keep(promise.name, &failure));
            }
            None if met == 0 && cases >= promise.cases => {
                report.failed(
                    line,
                    &tally,
                    &format!("no scenario had {}: they prove nothing", promise.meets.0),
                );
            }
            None => report.passed(line, &tally),
        }
    }

    fn keep(&self, name: &str, failure: &Failure) -> String {
        let explained = self.watchdog.watch(Some(&failure.scenario), || explain(failure));
        kept::keep(R::NAME, name, &failure.scenario, &explained)
    }

    /// Plays a scenario and judges what was observed.
    fn judge(&self, scenario: &Scenario, patience: Duration, tally: &mut Tally) -> Result<Trace, Violation> {
        let started = Instant::now();
        let judged = self.watchdog.watch(Some(scenario), || {
            catch_unwind(AssertUnwindSafe(|| {
                let trace = self.runner.play(scenario, patience);
                let happened = scenario.with_faults(&trace.faults);
                let model = Model::new(&happened);
                model.judge(&trace)?;
                let is_exact = model.is_exact();
                if is_exact {
                    compare(&trace, &VirtualTime::play(scenario))?;
                }
                Ok((trace, is_exact))
            }))
        });
        let (trace, is_exact) = judged.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        tally.add(&trace, is_exact, started.elapsed());
        Ok(trace)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<&str>().map(|&text| text.to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Violation { promise: "nothing panics", observed: format!("something did: {text}") }
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

/// Says what was found, and where to look first.
fn explain(failure: &Failure) -> String {
    let Failure { scenario, violation, is_smallest } = failure;
    let there = catch_unwind(|| {
        let trace = VirtualTime::play(scenario);
        Model::new(&scenario.with_faults(&trace.faults)).judge(&trace)
    });
    let hint = match there {
        Ok(Ok(())) => {
            "In virtual time the promise is kept: look at the adapter first, then at what races here."
        }
        Ok(Err(_)) | Err(_) => {
            "In virtual time a promise is broken as well: look at the core, or at the scenario."
        }
    };
    let size =
        if *is_smallest { "Nothing simpler was found." } else { "There was no time to make it smaller." };
    format!("{violation}\n{hint}\n{size}")
}
