//! The future that moves bytes between a transport, a connection and a handler.
//!
//! A turn: read once, sort the events, let handlers work, write what there is. Turns follow one another while something
//! moves, up to a limit, so that other tasks get theirs. Timers come last, when all available input has been
//! taken; and the clock decides, not the timer that woke the task.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::catch_unwind;

use super::appetite::Appetite;
use super::clock::Clock;
use super::handle::Peer;
use super::handler::Handler;
use super::io::{Io, Sleep};
use super::link::Link;
use super::messages::{Push, Refuse, Request};
use super::shared::Wakers;
use super::work::{Done, Work};
use crate::config::SharedConfig;
use crate::connection::{Connection, Role};
use crate::error::CloseReason;
use crate::event::Event;
use crate::time::Instant;
use crate::wire::{CloseCode, Extensions, StatusCode};

/// Turns before other tasks get theirs.
const TURNS: usize = 16;
/// How long handlers may be at work before what they said is written and others get their turn. One that does not wait
/// may take longer, and then the next one has to.
const SERVE: Duration = Duration::from_millis(1);
/// How many events may be dealt with before the clock is asked again, if those before them took less than this together.
const STRIDE: u32 = 4;
const QUICK: Duration = Duration::from_micros(20);

/// Drives one connection until it has ended: spawn it, or poll it beside other work.
///
/// It is generic over the concrete types of everything, so that it is `Send` exactly if they are.
///
/// # Cancel safety
/// Dropping it ends the connection at once, and whoever waits for a call is told so.
#[must_use = "nothing happens on a connection unless its driver is polled"]
pub struct Driver<I, S, H: Handler> {
    peer: Peer,
    link: Link<I>,
    sleep: S,
    handler: Arc<H>,
    work: Work<H>,
    inbox: VecDeque<Event>,
    wakers: Wakers,
    /// The handler has been told of the connection, and wants to hear of its end.
    introduced: bool,
    was_open: bool,
    /// The handlers have used up their time: others are next.
    time_is_up: bool,
    /// What the timer is set for: it has not gone off, and wakes the task of the last turn. Not later than the next
    /// deadline, once the driver has looked at that.
    armed: Option<Instant>,
    appetite: Appetite,
    /// After how many events the clock is asked.
    stride: u32,
}

/// What tells one connection from others.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its number: no two connections of one server share it.
    pub id: u64,
    /// Where the other end is, if the transport has such addresses.
    pub remote: Option<SocketAddr>,
    /// Where its chance comes from; see [`Connection::new`].
    pub seed: u64,
}

// Nothing in it is ever pinned in place: handlers' futures are boxed.
impl<I, S, H: Handler> Unpin for Driver<I, S, H> {}

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// A connection on a byte stream that has just been opened, and what drives it.
    pub fn new(
        config: &SharedConfig,
        role: Role,
        Identity { id, remote, seed }: Identity,
        clock: &Clock,
        mut io: I,
        sleep: S,
        handler: Arc<H>,
    ) -> Self {
        let connection = Connection::new(config, role, clock.now(), seed);
        io.limit_stalls(config.write_stall_timeout);
        Self::with(Peer::new(id, remote, clock.clone(), connection), io, sleep, handler)
    }

    /// A connection on a byte stream that has just been opened, in place of the one that this handle had.
    #[cfg(feature = "endpoint")]
    pub(crate) fn renew(
        peer: &Peer,
        config: &SharedConfig,
        Identity { remote, seed, .. }: Identity,
        mut io: I,
        sleep: S,
        handler: Arc<H>,
    ) -> Self {
        let shared = peer.shared();
        let now = shared.clock.now();
        let connection = Connection::new(config, Role::Dialer, now, seed);
        io.limit_stalls(config.write_stall_timeout);
        let old = shared.lock().renew(now, connection, remote);
        drop(old);
        Self::with(peer.clone(), io, sleep, handler)
    }

    /// Drives the connection that a handle has at present.
    fn with(peer: Peer, io: I, sleep: S, handler: Arc<H>) -> Self {
        Self {
            peer,
            link: Link::new(io),
            sleep,
            handler,
            work: Work::new(),
            inbox: VecDeque::new(),
            wakers: Wakers::default(),
            introduced: false,
            was_open: false,
            time_is_up: false,
            armed: None,
            appetite: Appetite::new(),
            stride: 1,
        }
    }

    /// Whether the handshake came to a good end.
    pub fn was_open(&self) -> bool {
        self.was_open
    }

    /// The handle of the connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How many handlers wait.
    #[cfg(test)]
    pub(super) fn waiting_handlers(&self) -> usize {
        self.work.waiting()
    }

    fn now(&self) -> Instant {
        self.peer.shared().clock.now()
    }

    /// Reads as much as is good at a time. Says whether anything came.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let most = self.appetite.next(self.peer.shared().lock().connection.counters());
        self.link.read(self.peer.shared(), cx, most)
    }

    /// Takes what has happened on the connection, and gives it to whom it concerns. Says whether callers should have their turn
    /// before more is read: what they say next is written together, while the other end is busy with what it has.
    fn sort(&mut self, now: Instant) -> bool {
        let is_sated = {
            let mut state = self.peer.shared().lock();
            state.sort_events(now, &mut self.inbox, &mut self.wakers);
            self.appetite.is_sated(state.connection.counters())
        };
        self.wakers.wake() && is_sated
    }

    /// Gives events to the handler, and the handlers' results to the connection. Says whether there were any.
    fn serve(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut now = self.now();
        let until = now + SERVE;
        let mut unseen = 0;
        self.time_is_up = false;
        while !self.time_is_up {
            let done = match self.inbox.pop_front() {
                Some(event) => self.handle(cx, now, event),
                None => match self.work.poll_next(cx) {
                    None => break,
                    done => done,
                },
            };
            moved = true;
            unseen += 1;
            // As long as handlers are quick, the clock need not be asked behind each of them.
            if unseen >= self.stride {
                let before = core::mem::replace(&mut now, self.now());
                let quick = now.saturating_since(before) < QUICK;
                self.stride = if quick { STRIDE.min(2 * self.stride) } else { 1 };
                self.time_is_up = now >= until;
                unseen = 0;
            }
            if let Some(done) = done {
                self.finish(now, done);
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

    /// Lets the time act, and arranges to be woken when it next matters. Says whether anything was due.
    fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        let mut acted = false;
        loop {
            let now = self.now();
            let mut wakers = Wakers::default();
            let deadline = {
                let mut state = self.peer.shared().lock();
                if state.next_deadline().is_some_and(|at| at <= now) {
                    state.handle_timeout(now, &mut wakers);
                    acted = true;
                }
                state.next_deadline()
            };
            wakers.wake();
            // Heartbeats move the deadline away with every byte: a timer that is too early goes off once and is set then,
            // rather than each time.
            let Some(at) = self.armed.into_iter().chain(deadline).min() else { return acted };
            self.armed = Some(at);
            if self.sleep.poll_until(cx, at).is_pending() {
                return acted;
            }
            // A timer that is early is asked again, with the clock's time in between.
            if deadline == Some(at) && self.now() < at {
                cx.waker().wake_by_ref();
                return acted;
            }
            self.armed = None;
        }
    }

    /// Whether the time has come for something.
    fn is_due(&self) -> bool {
        let now = self.now();
        self.peer.shared().lock().next_deadline().is_some_and(|at| at <= now)
    }

    /// Goes to rest if there is nothing to do, and says so.
    fn park(&mut self, cx: &Context<'_>) -> bool {
        let mut retired = None;
        let parked = {
            let mut state = self.peer.shared().lock();
            let connection = &state.connection;
            let idle = !connection.has_events()
                && self.inbox.is_empty()
                && !state.callers.has_moved_up()
                && !self.link.could_write(connection)
                && self.wakes_by(state.next_deadline());
            if idle {
                retired = state.driver.replace(cx.waker().clone());
                state.connection.shrink();
                state.callers.shrink();
            }
            idle
        };
        drop(retired);
        if parked {
            self.work.rest();
            self.inbox = VecDeque::new();
            self.wakers = Wakers::default();
        }
        parked
    }

    /// Whether the timer goes off in time for this deadline.
    fn wakes_by(&self, deadline: Option<Instant>) -> bool {
        deadline.is_none_or(|at| self.armed.is_some_and(|armed| armed <= at))
    }

    /// The end, if it has come and everybody has heard of it.
    fn ended(&mut self) -> Option<CloseReason> {
        let reason = {
            let state = self.peer.shared().lock();
            if !state.connection.is_closed() || state.connection.has_events() {
                return None;
            }
            state.connection.close_reason().cloned()?
        };
        self.say_goodbye(&reason);
        Some(reason)
    }
}

impl<I, S, H: Handler> Driver<I, S, H> {
    /// Drops the handlers that still wait, and tells the application, once.
    fn say_goodbye(&mut self, reason: &CloseReason) {
        let work = core::mem::replace(&mut self.work, Work::new());
        // A handler that panics even while it is dropped takes nobody else with it.
        drop(catch_unwind(AssertUnwindSafe(|| drop(work))));
        if core::mem::take(&mut self.introduced) {
            let Self { peer, handler, .. } = self;
            // The connection has ended whatever the handler makes of it.
            drop(catch_unwind(AssertUnwindSafe(|| handler.close(peer, reason))));
        }
        // They may hold handles of this very connection.
        let attributes = self.peer.shared().lock().attributes.end();
        drop(catch_unwind(AssertUnwindSafe(|| drop(attributes))));
    }
}

impl<I: Io, S: Sleep, H: Handler> Future for Driver<I, S, H> {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        for _ in 0..TURNS {
            // What has come is dealt with first: so what waits for handlers is bounded by what one read brings.
            let looked = this.inbox.is_empty();
            let mut moved = looked && this.read(cx);
            let now = this.now();
            let others_first = this.sort(now);
            moved |= this.serve(cx);
            moved |= this.link.write(this.peer.shared(), cx);
            if this.time_is_up || others_first {
                break;
            }
            if looked && this.link.is_read_blocked() {
                moved |= this.tick(cx);
            }
            if !moved {
                if let Some(reason) = this.ended() {
                    return Poll::Ready(reason);
                }
                if this.park(cx) {
                    return Poll::Pending;
                }
            }
        }
        if this.is_due() {
            // The peer may have spoken while handlers were at work, and must not be taken for silent.
            this.read(cx);
        }
        this.tick(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I, S, H: Handler> Drop for Driver<I, S, H> {
    fn drop(&mut self) {
        let shared = self.peer.shared();
        let now = shared.clock.now();
        let mut wakers = Wakers::default();
        shared.lock().abandon(now, &mut wakers);
        wakers.wake();
        let reason = shared.lock().connection.close_reason().cloned();
        if let Some(reason) = reason {
            self.say_goodbye(&reason);
        }
    }
}

impl<I, S, H: Handler> fmt::Debug for Driver<I, S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("peer", &self.peer).finish_non_exhaustive()
    }
}
