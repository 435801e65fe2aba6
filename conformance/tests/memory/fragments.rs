//! Messages in fragments and in all lanes, towards and from a peer that never takes what it is sent, never releases and
//! never answers: the budget holds, and what is held is counted to the byte.

use conformance::Action;
use proptest::prelude::*;
use proto_core::{Config, Lane, Role, SharedConfig};

use crate::metered::Peer;
use crate::{small, victim};

/// A body of which pieces are committed behind those of another body of its lane, and of which the rest still waits, is
/// counted once: it was counted twice.
#[test]
fn a_body_behind_another_of_its_lane_is_counted_once() -> Result<(), TestCaseError> {
    let config = Config { max_frame: 9000, commit_limit: 30_000, outbox_limit: 1 << 20, ..small() };
    let mut peer = Peer::new(&SharedConfig::default(), Role::Acceptor);
    peer.metered = victim(&config.share().expect("sound limits"));
    for _ in 0..4 {
        peer.act(&Action::Push { size: 20_000, metadata: 0, lane: Lane::Bulk });
        peer.metered.check()?;
    }
    while peer.metered.connection.transmit_len() > 0 {
        peer.metered.act(|connection, now| connection.advance_transmit(now, 1000));
        peer.metered.check()?;
    }
    Ok(())
}
