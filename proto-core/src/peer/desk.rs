//! What a driver needs while it is at work, and not while it rests: one for each thread, since only one is at work there at
//! a time.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::Cell;

use super::shared::Wakers;
use crate::connection::Arrival;

/// A driver's place of work.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) inbox: VecDeque<Arrival>,
    pub(super) wakers: Wakers,
}

std::thread_local!(static DESK: Cell<Option<Box<Desk>>> = const { Cell::new(None) });

impl Desk {
    /// The thread's, or a new one.
    pub(super) fn take() -> Box<Self> {
        // A thread that is about to end has none.
        DESK.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Leaves it to the next driver of this thread, unless something lies on it: then that is given back.
    pub(super) fn leave(mut self: Box<Self>) -> Option<Box<Self>> {
        if !self.inbox.is_empty() {
            return Some(self);
        }
        if self.inbox.capacity() > Arrival::KEPT {
            self.inbox = VecDeque::new();
        }
        self.wakers.shrink();
        let _ = DESK.try_with(|desk| desk.set(Some(self)));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Waker;

    #[test]
    fn what_many_needed_once_is_not_left_to_the_next() {
        let mut desk = Desk::take();
        desk.wakers.extend((0..2 * Wakers::KEPT).map(|_| Waker::noop().clone()));
        assert!(desk.wakers.wake());
        assert!(desk.leave().is_none());
        assert!(Desk::take().wakers.capacity() <= Wakers::KEPT);
    }
}
