//! The calls of one thread that are in flight.
//!
//! Each has a place, with a waker that stays when the call has ended and the next one takes the place.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use adapter_tokio::{Call, CallError, Reply};

use super::clock::Nanos;
use super::ready::Ready;

pub(super) struct Calls {
    places: Vec<Place>,
    /// Places without a call.
    free: Vec<u32>,
    ready: Arc<Ready>,
    /// Places whose waker was used, to be looked at.
    rung: Vec<u32>,
    in_flight: usize,
}

struct Place {
    call: Option<Call>,
    ticket: Ticket,
    waker: Waker,
}

/// What is known of a call beside itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) due: Nanos,
    /// On which connection, and which of those that come after one another in its place.
    pub(super) connection: usize,
    pub(super) generation: u32,
    /// Which of the bodies it has.
    pub(super) body: usize,
}

pub(super) type CallResult = Result<Reply, CallError>;

impl Calls {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), ready: Ready::new(most), rung: Vec::new(), in_flight: 0 }
    }

    /// Whom to wake when one has ended.
    pub(super) fn set_task(&self, waker: &Waker) {
        self.ready.set_task(waker);
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The place that the next call will have.
    pub(super) fn next_place(&self) -> usize {
        self.free.last().map_or(self.places.len(), |&place| place as usize)
    }

    /// Begins a call. If it ends at once, its result comes back.
    pub(super) fn start(&mut self, mut call: Call, ticket: Ticket) -> Option<CallResult> {
        let place = self.next_place();
        if self.free.pop().is_none() {
            let waker = self.ready.waker(place as u32);
            self.places.push(Place { call: None, ticket, waker });
        }
        let new = &mut self.places[place];
        match Pin::new(&mut call).poll(&mut Context::from_waker(&new.waker)) {
            Poll::Pending => {
                (new.call, new.ticket) = (Some(call), ticket);
                self.in_flight += 1;
                None
            }
            Poll::Ready(result) => {
                self.free.push(place as u32);
                Some(result)
            }
        }
    }

    /// The next one that has ended.
    pub(super) fn next_ended(&mut self) -> Option<(Ticket, CallResult)> {
        loop {
            if self.rung.is_empty() {
                self.ready.take(self.places.len(), &mut self.rung);
            }
            let number = self.rung.pop()?;
            let place = &mut self.places[number as usize];
            let Some(call) = &mut place.call else { continue };
            if let Poll::Ready(result) = Pin::new(call).poll(&mut Context::from_waker(&place.waker)) {
                place.call = None;
                self.free.push(number);
                self.in_flight -= 1;
                return Some((place.ticket, result));
            }
        }
    }

    /// Those that have not ended.
    pub(super) fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.places.iter().filter(|place| place.call.is_some()).map(|place| &place.ticket)
    }
}
