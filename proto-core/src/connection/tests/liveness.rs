//! PING and PONG, output that makes no progress, and what is counted.

use core::time::Duration;

use super::{BOTH, Bench, Frame, SECOND, id, kinds};
use crate::config::Config;
use crate::connection::{Role, Timer};
use crate::error::{CloseReason, Limit};
use crate::event::{Event, Message};
use crate::wire::{Flags, Kind, Pong};

fn pong(frame: &Frame) -> Pong {
    assert_eq!(frame.kind(), Kind::Pong);
    Pong::parse(frame.payload[..].try_into().unwrap())
}

/// LW-8.1: a PING is answered by a PONG with its bytes, and a PONG that nobody asked for is ignored.
#[test]
fn a_ping_is_answered() {
    for role in BOTH {
        let mut bench = Bench::open(role, Config::default());
        bench.take(&Frame::ping(0x0102_0304_0506_0708));
        let sent = bench.frames();
        assert_eq!(pong(&sent[0]), Pong { ping: [1, 2, 3, 4, 5, 6, 7, 8], held_micros: 0 });
        bench.take(&Frame::example(Kind::Pong));
        assert_eq!((bench.frames().len(), bench.events().len()), (0, 0));
        assert_eq!(bench.connection.counters().pings_answered, 1);
    }
}

/// LW-8.1: the answer goes out as soon as there is room, before waiting messages, and says how long it was held; of
/// several PINGs the newest is answered.
#[test]
fn a_pong_goes_before_waiting_messages_and_says_how_long_it_waited() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    for _ in 0..2 {
        bench.connection.push(bench.now, Message::new(1, "")).unwrap();
    }
    bench.take(&Frame::ping(1));
    bench.pass(SECOND);
    // The PING arrives with its header.
    let newest = Frame::ping(2).bytes();
    bench.feed(&newest[..16]);
    bench.pass(Duration::from_nanos(1_234_999));
    bench.feed(&newest[16..]);
    bench.pass(Duration::from_micros(1));
    let sent = bench.frames();
    assert_eq!(kinds(&sent), [Kind::Push, Kind::Pong, Kind::Push]);
    assert_eq!(pong(&sent[1]), Pong { ping: 2u64.to_be_bytes(), held_micros: 1235 });
}

/// LW-8.1: the time that a PONG was held is 2³² − 1 microseconds at the most.
#[test]
fn the_time_in_a_pong_ends_where_its_field_ends() {
    let patient = Duration::from_secs(9000);
    let config =
        Config { commit_limit: 1, write_stall_timeout: patient, heartbeat: None, ..Config::default() };
    let mut bench = Bench::open(Role::Dialer, config);
    bench.connection.push(bench.now, Message::new(1, "")).unwrap();
    bench.take(&Frame::ping(1));
    bench.pass(Duration::from_secs(4295));
    assert_eq!(pong(&bench.frames()[1]).held_micros, u32::MAX);
}

/// Output that makes no progress ends the connection, without a word; any progress starts the time again.
#[test]
fn output_without_progress_ends_the_connection() {
    let mut bench = Bench::open(Role::Dialer, Config { heartbeat: None, ..Config::default() });
    bench.connection.push(bench.now, Message::new(1, "body")).unwrap();
    let deadline = bench.connection.poll_timeout().unwrap();
    assert_eq!((deadline.at, deadline.timer), (bench.now + 30 * SECOND, Timer::WriteStall));
    bench.pass(29 * SECOND);
    bench.connection.advance_transmit(bench.now, 0);
    assert_eq!(bench.connection.poll_timeout(), Some(deadline), "nothing is no progress");
    bench.connection.advance_transmit(bench.now, 1);
    bench.pass(29 * SECOND);
    bench.feed(&Frame::ping(1).bytes());
    bench.assert_open("29 s after the last progress");
    bench.pass(SECOND);
    assert!(bench.connection.is_closed());
    assert_eq!(bench.frames(), []);
    assert_eq!(bench.event(), Event::Closed(CloseReason::TimedOut(Limit::WriteStall)));
}

/// Peeking commits nothing and changes nothing; what is lent does not change until it is taken.
#[test]
fn what_is_lent_stays_the_same() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    bench.connection.push(bench.now, Message::new(1, vec![7; 5000])).unwrap();
    let lent: alloc::vec::Vec<u8> = bench.connection.transmit().flatten().copied().collect();
    bench.take(&Frame::ping(1));
    bench.connection.push(bench.now, Message::new(1, "more")).unwrap();
    bench.connection.begin_transmit(10);
    bench.connection.handle_timeout(bench.now);
    let now: alloc::vec::Vec<u8> = bench.connection.transmit().flatten().copied().collect();
    assert_eq!(now[..lent.len()], lent);
    bench.connection.advance_transmit(bench.now, 3);
    assert_eq!(bench.connection.transmit().next().unwrap()[..13], lent[3..16]);
    bench.connection.advance_transmit(bench.now, usize::MAX);
    assert_eq!(bench.connection.transmit_len(), 0);
}

/// What is dropped, late, refused or expired is counted.
#[test]
fn counters_count() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    let before = *bench.connection.counters();
    let mut unknown = Frame::push(b"???").with(Flags::IGNORABLE).bytes();
    unknown[4] = 0x70;
    bench.feed(&unknown);
    bench.take(&Frame::push(b"news"));
    bench.take(&Frame::ping(1));
    bench.take(&Frame::request(id(1, 0), b"").deadline(0));
    bench.events();
    let sent = bench.written().len() as u64;
    let after = *bench.connection.counters();
    assert_eq!(after.bytes_received - before.bytes_received, 19 + 20 + 24 + 26);
    assert_eq!(after.bytes_sent - before.bytes_sent, sent);
    assert_eq!(after.frames_received - before.frames_received, 3);
    assert_eq!((after.frames_ignored, after.pings_answered, after.requests_expired), (1, 1, 1));
}
