//! Messages that arrive in fragments.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{BOTH, Bench, Frame, SECOND, id, outcomes, plain, smallest, stream};
use crate::config::Config;
use crate::connection::Role;
use crate::error::{CloseReason, Delivery};
use crate::event::{CallId, Event, Message, Outcome};
use crate::wire::{Capabilities, CloseCode, Flags, HEADER_LEN, Kind, StatusCode};

/// A connection that takes messages of 1,024 bytes, one at a time, with a call of its own in flight.
fn calling(role: Role, config: Config) -> (Bench, CallId) {
    let mut bench = Bench::open(role, config);
    let call = bench.call(b"");
    bench.frames();
    (bench, call)
}

/// One message of each kind, with this body: the REPLY to the call in flight.
fn messages(body: &[u8]) -> [Frame; 3] {
    [Frame::request(id(1, 0), body), Frame::reply(id(1, 0), body), Frame::push(body).of(id(1, 0))]
}

/// LW-6.7: the fragments of a message are put together, and it is as if it had come in one frame.
/// LW-6.9: frames of any kind may stand between two of them, and nothing is handed on before the last.
#[test]
fn fragments_are_put_together() {
    for role in BOTH {
        for (kind, message) in messages(b"put together").into_iter().enumerate() {
            let (mut bench, call) = calling(role, smallest());
            let parts = message.cut(&[3]);
            assert_eq!(parts.len(), 4);
            for part in &parts {
                assert_eq!(bench.events(), []);
                bench.take(&Frame::ping(1));
                bench.take(&Frame::push(b""));
                let _between = bench.push_token();
                bench.take(part);
            }
            match (kind, bench.event()) {
                (0, Event::Request { id: request, deadline: None, message }) => {
                    assert_eq!((request.sequence(), message), (id(1, 0), Message::new(7, "put together")));
                }
                (1, Event::Ended { call: ended, outcome: Outcome::Reply { status, body, .. } }) => {
                    assert_eq!((ended, status, &body[..]), (call, StatusCode::OK, &b"put together"[..]));
                }
                (2, Event::Push { token, message }) => {
                    assert_eq!((token.0, message), (64 + 12, Message::new(9, "put together")));
                }
                (_, other) => panic!("{other:?}"),
            }
            assert!(bench.frames().iter().all(|frame| frame.kind() == Kind::Pong));
        }
    }
}

/// LW-6.8: what does not fit its message is BAD_FRAGMENT, seen by its header or its total before any of it is stored.
#[test]
fn a_fragment_that_does_not_fit_is_refused_by_its_header() {
    type Change = fn(Frame) -> Frame;
    let continuations: [(&str, Change); 9] = [
        ("empty", |next| next.announcing(0)),
        ("empty, with MORE", |next| next.announcing(0).with(Flags::MORE)),
        ("with a block", |next| next.announcing(3).with(Flags::EXT)),
        ("of another code", |next| Frame { header: crate::wire::Header { code: 77, ..next.header }, ..next }),
        ("in another lane", |next| next.announcing(3).with(Flags::from_bits(0x40))),
        ("too much", |next| next.announcing(4)),
        ("too much, with MORE", |next| next.announcing(4).with(Flags::MORE)),
        ("all of it, with MORE", |next| next.announcing(3).with(Flags::MORE)),
        ("too little", |next| next.announcing(2)),
    ];
    for message in messages(b"") {
        let kind = message.kind();
        let first = || Frame { payload: b"two".into(), ..message.clone() }.first_of(6);
        for (what, change) in continuations {
            let (mut bench, _) = calling(Role::Acceptor, smallest());
            bench.take(&first());
            let next = change(message.clone().announcing(3));
            bench.feed(&next.bytes()[..HEADER_LEN]);
            bench.assert_failed(CloseCode::BAD_FRAGMENT, &alloc::format!("{kind:?} {what}"));
        }
        for (what, length, total) in
            [("no room for the total", 3, 9), ("nothing left", 7, 3), ("too much", 8, 3), ("of 0", 4, 0)]
        {
            let (mut bench, _) = calling(Role::Acceptor, smallest());
            let first = message.clone().first_of(total).announcing(length);
            bench.feed(&first.bytes());
            bench.feed(&total.to_be_bytes()[..length.min(4) as usize]);
            bench.assert_failed(CloseCode::BAD_FRAGMENT, &alloc::format!("{kind:?} first, {what}"));
        }
    }
}

/// LW-6.8: a first fragment whose block is cut off is BAD_EXTENSION, though the rest of the block may follow.
#[test]
fn a_block_belongs_into_the_first_fragment() {
    for message in messages(b"body") {
        let whole = message.extended(&[0, 5, 0, 3, b'a', b'b', b'c']);
        let length = whole.header.length;
        for (at, good) in [(0, false), (1, false), (2, false), (8, false), (9, true), (10, true)] {
            let (mut bench, _) = calling(Role::Dialer, smallest());
            let start = Frame { payload: whole.payload[..at].into(), ..whole.clone() };
            bench.take(&start.first_of(length));
            let mut end = Frame { payload: whole.payload[at..].into(), ..whole.clone() };
            end.header.length -= at as u32;
            end.header.flags = end.header.flags.without(Flags::EXT);
            bench.take(&end);
            if good {
                bench.assert_open("the block came whole");
                assert_eq!(bench.events().len(), 1);
            } else {
                bench.assert_failed(CloseCode::BAD_EXTENSION, "a block that is cut off");
            }
        }
    }
    // What is dropped need not be looked at.
    let (mut bench, call) = calling(Role::Dialer, smallest());
    bench.connection.cancel(bench.now, call);
    bench.take(&Frame::reply(id(1, 0), &[0]).with(Flags::EXT).first_of(3));
    bench.take(&Frame::reply(id(1, 0), &[7, 0]));
    bench.assert_open("a late reply");
}

/// LW-2.10: of several things that a first fragment does wrong, the first in the order of the text is told, and the total
/// counts as part of the header.
#[test]
fn first_fragments_are_judged_in_the_order_of_the_text() {
    let more = Flags::MORE;
    let (request, reply, push) =
        (|id| Frame::request(id, &[]), |id| Frame::reply(id, &[]), |slot| Frame::push(&[]).of(id(2, slot)));
    let wrong = [
        ("fragment, then size", CloseCode::BAD_FRAGMENT, request(id(1, 9)).announcing(2000), 1030),
        ("fragment, then slot", CloseCode::BAD_FRAGMENT, request(id(1, 9)).announcing(3), 0),
        ("fragment, then call", CloseCode::BAD_FRAGMENT, reply(id(9, 9)).announcing(3), 0),
        ("size, then slot", CloseCode::MESSAGE_TOO_LARGE, request(id(1, 9)).announcing(10), 1025),
        ("size, then call", CloseCode::MESSAGE_TOO_LARGE, reply(id(9, 9)).announcing(10), 1025),
        ("size, then push slot", CloseCode::MESSAGE_TOO_LARGE, push(16).announcing(10), 1025),
        ("call", CloseCode::UNKNOWN_CALL, reply(id(9, 9)).announcing(10), 1024),
        ("slot, then credit", CloseCode::SLOT_BEYOND_LIMIT, request(id(1, 2)).announcing(10), 1024),
        ("use, then credit", CloseCode::SLOT_IN_USE, request(id(2, 0)).announcing(10), 1024),
        (
            "credit, then block",
            CloseCode::CREDIT_EXCEEDED,
            request(id(1, 1)).announcing(4).with(Flags::EXT),
            1024,
        ),
        ("push slot, then credit", CloseCode::SLOT_BEYOND_LIMIT, push(16).announcing(10), 1024),
        ("push use, then credit", CloseCode::SLOT_IN_USE, push(0).announcing(10), 1024),
        ("push credit, then block", CloseCode::CREDIT_EXCEEDED, push(1).announcing(4).with(Flags::EXT), 1024),
    ];
    for (what, code, frame, total) in wrong {
        let mut bench = Bench::open(Role::Acceptor, smallest());
        bench.take(&Frame::request(id(1, 0), b"start").first_of(10));
        bench.take(&Frame::push(b"start").of(id(1, 0)).first_of(10));
        // Nothing but the header and the total comes.
        bench.feed(&frame.with(more).bytes());
        bench.feed(&u32::to_be_bytes(total));
        bench.assert_failed(code, what);
    }
    for frame in [request(id(1, 9)).announcing(3), reply(id(9, 9)).announcing(3), push(16).announcing(3)] {
        let mut unable =
            Bench::open(Role::Acceptor, Config { capabilities: plain().capabilities, ..smallest() });
        unable.feed(&frame.with(more).bytes());
        unable.assert_failed(CloseCode::NOT_NEGOTIATED, "capability, then fragment");
    }
}

/// LW-6.9: the whole charge is due with the first fragment, and with no other; it is returned as always.
#[test]
fn the_first_fragment_pays_for_all() {
    for push in [true, false] {
        let message =
            if push { Frame::push(&[0; 1024]).of(id(1, 0)) } else { Frame::request(id(1, 0), &[0; 1024]) };
        let second = if push { Frame::push(b"") } else { Frame::request(id(1, 1), b"") };
        let parts = message.cut(&[200]);
        for sent in [1, parts.len()] {
            let mut bench = Bench::open(Role::Acceptor, smallest());
            bench.feed(&stream(&parts[..sent]));
            bench.take(&second);
            let code = bench.connection.close_reason().and_then(CloseReason::code);
            assert_eq!(code, Some(CloseCode::CREDIT_EXCEEDED), "behind {sent} fragments");
        }
        let mut bench = Bench::open(Role::Acceptor, smallest());
        bench.feed(&stream(&parts));
        match bench.event() {
            Event::Push { token, .. } => {
                bench.connection.release(bench.now, token);
                assert_eq!(bench.frames(), [Frame::credit(1088, 2 * 1088)]);
            }
            Event::Request { id: request, .. } => {
                bench.answer(request, b"");
                assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b""), Frame::credit(2 * 1088, 1088)]);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// LW-6.10: pushes come from 16 slots at a time, and a slot is free again with the last fragment, for any generation.
#[test]
fn a_push_slot_is_free_with_the_last_fragment() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    for generation in [5, 5, 1, u32::MAX] {
        let pushes: Vec<_> =
            (0..16).map(|slot| Frame::push(b"news").of(id(generation, slot)).cut(&[1])).collect();
        for part in 0..3 {
            assert_eq!(bench.events(), []);
            pushes.iter().for_each(|parts| bench.take(&parts[part]));
            assert!(bench.connection.held_bytes() > 0);
        }
        let events = bench.events();
        assert_eq!(events.len(), 16);
        for event in events {
            let Event::Push { token, .. } = event else { panic!("{event:?}") };
            bench.connection.release(bench.now, token);
        }
        assert_eq!(bench.rested(), 0, "nothing is kept for a push that is complete");
    }
}

/// LW-6.11: a message that is unfinished when CLOSE or the end of the stream comes never arrived.
#[test]
fn an_unfinished_message_never_arrived() {
    for close in [true, false] {
        for role in BOTH {
            let (mut bench, call) = calling(role, Config::default());
            for message in messages(&[1; 1000]) {
                bench.take(&message.cut(&[300])[0]);
            }
            assert!(bench.connection.held_bytes() > 900);
            if close {
                bench.take(&Frame::close(CloseCode::NORMAL));
                assert_eq!(bench.frames(), [Frame::close(CloseCode::NORMAL)]);
            } else {
                bench.feed(&messages(&[1; 1000])[2].cut(&[300])[1].bytes()[..200]);
            }
            bench.connection.handle_eof(bench.now);
            let events = bench.events();
            assert_eq!(events.len(), 2, "{events:?}");
            assert_eq!(events[0], Event::Ended { call, outcome: Outcome::Lost(Delivery::MaybeSent) });
            assert!(matches!(events[1], Event::Closed(_)));
            assert!(bench.connection.held_bytes() < 900);
        }
    }
}

/// LW-7.5: REPLYs and PUSHes in fragments are taken behind the own CLOSE too, REQUESTs are dropped.
#[test]
fn fragments_are_taken_until_the_peer_closes() {
    let (mut bench, _) = calling(Role::Dialer, Config::default());
    let parts = messages(b"message").map(|message| message.cut(&[2]));
    parts.iter().for_each(|parts| bench.take(&parts[0]));
    bench.connection.close(bench.now, CloseCode::NORMAL, crate::CloseInfo::default());
    assert_eq!(bench.frames(), [Frame::close(CloseCode::NORMAL)]);
    parts.iter().for_each(|parts| bench.feed(&stream(&parts[1..])));
    let events = bench.events();
    assert!(matches!(events[..], [Event::Ended { .. }, Event::Push { .. }]), "{events:?}");
    assert_eq!(bench.end(), CloseReason::Local(CloseCode::NORMAL));
}

/// LW-4.10: the callee's clock starts with the header of the first fragment.
#[test]
fn the_deadline_of_a_request_starts_with_its_first_fragment() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    let start = bench.now;
    for part in Frame::request(id(1, 0), b"body").deadline(5000).cut(&[1]) {
        bench.take(&part);
        bench.pass(SECOND);
    }
    assert!(matches!(bench.event(), Event::Request { deadline: Some(at), .. } if at == start + 5 * SECOND));
}

/// Replies that arrive in fragments have their room reserved from the first on; one without room is dropped unread.
#[test]
fn replies_in_fragments_count_against_the_limit_while_they_arrive() {
    let mut bench = Bench::open(Role::Dialer, Config { undelivered_limit: 100_000, ..Config::default() });
    for _ in 0..2 {
        let calls = [(); 4].map(|()| bench.call(b"").sequence());
        bench.frames();
        let parts: Vec<_> = calls
            .iter()
            .zip([60_000, 40_001, 40_000, 1])
            .map(|(&call, length)| Frame::reply(call, &vec![1; length]).cut(&[10_000]))
            .collect();
        parts.iter().for_each(|parts| bench.take(&parts[0]));
        let held = bench.connection.held_bytes();
        bench.feed(&stream(&parts[1][1..]));
        assert!(bench.connection.held_bytes() <= held + 2000, "what is dropped is not kept");
        parts[2..].iter().for_each(|parts| bench.feed(&stream(&parts[1..])));
        bench.feed(&stream(&parts[0][1..]));
        let events = bench.events();
        let lengths: Vec<_> = outcomes(&events)
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Reply { body, .. } => Some(body.len()),
                _ => None,
            })
            .collect();
        assert_eq!(lengths, [None, Some(40_000), None, Some(60_000)]);
        assert_eq!(bench.connection.calls_in_flight(), 0);
    }
    assert_eq!(bench.connection.counters().replies_discarded, 4);
}

/// What is announced by a total reserves no room; bytes are held as they come.
#[test]
fn a_total_reserves_no_room() {
    let (mut bench, call) =
        calling(Role::Acceptor, Config { undelivered_limit: 10 << 20, ..Config::default() });
    let before = bench.connection.held_bytes();
    for message in
        [Frame::request(id(1, 0), b"x"), Frame::reply(call.sequence(), b"x"), Frame::push(b"x").of(id(1, 3))]
    {
        bench.take(&message.first_of(1 << 20));
    }
    let held = bench.connection.held_bytes() - before;
    assert!(held < 3 * (66 << 10), "{held} bytes for 3");
}

proptest! {
    /// LW-4.6, LW-6.9: whatever is cut, and however the fragments of messages stand between each other, each message is
    /// what it would be in one frame, and comes where its last fragment does.
    #[test]
    fn messages_come_in_the_order_of_their_last_fragments(
        bodies in prop::collection::vec((0usize..3, any::<bool>(), 1usize..3000, prop::collection::vec(0usize..900, 1..4)), 1..9),
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        cut in 1usize..5000,
    ) {
        let mut whole = Bench::open(Role::Acceptor, Config::default());
        let mut parts = Bench::open(Role::Acceptor, Config::default());
        let mut waiting = Vec::new();
        for (slot, (kind, extended, length, lengths)) in (0u16..).zip(bodies) {
            let calls = [whole.call(b"").sequence(), parts.call(b"").sequence()];
            assert_eq!(calls[0], calls[1]);
            let body = vec![slot as u8; length];
            let message = [Frame::request(id(1, slot), &body), Frame::reply(calls[0], &body), Frame::push(&body)][kind].clone();
            let message = if extended { message.extended(&[0, 5, 0, 1, b't']) } else { message };
            let cuttable = if kind == 2 { message.clone().of(id(7, slot)) } else { message.clone() };
            let mut queue = cuttable.cut(&lengths);
            queue.reverse();
            waiting.push((message, queue));
        }
        assert_eq!(whole.frames(), parts.frames());
        let (mut in_order, mut in_parts) = (Vec::new(), Vec::new());
        let mut order = order.iter().cycle();
        while !waiting.is_empty() {
            let at = order.next().unwrap().index(waiting.len());
            in_parts.extend(waiting[at].1.pop());
            if waiting[at].1.is_empty() {
                in_order.push(waiting.remove(at).0);
            }
        }
        whole.feed(&stream(&in_order));
        for piece in stream(&in_parts).chunks(cut) {
            parts.feed(piece);
        }
        prop_assert_eq!(parts.events(), whole.events());
        prop_assert!(parts.connection.is_open());
        prop_assert_eq!(parts.connection.requests_in_flight(), whole.connection.requests_in_flight());
        prop_assert_eq!(parts.connection.calls_in_flight(), whole.connection.calls_in_flight());
    }
}

/// LW-3.9: a side without FRAGMENTS still cuts what it sends to a peer that has announced them.
#[test]
fn what_a_side_takes_says_nothing_about_what_it_sends() {
    let peer = Config { max_frame: 4096, capabilities: Capabilities::FRAGMENTS, ..Config::default() };
    let mut bench = Bench::open_with(Role::Dialer, plain(), &peer);
    bench.call(&[1; 5000]);
    assert_eq!(bench.frames().len(), 2);
}
