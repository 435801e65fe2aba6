//! Any order of calls is legal, and what comes of them does not depend on how the network cuts and delays.

use conformance::stepwise::world::nudge;
use conformance::stepwise::{Action, Entry, Scenario, World, scenario};
use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::{Delivery, Role, StatusCode};

/// Calls, pushes, replies, cancels, releases, closes, aborts, partial writes, spurious polls, in any order on both
/// sides: nothing panics, and every promise of `Trace::check` is kept.
#[test]
fn any_order_of_calls_keeps_every_promise() {
    let [replies, timeouts, cancels, not_sent, lost, refusals] = <[Met; 6]>::default();
    proptest!(cases(10_000), |(scenario in Scenario::any())| {
        let trace = World::play(&scenario);
        for role in BOTH {
            let side = trace.side(role);
            replies.add(side.replies());
            timeouts.add(side.count(|entry| matches!(entry, Entry::TimedOut(_, Delivery::MaybeSent))));
            not_sent.add(side.count(|entry| matches!(entry, Entry::TimedOut(_, Delivery::NotSent))));
            cancels.add(side.count(|entry| matches!(entry, Entry::Cancelled(_, Some(_)))));
            lost.add(side.count(|entry| matches!(entry, Entry::Lost(..))));
            refusals.add(side.count(|entry| matches!(entry, Entry::Refused(..))));
        }
        if let Err(violation) = trace.check() {
            return Err(TestCaseError::fail(format!("{violation}\n{trace:#?}")));
        }
    });
    replies.assert("a call that was answered");
    timeouts.assert("a call that timed out after it was sent");
    not_sent.assert("a call that timed out before it was sent");
    cancels.assert("a call that was cancelled in time");
    lost.assert("a call that was lost");
    refusals.assert("a message that was refused for good");
}

/// The same applications on two networks: the same calls end in the same way, the same messages arrive in the same
/// order, and nobody is left waiting.
#[test]
fn outcomes_do_not_depend_on_the_network() {
    let waits = Met::default();
    let networks = (Scenario::without_races(), scenario::pairs());
    proptest!(cases(4000), |((scenario, network) in networks)| {
        let mut other = scenario.clone();
        other.pair.to_acceptor = network.to_acceptor;
        other.pair.to_dialer = network.to_dialer;
        other.pair.writer = network.writer;
        other.pair.seed = network.seed;
        let traces = [World::play(&scenario), World::play(&other)];
        for trace in &traces {
            prop_assert_eq!(trace.check(), Ok(()));
            prop_assert_eq!(trace.check_arrival(Role::Dialer), Ok(()));
        }
        for role in BOTH {
            let [one, two] = traces.each_ref().map(|trace| trace.side(role));
            waits.add(one.count(|entry| *entry == Entry::Writable));
            prop_assert_eq!(one.outcomes(), two.outcomes(), "calls of the {:?} ended differently", role);
            prop_assert_eq!(one.received(), two.received(), "the {:?} received something else", role);
            for (number, outcome) in one.outcomes() {
                let answered = matches!(outcome, Entry::Answered(_, StatusCode::OK, Some(_)));
                prop_assert!(answered, "call {number} of the {role:?} was not answered: {outcome:?}");
            }
        }
    });
    waits.assert("an application that had to wait for room");
}

/// Asking twice gives the same answer, and leaves everything as it was: once time has been taken note of, a second
/// spurious call changes not one field of the connection.
#[test]
fn spurious_calls_change_nothing() {
    proptest!(cases(1500), |(scenario in Scenario::any(), which in 0..100usize)| {
        let mut world = World::new(&scenario.pair);
        for (role, action) in &scenario.script {
            world.act(*role, action);
            let now = world.pair().now();
            let connection = world.pair().connection(*role);
            connection.handle_timeout(now);
            let before = format!("{connection:?}");
            nudge(connection, now, which);
            let after = format!("{connection:?}");
            prop_assert_eq!(before, after, "spurious call {} changed something", which);
        }
    });
}

/// The same, as the applications see it: a scenario with spurious calls put between all its actions has the same
/// trace as without them.
#[test]
fn spurious_calls_are_not_seen() {
    let is_nudge = |action: &Action| matches!(action, Action::Nudge(_));
    proptest!(cases(3000), |(scenario in Scenario::without_races(), which in 0..100usize)| {
        let (mut with, mut without) = (scenario.clone(), scenario);
        without.script.retain(|(_, action)| !is_nudge(action));
        with.script = without
            .script
            .iter()
            .enumerate()
            .flat_map(|(at, step)| [step.clone(), (step.0, Action::Nudge(which + at)), (step.0, Action::Nudge(1))])
            .collect();
        prop_assert_eq!(World::play(&with), World::play(&without));
    });
}
