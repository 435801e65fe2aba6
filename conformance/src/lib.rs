//! What Longwire promises, tried on every event loop that drives it: ours, and yours.
//!
//! A [`Scenario`] says what two peers do and what the network between them does. It is played with the servers and clients of a
//! runtime over its own sockets; a [`Trace`] is what both sides observed; and a [`Model`], which knows the promises and not the
//! core, says whether that may be observed. Where nothing races there is exactly one trace, and it is the same one on tokio,
//! smol, glommio, in virtual time and on a runtime of your own.
//!
//! Of this project, this library depends on `proto-core` alone. It judges an adapter by nothing but what its users can see.
//!
//! # Try your own adapter
//!
//! Give your package a test without a harness, implement [`Adapter`] for a type that holds your runtime, and call [`run()`]:
//!
//! ```toml
//! [dev-dependencies]
//! conformance = { path = "longwire/conformance" }     # where you cloned it; it is not published yet
//!
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```no_run
//! // tests/conformance.rs
//! use std::process::ExitCode;
//!
//! # use proto_core::simulation::World as MyRuntime;
//! struct Mine(MyRuntime);
//!
//! impl conformance::Adapter for Mine {
//!     type Runtime = MyRuntime;
//!
//!     const NAME: &'static str = "mine";
//!
//!     fn start() -> Result<Self, String> {
//!         # let my_runtime = MyRuntime::new(1);
//!         Ok(Self(my_runtime))
//!     }
//!
//!     fn runtime(&self) -> MyRuntime {
//!         self.0.clone()
//!     }
//!
//!     fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
//!         self.0.block_on(future)
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     conformance::run::<Mine>()
//! }
//! ```
//!
//! That is how the adapters of this repository are tried, each in a file of `tests/`. How to write an adapter is told by
//! [`proto_core::endpoint`].
//!
//! # When a promise is broken
//!
//! The scenario is made as small as possible, shown, and kept in `scenarios/` of the package that was tried, from where every
//! later run plays it first. It is [text](Scenario#text): change it, and run `cargo test --test conformance kept`. The model says which
//! promise was broken and what was observed instead, and whether the same happens in virtual time: if not, look at the adapter
//! first. [`VirtualTime::play`] plays it where time stands still, so that a debugger does no harm.
//!
//! `PROMISES.md` beside this crate lists what is promised, the promises of the core alone included, and which tests try it.
//!
//! # What is where
//!
//! | module | |
//! |---|---|
//! | [`scenario`] | scenarios, their text, and how they are drawn |
//! | [`player`], [`embedded`] | play one: on a runtime, and in a loop that drives connections itself |
//! | [`trace`], [`model`] | what was observed, and what may be |
//! | [`observed`] | a runtime that is watched while it is tried |
//! | [`suite`] | the promises, and [`run()`] |
//! | [`stepwise`] | the core by itself, event after event and byte after byte: for what only it can show |
//! | [`frames`] | bytes that keep to no rules |

mod adapter;
pub mod embedded;
pub mod frames;
pub mod model;
pub mod observed;
pub mod player;
pub mod scenario;
pub mod stepwise;
pub mod suite;
pub mod trace;
mod virtual_time;

pub use self::adapter::Adapter;
pub use self::embedded::EventLoop;
pub use self::model::{Model, Violation};
pub use self::scenario::{ParseError, Scenario};
pub use self::suite::{run, run_in_virtual_time, run_loop};
pub use self::trace::Trace;
pub use self::virtual_time::VirtualTime;

use std::cell::Cell;

use proptest::test_runner::{Config, FileFailurePersistence};
use proto_core::{Lane, Role};

/// How a property is tested: on so many cases, or on as many as `PROPTEST_CASES` says.
///
/// A case that failed is kept beside the test's source, with extension `proptest-regressions`.
#[doc(hidden)]
pub fn cases(usual: u32) -> Config {
    Config {
        cases: usual,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}

/// Counts how often a property has met what it is about, since one that never does proves nothing.
#[doc(hidden)]
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
#[doc(hidden)]
pub const BOTH: [Role; 2] = [Role::Dialer, Role::Acceptor];

/// All lanes.
#[doc(hidden)]
pub const LANES: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Bulk];

/// The other side.
#[doc(hidden)]
pub const fn other(role: Role) -> Role {
    match role {
        Role::Dialer => Role::Acceptor,
        Role::Acceptor => Role::Dialer,
    }
}
