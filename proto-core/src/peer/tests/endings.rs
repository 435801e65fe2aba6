//! The end of a connection: who hears of it, and what is let go.

use alloc::sync::Arc;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Mutex;

use super::{NoHandler, Rig, poll};
use crate::error::{CloseReason, Delivery};
use crate::peer::{CallError, Peer, on_request};
use crate::wire::{CloseCode, CloseInfo};

#[test]
fn whoever_waits_for_room_hears_of_the_end_when_it_begins() {
    let mut rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let mut accepted = pin!(peer.call(1, "accepted"));
    let mut in_line = pin!(peer.call(1, "in line"));
    assert!(poll(accepted.as_mut()).is_pending() && poll(in_line.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    while peer.push(1, vec![0; 1 << 20]).is_ok() {}
    let mut room = pin!(peer.pushed(1, vec![0; 1 << 20]));
    assert!(poll(room.as_mut()).is_pending());

    peer.close(CloseCode::NORMAL, CloseInfo::default());
    let mut latecomer = pin!(peer.call(1, "too late"));
    let _ = poll(latecomer.as_mut());
    assert!(rig.drive().is_pending());
    let lost = CallError::Lost { delivery: Delivery::NotSent, reason: CloseReason::Local(CloseCode::NORMAL) };
    assert_eq!(poll(in_line.as_mut()), Poll::Ready(Err(lost.clone())));
    assert_eq!(poll(latecomer.as_mut()), Poll::Ready(Err(lost)));
    assert!(matches!(poll(room.as_mut()), Poll::Ready(Err(_))));
    assert!(poll(accepted.as_mut()).is_pending(), "its reply may still come");
}

#[test]
fn a_driver_that_is_dropped_tells_whoever_waits() {
    let rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let mut accepted = pin!(peer.call(1, "accepted"));
    let mut in_line = pin!(peer.call(1, "in line").timeout(Duration::from_secs(1)));
    let mut closed = pin!(peer.closed());
    assert!(poll(accepted.as_mut()).is_pending() && poll(in_line.as_mut()).is_pending());
    assert!(poll(closed.as_mut()).is_pending());
    drop(rig);
    for call in [accepted, in_line] {
        assert!(matches!(poll(call), Poll::Ready(Err(CallError::Lost { delivery: Delivery::NotSent, .. }))));
    }
    assert!(poll(closed.as_mut()).is_ready());
}

/// What an application may keep with a connection, a handle of that very connection in it.
struct Session {
    _peer: Peer,
    _alive: Arc<()>,
}

fn session(peer: &Peer, alive: &Arc<()>) -> Session {
    Session { _peer: peer.clone(), _alive: alive.clone() }
}

#[test]
fn attributes_are_dropped_when_the_connection_has_ended_and_the_handler_has_heard_of_it() {
    for dropped in [false, true] {
        let seen = Arc::new(Mutex::new(None));
        let sees = seen.clone();
        let handler = on_request(|_, _| async { Ok("".into()) }).on_close(move |peer: &Peer, _| {
            *sees.lock().unwrap() = Some(peer.attribute::<Session>().is_some());
        });
        let mut rig = Rig::open(handler, 1);
        let (peer, alive) = (rig.peer(), Arc::new(()));
        peer.set_attribute(session(&peer, &alive));
        if !dropped {
            peer.abort(CloseCode::NORMAL);
            assert!(rig.drive().is_ready());
        } else {
            drop(rig);
        }
        assert_eq!(*seen.lock().unwrap(), Some(true), "the handler may still use them");
        assert_eq!(Arc::strong_count(&alive), 1);
        assert!(peer.attribute::<Session>().is_none());
    }
}

#[test]
fn an_attribute_that_comes_after_the_end_is_not_kept() {
    let mut rig = Rig::open(NoHandler, 1);
    let (peer, alive) = (rig.peer(), Arc::new(()));
    peer.abort(CloseCode::NORMAL);
    assert!(rig.drive().is_ready());
    peer.set_attribute(session(&peer, &alive));
    assert_eq!(Arc::strong_count(&alive), 1);
}
