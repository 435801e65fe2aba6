//! Every accepted call ends exactly once, with its own reply or with the truth about its delivery, wherever the
//! stream breaks.

use std::time::Duration;

use conformance::stepwise::{Action, Entry, Scenario, World, scenario};
use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::Lane;
use proto_core::simulation::{Cut, CutKind, CutPlace, PairConfig, PipeConfig, WriterKind};
use proto_core::{Config, Delivery, Instant, Role};

/// Calls and pushes both ways, over a pipe that is narrow enough for most of them to wait somewhere.
fn conversation(writer: WriterKind, commit_limit: usize) -> Scenario {
    let config = Config { commit_limit, heartbeat: None, ..Config::default() }.share().expect("sound limits");
    let pipe = PipeConfig { capacity: 64, read_size: 1..=40, ..PipeConfig::default() };
    let pair = PairConfig {
        dialer: config.clone(),
        acceptor: config,
        to_acceptor: pipe.clone(),
        to_dialer: pipe,
        writer,
        seed: 3,
    };
    let mut script = Vec::new();
    for role in [Role::Acceptor, Role::Dialer, Role::Acceptor] {
        script.extend([(role, Action::Step(40)), (role, Action::Poll(1))]);
    }
    for round in 0..4 {
        for role in BOTH {
            script.push((
                role,
                Action::Call {
                    size: 30 + round * 20,
                    metadata: round * 9,
                    timeout: None,
                    lane: Lane::Normal,
                },
            ));
            script.push((role, Action::Push { size: 10, metadata: 0, lane: Lane::Normal }));
            script.push((
                role,
                Action::Call {
                    size: 6,
                    metadata: 0,
                    timeout: Some(Duration::from_millis(9)),
                    lane: Lane::Normal,
                },
            ));
            script.push((role, Action::Step(12)));
            script.push((role, Action::Poll(3)));
            script.push((role, Action::Reply { which: 1, size: 25 }));
        }
    }
    Scenario { pair, script }
}

/// One conversation, cut behind every single byte of either direction, by a reset and by an end of the stream, with
/// both kinds of writers: each call ends once, and `NotSent` is never said of one that the peer saw.
#[test]
fn a_cut_at_any_byte_leaves_no_call_without_its_one_true_outcome() {
    let [answered, not_sent, maybe_sent] = <[Met; 3]>::default();
    for (writer, commit_limit) in [
        (WriterKind::Lent, 128 << 10),
        (WriterKind::Lent, 1),
        (WriterKind::Owned, 128 << 10),
        (WriterKind::Owned, 1),
    ] {
        let whole = conversation(writer, commit_limit);
        let mut world = World::new(&whole.pair);
        whole.script.iter().for_each(|(role, action)| world.act(*role, action));
        world.settle();
        for (direction, kind) in
            BOTH.into_iter().flat_map(|role| [(role, CutKind::Reset), (role, CutKind::Eof)])
        {
            let length = world.pair().pipe_from(direction).delivered();
            assert!(length > 700, "only {length} bytes went from the {direction:?}");
            for at in 0..=length {
                let mut cut = conversation(writer, commit_limit);
                let pipe = match direction {
                    Role::Dialer => &mut cut.pair.to_acceptor,
                    Role::Acceptor => &mut cut.pair.to_dialer,
                };
                pipe.cut = Some(Cut { place: CutPlace::Bytes(at), kind });
                let trace = World::play(&cut);
                if let Err(violation) = trace.check() {
                    panic!(
                        "{kind:?} behind byte {at} from the {direction:?}, {writer:?}: {violation}\n{trace:#?}"
                    );
                }
                for role in BOTH {
                    let lost = |delivery| {
                        trace
                            .side(role)
                            .count(|entry| matches!(entry, Entry::Lost(_, how) if *how == delivery))
                    };
                    answered.add(trace.side(role).replies());
                    not_sent.add(lost(Delivery::NotSent));
                    maybe_sent.add(lost(Delivery::MaybeSent));
                }
            }
        }
    }
    answered.assert("a call that was answered");
    not_sent.assert("a call that was lost before it was sent");
    maybe_sent.assert("a call that was lost after it was sent");
}

/// The same for any scenario, broken anywhere and at any time.
#[test]
fn a_cut_anywhere_keeps_every_promise() {
    let broken = Met::default();
    let places = prop_oneof![
        (0..6000u64).prop_map(CutPlace::Bytes),
        (0..8000u64).prop_map(|millis| CutPlace::Time(Instant::EPOCH + Duration::from_millis(millis))),
    ];
    let kinds = prop_oneof![Just(CutKind::Reset), Just(CutKind::Eof)];
    let cuts = (places, kinds).prop_map(|(place, kind)| Cut { place, kind });
    proptest!(cases(8000), |(mut scenario in Scenario::any(), cut in cuts, from in scenario::roles())| {
        match from {
            Role::Dialer => scenario.pair.to_acceptor.cut = Some(cut),
            Role::Acceptor => scenario.pair.to_dialer.cut = Some(cut),
        }
        let trace = World::play(&scenario);
        let lost = |entry: &Entry| matches!(entry, Entry::Lost(..));
        broken.add(BOTH.map(|role| trace.side(role).count(lost)).iter().sum());
        if let Err(violation) = trace.check() {
            return Err(TestCaseError::fail(format!("{violation}\n{trace:#?}")));
        }
    });
    broken.assert("a call that was lost");
}

/// Few slots, many calls, most of them given up or timed out while their replies are under way: slots are used again
/// and again, late replies meet the slots' next calls, both sides use equal ids at the same time, and still no reply
/// reaches another call than its own.
#[test]
fn no_reply_crosses() {
    let [late, equal_ids, reused] = <[Met; 3]>::default();
    let millis = (1..60u64).prop_map(Duration::from_millis);
    let action = prop_oneof![
        6 => millis.prop_map(|timeout| Action::Call { size: 10, metadata: 0, timeout: Some(timeout), lane: Lane::Normal }),
        2 => Just(Action::Call { size: 10, metadata: 0, timeout: None, lane: Lane::Normal }),
        4 => (0..8usize).prop_map(|which| Action::Reply { which, size: 10 }),
        2 => (0..8usize).prop_map(|which| Action::Cancel { which }),
        4 => Just(Action::Poll(4)),
        4 => (1..12usize).prop_map(Action::Step),
        2 => (1..25u64).prop_map(|millis| Action::Wait(Duration::from_millis(millis))),
    ];
    let slots = (1..5u32, 1..5u32);
    let strategy = (Scenario::with(action, 300), slots);
    proptest!(cases(800), |((mut scenario, (one, two)) in strategy)| {
        let limited = |call_slots| Config { call_slots, heartbeat: None, ..Config::default() }.share().unwrap();
        (scenario.pair.dialer, scenario.pair.acceptor) = (limited(one), limited(two));
        let mut world = World::new(&scenario.pair);
        prop_assume!(world.pair().handshake());
        for (role, action) in &scenario.script {
            world.act(*role, action);
            equal_ids.add(world.calls(Role::Dialer).filter(|id| world.calls(Role::Acceptor).any(|other| other == *id)).count());
            reused.add(world.calls(*role).filter(|id| id.sequence().generation() > 2).count());
        }
        world.settle();
        late.add(BOTH.map(|role| world.pair().connection(role).counters().replies_late as usize).iter().sum());
        let trace = world.end();
        if let Err(violation) = trace.check() {
            return Err(TestCaseError::fail(format!("{violation}\n{trace:#?}")));
        }
    });
    late.assert("a reply that came too late");
    equal_ids.assert("two calls with the same id, one of each side");
    reused.assert("a slot that was used for the third time");
}
