//! Requests whose caller gives them up, on the callee's side.

use super::{BOTH, Bench, Frame, SECOND, id, in_pieces, kinds, smallest};
use crate::config::Config;
use crate::connection::Role;
use crate::error::CloseReason;
use crate::event::{Event, Message};
use crate::wire::{Capabilities, CloseCode, Extensions, Flags, Kind, StatusCode};

fn cancelled() -> Frame {
    Frame::status(id(1, 0), StatusCode::CANCELLED)
}

/// LW-4.12: a CANCEL in the middle of a REQUEST's fragments ends the message, which is not run and is answered with
/// CANCELLED; its slot and its whole charge are free.
#[test]
fn a_request_that_arrives_is_ended_by_cancel() {
    for role in BOTH {
        let mut bench = Bench::open(role, smallest());
        for generation in 1..4 {
            let parts = Frame::request(id(generation, 0), &[1; 1024]).cut(&[100]);
            bench.feed(&super::stream(&parts[..2]));
            bench.take(&Frame::cancel(id(generation, 0)));
            let reply = Frame::status(id(generation, 0), StatusCode::CANCELLED);
            let granted = u64::from(generation + 1) * 1088;
            assert_eq!(bench.frames(), [reply, Frame::credit(granted, 1088)]);
            assert_eq!((bench.events().len(), bench.connection.requests_in_flight()), (0, 0));
            assert_eq!(bench.rested(), 0);
        }
        assert_eq!(bench.connection.counters().requests_cancelled, 3);
    }
}

/// LW-4.12: nothing is kept of such a request while its answer waits, and what would go on with it is a new REQUEST in a slot
/// that is in use.
#[test]
fn a_request_that_was_ended_does_not_go_on() {
    let mut bench = Bench::open(Role::Acceptor, Config { commit_limit: 1, ..Config::default() });
    bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
    let before = bench.connection.held_bytes();
    let parts = Frame::request(id(1, 0), &[1; 100_000]).cut(&[40_000]);
    bench.take(&parts[0]);
    bench.take(&Frame::cancel(id(1, 0)));
    assert!(bench.connection.held_bytes() < before + 2000);
    bench.take(&parts[2]);
    assert_eq!(kinds(&bench.frames()), [Kind::Push, Kind::Close]);
    assert_eq!(bench.end().code(), Some(CloseCode::SLOT_IN_USE));
}

/// LW-4.12: a request that waits for the application is not run, and answered with CANCELLED in its turn. Until then it
/// keeps its slot and its charge, so that nobody fills the queue with requests that were given up.
#[test]
fn a_request_that_waits_is_not_run() {
    let mut bench = Bench::open(Role::Acceptor, smallest());
    bench.take(&Frame::request(id(1, 0), &[1; 500]));
    bench.take(&Frame::request(id(1, 1), b"stays"));
    let held = bench.connection.held_bytes();
    for _ in 0..9 {
        bench.take(&Frame::cancel(id(1, 0)));
    }
    assert_eq!((bench.frames(), bench.connection.held_bytes()), ([].into(), held));
    assert_eq!(
        (bench.connection.requests_in_flight(), bench.connection.request_window.outstanding()),
        (2, 633)
    );
    assert_eq!(bench.request().sequence(), id(1, 1));
    assert_eq!(bench.frames(), [cancelled(), Frame::credit(1088 + 564, 1088)]);
    assert_eq!(bench.connection.counters().requests_cancelled, 1);
    // Its slot and its charge were not free before.
    for (frame, code) in [
        (Frame::request(id(2, 0), b""), CloseCode::SLOT_IN_USE),
        (Frame::request(id(1, 1), &[1; 1000]), CloseCode::CREDIT_EXCEEDED),
    ] {
        let mut bench = Bench::open(Role::Acceptor, smallest());
        bench.take(&Frame::request(id(1, 0), &[1; 500]));
        bench.take(&Frame::cancel(id(1, 0)));
        bench.take(&frame);
        assert_eq!(bench.connection.close_reason().and_then(CloseReason::code), Some(code));
    }
}

/// LW-4.12: of a request that runs, the application is told once; it replies CANCELLED, or as if nothing had happened.
#[test]
fn a_request_that_runs_may_be_stopped() {
    for stopped in [true, false] {
        let mut bench = Bench::open(Role::Acceptor, Config::default());
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.take(&Frame::cancel(id(1, 0)));
        bench.take(&Frame::cancel(id(1, 0)));
        assert_eq!(bench.event(), Event::Cancelled(id(1, 0)));
        assert_eq!((bench.frames(), bench.connection.requests_in_flight()), ([].into(), 1));
        let (status, body) = if stopped { (StatusCode::CANCELLED, "") } else { (StatusCode::OK, "done") };
        let replied = bench.connection.reply(bench.now, request, status, Extensions::none(), body.into());
        assert_eq!(replied, Ok(()));
        let expected = if stopped { cancelled() } else { Frame::reply(id(1, 0), b"done") };
        assert_eq!(bench.frames(), [expected]);
        assert_eq!(bench.connection.request_window.outstanding(), 0);
    }
}

/// LW-4.12: a CANCEL that the reply has crossed is ignored: the application does not hear of it behind its reply, and the
/// slot's next request is not touched.
#[test]
fn a_cancel_that_was_crossed_is_ignored() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::cancel(id(1, 0)));
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    bench.take(&Frame::cancel(id(1, 0)));
    bench.answer(request, b"replied before the event was taken");
    assert_eq!(bench.events(), []);
    bench.take(&Frame::cancel(id(1, 0)));
    bench.take(&Frame::request(id(2, 0), b""));
    for other in [id(1, 0), id(3, 0), id(2, 1), id(2, u16::MAX)] {
        bench.take(&Frame::cancel(other));
    }
    let request = bench.request();
    bench.answer(request, b"");
    assert_eq!(kinds(&bench.frames()), [Kind::Reply, Kind::Reply]);
    assert_eq!(bench.connection.counters().requests_cancelled, 1);
    bench.assert_open("CANCEL for what is not in flight");
}

/// LW-4.12: a reply that waits to be sent is replaced by CANCELLED, for nobody wants it.
#[test]
fn a_reply_that_waits_is_not_sent() {
    let mut bench = Bench::open(Role::Acceptor, in_pieces());
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
    bench.answer(request, &[1; 10_000]);
    bench.take(&Frame::cancel(id(1, 0)));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.frames()[1..], [cancelled()]);
    assert_eq!(bench.connection.requests_in_flight(), 0);
    assert_eq!(bench.connection.request_window.outstanding(), 0);
    assert_eq!(bench.rested(), 0);
}

/// LW-4.13: of a REPLY that was sent in part, CANCEL with ORIGIN stands in place of the rest, and ends the call.
#[test]
fn a_reply_that_was_sent_in_part_is_cut_off() {
    let mut bench = Bench::open(Role::Acceptor, in_pieces());
    let mut request = Frame::request(id(1, 0), &[1; 4000]).with(Flags::from_bits(0x80));
    for generation in 1..3 {
        request.header.sequence = id(generation, 0);
        bench.take(&request);
        let taken = bench.request();
        bench.answer(taken, &[1; 10_000]);
        let first = bench.committed();
        assert!(first[0].header.flags.contains(Flags::MORE));
        bench.take(&Frame::cancel(id(generation, 0)));
        // The second fragment had its place already.
        assert_eq!(bench.frames()[1..], [Frame::cancel_reply(id(generation, 0))]);
        assert_eq!((bench.connection.requests_in_flight(), bench.rested()), (0, 0));
        assert_eq!(bench.connection.request_window.outstanding(), 0);
    }
    // With the last fragment in its place, there is nothing to give up.
    request.header.sequence = id(3, 0);
    bench.take(&request);
    let taken = bench.request();
    bench.answer(taken, &[1; 5000]);
    bench.committed();
    bench.take(&Frame::cancel(id(3, 0)));
    assert_eq!(kinds(&bench.frames()), [Kind::Reply]);
}

/// LW-3.9: a caller that sends CANCEL without having announced it gets the whole REPLY: CANCEL must not be sent to it.
#[test]
fn a_caller_that_does_not_take_cancel_gets_the_whole_reply() {
    let peer = Config { capabilities: Capabilities::FRAGMENTS, ..Config::default() };
    let mut bench = Bench::open_with(Role::Acceptor, in_pieces(), &peer);
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    bench.answer(request, &[1; 10_000]);
    bench.committed();
    bench.take(&Frame::cancel(id(1, 0)));
    let rest = bench.frames();
    assert_eq!(kinds(&rest), [Kind::Reply; 2]);
    assert!(!rest[1].header.flags.contains(Flags::MORE));
    assert_eq!(bench.connection.requests_in_flight(), 0);
}

/// LW-4.3, LW-4.11, LW-4.12: a request that has expired and was given up gets one REPLY.
#[test]
fn a_request_may_expire_and_be_cancelled() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::request(id(1, 0), b"").deadline(1000));
    bench.take(&Frame::cancel(id(1, 0)));
    bench.pass(SECOND);
    assert_eq!(bench.events(), []);
    let sent = bench.frames();
    assert_eq!(kinds(&sent), [Kind::Reply]);
    assert!([StatusCode::DEADLINE_EXPIRED.0, StatusCode::CANCELLED.0].contains(&sent[0].header.code));
    assert_eq!(bench.connection.requests_in_flight(), 0);
}

/// LW-7.5: behind the own CLOSE a CANCEL is taken and needs no answer.
#[test]
fn a_cancel_behind_the_own_close_is_taken() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::request(id(1, 0), b""));
    let _running = bench.request();
    bench.take(&Frame::request(id(1, 1), b"half").first_of(9));
    bench.connection.close(bench.now, CloseCode::NORMAL, crate::CloseInfo::default());
    bench.frames();
    for slot in 0..3 {
        bench.take(&Frame::cancel(id(1, slot)));
    }
    assert_eq!(bench.frames(), []);
    assert_eq!(bench.end(), CloseReason::Local(CloseCode::NORMAL));
}
