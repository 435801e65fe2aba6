//! What is lent for writing stays what it is, however little of it is written at a time.

use conformance::frames::Stream;
use conformance::stepwise::label::{Label, Purpose};
use conformance::stepwise::{Scenario, World};
use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::{Config, Connection, Instant, Role, Timeout};

const NOW: Instant = Instant::EPOCH;

/// What a connection writes if it calls and pushes bodies of these sizes, and after each the transport takes so many
/// bytes.
fn written(
    commit_limit: usize,
    sizes: &[(bool, usize)],
    mut advances: impl Iterator<Item = usize>,
) -> Vec<u8> {
    let config =
        Config { commit_limit, outbox_limit: 1 << 24, ..Config::default() }.share().expect("sound limits");
    let mut connection = Connection::new(&config, Role::Dialer, NOW, 1);
    connection.handle_input(NOW, &mut Stream::opening(Role::Acceptor, &Config::default()).0);
    let mut written = Vec::new();
    let mut write = |connection: &mut Connection, most: usize| {
        let taken: Vec<u8> = connection.transmit().flatten().copied().take(most).collect();
        connection.advance_transmit(NOW, taken.len());
        written.extend(taken);
    };
    for (number, &(call, size)) in (0u32..).zip(sizes) {
        let label = Label { from: Role::Dialer, number };
        if call {
            let message = label.message(Purpose::Request, size, size % 50);
            connection.call(NOW, message, Timeout::Default).expect("there is room");
        } else {
            let message = label.message(Purpose::Push, size, size % 50);
            connection.push(NOW, message).expect("there is room");
        }
        write(&mut connection, advances.next().unwrap_or(0));
    }
    while connection.transmit_len() > 0 {
        write(&mut connection, advances.next().unwrap_or(1).max(1));
    }
    written
}

/// The byte stream does not depend on how much of it is written at a time, nor on how far ahead it is committed.
#[test]
fn partial_writes_give_the_same_byte_stream() {
    let size = prop_oneof![3 => 0..100usize, 1 => 4080..4120usize, 1 => 15_000..40_000usize];
    let sizes = prop::collection::vec((any::<bool>(), size), 1..20);
    let advances = prop::collection::vec(prop_oneof![0..30usize, 0..6000usize, Just(1 << 20)], 1..20);
    let commit = prop_oneof![Just(1usize), 1..5000usize, Just(128usize << 10)];
    proptest!(cases(1500), |(sizes in sizes, advances in advances, commit in commit)| {
        let at_once = written(128 << 10, &sizes, std::iter::repeat(usize::MAX));
        let in_parts = written(commit, &sizes, advances.into_iter().cycle());
        prop_assert!(at_once == in_parts, "{} bytes became {} others", at_once.len(), in_parts.len());
    });
}

/// Whatever else happens, the bytes that are lent stay the same until they are written: further ones are only added
/// behind them. (When the connection ends at once, they are gone.)
#[test]
fn lent_bytes_do_not_change() {
    let grown = Met::default();
    proptest!(cases(2500), |(scenario in Scenario::any())| {
        let mut world = World::new(&scenario.pair);
        for (role, action) in &scenario.script {
            let before = BOTH.map(|role| {
                let connection = world.pair().connection(role);
                let lent: Vec<u8> = connection.transmit().flatten().copied().collect();
                prop_assert_eq!(lent.len(), connection.transmit_len());
                Ok((lent, connection.counters().bytes_sent))
            });
            world.act(*role, action);
            for (role, before) in BOTH.into_iter().zip(before) {
                let (lent, sent) = before?;
                let connection = world.pair().connection(role);
                let written = (connection.counters().bytes_sent - sent) as usize;
                let still: Vec<u8> = connection.transmit().flatten().copied().collect();
                if connection.is_closed() || written > lent.len() {
                    continue;
                }
                prop_assert!(
                    still.starts_with(&lent[written..]),
                    "{action:?} changed bytes of the {role:?} that had been lent"
                );
                grown.add(usize::from(still.len() > lent.len() - written));
            }
        }
    });
    grown.assert("bytes that were added behind others");
}
