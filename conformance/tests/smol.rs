//! The suite on smol, with tasks on two threads.

use std::future::Future;
use std::process::ExitCode;

use adapter_smol::Smol;
use conformance::Adapter;

struct OnSmol(Smol);

impl Adapter for OnSmol {
    type Runtime = Smol;

    const NAME: &'static str = "smol";

    fn start() -> Result<Self, String> {
        Smol::threads(2).map(Self).map_err(|error| error.to_string())
    }

    fn runtime(&self) -> Smol {
        self.0.clone()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        smol::block_on(future)
    }
}

fn main() -> ExitCode {
    conformance::run::<OnSmol>()
}
