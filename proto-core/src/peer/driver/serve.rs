//! Handlers are given what came, and the connection what they come to.

use core::panic::AssertUnwindSafe;
use core::task::Context;
use core::time::Duration;
use std::panic::catch_unwind;

use super::Driver;
use crate::event::Event;
use crate::peer::handler::Handler;
use crate::peer::messages::{Push, Refuse, Request};
use crate::peer::work::Done;
use crate::peer::{Io, Sleep};
use crate::time::Instant;
use crate::wire::{CloseCode, Extensions, StatusCode};

/// How long handlers may be at work before what they said is written and others get their turn. One that does not wait
/// may take longer, and then the next one has to.
const SERVE: Duration = Duration::from_millis(1);
/// How many events may be dealt with before the clock is asked again, if those before them took less than this together.
const STRIDE: u8 = 4;
const QUICK: Duration = Duration::from_micros(20);

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// Gives events to the handler, and the handlers' results to the connection. Says whether there were any. The time
    /// passes meanwhile.
    pub(super) fn serve(&mut self, cx: &mut Context<'_>, now: &mut Instant) -> bool {
        let mut moved = false;
        let until = *now + SERVE;
        let mut unseen = 0;
        self.time_is_up = false;
        while !self.time_is_up {
            let done = match self.desk().inbox.pop_front() {
                Some(event) => self.handle(cx, *now, event),
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
                self.finish(*now, done);
            }
        }
        moved
    }

    /// Starts a handler for an event; gives what it came to if it did not wait.
    fn handle(&mut self, cx: &mut Context<'_>, now: Instant, event: Event) -> Option<Done> {
        let Self { peer, handler, work, .. } = self;
        // A handler that panics before it returns its future fails like one whose future panics.
        match event {
            // The handlers before it took their time.
            Event::Request { id, deadline: Some(at), .. } if at <= now => {
                peer.shared().lock().connection.expire(now, id);
                None
            }
            Event::Request { id, deadline, message } => {
                let request = Request::new(message, deadline);
                let start = || {
                    let runs_to_end = handler.runs_to_end(&request);
                    (handler.request(peer.clone(), request), runs_to_end)
                };
                match catch_unwind(AssertUnwindSafe(start)) {
                    Ok((future, runs_to_end)) => work.start_request(cx, id, future, runs_to_end),
                    Err(_) => Some(Done::Replied(id, Err(StatusCode::HANDLER_FAILED.into()))),
                }
            }
            Event::Push { token, message } => {
                match catch_unwind(AssertUnwindSafe(|| handler.push(peer.clone(), Push::new(message)))) {
                    Ok(future) => work.start_push(cx, token, future),
                    Err(_) => Some(Done::Released(token)),
                }
            }
            Event::Hello(hello) => {
                match catch_unwind(AssertUnwindSafe(|| handler.open(peer.clone(), *hello))) {
                    Ok(future) => work.start_open(cx, future),
                    Err(_) => Some(Done::Opened(Err(Refuse::new(CloseCode::INTERNAL, "the server failed")))),
                }
            }
            Event::Open(_) => {
                self.introduced = true;
                self.was_open = true;
                // The connection is open whatever the handler makes of it.
                drop(catch_unwind(AssertUnwindSafe(|| handler.opened(peer))));
                None
            }
            Event::Cancelled(id) => work.cancel(id),
            Event::Closed(_) | Event::Draining(_) | Event::Ended { .. } | Event::Writable => None,
        }
    }

    /// Applies what a handler came to.
    fn finish(&mut self, now: Instant, done: Done) {
        // Whoever let somebody in hears of the end, even if it comes at once.
        self.introduced |= matches!(done, Done::Opened(Ok(())));
        let mut state = self.peer.shared().lock();
        let connection = &mut state.connection;
        match done {
            Done::Replied(id, Ok(reply)) => {
                // What cannot be sent has been answered with a status in its place.
                let _ = connection.reply(now, id, StatusCode::OK, reply.extensions, reply.body);
            }
            Done::Replied(id, Err(status)) => {
                let code = if status.code.is_ok() { StatusCode::HANDLER_FAILED } else { status.code };
                let _ = connection.reply(now, id, code, Extensions::none(), status.body);
            }
            Done::Released(token) => connection.release(now, token),
            Done::Opened(Ok(())) => connection.accept(now),
            Done::Opened(Err(Refuse { code, info })) => connection.refuse(now, code, info),
        }
    }
}
