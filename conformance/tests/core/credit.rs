//! Two peers that flood each other both come to their end: credit bounds every queue, and never stops for ever.

use std::time::Duration;

use conformance::stepwise::{Action, Entry, World, scenario};
use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::Lane;
use proto_core::simulation::{PairConfig, PipeConfig};
use proto_core::{Config, Role};

const LARGEST: usize = 1024;

/// What one side floods the other with.
#[derive(Clone, Copy, Debug)]
struct Wave {
    role: Role,
    call: bool,
    /// How much shorter than the largest message it is; 0 is the largest itself.
    short: usize,
    lane: Lane,
}

/// Limits of both sides.
#[derive(Clone, Copy, Debug)]
struct Limits {
    largest: usize,
    call_slots: u32,
    /// What the windows have beside one largest message.
    spare: u64,
    outbox_limit: usize,
    commit_limit: usize,
}

fn waves(most: usize) -> impl Strategy<Value = Vec<Wave>> {
    let short = prop_oneof![2 => Just(0usize), 1 => 0..70usize, 2 => Just(usize::MAX), 1 => any::<usize>()];
    let wave = (scenario::roles(), any::<bool>(), short, scenario::lanes())
        .prop_map(|(role, call, short, lane)| Wave { role, call, short, lane });
    prop::collection::vec(wave, 1..most)
}

fn limits(
    largest: impl Strategy<Value = usize>,
    spare: impl Strategy<Value = u64>,
) -> impl Strategy<Value = Limits> {
    let outbox = prop_oneof![Just(0usize), 0..3000usize, Just(1usize << 20)];
    let commit = prop_oneof![Just(1usize), 1..2000usize];
    (largest, 1..4u32, spare, outbox, commit).prop_map(
        |(largest, call_slots, spare, outbox_limit, commit_limit)| Limits {
            largest,
            call_slots,
            spare,
            outbox_limit,
            commit_limit,
        },
    )
}

fn pipe(capacity: usize, read: usize) -> impl Strategy<Value = PipeConfig> {
    (1..capacity, 1..read, 0..3u64).prop_map(|(capacity, most, latency)| PipeConfig {
        capacity,
        read_size: 1..=most,
        latency: Duration::from_millis(latency),
        ..PipeConfig::default()
    })
}

/// Both sides send all this at once: it all comes to its end. Gives how often somebody had to wait for room.
fn flood(
    waves: &[Wave],
    limits: Limits,
    [to_acceptor, to_dialer]: [PipeConfig; 2],
    reply: usize,
    seed: u64,
) -> Result<usize, TestCaseError> {
    let Limits { largest, call_slots, spare, outbox_limit, commit_limit } = limits;
    let window = (64 + largest) as u64 + spare;
    let config = Config {
        max_frame: 4096,
        max_message: largest as u32,
        call_slots,
        request_window: window,
        push_window: window,
        heartbeat: None,
        outbox_limit,
        commit_limit,
        ..Config::default()
    };
    let config = config.share().expect("sound limits");
    let pair = PairConfig {
        dialer: config.clone(),
        acceptor: config,
        to_acceptor,
        to_dialer,
        seed,
        ..PairConfig::default()
    };
    let mut world = World::new(&pair);
    world.reply_with(reply % (largest + 1));
    for &Wave { role, call, short, lane } in waves {
        let size = largest.saturating_sub(if short == usize::MAX { largest } else { short % largest });
        let action = match call {
            true => Action::Call { size, metadata: 0, timeout: None, lane },
            false => Action::Push { size, metadata: 0, lane },
        };
        world.act(role, &action);
    }
    world.settle();
    for role in BOTH {
        prop_assert!(!world.is_waiting(role), "the {role:?} waits for ever: {:#?}", world.trace().side(role));
    }
    let trace = world.end();
    prop_assert_eq!(trace.check(), Ok(()));
    let mut waits = 0;
    for role in BOTH {
        let sent = waves.iter().filter(|wave| wave.role == role);
        let calls = sent.clone().filter(|wave| wave.call).count();
        let (received_calls, received_pushes) = trace.side(conformance::other(role)).received();
        prop_assert_eq!(received_calls.len(), calls);
        prop_assert_eq!(received_pushes.len(), sent.count() - calls);
        prop_assert_eq!(trace.side(role).replies(), calls, "not all calls of the {:?} were answered", role);
        waits += trace.side(role).count(|entry| *entry == Entry::Writable);
    }
    Ok(waits)
}

/// Windows that hold one largest message and nothing more, few slots, pipes of a few bytes, and both sides send much
/// more than that at once in all lanes, bodies of exactly the largest size among it. Nothing stalls.
#[test]
fn two_floods_over_tiny_pipes_both_finish() {
    let waits = Met::default();
    let reply = prop_oneof![Just(LARGEST), 0..LARGEST];
    let strategy =
        (waves(80), limits(Just(LARGEST), 0..200u64), [pipe(300, 100), pipe(300, 100)], reply, any::<u64>());
    proptest!(cases(700), |((waves, limits, pipes, reply, seed) in strategy)| {
        waits.add(flood(&waves, limits, pipes, reply, seed)?);
    });
    waits.assert("a side that had to wait for credit or for a slot");
}

/// LW-6.7, LW-6.9: the same with messages of several fragments, calls, pushes and replies of all lanes in between each
/// other: the whole charge is due with the first fragment, and a flood of them stalls no more than one of small messages.
#[test]
fn two_floods_of_large_messages_both_finish() {
    let waits = Met::default();
    let strategy = (
        waves(40),
        limits(5000..30_000usize, prop_oneof![0..200u64, 0..100_000u64]),
        [pipe(5000, 2000), pipe(5000, 2000)],
        any::<usize>(),
        any::<u64>(),
    );
    proptest!(cases(150), |((waves, limits, pipes, reply, seed) in strategy)| {
        waits.add(flood(&waves, limits, pipes, reply, seed)?);
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
