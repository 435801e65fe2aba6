//! What a driver does when it is polled: it takes turns.
//!
//! A turn: read once, sort the events, let handlers work, write what there is. Turns follow one another while something
//! moves, up to a limit, so that other tasks get theirs, and until callers have been woken, who have theirs first. Timers come
//! last, when all available input has been taken; and the clock decides, not the timer that woke the task.
//!
//! A connection with little to say at a time has many turns, so that each asks for the lock and for the time as rarely as it can.

use core::task::{Context, Poll};

use super::rest::Asked;
use super::{Driver, Handler, Io, Sleep, WakerId};
use crate::error::CloseReason;
use crate::peer::desk::Desk;
use crate::peer::link::Reading;
use crate::peer::shared::Wakers;
use crate::time::Instant;

/// Turns before other tasks get theirs.
const TURNS: usize = 16;

/// What comes behind a turn.
enum Next {
    /// Another one.
    Turn,
    /// Those of the callers that were woken.
    Callers,
    /// Those of everybody, and of the runtime, which looks for what has come.
    Others,
    /// Nothing, until the task is woken.
    Rest,
    End(CloseReason),
}

/// What a turn begins with.
struct Came {
    /// What time it is, if somebody had to ask in this turn or hardly any has passed since.
    now: Option<Instant>,
    moved: bool,
    /// Callers have been woken.
    woke: bool,
}

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// Takes turns until there is nothing to do, or others should have theirs.
    pub(super) fn work_on(&mut self, cx: &mut Context<'_>, mut asked: Option<Asked>) -> Poll<CloseReason> {
        let mut known = None;
        let mut callers_are_next = false;
        for _ in 0..TURNS {
            match self.turn(cx, asked.take().is_some(), &mut known) {
                Next::Turn => {}
                Next::Callers => {
                    callers_are_next = true;
                    break;
                }
                Next::Others => break,
                Next::Rest => return Poll::Pending,
                Next::End(reason) => return Poll::Ready(reason),
            }
        }
        if self.is_due(known) {
            self.catch_up(cx);
            self.tick(cx);
        }
        if callers_are_next {
            // They are in the runtime's queue already: this task stands right behind them.
            cx.waker().wake_by_ref();
        } else {
            // A task that only wakes itself may keep its runtime from looking at the transport for a long time.
            self.sleep.wake_soon(cx);
        }
        Poll::Pending
    }

    /// `known` is what time it is, as far as hardly any has passed since somebody asked.
    fn turn(&mut self, cx: &mut Context<'_>, has_read: bool, known: &mut Option<Instant>) -> Next {
        // What has come is dealt with first: so what waits for handlers is bounded by what one read brings.
        let looks = !self.has_post() && !has_read;
        let Came { mut now, mut moved, woke } = self.come(cx, looks, has_read, known.take());
        let served = self.serve(cx, &mut now);
        moved |= served;
        let (now, input_is_taken, timer_is_ahead, is_closed) = {
            let shared = self.peer.shared();
            let mut state = shared.lock();
            if state.callers.has_undated() {
                // Whoever has called without asking for the time did so before this.
                state.date_calls(*now.insert(shared.clock.now()));
            }
            let now = now.unwrap_or_else(|| shared.clock.now());
            let wrote = self.link.write(&mut state.connection, now, cx);
            moved |= wrote;
            *known = (!served && !wrote).then_some(now);
            if self.time_is_up {
                return Next::Others;
            }
            let is_closed = state.connection.is_closed();
            // What they say next is written together, behind the last of them: they need not wake this task, each for itself.
            if woke && !is_closed {
                self.asking_since = self.asks(moved).then_some(now);
                return Next::Callers;
            }
            let input_is_taken = looks && self.link.has_taken_all(&state.connection);
            let timer_is_ahead = self.need_not_look(cx, now, state.next_deadline());
            if input_is_taken && timer_is_ahead && !is_closed && !self.asks(moved) && self.is_idle(&state) {
                let retired = state.park(cx);
                drop(state);
                drop(retired);
                self.asking_since = None;
                self.work.drop_spares();
                return Next::Rest;
            }
            (now, input_is_taken, timer_is_ahead, is_closed)
        };
        if input_is_taken && !timer_is_ahead {
            moved |= self.tick(cx);
            if self.armed.is_none() && !moved {
                return Next::Others;
            }
        }
        if is_closed && !moved {
            return self.ended().map_or(Next::Turn, Next::End);
        }
        if !is_closed && self.rest(cx, now, input_is_taken, moved) { Next::Rest } else { Next::Turn }
    }

    /// Reads as much as is good at a time, if it is to look for more, and gives what has happened on the connection to whom it
    /// concerns.
    fn come(&mut self, cx: &mut Context<'_>, looks: bool, has_read: bool, known: Option<Instant>) -> Came {
        let is_busy = self.busy_poll.is_some();
        let Self { peer, link, desk, .. } = self;
        let (shared, desk) = (peer.shared(), desk.get_or_insert_with(Desk::take));
        let mut now = known;
        let (reading, most) = {
            let state = &mut *shared.lock();
            if state.begin_turn() {
                link.may_have_come();
            }
            let mut time = || *now.insert(shared.clock.now());
            let reading =
                if looks { link.read_body(&mut state.connection, cx, &mut time) } else { Reading::Unwanted };
            if state.has_news() {
                state.deliver_events(time(), &mut desk.inbox, &mut desk.wakers);
            }
            (reading, if looks { state.appetite(is_busy) } else { 0 })
        };
        let mut moved = has_read;
        if looks {
            moved |= link.read(shared, cx, reading, most, |state, at, bytes| {
                now = Some(at);
                state.receive(at, bytes, &mut desk.inbox, &mut desk.wakers);
            });
        }
        let woke = desk.wakers.wake();
        Came { now, moved, woke }
    }

    /// Takes what has come by now, before the time acts: a peer that spoke while others were at work was not silent, and what it
    /// answered is not late. Within limits: it may go on for ever.
    fn catch_up(&mut self, cx: &mut Context<'_>) {
        for _ in 0..TURNS {
            self.come(cx, true, false, None);
            if self.link.has_taken_all(&self.peer.shared().lock().connection) {
                return;
            }
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
            let Some(at) = deadline else { return acted };
            // Heartbeats move the deadline away with every byte: a timer that is too early goes off once and is set then,
            // rather than each time. One that should have gone off by now may do so a little later, and is not waited for.
            let armed = self.armed.take().map(|(armed, _)| armed).filter(|&armed| armed > now);
            let at = armed.map_or(at, |armed| armed.min(at));
            if self.sleep.poll_until(cx, at).is_pending() {
                self.armed = Some((at, WakerId::of(cx.waker())));
                return acted;
            }
            // A timer that is early is asked again, with other tasks and the clock's time in between.
            if self.now() < at {
                return acted;
            }
        }
    }

    /// Whether the time has come for something; hardly any has passed since it was `known`.
    fn is_due(&self, known: Option<Instant>) -> bool {
        let now = known.unwrap_or_else(|| self.now());
        self.peer.shared().lock().next_deadline().is_some_and(|at| at <= now)
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
