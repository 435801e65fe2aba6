//! What plays scenarios: a runtime, or a loop.

use std::marker::PhantomData;

use crate::adapter::Adapter;
use crate::embedded::{self, EventLoop};
use crate::player;
use crate::scenario::Scenario;
use crate::trace::Trace;

pub(super) trait Runner: Sized {
    const NAME: &'static str;
    const FACTOR: u32;
    const HAS_CLIENTS: bool;

    fn start() -> Result<Self, String>;
    fn play(&self, scenario: &Scenario) -> Trace;
}

/// The endpoints of an adapter.
pub(super) struct OnRuntime<A>(A);

impl<A: Adapter> Runner for OnRuntime<A> {
    const NAME: &'static str = A::NAME;
    const FACTOR: u32 = A::FACTOR;
    const HAS_CLIENTS: bool = true;

    fn start() -> Result<Self, String> {
        A::start().map(Self)
    }

    fn play(&self, scenario: &Scenario) -> Trace {
        player::play(&self.0, scenario)
    }
}

/// Bare connections in a loop.
pub(super) struct OnLoop<L>(PhantomData<L>);

impl<L: EventLoop> Runner for OnLoop<L> {
    const NAME: &'static str = L::NAME;
    const FACTOR: u32 = 1;
    const HAS_CLIENTS: bool = false;

    fn start() -> Result<Self, String> {
        L::start().map(|_| Self(PhantomData))
    }

    fn play(&self, scenario: &Scenario) -> Trace {
        embedded::play::<L>(scenario).unwrap_or_else(|stuck| Trace { stuck: Some(stuck), ..Trace::default() })
    }
}
