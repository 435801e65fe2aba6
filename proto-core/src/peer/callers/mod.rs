//! Callers that wait: first in line until the connection accepts their call, then for its outcome.
//!
//! All of it lies under the connection's lock, so nothing here wakes a task or drops a value of the application: both
//! are handed out, for whoever holds the lock to do after it.

mod line;
mod maybe;
mod table;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use core::time::Duration;

use crate::error::{CloseReason, Delivery};
use crate::event::{CallId, Message};
use crate::peer::error::CallError;
use crate::peer::seats::Seats;
use crate::peer::shared::{CallResult, Wakers, is_draining};
use crate::time::Instant;

use self::table::Table;

pub(in crate::peer) use self::maybe::MaybeCallers;

/// For how many callers room is kept while nobody waits.
const KEPT: usize = 128;

/// Callers that wait, in line or for an outcome.
#[derive(Debug)]
pub(in crate::peer) struct Callers {
    table: Table,
    /// Numbers callers, so that one that has left cannot be taken for the next in its place.
    tickets: u64,
    /// Who waits to be accepted. Those that have left in between are skipped.
    line: VecDeque<CallerKey>,
    /// How many of them have not left.
    standing: usize,
    /// Somebody has left the line, so that the next one may fit where the first did not.
    moved_up: bool,
    /// Bytes of messages in line.
    line_bytes: usize,
    /// Lengths of replies that their callers have not taken.
    reply_bytes: usize,
    /// Bytes of messages that are kept to call again with.
    kept_bytes: usize,
    line_deadlines: BTreeSet<(Instant, CallerKey)>,
    /// Whose calls are still to be dated.
    undated: Vec<Undated>,
    /// Who waits for the outcome of each call.
    seats: Seats,
}

/// A caller whose call was made without asking for the time, and how long the call may take from when that is known.
type Undated = (CallerKey, Option<Duration>);

/// Where a caller stands in the table, and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::peer) struct CallerKey {
    ticket: u64,
    index: u32,
}

impl CallerKey {
    /// No caller has it.
    pub(in crate::peer) const NOBODY: Self = Self { ticket: 0, index: 0 };
}

#[derive(Debug)]
pub(in crate::peer) struct Caller {
    /// Where nobody stands, the next such place: a stage that says so would have to be moved here.
    ticket: u64,
    waker: Option<Waker>,
    stage: Stage,
    /// What is in line; or what to call again with, if the connection is lost on which it was accepted and another one may follow.
    /// It is dropped where no lock is held.
    queued: Option<Queued>,
    /// How the connection ended on which it was sent before: it may have been run, whatever becomes of it now.
    sent_before: Option<Box<CloseReason>>,
}

#[derive(Debug)]
enum Stage {
    /// Nobody stands here.
    Vacant,
    InLine,
    /// Taken out of the line, to be accepted or put back.
    Admitting,
    Accepted(CallId),
    /// By a reply that is nothing but its body, as nearly all are.
    Answered(Box<[u8]>),
    Ended(Box<CallResult>),
}

#[derive(Clone, Debug)]
pub(in crate::peer) struct Queued {
    pub(in crate::peer) message: Message,
    pub(in crate::peer) deadline: Option<Instant>,
    /// Running it twice does no harm.
    pub(in crate::peer) idempotent: bool,
}

/// How a call stands.
#[derive(Debug)]
pub(in crate::peer) enum Polled {
    Waits,
    /// By a reply that is nothing but its body.
    Answered(Box<[u8]>),
    /// By something else.
    Ended(Box<CallResult>),
}

/// What a caller that was polled no longer needs.
#[derive(Debug, Default)]
pub(in crate::peer) struct Spent {
    waker: Option<Waker>,
    again: Option<Queued>,
}

impl Callers {
    const fn new() -> Self {
        Self {
            table: Table::new(),
            tickets: 0,
            line: VecDeque::new(),
            standing: 0,
            moved_up: false,
            line_bytes: 0,
            reply_bytes: 0,
            kept_bytes: 0,
            line_deadlines: BTreeSet::new(),
            undated: Vec::new(),
            seats: Seats::new(),
        }
    }

    /// Lengths of replies that their callers have not taken.
    pub(in crate::peer) const fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Bytes of the application that wait here: messages in line, those kept to call again with, and replies that their
    /// callers have not taken.
    pub(in crate::peer) const fn held_bytes(&self) -> usize {
        self.line_bytes + self.reply_bytes + self.kept_bytes
    }

    /// A caller whose call was accepted, and what is kept to call again with.
    #[inline]
    pub(in crate::peer) fn add_accepted(
        &mut self,
        call: CallId,
        again: impl FnOnce() -> Option<Queued>,
        waker: &Waker,
    ) -> CallerKey {
        let (key, caller) = self.add(waker);
        caller.stage.go_on(Stage::Accepted(call));
        caller.queued = again();
        let kept = kept_len(caller.queued.as_ref());
        self.kept_bytes += kept;
        self.seats.take(call, key.index);
        key
    }

    /// A caller's call was accepted, and its time, if it has one, begins with the driver's next turn.
    pub(in crate::peer) fn date_later(&mut self, key: CallerKey, after: Option<Duration>) {
        self.undated.push((key, after));
    }

    pub(in crate::peer) fn has_undated(&self) -> bool {
        !self.undated.is_empty()
    }

    /// The calls that were not dated were made now.
    pub(in crate::peer) fn date(&mut self, now: Instant, mut set: impl FnMut(CallId, Instant)) {
        let Self { table, undated, .. } = self;
        for (key, after) in undated.drain(..) {
            let (Some(after), Some(caller)) = (after, table.find(key)) else { continue };
            if let Stage::Accepted(call) = caller.stage {
                if let Some(again) = &mut caller.queued {
                    again.deadline = Some(now + after);
                }
                set(call, now + after);
            }
        }
        undated.shrink_to(KEPT);
    }

    /// A caller that goes to the end of the line.
    pub(in crate::peer) fn add_in_line(&mut self, queued: Queued, waker: &Waker) -> CallerKey {
        self.count_in(&queued);
        let deadline = queued.deadline;
        let (key, caller) = self.add(waker);
        (caller.stage, caller.queued) = (Stage::InLine, Some(queued));
        self.line.push_back(key);
        self.line_deadlines.extend(deadline.map(|at| (at, key)));
        key
    }

    /// What has become of a caller's call; if nothing yet, `waker` is woken when it does. Leaves in `spent` what is to be dropped
    /// without the lock.
    #[inline]
    pub(in crate::peer) fn poll(&mut self, key: CallerKey, waker: &Waker, spent: &mut Spent) -> Polled {
        let Some(caller) = self.table.find(key) else {
            debug_assert!(false, "a caller has its place until it has heard of the end");
            return Polled::Waits;
        };
        let reply;
        let polled = match &mut caller.stage {
            Stage::Answered(body) => {
                reply = body.len();
                Polled::Answered(mem::take(body))
            }
            stage @ Stage::Ended(_) => match mem::replace(stage, Stage::Admitting) {
                Stage::Ended(result) => {
                    reply = reply_len(&result);
                    Polled::Ended(result)
                }
                _ => return Polled::Waits,
            },
            _ => {
                if caller.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                    spent.waker = caller.waker.replace(waker.clone());
                }
                return Polled::Waits;
            }
        };
        caller.sent_before = None;
        let kept = kept_len(caller.queued.as_ref());
        spent.again = caller.queued.take();
        self.table.free(key.index);
        self.end_counting(reply, kept);
        self.shrink();
        polled
    }

    /// A caller leaves. Gives its call, if one is under way, and what it leaves behind, to be dropped without the lock.
    pub(in crate::peer) fn leave(&mut self, key: CallerKey) -> (Option<CallId>, Option<Caller>) {
        if self.table.find(key).is_none() {
            return (None, None);
        }
        let caller = self.table.remove(key.index);
        let kept = kept_len(caller.queued.as_ref());
        let mut call = None;
        match &caller.stage {
            Stage::Accepted(accepted) => {
                self.seats.leave(*accepted);
                self.end_counting(0, kept);
                call = Some(*accepted);
            }
            Stage::Answered(body) => self.end_counting(body.len(), kept),
            Stage::Ended(result) => self.end_counting(reply_len(result), kept),
            Stage::InLine => {
                if let Some(queued) = &caller.queued {
                    if let Some(at) = queued.deadline {
                        self.line_deadlines.remove(&(at, key));
                    }
                    self.count_out(queued);
                }
                self.moved_up = true;
                self.forget_leavers();
            }
            Stage::Vacant | Stage::Admitting => {}
        }
        // Last, since whoever leaves last leaves nothing to be counted.
        self.shrink();
        (call, Some(caller))
    }

    /// What a call came to has gone, and so has what was kept to call again with.
    #[inline]
    const fn end_counting(&mut self, reply: usize, kept: usize) {
        self.reply_bytes -= reply;
        self.kept_bytes -= kept;
    }

    #[inline]
    fn add(&mut self, waker: &Waker) -> (CallerKey, &mut Caller) {
        self.tickets += 1;
        let ticket = self.tickets;
        let (index, caller) = self.table.take();
        caller.ticket = ticket;
        caller.waker = Some(waker.clone());
        (CallerKey { ticket, index }, caller)
    }

    pub(in crate::peer) fn accept(&mut self, key: CallerKey, call: CallId, again: Option<Queued>) {
        self.kept_bytes += kept_len(again.as_ref());
        let caller = &mut self.table[key.index];
        (caller.stage, caller.queued) = (Stage::Accepted(call), again);
        self.seats.take(call, key.index);
    }

    /// The reply to an accepted call, which says nothing beside its body.
    #[inline]
    pub(in crate::peer) fn answer(&mut self, call: CallId, body: Box<[u8]>, wakers: &mut Wakers) {
        let Some(index) = self.seats.leave(call) else { return };
        let caller = &mut self.table[index];
        self.reply_bytes += body.len();
        caller.stage.go_on(Stage::Answered(body));
        wakers.extend(caller.waker.take());
    }

    /// The outcome of an accepted call. If another connection may follow, one that was lost or came too late for this one,
    /// and was certainly not run, or may be run twice, goes back in line.
    pub(in crate::peer) fn end(&mut self, call: CallId, result: CallResult, hope: bool, wakers: &mut Wakers) {
        let Some(index) = self.seats.leave(call) else { return };
        let key = CallerKey { ticket: self.table[index].ticket, index };
        let (delivery, reason) = match &result {
            Err(CallError::Lost { delivery, reason }) => (Some(*delivery), Some(reason)),
            result if is_draining(result) => (Some(Delivery::NotSent), None),
            _ => (None, None),
        };
        let again = delivery.filter(|_| hope).and_then(|delivery| self.take_again(key, delivery, reason));
        if let Some(queued) = again {
            self.step_back(key, queued);
            return;
        }
        self.finish(key, result, wakers);
    }

    /// What to call again with, if that may be done.
    fn take_again(
        &mut self,
        key: CallerKey,
        delivery: Delivery,
        reason: Option<&CloseReason>,
    ) -> Option<Queued> {
        let caller = &mut self.table[key.index];
        let queued = caller.queued.take_if(|again| again.idempotent || delivery == Delivery::NotSent)?;
        if delivery == Delivery::MaybeSent {
            caller.sent_before = reason.cloned().map(Box::new);
        }
        self.kept_bytes -= kept_len(Some(&queued));
        Some(queued)
    }

    pub(in crate::peer) fn finish(&mut self, key: CallerKey, mut result: CallResult, wakers: &mut Wakers) {
        let caller = &mut self.table[key.index];
        if let Some(reason) = caller.sent_before.take() {
            result = result.map_err(|error| tell_the_truth(error, *reason));
        }
        self.reply_bytes += reply_len(&result);
        wakers.extend(caller.waker.take());
        let was_in_line = matches!(caller.stage, Stage::InLine);
        caller.stage = Stage::Ended(Box::new(result));
        if let Some(queued) = caller.queued.take_if(|_| was_in_line) {
            self.count_out(&queued);
            self.moved_up = true;
            wakers.discard_message(queued.message);
        }
    }

    /// Gives back what many callers needed, when the last of them has gone.
    fn shrink(&mut self) {
        if self.table.is_empty() && self.table.capacity() > KEPT {
            *self = Self { moved_up: self.moved_up, tickets: self.tickets, ..Self::new() };
        }
    }
}

impl Stage {
    /// The next stage, behind one that is known to own nothing: forgetting it spares the compiler's search for what to drop.
    #[inline]
    fn go_on(&mut self, next: Self) {
        let before = mem::replace(self, next);
        debug_assert!(match &before {
            Self::Vacant | Self::InLine | Self::Admitting | Self::Accepted(_) => true,
            Self::Answered(body) => body.is_empty(),
            Self::Ended(_) => false,
        });
        mem::forget(before);
    }
}

impl Caller {
    const fn vacant(next: u32) -> Self {
        Self { ticket: next as u64, waker: None, stage: Stage::Vacant, queued: None, sent_before: None }
    }
}

/// What a call came to that may have been run on an earlier connection.
fn tell_the_truth(error: CallError, reason: CloseReason) -> CallError {
    let delivery = Delivery::MaybeSent;
    match error {
        CallError::TimedOut(_) => CallError::TimedOut(delivery),
        CallError::Lost { reason, .. } => CallError::Lost { delivery, reason },
        error if error.may_have_run() => error,
        // It was not run this time. Nobody knows about the first.
        _ => CallError::Lost { delivery, reason },
    }
}

fn kept_len(again: Option<&Queued>) -> usize {
    again.map_or(0, |queued| queued.message.held_bytes())
}

/// How much of what a caller has not taken counts as an undelivered reply.
fn reply_len(result: &CallResult) -> usize {
    match result {
        Ok(reply) => reply.extensions.held_bytes() + reply.body.len(),
        Err(CallError::Status(status)) => status.body.len(),
        Err(_) => 0,
    }
}
