//! What plays scenarios: a runtime, or a loop.

use std::marker::PhantomData;
use std::time::Duration;

use super::contract;
use super::promises::Promise;
use crate::adapter::Adapter;
use crate::embedded::{self, EventLoop};
use crate::player;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::virtual_time::VirtualTime;

pub(super) trait Runner: Sized {
    const NAME: &'static str;
    const FACTOR: u32;
    /// Why a promise cannot be tried on it, if it cannot.
    fn lacks(promise: &Promise) -> Option<&'static str>;
    const HAS_CLIENTS: bool;

    fn start() -> Result<Self, String>;
    /// Tries its parts by themselves, if it has such.
    fn check(&self) -> Option<Result<(), String>>;
    /// Plays a scenario, and calls it stuck after so long.
    fn play(&self, scenario: &Scenario, patience: Duration) -> Trace;
}

/// The endpoints of an adapter.
pub(super) struct OnRuntime<A>(A);

impl<A: Adapter> Runner for OnRuntime<A> {
    const NAME: &'static str = A::NAME;
    const FACTOR: u32 = 1;
    const HAS_CLIENTS: bool = true;

    fn lacks(_: &Promise) -> Option<&'static str> {
        None
    }

    fn start() -> Result<Self, String> {
        A::start().map(Self)
    }

    fn check(&self) -> Option<Result<(), String>> {
        let runtime = self.0.runtime();
        Some(self.0.block_on(contract::check(&runtime)))
    }

    fn play(&self, scenario: &Scenario, patience: Duration) -> Trace {
        self.0.block_on(player::play_on(self.0.runtime(), scenario, patience))
    }
}

/// Endpoints in virtual time, each scenario in a world of its own.
pub(super) struct InVirtualTime;

impl Runner for InVirtualTime {
    const NAME: &'static str = "virtual time";
    const FACTOR: u32 = 15;
    const HAS_CLIENTS: bool = true;

    fn lacks(_: &Promise) -> Option<&'static str> {
        None
    }

    fn start() -> Result<Self, String> {
        Ok(Self)
    }

    fn check(&self) -> Option<Result<(), String>> {
        let world = VirtualTime::world(0);
        Some(world.block_on(contract::check(&world)))
    }

    fn play(&self, scenario: &Scenario, _: Duration) -> Trace {
        VirtualTime::play(scenario)
    }
}

/// Bare connections in a loop.
pub(super) struct OnLoop<L>(PhantomData<L>);

impl<L: EventLoop> Runner for OnLoop<L> {
    const NAME: &'static str = L::NAME;
    const FACTOR: u32 = 1;
    const HAS_CLIENTS: bool = false;

    fn lacks(promise: &Promise) -> Option<&'static str> {
        if promise.needs_clients {
            Some("it has no clients that come back")
        } else if promise.counts_turns {
            Some("a loop does not tell its turns")
        } else {
            None
        }
    }

    fn start() -> Result<Self, String> {
        L::start().map(|_| Self(PhantomData))
    }

    fn check(&self) -> Option<Result<(), String>> {
        None
    }

    fn play(&self, scenario: &Scenario, patience: Duration) -> Trace {
        let played = embedded::play::<L>(scenario, patience);
        played.unwrap_or_else(|stuck| Trace { stuck: Some(stuck), ..Trace::default() })
    }
}
