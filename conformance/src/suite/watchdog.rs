//! Ends the process when a runtime does not come back, not even by its timers.

use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::kept;
use crate::scenario::Scenario;

/// Longer than a scenario may take on a runtime whose timers work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watches from a thread of its own.
pub(super) struct Watchdog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Since when something is done; which scenario, if one is played.
    watched: Mutex<Option<(Instant, Option<Scenario>)>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Option<Scenario>)>> {
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
                    println!("FAILED\n\n{}", told(runner, scenario.as_ref()));
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
    pub(super) fn watch<T>(&self, scenario: Option<&Scenario>, play: impl FnOnce() -> T) -> T {
        *self.0.lock() = Some((Instant::now(), scenario.cloned()));
        let result = play();
        *self.0.lock() = None;
        result
    }
}

fn told(runner: &str, scenario: Option<&Scenario>) -> String {
    let seconds = PATIENCE.as_secs();
    let problem = format!(
        "nothing came back within {seconds} s, not even by a timer: the runtime is blocked, or its block_on is not woken"
    );
    scenario.map_or_else(|| problem.clone(), |scenario| kept::keep(runner, "hangs", scenario, &problem))
}
