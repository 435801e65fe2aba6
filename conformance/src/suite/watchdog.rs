//! Ends the process when a runtime does not come back, not even by its timers.

use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::kept;
use crate::scenario::Scenario;

/// Longer than a scenario may take on a runtime whose timers work.
const PATIENCE: Duration = Duration::from_secs(90);

/// Watches from a thread of its own.
pub(super) struct Watchdog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Since when which scenario is played.
    watched: Mutex<Option<(Instant, Scenario)>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Scenario)>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    pub(super) fn start(runner: &'static str) -> Self {
        let shared = Arc::<Shared>::default();
        let watched = Arc::downgrade(&shared);
        let watch = move || {
            while let Some(shared) = watched.upgrade() {
                let guard = shared.lock();
                if let Some((since, scenario)) = &*guard
                    && since.elapsed() > PATIENCE
                {
                    let problem = format!(
                        "nothing came back within {} s, not even by a timer: the runtime is blocked, or does not \
                         wake its tasks",
                        PATIENCE.as_secs()
                    );
                    println!("FAILED\n\n{}", kept::keep(runner, "hangs", scenario, &problem));
                    process::exit(1);
                }
                drop(shared.changed.wait_timeout(guard, Duration::from_secs(1)));
            }
        };
        // Without a thread to spare, who hangs hangs.
        let _ = thread::Builder::new().name("watchdog".into()).spawn(watch);
        Self(shared)
    }

    /// Does something that takes a while, and ends the process if it takes far too long.
    pub(super) fn watch<T>(&self, scenario: &Scenario, play: impl FnOnce() -> T) -> T {
        *self.0.lock() = Some((Instant::now(), scenario.clone()));
        let result = play();
        *self.0.lock() = None;
        result
    }
}
