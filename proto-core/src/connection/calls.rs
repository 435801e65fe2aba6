//! The caller's table: which of our calls is in which slot (LW-4.1 to LW-4.5).
//!
//! A slot is a credit: it is taken when a call is accepted and free again when the call's final REPLY has arrived, or
//! when the call is deleted before it was sent. A call that ends early for its caller keeps its slot until then.
//!
//! | state | leaves by | to |
//! |---|---|---|
//! | free | a call is accepted; its REQUEST is committed at once, as nearly all are | waiting; committed |
//! | waiting | the last frame of the REQUEST is committed | committed |
//! | waiting | the call ends early: before its first frame; behind it | free; abandoned |
//! | committed | the final REPLY; the call ends early | free; abandoned |
//! | abandoned | the final REPLY | free |

use alloc::boxed::Box;
use alloc::vec::Vec;

#[cfg(feature = "peer")]
use super::buffers::Boxes;
use super::lanes::Place;
use super::partial::Partial;
use super::slots::{NONE, Slot, State, Table, later};
use crate::error::Delivery;
use crate::time::Instant;
use crate::wire::Sequence;

/// How many slots are kept while no call is in flight.
const KEPT: usize = 128;

#[derive(Debug)]
pub(super) struct Calls {
    /// Kept for the next call while none is in flight, unless it is large.
    table: Option<Box<Table>>,
    /// How many slots the callee granted.
    limit: u32,
    /// Where a slot that has never been used starts: later than any generation that was used.
    first_generation: u32,
}

/// What a REPLY found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// A caller that waits.
    Waited,
    /// A call that had ended early.
    Late,
}

/// How a call that ends early stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedEarly {
    /// Its REQUEST still waited there, if anywhere, and the slot is free again.
    Waiting(Option<Place>),
    /// A part of its REQUEST is committed, and the rest waits there; the slot stays taken.
    Started(Option<Place>),
    /// Its REQUEST is committed and goes out; the slot stays taken.
    Committed,
}

impl Calls {
    pub(super) const fn new() -> Self {
        Self { table: None, limit: 0, first_generation: 1 }
    }

    pub(super) const fn grant(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.in_flight() < self.limit as usize
    }

    /// Calls whose slot is taken.
    pub(super) fn in_flight(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.used as usize)
    }

    /// Takes a slot for a call; there must be a free one. Its REQUEST waits until it is [committed](Self::commit).
    pub(super) fn begin(&mut self, deadline: Option<Instant>) -> Sequence {
        self.take_slot(deadline, |state| *state = State::Waiting { place: None, deadline, started: false })
    }

    /// Takes a slot for a call whose REQUEST is committed at once and ends at this position of the byte stream.
    #[inline]
    pub(super) fn begin_committed(&mut self, deadline: Option<Instant>, end: u64) -> Sequence {
        self.take_slot(deadline, |state| *state = State::Committed { end, reply: None })
    }

    /// Sets the deadline of a call that was begun without one, if its caller still waits.
    #[cfg(feature = "peer")]
    pub(super) fn set_deadline(&mut self, id: Sequence, at: Instant) {
        let waits = matches!(self.slot(id), Some(Slot { state: State::Committed { .. }, .. }));
        if let Some(table) = self.table.as_mut().filter(|_| waits) {
            table.deadlines.insert(id.slot(), at);
        }
    }

    /// The REQUEST waits at this place in the outbox.
    pub(super) fn set_place(&mut self, id: Sequence, at: Place) {
        if let Some(Slot { state: State::Waiting { place, .. }, .. }) = self.slot_mut(id) {
            *place = Some(at);
        }
    }

    /// The first fragment of the REQUEST takes its place in the byte stream. Gives its deadline.
    pub(super) fn start(&mut self, id: Sequence) -> Option<Instant> {
        match self.slot_mut(id) {
            Some(Slot { state: State::Waiting { deadline, started, .. }, .. }) => {
                *started = true;
                *deadline
            }
            _ => None,
        }
    }

    /// Whether this REQUEST still waits and its deadline is not later than `now`.
    pub(super) fn is_due(&self, id: Sequence, now: Instant) -> bool {
        matches!(self.slot(id), Some(Slot { state: State::Waiting { deadline: Some(at), .. }, .. }) if *at <= now)
    }

    /// The REQUEST, or the rest of it, takes its place in the byte stream. Gives its deadline.
    pub(super) fn commit(&mut self, id: Sequence, end: u64) -> Option<Instant> {
        let slot = self.slot_mut(id)?;
        let State::Waiting { deadline, .. } = slot.state else {
            self.sent_all(id);
            return None;
        };
        slot.state = State::Committed { end, reply: None };
        deadline
    }

    /// What a REPLY to this id would find; `None` if no such call is in flight.
    pub(super) fn find(&self, id: Sequence) -> Option<Answered> {
        match self.slot(id)?.state {
            State::Free { .. } | State::Waiting { .. } => None,
            State::Committed { .. } => Some(Answered::Waited),
            State::Abandoned { sent: true, .. } => Some(Answered::Late),
            State::Abandoned { sent: false, .. } => None,
        }
    }

    /// CANCEL, or the last of the REQUEST, is on its way: the final REPLY may come. Says whether it is still to come.
    pub(super) fn sent_all(&mut self, id: Sequence) -> bool {
        match self.slot_mut(id) {
            Some(Slot { state: State::Abandoned { sent, .. }, .. }) => {
                *sent = true;
                true
            }
            _ => false,
        }
    }

    /// The part of a REPLY that has arrived, to be put together with the next fragment.
    pub(super) fn take_partial(&mut self, id: Sequence) -> Option<Box<Partial>> {
        match &mut self.slot_mut(id)?.state {
            State::Committed { reply, .. } | State::Abandoned { reply, .. } => reply.take(),
            State::Free { .. } | State::Waiting { .. } => None,
        }
    }

    pub(super) fn keep_reply(&mut self, partial: Box<Partial>) {
        if let Some(slot) = self.slot_mut(partial.header.sequence) {
            if let State::Committed { reply, .. } | State::Abandoned { reply, .. } = &mut slot.state {
                *reply = Some(partial);
            }
        }
    }

    /// The final REPLY is here: the slot is free.
    pub(super) fn answer(&mut self, id: Sequence) -> Option<Answered> {
        let answered = self.find(id)?;
        self.release(id.slot());
        Some(answered)
    }

    /// The final REPLY is here as a whole: frees the slot, if a caller waits and no part of another REPLY has come; says whether it
    /// does.
    #[inline]
    pub(super) fn answer_whole(&mut self, id: Sequence) -> bool {
        let awaited = matches!(self.slot(id), Some(Slot { state: State::Committed { reply: None, .. }, .. }));
        if awaited {
            self.release(id.slot());
        }
        awaited
    }

    /// The caller's side ends before a REPLY came.
    pub(super) fn end_early(&mut self, id: Sequence) -> Option<EndedEarly> {
        let slot = self.slot_mut(id)?;
        let (ended, reply) = match &mut slot.state {
            State::Free { .. } | State::Abandoned { .. } => return None,
            &mut State::Waiting { place, started: false, .. } => {
                self.release(id.slot());
                return Some(EndedEarly::Waiting(place));
            }
            &mut State::Waiting { place, started: true, .. } => (EndedEarly::Started(place), None),
            State::Committed { reply, .. } => (EndedEarly::Committed, reply.take()),
        };
        slot.state = State::Abandoned { sent: ended == EndedEarly::Committed, reply };
        if let Some(table) = &mut self.table {
            table.deadlines.remove(id.slot());
        }
        Some(ended)
    }

    /// A call whose deadline is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Sequence> {
        let table = self.table.as_mut()?;
        let slot = table.deadlines.pop_due(now)?;
        Some(Sequence::call(table.slots[usize::from(slot)].generation, slot))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.table.as_ref()?.deadlines.first()
    }

    /// Takes every call whose caller still waits, in the order of slots, and says whether the peer can have it, given
    /// that bytes up to `leaving` have left or will leave. The table is empty afterwards.
    pub(super) fn lose_all(&mut self, leaving: u64) -> Vec<(Sequence, Delivery)> {
        let slots = self.table.take().map(|table| table.slots).unwrap_or_default();
        (0u16..=u16::MAX)
            .zip(slots)
            .filter_map(|(number, slot)| {
                let id = Sequence::call(slot.generation, number);
                match slot.state {
                    State::Free { .. } | State::Abandoned { .. } => None,
                    State::Waiting { .. } => Some((id, Delivery::NotSent)),
                    State::Committed { end, .. } if end > leaving => Some((id, Delivery::NotSent)),
                    State::Committed { .. } => Some((id, Delivery::MaybeSent)),
                }
            })
            .collect()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, |table| {
            let replies = table.slots.iter().filter_map(Slot::reply).map(Partial::held_bytes);
            table.held_bytes() + replies.sum::<usize>()
        })
    }

    #[inline]
    fn take_slot(&mut self, deadline: Option<Instant>, begin: impl FnOnce(&mut State)) -> Sequence {
        let first = self.first_generation;
        let table = self.table.get_or_insert_with(|| Box::new(Table { latest: first, ..Table::new() }));
        let (id, state) = table.take_slot(first);
        begin(state);
        if let Some(at) = deadline {
            table.deadlines.insert(id.slot(), at);
        }
        id
    }

    fn slot(&self, id: Sequence) -> Option<&Slot> {
        let slot = self.table.as_ref()?.slots.get(usize::from(id.slot()))?;
        (slot.generation == id.generation()).then_some(slot)
    }

    fn slot_mut(&mut self, id: Sequence) -> Option<&mut Slot> {
        let slot = self.table.as_mut()?.slots.get_mut(usize::from(id.slot()))?;
        (slot.generation == id.generation()).then_some(slot)
    }

    fn release(&mut self, number: u16) {
        let Some(table) = &mut self.table else { return };
        table.free_slot(number);
        if table.used == 0 && table.slots.len() > KEPT {
            self.shrink();
        }
    }

    /// Gives back what is kept for further calls, if none is in flight.
    pub(super) fn shrink(&mut self) {
        drop(self.lend());
    }

    /// Lends the table to somebody else, if no call is in flight.
    pub(super) fn lend(&mut self) -> Option<Box<Table>> {
        let mut table = self.table.take_if(|table| table.used == 0)?;
        // Nothing need be remembered but a generation that no slot has used.
        self.first_generation = later(self.first_generation, table.latest);
        table.slots.clear();
        table.free = NONE;
        Some(table)
    }

    /// Takes a table that somebody else has no use for, unless there is one here.
    #[cfg(feature = "peer")]
    pub(super) fn borrow(&mut self, tables: &mut Boxes<Table>) {
        if self.table.is_none() {
            self.table = tables.pop();
            if let Some(table) = &mut self.table {
                table.latest = self.first_generation;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(limit: u32) -> Calls {
        let mut calls = Calls::new();
        calls.grant(limit);
        calls
    }

    /// LW-4.2: the generation of a slot grows with each call, and skips 0.
    #[test]
    fn generations_grow_and_skip_zero() {
        let mut calls = table(2);
        calls.first_generation = u32::MAX - 1;
        let mut seen = Vec::new();
        for _ in 0..4 {
            let id = calls.begin(None);
            calls.commit(id, 0);
            assert_eq!(calls.answer(id), Some(Answered::Waited));
            seen.push(id.generation());
        }
        assert_eq!(seen, [u32::MAX - 1, u32::MAX, 1, 2]);
    }

    /// LW-4.1: no id is given out twice while slots come, go and are forgotten.
    #[test]
    fn no_id_is_given_out_twice() {
        let mut calls = table(3);
        let mut seen = alloc::collections::BTreeSet::new();
        for round in 0..50 {
            let ids: Vec<Sequence> = (0..=round % 3).map(|_| calls.begin(None)).collect();
            for id in ids {
                assert!(seen.insert(id.to_u64()), "{id:?} was given out twice");
                calls.commit(id, 0);
                calls.answer(id);
            }
            if round % 7 == 0 {
                calls.shrink();
                assert_eq!(calls.held_bytes(), 0);
            }
        }
    }

    #[test]
    fn an_abandoned_call_keeps_its_slot() {
        let mut calls = table(1);
        let id = calls.begin(None);
        assert!(!calls.has_free_slot());
        calls.commit(id, 10);
        assert_eq!(calls.end_early(id), Some(EndedEarly::Committed));
        assert_eq!(calls.end_early(id), None);
        assert!(!calls.has_free_slot());
        assert_eq!(calls.answer(id), Some(Answered::Late));
        assert_eq!(calls.answer(id), None);
        assert!(calls.has_free_slot());
    }
}
