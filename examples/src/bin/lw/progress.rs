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
        show(&format!("{} answered, {} in flight", grouped(answered), grouped(in_flight as u64)));
    }
}

/// Puts this in the line's place, in one piece. What has no room is cut off: a second line would stay.
pub(crate) fn show(text: &str) {
    SHOWN.store(true, Ordering::Relaxed);
    let text: String = text.chars().take(width()).collect();
    let _ = io::stderr().write_all(format!("\r{text}\x1b[K").as_bytes());
}

/// How many characters fit beside the cursor.
fn width() -> usize {
    const USUAL: usize = 80;
    #[cfg(unix)]
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let columns = 0;
    if columns > 1 { columns - 1 } else { USUAL - 1 }
}

/// Makes room for something else on standard error.
pub(crate) fn clear() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = io::stderr().write_all(b"\r\x1b[K");
    }
}
