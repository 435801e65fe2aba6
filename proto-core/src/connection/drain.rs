//! An orderly end: no further calls, those in flight are served, then CLOSE (PROTOCOL.md §7.2).
//!
//! | said | heard | what happens |
//! |---|---|---|
//! | – | – | DRAIN goes out, with END if no request waits |
//! | DRAIN | any | END follows when the last request is committed |
//! | END | – or DRAIN | requests of the peer are served |
//! | END | END | whoever wanted it sends CLOSE, once no call is in flight either way |
//!
//! The limits on a connection's life that lead here, its age and its idleness, are here too.

use alloc::boxed::Box;
use core::time::Duration;

use super::close::{Closing, info_bytes};
use super::{Connection, State, Timer};
use crate::event::Event;
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo, Flags, Kind};

/// A connection that comes to its end.
#[derive(Debug)]
pub(super) struct Draining {
    /// Of the first DRAIN, whoever sent it: what this side's DRAINs say.
    code: CloseCode,
    /// If this side wants it, and so limits its time: what its CLOSE will say.
    own: Option<(CloseCode, CloseInfo)>,
    said: Word,
    heard: Word,
}

/// What one side has said about its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Nothing,
    /// No new ones.
    Drain,
    /// The last one has been sent.
    End,
}

impl Draining {
    /// Whether calls of this side may still be sent: none may behind END.
    pub(super) fn takes_calls(&self) -> bool {
        self.said != Word::End
    }

    /// What the words for the peer hold in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |(_, info)| info_bytes(info))
    }
}

impl Connection {
    /// Brings the connection to its end without losing a call: no further calls are accepted, on both sides, those in flight
    /// are served, and then both sides close with `code`. What is left after `within` is cut off by a close.
    ///
    /// [`call`](Self::call) is refused from now on, [`push`](Self::push) is not. Asked again, the shorter time counts; an
    /// unfinished handshake is ended at once. To a peer that does not know of drains, requests that still come
    /// are answered with `DRAINING`.
    pub fn drain(&mut self, now: Instant, code: CloseCode, info: CloseInfo, within: Duration) {
        self.observe(now);
        match &mut self.state {
            State::Handshaking { .. } => return self.close(now, code, info),
            State::Open => self.start_draining(code, Some((code, info)), Word::Nothing),
            State::Draining(draining) => drop(draining.own.get_or_insert((code, info))),
            State::Closing(_) | State::Closed(_) => return,
        }
        self.timers.clear(Timer::Idle);
        self.timers.clear(Timer::Age);
        self.timers.set_earlier(Timer::Drain, self.now + within);
        self.pump();
    }

    /// Says whether calls stand in line for room that the owner of this connection accepted before a drain began: they are
    /// still taken in while it goes on. For drivers that keep such a line: what is said when the peer has been told of the
    /// last request comes too late, and changes nothing.
    pub fn hold_calls(&mut self, now: Instant, waiting: bool) {
        if self.sending.calls_in_line != waiting {
            self.observe(now);
            self.sending.calls_in_line = waiting;
            self.pump();
        }
    }

    /// Whether the connection is coming to its end, and takes no further calls.
    pub const fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining(_))
    }

    /// Whether the peer may still send this.
    pub(super) fn may_hear(&self, kind: Kind, flags: Flags) -> bool {
        match (&self.state, kind) {
            (State::Draining(draining), Kind::Request) => draining.heard != Word::End,
            (State::Draining(draining), Kind::Drain) => match draining.heard {
                Word::Nothing => true,
                Word::Drain => flags.contains(Flags::END),
                Word::End => false,
            },
            _ => true,
        }
    }

    pub(super) fn receive_drain(&mut self, code: CloseCode, flags: Flags) {
        let word = if flags.contains(Flags::END) { Word::End } else { Word::Drain };
        match &mut self.state {
            State::Open => {
                self.start_draining(code, None, word);
                self.events.push(Event::Draining(code), 0);
            }
            State::Draining(draining) => draining.heard = word,
            State::Handshaking { .. } | State::Closing(_) | State::Closed(_) => {}
        }
    }

    /// Sends what is to be said next about the drain.
    pub(super) fn commit_drain(&mut self) -> bool {
        let more = self.outbox.has_waiting_requests() || self.sending.calls_in_line;
        let available = self.sending.drain;
        let State::Draining(draining) = &mut self.state else { return false };
        let next = if more { Word::Drain } else { Word::End };
        if !available || draining.said == Word::End || draining.said == next {
            return false;
        }
        draining.said = next;
        let flags = if more { Flags::empty() } else { Flags::END };
        let code = draining.code.0;
        self.commit_control(Kind::Drain, flags, code, &[]);
        true
    }

    /// Goes on to closing when all that a drain waits for has come. Says whether it did.
    pub(super) fn finish_drain(&mut self) -> bool {
        let State::Draining(draining) = &self.state else { return false };
        let (own, drained) = (draining.own.is_some(), self.is_drained(draining));
        let done = own && drained;
        if !own {
            // The peer is waited for, but not for ever when nothing is left to wait for.
            if !drained {
                self.timers.clear(Timer::Drain);
            } else if !self.timers.is_set(Timer::Drain) {
                self.timers.set(Timer::Drain, self.now, self.config.drain_timeout);
            }
        }
        if done {
            self.end_drain();
        }
        done
    }

    /// Whether all has come that a drain waits for.
    fn is_drained(&self, draining: &Draining) -> bool {
        let agreed = draining.said == Word::End && draining.heard == Word::End || !self.sending.drain;
        agreed && !self.sending.calls_in_line && self.has_no_calls()
    }

    /// Whether a CLOSE with this code is the end of the drain that this side wanted, and not an end of the peer's own.
    pub(super) fn is_own_drain(&self, code: CloseCode) -> bool {
        let State::Draining(draining) = &self.state else { return false };
        draining.own.as_ref().is_some_and(|(own, _)| *own == code) && self.is_drained(draining)
    }

    /// The drain is over, or its time is.
    pub(super) fn end_drain(&mut self) {
        if let State::Draining(draining) = &mut self.state {
            let (code, info) = draining.own.take().unwrap_or_else(|| (draining.code, CloseInfo::default()));
            self.start_closing(Closing::own(code, info));
        }
    }

    /// When the connection was opened: its life has limits.
    pub(super) fn limit_life(&mut self) {
        if let (Some(age), Some(liveness)) = (self.config.max_age, &mut self.liveness) {
            // From 0.9 to 1.1 of it.
            let permille = 900 + liveness.rng.below(201) as u32;
            self.timers.set(Timer::Age, self.now, (age / 1000).saturating_mul(permille));
        }
        if let Some(idle) = self.config.idle_timeout {
            self.timers.set(Timer::Idle, self.now, idle);
        }
    }

    /// The connection may have been idle for too long.
    pub(super) fn check_idle(&mut self) {
        let (Some(idle), Some(liveness)) = (self.config.idle_timeout, &self.liveness) else { return };
        let since = if self.is_quiet() { liveness.last_message } else { self.now };
        if since + idle <= self.now {
            self.drain_by_limit(CloseCode::IDLE);
        } else {
            self.timers.set(Timer::Idle, since, idle);
        }
    }

    /// Limits hold for a connection that the peer drains, too: it may be in no hurry to end.
    pub(super) fn drain_by_limit(&mut self, code: CloseCode) {
        if self.is_open() {
            self.events.push(Event::Draining(code), 0);
        }
        if self.is_running() {
            let (now, within) = (self.now, self.config.drain_timeout);
            self.drain(now, code, CloseInfo::default(), within);
        }
    }

    /// Whether no call is in flight, and no push is being dealt with.
    fn is_quiet(&self) -> bool {
        self.has_no_calls() && self.push_window.outstanding() == 0
    }

    /// Whether no call is in flight, in either direction.
    fn has_no_calls(&self) -> bool {
        self.calls.in_flight() == 0 && self.requests.open() == 0
    }

    fn start_draining(&mut self, code: CloseCode, own: Option<(CloseCode, CloseInfo)>, heard: Word) {
        self.state = State::Draining(Box::new(Draining { code, own, said: Word::Nothing, heard }));
    }
}
