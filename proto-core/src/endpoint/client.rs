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
use super::client_task::{AskCredentials, ClientTask, Plan, late};
use super::error::{AddressAction, AddressError, ConnectError};
use super::runtime::{Runtime, Spawn};
use crate::client::{Dialer, ReconnectConfig, Verdict};
use crate::config::Config;
use crate::error::CloseReason;
use crate::peer::{ClientState, Handler, Peer, WhileDown};
use crate::wire::{CloseCode, CloseInfo, Credentials};

/// A connection to a server, and the next one when it is lost. It is used like the [`Peer`] that it holds.
///
/// When its connection is lost, a client comes back by itself, as its [`ReconnectConfig`] says. Calls that were under way and
/// cannot have been run are called again on the next connection, within their deadlines; so are those that may have been run
/// and are [idempotent](crate::peer::Call::idempotent). All others end as [lost](crate::peer::CallError::Lost). Pushes are
/// not kept.
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
        ClientBuilder::on(R::default(), handler)
    }

    /// The connection's handle. It stays the same when the client comes back on another connection.
    pub fn peer(&self) -> &Peer {
        &self.0.0
    }

    /// Where the client stands: connected, on its way back, or at its end.
    pub fn state(&self) -> ClientState {
        self.peer().client_state()
    }

    /// Waits until the client stands elsewhere than `known`, and says where.
    ///
    /// ```no_run
    /// # async fn example(client: proto_core::endpoint::Client) {
    /// let mut state = client.state();
    /// while state.end().is_none() {
    ///     state = client.changed(&state).await;
    ///     println!("{state:?}");
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing. States that come and go in between may be missed.
    pub async fn changed(&self, known: &ClientState) -> ClientState {
        self.peer().changed_state(known.clone()).await
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
#[must_use = "nothing is connected before `connect` or `start`"]
pub struct ClientBuilder<R, H> {
    runtime: R,
    handler: H,
    config: Config,
    credentials: Option<Credentials>,
    ask_credentials: Option<AskCredentials>,
    connect_timeout: Duration,
    reconnect: Option<ReconnectConfig>,
    while_down: WhileDown,
    busy_poll: Option<Duration>,
}

impl<R: Runtime, H: Handler> ClientBuilder<R, H> {
    /// A client on this runtime.
    pub fn on(runtime: R, handler: H) -> Self {
        Self {
            runtime,
            handler,
            config: Config::default(),
            credentials: None,
            ask_credentials: None,
            connect_timeout: Duration::from_secs(10),
            reconnect: Some(ReconnectConfig::default()),
            while_down: WhileDown::default(),
            busy_poll: None,
        }
    }

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

    /// Asks for the credentials at each attempt to connect: for tokens that expire. What is longer than 3,072 bytes is not shown.
    pub fn credentials_with(mut self, ask: impl Fn() -> Credentials + Send + Sync + 'static) -> Self {
        self.ask_credentials = Some(Arc::new(ask));
        self
    }

    /// How long to wait for the name to be resolved, and then for each address to take the connection, before the
    /// handshake. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How the client comes back when it loses its connection; `None` lets it end with the connection. Default
    /// [`ReconnectConfig::default`].
    pub fn reconnect(mut self, reconnect: impl Into<Option<ReconnectConfig>>) -> Self {
        self.reconnect = reconnect.into();
        self
    }

    /// What becomes of calls that are made while there is no connection. Default: they wait for the next one, within their
    /// deadlines ([`WhileDown::default`]).
    pub fn while_down(mut self, policy: WhileDown) -> Self {
        self.while_down = policy;
        self
    }

    /// Goes on asking the connection for more, for this long after it was last in use, before it rests; `None` (default) rests
    /// at once. See [`Driver::busy_poll`](crate::peer::Driver::busy_poll) for what it costs.
    pub fn busy_poll(mut self, busy_poll: Option<Duration>) -> Self {
        self.busy_poll = busy_poll;
        self
    }

    /// Runs on this runtime in place of its default.
    pub fn runtime(mut self, runtime: R) -> Self {
        self.runtime = runtime;
        self
    }

    /// Connects, and waits until the server has accepted. From then on, the client comes back by itself when it loses its
    /// connection.
    ///
    /// # Errors
    /// If no address takes the connection, or if the handshake fails; the error names the address and the cause. To wait for
    /// a server that is not there yet, [`start`](Self::start) the client and await [`Peer::opened`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up: a connection that was made already is closed.
    pub async fn connect(self, address: impl Into<Address>) -> Result<Client, ConnectError>
    where
        R: Spawn<ClientTask<R, H>>,
    {
        self.connect_any([address]).await
    }

    /// Connects like [`connect`](Self::connect) to the first of several addresses that accepts. When the connection is
    /// lost, all of them are tried in turn.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect): what the last address said.
    ///
    /// # Cancel safety
    /// As for [`connect`](Self::connect).
    pub async fn connect_any(
        self,
        addresses: impl IntoIterator<Item = impl Into<Address>>,
    ) -> Result<Client, ConnectError>
    where
        R: Spawn<ClientTask<R, H>>,
    {
        let prepared = self.prepare(addresses)?;
        let plan = &prepared.plan;
        let mut last = None;
        for (number, address) in plan.addresses.iter().enumerate() {
            let (stream, remote) = match reach(&plan.runtime, address, plan.connect_timeout).await {
                Ok(reached) => reached,
                Err(error) => {
                    last = Some(error.into());
                    continue;
                }
            };
            // One that does not come back is what its connection is.
            let (client, peer) = prepared.client(prepared.reconnect.as_ref().map(|_| prepared.while_down));
            let dialer = prepared.dialer().beginning_with(number);
            plan.runtime.spawn(ClientTask::on(plan.clone(), peer, dialer, stream, remote));
            match client.opened().await {
                Ok(()) => return Ok(client),
                Err(reason) => {
                    // Who is refused for good by one is not shown to the others.
                    let terminal = Verdict::on(&reason) == Verdict::Terminal;
                    last = Some(ConnectError::Handshake { address: address.clone(), reason });
                    if terminal {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or(ConnectError::NoAddress))
    }

    /// Makes a client that connects as soon as it can, and does not wait for that: calls made meanwhile wait for the
    /// connection as [`while_down`](Self::while_down) says. [`Client::state`] tells where it stands.
    ///
    /// # Errors
    /// If the configuration makes no sense, if there is no address, or if one can never be resolved.
    pub fn start(
        self,
        addresses: impl IntoIterator<Item = impl Into<Address>>,
    ) -> Result<Client, ConnectError>
    where
        R: Spawn<ClientTask<R, H>>,
    {
        let prepared = self.prepare(addresses)?;
        if prepared.plan.addresses.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        for address in &prepared.plan.addresses {
            address.check()?;
        }
        // It has no connection yet, even if it does not come back.
        let (client, peer) = prepared.client(Some(prepared.while_down));
        let plan = prepared.plan.clone();
        let task = ClientTask::new(plan, peer, prepared.dialer());
        prepared.plan.runtime.spawn(task);
        Ok(client)
    }

    fn prepare(
        self,
        addresses: impl IntoIterator<Item = impl Into<Address>>,
    ) -> Result<Prepared<R, H>, ConnectError> {
        let Self {
            runtime,
            handler,
            mut config,
            credentials,
            connect_timeout,
            reconnect,
            while_down,
            busy_poll,
            ..
        } = self;
        let ask = self.ask_credentials;
        config.credentials = credentials.unwrap_or(config.credentials);
        let bare = Config { credentials: Credentials::default(), ..config.clone() }.share()?;
        let config = config.share()?;
        let (handler, addresses) = (Arc::new(handler), addresses.into_iter().map(Into::into).collect());
        let credentials = ask;
        let plan =
            Plan { runtime, handler, config, bare, credentials, addresses, connect_timeout, busy_poll };
        Ok(Prepared { plan: Arc::new(plan), reconnect, while_down })
    }
}

/// All that a client is made of.
struct Prepared<R, H> {
    plan: Arc<Plan<R, H>>,
    reconnect: Option<ReconnectConfig>,
    while_down: WhileDown,
}

impl<R: Runtime, H: Handler> Prepared<R, H> {
    fn client(&self, while_down: Option<WhileDown>) -> (Client, Peer) {
        let peer = Peer::client(self.plan.runtime.clock(), &self.plan.config, while_down);
        (Client(Arc::new(CloseOnDrop(peer.clone()))), peer)
    }

    fn dialer(&self) -> Dialer {
        // A client that does not come back has one attempt.
        let once = || ReconnectConfig { attempt_limit: Some(1), ..ReconnectConfig::default() };
        let config = self.reconnect.clone().unwrap_or_else(once);
        Dialer::new(config, self.plan.addresses.len(), self.plan.runtime.seed())
    }
}

/// A stream to the first of the address's meanings that takes one.
async fn reach<R: Runtime>(
    runtime: &R,
    address: &Address,
    timeout: Duration,
) -> Result<(R::Stream, SocketAddr), AddressError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
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
