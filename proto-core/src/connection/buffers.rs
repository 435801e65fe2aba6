//! Memory that goes from one connection to the next on one thread, so that those at rest hold none and those at work need not
//! ask for it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::output::Output;
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
}

impl Connection {
    /// Lends what [`shrink`](Self::shrink) gives back to other connections of one thread, up to so many bytes and so many of a
    /// kind. Says how many bytes that is.
    pub(crate) fn lend_buffers(&mut self, stock: &mut Stock, most: usize, of_a_kind: usize) -> usize {
        let mut lent = 0;
        let Stock { outputs, events, calls, requests } = stock;
        let mut keep = |bytes: usize, kept: usize| {
            let fits = lent + bytes <= most && kept < of_a_kind;
            lent += if fits { bytes } else { 0 };
            fits
        };
        outputs.extend(self.outbox.lend().filter(|output| keep(output.kept_bytes(), outputs.len())));
        events.extend(self.events.lend().filter(|queue| keep(queue.held_bytes(), events.len())));
        calls.extend(self.calls.lend().filter(|table| keep(table.held_bytes(), calls.len())));
        requests.extend(self.requests.lend().filter(|table| keep(table.held_bytes(), requests.len())));
        lent
    }

    /// Takes what others have lent, as far as there is none here. Says how many bytes that is.
    pub(crate) fn borrow_buffers(&mut self, stock: &mut Stock) -> usize {
        let mut taken = 0;
        let Stock { outputs, events, calls, requests } = stock;
        taken += self.outbox.borrow(outputs).map_or(0, Output::kept_bytes);
        taken += self.events.borrow(events).map_or(0, events::Queue::held_bytes);
        taken += self.calls.borrow(calls).map_or(0, slots::Table::held_bytes);
        taken += self.requests.borrow(requests).map_or(0, requests::Table::held_bytes);
        taken
    }
}
