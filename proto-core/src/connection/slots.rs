//! The slots of the caller's table: which are free, whose turn is next, and which generation each has come to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::deadlines::Deadlines;
use super::lanes::Place;
use super::partial::Partial;
use crate::time::Instant;
use crate::wire::Sequence;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Table {
    pub(super) slots: Vec<Slot>,
    /// The latest generation of any slot.
    pub(super) latest: u32,
    /// First of the list of free slots.
    pub(super) free: u32,
    /// Slots that are not free.
    pub(super) used: u32,
    pub(super) deadlines: Deadlines,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Free {
        /// The next such slot.
        next: u32,
    },
    /// The REQUEST waits to be committed, or the rest of it does.
    Waiting { place: Option<Place>, deadline: Option<Instant>, started: bool },
    /// The REQUEST is committed and ends at this position of the byte stream.
    Committed { end: u64, reply: Option<Box<Partial>> },
    /// The caller's side has ended; the final REPLY is still to come, once the peer has all of the REQUEST or a CANCEL in
    /// place of the rest.
    Abandoned { sent: bool, reply: Option<Box<Partial>> },
}

impl Slot {
    pub(super) fn reply(&self) -> Option<&Partial> {
        match &self.state {
            State::Committed { reply, .. } | State::Abandoned { reply, .. } => reply.as_deref(),
            State::Free { .. } | State::Waiting { .. } => None,
        }
    }
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), latest: 1, free: NONE, used: 0, deadlines: Deadlines::new() }
    }

    /// What it holds beside what is in its slots.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.slots.capacity() * size_of::<Slot>() + self.deadlines.held_bytes()
    }

    /// A free slot for the next call, and where to say how that stands.
    #[inline]
    pub(super) fn take_slot(&mut self, first_generation: u32) -> (Sequence, &mut State) {
        if self.free == NONE {
            self.free = self.slots.len() as u32;
            self.slots.push(Slot { generation: first_generation, state: State::Free { next: NONE } });
        }
        let number = self.free;
        let Slot { generation, state } = &mut self.slots[number as usize];
        if let State::Free { next } = *state {
            self.free = next;
        }
        self.used += 1;
        (Sequence::call(*generation, number as u16), state)
    }

    #[inline]
    pub(super) fn free_slot(&mut self, number: u16) {
        self.deadlines.remove(number);
        let slot = &mut self.slots[usize::from(number)];
        slot.generation = next_generation(slot.generation);
        self.latest = later(self.latest, slot.generation);
        slot.state = State::Free { next: self.free };
        self.free = number.into();
        self.used -= 1;
    }
}

pub(super) const fn next_generation(generation: u32) -> u32 {
    match generation.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}

/// The later of two generations, as serial numbers (RFC 1982).
pub(super) const fn later(one: u32, two: u32) -> u32 {
    if (two.wrapping_sub(one) as i32) > 0 { two } else { one }
}
