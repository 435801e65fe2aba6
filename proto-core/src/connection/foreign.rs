//! A connection in another wire format: what it does where LW/1 has something that the format has not.
//!
//! A foreign message is a push to a numbered route. There is no handshake but the application's decision, no credit but
//! not reading on, and no CLOSE but the end of the stream.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::close::Closing;
use super::credit::SendAccount;
use super::inbound::Inbound;
use super::waiting::Waiting;
use super::whole::Nobody;
use super::{Connection, Handshake, Role, Sending, State, Timer};
use crate::error::{CloseReason, ProtocolError, Refusal, TransportError};
use crate::event::{Event, Message};
use crate::framing::{Format, FrameHeader, Framing};
use crate::wire::{Capabilities, CloseCode, CloseInfo, Credentials, Flags, Header, Hello, Kind, Sequence};

/// How much may arrive before the application has decided.
const MOST_BEFORE_OPEN: usize = 64 << 10;

impl Connection {
    pub(super) fn foreign(&self) -> Option<&dyn Framing> {
        self.config.framing.as_ref().map(Format::framing)
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.config.framing.is_some()
    }

    /// A new connection: a dialer may speak at once, an acceptor asks its application.
    pub(super) fn begin_foreign(&mut self, role: Role) {
        self.sending = Sending { message: self.config.max_message, frame: u32::MAX, ..Sending::default() };
        self.push_account = SendAccount::new(u64::MAX);
        match role {
            Role::Dialer => self.open(None),
            Role::Acceptor => {
                let hello = Hello {
                    capabilities: Capabilities::default(),
                    codecs: Vec::new(),
                    credentials: Credentials::default(),
                    heartbeat: None,
                    ..self.config.hello()
                };
                if let State::Handshaking { stage, .. } = &mut self.state {
                    *stage = Handshake::Decision;
                }
                self.events.push(Event::Hello(Box::new(hello)), size_of::<Hello>());
            }
        }
    }

    /// The application lets the dialer in: what has come meanwhile counts now.
    pub(super) fn accept_foreign(&mut self) {
        let held = core::mem::replace(&mut self.inbound, Inbound::new());
        self.open(None);
        if let Inbound::Held(bytes) = held {
            // Behind the layer, if there is one: it has had them.
            self.take_input(self.now, bytes.len(), |connection| {
                connection.receive(&bytes, &mut Nobody).map_err(CloseReason::Protocol)
            });
        }
    }

    /// Keeps what comes before the application has decided.
    pub(super) fn hold_input(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        if !matches!(self.inbound, Inbound::Held(_)) {
            self.inbound = Inbound::Held(Box::default());
        }
        match &mut self.inbound {
            Inbound::Held(held) if held.len() + input.len() <= MOST_BEFORE_OPEN => {
                held.extend_from_slice(input);
                Ok(())
            }
            _ => Err(ProtocolError::UnexpectedFrame(Kind::Push)),
        }
    }

    /// Reads a foreign header as that of a push.
    pub(super) fn parse_foreign(&self, bytes: &[u8]) -> Result<Header, ProtocolError> {
        let header = self.foreign().and_then(|framing| framing.parse(bytes));
        let FrameHeader { number, length } = header.ok_or(ProtocolError::BadForeignHeader)?;
        let limit = self.config.max_message;
        if length > limit {
            return Err(ProtocolError::MessageTooLarge { length, limit });
        }
        let (flags, sequence) = (Flags::empty(), Sequence::CONNECTION);
        Ok(Header { length, kind: Kind::Push, flags, sequence, code: number })
    }

    /// Whether enough has been handed out that was not released, so that reading has to wait. Never within a message: the
    /// rest of it has to come before it can be released.
    pub(super) fn is_paused(&self) -> bool {
        self.is_foreign()
            && !self.inbound.is_within_a_frame()
            && self.push_window.outstanding() >= self.config.push_window
    }

    /// Whether a foreign format can say this.
    pub(super) fn check_foreign(&self, kind: Kind, message: &Message) -> Result<(), Refusal> {
        let can = !self.is_foreign() || kind == Kind::Push && message.extensions.is_empty();
        if can { Ok(()) } else { Err(Refusal::Unsupported) }
    }

    /// Commits a push.
    pub(super) fn commit_foreign(&mut self, waiting: Waiting) {
        let Waiting::Push { message } = waiting else { return };
        let Some(format) = self.config.framing.clone() else { return };
        let header = FrameHeader { number: message.number, length: message.body.len() as u32 };
        let length = format.framing().header_len();
        self.outbox.commit_bytes(length, |out| format.framing().emit(header, out), message.body, None);
    }

    /// The stream has ended, which is how the peer says goodbye, unless it was cut off in the middle of a message.
    pub(super) fn foreign_eof(&mut self) {
        if self.inbound.is_within_a_frame() {
            return self.finish(CloseReason::Transport(TransportError::Eof));
        }
        let mut closing = Closing::answer(CloseCode::NORMAL, CloseInfo::default());
        closing.eof = true;
        self.timers.clear(Timer::Handshake);
        self.start_closing(closing);
        self.pump();
    }
}
