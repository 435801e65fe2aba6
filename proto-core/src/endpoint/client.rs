//! A client: one connection that this side opened.

use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::ops::Deref;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use super::address::Address;
use super::error::{AddressAction, AddressError, ConnectError};
use super::runtime::{Runtime, Spawn};
use crate::config::Config;
use crate::connection::Role;
use crate::error::CloseReason;
use crate::peer::{Driver, Handler, Identity, Peer};
use crate::wire::{CloseCode, CloseInfo, Credentials};

/// A connection to a server. It is used like the [`Peer`] that it holds.
///
/// Cloning it is cheap. Dropping the last clone closes the connection: what has been accepted is still sent, within the
/// connection's time limits, as long as the runtime goes on. At the end of `main` it does not: there, await
/// [`finish`](Self::finish). A `Peer` taken out of it, or given to a handler, does not keep the connection open.
///
/// Adapters name the functions that make one for their runtime; see there for an example that runs.
#[derive(Clone)]
pub struct Client(Arc<CloseOnDrop>);

struct CloseOnDrop(Peer);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseCode::NORMAL, CloseInfo::default());
    }
}

impl Client {
    /// A client that is configured before it connects.
    pub fn builder<R: Runtime + Default, H: Handler>(handler: H) -> ClientBuilder<R, H> {
        ClientBuilder {
            runtime: R::default(),
            handler,
            config: Config::default(),
            credentials: None,
            connect_timeout: Duration::from_secs(10),
        }
    }

    /// The connection's handle.
    pub fn peer(&self) -> &Peer {
        &self.0.0
    }

    /// Closes the connection, and waits until it has ended. What has been accepted is sent first; calls that have not
    /// been answered by then are lost: [`drain`](Self::drain) waits for them.
    ///
    /// # Cancel safety
    /// Dropping the future after its first poll leaves the connection closing.
    pub async fn finish(self) -> CloseReason {
        let closed = self.closed();
        self.peer().close(CloseCode::NORMAL, CloseInfo::default());
        closed.await
    }

    /// Ends the connection like [`finish`](Self::finish), but lets calls in flight, both ways, be answered first, for at most
    /// this long.
    ///
    /// # Cancel safety
    /// Dropping the future after its first poll leaves the connection closing.
    pub async fn drain(self, within: Duration) -> CloseReason {
        let closed = self.closed();
        self.peer().drain(CloseCode::NORMAL, CloseInfo::default(), within);
        closed.await
    }
}

impl Deref for Client {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        self.peer()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(self.peer()).finish()
    }
}

/// Configures a client.
#[must_use = "nothing is connected before `connect`"]
pub struct ClientBuilder<R, H> {
    runtime: R,
    handler: H,
    config: Config,
    credentials: Option<Credentials>,
    connect_timeout: Duration,
}

impl<R: Runtime, H: Handler> ClientBuilder<R, H> {
    /// Limits and times of the connection. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// What the server's application is shown; at most 3,072 bytes. Default: the configuration's.
    pub fn credentials(mut self, credentials: impl Into<Credentials>) -> Self {
        self.credentials = Some(credentials.into());
        self
    }

    /// How long to wait for the name to be resolved, and then for each address to take the connection, before the
    /// handshake. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Runs on this runtime in place of its default.
    pub fn runtime(mut self, runtime: R) -> Self {
        self.runtime = runtime;
        self
    }

    /// Connects, and waits until the server has accepted.
    ///
    /// # Errors
    /// If no address takes the connection, or if the handshake fails; the error names the address and the cause.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up: a connection that was made already is closed.
    pub async fn connect(self, address: impl Into<Address>) -> Result<Client, ConnectError>
    where
        R: Spawn<Driver<R::Stream, R::Sleep, H>>,
    {
        let Self { runtime, handler, mut config, credentials, connect_timeout } = self;
        config.credentials = credentials.unwrap_or(config.credentials);
        let config = config.share()?;
        let address = address.into();
        let (stream, remote) = reach(&runtime, &address, connect_timeout).await?;
        let (clock, sleep) = (runtime.clock(), runtime.sleep());
        let driver = Driver::new(
            &config,
            Role::Dialer,
            Identity { id: 0, remote: Some(remote), seed: runtime.seed() },
            &clock,
            stream,
            sleep,
            Arc::new(handler),
        );
        let client = Client(Arc::new(CloseOnDrop(driver.peer().clone())));
        runtime.spawn(driver);
        match client.opened().await {
            Ok(()) => Ok(client),
            Err(reason) => Err(ConnectError::Handshake { address, reason }),
        }
    }
}

/// A stream to the first of the address's meanings that takes one.
async fn reach<R: Runtime>(
    runtime: &R,
    address: &Address,
    timeout: Duration,
) -> Result<(R::Stream, SocketAddr), AddressError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    let late_name = || AddressError::new(AddressAction::Resolve, address, &late());
    for candidate in within(runtime, timeout, address.resolve(runtime), late_name).await? {
        match within(runtime, timeout, runtime.connect(candidate), late).await {
            Ok(stream) => return Ok((stream, candidate)),
            Err(error) => last = error,
        }
    }
    Err(AddressError::new(AddressAction::Connect, address, &last))
}

/// Gives up on a future after a time.
async fn within<R: Runtime, T, E>(
    runtime: &R,
    timeout: Duration,
    future: impl Future<Output = Result<T, E>>,
    late: impl Fn() -> E,
) -> Result<T, E> {
    use crate::peer::Sleep as _;
    let (clock, mut sleep) = (runtime.clock(), runtime.sleep());
    let until = clock.now() + timeout;
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if clock.now() >= until {
            return Poll::Ready(Err(late()));
        }
        if sleep.poll_until(cx, until).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

impl<R, H> fmt::Debug for ClientBuilder<R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
