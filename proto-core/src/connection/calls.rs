//! The caller's table: which of our calls is in which slot (LW-4.1 to LW-4.5).
//!
//! A slot is a credit: it is taken when a call is accepted and free again when the call's final REPLY has arrived, or
//! when the call is deleted before it was sent. A call that ends early for its caller keeps its slot until then.

use alloc::vec::Vec;

use super::deadlines::Deadlines;
use super::queue::Key;
use crate::error::Delivery;
use crate::time::Instant;
use crate::wire::Sequence;

#[derive(Debug)]
pub(super) struct Calls {
    slots: Vec<Slot>,
    /// First of the list of free slots.
    free: Option<u16>,
    /// Slots that are not free.
    used: u32,
    /// How many slots the callee granted.
    limit: u32,
    /// Where a slot that has never been used starts.
    first_generation: u32,
    deadlines: Deadlines,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free {
        next: Option<u16>,
    },
    /// The REQUEST waits to be committed.
    Waiting {
        key: Key,
        deadline: Option<Instant>,
    },
    /// The REQUEST is committed and ends at this position of the byte stream.
    Committed {
        end: u64,
    },
    /// The caller's side has ended; the final REPLY is still to come.
    Abandoned,
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
    /// Its REQUEST still waited there, and the slot is free again.
    Waiting(Key),
    /// Its REQUEST is committed and goes out; the slot stays taken.
    Committed,
}

impl Calls {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: None,
            used: 0,
            limit: 0,
            first_generation: 1,
            deadlines: Deadlines::new(),
        }
    }

    pub(super) const fn grant(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(super) const fn has_free_slot(&self) -> bool {
        self.used < self.limit
    }

    /// Calls whose slot is taken.
    pub(super) const fn in_flight(&self) -> usize {
        self.used as usize
    }

    /// The id that the next call will have.
    ///
    /// There must be a free slot.
    pub(super) fn next_id(&self) -> Sequence {
        match self.free {
            Some(slot) => Sequence::call(self.slots[usize::from(slot)].generation, slot),
            None => Sequence::call(self.first_generation, self.slots.len() as u16),
        }
    }

    /// Takes the slot of [`next_id`](Self::next_id) for a REQUEST that waits at `key`.
    pub(super) fn begin(&mut self, key: Key, deadline: Option<Instant>) {
        let slot = self.next_id().slot();
        let state = State::Waiting { key, deadline };
        match self.slots.get_mut(usize::from(slot)) {
            Some(entry) => {
                if let State::Free { next } = entry.state {
                    self.free = next;
                }
                entry.state = state;
            }
            None => self.slots.push(Slot { generation: self.first_generation, state }),
        }
        self.used += 1;
        if let Some(at) = deadline {
            self.deadlines.insert(slot, at);
        }
    }

    /// The REQUEST takes its place in the byte stream. Gives its deadline.
    pub(super) fn commit(&mut self, id: Sequence, end: u64) -> Option<Instant> {
        let slot = self.slot_mut(id)?;
        let State::Waiting { deadline, .. } = slot.state else { return None };
        slot.state = State::Committed { end };
        deadline
    }

    /// What a REPLY to this id would find; `None` if no such call is in flight.
    pub(super) fn find(&self, id: Sequence) -> Option<Answered> {
        let slot = self.slots.get(usize::from(id.slot()))?;
        match slot.state {
            _ if slot.generation != id.generation() => None,
            State::Free { .. } | State::Waiting { .. } => None,
            State::Committed { .. } => Some(Answered::Waited),
            State::Abandoned => Some(Answered::Late),
        }
    }

    /// The final REPLY is here: the slot is free.
    pub(super) fn answer(&mut self, id: Sequence) -> Option<Answered> {
        let answered = self.find(id)?;
        self.release(id.slot());
        Some(answered)
    }

    /// The caller's side ends before a REPLY came.
    pub(super) fn end_early(&mut self, id: Sequence) -> Option<EndedEarly> {
        let slot = self.slot_mut(id)?;
        match slot.state {
            State::Free { .. } | State::Abandoned => None,
            State::Waiting { key, .. } => {
                self.release(id.slot());
                Some(EndedEarly::Waiting(key))
            }
            State::Committed { .. } => {
                slot.state = State::Abandoned;
                self.deadlines.remove(id.slot());
                Some(EndedEarly::Committed)
            }
        }
    }

    /// A call whose deadline is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Sequence> {
        let slot = self.deadlines.pop_due(now)?;
        Some(Sequence::call(self.slots[usize::from(slot)].generation, slot))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Takes every call whose caller still waits, in the order of slots, and says whether the peer can have it, given
    /// that bytes up to `leaving` have left or will leave. The table is empty afterwards.
    pub(super) fn lose_all(&mut self, leaving: u64) -> Vec<(Sequence, Delivery)> {
        let lost = core::mem::replace(self, Self::new());
        (0u16..=u16::MAX)
            .zip(lost.slots)
            .filter_map(|(number, slot)| {
                let id = Sequence::call(slot.generation, number);
                match slot.state {
                    State::Free { .. } | State::Abandoned => None,
                    State::Waiting { .. } => Some((id, Delivery::NotSent)),
                    State::Committed { end } if end > leaving => Some((id, Delivery::NotSent)),
                    State::Committed { .. } => Some((id, Delivery::MaybeSent)),
                }
            })
            .collect()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.deadlines.held_bytes()
    }

    fn slot_mut(&mut self, id: Sequence) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(id.slot())).filter(|slot| slot.generation == id.generation())
    }

    fn release(&mut self, number: u16) {
        self.deadlines.remove(number);
        let slot = &mut self.slots[usize::from(number)];
        slot.generation = next_generation(slot.generation);
        slot.state = State::Free { next: self.free };
        self.free = Some(number);
        self.used -= 1;
        if self.used == 0 {
            self.forget_slots();
        }
    }

    /// Nothing is in flight, so nothing need be remembered but a generation that no slot has used.
    fn forget_slots(&mut self) {
        let unused = self.slots.iter().map(|slot| slot.generation).fold(self.first_generation, later);
        *self = Self { limit: self.limit, first_generation: unused, ..Self::new() };
    }
}

const fn next_generation(generation: u32) -> u32 {
    match generation.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}

/// The later of two generations, as serial numbers (RFC 1982).
const fn later(one: u32, two: u32) -> u32 {
    if (two.wrapping_sub(one) as i32) > 0 { two } else { one }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::*;

    fn table(limit: u32) -> (Calls, Key) {
        let mut calls = Calls::new();
        calls.grant(limit);
        (calls, Queue::new().push_back(()))
    }

    fn begin(calls: &mut Calls, key: Key) -> Sequence {
        let id = calls.next_id();
        calls.begin(key, None);
        id
    }

    /// LW-4.2: the generation of a slot grows with each call, and skips 0.
    #[test]
    fn generations_grow_and_skip_zero() {
        let (mut calls, key) = table(2);
        calls.first_generation = u32::MAX - 1;
        let mut seen = Vec::new();
        for _ in 0..4 {
            let id = begin(&mut calls, key);
            calls.commit(id, 0);
            assert_eq!(calls.answer(id), Some(Answered::Waited));
            seen.push(id.generation());
        }
        assert_eq!(seen, [u32::MAX - 1, u32::MAX, 1, 2]);
    }

    /// LW-4.1: no id is given out twice while slots come, go and are forgotten.
    #[test]
    fn no_id_is_given_out_twice() {
        let (mut calls, key) = table(3);
        let mut seen = alloc::collections::BTreeSet::new();
        for round in 0..50 {
            let ids: Vec<Sequence> = (0..=round % 3).map(|_| begin(&mut calls, key)).collect();
            for id in ids {
                assert!(seen.insert(id.to_u64()), "{id:?} was given out twice");
                calls.commit(id, 0);
                calls.answer(id);
            }
            assert_eq!(calls.held_bytes(), 0);
        }
    }

    #[test]
    fn an_abandoned_call_keeps_its_slot() {
        let (mut calls, key) = table(1);
        let id = begin(&mut calls, key);
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
