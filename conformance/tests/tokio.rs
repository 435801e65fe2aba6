//! The suite on tokio, with tasks on two threads.

use std::future::Future;
use std::process::ExitCode;

use conformance::Adapter;
use tokio::runtime::{Builder, Runtime};

struct Tokio(Runtime);

impl Adapter for Tokio {
    type Runtime = adapter_tokio::Tokio;

    const NAME: &'static str = "tokio";

    fn start() -> Result<Self, String> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map(Self).map_err(|error| error.to_string())
    }

    fn runtime(&self) -> adapter_tokio::Tokio {
        adapter_tokio::Tokio::default()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

fn main() -> ExitCode {
    conformance::run::<Tokio>()
}
