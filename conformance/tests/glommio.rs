//! The suite on glommio. Without io_uring it is skipped, and says so.

#[cfg(target_os = "linux")]
mod linux {
    use std::future::Future;

    use adapter_glommio::Glommio;
    use conformance::Adapter;
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
            self.0.run(future)
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
