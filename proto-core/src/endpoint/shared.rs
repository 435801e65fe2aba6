//! One address served by several threads, each with an event loop of its own.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::registry::{Registry, ServerHandle};
use super::runtime::Runtime;

/// A listening socket from which several servers accept, each on its own thread: together they are one server.
///
/// They have one [handle](Self::handle): broadcasts reach the connections of all of them, limits on connections count
/// all of them (and may be exceeded by one for each other server), and they end together, also when one of them is
/// dropped, whether it has served or not. A connection stays with the thread that took it. Each server has a handler of its
/// own, so nothing in handlers needs to be shared between threads.
///
/// Adapters make it. Cloning it is cheap. Whoever still has it when the servers have ended does not keep the port.
pub struct SharedListener<S>(Arc<Inner<S>>);

struct Inner<S> {
    registry: Arc<Registry>,
    /// None when the servers have ended.
    socket: Mutex<Option<S>>,
}

impl<S> SharedListener<S> {
    /// Shares a socket that listens at this address. For adapters.
    pub fn new(local: SocketAddr, socket: S) -> Self {
        Self(Arc::new(Inner { registry: Registry::new(local), socket: Mutex::new(Some(socket)) }))
    }

    /// The handle of all servers that accept from it, of which there need not be any yet.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.0.registry.clone())
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    /// The socket for the event loop of this thread.
    pub(super) fn listener<R: Runtime<Socket = S>>(&self, runtime: &R) -> io::Result<R::Listener> {
        match &*self.lock() {
            Some(socket) => runtime.adopt(socket),
            None => Err(io::Error::new(ErrorKind::NotConnected, "the servers that shared it have ended")),
        }
    }

    /// Nothing is accepted from it again.
    pub(super) fn close(&self) {
        let socket = self.lock().take();
        drop(socket);
    }

    fn lock(&self) -> MutexGuard<'_, Option<S>> {
        self.0.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for SharedListener<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for SharedListener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedListener").field("handle", &self.handle()).finish_non_exhaustive()
    }
}
