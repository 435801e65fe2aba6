//! The handle of a client while there is no connection.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::task::{Context, Waker};

use super::{Count, poll};
use crate::peer::session::WhileDown;
use crate::peer::{Clock, Peer};
use crate::{Instant, SharedConfig};

#[test]
fn a_push_that_waits_for_a_connection_wakes_a_client_that_rests() {
    let woken = Arc::new(Count::default());
    let clock = Clock::new(|| Instant::EPOCH);
    let peer = Peer::client(clock, &SharedConfig::default(), Some(WhileDown::default()));
    peer.rest(&Context::from_waker(&Waker::from(woken.clone())));
    let mut push = Box::pin(peer.pushed(1, "news"));
    assert!(poll(push.as_mut()).is_pending());
    assert_eq!((woken.so_far(), peer.wants_connection()), (1, true));
}
