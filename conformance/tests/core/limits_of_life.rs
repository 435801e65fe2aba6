//! The limits on a connection's life, and the words of a drain: nobody escapes the limits, and nobody contradicts the words.

use std::time::Duration;

use conformance::frames::Stream;
use conformance::stepwise::scenario;
use conformance::{BOTH, Met, cases, other};
use proptest::prelude::*;
use proto_core::simulation::{Pair, PairConfig};
use proto_core::wire::{Extensions, Kind};
use proto_core::{
    Bytes, CloseCode, CloseInfo, CloseReason, Config, Connection, Event, Instant, Message, Outcome, Refusal,
    RequestId, Role, StatusCode, Timeout,
};

const SECOND: Duration = Duration::from_secs(1);

fn open(config: &Config, seed: u64) -> Pair {
    let config = Config { heartbeat: None, ..config.clone() }.share().expect("sound limits");
    let mut pair =
        Pair::new(&PairConfig { dialer: config.clone(), acceptor: config, seed, ..PairConfig::default() });
    assert!(pair.handshake());
    pair
}

/// LW-7.10, LW-7.11: a connection that has reached its greatest age, to within a tenth, is drained: calls in flight get
/// their replies if these come within the time for a drain, and then it ends with MAX_AGE.
#[test]
fn max_age_ends_in_a_drain_in_its_time() {
    let [finished, cut_off] = <[Met; 2]>::default();
    let strategy = (10..1000u64, 1..60u64, 0..90u64, scenario::roles(), any::<u64>());
    proptest!(cases(500), |((age, within, delay, caller, seed) in strategy)| {
        let [age, within, delay] = [age, within, delay].map(Duration::from_secs);
        let config = Config { max_age: Some(age), drain_timeout: within, ..Config::default() };
        let mut pair = open(&config, seed);
        let start = pair.now();
        pair.advance(age / 2);
        let now = pair.now();
        pair.connection(caller).call(now, Message::new(1, "slow"), Timeout::Never).expect("room");
        let (mut drained, mut answered, mut work) = (None, false, None);
        while BOTH.iter().any(|&role| pair.connection(role).has_events()) || pair.step() {
            while let Some((role, event)) = pair.poll_event() {
                match event {
                    Event::Request { id, .. } => work = Some((role, id)),
                    Event::Draining(CloseCode::MAX_AGE) => drained = drained.or_else(|| Some(pair.now())),
                    Event::Ended { outcome, .. } => answered = matches!(outcome, Outcome::Reply { .. }),
                    Event::Closed(reason) => prop_assert_eq!(reason.code(), Some(CloseCode::MAX_AGE), "{:?}", role),
                    event => prop_assert!(false, "the {role:?} was told {event:?}"),
                }
            }
            // The answer comes so long after the drain began.
            if let (Some(at), Some((role, id))) = (drained, work.take_if(|_| drained.is_some())) {
                pair.advance((at + delay).saturating_since(pair.now()));
                let now = pair.now();
                _ = pair.connection(role).reply(now, id, StatusCode::OK, Extensions::none(), Bytes::new());
            }
        }
        prop_assert!(BOTH.iter().all(|&role| pair.connection(role).is_closed()), "it never ends");
        let drained = drained.expect("it was drained").saturating_since(start);
        // The acceptor was open a little before the dialer.
        let (least, most) = (age * 9 / 10 - SECOND / 100, age * 11 / 10);
        prop_assert!((least..=most).contains(&drained), "drained after {drained:?}, the limit is {age:?}");
        let took = pair.now().saturating_since(start + drained);
        prop_assert!(took <= within.max(delay) + SECOND, "the drain took {took:?} of {within:?}");
        if delay < within {
            prop_assert!(answered, "a call that was answered in time was lost");
            finished.add(1);
        }
        cut_off.add(usize::from(!answered));
    });
    finished.assert("a call that was finished in time");
    cut_off.assert("a call that was not finished in time");
}

/// LW-7.11: a connection is drained with IDLE when for that long no message was sent and no call was in flight, however long a
/// call took before.
#[test]
fn an_idle_connection_is_drained_in_its_time() {
    let busy = Met::default();
    // Pauses, and how long a call takes that follows; or a push does.
    let talk = prop::collection::vec((0..900u64, prop::option::of(0..9000u64), scenario::roles()), 0..10);
    proptest!(cases(1000), |(idle in 1000..3000u64, talk in talk)| {
        let idle = Duration::from_millis(idle);
        let mut pair = open(&Config { idle_timeout: Some(idle), ..Config::default() }, 1);
        let hello = pair.now();
        let mut last = None;
        for (pause, takes, role) in talk {
            pair.advance(Duration::from_millis(pause));
            let now = pair.now();
            prop_assert!(pair.connection(role).is_open(), "it ended while somebody talked");
            last = Some(now);
            let message = Message::new(1, "busy");
            let Some(takes) = takes else {
                pair.connection(role).push(now, message).expect("room");
                continue;
            };
            pair.connection(role).call(now, message, Timeout::Never).expect("room");
            pair.advance(Duration::from_millis(2 + takes));
            busy.add(usize::from(takes > idle.as_millis() as u64));
            let (now, peer) = (pair.now(), other(role));
            while let Some(event) = pair.connection(peer).poll_event() {
                match event {
                    Event::Request { id, .. } => {
                        last = Some(now);
                        let sent = pair.connection(peer).reply(now, id, StatusCode::OK, Extensions::none(), Bytes::new());
                        prop_assert_eq!(sent, Ok(()));
                    }
                    Event::Push { token, .. } => pair.connection(peer).release(now, token),
                    Event::Ended { .. } => {}
                    event => prop_assert!(false, "the {peer:?} was told {event:?}"),
                }
            }
        }
        let mut drained = None;
        while drained.is_none() && pair.step() {
            while let Some((role, event)) = pair.poll_event() {
                let now = pair.now();
                match event {
                    Event::Push { token, .. } => pair.connection(role).release(now, token),
                    Event::Draining(CloseCode::IDLE) => drained = Some(now),
                    event => prop_assert!(matches!(event, Event::Ended { .. }), "the {role:?} was told {event:?}"),
                }
            }
        }
        let drained = drained.expect("it was drained");
        let since = |at: Instant| at.saturating_since(Instant::EPOCH);
        // The acceptor was open a little before the dialer.
        let expected = last.map_or_else(|| since(hello) - SECOND / 1000, since) + idle;
        let drained = since(drained);
        // Where messages crossed, the last thing of each side is what it heard.
        prop_assert!((expected..=expected + SECOND / 1000).contains(&drained), "drained at {drained:?} in place of {expected:?}");
        prop_assert!(pair.run_until_idle(2 * SECOND), "the drain of an idle connection takes no time");
        prop_assert!(pair.dialer().is_closed() && pair.acceptor().is_closed());
    });
    busy.assert("a call that took longer than the limit");
}

/// LW-7.10: a peer that drains and then says nothing more does not escape the limits: greatest age and idleness still
/// end the connection, in the time for a drain.
#[test]
fn a_peer_that_drains_for_ever_does_not_escape_the_limits() {
    for (config, within) in [
        (Config { max_age: Some(100 * SECOND), ..Config::default() }, 110 * SECOND),
        (Config { idle_timeout: Some(50 * SECOND), ..Config::default() }, 60 * SECOND),
    ] {
        let mut victim = victim(&config);
        let mut drain = Stream::new().control(Kind::Drain, 0, b"").0;
        victim.handle_input(Instant::EPOCH, &mut drain);
        assert!(victim.is_draining());
        let written = victim.transmit_len();
        victim.advance_transmit(Instant::EPOCH, written);
        let end =
            Instant::EPOCH + within + config.drain_timeout + config.close_timeout + config.closing_timeout;
        while let Some(deadline) = victim.poll_timeout() {
            assert!(deadline.at <= end, "it is still there after {:?}", end.saturating_since(Instant::EPOCH));
            victim.handle_timeout(deadline.at);
            let written = victim.transmit_len();
            victim.advance_transmit(deadline.at, written);
        }
        assert!(victim.is_closed(), "nothing will ever end it: {victim:?}");
    }
}

/// An acceptor whose peer is bytes only.
fn victim(config: &Config) -> Connection {
    let config = Config { heartbeat: None, ..config.clone() }.share().expect("sound limits");
    let mut victim = Connection::new(&config, Role::Acceptor, Instant::EPOCH, 1);
    victim.handle_input(Instant::EPOCH, &mut Stream::opening(Role::Dialer, &config).0);
    victim.accept(Instant::EPOCH);
    let written = victim.transmit_len();
    victim.advance_transmit(Instant::EPOCH, written);
    victim
}

/// LW-7.9: behind its last word a side sends no request, whenever its owner says that calls stand in line: such a call is
/// refused, and was accepted before and ended the connection.
#[test]
fn no_call_goes_behind_the_last_word() {
    let [held, late] = <[Met; 2]>::default();
    let deed = (prop_oneof![3 => Just(Role::Dialer), 1 => Just(Role::Acceptor)], 0..5u8, 0..20usize);
    proptest!(cases(5000), |(deeds in prop::collection::vec(deed, 1..40))| {
        let mut pair = open(&Config::default(), 1);
        let mut calls = 0;
        for (role, what, steps) in deeds {
            let now = pair.now();
            let connection = pair.connection(role);
            match what {
                0 | 1 => connection.hold_calls(now, what == 0),
                2 => connection.drain(now, CloseCode::GOING_AWAY, CloseInfo::default(), SECOND),
                _ => {
                    let draining = connection.is_draining();
                    match connection.call(now, Message::new(1, ""), Timeout::Never) {
                        Ok(_) => (calls, _) = (calls + 1, held.add(usize::from(draining))),
                        Err(refused) => late.add(usize::from(refused.refusal == Refusal::Draining)),
                    }
                }
            }
            for _ in 0..steps {
                pair.step();
            }
            let ids: Vec<(Role, RequestId)> = std::iter::from_fn(|| pair.poll_event()).filter_map(|(role, event)| match event {
                Event::Request { id, .. } => Some((role, id)),
                _ => None,
            }).collect();
            for (role, id) in ids {
                let now = pair.now();
                _ = pair.connection(role).reply(now, id, StatusCode::OK, Extensions::none(), Bytes::new());
            }
        }
        for role in BOTH {
            let reason = pair.connection(role).close_reason();
            prop_assert!(!matches!(reason, Some(CloseReason::Protocol(_))), "the {role:?} ended with {reason:?}");
        }
    });
    held.assert("a call that stood in line when a drain began");
    late.assert("a call that was refused");
}
