//! What the peer's bytes do, up to whole frames.
//!
//! Every rule that a header can break is checked before a byte of its payload is kept: kind and flags in `wire`, what the
//! state, the tables and the accounts allow in `admit`. So what is kept has been paid for. What whole frames do is in
//! `frames`.

use alloc::boxed::Box;

use super::admit::Admission;
use super::inbound::{Inbound, Payload};
use super::partial::{Partial, TOTAL_LEN};
use super::whole::ReplyTaker;
use super::{Connection, State};
use crate::error::{CloseReason, ProtocolError};
use crate::event::{CallId, Event, Outcome};
use crate::framing::Framing;
use crate::time::Instant;
use crate::wire::{HANDSHAKE_FRAME_LIMIT, HEADER_LEN, Header, HeaderView, Kind, Parsed, Sequence, charge};

/// From how many missing bytes on a payload is read into its own memory: below it, a read into a buffer that takes the
/// frames behind it too costs less.
const LEND_FROM: u32 = 8 << 10;

impl Connection {
    /// Lends room for the payload that is arriving, if a large part of it is still missing, so that it can be read from the
    /// transport without being copied: `None` most of the time. [`commit_body`](Self::commit_body) says how much was
    /// read. Without it, give all input to [`handle_input`](Self::handle_input).
    ///
    /// The bytes that come next belong at the start of what is lent; no other input comes in between. What the room
    /// contains is unspecified.
    pub fn body_space(&mut self) -> Option<&mut [u8]> {
        match &mut self.inbound {
            _ if self.layer.is_some() => None,
            Inbound::Payload { message, remaining, .. } if *remaining >= LEND_FROM => {
                let space = message.space(*remaining as usize);
                (!space.is_empty()).then_some(space)
            }
            _ => None,
        }
    }

    /// The next `n` bytes have been read into the room that [`body_space`](Self::body_space) lent.
    pub fn commit_body(&mut self, now: Instant, n: usize) {
        let n = match &self.inbound {
            Inbound::Payload { message, remaining, .. } => n.min(message.lent()).min(*remaining as usize),
            _ => 0,
        };
        self.take_input(now, n, |connection| {
            if let Inbound::Payload { message, remaining, .. } = &mut connection.inbound {
                message.fill_space(n);
                *remaining -= n as u32;
            }
            connection.end_payload().map_err(CloseReason::Protocol)
        });
    }

    /// Takes all of `input`.
    pub(super) fn receive(
        &mut self,
        mut input: &[u8],
        taker: &mut impl ReplyTaker,
    ) -> Result<(), ProtocolError> {
        if self.is_foreign() && self.is_waiting_for_decision() {
            return self.hold_input(input);
        }
        while !input.is_empty() && self.is_listening() {
            if self.may_be_whole() {
                input = self.receive_whole(input, taker)?;
                if input.is_empty() {
                    break;
                }
            }
            let taken = self.receive_some(input)?;
            input = &input[taken..];
        }
        Ok(())
    }

    /// Whether what comes next may be a message that need not be [judged](Self::receive_some) rule by rule.
    fn may_be_whole(&self) -> bool {
        let between_frames = matches!(self.inbound, Inbound::Header { filled: 0, .. });
        between_frames && matches!(self.state, State::Open) && !self.is_foreign()
    }

    pub(super) const fn is_listening(&self) -> bool {
        match &self.state {
            State::Handshaking { .. } | State::Open | State::Draining(_) => true,
            State::Closing(closing) => !closing.deaf,
            State::Closed(_) => false,
        }
    }

    /// Lets input in; a broken rule ends the connection.
    pub(super) fn take_input(
        &mut self,
        now: Instant,
        bytes: usize,
        receive: impl FnOnce(&mut Self) -> Result<(), CloseReason>,
    ) {
        self.observe(now);
        if self.is_closed() || bytes == 0 {
            return self.pump();
        }
        self.counters.bytes_received += bytes as u64;
        self.note_heard();
        let frames = self.counters.frames();
        match receive(self) {
            Ok(()) => self.judge_progress(bytes, frames),
            Err(reason) => self.fail(reason),
        }
        self.pump();
    }

    /// Takes the bytes up to the next boundary, and says how many they were.
    fn receive_some(&mut self, input: &[u8]) -> Result<usize, ProtocolError> {
        if let State::Handshaking { preface, .. } = &mut self.state {
            if !preface.is_complete() {
                return preface.feed(input);
            }
        }
        let foreign = self.is_foreign();
        match &mut self.inbound {
            Inbound::Held(_) => Ok(input.len()),
            Inbound::Header { .. } if foreign => self.receive_foreign_header(input),
            Inbound::Header { bytes, filled } => {
                if *filled == 0 {
                    if let Some(view) = HeaderView::new_checked(input) {
                        let taken = self.receive_header(view, &input[HEADER_LEN..])?;
                        return Ok(HEADER_LEN + taken);
                    }
                }
                let (taken, complete) = gather(bytes, filled, input);
                let bytes = *bytes;
                if let (true, Some(view)) = (complete, HeaderView::new_checked(&bytes)) {
                    self.inbound = Inbound::new();
                    return Ok(taken + self.receive_header(view, &input[taken..])?);
                }
                Ok(taken)
            }
            Inbound::Total { header, bytes, filled } => {
                let (taken, complete) = gather(bytes, filled, input);
                if complete {
                    let (header, total) = (**header, u32::from_be_bytes(*bytes));
                    self.receive_first(&header, total)?;
                }
                Ok(taken)
            }
            Inbound::Payload { message, remaining, .. } => {
                let arrived = &input[..input.len().min(*remaining as usize)];
                message.fill(arrived);
                *remaining -= arrived.len() as u32;
                self.end_payload()?;
                Ok(arrived.len())
            }
            Inbound::Skip { message, remaining } => {
                let taken = input.len().min(*remaining as usize);
                *remaining -= taken as u32;
                if *remaining == 0 {
                    let message = *message;
                    self.inbound = Inbound::new();
                    self.end_skipped(message);
                }
                Ok(taken)
            }
        }
    }

    fn receive_foreign_header(&mut self, input: &[u8]) -> Result<usize, ProtocolError> {
        let length = self.foreign().map_or(HEADER_LEN, Framing::header_len);
        let Inbound::Header { bytes, filled } = &mut self.inbound else { return Ok(0) };
        let (taken, complete) = gather(&mut bytes[..length], filled, input);
        let bytes = *bytes;
        if !complete {
            return Ok(taken);
        }
        self.inbound = Inbound::new();
        let header = self.parse_foreign(&bytes[..length])?;
        self.push_window.charge_freely(charge(header.length as usize));
        Ok(taken + self.take_frame(header, &input[taken..])?)
    }

    /// Takes a frame of its own, as far as it is here.
    fn take_frame(&mut self, header: Header, input: &[u8]) -> Result<usize, ProtocolError> {
        if let Some(payload) = input.get(..header.length as usize) {
            self.counters.frames_received += 1;
            self.receive_frame(header, self.now, Payload::Lent(payload))?;
            return Ok(payload.len());
        }
        let message = Partial::new(header, self.now);
        self.inbound = Inbound::Payload { message, remaining: header.length, more: false };
        Ok(0)
    }

    /// Judges a complete header, and takes what belongs to it from the start of `input`.
    fn receive_header(&mut self, view: HeaderView<'_>, input: &[u8]) -> Result<usize, ProtocolError> {
        let limit = match self.state {
            State::Handshaking { .. } => HANDSHAKE_FRAME_LIMIT,
            _ => self.config.max_frame,
        };
        let header = match Header::parse(view, limit)? {
            Parsed::Frame(header) => header,
            Parsed::Ignorable(length) => return Ok(self.skip(None, length)),
        };
        match self.admit_frame(&header)? {
            Admission::Take => return self.take_frame(header, input),
            Admission::Skip => {
                return Ok(self.skip(Some((header.kind, header.sequence)), header.length));
            }
            Admission::First => {
                let header = Box::new(header);
                self.inbound = Inbound::Total { header, bytes: [0; TOTAL_LEN], filled: 0 };
            }
            Admission::Next(message, more) => {
                self.inbound = Inbound::Payload { message, remaining: header.length, more };
            }
        }
        Ok(0)
    }

    /// Judges the first fragment of a message, whose total is known now.
    fn receive_first(&mut self, header: &Header, total: u32) -> Result<(), ProtocolError> {
        let message = self.admit_first(header, total)?;
        let remaining = header.length - TOTAL_LEN as u32;
        self.inbound = Inbound::Payload { message, remaining, more: true };
        self.end_payload()
    }

    /// Deals with the payload if all of it is there.
    fn end_payload(&mut self) -> Result<(), ProtocolError> {
        if !matches!(self.inbound, Inbound::Payload { remaining: 0, .. }) {
            return Ok(());
        }
        let inbound = core::mem::replace(&mut self.inbound, Inbound::new());
        let Inbound::Payload { mut message, more, .. } = inbound else { return Ok(()) };
        self.counters.frames_received += 1;
        if more {
            message.check_block()?;
            self.keep_partial(message);
            return Ok(());
        }
        let (header, at) = (message.header, message.at);
        if message.is_discarded() {
            self.end_discarded(header.kind, header.sequence);
            return Ok(());
        }
        if header.kind == Kind::Reply && message.is_in_fragments() {
            self.events.end_reply(header.length);
        }
        self.receive_frame(header, at, Payload::Owned(message.take_data()))
    }

    fn keep_partial(&mut self, message: Box<Partial>) {
        match message.header.kind {
            Kind::Request => self.requests.keep_partial(message),
            Kind::Reply => self.calls.keep_reply(message),
            _ => self.pushes.get_or_insert_with(Box::default).keep(message),
        }
    }

    /// Skips a payload. Takes nothing yet, so that an empty one needs no further input.
    fn skip(&mut self, message: Option<(Kind, Sequence)>, length: u32) -> usize {
        if length == 0 {
            self.end_skipped(message);
        } else {
            self.inbound = Inbound::Skip { message, remaining: length };
        }
        0
    }

    /// The end of a payload that was not wanted.
    fn end_skipped(&mut self, message: Option<(Kind, Sequence)>) {
        match message {
            None => self.counters.frames_ignored += 1,
            Some((kind, sequence)) => {
                self.counters.frames_received += 1;
                self.end_discarded(kind, sequence);
            }
        }
    }

    /// The end of a message that was not wanted.
    fn end_discarded(&mut self, kind: Kind, sequence: Sequence) {
        if kind != Kind::Reply {
            self.counters.requests_dropped += 1;
        } else if self.answer(sequence) {
            self.counters.replies_discarded += 1;
            let call = CallId(sequence);
            self.events.push(Event::Ended { call, outcome: Outcome::Discarded }, 0);
        }
    }
}

/// Takes bytes from the start of `input` into a buffer of which some are filled; says how many, and whether it is full now.
fn gather(bytes: &mut [u8], filled: &mut u8, input: &[u8]) -> (usize, bool) {
    let rest = &mut bytes[usize::from(*filled)..];
    let taken = input.len().min(rest.len());
    rest[..taken].copy_from_slice(&input[..taken]);
    let complete = taken == rest.len();
    *filled += taken as u8;
    (taken, complete)
}
