//! Calls whose deadlines the driver has still to set, when their connection ends.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{NoHandler, Rig, Time, poll};
use crate::layer::Layers;
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
