//! The future that moves bytes between a transport, a connection and a handler.
//!
//! `turn` is what it does when it is polled, `serve` what handlers make of it, and `rest` how it waits.

mod rest;
mod serve;
mod turn;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;

use self::rest::Asked;
use super::appetite::Appetite;
use super::clock::Clock;
use super::desk::Desk;
use super::handle::Peer;
use super::handler::Handler;
use super::io::{Io, Sleep};
use super::link::Link;
use super::shared::Wakers;
use super::work::Work;
use crate::config::SharedConfig;
use crate::connection::{Connection, Role};
use crate::error::CloseReason;
use crate::time::Instant;

/// Drives one connection until it has ended: spawn it, or poll it beside other work.
///
/// It is generic over the concrete types of everything, so that it is `Send` exactly if they are.
///
/// # Cancel safety
/// Dropping it ends the connection at once, and whoever waits for a call is told so.
#[must_use = "nothing happens on a connection unless its driver is polled"]
pub struct Driver<I, S, H: Handler> {
    peer: Peer,
    link: Link<I>,
    sleep: S,
    handler: Arc<H>,
    work: Work<H>,
    /// Only while it is at work, or has been interrupted.
    desk: Option<Box<Desk>>,
    /// The handler has been told of the connection, and wants to hear of its end.
    introduced: bool,
    was_open: bool,
    /// The handlers have used up their time: others are next.
    time_is_up: bool,
    /// What the timer is set for, and whom it wakes: it has not been seen to go off. Not later than the next deadline, once the
    /// driver has looked at that.
    armed: Option<(Instant, WakerId)>,
    /// After how many events the clock is asked.
    stride: u8,
    /// For how many microseconds to go on asking before it rests, and since when it does.
    busy_poll: Option<NonZeroU32>,
    asking_since: Option<Instant>,
}

/// What tells one connection from others.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its number: no two connections of one server share it.
    pub id: u64,
    /// Where the other end is, if the transport has such addresses.
    pub remote: Option<SocketAddr>,
    /// Where its chance comes from; see [`Connection::new`].
    pub seed: u64,
}

/// Which task a waker wakes. Wakers of two tasks are not the same while one of them is kept by a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WakerId(usize);

impl WakerId {
    fn of(waker: &Waker) -> Self {
        Self(waker.data().addr() ^ core::ptr::from_ref(waker.vtable()).addr().rotate_left(usize::BITS / 2))
    }
}

/// Tells a transport of those limits that it has a part in.
fn set_limits(io: &mut impl Io, config: &SharedConfig) {
    io.limit_stalls(config.write_stall_timeout);
    if let Some(most) = config.receive_buffer {
        io.limit_receive_buffer(most);
    }
}

// Nothing in it is ever pinned in place: handlers' futures are boxed.
impl<I, S, H: Handler> Unpin for Driver<I, S, H> {}

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// A connection on a byte stream that has just been opened, and what drives it.
    pub fn new(
        config: &SharedConfig,
        role: Role,
        Identity { id, remote, seed }: Identity,
        clock: &Clock,
        mut io: I,
        sleep: S,
        handler: Arc<H>,
    ) -> Self {
        let connection = Connection::new(config, role, clock.now(), seed);
        set_limits(&mut io, config);
        Self::with(Peer::new(id, remote, clock.clone(), connection), io, sleep, handler)
    }

    /// A connection on a byte stream that has just been opened, in place of the one that this handle had.
    #[cfg(feature = "endpoint")]
    pub(crate) fn renew(
        peer: &Peer,
        config: &SharedConfig,
        Identity { remote, seed, .. }: Identity,
        mut io: I,
        sleep: S,
        handler: Arc<H>,
    ) -> Self {
        let shared = peer.shared();
        let now = shared.clock.now();
        let connection = Connection::new(config, Role::Dialer, now, seed);
        set_limits(&mut io, config);
        let old = shared.lock().renew(now, connection, remote);
        drop(old);
        Self::with(peer.clone(), io, sleep, handler)
    }

    /// Drives the connection that a handle has at present.
    fn with(peer: Peer, io: I, sleep: S, handler: Arc<H>) -> Self {
        peer.shared().lock().appetite = Appetite::new();
        Self {
            peer,
            link: Link::new(io),
            sleep,
            handler,
            work: Work::new(),
            desk: None,
            introduced: false,
            was_open: false,
            time_is_up: false,
            armed: None,
            stride: 1,
            busy_poll: None,
            asking_since: None,
        }
    }

    /// Goes on asking the transport for more, for this long after the connection was last in use, before it rests; `None` (default)
    /// rests at once.
    ///
    /// A task that rests has to be woken by the system, and on many machines that takes far longer than the way to the other
    /// end and back: where every microsecond counts, asking without a pause makes a call several times as fast. It costs
    /// the time of a whole core while the connection is in use, and for this long after it: of the thread that
    /// drives it, where other tasks still have their turns in between. A few times the usual pause between two calls
    /// is a good choice, such as 50 to 200 µs; more connections of one thread than a few take it from each other.
    ///
    /// A transport that cannot be [asked](Io::read_now) rests as if this were `None`.
    pub fn busy_poll(mut self, busy_poll: Option<Duration>) -> Self {
        let micros = busy_poll.map(|longest| u32::try_from(longest.as_micros()).unwrap_or(u32::MAX).max(1));
        self.busy_poll = micros.and_then(NonZeroU32::new);
        self
    }

    /// Whether the handshake came to a good end.
    pub fn was_open(&self) -> bool {
        self.was_open
    }

    /// The handle of the connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What wakes it in time.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn sleep(&self) -> &S {
        &self.sleep
    }

    /// How many handlers wait.
    #[cfg(test)]
    pub(super) fn waiting_handlers(&self) -> usize {
        self.work.waiting()
    }

    fn now(&self) -> Instant {
        self.peer.shared().clock.now()
    }

    /// What lies before it while it is at work.
    fn desk(&mut self) -> &mut Desk {
        self.desk.get_or_insert_with(Desk::take)
    }

    /// Whether there are events that nobody has dealt with.
    fn has_post(&self) -> bool {
        self.desk.as_ref().is_some_and(|desk| !desk.inbox.is_empty())
    }

    /// Leaves the desk to others.
    fn stand_up(&mut self) {
        self.desk = self.desk.take().and_then(Desk::leave);
    }
}

impl<I, S, H: Handler> Driver<I, S, H> {
    /// Drops the handlers that still wait, and tells the application, once.
    fn say_goodbye(&mut self, reason: &CloseReason) {
        let work = core::mem::replace(&mut self.work, Work::new());
        // A handler that panics even while it is dropped takes nobody else with it.
        drop(catch_unwind(AssertUnwindSafe(|| drop(work))));
        if core::mem::take(&mut self.introduced) {
            let Self { peer, handler, .. } = self;
            // The connection has ended whatever the handler makes of it.
            drop(catch_unwind(AssertUnwindSafe(|| handler.close(peer, reason))));
        }
        // They may hold handles of this very connection.
        let attributes = self.peer.shared().lock().forget();
        drop(catch_unwind(AssertUnwindSafe(|| drop(attributes))));
    }
}

impl<I: Io, S: Sleep, H: Handler> Future for Driver<I, S, H> {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        let asked = this.ask_on(cx);
        if asked == Some(Asked::Nothing) {
            return Poll::Pending;
        }
        let polled = this.work_on(cx, asked);
        this.stand_up();
        polled
    }
}

impl<I, S, H: Handler> Drop for Driver<I, S, H> {
    fn drop(&mut self) {
        let shared = self.peer.shared();
        let now = shared.clock.now();
        let mut wakers = Wakers::default();
        shared.lock().abandon(now, &mut wakers);
        wakers.wake();
        let reason = shared.lock().connection.close_reason().cloned();
        if let Some(reason) = reason {
            self.say_goodbye(&reason);
        }
    }
}

impl<I, S, H: Handler> fmt::Debug for Driver<I, S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("peer", &self.peer).finish_non_exhaustive()
    }
}
