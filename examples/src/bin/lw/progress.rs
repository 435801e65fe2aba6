//! A line on the terminal that says how far a long run is.
//!
//! It shows only where it disturbs nothing: on standard error when that is a terminal and standard output is none, and
//! only when the run takes more than a second.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::units::grouped;

const PATIENCE: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Progress {
    ticks: Option<Interval>,
}

/// Whether the line stands there at the moment: whatever else goes to standard error comes in its place.
static SHOWN: AtomicBool = AtomicBool::new(false);

impl Progress {
    pub(crate) fn new() -> Self {
        let wanted = io::stderr().is_terminal() && !io::stdout().is_terminal();
        let ticks = wanted.then(|| {
            let mut ticks = interval_at(Instant::now() + PATIENCE, PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { ticks }
    }

    /// Ready when the line is due again.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.ticks {
            Some(ticks) => ticks.poll_tick(cx).map(drop),
            None => Poll::Pending,
        }
    }

    pub(crate) fn show(answered: u64, in_flight: usize) {
        SHOWN.store(true, Ordering::Relaxed);
        let line = format!("\r{} answered, {} in flight\x1b[K", grouped(answered), grouped(in_flight as u64));
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Makes room for something else on standard error.
pub(crate) fn clear() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = io::stderr().write_all(b"\r\x1b[K");
    }
}
