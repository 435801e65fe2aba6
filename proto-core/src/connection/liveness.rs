//! What a connection does about liveness: it keeps its promise to send, and ends when the peer has not.

use super::heartbeat::{Due, Heartbeat};
use super::{Connection, Role, State};
use crate::error::{CloseReason, Limit};
use crate::time::Instant;
use crate::wire::{Flags, Hello, Kind};

impl Connection {
    /// Sends a PING, unless one is on its way or the last one was so recent that the peer would take this one for a flood:
    /// [`round_trip`](Self::round_trip) is newer when it has been answered. Does nothing on a connection without heartbeats.
    pub fn ping(&mut self, now: Instant) {
        self.observe(now);
        if self.is_running() && self.liveness.as_ref().is_some_and(|liveness| liveness.may_probe(self.now)) {
            self.send_ping();
        }
        self.pump();
    }

    /// Both sides have said what they wish.
    pub(super) fn start_liveness(&mut self, peer: &Hello) {
        let (own, now) = (self.config.hello().heartbeat, self.now);
        let timeout = self.config.heartbeat.map(|heartbeat| heartbeat.timeout);
        if let (Some(liveness), Some(own), Some(peer), Some(timeout)) =
            (&mut self.liveness, own, peer.heartbeat, timeout)
        {
            liveness.heartbeat = Some(Heartbeat::new(own, peer, timeout, &mut liveness.rng, now));
        }
    }

    pub(super) fn begin_heartbeats(&mut self, role: Role) {
        let now = self.now;
        if let Some(heartbeat) = self.heartbeat() {
            heartbeat.start(role, now);
        }
    }

    pub(super) fn next_heartbeat(&self) -> Option<Instant> {
        if !self.is_running() {
            return None;
        }
        Some(self.liveness.as_ref()?.heartbeat.as_ref()?.deadline())
    }

    pub(super) fn note_heard(&mut self) {
        let now = self.now;
        if let Some(heartbeat) = self.heartbeat() {
            heartbeat.note_heard(now);
        }
    }

    /// A message was accepted for sending, or came, or has been dealt with.
    pub(super) fn note_message(&mut self) {
        if let Some(liveness) = &mut self.liveness {
            liveness.last_message = self.now;
        }
    }

    pub(super) fn note_sent(&mut self) {
        let now = self.now;
        if let Some(heartbeat) = self.heartbeat() {
            heartbeat.note_sent(now);
        }
    }

    pub(super) fn tick_heartbeat(&mut self) {
        if !self.is_running() {
            return;
        }
        let now = self.now;
        loop {
            match self.liveness.as_mut().map_or(Due::Nothing, |liveness| liveness.tick(now)) {
                Due::Nothing => return,
                // What waits to be written is a sign of life as good as a PING.
                Due::Ping if self.unsent() > 0 => {}
                Due::Ping => {
                    self.shrink();
                    self.send_ping();
                }
                // Nobody is there to be told.
                Due::Silence => return self.finish(CloseReason::TimedOut(Limit::Silence)),
            }
        }
    }

    /// Whether the peer may send one more PING.
    pub(super) fn may_ping(&mut self) -> bool {
        let now = self.now;
        self.liveness.as_mut().is_none_or(|liveness| liveness.take_ping(now))
    }

    fn send_ping(&mut self) {
        let now = self.now;
        if let Some(payload) = self.liveness.as_mut().map(|liveness| liveness.probe(now)) {
            self.commit_control(Kind::Ping, Flags::empty(), 0, &payload);
        }
    }

    fn heartbeat(&mut self) -> Option<&mut Heartbeat> {
        match self.state {
            State::Open | State::Draining(_) => self.liveness.as_mut()?.heartbeat.as_mut(),
            State::Handshaking { .. } | State::Closing(_) | State::Closed(_) => None,
        }
    }
}
