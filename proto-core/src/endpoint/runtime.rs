//! What an adapter implements.

use alloc::vec::Vec;
use core::future::Future;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io;

use crate::peer::{Clock, Io, Sleep};

/// A runtime: where streams, listeners and timers come from.
///
/// A value of it is a handle, cheap to clone. The connections of a server share one, so that it is [`Sync`] where tasks move between
/// threads.
pub trait Runtime: Clone + 'static {
    /// A connected byte stream.
    type Stream: Io + 'static;
    /// Takes connections.
    type Listener: Listener<Stream = Self::Stream> + 'static;
    /// A listening socket that belongs to no thread yet; `()` if there are none.
    type Socket: 'static;
    /// A timer that can be set again and again.
    type Sleep: Sleep + 'static;
    /// Finds out what a name means. Named, so that a client's task can hold it: boxed, and `Send` where tasks move.
    type Resolving: Future<Output = io::Result<Vec<SocketAddr>>> + Unpin + 'static;
    /// Opens a stream; likewise.
    type Connecting: Future<Output = io::Result<Self::Stream>> + Unpin + 'static;

    /// The clock that the timers of this runtime follow.
    fn clock(&self) -> Clock;

    /// A number that nobody can foresee, another one each time: the seed of a connection.
    fn seed(&self) -> u64;

    /// A timer.
    fn sleep(&self) -> Self::Sleep;

    /// The addresses that a host and port have, in the order in which to try them.
    fn resolve(&self, address: &str) -> Self::Resolving;

    /// Listens on an address, with room for `backlog` connections that have not been accepted.
    ///
    /// # Errors
    /// The system's.
    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<Self::Listener>;

    /// Accepts from a socket that listens already, and from which others may accept too.
    ///
    /// # Errors
    /// The system's; [`Unsupported`](io::ErrorKind::Unsupported) if there are no such sockets.
    fn adopt(&self, socket: &Self::Socket) -> io::Result<Self::Listener>;

    /// Connects to an address.
    fn connect(&self, address: SocketAddr) -> Self::Connecting;
}

/// A socket that takes connections.
pub trait Listener {
    /// A connected byte stream.
    type Stream;

    /// Where it listens; the port that the system chose, if it chose one.
    ///
    /// # Errors
    /// The system's.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Takes the next connection. No connection is lost when the task that polls this stops polling.
    ///
    /// # Errors
    /// The system's. The listener goes on working after an error.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}

/// Runs futures beside the one that spawns them: a server spawns one for each connection, and one that keeps their time.
///
/// The future is a parameter of the trait, so that each runtime can ask of it what it needs: `Send` where tasks
/// move between threads, nothing where they do not.
pub trait Spawn<F> {
    /// Runs a future to its end.
    fn spawn(&self, future: F);
}
