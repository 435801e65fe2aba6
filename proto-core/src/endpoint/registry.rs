//! The connections of a server: who is there, and a word to all of them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::task::Waker;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::roll::Roll;
use crate::error::{Refusal, Refused};
use crate::event::{Message, Route};
use crate::peer::{Peer, message};
use crate::wire::{CloseCode, CloseInfo};

/// What the parts of a server share.
#[derive(Debug)]
pub(super) struct Registry {
    local: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    peers: Roll<Peer>,
    next_id: u64,
    /// Connections that were taken and have not ended, whether they are in `peers` or not.
    live: usize,
    accept_failures: u64,
    stopping: Option<Stop>,
    /// The servers' tasks, each in its place.
    servers: Vec<Option<Watcher>>,
}

/// A server's task that waits for something here to change.
#[derive(Debug)]
struct Watcher {
    waker: Waker,
    until: Until,
}

/// What a server's task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// That the server is told to stop.
    Stopped,
    /// That, or that a connection leaves.
    Left,
}

impl State {
    /// The tasks to wake: those that wait for connections to leave, or all of them.
    fn take_watchers(&mut self, all: bool) -> Vec<Waker> {
        let due = |watcher: &mut Watcher| all || watcher.until == Until::Left;
        let due = self.servers.iter_mut().filter_map(|server| server.take_if(due));
        due.map(|watcher| watcher.waker).collect()
    }
}

/// How a server ends.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) code: CloseCode,
    pub(super) info: CloseInfo,
    /// How long calls in flight may take; `None` does not wait for them.
    pub(super) drain: Option<Duration>,
}

impl Stop {
    fn tell(&self, peer: &Peer) {
        match self.drain {
            Some(within) => peer.drain(self.code, self.info.clone(), within),
            None => peer.close(self.code, self.info.clone()),
        }
    }
}

impl Registry {
    pub(super) fn new(local: SocketAddr) -> Arc<Self> {
        Arc::new(Self { local, state: Mutex::new(State { next_id: 1, ..State::default() }) })
    }

    /// A place for one more server's task.
    pub(super) fn join(&self) -> usize {
        let servers = &mut self.lock().servers;
        servers.push(None);
        servers.len() - 1
    }

    /// A number for a connection that was just taken.
    pub(super) fn next_id(&self) -> u64 {
        let mut state = self.lock();
        state.next_id += 1;
        state.next_id - 1
    }

    /// Takes a connection in, which must [leave](Self::leave).
    pub(super) fn enter(&self, peer: &Peer) {
        let stopping = {
            let mut state = self.lock();
            state.live += 1;
            state.peers.insert(peer.id(), peer.clone());
            state.stopping.clone()
        };
        if let Some(stop) = stopping {
            stop.tell(peer);
        }
    }

    /// A connection leaves.
    pub(super) fn leave(&self, id: u64) {
        let (peer, servers) = {
            let mut state = self.lock();
            state.live -= 1;
            (state.peers.remove(id), state.take_watchers(false))
        };
        drop(peer);
        servers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn live(&self) -> usize {
        self.lock().live
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stopping.is_some()
    }

    /// Wakes the task in this place when that happens which it waits for.
    pub(super) fn watch(&self, place: usize, waker: &Waker, until: Until) {
        let watcher = Watcher { waker: waker.clone(), until };
        let old = self.lock().servers.get_mut(place).and_then(|server| server.replace(watcher));
        drop(old);
    }

    pub(super) fn count_accept_failure(&self) {
        self.lock().accept_failures += 1;
    }

    pub(super) fn stop(&self, stop: &Stop) {
        let (peers, servers) = {
            let mut state = self.lock();
            state.stopping = Some(stop.clone());
            (state.peers.iter().cloned().collect::<Vec<_>>(), state.take_watchers(true))
        };
        for peer in peers {
            stop.tell(&peer);
        }
        servers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server from outside: its address, its connections, its end. Cloning it is cheap.
///
/// Dropping it does nothing to the server.
#[derive(Clone)]
pub struct ServerHandle(pub(super) Arc<Registry>);

impl ServerHandle {
    /// Where the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    /// The open connections, oldest first. One whose [`Handler::open`](crate::peer::Handler::open) has not answered is not
    /// among them: who wants unique names reserves them in a table of its own.
    pub fn peers(&self) -> Vec<Peer> {
        let peers: Vec<Peer> = self.0.lock().peers.iter().cloned().collect();
        peers.into_iter().filter(takes_pushes).collect()
    }

    /// The connection with this number, if it is open.
    pub fn peer(&self, id: u64) -> Option<Peer> {
        let peer = self.0.lock().peers.get(id).cloned();
        peer.filter(takes_pushes)
    }

    /// How many connections there are, those included whose handshake has not ended.
    pub fn connections(&self) -> usize {
        self.0.live()
    }

    /// How often accepting a connection has failed. The server goes on, and waits a little where that helps.
    pub fn accept_failures(&self) -> u64 {
        self.0.lock().accept_failures
    }

    /// Pushes one message to every open connection. The body is shared, not copied for each.
    ///
    /// Never waits: a connection that has no room is left out, and said so. A route's name that is empty or too long is
    /// refused by all.
    pub fn broadcast<'a>(&self, route: impl Into<Route<'a>>, body: impl Into<Bytes>) -> Broadcast {
        match message(route.into(), body.into()) {
            Ok(message) => self.broadcast_message(&message),
            Err(Refused { refusal, .. }) => {
                let refused = self.peers().into_iter().map(|peer| (peer, refusal)).collect();
                Broadcast { accepted: 0, refused }
            }
        }
    }

    /// Pushes a message that was put together before to every open connection.
    pub fn broadcast_message(&self, message: &Message) -> Broadcast {
        let mut outcome = Broadcast::default();
        for peer in self.peers() {
            match peer.push_message(message.clone()) {
                Ok(()) => outcome.accepted += 1,
                Err(Refused { refusal, .. }) => outcome.refused.push((peer, refusal)),
            }
        }
        outcome
    }

    /// Ends the server: it takes no more connections and closes those that it has, with `GOING_AWAY`. `serve` returns when
    /// all of them have ended, each within its own time limits.
    ///
    /// What has been accepted for sending is sent. Handlers that still wait are dropped, and their callers are told that
    /// their call is lost: [`shutdown`](Self::shutdown) waits for them.
    pub fn stop(&self) {
        self.stop_with(CloseCode::GOING_AWAY, &CloseInfo::default());
    }

    /// Ends the server without losing a call: it takes no more connections, and drains those that it has, with `GOING_AWAY`.
    /// Clients hear of it at once ([`Peer::draining`]); calls in flight, both ways, are answered, for at most `within`, after
    /// which the connections are closed. A client that comes back keeps its new calls until then, and makes them on its next
    /// connection: so a short `within` is a short wait. `serve` returns when all of them have ended.
    ///
    /// Asked again, the shorter time counts; [`stop`](Self::stop) ends the wait.
    ///
    /// ```no_run
    /// # use core::time::Duration;
    /// # use proto_core::endpoint::ServerHandle;
    /// # async fn example(handle: ServerHandle, serving: impl Future<Output = ()>) {
    /// handle.shutdown(Duration::from_secs(30));
    /// serving.await;
    /// # }
    /// ```
    pub fn shutdown(&self, within: Duration) {
        self.shutdown_with(CloseCode::GOING_AWAY, &CloseInfo::default(), within);
    }

    /// Ends the server like [`shutdown`](Self::shutdown), and tells its peers this: when to come back, or where to go instead.
    pub fn shutdown_with(&self, code: CloseCode, info: &CloseInfo, within: Duration) {
        self.0.stop(&Stop { code, info: info.clone(), drain: Some(within) });
    }

    /// Ends the server like [`stop`](Self::stop), and tells its peers this.
    pub fn stop_with(&self, code: CloseCode, info: &CloseInfo) {
        self.0.stop(&Stop { code, info: info.clone(), drain: None });
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("local_addr", &self.local_addr()).finish_non_exhaustive()
    }
}

/// A connection that drains still takes them.
fn takes_pushes(peer: &Peer) -> bool {
    peer.is_running()
}

/// Whom a broadcast reached.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Broadcast {
    /// Connections that accepted the message for sending.
    pub accepted: usize,
    /// Connections that did not, and why.
    pub refused: Vec<(Peer, Refusal)>,
}
