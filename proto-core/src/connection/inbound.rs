//! Puts frames together from bytes that arrive cut anywhere.
//!
//! A frame that lies whole in the input is lent from there. Of one that does not, only what has arrived is kept, with
//! room for at most 64 KiB more. Nothing here judges a frame: a header is handed out before any byte of its payload
//! is stored, and whoever gets it says whether the payload is wanted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::time::Instant;
use crate::wire::{HEADER_LEN, Header};

/// How much room is made for bytes that have been announced and not arrived.
const AHEAD: usize = 64 << 10;

#[derive(Debug)]
pub(super) enum Inbound {
    /// Between frames, or within a header.
    Header { bytes: [u8; HEADER_LEN], filled: u8 },
    /// Within a payload that is kept.
    Payload(Box<Partial>),
    /// Within a payload that is not wanted; the frame's header, if it matters at the end.
    Skip { header: Option<Header>, remaining: u32 },
}

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) header: Header,
    /// When the header was complete.
    pub(super) at: Instant,
    pub(super) data: Vec<u8>,
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self::Header { bytes: [0; HEADER_LEN], filled: 0 }
    }

    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Header { .. } | Self::Skip { .. } => 0,
            Self::Payload(partial) => size_of::<Partial>() + partial.data.capacity(),
        }
    }
}

impl Partial {
    pub(super) fn new(header: Header, at: Instant) -> Box<Self> {
        Box::new(Self { header, at, data: Vec::new() })
    }

    /// Takes what belongs to this payload from the start of `input`; says how much that was.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let missing = self.header.length as usize - self.data.len();
        let arrived = &input[..missing.min(input.len())];
        if self.data.capacity() - self.data.len() < arrived.len() {
            self.data.reserve_exact(arrived.len().max(missing.min(AHEAD)));
        }
        self.data.extend_from_slice(arrived);
        arrived.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.data.len() == self.header.length as usize
    }
}

/// A whole payload, lent from the input or put together.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Lent(&'a [u8]),
    Owned(Vec<u8>),
}

impl Payload<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// What stands behind the first `at` bytes, and how much memory it holds. A small body is copied, so that it pins
    /// nothing but itself.
    pub(super) fn into_body(self, at: usize) -> (Bytes, usize) {
        match self {
            Self::Lent(bytes) => {
                let body = Bytes::copy_from_slice(&bytes[at..]);
                let held = body.len();
                (body, held)
            }
            Self::Owned(bytes) => {
                let held = bytes.capacity();
                let mut body = Bytes::from(bytes);
                body.advance(at);
                (body, held)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Flags, Kind, Sequence};

    fn header(length: u32) -> Header {
        Header { length, kind: Kind::Push, flags: Flags::empty(), sequence: Sequence::CONNECTION, code: 0 }
    }

    #[test]
    fn room_is_made_for_what_arrives_not_for_what_is_announced() {
        let mut partial = Partial::new(header(1 << 30), Instant::EPOCH);
        assert_eq!(partial.fill(&[1; 10]), 10);
        assert!(partial.data.capacity() <= AHEAD, "{}", partial.data.capacity());
        for _ in 0..100 {
            partial.fill(&[2; 5000]);
            assert!(partial.data.capacity() <= partial.data.len() + AHEAD);
        }
    }

    #[test]
    fn a_complete_payload_holds_no_more_than_its_length() {
        for length in [1u32, 100, AHEAD as u32, 3 * AHEAD as u32 + 17] {
            let mut partial = Partial::new(header(length), Instant::EPOCH);
            while !partial.is_complete() {
                partial.fill(&[3; 1000]);
            }
            assert_eq!(partial.data.len(), length as usize);
            assert_eq!(partial.data.capacity(), length as usize);
        }
    }
}
