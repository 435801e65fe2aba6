//! Frames that do not come on.

use core::time::Duration;

use super::{BOTH, Bench, Frame, SECOND, id, kinds};
use crate::config::{Config, ProgressConfig};
use crate::connection::{Role, Timer};
use crate::error::{CloseReason, Limit};
use crate::event::Event;
use crate::wire::{CloseCode, Flags, Kind};

const MILLI: Duration = Duration::from_millis(1);

/// A connection that takes frames of 1 MiB.
fn open(role: Role) -> Bench {
    Bench::open(role, Config { max_frame: 1 << 20, ..Config::default() })
}

/// The same with a frame of which the header and a byte have come.
fn within_a_frame(role: Role) -> Bench {
    let mut bench = open(role);
    bench.take(&Frame::push(&[]).announcing(900_000));
    bench.feed(&[0]);
    bench
}

/// The peer sends so many bytes of a payload each so often, for so long; says after what time it was given up.
fn trickle(bench: &mut Bench, bytes: usize, every: Duration, most: Duration) -> Option<Duration> {
    let start = bench.now;
    while bench.now < start + most {
        bench.now += every;
        bench.feed(&vec![0; bytes]);
        bench.connection.handle_timeout(bench.now);
        if !bench.connection.is_open() {
            return Some(bench.now.saturating_since(start));
        }
    }
    None
}

/// LW-8.4: a frame that trickles ends the connection after two windows, with TOO_SLOW, though the peer goes on.
#[test]
fn a_trickle_is_too_slow() {
    for role in BOTH {
        for (bytes, every) in [(1, SECOND), (1023, SECOND), (1, 5 * SECOND), (100, SECOND / 10)] {
            let mut bench = within_a_frame(role);
            assert_eq!(
                trickle(&mut bench, bytes, every, 60 * SECOND),
                Some(10 * SECOND),
                "{bytes} each {every:?}"
            );
            assert_eq!(bench.connection.close_reason(), Some(&CloseReason::TimedOut(Limit::Progress)));
            bench.assert_failed(CloseCode::TOO_SLOW, "a trickle");
        }
        let mut bench = within_a_frame(role);
        assert_eq!(
            trickle(&mut bench, 1, 29 * SECOND, 600 * SECOND),
            Some(58 * SECOND),
            "pauses count as windows"
        );
        let mut bench = within_a_frame(role);
        assert_eq!(
            trickle(&mut bench, 1024, SECOND, 600 * SECOND),
            None,
            "1,024 bytes per second are enough"
        );
    }
}

/// LW-8.4: it is the same for bytes of a header, of a total, of what is skipped, and of what is read into its own room.
#[test]
fn every_part_of_a_frame_is_judged() {
    let mut header = open(Role::Dialer);
    header.feed(&[0]);
    assert_eq!(trickle(&mut header, 1, SECOND, 14 * SECOND), Some(10 * SECOND));
    let mut total = open(Role::Dialer);
    total.feed(&Frame::request(id(1, 0), b"").with(Flags::MORE).announcing(900_000).bytes());
    assert_eq!(trickle(&mut total, 1, 5 * SECOND, 15 * SECOND), Some(10 * SECOND));
    let mut skipped = open(Role::Dialer);
    let mut unknown = Frame::push(&[]).announcing(900_000).with(Flags::IGNORABLE).bytes();
    unknown[4] = 0x70;
    skipped.feed(&unknown);
    assert_eq!(trickle(&mut skipped, 1, SECOND, 60 * SECOND), Some(10 * SECOND));
    let mut lent = within_a_frame(Role::Dialer);
    for _ in 0..10 {
        lent.assert_open("two windows have not passed");
        lent.now += SECOND;
        assert!(lent.connection.body_space().is_some());
        lent.connection.commit_body(lent.now, 1);
    }
    lent.assert_failed(CloseCode::TOO_SLOW, "a trickle into the room that was lent");
}

/// LW-8.4: a peer that stops for less than 30 s and goes on is not slow, however often; one fast window makes up for a slow
/// one.
#[test]
fn a_pause_is_not_slow() {
    let mut bench = within_a_frame(Role::Acceptor);
    for _ in 0..20 {
        bench.pass(29 * SECOND);
        bench.feed(&[0; 100]);
        bench.assert_open("a pause of 29 s");
        for _ in 0..5 {
            bench.pass(SECOND);
            bench.feed(&[0; 2000]);
        }
        bench.assert_open("and it goes on");
    }
}

/// LW-8.4: nothing at all for 30 s within a frame ends the connection, heartbeats or not; between frames it does not.
#[test]
fn silence_within_a_frame_has_an_end() {
    let mut between = open(Role::Acceptor);
    between.take(&Frame::push(b""));
    between.pass(1000 * SECOND);
    between.assert_open("silence between frames");
    let mut fragments = open(Role::Acceptor);
    fragments.take(&Frame::request(id(1, 0), b"!").first_of(9));
    assert_eq!(fragments.connection.poll_timeout(), None);
    fragments.pass(1000 * SECOND);
    fragments.assert_open("silence between fragments");

    let mut bench = within_a_frame(Role::Acceptor);
    let due = bench.connection.poll_timeout().unwrap();
    assert_eq!((due.timer, due.at), (Timer::Progress, bench.now + 30 * SECOND));
    bench.pass(20 * SECOND);
    bench.feed(&[0]);
    bench.pass(30 * SECOND - MILLI);
    bench.assert_open("29.999 s");
    assert_eq!(bench.connection.poll_timeout().unwrap().at, bench.now + MILLI);
    bench.pass(MILLI);
    bench.assert_failed(CloseCode::TOO_SLOW, "30 s of silence");
}

/// LW-8.4: who could not run meanwhile does not blame its peer: it waits anew.
#[test]
fn the_own_pause_is_not_the_peers() {
    let mut late = within_a_frame(Role::Acceptor);
    late.pass(100 * SECOND);
    late.assert_open("nobody looked for 100 s");
    late.pass(30 * SECOND - MILLI);
    late.assert_open("it waits anew");
    late.pass(MILLI);
    late.assert_failed(CloseCode::TOO_SLOW, "30 s of silence behind it");
    // What came meanwhile is taken late and in one go.
    let mut busy = within_a_frame(Role::Acceptor);
    for _ in 0..5 {
        busy.now += 100 * SECOND;
        busy.feed(&[0; 20_000]);
        busy.connection.handle_timeout(busy.now);
    }
    busy.assert_open("input is fed before the time is told");
}

/// LW-8.4: every frame is judged for itself, from its first byte on: many small ones are no slow one.
#[test]
fn each_frame_begins_anew() {
    let mut bench = open(Role::Acceptor);
    for _ in 0..100 {
        bench.take(&Frame::push(b""));
        let token = bench.push_token();
        bench.connection.release(bench.now, token);
        bench.pass(SECOND);
    }
    // In each read the end of one frame and the start of the next.
    let frame = Frame::push(b"").bytes();
    bench.feed(&frame[..1]);
    for _ in 0..100 {
        bench.pass(4 * SECOND);
        bench.feed(&[&frame[1..], &frame[..1]].concat());
        let token = bench.push_token();
        bench.connection.release(bench.now, token);
    }
    bench.assert_open("a hundred frames, each of them in time");
    assert!(bench.frames().iter().all(|frame| frame.kind() == Kind::Credit));
    // A slow start is not held against the next frame.
    assert_eq!(trickle(&mut bench, 1, 2 * SECOND, 14 * SECOND), Some(12 * SECOND));
}

/// Without the rule, a frame takes its time; with another, it is the other that counts.
#[test]
fn the_rule_is_what_the_configuration_says() {
    let of =
        |progress| Bench::open(Role::Dialer, Config { max_frame: 1 << 20, progress, ..Config::default() });
    let mut patient = of(None);
    patient.take(&Frame::push(&[]).announcing(900_000));
    assert_eq!(patient.connection.poll_timeout(), None);
    assert_eq!(trickle(&mut patient, 1, 100 * SECOND, 10_000 * SECOND), None);
    let mut strict = of(Some(ProgressConfig { rate: 100_000, window: SECOND, pause: 2 * SECOND }));
    strict.take(&Frame::push(&[]).announcing(900_000));
    assert_eq!(trickle(&mut strict, 999, SECOND / 100, 10 * SECOND), Some(2 * SECOND));
    let mut silent = of(Some(ProgressConfig { rate: 0, window: SECOND, pause: 2 * SECOND }));
    silent.take(&Frame::push(&[]).announcing(900_000));
    assert_eq!(trickle(&mut silent, 1, SECOND, 100 * SECOND), None, "no rate, only no silence");
    silent.pass(2 * SECOND);
    silent.assert_failed(CloseCode::TOO_SLOW, "silence");
    let mut resting = of(Some(ProgressConfig { pause: Duration::MAX, ..ProgressConfig::default() }));
    resting.take(&Frame::push(&[]).announcing(900_000));
    assert_eq!(trickle(&mut resting, 1, SECOND, 100 * SECOND), Some(10 * SECOND), "no pause is too long");
}

/// LW-8.4, LW-7.4: a draining connection is judged like an open one; a handshake and a close have limits of their own.
#[test]
fn other_states_have_other_limits() {
    let mut draining = within_a_frame(Role::Dialer);
    draining.connection.drain(draining.now, CloseCode::NORMAL, crate::CloseInfo::default(), 1000 * SECOND);
    // A push that is arriving keeps the drain from its end.
    assert_eq!(kinds(&draining.frames()), [Kind::Drain]);
    draining.pass(30 * SECOND);
    draining.assert_failed(CloseCode::TOO_SLOW, "30 s of silence");
    let config = Config {
        max_frame: 1 << 20,
        handshake_timeout: 100 * SECOND,
        closing_timeout: 100 * SECOND,
        ..Config::default()
    };
    let mut closing = Bench::open(Role::Dialer, config.clone());
    closing.take(&Frame::push(&[]).announcing(900_000));
    closing.feed(&[0]);
    closing.connection.close(closing.now, CloseCode::NORMAL, crate::CloseInfo::default());
    assert_eq!(closing.connection.poll_timeout().unwrap().timer, Timer::Closing);
    closing.frames();
    closing.feed(&[0]);
    assert_eq!(closing.connection.poll_timeout().unwrap().timer, Timer::Closing);
    closing.pass(100 * SECOND);
    assert_eq!(closing.event(), Event::Closed(CloseReason::Local(CloseCode::NORMAL)));
    let mut greeting = Bench::handshaking(Role::Acceptor, &config.share().unwrap());
    greeting.feed(&crate::wire::PREFACE);
    greeting.feed(&Frame::example(Kind::Hello).bytes()[..20]);
    assert_eq!(greeting.connection.poll_timeout().unwrap().timer, Timer::Handshake);
}
