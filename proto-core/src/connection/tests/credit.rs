//! Credit in bytes, pushes and the lengths of messages.

use alloc::vec::Vec;

use super::{BOTH, Bench, Frame, Pair, id, kinds, outcomes, plain, smallest};
use crate::config::Config;
use crate::connection::Role;
use crate::error::Refusal;
use crate::event::{Event, Message, Outcome, Timeout};
use crate::wire::{Capabilities, CloseCode, ExtensionFields, Extensions, Flags, Kind, StatusCode};

fn push(bench: &mut Bench, length: usize) -> Result<(), Refusal> {
    let pushed = bench.connection.push(bench.now, Message::new(1, vec![0; length]));
    pushed.map_err(|refused| refused.refusal)
}

fn call(bench: &mut Bench, length: usize) -> Result<crate::CallId, Refusal> {
    let called = bench.connection.call(bench.now, Message::new(1, vec![0; length]), Timeout::Never);
    called.map_err(|refused| refused.refusal)
}

/// LW-6.1: the charges never exceed the grant, to the byte; more is CREDIT_EXCEEDED, before anything is stored.
/// LW-1.3: a message is charged 64 bytes beside its length.
#[test]
fn a_sender_keeps_to_its_credit_to_the_byte() {
    for role in BOTH {
        // 1,088 bytes in two messages: 2 × 64 + 960.
        for (first, fits) in [(60, true), (61, false)] {
            let mut pushes = Bench::open(role, smallest());
            pushes.take(&Frame::push(&vec![0; first]));
            if fits {
                pushes.take(&Frame::push(&[0; 900]));
                assert_eq!(pushes.events().len(), 2);
            } else {
                pushes.overrun(Frame::push(&[]), 900);
                pushes.assert_failed(CloseCode::CREDIT_EXCEEDED, "a push");
            }
            let mut requests = Bench::open(role, smallest());
            requests.take(&Frame::request(id(1, 0), &vec![0; first]));
            if fits {
                requests.take(&Frame::request(id(1, 1), &[0; 900]));
                assert_eq!(requests.events().len(), 2);
            } else {
                requests.overrun(Frame::request(id(1, 1), &[]), 900);
                requests.assert_failed(CloseCode::CREDIT_EXCEEDED, "a request");
            }
        }
    }
}

/// LW-6.1: what this side sends keeps to the peer's window, and the rest is refused until CREDIT comes.
/// LW-5.2: pushes do not use up what calls need, nor calls what pushes need.
#[test]
fn messages_without_credit_are_refused_until_it_comes() {
    let mut bench = Bench::open_with(Role::Dialer, Config::default(), &smallest());
    assert_eq!((push(&mut bench, 500), push(&mut bench, 461)), (Ok(()), Err(Refusal::Full)));
    assert_eq!(push(&mut bench, 460), Ok(()));
    assert!(call(&mut bench, 960 - 64).is_ok(), "calls have an account of their own");
    assert_eq!(call(&mut bench, 65), Err(Refusal::Full));
    assert_eq!(bench.frames().len(), 3);
    bench.take(&Frame::credit(1088, 1088));
    assert_eq!(bench.events(), [Event::Writable]);
    assert_eq!((push(&mut bench, 0), call(&mut bench, 65)), (Err(Refusal::Full), Err(Refusal::Full)));
    bench.take(&Frame::credit(1089, 1088 + 64));
    assert_eq!((push(&mut bench, 0), call(&mut bench, 66)), (Ok(()), Err(Refusal::Full)));
    assert!(call(&mut bench, 65).is_ok());
    assert_eq!(kinds(&bench.frames()), [Kind::Push, Kind::Request]);
}

/// LW-6.1: the extension block is charged too, and a call that is deleted before it was sent is not charged.
#[test]
fn a_charge_is_for_what_is_sent() {
    let config = Config { commit_limit: 1, ..Config::default() };
    let mut bench = Bench::open_with(Role::Dialer, config, &smallest());
    assert_eq!(push(&mut bench, 0), Ok(()));
    // 64 + 2 + 8 for the deadline + 1,014.
    let message = Message::new(1, vec![0; 1014]);
    let waiting = bench.connection.call(bench.now, message.clone(), Timeout::Default).unwrap();
    assert_eq!(call(&mut bench, 0), Err(Refusal::Full));
    assert!(bench.connection.cancel(bench.now, waiting).is_some());
    assert_eq!(bench.events(), [Event::Writable]);
    assert!(bench.connection.call(bench.now, message, Timeout::Default).is_ok());
    assert_eq!(bench.frames()[1].payload.len(), 1024);
}

/// LW-6.2: a grant smaller than an earlier one, the window included, is BAD_CREDIT on either account.
#[test]
fn a_grant_does_not_go_back() {
    for grant in [Frame::credit(1087, 1088), Frame::credit(1088, 1087)] {
        let mut bench = Bench::open_with(Role::Acceptor, smallest(), &smallest());
        bench.take(&grant);
        bench.assert_failed(CloseCode::BAD_CREDIT, "less than the window");
    }
    for grant in [Frame::credit(1999, u64::MAX), Frame::credit(2000, u64::MAX - 1)] {
        let mut bench = Bench::open_with(Role::Acceptor, smallest(), &smallest());
        bench.take(&Frame::credit(2000, u64::MAX));
        bench.take(&Frame::credit(2000, u64::MAX));
        bench.assert_open("the same grant again");
        bench.take(&grant);
        bench.assert_failed(CloseCode::BAD_CREDIT, "less than before");
    }
}

/// LW-6.2: a grant that would exceed 2⁶⁴ − 1 is 2⁶⁴ − 1.
#[test]
fn a_grant_is_never_more_than_its_field_holds() {
    let window = u64::MAX - 10;
    let mut bench = Bench::open(Role::Acceptor, Config { push_window: window, ..Config::default() });
    bench.take(&Frame::push(b"body"));
    let token = bench.push_token();
    assert_eq!(token.0, 68);
    bench.connection.release(bench.now, token);
    // So little is returned that nothing is due; what would be granted is seen when it is.
    let [_, window] = bench.connection.windows();
    bench.connection.push_window.announce(window);
    assert_eq!(bench.connection.push_window.announce(window), u64::MAX);
}

/// LW-6.3: a request's charge is returned when its REPLY is sent, a push's when the application has finished with it.
/// LW-6.4: CREDIT comes at the latest at half of the window, or when the sender may be out of credit.
#[test]
fn credit_returns_with_the_reply_and_with_the_release() {
    let config = Config { push_window: 10_000, request_window: 10_000, ..smallest() };
    let mut bench = Bench::open(Role::Acceptor, config);
    let mut tokens = Vec::new();
    for _ in 0..5 {
        bench.take(&Frame::push(&[0; 936]));
        tokens.push(bench.push_token());
    }
    assert_eq!(bench.frames(), [], "polling an event returns nothing");
    for token in tokens.drain(..4) {
        bench.connection.release(bench.now, token);
        assert_eq!(bench.frames(), [], "less than half, and the sender has enough left");
    }
    bench.connection.release(bench.now, tokens.remove(0));
    assert_eq!(bench.frames(), [Frame::credit(10_000, 15_000)]);

    let mut bench = Bench::open(Role::Acceptor, smallest());
    bench.take(&Frame::request(id(1, 0), b"1"));
    let request = bench.request();
    assert_eq!(bench.frames(), []);
    bench.answer(request, b"");
    // The grant left the sender less than one largest message, so it is due at once.
    assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b""), Frame::credit(1088 + 65, 1088)]);
}

/// LW-6.4: a sender that always wants to send the largest message never waits for a grant that does not come.
#[test]
fn a_window_of_one_message_is_enough_for_any_number() {
    let mut pair = Pair::open(smallest(), smallest());
    for round in 0..50 {
        assert_eq!(push(&mut pair.dialer, 1024), Ok(()), "round {round}");
        let call = call(&mut pair.dialer, 1024).unwrap();
        pair.carry();
        let mut events = pair.acceptor.events();
        let Some(Event::Request { id, .. }) = events.pop() else { panic!("{events:?}") };
        let Some(Event::Push { token, .. }) = events.pop() else { panic!("{events:?}") };
        pair.acceptor.connection.release(pair.acceptor.now, token);
        pair.acceptor.answer(id, &[0; 1024]);
        pair.carry();
        assert!(pair.dialer.events().iter().any(|event| {
            matches!(event, Event::Ended { call: ended, outcome: Outcome::Reply { .. } } if *ended == call)
        }));
    }
}

/// LW-6.5: REPLYs and control frames go out when no credit is left, and reading goes on when output waits.
#[test]
fn what_is_not_charged_is_never_held_back() {
    // With heartbeats so many PINGs would be a flood.
    let config = Config { heartbeat: None, ..Config::default() };
    let mut bench = Bench::open_with(Role::Acceptor, config, &smallest());
    assert_eq!((push(&mut bench, 1024), call(&mut bench, 1024).map(|_| ())), (Ok(()), Ok(())));
    // Nothing is written from here on: the peer does not read.
    for slot in 0..100 {
        bench.take(&Frame::request(id(1, slot), &[0; 1024]));
        let request = bench.request();
        bench.answer(request, &[1; 1024]);
        bench.take(&Frame::ping(slot.into()));
    }
    assert!(bench.connection.wants_read());
    let frames = bench.frames();
    let count = |kind| frames.iter().filter(|frame| frame.kind() == kind).count();
    assert_eq!((count(Kind::Reply), count(Kind::Push), count(Kind::Request)), (100, 1, 1));
    assert!(count(Kind::Pong) >= 1);
}

/// LW-6.6: a message longer than announced is MESSAGE_TOO_LARGE, before any of it is stored.
#[test]
fn a_message_over_the_limit_is_refused_by_its_header() {
    for role in BOTH {
        for kind in [Kind::Request, Kind::Push, Kind::Reply] {
            for flags in [Flags::empty(), Flags::EXT] {
                let mut bench = Bench::open(role, smallest());
                let call = bench.call(b"").sequence();
                bench.frames();
                let frame = match kind {
                    Kind::Reply => Frame::reply(call, b""),
                    kind => Frame::example(kind),
                };
                bench.overrun(frame.with(flags), 1025);
                bench.assert_failed(CloseCode::MESSAGE_TOO_LARGE, "1,025 bytes");
            }
        }
    }
}

/// LW-6.6: to a peer without FRAGMENTS, messages keep to the smaller of its MAX_FRAME and MAX_MESSAGE.
#[test]
fn messages_longer_than_the_peer_takes_are_refused() {
    let mut by_message = Config { capabilities: plain().capabilities, ..smallest() }.hello();
    let mut by_frame = by_message.clone();
    by_message.max_frame = 1 << 20;
    (by_frame.max_message, by_frame.request_window, by_frame.push_window) = (1 << 20, 1 << 21, 1 << 21);
    for (hello, limit) in [(by_message, 1024), (by_frame, 4096)] {
        let mut bench = Bench::handshaking(Role::Dialer, &Config::default().share().unwrap());
        let welcome = Frame::hello(Kind::Welcome, &hello);
        bench.feed(&[&crate::wire::PREFACE[..], &welcome.bytes()].concat());
        bench.frames();
        let refusal = Refusal::TooLarge { length: limit as u64 + 1, limit: limit as u32 };
        assert_eq!(push(&mut bench, limit + 1), Err(refusal));
        assert_eq!(call(&mut bench, limit + 1), Err(refusal));
        assert_eq!(push(&mut bench, limit), Ok(()));
        assert!(call(&mut bench, limit).is_ok());
        // The extension block counts: 2 + 8 for the deadline.
        let with_deadline = Message::new(1, vec![0; limit - 9]);
        let refused = bench.connection.call(bench.now, with_deadline, Timeout::Default).unwrap_err();
        assert_eq!(refused.refusal, refusal);
    }
}

/// LW-6.6: a REPLY longer than the caller takes is replaced by status REPLY_TOO_LARGE.
#[test]
fn a_reply_that_is_too_large_is_replaced() {
    let mut pair = Pair::open(smallest(), Config::default());
    for (length, too_large) in [(1024, false), (1025, true), (1020, true)] {
        pair.dialer.call(b"");
        pair.carry();
        let request = pair.acceptor.request();
        let codec = ExtensionFields { codec: Some(crate::wire::Codec::JSON), ..Default::default() };
        // 8 bytes of block.
        let extensions = if length == 1020 { Extensions::new(&codec).unwrap() } else { Extensions::none() };
        let now = pair.acceptor.now;
        let body = vec![0; length].into();
        let reply = pair.acceptor.connection.reply(now, request, StatusCode::OK, extensions, body);
        assert_eq!(matches!(reply, Err(Refusal::TooLarge { limit: 1024, .. })), too_large);
        pair.carry();
        let events = pair.dialer.events();
        let [Outcome::Reply { status, body, .. }] = outcomes(&events)[..] else { panic!("{events:?}") };
        let expected = if too_large { (StatusCode::REPLY_TOO_LARGE, 0) } else { (StatusCode::OK, length) };
        assert_eq!((*status, body.len()), expected);
    }
    assert_eq!(pair.acceptor.connection.counters().replies_replaced, 2);
}

/// LW-5.1: a PUSH has sequence 0, wants no answer, and is charged until it is released. With another sequence it is
/// BAD_SEQUENCE where fragments are not taken.
/// LW-6.8: and BAD_FRAGMENT where they are.
#[test]
fn a_push_wants_no_answer() {
    for role in BOTH {
        for (capabilities, error) in [
            (plain().capabilities, CloseCode::BAD_SEQUENCE),
            (Capabilities::FRAGMENTS, CloseCode::BAD_FRAGMENT),
        ] {
            let mut bench = Bench::open(role, Config { capabilities, ..smallest() });
            bench.take(&Frame::push(b"news"));
            let Event::Push { token, message } = bench.event() else { panic!("no push") };
            assert_eq!(message, Message::new(9, "news"));
            assert_eq!(bench.frames(), []);
            bench.connection.release(bench.now, token);
            assert_eq!(bench.frames(), [Frame::credit(1088, 1088 + 68)]);
            let mut numbered = Frame::push(b"news");
            numbered.header.sequence = id(1, 0);
            bench.take(&numbered);
            bench.assert_failed(error, "a push with a sequence");
        }
    }
}
