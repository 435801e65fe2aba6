//! Timers and the clock, which must agree.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proto_core::Instant;
use proto_core::endpoint::Runtime;
use proto_core::peer::Sleep;

use super::{Checked, in_time, must};

const SOON: Duration = Duration::from_millis(20);
/// What no machine is late by three times in a row.
const LATE: Duration = Duration::from_millis(250);
/// How often a timer may be ready before its time.
const EARLY: usize = 1000;

pub(super) async fn check<R: Runtime>(runtime: &R) -> Checked {
    let clock = runtime.clock();
    must(clock.now() <= clock.now(), "Runtime::clock: it goes back")?;
    let mut sleep = runtime.sleep();
    let past = poll_fn(|cx| sleep.poll_until(cx, Instant::EPOCH));
    in_time("Sleep::poll_until: it is not ready for a time that has passed", past).await?;

    let at = clock.now() + SOON;
    in_time(
        "Sleep::poll_until: it is never ready, or always; or by another clock than Runtime::clock",
        wait(runtime, &mut sleep, at),
    )
    .await?;

    let again = poll_fn(|cx| sleep.poll_until(cx, at));
    in_time(
        "Sleep::poll_until: it is not ready when it is asked again for a time that it has waited for",
        again,
    )
    .await?;
    let mut late = 0;
    for _ in 0..3 {
        let at = clock.now() + SOON;
        in_time("Sleep::poll_until: it is never ready", wait(runtime, &mut sleep, at)).await?;
        late += usize::from(clock.now().saturating_since(at) > LATE);
    }
    must(
        late < 3,
        "Sleep::poll_until: it is late by more than a quarter of a second, each time; or Runtime::clock is ahead of the \
         timers",
    )?;

    let far = Instant::EPOCH + Duration::MAX;
    let is_early = poll_fn(|cx| Poll::Ready(sleep.poll_until(cx, far).is_ready())).await;
    must(!is_early, "Sleep::poll_until: it is ready at once for a time that never comes")?;
    let at = clock.now() + SOON;
    in_time(
        "Sleep::poll_until: a timer that was set for later is not set again for an earlier time",
        wait(runtime, &mut sleep, at),
    )
    .await?;

    // The same time, and another task: of the first one there is nothing left.
    let at = clock.now() + SOON;
    let _ = sleep.poll_until(&mut Context::from_waker(Waker::noop()), at);
    in_time(
        "Sleep::poll_until: it wakes the task that asked first, and not the one that asked last",
        wait(runtime, &mut sleep, at),
    )
    .await?;
    must(clock.now() >= at, "Runtime::clock: it is behind the time that a timer has waited for")
}

/// Waits as drivers do: by the clock, woken by the timer, which may be early.
pub(super) async fn wait<R: Runtime>(runtime: &R, sleep: &mut R::Sleep, at: Instant) {
    let clock = runtime.clock();
    let mut early = 0;
    poll_fn(|cx| {
        while clock.now() < at {
            if sleep.poll_until(cx, at).is_pending() {
                return Poll::Pending;
            }
            early += 1;
            if early > EARLY {
                // It will not be in time.
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
}
