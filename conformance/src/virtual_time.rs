//! The runner that every other one is compared with: the same endpoints in virtual time.

use std::future::Future;
use std::time::Duration;

use proto_core::simulation::{PipeConfig, World};

use crate::adapter::Adapter;
use crate::player::play;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// A runtime in virtual time, as the suite wants it.
#[derive(Debug)]
pub struct VirtualTime(World);

impl VirtualTime {
    /// Plays a scenario in a world of its own, whose chance comes from the scenario's seed.
    pub fn play(scenario: &Scenario) -> Trace {
        let world = World::new(scenario.seed);
        // The scenario says what the network is like: this one only carries.
        world.set_network(PipeConfig {
            latency: Duration::ZERO,
            read_size: 64 << 10..=64 << 10,
            ..PipeConfig::default()
        });
        play(&Self(world), scenario)
    }
}

impl Adapter for VirtualTime {
    type Runtime = World;

    const NAME: &'static str = "virtual time";

    const FACTOR: u32 = 20;

    fn start() -> Result<Self, String> {
        Ok(Self(World::new(0)))
    }

    fn runtime(&self) -> World {
        self.0.clone()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}
