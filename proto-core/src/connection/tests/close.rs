//! The way to the end when nobody does wrong: CLOSE from either side, and the ends of streams.

use super::{BOTH, Bench, Frame, Pair, SECOND, id, kinds, outcomes};
use crate::config::Config;
use crate::connection::{Role, Timer};
use crate::error::{CloseReason, Delivery, Limit, Refusal, TransportError};
use crate::event::{Event, Message, Outcome, Timeout};
use crate::wire::{CloseCode, CloseInfo, Extensions, Kind, StatusCode};

const BYE: CloseCode = CloseCode(0x8000_0001);

fn close(bench: &mut Bench, code: CloseCode) {
    bench.connection.close(bench.now, code, CloseInfo::default());
}

/// LW-7.1: CLOSE stands behind all messages that were accepted, and nothing stands behind it.
#[test]
fn close_comes_behind_all_that_was_accepted() {
    for commit_limit in [1, 128 << 10] {
        let mut bench = Bench::open(Role::Dialer, Config { commit_limit, ..Config::default() });
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.take(&Frame::ping(7));
        bench.call(b"call");
        bench.connection.push(bench.now, Message::new(1, "push")).unwrap();
        bench.answer(request, b"reply");
        close(&mut bench, BYE);
        close(&mut bench, CloseCode::NORMAL);
        let refused = bench.connection.push(bench.now, Message::new(1, "late")).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Closed);
        let sent = bench.frames();
        assert_eq!(kinds(&sent), [Kind::Pong, Kind::Request, Kind::Push, Kind::Reply, Kind::Close]);
        assert_eq!(sent[4].header.code, BYE.0);
        bench.take(&Frame::ping(8));
        bench.take(&Frame::request(id(2, 0), b""));
        assert_eq!(bench.frames(), [], "CLOSE is the last frame");
        assert!(bench.connection.wants_shutdown() && bench.connection.wants_read());
        assert_eq!(bench.end(), CloseReason::Local(BYE));
    }
}

/// LW-7.1: bytes behind a CLOSE are ignored, whatever they are.
#[test]
fn bytes_behind_a_close_are_ignored() {
    for role in BOTH {
        let mut bench = Bench::open(role, Config::default());
        let bytes =
            [&Frame::close(BYE).bytes()[..], &Frame::push(b"late").bytes(), b"GET / HTTP/1.1"].concat();
        bench.feed(&bytes);
        bench.feed(&bytes);
        assert_eq!(bench.frames(), [Frame::close(BYE)]);
        assert_eq!(bench.events(), []);
        assert_eq!(bench.end(), CloseReason::Peer(BYE, None));
    }
}

/// LW-7.2: whoever receives CLOSE sends its REPLYs and PUSHes, gives up its waiting REQUESTs, and answers with the code
/// that it received and no fields.
#[test]
fn a_close_is_answered_behind_replies_and_pushes() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    bench.take(&Frame::request(id(1, 0), b""));
    let request = bench.request();
    let committed = bench.call(b"has its place");
    let waiting = bench.call(b"waits");
    bench.connection.push(bench.now, Message::new(1, "push")).unwrap();
    bench.answer(request, b"reply");
    let mut info = alloc::vec::Vec::new();
    CloseInfo::with_text("enough").emit(&mut info);
    bench.take(&Frame::control(Kind::Close, BYE.0, &info));
    let sent = bench.frames();
    assert_eq!(kinds(&sent), [Kind::Request, Kind::Push, Kind::Reply, Kind::Close]);
    assert_eq!(sent[3], Frame::close(BYE));
    let lost = |call, delivery| Event::Ended { call, outcome: Outcome::Lost(delivery) };
    let expected = [lost(committed, Delivery::MaybeSent), lost(waiting, Delivery::NotSent)];
    assert_eq!(bench.events(), expected);
    assert_eq!(bench.end(), CloseReason::Peer(BYE, Some(CloseInfo::with_text("enough").into())));
}

/// LW-7.2: calls that are running are given up: a reply that is made after CLOSE was answered is not sent.
#[test]
fn running_calls_end_with_the_close() {
    let mut pair = Pair::open(Config::default(), Config::default());
    pair.dialer.call(b"");
    pair.carry();
    let request = pair.acceptor.request();
    close(&mut pair.dialer, BYE);
    pair.carry();
    let now = pair.acceptor.now;
    let reply =
        pair.acceptor.connection.reply(now, request, StatusCode::OK, Extensions::none(), "late".into());
    assert_eq!(reply, Err(Refusal::Closed));
    assert_eq!(outcomes(&pair.dialer.events()), [&Outcome::Lost(Delivery::MaybeSent)]);
    assert_eq!(pair.end(), (CloseReason::Local(BYE), CloseReason::Peer(BYE, None)));
}

/// LW-7.4: after its CLOSE a side shuts down writing and reads to the end of the stream, 5 s at the most after its CLOSE was
/// written.
#[test]
fn the_end_of_the_stream_is_waited_for_but_not_for_ever() {
    for answered in [false, true] {
        let mut bench = Bench::open(Role::Dialer, Config::default());
        close(&mut bench, BYE);
        assert!(!bench.connection.wants_shutdown(), "CLOSE is not written");
        bench.pass(3 * SECOND);
        bench.frames();
        assert!(bench.connection.wants_shutdown());
        if answered {
            bench.take(&Frame::close(BYE));
        }
        let deadline = bench.connection.poll_timeout().unwrap();
        assert_eq!((deadline.at, deadline.timer), (bench.now + 5 * SECOND, Timer::Closing));
        for _ in 0..4 {
            bench.pass(SECOND);
            bench.feed(b"whatever");
        }
        assert!(!bench.connection.is_closed() && bench.connection.wants_read());
        bench.pass(SECOND);
        assert_eq!(bench.events().pop(), Some(Event::Closed(CloseReason::Local(BYE))));
        assert!(bench.connection.is_closed() && !bench.connection.wants_read());
    }
}

/// LW-7.4: writing what stands in front of CLOSE has an end, though a peer that takes a byte now and then makes progress.
#[test]
fn a_peer_that_takes_a_byte_now_and_then_cannot_hold_a_close_for_ever() {
    let cut_short = CloseReason::TimedOut(Limit::Close);
    assert_eq!(cut_short.code(), Some(CloseCode::WRITE_STALLED));
    for (peers, reason) in [(false, cut_short), (true, CloseReason::Peer(BYE, None))] {
        let mut bench =
            Bench::open(Role::Dialer, Config { close_timeout: 100 * SECOND, ..Config::default() });
        bench.connection.push(bench.now, Message::new(1, vec![0; 1 << 20])).unwrap();
        if peers {
            bench.take(&Frame::close(BYE));
        } else {
            close(&mut bench, BYE);
        }
        for _ in 0..5 {
            assert_eq!(bench.events(), [], "it has not ended");
            bench.connection.advance_transmit(bench.now, 1);
            bench.pass(20 * SECOND);
        }
        assert_eq!(bench.event(), Event::Closed(reason));
    }
}

/// LW-7.4: the end of the stream behind the peer's CLOSE does not end this side's output.
#[test]
fn output_outlives_the_peers_stream() {
    let mut bench = Bench::open(Role::Acceptor, Config { commit_limit: 100, ..Config::default() });
    for number in 0u8..50 {
        bench.connection.push(bench.now, Message::new(1, vec![number; 50])).unwrap();
    }
    bench.take(&Frame::close(BYE));
    bench.connection.handle_eof(bench.now);
    assert!(!bench.connection.is_closed() && !bench.connection.wants_read());
    let sent = bench.frames();
    assert_eq!((sent.len(), &sent[50]), (51, &Frame::close(BYE)));
    assert_eq!(bench.event(), Event::Closed(CloseReason::Peer(BYE, None)));
}

/// LW-7.6: a stream that ends or breaks without a CLOSE is a lost connection, and what had left is said of every call.
#[test]
fn a_stream_that_ends_without_close_is_lost() {
    for error in [None, Some(TransportError::Reset), Some(TransportError::BrokenPipe)] {
        for role in BOTH {
            let mut bench = Bench::open(role, Config { commit_limit: 1, ..Config::default() });
            let left = bench.call(b"left");
            bench.frames();
            let half = bench.call(b"half of it left");
            let waiting = bench.call(b"waits");
            bench.connection.advance_transmit(bench.now, 20);
            match error {
                None => bench.connection.handle_eof(bench.now),
                Some(error) => bench.connection.handle_transport_error(bench.now, error),
            }
            let lost = |call, delivery| Event::Ended { call, outcome: Outcome::Lost(delivery) };
            let reason = CloseReason::Transport(error.unwrap_or(TransportError::Eof));
            let expected = [
                lost(left, Delivery::MaybeSent),
                lost(half, Delivery::NotSent),
                lost(waiting, Delivery::NotSent),
                Event::Closed(reason),
            ];
            assert_eq!(bench.events(), expected);
            assert_eq!((bench.frames().len(), bench.connection.held_bytes()), (0, 0));
        }
    }
    let mut handed = Bench::open(Role::Dialer, Config::default());
    handed.call(b"in the writer's hands");
    let length = handed.connection.transmit_len();
    handed.connection.begin_transmit(length);
    handed.connection.handle_eof(handed.now);
    assert_eq!(outcomes(&handed.events()), [&Outcome::Lost(Delivery::MaybeSent)]);
}

/// LW-7.6: a handshake that ends without a CLOSE is lost too.
#[test]
fn a_handshake_may_be_cut_off() {
    let config = Config::default().share().unwrap();
    for bench in [
        Bench::handshaking(Role::Dialer, &config),
        Bench::handshaking(Role::Acceptor, &config),
        Bench::deciding(&config),
    ] {
        assert_eq!(bench.end(), CloseReason::Transport(TransportError::Eof));
    }
}

/// LW-7.8: a CLOSE whose fields cannot be read is a CLOSE without fields: its code counts.
/// LW-10.1: an unknown close code ends the connection like any other.
#[test]
fn an_unreadable_close_counts_by_its_code() {
    for payload in [&[0xff; 7][..], &[0, 32, 0, 1], &[0, 35, 0, 1, 0], &[0, 32, 0, 1, 0xff]] {
        for code in [CloseCode::NORMAL, CloseCode(0xabcd), CloseCode(u32::MAX)] {
            let mut bench = Bench::open(Role::Dialer, Config::default());
            bench.take(&Frame::control(Kind::Close, code.0, payload));
            assert_eq!(bench.frames(), [Frame::close(code)]);
            assert_eq!(bench.end(), CloseReason::Peer(code, None));
        }
    }
}

/// LW-12.1: `abort` ends the connection at once, from every state, and nothing more is sent.
#[test]
fn abort_ends_at_once() {
    let config = Config::default().share().unwrap();
    let mut closing = Bench::open(Role::Dialer, Config::default());
    close(&mut closing, CloseCode::NORMAL);
    let mut failed = Bench::open(Role::Dialer, Config::default());
    failed.take(&Frame::example(Kind::Hello));
    let mut open = Bench::open(Role::Acceptor, Config::default());
    open.call(b"");
    for mut bench in
        [Bench::handshaking(Role::Dialer, &config), Bench::deciding(&config), closing, failed, open]
    {
        bench.connection.abort(bench.now, CloseCode::INTERNAL);
        assert!(bench.connection.is_closed());
        assert_eq!(bench.frames(), []);
        let last = bench.events().pop();
        assert_eq!(last, Some(Event::Closed(CloseReason::Local(CloseCode::INTERNAL))));
    }
}

/// LW-12.1: from Closed nothing leads back: every method may be called, and nothing changes.
#[test]
fn a_closed_connection_is_inert() {
    for role in BOTH {
        let mut bench = Bench::open(role, Config::default());
        bench.take(&Frame::push(b""));
        bench.take(&Frame::request(id(1, 0), b""));
        let call = bench.call(b"");
        bench.connection.handle_eof(bench.now);
        let mut events = bench.events();
        let closed = events.pop();
        let (mut token, mut request) = (None, None);
        for event in events {
            match event {
                Event::Push { token: held, .. } => token = Some(held),
                Event::Request { id, .. } => request = Some(id),
                _ => {}
            }
        }
        let reason = CloseReason::Transport(TransportError::Eof);
        assert_eq!(closed, Some(Event::Closed(reason.clone())));
        let counted = *bench.connection.counters();

        let (connection, now) = (&mut bench.connection, bench.now + 1000 * SECOND);
        let mut bytes = Frame::ping(1).bytes();
        connection.handle_input(now, &mut bytes);
        connection.handle_eof(now);
        connection.handle_transport_error(now, TransportError::Reset);
        connection.handle_timeout(now);
        connection.accept(now);
        connection.refuse(now, CloseCode::REFUSED, CloseInfo::default());
        connection.close(now, BYE, CloseInfo::default());
        connection.abort(now, BYE);
        connection.begin_transmit(100);
        connection.advance_transmit(now, 100);
        connection.release(now, token.unwrap());
        let reply = connection.reply(now, request.unwrap(), StatusCode::OK, Extensions::none(), "".into());
        assert_eq!(reply, Err(Refusal::Closed));
        assert_eq!(connection.cancel(now, call), None);
        let refused = connection.call(now, Message::new(1, ""), Timeout::Default).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Closed);
        assert_eq!(connection.push(now, Message::new(1, "")).unwrap_err().refusal, Refusal::Closed);

        assert_eq!((connection.transmit_len(), connection.transmit().count()), (0, 0));
        assert_eq!((connection.poll_event(), connection.poll_timeout()), (None, None));
        assert!(connection.is_closed() && connection.wants_shutdown());
        assert!(!connection.is_open() && !connection.wants_read());
        assert_eq!(connection.close_reason(), Some(&reason));
        assert_eq!((connection.held_bytes(), connection.calls_in_flight()), (0, 0));
        assert_eq!(connection.requests_in_flight(), 0);
        assert_eq!(*connection.counters(), counted);
    }
}
