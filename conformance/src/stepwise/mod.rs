//! The core by itself, one step after the other.
//!
//! A [`Scenario`] says what two applications do on their [`Connection`](proto_core::Connection)s and when the network moves,
//! down to single events and bytes. A [`World`] plays it in virtual time and writes a [`Trace`]. What must hold for every
//! trace, whatever the scenario, is in [`Trace::check`]; the tests in `tests/core` say what must hold beyond that.
//!
//! # Example
//!
//! ```
//! use conformance::stepwise::{Action, Scenario, World};
//! use proto_core::{Lane, Role};
//!
//! let call = Action::Call { size: 100, metadata: 0, timeout: None, lane: Lane::Normal };
//! let scenario = Scenario { script: vec![(Role::Dialer, call)], ..Scenario::default() };
//! let trace = World::play(&scenario);
//! assert_eq!(trace.check(), Ok(()));
//! assert_eq!(trace.side(Role::Dialer).replies(), 1);
//! ```

pub mod label;
pub mod scenario;
pub mod trace;
pub mod world;

pub use self::label::{Label, Purpose};
pub use self::scenario::{Action, Scenario};
pub use self::trace::{Entry, Side, Trace, Violation};
pub use self::world::World;
