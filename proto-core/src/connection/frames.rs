//! What whole frames do.

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;

use super::calls::Answered;
use super::close::Closing;
use super::inbound::Payload;
use super::lanes::PendingPong;
use super::partial::bad_fragment;
use super::requests::Stage;
use super::{Connection, Handshake, Sending, State};
use crate::error::{CloseReason, ProtocolError};
use crate::event::{CallId, Event, Message, Outcome, PushToken, RequestId};
use crate::time::Instant;
use crate::wire::{
    CloseCode, CloseInfo, Credentials, Credit, ExtensionBlock, Extensions, Flags, Header, Hello, Kind, Pong,
    Sequence, StatusCode, Versions, charge,
};

impl Connection {
    /// A whole frame whose header was admitted at `at`.
    pub(super) fn receive_frame(
        &mut self,
        header: Header,
        at: Instant,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        match header.kind {
            Kind::Hello => self.receive_hello(payload.bytes()),
            Kind::Welcome => self.receive_welcome(payload.bytes()),
            Kind::Request | Kind::Push | Kind::Reply => self.receive_message(&header, at, payload),
            Kind::Ping if !self.may_ping() => Err(ProtocolError::TooManyPings),
            Kind::Ping => {
                if let Ok(ping) = payload.bytes().try_into() {
                    self.outbox.with_waiting(|lanes| lanes.keep_pong(PendingPong { ping, at }));
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
            Kind::Cancel if header.flags.contains(Flags::ORIGIN) => self.receive_reply_cancelled(&header),
            Kind::Cancel => {
                self.receive_cancel(header.sequence);
                Ok(())
            }
            Kind::Drain => {
                self.receive_drain(CloseCode(header.code), header.flags);
                Ok(())
            }
        }
    }

    /// A whole message that was admitted at `at`.
    fn receive_message(
        &mut self,
        header: &Header,
        at: Instant,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        match header.kind {
            Kind::Request => self.receive_request(header, at, payload),
            Kind::Push => self.receive_push(header, payload),
            _ => self.receive_reply(header, payload),
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
        // What the owner has said holds for the whole life of the connection.
        let calls_in_line = self.sending.calls_in_line;
        self.sending = Sending { calls_in_line, ..Sending::of(peer, &self.config) };
        self.calls.grant(peer.call_slots);
        self.request_account = super::SendAccount::new(peer.request_window);
        self.push_account = super::SendAccount::new(peer.push_window);
        self.start_liveness(peer);
    }

    #[inline]
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
        } else if !self.is_running() || self.is_draining() && !self.sending.drain {
            self.answer_unrun(id, StatusCode::DRAINING);
        } else {
            self.requests.queue(header.sequence);
            self.note_message();
            self.events.push(Event::Request { id, deadline, message }, held);
        }
        Ok(())
    }

    #[inline]
    fn receive_push(&mut self, header: &Header, payload: Payload<'_>) -> Result<(), ProtocolError> {
        let (message, _, held) = take_message(header, payload)?;
        let token = PushToken(charge(header.length as usize));
        self.note_message();
        self.events.push(Event::Push { token, message }, held);
        Ok(())
    }

    #[inline]
    fn receive_reply(&mut self, header: &Header, payload: Payload<'_>) -> Result<(), ProtocolError> {
        let (Message { extensions, body, .. }, _, held) = take_message(header, payload)?;
        // The call may have ended while its reply was arriving.
        if self.answer(header.sequence) {
            let outcome = Outcome::Reply { status: StatusCode(header.code), extensions, body };
            let ended = Event::Ended { call: CallId(header.sequence), outcome };
            self.events.push_reply(ended, held, header.length);
        }
        Ok(())
    }

    /// The peer gave up a REPLY in the middle: that is the end of the call (LW-4.13).
    fn receive_reply_cancelled(&mut self, header: &Header) -> Result<(), ProtocolError> {
        let id = header.sequence;
        let partial = self.calls.take_partial(id).ok_or_else(|| bad_fragment(header))?;
        if !partial.is_discarded() {
            self.events.end_reply(partial.header.length);
        }
        if self.answer(id) {
            let (extensions, body) = (Extensions::none(), Bytes::new());
            let outcome = Outcome::Reply { status: StatusCode::CANCELLED, extensions, body };
            self.events.push(Event::Ended { call: CallId(id), outcome }, 0);
        }
        Ok(())
    }

    /// The caller of a request no longer waits (LW-4.12).
    fn receive_cancel(&mut self, id: Sequence) {
        match self.requests.cancel(id) {
            // Its answer crossed this, or is on its way and is seen to when it is committed.
            Stage::Free | Stage::Answered => return,
            Stage::Arriving => self.answer_unrun(RequestId(id), StatusCode::CANCELLED),
            // It is answered in its turn, so that nobody fills the queue with requests that were given up.
            Stage::Queued => {}
            Stage::Running => self.events.push(Event::Cancelled(id), 0),
        }
        self.counters.requests_cancelled += 1;
    }

    /// Frees the slot of a call whose final REPLY is here; says whether its caller still waited.
    pub(super) fn answer(&mut self, id: Sequence) -> bool {
        let answered = self.calls.answer(id);
        self.note_message();
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
        let is_own = self.is_own_drain(code);
        match &mut self.state {
            State::Handshaking { .. } | State::Open | State::Draining(_) => {
                let mut closing = Closing::answer(code, info);
                if is_own {
                    closing.reason = CloseReason::Local(code);
                }
                self.start_closing(closing);
            }
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
#[inline]
fn take_message(
    header: &Header,
    payload: Payload<'_>,
) -> Result<(Message, Option<u32>, usize), ProtocolError> {
    let (mut number, mut extensions, mut deadline_millis, mut body_at) =
        (header.code, Extensions::none(), None, 0);
    if header.flags.contains(Flags::EXT) {
        if let Some((millis, at)) = ExtensionBlock::deadline_only(header.kind, payload.bytes()) {
            (deadline_millis, body_at) = (Some(millis), at);
        } else {
            let block = ExtensionBlock::parse(header.kind, payload.bytes())?;
            (deadline_millis, body_at) = (block.deadline_millis, block.body_at);
            number = block.route_number(number);
            extensions = Extensions::of_block(&block);
        }
    }
    let (body, held) = payload.into_body(body_at);
    let held = held + extensions.held_bytes();
    let lane = header.flags.lane().unwrap_or_default();
    Ok((Message { number, lane, extensions, body }, deadline_millis, held))
}
