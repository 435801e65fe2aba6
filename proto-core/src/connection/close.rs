//! The way to the end: CLOSE in both directions, then the end of the stream (PROTOCOL.md §7).
//!
//! | state | leaves by | to |
//! |---|---|---|
//! | Handshaking, Open, Draining | `close`, a drain that is over or whose time is, CLOSE received, an error, the handshake's time | Closing |
//! | Handshaking, Open, Draining | end of stream, transport error, write stall, `abort` | Closed |
//! | Closing | end of stream with all output written, transport error, a time limit, `abort` | Closed |
//! | Closed | – | – |

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem;

use super::calls::Calls;
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::requests::Requests;
use super::{Connection, Role, State, Timer};
use crate::error::{CloseReason, Limit};
use crate::event::Event;
use crate::wire::{CloseCode, CloseInfo};

/// A connection that is closing.
#[derive(Debug)]
pub(super) struct Closing {
    /// What the application will be told.
    pub(super) reason: CloseReason,
    /// What the peer is told.
    pub(super) code: CloseCode,
    pub(super) info: CloseInfo,
    /// The own preface has not been sent yet.
    pub(super) preface: bool,
    /// The own CLOSE has its place in the byte stream.
    pub(super) committed: bool,
    /// Nothing that the peer sends matters any more.
    pub(super) deaf: bool,
    /// The peer's stream has ended.
    pub(super) eof: bool,
    /// All has been written, and the end of the peer's stream is waited for.
    pub(super) lingering: bool,
}

impl Closing {
    /// This side closes.
    pub(super) fn own(code: CloseCode, info: CloseInfo) -> Self {
        Self {
            reason: CloseReason::Local(code),
            code,
            info,
            preface: false,
            committed: false,
            deaf: false,
            eof: false,
            lingering: false,
        }
    }

    /// The peer closed, and is answered with its own code.
    pub(super) fn answer(code: CloseCode, info: CloseInfo) -> Self {
        let info = (info != CloseInfo::default()).then(|| Arc::new(info));
        let reason = CloseReason::Peer(code, info);
        Self { reason, deaf: true, ..Self::own(code, CloseInfo::default()) }
    }

    /// Something went wrong, and the peer is told what.
    pub(super) fn failure(reason: CloseReason) -> Self {
        let code = reason.code().unwrap_or(CloseCode::INTERNAL);
        Self { reason, deaf: true, ..Self::own(code, CloseInfo::default()) }
    }

    /// Whether this side closes because of an error, so that nothing but CLOSE is sent any more (LW-7.3).
    pub(super) const fn is_failure(&self) -> bool {
        matches!(self.reason, CloseReason::Layer(_) | CloseReason::Protocol(_) | CloseReason::TimedOut(_))
    }

    /// Whether a broken stream loses something of what this side wanted to say before its close.
    pub(super) const fn is_cut_short(&self, pending: usize) -> bool {
        matches!(self.reason, CloseReason::Local(_)) && !(self.committed && pending == 0)
    }

    /// What the words of a close hold in memory.
    pub(super) fn held_bytes(&self) -> usize {
        reason_bytes(&self.reason) + info_bytes(&self.info)
    }
}

/// What a reason holds in memory.
pub(super) fn reason_bytes(reason: &CloseReason) -> usize {
    match reason {
        CloseReason::Peer(_, Some(info)) => {
            2 * size_of::<usize>() + size_of::<CloseInfo>() + info_bytes(info)
        }
        _ => 0,
    }
}

impl Connection {
    /// From any earlier state to Closing. Accepted output goes out first, then CLOSE.
    pub(super) fn start_closing(&mut self, mut closing: Closing) {
        if let State::Handshaking { role, .. } = self.state {
            // An acceptor sends its preface in front of its first frame, whatever that is (LW-2.2).
            closing.preface = role == Role::Acceptor && !self.is_foreign();
            closing.deaf = true;
        }
        let deaf = closing.deaf;
        self.timers.clear_all();
        // A peer that takes a byte now and then makes progress for ever, so the whole has an end too.
        self.timers.set(Timer::Closing, self.now, self.config.close_timeout);
        self.state = State::Closing(Box::new(closing));
        if deaf {
            self.stop_listening();
        }
    }

    /// Something went wrong: what waits is given up, and CLOSE is the next frame (LW-7.3).
    pub(super) fn fail(&mut self, reason: CloseReason) {
        match (&self.state, reason) {
            // It cannot be told any more, but neither is it listened to.
            (State::Closing(closing), _) if closing.committed => self.stop_listening(),
            (State::Closed(_), _) => {}
            (_, CloseReason::Layer(error)) => self.fail_layer(error),
            (_, reason) => {
                self.start_closing(Closing::failure(reason));
                self.outbox.drop_waiting();
                self.timers.set(Timer::Closing, self.now, self.config.closing_timeout);
            }
        }
    }

    /// The peer has said its last: no reply can come, and no request can be answered by it.
    pub(super) fn stop_listening(&mut self) {
        if let State::Closing(closing) = &mut self.state {
            closing.deaf = true;
        }
        self.inbound = Inbound::new();
        self.pushes = None;
        if self.outbox.is_waiting() {
            self.outbox.with_waiting(|lanes| {
                lanes.drop_requests();
                lanes.take_pong();
            });
        }
        // What is committed still goes out, so the peer can have all of it.
        self.lose_calls(u64::MAX);
    }

    /// All output has been written. If that was the CLOSE, the end of the stream is all that is missing.
    pub(super) fn note_flushed(&mut self) {
        let State::Closing(closing) = &mut self.state else { return };
        if !closing.committed {
            return;
        }
        if closing.eof {
            let reason = closing.reason.clone();
            self.finish(reason);
        } else if !mem::replace(&mut closing.lingering, true) {
            self.timers.set(Timer::Closing, self.now, self.config.closing_timeout);
        }
    }

    /// The time for closing is over.
    pub(super) fn finish_closing(&mut self) {
        if let State::Closing(closing) = &self.state {
            let cut_short = closing.is_cut_short(self.unsent());
            let reason = if cut_short { CloseReason::TimedOut(Limit::Close) } else { closing.reason.clone() };
            self.finish(reason);
        }
    }

    /// The end, from any state. Nothing happens after it.
    pub(super) fn finish(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.lose_calls(self.outbox.handed());
        self.timers.clear_all();
        self.outbox = Outbox::new();
        self.inbound = Inbound::new();
        self.calls = Calls::new();
        self.requests = Requests::new();
        self.pushes = None;
        self.liveness = None;
        self.layer = None;
        self.events.end_arriving();
        self.state = State::Closed(reason.clone());
        self.events.push(Event::Closed(reason), 0);
    }
}

pub(super) fn info_bytes(info: &CloseInfo) -> usize {
    let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    length(&info.text) + length(&info.redirect)
}
