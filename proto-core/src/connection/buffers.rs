//! Memory that goes from one connection to the next on one thread, so that those at rest hold none and those at work need not
//! ask for it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::output::Output;
use super::timers::Clockwork;
use super::{Connection, events, requests, slots};

/// They go from connection to connection as they are: nothing is moved but a pointer.
pub(super) type Boxes<T> = Vec<Box<T>>;

/// Memory that connections at rest have lent, by its kinds, since they do not lend all of it at the same time. All of it is empty.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    outputs: Boxes<Output>,
    events: Boxes<events::Queue>,
    calls: Boxes<slots::Table>,
    requests: Boxes<requests::Table>,
    clockworks: Boxes<Clockwork>,
}

impl Connection {
    /// Lends what [`shrink`](Self::shrink) gives back to other connections of one thread, up to so many of a kind. None is larger
    /// than what is kept for a connection between two messages.
    pub(crate) fn lend_buffers(&mut self, stock: &mut Stock, of_a_kind: usize) {
        let Stock { outputs, events, calls, requests, clockworks } = stock;
        put(self.outbox.lend(), outputs, of_a_kind);
        put(self.events.lend(), events, of_a_kind);
        put(self.calls.lend(), calls, of_a_kind);
        put(self.requests.lend(), requests, of_a_kind);
        put(self.timers.lend(), clockworks, of_a_kind);
    }

    /// Takes what others have lent, as far as there is none here.
    pub(crate) fn borrow_buffers(&mut self, stock: &mut Stock) {
        let Stock { outputs, events, calls, requests, clockworks } = stock;
        self.outbox.borrow(outputs);
        self.events.borrow(events);
        self.calls.borrow(calls);
        self.requests.borrow(requests);
        self.timers.borrow(clockworks);
    }
}

#[inline]
fn put<T>(lent: Option<Box<T>>, boxes: &mut Boxes<T>, most: usize) {
    if let Some(lent) = lent.filter(|_| boxes.len() < most) {
        boxes.push(lent);
    }
}
