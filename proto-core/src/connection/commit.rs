//! Gives waiting frames their place in the byte stream, as far as there is room.
//!
//! Order: an answer to a PING, a grant of credit, messages, and CLOSE when nothing else is left. What is written here
//! does not change any more; so deadlines are turned into remaining time here, and not before.

use bytes::Bytes;

use super::close::Closing;
use super::outbox::Waiting;
use super::queue::Key;
use super::{Connection, State, Timer, micros_since};
use crate::error::Delivery;
use crate::event::{CallId, Event, Outcome};
use crate::time::Instant;
use crate::wire::{
    CloseInfo, Credit, Flags, HEADER_LEN, Header, Hello, Kind, PREFACE, Pong, Sequence, StatusCode, charge,
    millis_rounded_up,
};

impl Connection {
    /// Commits what there is room for, and sees that timers and state agree with it.
    pub(super) fn pump(&mut self) {
        while self.outbox.pending() < self.config.commit_limit && self.commit_next() {}
        self.note_room();
        if self.outbox.pending() == 0 {
            self.timers.clear(Timer::WriteStall);
            self.note_flushed();
        } else if !self.timers.is_set(Timer::WriteStall) {
            self.timers.set(Timer::WriteStall, self.now, self.config.write_stall_timeout);
        }
    }

    /// Commits a message if nothing waits and there is room, which is the usual case; else it waits.
    pub(super) fn send(&mut self, message: Waiting) {
        if !self.outbox.is_waiting() && self.outbox.pending() < self.config.commit_limit {
            self.commit_message(message);
        } else {
            let request = if let Waiting::Request { id, .. } = message { Some(id) } else { None };
            let key = self.outbox.enqueue(message);
            if let Some(id) = request {
                self.calls.set_place(id, key);
            }
        }
        self.pump();
    }

    /// HELLO and WELCOME are the only frames of a handshake, so they are committed at once.
    pub(super) fn commit_hello(&mut self, kind: Kind, hello: &Hello) {
        let mut payload = alloc::vec::Vec::new();
        hello.emit(&mut payload);
        self.commit_control(kind, Flags::empty(), 0, &payload);
    }

    /// A request leaves the queue without having been sent: its charge is put back.
    pub(super) fn withdraw_request(&mut self, key: Key) {
        if let Some(Waiting::Request { has_deadline, message, .. }) = self.outbox.withdraw(key) {
            self.request_account.put_back(charge(message.length(has_deadline)));
            self.note_credit();
        }
    }

    fn commit_next(&mut self) -> bool {
        match self.state {
            State::Handshaking { .. } | State::Closed(_) => return false,
            State::Open => {}
            State::Closing(ref closing) if closing.committed => return false,
            State::Closing(_) => {}
        }
        if let Some(pong) = self.pong.take() {
            let answer = Pong { ping: pong.ping, held_micros: micros_since(self.now, pong.at) };
            self.commit_control(Kind::Pong, Flags::empty(), 0, &answer.to_bytes());
            self.counters.pings_answered += 1;
        } else if self.is_listening()
            && (self.request_window.is_grant_due() || self.push_window.is_grant_due())
        {
            let grant =
                Credit { requests: self.request_window.announce(), pushes: self.push_window.announce() };
            self.commit_control(Kind::Credit, Flags::empty(), 0, &grant.to_bytes());
        } else if let Some(waiting) = self.outbox.next_waiting() {
            self.commit_message(waiting);
        } else {
            return self.commit_close();
        }
        true
    }

    fn commit_message(&mut self, waiting: Waiting) {
        match waiting {
            // Its time passed while it waited: nobody wants the answer, so nobody is asked.
            Waiting::Request { id, has_deadline, message } if self.calls.is_due(id, self.now) => {
                self.calls.end_early(id);
                self.request_account.put_back(charge(message.length(has_deadline)));
                self.note_credit();
                self.note_free_slot();
                self.time_out(CallId(id), Delivery::NotSent);
            }
            Waiting::Request { id, has_deadline, message } => {
                let end = self.outbox.end() + (HEADER_LEN + message.length(has_deadline)) as u64;
                let deadline = self.calls.commit(id, end);
                let remaining = deadline.map(|at| self.remaining_millis(at));
                let length = message.length(has_deadline) as u32;
                let header =
                    message_header(Kind::Request, length, !message.extensions.is_empty() || has_deadline);
                let header = Header { sequence: id, code: message.code(), ..header };
                self.outbox.commit_frame(
                    header,
                    |out| message.extensions.emit_block(remaining, out),
                    message.body,
                );
            }
            Waiting::Push { message } => {
                let header =
                    message_header(Kind::Push, message.length(false) as u32, !message.extensions.is_empty());
                let header = Header { code: message.code(), ..header };
                self.outbox.commit_frame(
                    header,
                    |out| message.extensions.emit_block(None, out),
                    message.body,
                );
            }
            Waiting::Reply { id, status: StatusCode(code), extensions, body } => {
                let length = (extensions.block_len(false) + body.len()) as u32;
                let header = message_header(Kind::Reply, length, !extensions.is_empty());
                let header = Header { sequence: id, code, flags: header.flags.with(Flags::ORIGIN), ..header };
                self.outbox.commit_frame(header, |out| extensions.emit_block(None, out), body);
                let charged = self.requests.finish(id);
                self.request_window.give_back(charged);
            }
        }
    }

    /// CLOSE is the last frame: nothing is left in front of it.
    fn commit_close(&mut self) -> bool {
        let State::Closing(closing) = &mut self.state else { return false };
        closing.committed = true;
        let Closing { code, ref info, preface, .. } = **closing;
        let mut payload = alloc::vec::Vec::new();
        CloseInfo::emit(info, &mut payload);
        if preface {
            self.outbox.commit_raw(&PREFACE);
        }
        self.commit_control(Kind::Close, Flags::empty(), code.0, &payload);
        true
    }

    pub(super) fn commit_control(&mut self, kind: Kind, flags: Flags, code: u32, payload: &[u8]) {
        let length = payload.len() as u32;
        let header = Header { length, kind, flags, sequence: Sequence::CONNECTION, code };
        self.outbox.commit_frame(header, |out| out.extend_from_slice(payload), Bytes::new());
    }

    fn remaining_millis(&self, at: Instant) -> u32 {
        millis_rounded_up(at.saturating_since(self.now))
    }
}

/// Telling the application that it may go on.
impl Connection {
    /// The outbox may have room again: for what was refused, and not for one message more, but for many.
    fn note_room(&mut self) {
        let needed = self.blocked.outbox as usize;
        let is_low = self.outbox.waiting_charge() <= self.config.outbox_limit / 2;
        if needed > 0 && is_low && self.has_room_for(needed) {
            self.writable();
        }
    }

    /// There is more credit.
    pub(super) fn note_credit(&mut self) {
        if self.blocked.credit {
            self.writable();
        }
    }

    /// A slot is free.
    pub(super) fn note_free_slot(&mut self) {
        if self.blocked.slot {
            self.writable();
        }
    }

    fn writable(&mut self) {
        self.blocked = super::Blocked::default();
        if self.is_open() {
            self.events.push_writable();
        }
    }

    /// Ends a call whose deadline has passed.
    pub(super) fn time_out(&mut self, call: CallId, delivery: Delivery) {
        self.counters.calls_timed_out += 1;
        self.events.push(Event::Ended { call, outcome: Outcome::TimedOut(delivery) }, 0);
    }

    /// Ends all calls whose callers wait, given that bytes up to `leaving` have left or will leave.
    pub(super) fn lose_calls(&mut self, leaving: u64) {
        for (id, delivery) in self.calls.lose_all(leaving) {
            self.events.push(Event::Ended { call: CallId(id), outcome: Outcome::Lost(delivery) }, 0);
        }
    }
}

const fn message_header(kind: Kind, length: u32, extended: bool) -> Header {
    let flags = if extended { Flags::EXT } else { Flags::empty() };
    Header { length, kind, flags, sequence: Sequence::CONNECTION, code: 0 }
}
