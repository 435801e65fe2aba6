//! Calls: slots, generations, replies, routes and extension blocks.

use alloc::vec::Vec;

use super::{BOTH, Bench, Frame, Pair, SECOND, id, kinds, outcomes, plain, smallest, stream};
use crate::config::Config;
use crate::connection::Role;
use crate::error::{Delivery, Refusal};
use crate::event::{Event, Message, Outcome, RequestId, Route, Timeout};
use crate::wire::{CloseCode, Codec, ExtensionFields, Extensions, Kind, StatusCode};

/// LW-4.1: a slot that was not granted, or that is not free, is refused.
/// LW-4.4: the slot is free again when the REPLY has been sent, not when the application has the request.
#[test]
fn a_caller_keeps_to_its_slots() {
    for role in BOTH {
        let mut beyond = Bench::open(role, smallest());
        beyond.take(&Frame::request(id(1, 2), b""));
        beyond.assert_failed(CloseCode::SLOT_BEYOND_LIMIT, "slot 2 of 2");
        let mut none = Bench::open(role, Config { call_slots: 0, ..smallest() });
        none.take(&Frame::request(id(1, 0), b""));
        none.assert_failed(CloseCode::SLOT_BEYOND_LIMIT, "slot 0 of none");
        for generation in [1, 2] {
            let mut twice = Bench::open(role, smallest());
            twice.take(&Frame::request(id(1, 1), b""));
            let _unanswered = twice.request();
            twice.take(&Frame::request(id(generation, 1), b""));
            twice.assert_failed(CloseCode::SLOT_IN_USE, "a slot in use");
        }
        let mut again = Bench::open(role, Config::default());
        for generation in 1..100 {
            again.take(&Frame::request(id(generation, 1), b""));
            let request = again.request();
            again.answer(request, b"");
            assert_eq!(again.frames(), [Frame::reply(id(generation, 1), b"")]);
        }
    }
}

/// LW-4.4: a REPLY that waits has not been sent, so the slot is still in use.
#[test]
fn a_waiting_reply_does_not_free_its_slot() {
    let mut bench = Bench::open(Role::Acceptor, Config { commit_limit: 1, ..Config::default() });
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    bench.connection.push(bench.now, Message::new(1, "in front of the reply")).unwrap();
    bench.answer(request, b"");
    assert_eq!(bench.connection.requests_in_flight(), 1);
    bench.take(&Frame::request(id(2, 0), b""));
    assert_eq!(kinds(&bench.frames()), [Kind::Push, Kind::Close]);
    assert_eq!(bench.end().code(), Some(CloseCode::SLOT_IN_USE));
}

/// LW-4.1: the slots that the callee grants limit the calls in flight; the next is refused and given back.
#[test]
fn calls_beyond_the_slots_are_refused_until_one_is_free() {
    let mut bench = Bench::open_with(Role::Dialer, Config::default(), &smallest());
    let calls = [bench.call(b""), bench.call(b"")];
    assert_eq!(bench.connection.calls_in_flight(), 2);
    let third = Message::new(7, "third");
    let refused = bench.connection.call(bench.now, third.clone(), Timeout::Never).unwrap_err();
    assert_eq!((refused.refusal, refused.message), (Refusal::NoSlot, third));
    bench.frames();
    bench.take(&Frame::reply(calls[1].sequence(), b""));
    assert!(matches!(bench.events()[..], [Event::Writable, Event::Ended { .. }]));
    // LW-4.2 in passing: the slot has a new generation.
    assert_eq!(bench.call(b"").sequence(), id(2, calls[1].sequence().slot()));

    let mut none =
        Bench::open_with(Role::Dialer, Config::default(), &Config { call_slots: 0, ..Config::default() });
    let refused = none.connection.call(none.now, Message::new(7, ""), Timeout::Never).unwrap_err();
    assert_eq!(refused.refusal, Refusal::NotCallable);
}

/// LW-4.2: a slot's generations start at 1 and grow by one; a callee takes any.
#[test]
fn generations_grow_with_each_call_and_are_not_checked() {
    let mut caller = Bench::open(Role::Dialer, Config::default());
    let _keeps_the_table = caller.call(b"");
    for generation in 1..5 {
        let call = caller.call(b"");
        assert_eq!(call.sequence(), id(generation, 1));
        caller.frames();
        caller.take(&Frame::reply(call.sequence(), b""));
        caller.events();
    }
    let mut callee = Bench::open(Role::Acceptor, Config::default());
    for generation in [7, 8, u32::MAX, 1, 500, 3] {
        callee.take(&Frame::request(id(generation, 0), b""));
        let request = callee.request();
        callee.answer(request, b"");
        assert_eq!(callee.frames(), [Frame::reply(id(generation, 0), b"")]);
    }
}

/// LW-4.3: a request is answered once; a second answer changes nothing.
#[test]
fn a_request_gets_one_reply() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    bench.answer(request, b"first");
    for wrong in [id(1, 0), id(2, 0), id(1, 1), id(0, 0)] {
        let second = bench.connection.reply(
            bench.now,
            RequestId(wrong),
            StatusCode::OK,
            Extensions::none(),
            "again".into(),
        );
        assert_eq!(second, Err(Refusal::Closed));
    }
    assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b"first")]);
    assert_eq!(bench.connection.requests_in_flight(), 0);
}

/// LW-4.3: a caller that has stopped waiting keeps the slot occupied, and drops the late REPLY.
#[test]
fn a_late_reply_is_dropped_and_frees_the_slot() {
    let mut bench = Bench::open_with(Role::Dialer, Config::default(), &Config { call_slots: 2, ..plain() });
    let given_up = bench.call(b"");
    let timed_out =
        bench.connection.call(bench.now, Message::new(1, ""), Timeout::After(SECOND)).unwrap().sequence();
    bench.frames();
    assert_eq!(bench.connection.cancel(bench.now, given_up), Some(Delivery::MaybeSent));
    assert_eq!(bench.connection.cancel(bench.now, given_up), None, "once");
    bench.pass(SECOND);
    assert_eq!(outcomes(&bench.events()), [&Outcome::TimedOut(Delivery::MaybeSent)]);
    assert_eq!(bench.connection.calls_in_flight(), 2);
    // What a dropped reply says is not looked at (LW-9.1 allows it).
    bench.take(&Frame::reply(given_up.sequence(), &[0xff; 9]).with(crate::wire::Flags::EXT));
    bench.take(&Frame::reply(timed_out, b"late"));
    assert_eq!((bench.events(), bench.connection.calls_in_flight()), (Vec::new(), 0));
    assert_eq!(bench.connection.counters().replies_late, 2);
    bench.take(&Frame::reply(timed_out, b"twice"));
    bench.assert_failed(CloseCode::UNKNOWN_CALL, "a late reply is still the only one");
}

/// LW-4.3: a call may end early while its REPLY is arriving, and the slot is free when all of it has.
#[test]
fn a_call_may_end_while_its_reply_arrives() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    let call = bench.call(b"");
    bench.frames();
    let reply = Frame::reply(call.sequence(), b"half of it").bytes();
    bench.feed(&reply[..20]);
    assert_eq!(bench.connection.cancel(bench.now, call), Some(Delivery::MaybeSent));
    bench.feed(&reply[20..]);
    assert_eq!((bench.events().len(), bench.connection.calls_in_flight()), (0, 0));
    assert_eq!(bench.connection.counters().replies_late, 1);
}

/// LW-4.5: a REPLY to a call that is not in flight ends the connection.
/// LW-1.4: a call whose REQUEST still waits has not been sent, so it is not in flight for the peer.
#[test]
fn a_reply_to_a_call_that_is_not_in_flight_is_an_error() {
    for role in BOTH {
        let never = Bench::open(role, Config::default());
        let mut answered = Bench::open(role, Config::default());
        let call = answered.call(b"");
        answered.frames();
        answered.take(&Frame::reply(call.sequence(), b""));
        answered.events();
        let mut generation = Bench::open(role, Config::default());
        let other = generation.call(b"");
        generation.frames();
        let mut waiting = Bench::open(role, Config { commit_limit: 1, ..Config::default() });
        waiting.connection.push(waiting.now, Message::new(1, "in front of the request")).unwrap();
        let queued = waiting.call(b"");
        let wrong = [
            ("never issued", never, id(1, 0)),
            ("answered already", answered, call.sequence()),
            ("of another generation", generation, id(2, other.sequence().slot())),
        ];
        for (what, mut bench, id) in wrong {
            bench.take(&Frame::reply(id, b"?"));
            bench.assert_failed(CloseCode::UNKNOWN_CALL, what);
        }
        waiting.take(&Frame::reply(queued.sequence(), b"?"));
        assert_eq!(waiting.connection.close_reason().unwrap().code(), Some(CloseCode::UNKNOWN_CALL));
    }
}

/// LW-4.6: replies come in any order; requests arrive in the order in which they were sent, pushes likewise.
#[test]
fn requests_keep_their_order_and_replies_need_not() {
    let mut pair = Pair::open(Config::default(), Config::default());
    let calls: Vec<_> = (0u8..9).map(|number| pair.dialer.call(&[number])).collect();
    for number in 0u8..9 {
        pair.dialer.connection.push(pair.dialer.now, Message::new(1, vec![number])).unwrap();
    }
    pair.carry();
    let (mut requests, mut pushed) = (Vec::new(), Vec::new());
    for event in pair.acceptor.events() {
        match event {
            Event::Request { id, message, .. } => requests.push((id, message.body)),
            Event::Push { message, .. } => pushed.push(message.body[0]),
            other => panic!("{other:?}"),
        }
    }
    assert!(requests.iter().map(|(_, body)| body[0]).eq(0..9) && pushed.iter().copied().eq(0..9));
    for (id, body) in requests.into_iter().rev() {
        pair.acceptor.answer(id, &body);
    }
    pair.carry();
    for (number, event) in (0u8..9).rev().zip(pair.dialer.events()) {
        let Event::Ended { call, outcome: Outcome::Reply { body, .. } } = event else { panic!("{event:?}") };
        assert_eq!((call, &body[..]), (calls[usize::from(number)], &[number][..]));
    }
}

/// LW-4.7: both sides have a call with the same id in flight, and neither takes the other's.
#[test]
fn equal_ids_do_not_cross() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    let call = bench.call(b"ours");
    bench.frames();
    bench.take(&Frame::request(call.sequence(), b"theirs"));
    bench.take(&Frame::reply(call.sequence(), b"to ours"));
    let mut events = bench.events();
    let Some(Event::Ended { call: ended, .. }) = events.pop() else { panic!("{events:?}") };
    let Some(Event::Request { id, .. }) = events.pop() else { panic!("{events:?}") };
    assert_eq!((ended, id.sequence()), (call, call.sequence()));
    bench.answer(id, b"to theirs");
    assert_eq!(bench.frames(), [Frame::reply(call.sequence(), b"to theirs")]);
}

/// LW-4.8: a route is a number, 0 among them, or a name, beside which the code is sent as 0 and not looked at.
#[test]
fn a_route_has_a_number_or_a_name() {
    let mut pair = Pair::open(Config::default(), Config::default());
    let mut both = Message::named("größe", "body").unwrap();
    both.number = 9;
    let sent = [Message::new(0, "body"), Message::new(u32::MAX, "body"), both];
    for message in &sent {
        pair.dialer.connection.call(pair.dialer.now, message.clone(), Timeout::Never).unwrap();
        pair.dialer.connection.push(pair.dialer.now, message.clone()).unwrap();
    }
    let frames = pair.dialer.frames();
    let codes: Vec<u32> = frames.iter().map(|frame| frame.header.code).collect();
    assert_eq!(codes, [0, 0, u32::MAX, u32::MAX, 0, 0]);
    let mut coded = frames;
    coded[4].header.code = 9;
    coded[5].header.code = 9;
    pair.acceptor.feed(&stream(&coded));
    let routes: Vec<_> = pair.acceptor.events();
    let expected = [Route::Number(0), Route::Number(u32::MAX), Route::Name("größe")];
    for (event, expected) in routes.iter().zip(expected.into_iter().flat_map(|route| [route; 2])) {
        let (Event::Request { message, .. } | Event::Push { message, .. }) = event else {
            panic!("{event:?}")
        };
        assert_eq!(message.route(), expected);
        if let Route::Name(_) = expected {
            assert_eq!(message.number, 0);
        }
    }
    assert_eq!(routes.len(), 6);
}

/// LW-4.9: the code of a REPLY is its status, and the body comes with an error too.
/// LW-10.1: an unknown status is an error reply like any other.
#[test]
fn every_status_reaches_the_caller() {
    for status in [0, 1, 12, 13, 1023, 1024, u32::MAX].map(StatusCode) {
        let mut pair = Pair::open(Config::default(), Config::default());
        pair.dialer.call(b"");
        pair.carry();
        let request = pair.acceptor.request();
        let metadata =
            ExtensionFields { metadata: Some(b"m"), codec: Some(Codec::JSON), ..Default::default() };
        let extensions = Extensions::new(&metadata).unwrap();
        let reply = pair.acceptor.connection.reply(
            pair.acceptor.now,
            request,
            status,
            extensions.clone(),
            "why".into(),
        );
        assert_eq!(reply, Ok(()));
        pair.carry();
        let expected = Outcome::Reply { status, extensions, body: "why".into() };
        assert_eq!(outcomes(&pair.dialer.events()), [&expected]);
        assert_eq!(status.is_ok(), status == StatusCode::OK);
    }
}

/// LW-9.1: an extension block that cannot be read ends the connection, on every kind of message.
#[test]
fn a_bad_extension_block_is_an_error() {
    let blocks: [(&str, &[u8]); 3] =
        [("cut off", &[0, 3, 0]), ("twice", &[0, 3, 0, 0, 0, 3, 0, 0]), ("empty trace", &[0, 5, 0, 0])];
    for (what, block) in blocks {
        for kind in 0..3 {
            let mut bench = Bench::open(Role::Acceptor, Config::default());
            let call = bench.call(b"").sequence();
            bench.frames();
            let frame =
                [Frame::request(id(1, 0), b""), Frame::push(b""), Frame::reply(call, b"")][kind].clone();
            bench.take(&frame.extended(block));
            let lost =
                Event::Ended { call: crate::CallId(call), outcome: Outcome::Lost(Delivery::MaybeSent) };
            assert_eq!(bench.events(), [lost], "{what} was handed on");
            bench.assert_failed(CloseCode::BAD_EXTENSION, what);
        }
    }
}

/// LW-9.1: fields that a kind may not carry are not sent on it: the application is told, and nothing breaks.
#[test]
fn extensions_that_do_not_fit_a_message_are_not_sent() {
    let of = |fields: &ExtensionFields<'_>| Extensions::new(fields).unwrap();
    let route = of(&ExtensionFields { route: Some("r"), ..Default::default() });
    let key = of(&ExtensionFields { idempotency_key: Some(b"k"), ..Default::default() });
    let mut pair = Pair::open(Config::default(), Config::default());
    let push = Message { extensions: key.clone(), ..Message::new(1, "body") };
    let refused = pair.dialer.connection.push(pair.dialer.now, push.clone()).unwrap_err();
    assert_eq!((refused.refusal, refused.message), (Refusal::BadExtension, push));
    for extensions in [route, key] {
        pair.acceptor.call(b"");
        pair.carry();
        let request = pair.dialer.request();
        let replied =
            pair.dialer.connection.reply(pair.dialer.now, request, StatusCode::OK, extensions, "body".into());
        assert_eq!(replied, Err(Refusal::BadExtension));
        pair.carry();
        let status = StatusCode::HANDLER_FAILED;
        let expected = Outcome::Reply { status, extensions: Extensions::none(), body: "".into() };
        assert_eq!(outcomes(&pair.acceptor.events()), [&expected]);
    }
}

/// LW-9.2: an empty block is valid, and counts as part of the message.
#[test]
fn an_empty_extension_block_is_no_block() {
    let mut bench = Bench::open(Role::Acceptor, smallest());
    bench.take(&Frame::push(b"body").extended(&[]));
    let Event::Push { token, message } = bench.event() else { panic!("no push") };
    assert_eq!((message, token.0), (Message::new(9, "body"), 64 + 2 + 4));
    assert_eq!(kinds(&bench.frames()), []);
}
