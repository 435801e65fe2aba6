//! Judges what arrives by its header (LW-2.10): whether it may come now, and whether its payload is wanted.

use alloc::boxed::Box;

use super::calls::Answered;
use super::partial::{Partial, PartialPushes, TOTAL_LEN, bad_fragment, first_fragment};
use super::requests::Stage;
use super::{Connection, Handshake, Role, State};
use crate::error::ProtocolError;
use crate::wire::{Capabilities, Flags, Header, Kind, charge};

/// What to do with a payload.
pub(super) enum Admission {
    /// It is a frame of its own, and is taken.
    Take,
    /// It is not wanted.
    Skip,
    /// It is the first fragment of a message, to be judged again when its total is known.
    First,
    /// It goes on with this message, and more may follow.
    Next(Box<Partial>, bool),
}

impl Connection {
    /// Whether this frame may come now, and whether its payload is wanted.
    pub(super) fn admit_frame(&mut self, header: &Header) -> Result<Admission, ProtocolError> {
        let kind = header.kind;
        let more = header.flags.contains(Flags::MORE);
        let fragments = self.config.capabilities.contains(Capabilities::FRAGMENTS);
        // To who takes no fragments, a push id that belongs to none is a sequence out of place (LW-5.1).
        if kind == Kind::Push && header.sequence.is_call() && !more && !fragments {
            return Err(ProtocolError::BadSequence { kind, sequence: header.sequence });
        }
        match (&self.state, kind) {
            (State::Handshaking { .. }, Kind::Close) => return Ok(Admission::Take),
            (State::Handshaking { role: Role::Acceptor, stage: Handshake::Peer, .. }, Kind::Hello)
            | (State::Handshaking { role: Role::Dialer, stage: Handshake::Peer, .. }, Kind::Welcome) => {
                return Ok(Admission::Take);
            }
            (State::Handshaking { .. }, _) | (_, Kind::Hello | Kind::Welcome) => {
                return Err(ProtocolError::UnexpectedFrame(kind));
            }
            _ => {}
        }
        if !self.may_hear(kind, header.flags) {
            return Err(ProtocolError::UnexpectedFrame(kind));
        }
        let negotiated = match kind {
            Kind::Cancel => self.config.capabilities.contains(Capabilities::CANCEL),
            Kind::Drain => self.sending.drain,
            _ => !more || fragments,
        };
        if !negotiated {
            return Err(ProtocolError::NotNegotiated(kind));
        }
        if !kind.is_message() {
            return Ok(Admission::Take);
        }
        if kind == Kind::Request && !self.may_send() {
            return Ok(Admission::Skip);
        }
        if let Some(message) = self.take_partial(header) {
            message.continues(header)?;
            return Ok(Admission::Next(message, more));
        }
        let is_last_of_nothing = kind == Kind::Push && !more && header.sequence.is_call();
        if is_last_of_nothing || more && (header.length as usize) < TOTAL_LEN {
            return Err(bad_fragment(header));
        }
        if more { Ok(Admission::First) } else { self.admit_message(header) }
    }

    /// Whether one more reply may wait for the application. One always may, whatever its length.
    #[inline]
    pub(super) fn may_keep_reply(&self, length: u32) -> bool {
        let undelivered = self.events.reply_bytes();
        undelivered == 0 || undelivered + length as usize <= self.config.undelivered_limit
    }

    /// Judges the message that a first fragment begins.
    pub(super) fn admit_first(
        &mut self,
        fragment: &Header,
        total: u32,
    ) -> Result<Box<Partial>, ProtocolError> {
        let header = first_fragment(fragment, total)?;
        let admission = self.admit_message(&header)?;
        let mut message = Partial::new(header, self.now);
        message.set_in_fragments();
        if matches!(admission, Admission::Skip) {
            message.discard();
        } else if header.kind == Kind::Reply {
            self.events.begin_reply(total);
        }
        Ok(message)
    }

    /// What has arrived of the message that this frame may go on with.
    fn take_partial(&mut self, header: &Header) -> Option<Box<Partial>> {
        match header.kind {
            Kind::Request => self.requests.take_partial(header.sequence),
            Kind::Reply => self.calls.take_partial(header.sequence),
            Kind::Push => {
                let message = self.pushes.as_mut()?.take(header.sequence);
                self.pushes.take_if(|pushes| pushes.is_empty());
                message
            }
            _ => None,
        }
    }

    /// Charges a message by its whole length, and takes its place in the tables.
    fn admit_message(&mut self, header: &Header) -> Result<Admission, ProtocolError> {
        let Header { length, sequence, flags, .. } = *header;
        if length > self.config.max_message {
            return Err(ProtocolError::MessageTooLarge { length, limit: self.config.max_message });
        }
        let (charged, [requests, pushes]) = (charge(length as usize), self.windows());
        match header.kind {
            Kind::Request => {
                let lane = flags.lane().unwrap_or_default();
                self.requests.begin(sequence, length, lane, self.config.call_slots, Stage::Arriving)?;
                self.request_window.charge(charged, requests)?;
                Ok(Admission::Take)
            }
            Kind::Push => {
                if sequence.is_call() {
                    self.pushes.as_deref().map_or_else(
                        || PartialPushes::default().begin(sequence),
                        |pushes| pushes.begin(sequence),
                    )?;
                }
                self.push_window.charge(charged, pushes)?;
                Ok(Admission::Take)
            }
            _ => match self.calls.find(sequence) {
                Some(Answered::Waited) if self.may_keep_reply(length) => Ok(Admission::Take),
                Some(_) => Ok(Admission::Skip),
                None => Err(ProtocolError::UnknownCall(sequence)),
            },
        }
    }
}
