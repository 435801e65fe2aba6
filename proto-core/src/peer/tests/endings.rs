//! The end of a connection: who hears of it, and what is let go.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::{Poll, Waker};
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

#[test]
fn who_waits_hears_at_once_of_an_end_that_a_handler_brings_about() {
    let gate = Arc::new(Mutex::new((false, None::<Waker>)));
    let waits = gate.clone();
    let handler = on_request(move |peer: Peer, _| {
        let waits = waits.clone();
        async move {
            poll_fn(|cx| {
                let (is_open, waker) = &mut *waits.lock().unwrap();
                *waker = Some(cx.waker().clone());
                if *is_open { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            peer.close(CloseCode::NORMAL, CloseInfo::default());
            pending().await
        }
    });
    let mut rig = Rig::open(handler, 1);
    let peer = rig.peer();
    let mut running = Box::pin(peer.call(1, "takes the slot"));
    assert!(poll(running.as_mut()).is_pending());
    rig.ask(1);
    assert!(rig.turn().is_pending() && rig.turn().is_pending());
    // It has woken the driver, which needs no waking any more.
    let mut in_line = Box::pin(peer.call(1, "stands in line"));
    assert!(poll(in_line.as_mut()).is_pending());
    gate.lock().unwrap().0 = true;
    gate.lock().unwrap().1.take().expect("a handler waits").wake();
    assert!(rig.drive().is_pending());
    assert!(poll(in_line.as_mut()).is_ready());
}
