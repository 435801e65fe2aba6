//! What the peer's bytes do.
//!
//! Every rule that a header can break is checked before a byte of its payload is kept: kind and flags in `wire`, here
//! what the state, the tables and the accounts allow. So what is kept has been paid for.

use alloc::boxed::Box;
use core::time::Duration;

use super::calls::Answered;
use super::close::Closing;
use super::inbound::{Inbound, Partial, Payload};
use super::{Connection, Handshake, PendingPong, Role, State};
use crate::error::{CloseReason, ProtocolError};
use crate::event::{CallId, Event, Message, Outcome, PushToken, RequestId};
use crate::time::Instant;
use crate::wire::{
    CloseCode, CloseInfo, Credentials, Credit, ExtensionBlock, Extensions, Flags, HANDSHAKE_FRAME_LIMIT,
    HEADER_LEN, Header, HeaderView, Hello, Kind, Parsed, Pong, StatusCode, Versions, charge,
};

/// What to do with a payload.
enum Admission {
    Take,
    Skip,
}

impl Connection {
    /// Takes all of `input`; a broken rule ends the connection.
    pub(super) fn receive(&mut self, mut input: &[u8]) {
        while !input.is_empty() && self.is_listening() {
            match self.receive_some(input) {
                Ok(taken) => input = &input[taken..],
                Err(error) => return self.fail(CloseReason::Protocol(error)),
            }
        }
    }

    pub(super) const fn is_listening(&self) -> bool {
        match &self.state {
            State::Handshaking { .. } | State::Open => true,
            State::Closing(closing) => !closing.deaf,
            State::Closed(_) => false,
        }
    }

    /// Takes the bytes up to the next boundary, and says how many they were.
    fn receive_some(&mut self, input: &[u8]) -> Result<usize, ProtocolError> {
        if let State::Handshaking { preface, .. } = &mut self.state {
            if !preface.is_complete() {
                return preface.feed(input);
            }
        }
        match &mut self.inbound {
            Inbound::Header { bytes, filled } => {
                let start = usize::from(*filled);
                if start == 0 {
                    if let Some(view) = HeaderView::new_checked(input) {
                        return self
                            .receive_header(view, &input[HEADER_LEN..])
                            .map(|taken| HEADER_LEN + taken);
                    }
                }
                let taken = input.len().min(HEADER_LEN - start);
                bytes[start..start + taken].copy_from_slice(&input[..taken]);
                *filled += taken as u8;
                let bytes = *bytes;
                match HeaderView::new_checked(&bytes) {
                    Some(view) if start + taken == HEADER_LEN => {
                        self.inbound = Inbound::new();
                        self.receive_header(view, &input[taken..]).map(|more| taken + more)
                    }
                    _ => Ok(taken),
                }
            }
            Inbound::Payload(partial) => {
                let taken = partial.fill(input);
                if partial.is_complete() {
                    let Partial { header, at, ref mut data } = **partial;
                    let payload = Payload::Owned(core::mem::take(data));
                    self.inbound = Inbound::new();
                    self.receive_frame(header, at, payload)?;
                }
                Ok(taken)
            }
            Inbound::Skip { header, remaining } => {
                let taken = input.len().min(*remaining as usize);
                *remaining -= taken as u32;
                if *remaining == 0 {
                    let header = header.take();
                    self.inbound = Inbound::new();
                    self.end_skipped(header);
                }
                Ok(taken)
            }
        }
    }

    /// Judges a complete header, and takes what belongs to it from the start of `input`.
    fn receive_header(&mut self, view: HeaderView<'_>, input: &[u8]) -> Result<usize, ProtocolError> {
        let limit = match self.state {
            State::Handshaking { .. } => HANDSHAKE_FRAME_LIMIT,
            State::Open | State::Closing(_) | State::Closed(_) => self.config.max_frame,
        };
        let header = match Header::parse(view, limit)? {
            Parsed::Frame(header) => header,
            Parsed::Ignorable(length) => return Ok(self.skip(None, length)),
        };
        if let Admission::Skip = self.admit_frame(&header)? {
            return Ok(self.skip(Some(header), header.length));
        }
        match input.get(..header.length as usize) {
            Some(payload) => {
                self.receive_frame(header, self.now, Payload::Lent(payload))?;
                Ok(payload.len())
            }
            None => {
                self.inbound = Inbound::Payload(Partial::new(header, self.now));
                Ok(0)
            }
        }
    }

    /// Skips a payload. Takes nothing yet, so that an empty one needs no further input.
    fn skip(&mut self, header: Option<Header>, length: u32) -> usize {
        if length == 0 {
            self.end_skipped(header);
        } else {
            self.inbound = Inbound::Skip { header, remaining: length };
        }
        0
    }

    /// Whether this frame may come now, and whether its payload is wanted.
    fn admit_frame(&mut self, header: &Header) -> Result<Admission, ProtocolError> {
        let kind = header.kind;
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
        if header.flags.contains(Flags::MORE) || matches!(kind, Kind::Cancel | Kind::Drain) {
            return Err(ProtocolError::NotNegotiated(kind));
        }
        if kind.is_message() && header.length > self.config.max_message {
            return Err(ProtocolError::MessageTooLarge {
                length: header.length,
                limit: self.config.max_message,
            });
        }
        let charged = charge(header.length as usize);
        match kind {
            Kind::Request if !self.may_send() => Ok(Admission::Skip),
            Kind::Request => {
                self.requests.begin(header.sequence, charged, self.config.call_slots)?;
                self.request_window.charge(charged)?;
                Ok(Admission::Take)
            }
            Kind::Push => {
                self.push_window.charge(charged)?;
                Ok(Admission::Take)
            }
            Kind::Reply => {
                let undelivered = self.events.reply_bytes();
                // One always may, whatever its length.
                let fits =
                    undelivered == 0 || undelivered + header.length as usize <= self.config.undelivered_limit;
                match self.calls.find(header.sequence) {
                    Some(Answered::Waited) if fits => Ok(Admission::Take),
                    Some(_) => Ok(Admission::Skip),
                    None => Err(ProtocolError::UnknownCall(header.sequence)),
                }
            }
            _ => Ok(Admission::Take),
        }
    }

    /// The end of a payload that was not wanted.
    fn end_skipped(&mut self, header: Option<Header>) {
        match header {
            None => self.counters.frames_ignored += 1,
            Some(header) if header.kind == Kind::Reply => {
                self.counters.frames_received += 1;
                if self.answer(&header) {
                    self.counters.replies_discarded += 1;
                    let call = CallId(header.sequence);
                    self.events.push(Event::Ended { call, outcome: Outcome::Discarded }, 0);
                }
            }
            Some(_) => {
                self.counters.frames_received += 1;
                self.counters.requests_dropped += 1;
            }
        }
    }

    /// A whole frame whose header was admitted at `at`.
    fn receive_frame(
        &mut self,
        header: Header,
        at: Instant,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        self.counters.frames_received += 1;
        match header.kind {
            Kind::Hello => self.receive_hello(payload.bytes()),
            Kind::Welcome => self.receive_welcome(payload.bytes()),
            Kind::Request => self.receive_request(&header, at, payload),
            Kind::Push => self.receive_push(&header, payload),
            Kind::Reply => self.receive_reply(&header, payload),
            Kind::Ping if !self.may_ping() => Err(ProtocolError::TooManyPings),
            Kind::Ping => {
                if let Ok(ping) = payload.bytes().try_into() {
                    self.pong = Some(Box::new(PendingPong { ping, at }));
                }
                Ok(())
            }
            Kind::Credit => match payload.bytes().try_into() {
                Ok(bytes) => self.receive_credit(Credit::parse(bytes)),
                Err(_) => Ok(()),
            },
            Kind::Close => {
                self.receive_close(CloseCode(header.code), CloseInfo::parse(payload.bytes()));
                Ok(())
            }
            Kind::Pong => {
                if let (Ok(bytes), Some(liveness)) = (payload.bytes().try_into(), &mut self.liveness) {
                    liveness.answer(Pong::parse(bytes), self.now);
                }
                Ok(())
            }
            // Not admitted.
            Kind::Cancel | Kind::Drain => Ok(()),
        }
    }

    fn receive_hello(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        // Fields of another version may mean something else, so the version is judged first (LW-3.6).
        let versions = Hello::parse_versions(payload).map_err(ProtocolError::BadHello)?;
        if versions.is_range() && versions.common(Versions::SUPPORTED).is_none() {
            return Err(ProtocolError::UnsupportedVersion);
        }
        let hello = Hello::parse(payload).map_err(ProtocolError::BadHello)?;
        self.keep_to(&hello);
        if let State::Handshaking { stage, .. } = &mut self.state {
            *stage = Handshake::Decision;
        }
        let hello = Box::new(hello);
        let held = hello.held_bytes();
        self.events.push(Event::Hello(hello), held);
        Ok(())
    }

    fn receive_welcome(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let versions = Hello::parse_versions(payload).map_err(ProtocolError::BadHello)?;
        if versions.first != versions.last || versions.common(Versions::SUPPORTED).is_none() {
            return Err(ProtocolError::UnsupportedVersion);
        }
        let mut welcome = Hello::parse(payload).map_err(ProtocolError::BadHello)?;
        welcome.credentials = Credentials::default();
        self.keep_to(&welcome);
        self.open(Some(Box::new(welcome)));
        Ok(())
    }

    /// From here on this side sends what the peer is ready to receive.
    fn keep_to(&mut self, peer: &Hello) {
        self.max_outgoing = peer.max_frame.min(peer.max_message);
        self.calls.grant(peer.call_slots);
        self.request_account = super::SendAccount::new(peer.request_window);
        self.push_account = super::SendAccount::new(peer.push_window);
        self.start_liveness(peer);
    }

    fn receive_request(
        &mut self,
        header: &Header,
        at: Instant,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        let (message, deadline_millis, held) = take_message(header, payload)?;
        let deadline = deadline_millis.map(|millis| at + Duration::from_millis(millis.into()));
        let id = RequestId(header.sequence);
        if !self.may_send() {
            self.counters.requests_dropped += 1;
        } else if !self.is_open() {
            self.answer_unrun(id, StatusCode::DRAINING);
        } else {
            self.events.push(Event::Request { id, deadline, message }, held);
        }
        Ok(())
    }

    fn receive_push(&mut self, header: &Header, payload: Payload<'_>) -> Result<(), ProtocolError> {
        let (message, _, held) = take_message(header, payload)?;
        let token = PushToken(charge(header.length as usize));
        self.events.push(Event::Push { token, message }, held);
        Ok(())
    }

    fn receive_reply(&mut self, header: &Header, payload: Payload<'_>) -> Result<(), ProtocolError> {
        let (Message { extensions, body, .. }, _, held) = take_message(header, payload)?;
        // The call may have ended while its reply was arriving.
        if self.answer(header) {
            let outcome = Outcome::Reply { status: StatusCode(header.code), extensions, body };
            let ended = Event::Ended { call: CallId(header.sequence), outcome };
            self.events.push_reply(ended, held, header.length);
        }
        Ok(())
    }

    /// Frees the slot of a call whose final REPLY is here; says whether its caller still waited.
    fn answer(&mut self, header: &Header) -> bool {
        let answered = self.calls.answer(header.sequence);
        self.note_free_slot();
        if answered == Some(Answered::Late) {
            self.counters.replies_late += 1;
        }
        answered == Some(Answered::Waited)
    }

    fn receive_credit(&mut self, credit: Credit) -> Result<(), ProtocolError> {
        self.request_account.grant(credit.requests)?;
        self.push_account.grant(credit.pushes)?;
        self.note_credit();
        Ok(())
    }

    fn receive_close(&mut self, code: CloseCode, info: CloseInfo) {
        match &mut self.state {
            State::Handshaking { .. } | State::Open => self.start_closing(Closing::answer(code, info)),
            State::Closing(closing) => {
                // As long as the own CLOSE is not sent, it is the answer to the peer's (LW-7.2).
                if !closing.committed {
                    (closing.code, closing.info) = (code, CloseInfo::default());
                }
                self.stop_listening();
            }
            State::Closed(_) => {}
        }
    }
}

/// A message's parts, the milliseconds that its sender will wait, and the memory that they hold.
fn take_message(
    header: &Header,
    payload: Payload<'_>,
) -> Result<(Message, Option<u32>, usize), ProtocolError> {
    let block = if header.flags.contains(Flags::EXT) {
        ExtensionBlock::parse(header.kind, payload.bytes())?
    } else {
        ExtensionBlock::default()
    };
    let (body_at, deadline_millis) = (block.body_at, block.deadline_millis);
    // Beside a name, the code is not looked at (LW-4.8).
    let number = if block.fields.route.is_some() { 0 } else { header.code };
    // The fields of a block that was read are always fit to be written.
    let extensions = Extensions::new(&block.fields).unwrap_or_default();
    let (body, held) = payload.into_body(body_at);
    let held = held + extensions.held_bytes();
    Ok((Message { number, extensions, body }, deadline_millis, held))
}
