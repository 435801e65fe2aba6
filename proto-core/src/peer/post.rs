//! What has happened on a connection goes to whom it concerns: what calls came to goes to their callers, the rest to the driver.
//!
//! Nearly all replies are handed over as they come, and never wait as events.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use super::callers::MaybeCallers;
use super::error::{CallError, Status};
use super::messages::Reply;
use super::shared::{CallResult, State, Wakers, is_draining};
use crate::connection::{Arrival, ReplyTaker};
use crate::error::{CloseReason, TransportError};
use crate::event::{CallId, Event, Outcome};
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo};

impl State {
    /// Takes bytes that came, and [delivers](Self::deliver_events) what they bring.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        bytes: &mut [u8],
        inbox: &mut VecDeque<Arrival>,
        wakers: &mut Wakers,
    ) {
        let Self { connection, callers, .. } = self;
        connection.handle_input_with(now, bytes, &mut Postman { callers, wakers });
        self.deliver_events(now, inbox, wakers);
    }

    /// Whether [`deliver_events`](Self::deliver_events) has anything to do but to date calls. Whoever changes the line, or what replies are
    /// kept, [tells the connection](Self::tell_connection) itself.
    pub(super) fn has_news(&self) -> bool {
        let ends = self.connection.close_reason().is_some() && !self.ending;
        self.connection.has_events() || self.callers.has_moved_up() || ends || self.connection.is_closed()
    }

    /// Takes the events that have come: outcomes go to their callers, the rest to `inbox`.
    pub(super) fn deliver_events(
        &mut self,
        now: Instant,
        inbox: &mut VecDeque<Arrival>,
        wakers: &mut Wakers,
    ) {
        if self.callers.has_undated() {
            // A call that is lost here may go back in line, where its deadline has to be known.
            self.date_calls(now);
        }
        let mut room = false;
        // All at once, if nothing has to be answered that was not run; else one by one.
        self.connection.hand_out_work(inbox);
        while let Some(arrival) = self.connection.poll_arrival() {
            match arrival.as_event() {
                Some(Event::Ended { .. }) => self.take_ended(now, arrival, wakers),
                None if arrival.is_reply() => self.take_ended(now, arrival, wakers),
                Some(Event::Writable) => room = true,
                event => {
                    room |= matches!(event, Some(Event::Open(_) | Event::Draining(_)));
                    inbox.push_back(arrival);
                }
            }
        }
        if self.connection.close_reason().is_some() && !mem::replace(&mut self.ending, true) {
            // Nobody waits for room that will never be.
            room = true;
        }
        self.tell_connection(now);
        let moved_up = self.callers.take_moved_up();
        if moved_up || room || self.connection.is_closed() {
            self.admit_queue(now, wakers);
            wakers.extend(self.take_watchers());
            self.tell_connection(now);
        }
    }

    /// The end of a call goes to its caller.
    fn take_ended(&mut self, now: Instant, arrival: Arrival, wakers: &mut Wakers) {
        let Event::Ended { call, outcome } = arrival.into_item().into_event() else { return };
        let hope = self.aside.session().is_some_and(|session| session.has_hope());
        let result = outcome_to_result(outcome, self.connection.close_reason());
        if hope && is_draining(&result) && self.connection.is_open() {
            // The peer takes no further calls here, and has no other way to say so: what is in flight is
            // waited for, and all else is for the next connection.
            let within = self.connection.config().drain_timeout;
            self.connection.drain(now, CloseCode::NORMAL, CloseInfo::default(), within);
        }
        self.callers.end(call, result, hope, wakers);
    }
}

/// Takes replies to who called.
struct Postman<'a> {
    callers: &'a mut MaybeCallers,
    wakers: &'a mut Wakers,
}

impl ReplyTaker for Postman<'_> {
    #[inline]
    fn take(&mut self, call: CallId, body: Box<[u8]>) {
        self.callers.answer(call, body, self.wakers);
    }
}

fn outcome_to_result(outcome: Outcome, reason: Option<&CloseReason>) -> CallResult {
    match outcome {
        Outcome::Reply { status, extensions, body } if status.is_ok() => Ok(Reply { extensions, body }),
        Outcome::Reply { status, body, .. } => Err(CallError::Status(Status { code: status, body }.into())),
        Outcome::Discarded => Err(CallError::Discarded),
        Outcome::TimedOut(delivery) => Err(CallError::TimedOut(delivery)),
        Outcome::Lost(delivery) => {
            let reason = reason.cloned().unwrap_or(CloseReason::Transport(TransportError::Other));
            Err(CallError::Lost { delivery, reason })
        }
    }
}
