//! The runtimes of one thread that contenders run on, each as it comes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use smol::Executor;

use crate::Result;
use crate::callers::{Runtime, Task};

/// tokio's `current_thread`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokio;

impl Tokio {
    pub(crate) fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
    }
}

impl Runtime for Tokio {
    fn spawn(&self, task: Task) {
        drop(tokio::spawn(task));
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// An executor of smol on one thread.
#[derive(Clone, Debug)]
pub(crate) struct Smol(pub(crate) Arc<Executor<'static>>);

impl Smol {
    pub(crate) fn run<T>(work: impl AsyncFnOnce(Self) -> Result<T>) -> Result<T> {
        let executor = Arc::new(Executor::new());
        smol::block_on(executor.run(work(Self(executor.clone()))))
    }
}

impl Runtime for Smol {
    fn spawn(&self, task: Task) {
        self.0.spawn(task).detach();
    }

    async fn sleep(&self, time: Duration) {
        smol::Timer::after(time).await;
    }
}

/// glommio's executor, which is that of its thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glommio;

impl Runtime for Glommio {
    fn spawn(&self, task: Task) {
        drop(glommio::spawn_local(task).detach());
    }

    async fn sleep(&self, time: Duration) {
        glommio::timer::sleep(time).await;
    }
}
