//! What a connection says when it is asked: bytes to write, events, deadlines, and how it stands.

#[cfg(feature = "peer")]
use alloc::collections::VecDeque;

use super::arrival::Arrival;
use super::close::{self, Closing};
use super::drain::Draining;
use super::partial::PartialPushes;
use super::{Chunks, Connection, Counters, Deadline, RoundTrip, State, Timer};
use crate::config::SharedConfig;
use crate::error::CloseReason;
use crate::event::{Event, RequestId};
use crate::time::Instant;
use crate::wire::{Sequence, StatusCode};

/// None of them waits, and asking twice gives the same answer.
impl Connection {
    /// The bytes to write now, in order. They do not change until [`advance_transmit`](Self::advance_transmit) takes
    /// them away; further ones may be added behind them.
    pub fn transmit(&self) -> Chunks<'_> {
        match &self.layer {
            Some(layered) => Chunks::of(layered.output()),
            None => self.outbox.chunks(),
        }
    }

    /// How many bytes [`transmit`](Self::transmit) lends.
    pub fn transmit_len(&self) -> usize {
        self.layer.as_ref().map_or_else(|| self.outbox.pending(), |layered| layered.output().len())
    }

    /// What happened next, if anything did.
    ///
    /// Requests whose deadline has passed or whose caller has given them up while they waited here are answered and not
    /// handed out.
    #[must_use = "an event that is not looked at is lost"]
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.events.is_empty() && !self.is_closed() {
            // A loop asks this of every connection, most of which have nothing to say.
            self.events.end();
            return None;
        }
        self.next_event()
    }

    fn next_event(&mut self) -> Option<Event> {
        self.poll_arrival().map(|arrival| arrival.into_item().into_event())
    }

    /// What [`poll_event`](Self::poll_event) makes an event of.
    // It becomes one where it is taken, without being moved before.
    #[inline(always)]
    pub(crate) fn poll_arrival(&mut self) -> Option<Arrival> {
        while let Some(first) = self.events.first() {
            let is_wanted = match (first.as_request(), first.as_event()) {
                (Some((id, deadline)), _) => self.may_run(id, deadline),
                (_, Some(&Event::Request { ref id, deadline, .. })) => {
                    let id = id.sequence();
                    self.may_run(id, deadline)
                }
                (_, Some(&Event::Cancelled(id))) => self.requests.is_running(id),
                _ => true,
            };
            let arrival = self.events.pop();
            if is_wanted {
                return arrival;
            }
        }
        self.events.end();
        if self.is_closed() {
            self.shrink();
        }
        None
    }

    /// Hands out what waits to somebody who has nothing to do, if all of it is to be run: the requests are running then. What is left
    /// is to be polled at once, since some of it may be running too.
    #[cfg(feature = "peer")]
    #[inline]
    pub(crate) fn hand_out_work(&mut self, to: &mut VecDeque<Arrival>) {
        let Self { events, requests, now, .. } = self;
        events.move_to(to, |arrival| match arrival.as_request() {
            Some((id, deadline)) => deadline.is_none_or(|at| at > *now) && requests.run(id),
            None => arrival.is_push(),
        });
    }

    /// Whether the application is to run a request. One that it is not to run is answered.
    fn may_run(&mut self, id: Sequence, deadline: Option<Instant>) -> bool {
        if deadline.is_some_and(|at| at <= self.now) {
            self.expire(self.now, RequestId(id));
            return false;
        }
        let is_wanted = self.requests.run(id);
        if !is_wanted {
            self.answer_unrun(RequestId(id), StatusCode::CANCELLED);
        }
        is_wanted
    }

    /// Whether [`poll_event`](Self::poll_event) has something to say.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and what for.
    ///
    /// It may change with every call of a `&mut self` method. Reading it is cheap.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let (fixed, call) = (self.timers.earliest(), self.calls.next_deadline().unwrap_or(Instant::MAX));
        let heartbeat = self.next_heartbeat().unwrap_or(Instant::MAX);
        let at = fixed.min(call).min(heartbeat);
        match at {
            Instant::MAX => None,
            _ if at == fixed => self.timers.next(),
            _ if at == call => Some(Deadline { at, timer: Timer::Call }),
            _ => Some(Deadline { at, timer: Timer::Heartbeat }),
        }
    }

    /// Whether to go on reading: until the stream or the connection has ended.
    ///
    /// With a [foreign format](crate::framing) also not while the application decides, or has too much to do.
    pub fn wants_read(&self) -> bool {
        match &self.state {
            _ if self.layer.as_ref().is_some_and(|layered| layered.has_ended()) => false,
            State::Handshaking { .. } if self.is_foreign() => false,
            State::Open | State::Draining(_) if self.is_paused() => false,
            State::Handshaking { .. } | State::Open | State::Draining(_) => true,
            // What is only discarded need not wait; it still brings the end of the stream.
            State::Closing(closing) => !closing.eof && (closing.deaf || !self.is_paused()),
            State::Closed(_) => false,
        }
    }

    /// Whether all has been written that ever will be, so that writing should be shut down (LW-7.4).
    pub fn wants_shutdown(&self) -> bool {
        match &self.state {
            State::Handshaking { .. } | State::Open | State::Draining(_) => false,
            State::Closing(closing) => closing.committed && self.unsent() == 0,
            State::Closed(_) => true,
        }
    }

    /// Whether the handshake is over and nothing has begun to end: calls and pushes are accepted.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether messages go both ways.
    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.state, State::Open | State::Draining(_))
    }

    /// Whether the connection has ended. Events may still wait, [`Event::Closed`] as the last one.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Why the connection ended, or is ending; `None` while it is not.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Handshaking { .. } | State::Open | State::Draining(_) => None,
            State::Closing(closing) => Some(&closing.reason),
            State::Closed(reason) => Some(reason),
        }
    }

    /// Whether the peer has sent a frame behind its part of the handshake: then somebody is there, and not only something
    /// that takes connections. It is what [`Dialer::lives`](crate::client::Dialer::lives) wants to know.
    pub fn peer_has_spoken(&self) -> bool {
        self.counters.frames_received > u64::from(!self.is_foreign())
    }

    /// How long the way to the peer and back takes, as far as it has been measured: by the PINGs of heartbeats, and by those
    /// of [`ping`](Self::ping).
    pub fn round_trip(&self) -> RoundTrip {
        let measured = self.liveness.as_ref().map(|liveness| liveness.round_trip.round_trip());
        measured.unwrap_or_default()
    }

    /// Calls of this side whose slot is taken, those included that their caller gave up.
    pub fn calls_in_flight(&self) -> usize {
        self.calls.in_flight()
    }

    /// How many calls of either side are in flight, or were a moment ago.
    #[cfg(feature = "peer")]
    pub(crate) fn in_flight(&self) -> usize {
        self.calls.in_flight().max(self.requests.widest())
    }

    /// Requests of the peer that want a reply or whose reply has not been committed.
    pub fn requests_in_flight(&self) -> usize {
        self.requests.open()
    }

    /// What this connection was made with.
    pub const fn config(&self) -> &SharedConfig {
        &self.config
    }

    /// What has been counted since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that this connection holds in memory beside itself: partial frames, waiting messages, committed bytes,
    /// events that nobody has polled, tables. Bodies that were handed in count as long as they wait.
    ///
    /// Never more than [`Config::max_held_bytes`](crate::Config::max_held_bytes).
    pub fn held_bytes(&self) -> usize {
        let state = match &self.state {
            State::Handshaking { .. } | State::Open => 0,
            State::Draining(draining) => size_of::<Draining>() + draining.held_bytes(),
            State::Closing(closing) => size_of::<Closing>() + closing.held_bytes(),
            State::Closed(reason) => close::reason_bytes(reason),
        };
        let pushes =
            self.pushes.as_ref().map_or(0, |pushes| size_of::<PartialPushes>() + pushes.held_bytes());
        state
            + self.timers.held_bytes()
            + pushes
            + self.layer.as_ref().map_or(0, |layered| layered.held_bytes())
            + self.inbound.held_bytes()
            + self.outbox.held_bytes()
            + self.events.held_bytes()
            + self.calls.held_bytes()
            + self.requests.held_bytes()
    }
}
