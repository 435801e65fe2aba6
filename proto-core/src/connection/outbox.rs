//! What waits to be written: messages in their lanes, then bytes in their final order.
//!
//! A message *waits* until there is room, then it is *committed*: its frame gets its place in the byte stream and never
//! changes again. Committed bytes are lent to the transport, which may take them in pieces of any size. Positions
//! are counted from the start of the stream, so that a frame can be asked whether all of it has been handed over.
//!
//! This module knows the order and the amount of bytes, not what they mean.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::lanes::Lanes;
use super::waiting::Cut;
use crate::wire::{HEADER_LEN, Header, Lane};

/// Bodies up to this size are copied behind their header; a longer one is lent as a chunk of its own.
pub(super) const COPY_LIMIT: usize = 4096;
/// For how many segments room is kept while there are none.
const SEGMENTS_KEPT: usize = 8;
/// Where a run of small frames ends and the next begins, so that the part already written is freed in time.
const RUN_LIMIT: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Outbox {
    /// Nothing is held while nothing waits.
    waiting: Option<Box<Lanes>>,
    /// Committed bytes: segments, and behind them the run that small frames are appended to. The first `written` of the
    /// first have been written already. The memory of the run is kept when it has been written.
    segments: Option<Box<VecDeque<Segment>>>,
    run: Vec<u8>,
    written: usize,
    /// The end of what is committed, of what may have left, and of what has left.
    committed: u64,
    handed: u64,
    advanced: u64,
}

#[derive(Debug)]
enum Segment {
    /// Small frames, one behind another, or the header of what follows.
    Frames(Vec<u8>),
    /// A large body, or a piece of one.
    Body(Bytes, Option<Cut>),
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            waiting: None,
            segments: None,
            run: Vec::new(),
            written: 0,
            committed: 0,
            handed: 0,
            advanced: 0,
        }
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
    pub(super) const fn pending(&self) -> usize {
        (self.committed - self.advanced) as usize
    }

    /// The position behind the last committed byte.
    pub(super) const fn end(&self) -> u64 {
        self.committed
    }

    /// The position behind the last byte that may have left.
    pub(super) const fn handed(&self) -> u64 {
        self.handed
    }

    /// Commits bytes that are no frame: the preface.
    pub(super) fn commit_raw(&mut self, bytes: &[u8]) {
        self.run(bytes.len()).extend_from_slice(bytes);
        self.committed += bytes.len() as u64;
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
    #[inline]
    pub(super) fn commit_short<const FRONT: usize>(&mut self, front: &[u8; FRONT], body: &[u8]) {
        let length = FRONT + body.len();
        self.committed += length as u64;
        let run = self.run(length);
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
        self.committed += length as u64;
        if body.len() <= COPY_LIMIT {
            let run = self.run(length);
            write(run);
            run.extend_from_slice(&body);
        } else {
            write(self.run(front));
            self.end_run();
            self.segments.get_or_insert_default().push_back(Segment::Body(body, cut));
        }
    }

    /// The committed bytes, in order.
    pub(super) fn chunks(&self) -> Chunks<'_> {
        let mut rest = self.segments.as_ref().map(|segments| segments.iter());
        let (first, last) = match rest.as_mut().and_then(Iterator::next) {
            Some(first) => (first.bytes(), &self.run[..]),
            None => (&self.run[..], &[][..]),
        };
        Chunks { first: &first[self.written..], rest, last }
    }

    /// The transport holds the next `n` bytes, and may have sent them.
    pub(super) fn hand_over(&mut self, n: usize) {
        self.handed = self.handed.max(self.advanced + n.min(self.pending()) as u64);
    }

    /// The next `n` bytes have been written.
    pub(super) fn advance(&mut self, n: usize) {
        let n = n.min(self.pending());
        self.advanced += n as u64;
        self.handed = self.handed.max(self.advanced);
        self.written += n;
        if let Some(segments) = &mut self.segments {
            while let Some(first) = segments.front() {
                let length = first.bytes().len();
                if self.written < length {
                    return;
                }
                self.written -= length;
                segments.pop_front();
            }
            if segments.capacity() > SEGMENTS_KEPT {
                self.segments = None;
            }
        }
        if self.written == self.run.len() {
            self.written = 0;
            self.run.clear();
            if self.run.capacity() > RUN_LIMIT {
                self.run = Vec::new();
            }
        }
    }

    /// Gives back what is kept for further bytes, if there are none: an idle connection has no write buffer.
    pub(super) fn shrink(&mut self) {
        drop(self.lend());
    }

    /// Lends the run to somebody else, if there are no bytes in it.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        if self.pending() > 0 {
            return Vec::new();
        }
        self.segments = None;
        core::mem::take(&mut self.run)
    }

    /// Takes an empty run that somebody else has no use for, unless there is one.
    #[cfg(feature = "peer")]
    pub(super) fn borrow(&mut self, run: &mut Vec<u8>) {
        if self.run.capacity() == 0 {
            core::mem::swap(&mut self.run, run);
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        // A body in pieces is held as a whole, once: by what waits of it, or else by the first of its pieces here. Those of
        // one lane follow one another.
        let waiting = [Lane::High, Lane::Normal, Lane::Bulk].map(|lane| self.waiting()?.cut(lane));
        let mut counted = [None; 3];
        let mut held = |segment: &Segment| match segment {
            Segment::Frames(run) => run.capacity(),
            Segment::Body(body, None) => body.len(),
            Segment::Body(_, Some(cut)) => {
                let previous = counted[cut.lane as usize].replace(*cut);
                if previous == Some(*cut) || waiting.contains(&Some(*cut)) { 0 } else { cut.length }
            }
        };
        let segments = self.segments.as_ref().map_or(0, |segments| {
            let own = size_of::<VecDeque<Segment>>() + segments.capacity() * size_of::<Segment>();
            own + segments.iter().map(&mut held).sum::<usize>()
        });
        self.waiting().map_or(0, Lanes::held_bytes) + self.run.capacity() + segments
    }

    /// The run that the next `length` bytes are appended to.
    #[inline]
    fn run(&mut self, length: usize) -> &mut Vec<u8> {
        if self.run.len() >= RUN_LIMIT {
            self.end_run();
        }
        self.run.reserve(length);
        &mut self.run
    }

    /// What comes next does not belong to the run.
    fn end_run(&mut self) {
        if !self.run.is_empty() {
            let run = core::mem::take(&mut self.run);
            self.segments.get_or_insert_default().push_back(Segment::Frames(run));
        }
    }
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frames(run) => run,
            Self::Body(body, _) => body,
        }
    }
}

/// Bytes to write, in order; from [`Connection::transmit`](crate::Connection::transmit).
///
/// Small frames share a chunk, large bodies have their own, so that all of them fit a vectored write.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    first: &'a [u8],
    rest: Option<alloc::collections::vec_deque::Iter<'a, Segment>>,
    last: &'a [u8],
}

impl<'a> Chunks<'a> {
    /// One chunk.
    pub(super) const fn of(chunk: &'a [u8]) -> Self {
        Self { first: chunk, rest: None, last: &[] }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let chunk = core::mem::take(&mut self.first);
        if !chunk.is_empty() {
            return Some(chunk);
        }
        if let Some(segment) = self.rest.as_mut().and_then(Iterator::next) {
            return Some(segment.bytes());
        }
        let last = core::mem::take(&mut self.last);
        (!last.is_empty()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
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
            prop_assert!(outbox.held_bytes() <= RUN_LIMIT + SEGMENTS_KEPT * size_of::<Segment>());
            outbox.shrink();
            prop_assert_eq!(outbox.held_bytes(), 0);
        }
    }
}
