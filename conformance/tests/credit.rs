//! Two peers that flood each other both come to their end: credit bounds every queue, and never stops for ever.

use std::time::Duration;

use conformance::{Action, BOTH, Entry, Met, World, cases, scenario};
use proptest::prelude::*;
use proto_core::Lane;
use proto_core::simulation::{PairConfig, PipeConfig};
use proto_core::{Config, Role};

const LARGEST: usize = 1024;

/// Windows that hold one largest message and nothing more, few slots, pipes of a few bytes, and both sides send much
/// more than that at once, bodies of exactly the largest size among it. Nothing stalls.
#[test]
fn two_floods_over_tiny_pipes_both_finish() {
    let waits = Met::default();
    let size = prop_oneof![2 => Just(LARGEST), 1 => LARGEST - 70..=LARGEST, 2 => 0..200usize];
    let messages = prop::collection::vec((scenario::roles(), any::<bool>(), size), 1..80);
    let pipe = || {
        (1..300usize, 1..100usize, 0..3u64).prop_map(|(capacity, most, latency)| PipeConfig {
            capacity,
            read_size: 1..=most,
            latency: Duration::from_millis(latency),
            ..PipeConfig::default()
        })
    };
    let limits = (
        1..4u32,
        0..200u64,
        prop_oneof![Just(0usize), 0..3000usize],
        prop_oneof![Just(1usize), 1..2000usize],
    );
    let reply = prop_oneof![Just(LARGEST), 0..LARGEST];
    let strategy = (messages, pipe(), pipe(), limits, reply, any::<u64>());
    proptest!(cases(700), |((messages, to_acceptor, to_dialer, limits, reply, seed) in strategy)| {
        let (call_slots, spare, outbox_limit, commit_limit) = limits;
        let window = (64 + LARGEST) as u64 + spare;
        let config = Config {
            max_frame: 4096,
            max_message: LARGEST as u32,
            call_slots,
            request_window: window,
            push_window: window,
            heartbeat: None,
            outbox_limit,
            commit_limit,
            ..Config::default()
        };
        let config = config.share().unwrap();
        let pair = PairConfig { dialer: config.clone(), acceptor: config, to_acceptor, to_dialer, seed, ..PairConfig::default() };
        let mut world = World::new(&pair);
        world.reply_with(reply);
        for &(role, call, size) in &messages {
            let action = match call {
                true => Action::Call { size, metadata: 0, timeout: None, lane: Lane::Normal },
                false => Action::Push { size, metadata: 0, lane: Lane::Normal },
            };
            world.act(role, &action);
        }
        world.settle();
        for role in BOTH {
            prop_assert!(!world.is_waiting(role), "the {role:?} waits for ever: {:#?}", world.trace().side(role));
        }
        let trace = world.end();
        prop_assert_eq!(trace.check(), Ok(()));
        for role in BOTH {
            let sent = messages.iter().filter(|message| message.0 == role);
            let calls = sent.clone().filter(|message| message.1).count();
            let (received_calls, received_pushes) = trace.side(conformance::other(role)).received();
            prop_assert_eq!(received_calls.len(), calls);
            prop_assert_eq!(received_pushes.len(), sent.count() - calls);
            prop_assert_eq!(trace.side(role).replies(), calls, "not all calls of the {:?} were answered", role);
            waits.add(trace.side(role).count(|entry| *entry == Entry::Writable));
        }
    });
    waits.assert("a side that had to wait for credit or for a slot");
}

/// One byte more than the peer takes is refused at once, and the largest size itself is not.
#[test]
fn the_largest_message_passes_and_a_larger_one_is_refused() {
    let config = Config {
        max_frame: 4096,
        max_message: LARGEST as u32,
        request_window: 1088,
        push_window: 1088,
        heartbeat: None,
        ..Config::default()
    };
    let config = config.share().unwrap();
    let mut world =
        World::new(&PairConfig { dialer: config.clone(), acceptor: config, ..PairConfig::default() });
    assert!(world.pair().handshake());
    for size in [LARGEST, LARGEST + 1] {
        world.act(Role::Dialer, &Action::Call { size, metadata: 0, timeout: None, lane: Lane::Normal });
        world.act(Role::Dialer, &Action::Push { size, metadata: 0, lane: Lane::Normal });
    }
    world.settle();
    let trace = world.end();
    assert_eq!(trace.check(), Ok(()));
    assert_eq!(trace.side(Role::Acceptor).received(), (vec![0], vec![1]));
    assert_eq!(trace.side(Role::Dialer).count(|entry| matches!(entry, Entry::Refused(2 | 3, _))), 2);
}
