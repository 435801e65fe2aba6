//! Where the outcome of a call finds its caller: by the call's slot, which is all that need be looked at.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::callers::CallerKey;
use crate::event::CallId;
use crate::wire::Sequence;

/// Who waits for the outcome of which call, by slots.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<Option<(Sequence, CallerKey)>>,
    /// A call that has ended gives its slot to the next one before its outcome is taken from the connection.
    displaced: BTreeMap<u64, CallerKey>,
}

impl Seats {
    pub(super) const fn new() -> Self {
        Self { seats: Vec::new(), displaced: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, call: CallId, key: CallerKey) {
        let id = call.sequence();
        let slot = usize::from(id.slot());
        if self.seats.len() <= slot {
            self.seats.resize(slot + 1, None);
        }
        if let Some((id, key)) = self.seats[slot].replace((id, key)) {
            self.displaced.insert(id.to_u64(), key);
        }
    }

    pub(super) fn leave(&mut self, call: CallId) -> Option<CallerKey> {
        let id = call.sequence();
        match self.seats.get_mut(usize::from(id.slot())).and_then(|seat| seat.take_if(|(own, _)| *own == id))
        {
            Some((_, key)) => Some(key),
            None => self.displaced.remove(&id.to_u64()),
        }
    }

    /// Nobody waits; the memory is kept.
    pub(super) fn clear(&mut self) {
        self.seats.clear();
        self.displaced.clear();
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Option<(Sequence, CallerKey)>>()
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
        let key = |ticket| CallerKey::new(ticket, 3);
        (1..4).for_each(|n| seats.take(call(n), key(n.into())));
        for n in [2, 3, 1] {
            assert_eq!(seats.leave(call(n)), Some(key(n.into())));
            assert_eq!(seats.leave(call(n)), None);
        }
    }
}
