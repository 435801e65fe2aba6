//! Deadlines of calls, on the caller's side and on the callee's.

use core::time::Duration;

use super::{Bench, Frame, Pair, SECOND, id, kinds, outcomes, plain};
use crate::config::Config;
use crate::connection::{Role, Timer};
use crate::error::Delivery;
use crate::event::{CallId, Event, Message, Outcome, Timeout};
use crate::wire::{ExtensionBlock, Kind, StatusCode};

const MILLI: Duration = Duration::from_millis(1);

fn call(bench: &mut Bench, timeout: Timeout) -> CallId {
    bench.connection.call(bench.now, Message::new(7, "body"), timeout).unwrap()
}

/// What the REQUEST that was sent says of its deadline.
fn sent_deadline(bench: &mut Bench) -> Option<u32> {
    let frames = bench.frames();
    assert_eq!(kinds(&frames), [Kind::Request]);
    if !frames[0].header.flags.contains(crate::wire::Flags::EXT) {
        return None;
    }
    ExtensionBlock::parse(Kind::Request, &frames[0].payload).unwrap().deadline_millis
}

/// LW-4.10: a REQUEST says how long its caller will still wait, in milliseconds and rounded up; absent means for ever.
#[test]
fn a_request_says_how_long_its_caller_waits() {
    let table = [
        (Timeout::Never, None),
        (Timeout::Default, Some(10_000)),
        (Timeout::After(Duration::from_nanos(1)), Some(1)),
        (Timeout::After(MILLI), Some(1)),
        (Timeout::After(MILLI + Duration::from_nanos(1)), Some(2)),
        (Timeout::After(Duration::MAX), Some(u32::MAX)),
    ];
    for (timeout, expected) in table {
        let mut bench = Bench::open(Role::Dialer, Config::default());
        call(&mut bench, timeout);
        assert_eq!(sent_deadline(&mut bench), expected, "{timeout:?}");
    }
    let mut hopeless = Bench::open(Role::Dialer, Config::default());
    let call_id = call(&mut hopeless, Timeout::After(Duration::ZERO));
    let outcome = Outcome::TimedOut(Delivery::NotSent);
    assert_eq!((hopeless.frames().len(), hopeless.event()), (0, Event::Ended { call: call_id, outcome }));
    let mut patient = Bench::open(Role::Dialer, Config { call_timeout: None, ..Config::default() });
    call(&mut patient, Timeout::Default);
    assert_eq!(sent_deadline(&mut patient), None);
}

/// LW-4.10: the time that a request waits in the queue is taken off.
#[test]
fn a_deadline_is_counted_from_the_place_in_the_stream() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    bench.connection.push(bench.now, Message::new(1, "in front of it")).unwrap();
    call(&mut bench, Timeout::After(SECOND));
    bench.pass(300 * MILLI + Duration::from_nanos(1));
    let pushed = bench.connection.transmit_len();
    bench.connection.advance_transmit(bench.now, pushed);
    // Written later still, but its place has been taken now.
    bench.pass(300 * MILLI);
    assert_eq!(sent_deadline(&mut bench), Some(700));
}

/// LW-4.10: the callee's clock starts at the frame's header, by its own time; a long body does not win time.
#[test]
fn the_callees_clock_starts_at_the_header() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    let frame = Frame::request(id(1, 0), b"body").deadline(5000).bytes();
    bench.feed(&frame[..15]);
    bench.pass(SECOND);
    bench.feed(&frame[15..16]);
    let at_header = bench.now;
    bench.pass(SECOND);
    bench.feed(&frame[16..]);
    let Event::Request { deadline, .. } = bench.event() else { panic!("no request") };
    assert_eq!(deadline, Some(at_header + 5 * SECOND));
    bench.take(&Frame::request(id(1, 1), b""));
    assert!(matches!(bench.event(), Event::Request { deadline: None, .. }));
}

/// LW-4.11: a request is not handed to the application after its deadline, but answered with DEADLINE_EXPIRED.
/// LW-4.10: deadline 0 has passed already.
#[test]
fn expired_requests_are_answered_unseen() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    for (slot, millis) in [(0, 0), (1, 1000), (2, 1001)] {
        bench.take(&Frame::request(id(1, slot), b"").deadline(millis));
    }
    bench.pass(SECOND);
    assert_eq!(bench.request().sequence(), id(1, 2));
    let expired = |slot| {
        let mut reply = Frame::reply(id(1, slot), b"");
        reply.header.code = StatusCode::DEADLINE_EXPIRED.0;
        reply
    };
    assert_eq!(bench.frames(), [expired(0), expired(1)]);
    assert_eq!(bench.connection.counters().requests_expired, 2);
    assert_eq!(bench.connection.requests_in_flight(), 1);
}

/// LW-4.11: a request that is running when its deadline passes is answered as always.
#[test]
fn a_running_request_outlives_its_deadline() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    bench.take(&Frame::request(id(1, 0), b"").deadline(1));
    let request = bench.request();
    bench.pass(SECOND);
    bench.answer(request, b"late, but done");
    assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b"late, but done")]);
}

/// LW-4.3: a call that ends at its deadline keeps its slot if the peer may have it, and gives it back if not.
#[test]
fn a_deadline_says_whether_the_peer_can_have_the_call() {
    let mut bench = Bench::open_with(Role::Dialer, Config { commit_limit: 1, ..Config::default() }, &plain());
    let (committed, waiting) =
        (call(&mut bench, Timeout::After(SECOND)), call(&mut bench, Timeout::After(SECOND)));
    let deadline = bench.connection.poll_timeout().unwrap();
    assert_eq!((deadline.at, deadline.timer), (bench.now + SECOND, Timer::Call));
    bench.pass(SECOND - Duration::from_nanos(1));
    assert_eq!(bench.events(), [], "too early");
    bench.pass(Duration::from_nanos(1));
    let ended = |call, delivery| Event::Ended { call, outcome: Outcome::TimedOut(delivery) };
    let expected = [ended(committed, Delivery::MaybeSent), ended(waiting, Delivery::NotSent)];
    assert_eq!(bench.events(), expected);
    assert_eq!(bench.connection.calls_in_flight(), 1);
    assert_eq!(bench.connection.counters().calls_timed_out, 2);
    assert_eq!(kinds(&bench.frames()), [Kind::Request], "a request that was not sent is deleted");
    assert!(bench.connection.poll_timeout().is_none());
    bench.take(&Frame::reply(committed.sequence(), b"late"));
    assert_eq!((bench.events().len(), bench.connection.counters().replies_late), (0, 1));
}

/// LW-4.11: both clocks run, and neither needs the other: the caller gives up by itself, the callee too.
#[test]
fn caller_and_callee_give_up_by_their_own_clocks() {
    let mut pair = Pair::open(Config::default(), Config::default());
    call(&mut pair.dialer, Timeout::After(SECOND));
    pair.carry();
    pair.dialer.pass(2 * SECOND);
    pair.acceptor.pass(SECOND);
    assert_eq!(pair.acceptor.events(), []);
    pair.carry();
    assert_eq!(outcomes(&pair.dialer.events()), [&Outcome::TimedOut(Delivery::MaybeSent)]);
    assert_eq!(pair.dialer.connection.calls_in_flight(), 0, "the callee's answer has freed the slot");
}

/// After `handle_timeout`, the next deadline is none or later, and telling the time too often changes nothing.
#[test]
fn time_moves_on_and_never_back() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    for millis in [5, 1, 3, 3, 2] {
        call(&mut bench, Timeout::After(millis * MILLI));
    }
    bench.frames();
    let start = bench.now;
    let mut ended = 0;
    for _ in 0..9 {
        bench.pass(MILLI);
        bench.connection.handle_timeout(start);
        ended += bench.events().len();
        assert!(bench.connection.poll_timeout().is_none_or(|deadline| deadline.at > bench.now));
    }
    assert_eq!(ended, 5);
}
