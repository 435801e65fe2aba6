//! When calls run out of time: a binary heap over slots, from which any slot can be removed exactly.
//!
//! A removed deadline leaves nothing behind, so that the heap is never larger than the number of calls in flight,
//! and ties are broken by slot, so that the order is always the same.

use alloc::vec::Vec;

use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Deadlines {
    heap: Vec<(Instant, u16)>,
    /// Where each slot stands in the heap.
    position: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), position: Vec::new() }
    }

    /// The earliest deadline.
    pub(super) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    /// Sets the deadline of a slot that has none.
    pub(super) fn insert(&mut self, slot: u16, at: Instant) {
        let needed = usize::from(slot) + 1;
        if self.position.len() < needed {
            self.position.resize(needed, ABSENT);
        }
        self.heap.push((at, slot));
        self.sift_up(self.heap.len() - 1);
    }

    /// Takes away the slot's deadline, if it has one.
    pub(super) fn remove(&mut self, slot: u16) {
        let Some(position) = self.position.get_mut(usize::from(slot)) else { return };
        let at = core::mem::replace(position, ABSENT) as usize;
        if at >= self.heap.len() {
            return;
        }
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.sift_down(at);
            self.sift_up(at);
        }
    }

    /// Takes a slot whose deadline is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u16> {
        let &(at, slot) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(slot);
        Some(slot)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<(Instant, u16)>() + self.position.capacity() * size_of::<u32>()
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.heap.swap(parent, at);
            self.place(at);
            at = parent;
        }
        self.place(at);
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let Some(mut child) = (left < self.heap.len()).then_some(left) else { break };
            if left + 1 < self.heap.len() && self.heap[left + 1] < self.heap[left] {
                child = left + 1;
            }
            if self.heap[at] <= self.heap[child] {
                break;
            }
            self.heap.swap(at, child);
            self.place(at);
            at = child;
        }
        self.place(at);
    }

    fn place(&mut self, at: usize) {
        self.position[usize::from(self.heap[at].1)] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(script in prop::collection::vec((0u16..40, 0u64..50, any::<bool>()), 0..300)) {
            let mut deadlines = Deadlines::new();
            let mut model: BTreeMap<u16, u64> = BTreeMap::new();
            for (slot, nanos, due) in script {
                if due {
                    let mut popped = Vec::new();
                    while let Some(slot) = deadlines.pop_due(Instant::from_nanos(nanos)) {
                        popped.push(slot);
                    }
                    let mut expected: Vec<(u64, u16)> =
                        model.iter().filter(|&(_, &at)| at <= nanos).map(|(&slot, &at)| (at, slot)).collect();
                    expected.sort_unstable();
                    model.retain(|_, at| *at > nanos);
                    prop_assert_eq!(popped, expected.into_iter().map(|(_, slot)| slot).collect::<Vec<_>>());
                } else if model.remove(&slot).is_some() {
                    deadlines.remove(slot);
                } else {
                    deadlines.insert(slot, Instant::from_nanos(nanos));
                    model.insert(slot, nanos);
                }
                prop_assert_eq!(deadlines.first().map(Instant::as_nanos), model.values().min().copied());
            }
        }
    }
}
