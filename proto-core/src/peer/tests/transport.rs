//! What the driver makes of its transport: writes that wait, are half done, or fail.

use alloc::boxed::Box;
use core::task::Poll;
use std::io::ErrorKind;

use super::{NoHandler, Rig, Script, Writing, body, poll};
use crate::error::{CloseReason, Delivery, TransportError};
use crate::peer::CallError;
use crate::wire::{CloseCode, CloseInfo, HEADER_LEN};

#[test]
fn a_shutdown_that_has_to_wait_does_not_keep_the_driver_busy() {
    let mut rig = Rig::open(NoHandler, 1);
    rig.transport.script(|script| script.shutdown_waits = true);
    rig.peer().close(CloseCode::NORMAL, CloseInfo::default());
    let before = rig.woken.so_far();
    assert!(rig.drive().is_pending());
    assert_eq!(rig.woken.so_far(), before, "it woke itself with nothing to do");
}

#[test]
fn a_call_whose_bytes_a_transport_owned_may_have_been_sent_and_any_other_was_not() {
    const FIRST: usize = HEADER_LEN + "pay 100".len();
    let (sent, not_sent) = (Delivery::MaybeSent, Delivery::NotSent);
    for (taken, expected) in [
        (0, [not_sent, not_sent]),
        (FIRST - 1, [not_sent, not_sent]),
        (FIRST, [sent, not_sent]),
        (2 * FIRST - 1, [sent, not_sent]),
        (usize::MAX, [sent, sent]),
    ] {
        let mut rig = Rig::open(NoHandler, 2);
        let peer = rig.peer();
        let mut calls = [(); 2].map(|()| Box::pin(peer.call(1, "pay 100").no_timeout()));
        for call in &mut calls {
            assert!(poll(call.as_mut()).is_pending());
        }
        rig.transport.script(|script| script.writing = Writing::Owning(taken));
        assert!(rig.drive().is_pending());
        rig.deliver();
        let reached = expected.iter().filter(|delivery| **delivery == sent).count();
        assert_eq!(rig.requests().len(), reached, "{taken} bytes taken");
        drop(rig);
        for (call, expected) in calls.iter_mut().zip(expected) {
            let Poll::Ready(Err(CallError::Lost { delivery, .. })) = poll(call.as_mut()) else {
                panic!("not lost")
            };
            assert_eq!(delivery, expected, "{taken} bytes taken");
        }
    }
}

#[test]
fn bytes_that_a_transport_owned_are_not_sent_twice() {
    let mut rig = Rig::open(NoHandler, 2);
    let mut call = Box::pin(rig.peer().call(1, "pay 100"));
    assert!(poll(call.as_mut()).is_pending());
    for taken in [5, 10] {
        rig.transport.script(|script| script.writing = Writing::Owning(taken));
        assert!(rig.turn().is_pending());
    }
    rig.transport.script(|script| script.writing = Writing::AtOnce);
    assert!(rig.turn().is_pending());
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(call.as_mut())), "pay 100");
    assert!(rig.far.is_open());
}

#[test]
fn a_failed_write_does_not_hide_the_close_that_the_peer_said_before() {
    for ends in [false, true] {
        let mut rig = Rig::open(NoHandler, 1);
        rig.far.close(rig.time.now(), CloseCode::GOING_AWAY, CloseInfo::with_text("bye"));
        let said = rig.said();
        rig.transport.script(|script| {
            script.writing = Writing::Failing(ErrorKind::BrokenPipe);
            script.at_write_error = Some(Box::new(move |script: &mut Script| {
                script.input.push_back(said);
                script.end_of_input = ends;
            }));
        });
        rig.peer().push(1, "news").unwrap();
        let expected = CloseReason::Peer(CloseCode::GOING_AWAY, Some(CloseInfo::with_text("bye").into()));
        assert_eq!(rig.drive(), Poll::Ready(expected), "the stream has ended: {ends}");
    }
}

#[test]
fn a_failed_write_ends_a_connection_whose_peer_said_nothing() {
    let mut rig = Rig::open(NoHandler, 1);
    rig.transport.script(|script| script.writing = Writing::Failing(ErrorKind::ConnectionReset));
    let mut call = Box::pin(rig.peer().call(1, ""));
    assert!(poll(call.as_mut()).is_pending());
    let reason = CloseReason::Transport(TransportError::Reset);
    assert_eq!(rig.drive(), Poll::Ready(reason.clone()));
    let lost = CallError::Lost { delivery: Delivery::NotSent, reason };
    assert_eq!(poll(call.as_mut()), Poll::Ready(Err(lost)));
}
