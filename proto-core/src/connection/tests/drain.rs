//! Orderly ends: no further calls, those in flight are served, then CLOSE.

use super::{BOTH, Bench, Frame, Pair, SECOND, id, in_pieces, kinds, outcomes, plain};
use crate::config::Config;
use crate::connection::{Role, Timer};
use crate::error::{CloseReason, Delivery, Limit, Refusal, TransportError};
use crate::event::{Event, Message, Outcome, Timeout};
use crate::wire::{Capabilities, CloseCode, CloseInfo, Kind, PREFACE, StatusCode};

const WHY: CloseCode = CloseCode::GOING_AWAY;
const OTHER: CloseCode = CloseCode(0x8000_0001);

fn drain(bench: &mut Bench) {
    bench.connection.drain(bench.now, WHY, CloseInfo::default(), 60 * SECOND);
}

fn refusal(bench: &mut Bench) -> Option<Refusal> {
    let called = bench.connection.call(bench.now, Message::new(7, ""), Timeout::Never);
    called.err().map(|refused| refused.refusal)
}

/// LW-7.9, LW-7.11: with nothing in flight, both say END, then both close with the code of the DRAIN.
#[test]
fn an_idle_connection_is_drained_at_once() {
    for own in [true, false] {
        let mut pair = Pair::open(Config::default(), Config::default());
        drain(if own { &mut pair.dialer } else { &mut pair.acceptor });
        pair.carry();
        let (asked, answered) =
            if own { (&mut pair.dialer, &mut pair.acceptor) } else { (&mut pair.acceptor, &mut pair.dialer) };
        assert_eq!((asked.events(), answered.events()), ([].into(), [Event::Draining(WHY)].into()));
        let reasons = pair.end();
        let (asked, answered) = if own { reasons } else { (reasons.1, reasons.0) };
        assert_eq!((asked, answered), (CloseReason::Local(WHY), CloseReason::Peer(WHY, None)));
    }
}

/// LW-7.9, LW-7.10: whoever drains says so at once, and END behind the last REQUEST it had accepted, fragments and all;
/// the application's calls are refused from then on, its pushes are not.
#[test]
fn end_stands_behind_the_last_request() {
    for role in BOTH {
        let mut bench = Bench::open(role, in_pieces());
        bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
        bench.call(&[1; 10_000]);
        bench.call(b"last");
        drain(&mut bench);
        assert!(bench.connection.is_draining() && !bench.connection.is_open());
        assert_eq!(refusal(&mut bench), Some(Refusal::Draining));
        bench.connection.push(bench.now, Message::new(1, "taken")).unwrap();
        let sent = bench.frames();
        let request = Kind::Request;
        let expected = [Kind::Push, Kind::Drain, request, request, request, request, Kind::Drain, Kind::Push];
        assert_eq!(kinds(&sent), expected);
        assert_eq!((&sent[1], &sent[6]), (&Frame::drain(WHY), &Frame::end(WHY)));
        // Asked again, nothing is said again.
        drain(&mut bench);
        assert_eq!(bench.frames(), []);
    }
}

/// LW-7.10: whoever gets DRAIN tells its application, says END behind its own last REQUEST, and takes no further calls.
#[test]
fn a_drain_is_answered_by_end() {
    for end in [true, false] {
        let mut bench = Bench::open(Role::Acceptor, in_pieces());
        bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
        let call = bench.call(b"last");
        bench.take(&if end { Frame::end(WHY) } else { Frame::drain(WHY) });
        assert_eq!(bench.event(), Event::Draining(WHY));
        assert_eq!(refusal(&mut bench), Some(Refusal::Draining));
        let sent = bench.frames();
        assert_eq!(kinds(&sent), [Kind::Push, Kind::Drain, Kind::Request, Kind::Drain]);
        assert_eq!((&sent[1], &sent[3]), (&Frame::drain(WHY), &Frame::end(WHY)));
        bench.take(&Frame::reply(call.sequence(), b"served"));
        assert!(matches!(bench.event(), Event::Ended { outcome: Outcome::Reply { .. }, .. }));
        if !end {
            bench.take(&Frame::end(OTHER));
        }
        assert_eq!(bench.frames(), [], "whoever wanted the drain closes (LW-7.11)");
        bench.take(&Frame::close(WHY));
        assert_eq!(bench.frames(), [Frame::close(WHY)]);
        assert_eq!(bench.end(), CloseReason::Peer(WHY, None));
    }
}

/// LW-7.10: requests that arrive before the peer's END are served as always, and pushes are taken to the end.
/// LW-7.11: CLOSE comes when no call is in flight either way, and not before both have said END.
#[test]
fn calls_are_served_to_the_end() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    let call = bench.call(b"ours");
    drain(&mut bench);
    assert_eq!(bench.frames()[1..], [Frame::end(WHY)]);
    bench.take(&Frame::request(id(1, 0), b"theirs"));
    bench.take(&Frame::drain(OTHER));
    bench.take(&Frame::push(b"news"));
    bench.take(&Frame::request(id(1, 1), b"last"));
    bench.take(&Frame::end(OTHER));
    bench.take(&Frame::push(b"still"));
    let mut events = bench.events();
    assert_eq!(events.len(), 4);
    let (Some(Event::Push { token: two, .. }), Some(Event::Request { id: last, .. })) =
        (events.pop(), events.pop())
    else {
        panic!("no last request")
    };
    let (Some(Event::Push { token: one, .. }), Some(Event::Request { id: first, .. })) =
        (events.pop(), events.pop())
    else {
        panic!("no first request")
    };
    bench.connection.release(bench.now, one);
    bench.connection.release(bench.now, two);
    bench.answer(first, b"1");
    bench.take(&Frame::reply(call.sequence(), b"done"));
    assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b"1")], "one is in flight");
    bench.answer(last, b"2");
    assert_eq!(bench.frames(), [Frame::reply(id(1, 1), b"2"), Frame::close(WHY)]);
    assert_eq!(outcomes(&bench.events()).len(), 1);
    assert_eq!(bench.end(), CloseReason::Local(WHY));
}

/// LW-7.11: a REQUEST in fragments and a REPLY in fragments are calls in flight to their last frame.
#[test]
fn fragments_hold_a_drain() {
    let mut bench = Bench::open(Role::Acceptor, in_pieces());
    let parts = Frame::request(id(1, 0), b"request").cut(&[3]);
    bench.take(&parts[0]);
    drain(&mut bench);
    bench.frames();
    bench.feed(&super::stream(&parts[1..]));
    bench.take(&Frame::end(WHY));
    let request = bench.request();
    bench.answer(request, &[1; 10_000]);
    assert_eq!(kinds(&bench.frames()), [Kind::Reply, Kind::Reply, Kind::Reply, Kind::Close]);
    // A caller that gave up waits for the end all the same: its slot is taken.
    let mut bench = Bench::open(Role::Dialer, Config::default());
    let call = bench.call(b"");
    bench.frames();
    drain(&mut bench);
    bench.take(&Frame::end(WHY));
    bench.connection.cancel(bench.now, call);
    assert_eq!(bench.frames(), [Frame::end(WHY), Frame::cancel(call.sequence())]);
    bench.take(&Frame::status(call.sequence(), StatusCode::CANCELLED));
    assert_eq!(bench.frames(), [Frame::close(WHY)]);
}

/// LW-7.9, LW-7.11: both may want it at once; each closes with its own code, and nothing is lost.
#[test]
fn both_sides_may_drain_at_once() {
    let mut pair = Pair::open(in_pieces(), in_pieces());
    let calls = [pair.dialer.call(&[1; 9000]), pair.acceptor.call(&[2; 9000])];
    drain(&mut pair.dialer);
    pair.acceptor.connection.drain(pair.acceptor.now, OTHER, CloseInfo::default(), 30 * SECOND);
    pair.carry();
    for (bench, call) in [(&mut pair.dialer, calls[1]), (&mut pair.acceptor, calls[0])] {
        let request = bench.request();
        assert_eq!(request.sequence(), call.sequence());
        bench.answer(request, &[3; 9000]);
    }
    pair.carry();
    for bench in [&mut pair.dialer, &mut pair.acceptor] {
        let events = bench.events();
        assert!(
            matches!(outcomes(&events)[..], [Outcome::Reply { body, .. }] if body.len() == 9000),
            "{events:?}"
        );
    }
    assert_eq!(pair.end(), (CloseReason::Local(WHY), CloseReason::Local(OTHER)));
}

/// LW-7.9: a REQUEST or a DRAIN behind END is UNEXPECTED_FRAME, and so is a second DRAIN without END.
#[test]
fn nothing_new_comes_behind_end() {
    let (drain_frame, end) = (Frame::drain(WHY), Frame::end(WHY));
    let wrong = [
        (&end, Frame::request(id(1, 1), b"")),
        (&end, Frame::request(id(1, 1), b"!").first_of(9)),
        (&end, drain_frame.clone()),
        (&end, end.clone()),
        (&drain_frame, drain_frame.clone()),
    ];
    for own in [false, true] {
        for (first, second) in &wrong {
            let mut bench = Bench::open(Role::Acceptor, Config::default());
            bench.take(&Frame::request(id(1, 0), b"keeps it from its end"));
            if own {
                drain(&mut bench);
            }
            bench.take(first);
            bench.frames();
            let _running = bench.events();
            bench.assert_open_to_drain();
            bench.take(second);
            bench.assert_failed(
                CloseCode::UNEXPECTED_FRAME,
                &alloc::format!("{:?} behind {:?}", second.header, first.header),
            );
        }
    }
    // END behind DRAIN is how it goes, and the continuation of a REQUEST is a REQUEST.
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    let parts = Frame::request(id(1, 0), b"body").cut(&[1]);
    bench.take(&parts[0]);
    bench.take(&drain_frame);
    bench.take(&parts[1]);
    bench.take(&end);
    bench.frames();
    bench.events();
    bench.assert_open_to_drain();
    bench.take(&parts[2]);
    bench.assert_failed(CloseCode::UNEXPECTED_FRAME, "a continuation behind END");
}

impl Bench {
    #[track_caller]
    fn assert_open_to_drain(&self) {
        assert!(self.connection.is_draining(), "{:?}", self.connection.close_reason());
    }
}

/// A drain has a deadline, the earliest that was asked for; what is left then is cut off by a close.
#[test]
fn a_drain_has_a_deadline() {
    for (first, second, at) in [(30, 10, 10), (10, 30, 10)] {
        let mut bench = Bench::open(Role::Dialer, Config::default());
        let call = bench.call(b"never answered");
        for within in [first, second] {
            bench.connection.drain(bench.now, WHY, CloseInfo::with_text("bye"), within * SECOND);
        }
        bench.frames();
        bench.pass(at * SECOND - SECOND / 1000);
        assert_eq!(bench.frames(), []);
        assert_eq!(bench.connection.poll_timeout().unwrap().timer, Timer::Drain);
        bench.pass(SECOND / 1000);
        let sent = bench.frames();
        assert_eq!((kinds(&sent), sent[0].header.code), ([Kind::Close].into(), WHY.0));
        assert_eq!(CloseInfo::parse(&sent[0].payload).text.as_deref(), Some("bye"));
        bench.take(&Frame::close(WHY));
        let lost = Event::Ended { call, outcome: Outcome::Lost(Delivery::MaybeSent) };
        assert_eq!(bench.events(), [lost]);
        assert_eq!(bench.end(), CloseReason::Local(WHY));
    }
    // Whoever is only asked sets no limit, until it wants one itself.
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::request(id(1, 0), b""));
    let _running = bench.request();
    bench.take(&Frame::end(WHY));
    bench.frames();
    assert_eq!(bench.connection.poll_timeout(), None);
    bench.connection.drain(bench.now, OTHER, CloseInfo::default(), 5 * SECOND);
    assert_eq!(bench.frames(), []);
    bench.pass(5 * SECOND);
    assert_eq!(bench.frames(), [Frame::close(OTHER)]);
    assert_eq!(bench.end(), CloseReason::Local(OTHER));
}

/// LW-7.12: to a peer without DRAIN none is sent; its REQUESTs are answered with DRAINING, and CLOSE comes when no call is in
/// flight.
#[test]
fn a_peer_without_drain_is_closed_when_nothing_is_in_flight() {
    let able = Capabilities::SUPPORTED;
    let unable = plain().capabilities;
    for (own, peer) in [(able, unable), (unable, able), (unable, unable)] {
        let of = |capabilities| Config { capabilities, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, of(own), &of(peer));
        let call = bench.call(b"");
        bench.take(&Frame::request(id(1, 0), b"came before"));
        let request = bench.request();
        drain(&mut bench);
        assert_eq!(kinds(&bench.frames()), [Kind::Request]);
        assert_eq!(refusal(&mut bench), Some(Refusal::Draining));
        bench.take(&Frame::request(id(1, 1), b"comes behind"));
        assert_eq!(bench.frames(), [Frame::status(id(1, 1), StatusCode::DRAINING)]);
        bench.take(&Frame::reply(call.sequence(), b""));
        assert_eq!((bench.frames().len(), outcomes(&bench.events()).len()), (0, 1));
        bench.answer(request, b"served");
        assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b"served"), Frame::close(WHY)]);
        assert_eq!(bench.end(), CloseReason::Local(WHY));
    }
    // With nothing in flight, it is a close.
    let mut bench = Bench::open_with(Role::Dialer, Config::default(), &plain());
    drain(&mut bench);
    assert_eq!(bench.frames(), [Frame::close(WHY)]);
}

/// LW-7.11, LW-12.1: a drain ends early by a close of either side, by an error, and with the stream.
#[test]
fn a_drain_may_end_early() {
    for own in [true, false] {
        let draining = || {
            let mut bench = Bench::open(Role::Dialer, Config::default());
            bench.take(&Frame::request(id(1, 0), b""));
            let _running = bench.request();
            if own {
                drain(&mut bench);
            } else {
                bench.take(&Frame::end(WHY));
            }
            assert_eq!(bench.frames(), [Frame::end(WHY)]);
            bench.events();
            bench
        };
        let mut closed = draining();
        closed.connection.close(closed.now, OTHER, CloseInfo::default());
        assert_eq!(closed.frames(), [Frame::close(OTHER)]);
        assert_eq!(closed.end(), CloseReason::Local(OTHER));

        for code in [WHY, OTHER] {
            let mut answered = draining();
            answered.take(&Frame::close(code));
            assert_eq!(answered.frames(), [Frame::close(code)]);
            // A call is in flight: whatever the peer's code is, this is no drain's end.
            assert_eq!(answered.end(), CloseReason::Peer(code, None));
        }

        let mut wrong = draining();
        wrong.take(&Frame::example(Kind::Welcome));
        wrong.assert_failed(CloseCode::UNEXPECTED_FRAME, "an error while draining");

        assert_eq!(draining().end(), CloseReason::Transport(TransportError::Eof));
        let mut broken = draining();
        broken.connection.handle_transport_error(broken.now, TransportError::Reset);
        assert_eq!(broken.event(), Event::Closed(CloseReason::Transport(TransportError::Reset)));
        let mut aborted = draining();
        aborted.connection.abort(aborted.now, OTHER);
        assert_eq!(aborted.event(), Event::Closed(CloseReason::Local(OTHER)));
        let mut stalled = draining();
        stalled.connection.push(stalled.now, Message::new(1, "")).unwrap();
        stalled.pass(30 * SECOND);
        assert_eq!(stalled.event(), Event::Closed(CloseReason::TimedOut(Limit::WriteStall)));
        for mut ended in [broken, aborted] {
            drain(&mut ended);
            assert_eq!((ended.frames().len(), ended.connection.held_bytes()), (0, 0));
        }
    }
}

/// LW-12.1: a drain of a handshake is a close.
#[test]
fn a_handshake_is_not_drained_but_closed() {
    let config = Config::default().share().unwrap();
    for mut bench in [
        Bench::handshaking(Role::Dialer, &config),
        Bench::handshaking(Role::Acceptor, &config),
        Bench::deciding(&config),
    ] {
        drain(&mut bench);
        assert_eq!(bench.frames().pop(), Some(Frame::close(WHY)));
        assert_eq!(bench.end(), CloseReason::Local(WHY));
    }
}

/// LW-7.10: calls that stood in line when the drain began are still taken in, and END stands behind them; none comes behind
/// END, whatever the owner says then.
#[test]
fn calls_in_line_are_taken_in() {
    for available in [true, false] {
        let capabilities = if available { Capabilities::SUPPORTED } else { Capabilities::default() };
        let mut bench = Bench::open(Role::Dialer, Config { capabilities, ..Config::default() });
        bench.connection.hold_calls(bench.now, true);
        drain(&mut bench);
        assert_eq!(bench.frames(), if available { [Frame::drain(WHY)].into() } else { alloc::vec![] });
        let call = bench.call(b"stood in line");
        bench.take(&Frame::request(id(1, 0), b"").announcing(0));
        let served = bench.events().into_iter().find_map(|event| match event {
            Event::Request { id, .. } => Some(id),
            _ => None,
        });
        assert_eq!(served.is_some(), available);
        if let Some(request) = served {
            bench.answer(request, b"");
        }
        assert_eq!(kinds(&bench.frames()), [Kind::Request, Kind::Reply]);
        bench.connection.hold_calls(bench.now, false);
        assert_eq!(bench.frames(), if available { [Frame::end(WHY)].into() } else { alloc::vec![] });
        bench.connection.hold_calls(bench.now, available);
        assert_eq!(refusal(&mut bench), Some(Refusal::Draining), "behind END");
        bench.connection.hold_calls(bench.now, false);
        if available {
            bench.take(&Frame::end(WHY));
        }
        bench.take(&Frame::reply(call.sequence(), b""));
        assert_eq!(bench.frames(), [Frame::close(WHY)]);
    }
}

/// What the owner has said during the handshake holds behind it.
#[test]
fn a_line_that_was_there_before_the_handshake_is_taken_in() {
    let mut bench = Bench::handshaking(Role::Dialer, &Config::default().share().unwrap());
    bench.connection.hold_calls(bench.now, true);
    let peer = Config { heartbeat: None, ..Config::default() };
    bench.feed(&[&PREFACE[..], &Frame::hello(Kind::Welcome, &peer.hello()).bytes()].concat());
    bench.frames();
    drain(&mut bench);
    assert_eq!(bench.frames(), [Frame::drain(WHY)]);
    bench.call(b"stood in line");
    assert_eq!(kinds(&bench.frames()), [Kind::Request]);
}

/// LW-7.11: who is asked waits for the peer's CLOSE, but not for ever when nothing is in flight any more.
#[test]
fn a_peer_that_wanted_a_drain_and_never_closes_is_closed() {
    let mut bench = Bench::open(Role::Dialer, Config { drain_timeout: 5 * SECOND, ..Config::default() });
    let call = bench.call(b"last");
    bench.take(&Frame::end(WHY));
    bench.frames();
    bench.pass(60 * SECOND);
    assert_eq!(bench.frames(), [], "a call is in flight");
    bench.take(&Frame::reply(call.sequence(), b"served"));
    bench.pass(5 * SECOND - core::time::Duration::from_nanos(1));
    assert_eq!(bench.frames(), []);
    bench.pass(core::time::Duration::from_nanos(1));
    assert_eq!(bench.frames(), [Frame::close(WHY)]);
    assert_eq!(bench.end(), CloseReason::Local(WHY));
}
