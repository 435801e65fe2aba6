//! Nothing fires early, nothing fires late, and time never stands still.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::stepwise::scenario::actions;
use conformance::stepwise::{Action, Entry, Scenario, World};
use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::simulation::{Pair, PairConfig};
use proto_core::{Event, Instant, Message, Timeout};

/// After `handle_timeout(now)`, whatever `now` is, there is no deadline or it is later: an event loop that sleeps
/// until the deadline never spins.
#[test]
fn a_deadline_that_was_handled_is_over() {
    let set = Met::default();
    let instants = prop_oneof![
        4 => 0..5_000_000_000u64,
        2 => 0..u64::MAX,
        1 => Just(u64::MAX),
    ];
    let strategy = (Scenario::with(actions(), 40), instants.prop_map(Instant::from_nanos));
    proptest!(cases(4000), |((scenario, instant) in strategy)| {
        let mut world = World::new(&scenario.pair);
        for (role, action) in &scenario.script {
            world.act(*role, action);
        }
        let now = world.pair().now().max(instant);
        for role in BOTH {
            let connection = world.pair().connection(role);
            set.add(usize::from(connection.poll_timeout().is_some()));
            connection.handle_timeout(now);
            let deadline = connection.poll_timeout();
            prop_assert!(
                deadline.is_none_or(|deadline| deadline.at > now),
                "{deadline:?} of the {role:?} is due again after handle_timeout({now:?})"
            );
        }
    });
    set.assert("a timer that was set");
}

/// A call times out at its deadline to the nanosecond, if nobody answers: not before, and not later than
/// `poll_timeout` asked for.
#[test]
fn calls_time_out_exactly_at_their_deadlines() {
    let timed_out = Met::default();
    let timeouts = prop::collection::vec((0..3_000_000_000u64, 0..200u64), 1..30);
    proptest!(cases(1000), |(timeouts in timeouts, seed: u64)| {
        let mut pair = Pair::open(seed);
        let mut due = BTreeMap::new();
        let mut next = timeouts.into_iter().peekable();
        loop {
            if let Some((nanos, pause)) = next.next() {
                let now = pair.now();
                let timeout = Duration::from_nanos(nanos);
                let call = pair.dialer().call(now, Message::new(1, "nobody answers"), Timeout::After(timeout)).unwrap();
                due.insert(call.sequence().to_u64(), now + timeout);
                let end = now + Duration::from_millis(pause);
                while pair.step_until(end) {
                    check_ends(&mut pair, &mut due, &timed_out)?;
                }
            } else if !pair.step() {
                break;
            }
            check_ends(&mut pair, &mut due, &timed_out)?;
        }
        prop_assert!(due.is_empty(), "calls never ended: {due:?}");
    });
    timed_out.assert("a call that timed out");
}

fn check_ends(pair: &mut Pair, due: &mut BTreeMap<u64, Instant>, ended: &Met) -> Result<(), TestCaseError> {
    while let Some(event) = pair.dialer().poll_event() {
        let Event::Ended { call, .. } = event else { continue };
        let deadline = due.remove(&call.sequence().to_u64());
        prop_assert_eq!(deadline, Some(pair.now()), "{:?} did not end at its deadline", call);
        ended.add(1);
    }
    Ok(())
}

/// Whatever is tried in between, no timeout is seen before its time. `World` says `Nonsense` of one that is.
#[test]
fn no_call_times_out_early() {
    let early = Action::Wait(Duration::from_millis(3));
    proptest!(cases(1500), |(scenario in Scenario::any())| {
        let mut world = World::new(&scenario.pair);
        for (role, action) in &scenario.script {
            world.act(*role, action);
            world.act(*role, &Action::Nudge(1));
            world.act(*role, &Action::Poll(100));
            world.act(*role, &early);
        }
        let nonsense = |entry: &Entry| matches!(entry, Entry::Nonsense(_));
        for role in BOTH {
            prop_assert_eq!(world.trace().side(role).count(nonsense), 0, "{:?}", world.trace().side(role));
        }
    });
}

/// A clock that goes back is not followed: what is said later starts from the latest instant that was ever told.
#[test]
fn time_never_goes_back() {
    let mut pair = Pair::open(1);
    let second = Duration::from_secs(1);
    pair.advance(5 * second);
    let late = pair.now();
    let dialer = pair.dialer();
    dialer.handle_timeout(late);
    dialer.call(Instant::EPOCH, Message::new(1, "when?"), Timeout::After(second)).unwrap();
    assert_eq!(dialer.poll_timeout().map(|deadline| deadline.at), Some(late + second));
}

/// Without heartbeats an hour in which nothing is said costs not one step.
#[test]
fn an_idle_connection_has_no_deadline() {
    let mut pair = Pair::new(&PairConfig::quiet());
    assert!(pair.handshake());
    assert!(pair.run_until_idle(Duration::ZERO));
    for role in BOTH {
        assert_eq!(pair.connection(role).poll_timeout(), None, "{role:?}");
    }
}
