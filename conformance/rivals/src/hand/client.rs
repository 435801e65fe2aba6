//! The client's half of one connection: a slab says which call a reply belongs to.

use std::time::Instant;

use slab::Slab;

use super::frames::{Frames, Walker, encode};
use crate::meter;

/// Calls under way, and the bytes that they want to send.
pub(crate) struct Client<R> {
    calls: Slab<Option<Instant>>,
    body: Vec<u8>,
    replies: R,
    out: Vec<u8>,
    over: bool,
    wrong: bool,
}

/// Finds the replies in what was read.
pub(crate) trait Replies: Default {
    fn feed(&mut self, input: &[u8], reply: impl FnMut(u64, usize));
}

/// Puts each together, as a client that wants its body does.
impl Replies for Frames {
    fn feed(&mut self, input: &[u8], mut reply: impl FnMut(u64, usize)) {
        Self::feed(self, input, |number, body| reply(number, body.len()));
    }
}

/// Only looks at where they end, which is the least that one can do.
impl Replies for Walker {
    fn feed(&mut self, input: &[u8], reply: impl FnMut(u64, usize)) {
        Self::feed(self, input, reply);
    }
}

impl<R: Replies> Client<R> {
    /// One that has made so many calls.
    pub(crate) fn new(in_flight: usize, size: usize) -> Self {
        let mut client = Self {
            calls: Slab::with_capacity(in_flight),
            body: vec![7; size],
            replies: R::default(),
            out: Vec::with_capacity(in_flight * (size + 12)),
            over: false,
            wrong: false,
        };
        for _ in 0..in_flight {
            client.calls.vacant_entry().insert(meter::start());
        }
        for number in 0..in_flight {
            encode(&mut client.out, number as u64, &client.body);
        }
        client
    }

    /// Takes what was read. Each reply makes the next call.
    pub(crate) fn feed(&mut self, input: &[u8]) {
        let Self { calls, body, replies, out, over, wrong } = self;
        replies.feed(input, |number, length| {
            let Some(started) = calls.try_remove(number as usize) else {
                *wrong = true;
                return;
            };
            *wrong |= length != body.len();
            if meter::end(started) {
                let number = calls.insert(meter::start());
                encode(out, number as u64, body);
            } else {
                *over = true;
            }
        });
    }

    /// What is to be written. Whoever has written it clears it.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether the time is over.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// Fails if a reply came that nobody waited for, or that was not as long as its request.
    pub(crate) fn check(&self) -> crate::Result {
        if self.wrong { Err("a reply is not what was asked for".into()) } else { Ok(()) }
    }
}
