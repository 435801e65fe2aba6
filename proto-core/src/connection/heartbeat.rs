//! Liveness as a promise to send (PROTOCOL.md §8).
//!
//! Each side promises to send something at least every interval, a PING where nothing else goes, and gives the other
//! up when nothing at all has come for an interval and a timeout. Any byte is a sign of life, whatever frame it
//! belongs to. This module keeps the times and the measurements; it sends nothing and ends nothing.

use core::time::Duration;

use super::Role;
use super::round_trip::Measured;
use crate::rng::Rng;
use crate::time::{Instant, nanos};
use crate::wire::{Heartbeat as Announced, PING_LEN, Pong};

/// All that a connection knows about the other end being there.
#[derive(Debug)]
pub(super) struct Liveness {
    /// What both sides agreed on; `None` before the handshake, and if the peer takes no part.
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) round_trip: Measured,
    budget: PingBudget,
    /// Where chance comes from.
    pub(super) rng: Rng,
    /// When the newest PING was sent, and when the newest that has been answered.
    probed: Option<Instant>,
    answered: Option<Instant>,
    /// When the last message came or was accepted for sending.
    pub(super) last_message: Instant,
}

impl Liveness {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        let budget = PingBudget::new(now);
        Self {
            heartbeat: None,
            round_trip: Measured::default(),
            budget,
            rng: Rng::new(seed),
            probed: None,
            answered: None,
            last_message: now,
        }
    }

    /// The payload of a PING that is sent now: nothing but the time, by which its PONG is known.
    pub(super) const fn probe(&mut self, now: Instant) -> [u8; PING_LEN] {
        self.probed = Some(now);
        now.as_nanos().to_be_bytes()
    }

    /// Whether one more PING is welcome.
    pub(super) fn may_probe(&self, now: Instant) -> bool {
        let Some(heartbeat) = &self.heartbeat else { return false };
        self.answered == self.probed
            && self.probed.is_none_or(|last| now >= last + heartbeat.send_every.duration() / 2)
    }

    /// What is due, given that all available input has been taken.
    pub(super) fn tick(&mut self, now: Instant) -> Due {
        let Self { heartbeat, rng, .. } = self;
        heartbeat.as_mut().map_or(Due::Nothing, |heartbeat| heartbeat.tick(rng, now))
    }

    /// A PING came: whether it is one of those that the peer may send.
    pub(super) fn take_ping(&mut self, now: Instant) -> bool {
        let Self { heartbeat, budget, .. } = self;
        heartbeat.as_ref().is_none_or(|heartbeat| budget.take(heartbeat.hear_every.duration(), now))
    }

    /// A PONG came. It carries the time of its PING, by this side's clock: one that lies between the newest that was
    /// answered and the newest that was sent measures something, any other is somebody's mistake.
    pub(super) fn answer(&mut self, pong: Pong, now: Instant) {
        let sent = Instant::from_nanos(u64::from_be_bytes(pong.ping));
        if self.answered < Some(sent) && Some(sent) <= self.probed {
            self.answered = Some(sent);
            let held = Duration::from_micros(pong.held_micros.into());
            self.round_trip.add(now.saturating_since(sent).saturating_sub(held));
        }
    }
}

/// How often each side speaks, and what has been heard. There is one for each connection, so it is kept small.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// This side sends something at least this often.
    send_every: Millis,
    /// The peer promised to send something at least this often.
    hear_every: Millis,
    /// How much longer to wait than that.
    grace: Millis,
    /// For how many 1024ths of its interval this side may be silent before it sends a PING.
    ping_after: u16,
    /// When something was last sent, and received.
    sent: Instant,
    heard: Instant,
}

/// An interval as peers announce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Millis(u32);

impl Millis {
    const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }

    const fn nanos(self) -> u64 {
        self.0 as u64 * 1_000_000
    }

    /// So many 1024ths of it, in nanoseconds.
    const fn part(self, parts: u64) -> u64 {
        self.nanos() / 1024 * parts
    }
}

/// What the time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Something should be sent.
    Ping,
    /// The peer has been silent for too long.
    Silence,
}

impl Heartbeat {
    /// The agreement of two sides, from `now` on. The first PING comes at a random time, so that a thousand
    /// connections that were opened together do not speak together.
    pub(super) fn new(own: Announced, peer: Announced, grace: Duration, rng: &mut Rng, now: Instant) -> Self {
        let send_every = Millis(peer.wish_millis.max(own.minimum_millis));
        let hear_every = Millis(own.wish_millis.max(peer.minimum_millis));
        let grace = Millis(u32::try_from(nanos(grace).div_ceil(1_000_000)).unwrap_or(u32::MAX));
        let ping_after = rng.below(1024) as u16;
        Self { send_every, hear_every, grace, ping_after, sent: now, heard: now }
    }

    /// Both sides begin. The dialer does so when WELCOME arrives, which the acceptor allows for.
    pub(super) fn start(&mut self, role: Role, now: Instant) {
        self.sent = now;
        self.heard = match role {
            Role::Acceptor => now.plus(self.grace.nanos()),
            Role::Dialer => now,
        };
    }

    /// Something was sent, of whatever kind.
    pub(super) const fn note_sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Something came, of whatever kind.
    pub(super) const fn note_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When to look again. It is never later than the next thing that is due.
    pub(super) fn deadline(&self) -> Instant {
        self.ping_at().min(self.silence_at())
    }

    /// What is due, given that all available input has been taken.
    pub(super) fn tick(&mut self, rng: &mut Rng, now: Instant) -> Due {
        let silence = self.silence_at();
        if now >= silence {
            // Somebody who looks so late was not running, and cannot say that the peer was silent: it may have
            // spoken to a system that had nobody to tell.
            if now.saturating_since(silence) < self.hear_every.duration() {
                return Due::Silence;
            }
            self.heard = now;
        }
        if now >= self.ping_at() {
            // The promise is kept early rather than late: the next PING comes after 0.9 to 1.0 of the interval.
            self.ping_after = 1024 - rng.below(103) as u16;
            self.sent = now;
            return Due::Ping;
        }
        Due::Nothing
    }

    fn ping_at(&self) -> Instant {
        self.sent.plus(self.send_every.part(self.ping_after.into()))
    }

    fn silence_at(&self) -> Instant {
        self.heard.plus(self.hear_every.nanos()).plus(self.grace.nanos())
    }
}

/// How many PINGs a peer may send: a bucket that fills with time.
///
/// One every half of the interval at which it promised to speak, and a few at once: so a peer that speaks as it promised
/// never runs out of it, whatever the way does to its PINGs. What is kept is when the bucket will be full, as the generic
/// cell rate algorithm of ATM (ITU-T I.371) does.
#[derive(Debug)]
pub(super) struct PingBudget(Instant);

impl PingBudget {
    const MOST: u32 = 16;

    pub(super) const fn new(now: Instant) -> Self {
        Self(now)
    }

    /// Takes one; `false` if there is none.
    pub(super) fn take(&mut self, every: Duration, now: Instant) -> bool {
        let step = (every / 2).max(Duration::from_millis(1));
        let full = self.0.max(now) + step;
        let enough = full.saturating_since(now) <= step * Self::MOST;
        if enough {
            self.0 = full;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use proptest::prelude::*;

    const fn announced(wish_millis: u32, minimum_millis: u32) -> Announced {
        Announced { wish_millis, minimum_millis }
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// LW-8.2: each side speaks as often as the other wishes, but not more often than it is willing to.
    #[test]
    fn both_sides_agree_on_both_intervals() {
        let grace = Duration::from_secs(10);
        let (one, two) = (announced(15_000, 1_000), announced(2_000, 5_000));
        let ours = Heartbeat::new(one, two, grace, &mut Rng::new(1), at(0));
        let theirs = Heartbeat::new(two, one, grace, &mut Rng::new(2), at(0));
        assert_eq!(ours.send_every, Millis(2_000));
        assert_eq!(ours.send_every, theirs.hear_every);
        assert_eq!(theirs.send_every, Millis(15_000));
        assert_eq!(theirs.send_every, ours.hear_every);
    }

    #[test]
    fn connections_that_open_together_do_not_speak_together() {
        let (own, grace) = (announced(10_000, 1_000), Duration::from_secs(10));
        let first = |seed| {
            Heartbeat::new(own, own, grace, &mut Rng::new(seed), at(0)).deadline().as_nanos() / 1_000_000
        };
        let mut tenths = [0; 10];
        (0..1000).for_each(|seed| tenths[first(seed) as usize / 1_000] += 1);
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn who_was_not_running_does_not_blame_the_peer() {
        let mut rng = Rng::new(1);
        let mut heartbeat = Heartbeat::new(
            announced(1000, 1000),
            announced(60_000, 1000),
            Duration::from_secs(2),
            &mut rng,
            at(0),
        );
        assert_eq!(heartbeat.tick(&mut rng, at(2_999)), Due::Nothing);
        assert_eq!(heartbeat.tick(&mut rng, at(4_000)), Due::Nothing, "a second late: this side had stopped");
        assert_eq!(heartbeat.tick(&mut rng, at(6_999)), Due::Nothing);
        assert_eq!(heartbeat.tick(&mut rng, at(7_000)), Due::Silence, "on time: it had not");
    }

    proptest! {
        /// The promise to send is kept for any agreement, and first PINGs are spread over the whole interval.
        #[test]
        fn the_promise_to_send_is_kept(
            wish in 1_000u32..100_000, minimum in 1_000u32..100_000, seed: u64,
        ) {
            let mut rng = Rng::new(seed);
            let mut heartbeat =
                Heartbeat::new(announced(1_000_000, minimum), announced(wish, 1_000), Duration::ZERO, &mut rng, at(0));
            let every = Duration::from_millis(wish.max(minimum).into());
            let (mut now, mut sent) = (at(0), at(0));
            for _ in 0..5 {
                now = heartbeat.deadline();
                prop_assert!(now.saturating_since(sent) <= every);
                if heartbeat.tick(&mut rng, now) == Due::Ping {
                    sent = now;
                }
            }
            prop_assert!(sent > at(0) || every > now.saturating_since(at(0)));
        }

        /// A peer with equal settings is never punished for its PINGs, a flood always is.
        #[test]
        fn a_fair_peer_never_runs_out_of_pings(every in 10u64..10_000, late in prop::collection::vec(0u64..10, 1..200)) {
            let interval = Duration::from_millis(every);
            let mut budget = PingBudget::new(at(0));
            let mut now = 0;
            for jitter in late {
                now += every * (95 + jitter) / 100;
                prop_assert!(budget.take(interval, at(now)));
            }
            let flood = (0..100).filter(|_| budget.take(interval, at(now))).count();
            prop_assert!(flood <= PingBudget::MOST as usize);
        }
    }
}
