//! What the handles of a connection and its driver share, behind one lock.
//!
//! Callers wait in a table of their own: first in line until the connection accepts their call, then for its outcome.
//! Nothing here wakes a task or drops a value of the application while the lock is held: wakers are
//! collected in [`Wakers`] and woken by whoever held the lock, after it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::mem;
use core::net::{Ipv4Addr, SocketAddr};
use core::task::{Context, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::appetite::Appetite;
use super::aside::Aside;
use super::attributes::Attributes;
use super::callers::{MaybeCallers, Queued};
use super::clock::Clock;
use super::error::CallError;
use super::messages::Reply;
use super::session::WhileDown;
use super::spare;
use super::watch::Watchers;
use crate::connection::{Arrival, Connection};
use crate::error::{CloseReason, Delivery, Refusal, Refused, TransportError};
use crate::event::{Message, Timeout};
use crate::time::Instant;
use crate::wire::{CloseCode, StatusCode};

/// What a call comes to.
pub(super) type CallResult = Result<Reply, CallError>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a defect of this crate; the state is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, then wakes whom it concerns.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State, Instant, &mut Wakers) -> T) -> T {
        let now = self.clock.now();
        let mut wakers = Wakers::default();
        let result = {
            let mut state = self.lock();
            state.borrow();
            let result = change(&mut state, now, &mut wakers);
            state.tell_connection(now);
            wakers.driver = state.take_driver(now);
            result
        };
        wakers.wake();
        result
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    remote: Remote,
    pub(super) aside: Aside,
    pub(super) callers: MaybeCallers,
    /// The driver, as it came to rest last.
    pub(super) driver: Option<Waker>,
    /// How much the driver reads at a time.
    pub(super) appetite: Appetite,
    /// Those who wait have been told that the connection is ending.
    pub(super) ending: bool,
    /// The driver has nothing to do: whoever has something for it wakes it.
    pub(super) rests: bool,
    /// It has come to rest, and its memory is with others.
    has_lent: bool,
    /// There is no connection with which attributes could be kept.
    pub(super) forgets: bool,
}

impl State {
    pub(super) fn new(connection: Connection, remote: Option<SocketAddr>) -> Self {
        let mut state = Self {
            connection,
            remote: Remote::Unknown,
            aside: Aside::default(),
            callers: MaybeCallers::default(),
            driver: None,
            appetite: Appetite::new(),
            ending: false,
            rests: false,
            has_lent: false,
            forgets: false,
        };
        state.set_remote(remote);
        state
    }

    /// Where the other end is, if the transport has such addresses.
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        match self.remote {
            Remote::Unknown => None,
            Remote::Short(address, port) => Some(SocketAddr::from((address, port))),
            Remote::Aside => self.aside.remote(),
        }
    }

    pub(super) fn set_remote(&mut self, remote: Option<SocketAddr>) {
        let (short, long) = match remote {
            None => (Remote::Unknown, None),
            Some(SocketAddr::V4(address)) => (Remote::Short(*address.ip(), address.port()), None),
            long => (Remote::Aside, long),
        };
        self.remote = short;
        self.aside.set_remote(long);
    }

    /// Keeps a value with the connection. Gives the one that it replaces, or itself after the end: to be dropped without the lock.
    pub(super) fn set_attribute(
        &mut self,
        value: Arc<dyn Any + Send + Sync>,
    ) -> Option<Box<dyn Any + Send + Sync>> {
        if self.forgets { Some(Box::new(value)) } else { self.aside.attributes_mut().insert(value) }
    }

    /// From here on no attributes are kept. Gives those that there were, to be dropped without the lock.
    pub(super) fn forget(&mut self) -> Option<Attributes> {
        self.forgets = true;
        self.aside.take_attributes()
    }

    /// Tasks that wait for something to change, to be woken without the lock.
    pub(super) fn take_watchers(&mut self) -> Vec<Waker> {
        self.aside.watchers().map_or_else(Vec::new, Watchers::take_all)
    }

    /// Comes to rest: lends the memory that nothing has a place in.
    pub(super) fn lend(&mut self) {
        spare::lend(&mut self.connection, &mut self.callers);
        self.has_lent = true;
    }

    /// How much to read now.
    pub(super) fn appetite(&mut self, is_busy: bool) -> usize {
        self.appetite.next(self.connection.counters(), self.connection.in_flight(), is_busy)
    }

    /// The driver, to be woken if it has nothing to do. From here on calls are made without asking for the time, so the connection
    /// knows it.
    pub(super) fn take_driver(&mut self, now: Instant) -> Option<Waker> {
        if !mem::take(&mut self.rests) {
            return None;
        }
        let driver = self.driver.take()?;
        self.connection.observe(now);
        Some(driver)
    }

    /// The driver comes to rest, until it is woken. Gives a waker to be dropped without the lock.
    pub(super) fn park(&mut self, cx: &Context<'_>) -> Option<Waker> {
        self.lend();
        self.rests = true;
        match &mut self.driver {
            Some(known) if known.will_wake(cx.waker()) => None,
            known => known.replace(cx.waker().clone()),
        }
    }

    /// The driver has its turn. Says whether it was at rest, so that nobody here has woken it.
    pub(super) fn begin_turn(&mut self) -> bool {
        self.borrow();
        mem::take(&mut self.rests)
    }

    /// Begins to work, with the memory that others have lent.
    pub(super) fn borrow(&mut self) {
        if mem::take(&mut self.has_lent) {
            spare::borrow(&mut self.connection, &mut self.callers);
        }
    }

    /// Whether a call that is made now waits for another connection: there is none that takes it, and one may follow.
    pub(super) fn is_down(&self) -> bool {
        !self.connection.is_open() && self.aside.session().is_some_and(|session| session.has_hope())
    }

    /// Whether somebody wants to push while there is no connection.
    pub(super) fn wants_to_push(&self) -> bool {
        self.aside.session().is_some_and(|session| session.wanted)
    }

    /// Whether one more call may wait while there is no connection.
    pub(super) fn may_wait(&self, message: &Message) -> Result<(), Refusal> {
        let policy = self.aside.session().map(|session| session.policy);
        match policy.unwrap_or_default() {
            WhileDown::Fail => Err(Refusal::NotOpen),
            WhileDown::Wait { calls, bytes } => {
                let (waiting, held) = self.callers.line();
                let fits = waiting < calls && held + message.held_bytes() <= bytes;
                if fits { Ok(()) } else { Err(Refusal::Full) }
            }
        }
    }

    /// Why there is no connection and never will be again.
    pub(super) fn end(&self) -> Option<&CloseReason> {
        match self.aside.session() {
            Some(session) => session.state.end(),
            None => self.connection.close_reason().filter(|_| self.connection.is_closed()),
        }
    }

    /// The application wants the end, by this means. A client does not come back after it.
    pub(super) fn stop(&mut self, now: Instant, code: CloseCode, end: impl FnOnce(&mut Connection)) {
        if let Some(session) = self.aside.session_mut() {
            session.stopping.get_or_insert(CloseReason::Local(code));
        }
        // Who waits in line has no other connection to wait for now.
        self.tell_connection(now);
        end(&mut self.connection);
    }

    pub(super) fn push(&mut self, now: Instant, message: Message) -> Result<(), Refused> {
        match self.connection.push(now, message) {
            // There is nothing to push to, but there may be again.
            Err(Refused { refusal: Refusal::Closed, message }) if self.is_down() => {
                if let Some(session) = self.aside.session_mut() {
                    session.wanted = true;
                }
                Err(Refused { refusal: Refusal::NotOpen, message })
            }
            result => result,
        }
    }

    /// A reply that its caller has not taken still counts against the limit, so that not taking replies has an end.
    pub(super) fn count_replies(&mut self) {
        self.connection.hold_replies(self.callers.reply_bytes());
    }

    /// Tells the connection of callers that it cannot know of. A call that stands in line was accepted as far as its caller
    /// knows, so a drain must not lose it.
    pub(super) fn tell_connection(&mut self, now: Instant) {
        self.count_replies();
        let elsewhere = self.aside.session().is_some_and(|session| session.has_hope());
        self.connection.hold_calls(now, self.callers.is_line() && !elsewhere);
    }

    /// Lets callers in, first in line first, as long as the connection accepts their calls.
    pub(super) fn admit_queue(&mut self, now: Instant, wakers: &mut Wakers) {
        if self.is_down() {
            return;
        }
        let keep = self.aside.session().is_some();
        while let Some((key, queued)) = self.callers.first_in_line() {
            let timeout = match queued.deadline {
                Some(at) => Timeout::After(at.saturating_since(now)),
                None => Timeout::Never,
            };
            let again = keep.then(|| queued.clone());
            match self.connection.call(now, queued.message, timeout) {
                Ok(call) => self.callers.accept(key, call, again),
                Err(Refused { refusal: Refusal::Full | Refusal::NoSlot, message }) => {
                    self.callers.step_back(key, Queued { message, ..queued });
                    return;
                }
                Err(refused) => {
                    let error = self.refuse(refused);
                    self.callers.finish(key, Err(error), wakers);
                }
            }
        }
    }

    /// What a caller is told when the connection does not take its call for good.
    pub(super) fn refuse(&self, refused: Refused) -> CallError {
        match (refused.refusal, self.end().or_else(|| self.connection.close_reason())) {
            (Refusal::Closed, Some(reason)) => {
                CallError::Lost { delivery: Delivery::NotSent, reason: reason.clone() }
            }
            _ => refused.into(),
        }
    }

    /// The earliest instant at which something is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let connection = self.connection.poll_timeout().map(|deadline| deadline.at);
        connection.into_iter().chain(self.callers.next_deadline()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, wakers: &mut Wakers) {
        self.connection.handle_timeout(now);
        if self.callers.next_deadline().is_some() {
            self.callers.time_out(now, wakers);
        }
        self.tell_connection(now);
    }

    /// Nobody drives the connection any more: whoever waits is told so.
    pub(super) fn abandon(&mut self, now: Instant, wakers: &mut Wakers) {
        self.connection.handle_transport_error(now, TransportError::Other);
        let mut rest = VecDeque::new();
        self.deliver_events(now, &mut rest, wakers);
        wakers.discard(rest);
    }
}

/// Where the other end is, in little room.
#[derive(Debug)]
enum Remote {
    Unknown,
    Short(Ipv4Addr, u16),
    /// A longer address.
    Aside,
}

/// Tasks to be woken and values to be dropped once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    driver: Option<Waker>,
    wakers: Vec<Waker>,
    /// Rarely any.
    dropped: Option<Box<Dropped>>,
}

#[derive(Debug, Default)]
struct Dropped {
    events: VecDeque<Arrival>,
    messages: Vec<Message>,
}

impl Wakers {
    /// For how many there is room between one turn and the next, at most.
    pub(super) const KEPT: usize = 4096;

    pub(super) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.wakers.extend(wakers);
    }

    fn discard(&mut self, events: VecDeque<Arrival>) {
        self.dropped.get_or_insert_default().events.extend(events);
    }

    /// A message of a caller that nobody wants any more.
    pub(super) fn discard_message(&mut self, message: Message) {
        self.dropped.get_or_insert_default().messages.push(message);
    }

    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.wakers.capacity()
    }

    /// Gives back the memory of many.
    pub(super) fn shrink(&mut self) {
        if self.wakers.capacity() > Self::KEPT {
            self.wakers = Vec::new();
        }
    }

    /// Wakes and drops all of them, and says whether anybody but the driver was woken.
    pub(super) fn wake(&mut self) -> bool {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
        self.dropped = None;
        let some = !self.wakers.is_empty();
        self.wakers.drain(..).for_each(Waker::wake);
        some
    }
}

/// Whether the peer did not run a call because the connection is coming to its end.
pub(super) fn is_draining(result: &CallResult) -> bool {
    matches!(result, Err(CallError::Status(status)) if status.code == StatusCode::DRAINING)
}
