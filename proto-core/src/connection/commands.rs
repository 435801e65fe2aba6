//! What the application asks of a connection: to call, push, reply, cancel, release, close and abort. What it asks of
//! its end beside that is in `drain`.
//!
//! A command that cannot be carried out changes nothing and gives back what it was given.

#[cfg(feature = "peer")]
use core::time::Duration;

use bytes::Bytes;

use super::calls::EndedEarly;
use super::close::Closing;
use super::inbound::Inbound;
use super::partial::TOTAL_LEN;
use super::waiting::Waiting;
use super::{Connection, State};
use crate::error::{CloseReason, Delivery, Refusal, Refused};
use crate::event::{CallId, Message, PushToken, RequestId, Timeout};
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo, Extensions, Kind, Sequence, StatusCode, charge};

impl Connection {
    /// Calls the peer. [`Event::Ended`](crate::Event::Ended) tells how it went, exactly once.
    ///
    /// # Errors
    /// The message comes back if it is too long, if it has extensions of another kind, if there is no room for it, or if
    /// the connection is not open. After [`Refusal::Full`] and [`Refusal::NoSlot`], [`Event::Writable`](crate::Event::Writable) says when to try
    /// again.
    pub fn call(&mut self, now: Instant, mut message: Message, timeout: Timeout) -> Result<CallId, Refused> {
        self.observe(now);
        let timeout = timeout.resolve(self.config.call_timeout);
        let deadline = timeout.map(|timeout| self.now + timeout);
        if deadline.is_none_or(|at| at > self.now) {
            if let Some(length) = self.charge_at_once(Kind::Request, &message, deadline.is_some()) {
                let id = self.commit_call(&mut message, length, timeout, deadline, false);
                self.note_committed();
                return Ok(id);
            }
        }
        if let Err(refusal) = self.admit(Kind::Request, &message, deadline.is_some()) {
            return Err(Refused { refusal, message });
        }
        let id = self.calls.begin(deadline);
        let lane = message.lane;
        self.send(lane, Waiting::Request { id, has_deadline: deadline.is_some(), message });
        Ok(CallId(id))
    }

    /// Calls the peer, if that need not wait, without knowing the time: [`date_calls`](Self::date_calls) follows when it is known.
    /// `None` if the call has to be made in the ordinary way. The message is left as it was if the call is not made, or if it
    /// is still wanted.
    #[cfg(feature = "peer")]
    pub(crate) fn call_at_once(
        &mut self,
        message: &mut Message,
        timeout: Option<Duration>,
        is_wanted: bool,
    ) -> Option<CallId> {
        if timeout == Some(Duration::ZERO) {
            return None;
        }
        let length = self.charge_at_once(Kind::Request, message, timeout.is_some())?;
        Some(self.commit_call(message, length, timeout, None, is_wanted))
    }

    /// The calls that were made [at once](Self::call_at_once) were made now, as far as nobody knows better.
    #[cfg(feature = "peer")]
    pub(crate) fn date_calls(&mut self, now: Instant) {
        self.observe(now);
        if self.unsent() > 0 {
            self.note_committed();
        }
    }

    /// Sets the deadline of a [dated](Self::date_calls) call. One that has ended meanwhile has none.
    #[cfg(feature = "peer")]
    pub(crate) fn set_deadline(&mut self, call: CallId, deadline: Instant) {
        self.calls.set_deadline(call.0, deadline);
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn push(&mut self, now: Instant, message: Message) -> Result<(), Refused> {
        self.observe(now);
        if self.charge_at_once(Kind::Push, &message, false).is_some() {
            self.commit_push(message);
            return Ok(());
        }
        if let Err(refusal) = self.admit(Kind::Push, &message, false) {
            return Err(Refused { refusal, message });
        }
        self.send(message.lane, Waiting::Push { message });
        Ok(())
    }

    /// Answers a request of the peer. A reply never waits for credit.
    ///
    /// A body longer than the peer takes, or for which there is no room among the waiting replies
    /// ([`Config::reply_limit`](crate::Config::reply_limit)), is replaced by status `REPLY_TOO_LARGE` or
    /// `REPLY_DISCARDED`, and extensions that a reply cannot carry make it `HANDLER_FAILED`: the caller gets an answer in
    /// any case.
    ///
    /// # Errors
    /// If the reply that the caller gets is not the one given, because of its length or its extensions, or because the
    /// connection is closing.
    #[expect(clippy::needless_pass_by_value, reason = "a request is answered once, and so used up")]
    pub fn reply(
        &mut self,
        now: Instant,
        id: RequestId,
        status: StatusCode,
        extensions: Extensions,
        body: Bytes,
    ) -> Result<(), Refusal> {
        let RequestId(id) = id;
        self.observe(now);
        if extensions.is_empty() && self.replies_at_once(body.len()) {
            return self.reply_at_once(id, status, &body);
        }
        // Who has answered has done its part, whether the answer can still be sent or not.
        let Some(lane) = self.requests.answer(id).filter(|_| self.may_send()) else {
            return Err(Refusal::Closed);
        };
        let length = extensions.block_len(false) + body.len();
        let replaced = if !extensions.suit(Kind::Reply) {
            Some((StatusCode::HANDLER_FAILED, Refusal::BadExtension))
        } else if let Err(refusal) = self.check_length(length, extensions.block_len(false)) {
            Some((StatusCode::REPLY_TOO_LARGE, refusal))
        } else if self.outbox.reply_bytes() > 0
            && self.outbox.reply_bytes() + length > self.config.reply_limit
        {
            Some((StatusCode::REPLY_DISCARDED, Refusal::Full))
        } else {
            None
        };
        let (waiting, result) = match replaced {
            Some((status, refusal)) => {
                self.counters.replies_replaced += 1;
                (
                    Waiting::Reply { id, status, extensions: Extensions::none(), body: Bytes::new() },
                    Err(refusal),
                )
            }
            None => (Waiting::Reply { id, status, extensions, body }, Ok(())),
        };
        self.send(lane, waiting);
        result
    }

    /// Answers a request with success and nothing but a body, if that is short and need not wait; else gives the request back.
    #[cfg(feature = "peer")]
    #[inline]
    pub(crate) fn reply_with(&mut self, now: Instant, id: RequestId, body: &[u8]) -> Result<(), RequestId> {
        self.observe(now);
        if !self.replies_at_once(body.len()) {
            return Err(id);
        }
        // Whoever has ended meanwhile hears of that instead.
        let _ = self.reply_at_once(id.0, StatusCode::OK, body);
        Ok(())
    }

    /// Answers a request that the application never sees. If the connection closes, its caller hears of that instead.
    pub(super) fn answer_unrun(&mut self, RequestId(id): RequestId, status: StatusCode) {
        let lane = if self.may_send() { self.requests.answer(id) } else { None };
        if let Some(lane) = lane {
            let (extensions, body) = (Extensions::none(), Bytes::new());
            self.send(lane, Waiting::Reply { id, status, extensions, body });
        }
    }

    /// Answers a request whose deadline passed before it was run.
    pub(crate) fn expire(&mut self, now: Instant, id: RequestId) {
        self.observe(now);
        self.counters.requests_expired += 1;
        self.answer_unrun(id, StatusCode::DEADLINE_EXPIRED);
    }

    /// Gives a call up: no [`Event::Ended`](crate::Event::Ended) will come for it. Says whether the peer can have it, or `None` if it had
    /// ended already (its event may still wait to be polled).
    ///
    /// A request that still waits is deleted; of one that has been sent in part the rest is. Of one that has been sent, the
    /// peer is told that nobody waits for it, and may stop its work. The slot is free again when the final reply has come.
    pub fn cancel(&mut self, now: Instant, call: CallId) -> Option<Delivery> {
        self.observe(now);
        let delivery = self.end_early(call);
        self.pump();
        delivery
    }

    /// Says how many bytes of replies have been polled and are still kept for somebody who has not taken them: they go on
    /// counting against [`Config::undelivered_limit`](crate::Config::undelivered_limit). For drivers that keep outcomes
    /// for their callers.
    pub fn hold_replies(&mut self, bytes: usize) {
        self.events.keep(bytes);
        if bytes == 0 && self.is_closed() {
            self.events.shrink();
        }
    }

    /// Says that the application has dealt with a push, so that the peer may send more.
    #[expect(clippy::needless_pass_by_value, reason = "credit is given back once, and so used up")]
    pub fn release(&mut self, now: Instant, token: PushToken) {
        let PushToken(charge) = token;
        self.observe(now);
        self.push_window.give_back(charge);
        self.note_message();
        self.pump();
    }

    /// Gives back memory that is kept for the next messages: less than 64 KiB, but more than an idle connection need have. For
    /// owners of many connections, when there is nothing to do for this one. It is done without being asked when a PING
    /// is due, since nothing was sent for an interval, and at the end.
    pub fn shrink(&mut self) {
        self.outbox.shrink();
        self.events.shrink();
        self.calls.shrink();
        self.requests.shrink();
        self.timers.shrink();
    }

    /// Closes: sends what has been accepted, then CLOSE, and waits a bounded time for the peer to do the same.
    ///
    /// Calls that the peer does not answer before its own CLOSE end with [`Outcome::Lost`](crate::Outcome::Lost). The last event is
    /// [`Event::Closed`](crate::Event::Closed). Does nothing if the connection is closing already.
    pub fn close(&mut self, now: Instant, code: CloseCode, info: CloseInfo) {
        self.observe(now);
        if matches!(self.state, State::Handshaking { .. } | State::Open | State::Draining(_)) {
            self.start_closing(Closing::own(code, info));
            self.pump();
        }
    }

    /// Ends the connection at once. Nothing more is sent, and what was waiting is lost.
    pub fn abort(&mut self, now: Instant, code: CloseCode) {
        self.observe(now);
        self.finish(CloseReason::Local(code));
    }

    /// Whether a message that needs no credit can still be sent.
    pub(super) const fn may_send(&self) -> bool {
        match &self.state {
            State::Open | State::Draining(_) => true,
            State::Closing(closing) => !closing.committed && !closing.is_failure(),
            State::Handshaking { .. } | State::Closed(_) => false,
        }
    }

    /// Whether a message may be taken in; takes its charge if so.
    fn admit(&mut self, kind: Kind, message: &Message, deadline: bool) -> Result<(), Refusal> {
        let call = kind == Kind::Request;
        match &self.state {
            State::Handshaking { .. } => return Err(Refusal::NotOpen),
            State::Draining(draining) if call && !(self.sending.calls_in_line && draining.takes_calls()) => {
                return Err(Refusal::Draining);
            }
            State::Open | State::Draining(_) => {}
            State::Closing(_) | State::Closed(_) => return Err(Refusal::Closed),
        }
        self.check_foreign(kind, message)?;
        if !message.extensions.suit(kind) {
            return Err(Refusal::BadExtension);
        }
        let length = message.length(deadline);
        self.check_length(length, message.extensions.block_len(deadline))?;
        if call && self.calls.limit() == 0 {
            return Err(Refusal::NotCallable);
        }
        if call && !self.calls.has_free_slot() {
            self.blocked.slot = true;
            return Err(Refusal::NoSlot);
        }
        let needed = charge(message.held_bytes()) as usize;
        let room = self.has_room_for(needed);
        let account = if call { &mut self.request_account } else { &mut self.push_account };
        if !room {
            self.blocked.outbox = self.blocked.outbox.max(u32::try_from(needed).unwrap_or(u32::MAX));
        } else if !account.take(charge(length)) {
            self.blocked.credit = true;
        } else {
            return Ok(());
        }
        Err(Refusal::Full)
    }

    /// Whether the peer takes a message of this length, with an extension block of that length: the block is never cut.
    fn check_length(&self, length: usize, block: usize) -> Result<(), Refusal> {
        let super::Sending { message, frame, .. } = self.sending;
        if length > message as usize {
            return Err(Refusal::TooLarge { length: length as u64, limit: message });
        }
        let first = TOTAL_LEN + block;
        if length > frame as usize && first > frame as usize {
            return Err(Refusal::TooLarge { length: first as u64, limit: frame });
        }
        Ok(())
    }

    /// Whether a message that counts so many bytes may wait in the outbox. One always may.
    pub(super) fn has_room_for(&self, needed: usize) -> bool {
        self.outbox.waiting().is_none_or(|lanes| lanes.charge() == 0 || lanes.has_room_for(needed))
    }

    /// Ends a call for its caller, whatever its REQUEST has come to.
    pub(super) fn end_early(&mut self, call: CallId) -> Option<Delivery> {
        match self.calls.end_early(call.0)? {
            EndedEarly::Committed => {
                self.forget_reply(call.0);
                self.send_cancel(call.0);
                Some(Delivery::MaybeSent)
            }
            EndedEarly::Started(place) => {
                if let (Some(place), true) = (place, self.sending.cancel) {
                    self.outbox.with_waiting(|lanes| lanes.withdraw(place));
                    self.send_cancel(call.0);
                    return Some(Delivery::NotSent);
                }
                // Without CANCEL, there is no other way to end the message than to send the rest of it.
                Some(Delivery::MaybeSent)
            }
            EndedEarly::Waiting(place) => {
                if let Some(place) = place {
                    self.withdraw_request(place);
                }
                self.note_free_slot();
                Some(Delivery::NotSent)
            }
        }
    }

    /// Tells the peer that nobody waits for a call any more.
    fn send_cancel(&mut self, id: Sequence) {
        if self.sending.cancel && self.may_send() {
            self.outbox.with_waiting(|lanes| lanes.push_cancel(id));
        }
    }

    /// Gives up what has arrived of a reply that nobody waits for any more.
    fn forget_reply(&mut self, id: Sequence) {
        let arriving = match &mut self.inbound {
            Inbound::Payload { message, .. } if message.id() == (Kind::Reply, id) => Some(message),
            _ => None,
        };
        let mut kept = self.calls.take_partial(id);
        if let Some(partial) = arriving.or(kept.as_mut()) {
            if partial.is_in_fragments() && !partial.is_discarded() {
                self.events.end_reply(partial.header.length);
            }
            partial.discard();
        }
        if let Some(partial) = kept {
            self.calls.keep_reply(partial);
        }
    }
}
