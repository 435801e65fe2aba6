//! The callee's table: how far each of the peer's calls has come, and what it is charged (LW-4.1, LW-4.4).
//!
//! | stage | leaves by | to |
//! |---|---|---|
//! | free | REQUEST, its first fragment | queued, arriving |
//! | arriving | its last fragment; CANCEL | queued; answered |
//! | queued for the application | the application takes it; it was cancelled or has expired | running; answered |
//! | running | the application's reply; it is committed at once, as nearly all are | answered; free |
//! | answered | the last frame of the REPLY is committed | free |

use alloc::boxed::Box;
use alloc::vec::Vec;

#[cfg(feature = "peer")]
use super::buffers::Boxes;
use super::partial::Partial;
use crate::error::ProtocolError;
use crate::wire::{Lane, Sequence, charge};

/// How many slots are kept while no request is open.
const KEPT: usize = 128;

#[derive(Debug)]
pub(super) struct Requests {
    /// Kept for the next request while none is open, unless it is large.
    table: Option<Box<Table>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    open: u32,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// The length of the REQUEST.
    length: u32,
    stage: Stage,
    /// Its caller no longer waits.
    cancelled: bool,
    lane: Lane,
    /// The part that has arrived, between two fragments.
    partial: Option<Box<Partial>>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Free,
    Arriving,
    Queued,
    Running,
    Answered,
}

impl Slot {
    /// Gives what its request was charged.
    #[inline]
    fn free(&mut self) -> u64 {
        self.stage = Stage::Free;
        self.partial = None;
        charge(self.length as usize)
    }
}

impl Table {
    /// What it holds beside what is in its slots.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.slots.capacity() * size_of::<Slot>()
    }
}

impl Requests {
    pub(super) const fn new() -> Self {
        Self { table: None }
    }

    /// Requests that have not been answered on the wire.
    pub(super) fn open(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.open as usize)
    }

    /// How many slots the peer has used at a time, since there was last a pause: of short requests, most are in flight where they
    /// cannot be seen.
    #[cfg(feature = "peer")]
    pub(super) fn widest(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.slots.len())
    }

    /// Takes the slot of a REQUEST that begins to arrive, or is here as a whole and waits for the application.
    #[inline]
    pub(super) fn begin(
        &mut self,
        id: Sequence,
        length: u32,
        lane: Lane,
        limit: u32,
        stage: Stage,
    ) -> Result<(), ProtocolError> {
        if u32::from(id.slot()) >= limit {
            return Err(ProtocolError::SlotBeyondLimit(id.slot()));
        }
        let table = self.table.get_or_insert_with(Box::default);
        let at = usize::from(id.slot());
        if table.slots.len() <= at {
            table.slots.resize_with(at + 1, Slot::default);
        }
        let slot = &mut table.slots[at];
        if slot.stage != Stage::Free {
            return Err(ProtocolError::SlotInUse(id.slot()));
        }
        let generation = id.generation();
        *slot = Slot { generation, length, stage, lane, ..Slot::default() };
        table.open += 1;
        Ok(())
    }

    /// The part of a REQUEST that has arrived, to be put together with the next fragment.
    pub(super) fn take_partial(&mut self, id: Sequence) -> Option<Box<Partial>> {
        self.slot(id)?.partial.take()
    }

    pub(super) fn keep_partial(&mut self, partial: Box<Partial>) {
        if let Some(slot) = self.slot(partial.header.sequence) {
            slot.partial = Some(partial);
        }
    }

    /// All of the REQUEST is here, and waits for the application.
    pub(super) fn queue(&mut self, id: Sequence) {
        self.advance(id, Stage::Arriving, Stage::Queued);
    }

    /// The application is about to take it. Gives `false` if it is not to be run, since its caller no longer waits.
    pub(super) fn run(&mut self, id: Sequence) -> bool {
        let Some(slot) = self.slot(id) else { return true };
        if slot.stage == Stage::Queued && !slot.cancelled {
            slot.stage = Stage::Running;
        }
        !slot.cancelled
    }

    /// Its caller no longer waits. Gives how far it has come; `Free` if it is not in flight, or has been cancelled before.
    pub(super) fn cancel(&mut self, id: Sequence) -> Stage {
        let Some(slot) = self.slot(id) else { return Stage::Free };
        slot.partial = None;
        if core::mem::replace(&mut slot.cancelled, true) { Stage::Free } else { slot.stage }
    }

    pub(super) fn is_cancelled(&mut self, id: Sequence) -> bool {
        self.slot(id).is_some_and(|slot| slot.cancelled)
    }

    /// Whether the application has it and has not answered.
    pub(super) fn is_running(&mut self, id: Sequence) -> bool {
        self.slot(id).is_some_and(|slot| slot.stage == Stage::Running)
    }

    /// Notes that it has been answered, and gives its lane; `None` if this request is not open or was answered before.
    pub(super) fn answer(&mut self, id: Sequence) -> Option<Lane> {
        let slot = self.slot(id).filter(|slot| slot.stage != Stage::Answered)?;
        slot.stage = Stage::Answered;
        Some(slot.lane)
    }

    /// [Answers](Self::answer) with a REPLY that is committed as a whole: the slot is free. Gives what the request was charged, too.
    #[inline]
    pub(super) fn answer_whole(&mut self, id: Sequence) -> Option<(Lane, u64)> {
        let slot = self.slot(id).filter(|slot| slot.stage != Stage::Answered)?;
        let (lane, charged) = (slot.lane, slot.free());
        self.note_free();
        Some((lane, charged))
    }

    /// The final REPLY is committed: the slot is free. Gives what the request was charged.
    pub(super) fn finish(&mut self, id: Sequence) -> u64 {
        let Some(charged) = self.slot(id).map(Slot::free) else { return 0 };
        self.note_free();
        charged
    }

    #[inline]
    fn note_free(&mut self) {
        if let Some(table) = &mut self.table {
            table.open -= 1;
            if table.open == 0 && table.slots.len() > KEPT {
                self.table = None;
            }
        }
    }

    /// Gives back what is kept for further requests, if none is open.
    pub(super) fn shrink(&mut self) {
        drop(self.lend());
    }

    /// Lends the table to somebody else, if no request is open.
    pub(super) fn lend(&mut self) -> Option<Box<Table>> {
        let mut table = self.table.take_if(|table| table.open == 0)?;
        table.slots.clear();
        Some(table)
    }

    /// Takes a table that somebody else has no use for, unless there is one here.
    #[cfg(feature = "peer")]
    pub(super) fn borrow(&mut self, tables: &mut Boxes<Table>) {
        if self.table.is_none() {
            self.table = tables.pop();
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, |table| {
            let partials = table.slots.iter().filter_map(|slot| slot.partial.as_ref());
            table.held_bytes() + partials.map(|partial| partial.held_bytes()).sum::<usize>()
        })
    }

    fn advance(&mut self, id: Sequence, from: Stage, to: Stage) {
        if let Some(slot) = self.slot(id).filter(|slot| slot.stage == from) {
            slot.stage = to;
        }
    }

    fn slot(&mut self, id: Sequence) -> Option<&mut Slot> {
        let slot = self.table.as_mut()?.slots.get_mut(usize::from(id.slot()))?;
        (slot.stage != Stage::Free && slot.generation == id.generation()).then_some(slot)
    }
}
