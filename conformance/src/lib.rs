//! What Longwire promises, as properties.
//!
//! A [`Scenario`] says what two peers do and what the network between them is like. A [`World`] plays it on the core
//! in virtual time and writes a [`Trace`] of what each side did and observed. What must hold for every trace, whatever
//! the scenario, is in [`Trace::check`]; the tests beside this library say what must hold beyond that.
//!
//! This library depends on `proto-core` alone. It measures no time and opens nothing, and it judges a connection only
//! by its public methods and its bytes.
//!
//! # Example
//!
//! ```
//! use conformance::{Action, Scenario, World};
//! use proto_core::{Lane, Role};
//!
//! let call = Action::Call { size: 100, metadata: 0, timeout: None, lane: Lane::Normal };
//! let scenario = Scenario { script: vec![(Role::Dialer, call)], ..Scenario::default() };
//! let trace = World::play(&scenario);
//! assert_eq!(trace.check(), Ok(()));
//! assert_eq!(trace.side(Role::Dialer).replies(), 1);
//! ```

pub mod frames;
pub mod label;
pub mod scenario;
pub mod trace;
pub mod world;

pub use label::{Label, Purpose};
pub use scenario::{Action, Scenario};
pub use trace::{Entry, Side, Trace, Violation};
pub use world::World;

use std::cell::Cell;

use proptest::test_runner::{Config, FileFailurePersistence};
use proto_core::{Lane, Role};

/// How a property is tested: on so many cases, or on as many as `PROPTEST_CASES` says.
///
/// A case that failed is kept beside the test's source, with extension `proptest-regressions`.
pub fn cases(usual: u32) -> Config {
    Config {
        cases: usual,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}

/// Counts how often a property has met what it is about, since one that never does proves nothing.
#[derive(Debug, Default)]
pub struct Met(Cell<usize>);

impl Met {
    /// So many times more.
    pub fn add(&self, count: usize) {
        self.0.set(self.0.get() + count);
    }

    /// How often.
    pub fn count(&self) -> usize {
        self.0.get()
    }

    /// Fails unless it was met.
    ///
    /// # Panics
    /// If it was not.
    pub fn assert(&self, what: &str) {
        assert!(self.count() > 0, "no case had {what}: the cases prove nothing about it");
    }
}

/// Both roles, the dialer first.
pub const BOTH: [Role; 2] = [Role::Dialer, Role::Acceptor];

/// All lanes.
pub const LANES: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Bulk];

/// The other side.
pub const fn other(role: Role) -> Role {
    match role {
        Role::Dialer => Role::Acceptor,
        Role::Acceptor => Role::Dialer,
    }
}
