//! Tasks that wait for something to change on the connection: for room, or for it to open or end.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use slab::Slab;

use super::shared::{Shared, State};
use crate::time::Instant;

/// A future that looks at the connection whenever something may have changed.
///
/// It has one place among the watchers however often it is polled, and gives it back when it is dropped: a task that
/// polls it beside other work for as long as the connection lives costs no more than one that polls it once.
pub(super) struct Watch<F> {
    shared: Arc<Shared>,
    place: Option<usize>,
    look: F,
}

impl<F> Watch<F> {
    pub(super) fn new<T>(shared: Arc<Shared>, look: F) -> Self
    where
        F: FnMut(&mut State, Instant) -> Poll<T>,
    {
        Self { shared, place: None, look }
    }
}

impl<T, F: FnMut(&mut State, Instant) -> Poll<T> + Unpin> Future for Watch<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { shared, place, look } = &mut *self;
        let now = shared.clock.now();
        let (polled, driver, retired) = {
            let mut state = shared.lock();
            match look(&mut state, now) {
                Poll::Ready(seen) => (Poll::Ready(seen), state.take_driver(now), None),
                Poll::Pending => {
                    // It wants a connection, and a client that rests does not know.
                    let driver = if state.wants_to_push() { state.take_driver(now) } else { None };
                    (
                        Poll::Pending,
                        driver,
                        state.aside.with_watchers(|watchers| watchers.set(place, cx.waker())),
                    )
                }
            }
        };
        drop(retired);
        // It may have been more than a look.
        if let Some(driver) = driver {
            driver.wake();
        }
        polled
    }
}

impl<F> Drop for Watch<F> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let retired = self.shared.lock().aside.with_watchers(|watchers| watchers.leave(place));
            drop(retired);
        }
    }
}

impl<F> fmt::Debug for Watch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The wakers of all watches that wait. Most connections have none, and hold nothing for them.
#[derive(Debug, Default)]
pub(super) struct Watchers(Option<Box<Slab<Option<Waker>>>>);

impl Watchers {
    /// Takes out all wakers, to be woken without the lock. The places stay.
    pub(super) fn take_all(&mut self) -> Vec<Waker> {
        let places = self.0.iter_mut().flat_map(|places| places.iter_mut());
        places.filter_map(|(_, waker)| waker.take()).collect()
    }

    /// Sets the waker of a watch, which gets a place if it has none. Gives back the waker that it replaces.
    pub(super) fn set(&mut self, place: &mut Option<usize>, waker: &Waker) -> Option<Waker> {
        let places = self.0.get_or_insert_default();
        let place = *place.get_or_insert_with(|| places.insert(None));
        match &mut places[place] {
            Some(known) if known.will_wake(waker) => None,
            known => known.replace(waker.clone()),
        }
    }

    pub(super) fn leave(&mut self, place: usize) -> Option<Waker> {
        let waker = self.0.as_mut()?.remove(place);
        self.0.take_if(|places| places.is_empty());
        waker
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |places| places.len())
    }
}
