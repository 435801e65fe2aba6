//! A server: takes connections, and has each of them driven.

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::io;

use super::accept::AcceptBackoff;
use super::address::Address;
use super::alarms::{Alarm, Alarms};
use super::connection_task::{ConnectionTask, HandshakeHook, Office};
use super::error::{AddressAction, AddressError, BindError};
use super::registry::{Registry, ServerHandle, Stop, Until};
use super::runtime::{Listener, Runtime, Spawn};
use super::shared::SharedListener;
use crate::config::{Config, SharedConfig};
use crate::connection::Role;
use crate::error::CloseReason;
use crate::peer::{Clock, Driver, Handler, Identity, Sleep};
use crate::wire::{CloseCode, CloseInfo};

/// How many connections the system keeps ready to be accepted.
pub const BACKLOG: u32 = 1024;

/// A server that listens and has not begun to serve.
///
/// Adapters name it for their runtime; see there for an example that runs.
#[must_use = "nothing is accepted before `serve`"]
pub struct Server<R: Runtime, H> {
    /// Before the listener, which may take a shared socket with it: by then the others have to know.
    stop: StopOnDrop<R::Socket>,
    runtime: R,
    listener: R::Listener,
    handler: Arc<H>,
    config: SharedConfig,
    max_connections: Option<usize>,
    busy_poll: Option<Duration>,
    hooks: Hooks,
    registry: Arc<Registry>,
}

/// Who wants to be told of what no handler hears of.
#[derive(Clone, Default)]
struct Hooks {
    accept_error: Option<AcceptHook>,
    handshake_error: Option<HandshakeHook>,
}

type AcceptHook = Arc<dyn Fn(&io::Error) + Send + Sync>;

impl<R: Runtime + Default, H: Handler> Server<R, H> {
    /// Listens on an address with the default configuration.
    ///
    /// Port 0 lets the system choose; [`local_addr`](Self::local_addr) says what it chose. Nothing is accepted before
    /// [`serve`](Self::serve) runs.
    ///
    /// # Errors
    /// If the address cannot be resolved or listened on; the error names the address and the cause.
    pub async fn bind(address: impl Into<Address>, handler: H) -> Result<Self, BindError> {
        Self::builder(handler).bind(address).await
    }

    /// Listens on an address, and lets the handler know its server: `make` is given the [handle](ServerHandle) that
    /// broadcasts, finds other connections and ends the server.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind), and if the configuration makes no sense.
    pub async fn bind_with(
        address: impl Into<Address>,
        config: Config,
        make: impl FnOnce(ServerHandle) -> H,
    ) -> Result<Self, BindError> {
        let config = config.share()?;
        let runtime = R::default();
        let address = address.into();
        let (listener, local) = listen(&runtime, &address).await?;
        let registry = Registry::new(local);
        let handler = Arc::new(make(ServerHandle(registry.clone())));
        Ok(Self {
            runtime,
            listener,
            handler,
            config,
            max_connections: None,
            busy_poll: None,
            hooks: Hooks::default(),
            stop: StopOnDrop { registry: registry.clone(), shared: None },
            registry,
        })
    }

    /// A server that is configured before it listens.
    pub fn builder(handler: H) -> ServerBuilder<R, H> {
        ServerBuilder::on(R::default(), handler)
    }
}

impl<R: Runtime, H: Handler> Server<R, H> {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle().local_addr()
    }

    /// A handle that outlives this value: for broadcasts, and to end the server.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.registry.clone())
    }

    /// Takes connections until the server is [stopped](ServerHandle::stop), and returns when all of them have ended.
    ///
    /// A failure to accept (such as a lack of file descriptors) does not end it: it is counted, reported to the
    /// [hook](ServerBuilder::on_accept_error), and waited out.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener and asks all connections to close.
    pub async fn serve(self)
    where
        R: Spawn<ConnectionTask<R, H>>,
    {
        let Self { runtime, mut listener, handler, config, max_connections, hooks, registry, stop, .. } =
            self;
        let busy_poll = self.busy_poll;
        let place = registry.join();
        let (clock, mut sleep, mut backoff) = (runtime.clock(), runtime.sleep(), AcceptBackoff::new());
        let office = Arc::new(Office {
            registry: registry.clone(),
            alarms: Alarms::new(runtime.clone()),
            handshake_error: hooks.handshake_error,
        });
        // As long as the server is there, the keeper is.
        let _present = Alarm::new(&office);
        runtime.spawn(ConnectionTask::keeper(&office));
        loop {
            let accepted = poll_fn(|cx| {
                let limited = max_connections.is_some();
                registry.watch(place, cx.waker(), if limited { Until::Left } else { Until::Stopped });
                if registry.is_stopping() {
                    return Poll::Ready(None);
                }
                if max_connections.is_some_and(|most| registry.live() >= most) {
                    return Poll::Pending;
                }
                listener.poll_accept(cx).map(Some)
            });
            match accepted.await {
                None => break,
                Some(Ok((stream, remote))) => {
                    backoff.succeed();
                    let id = Identity { id: registry.next_id(), remote: Some(remote), seed: runtime.seed() };
                    let driver = Driver::new(
                        &config,
                        Role::Acceptor,
                        id,
                        &clock,
                        stream,
                        Alarm::new(&office),
                        handler.clone(),
                    );
                    let driver = driver.busy_poll(busy_poll);
                    registry.enter(driver.peer());
                    runtime.spawn(ConnectionTask::connection(driver));
                }
                Some(Err(error)) => {
                    registry.count_accept_failure();
                    if let Some(hook) = &hooks.accept_error {
                        hook(&error);
                    }
                    if let Some(wait) = backoff.fail(&error) {
                        pause(&registry, place, &clock, &mut sleep, wait).await;
                    }
                }
            }
        }
        drop(listener);
        stop.close();
        poll_fn(|cx| {
            registry.watch(place, cx.waker(), Until::Left);
            if registry.live() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Waits, unless the server is told to stop meanwhile.
async fn pause(registry: &Registry, place: usize, clock: &Clock, sleep: &mut impl Sleep, wait: Duration) {
    let until = clock.now() + wait;
    poll_fn(|cx| {
        registry.watch(place, cx.waker(), Until::Stopped);
        if registry.is_stopping() || clock.now() >= until {
            return Poll::Ready(());
        }
        if sleep.poll_until(cx, until).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// Whoever drops a server wants its connections to end too, and those that share its socket.
struct StopOnDrop<S> {
    registry: Arc<Registry>,
    shared: Option<SharedListener<S>>,
}

impl<S> StopOnDrop<S> {
    /// Gives up the socket that others share, who end too.
    fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

impl<S> Drop for StopOnDrop<S> {
    fn drop(&mut self) {
        self.close();
        if !self.registry.is_stopping() {
            let (code, info) = (CloseCode::GOING_AWAY, CloseInfo::default());
            self.registry.stop(&Stop { code, info, drain: None });
        }
    }
}

impl<R: Runtime, H> fmt::Debug for Server<R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Configures a server.
#[must_use = "nothing listens before `bind`"]
pub struct ServerBuilder<R, H> {
    runtime: R,
    handler: H,
    config: Config,
    max_connections: Option<usize>,
    busy_poll: Option<Duration>,
    hooks: Hooks,
}

impl<R: Runtime, H: Handler> ServerBuilder<R, H> {
    /// A server on this runtime.
    pub fn on(runtime: R, handler: H) -> Self {
        let (config, hooks) = (Config::default(), Hooks::default());
        Self { runtime, handler, config, max_connections: None, busy_poll: None, hooks }
    }

    /// Limits and times of each connection. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Most connections at a time; `None` (default) is no limit. Further ones wait in the system's queue until one ends.
    pub fn max_connections(mut self, most: Option<usize>) -> Self {
        self.max_connections = most;
        self
    }

    /// Goes on asking a connection for more, for this long after it was last in use, before it rests; `None` (default) rests at
    /// once. See [`Driver::busy_poll`] for what it costs.
    pub fn busy_poll(mut self, busy_poll: Option<Duration>) -> Self {
        self.busy_poll = busy_poll;
        self
    }

    /// Is told of each failure to accept a connection. Default: they are only counted.
    pub fn on_accept_error(mut self, hook: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        self.hooks.accept_error = Some(Arc::new(hook));
        self
    }

    /// Is told of each connection that ended before it was open: strangers, refused clients, silent ones. Default: nobody
    /// hears of them.
    pub fn on_handshake_error(
        mut self,
        hook: impl Fn(SocketAddr, &CloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.handshake_error = Some(Arc::new(hook));
        self
    }

    /// Runs on this runtime in place of its default.
    pub fn runtime(mut self, runtime: R) -> Self {
        self.runtime = runtime;
        self
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// If the configuration makes no sense, or if the address cannot be resolved or listened on.
    pub async fn bind(self, address: impl Into<Address>) -> Result<Server<R, H>, BindError> {
        let Self { runtime, handler, config, max_connections, busy_poll, hooks } = self;
        let config = config.share()?;
        let address = address.into();
        let (listener, local) = listen(&runtime, &address).await?;
        let registry = Registry::new(local);
        let handler = Arc::new(handler);
        let stop = StopOnDrop { registry: registry.clone(), shared: None };
        Ok(Server { stop, runtime, listener, handler, config, max_connections, busy_poll, hooks, registry })
    }

    /// Accepts from a socket that other servers accept from too, on other threads: see [`SharedListener`]. To be called on
    /// the thread that will serve.
    ///
    /// # Errors
    /// If the configuration makes no sense, if the servers that share the socket have ended already, or if the runtime cannot
    /// take the socket over.
    pub fn share(self, listener: &SharedListener<R::Socket>) -> Result<Server<R, H>, BindError> {
        let Self { runtime, handler, config, max_connections, busy_poll, hooks } = self;
        let (config, registry) = (config.share()?, listener.registry().clone());
        let shared = Some(listener.clone());
        let listener = listener.listener(&runtime).map_err(|error| {
            let address = ServerHandle(registry.clone()).local_addr().into();
            AddressError::new(AddressAction::Listen, &address, &error)
        })?;
        let handler = Arc::new(handler);
        let stop = StopOnDrop { registry: registry.clone(), shared };
        Ok(Server { stop, runtime, listener, handler, config, max_connections, busy_poll, hooks, registry })
    }
}

/// Listens on the first of the address's meanings that allows it.
async fn listen<R: Runtime>(
    runtime: &R,
    address: &Address,
) -> Result<(R::Listener, SocketAddr), AddressError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in address.resolve(runtime).await? {
        match runtime
            .bind(candidate, BACKLOG)
            .and_then(|listener| listener.local_addr().map(|at| (listener, at)))
        {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(AddressError::new(AddressAction::Listen, address, &last))
}

impl<R, H> fmt::Debug for ServerBuilder<R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
