//! What a connection does once its peer has broken a rule.

use super::{BOTH, Bench, Frame, SECOND, id, kinds, outcomes};
use crate::config::Config;
use crate::connection::Role;
use crate::error::{CloseReason, Delivery, ProtocolError, Refusal};
use crate::event::{Event, Message, Outcome};
use crate::wire::{CloseCode, CloseInfo, Extensions, Kind, StatusCode};

const WRONG: Kind = Kind::Welcome;

fn unexpected() -> CloseReason {
    CloseReason::Protocol(ProtocolError::UnexpectedFrame(WRONG))
}

/// LW-7.3: CLOSE comes behind what has its place already; the rest is given up, and nothing more is acted upon.
#[test]
fn an_error_gives_up_all_that_waits() {
    for role in BOTH {
        let mut bench = Bench::open(role, Config { commit_limit: 1, ..super::smallest() });
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.take(&Frame::request(id(1, 1), b""));
        let unanswered = bench.request();
        bench.take(&Frame::push(b""));
        let token = bench.push_token();
        bench.connection.push(bench.now, Message::new(1, "has its place")).unwrap();
        let waiting = bench.call(b"waits");
        bench.connection.push(bench.now, Message::new(1, "waits")).unwrap();
        bench.answer(request, b"waits");
        bench.take(&Frame::ping(1));
        bench.take(&Frame::example(WRONG));
        // What the application does now comes too late, though CLOSE has no place yet.
        let reply =
            bench.connection.reply(bench.now, unanswered, StatusCode::OK, Extensions::none(), "late".into());
        assert_eq!(reply, Err(Refusal::Closed));
        bench.connection.release(bench.now, token);
        bench.take(&Frame::ping(2));
        let sent = bench.frames();
        assert_eq!(kinds(&sent), [Kind::Push, Kind::Close]);
        assert_eq!(sent[1], Frame::close(CloseCode::UNEXPECTED_FRAME));
        let lost = Event::Ended { call: waiting, outcome: Outcome::Lost(Delivery::NotSent) };
        assert_eq!(bench.events(), [lost]);
        assert_eq!(bench.end(), unexpected());
    }
}

/// LW-7.3: events that came before the error are still told, the error behind them.
#[test]
fn what_came_before_an_error_counts() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    let bytes = [Frame::push(b"before"), Frame::example(WRONG), Frame::push(b"behind")];
    bench.feed(&super::stream(&bytes));
    bench.frames();
    bench.connection.handle_eof(bench.now);
    let events = bench.events();
    assert!(matches!(&events[..], [Event::Push { .. }, Event::Closed(reason)] if *reason == unexpected()));
}

/// LW-7.3: an error while the own CLOSE still waits is told in its place.
#[test]
fn an_error_overtakes_a_close_that_waits() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    for body in ["has its place", "waits"] {
        bench.connection.push(bench.now, Message::new(1, body)).unwrap();
    }
    bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::with_text("mine"));
    bench.take(&Frame::example(WRONG));
    let sent = bench.frames();
    assert_eq!((sent.len(), &sent[1]), (2, &Frame::close(CloseCode::UNEXPECTED_FRAME)));
    assert_eq!(bench.end(), unexpected());
}

/// LW-7.3: an error behind the own CLOSE cannot be told any more; nothing is acted upon all the same.
#[test]
fn an_error_behind_the_own_close_ends_the_listening() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    let call = bench.call(b"");
    bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::default());
    assert_eq!(bench.frames().len(), 2);
    bench.take(&Frame::example(WRONG));
    bench.take(&Frame::reply(call.sequence(), b"too late"));
    assert_eq!(bench.frames(), []);
    assert_eq!(outcomes(&bench.events()), [&Outcome::Lost(Delivery::MaybeSent)]);
    assert_eq!(bench.end(), CloseReason::Local(CloseCode::NORMAL));
}

/// LW-7.4: after an error the stream is read to its end, but for 5 s at the most, even if CLOSE cannot be written.
#[test]
fn a_failed_connection_does_not_wait_for_ever() {
    for written in [true, false] {
        let mut bench = Bench::open(Role::Acceptor, Config::default());
        bench.take(&Frame::example(WRONG));
        if written {
            bench.frames();
        }
        bench.pass(5 * SECOND);
        assert_eq!(bench.event(), Event::Closed(unexpected()));
    }
}

/// Errors are sticky: the reason stays the same whatever comes later.
#[test]
fn the_first_error_is_the_reason() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::example(WRONG));
    bench.take(&Frame::example(Kind::Hello));
    bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::default());
    assert_eq!(bench.connection.close_reason(), Some(&unexpected()));
    bench.connection.handle_transport_error(bench.now, crate::TransportError::Reset);
    assert_eq!(bench.event(), Event::Closed(unexpected()));
    bench.connection.abort(bench.now, CloseCode::INTERNAL);
    assert_eq!(bench.connection.close_reason(), Some(&unexpected()));
    assert_eq!(bench.events(), [], "one Closed, and nothing behind it");
}

/// LW-7.3: of a frame that is cut off by the end of the stream, nothing is acted upon.
#[test]
fn half_a_frame_is_no_frame() {
    for frame in [Frame::push(b"news"), Frame::request(id(1, 0), b"call"), Frame::close(CloseCode::NORMAL)] {
        let mut frame = frame;
        if frame.payload.is_empty() {
            frame = Frame::control(Kind::Close, 0, &[0, 35, 0, 0]);
        }
        let bytes = frame.bytes();
        for cut in 0..bytes.len() {
            let mut bench = Bench::open(Role::Acceptor, Config::default());
            bench.feed(&bytes[..cut]);
            assert_eq!(bench.events(), []);
            assert_eq!(bench.end(), CloseReason::Transport(crate::TransportError::Eof));
        }
    }
}
