//! What a server spawns beside itself.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::alarms::{Alarm, Alarms, Keeper};
use super::registry::Registry;
use super::runtime::Runtime;
use crate::error::CloseReason;
use crate::peer::{Driver, Handler};

/// What a server spawns: one for each connection, which ends when the connection has ended, and one that keeps the time for all of
/// them.
pub struct ConnectionTask<R: Runtime, H: Handler>(Task<R, H>);

enum Task<R: Runtime, H: Handler> {
    /// The driver goes before the connection leaves the server.
    Connection(Option<Driver<R::Stream, Alarm<R>, H>>),
    /// There is one, and it would take more room than any connection need have.
    Keeper(Box<Keeper<R>>),
}

/// What the connections of a server share. A runtime that has threads of its own keeps them for as long as it has connections.
pub(super) struct Office<R> {
    pub(super) registry: Arc<Registry>,
    pub(super) alarms: Alarms<R>,
    pub(super) handshake_error: Option<HandshakeHook>,
}

/// Who wants to be told of connections that ended before they were open.
pub(super) type HandshakeHook = Arc<dyn Fn(SocketAddr, &CloseReason) + Send + Sync>;

impl<R: Runtime, H: Handler> ConnectionTask<R, H> {
    /// Drives a connection that has [entered](Registry::enter) the server.
    pub(super) const fn connection(driver: Driver<R::Stream, Alarm<R>, H>) -> Self {
        Self(Task::Connection(Some(driver)))
    }

    pub(super) fn keeper(office: &Arc<Office<R>>) -> Self {
        Self(Task::Keeper(Box::new(Keeper::new(office))))
    }
}

impl<R: Runtime, H: Handler> Drop for ConnectionTask<R, H> {
    fn drop(&mut self) {
        if let Task::Connection(driver) = &mut self.0 {
            if let Some(driver) = driver.take() {
                let office = driver.sleep().office().clone();
                // Even if something panics while the driver is dropped.
                let _leaving = Leaving { registry: &office.registry, id: driver.peer().id() };
                drop(driver);
            }
        }
    }
}

/// Leaves the server when it is dropped.
struct Leaving<'a> {
    registry: &'a Registry,
    id: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.registry.leave(self.id);
    }
}

impl<R: Runtime, H: Handler> Future for ConnectionTask<R, H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Task::Connection(Some(driver)) => Pin::new(&mut *driver).poll(cx).map(|reason| {
                let hook = driver.sleep().office().handshake_error.as_ref().filter(|_| !driver.was_open());
                if let (Some(hook), Some(remote)) = (hook, driver.peer().remote_addr()) {
                    hook(remote, &reason);
                }
            }),
            Task::Connection(None) => Poll::Ready(()),
            Task::Keeper(keeper) => keeper.poll(cx),
        }
    }
}

impl<R: Runtime, H: Handler> Unpin for ConnectionTask<R, H> {}

impl<R: Runtime, H: Handler> fmt::Debug for ConnectionTask<R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ConnectionTask");
        if let Task::Connection(Some(driver)) = &self.0 {
            shown.field("driver", driver);
        }
        shown.finish_non_exhaustive()
    }
}
