//! Where callers stand: in places that are used again as they are, so that nobody is moved.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use super::{Caller, CallerKey, Stage};

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Caller>,
    /// First of the list of free places.
    free: u32,
    used: u32,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: NONE, used: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(super) const fn len(&self) -> usize {
        self.used as usize
    }

    pub(super) fn capacity(&self) -> usize {
        self.places.capacity()
    }

    /// A place for one more caller, in which nothing is left of the one before.
    #[inline]
    pub(super) fn take(&mut self) -> (u32, &mut Caller) {
        if self.free == NONE {
            self.free = self.places.len() as u32;
            self.places.push(Caller::vacant(NONE));
        }
        let index = self.free;
        let place = &mut self.places[index as usize];
        self.free = place.ticket as u32;
        self.used += 1;
        (index, place)
    }

    /// Nobody stands there any more. Whoever did has taken all that was there.
    #[inline]
    pub(super) fn free(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        debug_assert!(place.waker.is_none() && place.queued.is_none() && place.sent_before.is_none());
        place.ticket = self.free.into();
        place.stage.go_on(Stage::Vacant);
        self.free = index;
        self.used -= 1;
    }

    /// Takes a caller away, with all it has.
    pub(super) fn remove(&mut self, index: u32) -> Caller {
        let caller = core::mem::replace(&mut self.places[index as usize], Caller::vacant(self.free));
        self.free = index;
        self.used -= 1;
        caller
    }

    /// The caller with this key, unless it has left.
    #[inline]
    pub(super) fn find(&mut self, key: CallerKey) -> Option<&mut Caller> {
        let caller = self.places.get_mut(key.index as usize)?;
        (caller.ticket == key.ticket && !matches!(caller.stage, Stage::Vacant)).then_some(caller)
    }
}

impl Index<u32> for Table {
    type Output = Caller;

    fn index(&self, index: u32) -> &Caller {
        &self.places[index as usize]
    }
}

impl IndexMut<u32> for Table {
    fn index_mut(&mut self, index: u32) -> &mut Caller {
        &mut self.places[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_but_keys_are_not() {
        let mut table = Table::new();
        let mut keys = Vec::new();
        for ticket in 1..=3 {
            let (index, caller) = table.take();
            (caller.ticket, caller.stage) = (ticket, Stage::InLine);
            keys.push(CallerKey { ticket, index });
        }
        table.free(keys[1].index);
        assert!(table.find(keys[1]).is_none(), "it has left");
        assert_eq!(table.remove(keys[0].index).ticket, 1);
        assert_eq!((table.len(), table.is_empty()), (1, false));
        for ticket in 4..=5 {
            let (index, caller) = table.take();
            (caller.ticket, caller.stage) = (ticket, Stage::InLine);
            assert!(keys[..2].iter().any(|key| key.index == index), "{index} was free");
        }
        assert!(keys[..2].iter().all(|&key| table.find(key).is_none()), "their places are others' now");
        assert!(table.find(keys[2]).is_some());
    }
}
