//! Longwire on [smol].
//!
//! Longwire is for long-lived connections: one TCP connection that both sides keep open and use for calls in both
//! directions, pushes and broadcast. This crate drives it on smol and re-exports the rest: beside smol itself it is the
//! only one to depend on. What it shares with the other adapters is in [`proto_core::prelude`]; a program for one of
//! them is a program for the other.
//!
//! # A server and a client
//!
//! ```
//! use adapter_smol::{Route, Server, StatusCode, on_request};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! smol::block_on(async {
//!     let handler = on_request(|_peer, request| async move {
//!         match request.route() {
//!             Route::Name("echo") => Ok(request.body.into()),
//!             _ => Err(StatusCode::UNKNOWN_ROUTE.into()),
//!         }
//!     });
//!     let server = Server::bind("127.0.0.1:0", handler).await?;
//!     let handle = server.handle();
//!     let serving = smol::spawn(server.serve());
//!
//!     let client = adapter_smol::connect(handle.local_addr()).await?;
//!     let reply = client.call("echo", "hello").await?;
//!     assert_eq!(reply.body, "hello");
//!     client.finish().await;
//!     handle.stop();
//!     serving.await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Where tasks run
//!
//! By default on smol's global executor, which has as many threads as the variable `SMOL_THREADS` says, one if it is not
//! set. [`Smol::on`] takes an executor of your own; [`Smol::threads`] starts one with so many threads:
//!
//! ```
//! use adapter_smol::{Smol, connect, on_request, server_on};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let threads = Smol::threads(2)?;
//! smol::block_on(async {
//!     let echo = on_request(|_, request| async move { Ok(request.body.into()) });
//!     let server = server_on(threads.clone(), echo).bind("127.0.0.1:0").await?;
//!     let handle = server.handle();
//!     let serving = smol::spawn(server.serve());
//!     assert_eq!(connect(handle.local_addr()).await?.call(1, "hello").await?.body, "hello");
//!     handle.stop();
//!     serving.await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! Limits and times are in [`Config`]; how calls fail, in [`CallError`]; how a client comes back, in [`ReconnectConfig`].
//! Heavy computation belongs into `smol::unblock`, because a handler that does not wait holds up its connection.

mod stream;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Instant as Time;

use async_io::Async;
use proto_core::endpoint::{Listener, Runtime, Spawn};
use smol::Executor;
use smol::channel::Sender;

pub use proto_core;
pub use proto_core::prelude::*;

pub use self::stream::{Sleep, Stream};

proto_core::endpoints!(Smol, "smol", adapter_kit::listen);

/// A server on an executor of your own.
pub fn server_on<H: Handler>(runtime: Smol, handler: H) -> ServerBuilder<H> {
    Server::builder(handler).runtime(runtime)
}

/// smol: its reactor, and an executor.
#[derive(Clone)]
pub struct Smol {
    epoch: Time,
    /// smol's global one if there is none.
    pool: Option<Arc<Pool>>,
}

/// An executor, and what keeps its threads running, if they are its own.
struct Pool {
    executor: Arc<Executor<'static>>,
    _running: Option<Sender<()>>,
}

impl Smol {
    /// Tasks run on this executor, which somebody else runs.
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self::with(Pool { executor, _running: None })
    }

    /// Tasks run on so many threads of their own, at least one. The threads end when the last clone of this value has gone, of which each
    /// connection has one.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn threads(count: usize) -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        let (running, ended) = smol::channel::bounded::<()>(1);
        for number in 0..count.max(1) {
            let (executor, ended) = (executor.clone(), ended.clone());
            // Nothing is ever sent: the end of the channel is the word.
            let work = move || async_io::block_on(executor.run(ended.recv())).unwrap_or_default();
            thread::Builder::new().name(format!("longwire-{number}")).spawn(work)?;
        }
        Ok(Self::with(Pool { executor, _running: Some(running) }))
    }

    fn with(pool: Pool) -> Self {
        Self { epoch: Time::now(), pool: Some(Arc::new(pool)) }
    }

    /// The executor that tasks run on; `None` if that is smol's global one.
    pub fn executor(&self) -> Option<&Arc<Executor<'static>>> {
        self.pool.as_ref().map(|pool| &pool.executor)
    }
}

impl Default for Smol {
    fn default() -> Self {
        Self { epoch: Time::now(), pool: None }
    }
}

impl fmt::Debug for Smol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smol").field("executor", &self.executor()).finish_non_exhaustive()
    }
}

impl Runtime for Smol {
    type Stream = Stream;
    type Listener = SmolListener;
    type Socket = std::net::TcpListener;
    type Sleep = Sleep;
    type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
    type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn clock(&self) -> Clock {
        let epoch = self.epoch;
        Clock::new(move || Instant::EPOCH + epoch.elapsed())
    }

    fn seed(&self) -> u64 {
        adapter_kit::seed()
    }

    fn sleep(&self) -> Sleep {
        Sleep::new(self.epoch)
    }

    fn resolve(&self, address: &str) -> Self::Resolving {
        Box::pin(smol::net::resolve(address.to_owned()))
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<SmolListener> {
        self.adopt(&adapter_kit::listen(address, backlog)?)
    }

    fn adopt(&self, socket: &std::net::TcpListener) -> io::Result<SmolListener> {
        Async::new(socket.try_clone()?).map(SmolListener)
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        Box::pin(async move { Stream::new(Async::<TcpStream>::connect(address).await?) })
    }
}

/// smol's tasks may move between threads, so what is spawned must be [`Send`].
impl<F: Future<Output: Send> + Send + 'static> Spawn<F> for Smol {
    fn spawn(&self, future: F) {
        match self.executor() {
            Some(executor) => executor.spawn(future).detach(),
            None => smol::spawn(future).detach(),
        }
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct SmolListener(Async<std::net::TcpListener>);

impl Listener for SmolListener {
    type Stream = Stream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        loop {
            match self.0.get_ref().accept() {
                Ok((stream, remote)) => {
                    // A connection that has gone before it was looked at says nothing about the listener.
                    let stream = Async::new(stream).and_then(Stream::new);
                    return Poll::Ready(stream.map(|stream| (stream, remote)).map_err(gone));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_readable(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn gone(_: io::Error) -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
