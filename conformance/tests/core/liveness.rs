//! Who is there is left alone, who is not is found out, and both in time.

use std::time::Duration;

use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::config::HeartbeatConfig;
use proto_core::simulation::{Pair, PairConfig, PipeConfig};
use proto_core::{CloseReason, Config, Instant, Limit, Message};

const HOUR: Duration = Duration::from_secs(3600);

fn heartbeat() -> impl Strategy<Value = HeartbeatConfig> {
    let millis = |range| Strategy::prop_map(range, Duration::from_millis);
    (millis(1_000..60_000u64), millis(1_000..60_000u64), millis(1..20_000u64))
        .prop_map(|(wish, minimum, timeout)| HeartbeatConfig { wish, minimum, timeout })
}

fn config(heartbeat: HeartbeatConfig) -> Config {
    Config { heartbeat: Some(heartbeat), handshake_timeout: HOUR, ..Config::default() }
}

fn open(dialer: HeartbeatConfig, acceptor: HeartbeatConfig, latencies: [Duration; 2], seed: u64) -> Pair {
    let [there, back] = latencies.map(|latency| PipeConfig { latency, ..PipeConfig::default() });
    let mut pair = Pair::new(&PairConfig {
        dialer: config(dialer).share().expect("sound limits"),
        acceptor: config(acceptor).share().expect("sound limits"),
        to_acceptor: there,
        to_dialer: back,
        seed,
        ..PairConfig::default()
    });
    assert!(pair.handshake());
    pair
}

/// How long `listener` may have to wait for a byte of the other side.
fn interval(listener: HeartbeatConfig, speaker: HeartbeatConfig) -> Duration {
    listener.wish.max(speaker.minimum)
}

/// LW-8.2: nobody who keeps the promise is given up, whatever both sides wish and however slow the way is, as long as
/// it is faster than the grace; and nobody sends more than it promised.
#[test]
fn a_live_peer_is_never_given_up() {
    let slow = Met::default();
    let strategy = (heartbeat(), heartbeat(), (0..1000u32, 0..1000u32), any::<u64>());
    proptest!(cases(1500), |((one, two, (there, back), seed) in strategy)| {
        let most = one.timeout.min(two.timeout);
        let latencies = [most * there / 1000, most * back / 1000];
        slow.add(usize::from(there > 900 && back > 900));
        let mut pair = open(one, two, latencies, seed);
        let longest = interval(one, two).max(interval(two, one));
        pair.advance(longest * 20);
        for role in BOTH {
            let connection = pair.connection(role);
            prop_assert!(connection.is_open(), "the {role:?} ended: {:?}", connection.close_reason());
        }
        // A PONG keeps its sender's promise, so one of them may never have to ask.
        let samples = BOTH.map(|role| pair.connection(role).round_trip().samples);
        prop_assert!(samples.iter().any(|&count| count > 0), "nobody has measured anything");
        let expected = longest.as_nanos() * 20 / interval(one, two).min(interval(two, one)).as_nanos();
        let frames = u128::from(pair.dialer().counters().frames_received);
        prop_assert!(frames <= 4 * expected + 10, "{frames} frames where {expected} would do");
    });
    slow.assert("a way almost as slow as the grace");
}

/// LW-8.2: who says nothing any more is given up when an interval and the grace have passed, to the nanosecond.
#[test]
fn a_dead_peer_is_found_in_time() {
    let strategy = (heartbeat(), heartbeat(), any::<u64>(), 0..300u64);
    proptest!(cases(1500), |((one, two, seed, alive) in strategy)| {
        let mut pair = open(one, two, [Duration::ZERO; 2], seed);
        pair.advance(Duration::from_secs(alive));
        for role in BOTH {
            pair.pipe_from(role).stall(Instant::MAX);
        }
        let died = pair.now();
        let dialer_waits = interval(one, two) + one.timeout;
        // The acceptor allows for the way that its WELCOME takes, once.
        let acceptor_waits = interval(two, one) + 2 * two.timeout;
        while BOTH.into_iter().all(|role| pair.connection(role).is_open()) && pair.step() {}
        let took = pair.now().saturating_since(died);
        let most = dialer_waits.min(acceptor_waits);
        prop_assert!(took <= most, "found after {took:?} and not {most:?}");
        let reasons = BOTH.map(|role| pair.connection(role).close_reason().cloned());
        prop_assert!(reasons.contains(&Some(CloseReason::TimedOut(Limit::Silence))), "{reasons:?}");
    });
}

/// However late a side looks at the clock, what it handled is over: an event loop that sleeps until the deadline never
/// spins, not even after its process was stopped for hours.
#[test]
fn a_heartbeat_that_was_handled_is_over() {
    let (late, ended) = (Met::default(), Met::default());
    let jumps = prop::collection::vec(prop_oneof![0..90_000u64, 0..10_000_000u64, Just(u64::MAX)], 1..12);
    let strategy = (heartbeat(), heartbeat(), jumps, any::<u64>());
    proptest!(cases(2000), |((one, two, jumps, seed) in strategy)| {
        let mut pair = open(one, two, [Duration::ZERO; 2], seed);
        let mut now = pair.now();
        for jump in jumps {
            now += Duration::from_millis(jump);
            for role in BOTH {
                let connection = pair.connection(role);
                let due = connection.poll_timeout();
                late.add(usize::from(due.is_some_and(|due| due.at + HOUR < now)));
                connection.handle_timeout(now);
                let left = connection.poll_timeout();
                prop_assert!(left.is_none_or(|left| left.at > now), "{left:?} is due again at {now:?}");
                // The way is not moved here, so that only the clock acts; what was said counts as sent.
                let said = connection.transmit_len();
                connection.advance_transmit(now, said);
                ended.add(usize::from(connection.is_closed()));
            }
        }
    });
    late.assert("a look at the clock that came an hour late");
    ended.assert("a silence that ended a connection");
}

/// LW-8.2: what is sent anyhow is as good as a PING.
#[test]
fn a_busy_connection_sends_no_pings() {
    let second = Duration::from_secs(1);
    let lively = HeartbeatConfig { wish: second, minimum: second, timeout: second };
    let mut pair = open(lively, lively, [Duration::ZERO; 2], 7);
    for _ in 0..10_000 {
        let now = pair.now();
        for role in BOTH {
            pair.connection(role).push(now, Message::new(1, "busy")).unwrap();
        }
        pair.advance(Duration::from_millis(1));
    }
    for role in BOTH {
        assert_eq!(pair.connection(role).counters().pings_answered, 0);
        assert!(pair.connection(role).is_open());
    }
}

/// LW-8.2: without the field from both sides nobody owes anything, and nobody is given up.
#[test]
fn without_an_agreement_silence_is_no_fault() {
    let own = Config { heartbeat: Some(HeartbeatConfig::default()), ..Config::default() };
    let config = PairConfig {
        dialer: own.share().unwrap(),
        acceptor: Config { heartbeat: None, ..Config::default() }.share().unwrap(),
        ..PairConfig::default()
    };
    let mut pair = Pair::new(&config);
    assert!(pair.handshake());
    assert!(pair.run_until_idle(HOUR), "somebody still waits for something");
    assert!(BOTH.into_iter().all(|role| pair.connection(role).is_open()));
}

/// LW-8.3: a flood of PINGs is ended, at any time of a connection's life; an answer to each fair one is not.
#[test]
fn a_flood_of_pings_is_ended() {
    use proto_core::wire::{Flags, Header, Kind, Sequence};
    let rare = HeartbeatConfig { wish: HOUR, ..HeartbeatConfig::default() };
    let mut pair = open(rare, rare, [Duration::ZERO; 2], 3);
    let header = Header {
        length: 8,
        kind: Kind::Ping,
        flags: Flags::empty(),
        sequence: Sequence::CONNECTION,
        code: 0,
    };
    let ping: Vec<u8> = header.to_bytes().into_iter().chain([0; 8]).collect();
    let mut now = pair.now();
    for _ in 0..100 {
        now += HOUR / 2;
        pair.acceptor().handle_input(now, &mut ping.clone());
        let n = pair.acceptor().transmit_len();
        pair.acceptor().advance_transmit(now, n);
    }
    assert!(pair.acceptor().is_open(), "{:?}", pair.acceptor().close_reason());
    for _ in 0..17 {
        pair.acceptor().handle_input(now, &mut ping.clone());
    }
    let reason = pair.acceptor().close_reason().and_then(CloseReason::code);
    assert_eq!(reason, Some(proto_core::CloseCode::TOO_MANY_PINGS));
}
