//! Payloads that are read into their own memory.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Bench, Frame, SECOND, id, stream};
use crate::config::Config;
use crate::connection::Role;
use crate::event::{Event, Message};
use crate::wire::{CloseCode, Kind};

/// Reads this much of what the peer sends into the room that is lent, if any is; says how much went there.
fn read_into(bench: &mut Bench, input: &[u8]) -> usize {
    let Some(space) = bench.connection.body_space() else { return 0 };
    let n = space.len().min(input.len());
    space[..n].copy_from_slice(&input[..n]);
    bench.connection.commit_body(bench.now, n);
    n
}

/// Room is lent within a payload of which much is missing, never beyond its end, and nowhere else.
#[test]
fn room_is_lent_where_much_is_missing() {
    let mut bench = Bench::open(Role::Acceptor, Config { max_frame: 1 << 20, ..Config::default() });
    let frame = Frame::push(&[1; 100_000]).bytes();
    let mut at = 0;
    let mut lent = 0;
    while at < frame.len() {
        let missing = frame.len() - at;
        match bench.connection.body_space() {
            Some(space) => {
                assert!(
                    (16..frame.len()).contains(&at) && missing >= 8192,
                    "room with {missing} bytes missing"
                );
                assert!(space.len() <= missing && space.len() <= 64 << 10);
                at += read_into(&mut bench, &frame[at..frame.len().min(at + 33_000)]);
                lent += 1;
            }
            None => {
                assert!(at < 16 || missing < 8192, "no room with {missing} bytes missing");
                bench.feed(&frame[at..=at]);
                at += 1;
            }
        }
    }
    assert!(lent >= 3, "{lent} reads");
    let Event::Push { message, .. } = bench.event() else { panic!("no push") };
    assert_eq!(message, Message::new(9, vec![1; 100_000]));
    assert!(bench.connection.body_space().is_none());
}

/// What nobody wants is given no room, and neither is anything behind an error or a CLOSE.
#[test]
fn no_room_is_lent_for_what_is_dropped() {
    let config = Config { max_frame: 1 << 20, undelivered_limit: 10, ..Config::default() };
    let mut bench = Bench::open(Role::Dialer, config);
    let calls = [(); 3].map(|()| bench.call(b""));
    bench.frames();
    bench.take(&Frame::reply(calls[0].sequence(), b"fills the limit"));
    bench.take(&Frame::reply(calls[1].sequence(), &[]).announcing(100_000));
    assert!(bench.connection.body_space().is_none(), "a reply without room");
    bench.feed(&[0; 100_000]);
    bench.events();
    bench.take(&Frame::reply(calls[2].sequence(), &[]).announcing(100_000));
    bench.feed(&[0; 1000]);
    assert!(bench.connection.body_space().is_some());
    bench.connection.cancel(bench.now, calls[2]);
    assert!(bench.connection.body_space().is_none(), "a reply that nobody waits for");
    // What had been read before has arrived all the same: the frames behind it are where they are.
    bench.connection.commit_body(bench.now, 50_000);
    bench.feed(&[0; 40_000]);
    bench.connection.commit_body(bench.now, 9_000);
    assert_eq!(bench.connection.calls_in_flight(), 1, "nothing was lent any more");
    bench.feed(&[0; 9_000]);
    assert_eq!(bench.connection.calls_in_flight(), 0);
    bench.take(&Frame::push(&[]).announcing(100_000));
    assert!(bench.connection.body_space().is_some());
    bench.connection.close(bench.now, CloseCode::NORMAL, crate::CloseInfo::default());
    assert!(bench.connection.body_space().is_some(), "the peer may go on");
    bench.connection.handle_eof(bench.now);
    assert!(bench.connection.body_space().is_none());
    bench.connection.commit_body(bench.now, 10);
}

/// More than was lent cannot be committed: the connection takes what it lent, and waits for the rest.
#[test]
fn more_than_was_lent_is_not_taken() {
    let mut bench = Bench::open(Role::Acceptor, Config { max_frame: 1 << 20, ..Config::default() });
    bench.connection.commit_body(bench.now, 5);
    bench.take(&Frame::push(&[]).announcing(100_000));
    bench.connection.commit_body(bench.now, 5);
    let lent = bench.connection.body_space().unwrap().len();
    let before = bench.connection.counters().bytes_received;
    bench.connection.commit_body(bench.now, usize::MAX);
    assert_eq!(bench.connection.counters().bytes_received - before, lent as u64);
    assert_eq!(bench.events(), []);
    bench.feed(&vec![0; 100_000 - lent - 1]);
    assert_eq!(bench.events(), []);
    bench.feed(&[0]);
    assert_eq!(bench.push_token().0, 64 + 100_000);
}

/// Bytes that are read into the room count as received and as a sign of life, like all others.
#[test]
fn bytes_in_the_room_count_like_others() {
    let mut bench = Bench::open(Role::Acceptor, Config { max_frame: 1 << 20, ..Config::default() });
    let before = *bench.connection.counters();
    let frame = Frame::push(&[0; 20_000]).bytes();
    bench.feed(&frame[..16]);
    bench.pass(SECOND);
    let read = read_into(&mut bench, &frame[16..]);
    assert_eq!(read, 20_000);
    let after = bench.connection.counters();
    assert_eq!(
        (after.bytes_received - before.bytes_received, after.frames_received - before.frames_received),
        (20_016, 1)
    );
}

proptest! {
    /// LW-2.4: however reads go into the room and past it, the events and the answers are the same.
    #[test]
    fn any_mixture_of_reads_does_the_same(
        bodies in prop::collection::vec((0u8..5, prop_oneof![0usize..40, 7000usize..9000, 20_000usize..70_000]), 1..8),
        reads in prop::collection::vec((any::<bool>(), 1usize..30_000, 0usize..3), 1..20),
        end in prop::option::of(0usize..11),
    ) {
        let config = Config { max_frame: 50_000, ..Config::default() };
        let mut frames = Vec::new();
        for (slot, (what, length)) in (0u16..).zip(bodies) {
            let body = vec![slot as u8; length];
            let request = Frame::request(id(1, slot), &body);
            match what {
                0 if length < 50_000 => frames.push(request),
                1 if length > 1 => frames.extend(request.deadline(1000).cut(&[length / 2, 9000])),
                2 if length > 1 => frames.extend(Frame::push(&body).of(id(1, slot)).cut(&[9000])),
                3 => frames.push(Frame::credit(u64::MAX, u64::MAX)),
                _ => frames.push(Frame::push(&body[..length.min(50_000)])),
            }
        }
        frames.push(end.map_or_else(|| Frame::close(CloseCode::GOING_AWAY), |kind| Frame::example(Kind::ALL[kind])));
        let bytes = stream(&frames);
        let mut plainly = Bench::open(Role::Acceptor, config.clone());
        plainly.feed(&bytes);
        let mut mixed = Bench::open(Role::Acceptor, config);
        let mut rest = &bytes[..];
        let mut reads = reads.iter().cycle();
        while !rest.is_empty() {
            let &(into, most, idle) = reads.next().unwrap();
            for _ in 0..idle {
                // Asking for room changes nothing, and neither does reading nothing into it.
                mixed.connection.body_space();
                mixed.connection.commit_body(mixed.now, 0);
            }
            let piece = &rest[..most.min(rest.len())];
            let mut taken = if into { read_into(&mut mixed, piece) } else { 0 };
            if taken == 0 {
                mixed.feed(piece);
                taken = piece.len();
            }
            rest = &rest[taken..];
        }
        prop_assert_eq!(mixed.events(), plainly.events());
        prop_assert_eq!(mixed.written(), plainly.written());
        let counted = |bench: &Bench| (bench.connection.counters().frames_received, bench.connection.counters().bytes_received);
        prop_assert_eq!(counted(&mixed), counted(&plainly));
        prop_assert_eq!(mixed.connection.held_bytes(), plainly.connection.held_bytes());
    }
}
