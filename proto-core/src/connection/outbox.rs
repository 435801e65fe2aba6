//! What waits to be written: messages in their lanes, then bytes in their final order.
//!
//! A message *waits* until there is room, then it is *committed*: its frame gets its place in the byte stream and never
//! changes again. Committed bytes are lent to the transport, which may take them in pieces of any size. Positions
//! are counted from the start of the stream, so that a frame can be asked whether all of it has been handed over.
//!
//! This module knows the order and the amount of bytes, not what they mean.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

#[cfg(feature = "peer")]
use super::buffers::Boxes;
use super::lanes::{Lanes, PendingPong};
use super::output::{Chunks, Output};
use super::waiting::Cut;
use crate::wire::{HEADER_LEN, Header, Lane};

/// Bodies up to this size are copied behind their header; a longer one is lent as a chunk of its own, which costs more than the copy
/// of a shorter one. But it is shared by all to whom it is sent.
pub(super) const COPY_LIMIT: usize = 8 << 10;

#[derive(Debug)]
pub(super) struct Outbox {
    /// Nothing is held while nothing waits.
    waiting: Option<Box<Lanes>>,
    /// Committed bytes. What holds them is kept when they have been written, until somebody else wants it.
    output: Option<Box<Output>>,
    /// The end of what has left.
    advanced: u64,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self { waiting: None, output: None, advanced: 0 }
    }

    // What waits.

    /// What waits, if anything does.
    pub(super) fn waiting(&self) -> Option<&Lanes> {
        self.waiting.as_deref()
    }

    /// Changes what waits. Nothing is held when nothing is left.
    pub(super) fn with_waiting<T>(&mut self, change: impl FnOnce(&mut Lanes) -> T) -> T {
        let lanes = self.waiting.get_or_insert_with(Box::default);
        let result = change(lanes);
        if lanes.is_empty() {
            self.waiting = None;
        }
        result
    }

    /// The PING that is to be answered next, if there is one.
    pub(super) fn take_pong(&mut self) -> Option<PendingPong> {
        if !self.waiting.as_ref()?.has_pong() {
            return None;
        }
        self.with_waiting(Lanes::take_pong)
    }

    /// Drops all that is not committed.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting = None;
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn has_waiting_requests(&self) -> bool {
        self.waiting().is_some_and(Lanes::has_requests)
    }

    pub(super) fn reply_bytes(&self) -> usize {
        self.waiting().map_or(0, Lanes::reply_bytes)
    }

    // What is committed.

    /// Bytes that are committed and not written.
    #[inline]
    pub(super) fn pending(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.pending())
    }

    /// The position behind the last committed byte.
    pub(super) fn end(&self) -> u64 {
        self.advanced + self.pending() as u64
    }

    /// The position behind the last byte that may have left.
    pub(super) fn handed(&self) -> u64 {
        self.advanced + self.output.as_ref().map_or(0, |output| output.handed()) as u64
    }

    /// Commits bytes that are no frame: the preface.
    pub(super) fn commit_raw(&mut self, bytes: &[u8]) {
        self.commit(bytes.len()).run(bytes.len()).extend_from_slice(bytes);
    }

    /// Commits one frame: its header, what `prefix` appends, and the body, which may be a piece of one. The header's length
    /// must be that of both.
    #[inline]
    pub(super) fn commit_frame(
        &mut self,
        header: Header,
        prefix: impl FnOnce(&mut Vec<u8>),
        body: Bytes,
        cut: Option<Cut>,
    ) {
        let front = HEADER_LEN + header.length as usize - body.len();
        let write = |run: &mut Vec<u8>| {
            run.extend_from_slice(&header.to_bytes());
            prefix(run);
        };
        self.commit_bytes(front, write, body, cut);
    }

    /// Commits a frame with a short body in one piece.
    // So that what is in front is written where it stays, from where it was put together.
    #[inline(always)]
    pub(super) fn commit_short<const FRONT: usize>(&mut self, front: &[u8; FRONT], body: &[u8]) {
        let length = FRONT + body.len();
        let run = self.commit(length).run(length);
        run.extend_from_slice(front);
        run.extend_from_slice(body);
    }

    /// Commits what `write` appends, which has this length, and a body.
    #[inline]
    pub(super) fn commit_bytes(
        &mut self,
        front: usize,
        write: impl FnOnce(&mut Vec<u8>),
        body: Bytes,
        cut: Option<Cut>,
    ) {
        let length = front + body.len();
        let output = self.commit(length);
        if body.len() <= COPY_LIMIT {
            let run = output.run(length);
            let before = run.len();
            write(run);
            debug_assert_eq!(run.len() - before, front, "what was announced is written");
            run.extend_from_slice(&body);
        } else {
            write(output.run(front));
            output.push_body(body, cut);
        }
    }

    /// Where the next `length` bytes go, which are committed.
    #[inline]
    fn commit(&mut self, length: usize) -> &mut Output {
        let output = self.output.get_or_insert_default();
        output.announce(length);
        output
    }

    /// The committed bytes, in order.
    pub(super) fn chunks(&self) -> Chunks<'_> {
        self.output.as_ref().map_or(Chunks::of(&[]), |output| output.chunks())
    }

    /// The transport holds the next `n` bytes, and may have sent them.
    pub(super) fn hand_over(&mut self, n: usize) {
        if let Some(output) = &mut self.output {
            output.hand_over(n);
        }
    }

    /// The next `n` bytes have been written.
    pub(super) fn advance(&mut self, n: usize) {
        let Some(output) = &mut self.output else { return };
        let n = n.min(output.pending());
        self.advanced += n as u64;
        output.advance(n);
    }

    /// Gives back what is kept for further bytes, if there are none: an idle connection has no write buffer.
    pub(super) fn shrink(&mut self) {
        drop(self.lend());
    }

    /// Lends what holds committed bytes to somebody else, if there are none.
    pub(super) fn lend(&mut self) -> Option<Box<Output>> {
        if self.pending() > 0 { None } else { self.output.take() }
    }

    /// Takes what somebody else has no use for, unless there is one here.
    #[cfg(feature = "peer")]
    pub(super) fn borrow(&mut self, outputs: &mut Boxes<Output>) {
        if self.output.is_none() {
            self.output = outputs.pop();
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let waiting = [Lane::High, Lane::Normal, Lane::Bulk].map(|lane| self.waiting()?.cut(lane));
        self.waiting().map_or(0, Lanes::held_bytes)
            + self.output.as_ref().map_or(0, |output| output.held_bytes(waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::{MOST_KEPT, RUN_LIMIT};
    use super::*;
    use crate::wire::{Flags, Kind, Sequence};
    use proptest::prelude::*;

    fn push_header(length: usize) -> Header {
        Header {
            length: length as u32,
            kind: Kind::Push,
            flags: Flags::empty(),
            sequence: Sequence::CONNECTION,
            code: 9,
        }
    }

    #[test]
    fn small_frames_share_a_chunk_and_large_bodies_are_lent() {
        let mut outbox = Outbox::new();
        let large = Bytes::from(vec![7; COPY_LIMIT + 1]);
        for body in [Bytes::from_static(b"one"), Bytes::from_static(b"two"), large.clone()] {
            outbox.commit_frame(push_header(body.len()), |_| {}, body, None);
        }
        let chunks: Vec<&[u8]> = outbox.chunks().collect();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].len(), 3 * HEADER_LEN + 6);
        assert_eq!(chunks[1].as_ptr(), large.as_ptr(), "a large body is not copied");
    }

    #[test]
    fn a_run_that_is_never_drained_to_the_end_does_not_grow_for_ever() {
        let mut outbox = Outbox::new();
        let body = Bytes::from_static(&[0; 100]);
        let mut most = 0;
        outbox.commit_frame(push_header(100), |_| {}, body.clone(), None);
        for _ in 0..10_000 {
            outbox.commit_frame(push_header(100), |_| {}, body.clone(), None);
            outbox.advance(116);
            most = most.max(outbox.held_bytes());
        }
        assert!(most < 4 * RUN_LIMIT, "{most} bytes were held");
    }

    proptest! {
        #[test]
        fn any_advances_give_the_same_bytes(
            bodies in prop::collection::vec(prop_oneof![0usize..40, COPY_LIMIT - 1..COPY_LIMIT + 3, 20_000usize..20_001], 1..12),
            steps in prop::collection::vec(1usize..9000, 1..60),
        ) {
            let mut outbox = Outbox::new();
            let mut expected = Vec::new();
            let mut written = Vec::new();
            let mut steps = steps.into_iter().cycle();
            for (index, length) in bodies.into_iter().enumerate() {
                let body = Bytes::from(vec![index as u8; length]);
                expected.extend_from_slice(&push_header(length).to_bytes());
                expected.extend_from_slice(&body);
                outbox.commit_frame(push_header(length), |_| {}, body, None);
                let n = steps.next().unwrap_or(1);
                let lent: Vec<u8> = outbox.chunks().flatten().copied().take(n).collect();
                written.extend_from_slice(&lent);
                outbox.advance(lent.len());
            }
            while outbox.pending() > 0 {
                let n = steps.next().unwrap_or(1);
                let lent: Vec<u8> = outbox.chunks().flatten().copied().take(n).collect();
                prop_assert!(!lent.is_empty());
                written.extend_from_slice(&lent);
                outbox.advance(lent.len());
            }
            prop_assert_eq!(written, expected);
            prop_assert!(outbox.held_bytes() <= MOST_KEPT);
            outbox.shrink();
            prop_assert_eq!(outbox.held_bytes(), 0);
        }
    }
}
