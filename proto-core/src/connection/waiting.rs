//! A message on its way to its place in the byte stream: whole, or cut into what fits a frame and the rest.

use bytes::Bytes;

use super::lanes::Place;
use super::partial::TOTAL_LEN;
use crate::event::Message;
use crate::wire::{Extensions, Kind, Lane, Sequence, StatusCode};

/// A message that has not been committed, or the rest of one.
#[derive(Debug)]
pub(super) enum Waiting {
    Request { id: Sequence, has_deadline: bool, message: Message },
    Reply { id: Sequence, status: StatusCode, extensions: Extensions, body: Bytes },
    Push { message: Message },
    Rest(Rest),
}

/// What is left of a message whose first fragment has been committed.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) kind: Kind,
    pub(super) id: Sequence,
    pub(super) code: u32,
    pub(super) body: Bytes,
    pub(super) cut: Cut,
}

/// A body that is sent in pieces. All of them share its memory, which is there as long as one of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) lane: Lane,
    /// No other body of this lane has the same.
    pub(super) number: u32,
    /// The length of the whole body.
    pub(super) length: usize,
}

/// A message, or as much of one as fits a frame.
#[derive(Debug)]
pub(super) struct Piece {
    /// The message with no more of its body than belongs to the frame.
    pub(super) waiting: Waiting,
    /// The sequence of the frame.
    pub(super) id: Sequence,
    /// The length of what waited, of which this is the first or the only piece.
    pub(super) total: usize,
    /// Where the rest waits, if there is one.
    pub(super) rest: Option<Place>,
    /// What its body is a piece of, if it is one.
    pub(super) cut: Option<Cut>,
}

impl Piece {
    /// A message that goes out as it waited, or the last of one.
    pub(super) fn whole(waiting: Waiting) -> Self {
        let (id, total, cut) = (waiting.id(Sequence::CONNECTION), waiting.length(), waiting.cut());
        Self { waiting, id, total, rest: None, cut }
    }
}

impl Waiting {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Request { .. } => Kind::Request,
            Self::Reply { .. } => Kind::Reply,
            Self::Push { .. } => Kind::Push,
            Self::Rest(rest) => rest.kind,
        }
    }

    /// Its length on the wire, as far as it has not been committed.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Request { has_deadline, message, .. } => message.length(*has_deadline),
            Self::Reply { extensions, body, .. } => extensions.block_len(false) + body.len(),
            Self::Push { message } => message.length(false),
            Self::Rest(rest) => rest.body.len(),
        }
    }

    /// The code of its frames.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::Request { message, .. } | Self::Push { message } => message.code(),
            Self::Reply { status, .. } => status.0,
            Self::Rest(rest) => rest.code,
        }
    }

    /// The call that it belongs to; of a push, this one.
    pub(super) const fn id(&self, push: Sequence) -> Sequence {
        match self {
            Self::Request { id, .. } | Self::Reply { id, .. } => *id,
            Self::Push { .. } => push,
            Self::Rest(rest) => rest.id,
        }
    }

    /// Leaves as much as fits a frame of this length, and gives the rest of the body. The extension block must fit.
    pub(super) fn split(&mut self, frame: usize) -> Bytes {
        let (front, body) = match self {
            Self::Request { has_deadline, message, .. } => {
                (TOTAL_LEN + message.extensions.block_len(*has_deadline), &mut message.body)
            }
            Self::Reply { extensions, body, .. } => (TOTAL_LEN + extensions.block_len(false), body),
            Self::Push { message } => (TOTAL_LEN + message.extensions.block_len(false), &mut message.body),
            Self::Rest(rest) => (0, &mut rest.body),
        };
        body.split_off(frame.saturating_sub(front).min(body.len()))
    }

    pub(super) const fn cut(&self) -> Option<Cut> {
        match self {
            Self::Rest(rest) => Some(rest.cut),
            Self::Request { .. } | Self::Reply { .. } | Self::Push { .. } => None,
        }
    }

    pub(super) const fn body(&self) -> &Bytes {
        match self {
            Self::Request { message, .. } | Self::Push { message } => &message.body,
            Self::Reply { body, .. } => body,
            Self::Rest(rest) => &rest.body,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Request { message, .. } | Self::Push { message } => message.held_bytes(),
            Self::Reply { extensions, body, .. } => extensions.held_bytes() + body.len(),
            // As long as there is a rest, all of the memory is there.
            Self::Rest(rest) => rest.cut.length,
        }
    }
}
