//! Two connections, two pipes and one clock.

use core::time::Duration;

use super::pipe::{CutKind, Pipe, PipeConfig};
use super::side::Side;
use crate::config::{Config, SharedConfig};
use crate::connection::{Connection, Role};
use crate::event::Event;
use crate::rng::Rng;
use crate::time::Instant;

/// What a [`Pair`] is made of.
///
/// ```
/// use proto_core::simulation::{Pair, PairConfig, PipeConfig};
///
/// let narrow = PipeConfig { capacity: 10, ..PipeConfig::default() };
/// let mut pair = Pair::new(&PairConfig { to_acceptor: narrow, seed: 42, ..PairConfig::default() });
/// assert!(pair.step());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairConfig {
    /// The configuration of the side that dials.
    pub dialer: SharedConfig,
    /// The configuration of the side that accepts.
    pub acceptor: SharedConfig,
    /// The pipe from the dialer to the acceptor.
    pub to_acceptor: PipeConfig,
    /// The pipe from the acceptor to the dialer.
    pub to_dialer: PipeConfig,
    /// How both sides write.
    pub writer: WriterKind,
    /// What all chance in this pair is drawn from. Default 0.
    pub seed: u64,
}

impl PairConfig {
    /// The default, without heartbeats on either side: so a pair with nothing to do is idle, and a test that waits for what
    /// never comes ends.
    pub fn quiet() -> Self {
        let config = Config { heartbeat: None, ..Config::default() };
        let config = config.share().expect("a default without heartbeats is valid");
        Self { dialer: config.clone(), acceptor: config, ..Self::default() }
    }
}

/// How the simulated transport takes bytes from a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriterKind {
    /// It writes what is lent, as `write` and `writev` do. Default.
    #[default]
    Lent,
    /// It takes bytes over first ([`Connection::begin_transmit`]) and reports them as written later, as
    /// completion-based I/O does.
    Owned,
}

/// A dialer and an acceptor, joined by two pipes, in virtual time. Time starts at [`Instant::EPOCH`].
///
/// Nothing happens by itself: [`step`](Self::step) and the methods built on it make things happen, and between
/// any two steps everything about both connections is at hand. The applications are yours:
/// take their events with [`poll_event`](Self::poll_event), and command their connections through
/// [`connection`](Self::connection).
#[derive(Debug)]
pub struct Pair {
    now: Instant,
    rng: Rng,
    writer: WriterKind,
    dialer: Side,
    acceptor: Side,
}

impl Pair {
    /// A pair whose stream has just been opened; the handshake is still to come.
    pub fn new(config: &PairConfig) -> Self {
        let mut rng = Rng::new(config.seed);
        let mut side = |role, own: &SharedConfig, pipe: &PipeConfig| {
            Side::new(
                Connection::new(own, role, Instant::EPOCH, rng.next_u64()),
                Pipe::new(pipe.clone(), rng.next_u64()),
            )
        };
        let dialer = side(Role::Dialer, &config.dialer, &config.to_acceptor);
        let acceptor = side(Role::Acceptor, &config.acceptor, &config.to_dialer);
        Self { now: Instant::EPOCH, rng, writer: config.writer, dialer, acceptor }
    }

    /// A [quiet](PairConfig::quiet) pair whose handshake is over, and whose events of it have been taken.
    pub fn open(seed: u64) -> Self {
        let mut pair = Self::new(&PairConfig { seed, ..PairConfig::quiet() });
        pair.handshake();
        pair
    }

    /// Runs until both sides are open: the acceptor accepts, and the events of the handshake are dropped. Says whether
    /// that came about.
    pub fn handshake(&mut self) -> bool {
        let mut open = 0;
        self.run_until(|pair| {
            while open < 2 {
                match pair.poll_event() {
                    Some((_, Event::Hello(_))) => pair.acceptor.connection.accept(pair.now),
                    Some((_, Event::Open(_))) => open += 1,
                    Some(_) => {}
                    None => return false,
                }
            }
            true
        })
    }

    /// The present.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The connection that dials.
    pub const fn dialer(&mut self) -> &mut Connection {
        &mut self.dialer.connection
    }

    /// The connection that accepts.
    pub const fn acceptor(&mut self) -> &mut Connection {
        &mut self.acceptor.connection
    }

    /// One of the two connections.
    pub const fn connection(&mut self, role: Role) -> &mut Connection {
        &mut self.side(role).connection
    }

    /// The pipe that this side writes to, to stall or to cut it.
    pub const fn pipe_from(&mut self, role: Role) -> &mut Pipe {
        &mut self.side(role).outgoing
    }

    /// The next event of either side, the dialer's first.
    pub fn poll_event(&mut self) -> Option<(Role, Event)> {
        if let Some(event) = self.dialer.connection.poll_event() {
            return Some((Role::Dialer, event));
        }
        self.acceptor.connection.poll_event().map(|event| (Role::Acceptor, event))
    }

    /// Does the least that can be done: moves some bytes; if none can move now, fires the timers that are due; if
    /// none is, goes on to the next instant at which something happens. So input is always fed before timers.
    ///
    /// `false` means that nothing will happen any more unless an application does something. While an open connection has
    /// heartbeats, something always will.
    ///
    /// # Panics
    /// If a timer that has just been fired is still due: time would stand still for ever.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::MAX)
    }

    /// Steps until `done` holds, which is asked before every step; `false` if nothing more happens before.
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            if !self.step() {
                return false;
            }
        }
    }

    /// Steps until nothing more happens, for at most `limit` of virtual time. `false` if the limit came first.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        while self.step_until(end) {}
        self.next_instant().is_none()
    }

    /// Lets exactly this much time pass, with all that happens in it, the last instant included.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step_until(end) {}
        self.now = end;
    }

    /// [`step`](Self::step), but not beyond `end`: `false` if nothing more happens until then.
    ///
    /// # Panics
    /// As `step`.
    pub fn step_until(&mut self, end: Instant) -> bool {
        if self.move_bytes() || self.fire_timers() {
            return true;
        }
        let next = self.next_instant().filter(|&next| next <= end);
        self.now = next.unwrap_or(self.now);
        next.is_some()
    }

    fn move_bytes(&mut self) -> bool {
        let first = if self.rng.below(2) == 0 { Role::Dialer } else { Role::Acceptor };
        let mut moved = false;
        for role in [first, other(first)] {
            let (now, writer) = (self.now, self.writer);
            let (from, to) = self.both(role);
            moved |= from.write(now, writer);
            moved |= to.read_from(&mut from.outgoing, now);
        }
        self.spread_reset();
        moved
    }

    /// A reset in one direction is one in the other too.
    fn spread_reset(&mut self) {
        let now = self.now;
        let reset = |side: &mut Side| side.outgoing.broken(now) == Some(CutKind::Reset);
        if reset(&mut self.dialer) || reset(&mut self.acceptor) {
            self.dialer.outgoing.cut(CutKind::Reset);
            self.acceptor.outgoing.cut(CutKind::Reset);
        }
    }

    fn fire_timers(&mut self) -> bool {
        let mut fired = false;
        for role in [Role::Dialer, Role::Acceptor] {
            let now = self.now;
            let connection = self.connection(role);
            if connection.poll_timeout().is_none_or(|deadline| deadline.at > now) {
                continue;
            }
            connection.handle_timeout(now);
            if let Some(deadline) = connection.poll_timeout() {
                let timer = deadline.timer;
                assert!(
                    deadline.at > now,
                    "time stands still: {timer:?} of the {role:?} is due again at {now:?}"
                );
            }
            fired = true;
        }
        fired
    }

    fn next_instant(&self) -> Option<Instant> {
        [&self.dialer, &self.acceptor]
            .into_iter()
            .flat_map(|side| {
                let timer = side.connection.poll_timeout().map(|deadline| deadline.at);
                [side.outgoing.next_arrival(self.now), timer]
            })
            .flatten()
            .min()
    }

    const fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Dialer => &mut self.dialer,
            Role::Acceptor => &mut self.acceptor,
        }
    }

    /// This side and the other one.
    const fn both(&mut self, role: Role) -> (&mut Side, &mut Side) {
        match role {
            Role::Dialer => (&mut self.dialer, &mut self.acceptor),
            Role::Acceptor => (&mut self.acceptor, &mut self.dialer),
        }
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Dialer => Role::Acceptor,
        Role::Acceptor => Role::Dialer,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::{Cut, CutPlace};
    use super::*;
    use crate::error::{CloseReason, TransportError};
    use crate::event::{Message, Outcome, Timeout};
    use crate::wire::{CloseCode, CloseInfo};

    const SECOND: Duration = Duration::from_secs(1);

    fn closed_events(pair: &mut Pair) -> Vec<(Role, CloseReason)> {
        let mut closed = Vec::new();
        while let Some((role, event)) = pair.poll_event() {
            if let Event::Closed(reason) = event {
                closed.push((role, reason));
            }
        }
        closed
    }

    #[test]
    fn a_close_runs_through_both_sides_without_waiting_for_a_timer() {
        for writer in [WriterKind::Lent, WriterKind::Owned] {
            let mut pair = Pair::new(&PairConfig { writer, ..PairConfig::quiet() });
            assert!(pair.handshake());
            let now = pair.now();
            pair.dialer().close(now, CloseCode::NORMAL, CloseInfo::default());
            assert!(pair.run_until_idle(SECOND));
            assert!(pair.dialer().is_closed() && pair.acceptor().is_closed());
            let expected = [
                (Role::Dialer, CloseReason::Local(CloseCode::NORMAL)),
                (Role::Acceptor, CloseReason::Peer(CloseCode::NORMAL, None)),
            ];
            assert_eq!(closed_events(&mut pair), expected);
        }
    }

    #[test]
    fn a_reset_is_seen_by_both_sides() {
        let cut = Some(Cut { place: CutPlace::Bytes(20), kind: CutKind::Reset });
        let to_acceptor = PipeConfig { cut, ..PipeConfig::default() };
        let mut pair = Pair::new(&PairConfig { to_acceptor, ..PairConfig::quiet() });
        assert!(pair.run_until_idle(SECOND));
        let reset = CloseReason::Transport(TransportError::Reset);
        let expected = [(Role::Dialer, reset.clone()), (Role::Acceptor, reset)];
        assert_eq!(closed_events(&mut pair), expected);
    }

    #[test]
    fn a_timer_fires_exactly_at_its_time() {
        let mut pair = Pair::open(1);
        let start = pair.now();
        let call = pair.dialer().call(start, Message::new(1, "anyone?"), Timeout::After(3 * SECOND)).unwrap();
        pair.advance(3 * SECOND - Duration::from_nanos(1));
        assert_eq!(pair.dialer().poll_event(), None);
        pair.advance(Duration::from_nanos(1));
        let Some(Event::Ended { call: ended, outcome: Outcome::TimedOut(_) }) = pair.dialer().poll_event()
        else {
            panic!("the call did not end")
        };
        assert_eq!(ended, call);
    }

    #[test]
    fn silence_costs_nothing_and_ends_at_the_limit() {
        let mut pair = Pair::open(1);
        assert!(pair.run_until_idle(3600 * SECOND), "nothing is left to do");
        let now = pair.now();
        pair.dialer().call(now, Message::new(1, ""), Timeout::After(5 * SECOND)).unwrap();
        assert!(!pair.run_until_idle(SECOND), "the call still waits");
    }
}
