//! Limits on the life of a connection: its age, and how long nothing is said.

use core::time::Duration;

use super::{BOTH, Bench, Frame, SECOND, id, plain};
use crate::config::{Config, HeartbeatConfig};
use crate::connection::{Connection, Role, Timer};
use crate::error::CloseReason;
use crate::event::{Event, Message};
use crate::time::Instant;
use crate::wire::{CloseCode, Kind, PREFACE};

const MINUTE: Duration = Duration::from_secs(60);

fn idle(config: Config) -> Config {
    Config { idle_timeout: Some(MINUTE), ..config }
}

/// Time passes in small steps until something is to be said; says how much.
fn quiet_for(bench: &mut Bench, most: Duration) -> Option<Duration> {
    let start = bench.now;
    while bench.now < start + most {
        bench.pass(SECOND / 4);
        let _silent = bench.frames();
        if !bench.connection.is_open() {
            return Some(bench.now.saturating_since(start));
        }
    }
    None
}

/// LW-7.10, LW-10.1: a connection that has lived long enough is drained with MAX_AGE, at an age within a tenth of the
/// limit that is another for each connection.
#[test]
fn age_is_limited_by_chance_within_a_tenth() {
    let config = Config { max_age: Some(100 * SECOND), heartbeat: None, ..Config::default() };
    let config = config.share().unwrap();
    let now = Instant::EPOCH + SECOND;
    let ages: alloc::collections::BTreeSet<u128> = (0..200)
        .map(|seed| {
            let mut connection = Connection::new(&config, Role::Dialer, now, seed);
            let welcome = Frame::hello(Kind::Welcome, &config.hello());
            connection.handle_input(now, &mut [&PREFACE[..], &welcome.bytes()].concat());
            let n = connection.transmit_len();
            connection.advance_transmit(now, n);
            let due = connection.poll_timeout().unwrap();
            assert_eq!(due.timer, Timer::Age);
            connection.handle_timeout(due.at);
            assert!(connection.is_draining());
            due.at.saturating_since(now).as_millis()
        })
        .collect();
    let (first, last) = (ages.first().unwrap(), ages.last().unwrap());
    assert!(*first >= 90_000 && *last <= 110_000, "{first} to {last} ms");
    assert!(ages.len() > 80 && *first < 93_000 && *last > 107_000, "{ages:?}");
}

/// LW-7.10: an old connection serves what is in flight, for as long as a drain may take.
#[test]
fn an_old_connection_serves_what_is_in_flight() {
    for (served, within) in [(true, 5), (false, 5)] {
        let config =
            Config { max_age: Some(100 * SECOND), drain_timeout: within * SECOND, ..Config::default() };
        let mut bench = Bench::open(Role::Acceptor, config);
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.pass(110 * SECOND);
        assert_eq!(bench.event(), Event::Draining(CloseCode::MAX_AGE));
        assert_eq!(bench.frames(), [Frame::end(CloseCode::MAX_AGE)]);
        bench.take(&Frame::end(CloseCode::NORMAL));
        if served {
            bench.answer(request, b"");
            assert_eq!(bench.frames(), [Frame::reply(id(1, 0), b""), Frame::close(CloseCode::MAX_AGE)]);
        } else {
            bench.pass(within * SECOND);
            assert_eq!(bench.frames(), [Frame::close(CloseCode::MAX_AGE)]);
        }
        assert_eq!(bench.end(), CloseReason::Local(CloseCode::MAX_AGE));
    }
}

/// LW-7.12: a limit ends a connection without DRAIN too.
#[test]
fn limits_end_a_connection_without_drain() {
    for role in BOTH {
        let config = idle(Config { max_age: Some(1000 * SECOND), ..Config::default() });
        let mut bench = Bench::open_with(role, config, &plain());
        assert_eq!(quiet_for(&mut bench, 10 * MINUTE), Some(MINUTE));
        assert!(bench.connection.close_reason().is_some());
        assert_eq!(bench.end(), CloseReason::Local(CloseCode::IDLE));
    }
}

/// A connection on which nothing is said is drained with IDLE. PING and PONG, CREDIT and unknown frames say nothing.
#[test]
fn heartbeats_do_not_keep_a_connection() {
    let heartbeat = Some(HeartbeatConfig { wish: 10 * SECOND, ..HeartbeatConfig::default() });
    let config = idle(Config { heartbeat, ..Config::default() });
    let mut bench = Bench::open_with(Role::Dialer, config.clone(), &config);
    let start = bench.now;
    while bench.connection.is_open() {
        bench.pass(5 * SECOND);
        let _pings = bench.frames();
        bench.take(&Frame::ping(1));
        bench.take(&Frame::example(Kind::Pong));
        bench.take(&Frame::credit(u64::MAX, u64::MAX));
    }
    assert_eq!(bench.now.saturating_since(start), MINUTE);
    assert_eq!(bench.events(), [Event::Draining(CloseCode::IDLE)]);
}

/// Every message starts the time again, on its way in or out.
#[test]
fn messages_keep_a_connection() {
    type Say = fn(&mut Bench);
    let ways: [Say; 4] = [
        |bench| bench.connection.push(bench.now, Message::new(1, "")).unwrap(),
        |bench| {
            bench.take(&Frame::push(b""));
            let token = bench.push_token();
            bench.connection.release(bench.now, token);
        },
        |bench| {
            let call = bench.call(b"").sequence();
            bench.frames();
            bench.take(&Frame::reply(call, b""));
            bench.event();
        },
        |bench| {
            static GENERATION: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(1);
            let next = GENERATION.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            bench.take(&Frame::request(id(next, 0), b""));
            let request = bench.request();
            bench.answer(request, b"");
        },
    ];
    for say in ways {
        let mut bench = Bench::open(Role::Acceptor, idle(Config::default()));
        for _ in 0..3 {
            assert_eq!(quiet_for(&mut bench, MINUTE - SECOND), None);
            say(&mut bench);
        }
        assert_eq!(quiet_for(&mut bench, 2 * MINUTE), Some(MINUTE));
    }
}

/// Calls in flight, either way, and pushes that are being dealt with, keep a connection for as long as they last; then the
/// time starts.
#[test]
fn what_is_in_flight_keeps_a_connection() {
    let busy = |what: u8| {
        let mut bench = Bench::open(Role::Acceptor, idle(Config::default()));
        let (mut request, mut token) = (None, None);
        match what {
            0 => _ = bench.call(b""),
            1 => {
                bench.take(&Frame::request(id(1, 0), b""));
                request = Some(bench.request());
            }
            2 => {
                bench.take(&Frame::push(b""));
                token = Some(bench.push_token());
            }
            // A call that was given up, and one that is arriving.
            3 => {
                let call = bench.call(b"");
                bench.frames();
                bench.connection.cancel(bench.now, call);
            }
            _ => bench.take(&Frame::request(id(1, 0), b"!").first_of(9)),
        }
        assert_eq!(quiet_for(&mut bench, 10 * MINUTE + 30 * SECOND), None, "case {what}");
        match what {
            0 => bench.take(&Frame::reply(id(1, 0), b"")),
            1 => bench.answer(request.unwrap(), b""),
            2 => bench.connection.release(bench.now, token.unwrap()),
            3 => bench.take(&Frame::reply(id(1, 0), b"")),
            _ => bench.take(&Frame::cancel(id(1, 0))),
        }
        bench.events();
        let left = quiet_for(&mut bench, 10 * MINUTE);
        assert_eq!(left, Some(MINUTE), "case {what}");
    };
    (0..5).for_each(busy);
}
