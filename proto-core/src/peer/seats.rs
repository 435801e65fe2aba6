//! Where the outcome of a call finds its caller: by the call's slot, which is all that need be looked at.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::event::CallId;
use crate::wire::Sequence;

/// Who waits for the outcome of which call, by slots. Callers are known by their places.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<Seat>,
    /// A call that has ended gives its slot to the next one before its outcome is taken from the connection.
    displaced: BTreeMap<u64, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    /// That of the connection, which is no call's, while nobody waits.
    call: Sequence,
    caller: u32,
}

const FREE: Seat = Seat { call: Sequence::CONNECTION, caller: 0 };

impl Seats {
    pub(super) const fn new() -> Self {
        Self { seats: Vec::new(), displaced: BTreeMap::new() }
    }

    #[inline]
    pub(super) fn take(&mut self, call: CallId, caller: u32) {
        let call = call.sequence();
        let slot = usize::from(call.slot());
        if self.seats.len() <= slot {
            self.seats.resize(slot + 1, FREE);
        }
        let seat = &mut self.seats[slot];
        if seat.call != Sequence::CONNECTION {
            self.displaced.insert(seat.call.to_u64(), seat.caller);
        }
        *seat = Seat { call, caller };
    }

    #[inline]
    pub(super) fn leave(&mut self, call: CallId) -> Option<u32> {
        let call = call.sequence();
        match self.seats.get_mut(usize::from(call.slot())) {
            Some(seat) if seat.call == call => {
                seat.call = Sequence::CONNECTION;
                Some(seat.caller)
            }
            _ => self.displaced.remove(&call.to_u64()),
        }
    }

    /// Nobody waits; the memory is kept.
    pub(super) fn clear(&mut self) {
        self.seats.clear();
        self.displaced.clear();
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Seat>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome of a call may wait to be taken while the next one has its slot already.
    #[test]
    fn who_is_displaced_is_found() {
        let mut seats = Seats::new();
        let call = |generation| CallId(Sequence::call(generation, 7));
        (1..4).for_each(|n| seats.take(call(n), n));
        for n in [2, 3, 1] {
            assert_eq!(seats.leave(call(n)), Some(n));
            assert_eq!(seats.leave(call(n)), None);
        }
    }
}
