//! Handlers are given what came, and the connection what they come to.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use core::task::Context;
use core::time::Duration;
use std::panic::catch_unwind;

use super::Driver;
use crate::connection::{Connection, Item};
use crate::event::{Event, Message, RequestId};
use crate::peer::error::Status;
use crate::peer::handler::Handler;
use crate::peer::messages::{Push, Refuse, Reply, Request};
use crate::peer::work::{Answer, Done};
use crate::peer::{Io, Sleep};
use crate::time::Instant;
use crate::wire::{Extensions, StatusCode};

/// How long handlers may be at work before what they said is written and others get their turn. One that does not wait
/// may take longer, and then the next one has to.
const SERVE: Duration = Duration::from_millis(1);
/// How many events may be dealt with before the clock is asked again, if those before them took less than this together.
const STRIDE: u8 = 4;
const QUICK: Duration = Duration::from_micros(20);

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// Gives events to the handler, and the handlers' results to the connection. Says whether there were any. The time
    /// passes meanwhile.
    pub(super) fn serve(&mut self, cx: &mut Context<'_>, now: &mut Option<Instant>) -> bool {
        let mut moved = false;
        self.time_is_up = false;
        if !self.has_post() && self.work.is_empty() {
            return false;
        }
        let now = now.get_or_insert_with(|| self.now());
        let until = *now + SERVE;
        let mut unseen = 0;
        while !self.time_is_up {
            let mut answer = None;
            let done = match self.desk().inbox.pop_front() {
                Some(arrival) => self.handle(cx, *now, arrival.into_item(), &mut answer),
                None => match self.work.poll_next(cx) {
                    None => break,
                    done => done,
                },
            };
            moved = true;
            unseen += 1;
            // As long as handlers are quick, the clock need not be asked behind each of them.
            if unseen >= self.stride {
                let before = core::mem::replace(now, self.now());
                let quick = now.saturating_since(before) < QUICK;
                self.stride = if quick { STRIDE.min(2 * self.stride) } else { 1 };
                self.time_is_up = *now >= until;
                unseen = 0;
            }
            if let Some(done) = done {
                self.finish(*now, done, &mut answer);
            }
        }
        moved
    }

    /// Starts a handler for what has come; gives what it came to if it did not wait. What it answered is in `answer` then: it is not
    /// moved from where the handler left it before it has been written.
    #[inline]
    fn handle(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        item: Item,
        answer: &mut Option<Answer>,
    ) -> Option<Done> {
        let Self { peer, handler, work, .. } = self;
        match item {
            Item::Request(id, deadline, parts) => {
                self.run(cx, now, id, deadline, || parts.into_message(), answer)
            }
            Item::Push(token, parts) => {
                let make = || handler.push(peer.clone(), Push::new(parts.into_message()));
                work.start_push(cx, token, make).map(Done::Released)
            }
            // It has been delivered to its caller, and is not in the inbox.
            Item::Reply(..) => None,
            Item::Event(event) => self.hear(cx, now, *event, answer),
        }
    }

    fn hear(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        event: Event,
        answer: &mut Option<Answer>,
    ) -> Option<Done> {
        let Self { peer, handler, work, .. } = self;
        match event {
            Event::Request { id, deadline, message } => self.run(cx, now, id, deadline, || message, answer),
            Event::Push { token, message } => {
                let make = || handler.push(peer.clone(), Push::new(message));
                work.start_push(cx, token, make).map(Done::Released)
            }
            Event::Hello(hello) => {
                work.start_open(cx, || handler.open(peer.clone(), *hello)).map(Done::Opened)
            }
            Event::Open(_) => {
                self.introduced = true;
                self.was_open = true;
                // The connection is open whatever the handler makes of it.
                drop(catch_unwind(AssertUnwindSafe(|| handler.opened(peer))));
                None
            }
            Event::Cancelled(id) => work.cancel(id),
            Event::Closed(_) | Event::Draining(_) => None,
            // They have been delivered to those who wait, and are not in the inbox.
            Event::Ended { .. } | Event::Writable => None,
        }
    }

    /// Starts the handler of a request.
    #[inline]
    fn run(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        id: RequestId,
        deadline: Option<Instant>,
        message: impl FnOnce() -> Message,
        answer: &mut Option<Answer>,
    ) -> Option<Done> {
        let Self { peer, handler, work, .. } = self;
        if deadline.is_some_and(|at| at <= now) {
            // The handlers before it took their time.
            peer.shared().lock().connection.expire(now, id);
            return None;
        }
        let runs_to_end = Cell::new(false);
        let make = || {
            let request = Request::new(message(), deadline);
            runs_to_end.set(handler.runs_to_end(&request));
            handler.request(peer.clone(), request)
        };
        work.start_request(cx, id, &runs_to_end, make, answer).map(Done::AnsweredInPlace)
    }

    /// Applies what a handler came to.
    #[inline]
    fn finish(&mut self, now: Instant, done: Done, answer: &mut Option<Answer>) {
        // Whoever let somebody in hears of the end, even if it comes at once.
        self.introduced |= matches!(done, Done::Opened(Ok(())));
        let mut state = self.peer.shared().lock();
        let connection = &mut state.connection;
        match done {
            Done::AnsweredInPlace(id) => {
                let id = match answer {
                    Some(Ok(Reply { extensions, body })) if extensions.is_empty() => {
                        match connection.reply_with(now, id, body) {
                            Ok(()) => return,
                            Err(id) => id,
                        }
                    }
                    _ => id,
                };
                reply(connection, now, id, answer.take());
            }
            Done::Answered(id, answer) => reply(connection, now, id, Some(answer)),
            Done::Released(token) => connection.release(now, token),
            Done::Opened(Ok(())) => connection.accept(now),
            Done::Opened(Err(Refuse { code, info })) => connection.refuse(now, code, info),
        }
    }
}

/// Replies with this answer; without one, the handler has failed.
fn reply(connection: &mut Connection, now: Instant, id: RequestId, answer: Option<Answer>) {
    // What cannot be sent has been answered with a status in its place.
    let _ = match answer.unwrap_or_else(|| Err(StatusCode::HANDLER_FAILED.into())) {
        Ok(Reply { extensions, body }) => connection.reply(now, id, StatusCode::OK, extensions, body),
        Err(Status { code, body }) => {
            let code = if code.is_ok() { StatusCode::HANDLER_FAILED } else { code };
            connection.reply(now, id, code, Extensions::none(), body)
        }
    };
}
