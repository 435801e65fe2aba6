//! A close loses nothing that was accepted before it, and behind the end there is nothing.

use conformance::frames::Stream;
use conformance::stepwise::scenario::{actions, patient_actions, roles};
use conformance::stepwise::world::nudge;
use conformance::stepwise::{Action, Entry, Scenario, World};
use conformance::{BOTH, Met, cases, other};
use proptest::prelude::*;
use proto_core::Lane;
use proto_core::simulation::{Cut, CutKind, CutPlace};
use proto_core::wire::{CloseInfo, Extensions};
use proto_core::{
    CloseCode, CloseReason, Config, Message, Refusal, Role, StatusCode, Timeout, TransportError,
};

/// One side closes in the middle of a conversation, on a network that is whole: everything that it had accepted
/// before arrives, the other side hears the code, and both end without waiting for a timer.
#[test]
fn all_that_was_accepted_before_a_close_arrives() {
    let waiting = Met::default();
    let strategy = (Scenario::with(patient_actions(), 60), roles());
    proptest!(cases(3000), |((scenario, closer) in strategy)| {
        let mut world = World::new(&scenario.pair);
        prop_assume!(world.pair().handshake());
        for (role, action) in &scenario.script {
            world.act(*role, action);
        }
        waiting.add(usize::from(world.pair().connection(closer).transmit_len() > 1000));
        let now = world.pair().now();
        world.act(closer, &Action::Close);
        world.settle();
        let took = world.pair().now().saturating_since(now);
        prop_assert!(took < scenario.pair.dialer.closing_timeout, "the close took {took:?}: it waited for a timer");
        let trace = world.end();
        prop_assert_eq!(trace.check(), Ok(()));
        prop_assert_eq!(trace.check_arrival(closer), Ok(()));
        for role in BOTH {
            let code = trace.side(role).reason().and_then(CloseReason::code);
            prop_assert_eq!(code, Some(CloseCode::GOING_AWAY), "the {:?} was told", role);
        }
    });
    waiting.assert("a close with a kilobyte in front of it");
}

/// After its end a connection does nothing, whatever is asked of it, and holds nothing.
#[test]
fn a_closed_connection_is_inert() {
    let reset = Met::default();
    let cuts = prop::option::of(
        (0..3000u64).prop_map(|at| Cut { place: CutPlace::Bytes(at), kind: CutKind::Reset }),
    );
    let strategy = (Scenario::with(actions(), 60), cuts, 0..100usize);
    proptest!(cases(3000), |((mut scenario, cut, which) in strategy)| {
        scenario.pair.to_acceptor.cut = cut;
        let mut world = World::new(&scenario.pair);
        for (role, action) in &scenario.script {
            world.act(*role, action);
        }
        world.settle();
        world.act(Role::Dialer, &Action::Close);
        world.settle();
        let trace = world.trace().clone();
        let now = world.pair().now();
        for role in BOTH {
            let connection = world.pair().connection(role);
            let reason = connection.close_reason().cloned();
            prop_assert!(connection.is_closed(), "{connection:?}");
            reset.add(usize::from(reason == Some(CloseReason::Transport(TransportError::Reset))));

            for at in 0..20 {
                nudge(connection, now, which + at);
            }
            connection.accept(now);
            connection.handle_input(now, &mut Stream::new().push(b"late").request(9, 0, b"late").0);
            connection.handle_input(now, &mut Stream::opening(other(role), &Config::default()).0);
            connection.handle_eof(now);
            connection.handle_transport_error(now, TransportError::Other);
            connection.close(now, CloseCode::IDLE, CloseInfo::default());
            connection.refuse(now, CloseCode::REFUSED, CloseInfo::default());
            connection.abort(now, CloseCode::MAX_AGE);
            connection.begin_transmit(100);
            connection.advance_transmit(now, 100);
            let refused = connection.call(now, Message::new(1, "late"), Timeout::Default).map_err(|refused| refused.refusal);
            prop_assert_eq!(refused, Err(Refusal::Closed));
            let refused = connection.push(now, Message::new(1, "late")).map_err(|refused| refused.refusal);
            prop_assert_eq!(refused, Err(Refusal::Closed));

            prop_assert_eq!(connection.poll_event(), None);
            prop_assert_eq!(connection.poll_timeout(), None);
            prop_assert_eq!(connection.transmit_len(), 0);
            prop_assert_eq!(connection.close_reason(), reason.as_ref(), "the reason changed");
            prop_assert!(!connection.wants_read() && connection.wants_shutdown() && !connection.is_open());
            prop_assert_eq!(connection.calls_in_flight() + connection.requests_in_flight(), 0);
        }
        prop_assert_eq!(world.trace(), &trace, "something was observed behind the end");
        prop_assert_eq!(trace.check(), Ok(()));
    });
    reset.assert("a connection that was reset");
}

/// A reply to a request whose connection has ended is refused, and nothing else happens.
#[test]
fn a_reply_after_the_end_is_refused() {
    let mut pair = proto_core::simulation::Pair::open(1);
    let now = pair.now();
    pair.dialer().call(now, Message::new(1, "quick"), Timeout::Default).unwrap();
    assert!(pair.run_until(|pair| pair.acceptor().requests_in_flight() == 1));
    let Some(proto_core::Event::Request { id, .. }) = pair.acceptor().poll_event() else {
        panic!("a request")
    };
    let now = pair.now();
    pair.acceptor().abort(now, CloseCode::NORMAL);
    let late = pair.acceptor().reply(now, id, StatusCode::OK, Extensions::none(), "too late".into());
    assert_eq!(late, Err(Refusal::Closed));
    assert_eq!(pair.acceptor().transmit_len(), 0);
}

/// Two closes that cross answer each other: each side reports its own, and neither waits for a timer.
#[test]
fn crossing_closes_answer_each_other() {
    let mut world = World::new(&Scenario::default().pair);
    assert!(world.pair().handshake());
    for role in BOTH {
        world.act(role, &Action::Push { size: 10, metadata: 0, lane: Lane::Normal });
        world.act(role, &Action::Close);
    }
    let start = world.pair().now();
    world.settle();
    assert!(world.pair().now().saturating_since(start).as_millis() < 100);
    let trace = world.end();
    assert_eq!(trace.check(), Ok(()));
    for role in BOTH {
        assert_eq!(trace.side(role).reason(), Some(&CloseReason::Local(CloseCode::GOING_AWAY)));
        assert_eq!(trace.side(role).count(|entry| matches!(entry, Entry::Received(..))), 1);
    }
}
