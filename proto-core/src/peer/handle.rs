//! The handle of one connection.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::sync::Mutex;

use bytes::Bytes;

use super::call::Call;
use super::clock::Clock;
use super::shared::{Shared, State};
use super::watch::Watch;
use crate::connection::{Connection, Counters, RoundTrip};
use crate::error::{CloseReason, Refusal, Refused};
use crate::event::{Message, Route};
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo};

/// One end of a connection, to call and to push from. Both ends have the same one.
///
/// Cloning it is cheap, and all clones mean the same connection. It can be used from any thread and any task, whatever
/// runtime drives the connection.
#[derive(Clone)]
pub struct Peer(Arc<Shared>);

impl Peer {
    pub(super) fn new(id: u64, remote: Option<SocketAddr>, clock: Clock, connection: Connection) -> Self {
        let state = Mutex::new(State::new(connection, remote));
        Self(Arc::new(Shared { id, clock, state }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// What time it is on the clock of this connection, which deadlines are told by.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// Which connection this is: no two of one server have the same number. It is 0 on a client.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Where the other end is, if the transport has such addresses. Of a client that has lost its connection, where it was.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.0.lock().remote()
    }

    /// Calls the other end: `peer.call("echo", "hello").await`. Options are set on the [`Call`] before it is awaited.
    ///
    /// The body is handed over: for a borrowed slice, give [`Bytes::copy_from_slice`]. A route's name that is empty or longer
    /// than 255 bytes is [`Refusal::BadRoute`] when awaited.
    #[inline]
    pub fn call<'a>(&self, route: impl Into<Route<'a>>, body: impl Into<Bytes>) -> Call {
        match route.into() {
            Route::Number(number) => Call::new(self, Message::new(number, body)),
            named @ Route::Name(_) => self.call_named(named, body.into()),
        }
    }

    /// Calls the other end like [`call`](Self::call), but does not wait in line: without room or a slot the call ends with
    /// [`CallError::Refused`](super::CallError::Refused), which gives the message back.
    pub fn try_call<'a>(&self, route: impl Into<Route<'a>>, body: impl Into<Bytes>) -> Call {
        self.call(route, body).or_refuse()
    }

    /// Calls the other end with a message that was put together before.
    pub fn call_message(&self, message: Message) -> Call {
        Call::new(self, message)
    }

    fn call_named(&self, route: Route<'_>, body: Bytes) -> Call {
        match message(route, body) {
            Ok(message) => Call::new(self, message),
            Err(refused) => Call::refused(self, refused),
        }
    }

    /// Sends a message that wants no answer, at once.
    ///
    /// # Errors
    /// The message comes back if there is no room for it ([`Refusal::Full`]), if it is too long, or if the connection is not
    /// open. [`pushed`](Self::pushed) waits for room.
    pub fn push<'a>(&self, route: impl Into<Route<'a>>, body: impl Into<Bytes>) -> Result<(), Refused> {
        self.push_message(message(route.into(), body.into())?)
    }

    /// Sends a message that was put together before and wants no answer, at once.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn push_message(&self, message: Message) -> Result<(), Refused> {
        self.0.with(|state, now, _| state.push(now, message))
    }

    /// Sends a message that wants no answer as soon as there is room for it. Several that wait get room in no
    /// particular order.
    ///
    /// # Errors
    /// The message comes back if it is too long or if the connection is not open.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready drops the message unsent.
    pub async fn pushed<'a>(
        &self,
        route: impl Into<Route<'a>>,
        body: impl Into<Bytes>,
    ) -> Result<(), Refused> {
        let message = message(route.into(), body.into())?;
        self.pushed_message(message).await
    }

    /// Sends a message that was put together before and wants no answer, as soon as there is room for it.
    ///
    /// # Errors
    /// As for [`pushed`](Self::pushed).
    ///
    /// # Cancel safety
    /// As for [`pushed`](Self::pushed).
    pub async fn pushed_message(&self, message: Message) -> Result<(), Refused> {
        let mut waiting = Some(message);
        Watch::new(self.0.clone(), |state, now| {
            let Some(message) = waiting.take() else { return Poll::Ready(Ok(())) };
            match state.push(now, message) {
                Err(Refused { refusal, message })
                    if refusal == Refusal::Full || refusal == Refusal::NotOpen && state.is_down() =>
                {
                    waiting = Some(message);
                    Poll::Pending
                }
                result => Poll::Ready(result),
            }
        })
        .await
    }

    /// Closes: what was accepted is sent, then both sides part. Returns at once; [`closed`](Self::closed) waits.
    pub fn close(&self, code: CloseCode, info: CloseInfo) {
        self.0.with(|state, now, _| state.stop(now, code, |connection| connection.close(now, code, info)));
    }

    /// Brings the connection to its end without losing a call: no further ones are accepted, on both sides, those in flight are
    /// served, then both sides close. What is left after `within` is cut off. Returns at once; [`closed`](Self::closed) waits.
    ///
    /// Pushes are still accepted meanwhile.
    pub fn drain(&self, code: CloseCode, info: CloseInfo, within: Duration) {
        self.0.with(|state, now, wakers| {
            state.stop(now, code, |connection| connection.drain(now, code, info, within));
            if state.connection.is_draining() {
                // If the peer drains it too, it may take nobody from the line any more, and then they are told.
                state.admit_queue(now, wakers);
            }
            // No event says so to the side that begins it.
            wakers.extend(state.take_watchers());
        });
    }

    /// Ends the connection at once; what was waiting is lost.
    pub fn abort(&self, code: CloseCode) {
        self.0.with(|state, now, _| state.stop(now, code, |connection| connection.abort(now, code)));
    }

    /// Waits until the connection has ended, and says why. Of a client that comes back: until it does so no more.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        self.watch(|state| state.end().cloned())
    }

    /// Waits until the connection is open.
    ///
    /// # Errors
    /// Why it has ended or is ending instead.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn opened(&self) -> impl Future<Output = Result<(), CloseReason>> + Send + 'static {
        self.watch(|state| match state.end().or_else(|| state.connection.close_reason()) {
            Some(_) if state.is_down() => None,
            Some(reason) => Some(Err(reason.clone())),
            None => state.connection.is_running().then_some(Ok(())),
        })
    }

    /// Waits until the connection takes no further calls, because it [drains](Self::drain), is ending or has ended. Whoever
    /// goes on calling does so on another connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        self.watch(|state| {
            let connection = &state.connection;
            (connection.is_draining() || connection.close_reason().is_some()).then_some(())
        })
    }

    pub(super) fn watch<T>(
        &self,
        look: impl Fn(&State) -> Option<T> + Send + Unpin + 'static,
    ) -> impl Future<Output = T> + Send + 'static
    where
        T: Send + 'static,
    {
        Watch::new(self.0.clone(), move |state, _| match look(state) {
            Some(seen) => Poll::Ready(seen),
            None => Poll::Pending,
        })
    }

    /// Whether calls are accepted: the handshake is over and nothing has begun to end.
    pub fn is_open(&self) -> bool {
        self.0.lock().connection.is_open()
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn is_running(&self) -> bool {
        self.0.lock().connection.is_running()
    }

    /// Whether the connection is coming to its end, and takes no further calls.
    pub fn is_draining(&self) -> bool {
        self.0.lock().connection.is_draining()
    }

    /// Why the connection ended, or is ending; `None` while it is not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        let state = self.0.lock();
        let between = state.connection.is_closed() && state.is_down();
        state.connection.close_reason().filter(|_| !between).cloned()
    }

    /// How long the way to the other end and back takes, as far as heartbeats have measured it.
    pub fn round_trip(&self) -> RoundTrip {
        self.0.lock().connection.round_trip()
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> Counters {
        *self.0.lock().connection.counters()
    }

    /// Bytes that the connection holds in memory beside itself; see [`Connection::held_bytes`]. Calls that wait in line are
    /// in it, and replies that their callers have not taken.
    pub fn held_bytes(&self) -> usize {
        let state = self.0.lock();
        state.connection.held_bytes() + state.callers.held_bytes()
    }

    /// Calls of this end that hold a slot.
    pub fn calls_in_flight(&self) -> usize {
        self.0.lock().connection.calls_in_flight()
    }

    /// Keeps a value with the connection, in place of one of the same type, until the connection has ended and its handler
    /// has heard of it. After that nothing is kept.
    ///
    /// ```no_run
    /// # fn example(peer: &proto_core::peer::Peer) {
    /// struct User(String);
    /// peer.set_attribute(User("ada".into()));
    /// assert_eq!(peer.attribute::<User>().unwrap().0, "ada");
    /// # }
    /// ```
    pub fn set_attribute<T: Any + Send + Sync>(&self, value: T) {
        let replaced = self.0.lock().set_attribute(Arc::new(value));
        drop(replaced);
    }

    /// The value of this type that was kept with the connection.
    pub fn attribute<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.lock().aside.attributes()?.value()
    }
}

pub(crate) fn message(route: Route<'_>, body: Bytes) -> Result<Message, Refused> {
    match route {
        Route::Number(number) => Ok(Message::new(number, body)),
        Route::Name(name) => {
            // A body is shared, not copied, by cloning it.
            Message::named(name, body.clone())
                .map_err(|_| Refused { refusal: Refusal::BadRoute, message: Message::new(0, body) })
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id())
            .field("remote", &self.remote_addr())
            .finish_non_exhaustive()
    }
}
