//! Callers: each gets its own outcome, and the line moves on whoever leaves it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Poll;
use core::time::Duration;
use std::sync::Mutex;

use super::{Count, NoHandler, Rig, Writing, body, poll};
use crate::error::{Delivery, Refusal};
use crate::peer::CallError;
use crate::peer::session::{Session, WhileDown};
use crate::wire::ExtensionFields;
use crate::{Config, Route};

#[test]
fn an_end_goes_to_its_own_caller_though_its_slot_was_taken_again_before_it_was_sorted() {
    let ours = Config { commit_limit: 1, ..Config::default() };
    let mut rig = Rig::open_with(NoHandler, ours, Config { call_slots: 1, ..Config::default() });
    rig.transport.script(|script| script.writing = Writing::Owning(0));
    rig.peer().push(1, "nothing gets past this").unwrap();
    let mut first = Box::pin(rig.peer().call(1, "first").timeout(Duration::from_secs(1)));
    let second = Arc::new(Mutex::new(Box::pin(rig.peer().call(1, "second"))));
    assert!(poll(first.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    rig.time.pass(Duration::from_secs(2));
    // Its time is over, its slot is free, and it has not been told yet: at this moment the next call comes.
    let (late, came) = (second.clone(), Arc::new(Count::default()));
    let comes = came.clone();
    rig.alarm.state(|state| {
        state.meanwhile = Some(Box::new(move || {
            comes.add();
            assert!(poll(late.lock().unwrap().as_mut()).is_pending());
        }));
    });
    assert!(rig.drive().is_pending());
    rig.transport.script(|script| script.writing = Writing::AtOnce);
    assert!(rig.turn().is_pending());
    assert_eq!(came.so_far(), 1);
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(second.lock().unwrap().as_mut())), "second");
    let ended = poll(first.as_mut());
    assert!(matches!(ended, Poll::Ready(Err(CallError::TimedOut(_)))), "{ended:?}");
}

/// Some runtimes give a task that has been woken its turn at once: each caller would be followed by a write of its own.
#[test]
fn what_those_say_next_whom_a_turn_has_woken_is_written_together() {
    let mut rig = Rig::open(NoHandler, 8);
    let peer = rig.peer();
    let call = || Box::pin(peer.call(1, ""));
    let mut calls = [(); 8].map(|()| call());
    calls.iter_mut().for_each(|call| assert!(poll(call.as_mut()).is_pending()));
    assert!(rig.turn().is_pending());
    for _ in 0..3 {
        rig.echo();
        rig.exchange();
        let (woken, writes) = (rig.woken.so_far(), rig.transport.script(|script| script.writes));
        assert!(rig.drive().is_pending());
        assert_eq!(rig.woken.so_far(), woken + 1, "its next turn is behind theirs");
        for waiting in &mut calls {
            assert!(poll(waiting.as_mut()).is_ready());
            *waiting = call();
            assert!(poll(waiting.as_mut()).is_pending());
        }
        assert_eq!(rig.woken.so_far(), woken + 1, "nobody need wake a driver whose turn is to come");
        assert!(rig.drive().is_pending());
        assert_eq!(rig.transport.script(|script| script.writes), writes + 1);
        rig.deliver();
    }
}

/// A peer whose window takes a call of 600 bytes and a small one beside it, but not one of 1,000 bytes.
fn narrow() -> Config {
    Config { max_message: 1024, max_frame: 4096, request_window: 1588, ..Config::default() }
}

/// The routes of the calls that have reached the peer.
fn routes(rig: &mut Rig<NoHandler>) -> Vec<u32> {
    assert!(rig.turn().is_pending());
    rig.requests().into_iter().map(|(_, message)| message.number).collect()
}

#[test]
fn a_caller_that_leaves_the_head_of_the_line_lets_the_next_one_through() {
    for comes_after in [false, true] {
        let mut rig = Rig::open_with(NoHandler, Config::default(), narrow());
        let peer = rig.peer();
        let mut long = Box::pin(peer.call(1, vec![0; 600]).no_timeout());
        let mut large = Box::pin(peer.call(2, vec![0; 1000]).no_timeout());
        let mut small = Box::pin(peer.call(3, vec![0; 10]).no_timeout());
        assert!(poll(long.as_mut()).is_pending() && poll(large.as_mut()).is_pending());
        if !comes_after {
            assert!(poll(small.as_mut()).is_pending());
        }
        assert_eq!(routes(&mut rig), [1]);
        let before = rig.woken.so_far();
        drop(large);
        assert!(rig.woken.so_far() > before, "the driver is told");
        assert!(poll(small.as_mut()).is_pending());
        assert_eq!(routes(&mut rig), [3]);
    }
}

#[test]
fn a_line_that_everybody_has_left_is_no_line() {
    let mut rig = Rig::open_with(NoHandler, Config::default(), narrow());
    let peer = rig.peer();
    let mut long = Box::pin(peer.call(1, vec![0; 600]).no_timeout());
    let mut large = Box::pin(peer.call(2, vec![0; 1000]).no_timeout());
    assert!(poll(long.as_mut()).is_pending() && poll(large.as_mut()).is_pending());
    let mut refused = Box::pin(peer.try_call(3, "").no_timeout());
    assert!(poll(refused.as_mut()).is_ready(), "it does not wait in line");
    drop(large);
    let mut small = Box::pin(peer.try_call(3, "").no_timeout());
    assert!(poll(small.as_mut()).is_pending());
    assert_eq!(routes(&mut rig), [1, 3]);
}

#[test]
fn a_caller_whose_time_is_up_at_the_head_of_the_line_lets_the_next_one_through() {
    let mut rig = Rig::open_with(NoHandler, Config::default(), narrow());
    let peer = rig.peer();
    let mut long = Box::pin(peer.call(1, vec![0; 600]).no_timeout());
    let mut large = Box::pin(peer.call(2, vec![0; 1000]).timeout(Duration::from_secs(1)));
    let mut small = Box::pin(peer.call(3, vec![0; 10]).no_timeout());
    assert!(poll(long.as_mut()).is_pending());
    assert!(poll(large.as_mut()).is_pending() && poll(small.as_mut()).is_pending());
    assert_eq!(routes(&mut rig), [1]);
    rig.time.pass(Duration::from_secs(1));
    assert_eq!(routes(&mut rig), [3]);
    let timed_out = CallError::TimedOut(Delivery::NotSent);
    assert_eq!(poll(large.as_mut()), Poll::Ready(Err(timed_out)));
}

#[test]
fn extensions_of_a_call_keep_its_route() {
    let mut rig = Rig::open(NoHandler, 4);
    let peer = rig.peer();
    let trace = ExtensionFields { trace: Some(b"trace"), ..Default::default() };
    let renamed = ExtensionFields { route: Some("refund"), ..trace };
    let mut calls = [
        Box::pin(peer.call("transfer", "").extensions(&trace)),
        Box::pin(peer.call(7, "").extensions(&trace)),
        Box::pin(peer.call("transfer", "").extensions(&renamed)),
    ];
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert!(rig.turn().is_pending());
    let requests = rig.requests();
    let routes: Vec<_> = requests.iter().map(|(_, message)| message.route()).collect();
    assert_eq!(routes, [Route::Name("transfer"), Route::Number(7), Route::Name("refund")]);
    for (_, message) in &requests {
        assert_eq!(message.extensions.fields().trace, Some(&b"trace"[..]));
    }
}

#[test]
fn a_call_with_extensions_that_cannot_be_sent_comes_back_as_it_was() {
    let mut rig = Rig::open(NoHandler, 4);
    let peer = rig.peer();
    for wrong in [
        ExtensionFields { trace: Some(&[0; 65]), ..Default::default() },
        ExtensionFields { idempotency_key: Some(b""), ..Default::default() },
        ExtensionFields { metadata: Some(&[0; 61_441]), ..Default::default() },
        ExtensionFields { route: Some(""), ..Default::default() },
    ] {
        let mut call = Box::pin(peer.call("transfer", "100").extensions(&wrong));
        let Poll::Ready(Err(CallError::Refused(refused))) = poll(call.as_mut()) else {
            panic!("not refused")
        };
        assert_eq!(refused.refusal, Refusal::BadExtension);
        let message = refused.message;
        assert_eq!((message.route(), &message.body[..]), (Route::Name("transfer"), &b"100"[..]));
    }
    assert!(rig.turn().is_pending());
    assert_eq!(rig.requests(), []);
}

#[test]
fn the_last_of_many_leaves_an_empty_line() {
    let mut rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let mut calls: Vec<_> = (0..300).map(|_| Box::pin(peer.call(1, "waits").no_timeout())).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(peer.shared().lock().callers.line(), (299, 299 * "waits".len()));
    // The last to leave stands in line.
    calls.into_iter().for_each(drop);
    assert_eq!(peer.shared().lock().callers.line(), (0, 0));
    assert_eq!(peer.shared().lock().callers.held_bytes(), 0);
    // Whoever called first was told to the peer, which answers: its slot is free again.
    assert!(rig.turn().is_pending());
    rig.echo();
    assert!(rig.turn().is_pending());
    let mut next = Box::pin(peer.call(1, "next"));
    assert!(poll(next.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(next.as_mut())), "next");
}

#[test]
fn a_caller_that_does_not_look_at_its_answer_leaves_nothing_behind() {
    let mut rig = Rig::open(NoHandler, 8);
    let peer = rig.peer();
    peer.shared().lock().aside.set_session(Session::new(WhileDown::default()));
    let mut call = Box::pin(peer.call(1, "is kept to call again with"));
    assert!(poll(call.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    rig.echo();
    assert!(rig.turn().is_pending());
    assert!(peer.shared().lock().callers.held_bytes() > 0);
    drop(call);
    let state = peer.shared().lock();
    assert_eq!((state.callers.held_bytes(), state.callers.reply_bytes()), (0, 0));
}
