//! Longwire on [glommio], a runtime of one thread per core that is made of io_uring.
//!
//! Longwire is for long-lived connections: one TCP connection that both sides keep open and use for calls in both
//! directions, pushes and broadcast. This crate drives it on glommio and re-exports the rest: beside glommio itself it is
//! the only one to depend on. What it shares with the other adapters is in [`proto_core::prelude`]; a program for one of
//! them is a program for the other.
//!
//! It works on Linux alone, and is empty elsewhere.
//!
//! # A server and a client
//!
//! Nothing has to be [`Send`]: handlers and their futures stay on the thread of their executor, so what they share can be an
//! `Rc<RefCell<_>>`. Handles ([`Peer`], [`Client`], [`ServerHandle`]) go to any thread all the same.
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//!
//! use adapter_glommio::{Server, on_request, run};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if let Err(reason) = run(async {}) { eprintln!("skipped: {reason}"); return Ok(()) }
//! run(async {
//!     let calls = Rc::new(Cell::new(0));
//!     let counted = calls.clone();
//!     let handler = on_request(move |_peer, request| {
//!         counted.set(counted.get() + 1);
//!         async move { Ok(request.body.into()) }
//!     });
//!     let server = Server::bind("127.0.0.1:0", handler).await?;
//!     let handle = server.handle();
//!     let serving = glommio::spawn_local(server.serve());
//!
//!     let client = adapter_glommio::connect(handle.local_addr()).await?;
//!     assert_eq!(client.call("echo", "hello").await?.body, "hello");
//!     assert_eq!(calls.get(), 1);
//!     client.finish().await;
//!     handle.stop();
//!     serving.await;
//!     Ok(())
//! })?
//! # }
//! ```
//!
//! # Executors
//!
//! Everything runs on the executor of the thread on which it is called. [`run`] makes one with small rings
//! ([`executor`]); one that you make yourself does as well. Outside of an executor, servers and clients cannot be made: glommio
//! panics.
//!
//! # A server on every core
//!
//! [`listen`] makes a socket that several executors accept from. Each has a handler of its own, a connection stays
//! where it was taken, and all of them have one handle.
//!
//! ```
//! use std::thread;
//!
//! use adapter_glommio::{Server, connect, listen, on_request, run};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if let Err(reason) = run(async {}) { eprintln!("skipped: {reason}"); return Ok(()) }
//! let listener = listen("127.0.0.1:0".parse()?)?;
//! let shard = || {
//!     let listener = listener.clone();
//!     thread::spawn(move || {
//!         run(async move {
//!             let echo = on_request(|_, request| async move { Ok(request.body.into()) });
//!             let server = Server::builder(echo).share(&listener).expect("the configuration is the default");
//!             server.serve().await;
//!         })
//!     })
//! };
//! let shards = [shard(), shard()];
//!
//! let handle = listener.handle();
//! let address = handle.local_addr();
//! let reply = run(async { connect(address).await.expect("the shards are there").call(1, "hello").await })??;
//! assert_eq!(reply.body, "hello");
//! handle.stop();
//! for shard in shards {
//!     shard.join().expect("it does not panic")?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Panics
//!
//! glommio loses a whole executor to a panic in one task. What this crate spawns is caught: a handler that panics
//! answers `HANDLER_FAILED`, as on every runtime. Tasks that you spawn are yours to guard.
//!
//! Limits and times are in [`Config`]; how calls fail, in [`CallError`]; how a client comes back, in [`ReconnectConfig`].

#![cfg(target_os = "linux")]

mod descriptor;
mod listener;
mod stream;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::time::Instant as Time;

use futures_lite::FutureExt;
use glommio::net::TcpStream;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use proto_core::endpoint::{Runtime, Spawn};

pub use proto_core;
pub use proto_core::prelude::*;

pub use self::listener::GlommioListener;
pub use self::stream::{Sleep, Stream};

proto_core::endpoints!(Glommio, "glommio", adapter_kit::listen);

/// An executor for this thread: with rings of 64 entries and 64 KiB of memory for them, 0.5 MiB in all, where glommio's
/// own defaults take 11 MiB; on no particular core.
///
/// Each executor that ends leaves one file descriptor open, which is glommio's doing: make few, and run them often.
///
/// # Errors
/// If the system has no io_uring, forbids it (as containers often do), or lacks memory that may be locked
/// (`ulimit -l`).
pub fn executor() -> io::Result<LocalExecutor> {
    LocalExecutorBuilder::new(Placement::Unbound)
        .ring_depth(64)
        .io_memory(64 << 10)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
        .map_err(|error| {
            let cause = io::Error::from(error);
            let help = "glommio needs io_uring: Linux 5.8, no seccomp profile that forbids it, `ulimit -l` of at least 512";
            io::Error::new(cause.kind(), format!("{cause} ({help})"))
        })
}

/// Runs a future on an [executor](executor()) of this thread, and ends the executor with it.
///
/// # Errors
/// If the executor cannot be made, see [`executor()`].
///
/// # Panics
/// If the future does, or if this thread runs an executor already.
pub fn run<T>(future: impl Future<Output = T>) -> io::Result<T> {
    // An executor that a panic has left cannot be trusted with anything, not even with its own end.
    let result = executor()?.run(AssertUnwindSafe(future).catch_unwind());
    Ok(result.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// glommio: the executor of the thread on which it is used.
#[derive(Clone, Debug)]
pub struct Glommio {
    epoch: Time,
}

impl Default for Glommio {
    fn default() -> Self {
        Self { epoch: Time::now() }
    }
}

impl Runtime for Glommio {
    type Stream = Stream;
    type Listener = GlommioListener;
    type Socket = std::net::TcpListener;
    type Sleep = Sleep;
    type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;
    type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>>>>;

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
        let address = address.to_owned();
        Box::pin(blocking::unblock(move || address.to_socket_addrs().map(Iterator::collect)))
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<GlommioListener> {
        let listening = adapter_kit::listen(address, backlog)?;
        // Some systems answer an accept of io_uring at once, with an error, if the socket must not block.
        listening.set_nonblocking(false)?;
        GlommioListener::new(listening)
    }

    fn adopt(&self, socket: &std::net::TcpListener) -> io::Result<GlommioListener> {
        GlommioListener::new(socket.try_clone()?)
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        Box::pin(async move { Stream::new(TcpStream::connect(address).await?) })
    }
}

/// glommio's tasks stay on their thread, so that nothing is asked of what is spawned.
impl<F: Future + 'static> Spawn<F> for Glommio {
    fn spawn(&self, future: F) {
        // A panic is reported by its hook; left to itself, it would end the executor.
        let contained = async { drop(AssertUnwindSafe(future).catch_unwind().await) };
        glommio::spawn_local(contained).detach();
    }
}
