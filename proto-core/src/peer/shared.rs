//! What the handles of a connection and its driver share, behind one lock.
//!
//! Callers wait in a table of their own: first in line until the connection accepts their call, then by slot until its
//! outcome comes. Nothing here wakes a task or drops a value of the application while the lock is held: wakers are
//! collected in [`Wakers`] and woken by whoever held the lock, after it.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;
use core::sync::atomic::AtomicU64;
use core::task::Waker;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::attributes::Attributes;
use super::clock::Clock;
use super::error::{CallError, Status};
use super::handler::Reply;
use crate::connection::Connection;
use crate::error::{CloseReason, Delivery, Refusal, Refused, TransportError};
use crate::event::{CallId, Event, Message, Outcome, Timeout};
use crate::time::Instant;

/// What a call comes to.
pub(super) type CallResult = Result<Reply, CallError>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) remote: Option<SocketAddr>,
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
    /// Numbers callers, so that one that has left cannot be taken for the next in its place.
    pub(super) tickets: AtomicU64,
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
            let result = change(&mut state, now, &mut wakers);
            wakers.extend(state.driver.take());
            result
        };
        wakers.wake();
        result
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) callers: Callers,
    /// The driver, if it has nothing to do.
    pub(super) driver: Option<Waker>,
    /// Tasks that wait for room, or for the connection to open or end.
    pub(super) watchers: Vec<Waker>,
    pub(super) attributes: Attributes,
    /// No driver is left, so nothing will ever change.
    pub(super) abandoned: bool,
}

impl State {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            callers: Callers::default(),
            driver: None,
            watchers: Vec::new(),
            attributes: Attributes::default(),
            abandoned: false,
        }
    }

    /// Takes the events that have come: outcomes go to their callers, the rest to `inbox`.
    pub(super) fn sort_events(&mut self, now: Instant, inbox: &mut VecDeque<Event>, wakers: &mut Wakers) {
        let mut room = false;
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Ended { call, outcome } => {
                    let result = outcome_to_result(outcome, self.connection.close_reason());
                    self.callers.end(call, result, wakers);
                }
                Event::Writable => room = true,
                Event::Open(_) | Event::Closed(_) => {
                    room = true;
                    inbox.push_back(event);
                }
                _ => inbox.push_back(event),
            }
        }
        if room {
            self.admit_queue(now, wakers);
            wakers.extend(self.watchers.drain(..));
        }
    }

    /// Lets callers in, first in line first, as long as the connection accepts their calls.
    fn admit_queue(&mut self, now: Instant, wakers: &mut Wakers) {
        while let Some((key, queued)) = self.callers.first_in_line() {
            let timeout = match queued.deadline {
                Some(at) => Timeout::After(at.saturating_since(now)),
                None => Timeout::Never,
            };
            match self.connection.call(now, queued.message, timeout) {
                Ok(call) => self.callers.accept(key, call),
                Err(Refused { refusal: Refusal::Full | Refusal::NoSlot, message }) => {
                    self.callers.back_in_line(key, Queued { message, ..queued });
                    return;
                }
                Err(refused) => self.callers.finish(key, Err(self.refuse(refused)), wakers),
            }
        }
    }

    /// What a caller is told when the connection does not take its call for good.
    pub(super) fn refuse(&self, refused: Refused) -> CallError {
        match (refused.refusal, self.connection.close_reason()) {
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
        self.callers.time_out(now, wakers);
    }

    /// Nobody drives the connection any more: whoever waits is told so.
    pub(super) fn abandon(&mut self, now: Instant, wakers: &mut Wakers) {
        self.abandoned = true;
        self.connection.handle_transport_error(now, TransportError::Other);
        let mut rest = VecDeque::new();
        self.sort_events(now, &mut rest, wakers);
        wakers.extend(self.watchers.drain(..));
        wakers.discard(rest);
    }
}

/// Tasks to be woken and values to be dropped once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    wakers: Vec<Waker>,
    retired: Option<Waker>,
    discarded: VecDeque<Event>,
}

impl Wakers {
    pub(super) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.wakers.extend(wakers);
    }

    fn discard(&mut self, events: VecDeque<Event>) {
        self.discarded.extend(events);
    }

    fn retire(&mut self, waker: Waker) {
        self.retired = Some(waker);
    }

    pub(super) fn wake(self) {
        for waker in self.wakers {
            waker.wake();
        }
    }
}

/// Callers that wait, in line or for an outcome.
#[derive(Debug, Default)]
pub(super) struct Callers {
    table: Slab<Caller>,
    /// Who waits to be accepted. Those that have left in between are skipped.
    line: VecDeque<CallerKey>,
    line_deadlines: BTreeSet<(Instant, CallerKey)>,
    /// Who waits for the outcome of the call in each slot.
    by_slot: Vec<Option<CallerKey>>,
    seated: usize,
}

/// Where a caller stands in the table, and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallerKey {
    ticket: u64,
    index: usize,
}

#[derive(Debug)]
pub(super) struct Caller {
    ticket: u64,
    waker: Option<Waker>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    InLine(Queued),
    /// Taken out of the line, to be accepted or put back.
    AtTheDesk,
    Accepted(CallId),
    Ended(CallResult),
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Message,
    pub(super) deadline: Option<Instant>,
}

impl Callers {
    /// Whether somebody waits to be accepted, so that who comes now goes behind.
    pub(super) fn is_line(&self) -> bool {
        !self.line.is_empty()
    }

    /// A caller whose call was accepted.
    pub(super) fn add_accepted(&mut self, ticket: u64, call: CallId, waker: Waker) -> CallerKey {
        let key = self.add(ticket, Stage::Accepted(call), waker);
        self.seat(key, call);
        key
    }

    /// A caller that goes to the end of the line.
    pub(super) fn add_in_line(&mut self, ticket: u64, queued: Queued, waker: Waker) -> CallerKey {
        let deadline = queued.deadline;
        let key = self.add(ticket, Stage::InLine(queued), waker);
        self.line.push_back(key);
        self.line_deadlines.extend(deadline.map(|at| (at, key)));
        key
    }

    /// What has become of a caller's call; if nothing yet, `waker` is woken when it does.
    pub(super) fn poll(&mut self, key: CallerKey, waker: &Waker, wakers: &mut Wakers) -> Option<CallResult> {
        let caller = self.table.get_mut(key.index).filter(|caller| caller.ticket == key.ticket)?;
        if matches!(caller.stage, Stage::Ended(_)) {
            let Stage::Ended(result) = self.remove(key).stage else { return None };
            return Some(result);
        }
        if caller.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            if let Some(old) = caller.waker.replace(waker.clone()) {
                wakers.retire(old);
            }
        }
        None
    }

    /// A caller leaves. Gives its call, if one is under way, and what it leaves behind, to be dropped without the lock.
    pub(super) fn leave(&mut self, key: CallerKey) -> (Option<CallId>, Option<Caller>) {
        if self.table.get(key.index).is_none_or(|caller| caller.ticket != key.ticket) {
            return (None, None);
        }
        let caller = self.remove(key);
        let call = match &caller.stage {
            Stage::Accepted(call) => {
                self.unseat(*call);
                Some(*call)
            }
            Stage::InLine(queued) => {
                if let Some(at) = queued.deadline {
                    self.line_deadlines.remove(&(at, key));
                }
                self.forget_leavers();
                None
            }
            Stage::AtTheDesk | Stage::Ended(_) => None,
        };
        (call, Some(caller))
    }

    fn add(&mut self, ticket: u64, stage: Stage, waker: Waker) -> CallerKey {
        let index = self.table.insert(Caller { ticket, waker: Some(waker), stage });
        CallerKey { ticket, index }
    }

    fn seat(&mut self, key: CallerKey, call: CallId) {
        let slot = usize::from(call.slot());
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, None);
        }
        self.by_slot[slot] = Some(key);
        self.seated += 1;
    }

    fn unseat(&mut self, call: CallId) -> Option<CallerKey> {
        let key = self.by_slot.get_mut(usize::from(call.slot()))?.take()?;
        self.seated -= 1;
        if self.seated == 0 {
            self.by_slot = Vec::new();
        }
        Some(key)
    }

    /// Takes the next caller out of the line.
    fn first_in_line(&mut self) -> Option<(CallerKey, Queued)> {
        loop {
            let key = self.line.pop_front()?;
            let Some(caller) = self.table.get_mut(key.index) else { continue };
            if caller.ticket != key.ticket || !matches!(caller.stage, Stage::InLine(_)) {
                continue;
            }
            if let Stage::InLine(queued) = mem::replace(&mut caller.stage, Stage::AtTheDesk) {
                if let Some(at) = queued.deadline {
                    self.line_deadlines.remove(&(at, key));
                }
                return Some((key, queued));
            }
        }
    }

    fn back_in_line(&mut self, key: CallerKey, queued: Queued) {
        self.line_deadlines.extend(queued.deadline.map(|at| (at, key)));
        self.table[key.index].stage = Stage::InLine(queued);
        self.line.push_front(key);
    }

    fn accept(&mut self, key: CallerKey, call: CallId) {
        self.table[key.index].stage = Stage::Accepted(call);
        self.seat(key, call);
    }

    /// The outcome of an accepted call.
    fn end(&mut self, call: CallId, result: CallResult, wakers: &mut Wakers) {
        if let Some(key) = self.unseat(call) {
            self.finish(key, result, wakers);
        }
    }

    fn finish(&mut self, key: CallerKey, result: CallResult, wakers: &mut Wakers) {
        let caller = &mut self.table[key.index];
        caller.stage = Stage::Ended(result);
        wakers.extend(caller.waker.take());
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.line_deadlines.first().map(|&(at, _)| at)
    }

    /// Ends the calls whose deadline has passed while they stood in line.
    fn time_out(&mut self, now: Instant, wakers: &mut Wakers) {
        while let Some(&(at, key)) = self.line_deadlines.first() {
            if at > now {
                return;
            }
            self.line_deadlines.pop_first();
            self.finish(key, Err(CallError::TimedOut(Delivery::NotSent)), wakers);
            self.forget_leavers();
        }
    }

    fn remove(&mut self, key: CallerKey) -> Caller {
        let caller = self.table.remove(key.index);
        if self.table.is_empty() {
            // Nobody waits, so nothing is held for those who do.
            self.table = Slab::new();
            self.line = VecDeque::new();
        }
        caller
    }

    /// Keeps the line from filling up with those that have left it.
    fn forget_leavers(&mut self) {
        if self.line.len() > 2 * self.table.len() + 16 {
            let Self { table, line, .. } = self;
            line.retain(|key| {
                table.get(key.index).is_some_and(|caller| {
                    caller.ticket == key.ticket && matches!(caller.stage, Stage::InLine(_))
                })
            });
        }
    }
}

fn outcome_to_result(outcome: Outcome, reason: Option<&CloseReason>) -> CallResult {
    match outcome {
        Outcome::Reply { status, extensions, body } if status.is_ok() => Ok(Reply { extensions, body }),
        Outcome::Reply { status, body, .. } => Err(CallError::Status(Status { code: status, body }.into())),
        Outcome::Discarded => Err(CallError::Discarded),
        Outcome::TimedOut(delivery) => Err(CallError::TimedOut(delivery)),
        Outcome::Lost(delivery) => {
            let reason = reason.cloned().unwrap_or(CloseReason::Transport(TransportError::Other));
            Err(CallError::Lost { delivery, reason })
        }
    }
}

/// How long `timeout` is, by this configuration.
pub(super) fn resolve(timeout: Timeout, default: Option<Duration>) -> Option<Duration> {
    match timeout {
        Timeout::Default => default,
        Timeout::After(duration) => Some(duration),
        Timeout::Never => None,
    }
}
