//! Longwire on [tokio].
//!
//! Longwire is for long-lived connections: one TCP connection that both sides keep open and use for calls in both
//! directions, pushes and broadcast. This crate drives it on tokio and re-exports the rest: beside tokio itself it is the
//! only one to depend on.
//!
//! # A server
//!
//! ```no_run
//! use adapter_tokio::{Route, Server, StatusCode, on_request};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let handler = on_request(|_peer, request| async move {
//!     match request.route() {
//!         Route::Name("echo") => Ok(request.body.into()),
//!         _ => Err(StatusCode::UNKNOWN_ROUTE.into()),
//!     }
//! });
//! let server = Server::bind("127.0.0.1:7000", handler).await?;
//! println!("listening on {}", server.local_addr());
//! server.serve().await;
//! # Ok(())
//! # }
//! ```
//!
//! # A client
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = adapter_tokio::connect("127.0.0.1:7000").await?;
//! let reply = client.call("echo", "hello").await?;
//! assert_eq!(reply.body, "hello");
//! client.finish().await;
//! # Ok(())
//! # }
//! ```
//!
//! Both ends of a connection have the same [`Peer`], so a server calls and pushes to its clients as they do to it;
//! [`connect_with`] gives the client a handler. All of it works on either flavour of tokio's runtime. Functions that make
//! a server or a client must be called within one.
//!
//! # When the connection is lost
//!
//! A client comes back by itself. [`connect`] waits for the first connection and fails if there is none;
//! [`ClientBuilder::start`] does not wait. [`ReconnectConfig`] says how long to wait between attempts, and when to give
//! up; [`Client::state`] and [`Client::changed`] say where the client stands.
//!
//! Calls that certainly were not run are called again on the next connection. One that may have been run ends with
//! [`CallError::Lost`], unless it is [idempotent](Call::idempotent): then it is called again too. Calls made meanwhile wait
//! within their deadlines, or fail at once ([`WhileDown`]). Pushes are not kept: they come back as
//! [`Refusal::NotOpen`].
//!
//! ```
//! # use std::time::Duration;
//! use adapter_tokio::{Client, ClientState, Delay, NoHandler, ReconnectConfig, client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let delay = Delay::Exponential { base: Duration::from_millis(200), cap: Duration::from_secs(10) };
//! let reconnect = ReconnectConfig { delay, attempt_limit: Some(100), ..ReconnectConfig::default() };
//! // Nobody listens there, so the call ends at its deadline, and was certainly not run.
//! let client: Client = client(NoHandler).reconnect(reconnect).start(["127.0.0.1:9"])?;
//! let error = client.call("echo", "hello").idempotent().timeout(Duration::from_millis(50)).await.unwrap_err();
//! assert!(!error.may_have_run());
//! assert!(matches!(client.state(), ClientState::Reconnecting { .. } | ClientState::Connecting { .. }));
//! # Ok(())
//! # }
//! ```
//!
//! # Giving up, and ending
//!
//! Dropping a [`Call`] gives it up, and so does its deadline: the other end is told, and drops the handler's future.
//! [`Handlers::run_to_end`] chooses otherwise for work that must not stop half way.
//!
//! [`ServerHandle::shutdown`] ends a server without losing a call: connections drain, calls in flight are answered both ways,
//! further ones are told to go elsewhere. [`Client::drain`] and [`Peer::drain`] do so for one connection;
//! [`Client::finish`] and [`Peer::close`] do not wait for answers.
//!
//! # What is urgent, and what is large
//!
//! Messages longer than a frame travel in fragments, and [`Call::lane`] says what goes first: a heartbeat, a `High` call or
//! any other message waits for a few frames of a `Bulk` transfer, not for all of it. [`Config::with_max_message`] takes longer
//! messages than the usual 1 MiB.
//!
//! # Limits
//!
//! Whatever a peer does, a connection holds no more than [`Config::max_held_bytes`](Config::max_held_bytes), by default
//! some 100 MiB at the very worst and next to nothing when it is idle. Lower the windows and limits in [`Config`] for many
//! connections. A peer that is silent, trickles or takes nothing is given up in time; [`Config::idle_timeout`] and
//! [`Config::max_age`] end connections that are of no use any more.
//!
//! # Tests in virtual time
//!
//! Every clock in here is tokio's, so a paused runtime makes time pass at once when nothing else is left to do:
//!
//! ```
//! # use std::time::Duration;
//! # use adapter_tokio::{CallError, Delivery, Server, on_request};
//! // In a program of your own this is `#[tokio::test(start_paused = true)]`.
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::bind("127.0.0.1:0", on_request(|_, _| std::future::pending())).await?;
//!     let address = server.local_addr();
//!     tokio::spawn(server.serve());
//!     let client = adapter_tokio::connect(address).await?;
//!     let hour = Duration::from_secs(3600);
//!     let error = client.call("wait", "").timeout(hour).await.unwrap_err();
//!     assert_eq!(error, CallError::TimedOut(Delivery::MaybeSent));
//!     Ok(())
//! }
//! ```
//!
//! # What goes where
//!
//! Limits and times are in [`Config`]. What a handler is, is in [`Handler`]; how calls fail, in [`CallError`]. Heavy
//! computation belongs into `tokio::task::spawn_blocking`, because a handler that does not wait holds up its connection.

mod stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use proto_core::endpoint::{Listener, Runtime, Spawn};
use tokio::net::{TcpListener, TcpStream};

pub use proto_core;
pub use proto_core::prelude::*;

pub use self::stream::{Sleep, Stream};

proto_core::endpoints!(Tokio, "tokio", adapter_kit::listen);

/// The runtime that the calling task runs on.
#[derive(Clone, Copy, Debug)]
pub struct Tokio {
    epoch: tokio::time::Instant,
}

impl Default for Tokio {
    fn default() -> Self {
        Self { epoch: tokio::time::Instant::now() }
    }
}

impl Runtime for Tokio {
    type Stream = Stream;
    type Listener = TokioListener;
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
        let address = address.to_owned();
        Box::pin(async { Ok(tokio::net::lookup_host(address).await?.collect()) })
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<TokioListener> {
        self.adopt(&adapter_kit::listen(address, backlog)?)
    }

    fn adopt(&self, socket: &std::net::TcpListener) -> io::Result<TokioListener> {
        TcpListener::from_std(socket.try_clone()?).map(TokioListener)
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        Box::pin(async move { Stream::new(TcpStream::connect(address).await?) })
    }
}

/// tokio's tasks may move between threads, so what is spawned must be [`Send`].
impl<F: Future<Output: Send> + Send + 'static> Spawn<F> for Tokio {
    fn spawn(&self, future: F) {
        tokio::spawn(future);
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct TokioListener(TcpListener);

impl Listener for TokioListener {
    type Stream = Stream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        self.0.poll_accept(cx).map(|accepted| {
            let (stream, remote) = accepted?;
            // A connection that has gone before it was looked at says nothing about the listener.
            let stream = Stream::new(stream).map_err(|_| io::ErrorKind::ConnectionAborted)?;
            Ok((stream, remote))
        })
    }
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
