//! A runtime in virtual time: tasks, timers, and a network in memory.

mod executor;
mod network;

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::future::{Future, Ready, ready};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;

use self::executor::Executor;
use self::network::Network;
use super::pipe::{CutKind, PipeConfig};
use crate::endpoint::{Runtime, Spawn};
use crate::peer::Clock;
use crate::time::Instant;

pub use self::executor::Timer;
pub use self::network::{VirtualListener, VirtualStream};

/// A [`Runtime`] in which time passes only when every task waits: `Server` and `Client` run on it unchanged, an hour of heartbeats
/// takes milliseconds, and the same seed gives the same run.
///
/// It is one thread. When no task can go on, time moves to the next instant at which one can. Addresses are as on a
/// machine of its own: nothing is opened. Clones are handles of the same world, which ends, with all its tasks, when the value
/// that [`new`](Self::new) made is dropped.
///
/// ```
/// use core::time::Duration;
/// use proto_core::endpoint::{ClientBuilder, ServerBuilder, Spawn};
/// use proto_core::peer::{NoHandler, on_request};
/// use proto_core::simulation::World;
///
/// let world = World::new(7);
/// let hour = Duration::from_secs(3600);
/// world.block_on(async {
///     let echo = on_request(|_, request| async move { Ok(request.body.into()) });
///     let server = ServerBuilder::on(world.clone(), echo).bind("127.0.0.1:7000").await.unwrap();
///     world.spawn(server.serve());
///     let client = ClientBuilder::on(world.clone(), NoHandler).connect("127.0.0.1:7000").await.unwrap();
///
///     world.wait(hour).await;
///     assert_eq!(client.call("echo", "still there?").await.unwrap().body, "still there?");
/// });
/// assert!(world.now().saturating_since(proto_core::Instant::EPOCH) >= hour);
/// ```
pub struct World(Rc<Inner>, Ownership);

/// Tasks have handles of their world, so that it must be somebody else who ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Handle,
    Owner,
}

impl Clone for World {
    fn clone(&self) -> Self {
        Self(self.0.clone(), Ownership::Handle)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.1 == Ownership::Owner {
            self.0.executor.end();
        }
    }
}

struct Inner {
    /// Shared with clocks, which may be asked from anywhere.
    nanos: Arc<AtomicU64>,
    seeds: Cell<u64>,
    executor: Executor,
    network: Network,
}

impl World {
    /// A world in which nothing has happened. All chance in it comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            nanos: Arc::default(),
            seeds: Cell::new(seed),
            executor: Executor::default(),
            network: Network::default(),
        };
        Self(Rc::new(inner), Ownership::Owner)
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.0.nanos.load(Ordering::Relaxed))
    }

    /// Runs a future, and all tasks beside it, until it has ended. Tasks that are left go on with the next call.
    ///
    /// # Panics
    /// If the future can never end, because nothing is left that could happen.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.executor.block_on(self, future)
    }

    /// A future that is ready after so long.
    pub fn wait(&self, duration: Duration) -> Timer {
        Timer::until(self, self.now() + duration)
    }

    /// What the network is like for connections that are opened from now on, in both directions. By default it is
    /// [`PipeConfig::default`].
    pub fn set_network(&self, config: PipeConfig) {
        self.0.network.set_config(config);
    }

    /// Breaks all connections that there are, as both their ends will see.
    pub fn cut_all(&self, kind: CutKind) {
        self.0.network.cut_all(kind);
    }

    /// How many connections are open, or were closed by one end only.
    pub fn connections(&self) -> usize {
        self.0.network.connections()
    }

    /// How many tasks have been spawned and have not ended.
    pub fn tasks(&self) -> usize {
        self.0.executor.tasks()
    }

    /// How often a task was polled. Between two looks at it, it tells how much work there was.
    pub fn polls(&self) -> u64 {
        self.0.executor.polls()
    }

    fn advance_to(&self, now: Instant) {
        self.0.nanos.store(now.max(self.now()).as_nanos(), Ordering::Relaxed);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now())
            .field("connections", &self.connections())
            .field("tasks", &self.tasks())
            .finish_non_exhaustive()
    }
}

impl Runtime for World {
    type Stream = VirtualStream;
    type Listener = VirtualListener;
    type Socket = ();
    type Sleep = Timer;
    type Resolving = Ready<io::Result<Vec<SocketAddr>>>;
    type Connecting = Ready<io::Result<VirtualStream>>;

    fn clock(&self) -> Clock {
        let nanos = self.0.nanos.clone();
        Clock::new(move || Instant::from_nanos(nanos.load(Ordering::Relaxed)))
    }

    fn seed(&self) -> u64 {
        let seed = self.0.seeds.get();
        self.0.seeds.set(seed.wrapping_add(1));
        seed
    }

    fn sleep(&self) -> Timer {
        Timer::new(self)
    }

    /// Numbers are what they are, and `localhost` is this world. There are no other names.
    fn resolve(&self, address: &str) -> Self::Resolving {
        let number = address.strip_prefix("localhost:").map(|port| alloc::format!("127.0.0.1:{port}"));
        let parsed = number.as_deref().unwrap_or(address).parse();
        ready(parsed.map(|address| vec![address]).map_err(|_| io::ErrorKind::NotFound.into()))
    }

    fn bind(&self, address: SocketAddr, _: u32) -> io::Result<VirtualListener> {
        VirtualListener::bind(self, address)
    }

    fn adopt(&self, (): &()) -> io::Result<VirtualListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        ready(VirtualStream::connect(self, address))
    }
}

/// All is on one thread, so that nothing is asked of what is spawned.
impl<F: Future + 'static> Spawn<F> for World {
    fn spawn(&self, future: F) {
        self.0.executor.spawn(async move { drop(future.await) });
    }
}

#[cfg(test)]
mod tests;
