//! A message that takes minutes to carry over: nobody is given up meanwhile, and nobody waits for it who need not.

use std::num::NonZeroU32;
use std::time::Duration;

use conformance::{BOTH, other};
use proto_core::simulation::{Pair, PairConfig, PipeConfig};
use proto_core::wire::{Extensions, HEADER_LEN, PING_LEN, PONG_LEN};
use proto_core::{Bytes, Config, Event, Lane, Message, Outcome, Role, StatusCode, Timeout};

/// One megabit per second.
const RATE: u32 = 125_000;
const LATENCY: Duration = Duration::from_millis(20);
/// How often both sides measure the way to the other, a little more than half of the default heartbeat.
const PING_EVERY: Duration = Duration::from_secs(8);

/// A body that is wrong if any part of it is lost, doubled or moved.
fn body(length: usize) -> Bytes {
    let pattern: Vec<u8> = (0..251).collect();
    let mut body = pattern.repeat(length.div_ceil(pattern.len()));
    body.truncate(length);
    body.into()
}

/// Carries messages over the slow link, one large call from each of these sides at the same time, and both measure the way
/// all the while. `config` says what both sides are like beside the largest message.
fn carry(config: &Config, capacity: usize, length: usize, callers: &[Role]) {
    let config = config.clone().with_max_message(length as u32).share().expect("sound limits");
    let bytes_per_second = NonZeroU32::new(RATE);
    let pipe = PipeConfig { capacity, bytes_per_second, latency: LATENCY, ..PipeConfig::default() };
    let mut pair = Pair::new(&PairConfig {
        dialer: config.clone(),
        acceptor: config.clone(),
        to_acceptor: pipe.clone(),
        to_dialer: pipe,
        ..PairConfig::default()
    });
    assert!(pair.handshake());
    let (start, body) = (pair.now(), body(length));
    for &role in callers {
        let message = Message::new(1, body.clone()).in_lane(Lane::Bulk);
        pair.connection(role).call(start, message, Timeout::Never).expect("one message always has room");
    }

    // What stands in front of a PING or its PONG where bulk flows, and these two themselves.
    let in_front = config.commit_limit + HEADER_LEN + config.max_frame as usize + capacity;
    let both = in_front * callers.len() + 2 * HEADER_LEN + PING_LEN + PONG_LEN;
    let bound = Duration::from_secs_f64(both as f64 / f64::from(RATE)) + 2 * LATENCY;
    let (mut longest, mut samples, mut answered) = (Duration::ZERO, 0, 0);
    while answered < callers.len() {
        for role in BOTH {
            let now = pair.now();
            pair.connection(role).ping(now);
        }
        pair.advance(PING_EVERY);
        while let Some((role, event)) = pair.poll_event() {
            match event {
                Event::Request { id, message, .. } => {
                    assert!(message.body == body, "the message is not what was sent");
                    let (now, words) = (pair.now(), Bytes::from_static(b"all there"));
                    let reply =
                        pair.connection(role).reply(now, id, StatusCode::OK, Extensions::none(), words);
                    assert_eq!(reply, Ok(()));
                }
                Event::Ended { outcome: Outcome::Reply { status: StatusCode::OK, .. }, .. } => answered += 1,
                event => panic!("the {role:?} was told: {event:?}"),
            }
        }
        for role in BOTH {
            assert!(pair.connection(role).is_open(), "the {role:?} gave up the {:?}", other(role));
            let measured = pair.connection(role).round_trip();
            (longest, samples) = (longest.max(measured.latest), measured.samples);
            assert!(longest <= bound, "a ping of the {role:?} took {longest:?}, {bound:?} is allowed");
        }
    }
    let took = pair.now().saturating_since(start);
    let least = Duration::from_secs_f64(length as f64 / f64::from(RATE));
    assert!(took >= least, "the link is faster than it should be: {took:?}");
    assert!(took <= least + 3 * PING_EVERY + least / 50, "the link was idle for some of the {took:?}");
    assert!(u64::from(samples) * 9 >= took.as_secs(), "only {samples} measurements in {took:?}");
    assert!(longest * 2 > bound, "the longest was {longest:?}: bulk was not in the way of any ping");
}

/// LW-6.7, LW-8.1, LW-8.2: 100 MB over one megabit per second takes over thirteen minutes. With default limits nobody is
/// given up meanwhile, all of it arrives, and a ping waits for what is committed, one frame and what the pipe holds.
#[test]
fn a_hundred_megabytes_over_one_megabit_kill_nobody() {
    carry(&Config::default(), 64 << 10, 100_000_000, &[Role::Dialer]);
}

/// The same with small frames, as it is advised for slow links: a ping waits for a tenth of a second.
#[test]
fn small_frames_make_bulk_harmless_on_a_slow_link() {
    let config = Config { max_frame: 4096, commit_limit: 4096, ..Config::default() };
    carry(&config, 4096, 10_000_000, &[Role::Acceptor]);
}

/// The same when both sides send at the same time.
#[test]
fn bulk_both_ways_delays_a_ping_twice() {
    carry(&Config::default(), 64 << 10, 10_000_000, &BOTH);
}
