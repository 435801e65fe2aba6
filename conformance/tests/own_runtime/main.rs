//! The suite on a runtime that nobody knows: one thread, [mio] for its sockets, and no more than an adapter needs.
//!
//! It is an example of how to adapt a runtime of your own. `runtime` is one such as you may have already: tasks, timers, and
//! wakers for sockets. `adapter` is what Longwire wants of it.

mod adapter;
mod runtime;

use std::future::Future;
use std::process::ExitCode;

use conformance::Adapter;

use self::adapter::Own;

impl Adapter for Own {
    type Runtime = Self;

    const NAME: &'static str = "a runtime of its own";

    fn start() -> Result<Self, String> {
        Self::new().map_err(|error| error.to_string())
    }

    fn runtime(&self) -> Self {
        self.clone()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.reactor().block_on(future)
    }
}

fn main() -> ExitCode {
    conformance::run::<Own>()
}
