//! What keeps a client connected: it does what the [`Dialer`] says, and drives one connection after the other.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use super::address::Address;
use super::runtime::Runtime;
use crate::client::{Action, Attempt, DialState, Dialer, Target};
use crate::config::{Config, SharedConfig};
use crate::error::{CloseReason, TransportError};
use crate::peer::{ClientState, Driver, Handler, Identity, Peer, Sleep};
use crate::time::Instant;
use crate::wire::Credentials;

/// What a client spawns. It ends when the client has ended.
pub struct ClientTask<R: Runtime, H: Handler> {
    plan: Arc<Plan<R, H>>,
    peer: Peer,
    dialer: Dialer,
    stage: Stage<R, H>,
    sleep: R::Sleep,
    /// An attempt that fails before there ever was a connection is the end.
    once: bool,
    /// How the last attempt or connection ended.
    last: CloseReason,
}

/// What does not change from one connection to the next.
pub(super) struct Plan<R, H> {
    pub(super) runtime: R,
    pub(super) handler: Arc<H>,
    pub(super) config: SharedConfig,
    /// For whoever is not to be shown the credentials.
    pub(super) bare: SharedConfig,
    /// Where credentials come from that are other ones each time.
    pub(super) credentials: Option<AskCredentials>,
    pub(super) addresses: Vec<Address>,
    pub(super) connect_timeout: Duration,
    pub(super) busy_poll: Option<Duration>,
}

/// Gives the credentials for one attempt.
pub(super) type AskCredentials = Arc<dyn Fn() -> Credentials + Send + Sync>;

impl<R, H> Plan<R, H> {
    /// The configuration with the credentials of now, if they change. Some that are too long are not shown.
    pub(super) fn fresh_config(&self) -> Option<SharedConfig> {
        let credentials = self.credentials.as_ref()?();
        let config = Config { credentials, ..(*self.config).clone() };
        Some(config.share().unwrap_or_else(|_| self.bare.clone()))
    }
}

enum Stage<R: Runtime, H: Handler> {
    /// Nothing is under way.
    Rest,
    Resolving {
        future: R::Resolving,
        until: Instant,
        bare: bool,
    },
    Connecting {
        future: R::Connecting,
        remote: SocketAddr,
        /// What else the address stands for.
        rest: vec::IntoIter<SocketAddr>,
        until: Instant,
        bare: bool,
    },
    Driving {
        driver: Box<ClientDriver<R, H>>,
        opened: bool,
        /// The dialer and the application know that it is in use.
        settled: bool,
    },
}

type ClientDriver<R, H> = Driver<<R as Runtime>::Stream, <R as Runtime>::Sleep, H>;

/// What became of a stage.
enum Turn {
    /// Go on at once.
    Again,
    /// Nothing more to do until something happens, or this time comes.
    Wait(Option<Instant>),
    /// The driver of the connection sees to it that the task is woken.
    Driven,
}

impl<R: Runtime, H: Handler> ClientTask<R, H> {
    /// A client that dials for itself.
    pub(super) fn new(plan: Arc<Plan<R, H>>, peer: Peer, mut dialer: Dialer) -> Self {
        let sleep = plan.runtime.sleep();
        dialer.start(peer.now());
        let last = CloseReason::Transport(TransportError::Other);
        Self { plan, peer, dialer, stage: Stage::Rest, sleep, once: false, last }
    }

    /// A client whose first stream is there already. If its handshake fails, the client ends.
    pub(super) fn on(
        plan: Arc<Plan<R, H>>,
        peer: Peer,
        dialer: Dialer,
        stream: R::Stream,
        remote: SocketAddr,
    ) -> Self {
        let mut task = Self::new(plan, peer, dialer);
        while task.dialer.poll_action().is_some() {}
        task.drive(stream, remote, false);
        task.once = true;
        task
    }

    fn drive(&mut self, stream: R::Stream, remote: SocketAddr, bare: bool) {
        let Plan { runtime, handler, .. } = &*self.plan;
        let fresh = self.plan.fresh_config();
        let config = if bare { &self.plan.bare } else { fresh.as_ref().unwrap_or(&self.plan.config) };
        let identity = Identity { id: 0, remote: Some(remote), seed: runtime.seed() };
        let driver = Driver::renew(&self.peer, config, identity, stream, runtime.sleep(), handler.clone());
        let driver = Box::new(driver.busy_poll(self.plan.busy_poll));
        self.stage = Stage::Driving { driver, opened: false, settled: false };
    }

    /// Does what the dialer says.
    fn obey(&mut self, now: Instant) {
        if let Some(reason) = self.peer.stopping().filter(|_| !self.dialer.is_final()) {
            self.dialer.stop(now);
            self.last = reason;
        }
        self.dialer.handle_timeout(now);
        if self.is_wanted() {
            self.dialer.wake(now);
        }
        while let Some(action) = self.dialer.poll_action() {
            match action {
                Action::Dial(attempt) => self.begin(now, attempt),
                // A connection has been told by whoever wanted the end, and comes to it by itself.
                Action::HangUp if matches!(self.stage, Stage::Driving { .. }) => {}
                Action::HangUp => self.stage = Stage::Rest,
            }
        }
    }

    /// Whether a client that rests is wanted again.
    fn is_wanted(&self) -> bool {
        *self.dialer.state() == DialState::Resting && self.peer.wants_connection()
    }

    fn begin(&mut self, now: Instant, Attempt { target, .. }: Attempt) {
        let (address, bare) = match target {
            Target::Listed(number) => (self.plan.addresses[number].clone(), false),
            Target::Redirected { address, credentials } => (Address::from(&*address), !credentials),
        };
        match address {
            Address::Socket(socket) => self.connect(now, alloc::vec![socket].into_iter(), bare),
            Address::Name(name) => {
                let (future, until) = (self.plan.runtime.resolve(&name), now + self.plan.connect_timeout);
                self.stage = Stage::Resolving { future, until, bare };
            }
        }
    }

    /// Tries the next of the addresses that a name stands for.
    fn connect(&mut self, now: Instant, mut rest: vec::IntoIter<SocketAddr>, bare: bool) {
        match rest.next() {
            Some(remote) => {
                let (future, until) = (self.plan.runtime.connect(remote), now + self.plan.connect_timeout);
                self.stage = Stage::Connecting { future, remote, rest, until, bare };
            }
            None => self.fail(now),
        }
    }

    /// No stream came of the attempt.
    fn fail(&mut self, now: Instant) {
        self.stage = Stage::Rest;
        self.last = CloseReason::Transport(TransportError::Unreachable);
        self.dialer.ended(now, &self.last);
    }

    /// Gets on with what is under way.
    fn advance(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        match &mut self.stage {
            Stage::Rest => Turn::Wait(self.dialer.poll_timeout()),
            Stage::Resolving { future, until, bare } => {
                let (until, bare) = (*until, *bare);
                match Pin::new(future).poll(cx) {
                    Poll::Ready(Ok(found)) => self.connect(now, found.into_iter(), bare),
                    Poll::Ready(Err(_)) => self.fail(now),
                    Poll::Pending if now >= until => self.fail(now),
                    Poll::Pending => return Turn::Wait(Some(until)),
                }
                Turn::Again
            }
            Stage::Connecting { future, remote, rest, until, bare } => {
                let (remote, until, bare) = (*remote, *until, *bare);
                match Pin::new(future).poll(cx) {
                    Poll::Ready(Ok(stream)) => self.drive(stream, remote, bare),
                    Poll::Pending if now < until => return Turn::Wait(Some(until)),
                    Poll::Ready(Err(_)) | Poll::Pending => {
                        let rest = core::mem::take(rest);
                        self.connect(now, rest, bare);
                    }
                }
                Turn::Again
            }
            Stage::Driving { driver, opened, settled } => match Pin::new(&mut **driver).poll(cx) {
                Poll::Ready(reason) => {
                    let opened = *opened || driver.was_open();
                    self.stage = Stage::Rest;
                    self.end(&reason, opened);
                    Turn::Again
                }
                Poll::Pending => {
                    if !*opened && driver.was_open() {
                        *opened = true;
                        self.once = false;
                        self.dialer.opened(now);
                        return Turn::Again;
                    }
                    if *opened && self.peer.other_end_has_spoken() {
                        self.dialer.lives(now);
                        *settled = true;
                    }
                    Turn::Driven
                }
            },
        }
    }

    /// A connection has ended.
    fn end(&mut self, reason: &CloseReason, opened: bool) {
        let now = self.peer.now();
        self.last = reason.clone();
        if opened {
            // It may have been open for less than a turn.
            self.once = false;
            self.dialer.opened(now);
        }
        self.dialer.ended(now, reason);
        if self.once {
            self.dialer.stop(now);
            while self.dialer.poll_action().is_some() {}
        }
    }

    fn publish(&self) {
        let reason = || self.last.clone();
        let state = match self.dialer.state() {
            DialState::Idle => return,
            DialState::Dialing(attempt) => ClientState::Connecting { attempt: attempt.number },
            DialState::Open => ClientState::Connected,
            DialState::Resting => ClientState::Resting,
            &DialState::Waiting { attempt, until } => {
                ClientState::Reconnecting { attempt, until, reason: reason() }
            }
            // The connection that is left still has to end.
            DialState::GivenUp(_) | DialState::Stopped if !matches!(self.stage, Stage::Rest) => return,
            &DialState::GivenUp(cause) => ClientState::GivenUp { cause, reason: reason() },
            DialState::Stopped => ClientState::Stopped(reason()),
        };
        self.peer.set_client_state(state);
    }
}

impl<R: Runtime, H: Handler> Future for ClientTask<R, H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // As long as the connection that is in use goes on, there is nothing else to do.
        if let Stage::Driving { driver, settled: true, .. } = &mut this.stage {
            let reason = ready!(Pin::new(&mut **driver).poll(cx));
            // A wish to end reaches the dialer before this does, so that it does not dial again.
            this.obey(this.peer.now());
            this.stage = Stage::Rest;
            this.end(&reason, true);
        }
        loop {
            let now = this.peer.now();
            this.obey(now);
            this.publish();
            if this.dialer.is_final() && matches!(this.stage, Stage::Rest) {
                return Poll::Ready(());
            }
            let wait = match this.advance(cx, now) {
                Turn::Again => continue,
                Turn::Driven => return Poll::Pending,
                Turn::Wait(until) => until,
            };
            let deadline = this.peer.rest(cx).into_iter().chain(wait).min();
            if this.peer.stopping().is_some() && !this.dialer.is_final() || this.is_wanted() {
                continue;
            }
            match deadline {
                Some(at) if at <= this.peer.now() => {}
                Some(at) if this.sleep.poll_until(cx, at).is_ready() => {
                    // A timer that is early is asked again, with the clock's time in between.
                    if this.peer.now() < at {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                _ => return Poll::Pending,
            }
        }
    }
}

impl<R: Runtime, H: Handler> Drop for ClientTask<R, H> {
    /// Nobody keeps the client connected any more: whoever waits for it is told so.
    fn drop(&mut self) {
        self.stage = Stage::Rest;
        if self.peer.client_state().end().is_none() {
            self.peer.set_client_state(ClientState::Stopped(self.last.clone()));
        }
    }
}

impl<R: Runtime, H: Handler> Unpin for ClientTask<R, H> {}

impl<R: Runtime, H: Handler> fmt::Debug for ClientTask<R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTask").field("dialer", &self.dialer.state()).finish_non_exhaustive()
    }
}

/// The error for an address that did not answer in time.
pub(super) fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
