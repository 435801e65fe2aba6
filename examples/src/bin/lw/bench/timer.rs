//! The system's timer under an alarm.
//!
//! A runtime's timers count milliseconds, and a call that leaves a millisecond late is a call that took a millisecond longer:
//! a run would measure its own clock. Linux has timers that are waited for like sockets; elsewhere the runtime's must do.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(target_os = "linux")]
pub(super) use self::linux::Timer;
#[cfg(not(target_os = "linux"))]
pub(super) use self::runtime::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::os::fd::OwnedFd;
    use tokio::io::{Interest, unix::AsyncFd};

    #[derive(Debug)]
    pub(in super::super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(in super::super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            #[expect(unsafe_code, reason = "the runtime cannot know for how long a file is open")]
            // SAFETY: what is registered must stay the same open file for as long as it is registered. It is moved in, as an
            // `OwnedFd`, which names the same file until it is dropped, and nobody takes it out again.
            let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? };
            Ok(Self(timer))
        }

        /// Rings once after this time, whatever it was set to before.
        pub(in super::super) fn set(&mut self, wait: Duration) -> io::Result<()> {
            // 0 would mean never.
            let wait = wait.max(Duration::from_nanos(1));
            let seconds = wait.as_secs().try_into().unwrap_or(i64::MAX);
            let it_value = Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            Ok(())
        }

        /// Whether it has rung. It is not read: setting it anew empties it.
        pub(in super::super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_read_ready(cx).map_ok(|mut guard| guard.clear_ready())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod runtime {
    use super::*;
    use std::pin::Pin;
    use tokio::time::{Instant, Sleep, sleep};

    #[derive(Debug)]
    pub(in super::super) struct Timer(Pin<Box<Sleep>>);

    impl Timer {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self(Box::pin(sleep(Duration::ZERO))))
        }

        /// Rings once after this time, whatever it was set to before.
        pub(in super::super) fn set(&mut self, wait: Duration) -> io::Result<()> {
            self.0.as_mut().reset(Instant::now() + wait);
            Ok(())
        }

        /// Whether it has rung.
        pub(in super::super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.as_mut().poll(cx).map(Ok)
        }
    }
}
