//! Committed bytes on their way to the transport: many small frames in one piece of memory, and large bodies as they are.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::waiting::Cut;

/// For how many segments room is kept while there are none.
const SEGMENTS_KEPT: usize = 8;
/// Where a run of small frames ends and the next begins, so that the part already written is freed in time.
pub(super) const RUN_LIMIT: usize = 16 << 10;
/// The most that is held while nothing is committed.
#[cfg(test)]
pub(super) const MOST_KEPT: usize = size_of::<Output>() + RUN_LIMIT + SEGMENTS_KEPT * size_of::<Segment>();

/// Segments, and behind them the run that small frames are appended to. The first `written` of the first have been written
/// already. The memory of the run is kept when it has been written.
#[derive(Debug, Default)]
pub(super) struct Output {
    segments: VecDeque<Segment>,
    run: Vec<u8>,
    written: usize,
    /// How many bytes have not been written, and how many of them the transport may have sent.
    pending: usize,
    handed: usize,
}

#[derive(Debug)]
enum Segment {
    /// Small frames, one behind another, or the header of what follows.
    Frames(Vec<u8>),
    /// A large body, or a piece of one.
    Body(Bytes, Option<Cut>),
}

impl Output {
    pub(super) const fn pending(&self) -> usize {
        self.pending
    }

    pub(super) const fn handed(&self) -> usize {
        self.handed
    }

    /// So many further bytes are appended next.
    pub(super) const fn announce(&mut self, length: usize) {
        self.pending += length;
    }

    /// The transport holds the next `n` bytes.
    pub(super) fn hand_over(&mut self, n: usize) {
        self.handed = self.handed.max(n.min(self.pending));
    }

    /// The run that the next `length` bytes are appended to.
    #[inline]
    pub(super) fn run(&mut self, length: usize) -> &mut Vec<u8> {
        if self.run.len() >= RUN_LIMIT {
            self.end_run();
        }
        self.run.reserve(length);
        &mut self.run
    }

    /// Appends a body, or a piece of one, that is lent from where it is.
    pub(super) fn push_body(&mut self, body: Bytes, cut: Option<Cut>) {
        self.end_run();
        self.segments.push_back(Segment::Body(body, cut));
    }

    /// All that has not been written, in order.
    pub(super) fn chunks(&self) -> Chunks<'_> {
        let mut rest = self.segments.iter();
        let (first, last) = match rest.next() {
            Some(first) => (first.bytes(), &self.run[..]),
            None => (&self.run[..], &[][..]),
        };
        Chunks { first: &first[self.written..], rest: Some(rest), last }
    }

    /// The next `n` bytes, of which there are so many, have been written.
    pub(super) fn advance(&mut self, n: usize) {
        self.written += n;
        self.pending -= n;
        self.handed = self.handed.saturating_sub(n);
        while let Some(first) = self.segments.front() {
            let length = first.bytes().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.segments.pop_front();
        }
        if self.segments.capacity() > SEGMENTS_KEPT {
            self.segments = VecDeque::new();
        }
        if self.written == self.run.len() {
            self.written = 0;
            self.run.clear();
            if self.run.capacity() > RUN_LIMIT {
                self.run = Vec::new();
            }
        }
    }

    /// What it holds, given what waits of bodies in pieces, in each lane. Such a body is held as a whole, once: by what waits of
    /// it, or else by the first of its pieces here. Those of one lane follow one another.
    pub(super) fn held_bytes(&self, waiting: [Option<Cut>; 3]) -> usize {
        let mut counted = [None; 3];
        let held = |segment: &Segment| match segment {
            Segment::Frames(run) => run.capacity(),
            Segment::Body(body, None) => body.len(),
            Segment::Body(_, Some(cut)) => {
                let previous = counted[cut.lane as usize].replace(*cut);
                if previous == Some(*cut) || waiting.contains(&Some(*cut)) { 0 } else { cut.length }
            }
        };
        size_of::<Self>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.run.capacity()
            + self.segments.iter().map(held).sum::<usize>()
    }

    /// What comes next does not belong to the run.
    fn end_run(&mut self) {
        if !self.run.is_empty() {
            self.segments.push_back(Segment::Frames(core::mem::take(&mut self.run)));
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
