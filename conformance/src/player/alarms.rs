//! Waits that anybody may begin on any thread, driven by one timer of the runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proto_core::Instant;
use proto_core::peer::{Clock, Sleep};

/// Where waits are registered. Clones are the same.
#[derive(Clone)]
pub(crate) struct Alarms(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    set: BTreeMap<(Instant, u64), Waker>,
    numbers: u64,
    /// Who drives.
    driver: Option<Waker>,
}

impl Alarms {
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::default() }))
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// Waits so long.
    pub(crate) fn wait(&self, duration: Duration) -> Alarm {
        Alarm { alarms: self.clone(), at: self.now() + duration, key: None }
    }

    /// Wakes who drives, and so everybody in its nursery: something has happened elsewhere.
    pub(crate) fn nudge(&self) {
        let driver = self.state().driver.take();
        driver.into_iter().for_each(Waker::wake);
    }

    /// Wakes those whose time has come, for ever.
    pub(crate) async fn drive(&self, mut sleep: impl Sleep) {
        std::future::poll_fn(|cx| {
            loop {
                let (next, due) = {
                    let now = self.now();
                    let mut state = self.state();
                    state.driver = Some(cx.waker().clone());
                    let later = state.set.split_off(&(now + Duration::from_nanos(1), 0));
                    let due = mem::replace(&mut state.set, later);
                    (state.set.first_key_value().map(|(&(at, _), _)| at), due)
                };
                due.into_values().for_each(Waker::wake);
                match next {
                    Some(at) if sleep.poll_until(cx, at).is_ready() => {}
                    _ => return Poll::<()>::Pending,
                }
            }
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms").field("set", &self.state().set.len()).finish_non_exhaustive()
    }
}

/// Ready at a time.
pub(crate) struct Alarm {
    alarms: Alarms,
    at: Instant,
    key: Option<(Instant, u64)>,
}

impl Alarm {
    fn disarm(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = self.alarms.state().set.remove(&key);
            drop(waker);
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarms.now() >= self.at {
            self.disarm();
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let driver = {
            let mut state = self.alarms.state();
            if let Some(set) = self.key.and_then(|key| state.set.get_mut(&key)) {
                *set = waker;
                return Poll::Pending;
            }
            let key = (self.at, state.numbers);
            state.numbers += 1;
            let is_first = state.set.first_key_value().is_none_or(|(first, _)| key < *first);
            state.set.insert(key, waker);
            let driver = if is_first { state.driver.take() } else { None };
            drop(state);
            self.key = Some(key);
            driver
        };
        driver.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.disarm();
    }
}
