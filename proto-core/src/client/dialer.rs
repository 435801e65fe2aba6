//! The machine that keeps a client connected.
//!
//! | state | leaves by | to |
//! |---|---|---|
//! | idle | `start` | dialing |
//! | dialing | `opened`; `ended` | open; waiting, given up |
//! | open | `ended` | waiting, given up |
//! | waiting | its time | dialing |
//! | open | `ended` because nothing was said | resting |
//! | resting | `wake` | dialing |
//! | any | `stop` | stopped |
//! | given up, stopped | – | – |

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use super::backoff::{Delay, up_to};
use super::breaker::{Breaker, BreakerConfig};
use super::redirect::Redirects;
use super::verdict::Verdict;
use crate::error::CloseReason;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo};

/// How a client comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// How long to wait between attempts. Default [`Delay::default`]: full jitter from 500 ms up to 30 s.
    pub delay: Delay,
    /// A random time up to this one is added when an open connection is lost, so that a fleet that loses its server does
    /// not come back in one instant. Default 1 s.
    pub first_loss_spread: Duration,
    /// How long a connection must have been open, and have brought a sign of life from the application or a heartbeat,
    /// before its failures are forgotten. Default 30 s.
    pub proven_after: Duration,
    /// Give up after so many failures in a row, of which the loss of an open connection is the first. Default `None`: never.
    pub attempt_limit: Option<u32>,
    /// The pause after failures that look as if they would last; `None` makes none. Default [`BreakerConfig::default`].
    pub breaker: Option<BreakerConfig>,
    /// The longest wait that a server can ask for by `retry after`; a longer one counts as this. Default 15 min.
    pub longest_retry_after: Duration,
    /// Which redirects are followed. Default none.
    pub redirects: Redirects,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            delay: Delay::default(),
            first_loss_spread: Duration::from_secs(1),
            proven_after: Duration::from_secs(30),
            attempt_limit: None,
            breaker: Some(BreakerConfig::default()),
            longest_retry_after: Duration::from_secs(900),
            redirects: Redirects::default(),
        }
    }
}

/// Where to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The address with this number among those that the client was given.
    Listed(usize),
    /// An address that a peer named and the configuration allows. The credentials go there only if `credentials` says so.
    Redirected {
        /// `host:port`.
        address: Box<str>,
        /// Whether to show the credentials.
        credentials: bool,
    },
}

/// One attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first one since a connection last proved to live, or since the start.
    pub number: u32,
    /// Where to.
    pub target: Target,
}

/// What a [`Dialer`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a byte stream and a connection on it; report [`opened`](Dialer::opened) when its handshake is over, and
    /// [`ended`](Dialer::ended) when it or the attempt is.
    Dial(Attempt),
    /// Give up the attempt under way, or close the connection. Nothing need be reported any more.
    HangUp,
}

/// Where a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialState {
    /// Nothing has begun.
    Idle,
    /// An attempt is under way.
    Dialing(Attempt),
    /// The connection is open.
    Open,
    /// The next attempt is this one, at that time.
    Waiting {
        /// The number of the next attempt.
        attempt: u32,
        /// When it begins.
        until: Instant,
    },
    /// The connection ended because nothing was said on it: the next attempt waits until somebody [wants](Dialer::wake) one.
    Resting,
    /// No attempt follows by itself.
    GivenUp(GiveUp),
    /// It was told to stop.
    Stopped,
}

/// Why a client gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// There is no address to dial.
    NoAddress,
    /// The peer refused, and would again.
    Refused(CloseCode),
    /// The peer asked to be left alone.
    StayAway(CloseCode),
    /// So many attempts in a row have failed.
    TooManyAttempts(u32),
}

/// Decides when and where a client dials. See the [module](super).
///
/// ```
/// use core::time::Duration;
/// use proto_core::client::{Action, DialState, Dialer, ReconnectConfig};
/// use proto_core::{CloseReason, Instant, TransportError};
///
/// let mut dialer = Dialer::new(ReconnectConfig::default(), 1, 42);
/// let mut now = Instant::EPOCH;
/// dialer.start(now);
/// assert!(matches!(dialer.poll_action(), Some(Action::Dial(_))));
/// // ... the address cannot be reached:
/// dialer.ended(now, &CloseReason::Transport(TransportError::Unreachable));
/// let Some(at) = dialer.poll_timeout() else { panic!("it waits") };
/// assert!(at.saturating_since(now) <= Duration::from_millis(500));
/// now = at;
/// dialer.handle_timeout(now);
/// assert!(matches!(dialer.state(), DialState::Dialing(attempt) if attempt.number == 2));
/// ```
#[derive(Debug)]
pub struct Dialer {
    config: ReconnectConfig,
    /// How many addresses there are, and which of them is next.
    addresses: usize,
    next: usize,
    rng: Rng,
    now: Instant,
    state: DialState,
    actions: VecDeque<Action>,
    /// Failures since a connection last proved to live.
    failures: u32,
    breaker: Breaker,
    redirect: Option<Box<str>>,
    redirects_in_a_row: u8,
    /// Since when the connection is open, and whether it has brought a sign of life.
    opened: Instant,
    lives: bool,
}

impl Dialer {
    /// A dialer for so many addresses, which are dialled in turn.
    ///
    /// Chance comes from `seed` alone: give clients different ones.
    pub fn new(config: ReconnectConfig, addresses: usize, seed: u64) -> Self {
        Self {
            config,
            addresses,
            next: 0,
            rng: Rng::new(seed),
            now: Instant::EPOCH,
            state: DialState::Idle,
            actions: VecDeque::new(),
            failures: 0,
            breaker: Breaker::default(),
            redirect: None,
            redirects_in_a_row: 0,
            opened: Instant::EPOCH,
            lives: false,
        }
    }

    /// The same dialer, which begins with this address of those that it was given.
    #[must_use]
    pub const fn beginning_with(mut self, address: usize) -> Self {
        self.next = address;
        self
    }

    /// Begins: the first attempt is made at once.
    pub fn start(&mut self, now: Instant) {
        self.observe(now);
        if self.state == DialState::Idle {
            if self.addresses == 0 {
                self.state = DialState::GivenUp(GiveUp::NoAddress);
            } else {
                self.dial();
            }
        }
    }

    /// The attempt under way has come to an open connection.
    pub fn opened(&mut self, now: Instant) {
        self.observe(now);
        if matches!(self.state, DialState::Dialing(_)) {
            self.state = DialState::Open;
            (self.opened, self.lives) = (self.now, false);
        }
    }

    /// The open connection has brought a reply, a push, a call or a heartbeat: somebody is there.
    pub fn lives(&mut self, now: Instant) {
        self.observe(now);
        self.lives = true;
    }

    /// The attempt under way, or the open connection, has come to this end. If no stream could be opened, any
    /// [`Transport`](CloseReason::Transport) reason will do.
    pub fn ended(&mut self, now: Instant, reason: &CloseReason) {
        self.observe(now);
        match self.state {
            DialState::Dialing(_) => self.go_on(reason, Duration::ZERO),
            DialState::Open => {
                self.judge_life();
                let spread = up_to(self.config.first_loss_spread, &mut self.rng);
                self.go_on(reason, spread);
            }
            DialState::Idle
            | DialState::Resting
            | DialState::Waiting { .. }
            | DialState::GivenUp(_)
            | DialState::Stopped => {}
        }
    }

    /// Somebody has something to say: a client that rests dials at once. Does nothing in any other state.
    pub fn wake(&mut self, now: Instant) {
        self.observe(now);
        if self.state == DialState::Resting {
            self.dial();
        }
    }

    /// No attempt is made any more, from any state.
    pub fn stop(&mut self, now: Instant) {
        self.observe(now);
        if matches!(self.state, DialState::Dialing(_) | DialState::Open) {
            self.actions.push_back(Action::HangUp);
        } else {
            self.actions.clear();
        }
        if !matches!(self.state, DialState::GivenUp(_)) {
            self.state = DialState::Stopped;
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) may have come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.observe(now);
        if matches!(self.state, DialState::Waiting { until, .. } if until <= self.now) {
            self.dial();
        }
    }

    /// What to do next. It is said once.
    #[must_use = "what is not done is not said again"]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            DialState::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Where the client stands.
    pub const fn state(&self) -> &DialState {
        &self.state
    }

    /// Whether no attempt will ever be made again.
    pub const fn is_final(&self) -> bool {
        matches!(self.state, DialState::GivenUp(_) | DialState::Stopped)
    }

    fn observe(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn dial(&mut self) {
        let target = match self.redirect.take() {
            Some(address) => {
                Target::Redirected { address, credentials: self.config.redirects.with_credentials }
            }
            None => {
                let listed = self.next;
                self.next = (self.next + 1) % self.addresses;
                Target::Listed(listed)
            }
        };
        let attempt = Attempt { number: self.failures.saturating_add(1), target };
        self.state = DialState::Dialing(attempt.clone());
        self.actions.push_back(Action::Dial(attempt));
    }

    /// A connection is over: one that has proved to live makes up for the failures before it.
    fn judge_life(&mut self) {
        if self.lives && self.now.saturating_since(self.opened) >= self.config.proven_after {
            self.failures = 0;
            self.redirects_in_a_row = 0;
            self.breaker.reset();
            // The address is a good one: it is the first to be tried again.
            self.next = self.next.checked_sub(1).unwrap_or(self.addresses - 1);
        }
    }

    /// An attempt or a connection has ended so: waits for the next attempt, or gives up.
    fn go_on(&mut self, reason: &CloseReason, spread: Duration) {
        self.failures = self.failures.saturating_add(1);
        let hints = hints(reason);
        if let Some(give_up) = self.last_word(reason, hints) {
            self.state = DialState::GivenUp(give_up);
            return;
        }
        let mut wait = spread.saturating_add(self.config.delay.draw(self.failures, &mut self.rng));
        if let Some(after) = hints.and_then(|hints| hints.retry_after) {
            let after = after.min(self.config.longest_retry_after);
            // All who were sent away together have heard the same time.
            let spread = self.config.first_loss_spread.max(after / 10);
            wait = wait.max(after.saturating_add(up_to(spread, &mut self.rng)));
        }
        if Verdict::on(reason) == Verdict::Doubtful {
            if let Some(config) = &self.config.breaker {
                if let Some(pause) = self.breaker.count(config, self.now) {
                    wait = wait.max(pause.saturating_add(up_to(pause / 10, &mut self.rng)));
                }
            }
        }
        self.follow(hints);
        if Verdict::on(reason) == Verdict::Rest {
            self.state = DialState::Resting;
            return;
        }
        let attempt = self.failures.saturating_add(1);
        self.state = DialState::Waiting { attempt, until: self.now + wait };
    }

    fn last_word(&self, reason: &CloseReason, hints: Option<&CloseInfo>) -> Option<GiveUp> {
        let code = reason.code().unwrap_or(CloseCode::NORMAL);
        // Who says when to come back does not mean never.
        let terminal = Verdict::on(reason) == Verdict::Terminal
            && hints.is_none_or(|hints| hints.retry_after.is_none() && hints.redirect.is_none());
        if hints.is_some_and(|hints| hints.stay_away) {
            Some(GiveUp::StayAway(code))
        } else if terminal {
            Some(GiveUp::Refused(code))
        } else if self.config.attempt_limit.is_some_and(|most| self.failures >= most) {
            Some(GiveUp::TooManyAttempts(self.failures))
        } else {
            None
        }
    }

    /// Takes note of where the peer says to go, if that is allowed.
    fn follow(&mut self, hints: Option<&CloseInfo>) {
        let Some(address) = hints.and_then(|hints| hints.redirect.as_ref()) else { return };
        if self.redirects_in_a_row < Redirects::MOST && self.config.redirects.allows(address) {
            self.redirects_in_a_row += 1;
            self.redirect = Some(address.clone());
        }
    }
}

/// What the peer said beside its code.
fn hints(reason: &CloseReason) -> Option<&CloseInfo> {
    match reason {
        CloseReason::Peer(_, info) => info.as_deref(),
        _ => None,
    }
}
