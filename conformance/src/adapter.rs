//! What the suite wants to know of a runtime.

use std::future::Future;

use proto_core::endpoint::{ClientTask, ConnectionTask, Runtime, Spawn};

use crate::observed::Observed;
use crate::player::Player;

/// A runtime on which the suite can be run: an adapter, and how to start it.
///
/// The bounds ask for nothing beside [`Runtime`] and a [`Spawn`] that takes servers' and clients' tasks: an adapter whose own
/// `Server` and `Client` compile has them.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use conformance::Adapter;
/// use proto_core::simulation::World;
///
/// struct Virtual(World);
///
/// impl Adapter for Virtual {
///     type Runtime = World;
///
///     const NAME: &'static str = "virtual";
///
///     fn start() -> Result<Self, String> {
///         Ok(Self(World::new(1)))
///     }
///
///     fn runtime(&self) -> World {
///         self.0.clone()
///     }
///
///     fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
///         self.0.block_on(future)
///     }
/// }
///
/// fn main() -> ExitCode {
///     conformance::run::<Virtual>()
/// }
/// ```
pub trait Adapter: Sized {
    /// The runtime: what the adapter implements.
    type Runtime: Runtime
        + Spawn<ConnectionTask<Observed<Self::Runtime>, Player>>
        + Spawn<ClientTask<Observed<Self::Runtime>, Player>>;

    /// What it is called in what the suite says.
    const NAME: &'static str;

    /// Starts it. It is used for all scenarios, one after the other.
    ///
    /// # Errors
    /// Why it cannot run on this machine: then the suite is skipped, and says so.
    fn start() -> Result<Self, String>;

    /// A handle of it, for use within [`block_on`](Self::block_on).
    fn runtime(&self) -> Self::Runtime;

    /// Runs a future to its end, on this thread, with what it spawns beside it. If the future panics, so does this, and the
    /// runtime can be used again.
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T;
}
