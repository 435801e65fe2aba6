//! A caller of which only bytes exist gives up whatever it likes: its peer stays sound.

use std::collections::HashSet;

use conformance::frames::{self, Stream};
use conformance::{Met, cases};
use proptest::prelude::*;
use proto_core::wire::{Extensions, Flags, Kind, Sequence};
use proto_core::{Bytes, Config, Connection, Event, Instant, RequestId, Role, StatusCode};

/// What a caller does of which only bytes exist, and what the callee's application does.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The first part of a request, with more to come, or all of it; in one of four slots.
    Begin(u16, bool),
    /// The rest of it.
    End(u16),
    Cancel(u16),
    Poll,
    Reply,
}

/// LW-4.3, LW-4.12: a caller cancels whatever it likes as often as it likes, also what it has not sent, sent in part or had
/// answered. The handler hears of it at most once, and only of a request in its hands; each request gets one reply.
#[test]
fn cancels_without_end_change_nothing() {
    let [heard, in_part] = <[Met; 2]>::default();
    let moves = prop_oneof![
        3 => (0..4u16, any::<bool>()).prop_map(|(slot, whole)| Move::Begin(slot, whole)),
        2 => (0..4u16).prop_map(Move::End),
        4 => (0..4u16).prop_map(Move::Cancel),
        4 => Just(Move::Poll),
        2 => Just(Move::Reply),
    ];
    proptest!(cases(2000), |(moves in prop::collection::vec(moves, 1..60))| {
        let config = Config { heartbeat: None, ..Config::default() }.share().expect("sound limits");
        let mut callee = Connection::new(&config, Role::Acceptor, Instant::EPOCH, 1);
        let mut output = Vec::new();
        let mut input = |callee: &mut Connection, mut stream: Stream| {
            callee.handle_input(Instant::EPOCH, &mut stream.0);
            output.extend(callee.transmit().flatten());
            callee.advance_transmit(Instant::EPOCH, usize::MAX);
        };
        input(&mut callee, Stream::opening(Role::Dialer, &config));
        callee.accept(Instant::EPOCH);
        // By slot: how many requests began in it, and whether one is in flight or arriving.
        let (mut began, mut arriving, mut cancelled) = ([0u32; 4], [false; 4], HashSet::new());
        let mut hands: Vec<RequestId> = Vec::new();
        let last = moves.len();
        let end = (0..4).map(Move::End).chain(vec![Move::Poll; 2 * last + 10]).chain(vec![Move::Reply; last]);
        for step in moves.into_iter().chain(end) {
            let (none, more) = (Flags::empty(), Flags::empty().with(Flags::MORE));
            let id = |slot: u16| Sequence::call(began[usize::from(slot)].max(1), slot);
            match step {
                // No slot is used twice here, so that none is used before its reply has come.
                Move::Begin(slot, whole) if began[usize::from(slot)] == 0 => {
                    began[usize::from(slot)] = 1;
                    arriving[usize::from(slot)] = !whole;
                    let payload: &[u8] = if whole { b"all" } else { b"\0\0\0\x06all" };
                    let flags = if whole { none } else { more };
                    let id = Sequence::call(1, slot);
                    input(&mut callee, Stream::new().frame(Kind::Request, flags, id, 1, payload));
                }
                Move::End(slot) if arriving[usize::from(slot)] => {
                    arriving[usize::from(slot)] = false;
                    input(&mut callee, Stream::new().frame(Kind::Request, none, id(slot), 1, b"all"));
                }
                Move::Cancel(slot) => {
                    // In the middle of a request it stands for the rest of it.
                    in_part.add(usize::from(std::mem::take(&mut arriving[usize::from(slot)])));
                    input(&mut callee, Stream::new().frame(Kind::Cancel, none, id(slot), 0, b""));
                }
                Move::Poll => match callee.poll_event() {
                    Some(Event::Request { id, .. }) => hands.push(id),
                    Some(Event::Cancelled(id)) => {
                        prop_assert!(hands.iter().any(|own| own.sequence() == id), "{id:?} is not in hand");
                        prop_assert!(cancelled.insert(id), "{id:?} was cancelled twice");
                        heard.add(1);
                    }
                    _ => {}
                },
                Move::Reply if !hands.is_empty() => {
                    let reply = callee.reply(Instant::EPOCH, hands.remove(0), StatusCode::OK, Extensions::none(), Bytes::new());
                    prop_assert_eq!(reply, Ok(()));
                }
                _ => {}
            }
        }
        input(&mut callee, Stream::new().control(Kind::Ping, 0, &[0; 8]));
        prop_assert!(callee.is_open(), "the callee ended: {:?}", callee.close_reason());
        prop_assert_eq!(callee.requests_in_flight(), 0);
        let frames = frames::parse(&output).expect("whole frames");
        for slot in 0..4 {
            let replies = frames.iter().filter(|frame| frame.kind == Kind::Reply as u8 && frame.sequence.slot() == slot);
            prop_assert_eq!(replies.count(), began[usize::from(slot)] as usize, "replies in slot {}", slot);
        }
    });
    heard.assert("a handler that heard of a cancel");
    in_part.assert("a request that was cancelled in part");
}
