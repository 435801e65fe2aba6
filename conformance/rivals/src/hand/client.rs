//! The client's half of one connection: a slab says which call a reply belongs to.

use std::io::{self, IoSlice};
use std::time::Instant;

use slab::Slab;

use super::frames::Walker;
use super::output::Output;
use crate::meter;

/// Calls under way, and the bytes that they want to send.
pub(crate) struct Client {
    calls: Slab<Option<Instant>>,
    replies: Walker,
    output: Output,
    is_over: bool,
    is_wrong: bool,
}

impl Client {
    /// One that has made so many calls.
    pub(crate) fn new(in_flight: usize, size: usize) -> Self {
        let mut calls = Slab::with_capacity(in_flight);
        let mut output = Output::new(size, in_flight);
        for _ in 0..in_flight {
            output.request(calls.insert(meter::start()) as u64);
        }
        Self { calls, replies: Walker::default(), output, is_over: false, is_wrong: false }
    }

    /// Takes what was read. Each reply makes the next call.
    pub(crate) fn feed(&mut self, input: &[u8]) {
        let Self { calls, replies, output, is_over, is_wrong } = self;
        replies.feed(input, |number, length| {
            let Some(started) = calls.try_remove(number as usize) else {
                *is_wrong = true;
                return;
            };
            *is_wrong |= length != output.size();
            if meter::end(started) {
                output.request(calls.insert(meter::start()) as u64);
            } else {
                *is_over = true;
            }
        });
    }

    /// Writes what waits, until that would block.
    pub(crate) fn write(&mut self, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        self.output.write(write)
    }

    /// Gives what waits to one that writes it itself.
    pub(crate) fn take_output(&mut self, into: &mut Vec<u8>) {
        self.output.take(into);
    }

    /// Whether the time is over.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Fails if a reply came that nobody waited for, or that was not as long as its request.
    pub(crate) fn check(&self) -> crate::Result {
        if self.is_wrong { Err("a reply is not what was asked for".into()) } else { Ok(()) }
    }
}
