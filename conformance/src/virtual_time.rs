//! The runner that every other one is compared with: the same endpoints in virtual time.

use std::time::Duration;

use proto_core::simulation::{PipeConfig, World};

use crate::player::{TOO_LONG, play_on};
use crate::scenario::Scenario;
use crate::trace::Trace;

/// Endpoints in virtual time: the same scenario gives the same trace.
#[derive(Clone, Copy, Debug)]
pub struct VirtualTime;

impl VirtualTime {
    /// Plays a scenario in a world of its own, whose chance comes from the scenario's seed.
    pub fn play(scenario: &Scenario) -> Trace {
        let world = Self::world(scenario.seed);
        world.block_on(play_on(world.clone(), scenario, TOO_LONG))
    }

    /// A world whose network only carries: the scenario says what happens on the way.
    pub(crate) fn world(seed: u64) -> World {
        let world = World::new(seed);
        let read_size = 64 << 10..=64 << 10;
        world.set_network(PipeConfig { latency: Duration::ZERO, read_size, ..PipeConfig::default() });
        world
    }
}
