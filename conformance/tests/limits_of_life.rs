//! The limits on a connection's life, and the words of a drain: nobody escapes the limits, and nobody contradicts the words.

use std::time::Duration;

use conformance::{BOTH, Met, cases};
use proptest::prelude::*;
use proto_core::simulation::{Pair, PairConfig};
use proto_core::wire::Extensions;
use proto_core::{
    Bytes, CloseCode, CloseInfo, CloseReason, Config, Event, Message, Refusal, RequestId, Role, StatusCode,
    Timeout,
};

const SECOND: Duration = Duration::from_secs(1);

fn open(config: &Config, seed: u64) -> Pair {
    let config = Config { heartbeat: None, ..config.clone() }.share().expect("sound limits");
    let mut pair =
        Pair::new(&PairConfig { dialer: config.clone(), acceptor: config, seed, ..PairConfig::default() });
    assert!(pair.handshake());
    pair
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
