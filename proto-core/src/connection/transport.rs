//! What the byte stream and the clock do to a connection: bytes that arrive and leave, the end, and the time.

use super::whole::Nobody;
#[cfg(feature = "peer")]
use super::whole::ReplyTaker;
use super::{Connection, State, Timer};
use crate::error::{CloseReason, Limit, TransportError};
use crate::event::CallId;
use crate::time::Instant;
use crate::wire::CloseCode;

impl Connection {
    /// Takes bytes that arrived: all of them, however they are cut, in any state.
    ///
    /// The slice is scratch space: its contents are unspecified afterwards.
    pub fn handle_input(&mut self, now: Instant, input: &mut [u8]) {
        self.take_input(now, input.len(), |connection| connection.receive_raw(input, &mut Nobody));
    }

    /// [`handle_input`](Self::handle_input), with somebody who takes replies.
    #[cfg(feature = "peer")]
    pub(crate) fn handle_input_with(&mut self, now: Instant, input: &mut [u8], taker: &mut impl ReplyTaker) {
        self.take_input(now, input.len(), |connection| connection.receive_raw(input, taker));
    }

    /// The stream has ended: the peer sends nothing more.
    ///
    /// After a CLOSE from the peer that is how a connection ends; without one, the connection is lost.
    pub fn handle_eof(&mut self, now: Instant) {
        self.observe(now);
        if self.layer.as_mut().is_some_and(|layered| layered.end()) {
            return;
        }
        match &mut self.state {
            State::Open | State::Draining(_) if self.config.framing.is_some() => self.foreign_eof(),
            State::Handshaking { .. } | State::Open | State::Draining(_) => {
                self.finish(CloseReason::Transport(TransportError::Eof));
            }
            State::Closing(closing) => {
                closing.eof = true;
                self.stop_listening();
                self.pump();
            }
            State::Closed(_) => {}
        }
    }

    /// Reading or writing failed: nothing more comes or goes.
    pub fn handle_transport_error(&mut self, now: Instant, error: TransportError) {
        self.observe(now);
        let reason = match &self.state {
            State::Closing(closing) if !closing.is_cut_short(self.unsent()) => closing.reason.clone(),
            _ => CloseReason::Transport(error),
        };
        self.finish(reason);
    }

    /// The time may have come for something: call it at the instant of [`poll_timeout`](Self::poll_timeout), or whenever you
    /// like. Nothing happens before its time. Feed available input first, so that nothing is given up whose answer
    /// has arrived.
    ///
    /// Afterwards `poll_timeout` is `None` or later than `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.observe(now);
        while let Some(id) = self.calls.pop_due(self.now) {
            if let Some(delivery) = self.end_early(CallId(id)) {
                self.time_out(CallId(id), delivery);
            }
        }
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Handshake => self.fail(CloseReason::TimedOut(Limit::Handshake)),
                Timer::WriteStall => self.finish(CloseReason::TimedOut(Limit::WriteStall)),
                Timer::Closing => self.finish_closing(),
                Timer::Age => self.drain_by_limit(CloseCode::MAX_AGE),
                Timer::Drain => self.end_drain(),
                Timer::Idle => self.check_idle(),
                Timer::Progress => self.check_pause(),
                // These two are kept elsewhere.
                Timer::Call | Timer::Heartbeat => {}
            }
        }
        self.tick_heartbeat();
        self.pump();
    }

    /// The transport has written `n` of the bytes that [`transmit`](Self::transmit) lent.
    pub fn advance_transmit(&mut self, now: Instant, n: usize) {
        self.observe(now);
        let n = n.min(self.transmit_len());
        if n == 0 {
            return;
        }
        self.counters.bytes_sent += n as u64;
        self.note_sent();
        self.timers.clear(Timer::WriteStall);
        if self.layer.is_some() {
            self.advance_layer(n);
        } else {
            self.outbox.advance(n);
        }
        self.pump();
    }

    /// The transport has the first `n` of the bytes that [`transmit`](Self::transmit) lends in its own hands, and may send them
    /// at any time: for writers that own their buffers. [`advance_transmit`](Self::advance_transmit) follows when they
    /// have been written; until then they are lent again, and count from the same place.
    pub fn begin_transmit(&mut self, n: usize) {
        if self.layer.is_none() {
            self.outbox.hand_over(n);
        }
    }
}
