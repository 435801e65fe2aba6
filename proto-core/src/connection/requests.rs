//! The callee's table: which of the peer's calls wants a reply, and what it is charged (LW-4.1, LW-4.4).

use alloc::vec::Vec;

use crate::error::ProtocolError;
use crate::wire::Sequence;

#[derive(Debug)]
pub(super) struct Requests {
    slots: Vec<Slot>,
    open: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// 0 while the slot is free.
    generation: u32,
    /// A reply has been accepted, and waits to be committed.
    answered: bool,
    charge: u64,
}

impl Requests {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), open: 0 }
    }

    /// Requests that have not been answered on the wire.
    pub(super) const fn open(&self) -> usize {
        self.open as usize
    }

    /// Takes the slot of a REQUEST that arrives.
    pub(super) fn begin(&mut self, id: Sequence, charge: u64, limit: u32) -> Result<(), ProtocolError> {
        if u32::from(id.slot()) >= limit {
            return Err(ProtocolError::SlotBeyondLimit(id.slot()));
        }
        let at = usize::from(id.slot());
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        let slot = &mut self.slots[at];
        if slot.generation != 0 {
            return Err(ProtocolError::SlotInUse(id.slot()));
        }
        *slot = Slot { generation: id.generation(), answered: false, charge };
        self.open += 1;
        Ok(())
    }

    /// Notes that the application has answered; `false` if this request is not open or was answered before.
    pub(super) fn answer(&mut self, id: Sequence) -> bool {
        match self.slots.get_mut(usize::from(id.slot())) {
            Some(slot) if slot.generation == id.generation() && !slot.answered => {
                slot.answered = true;
                true
            }
            _ => false,
        }
    }

    /// The final REPLY is committed: the slot is free. Gives what the request was charged.
    pub(super) fn finish(&mut self, id: Sequence) -> u64 {
        let Some(slot) = self.slots.get_mut(usize::from(id.slot())) else { return 0 };
        if slot.generation != id.generation() {
            return 0;
        }
        let charge = core::mem::take(slot).charge;
        self.open -= 1;
        if self.open == 0 {
            *self = Self::new();
        }
        charge
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}
