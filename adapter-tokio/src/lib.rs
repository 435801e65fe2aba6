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

use proto_core::Instant;
use proto_core::endpoint::{self, Listener, Runtime, Spawn};
use tokio::net::{TcpListener, TcpStream};

pub use proto_core;
pub use proto_core::bytes::{self, Bytes};
pub use proto_core::client::{BreakerConfig, Delay, GiveUp, ReconnectConfig, Redirects};
pub use proto_core::endpoint::{
    Address, AddressAction, AddressError, BindError, Broadcast, Client, ConnectError, ServerHandle,
};
pub use proto_core::peer::{
    Call, CallError, ClientState, Clock, Handler, Handlers, NoHandler, Peer, Push, Refuse, Reply, Request,
    Status, WhileDown, on_push, on_request,
};
pub use proto_core::wire::{ExtensionFields, Extensions, Hello, Lane};
pub use proto_core::{
    CloseCode, CloseInfo, CloseReason, Config, ConfigError, Delivery, HeartbeatConfig, Limit, Message,
    ProgressConfig, ProtocolError, Refusal, Refused, RoundTrip, Route, StatusCode, TransportError,
};

pub use self::stream::{Sleep, Stream};

/// A server on tokio.
pub type Server<H> = endpoint::Server<Tokio, H>;
/// Configures a server on tokio.
pub type ServerBuilder<H> = endpoint::ServerBuilder<Tokio, H>;
/// Configures a client on tokio.
pub type ClientBuilder<H> = endpoint::ClientBuilder<Tokio, H>;

/// Connects to a server, to call and push; what the server calls gets `UNKNOWN_ROUTE`.
///
/// # Errors
/// If the address cannot be reached, or the handshake fails; the error names the address and the cause.
///
/// # Cancel safety
/// Dropping the future gives the attempt up: a connection that was made already is closed.
pub async fn connect(address: impl Into<Address>) -> Result<Client, ConnectError> {
    connect_with(address, NoHandler).await
}

/// Connects to a server, and answers what the server calls and pushes.
///
/// # Errors
/// As for [`connect`].
///
/// # Cancel safety
/// As for [`connect`].
pub async fn connect_with<H>(address: impl Into<Address>, handler: H) -> Result<Client, ConnectError>
where
    H: Handler,
    Tokio: Spawn<endpoint::ClientTask<Tokio, H>>,
{
    client(handler).connect(address).await
}

/// A client that is configured before it connects.
pub fn client<H: Handler>(handler: H) -> ClientBuilder<H> {
    Client::builder(handler)
}

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
        TcpListener::from_std(adapter_kit::listen(address, backlog)?).map(TokioListener)
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
