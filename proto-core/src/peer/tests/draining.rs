//! A drain: who came before it is served, who comes after it is told so, and those who wait for it hear of it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::{Count, NoHandler, Rig, body, poll};
use crate::Config;
use crate::error::{CloseReason, Refusal};
use crate::peer::{Call, CallError};
use crate::wire::{CloseCode, CloseInfo};

const SECOND: Duration = Duration::from_secs(1);

/// Who begins a drain.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Begins {
    ThisSide,
    ThePeer,
    Both,
}

const ALL: [Begins; 3] = [Begins::ThisSide, Begins::ThePeer, Begins::Both];

impl Rig<NoHandler> {
    fn drain(&mut self, who: Begins) {
        let (code, info) = (CloseCode::GOING_AWAY, CloseInfo::default());
        if who != Begins::ThePeer {
            self.peer().drain(code, info.clone(), 30 * SECOND);
        }
        if who != Begins::ThisSide {
            self.far.drain(self.time.now(), code, info, 30 * SECOND);
        }
    }

    #[track_caller]
    fn assert_refused(&self) {
        for call in [self.peer().call(1, "too late"), self.peer().try_call(1, "too late")] {
            let Poll::Ready(Err(error)) = poll(pin!(call)) else { panic!("it waits") };
            assert_eq!(error.refusal(), Some(Refusal::Draining));
            assert!(!error.may_have_run());
            let CallError::Refused(refused) = error else { panic!("{error:?}") };
            assert_eq!(refused.message.body, "too late");
        }
    }
}

/// Calls beyond what the peer takes at a time, so that all but the first `slots` stand in line.
fn calls(rig: &Rig<NoHandler>, calls: usize) -> Vec<Pin<Box<Call>>> {
    let peer = rig.peer();
    let mut calls: Vec<_> =
        (0..calls).map(|number| Box::pin(peer.call(1, vec![number as u8]).no_timeout())).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    calls
}

/// LW-7.10: what was accepted is sent, and a caller in line has been accepted as far as it knows.
#[test]
fn callers_in_line_when_a_drain_begins_are_answered_and_those_after_it_are_refused() {
    for who in ALL {
        for arrived in [false, true] {
            let mut rig = Rig::open(NoHandler, 2);
            let peer = rig.peer();
            let mut calls = calls(&rig, 9);
            if arrived {
                assert!(rig.turn().is_pending());
            }
            rig.drain(who);
            if who == Begins::ThePeer {
                assert!(rig.turn().is_pending());
            }
            assert!(peer.is_draining() && !peer.is_open());
            rig.assert_refused();
            peer.push(1, "pushes go on").unwrap();
            let mut answered = Vec::new();
            while answered.len() < 9 {
                let before = answered.len();
                for _ in 0..2 {
                    assert!(rig.turn().is_pending());
                }
                assert_eq!(peer.close_reason(), None, "{} were answered, {who:?}", answered.len());
                rig.assert_refused();
                rig.echo();
                assert!(rig.turn().is_pending());
                calls.retain_mut(|call| match poll(call.as_mut()) {
                    Poll::Pending => true,
                    ready => {
                        answered.extend_from_slice(&body(ready));
                        false
                    }
                });
                assert!(answered.len() > before, "nobody else is let in, {who:?}");
            }
            answered.sort_unstable();
            assert_eq!(answered, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
            for _ in 0..4 {
                let _ = rig.turn();
            }
            let expected = match who {
                Begins::ThisSide | Begins::Both => CloseReason::Local(CloseCode::GOING_AWAY),
                Begins::ThePeer => CloseReason::Peer(CloseCode::GOING_AWAY, None),
            };
            assert_eq!(peer.close_reason(), Some(expected), "{who:?}");
        }
    }
}

#[test]
fn a_caller_that_leaves_the_line_does_not_hold_a_drain_up() {
    let mut rig = Rig::open(NoHandler, 1);
    let mut calls = calls(&rig, 3);
    rig.drain(Begins::ThisSide);
    assert!(rig.turn().is_pending());
    calls.truncate(1);
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(calls[0].as_mut())), [0][..]);
    let _ = rig.turn();
    assert_eq!(rig.peer().close_reason(), Some(CloseReason::Local(CloseCode::GOING_AWAY)));
}

#[test]
fn callers_in_line_are_told_when_the_time_of_a_drain_is_up() {
    let mut rig = Rig::open(NoHandler, 1);
    let mut calls = calls(&rig, 2);
    rig.drain(Begins::ThisSide);
    assert!(rig.turn().is_pending());
    rig.time.pass(30 * SECOND);
    for _ in 0..4 {
        let _ = rig.turn();
    }
    for (call, may_have_run) in calls.iter_mut().zip([true, false]) {
        let Poll::Ready(Err(error)) = poll(call.as_mut()) else { panic!("it waits") };
        assert!(matches!(error, CallError::Lost { .. }), "{error:?}");
        assert_eq!(error.may_have_run(), may_have_run);
    }
}

#[test]
fn whoever_waits_for_a_drain_is_woken_by_it() {
    for who in ALL {
        let mut rig = Rig::open(NoHandler, 1);
        // Something is in flight, so that the connection does not end at once.
        let _call = calls(&rig, 1);
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut draining = pin!(rig.peer().draining());
        let mut look = || draining.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(look().is_pending());
        assert!(rig.turn().is_pending());
        assert_eq!(woken.so_far(), 0, "nothing has begun");
        rig.drain(who);
        assert!(rig.turn().is_pending());
        assert_eq!(rig.peer().close_reason(), None);
        assert!(woken.so_far() > 0, "{who:?}");
        assert!(look().is_ready());
    }
}

/// A drain of an idle connection is over before anybody has looked.
#[test]
fn whoever_waits_for_a_drain_is_woken_by_any_end() {
    let ends: [fn(&mut Rig<NoHandler>); 4] = [
        |rig| rig.drain(Begins::ThisSide),
        |rig| rig.drain(Begins::ThePeer),
        |rig| rig.peer().close(CloseCode::NORMAL, CloseInfo::default()),
        |rig| rig.transport.script(|script| script.end_of_input = true),
    ];
    for end in ends {
        let mut rig = Rig::open(NoHandler, 1);
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut draining = pin!(rig.peer().draining());
        assert!(draining.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        end(&mut rig);
        for _ in 0..4 {
            let _ = rig.turn();
        }
        assert!(rig.peer().close_reason().is_some());
        assert!(woken.so_far() > 0);
        assert!(poll(draining).is_ready());
    }
}

#[test]
fn a_connection_that_drains_by_itself_says_so() {
    let cases = [
        (Config { idle_timeout: Some(SECOND), ..Config::default() }, CloseCode::IDLE, 2 * SECOND),
        (Config { max_age: Some(SECOND), ..Config::default() }, CloseCode::MAX_AGE, 2 * SECOND),
    ];
    for (config, code, time) in cases {
        let mut rig = Rig::open_with(NoHandler, config, Config::default());
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut draining = pin!(rig.peer().draining());
        assert!(draining.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // A call in flight keeps a connection from being idle; it does not keep it young.
        let mut call = calls(&rig, 1);
        rig.time.pass(time);
        assert!(rig.turn().is_pending());
        assert_eq!(rig.peer().is_draining(), code == CloseCode::MAX_AGE);
        rig.echo();
        for _ in 0..4 {
            let _ = rig.turn();
        }
        assert_eq!(body(poll(call[0].as_mut())), [0][..]);
        rig.time.pass(time);
        for _ in 0..4 {
            let _ = rig.turn();
        }
        assert!(woken.so_far() > 0 && poll(draining).is_ready());
        assert_eq!(rig.peer().close_reason(), Some(CloseReason::Local(code)));
    }
}
