//! Calls whose deadlines the driver has still to set, when their connection ends.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use super::{NoHandler, Rig, Time, Writing, poll};
use crate::layer::Layers;
use crate::peer::on_request;
use crate::peer::session::{Session, WhileDown};
use crate::simulation::Veil;
use crate::wire::{CloseCode, CloseInfo};
use crate::{Config, Instant, Role};

/// A client's connection with two calls under way, of which the driver has dated the first; then the connection ends by what the other
/// end says. Gives the deadlines of those that are called again.
fn deadlines_after(
    mut rig: Rig<NoHandler>,
    last_words: impl FnOnce(&mut Rig<NoHandler>) -> Vec<u8>,
) -> Vec<Option<Instant>> {
    let peer = rig.peer();
    peer.shared().lock().aside.set_session(Session::new(WhileDown::default()));
    assert!(rig.drive().is_pending());
    let mut calls = [1, 2].map(|route| Box::pin(rig.peer().call(route, "again").idempotent()));
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert!(peer.shared().lock().callers.has_undated());
    let input = last_words(&mut rig);
    rig.transport.script(|script| {
        script.input.push_back(input);
        script.end_of_input = true;
    });
    for _ in 0..4 {
        let _ = rig.drive();
    }
    let mut state = peer.shared().lock();
    core::iter::from_fn(|| state.callers.first_in_line()).map(|(_, queued)| queued.deadline).collect()
}

#[test]
fn calls_keep_their_deadlines_when_the_connection_ends_before_they_are_dated() {
    let mut rig = Rig::open(NoHandler, 8);
    let _ = rig.turn();
    let deadlines = deadlines_after(rig, |rig| {
        rig.far.close(rig.time.now(), CloseCode::GOING_AWAY, CloseInfo::default());
        rig.said()
    });
    assert!(deadlines.len() == 2 && deadlines.iter().all(Option::is_some), "{deadlines:?}");
}

#[test]
fn calls_keep_their_deadlines_when_a_layer_fails_before_they_are_dated() {
    let layer = || Some(Layers::new(Veil));
    let config = || Config { layer: layer(), ..Config::default() };
    let mut rig = Rig::start(Role::Dialer, NoHandler, config(), config(), Time::default());
    for _ in 0..6 {
        let _ = rig.turn();
        rig.far.accept(rig.time.now());
    }
    assert!(rig.peer().is_open());
    let deadlines = deadlines_after(rig, |_| Vec::from([9, 0, 0, 9, 0, 0]));
    assert!(!deadlines.is_empty() && deadlines.iter().all(Option::is_some), "{deadlines:?}");
}

const SILENCE: Duration = Duration::from_secs(60);

/// What is to be written, and is not taken, has as long as any other.
#[test]
fn a_call_after_a_long_silence_does_not_stall_from_its_beginning() {
    for (timeout, layer) in [
        (None, None),
        (Some(Duration::from_secs(90)), None),
        (None, Some(Layers::new(Veil))),
        (Some(Duration::from_secs(90)), Some(Layers::new(Veil))),
    ] {
        let (time, waits) = (Time::default(), Arc::new(Mutex::new(None::<Waker>)));
        let (clock, waiting) = (time.clone(), waits.clone());
        let handler = on_request(move |peer, _| {
            let (clock, waiting) = (clock.clone(), waiting.clone());
            async move {
                poll_fn(|cx| {
                    *waiting.lock().unwrap() = Some(cx.waker().clone());
                    if clock.now() < Instant::EPOCH + SILENCE { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                let call = peer.call(2, "");
                let _ = match timeout {
                    Some(timeout) => call.timeout(timeout).await,
                    None => call.no_timeout().await,
                };
                Ok("".into())
            }
        });
        let quiet = || Config { heartbeat: None, layer: layer.clone(), ..Config::default() };
        let mut rig = Rig::start(Role::Dialer, handler, quiet(), quiet(), time);
        for _ in 0..6 {
            let _ = rig.turn();
            rig.far.accept(rig.time.now());
        }
        rig.ask(1);
        assert!(rig.turn().is_pending() && rig.turn().is_pending());
        rig.time.pass(SILENCE);
        waits.lock().unwrap().take().expect("the handler waits").wake();
        rig.transport.script(|script| script.writing = Writing::Owning(0));
        let begun = rig.time.now();
        for _ in 0..3 {
            let ended = rig.drive();
            assert!(ended.is_pending(), "{timeout:?}: {ended:?}");
        }
        let deadline = rig.peer().shared().lock().next_deadline();
        assert_eq!(deadline, Some(begun + Config::default().write_stall_timeout), "{timeout:?}");
    }
}
