//! Wakes a task at a time.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::clock::Nanos;
use super::timer::Timer;

/// Alarms that are closer together ring as one: each costs some system calls, and many calls are sent as cheaply as one.
pub(super) const CLOSEST: Nanos = 50_000;

#[derive(Debug)]
pub(super) struct Alarm {
    timer: Timer,
    /// When it rings.
    set: Option<Nanos>,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { timer: Timer::new()?, set: None })
    }

    /// Takes note of whether it has rung. To be called before [`set`](Self::set).
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.set.is_some() && self.rings(cx)? {
            self.set = None;
        }
        Ok(())
    }

    /// Rings at this time, or before it.
    pub(super) fn set(&mut self, at: Nanos, now: Nanos, cx: &mut Context<'_>) -> io::Result<()> {
        if self.set.is_some_and(|set| set <= at) {
            return Ok(());
        }
        let at = at.max(now + CLOSEST);
        self.timer.set(Duration::from_nanos(at - now))?;
        self.set = Some(at);
        if self.rings(cx)? {
            self.set = None;
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn rings(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        match self.timer.poll(cx) {
            Poll::Ready(rings) => rings.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::clock::Clock;
    use std::future::poll_fn;

    /// Waits as a worker does: it notes, looks at the clock, and sets it again as long as the time has not come.
    async fn wait(alarm: &mut Alarm, clock: Clock, until: Nanos) -> Nanos {
        poll_fn(|cx| {
            alarm.poll(cx).expect("timers work");
            let now = clock.now();
            if now >= until {
                return Poll::Ready(now);
            }
            alarm.set(until, now, cx).expect("timers work");
            Poll::Pending
        })
        .await
    }

    #[tokio::test]
    async fn it_rings_again_and_again_and_never_too_early() {
        let clock = Clock::start();
        let mut alarm = Alarm::new().unwrap();
        let mut until = 0;
        for wait_for in [0, 1, 1_000, CLOSEST, 300_000, 3_000_000] {
            for _ in 0..20 {
                until += wait_for;
                assert!(wait(&mut alarm, clock, until).await >= until);
            }
        }
    }

    #[tokio::test]
    async fn it_can_be_set_to_an_earlier_time() {
        let clock = Clock::start();
        let mut alarm = Alarm::new().unwrap();
        let never = Nanos::MAX / 4;
        poll_fn(|cx| {
            alarm.set(never, clock.now(), cx).expect("timers work");
            Poll::Ready(())
        })
        .await;
        assert!(wait(&mut alarm, clock, 2_000_000).await < never);
    }
}
