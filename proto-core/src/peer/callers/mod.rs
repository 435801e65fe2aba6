//! Callers that wait: first in line until the connection accepts their call, then for its outcome.
//!
//! All of it lies under the connection's lock, so nothing here wakes a task or drops a value of the application: both
//! are handed out, for whoever holds the lock to do after it.

mod line;
mod maybe;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use slab::Slab;

use crate::error::{CloseReason, Delivery};
use crate::event::{CallId, Message};
use crate::peer::error::CallError;
use crate::peer::messages::Reply;
use crate::peer::seats::Seats;
use crate::peer::shared::{CallResult, Wakers, is_draining};
use crate::time::Instant;

pub(in crate::peer) use self::maybe::MaybeCallers;

/// For how many callers room is kept while nobody waits.
const KEPT: usize = 128;

/// Callers that wait, in line or for an outcome.
#[derive(Debug)]
pub(in crate::peer) struct Callers {
    table: Slab<Caller>,
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
    /// Whose deadlines are still to be set, and how long they wait from then on.
    undated: Vec<(CallerKey, Duration)>,
    /// Who waits for the outcome of each call.
    seats: Seats,
}

/// Where a caller stands in the table, and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::peer) struct CallerKey {
    ticket: u64,
    index: usize,
}

impl CallerKey {
    #[cfg(test)]
    pub(in crate::peer) const fn new(ticket: u64, index: usize) -> Self {
        Self { ticket, index }
    }
}

#[derive(Debug)]
pub(in crate::peer) struct Caller {
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
    InLine,
    /// Taken out of the line, to be accepted or put back.
    AtTheDesk,
    Accepted(CallId),
    Ended(CallResult),
}

#[derive(Clone, Debug)]
pub(in crate::peer) struct Queued {
    pub(in crate::peer) message: Message,
    pub(in crate::peer) deadline: Option<Instant>,
    /// Running it twice does no harm.
    pub(in crate::peer) idempotent: bool,
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
            table: Slab::new(),
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

    /// A caller whose call was accepted.
    pub(in crate::peer) fn add_accepted(
        &mut self,
        call: CallId,
        again: Option<Queued>,
        waker: Waker,
    ) -> CallerKey {
        self.kept_bytes += kept_len(again.as_ref());
        let key = self.add(Stage::Accepted(call), again, waker);
        self.seats.take(call, key);
        key
    }

    /// The deadline of a caller whose call was accepted comes this long after the driver's next turn.
    pub(in crate::peer) fn date_later(&mut self, key: CallerKey, after: Duration) {
        self.undated.push((key, after));
    }

    pub(in crate::peer) fn has_undated(&self) -> bool {
        !self.undated.is_empty()
    }

    /// Sets the deadlines of those that have none yet.
    pub(in crate::peer) fn date(&mut self, now: Instant, mut set: impl FnMut(CallId, Instant)) {
        let Self { table, undated, .. } = self;
        for (key, after) in undated.drain(..) {
            let Some(caller) = table.get_mut(key.index).filter(|caller| caller.ticket == key.ticket) else {
                continue;
            };
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
    pub(in crate::peer) fn add_in_line(&mut self, queued: Queued, waker: Waker) -> CallerKey {
        self.stand(&queued);
        let deadline = queued.deadline;
        let key = self.add(Stage::InLine, Some(queued), waker);
        self.line.push_back(key);
        self.line_deadlines.extend(deadline.map(|at| (at, key)));
        key
    }

    /// What has become of a caller's call; if nothing yet, `waker` is woken when it does. Leaves in `spent` what is to be dropped
    /// without the lock.
    pub(in crate::peer) fn poll(
        &mut self,
        key: CallerKey,
        waker: &Waker,
        spent: &mut Spent,
    ) -> Option<CallResult> {
        let caller = self.table.get_mut(key.index).filter(|caller| caller.ticket == key.ticket)?;
        if !matches!(caller.stage, Stage::Ended(_)) {
            if caller.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                spent.waker = caller.waker.replace(waker.clone());
            }
            return None;
        }
        let Caller { stage: Stage::Ended(result), queued, .. } = self.table.remove(key.index) else {
            return None;
        };
        self.reply_bytes -= reply_len(&result);
        self.kept_bytes -= kept_len(queued.as_ref());
        self.shrink();
        spent.again = queued;
        Some(result)
    }

    /// A caller leaves. Gives its call, if one is under way, and what it leaves behind, to be dropped without the lock.
    pub(in crate::peer) fn leave(&mut self, key: CallerKey) -> (Option<CallId>, Option<Caller>) {
        if self.table.get(key.index).is_none_or(|caller| caller.ticket != key.ticket) {
            return (None, None);
        }
        let caller = self.remove(key);
        let call = match &caller.stage {
            Stage::Accepted(call) => {
                self.seats.leave(*call);
                Some(*call)
            }
            Stage::InLine => {
                if let Some(queued) = &caller.queued {
                    if let Some(at) = queued.deadline {
                        self.line_deadlines.remove(&(at, key));
                    }
                    self.step_out(queued);
                }
                self.moved_up = true;
                self.forget_leavers();
                None
            }
            Stage::AtTheDesk | Stage::Ended(_) => None,
        };
        (call, Some(caller))
    }

    fn add(&mut self, stage: Stage, queued: Option<Queued>, waker: Waker) -> CallerKey {
        self.tickets += 1;
        let ticket = self.tickets;
        let index =
            self.table.insert(Caller { ticket, waker: Some(waker), stage, queued, sent_before: None });
        CallerKey { ticket, index }
    }

    pub(in crate::peer) fn accept(&mut self, key: CallerKey, call: CallId, again: Option<Queued>) {
        self.kept_bytes += kept_len(again.as_ref());
        let caller = &mut self.table[key.index];
        (caller.stage, caller.queued) = (Stage::Accepted(call), again);
        self.seats.take(call, key);
    }

    /// The reply to an accepted call.
    pub(in crate::peer) fn answer(&mut self, call: CallId, reply: Reply, wakers: &mut Wakers) {
        if let Some(key) = self.seats.leave(call) {
            self.finish(key, Ok(reply), wakers);
        }
    }

    /// The outcome of an accepted call. If another connection may follow, one that was lost or came too late for this one,
    /// and was certainly not run, or may be run twice, goes back in line.
    pub(in crate::peer) fn end(&mut self, call: CallId, result: CallResult, hope: bool, wakers: &mut Wakers) {
        let Some(key) = self.seats.leave(call) else { return };
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
        caller.stage = Stage::Ended(result);
        if let Some(queued) = caller.queued.take_if(|_| was_in_line) {
            self.step_out(&queued);
            self.moved_up = true;
            wakers.discard_message(queued.message);
        }
    }

    fn remove(&mut self, key: CallerKey) -> Caller {
        let caller = self.table.remove(key.index);
        match &caller.stage {
            Stage::Ended(result) => {
                self.reply_bytes -= reply_len(result);
                self.kept_bytes -= kept_len(caller.queued.as_ref());
            }
            Stage::Accepted(_) => self.kept_bytes -= kept_len(caller.queued.as_ref()),
            Stage::InLine | Stage::AtTheDesk => {}
        }
        self.shrink();
        caller
    }

    /// Gives back what many callers needed, when the last of them has gone.
    fn shrink(&mut self) {
        if self.table.is_empty() && self.table.capacity() > KEPT {
            *self = Self { moved_up: self.moved_up, tickets: self.tickets, ..Self::new() };
        }
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
