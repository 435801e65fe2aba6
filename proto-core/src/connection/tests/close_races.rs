//! Closes that cross, and what arrives between the two CLOSEs.

use super::{Bench, Frame, Pair, SECOND, id, kinds, outcomes};
use crate::config::Config;
use crate::connection::Role;
use crate::error::{CloseReason, Delivery, TransportError};
use crate::event::{Event, Message, Outcome};
use crate::wire::{CloseCode, CloseInfo, Kind, StatusCode};

const BYE: CloseCode = CloseCode(0x8000_0001);

fn close(bench: &mut Bench, code: CloseCode) {
    bench.connection.close(bench.now, code, CloseInfo::default());
}

/// LW-7.2: CLOSEs that cross answer each other, and each side reports its own.
#[test]
fn crossing_closes_answer_each_other() {
    let mut pair = Pair::open(Config::default(), Config::default());
    pair.dialer.call(b"lost on both sides");
    pair.carry();
    let _running = pair.acceptor.request();
    close(&mut pair.dialer, CloseCode::NORMAL);
    close(&mut pair.acceptor, BYE);
    pair.carry();
    assert_eq!(outcomes(&pair.dialer.events()), [&Outcome::Lost(Delivery::MaybeSent)]);
    let sent = [&pair.dialer, &pair.acceptor].map(|bench| bench.connection.counters().bytes_sent);
    assert_eq!(pair.end(), (CloseReason::Local(CloseCode::NORMAL), CloseReason::Local(BYE)));
    assert!(sent.into_iter().all(|sent| sent > 0));
}

/// LW-7.2: a side whose own CLOSE still waits has not sent one, so it answers with the code that it received.
#[test]
fn a_close_that_waits_gives_way_to_the_peers() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    bench.connection.push(bench.now, Message::new(1, "in front of CLOSE")).unwrap();
    bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::with_text("mine"));
    bench.take(&Frame::close(BYE));
    let sent = bench.frames();
    assert_eq!((kinds(&sent), &sent[1]), ([Kind::Push, Kind::Close].into(), &Frame::close(BYE)));
    assert_eq!(bench.end(), CloseReason::Local(CloseCode::NORMAL));
}

/// LW-7.5: between its own CLOSE and the peer's, a side still takes REPLYs and PUSHes.
#[test]
fn replies_and_pushes_are_taken_until_the_peer_closes_too() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    let (answered, lost) = (bench.call(b"1"), bench.call(b"2"));
    close(&mut bench, BYE);
    assert_eq!(kinds(&bench.frames()), [Kind::Request, Kind::Request, Kind::Close]);
    bench.take(&Frame::push(b"news"));
    bench.take(&Frame::reply(answered.sequence(), b"done"));
    bench.take(&Frame::credit(u64::MAX, u64::MAX));
    bench.take(&Frame::example(Kind::Pong));
    bench.take(&Frame::close(BYE));
    bench.take(&Frame::reply(lost.sequence(), b"too late"));
    let events = bench.events();
    assert!(matches!(events[0], Event::Push { .. }), "{events:?}");
    let outcomes = outcomes(&events);
    assert!(matches!(outcomes[..], [Outcome::Reply { .. }, Outcome::Lost(Delivery::MaybeSent)]));
    assert_eq!(bench.end(), CloseReason::Local(BYE));
}

/// LW-7.5: a REQUEST that arrives then is dropped without a REPLY, whatever slot and credit it uses.
/// LW-4.3: that is the exception to one REPLY for every REQUEST.
#[test]
fn requests_behind_the_own_close_are_dropped() {
    let mut bench = Bench::open(Role::Dialer, super::smallest());
    let half = Frame::request(id(1, 0), b"half of it before the close").bytes();
    bench.feed(&half[..20]);
    close(&mut bench, BYE);
    assert_eq!(bench.frames(), [Frame::close(BYE)]);
    bench.feed(&half[20..]);
    for generation in 1..4 {
        bench.take(&Frame::request(id(generation, 1), &[0; 1024]));
    }
    assert_eq!((bench.frames(), bench.events()), ([].into(), [].into()));
    assert_eq!(bench.connection.counters().requests_dropped, 4);
    assert_eq!(bench.end(), CloseReason::Local(BYE));
}

/// LW-7.5: while the own CLOSE still waits, a REQUEST is answered with DRAINING.
#[test]
fn requests_in_front_of_the_own_close_are_answered() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    bench.connection.push(bench.now, Message::new(1, "in front of CLOSE")).unwrap();
    close(&mut bench, BYE);
    bench.take(&Frame::request(id(1, 0), b""));
    let mut draining = Frame::reply(id(1, 0), b"");
    draining.header.code = StatusCode::DRAINING.0;
    let sent = bench.frames();
    assert_eq!(kinds(&sent), [Kind::Push, Kind::Reply, Kind::Close]);
    assert_eq!(sent[1], draining);
    assert_eq!(bench.events(), []);
}

/// LW-7.4: the peer's stream may end in place of its CLOSE; this side's close is over then.
#[test]
fn a_peer_may_hang_up_on_a_close() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    bench.call(b"");
    close(&mut bench, BYE);
    bench.frames();
    bench.connection.handle_eof(bench.now);
    let events = bench.events();
    assert_eq!(outcomes(&events), [&Outcome::Lost(Delivery::MaybeSent)]);
    assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Local(BYE))));
}

/// LW-7.4: a stream that breaks behind the CLOSE has done its work; one that breaks in front of it has not.
#[test]
fn a_broken_stream_ends_a_close_early() {
    let broken = |bench: &mut Bench| {
        bench.connection.handle_transport_error(bench.now, TransportError::Reset);
        bench.events().pop()
    };
    let mut written = Bench::open(Role::Dialer, Config::default());
    close(&mut written, BYE);
    written.frames();
    assert_eq!(broken(&mut written), Some(Event::Closed(CloseReason::Local(BYE))));
    let mut unwritten = Bench::open(Role::Dialer, Config::default());
    close(&mut unwritten, BYE);
    let reason = CloseReason::Transport(TransportError::Reset);
    assert_eq!(broken(&mut unwritten), Some(Event::Closed(reason)));
    let mut answering = Bench::open(Role::Dialer, Config::default());
    answering.take(&Frame::close(BYE));
    assert_eq!(broken(&mut answering), Some(Event::Closed(CloseReason::Peer(BYE, None))));
}

/// LW-7.2: a REPLY may be given as long as the answer to CLOSE waits; and no CREDIT goes out any more.
#[test]
fn only_replies_and_pushes_go_in_front_of_the_answer() {
    let config = Config { commit_limit: 1, ..super::smallest() };
    let mut bench = Bench::open(Role::Acceptor, config);
    bench.take(&Frame::push(b"1"));
    let token = bench.push_token();
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    bench.connection.push(bench.now, Message::new(1, "in front of CLOSE")).unwrap();
    bench.take(&Frame::close(BYE));
    bench.connection.release(bench.now, token);
    bench.answer(request, b"reply");
    assert_eq!(kinds(&bench.frames()), [Kind::Push, Kind::Reply, Kind::Close]);
}

/// LW-7.4: output that makes no progress ends a close as it ends everything.
#[test]
fn a_close_that_cannot_be_written_is_given_up() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    close(&mut bench, BYE);
    bench.pass(30 * SECOND);
    assert!(bench.connection.is_closed());
    assert_eq!(bench.events().len(), 1);
}
