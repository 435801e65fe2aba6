//! What a connection holds for its callers is counted and limited, and nothing stays behind.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::{Count, NoHandler, Rig, poll};
use crate::Config;
use crate::peer::{Call, CallError};
use crate::wire::{Extensions, StatusCode};

#[test]
fn a_task_that_polls_a_watch_again_and_again_keeps_one_place() {
    let rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let watchers = || peer.shared().lock().aside.watchers().map_or(0, |watchers| watchers.len());
    {
        let mut closed = pin!(peer.closed());
        for _ in 0..1000 {
            // A waker of another task each time, as when the future moves from one to another.
            let waker = Waker::from(Arc::new(Count::default()));
            assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(watchers(), 1);
    }
    for _ in 0..1000 {
        assert!(poll(pin!(peer.closed())).is_pending());
    }
    assert_eq!(watchers(), 0);
}

#[test]
fn an_idle_connection_holds_nothing_beside_itself() {
    let mut rig = Rig::open(NoHandler, 4);
    let peer = rig.peer();
    let opened = peer.held_bytes();
    let mut calls: Vec<_> = (0..8).map(|_| Box::pin(peer.call(1, vec![1; 5000]))).collect();
    while !calls.is_empty() {
        calls.retain_mut(|call| poll(call.as_mut()).is_pending());
        assert!(rig.turn().is_pending());
        rig.echo();
        assert!(rig.turn().is_pending());
    }
    assert_eq!(peer.held_bytes(), opened);
}

type Calls = Vec<core::pin::Pin<Box<Call>>>;

/// Calls that are answered with `length` bytes each, and whose callers do not look.
fn answered(rig: &mut Rig<NoHandler>, calls: usize, length: usize) -> Calls {
    answered_with(rig, calls, StatusCode::OK, length, || ())
}

/// The same with a status; `meanwhile` runs when the replies have arrived and have not been read.
fn answered_with(
    rig: &mut Rig<NoHandler>,
    calls: usize,
    status: StatusCode,
    length: usize,
    meanwhile: impl FnOnce(),
) -> Calls {
    let peer = rig.peer();
    let mut calls: Calls = (0..calls).map(|_| Box::pin(peer.call(1, "").no_timeout())).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert!(rig.turn().is_pending());
    for (id, _) in rig.requests() {
        let body = vec![7; length].into();
        rig.far.reply(rig.time.now(), id, status, Extensions::none(), body).unwrap();
        rig.exchange();
    }
    meanwhile();
    while rig.transport.script(|script| !script.input.is_empty()) {
        assert!(rig.turn().is_pending());
    }
    calls
}

/// How many of these replies were kept, when the callers look.
fn kept(calls: Calls) -> usize {
    let ended = calls.into_iter().map(|mut call| match poll(call.as_mut()) {
        Poll::Ready(Err(CallError::Discarded)) => 0,
        Poll::Ready(Ok(_) | Err(CallError::Status(_))) => 1,
        other => panic!("{other:?}"),
    });
    ended.sum()
}

#[test]
fn replies_that_their_callers_do_not_take_count_against_the_limit() {
    let ours = Config { undelivered_limit: 10_000, ..Config::default() };
    let most = ours.max_held_bytes(50);
    let mut rig = Rig::open_with(NoHandler, ours, Config::default());
    let peer = rig.peer();
    let opened = peer.held_bytes();
    for status in [StatusCode::OK, StatusCode::BAD_REQUEST] {
        let calls = answered_with(&mut rig, 50, status, 1000, || ());
        assert!((10_000..most).contains(&peer.held_bytes()), "{}", peer.held_bytes());
        assert_eq!(kept(calls), 10);
        // It is woken to have its turn behind those whom it has woken, and comes to rest.
        assert!(rig.turn().is_pending());
        assert_eq!(peer.held_bytes(), opened);
    }
}

#[test]
fn replies_that_are_taken_or_given_up_make_room_for_others_at_once() {
    let ways: [fn(Calls); 2] = [|taken| assert_eq!(kept(taken), 2), drop];
    for free in ways {
        let ours = Config { undelivered_limit: 10_000, ..Config::default() };
        let mut rig = Rig::open_with(NoHandler, ours, Config::default());
        let mut first = answered(&mut rig, 10, 1000);
        assert_eq!(kept(answered(&mut rig, 3, 1000)), 0, "there is no room");
        let freed = first.split_off(8);
        let second = answered_with(&mut rig, 2, StatusCode::OK, 1000, || free(freed));
        assert_eq!(kept(answered(&mut rig, 1, 1000)), 0, "there is no room again");
        assert_eq!((kept(first), kept(second)), (8, 2));
    }
}

#[test]
fn one_reply_is_kept_whatever_its_length() {
    let ours = Config { undelivered_limit: 10, ..Config::default() };
    let mut rig = Rig::open_with(NoHandler, ours, Config::default());
    for _ in 0..2 {
        assert_eq!(kept(answered(&mut rig, 3, 100_000)), 1);
    }
}

#[test]
fn messages_in_line_are_held_bytes_until_they_leave_it() {
    let mut rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let opened = peer.held_bytes();
    let mut running = Box::pin(peer.call(1, ""));
    assert!(poll(running.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    let idle = peer.held_bytes();
    let mut in_line: Calls = (0..3).map(|_| Box::pin(peer.call(1, vec![1; 5000]))).collect();
    for call in &mut in_line {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert!(peer.held_bytes() >= idle + 15_000);
    assert!(rig.turn().is_pending());
    assert_eq!(peer.held_bytes(), idle + 15_000, "one that is tried in vain stays in line");
    drop(in_line.pop());
    assert!(rig.turn().is_pending());
    assert_eq!(peer.held_bytes(), idle + 10_000);
    // Their time is up; the one that runs ends with them.
    rig.time.pass(core::time::Duration::from_secs(10));
    assert!(rig.turn().is_pending());
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(peer.held_bytes(), opened);
}

#[test]
fn nothing_stays_behind_with_a_connection_that_ended_before_its_replies_were_taken() {
    for many in [1, 64] {
        let mut rig = Rig::open(NoHandler, 64);
        let peer = rig.peer();
        let calls = answered_with(&mut rig, many, StatusCode::BAD_REQUEST, 5, || ());
        rig.transport.script(|script| script.end_of_input = true);
        assert!((0..20).any(|_| rig.drive().is_ready()));
        drop(rig);
        assert!(peer.held_bytes() >= many * 5);
        assert_eq!(kept(calls), many);
        assert_eq!(peer.held_bytes(), 0);
    }
}
