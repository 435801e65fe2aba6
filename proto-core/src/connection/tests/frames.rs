//! What headers decide, before a byte of the payload is stored.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{BOTH, Bench, Frame, id, plain, smallest, stream};
use crate::config::Config;
use crate::connection::Role;
use crate::event::{Event, Message};
use crate::wire::{Capabilities, CloseCode, Flags, HEADER_LEN, Kind, Lane, PREFACE, Sequence};

/// The smallest configuration of a side without any capability.
fn unable() -> Config {
    Config { capabilities: plain().capabilities, ..smallest() }
}

/// LW-2.3: after the handshake the limit is the announced MAX_FRAME, and nothing of a longer frame is stored.
#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    for role in BOTH {
        for kind in Kind::ALL {
            let mut bench = Bench::open(role, smallest());
            bench.overrun(Frame::example(kind), 4097);
            bench.assert_failed(CloseCode::FRAME_TOO_LARGE, "a long frame");
        }
        let mut bench = Bench::open(role, smallest());
        bench.take(&Frame::control(Kind::Close, 0, &[0; 4096]));
        assert_eq!(bench.frames(), [Frame::close(CloseCode::NORMAL)], "the limit itself is legal");
    }
}

/// LW-2.3: an unknown kind has to keep to the limit too.
/// LW-2.5: it is skipped with IGNORABLE, whatever it holds and however it is cut, and otherwise UNKNOWN_KIND.
#[test]
fn unknown_kinds_are_skipped_or_refused() {
    for kind in [0x00, 0x0c, 0x0d, 0x0e, 0x0f, 0xff] {
        let of = |length: usize, flags: u8| {
            let mut bytes = Frame::control(Kind::Close, 7, &vec![0xff; length]).bytes();
            (bytes[4], bytes[5], bytes[11]) = (kind, flags, 3);
            bytes
        };
        let mut bench = Bench::open(Role::Acceptor, smallest());
        for length in [0, 1, 4096] {
            bench.feed(&of(length, 0xff));
            of(length, 0x10).iter().for_each(|&byte| bench.feed(&[byte]));
        }
        bench.take(&Frame::ping(1));
        assert_eq!(bench.frames().len(), 1);
        assert_eq!(bench.connection.counters().frames_ignored, 6);
        assert_eq!(bench.rested(), 0);

        bench.feed(&of(4097, 0x10)[..HEADER_LEN]);
        bench.assert_failed(CloseCode::FRAME_TOO_LARGE, "a long unknown frame");
        let mut bench = Bench::open(Role::Acceptor, smallest());
        bench.feed(&of(1, 0xef));
        bench.assert_failed(CloseCode::UNKNOWN_KIND, "an unknown frame");
    }
}

/// LW-2.6: a frame that breaks the table of kinds ends the connection with the code of the first broken rule.
/// LW-2.7: so does a REPLY without ORIGIN, and any other kind but CANCEL with it.
/// LW-2.9: so does generation 0.
#[test]
fn bad_headers_end_the_connection() {
    let flags = |kind, bits| {
        let mut frame = Frame::example(kind);
        frame.header.flags = Flags::from_bits(bits);
        frame
    };
    let with_sequence = |kind, sequence| {
        let mut frame = Frame::example(kind);
        frame.header.sequence = sequence;
        frame
    };
    let mut code = Frame::example(Kind::Ping);
    code.header.code = 1;
    let wrong = [
        ("REPLY without ORIGIN", CloseCode::BAD_FLAGS, flags(Kind::Reply, 0)),
        ("REQUEST with ORIGIN", CloseCode::BAD_FLAGS, flags(Kind::Request, 0x08)),
        ("PUSH with ORIGIN", CloseCode::BAD_FLAGS, flags(Kind::Push, 0x08)),
        ("REQUEST compressed", CloseCode::BAD_FLAGS, flags(Kind::Request, 0x20)),
        ("REQUEST in lane 3", CloseCode::BAD_FLAGS, flags(Kind::Request, 0xc0)),
        ("PING in a lane", CloseCode::BAD_FLAGS, flags(Kind::Ping, 0x40)),
        ("HELLO with EXT", CloseCode::BAD_FLAGS, flags(Kind::Hello, 0x01)),
        ("REQUEST 0", CloseCode::BAD_SEQUENCE, with_sequence(Kind::Request, Sequence::CONNECTION)),
        ("REQUEST of generation 0", CloseCode::BAD_SEQUENCE, with_sequence(Kind::Request, id(0, 1))),
        ("REPLY of generation 0", CloseCode::BAD_SEQUENCE, with_sequence(Kind::Reply, id(0, 1))),
        ("PING with a sequence", CloseCode::BAD_SEQUENCE, with_sequence(Kind::Ping, id(1, 0))),
        ("PING with a code", CloseCode::BAD_CODE, code),
        ("PING too short", CloseCode::BAD_LENGTH, Frame::control(Kind::Ping, 0, &[0; 7])),
        ("CREDIT too long", CloseCode::BAD_LENGTH, Frame::control(Kind::Credit, 0, &[0; 17])),
        ("CANCEL with a body", CloseCode::BAD_LENGTH, Frame::new(Kind::Cancel, id(1, 0), 0, b"x")),
    ];
    for (what, code, frame) in wrong {
        let mut bench = Bench::open(Role::Acceptor, smallest());
        bench.take(&frame);
        bench.assert_failed(code, what);
    }
}

/// LW-2.8: a message is the same in every lane.
#[test]
fn a_lane_changes_nothing_for_the_receiver() {
    for lane in [Lane::Normal, Lane::High, Lane::Bulk] {
        let mut bench = Bench::open(Role::Acceptor, smallest());
        let call = bench.call(b"?");
        bench.frames();
        let flags = Flags::empty().with_lane(lane);
        bench.take(&Frame::push(b"p").with(flags));
        bench.take(&Frame::request(id(1, 0), b"q").with(flags));
        bench.take(&Frame::reply(call.sequence(), b"r").with(flags));
        let events = bench.events();
        let [Event::Push { message: push, .. }, Event::Request { message: request, .. }, Event::Ended { .. }] =
            &events[..]
        else {
            panic!("{events:?}");
        };
        let expected = (Message::new(9, "p").in_lane(lane), Message::new(7, "q").in_lane(lane));
        assert_eq!((push, request), (&expected.0, &expected.1));
    }
}

/// LW-2.10: of several things that a header does wrong, the first in the order of the text is told.
#[test]
fn headers_are_judged_in_the_order_of_the_text() {
    let more = Flags::MORE;
    let beyond = id(1, 2);
    let pushed = Frame::new(Kind::Push, id(1, 0), 0, &[]);
    let wrong = [
        ("sequence, then size", CloseCode::BAD_SEQUENCE, pushed.clone().announcing(1025)),
        ("state, then capability", CloseCode::UNEXPECTED_FRAME, Frame::example(Kind::Hello).announcing(4096)),
        (
            "capability, then size",
            CloseCode::NOT_NEGOTIATED,
            Frame::request(beyond, &[]).with(more).announcing(1025),
        ),
        ("capability, then call", CloseCode::NOT_NEGOTIATED, Frame::reply(id(9, 9), &[]).with(more)),
        ("size, then slot", CloseCode::MESSAGE_TOO_LARGE, Frame::request(beyond, &[]).announcing(1025)),
        ("size, then call", CloseCode::MESSAGE_TOO_LARGE, Frame::reply(id(9, 9), &[]).announcing(1025)),
        ("slot, then credit", CloseCode::SLOT_BEYOND_LIMIT, Frame::request(beyond, &[]).announcing(1024)),
        ("use, then credit", CloseCode::SLOT_IN_USE, Frame::request(id(2, 0), &[]).announcing(1024)),
        (
            "credit, then block",
            CloseCode::CREDIT_EXCEEDED,
            Frame::request(id(2, 1), &[]).with(Flags::EXT).announcing(1024),
        ),
    ];
    for (what, code, frame) in wrong {
        let mut bench = Bench::open(Role::Acceptor, unable());
        bench.take(&Frame::request(id(1, 0), b"uses up some credit"));
        let length = frame.header.length;
        bench.overrun(frame, length);
        bench.assert_failed(code, what);
    }
    // A push id belongs to fragments: where these are not taken it is a matter of the header, whatever the state.
    let mut bench = Bench::handshaking(Role::Acceptor, &unable().share().unwrap());
    bench.feed(&PREFACE);
    bench.take(&pushed);
    bench.assert_failed(CloseCode::BAD_SEQUENCE, "sequence, then state");
}

/// LW-3.9: fragments, CANCEL and DRAIN are NOT_NEGOTIATED at a side that has not announced them.
#[test]
fn what_was_not_announced_is_refused() {
    let mut push = Frame::push(&[]).with(Flags::MORE);
    push.header.sequence = id(1, 0);
    let frames = [
        Frame::request(id(1, 0), &[0; 8]).with(Flags::MORE),
        Frame::reply(id(1, 0), &[0; 8]).with(Flags::MORE),
        push,
        Frame::example(Kind::Cancel),
        Frame::example(Kind::Cancel).with(Flags::ORIGIN),
        Frame::example(Kind::Drain),
        Frame::example(Kind::Drain).with(Flags::END),
    ];
    for role in BOTH {
        for frame in &frames {
            let mut bench = Bench::open(role, unable());
            bench.take(frame);
            bench.assert_failed(CloseCode::NOT_NEGOTIATED, &alloc::format!("{:?}", frame.kind()));
        }
    }
}

/// LW-3.9: DRAIN is NOT_NEGOTIATED where one side has announced it and the other has not.
#[test]
fn a_drain_needs_both_sides() {
    let able = Capabilities::DRAIN;
    for (own, peer) in [(able, plain().capabilities), (plain().capabilities, able)] {
        let of = |capabilities| Config { capabilities, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, of(own), &of(peer));
        bench.take(&Frame::example(Kind::Drain).with(Flags::END));
        bench.assert_failed(CloseCode::NOT_NEGOTIATED, "one side alone");
    }
}

/// What a connection makes of these pieces: its events, and what it sends behind the handshake.
fn react<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Vec<u8>) {
    let mut bench = Bench::open(Role::Acceptor, Config { max_frame: 1 << 20, ..Config::default() });
    pieces.for_each(|piece| bench.feed(piece));
    (bench.events(), bench.written())
}

proptest! {
    /// LW-2.4: the same bytes, cut anywhere, do the same.
    #[test]
    fn a_stream_may_be_cut_anywhere(
        bodies in prop::collection::vec((0u8..8, prop_oneof![0usize..40, 1000usize..70_000]), 1..12),
        fields in prop_oneof![
            Just(b"\0\x02\0\x04echo\0\x03\0\x02me\0\x06\0\x02\0\x07".to_vec()),
            prop::collection::vec(prop_oneof![0u8..7, any::<u8>()], 0..14),
        ],
        cuts in prop::collection::vec(prop_oneof![1usize..20, 1usize..9000], 1..20),
        end in prop::option::of(0u8..20),
    ) {
        let mut frames = Vec::new();
        for (slot, (what, length)) in (0..).zip(bodies) {
            let body = vec![slot as u8; length];
            frames.push(match what {
                0 => Frame::push(&body),
                1 => Frame::request(id(1, slot), &body),
                2 => Frame::request(id(1, slot), &body).deadline(1000),
                3 => Frame::credit(u64::MAX, u64::MAX),
                4 => Frame::push(&body).extended(&[0, 5, 0, 1, b't']),
                5 => Frame::request(id(1, slot), &body).extended(b"\0\x01\0\x04\0\0\x01\0\0\x02\0\x04echo"),
                6 => Frame::request(id(1, slot), &body).extended(&fields),
                _ => Frame::push(&body).extended(&fields),
            });
        }
        // The last frame may be a CLOSE, or break a rule.
        frames.push(match end {
            None => Frame::close(CloseCode::GOING_AWAY),
            Some(number) => Frame::example(Kind::ALL[usize::from(number) % Kind::ALL.len()]),
        });
        let bytes = stream(&frames);
        let (events, sent) = react(core::iter::once(&bytes[..]));
        let mut cuts = cuts.into_iter().cycle();
        let mut rest = &bytes[..];
        let pieces = core::iter::from_fn(|| {
            let (piece, left) = rest.split_at(rest.len().min(cuts.next()?));
            rest = left;
            (!piece.is_empty()).then_some(piece)
        });
        let (cut_events, cut_sent) = react(pieces);
        prop_assert_eq!(cut_events, events);
        prop_assert_eq!(cut_sent, sent);
    }
}
