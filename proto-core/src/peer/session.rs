//! What outlives a connection: where a client stands that comes back when its connection ends, and what waits meanwhile.
//!
//! The handle of such a client keeps its callers and its watches while one connection takes the other's place. Nothing of
//! a connection itself is kept: what a call comes to is decided when its connection ends, by whether it can have been
//! run.

#[cfg(feature = "endpoint")]
use core::{future::Future, mem, net::SocketAddr, task::Context};

#[cfg(feature = "endpoint")]
use super::{
    clock::Clock,
    handle::Peer,
    shared::{State, Wakers},
};
use crate::client::GiveUp;
#[cfg(feature = "endpoint")]
use crate::config::SharedConfig;
#[cfg(feature = "endpoint")]
use crate::connection::{Connection, Role};
use crate::error::CloseReason;
use crate::time::Instant;
#[cfg(feature = "endpoint")]
use crate::wire::CloseCode;

/// Where a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// An attempt is under way; the first one is number 1, and so is the first one after a connection that proved to live.
    Connecting {
        /// The number of the attempt.
        attempt: u32,
    },
    /// The connection is open.
    Connected,
    /// The connection was lost or could not be made: the next attempt is this one, at that time.
    Reconnecting {
        /// The number of the next attempt.
        attempt: u32,
        /// When it begins, by the clock of the client ([`Peer::now`](super::Peer::now)).
        until: Instant,
        /// Why there is no connection.
        reason: CloseReason,
    },
    /// The connection ended because nothing was said on it (`IDLE`): the next call, or a push that is refused for want of a
    /// connection, brings another one.
    Resting,
    /// No attempt follows by itself.
    GivenUp {
        /// What made it give up.
        cause: GiveUp,
        /// How the last attempt or connection ended.
        reason: CloseReason,
    },
    /// It was closed by this side.
    Stopped(CloseReason),
}

impl ClientState {
    /// Why there is no connection and never will be again; `None` while there is hope.
    pub const fn end(&self) -> Option<&CloseReason> {
        match self {
            Self::GivenUp { reason, .. } | Self::Stopped(reason) => Some(reason),
            Self::Connecting { .. } | Self::Connected | Self::Reconnecting { .. } | Self::Resting => None,
        }
    }
}

/// What becomes of calls that are made while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileDown {
    /// They end at once, refused.
    Fail,
    /// They wait for the next connection, within their deadlines; no more of them than this.
    Wait {
        /// How many calls may wait. Default 1,024.
        calls: usize,
        /// How many bytes they may have together. Default 1 MiB.
        bytes: usize,
    },
}

impl Default for WhileDown {
    fn default() -> Self {
        Self::Wait { calls: 1024, bytes: 1 << 20 }
    }
}

/// What survives of a client when its connection ends, beside the callers that still wait and the watches.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) policy: WhileDown,
    pub(super) state: ClientState,
    /// Somebody wanted to push while there was no connection.
    pub(super) wanted: bool,
    /// The application wants the client to end.
    pub(super) stopping: Option<CloseReason>,
}

impl Session {
    #[cfg(any(test, feature = "endpoint"))]
    pub(super) const fn new(policy: WhileDown) -> Self {
        Self { policy, state: ClientState::Connecting { attempt: 1 }, wanted: false, stopping: None }
    }

    /// Whether another connection may follow.
    pub(super) const fn has_hope(&self) -> bool {
        self.stopping.is_none() && self.state.end().is_none()
    }
}

/// What keeps a client connected uses its handle so.
#[cfg(feature = "endpoint")]
impl Peer {
    /// The handle of a client that has no connection yet. `while_down` says what waits while it has none; without it, its
    /// first connection is all there is.
    pub(crate) fn client(clock: Clock, config: &SharedConfig, while_down: Option<WhileDown>) -> Self {
        let mut connection = Connection::new(config, Role::Dialer, clock.now(), 0);
        connection.abort(clock.now(), CloseCode::NORMAL);
        while connection.poll_event().is_some() {}
        let peer = Self::new(0, None, clock, connection);
        let mut state = peer.shared().lock();
        if let Some(policy) = while_down {
            state.aside.set_session(Session::new(policy));
        }
        // There is nothing yet to keep them with.
        state.forget();
        drop(state);
        peer
    }

    /// Whether somebody has something to say and no connection to say it on.
    pub(crate) fn wants_connection(&self) -> bool {
        let state = self.shared().lock();
        state.callers.is_line() || state.wants_to_push()
    }

    pub(crate) fn other_end_has_spoken(&self) -> bool {
        self.shared().lock().connection.peer_has_spoken()
    }

    /// Why the application wants the client to end, if it does.
    pub(crate) fn stopping(&self) -> Option<CloseReason> {
        self.shared().lock().aside.session()?.stopping.clone()
    }

    /// Where the client stands.
    pub(crate) fn client_state(&self) -> ClientState {
        self.shared().lock().client_state()
    }

    /// Waits until what `state` says is not `known` any more.
    pub(crate) fn changed_state(
        &self,
        known: ClientState,
    ) -> impl Future<Output = ClientState> + Send + 'static {
        self.watch(move |state| {
            let now = state.client_state();
            (now != known).then_some(now)
        })
    }

    pub(crate) fn set_client_state(&self, state: ClientState) {
        let now = self.now();
        let mut wakers = Wakers::default();
        self.shared().lock().set_client_state(now, state, &mut wakers);
        wakers.wake();
    }

    /// While there is no connection: ends the calls whose time has passed, and has the task of `cx` woken when the application
    /// wants something. Gives the next deadline of a call.
    pub(crate) fn rest(&self, cx: &Context<'_>) -> Option<Instant> {
        let now = self.now();
        let mut wakers = Wakers::default();
        let (deadline, old) = {
            let mut state = self.shared().lock();
            state.callers.time_out(now, &mut wakers);
            state.rests = true;
            (state.callers.next_deadline(), state.driver.replace(cx.waker().clone()))
        };
        drop(old);
        wakers.wake();
        deadline
    }
}

#[cfg(feature = "endpoint")]
impl State {
    /// Puts a new connection in place of one that has ended. Gives that one, to be dropped without the lock.
    pub(super) fn renew(
        &mut self,
        now: Instant,
        mut connection: Connection,
        remote: Option<SocketAddr>,
    ) -> Connection {
        if let Some(CloseReason::Local(code)) =
            self.aside.session().and_then(|session| session.stopping.as_ref())
        {
            // Whoever wanted the end, on another thread, has told the connection that goes.
            connection.abort(now, *code);
        }
        self.set_remote(remote);
        if let Some(session) = self.aside.session_mut() {
            session.wanted = false;
        }
        self.forgets = false;
        self.ending = false;
        mem::replace(&mut self.connection, connection)
    }

    /// Where the client stands.
    pub(super) fn client_state(&self) -> ClientState {
        match (self.aside.session(), self.connection.close_reason()) {
            // The task that keeps the client connected says so a little later.
            (Some(session), _) if self.connection.is_running() && session.state.end().is_none() => {
                ClientState::Connected
            }
            (Some(session), _) => session.state.clone(),
            (None, Some(reason)) if self.connection.is_closed() => ClientState::Stopped(reason.clone()),
            (None, None) if !self.connection.is_running() => ClientState::Connecting { attempt: 1 },
            (None, _) => ClientState::Connected,
        }
    }

    /// Says where the client stands now.
    pub(super) fn set_client_state(&mut self, now: Instant, client: ClientState, wakers: &mut Wakers) {
        let Some(session) = self.aside.session_mut() else { return };
        if session.state == client {
            return;
        }
        session.state = client;
        // Whoever waits for a connection that will never be is told so.
        self.admit_queue(now, wakers);
        wakers.extend(self.take_watchers());
    }
}
