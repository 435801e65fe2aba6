//! The same seed and the same inputs give the same bytes, the same events and the same state.

use std::fmt::Write as _;

use conformance::cases;
use conformance::stepwise::{Scenario, World};
use proptest::prelude::*;

/// All that can be known of a run: both connections and the network after every action, in words, and the trace.
fn all_of(scenario: &Scenario) -> String {
    let mut world = World::new(&scenario.pair);
    let mut all = String::new();
    for (role, action) in &scenario.script {
        world.act(*role, action);
        writeln!(all, "{:?}", world.pair()).expect("a string takes everything");
    }
    world.settle();
    writeln!(all, "{:?}", world.end()).expect("a string takes everything");
    all
}

/// A run can be repeated to the byte, so that a failure that was seen once can be seen again.
#[test]
fn the_same_seed_gives_the_same_run() {
    proptest!(cases(200), |(scenario in Scenario::any())| {
        let (one, two) = (all_of(&scenario), all_of(&scenario));
        if let Some((line, _)) = one.lines().zip(two.lines()).enumerate().find(|(_, (one, two))| one != two) {
            return Err(TestCaseError::fail(format!("two runs differ after action {line} of {scenario:?}")));
        }
        prop_assert_eq!(one.len(), two.len());
    });
}

/// Another seed gives another run, or the property above would prove nothing.
#[test]
fn another_seed_gives_another_run() {
    let mut scenario = Scenario::default();
    scenario.pair.to_acceptor.read_size = 1..=20;
    let call = conformance::stepwise::Action::Call {
        size: 500,
        metadata: 0,
        timeout: None,
        lane: proto_core::Lane::Normal,
    };
    let step = conformance::stepwise::Action::Step(10);
    let role = proto_core::Role::Dialer;
    scenario.script = vec![
        (role, step.clone()),
        (proto_core::Role::Acceptor, conformance::stepwise::Action::Poll(1)),
        (role, step),
        (role, call),
    ];
    let one = all_of(&scenario);
    scenario.pair.seed = 1;
    assert_ne!(one, all_of(&scenario));
}
