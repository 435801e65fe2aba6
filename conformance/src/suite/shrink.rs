//! Draws scenarios and makes those that fail small.

use std::time::{Duration, Instant};

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::model::Violation;
use crate::scenario::Scenario;

/// How long making one small may take, and how often it is tried.
const TIME: Duration = Duration::from_secs(30);
const TRIES: usize = 1000;

/// A scenario that breaks a promise.
pub(super) struct Failure {
    pub(super) scenario: Scenario,
    pub(super) violation: Violation,
    /// Nothing that is simpler breaks one.
    pub(super) is_smallest: bool,
}

/// Draws so many scenarios, and gives the first one that fails, as small as it can be made. `play` is told what was found before,
/// if the scenario is one that is being made small.
pub(super) fn find(
    scenarios: &BoxedStrategy<Scenario>,
    seed: &[u8; 32],
    cases: u32,
    mut play: impl FnMut(&Scenario, Option<&Violation>) -> Result<(), Violation>,
) -> Option<Failure> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..cases {
        // A strategy of ours filters nothing, so that it always has a value.
        let Ok(mut tree) = scenarios.new_tree(&mut runner) else { continue };
        let scenario = tree.current();
        if let Err(violation) = play(&scenario, None) {
            let failure = Failure { scenario, violation, is_smallest: false };
            return Some(smaller(&mut tree, failure, play));
        }
    }
    None
}

fn smaller(
    tree: &mut impl ValueTree<Value = Scenario>,
    mut failure: Failure,
    mut play: impl FnMut(&Scenario, Option<&Violation>) -> Result<(), Violation>,
) -> Failure {
    let started = Instant::now();
    let mut more = tree.simplify();
    for _ in 0..TRIES {
        if !more {
            return Failure { is_smallest: true, ..failure };
        }
        if started.elapsed() > TIME {
            break;
        }
        let scenario = tree.current();
        more = match play(&scenario, Some(&failure.violation)) {
            // Another promise would be another story.
            Err(violation) if violation.promise == failure.violation.promise => {
                failure = Failure { scenario, violation, is_smallest: false };
                tree.simplify()
            }
            Ok(()) | Err(_) => tree.complicate(),
        };
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Deed, strategies};

    #[test]
    fn what_fails_is_made_as_small_as_it_can_be() {
        let has_await = |scenario: &Scenario| scenario.dialer.contains(&Deed::Await);
        let failure = find(&strategies::whole().boxed(), &[7; 32], 1000, |scenario, _| {
            let violation = Violation { promise: "nobody waits", observed: String::new() };
            if has_await(scenario) { Err(violation) } else { Ok(()) }
        });
        let failure = failure.expect("one of a thousand waits");
        assert!(failure.is_smallest);
        assert_eq!((&failure.scenario.dialer, failure.scenario.acceptor.len()), (&vec![Deed::Await], 0));
    }
}
