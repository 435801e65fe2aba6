//! Gives waiting frames their place in the byte stream, as far as there is room.
//!
//! Order: an answer to a PING, a grant of credit, DRAIN, CANCEL, messages by their lanes, and CLOSE when nothing else is
//! left. A message longer than a frame is cut here, one piece at a time, so that all of these get in between. What is
//! written here does not change any more; so deadlines are turned into remaining time here, and not before.

use bytes::Bytes;

use super::close::Closing;
use super::lanes::{Lanes, Place};
use super::slots::next_generation;
use super::waiting::{Cut, Piece, Rest, Waiting};
use super::{Connection, State, Timer, micros_since};
use crate::error::Delivery;
use crate::event::{CallId, Event, Outcome};
use crate::time::Instant;
use crate::wire::{
    CloseInfo, Credit, Extensions, Flags, HEADER_LEN, Header, Hello, Kind, Lane, PREFACE, Pong, Sequence,
    StatusCode, charge,
};

impl Connection {
    /// Commits what there is room for, and sees that timers and state agree with it.
    pub(super) fn pump(&mut self) {
        if !self.has_all_committed() {
            self.finish_drain();
            loop {
                while self.outbox.pending() < self.config.commit_limit && self.commit_next() {}
                if !self.pull() && !self.finish_drain() {
                    break;
                }
            }
            self.note_room();
        }
        if self.unsent() == 0 {
            self.timers.clear(Timer::WriteStall);
            self.note_flushed();
        } else if !self.timers.is_set(Timer::WriteStall) {
            self.timers.set(Timer::WriteStall, self.now, self.config.write_stall_timeout);
        }
    }

    /// Whether there is certainly nothing to commit, which is the usual case: messages are committed as they come.
    fn has_all_committed(&self) -> bool {
        matches!(self.state, State::Open)
            && !self.outbox.is_waiting()
            && self.layer.is_none()
            && self.blocked.outbox == 0
            && !self.is_grant_due()
    }

    /// Commits a message if nothing waits and there is room; else it waits.
    pub(super) fn send(&mut self, lane: Lane, message: Waiting) {
        // One whose time is over is found out by the queue.
        let due = matches!(message, Waiting::Request { id, .. } if self.calls.is_due(id, self.now));
        if !due && self.commits_at_once(message.length()) {
            self.commit_piece(lane, Piece::whole(message));
        } else {
            let request = if let Waiting::Request { id, .. } = message { Some(id) } else { None };
            let limit = self.config.outbox_limit;
            let place = self.outbox.with_waiting(|lanes| lanes.push(lane, message, limit));
            if let Some(id) = request {
                self.calls.set_place(id, place);
            }
        }
        self.note_message();
        self.pump();
    }

    /// HELLO and WELCOME are the only frames of a handshake, so they are committed at once.
    pub(super) fn commit_hello(&mut self, kind: Kind, hello: &Hello) {
        let mut payload = alloc::vec::Vec::new();
        hello.emit(&mut payload);
        self.commit_control(kind, Flags::empty(), 0, &payload);
    }

    /// A request leaves its lane without having been sent: its charge is put back.
    pub(super) fn withdraw_request(&mut self, place: Place) {
        let withdrawn = self.outbox.with_waiting(|lanes| lanes.withdraw(place));
        if let Some(Waiting::Request { has_deadline, message, .. }) = withdrawn {
            self.put_back(message.length(has_deadline));
        }
    }

    fn put_back(&mut self, length: usize) {
        self.request_account.put_back(charge(length));
        self.note_credit();
    }

    fn commit_next(&mut self) -> bool {
        match self.state {
            State::Handshaking { .. } | State::Closed(_) => return false,
            State::Open | State::Draining(_) => {}
            State::Closing(ref closing) if closing.committed => return false,
            State::Closing(_) => {}
        }
        if let Some(pong) = self.outbox.take_pong() {
            let answer = Pong { ping: pong.ping, held_micros: micros_since(self.now, pong.at) };
            self.commit_control(Kind::Pong, Flags::empty(), 0, &answer.to_bytes());
            self.counters.pings_answered += 1;
        } else if self.is_grant_due() {
            let [requests, pushes] = self.windows();
            let requests = self.request_window.announce(requests);
            let grant = Credit { requests, pushes: self.push_window.announce(pushes) };
            self.commit_control(Kind::Credit, Flags::empty(), 0, &grant.to_bytes());
        } else if !self.commit_drain() && !self.commit_waiting() {
            return self.commit_close();
        }
        true
    }

    pub(super) fn is_grant_due(&self) -> bool {
        if self.is_foreign() {
            return false;
        }
        let [requests, pushes] = self.windows();
        self.is_listening()
            && (self.request_window.is_grant_due(requests) || self.push_window.is_grant_due(pushes))
    }

    /// Commits what is next among what waits, or finds that it need not be sent any more.
    fn commit_waiting(&mut self) -> bool {
        let Some(lanes) = self.outbox.waiting() else { return false };
        if lanes.has_cancels() {
            if let Some(id) = self.outbox.with_waiting(Lanes::pop_cancel) {
                self.commit_cancel(id);
            }
            return true;
        }
        let Some(lane) = lanes.next() else { return false };
        let dropped = match lanes.first(lane) {
            // Its time passed while it waited: nobody wants the answer, so nobody is asked.
            Some(&Waiting::Request { id, .. }) => self.calls.is_due(id, self.now),
            // Its caller no longer waits: it gets an answer, but not this one.
            Some(&Waiting::Reply { id, .. }) => self.requests.is_cancelled(id),
            // What takes the place of the rest must not be sent to everybody (LW-3.9).
            Some(&Waiting::Rest(Rest { kind: Kind::Reply, id, .. })) => {
                self.sending.cancel && self.requests.is_cancelled(id)
            }
            _ => false,
        };
        if dropped {
            if let Some(waiting) = self.outbox.with_waiting(|lanes| lanes.pop(lane)) {
                self.drop_waiting(lane, waiting);
            }
            return true;
        }
        let (frame, number) = (self.sending.frame as usize, self.sending.next_cut);
        let piece = self.outbox.with_waiting(|lanes| {
            let piece = lanes.take_piece(lane, frame, number);
            lanes.spend(lane, piece.as_ref().map_or(0, |piece| HEADER_LEN + piece.total.min(frame)));
            piece
        });
        if let Some(piece) = piece {
            self.commit_piece(lane, piece);
        }
        true
    }

    fn drop_waiting(&mut self, lane: Lane, waiting: Waiting) {
        match waiting {
            Waiting::Request { id, has_deadline, message } => {
                self.calls.end_early(id);
                self.put_back(message.length(has_deadline));
                self.note_free_slot();
                self.time_out(CallId(id), Delivery::NotSent);
            }
            Waiting::Reply { id, .. } => {
                let (status, extensions) = (StatusCode::CANCELLED, Extensions::none());
                let reply = Waiting::Reply { id, status, extensions, body: Bytes::new() };
                self.commit_piece(lane, Piece::whole(reply));
            }
            Waiting::Rest(Rest { id, .. }) => {
                let header = Header { sequence: id, flags: Flags::ORIGIN, ..empty_header(Kind::Cancel) };
                self.outbox.commit_frame(header, |_| {}, Bytes::new(), None);
                self.finish_reply(id);
            }
            Waiting::Push { .. } => {}
        }
    }

    /// CANCEL for a call whose caller has given up, unless its answer has come meanwhile.
    fn commit_cancel(&mut self, id: Sequence) {
        if self.calls.sent_all(id) {
            let header = Header { sequence: id, ..empty_header(Kind::Cancel) };
            self.outbox.commit_frame(header, |_| {}, Bytes::new(), None);
        }
    }

    fn commit_piece(&mut self, lane: Lane, Piece { waiting, id, total, rest, cut }: Piece) {
        if self.is_foreign() {
            return self.commit_foreign(waiting);
        }
        let (kind, code) = (waiting.kind(), waiting.code());
        let is_rest = matches!(waiting, Waiting::Rest(_));
        let deadline = match (&waiting, rest) {
            (Waiting::Request { .. }, Some(_)) => self.calls.start(id),
            (Waiting::Request { .. } | Waiting::Rest(Rest { kind: Kind::Request, .. }), None) => {
                self.calls.commit(id, self.outbox.end() + (HEADER_LEN + total) as u64)
            }
            _ => None,
        };
        if let (Some(place), Kind::Request) = (rest, kind) {
            self.calls.set_place(id, place);
        }
        if rest.is_some() && !is_rest {
            self.sending.next_cut = next_generation(self.sending.next_cut);
        }
        let remaining = deadline.filter(|_| !is_rest).map(|at| self.remaining_millis(at));
        let (extensions, body) = match waiting {
            Waiting::Request { message, .. } | Waiting::Push { message } => {
                (message.extensions, message.body)
            }
            Waiting::Reply { extensions, body, .. } => (extensions, body),
            Waiting::Rest(Rest { body, .. }) => (Extensions::none(), body),
        };
        let total = (rest.is_some() && !is_rest).then_some(total as u32);
        let more = if rest.is_some() { Flags::MORE } else { Flags::empty() };
        let header = Header { length: 0, kind, flags: more.with_lane(lane), sequence: id, code };
        self.commit_message(header, total, remaining, &extensions, body, cut);
        if kind == Kind::Reply && rest.is_none() {
            self.finish_reply(id);
        }
    }

    /// Commits the frame of a message, whose length and flags follow from what it brings.
    #[inline]
    pub(super) fn commit_message(
        &mut self,
        header: Header,
        total: Option<u32>,
        remaining: Option<u32>,
        extensions: &Extensions,
        body: Bytes,
        cut: Option<Cut>,
    ) {
        let total = total.map(u32::to_be_bytes);
        let block = extensions.block_len(remaining.is_some());
        let mut flags = header.flags;
        for (flag, is_set) in [(Flags::EXT, block > 0), (Flags::ORIGIN, header.kind == Kind::Reply)] {
            flags = if is_set { flags.with(flag) } else { flags };
        }
        let length = (total.map_or(0, |total| total.len()) + block + body.len()) as u32;
        let prefix = |out: &mut alloc::vec::Vec<u8>| {
            if let Some(total) = &total {
                out.extend_from_slice(total);
            }
            if block > 0 {
                extensions.emit_block(remaining, out);
            }
        };
        self.outbox.commit_frame(Header { length, flags, ..header }, prefix, body, cut);
    }

    /// The last frame of a REPLY is committed: its slot is free, and its charge is returned.
    pub(super) fn finish_reply(&mut self, id: Sequence) {
        let charged = self.requests.finish(id);
        self.request_window.give_back(charged);
    }

    /// CLOSE is the last frame: nothing is left in front of it.
    fn commit_close(&mut self) -> bool {
        let State::Closing(closing) = &mut self.state else { return false };
        closing.committed = true;
        if self.config.framing.is_some() {
            // The end of the stream says it.
            return true;
        }
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
        let header = Header { length: payload.len() as u32, flags, code, ..empty_header(kind) };
        self.outbox.commit_frame(header, |out| out.extend_from_slice(payload), Bytes::new(), None);
    }

    fn remaining_millis(&self, at: Instant) -> u32 {
        u32::try_from(at.nanos_since(self.now).div_ceil(1_000_000)).unwrap_or(u32::MAX)
    }
}

/// Telling the application that it may go on.
impl Connection {
    /// The outbox may have room again: for what was refused, and not for one message more, but for many.
    fn note_room(&mut self) {
        let needed = self.blocked.outbox as usize;
        let is_low = self.outbox.waiting().is_none_or(Lanes::is_low);
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
        if self.is_running() {
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

const fn empty_header(kind: Kind) -> Header {
    Header { length: 0, kind, flags: Flags::empty(), sequence: Sequence::CONNECTION, code: 0 }
}
