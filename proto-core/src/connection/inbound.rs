//! Cuts arriving bytes into frames, wherever they were cut on their way.
//!
//! A payload that lies whole in the input is lent from there. Nothing here judges a frame: a header is handed out
//! before any byte of its payload is stored, and whoever gets it says whether the payload is wanted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::partial::{Partial, TOTAL_LEN};
use crate::wire::{HEADER_LEN, Header, Kind, Sequence};

/// Where in a frame the next byte belongs.
#[derive(Debug)]
pub(super) enum Inbound {
    /// Between frames, or within a header.
    Header { bytes: [u8; HEADER_LEN], filled: u8 },
    /// Behind the header of a first fragment, within the total that belongs to it.
    Total { header: Box<Header>, bytes: [u8; TOTAL_LEN], filled: u8 },
    /// Within a payload that is a message, or the next part of one.
    Payload { message: Box<Partial>, remaining: u32, more: bool },
    /// Within a payload that is not wanted; whose it is, if that matters at the end.
    Skip { message: Option<(Kind, Sequence)>, remaining: u32 },
    /// Before the application has decided on a connection in a foreign format.
    #[expect(clippy::box_collection, reason = "hardly any connection has one, and all have room for it")]
    Held(Box<Vec<u8>>),
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self::Header { bytes: [0; HEADER_LEN], filled: 0 }
    }

    /// Whether a frame has begun to arrive and is not complete.
    pub(super) const fn is_within_a_frame(&self) -> bool {
        !matches!(self, Self::Header { filled: 0, .. })
    }

    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Header { .. } | Self::Skip { .. } => 0,
            Self::Total { .. } => size_of::<Header>(),
            Self::Payload { message, .. } => message.held_bytes(),
            Self::Held(bytes) => size_of::<Vec<u8>>() + bytes.capacity(),
        }
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
    #[inline]
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
