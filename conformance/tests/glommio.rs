//! The suite on glommio. Without io_uring it is skipped, and says so.

#[cfg(target_os = "linux")]
mod linux {
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, resume_unwind};

    use adapter_glommio::Glommio;
    use conformance::Adapter;
    use futures_lite::FutureExt;
    use glommio::LocalExecutor;

    pub(super) struct OnGlommio(LocalExecutor);

    impl Adapter for OnGlommio {
        type Runtime = Glommio;

        const NAME: &'static str = "glommio";

        fn start() -> Result<Self, String> {
            adapter_glommio::executor().map(Self).map_err(|error| error.to_string())
        }

        fn runtime(&self) -> Glommio {
            Glommio::default()
        }

        fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
            // A panic would leave the executor in a state in which nothing can be trusted.
            let result = self.0.run(AssertUnwindSafe(future).catch_unwind());
            result.unwrap_or_else(|panic| resume_unwind(panic))
        }
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    conformance::run::<linux::OnGlommio>()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: conformance on glommio: it exists on Linux only");
}
