//! Memory that goes from one connection to the next on one thread, so that those at rest hold none and those at work need not
//! ask for it.

use alloc::boxed::Box;

use super::output::Output;
use super::{Connection, calls, events, requests};

/// Memory that a connection at rest has no use for. All of it is empty.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    output: Option<Box<Output>>,
    events: Option<Box<events::Queue>>,
    calls: Option<Box<calls::Table>>,
    requests: Option<Box<requests::Table>>,
}

impl Buffers {
    pub(crate) fn held_bytes(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.held_bytes([None; 3]))
            + self.events.as_ref().map_or(0, |queue| queue.held_bytes())
            + self.calls.as_ref().map_or(0, |table| table.held_bytes())
            + self.requests.as_ref().map_or(0, |table| table.held_bytes())
    }
}

impl Connection {
    /// Lends what [`shrink`](Self::shrink) gives back to other connections of one thread.
    pub(crate) fn lend_buffers(&mut self) -> Buffers {
        Buffers {
            output: self.outbox.lend(),
            events: self.events.lend(),
            calls: self.calls.lend(),
            requests: self.requests.lend(),
        }
    }

    /// Takes what another connection has lent, as far as there is none here.
    pub(crate) fn borrow_buffers(&mut self, buffers: &mut Buffers) {
        self.outbox.borrow(&mut buffers.output);
        self.events.borrow(&mut buffers.events);
        self.calls.borrow(&mut buffers.calls);
        self.requests.borrow(&mut buffers.requests);
    }
}
